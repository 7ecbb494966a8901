"""Insertion and deletion: in which order cells are hidden or shown, and how areas under the curves are judged.

Petsiuk, Das & Saenko, *RISE: Randomized Input Sampling for Explanation of Black-box Models*, BMVC 2018, section 4.2.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from earwitness.core.arrays import Float32Array, Float64Array, Int64Array
from earwitness.explainers.attribution import Attribution

# Scores that differ by less are the same: float32 networks round here.
ROUNDING = 1e-6


# ---- orders -------------------------------------------------------------------------------------------------------


def blocks_of(attribution: Attribution) -> Int64Array:
    """Return which of the map's own cells each real cell of the segment lies in, shape (real frames, bands).

    Numbers run from 0 without gaps. A map whose own cells are no grid (superpixels) shows them by their values; where
    all of these are equal, each cell counts by itself.
    """
    real = attribution.values[: attribution.real_frames]
    if attribution.frame_edges.size:
        edges = attribution.frame_edges, attribution.band_edges
        rows, columns = (
            np.searchsorted(edge[1:-1], np.arange(length) + 0.5, side="right")
            for edge, length in zip(edges, real.shape, strict=True)
        )
        found = np.unique(rows[:, None] * len(edges[1]) + columns, return_inverse=True)[1].reshape(real.shape)
    else:
        found = np.unique(real, return_inverse=True)[1].reshape(real.shape)
    return found if real.size == 0 or found.max() > 0 else np.arange(real.size).reshape(real.shape)


@dataclass(frozen=True)
class Draws:
    """The random draws of one segment: the same for the same cells and seed, whatever stands beside it.

    Parameters
    ----------
    seed
        As the user gave it.
    mark
        What tells this segment from others.
    """

    seed: int
    mark: int

    @classmethod
    def of(cls, values: Float32Array, seed: int) -> Draws:
        """Return the draws for a log-mel segment (frames, bands)."""
        return cls(seed, zlib.crc32(np.ascontiguousarray(values).tobytes()))

    def generator(self, *purpose: int) -> np.random.Generator:
        """Return a new generator, which draws the same for the same purpose."""
        return np.random.default_rng([self.seed, self.mark, *purpose])

    def permutation(self, count: int, *purpose: int) -> Int64Array:
        """Return a random order of ``count`` things, the same for the same purpose."""
        return self.generator(*purpose).permutation(count)


def order_of(values: npt.NDArray[np.floating], blocks: Int64Array, draws: Draws) -> Int64Array:
    """Return each cell's rank, shape of ``values``, when cells are ordered by signed value, largest first.

    Ties are broken by random draws: first among blocks, which stay together, then among the cells of a block. So a
    map that is the same everywhere is a random order of its blocks.

    Parameters
    ----------
    values
        Shape (real frames, bands).
    blocks
        Shape (real frames, bands): :func:`blocks_of`.
    draws
        Of the segment.
    """
    count = int(blocks.max()) + 1 if blocks.size else 0
    among_blocks = draws.permutation(count, 0)[blocks.ravel()]
    order = np.lexsort([draws.permutation(blocks.size, 1), among_blocks, -values.ravel().astype(np.float64)])
    return _ranks(order).reshape(blocks.shape)


def random_orders(blocks: Int64Array, draws: Draws, orders: int) -> list[Int64Array]:
    """Return each cell's rank in random orders in which the blocks of a map stay together.

    The network takes many scattered cells that are hidden quite another way than one patch of the same area, so a
    coarse map must be held against random orders that are as coarse: the map's own cells, shuffled. Then every order
    of these is as likely as the map's own, if the map tells nothing. Within a block the order is that of
    :func:`order_of`.
    """
    labels = blocks.ravel()
    sizes = np.bincount(labels)
    by_block = np.lexsort([draws.permutation(labels.size, 1), labels])
    inside = _ranks(by_block) - (np.cumsum(sizes) - sizes)[labels]
    found = []
    for number in range(orders):
        order = draws.permutation(len(sizes), 2, number)
        starts = np.empty_like(sizes)
        starts[order] = np.cumsum(sizes[order]) - sizes[order]
        found.append((starts[labels] + inside).reshape(blocks.shape))
    return found


def _ranks(order: Int64Array) -> Int64Array:
    ranks = np.empty_like(order)
    ranks[order] = np.arange(order.size)
    return ranks


def block_means(values: npt.NDArray[np.floating], blocks: Int64Array) -> Float64Array:
    """Return each cell's mean over its block, shape of ``values``."""
    labels = blocks.ravel()
    sums = np.bincount(labels, weights=values.ravel().astype(np.float64))
    return (sums / np.bincount(labels))[labels].reshape(values.shape)


def shares(ranks: Int64Array, steps: int) -> Int64Array:
    """Return at which step, 1 to ``steps``, each cell's turn comes, when the ranks are dealt in equal shares."""
    return 1 + ranks * steps // max(1, ranks.size)


# ---- areas --------------------------------------------------------------------------------------------------------


def area(scores: npt.NDArray[np.floating]) -> float:
    """Return the area under a curve over 0 to 1 by the trapezoid rule; ``scores`` are evenly spaced."""
    return float((scores[1:] + scores[:-1]).mean(dtype=np.float64) / 2)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A deletion or insertion curve, and what it is held against.

    Parameters
    ----------
    scores
        Shape (steps + 1,): the target's score after each share was hidden (deletion) or shown (insertion), from none
        to all.
    area
        Under the curve; the hidden or shown share runs from 0 to 1. Small is good for deletion, large for insertion.
    normalised
        The area when the score of nothing is set to 0 and that of the whole segment to 1; None where the two do not
        differ.
    random_mean, random_std
        Of the areas of random orders of the map's own cells.
    energy
        Area of the order from the loudest of the map's own cells to the quietest.
    beats_random
        By how many standard deviations the area is better than a further random order is expected to be: Student's t
        with one degree of freedom less than there are random orders. About 0 for a map that tells nothing.
    beats_energy
        By how much the area is better than that of the energy order, in the unit of the score.
    """

    scores: Float64Array
    area: float
    normalised: float | None
    random_mean: float
    random_std: float
    energy: float
    beats_random: float
    beats_energy: float


def judged(scores: Float64Array, random_areas: Sequence[float], energy: float, *, insertion: bool) -> Curve:
    """Return a curve held against areas of random orders and of the energy order."""
    found, sign = area(scores), 1.0 if insertion else -1.0
    empty, whole = (scores[0], scores[-1]) if insertion else (scores[-1], scores[0])
    differ = abs(whole - empty) > ROUNDING
    mean, std = float(np.mean(random_areas)), float(np.std(random_areas, ddof=1))
    # Areas of orders that the network cannot tell apart differ by rounding, which must not look like a great success.
    expected = max(std, ROUNDING) * np.sqrt(1 + 1 / len(random_areas))
    return Curve(
        scores=scores,
        area=found,
        normalised=float((found - empty) / (whole - empty)) if differ else None,
        random_mean=mean,
        random_std=std,
        energy=energy,
        beats_random=float(sign * (found - mean) / expected),
        beats_energy=float(sign * (found - energy)) + 0.0,
    )
