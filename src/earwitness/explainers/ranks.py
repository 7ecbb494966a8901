"""How alike two maps, or two series of scores, rank what they measure.

What tells nothing apart (constant, rounding apart) or holds a number that is none is like nothing, not even itself:
its correlation with anything is 0, never NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from earwitness.core.arrays import Float64Array
from earwitness.core.errors import EarwitnessError
from earwitness.core.statistics import ranks
from earwitness.explainers.attribution import is_constant

Map = npt.NDArray[np.floating[Any]]


def rank_correlation(a: Map, b: Map) -> float:
    """Return Spearman's rank correlation, -1 to 1, of two maps; cells that tie get the mean of their ranks.

    Maps of coarse methods are spread over the cells of the segment by nearest neighbour, so ties are common.

    Raises
    ------
    EarwitnessError
        If the shapes differ.
    """
    first, second = pair(a, b)
    return float(np.clip(standard_ranks(first) @ standard_ranks(second), -1.0, 1.0))


def standard_ranks(a: Map) -> Float64Array:
    """Return a map's ranks, shape (cells,), shifted and scaled to mean 0 and length 1; all 0 where it tells nothing.

    The rank correlation of two maps is the scalar product of theirs, so many pairs of maps need each map's ranks once.
    """
    values = np.asarray(a, dtype=np.float64)
    return standard_values(ranks(values)) if tells(values) else np.zeros(values.size)


def standard_values(a: Map) -> Float64Array:
    """Return a map's values, shape (cells,), shifted and scaled to mean 0 and length 1; all 0 where it tells nothing.

    The correlation of two maps is the scalar product of theirs.
    """
    values = np.asarray(a, dtype=np.float64)
    if not tells(values):
        return np.zeros(values.size)
    centred = values.ravel() - values.mean()
    return np.asarray(centred / np.linalg.norm(centred), dtype=np.float64)


def pair(a: Map, b: Map) -> tuple[Float64Array, Float64Array]:
    """Return two maps in float64.

    Raises
    ------
    EarwitnessError
        If the shapes differ.
    """
    if a.shape != b.shape:
        raise EarwitnessError(f"maps of {a.shape} and {b.shape} cells cannot be compared; make them of one segment")
    return np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)


def tells(values: Float64Array) -> bool:
    """Tell whether a map holds numbers only, and more than one, rounding apart."""
    # The measures are taken in float64, but a map's cells were worked out in float32: rounding is told by that.
    return bool(np.isfinite(values).all()) and not is_constant(values, len(values), 0.0)  # type: ignore[arg-type]
