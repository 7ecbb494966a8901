"""Detections: when a class sounds in a recording, told from the scores of its segments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.audio.extraction import HeldLogMel
from earwitness.audio.timefreq import Clock, segment_starts
from earwitness.models.detections import Detection, detect, to_explain
from earwitness.models.prediction import ScoredRecording

CLOCK = Clock(sample_rate=16000, hop=160, centre=200.0, bands=8, low_hz=125.0, high_hz=7500.0)
CLASSES = ("dog", "rooster", "rain")
FRAMES = 100  # of a segment: a second


def scored(frames: int, overlap: float, scores) -> ScoredRecording:
    """Return a recording whose segments have the scores that a function gives for their first and last second."""
    starts = segment_starts(frames, FRAMES, overlap)
    return ScoredRecording(
        file="a.wav",
        classes=CLASSES,
        clock=CLOCK,
        silence=-4.6,
        source=HeldLogMel(np.zeros((frames, 8), np.float32)),
        real_frames=frames,
        segment_frames=FRAMES,
        start_frames=starts,
        scores=np.array([scores(start / 100, start / 100 + 1.0) for start in starts]),
    )


def call_at(first: float, end: float, index: int, least: float = 0.2):
    """Return scores that are sure of a class where a segment holds some of a call, and of rain elsewhere."""

    def scores(start: float, stop: float):
        row = np.full(3, 0.02)
        row[index if min(stop, end) - max(start, first) >= least else 2] = 0.96
        return row

    return scores


@pytest.mark.parametrize("overlap", [0.0, 50.0, 75.0, 90.0])
@pytest.mark.parametrize("at", [0.0, 7.03, 40.5, 118.0])
def test_a_call_is_found_where_it_is(overlap, at):
    found = [
        each
        for each in detect(scored(12000, overlap, call_at(at, at + 2.0, 1)), "softmax")
        if each.class_name == "rooster"
    ]
    assert len(found) == 1
    assert abs(found[0].start_seconds - at) <= 1.0
    assert abs(found[0].end_seconds - (at + 2.0)) <= 1.0
    assert found[0].highest == pytest.approx(0.96)
    assert 0.5 < found[0].mean <= found[0].highest
    if overlap >= 75.0:  # many segments see each moment: the ends are told more closely than a segment's length
        assert abs(found[0].start_seconds - at) <= 0.5
        assert abs(found[0].end_seconds - (at + 2.0)) <= 0.5


def test_the_best_segment_is_one_of_its_own():
    data = scored(12000, 75.0, call_at(83.6, 85.6, 1))
    (found,) = [each for each in detect(data, "softmax") if each.class_name == "rooster"]
    start = data.start_frames[found.row] / 100
    assert data.scores[found.row, 1] == found.highest
    assert found.start_seconds - 0.5 <= start + 0.5 <= found.end_seconds + 0.5


def test_what_one_of_four_overlapping_segments_is_predicted_as_is_none():
    data = scored(1000, 75.0, call_at(0.0, 0.0, 0))
    data.scores[12] = (0.9, 0.05, 0.05)
    assert {each.class_name for each in detect(data, "softmax")} == {"rain"}
    data.scores[10:14] = (0.9, 0.05, 0.05)
    assert {each.class_name for each in detect(data, "softmax")} == {"rain", "dog"}


def test_where_no_class_is_sure_none_is_detected_and_a_tagger_detects_several():
    unsure = scored(1000, 75.0, lambda _start, _end: (0.4, 0.35, 0.25))
    assert detect(unsure, "softmax") == ()
    both = detect(unsure, "sigmoid")
    assert [each.class_name for each in both] == ["dog", "rooster"]  # the higher score first
    assert {(each.start_seconds, each.end_seconds) for each in both} == {(0.0, 10.0)}
    assert [each.class_name for each in detect(unsure, "softmax", threshold=0.3)] == ["dog"]
    assert len(detect(unsure, "sigmoid", threshold=0.2)) == 3


@pytest.mark.parametrize(("gap", "count"), [(0.3, 1), (0.7, 1), (1.8, 2), (5.0, 2)])
def test_short_gaps_are_bridged(gap, count):
    first, second = call_at(2.0, 4.0, 0, 0.5), call_at(4.0 + gap, 7.0 + gap, 0, 0.5)

    def scores(start, stop):
        row = np.maximum(first(start, stop), second(start, stop))
        return row if row[0] > 0.5 else np.full(3, 0.3)  # nothing is sure in the gap

    assert len(detect(scored(2000, 75.0, scores), "softmax")) == count


def test_a_gap_with_another_class_in_it_is_not_bridged():
    def scores(start, _stop):
        return np.roll((0.9, 0.05, 0.05), 1 if 4.9 < start + 0.5 < 6.0 else 0)

    assert [each.class_name for each in detect(scored(1000, 75.0, scores), "softmax")] == ["dog", "rooster", "dog"]


@given(st.integers(1, 700), st.sampled_from([0.0, 30.0, 50.0, 75.0]), st.integers(0, 100))
def test_detections_lie_in_the_recording_and_those_of_one_class_are_apart(frames, overlap, seed):
    random = np.random.default_rng(seed)
    data = scored(frames, overlap, lambda _start, _stop: random.dirichlet((0.3, 0.3, 0.3)))
    for activation in ("softmax", "sigmoid"):
        found = detect(data, activation)
        assert list(found) == sorted(found, key=lambda each: each.start_seconds)
        for each in found:
            assert 0.0 <= each.start_seconds < each.end_seconds <= data.seconds
            assert 0.0 < each.mean <= each.highest + 1e-12
            assert each.segments >= 1
        apart = found if activation == "softmax" else [each for each in found if each.class_name == "dog"]
        assert sum(one.overlaps(other) for one in apart for other in apart if one is not other) == 0.0


def detection(name: str, start: float, end: float, score: float) -> Detection:
    return Detection(
        class_name=name, start_seconds=start, end_seconds=end, highest=score, mean=score, segments=3, row=0
    )


def test_the_best_of_each_class_is_explained_first():
    dogs = [detection("dog", 10.0 * number, 10.0 * number + 2.0, 0.99 - 0.01 * number) for number in range(5)]
    rooster = detection("rooster", 83.6, 85.6, 0.6)
    assert to_explain([*dogs, rooster], 3) == (dogs[0], rooster, dogs[1])
    assert to_explain([*dogs, rooster], 99) == (dogs[0], rooster, *dogs[1:])
    assert to_explain([], 3) == ()
    again = detection("rooster", 93.6, 95.6, 0.5)
    assert to_explain([*dogs, rooster, again], 5) == (dogs[0], rooster, dogs[1], again, dogs[2])


def test_several_classes_of_one_sound_are_explained_once():
    dog, animal, rain = (
        detection("dog", 10.0, 20.0, 0.78),
        detection("animal", 10.0, 30.0, 0.7),
        detection("rain", 19.0, 40.0, 0.5),
    )
    assert to_explain([animal, dog, rain], 9) == (dog, rain)


def test_what_no_segment_sees_alone_is_listed_and_not_explained():
    dog, rooster = detection("dog", 15.4, 17.3, 0.99), detection("rooster", 17.3, 17.3 + 0.96, 0.98)
    noise = detection("sneezing", 2.0, 15.2, 0.8)
    assert to_explain([noise, dog, rooster], 9, 0.96) == (dog, noise)
    assert to_explain([noise, dog, rooster], 9, 0.5) == (dog, rooster, noise)  # a segment may see it alone
    assert to_explain([noise, rooster], 9, 0.96) == (rooster, noise)  # nothing beside it
    bark = detection("dog", 15.4, 16.0, 0.9)
    assert to_explain([noise, bark], 9, 0.96) == (bark, noise)  # what is beside it is less sure


def test_a_detection_is_a_row():
    (found,) = detect(scored(1000, 0.0, call_at(0.0, 0.0, 0)), "softmax")
    assert found.as_row() == {
        "class": "rain",
        "start_second": 0.0,
        "end_second": 10.0,
        "highest_score": pytest.approx(0.96),
        "mean_score": pytest.approx(0.96),
        "segments": 10,
    }
