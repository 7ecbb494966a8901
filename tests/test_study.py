"""The main job over a run folder, and that no kill can spoil it."""

from __future__ import annotations

import builtins
import csv
import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from earwitness.core.errors import BadRecordingError, EarwitnessError, UsageError
from earwitness.core.files import read_csv, read_json, write_tensors
from earwitness.core.progress import Plain
from earwitness.inspection.model import load_model
from earwitness.inspection.run import open_run
from earwitness.models import weights
from earwitness.models.registry import BACKBONES
from earwitness.report.page import build_report
from earwitness.training import loop, prediction_files
from earwitness.training.request import Request, make_plan, segment_frames
from earwitness.workflows.evaluate import evaluate
from earwitness.workflows.train import FINISHED_BEFORE, cross_validate, train
from rounding import DEEP, rounding
from tiny_sounds import LABELS, new_classifier, write_sounds

SAME_BYTES = (
    "model.safetensors",
    "predictions.csv",
    "metrics.json",
    "files.csv",
    "quarantine.csv",
    "recordings.csv",
)
CHANGES = {"epochs": 2, "batch": 16}
OLD = Path(__file__).parent / "data" / "run-0.1.0"


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return write_sounds(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="module")
def request_(sounds, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "first"
    return Request(data=sounds, out=out, backbone="compact", changes=CHANGES, segment_seconds=0.48, seed=1)


@pytest.fixture(scope="module")
def finished(request_):
    return train(request_)


def bytes_of(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in SAME_BYTES}


def history_of(run: Path) -> list[dict[str, str]]:
    return [{**row, "seconds": ""} for row in read_csv(run / "history.csv")]


def same(run: Path, other: Path) -> None:
    for name, content in bytes_of(run).items():
        assert content == (other / name).read_bytes(), name
    assert history_of(run) == history_of(other)


# ---- the run folder's contract -----------------------------------------------------------------------------------


def test_a_run_writes_what_the_contract_names_and_nothing_else(finished):
    assert {path.name for path in finished.run.path.iterdir()} == {*SAME_BYTES, "run.json", "history.csv"}


def test_the_record_tells_what_was_asked(finished, request_):
    record = read_json(finished.run.run_json)
    assert record["backbone"] == "compact"
    assert record["weights"] == {"source": "random", "sha256": None}
    assert record["data"]["classes"] == dict.fromkeys(sorted(LABELS), 6)
    assert record["data"]["path"] == str(request_.data)
    assert record["recipe"]["epochs"] == 2
    assert record["recipe"]["batch"] == 16
    assert record["segment_frames"] == 48
    split = record["split"]
    assert not set(split["train"]) & set(split["validation"])
    assert len(split["train"]) + len(split["validation"]) == 18
    assert {"earwitness", "torch", "soxr", "libsndfile"} <= set(record["versions"])


def test_only_held_out_recordings_are_measured(finished):
    record = read_json(finished.run.run_json)
    files = [row["file"] for row in read_csv(finished.run.files)]
    assert sorted(files) == sorted(record["split"]["validation"])
    assert {row["file"] for row in read_csv(finished.run.predictions)} == set(files)


def test_the_history_has_the_contracts_columns(finished):
    with finished.run.history.open(newline="") as stream:
        header = next(csv.reader(stream))
    assert header == [
        "iteration",
        "epoch",
        "seconds",
        "learning_rate",
        "train_loss",
        "train_accuracy",
        "validation_loss",
        "validation_accuracy",
    ]
    rows = read_csv(finished.run.history)
    assert [int(row["iteration"]) for row in rows] == list(range(1, len(rows) + 1))
    assert rows[-1]["validation_loss"] != ""
    assert all(row["validation_loss"] == "" for row in rows[:-1])


def test_it_learns_three_plain_classes(request_, tmp_path):
    # Two epochs are enough for files of bytes, but not for every processor's roundings to learn from.
    changes = {"epochs": 6, "batch": 8, "standardise": True}
    learned = train(replace(request_, out=tmp_path / "run", changes=changes))
    assert learned.metrics.file_accuracy >= 2 / 3


# ---- the same seed, another seed ---------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes(finished, request_, tmp_path):
    again = train(replace(request_, out=tmp_path / "again"))
    same(finished.run.path, again.run.path)


def test_another_seed_gives_other_bytes(finished, request_, tmp_path):
    other = train(replace(request_, out=tmp_path / "other", seed=2))
    for name in ("model.safetensors", "predictions.csv"):
        assert (other.run.path / name).read_bytes() != (finished.run.path / name).read_bytes()
    assert history_of(other.run.path) != history_of(finished.run.path)


# ---- kills -------------------------------------------------------------------------------------------------------


class StopError(Exception):
    """The training is broken off."""


def broken_off(request: Request, at: int) -> None:
    def on_row(row):
        if row.iteration == at:
            raise StopError

    with pytest.raises(StopError):
        train(request, checkpoint_seconds=0.0, on_row=on_row)


@pytest.mark.parametrize("at", [1, 2, 5])
def test_a_broken_off_training_ends_with_the_same_bytes(finished, request_, tmp_path, at):
    request = replace(request_, out=tmp_path / "run")
    broken_off(request, at)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    seen = []
    train(request, resume=True, on_row=lambda row: seen.append(row.iteration))
    assert seen[0] == at  # the last whole checkpoint was one iteration earlier
    same(finished.run.path, request.out)
    assert not (request.out / "checkpoints").exists()


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}


