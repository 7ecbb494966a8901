"""Kernel SHAP: Lundberg & Lee, *A Unified Approach to Interpreting Model Predictions*, NeurIPS 2017.

Paired sampling: Covert & Lee, *Improving KernelSHAP*, AISTATS 2021. Sizes drawn evenly, as leverage scores have it:
Musco & Witter, *Provably Accurate Shapley Value Estimation via Leverage Score Sampling*, ICLR 2025.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from earwitness.core.arrays import BoolArray, Float64Array
from earwitness.core.errors import UsageError
from earwitness.explainers.method import Found
from earwitness.explainers.parameters import choice, parameter
from earwitness.explainers.perturbation.base import PerturbationPlan, stops
from earwitness.explainers.perturbation.parts import Coalitions, Parts
from earwitness.explainers.perturbation.shapley import ShapleyValues, shapley_found


@dataclass(frozen=True)
class KernelShap(ShapleyValues):
    """Kernel SHAP: Shapley values as the coefficients of a weighted linear model of which parts are kept.

    Coalitions are drawn in pairs with their complements, after all single parts and their complements; sizes that the
    samples suffice for are scored completely. The values are held to add up to the score of the whole segment less that
    of the empty one. If no more coalitions exist than samples are allowed, all are scored and the values are exact.
    Hadamard designs are of no use here: nearly all their coalitions hold about half of the parts, and the Shapley
    kernel lives on the small and the large ones.

    Parameters
    ----------
    sizes
        ``"kernel"``: coalitions are drawn with the Shapley kernel's weight of their size; ``"even"``: every size alike,
        weighted in the fit. The others are those of :class:`~earwitness.explainers.perturbation.shapley.ShapleyValues`.
    """

    name: ClassVar[str] = "kernelshap"
    title: ClassVar[str] = "Kernel SHAP"
    paper: ClassVar[str] = "Lundberg & Lee, NeurIPS 2017"
    cost: ClassVar[str] = "1 forward per sample (at most 2048), whatever the number of targets"
    assumes: ClassVar[str] = (
        "every selection of parts is a fair question to the network, even one with nearly everything hidden"
    )
    misses: ClassVar[str] = (
        "which parts act together (what they add jointly is shared out evenly), and detail inside a part"
    )

    presets: ClassVar[dict[str, dict[str, Any]]] = {"fast": {"samples": 1024, "sizes": "even"}}

    sizes: str = parameter("kernel", choice("kernel", "even"), "how coalitions' sizes are drawn: kernel or even")

    def sampled(self, parts: Parts, hiding: Callable[[BoolArray], Coalitions]) -> PerturbationPlan:
        """Return a plan of all small and large coalitions and drawn ones between."""
        least = 2 * parts.count + 6
        if self.samples < least:
            raise UsageError(
                f"kernelshap: samples={self.samples} cannot tell {parts.count} parts apart; use at least {least} "
                "(ten times as many are better) or fewer parts"
            )
        drawn = coalitions_by_size(parts.count, self.samples, self.seed, even=self.sizes == "even")
        coalitions = hiding(np.concatenate([np.ones((1, parts.count), bool), drawn.kept]))
        known = 2 + drawn.complete
        looks = [
            known - 1 + number for number in stops(1 + len(drawn.kept) - known + 1, parts.count, 2, self.tolerance)
        ]
        return _KernelShapPlan(parts, drawn, coalitions, coalitions.stops(looks))


@dataclass(frozen=True)
class SizedCoalitions:
    """Coalitions for the Shapley kernel.

    Parameters
    ----------
    kept
        Shape (coalitions, parts): the empty one, all of the sizes that are scored completely, then pairs that were
        drawn, each with its complement.
    complete
        How many belong to complete sizes.
    weights
        Shape (coalitions - 1,): the kernel's weight of each but the empty one; for those drawn, their part of the
        kernel over the probability of their size, still to be divided by how many were drawn.
    """

    kept: BoolArray
    complete: int
    weights: Float64Array


def coalitions_by_size(parts: int, samples: int, seed: int, *, even: bool) -> SizedCoalitions:
    """Draw coalitions for the Shapley kernel.

    Parameters
    ----------
    parts
        How many; 2**parts > samples >= 2 * parts + 6.
    samples
        Coalitions, the whole and the empty one among them.
    seed
        Of the draws.
    even
        Whether sizes are drawn alike, and not by the kernel's weight.
    """
    size = np.arange(1, parts)
    kernel = 1.0 / (size * (parts - size))
    kernel /= kernel.sum()
    law = np.full(parts - 1, 1.0 / (parts - 1)) if even else kernel.copy()
    left = samples - 2
    complete: list[BoolArray] = []
    weights: list[Float64Array] = []
    for small in range(1, parts // 2 + 1):
        sides = sorted({small, parts - small})
        needed = math.comb(parts, small) * len(sides)
        wanted = left * law[[side - 1 for side in sides]].sum() / law.sum()
        # Single parts and their complements are always scored: with them every part can be told apart. A few pairs
        # must be left to draw, or the sizes between would have no voice.
        if (small > 1 and wanted < needed) or needed > left - 4:
            break
        for side in sides:
            complete.append(_all_of_size(parts, side))
            weights.append(np.full(len(complete[-1]), kernel[side - 1] / len(complete[-1])))
            law[side - 1] = 0.0
        left -= needed
    law /= law.sum()
    rng = np.random.default_rng(seed)
    sizes = rng.choice(size, size=left // 2, p=law)
    rank = rng.permuted(np.tile(np.arange(parts), (len(sizes), 1)), axis=1)
    kept = rank < sizes[:, np.newaxis]
    pairs = np.stack([kept, ~kept], axis=1).reshape(-1, parts)
    weights.append((kernel[sizes - 1] / law[sizes - 1]).repeat(2))
    rows = [np.zeros((1, parts), bool), *complete, pairs]
    return SizedCoalitions(np.concatenate(rows), sum(map(len, complete)), np.concatenate(weights))


def _all_of_size(parts: int, size: int) -> BoolArray:
    chosen = np.array(list(combinations(range(parts), size)))
    kept = np.zeros((len(chosen), parts), bool)
    np.put_along_axis(kept, chosen, True, axis=1)
    return kept


@dataclass(frozen=True)
class _KernelShapPlan:
    parts: Parts
    drawn: SizedCoalitions
    hiding: Coalitions
    stops: Sequence[int]

    def solve(self, segment: int, scores: Float64Array) -> list[Found]:
        del segment
        samples = self.hiding.scores(scores)
        pairs = (len(samples) - 2 - self.drawn.complete) // 2
        samples = samples[: 2 + self.drawn.complete + 2 * pairs]
        kept = self.drawn.kept[1 : len(samples) - 1].astype(np.float64)
        weights = self.drawn.weights[: len(kept)].copy()
        weights[self.drawn.complete :] /= 2 * pairs
        found = []
        for measured in np.ascontiguousarray(samples.T):
            values, error = constrained_fit(
                kept, measured[2:] - measured[1], weights, measured[0] - measured[1], self.drawn.complete
            )
            found.append(shapley_found(self.parts, measured, values, error, measured[1]))
        return found


def constrained_fit(
    kept: Float64Array, scores: Float64Array, weights: Float64Array, total: float, complete: int
) -> tuple[Float64Array, Float64Array | None]:
    """Fit a linear model without intercept whose coefficients add up to a total, by weighted least squares.

    Parameters
    ----------
    kept, scores, weights
        Shapes (coalitions, parts), (coalitions,) and (coalitions,); scores above that of the empty coalition.
    total
        What the coefficients add up to.
    complete
        How many of the first coalitions were not drawn by chance; the others were drawn in pairs.

    Returns
    -------
    The coefficients and their standard errors over the draws (None with fewer than two pairs).
    """
    weighted = kept * weights[:, np.newaxis]
    inverse = np.linalg.inv(weighted.T @ kept)
    ones = inverse.sum(axis=1)
    free = inverse @ (weighted.T @ scores)
    values = free - ones * ((free.sum() - total) / ones.sum())
    pairs, all_pairs, parts = (len(kept) - complete) // 2, len(kept) // 2, kept.shape[1]
    if pairs < 2:
        return values, None
    # The coefficients are linear in the scores. What moves them from draw to draw is the misfit of the pairs; the
    # misfit is taken for larger by the coefficients that were fitted to it.
    projection = inverse - np.outer(ones, ones) / ones.sum()
    pulls = (weighted * (scores - kept @ values)[:, np.newaxis])[complete:].reshape(pairs, 2, parts).sum(axis=1)
    moved = (pulls - pulls.mean(axis=0)) @ projection
    factor = pairs / (pairs - 1) * all_pairs / max(1, all_pairs - parts + 1)
    return values, np.sqrt((moved**2).sum(axis=0) * factor)
