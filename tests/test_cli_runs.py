"""Whole jobs from the command line, and the run folder that they leave: the contract, file by file."""

from __future__ import annotations

import base64
import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from command import LABELS, Left, earwitness, write_sounds
from earwitness.audio import decoding
from earwitness.explainers.attribution import Attribution
from earwitness.inspection import questions

FAST = ("--method", "gradcam", "--method", "lime:samples=64", "--method", "occlusion:mask=30%,stride=30%")
TRAINED = {
    "run.json",
    "model.safetensors",
    "history.csv",
    "metrics.json",
    "predictions.csv",
    "files.csv",
    "quarantine.csv",
    "recordings.csv",
}
MEASURED = ("predictions.csv", "files.csv", "metrics.json")
CLIPS, HELD_OUT = 5, 1
pytestmark = pytest.mark.slow  # whole jobs


def table(path: Path) -> list[dict[str, str]]:
    """Read a CSV as any other program would."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def done(*arguments: str | Path | float) -> Left:
    left = earwitness(*arguments)
    assert left.code == 0, left.err
    assert "Traceback" not in left.err
    return left


def training(data: Path, out: Path, *more: str | Path | float) -> list[str | Path | float]:
    return ["train", data, "--out", out, "--backbone", "compact", "--epochs", 2, "--batch", 16, *more]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    return write_sounds(tmp_path_factory.mktemp("data") / "my sounds", clips=CLIPS, seconds=2.0)


@pytest.fixture(scope="module")
def trained(sounds, tmp_path_factory) -> tuple[Path, Left]:
    run = tmp_path_factory.mktemp("runs") / "first run"
    return run, done(*training(sounds, run))


@pytest.fixture(scope="module")
def run(trained) -> Path:
    return trained[0]


@pytest.fixture(scope="module")
def asked(run, tmp_path_factory) -> tuple[Path, Left]:
    """Return a copy of the run that was asked everything, so that the first keeps what training alone writes."""
    copy = Path(shutil.copytree(run, tmp_path_factory.mktemp("asked") / "run"))
    # Without verdicts, which take longest; a whole job below has one for every map, and a question of a class.
    return copy, done("inquire", copy, *FAST, "--no-verdicts")


# ---- the single steps ---------------------------------------------------------------------------------------------


def test_data_counts_and_tells_the_split(sounds):
    out = done("data", sounds).out
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.startswith((*LABELS, "all"))}
    assert rows["hiss"][1] == str(CLIPS)
    assert rows["hiss"][-2:] == [str(CLIPS - HELD_OUT), str(HELD_OUT)]
    assert rows["all"][-2:] == [str(3 * (CLIPS - HELD_OUT)), str(3 * HELD_OUT)]
    assert "split: order, 12 to train on, 3 held out" in out


def test_train_says_how_good_the_classifier_is(trained):
    run, left = trained
    metrics = json.loads((run / "metrics.json").read_text())
    assert f"{100 * metrics['segment_accuracy']:.2f} %" in left.out
    assert left.out.endswith(f"Next: earwitness inquire '{run}'\n")
    table_lines = [line for line in left.err.splitlines() if line.count("|") == 7]
    assert re.split(r" *\| *", table_lines[0].strip()) == [
        "Epoch",
        "Iteration",
        "Elapsed",
        "Batch accuracy",
        "Validation accuracy",
        "Batch loss",
        "Validation loss",
        "Learning rate",
    ]
    assert len(table_lines) >= 3


# ---- the contract -------------------------------------------------------------------------------------------------


def test_a_run_holds_what_the_contract_says_and_nothing_else(run):
    assert {path.name for path in run.iterdir()} == TRAINED


def test_what_was_asked_is_kept(run, sounds):
    asked = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert asked["command"][0] == "earwitness"
    assert asked["backbone"] == "compact"
    assert asked["weights"] == {"source": "random", "sha256": None}
    classes = dict.fromkeys(sorted(LABELS), CLIPS)
    assert asked["data"] == {"path": str(sounds), "recordings": 3 * CLIPS, "classes": classes}
    assert asked["split"]["kind"] == "order"
    assert asked["split"]["validation"] == [f"{label}/take4.wav" for label in sorted(LABELS)]
    assert len(asked["split"]["train"]) == 12
    assert asked["recipe"]["epochs"] == 2
    assert asked["recipe"]["batch"] == 16
    assert asked["seed"] == 0
    assert {"earwitness", "torch", "numpy", "soxr", "libsndfile", "python"} <= asked["versions"].keys()
    assert asked["precision"] in ("float32", "bfloat16")


def test_the_model_says_what_it_is(run):
    with safe_open(run / "model.safetensors", "np") as stored:
        description = json.loads(stored.metadata()["earwitness"])
        names = set(stored.keys())
    assert description["classes"] == sorted(LABELS)
    assert description["backbone"] == "compact"
    assert description["front_end"]["name"] == "vggish"
    assert description["segment_frames"] == 96
    assert description["overlap"] == 75.0
    assert "FCFinal.weight" in names


def test_history_has_a_row_an_iteration(run):
    rows = table(run / "history.csv")
    assert list(rows[0]) == [
        "iteration",
        "epoch",
        "seconds",
        "learning_rate",
        "train_loss",
        "train_accuracy",
        "validation_loss",
        "validation_accuracy",
    ]
    assert [int(row["iteration"]) for row in rows] == list(range(1, len(rows) + 1))
    assert int(rows[-1]["epoch"]) == 2
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == sorted(seconds)
    assert all(0 <= float(row["train_accuracy"]) <= 1 and float(row["train_loss"]) >= 0 for row in rows)
    assert all(row["validation_loss"] == "" for row in rows[:-1] if int(row["iteration"]) % 50)
    assert 0 <= float(rows[-1]["validation_accuracy"]) <= 1


def test_predictions_have_a_row_a_segment(run):
    rows = table(run / "predictions.csv")
    classes = sorted(LABELS)
    scores = [f"score_{name}" for name in classes]
    assert list(rows[0]) == ["file", "start_s", "end_s", "label", "predicted", "score", "silent", *scores]
    assert {row["file"] for row in rows} == {f"{label}/take4.wav" for label in LABELS}
    for row in rows:
        values = [float(row[name]) for name in scores]
        assert sum(values) == pytest.approx(1.0, abs=1e-5)
        assert row["predicted"] == classes[int(np.argmax(values))]
        assert float(row["score"]) == max(values)
        assert row["label"] == row["file"].split("/")[0]
        assert float(row["end_s"]) - float(row["start_s"]) == pytest.approx(0.96)
    starts = [float(row["start_s"]) for row in rows if row["file"] == rows[0]["file"]]
    assert np.diff(starts)[:-1] == pytest.approx(0.24)
    assert 0 < np.diff(starts)[-1] <= 0.24 + 1e-6  # the last one ends with the recording


def test_files_follow_from_the_predictions(run):
    segments = table(run / "predictions.csv")
    rows = table(run / "files.csv")
    assert list(rows[0])[:6] == ["file", "label", "predicted", "votes", "mean_score", "segments"]
    for row in rows:
        mine = [each for each in segments if each["file"] == row["file"]]
        votes = sum(each["predicted"] == row["predicted"] for each in mine)
        assert int(row["votes"]) == votes
        assert int(row["segments"]) == len(mine)
        mean = np.mean([float(each[f"score_{row['predicted']}"]) for each in mine])
        assert float(row["mean_score"]) == pytest.approx(mean, abs=1e-6)
        if row["tie"] == "no":
            assert 2 * votes > len(mine) or votes > max(
                sum(each["predicted"] == other for each in mine) for other in LABELS if other != row["predicted"]
            )


def test_metrics_follow_from_the_predictions(run):
    metrics = json.loads((run / "metrics.json").read_text())
    segments, files = table(run / "predictions.csv"), table(run / "files.csv")
    assert {"segment_accuracy", "file_accuracy", "file_accuracy_mean_score", "intervals", "per_class", "confusion"} <= (
        metrics.keys()
    )
    assert metrics["segments"] == len(segments)
    assert metrics["files"] == len(files) == 3 * HELD_OUT
    assert metrics["segment_accuracy"] == pytest.approx(np.mean([row["label"] == row["predicted"] for row in segments]))
    assert metrics["file_accuracy"] == pytest.approx(np.mean([row["label"] == row["predicted"] for row in files]))
    assert metrics["file_accuracy_mean_score"] == pytest.approx(
        np.mean([row["label"] == row["predicted_by_mean"] for row in files])
    )
    low, high = metrics["intervals"]["file_accuracy"]
    assert 0 <= low <= metrics["file_accuracy"] <= high <= 1
    counts = np.array(metrics["confusion"]["segments"])
    assert counts.shape == (3, 3)
    classes = metrics["confusion"]["classes"]
    for true, each in enumerate(classes):
        for heard, other in enumerate(classes):
            assert counts[true, heard] == sum(row["label"] == each and row["predicted"] == other for row in segments)
    assert set(metrics["per_class"]) == set(LABELS)
    assert {"precision", "recall", "f1", "support"} <= metrics["per_class"]["low"]["files"].keys()


def test_the_quarantine_is_there_even_if_it_is_empty(run):
    assert (run / "quarantine.csv").read_text() == "file,reason\n"


# ---- evaluate -----------------------------------------------------------------------------------------------------


def test_evaluating_again_gives_the_same_bytes(run, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    done("evaluate", copy)
    for name in MEASURED:
        assert (copy / name).read_bytes() == (run / name).read_bytes()
    assert {path.name for path in copy.iterdir()} == TRAINED


def test_evaluate_with_other_segments_and_other_recordings(run, tmp_path):
    left = done("evaluate", run, "--segment", 1.5, "--overlap", 0, "--out", tmp_path / "longer")
    rows = table(tmp_path / "longer" / "predictions.csv")
    assert float(rows[0]["end_s"]) - float(rows[0]["start_s"]) == pytest.approx(1.5)
    assert "measured by" in left.out
    # Other recordings, of some classes only, one of them unusable.
    other = write_sounds(tmp_path / "other", ("hiss", "high"), clips=2)
    (other / "high" / "bad.wav").write_bytes(b"RIFF")
    again = earwitness("evaluate", run, "--data", other, "--out", tmp_path / "other results")
    assert again.code == 3
    results = tmp_path / "other results"
    assert {path.name for path in results.iterdir()} == {*MEASURED, "quarantine.csv", "run.json"}
    assert [row["file"] for row in table(results / "quarantine.csv")] == ["high/bad.wav"]
    assert len(table(results / "files.csv")) == 4
    assert earwitness("evaluate", run, "--data", other, "--out", tmp_path / "strict", "--strict").code == 1


def test_evaluating_without_the_held_out_recordings_is_refused(run, sounds, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    moved = Path(shutil.copytree(sounds, tmp_path / "sounds"))
    asked = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**asked, "data": {**asked["data"], "path": str(moved)}}))
    for label in ("high", "low"):
        (moved / label / "take4.wav").unlink()
    left = earwitness("evaluate", copy)
    assert left.code == 2
    assert left.lines == [
        f"earwitness: {moved}/high/take4.wav: was held out by the run and is gone or unusable, and 1 more; "
        "put it back, or evaluate other recordings with --data"
    ]


# ---- inquire ------------------------------------------------------------------------------------------------------


def test_inquire_answers_everything_that_the_report_shows(asked):
    run, left = asked
    index = json.loads((run / "figures" / "index.json").read_text())
    wrong = [row["file"] for row in table(run / "files.csv") if row["label"] != row["predicted"]]
    kinds = [entry["kind"] for entry in index]
    assert set(kinds) - {"misclassified"} == {"recordings", "samples", "segments", "class", "confusion"}
    assert kinds.count("misclassified") == min(len(wrong), questions.MOST_RECORDINGS)
    for entry in index:
        if entry["file"] is None:
            assert entry["notes"]
        else:
            assert (run / "figures" / entry["file"]).read_bytes().startswith(b"\x89PNG")
            assert str(run / "figures" / entry["file"]) in left.out
    assert {path.name for path in run.iterdir()} == TRAINED | {"attributions", "figures", "sounds"}


def test_attributions_need_nothing_but_numpy(asked):
    paths = sorted((asked[0] / "attributions").glob("*.npz"))
    assert paths
    methods = set()
    for path in paths:
        with np.load(path, allow_pickle=False) as stored:
            values, native = stored["values"], stored["native"]
            metadata = json.loads(str(stored["metadata"]))
        assert values.shape == (96, 64)
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        assert native.size <= values.size
        methods.add(metadata["method"])
        assert metadata["target_label"] in LABELS
        assert metadata["file"].split("/")[0] in LABELS
        assert metadata["forwards"] > 0
        assert {"score", "fill", "seed", "precision", "seconds", "parameters"} <= metadata.keys()
    assert methods == {"gradcam", "lime", "occlusion"}


@pytest.mark.parametrize(
    "question",
    [
        ("--class", "hiss", "--count", 2),
        ("--true", "low", "--predicted", "high"),
        ("--true", "low"),
        ("--predicted", "high"),
        ("--segment", 0, "--segment", "low/take4.wav@0.5", "--segment", "take4.wav@9"),
        ("--segment", "hiss/take4.wav"),
    ],
    ids=["class", "confusion", "true", "predicted", "segments", "file"],
)
def test_each_question_has_an_answer(run, question, tmp_path):
    if "take4.wav@9" in question:  # it ends so in every class
        left = earwitness("inquire", run, "--method", "gradcam", *question)
        assert left.code == 2
        assert "3 recordings end so, such as high/take4.wav; give the whole name" in left.lines[0]
        question = question[:4]
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    verdicts = "--verdicts" if "--class" in question else "--no-verdicts"  # which are the same for every question
    left = done("inquire", copy, "--method", "gradcam", verdicts, *question)
    (entry,) = json.loads((copy / "figures" / "index.json").read_text())
    if entry["file"] is None:
        assert "nothing to show" in left.out
        assert "There is none" in left.out
    else:
        assert (copy / "figures" / entry["file"]).exists()
    assert left.out.endswith(f"Next: earwitness report {copy}\n")


def test_recordings_may_have_moved_since_the_run(run, sounds, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    asked = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**asked, "data": {**asked["data"], "path": str(tmp_path / "old")}}))
    question = ("inquire", copy, "--method", "gradcam", "--segment", 0)
    left = earwitness(*question)
    assert left.code == 1
    assert "name the data's new place with --data" in left.lines[0]
    done(*question, "--data", sounds)


# ---- report -------------------------------------------------------------------------------------------------------


class Outside(HTMLParser):
    """Collects whatever a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.scripts = 0
        self.pictures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.pictures += tag == "img"
        for name, value in attrs:
            if name in ("src", "href", "data", "srcset", "action", "poster") and value and value[0] != "#":
                self.addresses.append(value)


