"""SmoothGrad: Smilkov et al., *SmoothGrad: removing noise by adding noise*, 2017."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from earwitness.explainers.gradient.base import GradientBatch, GradientMethod, Gradients, Measured, and_back
from earwitness.explainers.inference.scoring import batch_size
from earwitness.explainers.parameters import integer, number_from, parameter
from earwitness.models.protocols import Explainable


@dataclass(frozen=True)
class SmoothGrad(GradientMethod):
    """SmoothGrad: the mean gradient of the score over copies of the segment with noise added.

    Signed; padding gets no noise. Each segment's noise is drawn anew from the same seed, so it does not depend on what
    is explained beside it. Parameters beside ``score``, for which see
    :class:`~earwitness.explainers.gradient.base.GradientMethod`:

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
    assumes: ClassVar[str] = "noise averages out what is rough in the gradient and leaves what matters"
    misses: ClassVar[str] = "how much a cell adds as a whole, as saliency does, and detail that the noise covers"

    samples: int = parameter(50, integer(1), "noisy copies of the segment")
    noise: float = parameter(0.15, number_from(0.0), "spread of the noise, as share of the range of the values")
    seed: int = parameter(0, integer(0), "seed of the noise")

    def quick(self) -> Self:
        """Return SmoothGrad with fewer copies."""
        return self.changed(samples=min(12, self.samples))

    def at_most(self, passes: int) -> Self:
        """Return SmoothGrad with no more copies than so many forward passes allow."""
        return self.changed(samples=min(and_back(passes), self.samples))

    def together(self, classifier: Explainable, frames: int, bands: int) -> int:
        """Return how many segments' copies fill a batch."""
        return max(1, batch_size(classifier, frames, bands) // self.samples)

    def measure(self, batch: GradientBatch) -> Measured:
        """Return the maps of a batch."""
        scores, weights, count = batch.evaluate(batch.x), batch.weights, self.samples
        noisy = torch.cat([self._noisy(batch, row) for row in range(len(weights))])
        owner = torch.arange(len(weights), device=noisy.device).repeat_interleave(count)
        total = noisy.new_zeros((*weights.shape[:2], *noisy.shape[2:]), dtype=torch.float64)
        squares = torch.zeros_like(total)
        gradients = Gradients(batch)
        for part in torch.split(torch.arange(len(noisy)), batch_size(batch.classifier, *noisy.shape[2:])):
            (found,) = gradients(None, (noisy[part],), None, weights[owner[part]])
            total.index_add_(0, owner[part], found.double())
            squares.index_add_(0, owner[part], found.double().square())
        # Standard error of a mean.
        spread = (squares - total.square() / count).clamp(min=0) / max(1, count - 1)
        errors = (spread / count).sqrt() if count > 1 else None
        return Measured(values=total / count, scores=scores, forwards=count + 1, backwards=count, errors=errors)

    def _noisy(self, batch: GradientBatch, row: int) -> Tensor:
        """Return a segment's noisy copies, shape (samples, 1, frames, bands)."""
        real = int(batch.segments.real_frames[row])
        spread = self.noise * batch.reach(row)
        x = batch.take([row]).x.repeat(self.samples, 1, 1, 1)
        # Drawn on the processor and in float32: the same draws for every device and every number format.
        noise = spread * torch.randn(x.shape, generator=torch.Generator().manual_seed(self.seed))
        noise[:, :, real:] = 0
        return x + noise.to(x)
