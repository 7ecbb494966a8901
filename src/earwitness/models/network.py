"""What every backbone is to the rest of earwitness: a network over log-mel segments, and a line in the registry."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from earwitness.core.device import to_numpy


class Network(nn.Module, ABC):
    """A network from log-mel segments to class scores.

    A backbone subclasses it once and leaves nothing abstract.

    Attributes
    ----------
    feature_layer
        Dotted name of the module whose output is explained by activation maps unless another layer is named: the
        last activation whose map has more than one cell.
    map_axes
        What the last two axes of a convolution's output mean: ``("time", "frequency")``, or the other way round
        where the network turns the picture.
    standardise
        The input's shift and scale.
    """

    feature_layer: ClassVar[str]
    map_axes: ClassVar[tuple[str, str]] = ("time", "frequency")
    standardise: Standardise

    def copies(self, frames: int) -> int:
        """Return how many times in a row a segment of so many frames is seen; feature maps cover all of them."""
        del frames
        return 1

    @abstractmethod
    def embed(self, segments: Tensor) -> Tensor:
        """Return the embeddings, shape (n, embedding), of log-mel segments, shape (n, frames, bands)."""

    @abstractmethod
    def head(self, embeddings: Tensor) -> Tensor:
        """Return the class scores (logits), shape (n, classes), of embeddings."""

    @abstractmethod
    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters from the embedding on, which always learn at the full rate."""

    def forward(self, segments: Tensor) -> Tensor:
        """Return the class scores (logits), shape (n, classes), of log-mel segments, shape (n, frames, bands)."""
        return self.head(self.embed(segments))


class Standardise(nn.Module):
    """Shift and scale the input by two fixed numbers that are saved with the weights.

    A network that starts from random weights needs inputs of mean 0 and spread 1; published weights expect the front
    end's own values, which the initial numbers (0 and 1) leave as they are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(0.0))
        self.register_buffer("spread", torch.tensor(1.0))
        self.mean: Tensor
        self.spread: Tensor

    def set(self, mean: float, spread: float) -> None:
        """Fix the two numbers."""
        self.mean.fill_(mean)
        self.spread.fill_(spread)

    def forward(self, segments: Tensor) -> Tensor:
        """Return (segments - mean) / spread."""
        return (segments - self.mean) / self.spread


def weights_sha256(network: nn.Module) -> str:
    """Return a name for a network's weights: the SHA-256 of all its tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(to_numpy(tensor.detach().contiguous().view(-1).view(torch.uint8)).tobytes())
    return digest.hexdigest()
