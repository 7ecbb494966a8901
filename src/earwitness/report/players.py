"""Sounds inside the page, as data, within a budget, and where each is shown in its picture."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from earwitness.core.errors import EarwitnessError, printable
from earwitness.core.run_folder import RunFolder
from earwitness.plots.gallery import Entry
from earwitness.plots.panels import Panel
from earwitness.sonify.clips import ENDING, Played, read_clip

# Bytes of sounds in the page, before base64 adds a third: with the pictures' (pictures.BUDGET) it stays under 15 MB.
BUDGET = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Player:
    """What the page plays beside a picture.

    Parameters
    ----------
    panels
        Where the picture shows what.
    stretches
        The recordings or segments as JSON types, their sounds as base64; empty where there is nothing to play.
    absence
        Why sounds that should be there are not, in words.
    """

    panels: tuple[Panel, ...] = ()
    stretches: list[dict[str, Any]] = field(default_factory=list)
    absence: str = ""

    def content(self) -> dict[str, Any]:
        """Return what the page's script reads, as JSON types."""
        return {"panels": [asdict(panel) for panel in self.panels], "stretches": self.stretches}


def embed_sounds(run: RunFolder, entries: Sequence[Entry], budget: int = BUDGET) -> dict[str, Player]:
    """Return the entries' players by name; those whose sounds do not fit the budget any more say so.

    Parameters
    ----------
    run
        Whose ``sounds/`` holds them.
    entries
        In the order of the page.
    budget
        Bytes.

    Raises
    ------
    EarwitnessError
        A sound is damaged.
    """
    players: dict[str, Player] = {}
    for entry in entries:
        if not entry.sounds:
            players[entry.name] = Player()
            continue
        files = {name: run.sounds / _inside(name) for played in entry.sounds for name in _files(played)}
        folder = f"sounds/{PurePosixPath(entry.sounds[0].original).parent}"
        if not all(path.exists() for path in files.values()):
            players[entry.name] = Player(absence=f"The sounds in {folder} are missing; inquire again.")
            continue
        clips = {name: read_clip(path) for name, path in files.items()}
        size = sum(map(len, clips.values()))
        if size > budget:
            players[entry.name] = Player(absence=f"To keep this page small, its sounds lie in {folder}.")
            continue
        budget -= size
        coded = {name: base64.b64encode(data).decode("ascii") for name, data in clips.items()}
        stretches = [_stretch(played, coded) for played in entry.sounds]
        players[entry.name] = Player(panels=entry.panels, stretches=stretches)
    return players


def _files(played: Played) -> list[str]:
    return [played.original, *(name for each in played.maps for name in (each.kept, each.removed))]


def _inside(name: str) -> PurePosixPath:
    """Return a sound's place below the folder of sounds: the index may come with a run from elsewhere."""
    path = PurePosixPath(name)
    if len(path.parts) != 2 or ".." in path.parts or path.is_absolute() or path.suffix != ENDING:
        raise EarwitnessError(f"{printable(name)}: names no sound of the run; remove figures/index.json, inquire again")
    return path


def _stretch(played: Played, coded: dict[str, str]) -> dict[str, Any]:
    return {
        "title": played.title,
        "row": played.row,
        "start": round(played.start_seconds, 5),
        "seconds": round(played.end_seconds - played.start_seconds, 5),
        "original": coded[played.original],
        "maps": [
            {
                "title": each.title,
                "target": each.target,
                "place": each.place,
                "kept": coded[each.kept],
                "removed": coded[each.removed],
                "scores": each.scores,
            }
            for each in played.maps
        ],
    }
