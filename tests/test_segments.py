"""Segments: where they begin, what they hold, what is padding."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.audio.segments import Segments, cut, silent_share
from earwitness.audio.timefreq import segment_hop
from earwitness.core.errors import UsageError

SILENCE = -4.6
BANDS = 3


def recording(number: int, frames: int) -> np.ndarray:
    """Log-mel whose cells name recording and frame."""
    return (1000 * number + np.arange(frames)[:, None] + np.zeros(BANDS)).astype(np.float32)


@st.composite
def cuts(draw):
    lengths = draw(st.lists(st.integers(1, 60), min_size=1, max_size=5))
    frames = draw(st.integers(1, 30))
    overlap = draw(st.sampled_from([0.0, 25.0, 50.0, 75.0, 90.0, 99.0]))
    log_mels = [recording(number, length) for number, length in enumerate(lengths)]
    return lengths, frames, overlap, cut(log_mels, [f"f{n}" for n in range(len(lengths))], SILENCE, frames, overlap)


@given(cuts())
def test_segments_are_the_stretches_they_say_they_are(made):
    lengths, frames, _, data = made
    segments = data.take(np.arange(len(data)))
    assert len(segments) == len(data) == len(data.recording)
    assert segments.values.dtype == np.float32
    for values, start, real, file in zip(
        segments.values, segments.start_frames, segments.real_frames, segments.files, strict=True
    ):
        number = int(file[1:])
        assert values.shape == (frames, BANDS)
        expected = 1000 * number + start + np.arange(real)
        np.testing.assert_array_equal(values[:real], np.repeat(expected[:, None], BANDS, axis=1))
        assert (values[real:] == np.float32(SILENCE)).all()
        assert real == min(frames, lengths[number] - start)


@given(cuts())
def test_starts_are_a_hop_apart_and_only_short_recordings_are_padded(made):
    lengths, frames, overlap, data = made
    hop = segment_hop(frames, overlap)
    for number, length in enumerate(lengths):
        rows = data.rows_of([number])
        starts = data.start_frames[rows]
        assert starts[0] == 0
        assert (np.diff(starts[:-1]) == hop).all()
        # The last segment ends with the recording: every frame is in one, unless a single frame of many is left.
        last = max(0, length - frames)
        last -= last % hop == 1 and frames >= 20
        assert starts[-1] == last
        assert len(starts) == -(-last // hop) + 1
        assert (data.segment_real_frames[rows] == min(frames, length)).all()
        assert data.real_frames[number] == length


@given(cuts(), st.data())
def test_rows_come_in_the_order_asked(made, pick):
    data = made[3]
    rows = pick.draw(st.lists(st.integers(0, len(data) - 1), max_size=6))
    taken = data.take(rows)
    assert len(taken) == len(rows)
    np.testing.assert_array_equal(taken.values, data.values(rows))
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(taken.values[place], data.values([row])[0])
        assert taken.files[place] == data.files[data.recording[row]]
    again = taken.take(np.arange(len(rows))[::-1])
    assert again.files == taken.files[::-1]
    np.testing.assert_array_equal(again.values, taken.values[::-1])
    np.testing.assert_array_equal(again.real_frames, taken.real_frames[::-1])


@given(cuts(), st.data())
def test_rows_of_recordings_are_all_of_theirs_and_no_others(made, pick):
    data = made[3]
    chosen = pick.draw(st.lists(st.integers(0, len(data.files) - 1), unique=True))
    rows = data.rows_of(chosen)
    assert set(data.recording[rows]) == set(chosen)
    assert len(rows) == int(np.isin(data.recording, chosen).sum())
    assert (np.diff(rows) > 0).all()


def test_the_examples_five_seconds_give_seventeen_segments():
    # 5 s of VGGish are 498 frames: (498 - 96) // 24 + 1.
    data = cut([recording(0, 498)], ["a"], SILENCE, 96, 75.0, tail=False)
    np.testing.assert_array_equal(data.start_frames, 24 * np.arange(17))
    # One more ends with the recording, 18 frames after the one before it.
    data = cut([recording(0, 498)], ["a"], SILENCE, 96, 75.0)
    np.testing.assert_array_equal(data.start_frames, [*24 * np.arange(17), 402])


def test_values_are_copies_and_recordings_are_not():
    log_mel = recording(0, 40)
    data = cut([log_mel], ["a"], SILENCE, 16, 75.0)
    assert data.log_mels[0] is log_mel
    data.values([0])[:] = 0
    assert log_mel[1, 0] == 1


SILENCE = -4.0


@pytest.mark.parametrize(
    ("frames", "real", "share"),
    [
        ([SILENCE] * 8, 8, 1.0),
        ([SILENCE + 5e-4] * 4 + [SILENCE] * 4, 8, 1.0),  # ripples of resampling
        ([1.5] * 8, 8, 1.0),  # the same everywhere tells nothing
        ([SILENCE, 0.0, SILENCE, SILENCE, 1.0, 2.0, SILENCE, SILENCE], 8, 5 / 8),
        ([SILENCE, 0.0, SILENCE, 1.0, *[SILENCE] * 4], 4, 0.5),  # padding is no part of the recording
        ([0.0, 1.0] * 4, 8, 0.0),
        ([0.0] * 8, 0, 1.0),
    ],
)
def test_the_silent_share_counts_frames_without_any_sound(frames, real, share):
    segment = np.repeat(np.array(frames, dtype=np.float32)[:, None], 3, axis=1)
    assert silent_share(segment, real, SILENCE) == share


def test_no_recordings_give_no_segments():
    data = cut([], [], SILENCE, 16, 75.0)
    assert len(data) == 0
    assert len(data.rows_of([])) == 0
    assert len(data.segment_real_frames) == 0


@pytest.mark.parametrize("overlap", [-1.0, 100.0, float("nan")])
def test_impossible_overlaps_are_refused(overlap):
    with pytest.raises(ValueError, match="overlap must be"):
        cut([recording(0, 40)], ["a"], SILENCE, 16, overlap)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"values": np.zeros((96, 64), np.float32)}, "(n, frames, bands)"),
        ({"values": np.zeros((2, 96, 64), np.int64)}, "float32"),
        ({"files": ("a.wav",)}, "give one of each for each segment"),
        ({"real_frames": np.array([96, 97])}, "must lie between 0 and the segments' 96"),
        ({"real_frames": np.array([-1, 96])}, "must lie between 0"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_where_they_come_in(changes, says):
    given = {
        "values": np.zeros((2, 96, 64), np.float32),
        "start_frames": np.zeros(2, np.int64),
        "real_frames": np.full(2, 96),
        "files": ("a.wav", "b.wav"),
    }
    assert len(Segments(**given)) == 2
    with pytest.raises(UsageError, match=re.escape(says)):
        Segments(**given | changes)
