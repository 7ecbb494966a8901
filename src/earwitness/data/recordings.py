"""Labelled recordings: the nouns, and a data set without what cannot be used."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from earwitness.audio.decoding import Facts
from earwitness.core.errors import UsageError, printable
from earwitness.core.files import write_csv

# As the ESC data sets name their clips: FOLD-SOURCE-TAKE.ogg, and in ESC-50 FOLD-SOURCE-TAKE-CLASS.wav.
TELLING_NAME = re.compile(r"(?P<fold>\d+)-(?P<source>\d+)-(?P<take>[A-Z]+)(?:-\d+)?")


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One labelled sound file.

    Parameters
    ----------
    path
        Where it lies.
    name
        Its path relative to the data set's root, with forward slashes; any CSV and any terminal can hold it.
    label
        Its class.
    group
        What it was cut from (for ESC the Freesound id); None where unknown. Groups are never cut by a grouped split.
    fold
        The data set's own fold; None where unknown.
    """

    path: Path
    name: str
    label: str
    group: str | None = None
    fold: str | None = None


@dataclass(frozen=True)
class Unusable:
    """A file that could not be used (its name relative to the root), and why."""

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Labelled recordings, sorted by class and then by name.

    Parameters
    ----------
    root
        The folder, or the folder of the CSV file.
    recordings
        What may be used.
    classes
        Class names; a recording's class number is its label's place here.
    unusable
        What may not, each with its reason.
    facts
        One for each recording once they have been decoded, before that empty.
    notes, warnings
        What a user should know of how these recordings were found, in plain sentences; what is a note is no fault.
    """

    root: Path
    recordings: tuple[Recording, ...]
    classes: tuple[str, ...]
    unusable: tuple[Unusable, ...] = ()
    facts: tuple[Facts, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The recordings' names."""
        return [recording.name for recording in self.recordings]

    def class_numbers(self) -> list[int]:
        """Return the class number of each recording."""
        numbers = {name: number for number, name in enumerate(self.classes)}
        return [numbers[recording.label] for recording in self.recordings]


def write_quarantine(path: Path, unusable: Iterable[Unusable]) -> None:
    """Write the recordings that could not be used, and why, as a CSV."""
    write_csv(path, ["file", "reason"], [[entry.file, entry.reason] for entry in unusable])


def without(
    dataset: DataSet, bad: dict[int, str], facts: Sequence[Facts] = (), *, for_training: bool = True
) -> DataSet:
    """Return the data set with some recordings moved to the unusable ones.

    Parameters
    ----------
    dataset
        The data set.
    bad
        Index of a recording -> why it cannot be used.
    facts
        One for each recording that stays.

    Raises
    ------
    UsageError
        Too little is left (see :func:`earwitness.data.loading.load`).
    """
    kept = [recording for index, recording in enumerate(dataset.recordings) if index not in bad]
    moved = [Unusable(dataset.recordings[index].name, reason) for index, reason in bad.items()]
    unusable = [*dataset.unusable, *moved]
    if for_training:
        occurring = sorted({recording.label for recording in dataset.recordings})
        check_enough(kept, occurring, unusable, dataset.root, (*dataset.notes, *dataset.warnings))
    return replace(
        dataset, recordings=tuple(told_by_names(kept)), unusable=tuple(sorted_unusable(unusable)), facts=tuple(facts)
    )


def told_by_names(recordings: list[Recording]) -> list[Recording]:
    """Fill in group and fold from the names, if every name tells them and nothing else does."""
    told = [TELLING_NAME.fullmatch(recording.path.stem) for recording in recordings]
    if not all(told):
        return recordings
    group_unknown = all(recording.group is None for recording in recordings)
    fold_unknown = all(recording.fold is None for recording in recordings)
    return [
        replace(
            recording,
            group=match["source"] if group_unknown and match else recording.group,
            fold=match["fold"] if fold_unknown and match else recording.fold,
        )
        for recording, match in zip(recordings, told, strict=True)
    ]


def check_enough(
    recordings: Sequence[Recording],
    classes: Sequence[str],
    unusable: Sequence[Unusable],
    root: Path,
    notes: Sequence[str] = (),
) -> None:
    """Raise UsageError unless there are two classes with two recordings each, the least that can be learnt from."""
    hint = f"; unusable: {unusable[0].file}: {unusable[0].reason}" if unusable else ""
    if len(unusable) > 1:
        hint += f", and {len(unusable) - 1} more"
    hint += "".join(f"; {note}" for note in notes)
    counts = Counter(recording.label for recording in recordings)
    if not counts:
        raise UsageError(f"{printable(root)}: has no usable recording{hint}")
    for name in classes:
        if counts[name] == 0:
            raise UsageError(
                f"{printable(root)}: class '{name}' has no usable recording; add two or more, or remove it{hint}"
            )
        if counts[name] == 1:
            raise UsageError(
                f"{printable(root)}: class '{name}' has one usable recording, but one to learn from and one to test "
                f"with are needed; add recordings or remove the class{hint}"
            )
    if len(classes) < 2:
        raise UsageError(
            f"{printable(root)}: has one class only ('{classes[0]}'); a classifier needs two or more{hint}"
        )


def sorted_unusable(unusable: Iterable[Unusable]) -> list[Unusable]:
    """Return them by file name."""
    return sorted(unusable, key=lambda entry: (entry.file, entry.reason))
