"""What a mask must beat: patches of the same area that know nothing of the classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from earwitness.core.arrays import Float32Array, Float64Array

PROPORTIONS = 5  # of a patch, from as long as the stretch to as tall as all bands


def random_patch(shape: tuple[int, int], area: float, seed: int | Sequence[int]) -> Float32Array:
    """Return a rectangle of a share of all cells, anywhere, of any proportions: 1 in it and 0 elsewhere.

    Parameters
    ----------
    shape
        Frames and bands.
    area
        Over 0 to 1.
    seed
        One number or several.
    """
    drawn = np.random.default_rng(seed)
    rows, columns = _sides(shape, area, drawn.uniform())
    first, lowest = drawn.integers(0, shape[0] - rows + 1), drawn.integers(0, shape[1] - columns + 1)
    return _patch(shape, int(first), int(lowest), rows, columns, area)


def loudest_patch(energy: Float64Array, area: float) -> Float32Array:
    """Return the rectangle of a share of all cells, of several proportions, that holds most energy.

    Parameters
    ----------
    energy
        Shape (frames, bands), not negative.
    area
        Over 0 to 1.
    """
    found = [(*_loudest(energy, *sides), *sides) for sides in _proportions(energy.shape, area)]
    _, first, lowest, rows, columns = max(found)
    return _patch(energy.shape, first, lowest, rows, columns, area)


def band_pass(energy: Float64Array, area: float) -> Float32Array:
    """Return neighbouring bands over all frames, a share of all cells, those with most energy; as a patch."""
    frames, bands = energy.shape
    columns = _count(area * bands, bands)
    _, first, lowest = _loudest(energy, frames, columns)
    return _patch((frames, bands), first, lowest, frames, columns, area)


def _proportions(shape: tuple[int, ...], area: float) -> list[tuple[int, int]]:
    return list(dict.fromkeys(_sides(shape, area, part) for part in np.linspace(0, 1, PROPORTIONS)))


def _sides(shape: tuple[int, ...], area: float, part: float) -> tuple[int, int]:
    """Return frames and bands of a rectangle, from all bands (``part`` 0) to all frames (1)."""
    frames, bands = shape
    rows = _count(frames * area ** (1 - part), frames)
    return rows, _count(area * frames * bands / rows, bands)


def _count(wanted: float, most: int) -> int:
    return min(most, max(1, math.ceil(wanted - 1e-9)))


def _loudest(energy: Float64Array, rows: int, columns: int) -> tuple[float, int, int]:
    sums = np.pad(energy, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    inside = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
    first, lowest = np.unravel_index(int(inside.argmax()), inside.shape)
    return float(inside.max()), int(first), int(lowest)


def _patch(shape: tuple[int, ...], first: int, lowest: int, rows: int, columns: int, area: float) -> Float32Array:
    """Return a patch whose kept share is exact: sides are whole cells, and a too large patch is kept in part."""
    kept = np.zeros(shape, dtype=np.float32)
    kept[first : first + rows, lowest : lowest + columns] = min(1.0, area * kept.size / (rows * columns))
    return kept
