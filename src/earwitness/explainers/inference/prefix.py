"""The part of a network before a layer: what runs in it, and a copy that makes the layer's maps sooner.

A copy of :mod:`earwitness.explainers.inference.optimised` is held to the network's logits, perhaps in another number
format, and is worth its trial only in very many passes. Activation maps want one pass, the maps of a layer that may lie
anywhere, and these to float32's rounding, so this copy is held to the maps, and has its own bounds for when it pays.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from earwitness.audio.segments import Segments
from earwitness.core.errors import UsageError
from earwitness.explainers.inference.fingerprint import untouched
from earwitness.explainers.inference.fused import convolutions, packs, suit_processor, twin_of
from earwitness.explainers.inference.layers import Layer, is_map
from earwitness.explainers.inference.modules import parts
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.inference.scoring import as_input

# The copy is used where its maps are the network's to this share of the largest cell: float32 rounding, which is a few
# millionths for each of both.
AGREEMENT = 1e-5
TRIED = 2  # segments
# For fewer segments, or fewer than ONCE where no other call is expected, a copy does not pay. It does where the
# network's convolutions have more weights than LARGE, which are packed: before each pass of the network itself oneDNN
# would lay them anew, an eighth to a fifth of VGGish's time up to its layer.
MANY, ONCE = 16, 64
LARGE = 2**20


@dataclass(frozen=True)
class Before:
    """What is known of a network up to a layer, for segments of one size.

    Parameters
    ----------
    shapes
        By dotted name, the outermost modules that finish before the layer: the shape of a row of what each answers.
    largest
        Numbers in the largest answer of any module up to the layer, for one segment.
    ready
        A copy that computes the same maps sooner, or None.
    """

    shapes: dict[str, tuple[int, ...]]
    largest: int
    ready: nn.Module | None = None

    def maps(self, layer: Layer, piece: Segments) -> Tensor:
        """Return the layer's output, shape (n, channels, H, W), without a graph; what follows it does not run."""
        return _up_to(self.ready or layer.classifier.network, layer, piece)


class _ReachedError(Exception):
    """The layer has run, and the rest is not wanted."""


def before(layer: Layer, segments: Segments) -> Before | None:
    """Return what is known of a network up to a layer; it is kept with the prepared classifier.

    Parameters
    ----------
    layer
        Of a network in evaluation mode.
    segments
        At least one; the first are put through the network where nothing is known of it.

    Returns
    -------
    None where that is not worth while, where the layer does not make one map, or where what runs before it answers
    anything else than one tensor with a row a segment.
    """
    prepared, many = layer.classifier, len(segments) >= (MANY if layer.classifier.lasting else ONCE)
    if not many and not (prepared.lasting and _packing_pays(prepared)):
        return None
    # For many segments and for few, that of the layer and the size of segments that were asked for last.
    about = (layer.name, segments.values.shape[1:])
    return prepared.once(("before", many), about, lambda: _found(layer, segments, many))


def _found(layer: Layer, segments: Segments, many: bool) -> Before | None:
    network, found = layer.classifier.network, _finished(layer, segments.take([0]))
    if found is None or not untouched(parts(network)) or not convolutions(network):
        return found
    return _with_copy(layer, segments, found, many)


def _packing_pays(prepared: Prepared) -> bool:
    """Tell whether a processor passes sooner through packed convolutions, however few the segments are."""
    return prepared.convolved >= LARGE and torch.device(prepared.device).type == "cpu" and packs()


def _up_to(network: nn.Module, layer: Layer, piece: Segments) -> Tensor:
    """Return what a layer of a network, or of its copy, answers."""
    seen: list[Tensor] = []

    def stop(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        seen.append(output)
        raise _ReachedError

    handle = network.get_submodule(layer.name).register_forward_hook(stop)
    try:
        with suppress(_ReachedError), torch.inference_mode(False), torch.no_grad():
            network(as_input(layer.classifier, piece.values))
    finally:
        handle.remove()
    return layer.maps_of(seen, piece)


def _finished(layer: Layer, piece: Segments) -> Before | None:
    network, chosen = layer.classifier.network, layer.module(piece)
    found: dict[nn.Module, tuple[int, ...] | None] = {}
    maps: list[Any] = []
    largest = 1

    def after(module: nn.Module, _inputs: Any, output: Any) -> None:
        nonlocal largest
        largest = max(largest, output.numel() if isinstance(output, Tensor) else 1)
        if module is chosen:
            maps.append(output)
            raise _ReachedError
        for part in module.modules():  # what is inside a finished module is not asked again
            found.pop(part, None)
        fits = isinstance(output, Tensor) and output.ndim > 0
        found[module] = tuple(output.shape[1:]) if fits else None

    with ExitStack() as hooks:
        try:
            for module in network.modules():
                hooks.callback(module.register_forward_hook(after).remove)
        except RuntimeError:  # scripted modules take no hooks
            return None
        with suppress(_ReachedError), torch.no_grad():
            network(as_input(layer.classifier, piece.values))
    shapes = {name: shape for name, each in network.named_modules() if (shape := found.get(each)) is not None}
    return Before(shapes, largest) if maps and is_map(maps[0]) and len(shapes) == len(found) else None


# ---- the copy -----------------------------------------------------------------------------------------------------


def _with_copy(layer: Layer, segments: Segments, found: Before, many: bool) -> Before:
    """Return the same with a copy, where that makes the network's maps of the first segments."""
    network = layer.classifier.network
    rows = range(min(TRIED, len(segments)))
    try:
        twin = twin_of(network)
        if torch.device(layer.classifier.device).type == "cpu":
            suit_processor(twin, sparing=many)  # a few segments are too few to spare products
        # Each gets its own, which it may change in place.
        own, others = (_up_to(each, layer, segments.take(rows)) for each in (network, twin))
        agrees = own.shape == others.shape and bool((own - others).abs().max() <= AGREEMENT * own.abs().max())
    except (RuntimeError, TypeError, ValueError, AttributeError, UsageError):
        return found  # what cannot be copied is used as it is
    return Before(found.shapes, found.largest, twin) if agrees else found