@pytest.mark.slow
def test_killed_at_every_rename_and_resumed_it_ends_with_the_same_bytes(sounds, tmp_path):
    script = Path(__file__).with_name("killed_training.py")
    done = subprocess.run(
        [sys.executable, script, sounds, tmp_path], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    ended = [path for path in tmp_path.iterdir() if path.name not in ("whole", "late")]
    assert len(ended) >= 8
    for run in ended:
        same(tmp_path / "whole", run)
        assert {path.name for path in run.iterdir()} == {*SAME_BYTES, "run.json", "history.csv"}


@pytest.mark.slow
def test_a_real_process_killed_at_random_moments_and_resumed_ends_with_the_same_bytes(sounds, tmp_path):
    begin = "import sys; from earwitness.cli.app import main; main()"
    options = ["--backbone", "compact", "--epochs", "2", "--batch", "8", "--segment", "0.48", "--threads", "1"]

    def command(out: Path) -> list[str]:
        train = ["train", str(sounds), "--out", str(out), *options, "--checkpoint-every", "0", "--resume"]
        return [sys.executable, "-c", begin, *train]

    def killed(out: Path, said: str, patience: float) -> bool:
        """Start a training, kill it some seconds after it said something; return whether that was before its end."""
        with subprocess.Popen(command(out), env=environment(), stderr=subprocess.PIPE, text=True) as process:
            assert any(said in line for line in process.stderr)
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        return process.returncode == -signal.SIGKILL

    subprocess.run(command(tmp_path / "whole"), env=environment(), check=True, capture_output=True)
    chance = random.Random(7)
    assert killed(tmp_path / "killed", "    1 |         1 |", 0.0)  # its first iteration
    for _ in range(2):
        killed(tmp_path / "killed", "Epoch | Iteration", chance.uniform(0.0, 0.4))
    subprocess.run(command(tmp_path / "killed"), env=environment(), check=True, capture_output=True)
    same(tmp_path / "whole", tmp_path / "killed")


def test_warnings_are_said_before_the_time_of_a_training_is_spent(sounds, request_, tmp_path, capsys):
    twice = Path(shutil.copytree(sounds, tmp_path / "sounds"))
    label = min(path for path in twice.iterdir() if path.is_dir())
    first, *_, last = sorted(label.iterdir())
    shutil.copy(first, last)  # learned from and tested with
    said: list[str] = []
    asked = replace(request_, data=twice, out=tmp_path / "run", changes={**CHANGES, "epochs": 1})
    outcome = train(asked, progress=Plain(), on_row=lambda row: said.append(capsys.readouterr().err))
    assert outcome.warnings
    for line in outcome.warnings:
        assert f"earwitness: warning: {line}\n" in said[0]


# ---- finished and unfinished folders -----------------------------------------------------------------------------


def test_a_finished_run_is_not_touched_by_resume(finished, request_):
    before = bytes_of(finished.run.path)
    again = train(request_, resume=True, on_row=lambda row: pytest.fail("trained again"))
    assert again.metrics == finished.metrics
    assert FINISHED_BEFORE in again.warnings
    assert bytes_of(finished.run.path) == before


def test_resume_of_a_finished_run_clears_checkpoints_that_a_kill_left(finished, request_):
    finished.run.checkpoints.mkdir()
    (finished.run.checkpoints / "newest.safetensors").write_bytes(b"x")
    train(request_, resume=True)
    assert not finished.run.checkpoints.exists()


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"seed": 2}, "seed differs from when the training began (1 then, 2 now)"),
        ({"overlap": 50.0}, "overlap differs from when the training began (75.0 then, 50.0 now)"),
        ({"fraction": 0.5}, "split (train, validation) differs from when the training began"),
        ({"changes": {"epochs": 1, "batch": 16}}, "epochs differs from when the training began (2 then, 1 now)"),
    ],
)
def test_resume_of_a_finished_run_refuses_another_request(finished, request_, change, differs):
    with pytest.raises(UsageError, match=re.escape(f"--resume needs the same request, but {differs}; ask as before")):
        train(replace(request_, **change), resume=True)


