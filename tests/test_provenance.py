"""What a run was trained on is known by its sound: evaluations say so, and a training is not resumed with another."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

from earwitness.core import files, run_folder
from earwitness.core.errors import UsageError
from earwitness.core.run_folder import RunFolder
from earwitness.data.provenance import TrainedOn
from earwitness.data.recordings import DataSet, Recording
from earwitness.training.request import Request
from earwitness.workflows.evaluate import evaluate
from earwitness.workflows.train import train
from tiny_sounds import write_sounds


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """Sounds and a run of one epoch on them."""
    place = tmp_path_factory.mktemp("learned")
    sounds = write_sounds(place / "sounds", clips=3)
    request = Request(data=sounds, out=place / "run", backbone="compact", segment_seconds=0.48, changes={"epochs": 1})
    return sounds, train(request).run


def test_a_run_keeps_what_it_was_trained_on(learned):
    _, run = learned
    rows = files.read_csv(run.recordings)
    split = files.read_json(run.run_json)["split"]
    assert [row["file"] for row in rows if row["part"] == "training"] == sorted(split["train"])
    assert {row["file"] for row in rows if row["part"] == "validation"} == set(split["validation"])
    assert len({row["sound_sha256"] for row in rows}) == len(rows) == 9


def test_recordings_that_were_trained_on_are_counted_whatever_their_names(learned, tmp_path):
    sounds, run = learned
    other = tmp_path / "other"
    for path in sounds.rglob("*.wav"):
        samples, rate = soundfile.read(path, dtype="int16")
        copy = other / path.parent.name / f"renamed-{path.stem}.flac"
        copy.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(copy, samples, rate)
    found = evaluate(run.path, data=other, out=tmp_path / "all")
    assert found.metrics.files == 9
    assert found.warnings[0].startswith("6 of 9 recordings were trained on (by their sound): the score is too good")
    own = evaluate(run.path, data=other, out=tmp_path / "own", leave_out_trained=True)
    assert own.metrics.files == 3
    assert own.warnings == ()
    settings = files.read_json(own.run.run_json)
    assert settings["evaluation_of"] == str(run.path.resolve())
    assert len(settings["data"]["recordings"]) == 3
    with pytest.raises(UsageError, match="holds an evaluation and no classifier; name its run"):
        run_folder.open_finished(tmp_path / "own")


def test_a_run_without_hashes_knows_names(learned, tmp_path):
    sounds, run = learned
    old = RunFolder(Path(shutil.copytree(run.path, tmp_path / "old")))
    old.recordings.unlink()
    found = evaluate(old.path, data=sounds, out=tmp_path / "out")
    assert "6 of 9 recordings were trained on (by their names: the run knows no more)" in found.warnings[0]


def test_where_all_was_trained_on_there_is_nothing_to_measure(learned, tmp_path):
    sounds, run = learned
    held_out = set(files.read_json(run.run_json)["split"]["validation"])
    other = Path(shutil.copytree(sounds, tmp_path / "sounds"))
    for name in held_out:
        (other / name).unlink()
    with pytest.raises(UsageError, match="the run was trained on all of it"):
        evaluate(run.path, data=other, out=tmp_path / "out", leave_out_trained=True)


def test_groups_that_were_trained_on_are_counted(tmp_path):
    same = TrainedOn(frozenset({"x"}), frozenset({"night"}), frozenset())
    recordings = tuple(
        Recording(path=tmp_path / name, name=name, label="a", group=group)
        for name, group in (("1.wav", "night"), ("2.wav", None), ("3.wav", "day"))
    )
    facts = tuple(SimpleNamespace(sound_sha256=digest) for digest in ("y", "x", "z"))
    data = DataSet(root=tmp_path, recordings=recordings, classes=("a",), facts=facts)
    assert same.among(data) == ([1], [0])


def test_a_training_is_not_resumed_with_other_sound(tmp_path):
    sounds = write_sounds(tmp_path / "sounds", clips=3)
    request = Request(
        data=sounds, out=tmp_path / "run", backbone="compact", segment_seconds=0.48, changes={"epochs": 2}
    )

    def stop(row):
        if row.iteration == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(request, checkpoint_seconds=0.0, on_row=stop)
    first, second = sounds / "high" / "take0.wav", sounds / "low" / "take0.wav"
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    with pytest.raises(UsageError, match=r"high/take0\.wav: has another sound or label than when the training began"):
        train(request, resume=True)
    first.write_bytes(kept)
    assert train(request, resume=True).run.finished
