from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny_run
from earwitness.audio import decoding, extraction
from earwitness.audio.frontend import VGGISH
from earwitness.audio.logmel import log_mel
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.core.files import read_csv, read_json, safe_name, write_json
from earwitness.explainers.attribution import Attribution, Target, is_silent
from earwitness.explainers.findings import Inquiry
from earwitness.explainers.registry import parse
from earwitness.inspection import answers, questions
from earwitness.inspection import run as run_module
from earwitness.inspection.places import row_at
from earwitness.inspection.run import OpenRun, open_run

CLICK, HISS, LOW = tiny_run.CLASSES


@dataclass(frozen=True)
class Recorder:
    """An explainer that notes what it was asked and answers with numbers that tell where they belong."""

    name: ClassVar[str] = "recorder"
    title: ClassVar[str] = "Recorder"
    paper: ClassVar[str] = ""
    cost: ClassVar[str] = ""
    factor: float = 1.0

    calls: ClassVar[list[tuple[list[str], list[list[int]]]]] = []

    def attribute(self, classifier, segments, targets, progress=None) -> list[Attribution]:
        self.calls.append((list(segments.files), [[target.index for target in each] for each in targets]))
        found = []
        for position, each in enumerate(targets):
            start = float(classifier.front_end.clock.frame_start_seconds(segments.start_frames[position]))
            for target in each:
                values = np.full(segments.values.shape[1:], self.factor * target.index, np.float32)
                found.append(
                    Attribution(
                        values=values,
                        native=values,
                        frame_edges=np.zeros(0),
                        band_edges=np.zeros(0),
                        target=target,
                        target_label=target.label(classifier.classes),
                        score=0.5,
                        score_kind="logit",
                        method=self.name,
                        parameters={},
                        fill="",
                        seed=None,
                        precision="float32",
                        forwards=1,
                        backwards=0,
                        seconds=0.0,
                        real_frames=int(segments.real_frames[position]),
                        file=segments.files[position],
                        start_seconds=start,
                    )
                )
        return found


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return tiny_run.make(tmp_path_factory.mktemp("made"))


@pytest.fixture
def run(made, tmp_path) -> Path:
    """A copy that a test may break."""
    shutil.copytree(made.parent, tmp_path / "copy")
    path = tmp_path / "copy" / "run"
    asked = read_json(path / "run.json")
    asked["data"]["path"] = str(tmp_path / "copy" / "data")
    write_json(path / "run.json", asked)
    return path


@pytest.fixture
def opened(run) -> OpenRun:
    return open_run(run)


def ask(opened: OpenRun, make, *arguments, methods=(), **options) -> Inquiry:
    """Make a question of the run's predictions, and answer it."""
    return answers.answer(opened, make(opened.predictions, *arguments, **options), methods, verdicts=False)


def rows_of(opened: OpenRun, file: str) -> list[int]:
    return np.flatnonzero(opened.predictions.recording == opened.predictions.files.index(file)).tolist()


# ---- opening ------------------------------------------------------------------------------------------------------


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="not a run folder"):
        open_run(tmp_path)


def test_predictions_of_another_model_are_refused(run):
    path = run / "predictions.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("hiss <b>", "hum"), encoding="utf-8")
    with pytest.raises(EarwitnessError, match="other classes than the model; evaluate"):
        open_run(run)


def test_a_data_set_in_a_table_names_its_recordings_from_the_tables_folder(run):
    asked = read_json(run / "run.json")
    data = Path(asked["data"]["path"])
    asked["data"]["path"] = str(data / "labels.csv")
    write_json(run / "run.json", asked)
    assert open_run(run).root == data


def test_moved_data_is_found_where_the_caller_says(run, tmp_path):
    asked = read_json(run / "run.json")
    shutil.move(asked["data"]["path"], tmp_path / "moved")
    with pytest.raises(EarwitnessError, match=r"click/0\.wav: has gone missing .* is gone, too\); put it back, or"):
        open_run(run).segments([0])
    assert len(open_run(run, data=tmp_path / "moved").segments([0])) == 1