def test_resume_of_an_unfinished_run_refuses_another_request(request_, tmp_path):
    request = replace(request_, out=tmp_path / "run")
    broken_off(request, 2)
    with pytest.raises(UsageError, match="but seed differs"):
        train(replace(request, seed=9), resume=True)
    with pytest.raises(UsageError, match="unfinished run; --resume"):
        train(request)


def test_a_finished_folder_is_refused_and_overwritten_only_on_request(request_, tmp_path, finished):
    request = replace(request_, out=tmp_path / "run", changes={"epochs": 1, "batch": 64})
    train(request)
    (request.out / "report.html").write_text("old")
    with pytest.raises(UsageError, match="holds a finished run"):
        train(request)
    train(replace(request, seed=5), overwrite=True)
    assert not (request.out / "report.html").exists()
    assert read_json(request.out / "run.json")["seed"] == 5


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}])
def test_a_folder_in_which_a_training_is_at_work_is_refused_and_untouched(request_, tmp_path, options):
    request = replace(request_, out=tmp_path / "run", changes={"epochs": 1, "batch": 64})
    refused = []

    def begin_another(_row):
        before = {path: path.read_bytes() for path in request.out.rglob("*") if path.is_file()}
        with pytest.raises(UsageError, match=rf"run: process {os.getpid()} has been at work here since") as error:
            train(replace(request, seed=9), **options)
        refused.append(error)
        assert {path: path.read_bytes() for path in request.out.rglob("*") if path.is_file()} == before

    train(request, on_row=begin_another)
    assert refused
    assert read_json(request.out / "run.json")["seed"] == request.seed
    train(replace(request, seed=9), overwrite=True)  # it has ended


def test_a_model_of_another_training_is_refused(request_, finished, tmp_path):
    """Whatever opens a run says so; a run that was copied, resumed or repeated elsewhere is the same."""
    run = shutil.copytree(request_.out, tmp_path / "run")
    other = train(replace(request_, out=tmp_path / "other", seed=9)).run
    again = train(replace(request_, out=tmp_path / "again")).run
    identity = read_json(run / "run.json")["identity"]
    assert read_json(again.run_json)["identity"] == identity
    assert evaluate(run).metrics == finished.metrics
    own = (run / "model.safetensors").read_bytes()
    refused = rf"run: model\.safetensors \(\w{{16}}\) and run\.json \({identity}\) are of two trainings; put back .*"
    shutil.copy(other.model, run / "model.safetensors")
    for opened in (
        evaluate,
        open_run,
        load_model,
        build_report,
        lambda _run: train(replace(request_, out=run), resume=True),
    ):
        with pytest.raises(EarwitnessError, match=refused):
            opened(run)
    (run / "model.safetensors").write_bytes(own)
    shutil.copy(other.run_json, run / "run.json")
    with pytest.raises(EarwitnessError, match="are of two trainings"):
        load_model(run)
    (run / "run.json").unlink()
    assert sorted(load_model(run).classes) == sorted(LABELS)  # a model alone is no other's


