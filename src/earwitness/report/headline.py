"""The report's answer: how good the classifier is, what goes wrong, and why, in a few sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from earwitness.core.arrays import BoolArray, Float64Array
from earwitness.models.prediction import Predictions
from earwitness.report.causes import HALF_SILENT
from earwitness.training.metrics import Confusion, Metrics
from earwitness.trust.audit.effects import Audit

MOST_CONFUSIONS = 3
DASH = "\N{EN DASH}"


def headline(
    measured: Metrics, predictions: Predictions | None = None, audit: Audit | None = None, *, trained: bool = True
) -> dict[str, Any]:
    """Return the answer, the numbers that matter most, and what they mean, in sentences.

    Parameters
    ----------
    measured
        Of the run.
    predictions
        Of the run; where they know how much of each segment is silent, that is told of those misclassified.
    audit
        Of the run, if there was one.
    trained
        Whether the run trained the classifier, and kept these recordings out of it.

    Returns
    -------
    ``lead`` (the answer in a sentence or two), ``numbers``, ``others`` (what else was found, a sentence each) and
    ``sentences`` (how certain the numbers are).
    """
    files = measured.files
    right = round(measured.file_accuracy * files)
    low, high = measured.intervals.file_accuracy
    confidence = f"{100 * measured.confidence:g}\N{NARROW NO-BREAK SPACE}%"
    kept_out = " that were kept out of the training" if trained else ""
    sentences = [
        f"Of {files} recordings{kept_out}, {right} were predicted right by most votes of "
        f"their segments. Recordings of the same kind would be predicted right between {percent(low)} and "
        f"{percent(high)} of the time ({confidence} interval; it counts recordings, as segments of one recording are "
        "not independent)."
    ]
    by_segment = {name: each.segments for name, each in measured.per_class.items()}
    # A class without a recording to measure on did not do badly: it was not measured.
    scored = {name: each.f1 for name, each in by_segment.items() if each.f1 is not None and each.support}
    if len(scored) > 1:
        best, worst = max(scored.values()), min(scored.values())
        sentences.append(
            f"It recognises {_those(scored, best)} best (F1 {percent(best)}, by segment) "
            f"and {_those(scored, worst)} worst ({percent(worst)})."
            if best > worst
            else f"It recognises all classes alike (F1 {percent(best)}, by segment)."
        )
    ties = len(measured.ties)
    if ties:
        sentences.append(f"{ties} {_plural(ties, 'vote')} ended in a tie, which the higher mean score decided.")
    numbers = [
        (percent(measured.segment_accuracy), "of segments right", f"{measured.segments} segments"),
        (
            percent(measured.file_accuracy),
            "of recordings right",
            f"by most votes; {percent(low)} to {percent(high)}",
        ),
        (percent(measured.file_accuracy_mean_score), "of recordings right", "by mean score"),
    ]
    first, *others = _confusions(measured.confusion, predictions)
    others += _silent_altogether(predictions)
    if audit is not None:
        asked = f"The audit scored {audit.files} recordings again without what is not their sound."
        others.append(f"{asked} {audit.summary()}")
    return {
        "lead": f"{right} of {files} recordings are predicted right. {first}",
        "numbers": numbers,
        "others": others,
        "sentences": sentences,
    }


def percent(share: float | None) -> str:
    """Return a share as text, such as ``85.1 %``; a dash where it is not defined."""
    return DASH if share is None else f"{100 * share:.1f}\N{NARROW NO-BREAK SPACE}%"


def ranked_pairs(confusion: Confusion) -> list[tuple[int, str, str]]:
    """Return (segments, true class, predicted class) of all confusions, the largest first."""
    classes, counts = confusion.classes, np.array(confusion.segments)
    found = [(int(counts[row, column]), int(row), int(column)) for row, column in np.argwhere(counts) if row != column]
    return [(count, classes[row], classes[column]) for count, row, column in sorted(found, key=lambda each: -each[0])]


def _confusions(confusion: Confusion, predictions: Predictions | None) -> Iterator[str]:
    """Yield a sentence for each of the largest confusions of segments, or that there is none."""
    pairs = ranked_pairs(confusion)
    if not pairs:
        yield "No segment was misclassified."
    for number, (count, true, predicted) in enumerate(pairs[:MOST_CONFUSIONS]):
        said = f"{true} is taken for {predicted}: {count} {_plural(count, 'segment')}"
        said += _recordings_of(predictions, true, predicted)
        silent = _silent_of(predictions, true, predicted)
        yield ("" if number else "Most often, ") + said + (f"; of these segments, {silent}." if silent else ".")


def _recordings_of(predictions: Predictions | None, true: str, predicted: str) -> str:
    """Say of how many recordings the segments of a confusion are, where that is known."""
    if predictions is None:
        return ""
    count = len(np.unique(predictions.recording[_mistaken(predictions, true, predicted)]))
    return f" of {count} {_plural(count, 'recording')}"


def _mistaken(predictions: Predictions, true: str, predicted: str) -> BoolArray:
    """Return which segments of a class were predicted as another."""
    classes = predictions.classes
    of_true = predictions.segment_labels == classes.index(true)
    return np.asarray(of_true & (predictions.predicted == classes.index(predicted)))


def _silent_of(predictions: Predictions | None, true: str, predicted: str) -> str:
    """Say how many segments of a confusion are silent; nothing where none is, or that is not known."""
    if predictions is None or predictions.silent is None:
        return ""
    return _counted(predictions.silent[_mistaken(predictions, true, predicted)])


def _silent_altogether(predictions: Predictions | None) -> Iterator[str]:
    """Say how many of all segments and of those misclassified are silent, where that is known."""
    if predictions is None or predictions.silent is None:
        return
    right = predictions.predicted == predictions.segment_labels
    mostly = predictions.silent >= HALF_SILENT
    if not (count := int(mostly.sum())):
        yield f"All {len(mostly)} segments hold sound: none is so much as half silent."
        return
    yield (
        f"Of all {len(mostly)} segments, {_counted(predictions.silent)}; predicted right of these: "
        f"{int(right[mostly].sum())} of {count}{_taken_for(predictions, predictions.silent == 1.0)}."
    )
    shares = predictions.silent[~right]
    if silent := _counted(shares):
        yield f"Of all {len(shares)} misclassified segments, {silent}: there is little or nothing in them to recognise."
    elif len(shares):
        yield "None of the misclassified segments is so much as half silent."


def _taken_for(predictions: Predictions, wholly: BoolArray) -> str:
    """Say what segments without any sound are predicted as most often, where there are several."""
    total = int(wholly.sum())
    if total < 2:
        return ""
    counts = np.bincount(predictions.predicted[wholly], minlength=len(predictions.classes))
    best = int(counts.argmax())
    return f"; of the {total} without any sound, {int(counts[best])} were predicted as {predictions.classes[best]}"


def _counted(shares: Float64Array) -> str:
    """Say how many segments are silent, wholly and at least by half, from the share of each that is."""
    wholly = int((shares == 1.0).sum())
    mostly = int((shares >= HALF_SILENT).sum()) - wholly
    parts = [
        *([f"{wholly} {_are(wholly)} digital silence"] if wholly else []),
        *([f"{mostly} {'more ' if wholly else ''}{_are(mostly)} at least half silent"] if mostly else []),
    ]
    return " and ".join(parts)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _those(scored: Mapping[str, float], score: float) -> str:
    """Return the first class that has a score, and how many more have it."""
    first, *others = (name for name, each in scored.items() if each == score)
    return first if not others else f"{first} and {len(others)} {_plural(len(others), 'other')}"


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"
