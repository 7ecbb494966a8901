"""The door between devices: where tensors become arrays, and batches take sizes that an accelerator knows."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor


def to_numpy(tensor: Tensor) -> npt.NDArray[Any]:
    """Return a tensor's values as an array, whatever device it lies on and whether or not gradients pass through it.

    Parameters
    ----------
    tensor
        Any shape. An array of its number format is returned, or of float32 for bfloat16, which NumPy does not have. On
        a processor nothing is copied.
    """
    values = tensor.detach()
    return (values.float() if values.dtype == torch.bfloat16 else values).cpu().numpy()


def filled_up(x: Tensor) -> Tensor:
    """Return a batch filled up to a size of 1, 2, 4, 8 ... rows, where it lies on an accelerator.

    An accelerator's library chooses, and may compile, its kernels anew for each size of batch, which takes longer than
    the few rows that are computed in vain. On a processor the batch is returned as it is.

    Parameters
    ----------
    x
        Shape (n, ...); its first row is repeated.
    """
    missing = 0 if x.device.type == "cpu" or not len(x) else (1 << (len(x) - 1).bit_length()) - len(x)
    return torch.cat([x, x[:1].expand(missing, *x.shape[1:])]) if missing else x
