"""What the processor at hand does natively, and how large its caches are: all that is chosen by it is chosen here."""

from __future__ import annotations

import os

import torch

USUAL_CACHE = 32 * 2**20  # bytes, where the system does not tell
# By this variable oneDNN, which multiplies for PyTorch, is told to work as on an older processor.
LIMIT_VARIABLE = "ONEDNN_MAX_CPU_ISA"


def native_bfloat16() -> bool:
    """Tell whether the processor multiplies bfloat16 numbers itself; elsewhere they would be slower than float32."""
    supported = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(supported and _allowed("BF16", "FP16", "AMX", "AVX10"))


def _allowed(*marks: str) -> bool:
    """Tell whether oneDNN may use an instruction set whose name has one of these marks."""
    limit = os.environ.get(LIMIT_VARIABLE, "").upper()
    return limit in ("", "ALL", "DEFAULT") or any(mark in limit for mark in marks)


def features() -> tuple[str, ...]:
    """Return the processor's features that our speed hangs on, such as ``("AVX2", "AVX-512", "bfloat16")``."""
    wide = torch.cpu._is_avx512_supported() and _allowed("AVX512", "AVX10")
    found = {
        "AVX2": torch.cpu._is_avx2_supported() and _allowed("AVX2", "AVX512", "AVX10"),
        "AVX-512": wide,
        "bfloat16": native_bfloat16(),
        "AMX": torch.cpu._is_amx_tile_supported() and _allowed("AMX"),
    }
    return tuple(name for name, there in found.items() if there)


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
