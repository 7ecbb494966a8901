"""What a run was trained on: ``recordings.csv`` in its folder, and which of other recordings are among them.

A score on recordings that were trained on is too good, whatever names they go by, so recordings are known by the hash
of their decoded sound. A run of version 0.1.0 kept names alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earwitness.core.errors import EarwitnessError, printable, said
from earwitness.core.files import read_csv, write_csv
from earwitness.data.recordings import DataSet
from earwitness.data.splits import Split

COLUMNS = ("file", "label", "group", "part", "sound_sha256")
TRAINING, VALIDATION = "training", "validation"


@dataclass(frozen=True)
class TrainedOn:
    """What a run knows of the recordings that it was trained on.

    Parameters
    ----------
    sounds, groups
        SHA-256 of their decoded sound, and what they were cut from; empty where the run does not know.
    names
        Their names.
    """

    sounds: frozenset[str]
    groups: frozenset[str]
    names: frozenset[str]

    def among(self, data: DataSet) -> tuple[list[int], list[int]]:
        """Return which recordings of a decoded data set were trained on, and which others share a group with those."""
        if self.sounds:
            same = [row for row, facts in enumerate(data.facts) if facts.sound_sha256 in self.sounds]
        else:
            same = [row for row, recording in enumerate(data.recordings) if recording.name in self.names]
        known = set(same)
        kin = [
            row
            for row, recording in enumerate(data.recordings)
            if row not in known and recording.group is not None and recording.group in self.groups
        ]
        return same, kin


def write(path: Path, data: DataSet, split: Split) -> None:
    """Write ``recordings.csv``: each recording of a decoded data set, and whether it is trained on or held out."""
    part = dict.fromkeys(split.train, TRAINING) | dict.fromkeys(split.validation, VALIDATION)
    write_csv(
        path,
        COLUMNS,
        [
            [recording.name, recording.label, recording.group or "", part.get(row, ""), data.facts[row].sound_sha256]
            for row, recording in enumerate(data.recordings)
        ],
    )


def read(path: Path, settings: Any) -> TrainedOn:
    """Return what a run was trained on.

    Parameters
    ----------
    path
        Its ``recordings.csv``, which need not be there.
    settings
        The content of its ``run.json``, which knows the names.

    Raises
    ------
    EarwitnessError
        A file is damaged.
    """
    try:
        rows = [row for row in read_csv(path) if row["part"] == TRAINING] if path.exists() else []
        return TrainedOn(
            frozenset(row["sound_sha256"] for row in rows),
            frozenset(row["group"] for row in rows if row["group"]),
            frozenset(settings["split"]["train"]),
        )
    except (KeyError, TypeError) as error:
        raise EarwitnessError(f"{printable(path.parent)}: does not say what was trained on ({said(error)})") from error


def sounds(path: Path) -> frozenset[str]:
    """Return the SHA-256 of each sound that a run was trained on, by its ``recordings.csv``, which need not be there.

    Raises
    ------
    EarwitnessError
        It is damaged.
    """
    return read(path, {"split": {"train": ()}}).sounds


def changed(path: Path, data: DataSet) -> list[str]:
    """Return the names of recordings whose sound or label is another than when ``recordings.csv`` was written."""
    before = {row["file"]: (row["label"], row["sound_sha256"]) for row in read_csv(path)}
    now = {
        recording.name: (recording.label, facts.sound_sha256)
        for recording, facts in zip(data.recordings, data.facts, strict=True)
    }
    return sorted(name for name, what in now.items() if name in before and before[name] != what)


def sentences(same: Collection[int], kin: Collection[int], total: int, trained: TrainedOn) -> tuple[str, ...]:
    """Return what a user must know of recordings that were trained on.

    Parameters
    ----------
    same, kin
        As :meth:`TrainedOn.among` returns them.
    total
        Recordings in all.
    trained
        Whose knowledge it is.
    """
    advice = "the score is too good; --leave-out-trained measures on the others alone"
    told = []
    if same:
        how = "by their sound" if trained.sounds else "by their names: the run knows no more"
        told.append(f"{len(same)} of {total} recordings were trained on ({how}): {advice}")
    if kin:
        told.append(f"{len(kin)} of {total} recordings share a group with recordings that were trained on: {advice}")
    return tuple(told)
