"""Splits into training and validation that do not leak.

Cuts of one recording sound alike. If some are learnt from and others tested with, the score is too good, so a group
(what the cuts come from) stands on one side only, unless the user asks for a split that ignores groups; that one says
how many it cuts.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from earwitness.core.arrays import BoolArray, Float64Array, Int64Array
from earwitness.core.errors import UsageError, printable
from earwitness.data.recordings import TELLING_NAME, DataSet, Recording, why_no_folds

KINDS = ("order", "fold", "group", "random")
TRAIN_FRACTION = 0.8
DEFAULT_FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which recordings are learnt from and which are held out.

    Parameters
    ----------
    train, validation
        Indices into the data set's recordings, ascending; together they are all of them, once.
    kind
        One of :data:`KINDS`.
    warnings
        What the user should know before believing the score.
    held_out
        The fold that is held out, where there are folds; otherwise empty.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    kind: str
    warnings: tuple[str, ...] = ()
    held_out: str = ""


def default_kind(dataset: DataSet) -> str:
    """Return the kind of split that leaks least: ``fold`` where folds are known, else ``group``, else ``order``."""
    if len(fold_names(dataset)) > 1:
        return "fold"
    return "group" if _groups_known(dataset) else "order"


def default_split(dataset: DataSet, *, seed: int = 0) -> Split:
    """Split as :func:`default_kind` says; of folds, the last is held out."""
    return split(dataset, seed=seed)


def split(
    dataset: DataSet,
    kind: str | None = None,
    *,
    fold: str | int | None = None,
    fraction: float = TRAIN_FRACTION,
    seed: int = 0,
) -> Split:
    """Split a data set into training and validation.

    Parameters
    ----------
    dataset
        The data set.
    kind
        ``"order"`` (the first part of each class, by file name), ``"fold"`` (one of the data's own folds is held
        out), ``"group"`` (whole groups, classes as even as the groups allow), ``"random"`` (of each class, seeded),
        or None for :func:`default_kind`; naming a fold without a kind asks for ``"fold"``.
    fold
        The fold to hold out; None holds out the last.
    fraction
        Part of each class to learn from, 0 < fraction < 1; the number is rounded class by class, and each side gets
        at least one recording.
    seed
        For ``"random"`` and ``"group"``; the same seed gives the same split.

    Raises
    ------
    UsageError
        Unknown kind or fold, folds or groups that are not known, or a class with nothing to learn from.
    """
    chosen = kind or ("fold" if fold is not None else default_kind(dataset))
    if chosen not in KINDS:
        raise UsageError(f"unknown split '{chosen}'; choose one of {', '.join(KINDS)}")
    if fold is not None and chosen != "fold":
        raise UsageError(f"a fold ({fold}) goes with the split 'fold', not with '{chosen}'; leave one of them out")
    if not 0.0 < fraction < 1.0:
        raise UsageError(f"--fraction {fraction:g}: the part to learn from must lie between 0 and 1")
    if chosen == "fold":
        return _hold_out_fold(dataset, fold)
    if chosen == "group":
        return _group_split(dataset, fraction, seed)
    held = _per_class(dataset, fraction, seed if chosen == "random" else None)
    return _split(dataset, held, chosen)


def folds(dataset: DataSet, k: int | None = None, *, seed: int = 0) -> list[Split]:
    """Split for cross-validation: each recording is held out exactly once.

    Parameters
    ----------
    dataset
        The data set.
    k
        Number of folds. None, or the number of the data's own folds, takes the data's own; without own folds None
        means 5. Otherwise folds are made: groups whole where they are known, classes as even as possible.
    seed
        For made folds.

    Raises
    ------
    UsageError
        ``k`` is under 2, or larger than the recordings (or groups) of some class.
    """
    own = fold_names(dataset)
    if len(own) > 1 and k in (None, len(own)):
        return [_hold_out_fold(dataset, name) for name in own]
    count = DEFAULT_FOLDS if k is None else k
    if count < 2:
        raise UsageError(f"cross-validation needs at least 2 folds, not {count}")
    grouped = _groups_known(dataset)
    groups = _group_numbers(dataset)
    labels = np.asarray(dataset.class_numbers())
    for number in np.unique(labels):
        most = len(np.unique(groups[labels == number]))
        if most < count:
            unit = "sources" if grouped else "recordings"
            raise UsageError(
                f"{count} folds are too many: class '{dataset.classes[number]}' has {most} {unit}; "
                f"ask for at most {most}, or add recordings"
            )
    sides = _assign(labels, groups, np.full(count, 1.0 / count), seed)
    kind = "group" if grouped else "random"
    return [_split(dataset, sides == number, kind, held_out=str(number + 1)) for number in range(count)]


def guesses(dataset: DataSet, split: Split, *, asked: bool = False) -> tuple[str, ...]:
    """Return in sentences what a split takes from recordings' names, and why it takes nothing from names that look so.

    Parameters
    ----------
    dataset, split
        The data set and a split of it.
    asked
        Whether somebody asked for this kind of split, who needs no advice on another one.
    """
    if split.kind in dataset.from_names:
        held_out = f": held out fold {split.held_out}" if split.kind == "fold" else ""
        advice = "" if asked else "; if they mean something else, --split order ignores them"
        return (f"names read as FOLD-SOURCE-TAKE{held_out}{advice}",)
    if dataset.from_names or _groups_known(dataset) or _folds_known(dataset) or _telling(dataset) != dataset.recordings:
        return ()
    return (f"names are not read as FOLD-SOURCE-TAKE, though they look so: {why_no_folds(dataset.recordings)}",)


def _telling(dataset: DataSet) -> tuple[Recording, ...]:
    """Return the recordings whose names could be read as FOLD-SOURCE-TAKE."""
    return tuple(each for each in dataset.recordings if TELLING_NAME.fullmatch(each.path.stem))


def fold_names(dataset: DataSet) -> tuple[str, ...]:
    """Return the data's own folds, numbers in the order of their value; empty where not every recording has one."""
    if not _folds_known(dataset):
        return ()
    names = {recording.fold for recording in dataset.recordings if recording.fold is not None}
    return tuple(sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))


