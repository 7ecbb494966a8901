"""A network in two stages, up to a layer and from there on, each with the batches that suit it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from earwitness.audio.segments import Segments
from earwitness.explainers.inference.hooks import answering
from earwitness.explainers.inference.layers import Layer
from earwitness.explainers.inference.prefix import Before, before
from earwitness.explainers.inference.scoring import batch_size, logits_of
from earwitness.explainers.inference.suffix import ACCELERATOR_NUMBERS, PROCESSOR_NUMBERS

# How many first-stage batches at most are gathered for one of the second stage.
GATHERED = 16
# Numbers in the largest map of one batch of the first stage on a processor; of 3, 4, 6.5, 8 and 13 million the best for
# VGGish and no worse than others for mn04.
FIRST_NUMBERS = 8_000_000


def runs(layer: Layer, segments: Segments) -> Iterator[tuple[Tensor, Tensor]]:
    """Run a network with graphs that begin at the layer's output, as :meth:`Layer.run` does, in two stages.

    Up to the layer, where maps are large, small batches stay in the processor's caches, no graph is kept, and a copy of
    the network saves work. What follows the layer, where weights are large, is cheapest for many segments at once. The
    second stage gets the layer's maps and, from every module that had finished before the layer, not-a-numbers: where
    these reach the logits, something goes around the layer, and the network runs whole.

    Yields
    ------
    The layer's maps, a leaf of the graph, and the logits, for one stretch of the segments after another.
    """
    known = before(layer, segments)
    if known is None:
        yield from _whole(layer, segments)
        return
    held: list[tuple[Segments, Tensor]] = []
    for piece in _pieces(segments, _most(layer, segments, known)):
        maps = known.maps(layer, piece)
        if held and not _room(held, maps):
            yield from _after(layer, held, known)
            held = []
        held.append((piece, maps))
    yield from _after(layer, held, known)


def _most(layer: Layer, segments: Segments, known: Before) -> int:
    """Return how many segments at most make a batch of the first stage."""
    if torch.device(layer.classifier.device).type == "cpu":
        return max(1, FIRST_NUMBERS // known.largest)
    return batch_size(layer.classifier, *segments.values.shape[1:])


def _pieces(segments: Segments, most: int) -> list[Segments]:
    """Return as few batches as there can be, as even as they can be."""
    count = len(segments)
    each = math.ceil(count / math.ceil(count / most))
    return [segments.take(range(start, min(start + each, count))) for start in range(0, count, each)]


def _room(held: list[tuple[Segments, Tensor]], maps: Tensor) -> bool:
    limit = PROCESSOR_NUMBERS if maps.device.type == "cpu" else ACCELERATOR_NUMBERS
    return sum(each.numel() for _, each in held) + maps.numel() <= limit


def _whole(layer: Layer, segments: Segments) -> Iterator[tuple[Tensor, Tensor]]:
    for piece in _pieces(segments, batch_size(layer.classifier, *segments.values.shape[1:])):
        yield layer.run(piece)


def _after(layer: Layer, held: Sequence[tuple[Segments, Tensor]], known: Before) -> Iterator[tuple[Tensor, Tensor]]:
    """Run the second stage, or the whole network where the second stage needs more than the layer's maps."""
    leaf = torch.cat([maps for _, maps in held]).contiguous().requires_grad_()
    logits = _logits(layer, held[0][0], leaf, known)
    if logits is not None:
        yield leaf, logits
        return
    for piece, _ in held:
        yield from _whole(layer, piece)


def _logits(layer: Layer, piece: Segments, leaf: Tensor, known: Before) -> Tensor | None:
    network, asked = layer.classifier.network, list[int]()

    def answer(*_inputs: Any, **_named: Any) -> Tensor:
        asked.append(1)
        torch.set_grad_enabled(True)  # until the no_grad block around the network ends
        # A copy goes on, so that a following in-place layer cannot change the map that is weighted.
        return leaf.clone()

    nothing = leaf.new_full((1,), float("nan"))
    with ExitStack() as stubs:
        for name, shape in known.shapes.items():
            stubs.enter_context(answering(network.get_submodule(name), nothing.expand(len(leaf), *shape)))
        stubs.enter_context(answering(layer.module(piece), answer))
        x = nothing.expand(len(leaf), *piece.values.shape[1:])
        try:
            with torch.no_grad():
                logits = logits_of(layer.classifier, x)
        except RuntimeError:  # such as a change in place of what stands for many rows
            return None
    return logits if len(asked) == 1 and bool(logits.isfinite().all()) else None