def test_the_report_needs_nothing_else(asked):
    run, _ = asked
    left = done("report", run)
    page = (run / "report.html").read_text(encoding="utf-8")
    outside = Outside()
    outside.feed(page)
    # One script, which the page's own policy names by its hash, and the sounds that it plays as data.
    played = [entry for entry in json.loads((run / "figures" / "index.json").read_text()) if entry["sounds"]]
    assert outside.scripts == 1 + len(played)
    assert outside.pictures >= 8
    assert all(address.startswith("data:image/") for address in outside.addresses)
    for address in outside.addresses:
        assert base64.b64decode(address.split(",", 1)[1])
    assert not re.search(r"url\((?!['\"]?data:)|@import", page)
    assert len(page) < 15e6
    assert str(run / "report.html") in left.out
    for name in LABELS:
        assert name in page


def test_a_report_of_a_run_that_was_asked_nothing(run, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    done("report", copy)
    assert {path.name for path in copy.iterdir()} == TRAINED | {"figures", "report.html"}


# ---- the whole job ------------------------------------------------------------------------------------------------


def test_run_does_the_whole_job_and_can_be_repeated(sounds, run, tmp_path, monkeypatch):
    out = tmp_path / "whole"
    words = ["run", *training(sounds, out)[1:], "--method", "gradcam"]
    left = done(*words)
    assert {path.name for path in out.iterdir()} == TRAINED | {
        "attributions",
        "figures",
        "report.html",
        "sounds",
        "trust",
    }
    assert f"Report: {out / 'report.html'} (" in left.out
    # One seed, one result: the same bytes as from the single steps.
    for name in ("model.safetensors", "predictions.csv", "metrics.json"):
        assert (out / name).read_bytes() == (run / name).read_bytes()
    assert earwitness(*words).code == 2
    stamp = (out / "model.safetensors").stat().st_mtime_ns
    asked = []  # what was asked and drawn once is not asked again and again
    monkeypatch.setattr("earwitness.cli.app.investigate_and_report", lambda run, *_: asked.append(run))
    again = done(*words, "--resume")
    assert (out / "model.safetensors").stat().st_mtime_ns == stamp
    assert any("finished already" in line for line in again.lines)
    done(*words, "--overwrite")
    assert (out / "model.safetensors").stat().st_mtime_ns > stamp
    assert asked == [out, out]


def test_cross_validation_measures_every_recording_once(sounds, tmp_path):
    out = tmp_path / "folds"
    words = [*training(sounds, out), "--folds", 3]
    left = done(*words)
    result = json.loads((out / "cross_validation.json").read_text())
    assert [row["fold"] for row in result["folds"]] == [1, 2, 3]
    assert sum(row["files"] for row in result["folds"]) == 3 * CLIPS
    measured = [row["file"] for fold in (1, 2, 3) for row in table(out / f"fold-{fold}" / "files.csv")]
    assert len(set(measured)) == len(measured) == 3 * CLIPS
    for key in ("segment_accuracy", "file_accuracy", "file_accuracy_mean_score"):
        values = [row[key] for row in result["folds"]]
        assert result["mean"][key] == pytest.approx(np.mean(values))
        low, high = result["interval_of_mean"][key]
        assert low <= result["mean"][key] <= high
    assert f"{100 * result['mean']['file_accuracy']:.2f} %" in left.out
    for fold in (1, 2, 3):
        assert {path.name for path in (out / f"fold-{fold}").iterdir()} == TRAINED
    # A second call keeps the folds that are finished, and only if the same is asked.
    stamps = [(out / f"fold-{fold}" / "model.safetensors").stat().st_mtime_ns for fold in (1, 2, 3)]
    done(*words)
    assert stamps == [(out / f"fold-{fold}" / "model.safetensors").stat().st_mtime_ns for fold in (1, 2, 3)]
    assert earwitness(*words, "--seed", 1).code == 2


# ---- explain ------------------------------------------------------------------------------------------------------


def test_explain_asks_a_run_about_any_file(run, sounds, tmp_path):
    first, second = sounds / "low" / "take0.wav", tmp_path / "take0.wav"
    shutil.copy(first, second)
    words = ["--verbose", "explain", first, second, "--run", run, "--out", tmp_path / "out", "--at", 1.0, "--top", 2]
    methods = ("--method", "lime:samples=64", "--method", "lime:samples=49,ridge=1", "--method", "gradcam")
    left = done(*words, *methods, "--class", "low", "--class", "hiss", "--no-verdicts")
    assert left.out.count(" s, mean scores of its segments)\n") == 2
    assert re.findall(r"^Explaining: (\d of 2), (.*)$", left.err, re.MULTILINE) == [
        ("1 of 2", str(first)),
        ("2 of 2", str(second)),
    ]
    assert left.err.count("Drawing: 1 done in") == 2
    assert len(re.findall(r"^ +\d+\.\d% +(hiss|low|high)$", left.out, re.MULTILINE)) == 4
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"take0.png", "take0-2.png"} <= names
    maps = {name for name in names if name.endswith(".npz")}
    assert len(maps) == 2 * 2 * 3  # files, classes, settings of methods
    for name in maps:
        with np.load(tmp_path / "out" / name, allow_pickle=False) as stored:
            metadata = json.loads(str(stored["metadata"]))
        assert metadata["start_seconds"] <= 1.0 <= metadata["start_seconds"] + 0.96
        assert metadata["target_label"] in ("low", "hiss")
    judged = done("explain", first, "--run", run, "--out", tmp_path / "judged", "--method", "gradcam", "--at", 1.0)
    assert str(tmp_path / "judged" / "take0.png") in judged.out  # one map, with its verdict


