"""A whole recording is heard, explained, drawn and written."""

from __future__ import annotations

import dataclasses
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

import tiny_run
from earwitness.audio import decoding
from earwitness.audio.extraction import HeldLogMel, log_mel_of
from earwitness.audio.frontend import VGGISH
from earwitness.audio.segments import cut
from earwitness.cli import text
from earwitness.core.errors import UsageError
from earwitness.explainers.attribution import CONSTANT, SILENT, Attribution
from earwitness.explainers.findings import WholeExplanation
from earwitness.explainers.parameters import spec
from earwitness.explainers.perturbation.occlusion import Occlusion
from earwitness.explainers.registry import METHODS
from earwitness.inspection import recordings
from earwitness.inspection.files import score_file
from earwitness.inspection.model import Model, load_model
from earwitness.inspection.recordings import explain_whole
from earwitness.models import classifier, prediction
from earwitness.plots import style
from earwitness.plots.recording import FULL_SCORE, MOST_COLUMNS, borders, whole_recording
from earwitness.workflows.explained import Explained, explain_to_folder
from rounding import DEEP, rounding

CLICK, HISS, LOW = tiny_run.CLASSES
QUICKLY = "occlusion:mask=50%,stride=50%,score=probability"
FAST = Occlusion(mask=0.5, stride=0.5, score="probability")
CLOCK = VGGISH.clock


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return tiny_run.make(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def recording(run) -> Path:
    """Three seconds: clicks, then hiss, then a low tone."""
    folder = run.parent / "data"
    parts = [
        decoding.read(folder / name, tiny_run.RATE).samples for name in ("click/0.wav", "hiss/0.wav", "low/0@home.wav")
    ]
    path = run.parent / "three.wav"
    decoding.write_wav(path, np.concatenate([part[: tiny_run.RATE] for part in parts]), tiny_run.RATE)
    return path


@pytest.fixture(scope="module")
def judge(run) -> classifier.Classifier:
    return classifier.load(run / "model.safetensors")


def explained(model: Model, path: Path, methods, **options) -> WholeExplanation:
    return explain_whole(model, path, score_file(model.classifier, path), methods, **options)


@pytest.fixture(scope="module")
def heard(run, recording) -> WholeExplanation:
    methods = [FAST, dataclasses.replace(FAST, along="time")]
    return explained(load_model(run), recording, methods, classes=[HISS, LOW])


def texts(figure: Figure) -> str:
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    found += [title.get_text() for axes in figure.axes for title in (axes.title, axes._left_title, axes._right_title)]
    return "\n".join([*found, figure.get_suptitle()])


def panels(figure: Figure) -> list[Axes]:
    """Return the panels from above, without the colour bars in the second column."""
    return [axes for axes in figure.axes if axes.get_subplotspec().colspan.start == 0]


# ---- what is heard ------------------------------------------------------------------------------------------------


def test_segments_are_those_of_an_evaluation(judge, recording, heard):
    data = cut([log_mel_of(recording, VGGISH)], ["three.wav"], VGGISH.silence, 96, judge.overlap)
    told = prediction.predict(judge, data, np.array([0]), np.array([0]))
    np.testing.assert_allclose(heard.scores, told.scores, atol=rounding(1.0, units=DEEP))
    np.testing.assert_allclose(heard.mean, told.mean_scores[0], atol=rounding(1.0, units=DEEP))
    np.testing.assert_array_equal(heard.votes, told.votes[0])
    assert heard.voted == told.file_predicted[0]
    assert heard.best(1)[0] == told.file_predicted_by_mean[0]
    assert heard.votes.sum() == len(heard.scores) == len(data)
    assert {CLICK, HISS, LOW} == {heard.classes[index] for index in heard.predicted}  # each has its second


def test_maps_explain_the_mean_score(heard):
    for (both, time), index in zip(heard.maps, (1, 2), strict=True):
        assert both.map.score == pytest.approx(heard.mean[index], abs=rounding(1.0, units=DEEP))
        assert both.map.target.index == index
        assert both.profile.native.shape[1] == 1
        assert both.map.native.shape[1] > 1
        assert time.map is time.profile
        np.testing.assert_array_equal(time.profile.native, both.profile.native)
        # Hiding all bands of a moment counts most where the class is.
        strongest = CLOCK.frame_edge_seconds(both.profile.frame_edges[both.profile.native[:, 0].argmax()])
        assert index - 0.5 < strongest < index + 1.5


def test_without_a_class_the_best_by_mean_is_explained(run, recording):
    found = explained(load_model(run), recording, [Occlusion(mask=1.0, stride=1.0)])
    assert [each.map.target.index for listed in found.maps for each in listed] == found.best(1)


def votes_of(scores) -> WholeExplanation:
    scores = np.asarray(scores, float)
    names = tuple(f"class{number}" for number in range(scores.shape[1]))
    starts = 12 * np.arange(len(scores))
    return WholeExplanation(
        file="a.wav",
        name="a",
        clock=CLOCK,
        classes=names,
        silence=VGGISH.silence,
        source=HeldLogMel(np.zeros((200, 64), np.float32)),
        log_mel=np.zeros((200, 64), np.float32),
        real_frames=200,
        segment_frames=96,
        start_frames=starts,
        scores=scores,
        maps=(),
    )


def test_ties_of_votes_go_to_the_higher_mean():
    found = votes_of([[0.9, 0.1, 0.0], [0.2, 0.5, 0.3], [0.2, 0.3, 0.5], [0.1, 0.2, 0.7], [0.8, 0.2, 0.0], [0.0, 1, 0]])
    assert found.votes.tolist() == [2, 2, 2]
    assert found.voted == 1
    assert votes_of([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]).voted == 1  # though the other has the higher mean
    assert votes_of([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]).best(1) == [0]


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"occlusion"}))
def test_other_methods_are_refused_in_one_line(method):
    with pytest.raises(UsageError, match=f"--whole: {method} explains single segments; .* occlusion can .*") as caught:
        recordings.explainers(["occlusion:along=time", method])
    assert "\n" not in str(caught.value)


