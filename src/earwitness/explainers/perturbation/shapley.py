"""Shapley values of the parts of a segment by sampled permutations, or by all coalitions where these are few.

Castro et al., *Polynomial calculation of the Shapley value based on sampling*, Computers & Operations Research 2009;
antithetic permutations: Mitchell et al., *Sampling Permutations for Shapley Value Estimation*, JMLR 2022.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from earwitness.audio.segments import Segments
from earwitness.core.arrays import BoolArray, Float64Array, Int64Array
from earwitness.core.errors import UsageError
from earwitness.explainers.fills import fill_parameter, second_fill_parameter, soft_parameter
from earwitness.explainers.inference.scoring import LOG_ODDS, score_parameter
from earwitness.explainers.method import Found
from earwitness.explainers.parameters import check, choice, integer, pair, parameter
from earwitness.explainers.perturbation.base import (
    PerturbationPlan,
    Perturbing,
    samples_for,
    stops,
    tolerance_parameter,
)
from earwitness.explainers.perturbation.parts import GRIDS, Coalitions, Parts, gridded, strips
from earwitness.explainers.perturbation.precision import precision_parameter
from earwitness.models.protocols import Explainable


@dataclass(frozen=True, kw_only=True)
class ShapleyValues(Perturbing):
    """What methods share that share a score out among parts: parameters, and all coalitions where these are few.

    Parameters
    ----------
    parts
        ``"grid"``: rectangles; ``"time"`` and ``"bands"``: strips across the other side.
    grid
        Rectangles along time and frequency; strips along time take the first number, strips of bands the second.
    samples
        At most so many perturbed segments, the whole and the empty one among them; with a tolerance, perhaps fewer.
    tolerance
        Standard error at which to stop, as share of the largest cell; 0 to use all samples.
    fill, fill2, soft
        What hidden parts become; a second fill to compare with; cells over which masks fade.
    score
        ``"log-odds"`` of the probability, ``"probability"`` (after the activation) or ``"logit"`` (before it).
    seed
        Of the draws.
    """

    parts: str = parameter("grid", choice(*GRIDS), "what is hidden: grid, time or bands")
    grid: tuple[int, int] = parameter((7, 7), pair, "parts along time and frequency")
    samples: int = parameter(2048, integer(2), "perturbed segments at most")
    tolerance: float = tolerance_parameter()
    fill: str | float = fill_parameter()
    score: str = score_parameter(LOG_ODDS)
    seed: int = parameter(0, integer(0), "seed of the random draws")
    fill2: str | float = second_fill_parameter()
    soft: int = soft_parameter()
    precision: str = precision_parameter()

    def __post_init__(self) -> None:
        check(self)

    def quick(self) -> Self:
        """Return the method with fewer samples and without a second fill."""
        enough = samples_for(math.prod(self.grid), enough=290)
        return super().quick().changed(samples=min(enough, self.samples))

    def plan(self, classifier: Explainable, segments: Segments) -> PerturbationPlan:
        """Return what to hide in some segments, and how to read the scores."""
        parts = gridded(self.name, segments, *strips(self.parts, self.grid))

        def hiding(kept: BoolArray) -> Coalitions:
            return Coalitions(kept, [parts] * len(segments), classifier.device)

        if enumerable(parts.count, self.samples):
            return _ExactPlan(parts, hiding(every_coalition(parts.count)))
        return self.sampled(parts, hiding)

    @abstractmethod
    def sampled(self, parts: Parts, hiding: Callable[[BoolArray], Coalitions]) -> PerturbationPlan:
        """Return a plan for parts that have more coalitions than there are samples.

        Parameters
        ----------
        parts
            The parts.
        hiding
            Turns what coalitions keep, shape (samples, parts), into perturbations.

        Raises
        ------
        UsageError
            If the samples are too few to tell the parts apart.
        """


@dataclass(frozen=True)
class Shapley(ShapleyValues):
    """Shapley values: each part's share of the way from everything hidden to everything shown.

    Parts are made audible one after the other in random orders, each order followed by its reverse; a part's value is
    what its coming adds to the score, averaged over orders. The values add up to the score of the whole segment less
    that of the empty one. If no more coalitions exist than samples are allowed, all are scored and the values are
    exact. For the parameters see :class:`ShapleyValues`.
    """

    name: ClassVar[str] = "shapley"
    title: ClassVar[str] = "Shapley values (permutations)"
    paper: ClassVar[str] = "Castro et al., Computers & Operations Research 2009"
    cost: ClassVar[str] = "1 forward per sample (at most 2048), parts less 1 for each order; all targets from one pass"
    assumes: ClassVar[str] = (
        "every selection of parts is a fair question to the network, even one with nearly everything hidden"
    )
    misses: ClassVar[str] = (
        "which parts act together (what they add jointly is shared out evenly), and detail inside a part"
    )

    def sampled(self, parts: Parts, hiding: Callable[[BoolArray], Coalitions]) -> PerturbationPlan:
        """Return a plan of as many orders and their reverses as the samples suffice for."""
        each = 2 * (parts.count - 1)
        pairs = (self.samples - 2) // each
        if pairs == 0:
            raise UsageError(
                f"shapley: samples={self.samples} is less than one order of {parts.count} parts and its reverse take; "
                f"use at least {each + 2} (ten times as many are better) or fewer parts"
            )
        orders = antithetic_orders(parts.count, pairs, self.seed)
        coalitions = hiding(_climbing(orders))
        # The first perturbation besides the whole segment is the empty one.
        looks = [1 + number for number in stops(1 + pairs * each, 3 * each, each, self.tolerance)]
        return _ShapleyPlan(parts, orders, coalitions, coalitions.stops(looks))


def enumerable(parts: int, samples: int) -> bool:
    """Tell whether all coalitions of some parts are kept with so many samples."""
    return parts < 63 and 2**parts <= samples


def every_coalition(parts: int) -> BoolArray:
    """Return all coalitions, shape (2**parts, parts), from the whole down to the empty one."""
    number = np.arange(2**parts - 1, -1, -1)
    return (number[:, np.newaxis] >> np.arange(parts) & 1).astype(bool)


def exact_shapley(scores: Float64Array) -> Float64Array:
    """Return the Shapley values, shape (parts,), of the scores of :func:`every_coalition`, shape (2**parts,)."""
    value = scores[::-1]
    parts = int(math.log2(len(value)))
    number = np.arange(len(value))
    size = np.bitwise_count(number)
    # A coalition of s parts stands before a newcomer in s! (parts - s - 1)! of parts! orders.
    weight = np.array([1.0 / (parts * math.comb(parts - 1, before)) for before in range(parts)])
    found = np.empty(parts)
    for part in range(parts):
        without = number[number >> part & 1 == 0]
        found[part] = (weight[size[without]] * (value[without | 1 << part] - value[without])).sum()
    return found


@dataclass(frozen=True)
class _ExactPlan:
    """All coalitions of some parts, of which Shapley values are exact."""

    parts: Parts
    hiding: Coalitions

    @property
    def stops(self) -> list[int]:
        """All at once."""
        return [self.hiding.count]

    def solve(self, segment: int, scores: Float64Array) -> list[Found]:
        """Return the exact values for each target, with standard errors of zero."""
        del segment
        return [
            shapley_found(self.parts, measured, exact_shapley(measured), np.zeros(self.parts.count), measured[-1])
            for measured in np.ascontiguousarray(scores.T)
        ]


def shapley_found(
    parts: Parts, measured: Float64Array, values: Float64Array, error: Float64Array | None, empty: float
) -> Found:
    """Return Shapley values as a map, with the score of the empty segment and what the values fail to add up to."""
    gap = float(measured[0] - empty - values.sum())
    return parts.found(values, float(measured[0]), {"empty_score": float(empty), "completeness_gap": gap}, error)


def antithetic_orders(parts: int, pairs: int, seed: int) -> Int64Array:
    """Return random orders of parts, each followed by its reverse, shape (2 * pairs, parts)."""
    rng = np.random.default_rng(seed)
    drawn = rng.permuted(np.tile(np.arange(parts), (pairs, 1)), axis=1)
    return np.stack([drawn, drawn[:, ::-1]], axis=1).reshape(2 * pairs, parts)


def _climbing(orders: Int64Array) -> BoolArray:
    """Return the whole, the empty, and for each order the coalitions between: after one part, after two, and so on."""
    count, parts = orders.shape
    rank = np.argsort(orders, axis=1)
    between = rank[:, np.newaxis, :] < np.arange(1, parts)[:, np.newaxis]
    ends = np.array([[True] * parts, [False] * parts])
    return np.concatenate([ends, between.reshape(count * (parts - 1), parts)])


@dataclass(frozen=True)
class _ShapleyPlan:
    parts: Parts
    orders: Int64Array
    hiding: Coalitions
    stops: Sequence[int]

    def solve(self, segment: int, scores: Float64Array) -> list[Found]:
        del segment
        samples = self.hiding.scores(scores)
        # Coalitions of a later pair may all have been scored before; only whole pairs count.
        each = 2 * (self.parts.count - 1)
        pairs = (len(samples) - 2) // each
        found = []
        for measured in np.ascontiguousarray(samples[: 2 + pairs * each].T):
            values, error = self._values(measured, pairs)
            found.append(shapley_found(self.parts, measured, values, error, measured[1]))
        return found

    def _values(self, measured: Float64Array, pairs: int) -> tuple[Float64Array, Float64Array | None]:
        parts = self.parts.count
        between = measured[2:].reshape(2 * pairs, parts - 1)
        empty, whole = (np.full((2 * pairs, 1), measured[row]) for row in (1, 0))
        steps = np.diff(np.concatenate([empty, between, whole], axis=1), axis=1)
        added = np.empty_like(steps)
        np.put_along_axis(added, self.orders[: 2 * pairs], steps, axis=1)
        by_pair = added.reshape(pairs, 2, parts).mean(axis=1)
        error = by_pair.std(axis=0, ddof=1) / math.sqrt(pairs) if pairs > 1 else None
        return by_pair.mean(axis=0), error
