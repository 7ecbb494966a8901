"""VGGish: Hershey et al., *CNN Architectures for Large-Scale Audio Classification*, ICASSP 2017."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from earwitness.models.network import Network, Standardise

EMBEDDING = 128
# Channels of the 3 x 3 convolutions; "pool" halves both axes.
LAYOUT: tuple[int | str, ...] = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool")
# The dense layers begin with the flattened 6 x 4 x 512 map of a 96 x 64 segment.
DENSE = (6 * 4 * 512, 4096, 4096, EMBEDDING)


class VGGish(Network):
    """VGGish with a new dense layer ``FCFinal`` on its 128-dimensional embedding.

    The embedding ends in its ReLU (MathWorks' layer "EmbeddingBatch"). Module names and order are those of the
    published PyTorch state dict (``features.N``, ``embeddings.N``).
    """

    feature_layer: ClassVar[str] = "features.14"  # the ReLU before the last pooling: 12 x 8 cells
    map_axes: ClassVar[tuple[str, str]] = ("time", "frequency")

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.standardise = Standardise()
        self.features = nn.Sequential(*_convolutions())
        self.embeddings = nn.Sequential(*_dense())
        self.FCFinal = nn.Linear(EMBEDDING, classes)

    def embed(self, segments: Tensor) -> Tensor:
        """Return embeddings (n, 128) of segments (n, 96, 64)."""
        maps = self.features(self.standardise(segments).unsqueeze(1))
        # TensorFlow's layout (time, frequency, channel) is what the dense weights were trained on.
        return torch.as_tensor(self.embeddings(maps.permute(0, 2, 3, 1).flatten(1)))

    def head(self, embeddings: Tensor) -> Tensor:
        """Return logits (n, classes)."""
        return torch.as_tensor(self.FCFinal(embeddings))

    def head_parameters(self) -> list[nn.Parameter]:
        """Return FCFinal's weight and bias."""
        return list(self.FCFinal.parameters())


def _convolutions() -> list[nn.Module]:
    modules: list[nn.Module] = []
    channels = 1
    for entry in LAYOUT:
        if isinstance(entry, str):
            modules.append(nn.MaxPool2d(2))
        else:
            modules += [nn.Conv2d(channels, entry, 3, padding=1), nn.ReLU()]
            channels = entry
    return modules


def _dense() -> list[nn.Module]:
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(DENSE):
        modules += [nn.Linear(inputs, outputs), nn.ReLU()]
    return modules


def initialise_he(network: nn.Module, seed: int) -> None:
    """Fill a network with random weights of He's scale and zero biases (He et al., ICCV 2015, section 2.2).

    Parameters
    ----------
    network
        Changed in place; only convolutions and dense layers are touched.
    seed
        Of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