# ---- the picture --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def figure(heard) -> Figure:
    return whole_recording(heard)


def test_sound_and_evidence_stand_at_their_own_time_and_frequency(figure, heard):
    shown = panels(figure)
    assert len({axes.get_xlim() for axes in shown}) == 1
    meshes = [item for axes in shown for item in axes.collections if isinstance(item, QuadMesh)]
    assert len(meshes) == 1 + 2  # the log-mel, and a map a class; the profile over time is no map
    frames = np.arange(len(heard.log_mel) + 1)
    np.testing.assert_allclose(meshes[0].get_coordinates()[0, :, 0], CLOCK.frame_edge_seconds(frames))
    for mesh, listed in zip(meshes[1:], heard.maps, strict=True):
        np.testing.assert_array_equal(np.asarray(mesh.get_array()), listed[0].map.native.T)
        edges = CLOCK.frame_edge_seconds(listed[0].map.frame_edges)
        np.testing.assert_allclose(mesh.get_coordinates()[0, :, 0], edges)
        np.testing.assert_allclose(mesh.get_coordinates()[:, 0, 1], CLOCK.band_edge_hz(listed[0].map.band_edges))
        assert mesh.norm.vmin == -mesh.norm.vmax == -max(np.abs(each[0].map.native).max() for each in heard.maps)


def test_a_profile_falls_where_the_score_falls(figure, heard):
    axes = panels(figure)[2]
    up, down = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
    lost = heard.maps[0][0].profile
    np.testing.assert_allclose(up.get_data().values + down.get_data().values, lost.native[:, 0])
    assert (up.get_data().values >= 0).all()
    assert (down.get_data().values <= 0).all()
    np.testing.assert_allclose(up.get_data().edges, CLOCK.frame_edge_seconds(lost.frame_edges))


def test_what_segments_heard_stands_at_their_middles(figure, heard):
    axes = panels(figure)[-1]
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names[:2] == [style.label(HISS, 18), style.label(LOW, 18)]
    drawn = [patch.get_data() for patch in axes.patches]
    assert len(drawn) == 2 * len(names) == 6
    middles = CLOCK.frame_edge_seconds(heard.start_frames + 48)
    for place, (scores, votes) in enumerate(zip(drawn[::2], drawn[1::2], strict=True)):
        index = (1, 2, 0)[place]
        np.testing.assert_allclose(scores.edges[1:-1], (middles[1:] + middles[:-1]) / 2)
        height = (scores.values - scores.baseline) / FULL_SCORE
        np.testing.assert_allclose(height, heard.scores[:, index], atol=1e-12)
        np.testing.assert_array_equal(votes.values > votes.baseline, heard.predicted == index)
    words = texts(figure)
    for index in (0, 1, 2):
        assert f"{heard.votes[index]} of {len(heard.scores)}, mean 0.{100 * heard.mean[index]:.0f}" in words


