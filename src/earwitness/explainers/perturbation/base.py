"""What perturbation methods share: the way from a plan to attributions, rounds until the error is small, two fills."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from earwitness.audio.segments import Segments
from earwitness.core.arrays import Float64Array
from earwitness.core.progress import Progress
from earwitness.explainers import fills
from earwitness.explainers.attribution import Attribution, Target
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.inference.scoring import stopwatch
from earwitness.explainers.method import Cost, Explainer, Found, Need, attribution_of
from earwitness.explainers.parameters import number_from, parameter
from earwitness.explainers.perturbation.precision import Settled, settle
from earwitness.explainers.perturbation.scoring import Hiding, Scoring, batches
from earwitness.models.protocols import Explainable

__all__ = [
    "Hiding",
    "PerturbationPlan",
    "Perturbing",
    "Scoring",
    "batches",
    "relative_error",
    "samples_for",
    "stops",
    "tolerance_parameter",
]


QUICK_PARTS = 49  # which the numbers of samples of quick settings are enough for

# ---- the loop of every perturbation method ------------------------------------------------------------------------


class PerturbationPlan(Protocol):
    """What a method makes of some segments: perturbations, when to look at what they tell, and how to read it."""

    @property
    def hiding(self) -> Hiding:
        """The perturbations."""
        ...

    @property
    def stops(self) -> Sequence[int]:
        """After how many perturbations the map may be made; rising, the last is all of them."""
        ...

    def solve(self, segment: int, scores: Float64Array) -> list[Found]:
        """Return what was found for each target, of the scores scored so far, shape (perturbations, targets)."""
        ...


class Perturbing(Explainer):
    """A method that hides parts of the segment and scores it again.

    A subclass is a frozen dataclass with the fields named here; ``samples`` and ``tolerance`` only where perturbations
    are drawn and the error is known, and methods with chance also have ``seed``.
    """

    family: ClassVar[str] = "perturbation"
    needs: ClassVar[tuple[Need, ...]] = (Need.SCORES,)
    fill: str | float
    fill2: str | float
    soft: int
    precision: str
    samples: int = 0
    tolerance: float = 0.0

    def quick(self) -> Self:
        """Return the method without a second fill."""
        return self.changed(fill2=fills.NONE)

    def at_most(self, passes: int) -> Self:
        """Return the method with no more samples than so many forward passes allow."""
        return self.changed(samples=passes) if self.samples > passes else self

    @abstractmethod
    def plan(self, classifier: Explainable, segments: Segments) -> PerturbationPlan:
        """Return what to hide in some segments, and how to read the scores."""

    def explained(
        self, prepared: Prepared, segments: Segments, targets: Sequence[Sequence[Target]], progress: Progress
    ) -> list[Attribution]:
        """Return the attributions.

        With ``fill2``, ``diagnostics`` tells how far a second run with that fill disagrees
        (:func:`earwitness.explainers.fills.disagreement`), and the cost is that of both.
        """
        found = self._heard(prepared, segments, targets, progress)
        if self.fill2 == fills.NONE:
            return found
        second = self.changed(fill=self.fill2, fill2=fills.NONE)._heard(prepared, segments, targets, progress)
        return [fills.compared(*pair) for pair in zip(found, second, strict=True)]

    def _heard(
        self, prepared: Prepared, segments: Segments, targets: Sequence[Sequence[Target]], progress: Progress
    ) -> list[Attribution]:
        seconds = stopwatch()
        plan = self.plan(prepared, segments)
        options: dict[str, Any] = {
            "fill": self.fill,
            "kind": self.score,
            "seed": self.seed or 0,
            "soft": self.soft,
        }
        settled = settle(self, prepared, segments, targets, plan.hiding, options, progress)
        found: list[list[Found]] = [[] for _ in range(len(segments))]
        active = list(range(len(segments)))
        with progress.task(self.title, plan.stops[-1] * len(segments)) as advance:
            scoring = Scoring(
                prepared,
                segments,
                targets,
                plan.hiding,
                advance=advance,
                precision=settled.precision,
                ready=settled.ready,
                **options,
            )
            for stop in plan.stops:
                scoring.score(active, stop)
                for index in active:
                    found[index] = [self._settled(each) for each in plan.solve(index, scoring.scores[index])]
                done = [index for index in active if all(each.converged for each in found[index])]
                active = [index for index in active if index not in done]
                advance(len(done) * (plan.stops[-1] - stop))
                if not active:
                    break
        each_seconds = seconds(len(segments))
        costs = [Cost(forwards, 0, each_seconds, scoring.swift.precision) for forwards in scoring.forwards]
        return self._attributions(prepared, segments, targets, found, costs, settled)

    def _settled(self, found: Found) -> Found:
        """Return what was found, marked as not converged while its error is above the tolerance."""
        if not self.tolerance:
            return found
        return dataclasses.replace(found, converged=relative_error(found) <= self.tolerance)

    def _attributions(
        self,
        classifier: Explainable,
        segments: Segments,
        targets: Sequence[Sequence[Target]],
        found: list[list[Found]],
        costs: list[Cost],
        settled: Settled,
    ) -> list[Attribution]:
        return [
            attribution_of(self, classifier, segments, index, target, settled.told(each), costs[index])
            for index, listed in enumerate(targets)
            for target, each in zip(listed, found[index], strict=True)
        ]


def tolerance_parameter() -> Any:
    """Declare ``tolerance``."""
    text = "standard error, as share of the largest cell, at which to stop early; 0: use all samples"
    return parameter(0.0, number_from(0.0), text)


def samples_for(parts: int, enough: int) -> int:
    """Return how many samples a quick setting takes: ``enough`` for 49 parts or fewer, for more in proportion."""
    return math.ceil(enough * max(1.0, parts / QUICK_PARTS))


def relative_error(found: Found) -> float:
    """Return the root mean square of a map's standard errors as share of its largest cell (0 for an empty map)."""
    if found.error is None:
        return math.inf
    error, largest = float(np.sqrt(np.mean(found.error**2))), float(np.abs(found.native).max())
    if error == 0:
        return 0.0
    return error / largest if largest else math.inf


def stops(count: int, first: int, block: int, tolerance: float) -> list[int]:
    """Return after how many perturbations to look at the error: whole blocks after the first perturbation, doubling.

    Parameters
    ----------
    count
        All of them.
    first
        Fewest to look at.
    block
        Perturbations that belong together.
    tolerance
        Where 0, all are scored in one go.
    """
    found = []
    blocks = max(1, math.ceil(first / block))
    while tolerance and 1 + blocks * block < count:
        found.append(1 + blocks * block)
        blocks *= 2
    return [*found, count]
