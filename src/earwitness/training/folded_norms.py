"""A network's copy that learns sooner where batch norms keep their published means and spreads.

Such a norm multiplies each channel of a map by one number and adds another. Done to the convolution's weights instead,
which are far smaller than maps, it costs nothing: neither the norm nor its gradient goes through a map any more. The
copy has the network's own weights and buffers, so that what it learns the network has learned.
"""

from __future__ import annotations

import copy
from itertools import chain, pairwise

import torch
from torch import Tensor, nn

from earwitness.models.network import Network

# How far the copy's logits may lie from the network's, as share of the largest: rounding, a GPU's TF32 included.
AGREEMENT = 1e-2


def folded(network: Network, segments: Tensor) -> Network:
    """Return a copy of a network whose convolutions do the work of the batch norms that follow them.

    Parameters
    ----------
    network
        With batch norms that stay in evaluation mode; it is not changed.
    segments
        Shape (n, frames, bands): what both are tried on.

    Returns
    -------
    A copy with the very same parameters and buffers, in the network's mode; or the network itself, where nothing can be
    folded or the copy answers otherwise, because a layer of an ``nn.Sequential`` has another use besides.
    """
    shared = {id(tensor): tensor for tensor in chain(network.parameters(), network.buffers())}
    twin = copy.deepcopy(network, dict(shared))
    sequences = [module for module in twin.modules() if type(module) is nn.Sequential]
    if not sum(_fold(sequence) for sequence in sequences):
        return network
    modes = [(module, module.training) for module in network.modules()]
    try:
        with torch.no_grad():
            own, others = network.eval()(segments), twin.eval()(segments)
    finally:
        for module, training in modes:
            module.training = training
    agrees = bool((own - others).abs().max() <= AGREEMENT * own.abs().max())
    return twin.train(network.training) if agrees else network


def _fold(sequence: nn.Sequential) -> int:
    """Put convolutions and the norms that follow them together, and return how many."""
    found = 0
    for (name, first), (following, second) in pairwise(list(sequence._modules.items())):
        if type(first) is nn.Conv2d and type(second) is nn.BatchNorm2d and second.running_mean is not None:
            setattr(sequence, name, _Folded(first, second))
            setattr(sequence, following, nn.Identity())
            found += 1
    return found


class _Folded(nn.Module):
    """A convolution and the norm that follows it, in one pass over the map."""

    def __init__(self, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.convolution, self.norm = convolution, norm

    def forward(self, x: Tensor) -> Tensor:
        """Return the normed map."""
        convolution, norm = self.convolution, self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = torch.rsqrt(norm.running_var + norm.eps)
        shift = -norm.running_mean if convolution.bias is None else convolution.bias - norm.running_mean
        if norm.affine:
            scale = norm.weight * scale
        bias = shift * scale + norm.bias if norm.affine else shift * scale
        return convolution._conv_forward(x, convolution.weight * scale[:, None, None, None], bias)
