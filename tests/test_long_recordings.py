"""Recordings of hours: read, scored and explained in parts, with the results that reading all of them would give."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny_run
from earwitness.audio import decoding
from earwitness.audio.extraction import HeldLogMel, StreamedLogMel, log_mel_of, stretches
from earwitness.audio.frontend import VGGISH
from earwitness.audio.segments import Segments, cut
from earwitness.audio.timefreq import Clock, segment_hop, segment_starts
from earwitness.cli import text
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.explainers import fills
from earwitness.explainers.attribution import CONSTANT, Attribution, Target
from earwitness.explainers.findings import LongExplanation, duration
from earwitness.explainers.inference.prepared import Prepared, prepare
from earwitness.explainers.inference.scoring import as_input
from earwitness.explainers.perturbation import long_recording as parts_of
from earwitness.explainers.perturbation.long_recording import explain_timeline
from earwitness.explainers.perturbation.moments import Place
from earwitness.explainers.perturbation.occlusion import Occlusion
from earwitness.explainers.perturbation.pieces import lost_without_pieces
from earwitness.explainers.perturbation.recording import explain_recording
from earwitness.inspection import files, recordings
from earwitness.inspection.files import score_file
from earwitness.models import classifier, prediction
from earwitness.models.prediction import ScoredRecording, score_recording, score_stream
from earwitness.plots.timeline import long_recording
from earwitness.workflows.explain import explain
from earwitness.workflows.explained import explain_to_folder
from explain_toys import ToyFrontEnd, convolutional
from rounding import DEEP, rounding

CLICK, HISS, LOW = tiny_run.CLASSES
BANDS = 8
CLOCK = Clock(sample_rate=16000, hop=160, centre=200.0, bands=BANDS, low_hz=125.0, high_hz=7500.0)


class Blocks:
    """A log-mel that comes in blocks of a given length, and counts how many were read."""

    def __init__(self, values, length: int) -> None:
        self.values, self.length, self.read = values, length, 0

    def blocks(self) -> Iterator[np.ndarray]:
        for first in range(0, len(self.values), self.length):
            self.read += 1
            yield self.values[first : first + self.length]


def noise(frames: int, seed: int = 0):
    return np.random.default_rng(seed).standard_normal((frames, BANDS)).astype(np.float32)


# ---- stretches ----------------------------------------------------------------------------------------------------


@given(
    st.integers(1, 60),
    st.integers(1, 25),
    st.lists(st.tuples(st.integers(0, 70), st.integers(0, 30)), max_size=8),
)
def test_stretches_are_what_slices_are(frames, block, spans):
    values = noise(frames)
    wanted = sorted((first, first + length) for first, length in spans)
    found = list(stretches(Blocks(values, block), wanted))
    assert len(found) == len(wanted)
    for (first, end), one in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(one, values[first:end])


def test_what_nobody_asked_for_is_not_read():
    source = Blocks(noise(1000), 10)
    list(stretches(source, [(0, 25), (100, 101)]))
    assert source.read == 11


@given(st.integers(1, 40), st.integers(1, 15))
def test_the_level_of_blocks_is_the_level_of_all(frames, block):
    values = 3 * noise(frames) + 1
    level = fills.Level.of(Blocks(values, block).blocks())
    np.testing.assert_allclose(level.means, values.astype(np.float64).mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(level.spreads, values.astype(np.float64).std(axis=0), atol=1e-12)
    assert level.lowest == values.min()


def test_a_file_that_is_read_in_blocks_has_the_log_mel_of_one_that_is_read_at_once(tmp_path):
    sound = np.random.default_rng(0).normal(0, 0.1, 25 * 16000).astype(np.float32)
    decoding.write_wav(tmp_path / "a.wav", sound, 16000)
    source = StreamedLogMel(tmp_path / "a.wav", VGGISH)
    whole = log_mel_of(tmp_path / "a.wav", VGGISH)
    for _ in range(2):  # as often as it is needed
        np.testing.assert_array_equal(np.concatenate(list(source.blocks())), whole)


# ---- scores -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return tiny_run.make(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def judge(run) -> classifier.Classifier:
    return classifier.load(run / "model.safetensors")


@pytest.mark.parametrize("overlap", [0.0, 50.0, 75.0])
@pytest.mark.parametrize("more", [-1, 0, 1, 47, 48, 49, 95, 96, 97])
def test_scores_of_a_stream_are_those_of_the_whole(judge, monkeypatch, overlap, more):
    monkeypatch.setattr(prediction, "SEGMENTS_AT_ONCE", 3)
    judge = judge.with_segments(96, overlap)
    hop = segment_hop(96, overlap)
    frames = 96 + 5 * hop + more  # the end lies before, on and after the ends of parts and of segments
    values = np.random.default_rng(0).standard_normal((frames, 64)).astype(np.float32)
    found = score_stream(judge, Blocks(values, 50), "a.wav")
    told = score_recording(judge, values, "a.wav", tail=True)
    assert found.real_frames == frames
    np.testing.assert_array_equal(found.start_frames, segment_starts(frames, 96, overlap))
    np.testing.assert_array_equal(found.start_frames, told.start_frames)
    np.testing.assert_allclose(found.scores, told.scores, atol=rounding(1.0, units=DEEP))
    rows = [len(told.scores) - 1, 0, 2]
    np.testing.assert_array_equal(found.take(rows).values, told.take(rows).values)


def test_a_long_file_is_not_held_and_gives_what_a_held_one_gives(run, judge, tmp_path, monkeypatch):
    path = three_parts(run, tmp_path / "long.wav", 2)
    held = score_file(judge, path)
    monkeypatch.setattr(files, "HELD_SECONDS", 1.0)
    streamed = score_file(judge, path)
    assert isinstance(held.source, HeldLogMel)
    assert isinstance(streamed.source, StreamedLogMel)
    assert streamed.seconds == held.seconds
    np.testing.assert_allclose(streamed.scores, held.scores, atol=rounding(1.0, units=DEEP))
    maps = explain(path, run, methods="occlusion", at=4.0, verdicts=False, progress=False)
    assert maps.start_seconds <= 4.0 <= maps.end_seconds
    monkeypatch.undo()
    told = explain(path, run, methods="occlusion", at=4.0, verdicts=False, progress=False)
    np.testing.assert_array_equal(maps["occlusion"].values, told["occlusion"].values)


def test_a_file_that_becomes_shorter_is_refused(run, judge, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "HELD_SECONDS", 1.0)
    path = three_parts(run, tmp_path / "long.wav", 2)
    scored = score_file(judge, path)
    decoding.write_wav(path, decoding.read(path).samples[: tiny_run.RATE], tiny_run.RATE)
    with pytest.raises(EarwitnessError, match=r"long\.wav: became shorter while it was explained; explain it again"):
        scored.take([len(scored.scores) - 1])


# ---- explained in parts -------------------------------------------------------------------------------------------


def toy(frames: int, overlap: float, seed: int = 0, most: int = 12) -> tuple[ScoredRecording, np.ndarray]:
    values = noise(frames, seed)
    starts = segment_starts(frames, most, overlap)
    scored = ScoredRecording(
        file="long.wav",
        classes=("class0", "class1", "class2", "class3"),
        clock=CLOCK,
        silence=-4.6,
        source=Blocks(values, 29),
        real_frames=frames,
        segment_frames=most,
        start_frames=starts,
        scores=np.zeros((len(starts), 4)),
    )
    return scored, values


@pytest.fixture(scope="module")
def ready() -> Prepared:
    """A small classifier, made ready once: that tries out how it is fastest."""
    return prepare(dataclasses.replace(convolutional(), front_end=ToyFrontEnd(clock=CLOCK)))


@settings(max_examples=15, deadline=None)
@given(
    st.integers(60, 150),
    st.sampled_from([0.0, 40.0, 50.0, 75.0, 90.0]),
    st.sampled_from(["mean", "band-mean", "floor", "neighbours", -1.0]),
    st.sampled_from(["logit", "probability"]),
    st.integers(0, 2),
)
def test_parts_together_are_the_whole(ready, frames, overlap, fill, score, soft):
    scored, values = toy(frames, overlap)
    targets = [Target(1), Target(2, against=0)]
    explainer = Occlusion(fill=fill, score=score, soft=soft)
    given = {"segment_frames": 12, "overlap": overlap}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_of, "PART_SECONDS", 0.1)
        patch.setattr(parts_of, "PART_SEGMENTS", 2)
        level = fills.Level.of([values])
        found = explain_timeline(ready, scored, overlap, targets, explainer, level)
    mask, stride = (found[0].overall.parameters[name] for name in ("mask", "stride"))
    assert stride[0] % segment_hop(12, overlap) == 0
    assert stride[0] <= mask[0] <= 12
    coarse = dataclasses.replace(explainer, mask=tuple(mask), stride=tuple(stride), along="time")
    for one, other in zip(found, explain_recording(ready, values, targets, coarse, **given), strict=True):
        np.testing.assert_array_equal(one.overall.frame_edges, other.frame_edges)
        np.testing.assert_array_equal(one.overall.time_edges, other.time_edges)
        np.testing.assert_allclose(one.overall.native, other.native, atol=rounding(1.0))
        assert one.overall.score == pytest.approx(other.score, abs=rounding(1.0))
        assert one.overall.diagnostics["segments"] == len(scored.scores)
    for one, other in zip(found, explain_recording(ready, values, targets, explainer, **given), strict=True):
        assert 0 < len(one.moments) <= 6
        firsts = [moment.start_frame for moment in one.moments]
        assert min(np.diff(firsts), default=36) >= 36
        for moment in one.moments:
            own = slice(moment.start_frame, moment.start_frame + len(moment.log_mel))
            np.testing.assert_array_equal(moment.log_mel, values[own])
            assert moment.map.values.shape == moment.log_mel.shape
            np.testing.assert_allclose(moment.map.times, CLOCK.frame_centre_seconds(np.arange(frames)[own]))
            assert moment.map.start_seconds == pytest.approx(moment.start_frame * CLOCK.frame_seconds)
            assert moment.map.score == one.overall.score
            # The excerpt's grid begins at the excerpt: cells that lie alike are equal.
            same = np.isclose(moment.map.time_edges[:, None], other.time_edges[None]).any(axis=1)
            if same.all():
                np.testing.assert_allclose(moment.map.values, other.values[own], atol=rounding(1.0))


def test_moments_tell_what_the_recording_s_own_masks_tell(ready):
    """With a stride that divides the hops, cells of an excerpt lie where the recording's do."""
    scored, values = toy(200, 50.0)
    explainer = Occlusion(mask=(6, 4), stride=(3, 2), edges="clip")
    (found,) = explain_timeline(ready, scored, 50.0, [Target(1)], explainer, fills.Level.of([values]))
    (told,) = explain_recording(ready, values, [Target(1)], explainer, segment_frames=12, overlap=50.0)
    assert len(found.moments) > 2
    for moment in found.moments:
        own = slice(moment.start_frame, moment.start_frame + 36)
        np.testing.assert_allclose(moment.map.values, told.values[own], atol=rounding(1.0))
        assert np.abs(moment.map.values).max() > 1e-4  # far above rounding


