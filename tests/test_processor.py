"""What the processor does natively, as far as oneDNN is allowed to use it."""

from __future__ import annotations

import pytest
import torch

from earwitness.core import processor

EVERYTHING = ("AVX2", "AVX-512", "bfloat16", "AMX")


@pytest.fixture
def newest(monkeypatch):
    """A processor that has everything."""
    for name in ("avx2", "avx512", "avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda: True)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (None, EVERYTHING),
        ("default", EVERYTHING),
        ("AVX512_CORE_AMX_FP16", EVERYTHING),
        ("AVX10_1_512_AMX", EVERYTHING),
        ("AVX512_CORE_FP16", EVERYTHING[:3]),
        ("AVX10_1_512", EVERYTHING[:3]),
        ("AVX512_CORE_BF16", EVERYTHING[:3]),
        ("AVX512_CORE_VNNI", EVERYTHING[:2]),
        ("avx512_core", EVERYTHING[:2]),
        ("AVX2_VNNI", EVERYTHING[:1]),
        ("AVX2", EVERYTHING[:1]),
        ("SSE41", ()),
    ],
)
def test_features_are_those_that_are_allowed(newest, monkeypatch, limit, expected):
    if limit is None:
        monkeypatch.delenv(processor.LIMIT_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(processor.LIMIT_VARIABLE, limit)
    assert processor.features() == expected
    assert processor.native_bfloat16() is ("bfloat16" in expected)


def test_an_older_processor_has_less_whatever_is_allowed(monkeypatch):
    monkeypatch.delenv(processor.LIMIT_VARIABLE, raising=False)
    for name in ("avx512", "avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx2_supported", lambda: True)
    assert processor.features() == ("AVX2",)


def test_the_cache_has_a_size():
    assert processor.last_cache() >= 2**16
