"""Designs: which parts of a segment random perturbations keep, so that few passes tell the parts apart.

Fold-over designs on Hadamard matrices: Plackett & Burman, *The Design of Optimum Multifactorial Experiments*,
Biometrika 1946; Box & Wilson, JRSS B 1951 (fold-over frees main effects of two-part interactions).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from earwitness.errors import UsageError

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

DESIGNS = ("bernoulli", "hadamard")


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
    method: str, kind: str, samples: int, features: int, seed: int, keep: float = 0.5, *, enough: int = 2
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
    features
        Parts.
    seed
        Of the draws.
    keep
        Probability that a part is kept.
    enough
        Fewest samples that a Bernoulli design may have.

    Raises
    ------
    UsageError
        If there are more parts than the samples leave room for, or ``keep`` is not a half for a Hadamard design.
    """
    rng = np.random.default_rng(seed)
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
    order = hadamard_order(features)
    blocks = (samples - 1) // (2 * order)
    if blocks == 0:
        raise UsageError(
            f"{method}: samples={samples} has no room for {features} parts in a Hadamard design; use at least "
            f"{2 * order + 1}, fewer parts, or design=bernoulli"
        )
    drawn = [_fold_over(order, features, rng) for _ in range(blocks)]
    return Design(np.concatenate([np.ones((1, features), bool), *drawn]), 2, 2 * order)


def _fold_over(order: int, features: int, rng: np.random.Generator) -> BoolArray:
    """Return one block: randomly chosen columns with random signs, each row followed by its complement."""
    columns = rng.permutation(order)[:features]
    signs = rng.choice([-1, 1], size=features)
    kept = hadamard(order)[:, columns] * signs > 0
    return np.stack([kept, ~kept], axis=1).reshape(2 * order, features)


def hadamard_order(features: int) -> int:
    """Return the smallest order with room for some features that :func:`hadamard` can make."""
    order = features
    while order > 2 and not _parent(order):
        order += 1
    return order


def hadamard(order: int) -> IntArray:
    """Return a Hadamard matrix: entries 1 and -1, orthogonal rows and columns.

    Doubling (Sylvester 1867) from order 1 and from orders p + 1 for primes p = 3 (mod 4) (Paley 1933).
    """
    if order == 1:
        return np.ones((1, 1), dtype=np.int64)
    if _parent(order) == order:
        return _paley(order - 1)
    half = hadamard(order // 2)
    return np.block([[half, half], [half, -half]])


def _parent(order: int) -> int:
    """Return what an order is doubled from: 1, or itself or a part of it by Paley; 0 if there is no such."""
    while order > 2 and not (order % 4 == 0 and _prime(order - 1)):
        if order % 2:
            return 0
        order //= 2
    return order if order > 2 else 1


def _prime(number: int) -> bool:
    return number > 1 and all(number % factor for factor in range(2, int(number**0.5) + 1))


def _paley(prime: int) -> IntArray:
    squares = np.unique(np.arange(1, prime) ** 2 % prime)
    character = np.full(prime, -1, dtype=np.int64)
    character[squares], character[0] = 1, 0
    skew = np.zeros((prime + 1, prime + 1), dtype=np.int64)
    skew[0, 1:], skew[1:, 0] = 1, -1
    skew[1:, 1:] = character[(np.arange(prime)[:, None] - np.arange(prime)) % prime]
    return skew + np.eye(prime + 1, dtype=np.int64)
