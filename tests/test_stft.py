"""The STFT with gains: a gain of 1 gives any recording back, and memory does not grow with its length."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from earwitness.audio import stft
from earwitness.audio.stft import Stft, apply_gains


def both(grid: Stft, blocks, gains) -> tuple[np.ndarray, np.ndarray]:
    parts = list(apply_gains(grid, blocks, gains))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def cut(samples: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    return np.split(samples, np.cumsum(sizes)[np.cumsum(sizes) < len(samples)])


def even(gain: float, grid: Stft):
    return lambda moments: np.full((len(moments), grid.window // 2 + 1), gain, dtype=np.float32)


@given(
    rate=st.sampled_from([8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000]),
    channels=st.integers(1, 6),
    length=st.integers(1, 20_000),
    sizes=st.lists(st.integers(1, 9_000), max_size=5),
    loudness=st.sampled_from([0.0, 1e-4, 0.3, 1.0, 30.0]),  # from silence to clipped
    seed=st.integers(0, 99),
)
def test_a_gain_of_1_gives_the_recording_back(rate, channels, length, sizes, loudness, seed):
    random = np.random.default_rng(seed)
    samples = np.clip(loudness * random.standard_normal((length, channels)), -1, 1).astype(np.float32)
    grid = Stft.of(rate)
    before, kept = both(grid, cut(samples, sizes), even(1.0, grid))
    np.testing.assert_array_equal(before, samples)
    np.testing.assert_allclose(kept, samples, atol=1e-5)


@given(length=st.integers(1, 9_000), sizes=st.lists(st.integers(1, 4_000), max_size=4), seed=st.integers(0, 99))
def test_blocks_make_no_difference_and_gains_add_up(length, sizes, seed):
    random = np.random.default_rng(seed)
    samples = random.uniform(-1, 1, (length, 2)).astype(np.float32)
    grid = Stft.of(16_000)
    table = random.uniform(0, 1, (length // grid.hop + 9, grid.window // 2 + 1)).astype(np.float32)

    def gains(moments):
        return table[np.round(moments * grid.sample_rate / grid.hop).astype(int) + 1]

    _, kept = both(grid, [samples], gains)
    np.testing.assert_allclose(both(grid, cut(samples, sizes), gains)[1], kept, atol=1e-6)
    _, rest = both(grid, [samples], lambda moments: 1 - gains(moments))
    np.testing.assert_allclose(kept + rest, samples, atol=1e-5)


@given(seed=st.integers(0, 99), length=st.integers(1_500, 6_000))
def test_scipy_finds_the_same(seed, length):
    random = np.random.default_rng(seed)
    samples = random.standard_normal(length).astype(np.float32)
    grid = Stft(16_000, 512)
    window = np.sqrt(signal.windows.hann(512, sym=False))
    theirs = signal.ShortTimeFFT(window, grid.hop, grid.sample_rate, dual_win=window / 2, phase_shift=None)
    spectrum = theirs.stft(samples.astype(np.float64))
    moments = theirs.t(length)
    gain = random.uniform(0, 1, spectrum.shape)

    def gains(asked):
        return np.stack([gain[:, np.abs(moments - moment).argmin()] for moment in asked]).astype(np.float32)

    _, kept = both(grid, [samples[:, None]], gains)
    expected = theirs.istft(spectrum * gain, 0, length)
    np.testing.assert_allclose(kept[:, 0], expected, atol=1e-5)


def test_a_frame_s_moment_is_the_middle_of_its_window():
    """A gain that opens for a stretch of time and some frequencies lets through what lies there."""
    rate = 16_000
    grid = Stft.of(rate)
    moments = np.arange(2 * rate) / rate
    low, high = np.sin(2 * np.pi * 500 * moments), np.sin(2 * np.pi * 4_000 * moments)
    samples = (0.3 * low + 0.3 * high).astype(np.float32)[:, None]

    def gains(asked):
        inside = (np.abs(asked - 1.0) < 0.25)[:, None]
        return (inside & (grid.frequencies > 2_000)[None]).astype(np.float32)

    _, kept = both(grid, [samples], gains)
    inside = slice(round(0.8 * rate), round(1.2 * rate))
    np.testing.assert_allclose(kept[inside, 0], 0.3 * high[inside], atol=1e-3)
    assert np.abs(kept[: round(0.7 * rate)]).max() == pytest.approx(0.0, abs=1e-6)
    energy = np.cumsum(kept[:, 0].astype(np.float64) ** 2)
    assert np.interp(energy[-1] / 2, energy, moments) == pytest.approx(1.0, abs=0.005)


def test_hours_need_no_more_memory_than_minutes():
    rate, channels = 8_000, 2
    grid = Stft.of(rate)

    def peak(minutes: int) -> int:
        block = np.random.default_rng(0).uniform(-1, 1, (10 * rate, channels)).astype(np.float32)
        tracemalloc.start()
        worst = 0.0
        for before, kept in apply_gains(grid, (block for _ in range(6 * minutes)), even(1.0, grid)):
            worst = max(worst, float(np.abs(before - kept).max()))
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert worst < 1e-5
        return size

    assert peak(60) < 1.2 * peak(3)


def test_nothing_comes_of_nothing():
    grid = Stft.of(8_000)
    assert list(apply_gains(grid, [], even(1.0, grid))) == []
    assert list(apply_gains(grid, [np.zeros((0, 2), dtype=np.float32)], even(1.0, grid))) == []


@pytest.mark.parametrize("rate", [100, 8_000, 44_100, 768_000])
def test_windows_suit_the_rate(rate):
    grid = Stft.of(rate)
    assert grid.window % stft.OVERLAP == 0
    assert grid.window == stft.LEAST_WINDOW or 0.7 < grid.window / rate / stft.WINDOW_SECONDS < 1.42
