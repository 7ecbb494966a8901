"""The door between devices: where tensors become arrays."""

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