@pytest.mark.parametrize("file", ["run.json", "model.safetensors"])
def test_an_older_runs_file_beside_a_newer_one_is_refused(file, finished, tmp_path):
    run = shutil.copytree(finished.run.path, tmp_path / "run")
    shutil.copy(OLD / file, run / file)
    with pytest.raises(EarwitnessError, match="of an older version") as error:
        load_model(run)
    assert "\n" not in str(error.value)


def test_unusable_files_are_listed_again_by_a_resume(tmp_path, request_):
    data = write_sounds(tmp_path / "data", clips=3)
    (data / "low" / "broken.wav").write_bytes(b"no sound")
    request = replace(request_, data=data, out=tmp_path / "run", changes={"epochs": 1, "batch": 64})
    first = train(request)
    assert [entry.file for entry in first.unusable] == ["low/broken.wav"]
    assert [row["file"] for row in read_csv(first.run.quarantine)] == ["low/broken.wav"]
    assert train(request, resume=True).unusable == first.unusable
    with pytest.raises(BadRecordingError, match=r"broken\.wav"):
        train(replace(request, out=tmp_path / "strict", strict=True))


# ---- requests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"backbone": "vgish"}, "no such backbone"),
        ({"recipe": "good"}, "no such recipe"),
        ({"overlap": 100.0}, "--overlap 100"),
        ({"overlap": float("nan")}, "--overlap nan"),
        ({"segment_seconds": 0.0}, "--segment 0"),
        ({"segment_seconds": float("nan")}, "--segment nan"),
        ({"segment_seconds": 0.1}, "at least 32"),
        ({"segment_seconds": 61.0}, "at most 60"),
        ({"backbone": "vggish", "weights": "none", "segment_seconds": 2.0}, "segments of 0.96 s only"),
        ({"freeze": True}, "random weights cannot be kept"),
        ({"seed": -1}, "--seed -1"),
        ({"seed": 2**64}, "--seed"),
        ({"device": "teapot"}, "--device teapot"),
        ({"device": "meta"}, "--device meta"),
        ({"changes": {"epochs": 0}}, "--epochs 0"),
        ({"changes": {"batch": 0}}, "--batch 0"),
        ({"changes": {"learning_rate": float("nan")}}, "--learning-rate nan"),
        ({"changes": {"precision": "float16"}}, "--precision float16"),
        ({"changes": {"epoch": 3}}, "epoch"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_made(request_, tmp_path, change, line):
    with pytest.raises(UsageError, match=line):
        train(replace(request_, **{"out": tmp_path / "run", **change}))
    assert not (tmp_path / "run").exists()


def test_auto_takes_the_recipe_for_random_weights_and_the_examples_for_published_ones(request_, shared):
    assert make_plan(request_).recipe_name == "compact"
    file = str(shared / "weights" / "mn04_as_mAP_432.pt")
    plan = make_plan(replace(request_, backbone="mn04", weights=file, changes=None))
    assert plan.recipe_name == "example"
    assert plan.weights is not None
    assert plan.weights.published


@pytest.fixture
def own_weights(tmp_path) -> Path:
    """Weights of a compact network that lost its last layer."""
    path = tmp_path / "own.pt"
    state = new_classifier().network.state_dict()
    torch.save({key: value for key, value in state.items() if not key.startswith(weights.OUR_OWN)}, path)
    return path


@pytest.mark.parametrize("folds", [None, 2])
def test_the_file_of_weights_is_opened_once_a_training(request_, tmp_path, own_weights, monkeypatch, folds):
    opened = []

    def counted(file, *arguments, **options):
        opened.append(str(file))
        return opens(file, *arguments, **options)

    opens = io.open
    monkeypatch.setattr(io, "open", counted)
    monkeypatch.setattr(builtins, "open", counted)
    changes = {"epochs": 1, "batch": 64}
    request = replace(request_, out=tmp_path / "run", weights=str(own_weights), changes=changes)
    if folds is None:
        train(request)
    else:
        cross_validate(request, folds)
    assert opened.count(str(own_weights)) == 1


def test_the_bytes_of_the_weights_are_let_go_before_the_training(request_, tmp_path, own_weights, monkeypatch):
    size = own_weights.stat().st_size
    request = replace(request_, out=tmp_path / "run", weights=str(own_weights), changes={"epochs": 1, "batch": 64})

    def held() -> bool:
        return any(size <= trace.size < size + 100 for trace in tracemalloc.take_snapshot().traces)

    def watched(*arguments, **options):
        seen.append(held())
        return learn(*arguments, **options)

    seen, learn = [], loop.train
    monkeypatch.setattr(loop, "train", watched)
    tracemalloc.start()
    try:
        plan = make_plan(request)
        assert held()
        del plan
        train(request)
    finally:
        tracemalloc.stop()
    assert seen == [False]


def test_freezing_uses_no_augmentation(request_, shared):
    file = str(shared / "weights" / "mn04_as_mAP_432.pt")
    frozen = make_plan(replace(request_, backbone="mn04", weights=file, recipe="best", freeze=True))
    assert not frozen.recipe.augmentation.any
    fixed = make_plan(replace(request_, backbone="vggish", weights="none", recipe="best", segment_seconds=None))
    assert fixed.recipe.augmentation.any


@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=BACKBONES)
def test_segments_are_as_long_as_asked(backbone):
    assert segment_frames(backbone, None) == 96
    assert segment_frames(backbone, 0.96) == 96
    if not backbone.fixed_length:
        assert segment_frames(backbone, 5.0) == 500
        assert segment_frames(backbone, 0.32) == 32


