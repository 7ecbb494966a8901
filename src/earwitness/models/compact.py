"""compact: earwitness's own small network, trained from random weights; what the demo uses."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from earwitness.models.network import Network, Standardise

CHANNELS = (16, 32, 64, 128)
DROPOUT = 0.2


class Compact(Network):
    """Four blocks of two 3 x 3 convolutions with batch norm, each block halving the map, then a pooled embedding.

    The embedding is the mean plus the maximum over the map: what sounds on, and what sounds once.
    """

    feature_layer: ClassVar[str] = "features.3.6"  # the last block's second ReLU: 12 x 8 cells
    map_axes: ClassVar[tuple[str, str]] = ("time", "frequency")

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.standardise = Standardise()
        blocks: list[nn.Module] = []
        channels = 1
        for number, width in enumerate(CHANNELS):
            blocks.append(_block(channels, width, pool=number > 0))
            channels = width
        self.features = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(DROPOUT)
        self.FCFinal = nn.Linear(channels, classes)

    def embed(self, segments: Tensor) -> Tensor:
        """Return embeddings (n, 128) of segments (n, frames, bands), any size of at least 8 x 8."""
        maps: Tensor = self.features(self.standardise(segments).unsqueeze(1))
        return maps.mean(dim=(2, 3)) + maps.amax(dim=(2, 3))

    def head(self, embeddings: Tensor) -> Tensor:
        """Return logits (n, classes)."""
        return torch.as_tensor(self.FCFinal(self.dropout(embeddings)))

    def head_parameters(self) -> list[nn.Parameter]:
        """Return FCFinal's weight and bias."""
        return list(self.FCFinal.parameters())


def _block(inputs: int, outputs: int, *, pool: bool) -> nn.Sequential:
    # The pooling comes first, so that the block's last activation is also its finest explained map.
    modules: list[nn.Module] = [nn.MaxPool2d(2)] if pool else []
    for channels in (inputs, outputs):
        modules += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*modules)
