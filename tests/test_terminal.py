from __future__ import annotations

import numpy as np

from command import earwitness, write_sounds
from earwitness.cli.output import metrics_lines
from earwitness.models.prediction import Predictions
from earwitness.training.metrics import measure


def test_classes_without_recordings_are_named_and_fill_no_table():
    scores = np.eye(4)[[0, 1, 3]]  # what is predicted as the last class is no recording of it
    labels, moments = np.array([0, 1, 1]), np.arange(3.0)
    heard = Predictions(
        classes=("a", "b", "c", "d"),
        files=("x", "y", "z"),
        labels=labels,
        recording=np.arange(3),
        start_seconds=moments,
        end_seconds=moments + 1.0,
        scores=scores,
    )
    lines = metrics_lines(measure(heard)).splitlines()
    assert "no recordings to measure 2 class(es) on: c, d" in lines
    rows = [line.split()[0] for line in lines[lines.index("") + 3 :]]
    assert rows == ["a", "b"]


def test_sources_that_nobody_named_are_said_to_be_unknown(tmp_path):
    hint = "note: sources are not known (-); where several files are cut from one recording, name the groups"
    assert hint in earwitness("data", write_sounds(tmp_path / "plain")).out.splitlines()
    listed = tmp_path / "plain" / "list.csv"
    rows = [
        f"{path.relative_to(listed.parent)},{path.parent.name},{path.stem}" for path in listed.parent.rglob("*.wav")
    ]
    listed.write_text("\n".join(["file,label,group", *rows]), encoding="utf-8")
    assert hint not in earwitness("data", listed).out.splitlines()
