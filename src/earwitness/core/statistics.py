"""Statistics, one function of each kind: intervals of shares and means, and the area under the ROC curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from earwitness.core.arrays import Float64Array

CONFIDENCE = 0.95
RESAMPLES = 2000  # of a bootstrap

Interval = tuple[float, float]  # its ends


def wilson_interval(right: int, total: int, confidence: float = CONFIDENCE) -> Interval:
    """Return the score interval of a proportion (Wilson, JASA 22, 1927, p. 209).

    Parameters
    ----------
    right, total
        Successes and trials; no trials give (0, 1).
    confidence
        Such as 0.95.
    """
    if total == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, weight = right / total, z * z / total
    middle, reach = share + weight / 2, z * math.sqrt((share * (1 - share) + weight / 4) / total)
    # The ends are exact where all or none are right; rounding must not put them beyond.
    low = 0.0 if right == 0 else (middle - reach) / (1 + weight)
    return low, 1.0 if right == total else (middle + reach) / (1 + weight)


def student_interval(shares: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Return Student's interval of a mean of shares, cut to 0..1; one share alone says nothing."""
    if len(shares) < 2:
        return 0.0, 1.0
    from scipy.special import stdtrit  # a fifth of a second, for cross-validations alone

    spread = float(np.std(shares, ddof=1)) / np.sqrt(len(shares))
    reach = float(stdtrit(len(shares) - 1, 0.5 + confidence / 2)) * spread
    return max(0.0, float(np.mean(shares)) - reach), min(1.0, float(np.mean(shares)) + reach)


def bootstrap_interval(values: Float64Array, seed: Sequence[int], confidence: float = CONFIDENCE) -> Interval:
    """Return the bootstrap interval of the mean of independent values.

    Source: Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, section 13.3 (percentiles).

    Parameters
    ----------
    values
        Shape (n,).
    seed
        Of the draws.
    confidence
        Such as 0.95.
    """
    draws = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    return _percentiles(values[draws].mean(axis=1), confidence)


def drawn_groups(groups: int, rng: np.random.Generator) -> Float64Array:
    """Return how often each group is drawn, shape (RESAMPLES, groups): the draws of :func:`grouped_interval`."""
    return rng.multinomial(groups, np.full(groups, 1 / groups), RESAMPLES).astype(np.float64)


def grouped_interval(
    sums: Float64Array, counts: Float64Array, draws: Float64Array, confidence: float = CONFIDENCE
) -> Interval:
    """Return the bootstrap interval of the mean of values that come in groups; whole groups are drawn.

    Values of one group are not independent. Means over the same draws are paired.

    Parameters
    ----------
    sums, counts
        Shape (groups,): the sum of each group's values, and how many they are.
    draws
        Shape (RESAMPLES, groups), from :func:`drawn_groups`; those that drew no value at all are left out.
    confidence
        Such as 0.95.
    """
    total = draws @ counts
    return _percentiles((draws @ sums)[total > 0] / total[total > 0], confidence)


def _percentiles(means: Float64Array, confidence: float) -> Interval:
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail]).tolist()
    return low, high


def area_under_roc(values: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """Return the chance that a positive one has a higher value than a negative one (Mann and Whitney's U).

    Parameters
    ----------
    values, positive
        Shape (n,), float and bool; ties count half. NaN where all are positive, or none is.
    """
    marked = np.asarray(positive, dtype=bool)
    positives = int(marked.sum())
    negatives = len(marked) - positives
    if not positives or not negatives:
        return math.nan
    wins = ranks(values)[marked].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * negatives))


def ranks(values: npt.ArrayLike) -> Float64Array:
    """Return each value's rank from 1 on, shape (n,); those that tie get the mean of theirs.

    ``scipy.stats.rankdata`` gives the same (the tests hold this to it), and takes half a second to import.

    Parameters
    ----------
    values
        Of any shape; looked at in C order. With a NaN among them, all ranks are NaN.
    """
    given = np.asarray(values).ravel()
    if np.isnan(given).any():
        return np.full(len(given), math.nan)
    _, places, counts = np.unique(given, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[places]
