"""Integrated gradients: Sundararajan et al., *Axiomatic Attribution for Deep Networks*, ICML 2017."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from earwitness.explain.gradients import Batch, GradientMethod, Gradients, Measured, by_captum
from earwitness.explain.model import Explainable, batch_size
from earwitness.explain.parameters import integer, parameter
from earwitness.explain.reference import reference_parameter


@dataclass(frozen=True)
class IntegratedGradients(GradientMethod):
    """Integrated gradients: the mean gradient on the straight path from silence to the segment, times the difference.

    The map adds up to the score of the segment less that of the reference (completeness); ``diagnostics["gap"]`` is
    what the finite number of steps misses. Parameters beside ``score``, for which see
    :class:`~earwitness.explain.gradients.GradientMethod`:

    Parameters
    ----------
    steps
        Points on the path (Gauss-Legendre).
    fill
        What the segment is compared with.
    """

    name: ClassVar[str] = "integratedgradients"
    title: ClassVar[str] = "Integrated gradients"
    paper: ClassVar[str] = "Sundararajan et al., ICML 2017"
    cost: ClassVar[str] = "1 forward per step (64) and 2 more, and 1 backward per step and target"

    steps: int = parameter(64, integer(1), "points on the path from the reference to the segment")
    fill: str | float = reference_parameter()

    def together(self, classifier: Explainable, frames: int, bands: int) -> int:  # noqa: ARG002
        """Return 1: the steps of one segment fill batches."""
        return 1

    def measure(self, batch: Batch) -> Measured:
        """Return the maps of one segment."""
        base = batch.references(self.fill)
        scores, reference_scores = batch.evaluate(batch.x), batch.evaluate(base)
        method = by_captum(lambda attr: attr.IntegratedGradients(batch.classifier.network), Gradients(batch))
        size = batch_size(batch.classifier, *batch.segments.values.shape[1:])
        values = method.attribute(
            batch.x,
            baselines=base,
            n_steps=self.steps,
            internal_batch_size=size if size < self.steps else None,
            additional_forward_args=batch.weights,
        )
        return Measured(values, scores, self.steps + 2, self.steps, reference_scores, converging=True)