def test_the_moments_are_where_the_score_changes_most(ready):
    scored, values = toy(400, 75.0)
    values[200:212] += 6.0
    (found,) = explain_timeline(ready, scored, 75.0, [Target(1)], Occlusion(fill="floor"), fills.Level.of([values]))
    sizes = np.abs(found.overall.native[:, 0])
    strongest = found.overall.frame_edges[sizes.argmax()]
    assert any(each.start_frame <= strongest < each.start_frame + 36 for each in found.moments)
    for each in found.moments:
        touched = (scored.start_frames < each.middle_frame + 6) & (scored.start_frames + 12 > each.middle_frame - 6)
        row = np.abs(found.overall.frame_edges[:-1] + 3 - each.middle_frame).argmin()
        fall = float(found.overall.native[row, 0]) * len(scored.scores) / touched.sum()
        assert each.score - each.without == pytest.approx(fall, abs=rounding(1.0))


@pytest.mark.parametrize("overlap", [0.0, 50.0, 75.0])
def test_bands_of_all_the_time_are_put_together_from_parts(ready, monkeypatch, overlap):
    monkeypatch.setattr(parts_of, "PART_SECONDS", 0.1)
    monkeypatch.setattr(parts_of, "PART_SEGMENTS", 2)
    scored, values = toy(133, overlap)
    explainer = Occlusion(mask=(3, 3), stride=(2, 2), along="bands", score="logit")
    level = fills.Level.of([values])
    (found,) = explain_timeline(ready, scored, overlap, [Target(1)], explainer, level)
    (told,) = explain_recording(ready, values, [Target(1)], explainer, segment_frames=12, overlap=overlap)
    np.testing.assert_allclose(found.overall.native, told.native, atol=rounding(1.0))
    np.testing.assert_array_equal(found.overall.time_edges, told.time_edges)
    np.testing.assert_array_equal(found.overall.frequency_edges, told.frequency_edges)
    assert found.overall.score == pytest.approx(told.score, abs=rounding(1.0))
    assert found.moments == ()


