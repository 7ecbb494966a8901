"""A network in two stages, up to a layer and from there on, each with the batches that suit it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from earwitness.explain.featuremaps import Layer, is_map
from earwitness.explain.model import as_input, batch_size, logits_of
from earwitness.explain.rest import ACCELERATOR_NUMBERS, PROCESSOR_NUMBERS, answering
from earwitness.segments import Segments

# How many first-stage batches at most are gathered for one of the second stage.
GATHERED = 16
# Numbers in the largest map of one batch of the first stage on a processor.
FIRST_NUMBERS = 4_000_000


@dataclass(frozen=True)
class _Known:
    """The outermost modules that finish before the layer, with the shape of a row of what each answers.

    ``largest`` is how many numbers the largest answer of any module up to the layer has, for one segment.
    """

    shapes: dict[nn.Module, tuple[int, ...]]
    largest: int


class _ReachedError(Exception):
    """The layer has run, and the rest is not wanted."""


def runs(layer: Layer, segments: Segments) -> Iterator[tuple[Tensor, Tensor]]:
    """Run a network with graphs that begin at the layer's output, as :meth:`Layer.run` does, in two stages.

    Up to the layer, where maps are large, small batches stay in the processor's caches, and no graph is kept. What
    follows the layer, where weights are large, is cheapest for many segments at once. The second stage gets the
    layer's maps and, from every module that had finished before the layer, not-a-numbers: where these reach the
    logits, something goes around the layer, and the network runs whole.

    Yields
    ------
    The layer's maps, a leaf of the graph, and the logits, for one stretch of the segments after another.
    """
    size = batch_size(layer.classifier, *segments.values.shape[1:])
    known = _finished(layer, segments) if len(segments) > 1 else None
    if known is None:
        yield from _whole(layer, segments)
        return
    if torch.device(layer.classifier.device).type == "cpu":
        size = max(1, FIRST_NUMBERS // known.largest)
    pieces = [segments.take(range(start, min(start + size, len(segments)))) for start in range(0, len(segments), size)]
    held: list[tuple[Segments, Tensor]] = []
    for piece in pieces:
        maps = _before(layer, piece)
        if held and not _room(held, maps):
            yield from _after(layer, held, known)
            held = []
        held.append((piece, maps))
    yield from _after(layer, held, known)


def _room(held: list[tuple[Segments, Tensor]], maps: Tensor) -> bool:
    limit = PROCESSOR_NUMBERS if maps.device.type == "cpu" else ACCELERATOR_NUMBERS
    return sum(each.numel() for _, each in held) + maps.numel() <= limit


def _whole(layer: Layer, segments: Segments) -> Iterator[tuple[Tensor, Tensor]]:
    size = batch_size(layer.classifier, *segments.values.shape[1:])
    for start in range(0, len(segments), size):
        yield layer.run(segments.take(range(start, min(start + size, len(segments)))))


def _before(layer: Layer, piece: Segments) -> Tensor:
    """Return the layer's output; what follows it does not run."""
    seen: list[Tensor] = []

    def stop(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        seen.append(output)
        raise _ReachedError

    handle = layer.module(piece).register_forward_hook(stop)
    try:
        with torch.inference_mode(False), torch.no_grad():
            layer.classifier.network(as_input(layer.classifier, piece.values))
    except _ReachedError:
        pass
    finally:
        handle.remove()
    return seen[0]


def _finished(layer: Layer, piece: Segments) -> _Known | None:
    """Return what finishes before the layer.

    None where the layer does not make one map, or a module's answer is not one tensor with a row a segment.
    """
    found: dict[nn.Module, tuple[int, ...] | None] = {}
    chosen = layer.module(piece)
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

    handles = [module.register_forward_hook(after) for module in layer.classifier.network.modules()]
    try:
        with torch.no_grad():
            layer.classifier.network(as_input(layer.classifier, piece.values[:1]))
    except _ReachedError:
        pass
    finally:
        for handle in handles:
            handle.remove()
    shapes = {module: shape for module, shape in found.items() if shape is not None}
    return _Known(shapes, largest) if maps and is_map(maps[0]) and len(shapes) == len(found) else None


def _after(layer: Layer, held: Sequence[tuple[Segments, Tensor]], known: _Known) -> Iterator[tuple[Tensor, Tensor]]:
    """Run the second stage, or the whole network where the second stage needs more than the layer's maps."""
    leaf = torch.cat([maps for _, maps in held]).requires_grad_()
    logits = _logits(layer, held[0][0], leaf, known)
    if logits is not None:
        yield leaf, logits
        return
    for piece, _ in held:
        yield from _whole(layer, piece)


def _logits(layer: Layer, piece: Segments, leaf: Tensor, known: _Known) -> Tensor | None:
    asked: list[int] = []

    def answer(*_inputs: Any, **_named: Any) -> Tensor:
        asked.append(1)
        torch.set_grad_enabled(True)  # until the no_grad block around the network ends
        # A copy goes on, so that a following in-place layer cannot change the map that is weighted.
        return leaf.clone()

    nothing = leaf.new_full((1,), float("nan"))
    with ExitStack() as stubs:
        for module, shape in known.shapes.items():
            stubs.enter_context(answering(module, nothing.expand(len(leaf), *shape)))
        stubs.enter_context(answering(layer.module(piece), answer))
        x = nothing.expand(len(leaf), *piece.values.shape[1:])
        try:
            with torch.no_grad():
                logits = logits_of(layer.classifier, x)
        except RuntimeError:  # such as a change in place of what stands for many rows
            return None
    return logits if len(asked) == 1 and bool(logits.isfinite().all()) else None
