"""The nouns of a long recording's explanation: what each moment carries, and the moments that matter most."""

from __future__ import annotations

from dataclasses import dataclass

from earwitness.core.arrays import LogMel
from earwitness.explainers.attribution import Attribution
from earwitness.explainers.method import Explainer

MOST_MOMENTS = 6


@dataclass(frozen=True, kw_only=True)
class Moment:
    """An excerpt that was explained in detail.

    Parameters
    ----------
    start_frame
        Its first frame in the recording.
    log_mel
        Shape (frames, bands).
    map
        What hiding its cells takes from the mean score of the whole recording.
    middle_frame
        Where the mask over all bands lay that changed the mean score as much as at few other places.
    score, without
        Mean score of the segments that this mask touches, and what it becomes under the mask.
    """

    start_frame: int
    log_mel: LogMel
    map: Attribution
    middle_frame: float
    score: float
    without: float


@dataclass(frozen=True)
class Timeline:
    """What a method found over a long recording for one class.

    Parameters
    ----------
    method
        The explainer.
    overall
        What is lost when all bands of some time are hidden, or some bands of all time where the method asks for those.
        Its ``values`` are its ``native`` cells, and ``times`` and ``frequencies`` these cells' middles.
    moments
        The excerpts around the cells of the largest size, in order of time.
    """

    method: Explainer
    overall: Attribution
    moments: tuple[Moment, ...]
