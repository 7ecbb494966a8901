"""What version 0.1.0 wrote is read by this version: a run folder, its maps, what was measured once, its pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import earwitness as ew
from earwitness.core.files import read_json
from earwitness.core.run_folder import RunFolder
from earwitness.inspection.run import open_run
from earwitness.plots import gallery
from earwitness.training import prediction_files
from earwitness.trust.audit import store
from earwitness.trust.metrics.randomisation import Randomisation
from earwitness.trust.verdicts.verdict import verdict_of
from rounding import DEEP, rounding
from tiny_sounds import write_sounds

OLD = Path(__file__).parent / "data" / "run-0.1.0"


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    return write_sounds(tmp_path_factory.mktemp("old") / "sounds", clips=4, seconds=1.3)


@pytest.fixture
def run(tmp_path) -> Path:
    """A copy, which may be written to."""
    return Path(shutil.copytree(OLD, tmp_path / "run"))


def test_its_classifier_predicts_what_it_did(run, sounds, tmp_path):
    again = ew.evaluate(run, data=sounds, out=tmp_path / "again")
    assert again.unusable == ()
    before, now = prediction_files.read(RunFolder(run)), prediction_files.read(again.run)
    rows = [now.files.index(name) for name in before.files]
    mine = np.isin(now.recording, rows)
    np.testing.assert_allclose(now.scores[mine], before.scores, atol=rounding(1.0, units=DEEP))
    np.testing.assert_allclose(now.start_seconds[mine], before.start_seconds)


def test_it_answers_questions_again(run, sounds):
    (answer,) = ew.inquire(run, segments="high/take3.wav@0", data=sounds, methods="gradcam", verdicts=False)
    (found,) = answer.attributions
    (old,) = [each for each in maps(OLD) if (each.method, each.file) == ("gradcam", "high/take3.wav")]
    assert found.target_label == old.target_label
    np.testing.assert_allclose(found.native, old.native, atol=rounding(np.abs(old.native).max(), units=DEEP))


def maps(run: Path) -> list[ew.Attribution]:
    return [ew.Attribution.load(path) for path in sorted((run / "attributions").glob("*.npz"))]


def test_its_maps_are_read_and_say_that_they_hold_no_seconds(run):
    found = maps(run)
    assert len(found) == 6
    for each in found:
        assert each.values.shape == (96, 64)
        assert (len(each.times), len(each.frequencies), len(each.time_edges), len(each.frequency_edges)) == (0,) * 4
        verdict = verdict_of(each)
        assert verdict is not None
        assert verdict.reasons


def test_an_old_map_that_is_saved_again_stays_the_same(run, tmp_path):
    (old, *_) = maps(run)
    old.save(tmp_path / "map.npz")
    again = ew.Attribution.load(tmp_path / "map.npz")
    np.testing.assert_array_equal(again.values, old.values)
    assert (again.parameters, again.verdict, len(again.times)) == (old.parameters, old.verdict, 0)


def test_its_pictures_audit_and_tests_are_read(run):
    entries = gallery.read(RunFolder(run))
    assert {"segments", "training", "audit"} <= {entry.kind for entry in entries}
    audit = store.read(RunFolder(run))
    assert audit is not None
    stored = json.dumps(read_json(run / "trust" / "audit.json")).replace("heard_as", "predicted_as")
    read_back = json.loads(json.dumps(audit.as_dict()))
    # What an audit is asked since: it kept no recordings that are right only without a thing.
    assert [effect.pop("corrected") for effect in read_back["effects"]] == [[]] * len(audit.effects)
    assert read_back == json.loads(stored)
    assert any(effect.recordings for effect in audit.effects)
    kept = sorted((run / "trust").glob("randomisation-*.json"))
    assert len(kept) == 3
    assert {Randomisation.load(path).segments for path in kept} <= {1, 2, 3}


def test_a_report_is_built_of_it(run):
    page = ew.build_report(run).read_text(encoding="utf-8")
    assert "The picture figures/samples.png is missing; inquire again." in page
    assert page.count("data:image") >= 5


def test_it_is_opened_for_questions(run):
    opened = open_run(run)
    assert opened.classifier.classes == opened.predictions.classes == ("high", "hiss", "low")