def test_explain_shows_whole_recordings(run, sounds, tmp_path):
    good, bad, silent = sounds / "low" / "take0.wav", tmp_path / "bad.wav", tmp_path / "silent.wav"
    bad.write_bytes(b"no sound")
    decoding.write_wav(silent, np.zeros(32_000, np.float32), 16_000)
    words = ["explain", good, bad, silent, "--run", run, "--out", tmp_path / "out", "--whole", "--class", "low"]
    left = earwitness(*words, "--method", "occlusion:mask=50%,stride=50%")
    assert left.code == 3
    picture = tmp_path / "out" / "take0-whole.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert left.out.count("verdict:   none") == 1
    assert left.out.endswith(f"Next: open {picture}\n")
    trained_on, *unusable, last = left.lines
    assert trained_on.startswith(f"earwitness: warning: {good}: this file was trained on by {run}")
    assert [line.partition(": ")[2].partition(":")[0] for line in unusable] == [str(bad), str(silent)]
    assert "2 file(s) could not be used" in last
    found = Attribution.load(next((tmp_path / "out").glob("take0-whole-low-occlusion-mask*.npz")))
    assert found.target_label == "low"
    assert len(found.values) > 96
    quiet = done(*words[:2], *words[4:], "--no-verdicts", "--method", "occlusion:mask=50%,stride=50%")
    assert "verdict:" not in quiet.out
    assert done(*words[:2], *words[4:]).out  # without a method, occlusion is asked