def test_vote_and_mean_that_disagree_are_both_in_the_headline(heard):
    assert "by votes" not in texts(whole_recording(heard))
    scores = np.tile([0.49, 0.51, 0.0], (len(heard.scores), 1))
    scores[:2] = [1.0, 0.0, 0.0]
    words = whole_recording(dataclasses.replace(heard, scores=scores)).get_suptitle()
    assert f"as {CLICK} by mean score" in words
    assert f"as {HISS} by votes (" in words


@given(arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 6))))
def test_borders_are_where_inside_ends(inside):
    seconds, hertz = np.arange(7.0), np.arange(7.0) * 100
    lines = {tuple(line) for line in borders(inside, seconds[: len(inside) + 1], hertz)}
    expected = set()
    for row, column in np.argwhere(inside).tolist():
        corners = [(row, column), (row + 1, column), (row + 1, column + 1), (row, column + 1)]
        for start, end in zip(corners, [*corners[1:], corners[0]], strict=True):
            first, last = sorted((start, end))
            expected ^= {((float(first[0]), 100.0 * first[1]), (float(last[0]), 100.0 * last[1]))}
    assert lines == expected


def flagged(found: Attribution, flag: str) -> Attribution:
    return dataclasses.replace(found, native=0 * found.native, values=0 * found.values, flags=(flag,))


@pytest.mark.parametrize(("flag", "says"), [(SILENT, "nothing sounds here"), (CONSTANT, "nothing stands out")])
def test_where_nothing_was_found_there_are_words(heard, flag, says):
    (both, _), _ = heard.maps
    empty = dataclasses.replace(both, map=flagged(both.map, flag), profile=flagged(both.profile, flag))
    figure = whole_recording(dataclasses.replace(heard, maps=((empty,),)))
    assert texts(figure).count(says) == 2
    assert "outlined" not in texts(figure)
    assert not any(isinstance(item, LineCollection) for item in panels(figure)[0].collections)


def test_a_long_recording_is_drawn_with_few_cells_that_keep_its_events(heard):
    frames = 5 * MOST_COLUMNS
    log_mel = np.full((frames, 64), -2.0, np.float32)
    log_mel[4321] = 3.0
    figure = whole_recording(dataclasses.replace(heard, log_mel=log_mel, real_frames=frames))
    (mesh,) = [item for item in panels(figure)[0].collections if isinstance(item, QuadMesh)]
    drawn = np.asarray(mesh.get_array())
    assert drawn.shape == (64, MOST_COLUMNS)
    (column,) = np.flatnonzero((drawn == 3.0).all(axis=0))
    first, last = mesh.get_coordinates()[0, column : column + 2, 0]
    assert first < CLOCK.frame_centre_seconds(4321) < last


# ---- what is written ----------------------------------------------------------------------------------------------


