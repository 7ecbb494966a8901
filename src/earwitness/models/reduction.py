"""A network that answers one number: a function of its scores, or of what one of its layers answers.

So everything that explains a class explains any scalar: a regression, a margin over several classes, a channel inside.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from earwitness.core.errors import EarwitnessError, UsageError, first_line
from earwitness.models.adapter import INNER, NONE, Coat, place_of, shown_name
from earwitness.models.classifier import Classifier
from earwitness.models.foreign.runtimes import OPAQUE, REASON, Held, is_opaque
from earwitness.models.tokens import tokens_of

Reduction = Callable[[Tensor], Tensor]


class Reduced(Coat):
    """A network whose only answer is a number, shape (n, 1).

    Parameters
    ----------
    inner
        The network.
    function
        From its answers before the activation, shape (n, classes), or from the layer's, to one number each, shape (n,).
    name
        What the number is called.
    layer
        Dotted name of the layer, within ``inner``; ``""`` for the network's answers.
    """

    def __init__(self, inner: nn.Module, function: Reduction, name: str, layer: str = "") -> None:
        nn.Module.__init__(self)
        feature_layer = str(getattr(inner, "feature_layer", ""))
        self.inner, self.function, self.reduction, self.layer = inner, Held(function), name, layer
        self.feature_layer = INNER + feature_layer if feature_layer else ""
        self.map_axes = tuple(getattr(inner, "map_axes", ("time", "frequency")))
        self.takes_samples = bool(getattr(inner, "takes_samples", False))
        tokens = tokens_of(inner)
        attention = tuple(INNER + each for each in tokens.attention) if tokens else ()
        self.tokens = replace(tokens, attention=attention) if tokens else None

    def copies(self, frames: int) -> int:
        """Return how many times in a row the network sees a segment."""
        copies_of: Callable[[int], int] | None = getattr(self.inner, "copies", None)
        return 1 if copies_of is None else copies_of(frames)

    def get_submodule(self, target: str) -> nn.Module:
        """Return a module by its dotted name here or within the network."""
        try:
            return super().get_submodule(target)
        except AttributeError:
            return self.inner.get_submodule(target)

    def forward(self, x: Tensor) -> Tensor:
        """Return the number of each row, shape (n, 1)."""
        answers = self._of_layer(x) if self.layer else self.inner(x)
        shape = tuple(answers.shape) if isinstance(answers, Tensor) else type(answers).__name__
        try:
            found = self.function(answers)
        except Exception as error:
            reason = first_line(error, REASON) or type(error).__name__
            raise EarwitnessError(f"{self.reduction}: fails on answers of shape {shape} ({reason})") from error
        if not isinstance(found, Tensor) or tuple(found.shape) != (len(x),):
            told = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise UsageError(
                f"{self.reduction}: makes {told} of answers of shape {shape}; return a tensor with a number a segment, "
                f"shape ({len(x)},)"
            )
        return found[:, None]

    def _of_layer(self, x: Tensor) -> Any:
        """Return what the layer answers to this thread."""
        seen, mine = [], threading.get_ident()

        def see(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if threading.get_ident() == mine:
                seen.append(output)

        handle = self.inner.get_submodule(place_of(self.inner, self.layer)).register_forward_hook(see)
        try:
            self.inner(x)
        finally:
            handle.remove()
        if len(seen) != 1:
            raise UsageError(f"layer '{self.layer}' runs {len(seen)} times in one pass; name one that runs once")
        return seen[0]


def reduced(classifier: Classifier, function: Reduction, name: str = "", layer: str = "") -> Classifier:
    """Return a classifier whose one class is the number that a function makes of its scores, or of a layer's answer.

    Raises
    ------
    UsageError
        There is no such layer, it cannot be looked at, or the function returns something else than a number a segment.
    EarwitnessError
        The function fails.
    """
    given = getattr(function, "__name__", type(function).__name__)
    called = name or ("reduction" if given == "<lambda>" else given)
    if layer and is_opaque(classifier.network):
        raise UsageError(f"layer '{layer}': {OPAQUE}")
    try:
        found = classifier.network.get_submodule(place_of(classifier.network, layer))
    except AttributeError:
        found = None
    if found is None:
        named = [each for each, module in classifier.network.named_modules() if each and not any(module.children())]
        last = [shown_name(classifier.network, each) for each in named]
        raise UsageError(f"layer '{layer}' is unknown; the last layers are {', '.join(last[-6:])}")
    network = Reduced(classifier.network, function, called, layer).eval()
    made = replace(classifier, network=network, classes=(called,), activation=NONE, parents=())
    size = (made.segment_samples,) if made.segment_samples else (made.segment_frames, made.front_end.bands)
    made.logits(torch.zeros(2, *size))  # tries the function
    return made


def reduction_of(network: nn.Module) -> str:
    """Return what a network's number is called; ``""`` for one that answers classes."""
    coat = getattr(network, "coat", network)  # of a network over waveforms that is bound to a segment
    return coat.reduction if isinstance(coat, Reduced) else ""
