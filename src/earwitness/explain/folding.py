"""Convolutions that do their batch norm's work as well: in a copy for good, in a network while a context is open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

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
    found = chains(network) if segments >= FEWEST_SEGMENTS else []
    held = [chain for chain in found if any(_pair(*pair) for pair in pairwise(chain))]
    for chain in held:
        chain.__dict__["forward"] = _folding(chain)
    try:
        yield
    finally:
        for chain in held:
            del chain.__dict__["forward"]


def fold(chain: nn.Sequential) -> None:
    """Fold a chain's batch norms, all in evaluation mode, into its convolutions for good."""
    for (name, first), (following, second) in pairwise(list(chain._modules.items())):
        if _pair(first, second):
            setattr(chain, name, _merged(first, second))
            setattr(chain, following, nn.Identity())


def chains(network: nn.Module) -> list[nn.Sequential]:
    """Return the modules of a network that run their children in order and do nothing else."""
    return [
        module
        for module in network.modules()
        if isinstance(module, nn.Sequential)
        and type(module).forward is nn.Sequential.forward
        and "forward" not in vars(module)
    ]


def _pair(first: nn.Module | None, second: nn.Module | None) -> bool:
    return (
        type(first) is nn.Conv2d
        and type(second) is nn.BatchNorm2d
        and second.running_mean is not None
        and second.running_var is not None
    )


def _merged(conv: Any, norm: Any) -> nn.Module:
    merged: nn.Module = fuse_conv_bn_eval(conv, norm)
    return merged


def _free(module: nn.Module) -> bool:
    """Tell whether nobody watches a module, or answers for it."""
    return not (module.training or module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def _folding(chain: nn.Sequential) -> Callable[[Tensor], Tensor]:
    folded: dict[int, nn.Module] = {}

    def forward(x: Tensor) -> Tensor:
        modules = list(chain)
        position = 0
        while position < len(modules):
            pair = modules[position : position + 2]
            if len(pair) == 2 and not torch.is_grad_enabled() and _pair(*pair) and all(_free(each) for each in pair):
                if position not in folded:
                    folded[position] = _merged(*pair)
                x = folded[position](x)
                position += 2
            else:
                x = modules[position](x)
                position += 1
        return x

    return forward
