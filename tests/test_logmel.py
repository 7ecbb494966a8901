import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio.frontend import EFFICIENTAT, FRONT_ENDS, VGGISH
from earwitness.audio.logmel import energy_of, log_mel, log_mel_stream, log_of
from earwitness.audio.timefreq import segment_starts
from rounding import rounding

SIGNALS = ["sine_1khz", "chirp", "noise", "silence", "impulses", "dog", "clock"]
REAL = {"dog", "clock"}
front_ends = pytest.mark.parametrize("front_end", FRONT_ENDS.values(), ids=FRONT_ENDS)


@pytest.fixture(scope="module")
def vggish_golden(shared):
    return np.load(shared / "golden" / "vggish_frontend.npz")


@pytest.fixture(scope="module")
def mn04_golden(shared):
    return np.load(shared / "golden" / "mn04.npz")


@pytest.mark.parametrize("name", SIGNALS)
def test_vggish_equals_the_reference(vggish_golden, name):
    waveform, expected = torch.from_numpy(vggish_golden[f"{name}_waveform"]), vggish_golden[f"{name}_logmel"]
    assert np.abs(log_mel(VGGISH, waveform.double()).numpy() - expected).max() < 1e-5
    # The leakage of pure tones lies at the rounding of float32.
    assert np.abs(log_mel(VGGISH, waveform).numpy() - expected).max() < (1e-4 if name in REAL else 2e-3)


@pytest.mark.parametrize("name", SIGNALS)
def test_vggish_gives_the_reference_number_of_segments(vggish_golden, name):
    frames = vggish_golden[f"{name}_logmel"].shape[0]
    assert len(segment_starts(frames, 96, 75.0, tail=False)) == vggish_golden[f"{name}_patches_hop24"]
    assert len(segment_starts(frames, 96, 0.0, tail=False)) == vggish_golden[f"{name}_patches_hop96"]


@pytest.mark.parametrize("name", ["dog", "helicopter"])
def test_efficientat_equals_the_reference(mn04_golden, name):
    waveform, expected = torch.from_numpy(mn04_golden[f"{name}_waveform"]), mn04_golden[f"{name}_mel"].T
    assert np.abs(log_mel(EFFICIENTAT, waveform).numpy() - expected).max() < 1e-4
    # The reference ran in float32: its own rounding, up to 2e-5 in a few cells, bounds how near float64 can come.
    error = np.abs(log_mel(EFFICIENTAT, waveform.double()).numpy() - expected)
    assert error.max() < 3e-5
    assert np.quantile(error, 0.999) < 1e-5


@front_ends
def test_a_batch_equals_its_members(front_end):
    waveforms = torch.randn(3, front_end.sample_rate, generator=torch.Generator().manual_seed(0))
    together = log_mel(front_end, waveforms)
    for one, waveform in zip(together, waveforms, strict=True):
        torch.testing.assert_close(one, log_mel(front_end, waveform), rtol=0, atol=1e-5)


@front_ends
def test_silence_is_the_front_ends_silence(front_end):
    result = log_mel(front_end, torch.zeros(front_end.sample_rate))
    torch.testing.assert_close(result, torch.full_like(result, front_end.silence), rtol=0, atol=rounding(result))


@front_ends
@given(st.integers(0, 5000))
def test_the_number_of_frames_is_as_said(front_end, samples):
    assert log_mel(front_end, torch.zeros(samples)).shape == (front_end.frames(samples), front_end.bands)


@front_ends
def test_the_least_samples_give_a_frame_and_one_fewer_none(front_end):
    assert front_end.frames(front_end.least_samples) >= 1
    assert front_end.frames(front_end.least_samples - 1) == 0


@front_ends
@settings(deadline=None, max_examples=30)
@given(samples=st.integers(0, 9000), blocks=st.lists(st.integers(0, 3000), max_size=6), seed=st.integers(0, 99))
def test_blocks_give_what_the_whole_gives(front_end, samples, blocks, seed):
    waveform = np.random.default_rng(seed).standard_normal(samples).astype(np.float32)
    cuts = np.clip(np.cumsum(blocks), 0, samples).astype(int)
    parts = list(log_mel_stream(front_end, np.split(waveform, cuts)))
    whole = log_mel(front_end, torch.from_numpy(waveform)).numpy()
    assert sum(len(part) for part in parts) == len(whole)
    if len(whole):
        np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=1e-4)


def test_halving_the_amplitude_lowers_every_loud_cell_by_the_logarithm():
    waveform = torch.randn(16_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    loud, soft = log_mel(VGGISH, 100 * waveform), log_mel(VGGISH, 50 * waveform)
    torch.testing.assert_close(loud - soft, torch.full_like(loud, np.log(2)), rtol=0, atol=1e-3)


@front_ends
def test_energies_and_log_mels_are_each_others_inverse(front_end):
    energy = torch.tensor([0.0, 1e-3, 0.5, 70.0], dtype=torch.float64)
    torch.testing.assert_close(energy_of(front_end, log_of(front_end, energy)), energy, rtol=1e-9, atol=1e-12)
    assert float(log_of(front_end, energy[:1])) == pytest.approx(front_end.silence)
    assert float(energy_of(front_end, torch.tensor(front_end.silence - 1.0))) == 0


@front_ends
def test_energies_grow_with_the_power_of_the_amplitude(front_end):
    waveform = torch.randn(8_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    soft, loud = (energy_of(front_end, log_mel(front_end, gain * waveform)) for gain in (1, 3))
    torch.testing.assert_close(loud, soft * 3.0**front_end.power, rtol=1e-6, atol=1e-6)