def test_a_mask_that_does_not_fit_is_refused_before_anything_is_read(ready):
    scored, values = toy(100, 50.0)
    explainer = Occlusion(mask=(13, 2), stride=(1, 1))
    level = fills.Level.of([values])
    with pytest.raises(UsageError, match="mask=13x2 is larger than the segment"):
        explain_timeline(ready, scored, 50.0, [Target(0)], explainer, level)
    assert scored.source.read == 0


def test_where_no_moment_counts_there_are_none(ready):
    scored, values = toy(100, 50.0)
    values[:] = -4.6
    (found,) = explain_timeline(ready, scored, 50.0, [Target(1)], Occlusion(fill="floor"), fills.Level.of([values]))
    assert found.overall.flags == (CONSTANT,)
    assert found.moments == ()


# ---- from the file to the picture ---------------------------------------------------------------------------------


def three_parts(run: Path, path: Path, times: int) -> Path:
    """Write clicks, hiss and a low tone of a second each, several times; return the path."""
    names = ("click/0.wav", "hiss/0.wav", "low/0@home.wav")
    sounds = [decoding.read(run.parent / "data" / name, tiny_run.RATE).samples[: tiny_run.RATE] for name in names]
    decoding.write_wav(path, np.concatenate(sounds * times), tiny_run.RATE)
    return path


