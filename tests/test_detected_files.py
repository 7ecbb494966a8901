"""Files in which several sounds were detected: what is listed, what is explained, what is drawn and written."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import earwitness as ew
import tiny_run
from command import earwitness as earwitness_command
from earwitness.audio import decoding
from earwitness.cli import text
from earwitness.core.errors import UsageError
from earwitness.explainers.attribution import Attribution
from earwitness.explainers.findings import DetectedExplanation, Inquiry
from earwitness.models.detections import COLUMNS
from earwitness.workflows.explained import explain_to_folder

CLICK, HISS, LOW = tiny_run.CLASSES
# Class, and its seconds in the recording; the rest is the low tone.
HISSES = ((8.0, 10.0), (21.0, 23.0))
CLICKS = (15.0, 18.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return tiny_run.make(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def sound(run, tmp_path_factory) -> Path:
    """A low tone of half a minute with a hiss in it twice, and clicks once."""

    def read(name: str, seconds: float):
        samples = decoding.read(run.parent / "data" / name, tiny_run.RATE).samples
        return np.resize(samples, round(seconds * tiny_run.RATE))

    whole = read("low/0@home.wav", 30.0)
    for name, spans in (("hiss/0.wav", HISSES), ("click/0.wav", (CLICKS,))):
        for start, end in spans:
            first = round(start * tiny_run.RATE)
            part = read(name, end - start)
            whole[first : first + len(part)] = part
    path = tmp_path_factory.mktemp("sound") / "half a minute.wav"
    decoding.write_wav(path, whole, tiny_run.RATE)
    return path


@pytest.fixture(scope="module")
def told(run, sound, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    done = explain_to_folder(
        sound,
        run,
        folder / "out",
        methods=["gradcam", "occlusion:mask=40%,stride=40%"],
        table=folder / "all.csv",
        progress=False,
    )
    ((explanation, picture),) = done.explanations
    return explanation, picture, folder / "all.csv"


def spans(detections, name: str) -> list[tuple[float, float]]:
    return [(each.start_seconds, each.end_seconds) for each in detections if each.class_name == name]


def close(found, true) -> bool:
    return len(found) == len(true) and np.allclose(found, true, atol=0.96)


def test_every_sound_is_detected_where_it_is_and_explained_there(told):
    explanation, _, _ = told
    assert close(spans(explanation.detections, HISS), HISSES)
    assert close(spans(explanation.detections, CLICK), [CLICKS])
    assert [each.start_seconds for each in explanation.detections] == sorted(
        each.start_seconds for each in explanation.detections
    )
    assert len(explanation.explained) == min(6, len(explanation.detections))
    assert {CLICK, HISS, LOW} == {each.class_name for each in explanation.explained[:3]}
    for each in explanation.explained:
        for method in ("gradcam", "occlusion"):
            found = explanation[method, each]
            assert found.target_label == each.class_name
            assert found.times[0] < each.end_seconds
            assert found.times[-1] > each.start_seconds
            assert found.verdict is not None
    first = explanation.explained[0]
    assert explanation["occlusion"] is explanation["occlusion", first]
    assert explanation["occlusion", HISS].target_label == HISS
    assert explanation.start_seconds < first.end_seconds
    assert explanation.end_seconds > first.start_seconds


def test_the_table_holds_all_of_it(told):
    explanation, _, table = told
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["file", *COLUMNS]
    assert len(rows) == len(explanation.detections)
    for row, each in zip(rows, explanation.detections, strict=True):
        assert row["file"] == explanation.file
        assert row["class"] == each.class_name
        assert float(row["start_second"]) == pytest.approx(each.start_seconds, abs=1e-3)
        assert float(row["highest_score"]) == pytest.approx(each.highest, abs=1e-4)
        assert int(row["segments"]) == each.segments


def test_a_terminal_leads_with_detections_and_says_what_was_left_out(told, run, sound):
    explanation, picture, _ = told
    lines = text.explained(explanation, picture, 3, verdicts=True).splitlines()
    assert lines[1].split()[:3] == ["detected", "from", "to"]
    listed = lines[3 : 3 + len(explanation.detections)]
    assert all(each.class_name in line for each, line in zip(explanation.detections, listed, strict=True))
    column = lines[1].index("explained")
    numbers = [line[column:].strip() for line in listed if line[column:].strip()]
    assert numbers == [str(number) for number in range(1, len(explanation.explained) + 1)]
    one = ew.explain(sound, run, methods="gradcam", detections=1, verdicts=False, progress=False)
    assert len(one.explained) == 1
    said = text.explained(one, picture, 3, verdicts=False)
    every = len(one.detections)
    assert f"explained: 1, the best of each class first, {every - 1} not: --detections {every} explains more" in said


def test_what_is_saved_and_read_again(told):
    explanation, picture, _ = told
    maps = sorted(picture.parent.glob("*.npz"))
    assert len(maps) == 2 * len(explanation.explained)
    labels = sorted(Attribution.load(path).target_label for path in maps)
    assert labels == sorted(each.class_name for each in explanation.explained for _ in range(2))
    assert explanation.save(picture.parent) == picture  # in the place of what was saved before
    assert len(sorted(picture.parent.glob("*.npz"))) == len(maps)


def test_the_picture_has_a_lane_a_class_and_a_row_a_detection(told):
    explanation, _, _ = told
    figure = explanation.plot()
    titles = [axes._left_title.get_text() for axes in figure.axes]
    (lanes,) = [axes for axes, title in zip(figure.axes, titles, strict=True) if title.startswith("Detected")]
    assert [words.get_text() for words in lanes.get_yticklabels()] != []
    numbers = sorted(words.get_text() for words in lanes.texts)
    assert numbers == [str(number) for number in range(1, len(explanation.explained) + 1)]
    low, high = lanes.get_xlim()
    assert low <= 0.05
    assert high == pytest.approx(explanation.seconds, abs=0.05)
    for axes in figure.axes:
        if axes.get_xlabel() == "time in the recording" and axes is not lanes:
            assert high > axes.get_xlim()[1] - axes.get_xlim()[0] == pytest.approx(0.96)


def test_asked_classes_alone_are_explained_and_one_that_was_not_detected_where_it_scores_highest(run, sound, tmp_path):
    found = ew.explain(sound, run, methods="gradcam", classes=[HISS], verdicts=False, progress=False)
    assert close(sorted(spans(found.explained, HISS)), HISSES)
    assert found.classes == (HISS,)
    assert {each.class_name for each in found.detections} == {CLICK, HISS, LOW}  # all of it is listed
    tone = decoding.read(run.parent / "data" / "low/0@home.wav", tiny_run.RATE).samples
    decoding.write_wav(tmp_path / "low.wav", np.resize(tone, 25 * tiny_run.RATE), tiny_run.RATE)
    asked = {"methods": "gradcam", "classes": [CLICK], "verdicts": False, "progress": False}
    only_low = ew.explain(tmp_path / "low.wav", run, **asked)
    assert spans(only_low.detections, CLICK) == []
    (one,) = only_low.explained
    assert one.highest == pytest.approx(only_low.answer.scores[:, 0].max())
    said = text.explained(only_low, tmp_path / "x.png", 3, verdicts=False)
    assert f"not detected; where it scores highest: {CLICK}" in said


def test_a_clip_is_explained_by_one_segment_unless_more_is_asked_for(run, tmp_path):
    name = run.parent / "data" / "hiss/0.wav"
    clip = ew.explain(name, run, methods="gradcam", verdicts=False, progress=False)
    assert isinstance(clip.answer, Inquiry)
    assert clip.explained == ()
    assert spans(clip.detections, HISS) == [(0.0, clip.seconds)]
    more = ew.explain(name, run, methods="gradcam", detections=3, verdicts=False, progress=False)
    assert isinstance(more.answer, DetectedExplanation)
    np.testing.assert_array_equal(more["gradcam"].values, clip["gradcam"].values)
    with pytest.raises(UsageError, match=r"was not explained; take one of \.explained"):
        _ = clip["gradcam", clip.detections[0]]


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"detections": 0}, "--detections 0: must be 1 or more"),
        ({"detections": 2, "at": 3.0}, "--detections 2: --at 3 names one segment; leave out one"),
        ({"detections": 2, "whole": True}, "--detections 2: --whole explains all of a recording; leave out one"),
        ({"table": "sound.wav"}, r"--table sound\.wav: is a CSV; name a file that ends in \.csv"),
    ],
)
def test_wishes_that_cannot_be_fulfilled_are_refused_before_any_work(run, sound, tmp_path, wishes, words):
    with pytest.raises(UsageError, match=words):
        explain_to_folder(sound, run, tmp_path, **wishes)


def test_the_command_writes_a_table_for_several_files(run, sound, tmp_path):
    clip = run.parent / "data" / "hiss/0.wav"
    said = earwitness_command(
        "explain", str(sound), str(clip), "--run", str(run), "--method", "gradcam", "--no-verdicts",
        "--segment", "0.96", "--overlap", "75", "--out", str(tmp_path / "out"), "--table", str(tmp_path / "t.csv"),
    )  # fmt: skip
    assert said.code == 0
    rows = (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()
    assert f"{tmp_path / 't.csv'}: {len(rows) - 1} detections" in said.out
    assert any(row.startswith(str(clip)) for row in rows)
    assert any(row.startswith(str(sound)) for row in rows)
