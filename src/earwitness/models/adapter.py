"""A thin coat for other people's networks, in which every explanation method can handle them.

>>> import torch
>>> from earwitness.models.adapter import Adapter, ForeignFrontEnd
>>> from earwitness.audio.decoding.timefreq import Clock
>>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(2))
>>> front_end = ForeignFrontEnd(silence=-80.0, clock=Clock(22050, 512, 0.0, 64, 0.0, 11025.0))
>>> classifier = Adapter.around(net, ("cough", "sneeze"), front_end, feature_layer="1", turned=True)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from earwitness.audio.timefreq import Clock
from earwitness.core.errors import UsageError
from earwitness.models.protocols import ExplainableFrontEnd

ACTIVATIONS = ("softmax", "sigmoid")


@dataclass(frozen=True)
class ForeignFrontEnd:
    """What explanations need to know of a foreign front end.

    Parameters
    ----------
    silence
        The value of a silent cell in the spectrograms that the network takes (-80 for decibels cut off there).
    clock
        Sample rate, hop, and the bands' frequencies.
    """

    silence: float
    clock: Clock


@dataclass(frozen=True)
class Adapter:
    """Any network over spectrograms as something that can be explained; made by :meth:`around`.

    Parameters
    ----------
    network
        Maps (n, frames, bands) to logits (n, classes).
    classes
        Names, in the order of the logits.
    front_end
        Its silence and its clock.
    activation
        What turns logits into probabilities: ``"softmax"`` or ``"sigmoid"``.
    """

    network: Coat
    classes: tuple[str, ...]
    front_end: ExplainableFrontEnd
    activation: str = "softmax"

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise UsageError(f"activation '{self.activation}' does not do; use {' or '.join(ACTIVATIONS)}")

    @classmethod
    def around(
        cls,
        network: nn.Module,
        classes: tuple[str, ...],
        front_end: ExplainableFrontEnd,
        *,
        feature_layer: str = "",
        turned: bool = False,
        channel: bool = True,
        activation: str = "softmax",
    ) -> Adapter:
        """Adapt a network.

        Parameters
        ----------
        network
            Answers logits, each row by itself.
        classes, front_end, activation
            As above.
        feature_layer
            Dotted name, within ``network``, of the module that activation maps look at unless told otherwise. Elsewhere
            its name begins with ``inner.``.
        turned
            Whether the network takes (bands, frames) rather than (frames, bands).
        channel
            Whether it takes pictures with one channel, (n, 1, ...), rather than (n, ...).
        """
        return cls(Coat(network, feature_layer, turned, channel), tuple(classes), front_end, activation)

    @property
    def device(self) -> torch.device | str:
        """Where the network's weights are."""
        return next((weight.device for weight in self.network.parameters()), "cpu")


class Coat(nn.Module):
    """A network that takes (n, frames, bands) and hands its inner network the shape that this one takes."""

    def __init__(self, inner: nn.Module, feature_layer: str, turned: bool, channel: bool) -> None:
        super().__init__()
        self.inner, self.turned, self.channel = inner, turned, channel
        self.feature_layer = f"inner.{feature_layer}" if feature_layer else ""
        self.map_axes = ("frequency", "time") if turned else ("time", "frequency")

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, shape (n, classes), of log-mels, shape (n, frames, bands)."""
        x = x.transpose(1, 2) if self.turned else x
        logits: Tensor = self.inner(x[:, None] if self.channel else x)
        return logits
