"""The layer that activation methods look at: finding it, running the network through it, its map on the segment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from earwitness.audio.segments import Segments
from earwitness.core.errors import UsageError
from earwitness.explainers.attribution import Grid
from earwitness.explainers.inference.hooks import hookable
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.inference.scoring import as_input, logits_of
from earwitness.models.adapter import place_of, shown_name
from earwitness.models.foreign.runtimes import OPAQUE, is_opaque
from earwitness.models.tokens import Tokens, tokens_of

# How many layers an error message names; the last ones are the likeliest choices.
LAYERS_NAMED = 6
WITH_MAPS = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Hardswish, nn.MaxPool2d, nn.AvgPool2d)


@dataclass(frozen=True)
class Layer:
    """A layer of a classifier's network, asked for by a method.

    Parameters
    ----------
    method
        Registry name, for messages.
    classifier
        Whose network.
    name
        Dotted name of the module in the network; :attr:`called` is the one that the network's owner knows.
    """

    method: str
    classifier: Prepared
    name: str

    @classmethod
    def chosen(cls, method: str, classifier: Prepared, name: str) -> Layer:
        """Return the layer of a name, or the network's own choice where the name is empty."""
        return cls(method, classifier, chosen_layer(classifier.network, name))

    @property
    def called(self) -> str:
        """The name that the network's owner knows."""
        return shown_name(self.classifier.network, self.name)

    def module(self, segments: Segments) -> nn.Module:
        """Return the module.

        Raises
        ------
        UsageError
            Naming layers that would do.
        """
        module = named(self.classifier.network, self.name)
        if module is not None:
            return module
        problem = f"layer '{self.called}' is unknown" if self.name else "the network names no feature_layer"
        raise self._refusal(problem, segments)

    def maps_of(self, seen: list[Any], segments: Segments) -> Tensor:
        """Return the layer's map, shape (n, channels, H, W), from all outputs that were seen in one pass.

        Raises
        ------
        UsageError
            If the layer ran more than once or never, or its output is no map.
        """
        if len(seen) != 1:
            times = f"is used {len(seen)} times in one pass" if seen else "is not used"
            raise self._refusal(f"layer '{self.called}' {times}, so its map is not one", segments)
        if not is_map(seen[0]):
            shape = tuple(seen[0].shape[1:]) if isinstance(seen[0], Tensor) else type(seen[0]).__name__
            raise self._refusal(
                f"layer '{self.called}' has no map of time and frequency (its output is {shape})", segments
            )
        maps: Tensor = seen[0]
        return maps

    def run(self, segments: Segments) -> tuple[Tensor, Tensor]:
        """Run the network with a graph that begins at the layer's output.

        Returns
        -------
        The map, shape (n, channels, H, W), a leaf of the graph; and the logits, shape (n, classes).
        """
        seen: list[Any] = []

        def begin(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            if not is_map(output):
                seen.append(output)
                return output
            leaf = output.detach().requires_grad_()
            seen.append(leaf)
            torch.set_grad_enabled(True)  # until the no_grad block around the network ends
            # A copy goes on, so that a following in-place layer cannot change the map that is weighted.
            return leaf.clone()

        handle = self.module(segments).register_forward_hook(begin)
        try:
            with torch.no_grad():
                logits = logits_of(self.classifier, as_input(self.classifier, segments.values))
        finally:
            handle.remove()
        return self.maps_of(seen, segments), logits

    def upright(self, maps: Tensor) -> Tensor:
        """Return maps with the last two axes (time, frequency), whichever way the network works."""
        axes = tuple(getattr(self.classifier.network, "map_axes", ("time", "frequency")))
        return maps.transpose(-2, -1) if axes == ("frequency", "time") else maps

    def grid(self, frames: int, bands: int, along: int, across: int) -> Grid:
        """Return where the cells of an upright map (along, across) lie on a segment (frames, bands)."""
        return token_grid(tokens_of(self.classifier.network), frames, bands, along, across)

    def copies(self, frames: int) -> int:
        """Return how many times in a row the network sees a segment, all of which its maps show."""
        copies_of: Callable[[int], int] | None = getattr(self.classifier.network, "copies", None)
        return 1 if copies_of is None else copies_of(frames)

    def folded(self, maps: Tensor, frames: int) -> Tensor:
        """Return upright maps (n, time, frequency) of one segment's copies laid on one another and added up.

        Each copy of a moment is evidence of its own.
        """
        copies = self.copies(frames)
        return maps if copies == 1 else maps.reshape(len(maps), copies, -1, maps.shape[-1]).sum(dim=1)

    def _refusal(self, problem: str, segments: Segments) -> UsageError:
        return UsageError(f"{self.method}: {problem}; {_advice(self.classifier, segments)}")


def token_grid(tokens: Tokens | None, frames: int, bands: int, along: int, across: int) -> Grid:
    """Return where the cells of an upright map (along, across) lie on a segment (frames, bands)."""
    middles = tokens.middles(along) if tokens is not None and tokens.across == across else None
    if middles is None or middles[0][-1] >= frames:
        return Grid.even(frames, bands, along, across)
    return Grid.around(*middles, frames, bands)


def chosen_layer(network: nn.Module, name: str) -> str:
    """Return the dotted name in a network of the layer that its owner calls by a name; its own choice for ``""``."""
    return place_of(network, name) if name else str(getattr(network, "feature_layer", ""))


def named(network: nn.Module, name: str) -> nn.Module | None:
    """Return a network's module by its dotted name, or None where there is none.

    Raises
    ------
    UsageError
        It was compiled, so that its output cannot be looked at.
    """
    try:
        module = network.get_submodule(name) if name else None
    except AttributeError:
        return None
    if isinstance(module, torch.jit.ScriptModule):
        raise UsageError(
            f"layer '{shown_name(network, name)}' was compiled by torch.jit, which hides its output; explain the "
            "network that it was compiled from, or use lime or occlusion"
        )
    return module


def refuse_layer(
    method: str,
    network: nn.Module,
    name: str,
    kinds: tuple[type[nn.Module], ...] = WITH_MAPS,
    wanted: str = "layers with maps",
) -> None:
    """Refuse a layer that a network does not have.

    Parameters
    ----------
    method
        Registry name, for the message.
    network
        Trained or not.
    name
        Dotted name of the module; ``""`` for the network's own choice.
    kinds, wanted
        The layers that may do, and what they are called.

    Raises
    ------
    UsageError
        Naming the last layers whose output can be a map.
    """
    chosen = chosen_layer(network, name)
    if named(network, chosen) is not None:
        return
    if is_opaque(network):
        raise UsageError(f"{method}: {OPAQUE}")
    called = shown_name(network, chosen)
    problem = f"layer '{called}' is unknown" if chosen else "the network names no feature_layer"
    modules = network.named_modules()
    layers = [shown_name(network, each) for each, module in modules if each and isinstance(module, kinds)]
    listed = ", ".join(layers[-LAYERS_NAMED:])
    advice = f"its last layers are {listed}" if layers else f"it has no {wanted}, so use lime or occlusion"
    raise UsageError(f"{method}: {problem}; {advice}")


def is_map(output: Any) -> bool:
    """Tell whether a module's output has channels, time and frequency, and more than one cell."""
    return (
        isinstance(output, Tensor)
        and output.is_floating_point()
        and output.ndim == 4
        and output.shape[2] * output.shape[3] > 1
    )


def _advice(classifier: Prepared, segments: Segments) -> str:
    layers = map_layers(classifier, segments)
    if not layers:
        return "no layer of this network has such a map, so use lime or occlusion"
    named = ", ".join(f"{name} ({rows}x{columns})" for name, (rows, columns) in layers[-LAYERS_NAMED:])
    earlier = len(layers) - LAYERS_NAMED
    return f"these would do: {named}" + (f" and {earlier} earlier ones" if earlier > 0 else "")


def map_layers(classifier: Prepared, segments: Segments) -> list[tuple[str, tuple[int, int]]]:
    """Return the layers that activation methods can look at, as their owner calls them, with the size of their maps.

    They come in the order in which they run.

    Parameters
    ----------
    classifier
        Whose network is looked at.
    segments
        The first one is put through the network.
    """
    network = classifier.network
    found: dict[str, list[Any]] = {}
    handles = [
        module.register_forward_hook(lambda _m, _i, output, name=name: found.setdefault(name, []).append(output))
        for name, module in hookable(network)
        if name and not any(module.children())
    ]
    try:
        with classifier.working(), torch.inference_mode():
            network(as_input(classifier, segments.values[:1]))
    finally:
        for handle in handles:
            handle.remove()
    single = {name: outputs[0] for name, outputs in found.items() if len(outputs) == 1}
    maps = {shown_name(network, name): output.shape for name, output in single.items() if is_map(output)}
    return [(name, (shape[2], shape[3])) for name, shape in maps.items()]
