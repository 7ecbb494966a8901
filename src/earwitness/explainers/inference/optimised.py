"""A network made ready for very many passes without gradients: the same answers, sooner.

What is done to a copy, whose unchanged weights are the network's own:

- batch norms are folded into convolutions, and activations write in place
  (:mod:`earwitness.explainers.inference.fused`);
- on a processor, 3 x 3 convolutions of very many channels take fewer products
  (:mod:`earwitness.explainers.inference.winograd`); of the others, and in float32 of large dense layers, oneDNN gets
  the weights as it wants them, and applies activations while it convolves, as far as
  :func:`earwitness.explainers.inference.fused.suit_processor` finds that this pays;
- in bfloat16, weights of convolutions and large dense layers are rounded once, and small dense layers stay in float32:
  they cost little, and the last of them makes the scores.

A trial with a segment shows whether the copy's logits are the network's; where they are not (a network that uses a
layer in two places, say), the network itself is used. Networks that carry hooks, that have no convolution, or that are
in other formats than float32 are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from earwitness.audio.segments import Segments
from earwitness.core.device import filled_up
from earwitness.core.processor import last_cache
from earwitness.explainers.inference.fingerprint import untouched
from earwitness.explainers.inference.fused import (
    convolutions,
    frozen,
    lay_channels_last,
    pack_dense,
    suit_processor,
    twin_of,
)
from earwitness.explainers.inference.modules import parts, precision_of
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.inference.scoring import as_input, batch_size, logits_of
from earwitness.models.protocols import Explainable

FLOAT32, BFLOAT16 = "float32", "bfloat16"
# How far the copy's logits may lie from the network's in the trial, as share of the largest.
AGREEMENT = 1e-4
ROUGH_AGREEMENT = 0.2  # in bfloat16, whose ranks are checked besides
# Dense layers of fewer weights are neither packed nor rounded.
LARGE = 2**20
# Bytes of a batch's largest map: at most half the last cache, and in any case what memory allocators hand out again
# without asking the system for it.
LARGEST_MAP = 16 * 2**20
# A batch's largest map is no smaller than this part of the weights, which are read once a batch.
WEIGHTS_PART = 8


@dataclass(frozen=True, kw_only=True)
class Swift:
    """A classifier's network ready for many passes.

    Parameters
    ----------
    classifier
        Whose network.
    network
        The copy, or the network itself.
    precision
        Number format of its multiplications.
    rows
        How many segments to put through it at once. It follows from sizes, not from a stopwatch, so that the same
        machine always makes the same batches and the same bytes.
    sparing
        Whether some convolutions take fewer products, which in bfloat16 makes them rougher.
    """

    classifier: Explainable
    network: nn.Module
    precision: str
    rows: int
    sparing: bool = False

    def logits(self, x: Tensor) -> Tensor:
        """Return logits, shape (n, classes), of log-mel segments (n, frames, bands) in the network's own format."""
        with _autocast(x.device.type, self.precision):
            return logits_of(self.classifier, filled_up(x), self.network)[: len(x)]


@dataclass(frozen=True)
class _Copy:
    """A copy whose answers are the network's, or None.

    Parameters
    ----------
    network
        The copy.
    widest
        Bytes of a segment's largest map.
    sparing
        Whether some convolutions take fewer products.
    """

    network: nn.Module | None = None
    widest: int = 0
    sparing: bool = False


