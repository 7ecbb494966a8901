"""Put a written scoreboard into ``docs/scoreboard.md``: one section a classifier, made from its tables.

``python tools/scoreboard.py TITLE FOLDER`` replaces the section of that title, or adds it at the page's end; what
stands outside the sections is left as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path

from earwitness.core import files
from earwitness.workflows.scoreboard import ASKED, SCOREBOARD, page_table

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
    text += ["### Cases\n", "| cases | kind | tried | judged | not heard | heard without it, too | no place |"]
    text.append("|---|---|---|---|---|---|---|")
    names = ("family", "kind", "tried", "judged", "unheard", "elsewhere", "no_place")
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