class Told:
    """Keeps what a progress is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.open = 0

    @contextmanager
    def task(self, description, total):
        assert not self.open  # bars of old versions of Rich do not nest
        self.open += 1
        done = []
        yield done.append
        self.open -= 1
        assert sum(done) == total
        self.lines.append(f"{description} {total}")

    def say(self, line):
        self.lines.append(line)


def test_pictures_and_maps_are_written_and_bad_files_named(run, recording, tmp_path):
    again, bad = tmp_path / "again" / recording.name, tmp_path / "bad.wav"
    again.parent.mkdir()
    shutil.copy(recording, again)
    bad.write_bytes(b"no sound")
    told = Told()
    outcome = explain_to_folder(
        [str(recording), str(bad), again],
        run,
        tmp_path / "out",
        methods=QUICKLY,
        classes=[HISS],
        whole=True,
        progress=told,
    )
    assert [entry.file for entry in outcome.unusable] == [str(bad)]
    assert [picture.name for _, picture in outcome.explanations] == ["three-whole.png", "three-whole-2.png"]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(names) == 2 * 3
    maps = [Attribution.load(tmp_path / "out" / name) for name in names if name.endswith(".npz")]
    assert {each.native.shape[1] > 1 for each in maps} == {True, False}
    assert {each.parameters["along"] for each in maps} == {"both", "time"}
    assert [line for line in told.lines if line.startswith("Explaining")] == [
        f"Explaining: {number} of 3, {path}" for number, path in enumerate((recording, bad, again), 1)
    ]
    assert told.lines.count("Drawing 1") == 2
    pictures = [(tmp_path / "out" / name).read_bytes() for name in ("three-whole.png", "three-whole-2.png")]
    assert pictures[0] == pictures[1]


def answer(heard: WholeExplanation, **changes) -> str:
    return text.whole_explanation(dataclasses.replace(heard, **changes), Path("x.png"), 3, verdicts=False)


def told(explained: Explained) -> tuple[WholeExplanation, str]:
    """Return the one explanation, and what a terminal shows of it."""
    ((explanation, picture),) = explained.explanations
    assert isinstance(explanation.answer, WholeExplanation)
    return explanation.answer, text.whole_explanation(explanation.answer, picture, 5, verdicts=True)


def test_a_terminal_reads_what_was_heard_and_what_it_hangs_on(heard):
    lines = answer(heard).splitlines()
    assert lines[0] == f"three.wav (3.00 s, {len(heard.scores)} segments)"
    assert lines[1].split()[:3] == ["detected", "from", "to"]
    for place, index in enumerate(heard.best(3), 3 + len(heard.detections)):
        assert lines[place].split()[0] == f"{100 * heard.mean[index]:.1f}%"
        assert lines[place].endswith(f"{heard.votes[index]} of {len(heard.scores)} segments")
    assert f"  explained: 0.00 to {heard.seconds:.2f} s" in lines
    row = heard.maps[1][0].profile.native[:, 0].argmax()
    left = heard.mean[2] - heard.maps[1][0].profile.native[row, 0]
    assert any(f"mean score {heard.mean[2]:.2f}, {left:.2f} without the 0.48 s around" in line for line in lines)
    assert not any("verdict:" in line for line in lines)


def test_a_terminal_reads_what_cannot_be_seen(heard):
    (both, _), _ = heard.maps
    silent = dataclasses.replace(both, map=flagged(both.map, SILENT), profile=flagged(both.profile, SILENT))
    assert f"{HISS} by {spec(FAST)}: nothing stands out" in answer(heard, maps=((silent,),))
    against = dataclasses.replace(both.profile, native=-np.abs(both.profile.native))
    other = dataclasses.replace(both, profile=against)
    assert "which no one moment raises by much" in answer(heard, maps=((other,),))
    sure = dataclasses.replace(both.profile, native=both.profile.native * 1e-3)
    certain = dataclasses.replace(both, map=dataclasses.replace(both.map, score=0.9999), profile=sure)
    assert "--method occlusion:score=log-odds shows more" in answer(heard, maps=((certain,),))
    assert "score=logit" not in answer(heard)
    told = {"fill2_rank_correlation": 0.25, "fill2_frame": 100.0, "fill2_band": 20.0}
    filled = dataclasses.replace(both.map, diagnostics=told, parameters=both.map.parameters | {"fill2": "noise"})
    compared = answer(heard, maps=((dataclasses.replace(both, map=filled),),))
    assert (
        f"fills mean and noise: rank correlation 0.25, they differ most at {CLOCK.frame_centre_seconds(100):.2f} s"
        in (compared)
    )


def test_a_verdict_is_offered_where_there_is_none(run, recording, tmp_path):
    heard, said = told(explain_to_folder(recording, run, tmp_path, methods=QUICKLY, whole=True))
    (line,) = [line for line in said.splitlines() if line.startswith("  verdict:")]
    assert "none" in line
    at = float(line.partition("--at ")[2].split()[0])
    assert 0 <= at <= heard.seconds


def test_a_short_recording_is_padded_and_says_so(run, tmp_path):
    path = run.parent / "data" / tiny_run.SHORT
    heard, said = told(explain_to_folder(path, run, tmp_path, methods=QUICKLY, whole=True))
    assert "1 segment)" in said
    assert "(padded)" in said
    assert float(said.partition("--at ")[2].split()[0]) <= heard.seconds
    figure = whole_recording(heard)
    assert [any(patch.get_hatch() for patch in axes.patches) for axes in panels(figure)] == [True, True, True, False]


def test_a_mask_that_does_not_fit_names_the_file(run, recording, tmp_path):
    with pytest.raises(
        UsageError, match=r"three\.wav: occlusion: mask=97x10 is larger than the segment of 96x64 cells"
    ):
        explain_to_folder(recording, run, tmp_path, methods="occlusion:mask=97x10", whole=True)
