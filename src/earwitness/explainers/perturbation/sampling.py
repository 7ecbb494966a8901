"""Designs: which parts of a segment random perturbations keep, so that few passes tell the parts apart.

What two parts do together, and any even number of them, cancels from the linear coefficients where every sample comes
with its complement (Box & Wilson, JRSS B 1951). What three do together does not: no design whatever frees the
coefficients of 49 parts from twos and threes in fewer than 1,226 samples (Rao's bound for strength 4, 1947). But on
columns of Sylvester's Hadamard matrix (Plackett & Burman, Biometrika 1946) a three falls as a whole on one column: on a
part's own, or on one that is nobody's. Neighbours in a spectrogram act together far more than parts that lie apart, so
a search gives parts the columns where neighbouring threes fall on nobody's.

Left out: orthogonal arrays of strength 5 (from Kerdock's code 4,096 samples, from BCH codes more); pairs of Bernoulli
samples, which lose a sample to every coefficient; a covariance of threes in the fit, which on mn04 changed nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np

from earwitness.core.arrays import BoolArray, Float64Array, Int64Array
from earwitness.core.errors import UsageError

DESIGNS = ("bernoulli", "hadamard")
# Larger matrices than this many times the parts gain nothing over several of this size.
ROOM = 4
# Three parts are neighbours when the sides of their triangle, in steps of the grid, add up to twice this at most.
REACH = 4
# How much less three parts do together for each step that they lie further apart: about what was measured on mn04.
FADING = 4.0
# Rounds of the search for columns; further ones find next to nothing.
ROUNDS = 4
# Differences of harm that are rounding.
SAME = 1e-9


@dataclass(frozen=True)
class Design:
    """Perturbations of parts, the whole segment first.

    Parameters
    ----------
    kept
        Shape (samples, features): which parts each sample keeps; the first keeps all.
    pair
        How many samples in a row (after the first) were drawn together: 2 where each comes with its complement.
    block
        How many samples in a row (after the first) make a complete design.
    """

    kept: BoolArray
    pair: int
    block: int


def random_design(
    method: str,
    kind: str,
    samples: int,
    shape: tuple[int, int],
    seed: int,
    keep: float = 0.5,
    *,
    enough: int = 2,
    room: int = ROOM,
) -> Design:
    """Draw a design by name.

    Parameters
    ----------
    method
        Whose request it is, for messages.
    kind
        ``"bernoulli"`` (a toss of a coin for each part) or ``"hadamard"``.
    samples
        Perturbations wanted, the whole segment among them. A Hadamard design uses as many whole blocks as fit.
    shape
        Rows and columns of the grid of parts.
    seed
        Of the draws.
    keep
        Probability that a part is kept.
    enough
        Fewest samples that a Bernoulli design may have.
    room
        How many times as many columns as needed a block of a Hadamard design may have; 1 makes the most blocks.

    Raises
    ------
    UsageError
        If there are more parts than the samples leave room for, or ``keep`` is not a half for a Hadamard design.
    """
    rng = np.random.default_rng(seed)
    features = shape[0] * shape[1]
    if kind == "bernoulli":
        if samples < enough:
            raise UsageError(
                f"{method}: samples={samples} cannot tell {features} parts apart; use at least {enough} "
                "(ten times as many are better), fewer parts, or ridge=1"
            )
        kept = rng.random((samples, features)) < keep
        kept[0] = True
        return Design(kept, 1, 1)
    if keep != 0.5:
        raise UsageError(f"{method}: keep={keep} does not go with design=hadamard, which keeps one half; use keep=0.5")
    order = hadamard_order(features, samples, room)
    blocks = (samples - 1) // (2 * order)
    if blocks == 0:
        raise UsageError(
            f"{method}: samples={samples} has no room for {features} parts in a Hadamard design; use at least "
            f"{2 * order + 1}, fewer parts, or design=bernoulli"
        )
    drawn = [_fold_over(columns_of(shape, order, rng), order, rng) for _ in range(blocks)]
    return Design(np.concatenate([np.ones((1, features), bool), *drawn]), 2, 2 * order)


def hadamard_order(features: int, samples: int, room: int = ROOM) -> int:
    """Return the order of the Hadamard matrix for some parts and samples.

    The smallest power of two with a column for each part, doubled while the samples suffice and it is not ``room``
    times as large: columns of no part take what would else fall on parts.
    """
    order = smallest = 1 << (features - 1).bit_length()
    while 4 * order < samples and 2 * order <= room * smallest:
        order *= 2
    return order


def _fold_over(columns: Int64Array, order: int, rng: np.random.Generator) -> BoolArray:
    """Return one block: columns of Sylvester's matrix with random signs, each row followed by its complement."""
    odd = np.bitwise_count(np.arange(order)[:, np.newaxis] & columns) & 1
    kept = (odd == 1) ^ (rng.random(len(columns)) < 0.5)
    return np.stack([kept, ~kept], axis=1).reshape(2 * order, len(columns))


