"""What explanations need of a classifier, whoever made it."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn

from earwitness.audio.timefreq import Clock


class ExplainableFrontEnd(Protocol):
    """What explainers need of a front end."""

    @property
    def silence(self) -> float:
        """The log-mel value of a silent cell."""
        ...

    @property
    def clock(self) -> Clock:
        """The grid of time and frequency."""
        ...


class Explainable(Protocol):
    """What explainers need of a classifier.

    The network maps (n, frames, bands) to logits (n, classes), each row by itself. It may have ``feature_layer``
    (dotted name of the module that activation maps look at), ``map_axes`` (what the last two axes of a feature
    map mean), ``copies(frames)`` (how many times in a row it sees a segment, which its feature maps then show) and
    ``tokens`` (:class:`earwitness.models.tokens.Tokens`: where the tokens of a transformer lie).
    """

    @property
    def network(self) -> nn.Module:
        """The network."""
        ...

    @property
    def front_end(self) -> ExplainableFrontEnd:
        """The front end."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        ...

    @property
    def activation(self) -> str:
        """``"softmax"``, ``"sigmoid"``, or ``"none"`` where the network's answers are final."""
        ...

    @property
    def device(self) -> torch.device | str:
        """Where the network's weights are."""
        ...
