"""Fewer multiplications for 3 x 3 convolutions of many channels.

Lavin & Gray, *Fast Algorithms for Convolutional Neural Networks*, CVPR 2016, section 4: F(4 x 4, 3 x 3). A tile of
4 x 4 results takes 36 products a pair of channels instead of 144, in one matrix product for each of the 36.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from earwitness.explainers.inference.modules import parts

Rows = tuple[tuple[float, ...], ...]

TILE, PATCH = 4, 6  # cells of a result tile's side, and of the patch of the input that it depends on
# With fewer channels, or fewer segments, the transforms cost more than the products that they save.
FEWEST_CHANNELS = 128
FEWEST_SEGMENTS = 4
# Bytes of the transformed tiles of one stretch; about what a processor's last cache holds for us.
STRETCH = 8_000_000


def _transforms(a: float, b: float) -> tuple[Rows, Rows, Rows]:
    """Return B, G and A of the paper, section 4: of a patch, of the weights, of the products.

    They multiply polynomials of degrees 3 and 2 by their values at 0, a, -a, b, -b and infinity (Cook and Toom).
    """
    a2, b2 = a * a, b * b
    patch = (
        (a2 * b2, 0, -a2 - b2, 0, 1, 0),
        (0, -a * b2, -b2, a, 1, 0),
        (0, a * b2, -b2, -a, 1, 0),
        (0, -b * a2, -a2, b, 1, 0),
        (0, b * a2, -a2, -b, 1, 0),
        (0, a2 * b2, 0, -a2 - b2, 0, 1),
    )
    shares = (1 / (a2 * b2), 1 / (2 * a2 * (a2 - b2)), 1 / (2 * b2 * (b2 - a2)))
    values = ((0, shares[0]), (a, shares[1]), (-a, shares[1]), (b, shares[2]), (-b, shares[2]))
    weights = (*((share, share * at, share * at * at) for at, share in values), (0, 0, 1))
    products = tuple((*(at**power for at, _ in values), float(power == TILE - 1)) for power in range(TILE))
    return patch, weights, products


# The paper takes 1 and 2. With these, whose products are as exact, a convolution in bfloat16 differs from the exact
# one by 1.2 % instead of 2.7 %.
OF_PATCH, OF_WEIGHTS, OF_PRODUCTS = _transforms(3 / 4, 3 / 2)


def spare_products(network: nn.Module, dtype: torch.dtype = torch.float32) -> int:
    """Let a network's 3 x 3 convolutions of many channels work with fewer multiplications; return how many these are.

    Only weights in float32 on a processor are taken. Where a gradient is asked for, or segments are few, they convolve
    plainly. Results differ by rounding: in float32 as far from the exact ones as plain ones are, in bfloat16 twice as
    far and more.

    Parameters
    ----------
    network
        A copy in evaluation mode, which is changed for good.
    dtype
        In which these convolutions multiply and what they answer in: float32 or bfloat16.
    """
    fitting = [module for module in parts(network) if _fits(module)]
    for module in fitting:
        weight: Tensor = module.weight.detach()  # type: ignore[operator]
        module.__class__ = _SparingConvolution
        module.transformed = _transformed(weight).to(dtype)
        module.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
    return len(fitting)


def _fits(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv2d
        and (module.kernel_size, module.padding_mode) == ((3, 3), "zeros")
        and module.padding in {(1, 1), "same"}
        and (module.stride, module.dilation, module.groups) == ((1, 1), (1, 1), 1)
        and min(module.in_channels, module.out_channels) >= FEWEST_CHANNELS
        and (module.weight.dtype, module.weight.device.type) == (torch.float32, "cpu")
    )


class _SparingConvolution(nn.Conv2d):
    """A convolution with fewer multiplications; ``transformed`` holds its weights, shape (36, inputs, outputs)."""

    transformed: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if len(x) < FEWEST_SEGMENTS or x.ndim != 4 or (torch.is_grad_enabled() and x.requires_grad):
            return super().forward(x)
        dtype = self.transformed.dtype
        return convolved(x.to(dtype), self.transformed, None if self.bias is None else self.bias.detach().to(dtype))


def _tiles(x: Tensor) -> int:
    return math.ceil(x.shape[2] / TILE) * math.ceil(x.shape[3] / TILE)


@cache
def _both_ways(rows: Rows, dtype: torch.dtype) -> Tensor:
    """Return a transform of both axes at once, of flattened squares."""
    matrix = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(matrix, matrix).to(dtype)


def _transformed(weight: Tensor) -> Tensor:
    """Return weights (outputs, inputs, 3, 3) transformed, shape (36, inputs, outputs)."""
    outputs, inputs = weight.shape[:2]
    flat = weight.permute(2, 3, 1, 0).reshape(9, -1)
    return (_both_ways(OF_WEIGHTS, weight.dtype) @ flat).view(PATCH * PATCH, inputs, outputs)


def convolved(x: Tensor, weights: Tensor, bias: Tensor | None) -> Tensor:
    """Return the convolution of maps, shape (n, outputs, H, W), channels last.

    Parameters
    ----------
    x
        Shape (n, inputs, H, W).
    weights
        Transformed, shape (36, inputs, outputs); float32 or bfloat16 as x is.
    bias
        Shape (outputs,), or None; as x is.
    """
    count, _, height, width = x.shape
    outputs = weights.shape[2]
    found = torch.empty((count, height, width, outputs), dtype=x.dtype)
    each = _tiles(x) * PATCH * PATCH * max(weights.shape[1:]) * x.element_size()
    step = max(1, STRETCH // each)
    for start in range(0, count, step):
        _stretch(x[start : start + step], weights, bias, found[start : start + step])
    return found.permute(0, 3, 1, 2)


def _stretch(x: Tensor, weights: Tensor, bias: Tensor | None, found: Tensor) -> None:
    """Write the convolution of some maps, shape (n, H, W, outputs), where it is to be found."""
    count, inputs, height, width = x.shape
    rows, columns = math.ceil(height / TILE), math.ceil(width / TILE)
    beyond = (1, TILE * columns - width + 1, 1, TILE * rows - height + 1)
    padded = pad(x.permute(0, 2, 3, 1), (0, 0, *beyond)).contiguous()
    row, column = padded.stride(1), padded.stride(2)
    shape = (PATCH, PATCH, count, rows, columns, inputs)
    patches = padded.as_strided(shape, (row, column, padded.stride(0), TILE * row, TILE * column, 1))
    turned = _both_ways(OF_PATCH, x.dtype) @ patches.reshape(PATCH * PATCH, -1)
    products = torch.bmm(turned.view(PATCH * PATCH, -1, inputs), weights).view(PATCH * PATCH, -1)
    tiles = (_both_ways(OF_PRODUCTS, x.dtype) @ products).view(TILE, TILE, count, rows, columns, -1)
    if bias is not None:
        tiles += bias
    whole = tiles.permute(2, 3, 0, 4, 1, 5)
    if (TILE * rows, TILE * columns) == (height, width):
        found.view(whole.shape).copy_(whole)
    else:
        found.copy_(whole.reshape(count, TILE * rows, TILE * columns, -1)[:, :height, :width])
