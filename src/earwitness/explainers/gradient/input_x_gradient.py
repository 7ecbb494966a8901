"""Input times gradient: Shrikumar et al., *Not Just a Black Box: Learning Important Features* [...], 2016."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from earwitness.explainers.gradient.base import GradientBatch, GradientMethod, Gradients, Measured, by_captum


@dataclass(frozen=True)
class InputXGradient(GradientMethod):
    """Input times gradient: the gradient of the score times the log-mel value, cell by cell.

    The log-mel's 0 is not silence, so a quiet cell counts as strongly as a loud one; integrated gradients or DeepLIFT
    from silence say what sound did. Of a model over waveforms the input is each cell's gain, which is 1 in the segment:
    the map is the gradient. Parameters are those of
    :class:`~earwitness.explainers.gradient.base.GradientMethod`.
    """

    name: ClassVar[str] = "inputxgradient"
    title: ClassVar[str] = "Input x gradient"
    paper: ClassVar[str] = "Shrikumar et al., 2016, arXiv 1605.01713"
    cost: ClassVar[str] = "1 forward, and 1 backward per target"
    assumes: ClassVar[str] = "the score is linear in the log-mel, and a cell at 0 is no sound"
    misses: ClassVar[str] = (
        "loudness: a log-mel's 0 is not silence, so a quiet cell can count as strongly as a loud one"
    )

    def measure(self, batch: GradientBatch) -> Measured:
        """Return the maps of a batch."""
        gradients = Gradients(batch)
        method = by_captum(lambda attr: attr.InputXGradient(batch.classifier.network), gradients)
        values = method.attribute(batch.x.requires_grad_(), additional_forward_args=batch.weights)
        return Measured(values=values, scores=gradients.scores, forwards=1)
