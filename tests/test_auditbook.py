"""The audit of a run folder: what is written, drawn and said."""

from __future__ import annotations

import shutil

import pytest
from PIL import Image

import tiny_run
from earwitness.cli import text
from earwitness.core import files
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.core.run_folder import RunFolder
from earwitness.trust.audit.counterfactuals import COUNTERFACTUALS
from earwitness.trust.audit.store import read
from earwitness.workflows.audit import audit


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run.make(tmp_path_factory.mktemp("audited"))


@pytest.fixture(scope="module")
def outcome(run):
    return audit(run)


def test_everything_is_tested_on_every_recording(outcome):
    assert [each.name for each in outcome.audit.effects] == list(COUNTERFACTUALS)
    metrics = files.read_json(RunFolder(outcome.file.parents[1]).metrics)
    assert {each.files for each in outcome.audit.effects} == {metrics["files"]} == {outcome.audit.files}
    for each in outcome.audit.effects:
        assert 0 <= each.touched <= each.files
        assert each.low <= each.change <= each.high
        assert sum(one.files for one in each.classes) == each.files
        assert sum(one.touched for one in each.classes) == each.touched


def test_what_is_heard_as_it_is_equals_the_evaluation(outcome, run):
    # The share of segments right, mean over recordings, by another way: from predictions.csv.
    rows = files.read_csv(RunFolder(run).predictions)
    shares = {}
    for row in rows:
        shares.setdefault(row["file"], []).append(row["label"] == row["predicted"])
    mean = sum(sum(each) / len(each) for each in shares.values()) / len(shares)
    assert {round(each.before, 9) for each in outcome.audit.effects} == {round(mean, 9)}


def test_it_is_kept_and_read_back_and_drawn(outcome, run):
    assert read(RunFolder(run)) == outcome.audit
    with Image.open(outcome.picture) as picture:
        assert min(picture.size) > 200
    assert outcome.file == RunFolder(run).trust / "audit.json"


def test_the_same_seed_gives_the_same_bytes(outcome, run):
    before = outcome.file.read_bytes(), outcome.picture.read_bytes()
    again = audit(run)
    assert (again.file.read_bytes(), again.picture.read_bytes()) == before


def test_the_text_says_what_was_found_and_what_was_not(outcome):
    said = text.audit(outcome)
    for each in outcome.audit.effects:
        assert each.question in said
        assert each.told() in said
        assert f"{each.name}: {each.taken}." in said
    assert "segments right with" in said
    assert said.count("Predictions depend on ") == sum(
        each.found or bool(each.gaining) for each in outcome.audit.effects
    )


def test_a_run_without_an_audit_has_none(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "trust")
    assert read(RunFolder(copy)) is None


def test_where_nothing_can_be_written_a_copy_is_advised_and_no_option_that_there_is_not(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "trust", ignore_errors=True)
    (copy / "trust").write_text("in the way", encoding="utf-8")
    with pytest.raises(UsageError, match="copy the run and audit the copy") as caught:
        audit(copy)
    assert "--out" not in str(caught.value)
    assert str(copy / "trust") in str(caught.value)


def test_wrong_runs_are_refused(run, tmp_path):
    with pytest.raises(UsageError):
        audit(tmp_path)
    with pytest.raises(EarwitnessError, match="gone missing"):
        audit(run, data=tmp_path)
