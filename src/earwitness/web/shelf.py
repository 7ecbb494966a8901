"""Maps that are kept in a folder: found by what they explain, added to, and never made twice."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.explainers.attribution import Attribution, saved_metadata, saved_name
from earwitness.explainers.parameters import spec
from earwitness.explainers.registry import METHODS

WHOLE = "whole"
SAME_MOMENT = 1e-3  # seconds within which two maps are of one segment
_WHOLE_MARK = "__whole"


@dataclass(frozen=True, kw_only=True)
class HeldMap:
    """A map on the shelf, as far as its file says without its arrays.

    Parameters
    ----------
    id
        Opaque, the same as long as the file is there.
    path
        The file.
    recording
        Name of what it is of.
    start_seconds
        Where its segment begins.
    target
        What it explains, in words.
    method
        With its settings, as one writes it.
    level
        Its verdict's; None where there is none.
    whole
        Whether it is of all of the recording.
    """

    id: str
    path: Path
    recording: str
    start_seconds: float
    target: str
    method: str
    level: str | None
    whole: bool


class Shelf:
    """The maps in a folder, which need not exist yet; several threads may use one.

    Parameters
    ----------
    folder
        ``attributions`` of a run, say.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, tuple[tuple[int, int], HeldMap | None]] = {}

    def all(self) -> list[HeldMap]:
        """Return all maps; files that are new or have changed since are read."""
        with self._lock:
            there: dict[str, tuple[tuple[int, int], HeldMap | None]] = {}
            for path in sorted(self._folder.glob("*.npz")):
                status = path.stat()
                stamp = (status.st_mtime_ns, status.st_size)
                known = self._known.get(path.name)
                there[path.name] = known if known and known[0] == stamp else (stamp, _held(path))
            self._known = there
            return [found for _, found in there.values() if found is not None]

    def of(self, recording: str) -> list[HeldMap]:
        """Return the maps of a recording, in order of time."""
        mine = [each for each in self.all() if each.recording == recording]
        return sorted(mine, key=lambda each: (each.start_seconds, each.method, each.target))

    def find(
        self, recording: str, start_seconds: float, target: str, method: str, *, whole: bool = False
    ) -> HeldMap | None:
        """Return the map that answers a question; None where nobody asked before."""
        for each in self.of(recording):
            same = each.target == target and (whole if each.whole else not whole and each.method == method)
            if same and abs(each.start_seconds - start_seconds) < SAME_MOMENT:
                return each
        return None

    def named(self, name: str) -> HeldMap | None:
        """Return a map by its id; None where there is none."""
        return next((each for each in self.all() if each.id == name), None)

    def put(self, found: Attribution, method: str, *, whole: bool = False) -> HeldMap:
        """Keep a map; the same question's earlier one is replaced.

        Parameters
        ----------
        found
            The map, whose ``file`` names the recording.
        method
            As one writes it, such as ``"lime:samples=512"``.
        whole
            Whether it is of all of the recording.

        Raises
        ------
        EarwitnessError
            The folder cannot be written to.
        """
        path = self._folder / f"{saved_name(found, method)}{_WHOLE_MARK if whole else ''}.npz"
        try:
            found.save(path)
        except OSError as error:
            raise EarwitnessError(f"the map cannot be kept ({error.strerror}); free its folder") from error
        kept = self.named(_id(path))
        assert kept is not None
        return kept


def _id(path: Path) -> str:
    return hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _held(path: Path) -> HeldMap | None:
    metadata = saved_metadata(path)
    if metadata is None:
        return None
    verdict = metadata.get("verdict")
    return HeldMap(
        id=_id(path),
        path=path,
        recording=str(metadata.get("file", "")),
        start_seconds=float(metadata.get("start_seconds", 0.0)),
        target=str(metadata["target_label"]),
        method=spec_of(metadata),
        level=verdict["level"] if isinstance(verdict, Mapping) else None,
        whole=path.stem.endswith(_WHOLE_MARK),
    )


def spec_of(metadata: Mapping[str, Any]) -> str:
    """Return a stored map's method as one writes it; its name alone where this version cannot make it."""
    name = str(metadata["method"])
    try:
        return spec(METHODS[name](**_hashable(metadata["parameters"])))
    except (KeyError, TypeError, UsageError):  # another's method, or a setting of another version
        return name


def _hashable(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in parameters.items()}
