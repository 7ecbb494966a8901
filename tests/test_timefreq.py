import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.audio.frontend import EFFICIENTAT, FRONT_ENDS, VGGISH
from earwitness.audio.timefreq import cell_edges, hz_to_mel, mel_to_hz, nearest_cells, segment_hop, segment_starts

clocks = st.sampled_from([front_end.clock for front_end in FRONT_ENDS.values()])


@given(st.floats(0, 48_000), st.sampled_from(["htk", "kaldi"]))
def test_hertz_survive_the_way_to_mel_and_back(hz, scale):
    assert mel_to_hz(hz_to_mel(hz, scale), scale) == pytest.approx(hz, abs=1e-6)


def test_mel_scales_match_published_formulas():
    assert float(hz_to_mel(1000.0, "htk")) == pytest.approx(2595 * np.log10(1 + 1000 / 700), abs=1e-9)
    assert float(hz_to_mel(1000.0, "kaldi")) == pytest.approx(1127 * np.log(1 + 1000 / 700), abs=1e-9)


@given(clocks, st.integers(0, 100_000), st.floats(0.001, 0.999))
def test_a_moment_inside_a_frames_cell_belongs_to_that_frame(clock, frame, within):
    left, right = clock.frame_edge_seconds([frame, frame + 1])
    assert clock.seconds_to_frame(left + within * (right - left)) == frame


@given(clocks, st.integers(0, 100_000))
def test_an_edge_belongs_to_the_frame_that_it_begins(clock, frame):
    assert clock.seconds_to_frame(clock.frame_edge_seconds(frame)) == frame


@given(clocks, st.data())
def test_a_frequency_inside_a_bands_cell_belongs_to_that_band(clock, data):
    band = data.draw(st.integers(0, clock.bands - 1))
    low, high = clock.band_edge_hz([band, band + 1])
    assert clock.hz_to_band(low + data.draw(st.floats(0.001, 0.999)) * (high - low)) == band


def test_filters_reach_from_edge_to_edge():
    edges = VGGISH.clock.filter_edges_hz()
    assert edges[0] == pytest.approx(125.0)
    assert edges[-1] == pytest.approx(7500.0)
    assert np.all(np.diff(edges) > 0)


def test_frame_centres_are_the_middles_of_the_windows():
    # VGGish's frame 0 is computed from samples 0 to 399, EfficientAT's is centred on the first sample.
    assert VGGISH.clock.frame_centre_seconds(0) == pytest.approx(200 / 16_000)
    assert EFFICIENTAT.clock.frame_centre_seconds(0) == pytest.approx(0.0)
    assert EFFICIENTAT.clock.frame_centre_seconds(100) == pytest.approx(1.0)


@pytest.mark.parametrize("front_end", FRONT_ENDS.values(), ids=FRONT_ENDS)
def test_a_click_is_loudest_in_the_frame_that_the_clock_names(front_end):
    import torch

    from earwitness.audio.logmel import log_mel

    for seconds in (0.2013, 0.35, 0.7777):
        waveform = np.zeros(front_end.sample_rate, dtype=np.float64)
        waveform[round(seconds * front_end.sample_rate)] = 1.0
        loudest = int(log_mel(front_end, torch.from_numpy(waveform)).mean(dim=1).argmax())
        assert loudest == int(front_end.clock.seconds_to_frame(seconds))


@pytest.mark.parametrize("front_end", FRONT_ENDS.values(), ids=FRONT_ENDS)
@pytest.mark.parametrize("hz", [440.0, 1000.0, 3000.0, 6400.0])
def test_a_tone_is_loudest_in_the_band_that_the_clock_names(front_end, hz):
    import torch

    from earwitness.audio.logmel import log_mel

    time = np.arange(front_end.sample_rate) / front_end.sample_rate
    loudest = int(log_mel(front_end, torch.from_numpy(0.5 * np.sin(2 * np.pi * hz * time))).mean(dim=0).argmax())
    # Filters narrower than an FFT bin can be missed by the bins, so a neighbour may win.
    assert abs(loudest - int(front_end.clock.hz_to_band(hz))) <= 1


@given(st.integers(0, 3000), st.integers(1, 200), st.floats(0, 99))
def test_segments_lie_inside_the_recording_and_leave_less_than_a_hop_or_nothing(frames, length, overlap):
    starts, hop = segment_starts(frames, length, overlap, tail=False), segment_hop(length, overlap)
    assert starts[0] == 0
    assert np.all(np.diff(starts) == hop)
    whole = segment_starts(frames, length, overlap)
    np.testing.assert_array_equal(whole[: len(starts)], starts)
    assert len(whole) <= len(starts) + 1
    last = max(0, frames - length)
    assert whole[-1] == last - (last % hop == 1 and length >= 20)  # a single frame of many makes no segment
    assert np.all(np.diff(whole) > 0)
    if frames >= length:
        assert starts[-1] + length <= frames < starts[-1] + length + hop
    else:
        assert len(starts) == 1


def test_a_single_frame_more_makes_no_segment_that_doubles_the_last_one():
    assert segment_starts(501, 100, 0.0).tolist() == [0, 100, 200, 300, 400]  # 5.0003 s at a hop of 10 ms
    assert segment_starts(502, 100, 0.0).tolist() == [0, 100, 200, 300, 400, 402]
    assert segment_starts(21, 10, 0.0).tolist() == [0, 10, 11]  # of few frames, one is much


def test_75_percent_of_96_frames_is_a_hop_of_24():
    assert segment_hop(96, 75.0) == 24


@pytest.mark.parametrize("overlap", [-1.0, 100.0, 150.0])
def test_an_overlap_out_of_range_is_refused(overlap):
    with pytest.raises(ValueError, match="overlap"):
        segment_hop(96, overlap)


@given(st.integers(1, 500), st.data())
def test_the_nearest_cell_is_the_one_whose_edges_hold_the_middle(length, data):
    cells = data.draw(st.integers(1, length))
    edges, chosen = cell_edges(length, cells), nearest_cells(length, cells)
    middles = np.arange(length) + 0.5
    assert np.all(edges[chosen] <= middles + 1e-9)
    assert np.all(middles <= edges[chosen + 1] + 1e-9)
    assert set(chosen) == set(range(cells))
