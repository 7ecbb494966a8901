"""Which moments of a long recording are explained in detail: detections, or those at which the score changes most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earwitness.core.arrays import Float64Array
from earwitness.explainers.attribution import CONSTANT, Attribution
from earwitness.explainers.timeline import MOST_MOMENTS

MOMENT_SEGMENTS = 3  # length of a moment, at least


@dataclass(frozen=True)
class Place:
    """Where a class was detected.

    Parameters
    ----------
    first, end
        In frames of the recording.
    best
        The first frame of its best segment.
    """

    first: int
    end: int
    best: int


@dataclass(frozen=True)
class Peak:
    """A moment from its first frame to its end, of which target it is, and what the mask hides that counts there.

    ``row`` is the place of that mask among those that move over all of the recording, where it is one of these.
    """

    first: int
    target: int
    end: int
    hidden: tuple[float, float]
    row: int = -1
    detected: bool = False


def strongest(overall: Attribution, middles: Float64Array, length: int, target: int) -> list[Peak]:
    """Return moments of a length around the largest cells; none overlap."""
    found: list[Peak] = []
    sizes, half = np.abs(overall.native[:, 0]), overall.parameters["mask"][0] / 2
    for row in np.argsort(-sizes, kind="stable").tolist() if CONSTANT not in overall.flags else ():
        first = int(np.clip(middles[row] - length / 2, 0, overall.real_frames - length))
        if sizes[row] > 0 and all(abs(first - other.first) >= length for other in found):
            middle = float(middles[row])
            found.append(Peak(first, target, first + length, (middle - half, middle + half), row))
        if len(found) == MOST_MOMENTS:
            break
    return found


def detected(
    places: Sequence[Place], segment_frames: int, real_frames: int, longest: tuple[int, int], target: int
) -> list[Peak]:
    """Return moments around detections.

    Parameters
    ----------
    places
        The detections, the most important first; the first few are taken.
    segment_frames, real_frames
        Frames of a segment, and of the recording.
    longest
        Frames of a moment, and of what is hidden at once, at most.
    target
        Whose they are.
    """
    length = MOMENT_SEGMENTS * segment_frames
    most, most_hidden = (max(length, each) for each in longest)
    found = []
    for place in places[:MOST_MOMENTS]:
        middle = place.best + segment_frames // 2
        hidden = _around(middle, min(place.end - place.first, most_hidden), place.first, min(place.end, real_frames))
        size = int(np.clip(hidden[1] - hidden[0] + segment_frames, length, most))
        first, end = _around(middle if size == most else sum(hidden) // 2, size, 0, real_frames)
        found.append(Peak(first, target, end, hidden, detected=True))
    return found


def _around(middle: int, size: int, low: int, high: int) -> tuple[int, int]:
    """Return the edges of a stretch of a size around a middle, moved so that it lies between two limits if it can."""
    first = max(low, min(middle - size // 2, high - size))
    return first, min(first + size, high)
