"""A network made ready for very many passes without gradients: the same answers, sooner.

What is done to a copy, whose unchanged weights are the network's own:

- a convolution and the batch norm after it become one convolution;
- activations that follow a layer which nobody else listens to write over its output, so that no new memory is touched;
- weights of convolutions lie channels last;
- on a processor, 3 x 3 convolutions of many channels take fewer products (:mod:`earwitness.explain.winograd`), and
  large dense layers in float32 are packed for oneDNN;
- in bfloat16, weights of convolutions and large dense layers are rounded once, and small dense layers stay in float32:
  they cost little, and the last of them makes the scores.

A trial with a segment shows whether the copy's logits are the network's; where they are not (a network that uses a
layer in two places, say), the network itself is used. Networks that carry hooks, and other formats than float32, are
left alone.
"""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from earwitness.explain.folding import chains, fold
from earwitness.explain.model import Explainable, arithmetic, as_input, batch_size, evaluation_mode, logits_of
from earwitness.explain.winograd import FEWEST_TILES, fewer_products
from earwitness.processor import last_cache
from earwitness.segments import Segments

FLOAT32, BFLOAT16 = "float32", "bfloat16"
# How far the copy's logits may lie from the network's in the trial, as share of the largest.
AGREEMENT = 1e-4
ROUGH_AGREEMENT = 0.2  # in bfloat16, whose ranks are checked besides
# Dense layers of fewer weights are neither packed nor rounded.
LARGE = 2**20
SAMPLED = 4096  # numbers of a weight that a fingerprint looks at
# Bytes of a batch's largest map: at most half the last cache, and in any case what memory allocators hand out again
# without asking the system for it.
LARGEST_MAP = 16 * 2**20
# A batch's largest map is no smaller than this part of the weights, which are read once a batch.
WEIGHTS_PART = 8
LAYERS = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.LeakyReLU, nn.ELU, nn.Hardtanh, nn.Hardsigmoid)


@dataclass(frozen=True)
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
    made_of
        Tells a copy of the same network with other weights.
    sparing
        Whether convolutions take fewer products, which in bfloat16 makes them rougher.
    """

    classifier: Explainable
    network: nn.Module
    precision: str
    rows: int
    made_of: tuple[Any, ...] = ()
    sparing: bool = False

    def logits(self, x: Tensor) -> Tensor:
        """Return logits, shape (n, classes), of log-mel segments (n, frames, bands) in the network's own format."""
        with _autocast(x.device.type, self.precision):
            return logits_of(self.classifier, x, self.network)


@dataclass(frozen=True)
class _Kept:
    """A copy that was made before, with what it was made of."""

    made_of: tuple[Any, ...]
    network: nn.Module | None = None
    widest: int = 0
    sparing: bool = False
    held: ExitStack | None = None  # what the copy was changed by for good; closing it would undo that


_KEPT: weakref.WeakKeyDictionary[nn.Module, dict[tuple[str, bool], _Kept]] = weakref.WeakKeyDictionary()


def swift(classifier: Explainable, segments: Segments, precision: str = FLOAT32, *, sparing: bool = True) -> Swift:
    """Return a classifier's network ready for many passes over segments of one size.

    Parameters
    ----------
    classifier
        Its network's weights are not changed.
    segments
        At least one; the first is the trial's.
    precision
        ``"float32"`` or ``"bfloat16"``; a network in another format than float32 keeps its own.
    sparing
        Whether convolutions may take fewer products.
    """
    network, shape = classifier.network, (segments.values.shape[1], segments.values.shape[2])
    own = str(arithmetic(network)).removeprefix("torch.")
    device = torch.device(classifier.device).type
    plain = Swift(classifier, network, own, batch_size(classifier, *shape))
    if own != FLOAT32 or device not in ("cpu", "cuda") or not _copyable(network):
        return plain
    remembered = _KEPT.setdefault(network, {})
    made_of = (shape, *fingerprint(network))
    way = (precision, sparing)
    if way not in remembered or remembered[way].made_of != made_of:
        with evaluation_mode(network):
            remembered[way] = _tried(classifier, segments, *way, made_of)
    kept = remembered[way]
    if kept.network is None:
        return plain
    if device != "cpu":
        return Swift(classifier, kept.network, precision, plain.rows, made_of, kept.sparing)
    weights = sum(weight.nbytes for weight in kept.network.parameters())
    return Swift(classifier, kept.network, precision, rows_of(kept.widest, weights), made_of, kept.sparing)


