"""Labelled recordings: the nouns, and a data set without what cannot be used."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from earwitness.audio.decoding import Facts
from earwitness.core.brief import brief
from earwitness.core.errors import BadRecordingError, UsageError, printable
from earwitness.core.files import write_csv

# As the ESC data sets name their clips: FOLD-SOURCE-TAKE.ogg, and in ESC-50 FOLD-SOURCE-TAKE-CLASS.wav.
TELLING_NAME = re.compile(r"(?P<fold>\d+)-(?P<source>\d+)-(?P<take>[A-Z]+)(?:-\d+)?")
MOST_FOLDS = 20
HALVES_OF_THE_DAY = frozenset({"AM", "PM"})


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

    @classmethod
    def of(cls, error: BadRecordingError) -> Unusable:
        """Return what an error says, file and reason apart."""
        return cls(str(error).removesuffix(f": {error.reason}"), error.reason)


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
    from_names
        Which of ``"fold"`` and ``"group"`` were read from the names, and stand nowhere else.
    notes, warnings
        What a user should know of how these recordings were found, in plain sentences; what is a note is no fault.
    """

    root: Path
    recordings: tuple[Recording, ...]
    classes: tuple[str, ...]
    unusable: tuple[Unusable, ...] = ()
    facts: tuple[Facts, ...] = ()
    from_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    __repr__ = brief

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
    left = replace(dataset, recordings=tuple(kept), unusable=tuple(sorted_unusable(unusable)), facts=tuple(facts))
    return told_by_names(left)


def told_by_names(dataset: DataSet) -> DataSet:
    """Fill in group and fold from the names, if every name tells them, nothing else does, and they can be meant so."""
    recordings = dataset.recordings
    told = [TELLING_NAME.fullmatch(recording.path.stem) for recording in recordings]
    unknown = tuple(name for name in ("fold", "group") if all(getattr(each, name) is None for each in recordings))
    if not all(told) or why_no_folds(recordings):
        return dataset
    if "fold" in unknown and not _in_most_classes([match["fold"] for match in told if match], recordings):
        unknown = tuple(name for name in unknown if name != "fold")  # sources are true all the same
    if not unknown:
        return dataset
    filled = [
        replace(
            recording,
            group=match["source"] if "group" in unknown and match else recording.group,
            fold=match["fold"] if "fold" in unknown and match else recording.fold,
        )
        for recording, match in zip(recordings, told, strict=True)
    ]
    return replace(dataset, recordings=tuple(filled), from_names=(*dataset.from_names, *unknown))


def _in_most_classes(folds: Sequence[str], recordings: Sequence[Recording]) -> bool:
    """Tell whether each fold holds recordings of most classes, so that holding it out measures these."""
    holds: dict[str, set[str]] = defaultdict(set)
    for fold, recording in zip(folds, recordings, strict=True):
        holds[fold].add(recording.label)
    classes = {recording.label for recording in recordings}
    return all(2 * len(labels) > len(classes) for labels in holds.values())


def why_no_folds(recordings: Sequence[Recording]) -> str:
    """Return why names that could be read as FOLD-SOURCE-TAKE are not meant so; nothing if they may be.

    Dates and times look alike (``20240501-050000-A``, ``5-17-PM``), but months and days are no folds: there are 2 to 20
    of these, with small numbers, and few sources lie in several of them.
    """
    told = [(recording, TELLING_NAME.fullmatch(recording.path.stem)) for recording in recordings]
    read = [(recording.label, match["fold"], match["source"], match["take"]) for recording, match in told if match]
    if {take for *_, take in read} <= HALVES_OF_THE_DAY:
        return "AM and PM are halves of the day"
    folds = sorted({fold for _, fold, _, _ in read}, key=int)
    if int(folds[-1]) > MOST_FOLDS:
        return f"{folds[-1]} is too large for the number of a fold"
    if len(folds) < 2:
        return f"there would be one fold only ({folds[0]})"
    lies: dict[str, set[str]] = defaultdict(set)
    for _, fold, source, _ in read:
        lies[source].add(fold)
    several = sum(len(each) > 1 for each in lies.values())
    if 2 * several > len(lies):
        return f"{several} of {len(lies)} sources would lie in several folds"
    return ""


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
