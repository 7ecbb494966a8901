"""A thin coat for other people's networks, in which every explanation method can handle them.

>>> import torch
>>> from earwitness.models.adapter import Adapter, ForeignFrontEnd
>>> from earwitness.audio.timefreq import Clock
>>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(2))
>>> clock = Clock(sample_rate=22050, hop=512, centre=0.0, bands=64, low_hz=0.0, high_hz=11025.0, mel_scale="slaney")
>>> front_end = ForeignFrontEnd(silence=-80.0, clock=clock)  # librosa's default, in decibels
>>> classifier = Adapter.around(net, ("cough", "sneeze"), front_end, feature_layer="1", turned=True)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from earwitness.audio.timefreq import Clock
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.models.protocols import ExplainableFrontEnd
from earwitness.models.tokens import Tokens

NONE = "none"
ACTIVATIONS = ("softmax", "sigmoid", NONE)
# What the axes of a network's input mean, after the batch.
FRAMES, BANDS, CHANNEL, SAMPLES = "frames", "bands", "channel", "samples"
POOLS = ("mean", "max")


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
        Maps (n, frames, bands) to answers (n, classes).
    classes
        Names, in the order of the answers.
    front_end
        Its silence and its clock.
    activation
        What turns answers into probabilities: ``"softmax"``, ``"sigmoid"``, or ``"none"`` where they are final.
    """

    network: Coat
    classes: tuple[str, ...]
    front_end: ExplainableFrontEnd
    activation: str = "softmax"

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            known = f"{', '.join(ACTIVATIONS[:-1])} or {ACTIVATIONS[-1]}"
            raise UsageError(f"activation '{self.activation}' does not do; use {known}")

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
        batch: int = 0,
    ) -> Adapter:
        """Adapt a network.

        Parameters
        ----------
        network
            Answers a number a class, each row by itself.
        classes, front_end, activation
            As above.
        feature_layer
            Dotted name, within ``network``, of the module that activation maps look at unless told otherwise.
        turned
            Whether the network takes (bands, frames) rather than (frames, bands).
        channel
            Whether it takes pictures with one channel, (n, 1, ...), rather than (n, ...).
        batch
            How many segments it takes at once, where that is fixed (1 for many exported networks); 0 for any.
        """
        axes = (*((CHANNEL,) if channel else ()), *((BANDS, FRAMES) if turned else (FRAMES, BANDS)))
        return cls(Coat(network, axes, feature_layer=feature_layer, batch=batch), tuple(classes), front_end, activation)

    @property
    def device(self) -> torch.device | str:
        """Where the network's weights are."""
        return next((weight.device for weight in self.network.parameters()), "cpu")


class Coat(nn.Module):
    """A network that takes (n, frames, bands), or (n, samples), and hands its inner network what this one takes.

    Parameters
    ----------
    inner
        The network.
    axes
        What its input's axes mean after the batch, such as ``("channel", "bands", "frames")`` or ``("samples",)``.
    feature_layer
        Dotted name, within ``inner``, of the layer that activation maps look at; ``""`` for none.
    batch
        How many rows it takes at once; 0 for any.
    output
        Which of its answers holds the classes, by name or place, where it gives several.
    pooled
        How answers of several moments, (n, moments, classes), become one: ``"mean"`` or ``"max"``; ``""`` for not.
    prepare
        What is done to segments first; None for nothing.
    tokens
        Of a transformer, where its tokens lie; its feature layer answers with them. None for other networks.
    """

    def __init__(
        self,
        inner: nn.Module,
        axes: Sequence[str],
        *,
        feature_layer: str = "",
        batch: int = 0,
        output: str | int | None = None,
        pooled: str = "",
        prepare: nn.Module | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        super().__init__()
        if sorted(set(axes) - {CHANNEL}) not in ([BANDS, FRAMES], [SAMPLES]) or len(set(axes)) != len(axes):
            raise UsageError(
                f"layout {', '.join(axes)}: name frames and bands once each (samples, where it takes waveforms), and "
                "channel where it has one"
            )
        self.inner, self.axes, self.batch, self.output = inner, tuple(axes), batch, output
        self.pooled, self.prepare = pooled, prepare
        self.feature_layer = place_of(self, feature_layer) if feature_layer else ""
        attention = [place_of(self, each) for each in tokens.attention] if tokens else ()
        self.tokens = replace(tokens, attention=tuple(attention)) if tokens else None
        self.takes_samples = SAMPLES in self.axes
        turned = not self.takes_samples and self.axes.index(BANDS) < self.axes.index(FRAMES)
        self.map_axes = ("frequency", "time") if turned else ("time", "frequency")

    def forward(self, x: Tensor) -> Tensor:
        """Return the answers, shape (n, classes), to log-mels, shape (n, frames, bands), or waveforms (n, samples)."""
        if self.prepare is not None:
            x = self.prepare(x)
        if self.map_axes[0] == "frequency":
            x = x.transpose(1, 2)
        if CHANNEL in self.axes:
            x = x.unsqueeze(1 + self.axes.index(CHANNEL))
        if not self.batch:
            return self._answers(x)
        parts = [self._filled(part) for part in torch.split(x, self.batch)]
        return torch.cat(parts) if parts else self._answers(x)

    def _filled(self, part: Tensor) -> Tensor:
        """Return the answers to at most a batch, which is filled up with copies of its last row."""
        missing = self.batch - len(part)
        whole = torch.cat([part, part[-1:].expand(missing, *part.shape[1:])]) if missing else part
        return self._answers(whole)[: len(part)]

    def _answers(self, x: Tensor) -> Tensor:
        found = self._chosen(self.inner(x))
        if not self.pooled or not isinstance(found, Tensor) or found.ndim < 3:
            return found
        moments = found.flatten(1, -2)
        return moments.amax(dim=1) if self.pooled == "max" else moments.mean(dim=1)

    def _chosen(self, found: Any) -> Tensor:
        if isinstance(found, Tensor) and self.output in (None, 0):
            return found
        listed = found if isinstance(found, Sequence) else [found]
        named: dict[Any, Any] = dict(found) if isinstance(found, Mapping) else dict(enumerate(listed))
        if self.output is None and len(named) == 1:
            (only,) = named.values()
            return only
        if self.output not in named:
            raise EarwitnessError(
                f"the network gives {', '.join(map(str, named))}; name the output that holds the classes"
            )
        return named[self.output]


# A coat's own name for the network that it is around.
INNER = "inner."


def place_of(network: nn.Module, name: str) -> str:
    """Return the dotted name of a module in a network that may wear coats, by the name that its owner knows it by.

    A name that its owner's network does not have is taken for that within the coat, which maps of version 0.1.0 hold.
    """
    if not name or not isinstance(network, Coat):
        return name
    inside = place_of(network.inner, name)
    if _has(network.inner, inside) or not _has(network, name):
        return INNER + inside
    return name


def shown_name(network: nn.Module, place: str) -> str:
    """Return the name by which its owner knows a module, by its dotted name in a network that may wear coats."""
    while isinstance(network, Coat) and place.startswith(INNER):
        network, place = network.inner, place.removeprefix(INNER)
    return place


def _has(network: nn.Module, name: str) -> bool:
    try:
        network.get_submodule(name)
    except AttributeError:
        return False
    return True
