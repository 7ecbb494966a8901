"""Cases whose evidence is known: a segment, a target, and the cells on which the decision demonstrably rests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from earwitness.audio.segments import Segments
from earwitness.core.arrays import Float32Array, Float64Array, Samples
from earwitness.core.device import filled_up, to_numpy
from earwitness.explainers.attribution import Target
from earwitness.explainers.inference.prepared import working
from earwitness.explainers.inference.scoring import activated, as_input, batch_size, logits_of
from earwitness.models.protocols import Explainable
from earwitness.trust.metrics.localisation import evidence_share

LEAST_PROBABILITY = 0.2
MOST_RANK = 2
# Without its evidence, the target's probability must fall to this share of what it was, or the decision rests on
# something else, and a map that points elsewhere would be right.
MOST_LEFT = 0.5
SHARES = (0.01, 0.5)

NOT_PREDICTED = "not predicted"
ELSEWHERE = "predicted without it, too"
NO_PLACE = "evidence has no place"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One segment and one target, with the truth.

    Parameters
    ----------
    name
        Of the segment; the targets of one segment share it.
    kind
        What kind of case, such as ``"two events"``.
    log_mel, real_frames
        The segment, shape (frames, bands), float32, and its frames before any padding.
    target
        The class whose evidence is known.
    truth
        Shape (frames, bands), 0 to 1: the share of each cell that is the evidence's.
    without
        Shape (frames, bands): the segment with nothing changed but the evidence, which is gone.
    level_db
        Of the evidence over what sounds beside it; NaN where there is no such number.
    samples, samples_without
        For classifiers over waveforms, the segment's sound, shape (samples,), and without the evidence.
    """

    name: str
    kind: str
    log_mel: Float32Array
    real_frames: int
    target: Target
    truth: Float32Array
    without: Float32Array
    level_db: float = math.nan
    samples: Samples | None = None
    samples_without: Samples | None = None

    @property
    def share(self) -> float:
        """The share of the real cells that is the evidence's."""
        return evidence_share(self.truth, self.real_frames)


@dataclass(frozen=True)
class Checked:
    """A case as the classifier gets it.

    Parameters
    ----------
    case
        The case.
    probability, without
        The target's probability with the evidence and without it.
    reason
        Why a map cannot be judged by it; empty where it can.
    """

    case: Case
    probability: float
    without: float
    reason: str


def segments_of(cases: Sequence[Case]) -> Segments:
    """Return the cases' segments, one a case."""
    if not cases:
        return Segments(np.zeros((0, 1, 1), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64), ())
    sounds = [case.samples for case in cases if case.samples is not None]
    return Segments(
        np.stack([case.log_mel for case in cases]),
        np.zeros(len(cases), dtype=np.int64),
        np.array([case.real_frames for case in cases], dtype=np.int64),
        tuple(case.name for case in cases),
        np.stack(sounds) if sounds else None,
    )


def check(classifier: Explainable, cases: Sequence[Case]) -> list[Checked]:
    """Ask the classifier whether it predicts each case's target, and because of the evidence.

    A case can be judged if the target is among the two most probable classes with a probability of at least 0.2, if
    that falls to half or less without the evidence, and if the evidence covers 1 to 50 % of the cells.

    Parameters
    ----------
    classifier
        Whose maps are to be judged.
    cases
        Any, of segments of one length.
    """
    if not cases:
        return []
    predicted = probabilities(classifier, segments_of(cases).inputs)
    without = [case.without if case.samples_without is None else case.samples_without for case in cases]
    bare = probabilities(classifier, np.stack(without))
    found = []
    for case, scores, others in zip(cases, predicted, bare, strict=True):
        probability, left = float(scores[case.target.index]), float(others[case.target.index])
        found.append(Checked(case, probability, left, _reason(case, probability, left, scores)))
    return found


def _reason(case: Case, probability: float, left: float, scores: Float64Array) -> str:
    if not SHARES[0] <= case.share <= SHARES[1]:
        return NO_PLACE
    if probability < LEAST_PROBABILITY or int((scores > probability).sum()) >= MOST_RANK:
        return NOT_PREDICTED
    return ELSEWHERE if left > MOST_LEFT * probability else ""


def probabilities(classifier: Explainable, values: Float32Array) -> Float64Array:
    """Return class probabilities, shape (n, classes), of log-mels (n, frames, bands), or of samples (n, samples)."""
    size = batch_size(classifier, values.shape[1], math.prod(values.shape[2:]))
    with working(classifier) as prepared, torch.inference_mode():
        starts = range(0, len(values), size)
        parts = [as_input(prepared, values[start : start + size]) for start in starts]
        logits = [logits_of(prepared, filled_up(part))[: len(part)] for part in parts]
    return to_numpy(activated(torch.cat(logits), "probability", classifier.activation).double())
