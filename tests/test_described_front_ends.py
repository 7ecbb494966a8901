"""Front ends as other people have them: librosa's, torchaudio's, plain spectrograms, explicit edges."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from earwitness.audio.frontend import FrontEnd
from earwitness.audio.logmel import energy_of, log_mel, log_mel_stream, log_of, mel_filters
from earwitness.audio.timefreq import SCALES, Clock, hz_to_mel, mel_to_hz
from earwitness.core.errors import UsageError

EDGES = (0.0, 50.0, 180.0, 400.0, 900.0, 1_500.0, 2_600.0, 4_000.0, 6_500.0, 9_000.0, 11_000.0)


def front_end(scale="slaney", **changed):
    known = {
        "name": "described",
        "sample_rate": 22_050,
        "window": 2_048,
        "hop": 512,
        "fft": 2_048,
        "periodic": True,
        "centred": True,
        "preemphasis": 0.0,
        "power": 2,
        "mel_scale": scale,
        "bands": 64,
        "low_hz": 0.0,
        "high_hz": 11_025.0,
        "offset": 1e-10,
        "shift": 0.0,
        "scale": 10 / math.log(10),
        "segment_frames": 128,
        "padding": "zeros",
        "triangles": "hertz",
        "norm": "slaney",
        "clamped": True,
    }
    return FrontEnd(**{**known, **changed})


BINS = front_end(
    "linear", window=400, fft=400, hop=160, sample_rate=16_000, bands=201, low_hz=-40.0, high_hz=8_040.0, norm=""
)
EXPLICIT = front_end("edges", bands=len(EDGES) - 2, low_hz=EDGES[0], high_hz=EDGES[-1], edges_hz=EDGES, norm="")
ALL = {
    "htk": front_end("htk"),
    "kaldi": front_end("kaldi", triangles="mel", norm=""),
    "slaney": front_end(),
    "linear": BINS,
    "edges": EXPLICIT,
}
every = pytest.mark.parametrize("one", ALL.values(), ids=ALL)


# ---- scales -------------------------------------------------------------------------------------------------------


@given(st.floats(0, 48_000), st.sampled_from([scale for scale in SCALES if scale != "edges"]))
def test_hertz_survive_the_way_to_a_scale_and_back(hz, scale):
    assert mel_to_hz(hz_to_mel(hz, scale), scale) == pytest.approx(hz, rel=1e-9, abs=1e-6)


@given(st.floats(-100, 20_000))
def test_hertz_survive_explicit_edges(hz):
    clock = EXPLICIT.clock
    assert clock.from_scale(clock.to_scale(hz)) == pytest.approx(hz, rel=1e-9, abs=1e-6)


def test_explicit_edges_are_the_corners():
    np.testing.assert_allclose(EXPLICIT.clock.filter_edges_hz(), EDGES)
    np.testing.assert_allclose(EXPLICIT.clock.band_centre_hz(np.arange(9)), EDGES[1:-1])


def test_slaneys_scale_is_librosas():
    librosa = pytest.importorskip("librosa")
    hz = np.linspace(0, 16_000, 500)
    np.testing.assert_allclose(hz_to_mel(hz, "slaney"), librosa.hz_to_mel(hz), rtol=1e-12)
    clock = front_end().clock
    np.testing.assert_allclose(
        clock.band_centre_hz(np.arange(64)), librosa.mel_frequencies(66, fmin=0, fmax=11_025)[1:-1], rtol=1e-10
    )


@every
@pytest.mark.parametrize("share", np.linspace(0.04, 0.96, 12))
def test_a_tone_is_named_within_one_band(one, share):
    # Where it is loudest is the network's input; the clock says in hertz where that is.
    clock = one.clock
    low, high = clock.band_centre_hz([0, one.bands - 1])
    hz = low + share * (high - low)
    tone = 0.5 * np.sin(2 * np.pi * hz * np.arange(one.sample_rate) / one.sample_rate)
    band = int(log_mel(one, torch.from_numpy(tone)).numpy().mean(axis=0).argmax())
    assert abs(band - int(clock.hz_to_band(hz))) <= 1
    below, above = clock.band_centre_hz([band - 1, band + 1])
    assert below <= hz <= above


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"mel_scale": "mel"}, r"scale 'mel' is unknown; name one of htk, kaldi, slaney, linear, edges"),
        ({"mel_scale": "edges"}, r"explicit edges has the scale 'edges' and edges_hz"),
        ({"edges_hz": EDGES}, r"explicit edges has the scale 'edges' and edges_hz"),
        ({"mel_scale": "edges", "edges_hz": EDGES}, r"edges_hz: 11 numbers; 64 bands have 66 rising"),
        ({"mel_scale": "edges", "bands": 2, "edges_hz": (0.0, 9.0, 9.0, 10.0)}, r"2 bands have 4 rising"),
        ({"high_hz": 16_000.0}, r"do not fit a sample rate of 22050 Hz, which holds 0 to 11025 Hz"),
        ({"low_hz": -900.0, "mel_scale": "linear"}, r"do not fit"),
        ({"low_hz": 11_025.0}, r"is no grid"),
        ({"bands": 0}, r"is no grid"),
        ({"hop": 0}, r"is no grid"),
    ],
)
def test_a_grid_that_cannot_be_is_refused_when_it_is_made(wrong, words):
    right = {"sample_rate": 22_050, "hop": 512, "centre": 0.0, "bands": 64, "low_hz": 0.0, "high_hz": 11_025.0}
    with pytest.raises(UsageError, match=words):
        Clock(**{**right, **wrong})


# ---- spectrograms -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["slaney", ""])
@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_filters_are_librosas(scale, norm):
    librosa = pytest.importorskip("librosa")
    expected = librosa.filters.mel(
        sr=22_050, n_fft=2_048, n_mels=64, htk=scale == "htk", norm=norm or None, dtype=np.float64
    )
    found = mel_filters(front_end(scale, norm=norm), torch.float64, "cpu").numpy().T
    np.testing.assert_allclose(found, expected, atol=1e-9 * expected.max())


def test_a_log_mel_is_librosas():
    librosa = pytest.importorskip("librosa")
    noise = np.random.default_rng(0).standard_normal(22_050) * np.linspace(0, 0.5, 22_050)
    expected = librosa.power_to_db(
        librosa.feature.melspectrogram(y=noise, sr=22_050, n_mels=64), ref=1.0, amin=1e-10, top_db=None
    )
    found = log_mel(front_end(), torch.from_numpy(noise)).numpy().T
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["hann", "hamming"])
def test_a_plain_spectrogram_has_a_band_a_bin(name):
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(16_000))
    make = {"hann": torch.hann_window, "hamming": torch.hamming_window}[name]
    window = make(400, periodic=True, dtype=torch.float64)
    power = torch.stft(noise, 400, 160, window=window, pad_mode="constant", return_complex=True).abs().square()
    found = log_mel(replace(BINS, window_name=name), noise)
    torch.testing.assert_close(found, 10 * power.clamp(min=1e-10).log10().T, atol=1e-8, rtol=0)
    np.testing.assert_allclose(BINS.clock.band_centre_hz(np.arange(201)), np.arange(201) * 40.0, atol=1e-9)


@every
def test_a_recording_in_blocks_gives_the_same(one):
    noise = np.random.default_rng(0).standard_normal(3 * one.sample_rate).astype(np.float32)
    blocks = np.split(noise, [100, 5_000, 5_001, 40_000])
    found = np.concatenate(list(log_mel_stream(one, blocks)))
    np.testing.assert_allclose(found, log_mel(one, torch.from_numpy(noise)).numpy(), atol=2e-3)


@every
def test_silence_is_the_front_ends_silence(one):
    found = log_mel(one, torch.zeros(one.sample_rate))
    np.testing.assert_allclose(found.numpy(), one.silence, rtol=1e-6)
    assert float(energy_of(one, found).max()) == 0.0


@every
def test_energy_and_log_are_each_others_inverse(one):
    values = log_mel(one, torch.from_numpy(np.random.default_rng(1).standard_normal(one.sample_rate)))
    torch.testing.assert_close(log_of(one, energy_of(one, values)), values, atol=1e-6, rtol=1e-9)