def rows_of(widest: int, weights: int) -> int:
    """Return how many segments a processor best hears at once.

    Parameters
    ----------
    widest
        Bytes of a segment's largest map.
    weights
        Bytes of all weights.
    """
    return max(1, min(LARGEST_MAP, last_cache() // 2) // widest, weights // (WEIGHTS_PART * widest))


def fingerprint(network: nn.Module) -> tuple[Any, ...]:
    """Return what tells whether a network has changed since: its modules, and of each weight where and what it is.

    Large weights are looked at in thousands of places, in their order: reading all of VGGish's would cost a tenth of an
    explanation. Whatever is changed through PyTorch itself also counts up the weight's version.
    """
    modules = [id(module) for module in network.modules()]
    with torch.inference_mode():
        weights = [
            (weight.data_ptr(), tuple(weight.shape), weight.dtype, _version(weight), *_samples(weight))
            for weight in chain(network.parameters(), network.buffers())
        ]
    return (*modules, *weights)


def _version(weight: Tensor) -> int:
    return 0 if weight.is_inference() else weight._version


def _samples(weight: Tensor) -> tuple[float, float]:
    """Return two sums over some of a weight's numbers, the second of which a new order changes."""
    step = max(1, weight.numel() // SAMPLED)
    while math.gcd(step, weight.numel()) > 1 and step > 1:
        step += 1  # else whole rows or columns would never be looked at
    if weight.untyped_storage().nbytes() < weight.numel() * weight.element_size():
        weight = weight.contiguous()  # one number that stands for many
    # In the order of memory, whatever the layout: nothing is copied.
    some = weight.as_strided((weight.numel() // step,), (step,), weight.storage_offset()).double()
    return float(some.sum()), float(some @ torch.arange(len(some), dtype=torch.float64, device=some.device))


def _copyable(network: nn.Module) -> bool:
    modules = list(network.modules())
    hooked = any(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module) for module in modules)
    return not hooked and any(type(module) is nn.Conv2d for module in modules)


def _autocast(device: str, precision: str) -> AbstractContextManager[Any]:
    return torch.autocast(device, torch.bfloat16, cache_enabled=False) if precision == BFLOAT16 else nullcontext()


# ---- the copy -----------------------------------------------------------------------------------------------------


def _tried(
    classifier: Explainable, segments: Segments, precision: str, sparing: bool, made_of: tuple[Any, ...]
) -> _Kept:
    """Return the copy, or nothing where its answers are not the network's."""
    x = as_input(classifier, segments.values[:1])
    x = torch.cat([x, x.flip(1)])
    held = ExitStack()
    try:
        twin = _copied(classifier.network)
        fewer = fewer_products(twin, FEWEST_TILES, getattr(torch, precision))
        changed = held.enter_context(fewer) if sparing else 0
        if precision == BFLOAT16:
            _round(twin)
        elif x.device.type == "cpu":
            _pack(twin)
        with torch.inference_mode():
            expected = logits_of(classifier, x)
            found, widest = _measured(Swift(classifier, twin, precision, 1), x)
    except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError):
        return _Kept(made_of)  # what cannot be copied or rounded is used as it is
    gap = (found - expected).abs().max()
    agrees = bool(gap <= (ROUGH_AGREEMENT if precision == BFLOAT16 else AGREEMENT) * expected.abs().max())
    return _Kept(made_of, twin, widest, changed > 0, held) if agrees else _Kept(made_of)


def _copied(network: nn.Module) -> nn.Module:
    # Weights are shared with the network: those that change are replaced, never written to.
    memory: dict[int, Any] = {id(weight): weight for weight in chain(network.parameters(), network.buffers())}
    twin = copy.deepcopy(network, memory).eval()
    for sequence in chains(twin):
        fold(sequence)
        _overwrite(sequence)
    for module in twin.modules():
        if type(module) is nn.Conv2d:
            module.weight = _frozen(module.weight.detach().contiguous(memory_format=torch.channels_last))
    return twin


def _overwrite(sequence: nn.Sequential) -> None:
    """Let activations of a chain write over what they are given."""
    heard = False  # whether the layer before made a new map that nobody else listens to
    for name, module in list(sequence._modules.items()):
        if type(module) in ACTIVATIONS and heard:
            writing: Any = copy.copy(module)
            writing.inplace = True
            setattr(sequence, name, writing)
        heard = type(module) in LAYERS or (heard and type(module) is nn.Identity)


def _frozen(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)


def _round(network: nn.Module) -> None:
    for module in network.modules():
        if type(module) is nn.Linear and module.weight.numel() < LARGE:
            module.__class__ = _Exact
        elif isinstance(module, nn.Conv2d | nn.Linear):
            for name, values in list(module.named_parameters(recurse=False)):
                setattr(module, name, _frozen(values.detach().to(torch.bfloat16)))


class _Exact(nn.Linear):
    """A dense layer that stays in float32."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return linear(x.float(), self.weight, self.bias)


def _pack(network: nn.Module) -> None:
    operations: Any = torch.ops.mkldnn
    if not hasattr(operations, "_linear_pointwise"):
        return
    for module in network.modules():
        if type(module) is nn.Linear and module.weight.numel() >= LARGE:
            packed = operations._reorder_linear_weight(module.weight.detach())
            module.__class__ = _Packed
            module.weight = _frozen(packed)


class _Packed(nn.Linear):
    """A dense layer whose weights lie as oneDNN wants them; some processors' own libraries take twice as long."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")


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
