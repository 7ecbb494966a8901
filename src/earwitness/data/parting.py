"""A data set in several parts, class by class, by shares or by counts, as MATLAB's ``splitEachLabel`` makes them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from earwitness.core.errors import UsageError, no_such, printable
from earwitness.core.files import write_csv
from earwitness.data.loading import load
from earwitness.data.recordings import DataSet, Recording


def split_each_label(
    data: DataSet | Path | str,
    *sizes: float,
    seed: int | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    out: Path | str | None = None,
) -> list[DataSet]:
    """Part the recordings of every class alike; groups are not looked at, and those that are cut are counted.

    Parameters
    ----------
    data
        A folder with one folder a class, a CSV ``file,label[,group][,fold]``, or what was made of one.
    sizes
        The parts: shares of each class, which add up to 1 at most, or counts of its recordings. What is left of a class
        is one more part, where anything is left.
    seed
        Of the draw; None takes recordings in the order of their names.
    include, exclude
        Classes that are wanted, or not wanted; one of the two.
    out
        A CSV that is written: ``file,label[,group],fold``, where fold is the part, from 1. So
        ``earwitness train OUT --split fold --fold 2`` holds the second part out.

    Returns
    -------
    The parts in their order, each with all classes that are wanted; recordings in the order of their names.

    Raises
    ------
    UsageError
        The data cannot be used, a class is unknown, or sizes do not fit: shares beyond 1, shares and counts mixed, a
        class with too few recordings, which is named.

    Examples
    --------
    >>> import earwitness as ew
    >>> train, validation, test = ew.split_each_label("sounds", 0.5, 0.25, seed=1, exclude=["rain"], out="parts.csv")
    >>> train.classes, [len(part.recordings) for part in (train, validation, test)]
    (('dog', 'helicopter'), [6, 4, 2])
    """
    whole = _wanted(data if isinstance(data, DataSet) else load(data, for_training=False), include, exclude)
    _check_sizes(sizes)
    generator = None if seed is None else np.random.default_rng(seed)
    parts: list[list[Recording]] = [[] for _ in range(len(sizes) + 1)]
    for name in whole.classes:
        members = [each for each in whole.recordings if each.label == name]
        order = range(len(members)) if generator is None else generator.permutation(len(members)).tolist()
        ends = _ends(name, len(members), sizes)
        for part, start, end in zip(parts, [0, *ends], [*ends, len(members)], strict=True):
            part += [members[index] for index in sorted(order[start:end])]
    if not parts[-1]:
        parts.pop()
    warnings = (*whole.warnings, *_cut(parts))
    if out is not None:
        _write(Path(out), parts)
    return [replace(whole, recordings=tuple(part), facts=(), warnings=warnings) for part in parts]


def _wanted(whole: DataSet, include: Sequence[str], exclude: Sequence[str]) -> DataSet:
    if include and exclude:
        raise UsageError("include and exclude: name the classes that are wanted, or those that are not, not both")
    for name in (*include, *exclude):
        if name not in whole.classes:
            raise UsageError(no_such(name, "class", whole.classes))
    kept = tuple(name for name in whole.classes if (name in include if include else name not in exclude))
    if not kept:
        raise UsageError(f"{printable(whole.root)}: no class is left; exclude fewer")
    return replace(
        whole, classes=kept, recordings=tuple(each for each in whole.recordings if each.label in kept), facts=()
    )


def _check_sizes(sizes: Sequence[float]) -> None:
    """Refuse sizes that are neither all shares nor all counts."""
    counted = [isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in sizes]
    shared = [isinstance(size, float) and 0.0 < size < 1.0 for size in sizes]
    if not sizes or not (all(counted) or all(shared)):
        told = ", ".join(f"{size!r}" for size in sizes) or "none"
        raise UsageError(f"sizes {told}: give shares between 0 and 1, such as 0.6, or counts, such as 24, not both")
    if all(shared) and sum(sizes) > 1.0 + 1e-9:
        raise UsageError(f"shares {', '.join(f'{size:g}' for size in sizes)} are {sum(sizes):g} together; 1 is all")


def _ends(name: str, members: int, sizes: Sequence[float]) -> list[int]:
    """Return after how many of a class's recordings each part ends."""
    shares = isinstance(sizes[0], float)
    exact = np.cumsum(sizes) * (members if shares else 1)
    ends = [int(end) for end in np.floor(exact + 0.5 if shares else exact)]
    starts = [0, *ends[:-1]]
    if ends[-1] > members or any(start == end for start, end in zip(starts, ends, strict=True)):
        raise UsageError(
            f"class '{name}' has {members} recordings, which are too few for parts of "
            f"{', '.join(f'{size:g}' for size in sizes)}; ask for others, or exclude it"
        )
    return ends


def _cut(parts: Sequence[Sequence[Recording]]) -> tuple[str, ...]:
    """Return the warning that sources are cut, where they are known."""
    sides: dict[str, set[int]] = {}
    for number, part in enumerate(parts):
        for each in part:
            if each.group is not None:
                sides.setdefault(each.group, set()).add(number)
    cut = sorted(group for group, both in sides.items() if len(both) > 1)
    if not cut:
        return ()
    return (
        f"{len(cut)} of {len(sides)} sources ({', '.join(cut[:3])}{', ...' if len(cut) > 3 else ''}) are cut: parts of "
        "one recording lie in several parts, so a score will be too good; train --split group keeps them whole",
    )


def _write(out: Path, parts: Sequence[Sequence[Recording]]) -> None:
    grouped = any(each.group is not None for part in parts for each in part)
    rows = [
        [os.path.relpath(each.path, out.parent), each.label, *([each.group or ""] if grouped else []), number]
        for number, part in enumerate(parts, 1)
        for each in part
    ]
    write_csv(out, ["file", "label", *(["group"] if grouped else []), "fold"], rows)
