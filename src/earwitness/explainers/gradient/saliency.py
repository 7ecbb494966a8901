"""Saliency: Simonyan et al., *Deep Inside Convolutional Networks: Visualising Image Classification Models*.

ICLR Workshops 2014.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from earwitness.explainers.gradient.base import GradientBatch, GradientMethod, Gradients, Measured, by_captum


@dataclass(frozen=True)
class Saliency(GradientMethod):
    """Saliency: the gradient of the score with respect to each cell.

    Signed: positive where a little more sound would raise the score (the paper takes the absolute value). Unit: score
    per unit of the log-mel, or of a cell's gain where the model takes waveforms. Parameters are those of
    :class:`~earwitness.explainers.gradient.base.GradientMethod`.
    """

    name: ClassVar[str] = "saliency"
    title: ClassVar[str] = "Saliency"
    paper: ClassVar[str] = "Simonyan et al., ICLR Workshops 2014"
    cost: ClassVar[str] = "1 forward, and 1 backward per target"
    assumes: ClassVar[str] = "a small change of a cell tells what the cell is worth"
    misses: ClassVar[str] = (
        "how much a cell adds as a whole: where the network is sure the gradient is flat, and what remains is grainy"
    )

    def measure(self, batch: GradientBatch) -> Measured:
        """Return the maps of a batch."""
        gradients = Gradients(batch)
        method = by_captum(lambda attr: attr.Saliency(batch.classifier.network), gradients)
        values = method.attribute(batch.x.requires_grad_(), abs=False, additional_forward_args=batch.weights)
        return Measured(values=values, scores=gradients.scores, forwards=1)
