"""Convolutions that do their batch norm's work as well, for as long as a context is open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

# For fewer segments, folding costs more than the norms.
FEWEST_SEGMENTS = 4


@contextmanager
def norms_folded(network: nn.Module, segments: int) -> Iterator[None]:
    """Let a batch norm in evaluation mode be part of the convolution that it follows in an ``nn.Sequential``.

    Only where no gradient is asked for, and only where nobody watches either module or answers for it, so that whoever
    looks at a layer's output sees what he would see otherwise. Results differ by rounding. The network is given back
    as it was.

    Parameters
    ----------
    network
        In evaluation mode while it is used.
    segments
        How many are going to be put through it while the context is open.
    """
    chains = [
        module
        for module in network.modules()
        if segments >= FEWEST_SEGMENTS and type(module) is nn.Sequential and "forward" not in vars(module)
    ]
    held = [chain for chain in chains if any(_pair(*pair) for pair in pairwise(chain))]
    for chain in held:
        chain.__dict__["forward"] = _folding(chain)
    try:
        yield
    finally:
        for chain in held:
            del chain.__dict__["forward"]


def _pair(first: nn.Module, second: nn.Module) -> bool:
    return (
        type(first) is nn.Conv2d
        and type(second) is nn.BatchNorm2d
        and second.running_mean is not None
        and second.running_var is not None
    )


def _free(module: nn.Module) -> bool:
    """Tell whether nobody watches a module, or answers for it."""
    return not (module.training or module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def _folding(chain: nn.Sequential) -> Callable[[Tensor], Tensor]:
    folded: dict[int, tuple[Tensor, Tensor]] = {}

    def forward(x: Tensor) -> Tensor:
        modules = list(chain)
        position = 0
        while position < len(modules):
            pair = modules[position : position + 2]
            if len(pair) == 2 and not torch.is_grad_enabled() and _pair(*pair) and all(_free(each) for each in pair):
                if position not in folded:
                    folded[position] = _weights(*pair)
                x = pair[0]._conv_forward(x, *folded[position])  # type: ignore[operator]
                position += 2
            else:
                x = modules[position](x)
                position += 1
        return x

    return forward


def _weights(conv: Any, norm: Any) -> tuple[Tensor, Tensor]:
    """Return the weights and the bias of a convolution and its norm in one."""
    with torch.no_grad():
        weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
    return weight.detach(), bias.detach()
