"""Artefacts are put in where they are said to be, and taken out of what has them; what has none hardly changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.audio import artefacts
from earwitness.audio.artefacts import ARTEFACTS, rms
from earwitness.audio.frontend import VGGISH
from earwitness.data.synthetic.corpus import mel_energy

RATE = 16_000
# What takes each trace out of a recording.
MENDS = {
    "click": artefacts.mend_edges,
    "tone": lambda samples, rate: artefacts.remove_lines(samples, rate, artefacts.TONE_LINES),
    "hum": lambda samples, rate: artefacts.remove_lines(samples, rate, artefacts.HUM_LINES),
    "level": artefacts.even_level,
}


def noise(seed: int, seconds: float = 1.0, level: float = 0.05) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, level, round(seconds * RATE)).astype(np.float32)


def decibels(part: np.ndarray, whole: np.ndarray) -> float:
    return 20 * np.log10(rms(part) / rms(whole))


def band_level(samples: np.ndarray, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    return float(10 * np.log10(power[(hertz >= low) & (hertz < high)].mean() + 1e-20))


@pytest.mark.parametrize("name", ARTEFACTS)
@given(size=st.sampled_from([1, 2, 7, 319, 321, 4000, 16_001]), level=st.sampled_from([0.0, 1e-5, 0.1]))
def test_any_recording_keeps_its_length_and_stays_finite(name, size, level):
    samples = noise(size, 2.0, level)[:size]
    changed = ARTEFACTS[name].put_in(samples, RATE)
    assert changed.shape == samples.shape
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()


@pytest.mark.parametrize("mend", MENDS.values(), ids=MENDS)
@given(size=st.sampled_from([1, 2, 7, 319, 321, 4000, 16_001]), level=st.sampled_from([0.0, 1e-5, 0.1]))
def test_a_mended_recording_keeps_its_length_and_stays_finite(mend, size, level):
    samples = noise(size, 2.0, level)[:size].astype(np.float64)
    before = samples.copy()
    mended = mend(samples, RATE)
    assert mended.shape == samples.shape
    assert np.isfinite(mended).all()
    assert (samples == before).all()


@pytest.mark.parametrize("name", ARTEFACTS)
def test_nothing_is_drawn_by_chance_and_nothing_is_changed_in_place(name):
    samples = noise(1)
    before = samples.copy()
    first, second = (ARTEFACTS[name].put_in(samples, RATE) for _ in range(2))
    assert (first == second).all()
    assert (samples == before).all()


@pytest.mark.parametrize("name", ARTEFACTS)
def test_empty_recording_stays_empty(name):
    assert ARTEFACTS[name].put_in(np.zeros(0, np.float32), RATE).size == 0


@pytest.mark.parametrize("name", ["click", "tone", "hum"])
def test_taking_out_undoes_most_of_what_was_put_in(name):
    clean, artefact = noise(2, 2.0), ARTEFACTS[name]
    dirty = artefact.put_in(clean, RATE)
    mended = MENDS[name](dirty.astype(np.float64), RATE)
    energies = [np.log(mel_energy(each, RATE, VGGISH.clock, 190) + 1e-9) for each in (clean, dirty, mended)]
    damage, rest = (np.abs(each - energies[0]) for each in energies[1:])
    other = np.abs(np.log(mel_energy(noise(3, 2.0), RATE, VGGISH.clock, 190) + 1e-9) - energies[0])
    touched = damage > damage.max() / 2
    assert rest[touched].mean() < damage[touched].mean() / 2
    # Where it was, other noise of the same kind is as good as the noise that was there.
    assert rest[touched].mean() < 2.0 * other.mean()


def test_click_lies_in_the_first_20_ms_and_is_three_times_the_peak():
    clean = noise(4)
    added = ARTEFACTS["click"].put_in(clean, RATE) - clean
    assert np.flatnonzero(added).max() < 0.02 * RATE
    assert np.abs(added).max() == pytest.approx(3 * np.abs(clean).max(), rel=1e-5)


def test_tone_is_12_db_below_the_recording_and_at_6_khz():
    clean = noise(5)
    added = ARTEFACTS["tone"].put_in(clean, RATE) - clean
    assert decibels(added, clean) == pytest.approx(-12.0, abs=0.05)
    strongest = np.argmax(np.abs(np.fft.rfft(added)))
    assert np.fft.rfftfreq(len(added), 1 / RATE)[strongest] == pytest.approx(6000.0, abs=1.0)


def test_lines_above_the_rate_are_left_out():
    clean = noise(6)[:4000]
    assert (ARTEFACTS["tone"].put_in(clean, 8000) == clean).all()


def test_band_limit_empties_the_upper_band():
    clean = noise(7)
    limited = ARTEFACTS["band limit"].put_in(clean, RATE)
    assert band_level(limited, 4400, 8000) < band_level(clean, 4400, 8000) - 40
    assert band_level(limited, 100, 3900) == pytest.approx(band_level(clean, 100, 3900), abs=0.1)


def test_level_is_clipped_at_full_scale_and_evened_out():
    clean = noise(8)
    loud = ARTEFACTS["level"].put_in(clean, RATE)
    assert (np.abs(loud) >= 1.0).mean() == pytest.approx(0.05, abs=0.002)
    assert rms(artefacts.even_level(loud.astype(np.float64), RATE)) == pytest.approx(0.1, rel=1e-5)
    assert not ARTEFACTS["level"].placed


def test_lines_are_taken_out_of_nothing_but_their_neighbourhood():
    clean = noise(9, 2.0)
    cleaned = MENDS["tone"](clean.astype(np.float64), RATE)
    assert decibels(cleaned - clean, clean) < -20
    spectrum = np.abs(np.fft.rfft(cleaned - clean))
    hertz = np.fft.rfftfreq(len(clean), 1 / RATE)
    near = np.abs(hertz - 6000) < 40
    assert (spectrum[near] ** 2).sum() > 0.98 * (spectrum**2).sum()


def test_both_edges_are_mended():
    sound = noise(10)
    sound[:100] = sound[-100:] = 1.0
    mended = artefacts.mend_edges(sound.astype(np.float64), RATE)
    assert max(np.abs(mended[:100]).max(), np.abs(mended[-100:]).max()) < 0.5
    assert (mended[1000:-1000] == sound[1000:-1000]).all()