def test_a_run_that_does_not_say_where_its_data_is(run):
    write_json(run / "run.json", {"command": []})
    with pytest.raises(EarwitnessError, match="does not say where the data is; name it with --data"):
        open_run(run)


# ---- listening ----------------------------------------------------------------------------------------------------


def test_segments_are_those_that_were_measured(opened):
    rows = list(range(len(opened.predictions.recording)))
    segments = opened.segments(rows)
    for row in rows:
        file = opened.predictions.files[opened.predictions.recording[row]]
        whole = log_mel(VGGISH, torch.from_numpy(decoding.read(opened.root / file, VGGISH.sample_rate).samples)).numpy()
        first = round(opened.predictions.start_seconds[row] / 0.01)
        expected = whole[first : first + 96]
        assert segments.files[row] == file
        assert segments.start_frames[row] == first
        assert segments.real_frames[row] == len(expected)
        np.testing.assert_allclose(segments.values[row][: len(expected)], expected, atol=1e-4)
        assert (segments.values[row][len(expected) :] == np.float32(VGGISH.silence)).all()


def test_only_the_needed_recordings_are_listened_to(opened, monkeypatch):
    heard = []
    true_one = extraction.log_mel_of
    monkeypatch.setattr(extraction, "log_mel_of", lambda path, end: heard.append(path.name) or true_one(path, end))
    rows = [*rows_of(opened, "hiss/1.wav")[:2], rows_of(opened, "click/2.wav")[0]]
    opened.segments(rows)
    assert heard == ["1.wav", "2.wav"]


def test_no_more_recordings_than_a_few_are_kept(opened, monkeypatch):
    monkeypatch.setattr(run_module, "REMEMBERED", 2)
    first, *others = opened.predictions.files
    opened.segments([rows_of(opened, file)[0] for file in (first, *others)])
    read = []
    true_one = extraction.log_mel_of
    monkeypatch.setattr(extraction, "log_mel_of", lambda path, end: read.append(path.name) or true_one(path, end))
    opened.segments([rows_of(opened, file)[0] for file in (*others[-2:], first)])
    assert read == [Path(first).name]


@pytest.mark.parametrize("break_it", ["missing", "other", "longer", "empty"])
def test_a_recording_that_changed_is_named_in_one_line(opened, break_it):
    path = opened.root / "low/1@home.wav"
    random = np.random.default_rng(0).standard_normal(3 * tiny_run.RATE).astype(np.float32) * 0.2
    if break_it == "missing":
        path.unlink()
    elif break_it == "empty":
        path.write_bytes(b"")
    else:
        decoding.write_wav(path, random[: (2 if break_it == "other" else 3) * tiny_run.RATE], tiny_run.RATE)
    says = {
        "missing": "has gone missing since the run; put it back",
        "other": "is no longer what the run measured",
        "longer": "now gives 5 segments, the run measured 3; put the old recording back",
        "empty": "it could be used when the run was measured",
    }
    with pytest.raises(EarwitnessError) as caught:
        opened.segments(rows_of(opened, "low/1@home.wav")[:1])
    assert says[break_it] in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_that_are_not_utf8_are_found_again(opened):
    odd = opened.root / "click" / b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    try:
        odd.write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert opened.path_of("click/caf\\xe9.wav").exists()


# ---- naming -------------------------------------------------------------------------------------------------------


@given(st.text(max_size=80), st.text(max_size=80))
def test_safe_names_are_safe_and_differ(one, other):
    for text in (one, other):
        name = safe_name(text)
        assert 0 < len(name) <= 60
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")
        assert not name.startswith((".", "-"))
    assert (safe_name(one) == safe_name(other)) == (one == other)


def test_a_plain_name_stays_as_it_is():
    assert safe_name("clock_tick") == "clock_tick"