def columns_of(shape: tuple[int, int], order: int, rng: np.random.Generator) -> Int64Array:
    """Choose each part's column of Sylvester's Hadamard matrix.

    The product of columns a, b and c is column a ^ b ^ c, so three parts are mixed up with a fourth that has this
    column. Parts are placed one after the other, in random order and in several rounds, each where neighbouring threes
    are mixed up least with the parts that are there.

    Parameters
    ----------
    shape
        Rows and columns of the grid of parts.
    order
        Of the matrix, a power of two.
    rng
        Draws the order in which parts are placed, and decides between columns that are equally good.

    Returns
    -------
    Shape (parts,), all different, from 0 to ``order`` - 1.
    """
    trios, weights = _neighbours(shape)
    place = np.full(shape[0] * shape[1], -1)
    own = [np.flatnonzero((trios == part).any(axis=1)) for part in range(len(place))]
    fellows = [trios[mine][trios[mine] != part].reshape(-1, 2) for part, mine in enumerate(own)]
    fallen = np.zeros(order)  # what falls on each column, of the threes whose parts are all placed
    for _ in range(ROUNDS):
        for part in rng.permutation(len(place)):
            there = (place[fellows[part]] >= 0).all(axis=1)
            both = np.bitwise_xor.reduce(place[fellows[part][there]], axis=1)
            weight = weights[own[part]][there]
            if place[part] >= 0:
                fallen -= np.bincount(both ^ place[part], weight, order)
                place[part] = -1
            others = place[place >= 0]
            # Threes without this part fall on it, and threes with it on another whose column makes up for theirs.
            falls = both[:, np.newaxis] ^ others
            harm = fallen + np.bincount(falls.ravel(), weight.repeat(len(others)), order)
            harm[others] = np.inf
            place[part] = rng.choice(np.flatnonzero(harm <= harm.min() + SAME))
            fallen += np.bincount(both ^ place[part], weight, order)
    return place


@cache
def _neighbours(shape: tuple[int, int]) -> tuple[Int64Array, Float64Array]:
    """Return all threes of neighbouring parts, shape (trios, 3), and how much they are likely to do together."""
    rows, columns = np.indices(shape)
    reach = range(-REACH, REACH + 1)
    steps = [(down, right) for down in reach for right in reach if (down, right) > (0, 0)]
    trios, weights = [np.zeros((0, 3), np.int64)], [np.zeros(0)]
    for one, two in combinations(steps, 2):
        sides = abs(one[0]) + abs(one[1]) + abs(two[0]) + abs(two[1]) + abs(one[0] - two[0]) + abs(one[1] - two[1])
        if sides > 2 * REACH:
            continue
        at = [(rows + down, columns + right) for down, right in ((0, 0), one, two)]
        inside = np.all([(r >= 0) & (r < shape[0]) & (c >= 0) & (c < shape[1]) for r, c in at], axis=0)
        trios.append(np.stack([(r * shape[1] + c)[inside] for r, c in at], axis=1))
        weights.append(np.full(len(trios[-1]), FADING ** (2 - sides / 2)))
    return np.concatenate(trios), np.concatenate(weights)