# ---- the kinds ---------------------------------------------------------------------------------------------------


def _hold_out_fold(dataset: DataSet, fold: str | int | None) -> Split:
    names = fold_names(dataset)
    if not names:
        raise UsageError(
            f"{printable(dataset.root)}: folds are not known; add a column 'fold' to a CSV, name files "
            "FOLD-SOURCE-TAKE, or choose another split"
        )
    held_out = names[-1] if fold is None else str(fold)
    if held_out not in names:
        raise UsageError(f"{printable(dataset.root)}: no fold '{held_out}'; there are {', '.join(names)}")
    held = np.asarray([recording.fold == held_out for recording in dataset.recordings])
    return _split(dataset, held, "fold", held_out=held_out)


def _group_split(dataset: DataSet, fraction: float, seed: int) -> Split:
    if not _groups_known(dataset):
        raise UsageError(
            f"{printable(dataset.root)}: groups are not known; add a column 'group' to a CSV, name files "
            "FOLD-SOURCE-TAKE, or choose another split"
        )
    labels, groups = np.asarray(dataset.class_numbers()), _group_numbers(dataset)
    sides = _assign(labels, groups, np.asarray([fraction, 1.0 - fraction]), seed)
    _hold_out_every_class(labels, groups, sides)
    return _split(dataset, sides == 1, "group")


def _per_class(dataset: DataSet, fraction: float, seed: int | None) -> BoolArray:
    """Return which recordings are held out when each class is cut after ``fraction`` of it."""
    labels = np.asarray(dataset.class_numbers())
    held = np.zeros(len(labels), dtype=bool)
    generator = None if seed is None else np.random.default_rng(seed)
    for number in np.unique(labels):
        members = np.flatnonzero(labels == number)
        if generator is not None:
            members = generator.permutation(members)
        train = math.floor(fraction * len(members) + 0.5)
        held[members[min(max(train, 1), max(len(members) - 1, 1)) :]] = True
    return held


