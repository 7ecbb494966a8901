"""Loudness: the values that ITU-R BS.1770 and EBU Tech 3341 ask for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from earwitness.audio.loudness import Meter


def sine(rate: int, seconds: float, decibels: float, hertz: float = 997.0, channels: int = 1) -> np.ndarray:
    wave = 10 ** (decibels / 20) * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def lufs(samples: np.ndarray, rate: int, block: int = 7_000) -> float:
    meter = Meter(rate)
    for start in range(0, len(samples), block):
        meter.see(samples[start : start + block])
    return meter.lufs


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000, 96_000])
def test_a_full_sine_in_one_channel_reads_3_below(rate):
    assert lufs(sine(rate, 5, 0.0), rate) == pytest.approx(-3.01, abs=0.1)


def test_stereo_of_minus_23_reads_minus_23():
    """EBU Tech 3341, case 1."""
    assert lufs(sine(48_000, 20, -23.0, 1_000.0, 2), 48_000) == pytest.approx(-23.0, abs=0.1)


def test_quiet_stretches_are_gated():
    """EBU Tech 3341, case 3."""
    parts = [sine(48_000, seconds, level, 1_000.0, 2) for seconds, level in ((10, -36.0), (60, -23.0), (10, -36.0))]
    assert lufs(np.concatenate(parts), 48_000) == pytest.approx(-23.0, abs=0.1)


def test_blocks_make_no_difference():
    noise = np.random.default_rng(0).normal(0, 0.1, (20_000, 3)).astype(np.float32)
    assert lufs(noise, 16_000, 313) == pytest.approx(lufs(noise, 16_000, 20_000))


@pytest.mark.parametrize("rate", [100, 2_000, 8_000])
def test_short_sounds_low_rates_and_silence_are_measured(rate):
    assert lufs(np.zeros((rate, 2), dtype=np.float32), rate) == -math.inf
    assert math.isfinite(lufs(np.ones((1, 1), dtype=np.float32), rate))
    assert Meter(rate).lufs == -math.inf
    noise = np.random.default_rng(0).normal(0, 0.1, (rate // 5, 1)).astype(np.float32)
    assert lufs(2 * noise, rate) - lufs(noise, rate) == pytest.approx(6.02, abs=0.01)