@pytest.fixture(scope="module")
def told(run, tmp_path_factory):
    """A recording of 30 s, taken for long, with its one hiss in the middle."""
    folder = tmp_path_factory.mktemp("long")
    names = ["low/0@home.wav"] * 14 + ["hiss/0.wav"] + ["low/0@home.wav"] * 15
    sounds = [decoding.read(run.parent / "data" / name, tiny_run.RATE).samples[: tiny_run.RATE] for name in names]
    decoding.write_wav(folder / "long.wav", np.concatenate(sounds), tiny_run.RATE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recordings, "LONG_SECONDS", 5.0)
        patch.setattr(files, "HELD_SECONDS", 5.0)
        done = explain_to_folder(
            folder / "long.wav", run, folder / "out", classes=[HISS], whole=True, progress=False, verdicts=True
        )
    ((explanation, picture),) = done.explanations
    return explanation, picture


def test_a_long_recording_is_explained_where_it_matters(told):
    explanation, picture = told
    answer = explanation.answer
    assert isinstance(answer, LongExplanation)
    overall = explanation["occlusion"]
    assert overall.values.shape == (len(overall.times), len(overall.frequencies))
    assert 14.0 < overall.times[overall.values[:, 0].argmax()] < 15.0
    assert 14.0 < explanation.as_row()["occlusion_second"] < 15.0
    moments = explanation.moments[explanation.methods[0], HISS]
    assert any(each.times[0] < 14.5 < each.times[-1] for each in moments)
    kept = {path.name for path in picture.parent.iterdir()}
    assert len(kept) == 2 + len(moments)
    for path in picture.parent.glob("*.npz"):
        assert Attribution.load(path).target_label == HISS
    assert answer.overview.shape[0] == len(answer.overview_edges) - 1
    assert answer.overview_edges[-1] == answer.real_frames


def test_saving_again_replaces_what_was_saved(told, tmp_path):
    explanation, _ = told
    first = explanation.save(tmp_path)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert explanation.save(tmp_path) == first
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


def test_a_terminal_reads_the_moments(told):
    explanation, picture = told
    lines = text.long_explanation(explanation.answer, picture, 3, verdicts=True).splitlines()
    assert lines[0].startswith("long.wav (30.00 s, ")
    (head,) = [number for number, line in enumerate(lines) if line.strip().startswith("moment")]
    rows = [
        line.split() for line in lines[head + 2 : head + 2 + len(explanation.moments[explanation.methods[0], HISS])]
    ]
    assert [row[0] for row in rows] == [str(number) for number in range(1, len(rows) + 1)]
    assert any(float(row[1]) < 14.5 < float(row[3]) for row in rows)
    assert any(line.strip().startswith("verdict:   none") for line in lines)


def test_the_picture_numbers_the_moments(told):
    explanation, _ = told
    figure = long_recording(explanation.answer)
    (line,) = explanation.answer.timelines[0]
    upper = [axes for axes in figure.axes if len(axes.get_subplotspec().colspan) == max(3, len(line.moments))]
    assert len({axes.get_xlim() for axes in upper[:3]}) == 1
    numbers = [words.get_text() for words in upper[1].texts]
    assert numbers == [str(number) for number in range(1, len(line.moments) + 1)]
    titles = [axes._left_title.get_text() for axes in figure.axes]
    for number, moment in enumerate(line.moments, 1):
        at = duration(float(VGGISH.clock.frame_start_seconds(moment.hidden[0])))
        assert any(title.endswith(f"{number}: {at}") for title in titles)


