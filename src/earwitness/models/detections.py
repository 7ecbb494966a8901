"""Detections: when a class sounds in a recording, told from the scores of its segments.

Segments overlap, so a moment is seen by several of them. The score of a moment is the mean over those; a detection is a
stretch of moments at which one class scores enough. A call of two seconds thus begins and ends where it does, and not a
segment earlier and later; what only one of four overlapping segments is predicted as is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from earwitness.core.arrays import BoolArray, Float64Array, Int64Array
from earwitness.models.prediction import ScoredRecording

# Least score of a moment. Where one class is right, it must also be the best: half is more than all others together.
# A tagger's classes do not compete, and its scores are lower: of ESC-10's dogs and roosters in two minutes of noise,
# AudioSet's tagger gives most 0.5 to 0.8 in its 10 s, and 0.3 to some.
THRESHOLDS = {"softmax": 0.5, "sigmoid": 0.3, "none": 0.3}
MOST_GAP = 1.0  # of a segment: a shorter gap between two detections of a class, with nothing else in it, is bridged
SAME_SOUND = 0.5  # share of the shorter one: detections that overlap by more tell of one sound
ROUNDING = 1e-9
COLUMNS = ("class", "start_second", "end_second", "highest_score", "mean_score", "segments")


@dataclass(frozen=True, kw_only=True)
class Detection:
    """A stretch of a recording at which a class was detected.

    Parameters
    ----------
    class_name
        The class.
    start_seconds, end_seconds
        Where it is.
    highest, mean
        Highest and mean score of its segments.
    segments
        How many segments have their middle in it; 1 where it is shorter than from one to the next.
    row
        The segment of the highest score, counted from 0.
    """

    class_name: str
    start_seconds: float
    end_seconds: float
    highest: float
    mean: float
    segments: int
    row: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end_seconds - self.start_seconds

    def as_row(self) -> dict[str, Any]:
        """Return the detection as a plain dictionary, such as a row of a pandas table."""
        values = (self.class_name, self.start_seconds, self.end_seconds, self.highest, self.mean, self.segments)
        return dict(zip(COLUMNS, values, strict=True))

    def overlaps(self, other: Detection) -> float:
        """Return the seconds that both share."""
        return max(0.0, min(self.end_seconds, other.end_seconds) - max(self.start_seconds, other.start_seconds))


def detect(scored: ScoredRecording, activation: str, *, threshold: float | None = None) -> tuple[Detection, ...]:
    """Return when which class sounds in a recording.

    Parameters
    ----------
    scored
        The recording, cut into segments, with their scores.
    activation
        Of the classifier: after ``"softmax"`` one class is right at a time, and a detection's class is the best one of
        each of its moments; after ``"sigmoid"`` several may be detected at once. A classifier without a class for noise
        names some class there, too: the detection's score tells how surely.
    threshold
        Least score of a moment, 0 to 1; None takes that of the activation (:data:`THRESHOLDS`).

    Returns
    -------
    In order of time; of several that begin together, the one of the highest score first.
    """
    least = THRESHOLDS[activation] if threshold is None else threshold
    edges, means = _moments(scored)
    enough = means >= least
    if activation == "softmax":
        enough &= np.arange(means.shape[1]) == means.argmax(axis=1)[:, np.newaxis]
    most_gap = MOST_GAP * scored.segment_frames
    found = [
        _detection(scored, index, edges[first], edges[end])
        for index in np.flatnonzero(enough.any(axis=0)).tolist()
        for first, end in _bridged(enough, index, edges, most_gap, alone=activation == "softmax")
    ]
    return tuple(sorted(found, key=lambda each: (each.start_seconds, -each.highest, each.class_name)))


def to_explain(detections: Sequence[Detection], most: int, short: float = 0.0) -> tuple[Detection, ...]:
    """Return the detections that are worth the time of an explanation.

    The best of each class come first, then the second best of each, by their highest scores. Of several classes found
    in one place (a tagger's dog is an animal, too), the first in this order alone is explained. A short one beside a
    surer one is left out: every segment that sees it sees the other one, too.

    Parameters
    ----------
    detections
        All of them.
    most
        How many at most.
    short
        Seconds up to which a detection is short: a segment's length where segments overlap.

    Returns
    -------
    At most so many, the most important first.
    """
    kept: list[Detection] = []
    for each in in_order_of_importance(detections):
        if len(kept) == most:
            break
        apart = all(each.overlaps(other) <= SAME_SOUND * min(each.seconds, other.seconds) for other in kept)
        if apart and not (each.seconds <= short + ROUNDING and _beside_a_surer_one(each, detections, short / 2)):
            kept.append(each)
    return tuple(kept)


def _beside_a_surer_one(one: Detection, detections: Sequence[Detection], near: float) -> bool:
    return any(
        other.class_name != one.class_name
        and other.highest > one.highest
        and other.start_seconds <= one.end_seconds + near
        and other.end_seconds >= one.start_seconds - near
        for other in detections
    )


def in_order_of_importance(detections: Sequence[Detection]) -> tuple[Detection, ...]:
    """Return detections in another order: the best of each class, then the second best of each, by highest scores."""
    ranked = sorted(detections, key=lambda each: (-each.highest, -each.segments, each.start_seconds))
    before: Counter[str] = Counter()
    turns = []
    for each in ranked:
        turns.append((before[each.class_name], each))
        before[each.class_name] += 1
    return tuple(each for _, each in sorted(turns, key=lambda turn: turn[0]))


def _moments(scored: ScoredRecording) -> tuple[Int64Array, Float64Array]:
    """Return the edges of moments in frames, shape (n + 1,), and each moment's mean scores, shape (n, classes).

    A moment lies between two edges of segments: the same segments see all of it.
    """
    starts = scored.start_frames
    ends = starts + scored.segment_frames
    edges = np.unique(np.concatenate([starts, ends]))
    first, end = np.searchsorted(ends, edges[:-1], "right"), np.searchsorted(starts, edges[:-1], "right")
    sums = np.concatenate([np.zeros((1, scored.scores.shape[1])), np.cumsum(scored.scores, axis=0)])
    return edges, (sums[end] - sums[first]) / (end - first)[:, np.newaxis]


def _bridged(
    enough: BoolArray, index: int, edges: Int64Array, most_gap: float, *, alone: bool
) -> Iterable[tuple[int, int]]:
    """Return the first moment and the end of each stretch of a class.

    Parameters
    ----------
    enough
        Shape (moments, classes): whether a class is detected.
    index
        The class.
    edges
        Of moments, in frames.
    most_gap
        Fewer frames between two stretches are bridged.
    alone
        Whether what is detected in a gap keeps the stretches apart.
    """
    found: list[tuple[int, int]] = []
    for first, end in _stretches(enough[:, index]):
        if found:
            gap = slice(found[-1][1], first)
            if edges[first] - edges[gap.start] < most_gap and not (alone and enough[gap].any()):
                first = found.pop()[0]
        found.append((first, end))
    return found


def _stretches(inside: BoolArray) -> Iterator[tuple[int, int]]:
    changes = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    return zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True)


def _detection(scored: ScoredRecording, index: int, first: int, end: int) -> Detection:
    """Return the detection of a class between two frames."""
    starts, length, column = scored.start_frames, scored.segment_frames, scored.scores[:, index]
    middles = starts + length / 2
    rows = np.flatnonzero((middles >= first) & (middles < end))
    if not len(rows):  # shorter than from one segment's middle to the next: the best of those that see it
        seeing = np.flatnonzero((starts < end) & (starts + length > first))
        rows = seeing[[column[seeing].argmax()]]
    start, stop = scored.clock.frame_start_seconds([first, end]).tolist()
    highest = float(column[rows].max())
    return Detection(
        class_name=scored.classes[index],
        start_seconds=start,
        # What lasts to the last frame lasts to the end of the recording, which need not be that of a frame.
        end_seconds=scored.seconds if end >= scored.real_frames else min(stop, scored.seconds),
        highest=highest,
        mean=min(float(column[rows].mean()), highest),  # in spite of the last bit of a sum
        segments=len(rows),
        row=int(rows[column[rows].argmax()]),
    )
