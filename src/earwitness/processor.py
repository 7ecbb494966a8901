"""What the processor at hand does natively, and how large its caches are."""

from __future__ import annotations

import os

import torch

USUAL_CACHE = 32 * 2**20  # bytes, where the system does not tell


def native_bfloat16() -> bool:
    """Tell whether the processor multiplies bfloat16 numbers itself; elsewhere they would be slower than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def fast_bfloat16(device: torch.device) -> bool:
    """Tell whether a device multiplies bfloat16 numbers itself."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and native_bfloat16()


def last_cache() -> int:
    """Return the bytes of the processor's last cache, or a usual number where the system does not tell."""
    try:
        return os.sysconf("SC_LEVEL3_CACHE_SIZE") or USUAL_CACHE
    except (AttributeError, OSError, ValueError):
        return USUAL_CACHE
