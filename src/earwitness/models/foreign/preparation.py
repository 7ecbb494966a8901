"""What becomes of a segment's spectrogram, or of its samples, before a foreign network gets it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from earwitness.audio.frontend import FrontEnd
from earwitness.audio.logmel import energy_of

SEGMENT, WAV2VEC2 = "segment", "wav2vec2"
PER_SEGMENT = (SEGMENT, WAV2VEC2)
WAV2VEC2_VARIANCE = 1e-7  # added by its feature extractor, which matters to quiet sound


class Preparation(nn.Module):
    """From a log spectrogram to what the network takes; explanations stay on the log spectrogram.

    Of samples, mean and spread alone are taken.

    Parameters
    ----------
    raw
        The front end whose logarithm is undone, for networks that take magnitudes or powers; None for others.
    to_loudest
        Whether values are relative to the segment's loudest cell.
    top_db
        How far under the loudest cell values are cut off; 0 for nowhere.
    mean, std
        The result is (x - mean) / std.
    per_segment
        ``"segment"`` takes each segment's own mean and spread, ``"wav2vec2"`` does as that one's feature extractor.
    """

    def __init__(
        self, *, raw: FrontEnd | None, to_loudest: bool, top_db: float, mean: float, std: float, per_segment: str
    ) -> None:
        super().__init__()
        self.raw, self.to_loudest, self.top_db = raw, to_loudest, top_db
        self.mean, self.std, self.per_segment = mean, std, per_segment

    def forward(self, x: Tensor) -> Tensor:
        """Return what the network takes, of log spectrograms (n, frames, bands) or samples (n, samples); same shape."""
        if self.raw is not None:
            x = energy_of(self.raw, x)
        if self.to_loudest:
            x = x - x.amax(dim=(1, 2), keepdim=True)
        if self.top_db:
            x = torch.maximum(x, x.amax(dim=(1, 2), keepdim=True) - self.top_db)
        if self.per_segment in PER_SEGMENT:
            axes = tuple(range(1, x.ndim))
            if self.per_segment == WAV2VEC2:
                spread = (x.var(dim=axes, correction=0, keepdim=True) + WAV2VEC2_VARIANCE).sqrt()
            else:
                spread = x.std(dim=axes, correction=0, keepdim=True).clamp(min=1e-6)
            x = (x - x.mean(dim=axes, keepdim=True)) / spread
        return (x - self.mean) / self.std