def test_the_ten_golden_clips_are_heard_as_they_should_be(shared, tmp_path, monkeypatch):
    """The network's five best classes, whole way from the sound file to the terminal."""
    if not (shared / "data" / "esc10").is_dir() or not (shared / "weights").is_dir():
        pytest.skip("no ESC-10 or no weights in the shared material")
    monkeypatch.setenv("EARWITNESS_SHARED", str(shared))
    monkeypatch.setenv("EARWITNESS_HOME", str(tmp_path / "home"))
    with np.load(shared / "golden" / "mn04.npz") as golden:
        classes = [name.removesuffix("_file") for name in golden if name.endswith("_file")]
        best = {str(golden[f"{name}_file"]): golden[f"{name}_top5"].tolist() for name in classes}
    assert len(best) == 10
    files = [shared / "data" / "esc10" / name for name in best]
    words = ["--backbone", "mn04", "--method", "gradcam", "--out", tmp_path / "out"]
    # One of them with a verdict, which takes longer than all that is looked at here.
    said = done("explain", files[0], *words).out + done("explain", *files[1:], *words, "--no-verdicts").out
    heard = re.findall(r"^ +\d+\.\d% +(.+)$", said, re.MULTILINE)
    assert [heard[5 * number : 5 * number + 5] for number in range(10)] == list(best.values())
    assert len(list((tmp_path / "out").glob("*.png"))) == 10
