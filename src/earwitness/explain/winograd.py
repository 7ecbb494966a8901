"""Fewer multiplications for 3 x 3 convolutions, for as long as a context is open.

Lavin & Gray, *Fast Algorithms for Convolutional Neural Networks*, CVPR 2016, section 4.2: F(4 x 4, 3 x 3). A tile of
4 x 4 results takes 36 products a pair of channels instead of 144, in one matrix product for each of the 36.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

TILE, PATCH = 4, 6  # cells of a result tile's side, and of the patch of the input that it depends on
# With fewer channels the transforms cost more than the products that they save.
FEWEST_CHANNELS = 64
# Below so many tiles, transforming the weights costs more than is saved.
FEWEST_TILES = 192
# Numbers in the transformed tiles of one stretch; about what a processor's last cache holds.
STRETCH = 2_000_000

# B, G and A of the paper, section 4.2: of a patch, of the weights, of the products.
OF_PATCH = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
OF_WEIGHTS = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
OF_PRODUCTS = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


@contextmanager
def fewer_products(network: nn.Module, segments: int) -> Iterator[None]:
    """Let a network's 3 x 3 convolutions of many channels work with fewer multiplications.

    Only float32 on a processor is changed, only where no gradient is asked for, and only where enough is to be done.
    Results differ from the plain ones by float32 rounding, about as far as these differ from float64. The network is
    given back as it was.

    Parameters
    ----------
    network
        In evaluation mode.
    segments
        How many are going to be put through it while the context is open.
    """
    with ExitStack() as stack:
        for module in network.modules():
            if _fits(module):
                stack.enter_context(_replaced(module, segments))
        yield


def _fits(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv2d
        and module.kernel_size == (3, 3)
        and module.padding in {(1, 1), "same"}
        and (module.stride, module.dilation, module.groups) == ((1, 1), (1, 1), 1)
        and module.padding_mode == "zeros"
        and min(module.in_channels, module.out_channels) >= FEWEST_CHANNELS
        and (module.weight.dtype, module.weight.device.type) == (torch.float32, "cpu")
        and "forward" not in vars(module)
    )


@contextmanager
def _replaced(module: nn.Module, segments: int) -> Iterator[None]:
    plain: Callable[[Tensor], Tensor] = module.forward
    weight, bias = module.weight.detach(), module.bias  # type: ignore[operator]
    held: list[Tensor] = []

    def forward(x: Tensor) -> Any:
        if (torch.is_grad_enabled() and x.requires_grad) or x.ndim != 4 or segments * _tiles(x) < FEWEST_TILES:
            return plain(x)
        if not held:
            held.append(_transformed(weight))
        return convolved(x, held[0], bias)  # type: ignore[arg-type]

    module.__dict__["forward"] = forward
    try:
        yield
    finally:
        del module.__dict__["forward"]


def _tiles(x: Tensor) -> int:
    return math.ceil(x.shape[2] / TILE) * math.ceil(x.shape[3] / TILE)


@cache
def _both_ways(rows: tuple[tuple[float, ...], ...]) -> Tensor:
    """Return a transform of both axes at once, of flattened squares."""
    matrix = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(matrix, matrix).float()


def _transformed(weight: Tensor) -> Tensor:
    """Return weights (outputs, inputs, 3, 3) transformed, shape (36, inputs, outputs)."""
    outputs, inputs = weight.shape[:2]
    flat = weight.permute(2, 3, 1, 0).reshape(9, -1)
    return (_both_ways(OF_WEIGHTS) @ flat).view(PATCH * PATCH, inputs, outputs)


def convolved(x: Tensor, weights: Tensor, bias: Tensor | None) -> Tensor:
    """Return the convolution of maps, shape (n, outputs, H, W), channels last.

    Parameters
    ----------
    x
        Shape (n, inputs, H, W).
    weights
        Transformed, shape (36, inputs, outputs).
    bias
        Shape (outputs,), or None.
    """
    count, _, height, width = x.shape
    outputs = weights.shape[2]
    found = torch.empty((count, height, width, outputs), dtype=x.dtype)
    each = _tiles(x) * PATCH * PATCH * max(weights.shape[1:])
    step = max(1, STRETCH // each)
    for start in range(0, count, step):
        found[start : start + step] = _stretch(x[start : start + step], weights)
    if bias is not None:
        found += bias.detach()
    return found.permute(0, 3, 1, 2)


def _stretch(x: Tensor, weights: Tensor) -> Tensor:
    """Return the convolution of some maps, shape (n, H, W, outputs)."""
    count, inputs, height, width = x.shape
    rows, columns = math.ceil(height / TILE), math.ceil(width / TILE)
    beyond = (1, TILE * columns - width + 1, 1, TILE * rows - height + 1)
    padded = pad(x.permute(0, 2, 3, 1), (0, 0, *beyond)).contiguous()
    row, column = padded.stride(1), padded.stride(2)
    shape = (PATCH, PATCH, count, rows, columns, inputs)
    patches = padded.as_strided(shape, (row, column, padded.stride(0), TILE * row, TILE * column, 1))
    turned = (_both_ways(OF_PATCH) @ patches.reshape(PATCH * PATCH, -1)).view(PATCH * PATCH, -1, inputs)
    products = torch.bmm(turned, weights).view(PATCH * PATCH, -1)
    tiles = (_both_ways(OF_PRODUCTS) @ products).view(TILE, TILE, count, rows, columns, -1)
    whole = tiles.permute(2, 3, 0, 4, 1, 5).reshape(count, TILE * rows, TILE * columns, -1)
    return whole[:, :height, :width]
