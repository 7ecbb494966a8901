"""Put a written scoreboard into ``docs/scoreboard.md``: one section a classifier, made from its tables.

``python tools/scoreboard.py TITLE FOLDER`` replaces the section of that title, or adds it at the page's end; what
stands outside the sections is left as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path

from earwitness.core import files
from earwitness.explainers.baselines import BASELINES
from earwitness.trust.scoreboard.board import MAIN_SCORE
from earwitness.trust.scoreboard.ranking import ALL
from earwitness.workflows.scoreboard import ASKED, SCOREBOARD

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scoreboard.md"
SCORES = {"auroc": "Area under ROC of cells", "pointing": "Pointing game", "mass": "Relevance mass"}


def section(title: str, folder: Path) -> str:
    """Return the section of a scoreboard: what was asked, what could be judged, a table a score.

    Parameters
    ----------
    title
        Of the section.
    folder
        That ``earwitness scoreboard`` wrote.
    """
    asked = files.read_json(folder / ASKED)
    text = [f"<!-- begin {title}; made by tools/scoreboard.py -->", f"## {title}\n"]
    settings = f"Preset `{asked['preset']}`, {asked['mixtures']} mixtures of each source, seed {asked['seed']}"
    text.append(f"{settings}. Bold: beats energy; in brackets: 95 % interval.\n")
    for score, words in SCORES.items():
        text += [f"### {words}\n", page_table(folder / SCOREBOARD, score)]
    text += ["### Cases\n", "| cases | kind | tried | judged | not predicted | predicted without it, too | no place |"]
    text.append("|---|---|---|---|---|---|---|")
    names = ("family", "kind", "tried", "judged", "not_predicted", "elsewhere", "no_place")
    text += ["| " + " | ".join(str(tally[name]) for name in names) + " |" for tally in asked["tallies"]]
    text += ["", *(f"- {note}" for note in asked["notes"]), f"<!-- end {title} -->"]
    return "\n".join(text) + "\n"


def put(page: str, title: str, text: str) -> str:
    """Return a page with a section replaced, or added at its end."""
    begin, end = f"<!-- begin {title};", f"<!-- end {title} -->\n"
    if begin in page and end in page:
        before, after = page.split(begin, 1)[0], page.split(end, 1)[1]
        return before + text + after
    return page.rstrip("\n") + "\n\n" + text


def page_table(scoreboard_csv: Path, score_name: str = MAIN_SCORE) -> str:
    """Return a Markdown table of a written scoreboard: a row a method, a column a family, best first.

    Parameters
    ----------
    scoreboard_csv
        As :func:`write` wrote it.
    score_name
        Which score.
    """
    rows = [row for row in files.read_csv(scoreboard_csv) if row["kind"] == ALL and row["score"] == score_name]
    families = list(dict.fromkeys(row["family"] for row in rows))
    cells = {(row["method"], row["family"]): row for row in rows}
    order = sorted((row for row in rows if row["family"] == ALL), key=lambda row: -float(row["mean"]))
    counts = {family: max(int(row["cases"]) for row in rows if row["family"] == family) for family in families}
    header = ["method", *(f"{'all' if family == ALL else family} ({counts[family]})" for family in families)]
    text = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for row in order:
        name = f"*{row['method']}* (baseline)" if row["method"] in BASELINES else f"`{row['settings']}`"
        text.append(
            "| " + " | ".join([name, *(_page_cell(cells.get((row["method"], each))) for each in families)]) + " |"
        )
    return "\n".join(text) + "\n"


def _page_cell(row: dict[str, str] | None) -> str:
    if row is None or not row["mean"]:
        return ""
    mean = f"{float(row['mean']):.2f}"
    words = f"**{mean}**" if row["beats_energy"] == "yes" and row["method"] not in BASELINES else mean
    return words + (f" ({float(row['low']):.2f} to {float(row['high']):.2f})" if row["low"] else "")


def main(arguments: list[str]) -> int:
    """Write the section that the command line names."""
    if len(arguments) != 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    title, folder = arguments
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# The scoreboard\n"
    files.write_text(PAGE, put(page, title, section(title, Path(folder))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
