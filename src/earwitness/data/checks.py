"""Data sets: find the recordings, decode each once, tell what they hold, split them. The door to this part.

:func:`load` finds labelled recordings, :func:`check` or :func:`for_each_recording` decodes them and moves what cannot
be used to ``unusable``, :func:`count_table`, :func:`findings` and :func:`duplicates` say what the data holds, and
:func:`split` and :func:`folds` divide it. The nouns live in :mod:`earwitness.data.recordings`, the splits in
:mod:`earwitness.data.splits`.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from earwitness.audio import decoding
from earwitness.audio.decoding import Facts
from earwitness.core.arrays import Float32Array
from earwitness.core.errors import BadRecordingError, UsageError
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.data.loading import COLUMNS, load
from earwitness.data.recordings import DataSet, Recording, Unusable, without
from earwitness.data.splits import KINDS, Split, default_kind, default_split, fold_names, folds, split

__all__ = [
    "COLUMNS",
    "KINDS",
    "CountRow",
    "DataSet",
    "Duplicates",
    "Recording",
    "Split",
    "Unusable",
    "check",
    "count_table",
    "default_kind",
    "default_split",
    "duplicate_warnings",
    "duplicates",
    "findings",
    "fold_names",
    "folds",
    "for_each_recording",
    "load",
    "split",
    "without",
]

# Shorter runs of zeros at the end occur by chance and in fades.
NOTABLE_SILENCE_SECONDS = 0.05

Result = TypeVar("Result")
Item = TypeVar("Item")


# ---- decoding every recording once -------------------------------------------------------------------------------


def check(
    dataset: DataSet,
    *,
    strict: bool = False,
    progress: Progress = NO_PROGRESS,
    workers: int | None = None,
    for_training: bool = True,
    edges: Sequence[float] = (),
) -> DataSet:
    """Decode every recording once, in bounded memory, and set aside those that cannot be used.

    Parameters
    ----------
    dataset
        As :func:`load` returned it.
    strict
        Stop at the first recording that cannot be used, in the data set's order (first those that
        :func:`load` already set aside).
    progress
        Told how far the work is; None says nothing.
    workers
        Threads; None takes as many as there are processors, at most 8.
    for_training
        Whether two classes with two recordings each must be left.
    edges
        Frequencies (Hz); the facts tell how much of the energy lies above them.

    Returns
    -------
    The usable recordings with their facts; the others in ``unusable``.

    Raises
    ------
    BadRecordingError
        With ``strict``.
    UsageError
        Too little is left to learn from.
    """
    checked, _ = _each(
        dataset,
        lambda recording: (None, decoding.inspect(recording.path, edges)),
        "Checking",
        strict,
        progress,
        workers,
        for_training,
    )
    return checked


def for_each_recording(
    dataset: DataSet,
    sample_rate: int | None,
    function: Callable[[Recording, Iterator[Float32Array]], Result],
    *,
    strict: bool = False,
    progress: Progress = NO_PROGRESS,
    workers: int | None = None,
    for_training: bool = True,
    edges: Sequence[float] = (),
    description: str = "Reading recordings",
) -> tuple[DataSet, list[Result]]:
    """Decode every recording once and hand it to a function, so that checking and features cost one decoding.

    Parameters
    ----------
    dataset
        As :func:`load` or :func:`check` returned it.
    sample_rate
        Hz to resample to; None keeps each file's own.
    function
        Called with each recording and its samples, block by block, in several threads at once; what it returns is
        kept, the samples are not. It may raise BadRecordingError to set a recording aside.
    strict, progress, workers, for_training, edges
        As for :func:`check`.
    description
        What ``progress`` calls the work.

    Returns
    -------
    The data set as :func:`check` would return it, and the results of its recordings, in their order.

    Raises
    ------
    BadRecordingError, UsageError
        As :func:`check`.
    """

    def decode(recording: Recording) -> tuple[Result, Facts]:
        return decoding.follow(recording.path, sample_rate, lambda blocks: function(recording, blocks), edges)

    return _each(dataset, decode, description, strict, progress, workers, for_training)


def _each(
    dataset: DataSet,
    decode: Callable[[Recording], tuple[Result, Facts]],
    description: str,
    strict: bool,
    progress: Progress,
    workers: int | None,
    for_training: bool,
) -> tuple[DataSet, list[Result]]:
    if strict and dataset.unusable:
        first = dataset.unusable[0]
        raise BadRecordingError(first.file, first.reason)

    def attempt(recording: Recording) -> tuple[Result, Facts] | BadRecordingError:
        try:
            return decode(recording)
        except BadRecordingError as error:
            return error

    bad: dict[int, str] = {}
    results: list[Result] = []
    facts: list[Facts] = []
    with progress.task(description, len(dataset.recordings)) as advance:
        for index, outcome in enumerate(_in_threads(attempt, dataset.recordings, workers)):
            if isinstance(outcome, BadRecordingError):
                if strict:
                    raise outcome
                bad[index] = outcome.reason
            else:
                results.append(outcome[0])
                facts.append(outcome[1])
            advance(1)
    return without(dataset, bad, facts, for_training=for_training), results


def _in_threads(function: Callable[[Item], Result], items: Iterable[Item], workers: int | None) -> Iterator[Result]:
    """Yield the results in the order of the items; when the caller stops early, nothing more is begun."""
    if workers is not None and workers < 1:
        raise UsageError(f"the number of workers must be at least 1, not {workers}")
    pool = ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1), thread_name_prefix="earwitness-decode")
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)


# ---- what the data holds -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CountRow:
    """One class of the count table; the times are None before the recordings were decoded.

    Parameters
    ----------
    label
        The class.
    files
        Its recordings.
    seconds, shortest, longest
        Their length together, the shortest's and the longest's (s).
    folds
        (fold, recordings in it), where folds are known.
    sources
        Different groups among them, None where groups are unknown.
    """

    label: str
    files: int
    seconds: float | None
    shortest: float | None
    longest: float | None
    folds: tuple[tuple[str, int], ...]
    sources: int | None


@dataclass(frozen=True)
class Duplicates:
    """Recordings that are the same.

    Parameters
    ----------
    indices
        Into the data set's recordings, two or more.
    same
        ``"bytes"`` for equal files, ``"sound"`` for different files that decode to equal samples.
    labels
        The labels they carry; more than one is a fault in the data.
    """

    indices: tuple[int, ...]
    same: str
    labels: tuple[str, ...]


def count_table(dataset: DataSet) -> tuple[CountRow, ...]:
    """Return a row for each class, in the order of the classes."""
    rows = []
    for label in dataset.classes:
        members = [index for index, recording in enumerate(dataset.recordings) if recording.label == label]
        seconds = [dataset.facts[index].seconds for index in members] if dataset.facts else []
        in_fold = Counter(dataset.recordings[index].fold for index in members)
        groups = {dataset.recordings[index].group for index in members} - {None}
        rows.append(
            CountRow(
                label=label,
                files=len(members),
                seconds=sum(seconds) if seconds else None,
                shortest=min(seconds, default=None),
                longest=max(seconds, default=None),
                folds=tuple((fold, in_fold[fold]) for fold in fold_names(dataset)),
                sources=len(groups) if groups else None,
            )
        )
    return tuple(rows)


def duplicates(dataset: DataSet) -> tuple[Duplicates, ...]:
    """Return the groups of equal recordings of a checked data set: first equal files, then only equal sound.

    A group of equal sound holds every recording with that sound, equal files among them too.
    """
    by_file: dict[str, list[int]] = defaultdict(list)
    by_sound: dict[str, list[int]] = defaultdict(list)
    for index, facts in enumerate(dataset.facts):
        by_file[facts.file_sha256].append(index)
        by_sound[facts.sound_sha256].append(index)
    same_bytes = [tuple(indices) for indices in by_file.values() if len(indices) > 1]
    same_sound = [tuple(indices) for indices in by_sound.values() if len(indices) > 1]
    kinds = [(indices, "bytes") for indices in same_bytes]
    kinds += [(indices, "sound") for indices in same_sound if indices not in set(same_bytes)]
    return tuple(
        Duplicates(indices, same, tuple(sorted({dataset.recordings[index].label for index in indices})))
        for indices, same in kinds
    )


def duplicate_warnings(dataset: DataSet, parts: Split | None = None) -> tuple[str, ...]:
    """Return one sentence for each group of equal recordings of a checked data set.

    Parameters
    ----------
    dataset
        As :func:`check` returned it.
    parts
        A split of it; with it, equal recordings on both of its sides are said to be so.
    """
    held = set(parts.validation) if parts is not None else set()
    sentences = []
    # What carries two labels is a fault of the data whatever the split, so it comes first.
    for group in sorted(duplicates(dataset), key=lambda group: len(group.labels) == 1):
        names = " = ".join(dataset.recordings[index].name for index in group.indices)
        sentence = f"{names} ({'the same file' if group.same == 'bytes' else 'the same sound'})"
        if len(group.labels) > 1:
            sentence += f", under different labels ({', '.join(group.labels)}): correct one"
        if parts is not None and 0 < len(held & set(group.indices)) < len(group.indices):
            sentence += ", on both sides of the split: the score will be too good"
        sentences.append(sentence)
    return tuple(sentences)


def findings(dataset: DataSet) -> tuple[str, ...]:
    """Return, in plain sentences, what a user should know about the recordings of a checked data set.

    Different lengths, digital silence at the end, mixed sample rates and channels; duplicates are told by
    :func:`duplicate_warnings`.
    """
    total = len(dataset.facts)
    if total == 0:
        return ()
    sentences = []
    lengths = [facts.seconds for facts in dataset.facts]
    ((usual, count),) = Counter(round(seconds, 2) for seconds in lengths).most_common(1)
    if count < total:
        spread = f"{min(lengths):.2f} to {max(lengths):.2f} s"
        sentences.append(f"{total - count} of {total} recordings are not {usual:.2f} s long ({spread})")
    silent = [facts.trailing_silence for facts in dataset.facts if facts.trailing_silence >= NOTABLE_SILENCE_SECONDS]
    if silent:
        spread = f"{min(silent):.2f} to {max(silent):.2f} s of it"
        sentences.append(f"{len(silent)} of {total} recordings end in digital silence ({spread})")
    for what, values in (
        ("sample rates", Counter(f"{facts.sample_rate:,} Hz" for facts in dataset.facts)),
        ("channels", Counter(str(facts.channels) for facts in dataset.facts)),
    ):
        if len(values) > 1:
            parts = ", ".join(f"{value} ({number})" for value, number in values.most_common())
            sentences.append(f"different {what}: {parts}; all are brought to one")
    return tuple(sentences)