@pytest.mark.parametrize(
    ("place", "file", "start"),
    [
        ("hiss/1.wav@0.48", "hiss/1.wav", 0.48),
        ("hiss/1.wav@0.7", "hiss/1.wav", 0.48),
        ("hiss/1.wav@0.75", "hiss/1.wav", 0.96),
        ("low/2@home.wav@0", "low/2@home.wav", 0.0),
        ("2@home.wav@1.9", "low/2@home.wav", 0.96),
    ],
)
def test_a_place_is_the_segment_that_starts_nearest(opened, place, file, start):
    row = row_at(opened.predictions, place)
    assert opened.predictions.files[opened.predictions.recording[row]] == file
    assert opened.predictions.start_seconds[row] == pytest.approx(start)


def test_a_file_alone_is_its_most_confident_segment(opened):
    rows = rows_of(opened, "low/0@home.wav")
    best = max(rows, key=lambda row: opened.predictions.scores[row].max())
    assert row_at(opened.predictions, "low/0@home.wav") == best


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("nothing.wav@1", "measured no such recording"),
        ("0.wav@1", "2 recordings end so, such as click/0.wav"),
        ("click/0.wav@99", "lie between 0 and 1.92 s"),
        ("click/0.wav@-1", "lie between 0 and"),
        ("click/0.wav@nan", "lie between 0 and"),
        ("12345", "its rows are 0 to"),
    ],
)
def test_a_place_that_is_not_there(opened, place, says):
    with pytest.raises(UsageError, match=says):
        row_at(opened.predictions, place)


# ---- questions ----------------------------------------------------------------------------------------------------


def test_recordings_show_one_of_each_class(opened):
    answer = ask(opened, questions.recordings)
    assert [each.label for each in answer.recordings] == list(tiny_run.CLASSES)
    for each in answer.recordings:
        assert each.whole
        assert each.log_mel.shape[1] == 64
        np.testing.assert_array_equal(each.samples, decoding.read(opened.root / each.file, 16_000).samples)


def test_of_long_recordings_the_beginning_is_shown(opened, monkeypatch):
    monkeypatch.setattr(run_module, "SHOWN_SECONDS", 1)
    answer = ask(opened, questions.recordings, seed=1)
    cut = [each for each in answer.recordings if not each.whole]
    assert cut
    assert all(len(each.samples) == 16_000 and each.log_mel.shape[0] == 98 for each in cut)
    assert "the beginning is shown" in answer.notes[-1]


def test_samples_repeat_with_their_seed_and_come_from_different_recordings(opened):
    one, same, other = (ask(opened, questions.samples, count=5, seed=seed) for seed in (1, 1, 2))
    rows = [[each.row for each in answer.findings] for answer in (one, same, other)]
    assert rows[0] == rows[1] != rows[2]
    assert len({each.file for each in one.findings}) == 5
    stored = read_csv(opened.folder.predictions)
    for each in one.findings:
        row = stored[each.row]
        assert (each.file, each.label, each.predicted) == (row["file"], row["label"], row["predicted"])
        assert each.score == pytest.approx(float(row["score"])) == max(each.scores)
        assert each.right == (row["label"] == row["predicted"])


def test_more_samples_than_recordings_give_every_recording(opened):
    assert len(ask(opened, questions.samples, count=999).findings) == len(opened.predictions.files)


@pytest.mark.parametrize("count", [0, -3])
def test_no_segments_cannot_be_shown(opened, count):
    with pytest.raises(UsageError, match="ask for 1 or more"):
        ask(opened, questions.samples, count=count)


def best_by_hand(opened: OpenRun, true: int, predicted: int, *, sounding: bool = True) -> list[int]:
    """Every row of a kind, the most confident first, written down without cleverness."""
    rows = []
    for row in range(len(opened.predictions.recording)):
        scores = opened.predictions.scores[row]
        if opened.predictions.segment_labels[row] == true and scores.argmax() == predicted:
            segment = opened.segments([row])
            if not (sounding and is_silent(segment.values[0], int(segment.real_frames[0]), VGGISH.silence)):
                rows.append(row)
    return sorted(rows, key=lambda row: -opened.predictions.scores[row].max())