def _assign(labels: Int64Array, groups: Int64Array, shares: Float64Array, seed: int) -> Int64Array:
    """Give each recording a side, whole groups together, so that each class has its share on each side.

    The largest groups come first (equal ones in seeded order), each to the side where it brings the counts of its
    classes nearest to their shares; ties go to the side with the fewest recordings for its share.
    """
    counts = np.zeros((int(groups.max()) + 1, int(labels.max()) + 1))
    np.add.at(counts, (groups, labels), 1.0)
    totals = np.maximum(counts.sum(axis=0), 1.0)
    shuffled = np.random.default_rng(seed).permutation(len(counts))
    order = shuffled[np.argsort(-counts[shuffled].sum(axis=1), kind="stable")]
    have = np.zeros((len(shares), counts.shape[1]))
    side_of = np.zeros(len(counts), dtype=np.int64)
    for group in order:
        lack = have - shares[:, None] * totals
        cost = (((lack + counts[group]) ** 2 - lack**2) / totals**2).sum(axis=1)
        fill = have.sum(axis=1) / shares
        # Rounded, so that the last bit of a sum decides nothing.
        side = min(range(len(shares)), key=lambda index: (round(cost[index], 9), round(fill[index], 9), index))
        side_of[group] = side
        have[side] += counts[group]
    return side_of[groups]


def _hold_out_every_class(labels: Int64Array, groups: Int64Array, sides: Int64Array) -> None:
    """Move the smallest group of a class to validation where the class has none there and can spare one."""
    for number in np.unique(labels):
        member = labels == number
        if np.any(member & (sides == 1)):
            continue
        for group in sorted(np.unique(groups[member]), key=lambda index: (int((groups == index).sum()), int(index))):
            moved = groups == group
            left = (sides == 0) & ~moved
            if all(np.any(left & (labels == touched)) for touched in np.unique(labels[moved])):
                sides[moved] = 1
                break


# ---- putting together, and what must be said ---------------------------------------------------------------------


def _split(dataset: DataSet, held: BoolArray, kind: str, held_out: str = "") -> Split:
    labels = np.asarray(dataset.class_numbers())
    warnings = []
    where = f" (fold {held_out} held out)" if held_out else ""
    for number in np.unique(labels):
        name = dataset.classes[number]
        if np.all(held[labels == number]):
            raise UsageError(f"class '{name}' has no recording to learn from{where}; choose another split or add some")
        if not np.any(held[labels == number]):
            warnings.append(f"class '{name}' has no recording to test with{where}; its score cannot be measured")
    warnings += _leak_warnings(dataset, held, kind)
    train, validation = np.flatnonzero(~held).tolist(), np.flatnonzero(held).tolist()
    return Split(
        train=tuple(train), validation=tuple(validation), kind=kind, warnings=tuple(warnings), held_out=held_out
    )


def _leak_warnings(dataset: DataSet, held: BoolArray, kind: str) -> list[str]:
    sides: dict[str, set[bool]] = defaultdict(set)
    for recording, out in zip(dataset.recordings, held, strict=True):
        if recording.group is not None:
            sides[recording.group].add(bool(out))
    cut = sorted(group for group, both in sides.items() if len(both) > 1)
    warnings = []
    if cut:
        named = ", ".join(cut[:3]) + (", ..." if len(cut) > 3 else "")
        advice = "use the split 'group'" + ("" if kind == "fold" else " or 'fold'")
        if kind == "fold":
            what = "the names: they put" if "fold" in dataset.from_names else "the column 'fold': it puts"
            advice += f", or correct {what} parts of one source into several folds"
        warnings.append(
            f"this split cuts {len(cut)} of {len(sides)} sources ({named}): parts of one recording are learnt from and "
            f"tested with, so the score will be too good; {advice}"
        )
    if not sides:
        telling, total = _telling(dataset), len(dataset.recordings)
        others = total - len(telling)
        if others and 2 * len(telling) > total and not why_no_folds(telling):
            warnings.append(
                f"{others} of {total} names do not read FOLD-SOURCE-TAKE as the others do, so "
                "sources are not known and may be cut; rename these files, or give a CSV with a column 'group'"
            )
    return warnings


def _groups_known(dataset: DataSet) -> bool:
    return any(recording.group is not None for recording in dataset.recordings)


def _folds_known(dataset: DataSet) -> bool:
    return bool(dataset.recordings) and all(recording.fold is not None for recording in dataset.recordings)


def _group_numbers(dataset: DataSet) -> Int64Array:
    """Return a number for each recording's group; a recording without one is a group by itself."""
    numbers: dict[tuple[str, int], int] = {}
    keys = [
        ("", index) if recording.group is None else (recording.group, -1)
        for index, recording in enumerate(dataset.recordings)
    ]
    return np.asarray([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
