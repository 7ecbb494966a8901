"""A network's twin: a copy with the very same weights that makes the same maps with less work, without gradients."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import chain, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from earwitness.core.processor import features
from earwitness.explainers.inference.modules import parts
from earwitness.explainers.inference.winograd import spare_products

# Layers whose output is a new map, and activations that can write over one.
LAYERS = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
# Activations that oneDNN applies to each number that a convolution makes, by its names.
FUSED: dict[type[nn.Module], str] = {nn.ReLU: "relu", nn.Hardswish: "hardswish", nn.SiLU: "swish"}
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.LeakyReLU, nn.ELU, nn.Hardtanh, nn.Hardsigmoid)


def twin_of(network: nn.Module) -> nn.Module:
    """Return a network's twin, in which batch norms are folded into convolutions and activations write in place.

    The twin's answers have to be held to the network's: a network may use a layer of an ``nn.Sequential`` elsewhere
    too, or its output before the activation. Weights are shared: those that change are replaced, never written to.

    Parameters
    ----------
    network
        In evaluation mode; nobody watches its modules, or answers for them.
    """
    twin = _copied(network)
    for sequence in _sequences(twin):
        _fold(sequence)
        _write_over(sequence)
    return twin


def frozen_copy(network: nn.Module) -> nn.Module:
    """Return a copy of a network with the very same weights, of which no gradients are asked."""
    shared = {id(weight): frozen(weight.detach()) for weight in network.parameters() if weight.requires_grad}
    return _copied(network, shared)


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    """Return a network's plain convolutions."""
    return [module for module in parts(network) if type(module) is nn.Conv2d]


def frozen(values: Tensor) -> nn.Parameter:
    """Return values as weights that do not learn."""
    return nn.Parameter(values, requires_grad=False)


def _copied(network: nn.Module, instead: Mapping[int, Tensor] | None = None) -> nn.Module:
    """Return what ``copy.deepcopy`` would with shared weights, in a third of its time.

    Parameters
    ----------
    network
        The network.
    instead
        What takes the place of some weights, by their ``id``.
    """
    modules = parts(network)
    # Not by copy.copy, which parametrized modules refuse.
    copies: dict[int, nn.Module] = {id(module): object.__new__(type(module)) for module in modules}
    known: dict[int, Any] = {id(weight): weight for weight in chain(network.parameters(), network.buffers())}
    known |= copies | dict(instead or {})
    for module in modules:
        there = vars(copies[id(module)])
        for name, value in vars(module).items():
            # A module has a dozen dictionaries for hooks, all empty, which take deepcopy most of its time.
            there[name] = value.copy() if isinstance(value, dict) and not value else copy.deepcopy(value, known)
    return copies[id(network)]


# ---- chains of layers ---------------------------------------------------------------------------------------------


def _sequences(network: nn.Module) -> list[nn.Sequential]:
    """Return the modules of a network that run their children in order and do nothing else."""
    return [
        module
        for module in parts(network)
        if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
    ]


def _fold(sequence: nn.Sequential) -> None:
    """Let convolutions do the work of the batch norms that follow them."""
    for (name, first), (following, second) in pairwise(list(sequence._modules.items())):
        known = type(second) is nn.BatchNorm2d and second.running_mean is not None and not second.training
        if type(first) is nn.Conv2d and known:
            setattr(sequence, name, _merged(first, second))
            setattr(sequence, following, nn.Identity())


def _merged(conv: nn.Conv2d, norm: Any) -> nn.Module:
    merged: Any = _copied(conv)  # which may be used elsewhere without the norm
    statistics = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    merged.weight, merged.bias = fuse_conv_bn_weights(conv.weight, conv.bias, *statistics)
    return merged


def _write_over(sequence: nn.Sequential) -> None:
    """Let activations write over a new map that nothing else reads."""
    computed = False
    for name, module in list(sequence._modules.items()):
        if type(module) in ACTIVATIONS and computed:
            writing: Any = _copied(module)  # which may be used elsewhere, too
            writing.inplace = True
            setattr(sequence, name, writing)
        computed = type(module) in LAYERS or (computed and type(module) is nn.Identity)


# ---- what suits the processor -------------------------------------------------------------------------------------