# ---- time in words ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "digits", "words"),
    [
        (0.0, 2, "0.00 s"),
        (59.994, 2, "59.99 s"),
        (60.0, 2, "1:00.0"),
        (187.46, 2, "3:07.5"),
        (3599.97, 2, "1:00:00.0"),
        (3723.0, 0, "1:02:03"),
        (61.4, 1, "1:01"),
        (90000.0, 0, "25:00:00"),
    ],
)
def test_time_is_written_as_people_write_it(seconds, digits, words):
    assert duration(seconds, digits) == words


@given(st.floats(60.0, 1e6))
def test_minutes_and_seconds_stay_below_sixty(seconds):
    *hours, minutes, rest = duration(seconds).split(":")
    assert 0 <= float(rest) < 60
    assert int(minutes) < 60
    assert abs(sum(map(int, hours)) * 3600 + int(minutes) * 60 + float(rest) - seconds) <= 0.051


# ---- from coarse to fine ------------------------------------------------------------------------------------------


def windows(values, starts):
    return np.stack([values[first : first + 12] for first in starts])


def place(first: int, end: int) -> Place:
    return Place(first, end, best=(first + end) // 2 - 6)


@settings(max_examples=10, deadline=None)
@given(
    st.integers(120, 200),
    st.sampled_from([0.0, 50.0, 75.0]),
    st.sampled_from(["mean", "floor", -1.0]),
    st.integers(0, 1),
    st.integers(0, 90),
    st.integers(3, 60),
)
def test_a_detection_and_its_pieces_are_hidden_as_if_the_recording_were_read_whole(
    ready, frames, overlap, fill, soft, first, length
):
    scored, values = toy(frames, overlap)
    explainer = Occlusion(mask=(3, 8), stride=(1, 8), fill=fill, soft=soft, score="logit")
    level = fills.Level.of([values])
    wanted = [[place(first, min(first + length, frames))], []]
    targets = [Target(1), Target(2)]
    found = explain_timeline(ready, scored, overlap, targets, explainer, level, wanted)
    (moment,), others = found[0].moments, found[1].moments
    assert moment.hidden == (first, min(first + length, frames))
    assert all(not each.pieces for each in others)  # of a class that was not detected
    data = cut([values], ["long.wav"], scored.silence, 12, overlap)
    whole = Segments(values[np.newaxis], np.zeros(1, int), np.array([frames]), ("long.wav",))
    told = lost_without_pieces(ready, whole, data, targets[:1], explainer, moment.hidden)
    assert len(told) == len(moment.pieces)
    for one, (edges, lost) in zip(moment.pieces, told, strict=True):
        np.testing.assert_array_equal(one.edges, edges)
        np.testing.assert_allclose(one.lost, lost[:, 0] / len(data), atol=rounding(1.0))
        assert one.edges[0] == moment.hidden[0]
        assert one.edges[-1] == moment.hidden[1]
    assert len(moment.pieces[0].lost) == 1
    sizes = [float(np.diff(each.edges).max()) for each in moment.pieces]
    assert all(small >= 3 or len(sizes) == 1 for small in sizes)
    assert sizes == sorted(sizes, reverse=True)


def test_what_is_lost_is_what_the_network_says_without_a_stretch(ready):
    scored, values = toy(100, 50.0)
    explainer = Occlusion(mask=(3, 8), stride=(1, 8), fill="floor", score="logit")
    level = fills.Level.of([values])
    (found,) = explain_timeline(ready, scored, 50.0, [Target(1)], explainer, level, [[place(30, 55)]])
    hidden = values.copy()
    hidden[30:55] = ready.front_end.silence
    with torch.inference_mode():
        logits = [
            float(ready.network(as_input(ready, windows(each, scored.start_frames)))[:, 1].mean())
            for each in (values, hidden)
        ]
    assert found.moments[0].pieces[0].lost[0] == pytest.approx(logits[0] - logits[1], abs=rounding(1.0))


def test_a_long_detection_is_shown_around_its_best_segment(ready):
    scored, values = toy(3000, 0.0)
    explainer, level = Occlusion(), fills.Level.of([values])
    wanted = [[Place(200, 2800, best=2400)]]
    (found,) = explain_timeline(ready, scored, 0.0, [Target(1)], explainer, level, wanted)
    (moment,) = found.moments
    assert moment.hidden == (200, 2800)
    assert moment.start_frame < 2400 < moment.start_frame + len(moment.log_mel) <= 3000
    assert len(moment.log_mel) == 1200
    assert found.moments[0].map.parameters["mask"][0] <= 12  # no more than a segment