def test_without_a_choice_the_most_confident_right_segment_of_each_class_that_sounds(opened):
    Recorder.calls.clear()
    answer = ask(opened, questions.surest, methods=[Recorder()])
    assert [each.row for each in answer.findings] == [best_by_hand(opened, index, index)[0] for index in range(3)]
    assert Recorder.calls == [([each.file for each in answer.findings], [[0], [1], [2]])]
    assert not any(each.silent for each in answer.findings)
    assert answer.targets == ("predicted",)
    # There was silence to avoid, or this test could not fail.
    silent = [row for row in rows_of(opened, tiny_run.SILENT_END) if opened.silent(row)]
    assert silent


def test_a_class_of_silence_is_said_to_be_so(opened, monkeypatch):
    monkeypatch.setattr(OpenRun, "silent", lambda self, row: self.predictions.segment_labels[row] == 1)
    answer = ask(opened, questions.surest, methods=[Recorder()])
    assert [each.label for each in answer.findings] == [CLICK, LOW]
    assert answer.notes == (f"No segment of {HISS} with sound in it was predicted right.",)
    none = ask(opened, questions.of_class, HISS, methods=[Recorder()])
    assert none.findings == ()
    assert none.notes[0].startswith("There is none")


def test_chosen_segments_come_in_the_order_given_and_once(opened):
    row = rows_of(opened, "hiss/1.wav")[1]
    answer = ask(opened, questions.chosen, [row, 0, "hiss/1.wav@0.48", "low/short.wav"], methods=[Recorder()])
    assert [each.row for each in answer.findings] == [row, 0, rows_of(opened, tiny_run.SHORT)[0]]
    assert answer.findings[2].real_frames == 48
    with pytest.raises(UsageError, match="row 999"):
        ask(opened, questions.chosen, [999], methods=[])


def test_a_kept_map_s_verdict_stays_where_the_same_map_is_made_without(opened):
    made = ask(opened, questions.chosen, [0], methods=[Recorder()]).findings[0].attributions[0][0]
    path = opened.attribution_path(made, "recorder")
    replace(made, verdict={"level": "weak"}).save(path)
    ask(opened, questions.chosen, [0], methods=[Recorder()])
    assert Attribution.load(path).verdict == {"level": "weak"}
    replace(made, values=made.values + 1, verdict={"level": "weak"}).save(path)  # of another network
    ask(opened, questions.chosen, [0], methods=[Recorder()])
    assert Attribution.load(path).verdict is None


def test_other_segments_are_another_question(opened):
    names = {ask(opened, questions.chosen, rows, methods=[]).name for rows in ([0], [1], [0, 1], [1, 0])}
    names.add(ask(opened, questions.surest, methods=[]).name)
    assert len(names) == 5


def test_a_class_is_shown_by_different_recordings_first(opened):
    answer = ask(opened, questions.of_class, CLICK, methods=[Recorder()], count=4)
    assert all(each.right and each.label == CLICK for each in answer.findings)
    by_hand = best_by_hand(opened, 0, 0)
    recordings = {opened.predictions.recording[row] for row in by_hand}
    assert len({each.file for each in answer.findings}) == min(4, len(recordings))
    assert answer.findings[0].row == by_hand[0]
    scores = [each.score for each in answer.findings]
    assert scores == sorted(scores, reverse=True)


def test_more_of_a_class_than_there_are_gives_all(opened):
    answer = ask(opened, questions.of_class, LOW, methods=[], count=999)
    assert sorted(each.row for each in answer.findings) == sorted(best_by_hand(opened, 2, 2))


