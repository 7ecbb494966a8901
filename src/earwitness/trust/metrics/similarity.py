"""How alike two maps are: by value, by rank, by structure, by where their strongest evidence lies.

Maps have the shape (frames, bands) and hold real frames only. A map that tells no cell from another (constant, rounding
apart) or holds a cell that is no number is like nothing, not even itself: every function gives 0 then, never NaN.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from earwitness.core.arrays import Float64Array
from earwitness.explainers.ranks import Map, pair, rank_correlation, standard_ranks, standard_values, tells

__all__ = ["correlation", "rank_correlation", "ssim", "standard_ranks", "standard_values", "top_overlap"]

# Wang et al. 2004, section III-C: a Gaussian window of 11 x 11 cells, standard deviation 1.5, and the two constants.
WINDOW = 11
SIGMA = 1.5
K1, K2 = 0.01, 0.03


def correlation(a: Map, b: Map) -> float:
    """Return Pearson's correlation, -1 to 1, of two maps' values.

    Cells in which nothing happens are next to zero in both and hardly count; by rank, they count as much as any.

    Raises
    ------
    EarwitnessError
        If the shapes differ.
    """
    first, second = pair(a, b)
    return float(np.clip(standard_values(first) @ standard_values(second), -1.0, 1.0))


def ssim(a: Map, b: Map) -> float:
    """Return the mean structural similarity, -1 to 1, of two maps.

    Wang, Bovik, Sheikh & Simoncelli, *Image Quality Assessment: From Error Visibility to Structural Similarity*, IEEE
    Transactions on Image Processing 13, 2004, section III-B, equation 13, averaged over all places where the window
    fits. The window is theirs, cut to the largest odd size that fits where a side is shorter than 11 cells. Both maps
    are laid on one scale from 0 to 1, which spans the cells of both, and their L is 1: the measure is for pictures,
    and two negative factors of signed maps would multiply to a likeness. Level and spread count, so maps in different
    units must be scaled first.

    Raises
    ------
    EarwitnessError
        If the shapes differ.
    """
    first, second = pair(a, b)
    if not (tells(first) and tells(second)):
        return 0.0
    low, high = min(first.min(), second.min()), max(first.max(), second.max())
    first, second = (first - low) / (high - low), (second - low) / (high - low)
    mean, other = _local(first), _local(second)
    variance, other_variance = _local(first**2) - mean**2, _local(second**2) - other**2
    covariance = _local(first * second) - mean * other
    level = (2 * mean * other + K1**2) / (mean**2 + other**2 + K1**2)
    structure = (2 * covariance + K2**2) / (variance + other_variance + K2**2)
    return float(np.mean(level * structure))


def top_overlap(a: Map, b: Map, share: float = 0.1) -> float:
    """Return which part, 0 to 1, of the strongest evidence of one map is strongest evidence of the other, too.

    The strongest cells are the ``share`` of all cells (at least one) with the largest signed values. Where more cells
    tie than there are places left, each gets the same part of a place; two maps have in common the smaller part that
    a cell has in either. So a map overlaps itself by 1 whatever its ties, and one without ties overlaps a random one
    by ``share`` on average.

    Raises
    ------
    EarwitnessError
        If the shapes differ.
    """
    first, second = pair(a, b)
    if not (tells(first) and tells(second)):
        return 0.0
    places = max(1, round(share * first.size))
    return float(np.minimum(_places(first, places), _places(second, places)).sum() / places)


def _local(values: Float64Array) -> Float64Array:
    """Return the mean under a Gaussian window at every place where the window fits."""
    for axis, length in enumerate(values.shape):
        radius = (min(WINDOW, length - 1 + length % 2) - 1) // 2
        window = np.exp(-0.5 * (np.arange(-radius, radius + 1) / SIGMA) ** 2)
        values = ndimage.correlate1d(values, window / window.sum(), axis=axis)
        values = np.take(values, np.arange(radius, length - radius), axis=axis)
    return values


def _places(values: Float64Array, places: int) -> Float64Array:
    """Return each cell's part of a place among the first ``places``, 0 to 1."""
    lowest = np.partition(values.ravel(), -places)[-places]
    above, tied = values > lowest, values == lowest
    return np.where(above, 1.0, tied * (places - above.sum()) / tied.sum())
