"""Integrated gradients: Sundararajan et al., *Axiomatic Attribution for Deep Networks*, ICML 2017."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from earwitness.core.arrays import Float64Array
from earwitness.core.device import to_numpy
from earwitness.explainers.fills import reference_parameter
from earwitness.explainers.gradient.base import (
    WIDE_GAP,
    GradientBatch,
    GradientMethod,
    Gradients,
    Measured,
    and_back,
    by_captum,
)
from earwitness.explainers.inference.scoring import batch_size, target_scores
from earwitness.explainers.parameters import integer, parameter
from earwitness.models.protocols import Explainable


@dataclass(frozen=True)
class IntegratedGradients(GradientMethod):
    """Integrated gradients: the mean gradient on the straight path from silence to the segment, times the difference.

    The map adds up to the score of the segment less that of the reference (completeness); ``diagnostics["gap"]`` is
    what the finite number of steps misses. Where that is more than a thousandth of the map's absolute sum, the path is
    walked again with twice the steps, up to ``budget``; where even these do not do, the flag ``"not converged"`` is
    raised. ``diagnostics["steps"]`` is what it took. Parameters beside ``score``, for which see
    :class:`~earwitness.explainers.gradient.base.GradientMethod`:

    Parameters
    ----------
    steps
        Points on the path (Gauss-Legendre).
    budget
        Most points on the path; with no more than ``steps``, the path is walked once.
    fill
        What the segment is compared with.
    """

    name: ClassVar[str] = "integratedgradients"
    title: ClassVar[str] = "Integrated gradients"
    paper: ClassVar[str] = "Sundararajan et al., ICML 2017"
    cost: ClassVar[str] = (
        "1 forward per step (64) and 2 more, and 1 backward per step and target; again with twice the steps (up to "
        "512) while the map does not add up"
    )
    assumes: ClassVar[str] = (
        "fading in from silence in equal steps is a fair way to make the sound come, though no recording sounds so"
    )
    misses: ClassVar[str] = (
        "cells that are as quiet as the reference: they get nothing, even where the pause itself is the evidence"
    )

    steps: int = parameter(64, integer(1), "points on the path from the reference to the segment")
    budget: int = parameter(512, integer(0), "most points, doubled from steps while the map does not add up")
    fill: str | float = reference_parameter()

    def quick(self) -> Self:
        """Return integrated gradients with fewer steps to begin with."""
        return self.changed(steps=min(16, self.steps))

    def at_most(self, passes: int) -> Self:
        """Return integrated gradients with no more steps to begin with than so many forward passes allow."""
        return self.changed(steps=min(and_back(passes), self.steps))

    def together(self, classifier: Explainable, frames: int, bands: int) -> int:
        """Return how many segments' steps fill a batch."""
        return max(1, batch_size(classifier, frames, bands) // self.steps)

    def measure(self, batch: GradientBatch) -> Measured:
        """Return the maps of a batch."""
        base = batch.references(self.fill)
        scores, reference_scores = np.split(batch.evaluate(torch.cat([batch.x, base])), 2)
        values = self._walked(batch, base, self.steps)
        count = len(batch.segments)
        reached, spent, steps = [self.steps] * count, [self.steps] * count, self.steps
        while 2 * steps <= self.budget:
            steps *= 2
            rows = [row for row in range(count) if self._misses(batch, row, scores - reference_scores, values[row])]
            if not rows:
                break
            values[rows] = self._walked(batch.take(rows), base[rows], steps)[:, : values.shape[1]]
            for row in rows:
                reached[row], spent[row] = steps, spent[row] + steps
        forwards = [each + 2 for each in spent]
        return Measured(
            values=values,
            scores=scores,
            forwards=forwards,
            backwards=spent,
            reference_scores=reference_scores,
            exact=True,
            steps=reached,
        )

    def _walked(self, batch: GradientBatch, base: Tensor, steps: int) -> Tensor:
        """Return the maps, shape (n, targets, frames, bands), that so many points on the path give."""
        method = by_captum(lambda attr: attr.IntegratedGradients(batch.classifier.network), Gradients(batch))
        size, rows = batch_size(batch.classifier, *batch.segments.values.shape[1:]), len(batch.segments)
        values: Tensor = method.attribute(
            batch.x,
            baselines=base,
            n_steps=steps,
            internal_batch_size=max(size, rows) if size < steps * rows else None,
            additional_forward_args=batch.weights,
        )
        return values.detach()

    def _misses(self, batch: GradientBatch, row: int, change: Float64Array, maps: Tensor) -> bool:
        """Tell whether a map of a segment adds up to something else than the difference of scores."""
        wanted = target_scores(change[row : row + 1], batch.targets[row])[0]
        found = maps[: len(wanted)].double()
        gap = np.abs(wanted - to_numpy(found.sum(dim=(1, 2))))
        return bool((gap > WIDE_GAP * to_numpy(found.abs().sum(dim=(1, 2)))).any())
