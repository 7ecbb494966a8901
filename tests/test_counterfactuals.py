"""Counterfactuals take out what they name, and leave recordings without it as they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from earwitness.audio.artefacts import ARTEFACTS, rms
from earwitness.trust.audit.counterfactuals import COUNTERFACTUALS, band_limit, clipped_samples, repeated, steady_lines

RATES = st.sampled_from([16_000, 32_000])
CONDITIONAL = ("silence", "steady tones", "band limit", "clipping")


def noise(rate: int = 16_000, seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.1, round(rate * seconds)).astype(np.float32)


def without(name: str, samples: np.ndarray, rate: int = 16_000) -> np.ndarray:
    return COUNTERFACTUALS[name].change(samples, rate)


def level_db(samples: np.ndarray, rate: int, low: float, high: float) -> float:
    hertz, power = signal.welch(samples, rate, nperseg=4096)
    return float(10 * np.log10(power[(hertz >= low) & (hertz <= high)].mean() + 1e-20))


@given(
    name=st.sampled_from(sorted(COUNTERFACTUALS)),
    size=st.one_of(st.integers(0, 50), st.integers(1000, 9000)),
    rate=RATES,
    kind=st.sampled_from(["noise", "silence", "square", "one"]),
)
def test_whatever_comes_a_finite_recording_of_the_same_length_goes_out(name, size, rate, kind):
    samples = {
        "noise": noise(rate, 1.0)[:size],
        "silence": np.zeros(size, np.float32),
        "square": np.sign(np.sin(np.arange(size) / 7)).astype(np.float32),
        "one": np.eye(1, size, size // 2, dtype=np.float32)[0] if size else np.zeros(0, np.float32),
    }[kind]
    before = samples.copy()
    changed = without(name, samples, rate)
    assert changed.shape == samples.shape
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()
    np.testing.assert_array_equal(samples, before)
    np.testing.assert_array_equal(without(name, samples, rate), changed)


@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_recording_without_the_trace_is_left_as_it_is(name):
    np.testing.assert_array_equal(without(name, noise()), noise())


@pytest.mark.parametrize("rate", [16_000, 32_000])
@pytest.mark.parametrize(("artefact", "hertz"), [("tone", 6000.0), ("hum", 200.0)])
def test_steady_lines_are_found_and_brought_down(artefact, hertz, rate):
    sound = noise(rate, 3.0)
    marked = ARTEFACTS[artefact].put_in(sound, rate)
    assert np.abs(steady_lines(marked, rate) - hertz).min() <= 4.0
    around = (hertz - 10, hertz + 10)
    assert level_db(marked, rate, *around) > level_db(sound, rate, *around) + 8
    assert level_db(without("steady tones", marked, rate), rate, *around) < level_db(sound, rate, *around) + 3


def test_a_note_that_pauses_is_no_steady_line():
    moments = np.arange(48_000) / 16_000
    note = np.where(moments % 1.0 < 0.6, np.sin(2 * np.pi * 900 * moments), 0.0)
    assert not steady_lines((noise(seconds=3.0) + note).astype(np.float32), 16_000).size


@pytest.mark.parametrize("rate", [16_000, 32_000])
def test_a_band_limit_is_found_and_filled(rate):
    sound = noise(rate, 3.0)
    assert band_limit(sound, rate) is None
    limited = ARTEFACTS["band limit"].put_in(sound, rate)
    found = band_limit(limited, rate)
    assert found is not None
    assert 3_400 <= found <= 4_300
    filled = without("band limit", limited, rate)
    assert level_db(filled, rate, 5_000, 7_000) > level_db(limited, rate, 5_000, 7_000) + 30
    assert abs(level_db(filled, rate, 5_000, 7_000) - level_db(sound, rate, 5_000, 7_000) + 6) < 2
    assert abs(level_db(filled, rate, 500, 3_000) - level_db(limited, rate, 500, 3_000)) < 0.1


@given(start=st.integers(0, 20_000), length=st.integers(1_000, 10_000))
def test_silence_is_cut_out_and_filled_with_more_of_the_same(start, length):
    sound = noise()
    holed = sound.copy()
    holed[start : start + length] = 0.0
    changed = without("silence", holed)
    assert changed.size == holed.size
    assert (changed != 0).mean() > 0.999
    np.testing.assert_array_equal(changed[: min(start, 32_000)], holed[: min(start, 32_000)])


def test_short_recordings_are_repeated_not_padded():
    sound = noise(seconds=0.3)
    longer = repeated(sound, 16_000, 1.0)
    assert longer.size == 16_000
    np.testing.assert_array_equal(longer[: sound.size], sound)
    np.testing.assert_array_equal(longer[sound.size : 2 * sound.size], sound)
    assert repeated(noise(), 16_000, 1.0).size == 32_000


@given(gain=st.floats(0.01, 9.0))
def test_level_makes_all_gains_the_same(gain):
    sound = noise()
    np.testing.assert_allclose(
        without("level", (gain * sound).astype(np.float32)), without("level", sound), rtol=1e-4, atol=1e-7
    )
    assert rms(without("level", sound)) == pytest.approx(0.1, rel=1e-3)


def test_clipped_peaks_are_drawn_anew_nearer_to_what_they_were():
    moments = np.arange(16_000) / 16_000
    sound = (np.sin(2 * np.pi * 220 * moments) * (1 + 0.2 * np.sin(2 * np.pi * 3 * moments))).astype(np.float32)
    clipped = np.clip(sound, -0.8, 0.8)
    marked = clipped_samples(clipped)
    np.testing.assert_array_equal(marked, np.abs(clipped) >= 0.8 * 0.985)
    drawn = without("clipping", clipped)
    scaled = drawn * float((sound @ drawn) / (drawn @ drawn))
    plain = clipped * float((sound @ clipped) / (clipped @ clipped))
    assert rms(scaled - sound) < 0.6 * rms(plain - sound)
    assert not clipped_samples(sound).all()


def test_the_inaudible_is_removed_and_the_audible_kept():
    moments = np.arange(64_000) / 32_000
    heard, rumble = np.sin(2 * np.pi * 1000 * moments), np.sin(2 * np.pi * 10 * moments)
    whistle = np.sin(2 * np.pi * 15_500 * moments)
    changed = without("inaudible", (heard + rumble + whistle).astype(np.float32), 32_000)
    np.testing.assert_allclose(changed[2000:-2000], heard[2000:-2000], atol=0.02)


def test_the_lossy_format_keeps_the_sound_and_its_place():
    sound = np.convolve(noise(32_000, 1.0), np.ones(8) / 8, "same").astype(np.float32)
    changed = without("file format", sound, 32_000)
    assert not np.array_equal(changed, sound)
    assert np.corrcoef(changed, sound)[0, 1] > 0.9
