"""The door between devices: tensors become arrays, an accelerator gets sizes that it knows, and no TF32."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from earwitness.core.errors import UsageError
from earwitness.core.processor import fast_bfloat16


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


# ---- TF32 ---------------------------------------------------------------------------------------------------------

# PyTorch's switches are the process's. So that threads do not switch back what another one still needs, all wishes that
# are open are kept, and what was set before the first is set again after the last.
_lock = threading.Lock()
_wishes: list[bool] = []
_before: list[Any] = []


@contextmanager
def without_tf32(device: torch.device | str) -> Iterator[None]:
    """Let products on a device be those of float32, whatever PyTorch has been told; what it was told holds again after.

    In TF32, a GPU keeps 10 bits of each factor's 23. Predictions hardly change by that, but maps of small differences
    do: up to a third of a map's peak was seen.

    Parameters
    ----------
    device
        Where the tensors lie. Nothing is done where that is not a CUDA device. No GPU is woken for it.

    Notes
    -----
    From PyTorch 2.9 on, the body must not read ``torch.backends.cuda.matmul.allow_tf32`` and its like, which refuse to
    answer once the newer ``fp32_precision``, which is used here, differs from what they were set to.
    """
    with tf32_as(False, device):
        yield


@contextmanager
def tf32_as(allowed: bool | None, device: torch.device | str) -> Iterator[None]:
    """Allow or forbid TF32 on a device meanwhile, as :func:`without_tf32` does; None leaves what PyTorch was told.

    Where wishes meet, in threads or one inside the other, a single one without TF32 holds for all.
    """
    if allowed is None or torch.device(device).type != "cuda":
        yield
        return
    with _lock:
        if not _wishes:
            _before[:] = _told()
        _wishes.append(allowed)
        _tell([_word(all(_wishes))] * len(_before))
    try:
        yield
    finally:
        with _lock:
            _wishes.remove(allowed)
            _tell([_word(all(_wishes))] * len(_before) if _wishes else _before)


def _newer() -> bool:
    """Tell whether PyTorch has the switches that came with 2.9; mixed with the older ones, they raise errors."""
    return hasattr(torch.backends.cudnn, "conv")


def _word(allowed: bool) -> Any:
    return ("tf32" if allowed else "ieee") if _newer() else allowed


def _told() -> list[Any]:
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if _newer():
        return [cuda.fp32_precision, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision]  # type: ignore[attr-defined]
    return [cuda.allow_tf32, cudnn.allow_tf32]


def _tell(words: list[Any]) -> None:
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if _newer():
        cuda.fp32_precision, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = words  # type: ignore[attr-defined]
    else:
        cuda.allow_tf32, cudnn.allow_tf32 = words


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return ``"float32"`` or ``"bfloat16"`` for a recipe's wish on a device."""
    if precision != "auto":
        return precision
    return "bfloat16" if fast_bfloat16(device) else "float32"


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of a name; ``"auto"`` takes CUDA, then Apple's MPS, then the CPU.

    Raises
    ------
    UsageError
        Unknown, or not on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise NotImplementedError
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        known = " or ".join(kind for kind, available in there.items() if available)
        raise UsageError(f"--device {name}: cannot be used here; take {known}") from error
    return device
