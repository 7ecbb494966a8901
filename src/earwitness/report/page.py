"""The report: one HTML file about a run that needs nothing else, and no network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from earwitness.core import files, run_folder
from earwitness.core.locks import folder_held
from earwitness.explainers.findings import REGION_HEAD
from earwitness.inspection.questions import name_of_misclassified
from earwitness.plots import gallery
from earwitness.report.contents import gather
from earwitness.report.pictures import Picture, embed
from earwitness.report.players import Player, embed_sounds
from earwitness.sonify.masks import SHARE
from earwitness.trust.verdicts.judge import fitted
from earwitness.trust.verdicts.verdict import RELIABLE, WEAK


def build_report(run: Path | str, *, paths: bool = False) -> Path:
    """Write ``report.html`` from what a finished run folder holds.

    Measures are drawn anew; the pictures of inquiries are taken as they are. The same folder gives the same bytes.

    Parameters
    ----------
    run
        The run folder. Inquiries need not have been made.
    paths
        Whether the page gives absolute paths (data, weights, run) in full: without, it tells their last part only, and
        nothing of the folders of whoever made it.

    Returns
    -------
    The report's path.

    Raises
    ------
    UsageError
        It is not a finished run.
    EarwitnessError
        Something in the folder is missing or damaged.

    Examples
    --------
    >>> import earwitness as ew
    >>> ew.build_report("runs/demo").name
    'report.html'
    """
    folder = run_folder.open_finished(run)
    with folder_held(folder.path, instead=""):
        contents = gather(folder, paths=paths)
        gallery.add_measures(folder)
        entries = gallery.read(folder)
        pictures, players = embed(folder, entries), embed_sounds(folder, entries)
        shown = {each.entry.name for each in pictures}
        links = {row[0]: name for row in contents["wrong"].rows if (name := name_of_misclassified(row[0])) in shown}
        files.write_text(folder.report, _page({**contents, "links": links}, pictures, players))
    return folder.report


def _page(contents: Mapping[str, Any], pictures: Sequence[Picture], players: Mapping[str, Player]) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_part("report.html.j2"))
    # The page may run this script and no other; one that plays nothing has none.
    script = _part("players.js") if any(player.stretches for player in players.values()) else ""
    page = template.render(
        **contents,
        pictures=pictures,
        players=players,
        kept=f"{SHARE:.0%}",
        limits=[f"{fitted().limit(level)} %" for level in (RELIABLE, WEAK)],
        script=script,
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        region_head=REGION_HEAD,
        style=_part("report.css"),
    )
    return page.strip() + "\n"


def _part(name: str) -> str:
    return resources.files("earwitness.report").joinpath(name).read_text(encoding="utf-8")