def test_an_unknown_class_is_refused(opened):
    with pytest.raises(UsageError, match="no such class"):
        ask(opened, questions.of_class, "whale", methods=[])
    with pytest.raises(UsageError, match="no such class"):
        ask(opened, questions.confusion, methods=[], true="whale", predicted=HISS)


def test_a_confusion_is_explained_under_both_classes(opened):
    Recorder.calls.clear()
    answer = ask(opened, questions.confusion, methods=[Recorder(), Recorder(10.0)], true=LOW, predicted=HISS)
    by_hand = best_by_hand(opened, 2, 1)
    assert by_hand
    assert answer.findings[0].row == by_hand[0]
    assert {each.file for each in answer.findings} <= {tiny_run.FAKE, tiny_run.SHORT}
    assert answer.targets == ("predicted", "true")
    assert Recorder.calls == [([each.file for each in answer.findings], [[1, 2]] * len(answer.findings))] * 2
    for each in answer.findings:
        assert [[found.values.max() for found in listed] for listed in each.attributions] == [[1, 10], [2, 20]]


def test_without_classes_the_most_frequent_confusion(opened):
    wrong = [
        (int(true), int(predicted))
        for true, predicted in zip(opened.predictions.segment_labels, opened.predictions.predicted, strict=True)
        if true != predicted
    ]
    most = max(sorted(set(wrong)), key=wrong.count)
    answer = ask(opened, questions.confusion, methods=[Recorder()])
    assert {(each.label, each.predicted) for each in answer.findings} == {
        (tiny_run.CLASSES[most[0]], tiny_run.CLASSES[most[1]])
    }
    assert ask(opened, questions.confusion, methods=[], true=tiny_run.CLASSES[most[0]]).name == answer.name
    assert ask(opened, questions.confusion, methods=[], predicted=tiny_run.CLASSES[most[1]]).name == answer.name


def test_a_confusion_that_never_happened_is_said_to_be_none(opened):
    answer = ask(opened, questions.confusion, methods=[Recorder()], true=HISS, predicted=LOW)
    assert answer.findings == ()
    assert answer.notes == (f"There is none: no segment of {HISS} was predicted as {LOW}.",)
    perfect = replace(opened.predictions, labels=opened.predictions.file_predicted)
    perfect = replace(perfect, scores=np.eye(3)[perfect.segment_labels])
    none = ask(replace(opened, predictions=perfect), questions.confusion, methods=[Recorder()])
    assert none.notes == ("There is none: no segment was misclassified.",)


def test_a_class_is_not_confused_with_itself(opened):
    with pytest.raises(UsageError, match="both classes are the same"):
        ask(opened, questions.confusion, methods=[], true=HISS, predicted=HISS)


def test_silent_confusions_are_left_out_but_told(opened, monkeypatch):
    everything = ask(opened, questions.confusion, methods=[], true=LOW, predicted=HISS, count=99)
    loudest = everything.findings[0].row
    monkeypatch.setattr(OpenRun, "silent", lambda _self, row: row == loudest)
    answer = ask(opened, questions.confusion, methods=[], true=LOW, predicted=HISS, count=99)
    assert loudest not in {each.row for each in answer.findings}
    assert "1 such segment" in answer.notes[0]
    monkeypatch.setattr(OpenRun, "silent", lambda _self, _row: True)
    silent = ask(opened, questions.confusion, methods=[], true=LOW, predicted=HISS, count=2)
    assert len(silent.findings) == 2
    assert "has any sound in it" in silent.notes[0]