# ---- evaluating again --------------------------------------------------------------------------------------------


def test_evaluating_again_gives_the_same_numbers(finished, tmp_path):
    again = evaluate(finished.run.path, out=tmp_path / "again")
    assert again.metrics == finished.metrics
    first, second = prediction_files.read(finished.run), prediction_files.read(again.run)
    assert first.files == second.files
    np.testing.assert_allclose(first.scores, second.scores, atol=rounding(1.0, units=DEEP))


def test_another_evaluation_needs_a_folder_of_its_own(finished, sounds, tmp_path):
    with pytest.raises(UsageError, match="--out"):
        evaluate(finished.run.path, overlap=0.0)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match="not an empty folder"):
        evaluate(finished.run.path, overlap=0.0, out=tmp_path / "full")
    other = evaluate(finished.run.path, data=sounds, segment_seconds=0.96, overlap=0.0, out=tmp_path / "other")
    assert other.metrics.files == 18
    assert other.metrics.segments == 36  # of 0.98 s the second segment holds the end


def test_a_held_out_recording_that_is_gone_is_named(request_, tmp_path):
    data = write_sounds(tmp_path / "data", clips=3)
    request = replace(request_, data=data, out=tmp_path / "run", changes={"epochs": 1, "batch": 64})
    outcome = train(request)
    gone = read_json(outcome.run.run_json)["split"]["validation"][0]
    (data / gone).unlink()
    with pytest.raises(UsageError, match="is gone or unusable"):
        evaluate(outcome.run.path)


# ---- folds -------------------------------------------------------------------------------------------------------


def test_cross_validation_holds_out_everything_once_and_keeps_finished_folds(request_, tmp_path):
    request = replace(request_, out=tmp_path / "cv", changes={"epochs": 1, "batch": 64})
    result = cross_validate(request, 2)
    assert len(result.folds) == 2
    records = [read_json(request.out / f"fold-{fold}" / "run.json") for fold in (1, 2)]
    held_out = [name for record in records for name in record["split"]["validation"]]
    assert len(held_out) == len(set(held_out)) == 18
    assert result.mean.file_accuracy == pytest.approx(np.mean([fold.file_accuracy for fold in result.folds]))
    assert read_json(request.out / "cross_validation.json") == result.as_dict()
    before = (request.out / "fold-1" / "model.safetensors").stat().st_mtime_ns
    assert cross_validate(request, 2) == result
    assert (request.out / "fold-1" / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(UsageError, match="--resume needs the same request"):
        cross_validate(replace(request, seed=4), 2)


def test_a_full_disk_is_said_in_one_line_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    def full(*_arguments, **_options):
        from safetensors import SafetensorError

        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(EarwitnessError, match=r"model\.safetensors: could not be written .*No space"):
        write_tensors(tmp_path / "model.safetensors", {}, {})
    assert list(tmp_path.iterdir()) == []