def swift(prepared: Prepared, segments: Segments, precision: str = FLOAT32, *, sparing: bool = True) -> Swift:
    """Return a classifier's network ready for many passes over segments of one size.

    Parameters
    ----------
    prepared
        Whose network; the copy is kept with it.
    segments
        At least one; the first is the trial's.
    precision
        ``"float32"`` or ``"bfloat16"``; a network in another format than float32 keeps its own.
    sparing
        Whether convolutions may take fewer products.
    """
    network, shape = prepared.network, segments.values.shape[1:]
    own = precision_of(network)
    device = torch.device(prepared.device).type
    plain = Swift(classifier=prepared, network=network, precision=own, rows=batch_size(prepared, *shape))
    suits = own == FLOAT32 and device in ("cpu", "cuda") and bool(convolutions(network))
    if not suits or not untouched(parts(network)):
        return plain
    way = (precision, sparing)
    found = prepared.once(("swift", *way), shape, lambda: _tried(prepared, segments, *way))
    if found.network is None:
        return plain
    if device != "cpu":
        return Swift(
            classifier=prepared, network=found.network, precision=precision, rows=plain.rows, sparing=found.sparing
        )
    weights = sum(weight.nbytes for weight in found.network.parameters())
    return Swift(
        classifier=prepared,
        network=found.network,
        precision=precision,
        rows=rows_of(found.widest, weights),
        sparing=found.sparing,
    )


def rows_of(widest: int, weights: int) -> int:
    """Return how many segments a processor best sees at once.

    Parameters
    ----------
    widest
        Bytes of a segment's largest map.
    weights
        Bytes of all weights.
    """
    return max(1, min(LARGEST_MAP, last_cache() // 2) // widest, weights // (WEIGHTS_PART * widest))


def _autocast(device: str, precision: str) -> AbstractContextManager[Any]:
    return torch.autocast(device, torch.bfloat16, cache_enabled=False) if precision == BFLOAT16 else nullcontext()


# ---- the copy -----------------------------------------------------------------------------------------------------


def _tried(classifier: Explainable, segments: Segments, precision: str, sparing: bool) -> _Copy:
    """Return a copy, or nothing in its place where its answers are not the network's."""
    x = as_input(classifier, segments.values[:1])
    x = torch.cat([x, x.flip(1)])
    rough = precision == BFLOAT16
    # A processor may not know how to pack a number format; elsewhere weights lie as the network's own.
    ways: tuple[Callable[..., bool], ...] = (suit_processor, _laid) if x.device.type == "cpu" else (_left,)
    for suit in ways:
        try:
            twin = twin_of(classifier.network)
            spared = suit(twin, getattr(torch, precision), sparing=sparing)
            if rough:
                _round(twin)
            elif x.device.type == "cpu":
                pack_dense(twin, LARGE)
            with torch.inference_mode():
                expected = logits_of(classifier, x)
                found, widest = _measured(Swift(classifier=classifier, network=twin, precision=precision, rows=1), x)
        except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError):
            continue  # what cannot be copied or rounded either way is used as it is
        gap = (found - expected).abs().max()
        if bool(gap <= (ROUGH_AGREEMENT if rough else AGREEMENT) * expected.abs().max()):
            return _Copy(twin, widest, spared)
    return _Copy()


def _laid(twin: nn.Module, _dtype: torch.dtype, **_options: bool) -> bool:
    lay_channels_last(twin)
    return False


def _left(_twin: nn.Module, _dtype: torch.dtype, **_options: bool) -> bool:
    return False


def _round(network: nn.Module) -> None:
    for module in network.modules():
        if type(module) is nn.Linear and module.weight.numel() < LARGE:
            module.__class__ = _Exact
        elif type(module) in (nn.Conv2d, nn.Linear):
            for name, values in list(module.named_parameters(recurse=False)):
                setattr(module, name, frozen(values.detach().to(torch.bfloat16)))


class _Exact(nn.Linear):
    """A dense layer that stays in float32."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return linear(x.float(), self.weight, self.bias)


# ---- the size of a batch ------------------------------------------------------------------------------------------


def _measured(ready: Swift, x: Tensor) -> tuple[Tensor, int]:
    """Return the logits of some segments, and the bytes of the largest map that a module makes of one of them."""
    sizes = [0]
    with ExitStack() as handles:
        for handle in _listening(ready.network, sizes):
            handles.callback(handle.remove)
        logits = ready.logits(x)
    return logits, max(1, max(sizes) // len(x))


def _listening(network: nn.Module, sizes: list[int]) -> Iterator[Any]:
    def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel() * output.element_size())

    for module in network.modules():
        if not any(module.children()):
            yield module.register_forward_hook(note)
