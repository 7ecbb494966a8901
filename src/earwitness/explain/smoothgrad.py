"""SmoothGrad: Smilkov et al., *SmoothGrad: removing noise by adding noise*, 2017."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from earwitness.explain.gradients import Batch, GradientMethod, Gradients, Measured, by_captum
from earwitness.explain.model import Explainable, batch_size
from earwitness.explain.parameters import integer, number_from, parameter


@dataclass(frozen=True)
class SmoothGrad(GradientMethod):
    """SmoothGrad: the mean gradient of the score over copies of the segment with noise added.

    Signed; padding gets no noise. Each segment's noise is drawn anew from the same seed, so it does not depend on what
    is explained beside it. Parameters beside ``score``, for which see
    :class:`~earwitness.explain.gradients.GradientMethod`:

    Parameters
    ----------
    samples
        Noisy copies.
    noise
        Standard deviation of the noise, as a share of the range of the segment's values (the paper: 0.1 to 0.2).
    seed
        Of the noise.
    """

    name: ClassVar[str] = "smoothgrad"
    title: ClassVar[str] = "SmoothGrad"
    paper: ClassVar[str] = "Smilkov et al., 2017, arXiv 1706.03825"
    cost: ClassVar[str] = "1 forward per sample (50) and 1 more, and 1 backward per sample and target"

    samples: int = parameter(50, integer(1), "noisy copies of the segment")
    noise: float = parameter(0.15, number_from(0.0), "spread of the noise, as share of the range of the values")
    seed: int = parameter(0, integer(0), "seed of the noise")

    def together(self, classifier: Explainable, frames: int, bands: int) -> int:  # noqa: ARG002
        """Return 1: the copies of one segment fill batches."""
        return 1

    def measure(self, batch: Batch) -> Measured:
        """Return the maps of one segment."""
        scores, gradients = batch.evaluate(batch.x), Gradients(batch)
        tunnel = by_captum(lambda attr: attr.Saliency(batch.classifier.network), gradients)
        values = self._through(tunnel, batch)
        count = self.samples
        # Standard error of a mean, from the sums that the gradient function kept.
        spread = (gradients.squares - gradients.total.square() / count).clamp(min=0) / max(1, count - 1)
        errors = (spread / count).sqrt()[None] if count > 1 else None
        return Measured(values, scores, count + 1, count, errors=errors)

    def _through(self, saliency: Any, batch: Batch) -> Tensor:
        from captum.attr import NoiseTunnel

        real = int(batch.segments.real_frames[0])
        heard = batch.segments.values[0, :real]
        spread = self.noise * float(heard.max() - heard.min()) if heard.size else 0.0
        x = batch.x
        still = torch.zeros(x[:, 0].shape, dtype=torch.bool, device=x.device)
        still[:, real:] = True
        with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
            torch.manual_seed(self.seed)
            values: Tensor = NoiseTunnel(saliency).attribute(
                x.requires_grad_(),
                nt_type="smoothgrad",
                nt_samples=self.samples,
                nt_samples_batch_size=min(self.samples, batch_size(batch.classifier, *x.shape[2:])),
                stdevs=spread,
                abs=False,
                additional_forward_args=(batch.weights, x.detach()[:, 0], still),
            )
        return values
