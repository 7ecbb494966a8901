"""Maps first, verdicts after them: what is shown and written before verdicts are measured, and what then."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import earwitness as ew
import tiny_run
from command import Left, earwitness
from earwitness.core.errors import BadRecordingError
from earwitness.explainers.attribution import Attribution
from earwitness.inspection import files
from earwitness.workflows.explained import explain_to_folder

METHOD = "gradcam"
DETECTIONS = ("--detections", 2)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a run and two files."""
    place = tmp_path_factory.mktemp("made")
    tiny_run.make(place)
    shutil.copy(place / "data" / "click/0.wav", place / "a.wav")
    shutil.copy(place / "data" / "hiss/1.wav", place / "b.wav")
    return place


@pytest.fixture
def here(made, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(made)
    return tmp_path / "out"


def explain(out: Path, *words: str | int, names: tuple[str, ...] = ("a.wav",)) -> Left:
    return earwitness("explain", *names, "--run", "run", "--out", out, "--method", METHOD, *words)


def content(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def pictures(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("*.png")}


def levels(out: Path) -> list[bool]:
    """Whether each map there has a verdict."""
    return [Attribution.load(path).verdict is not None for path in sorted(out.glob("*.npz"))]


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("words", [(), DETECTIONS], ids=["a segment", "detections"])
def test_interrupted_while_verdicts_are_measured_the_picture_without_them_stays(here, monkeypatch, words):
    assert explain(here / "plain", "--no-verdicts", *words).code == 0
    monkeypatch.setattr(files, "all_judged", interrupted)
    left = explain(here / "left", *words)
    assert left.code == 130
    assert left.lines == [f"earwitness: {here / 'left' / 'a.png'} stays, without verdicts", "earwitness: interrupted"]
    assert f"picture:   {here / 'left' / 'a.png'}\n" in left.out
    assert "reliable" not in left.out
    assert pictures(here / "left") == pictures(here / "plain")
    assert content(here / "left").keys() == content(here / "plain").keys()
    assert not any(levels(here / "left"))


@pytest.mark.parametrize("words", [(), DETECTIONS], ids=["a segment", "detections"])
def test_verdicts_come_after_all_else_and_into_the_same_picture(here, words):
    plain = explain(here / "plain", "--no-verdicts", *words).out.replace(str(here / "plain"), str(here / "judged"))
    left = explain(here / "judged", *words)
    assert left.code == 0
    before, _, after = left.out.partition("  verdicts (in the picture, too):\n")
    assert plain.startswith(before)
    assert before.splitlines()[-1] == f"  picture:   {here / 'judged' / 'a.png'}"
    assert "Grad-CAM" in after
    assert "reliable" in after or "weak" in after
    assert after.endswith(f"\n\nNext: open {here / 'judged' / 'a.png'}\n")
    assert content(here / "judged").keys() == content(here / "plain").keys()
    assert all(levels(here / "judged"))
    # What Python makes in one call is the same to the byte.
    asked = {"detections": words[1]} if words else {}
    at_once = ew.explain("a.wav", "run", methods=METHOD, progress=False, **asked)
    at_once.save(here / "once")
    assert pictures(here / "once") == pictures(here / "judged") != pictures(here / "plain")


def test_advice_stands_under_verdicts_that_are_not_reliable(here, monkeypatch):
    def weak(cache, classifier, methods, segments, found, *_):
        reason = {"text": "it changes with other random draws (seeds 0.10)", "good": False}
        judged = {"level": "weak", "chance": 0.5, "reasons": [reason], "signs": {}}
        return [[replace(one, verdict=judged) for one in maps] for maps in found]

    monkeypatch.setattr(files, "all_judged", weak)
    for words in (("--at", 0.5), DETECTIONS):
        left = earwitness("explain", "a.wav", "--run", "run", "--out", here, "--method", "lime:samples=64", *words)
        assert left.code == 0
        advice = [line for line in left.out.splitlines() if line.startswith("  advice:")]
        assert len(advice) == 1
        assert advice[0].endswith(": draw more samples: --method lime:samples=128")


def test_an_explanation_is_judged_later_as_at_once(here):
    model = ew.load_model("run")
    for asked in ({}, {"detections": 2}):
        plain = ew.explain("a.wav", model, methods=METHOD, verdicts=False, progress=False, **asked)
        later = plain.judged(progress=False)
        at_once = ew.explain("a.wav", model, methods=METHOD, progress=False, **asked)
        found = {key: each.verdict for key, each in later.attributions.items()}
        assert found == {key: each.verdict for key, each in at_once.attributions.items()}
        assert all(found.values())
        assert later.moments.keys() == at_once.moments.keys() == plain.moments.keys()
        assert not any(each.verdict for each in plain.attributions.values())
        assert later.as_row()["gradcam_verdict"] == at_once.as_row()["gradcam_verdict"] != plain.as_row()
    whole = ew.explain("a.wav", model, whole=True, methods="occlusion:mask=50%,stride=50%", progress=False)
    assert whole.judged(progress=False) is whole


def test_of_several_files_each_is_shown_and_judged_before_the_next(here):
    told: list[tuple[str, str, list[bool]]] = []
    done = explain_to_folder(
        ["a.wav", "b.wav"],
        "run",
        here,
        methods=METHOD,
        on_maps=lambda found, picture, replaced: told.append((picture.name, str(replaced), levels(here))),
        on_verdicts=lambda found: told.append((found.file, "", levels(here))),
        progress=False,
    )
    assert told == [
        ("a.png", "False", [False]),
        ("a.wav", "", [True]),
        ("b.png", "False", [True, False]),
        ("b.wav", "", [True, True]),
    ]
    assert [found.as_row()["gradcam_verdict"] for found, _ in done.explanations] != [None, None]
    assert done.replaced == frozenset()
    again = explain_to_folder("a.wav", "run", here, methods=METHOD, progress=False)
    assert {path.name for path in again.replaced} == {"a.png"}


def test_without_verdicts_and_of_whole_recordings_nothing_follows(here):
    verdicts: list[str] = []
    for asked in ({"verdicts": False, "methods": METHOD}, {"whole": True, "methods": "occlusion:mask=50%,stride=50%"}):
        explain_to_folder("a.wav", "run", here, on_verdicts=lambda found: verdicts.append(found.file), **asked)
    assert verdicts == []


def test_a_file_that_cannot_be_read_any_more_keeps_its_maps_and_is_named(here, monkeypatch):
    def gone(*_: object) -> None:
        raise BadRecordingError("a.wav", "cannot be read any more")

    monkeypatch.setattr(files, "all_judged", gone)
    left = explain(here, "--listen")
    assert left.code == 3
    assert "earwitness: a.wav: cannot be read any more" in left.lines
    assert (here / "a.png").exists()
    assert levels(here) == [False]


def test_exports_sounds_and_the_table_are_there_before_verdicts(here, monkeypatch):
    monkeypatch.setattr(files, "all_judged", interrupted)
    table = here / "all.csv"
    left = explain(here, "--listen", "--export", "csv", "--export", "raven", "--table", table)
    assert left.code == 130
    names = set(content(here))
    assert {"a.png", "a-regions.csv", "a.selections.txt"} <= names
    assert any(name.endswith(".wav") for name in names)
    assert len(table.read_text(encoding="utf-8").splitlines()) > 1
    assert "kept" in left.out