def test_a_misclassified_recording_is_explained_where_it_was_wrong_most_confidently(opened):
    predictions = opened.predictions
    wrong = np.flatnonzero(predictions.file_predicted != predictions.labels)
    asked = questions.misclassified(predictions)
    assert set(asked) == {predictions.files[file] for file in wrong}
    assert tiny_run.FAKE in asked
    found = answers.answer(opened, asked[tiny_run.FAKE], [parse("gradcam")], verdicts=False)
    (finding,) = found.findings
    rows = [row for row in rows_of(opened, tiny_run.FAKE) if predictions.predicted[row] == tiny_run.CLASSES.index(HISS)]
    assert (finding.file, finding.label, finding.predicted) == (tiny_run.FAKE, LOW, HISS)
    assert finding.row == max(rows, key=lambda row: predictions.scores[row].max())
    assert found.targets == ("predicted", "true")
    assert [one.target_label for (one,) in finding.attributions] == [HISS, LOW]
    assert questions.misclassified(predictions, most=0) == {}


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1000)), max_size=30, unique_by=lambda each: each[1]),
    st.integers(1, 8),
)
def test_picking_spreads_over_recordings(rows, count):
    recording = np.array([where for where, _ in rows], dtype=np.int64)
    scores = np.array([[score / 1000.0] for _, score in rows]).reshape(-1, 1)
    predictions = SimpleNamespace(recording=recording, scores=scores)
    ranked = sorted(range(len(rows)), key=lambda row: -scores[row, 0])
    picked = answers.spread_over_recordings(predictions, iter(ranked), count)
    assert len(picked) == len(set(picked)) == min(count, len(rows))
    assert picked == sorted(picked, key=lambda row: -scores[row, 0])
    assert len({int(recording[row]) for row in picked}) == min(count, len(set(recording.tolist())))
    assert picked[:1] == ranked[:1]


# ---- keeping ------------------------------------------------------------------------------------------------------


def test_attributions_are_kept_and_read_back(opened):
    methods = [parse("gradcam"), parse("lime:samples=64"), parse("occlusion:mask=50%,stride=50%")]
    answer: Inquiry = ask(opened, questions.confusion, methods=methods, true=LOW, predicted=HISS, count=1)
    (finding,) = answer.findings
    assert answer.methods == tuple(method.title for method in methods)
    files = sorted(opened.folder.attributions.iterdir())
    assert len(files) == 6
    kept = [Attribution.load(path) for path in files]
    for target, name in enumerate((HISS, LOW)):
        for method, attribution in zip(methods, finding.attributions[target], strict=True):
            assert (attribution.method, attribution.target_label) == (method.name, name)
            (same,) = [each for each in kept if (each.method, each.target_label) == (method.name, name)]
            np.testing.assert_array_equal(same.values, attribution.values)
            assert (same.file, same.start_seconds) == (finding.file, pytest.approx(finding.start_seconds))
    before = {path.name for path in files}
    ask(opened, questions.confusion, methods=methods, true=LOW, predicted=HISS, count=1)
    assert {path.name for path in opened.folder.attributions.iterdir()} == before


def test_the_score_explained_is_the_score_predicted(opened):
    (finding,) = ask(opened, questions.chosen, [0], methods=[parse("gradcam:score=probability")]).findings
    assert finding.attributions[0][0].score == pytest.approx(finding.score, abs=1e-4)
    assert finding.attributions[0][0].target == Target(int(opened.predictions.predicted[0]))


def test_no_picture_holds_more_than_can_be_drawn(opened, monkeypatch):
    for module in (questions, answers):
        monkeypatch.setattr(module, "MOST_SHOWN", 2)
    shown = ask(opened, questions.recordings)
    assert len(shown.recordings) == 2
    assert "Of 3 classes, 2 drawn at random are shown." in shown.notes
    chosen = ask(opened, questions.surest, methods=[Recorder()])
    assert len(chosen.findings) <= 2
    assert "Of 3 classes, 2 drawn at random are shown." in chosen.notes
    with pytest.raises(UsageError, match="3 segments are more than a picture holds; ask for at most 2"):
        ask(opened, questions.chosen, [0, 1, 2], methods=[Recorder()])
    with pytest.raises(UsageError, match="ask for at most 2"):
        ask(opened, questions.of_class, HISS, methods=[Recorder()], count=3)
