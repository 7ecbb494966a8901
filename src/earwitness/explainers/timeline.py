"""The nouns of a long recording's explanation: what each moment carries, and the moments that matter most."""

from __future__ import annotations

from dataclasses import dataclass

from earwitness.core.arrays import Float64Array, LogMel
from earwitness.explainers.attribution import Attribution
from earwitness.explainers.method import Explainer

MOST_MOMENTS = 6


@dataclass(frozen=True)
class Pieces:
    """What is lost without each of the equally long pieces of a stretch.

    Parameters
    ----------
    edges
        Shape (pieces + 1,), in frames of the recording.
    lost
        Shape (pieces,): how far the mean score of the whole recording falls without all bands of each.
    """

    edges: Float64Array
    lost: Float64Array


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
    hidden
        First frame and end, in the recording, of the mask over all bands that counts here: a detection, or a place at
        which it changed the mean score as much as at few others.
    score, without
        Mean score of the segments that this mask touches, and what it becomes under the mask.
    pieces
        Of a detection, from coarse to fine: all of it, its halves, its quarters, as far as the method's own mask.
    """

    start_frame: int
    log_mel: LogMel
    map: Attribution
    hidden: tuple[float, float]
    score: float
    without: float
    pieces: tuple[Pieces, ...] = ()

    @property
    def middle_frame(self) -> float:
        """The middle of what is hidden."""
        return sum(self.hidden) / 2


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
