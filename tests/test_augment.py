"""Changes to training segments: each does what it says, and in sound, not in logarithms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from earwitness.audio.frontend import FRONT_ENDS, VGGISH
from earwitness.audio.logmel import log_mel
from earwitness.audio.segments import cut
from earwitness.training.augmentation import draw
from earwitness.training.recipes import Augmentation

LABELS = np.array([0, 2, 1, 2])
front_ends = pytest.mark.parametrize("front_end", FRONT_ENDS.values(), ids=FRONT_ENDS)


def recordings(front_end=VGGISH, lengths=(50, 64, 90, 10), segment_frames=32, overlap=75.0):
    """Log-mels whose cells say which frame they are: value = frame number + small noise-free band term."""
    log_mels = [
        (front_end.silence + 0.05 * np.arange(frames)[:, None] + np.zeros(front_end.bands)).astype(np.float32)
        for frames in lengths
    ]
    names = [str(number) for number in range(len(lengths))]
    return cut(log_mels, names, front_end.silence, segment_frames, overlap)


def drawn(data, rows, augmentation, front_end=VGGISH, seed=0, overlap=75.0):
    rng = np.random.default_rng(seed)
    return draw(data, np.asarray(rows, dtype=np.int64), LABELS, 3, front_end, overlap, augmentation, rng)


@front_ends
def test_without_augmentation_the_segments_are_as_they_are(front_end):
    data = recordings(front_end)
    rows = np.arange(len(data))[::-1]
    batch = drawn(data, rows, Augmentation(), front_end)
    np.testing.assert_array_equal(batch.values.numpy(), data.values(rows))
    np.testing.assert_array_equal(batch.shares.argmax(1).numpy(), LABELS[data.recording[rows]])
    assert batch.values.dtype == batch.shares.dtype == torch.float32


@given(
    augmentation=st.builds(
        Augmentation,
        shift=st.booleans(),
        gain_db=st.floats(0.0, 20.0),
        masks=st.integers(0, 3),
        mask_frames=st.integers(0, 200),
        mask_bands=st.integers(0, 200),
        equalise_db=st.sampled_from([0.0, 6.0]),
    ),
    front_end=st.sampled_from(list(FRONT_ENDS.values())),
    count=st.integers(1, 9),
    seed=st.integers(0, 1000),
)
def test_whatever_is_drawn_is_a_batch(augmentation, front_end, count, seed):
    data = recordings(front_end)
    rows = np.random.default_rng(seed).integers(0, len(data), count)
    batch = drawn(data, rows, augmentation, front_end, seed)
    assert batch.values.shape == (count, 32, front_end.bands)
    assert len(batch.shares) == count
    assert bool(batch.values.isfinite().all())
    assert batch.values.dtype == torch.float32
    torch.testing.assert_close(batch.shares.sum(1), torch.ones(len(batch.shares)))
    assert bool((batch.shares >= 0).all())
    # No sound is ever made quieter than silence.
    assert float(batch.values.min()) >= front_end.silence - 1e-4


@given(seed=st.integers(0, 10_000))
def test_shifted_segments_are_real_stretches_near_their_place(seed):
    data = recordings()
    rows = np.arange(len(data))
    batch = drawn(data, rows, Augmentation(shift=True), seed=seed)
    first = np.rint((batch.values[:, 0, 0].numpy() - VGGISH.silence) / 0.05).astype(int)
    for row, start, values in zip(rows, first, batch.values.numpy(), strict=True):
        log_mel = data.log_mels[data.recording[row]]
        assert abs(start - data.start_frames[row]) <= 4  # half of a hop of 8 frames
        np.testing.assert_array_equal(values, log_mel[start : start + 32])


def test_shifts_reach_both_ways():
    data = recordings(lengths=(300,))
    moves = set()
    for seed in range(60):
        batch = drawn(data, [10], Augmentation(shift=True), seed=seed)
        moves.add(int(np.rint((float(batch.values[0, 0, 0]) - VGGISH.silence) / 0.05)) - int(data.start_frames[10]))
    assert moves == set(range(-4, 5))


@front_ends
def test_gain_is_the_gain_of_the_waveform(front_end):
    # The same by another route: make the sound louder and compute its log-mel.
    waveform = 0.1 * torch.randn(front_end.sample_rate, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    quiet = log_mel(front_end, waveform).float().numpy()
    data = cut([quiet], ["a"], front_end.silence, 64, 75.0)
    rng = np.random.default_rng(7)
    gain_db = rng.uniform(-6.0, 6.0, 1)[0]
    batch = drawn(data, [0], Augmentation(gain_db=6.0), front_end, seed=7)
    louder = log_mel(front_end, waveform * 10 ** (gain_db / 20)).float()[:64]
    torch.testing.assert_close(batch.values[0], louder, rtol=0, atol=2e-3)


@front_ends
def test_silence_stays_silence_at_any_gain(front_end):
    silent = np.full((64, front_end.bands), front_end.silence, dtype=np.float32)
    data = cut([silent], ["a"], front_end.silence, 32, 75.0)
    batch = drawn(data, [0, 1], Augmentation(gain_db=30.0, equalise_db=10.0, shift=True), front_end)
    torch.testing.assert_close(batch.values, torch.full_like(batch.values, front_end.silence), rtol=0, atol=1e-4)


@front_ends
def test_an_equaliser_bends_the_spectrum_between_a_few_places(front_end):
    # A sound far above the offset moves by the gain itself, so that its change over bands is the equaliser's curve.
    loud = np.full((64, front_end.bands), 8.0 * front_end.scale, dtype=np.float32)
    data = cut([loud], ["a"], front_end.silence, 32, 75.0)
    batch = drawn(data, [0, 1], Augmentation(equalise_db=6.0), front_end, seed=4)
    change = (batch.values.numpy() - loud[:32]) / front_end.scale * 20 / np.log(10) / front_end.power
    assert np.ptp(change, axis=1).max() < 1e-3  # the same at every moment
    assert not np.allclose(change[0], change[1], atol=0.1)  # another for every segment
    bends = np.abs(np.diff(change[:, 0], 2, axis=1)) > 1e-2
    assert np.abs(change).max() <= 6.01
    assert np.ptp(change[:, 0], axis=1).min() > 1.0
    assert 1 <= bends.sum(axis=1).max() <= 2 * 4


@given(seed=st.integers(0, 10_000), masks=st.integers(1, 3))
def test_masks_hide_whole_frames_and_bands_by_the_mean_and_nothing_else(seed, masks):
    data = recordings(lengths=(32,))
    batch = drawn(data, [0], Augmentation(masks=masks, mask_frames=5, mask_bands=4), seed=seed)
    plain = torch.from_numpy(data.values([0]))[0]
    hidden = batch.values[0] != plain
    mean = float(plain.mean())
    torch.testing.assert_close(batch.values[0][hidden], torch.full_like(batch.values[0][hidden], mean))
    frames, bands = hidden.all(dim=1), hidden.all(dim=0)
    assert int(frames.sum()) <= 5 * masks
    assert int(bands.sum()) <= 4 * masks
    assert bool((hidden == (frames[:, None] | bands[None, :])).all())


def test_masks_reach_every_frame_and_band():
    data = recordings(lengths=(32,))
    plain = torch.from_numpy(data.values([0]))[0]
    ever = torch.zeros_like(plain, dtype=torch.bool)
    for seed in range(200):
        ever |= drawn(data, [0], Augmentation(masks=1), seed=seed).values[0] != plain
    assert bool(ever.all())


def test_one_generator_gives_one_batch():
    data = recordings()
    augmentation = Augmentation(shift=True, gain_db=6.0, masks=2, equalise_db=3.0)
    one, same, other = (drawn(data, np.arange(8), augmentation, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(one.values, same.values)
    assert not torch.equal(one.values, other.values)


def test_the_recordings_are_not_touched():
    data = recordings()
    before = [values.copy() for values in data.log_mels]
    drawn(data, np.arange(8), Augmentation(shift=True, gain_db=6.0, masks=2, equalise_db=3.0))
    for values, kept in zip(data.log_mels, before, strict=True):
        np.testing.assert_array_equal(values, kept)
