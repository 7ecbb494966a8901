"""How right a map is, where the truth is known: scores of a signed map against the cells that hold the evidence.

A cell is the evidence's where the truth mask is at least one half; so every score has its closed form: a map that
equals a mask of zeros and ones scores 1, its negative 0 (as long as the evidence is no more than half of all cells),
and a map of chance 0.5 in the area under ROC and the share of the evidence in the others. Ties, which coarse maps are
full of, count as the mean over every way of breaking them (in the area under precision-recall: as one step).

>>> import numpy as np
>>> mask = np.zeros((4, 3)); mask[1, 2] = 1.0
>>> scores(mask, mask).mass, scores(np.ones((4, 3)), mask).auroc
(1.0, 0.5)
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from earwitness.core.arrays import BoolArray, Float64Array
from earwitness.core.statistics import area_under_roc

EVIDENCE = 0.5  # a cell belongs to the evidence from this share of its energy on
# A frame (or band) belongs to the evidence where it holds at least this share of what the fullest frame (band) holds.
PROFILE = 0.5
ROUNDING = 9  # decimals of a profile, the strongest cell being 1: frames whose sums differ by rounding alone are tied
NAMES = ("pointing", "mass", "rank", "auroc", "auprc")


@dataclass(frozen=True, kw_only=True)
class TruthScores:
    """How well a map finds the evidence: over cells, over frames alone, over bands alone. All 0 to 1, 1 is best.

    A score is NaN where the truth tells no cell (frame, band) from another: a constant hum has no moment.

    Parameters
    ----------
    pointing
        Pointing game: whether the strongest cell is the evidence's; among tied strongest cells, the share that is
        (Zhang et al., *Top-down Neural Attention by Excitation Backprop*, IJCV 2018, section 4.1).
    mass
        Relevance mass accuracy: the share of all positive values that lies on the evidence; 0 where none is positive
        (Arras, Osman & Samek, *CLEVR-XAI*, Information Fusion 81, 2022, section 3.4).
    rank
        Relevance rank accuracy: of the k strongest cells, the share that is the evidence's, where the evidence has k
        cells (the same).
    auroc, auprc
        Area under the curves of the receiver operating characteristic (the chance that a cell of the evidence ranks
        above another one) and of precision over recall (average precision).
    time_pointing, time_mass, time_rank, time_auroc, time_auprc
        The same over frames: the map's sum of positive values in each, against the frames with at least half as many
        cells of evidence as the fullest frame.
    band_pointing, band_mass, band_rank, band_auroc, band_auprc
        The same over bands.
    """

    pointing: float
    mass: float
    rank: float
    auroc: float
    auprc: float
    time_pointing: float
    time_mass: float
    time_rank: float
    time_auroc: float
    time_auprc: float
    band_pointing: float
    band_mass: float
    band_rank: float
    band_auroc: float
    band_auprc: float

    def as_dict(self) -> dict[str, float]:
        """Return the scores by name, in their order."""
        return asdict(self)


def scores(values: npt.NDArray[Any], truth: npt.NDArray[Any], real_frames: int | None = None) -> TruthScores:
    """Return how well a map finds the evidence.

    Parameters
    ----------
    values
        Shape (frames, bands): the signed map, largest where the evidence for the target is strongest.
    truth
        Shape (frames, bands), 0 to 1: the share of each cell that is the target's.
    real_frames
        Only so many frames, from the first, are looked at; the rest is padding. None takes all.

    Raises
    ------
    ValueError
        If the shapes differ or a value is not finite.
    """
    if values.shape != truth.shape or values.ndim != 2:
        raise ValueError(f"a map of shape {values.shape} cannot be held against a truth of shape {truth.shape}")
    real = slice(real_frames)
    shown = np.asarray(values[real], dtype=np.float64)
    if not np.isfinite(shown).all():
        raise ValueError("a map with values that are not finite cannot be ranked")
    mask = np.asarray(truth[real]) >= EVIDENCE
    positive = _scaled(shown)
    found = _all(shown.ravel(), mask.ravel())
    for axis, prefix in ((1, "time_"), (0, "band_")):
        sums = positive.sum(axis=axis).round(ROUNDING)
        found |= {prefix + name: score for name, score in _all(sums, profile(mask, axis)).items()}
    return TruthScores(**found)


def evidence_share(truth: npt.NDArray[Any], real_frames: int | None = None) -> float:
    """Return the share of the real cells that is the evidence's: what a map of chance scores in the pointing game."""
    real = np.asarray(truth[slice(real_frames)]) >= EVIDENCE
    return float(real.mean()) if real.size else 0.0


def profile(mask: BoolArray, axis: int) -> BoolArray:
    """Return which frames (``axis`` 1) or bands (``axis`` 0) of a mask (frames, bands) hold the evidence.

    They have at least half as many of its cells as the fullest one.
    """
    count = mask.sum(axis=axis)
    full = int(count.max(initial=0))
    return np.asarray((count > 0) & (count >= PROFILE * full))


def _all(values: Float64Array, mask: BoolArray) -> dict[str, float]:
    """Return the five scores of values (n,) against a mask (n,)."""
    if mask.all() or not mask.any():
        return dict.fromkeys(NAMES, math.nan)
    return {
        "pointing": float(mask[values == values.max()].mean()),
        "mass": mass(values, mask),
        "rank": rank(values, mask),
        "auroc": area_under_roc(values, mask),
        "auprc": auprc(values, mask),
    }


def mass(values: Float64Array, mask: BoolArray) -> float:
    """Return the share of the positive values (n,) that lies on a mask (n,); 0 where none is positive."""
    positive = _scaled(values)
    return float(positive[mask].sum() / positive.sum()) if positive.any() else 0.0


def _scaled(values: Float64Array) -> Float64Array:
    """Return the positive values over the largest, so that neither huge nor tiny maps leave the range of numbers."""
    positive = np.maximum(values, 0.0)
    largest = float(positive.max(initial=0.0))
    return positive / largest if largest > 0.0 else positive


def rank(values: Float64Array, mask: BoolArray) -> float:
    """Return the expected share of a mask's cells among as many strongest cells, ties broken evenly."""
    count = int(mask.sum())
    last = np.partition(values, len(values) - count)[len(values) - count]  # the weakest value that is still taken
    above, tied = values > last, values == last
    room = count - int(above.sum())
    return float((mask[above].sum() + room * mask[tied].mean()) / count)


def auprc(values: Float64Array, mask: BoolArray) -> float:
    """Return the average precision: precision at each distinct value, weighted by the recall gained there."""
    order = np.argsort(-values, kind="stable")
    hits, ordered = np.cumsum(mask[order]), values[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(values) - 1)
    found = hits[ends]
    gained = np.diff(found, prepend=0)
    return float((gained * found / (ends + 1)).sum() / hits[-1])