def suit_processor(twin: nn.Module, dtype: torch.dtype = torch.float32, *, sparing: bool = True) -> bool:
    """Let a twin's convolutions work as is best for the processor; return whether some take fewer products.

    Parameters
    ----------
    twin
        On a processor, in float32.
    dtype
        In which they are going to multiply: float32 or bfloat16.
    sparing
        Whether fewer products may be taken, which in bfloat16 is rougher.
    """
    # Matrix units multiply bfloat16 faster than the transforms that save products can feed them.
    pays = sparing and not (dtype == torch.bfloat16 and "AMX" in features())
    spared = spare_products(twin, dtype) if pays else 0
    if not (packs() and pack_convolutions(twin, dtype)):
        lay_channels_last(twin)
    return spared > 0


def packs() -> bool:
    """Tell whether packed weights are of use to the processor.

    With AVX2, oneDNN wants them laid another way for each size of maps, and would lay packed ones anew in every pass.
    """
    return "AVX-512" in features() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def lay_channels_last(twin: nn.Module) -> None:
    """Lay the weights of a twin's convolutions channels last."""
    for module in convolutions(twin):
        module.weight = frozen(module.weight.detach().contiguous(memory_format=torch.channels_last))


def pack_convolutions(twin: nn.Module, dtype: torch.dtype = torch.float32) -> bool:
    """Lay the weights of a twin's convolutions as oneDNN wants them, and let these apply the activation after them.

    Left to themselves, convolutions lay their weights anew in every pass, and activations walk through memory again.

    Parameters
    ----------
    twin
        Its convolutions in float32 on a processor are changed.
    dtype
        In which they multiply and what they answer in: float32 or bfloat16.

    Returns
    -------
    Whether there are any.
    """
    for sequence in _sequences(twin):
        _fuse(sequence)
    packed = [module for module in convolutions(twin) if _packable(module)]
    for module in packed:
        _pack(module, dtype)
    return bool(packed)


def _packable(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv2d
        and (module.padding_mode, module.weight.dtype, module.weight.device.type) == ("zeros", torch.float32, "cpu")
        and not isinstance(module.padding, str)
    )


def _fuse(sequence: nn.Sequential) -> None:
    """Let convolutions do the work of the activations that follow them."""
    there = [(name, module) for name, module in sequence._modules.items() if type(module) is not nn.Identity]
    for (name, first), (following, second) in pairwise(there):
        if _packable(first) and type(second) in FUSED:
            fused: Any = _copied(first)  # which may be used elsewhere without the activation
            fused.then = FUSED[type(second)]
            setattr(sequence, name, fused)
            setattr(sequence, following, nn.Identity())


def _pack(module: nn.Conv2d, dtype: torch.dtype) -> None:
    reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
    options = (module.padding, module.stride, module.dilation, module.groups)
    module.__class__ = _PackedConvolution
    module.weight = frozen(reorder(module.weight.detach().to(dtype).to_mkldnn(), *options))
    module.bias = None if module.bias is None else frozen(module.bias.detach().to(dtype))


class _PackedConvolution(nn.Conv2d):
    """A convolution whose weights lie as oneDNN wants them, with the activation after it."""

    then = "none"

    def forward(self, x: Tensor) -> Tensor:
        options = (self.padding, self.stride, self.dilation, self.groups)
        convolve = torch.ops.mkldnn._convolution_pointwise
        return convolve(x.to(self.weight.dtype), self.weight, self.bias, *options, self.then, [], "")


def pack_dense(twin: nn.Module, fewest: int) -> None:
    """Lay the weights of a twin's dense layers as oneDNN wants them, on a processor that has it.

    Parameters
    ----------
    twin
        On a processor, in float32.
    fewest
        Layers of fewer weights stay as they are.
    """
    operations: Any = torch.ops.mkldnn
    if not hasattr(operations, "_linear_pointwise"):
        return
    for module in parts(twin):
        if type(module) is nn.Linear and module.weight.numel() >= fewest:
            module.__class__ = _PackedDense
            module.weight = frozen(operations._reorder_linear_weight(module.weight.detach()))


class _PackedDense(nn.Linear):
    """A dense layer whose weights lie as oneDNN wants them; some processors' own libraries take twice as long."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
