"""What a notebook user types: the examples of all public names run, and what they return is flat."""

from __future__ import annotations

import doctest
import inspect
import itertools
import json
import re
import shutil
import sys
import types
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from hypothesis import given
from hypothesis import strategies as st

import earwitness as ew
from earwitness.audio import decoding
from earwitness.cli import app, exit, explaining
from earwitness.core import files
from earwitness.core.brief import brief
from earwitness.core.files import read_csv
from earwitness.data.synthetic.corpus import write_dataset
from earwitness.inspection import questions
from earwitness.inspection.files import explain_segment, score_file
from earwitness.models import classifier
from earwitness.trust.scoreboard import collect
from earwitness.workflows import inquire

CLASSES = ("dog", "helicopter", "rain")
PROJECT = Path(__file__).resolve().parents[1]
DOCUMENTED = {name: getattr(ew, name) for name in ew.__all__} | {"Answer": inquire.Answer}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with labelled sounds, a run, and two files."""
    place = tmp_path_factory.mktemp("notebook")
    made = write_dataset(place / "made", 6)
    for name in CLASSES:
        shutil.copytree(made / name, place / "sounds" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        ew.train(ew.Request(data="sounds", out="runs/demo", backbone="compact", changes={"epochs": 8}))
    for name in ("mn04", "other"):
        shutil.copytree(place / "runs" / "demo", place / "runs" / name)
    # README's, of which every verdict is asked: maps of a quarter of a segment take a quarter as long.
    identity = json.loads((place / "runs" / "mn04" / "run.json").read_text())["identity"]
    shorter = replace(classifier.load(place / "runs" / "demo" / "model.safetensors"), segment_frames=24)
    shorter.save(place / "runs" / "mn04" / "model.safetensors", identity)
    for name, label in (("some.wav", "dog"), ("other.wav", "rain"), ("a.wav", "dog"), ("b.wav", "rain")):
        shutil.copy(sorted((place / "sounds" / label).glob("*.wav"))[0], place / name)
    return place


@pytest.fixture
def here(place, monkeypatch) -> Path:
    monkeypatch.chdir(place)
    return place


@pytest.mark.parametrize("name", [*DOCUMENTED, "questions"])
def test_examples_run(name, here, monkeypatch):
    # Planted shortcuts train small networks of their own, for a minute.
    monkeypatch.setattr(collect, "plant", lambda **_: [])
    thing = DOCUMENTED.get(name, questions)
    (test,) = [
        each
        for each in doctest.DocTestFinder(recurse=False).find(thing, name, module=False, globs={"__name__": "__main__"})
        if each.examples
    ]
    assert not any(doctest.SKIP in example.options for example in test.examples)
    shutil.rmtree("runs/first", ignore_errors=True)
    said: list[str] = []
    result = doctest.DocTestRunner().run(test, out=said.append)
    assert result.failed == 0, "".join(said)
    assert result.attempted


def test_every_public_name_says_what_it_is():
    for name, thing in DOCUMENTED.items():
        assert len(inspect.getdoc(thing) or "") > 100, name


# ---- pages --------------------------------------------------------------------------------------------------------


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (PROJECT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_page_s_python_runs(page, here, capsys):
    shutil.rmtree("runs/birds", ignore_errors=True)
    shutil.rmtree("runs/birds-no-overlap", ignore_errors=True)
    explanation = ew.explain("some.wav", "runs/demo", methods=["gradcam", "occlusion"], verdicts=False)
    explanation["gradcam"].save("map.npz")
    known = {"files": ["some.wav", "other.wav"], "explanation": explanation}
    for number, block in enumerate(blocks(page)):
        exec(compile(block, f"{page}, block {number}", "exec"), known)
    assert [row["predicted"] for row in known["rows"]] == ["dog", "rain"]
    assert ("dog" if page == "README.md" else "runs/other") in capsys.readouterr().out


def test_the_page_on_commands_works(here, monkeypatch, capsys):
    """Its workflow is put beside the others, and its command on a command line of its own."""
    workflow, command = blocks("docs/add-a-command.md")
    module = types.ModuleType("earwitness.workflows.classes")
    exec(workflow, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    known = dict(vars(explaining))
    exec(command, known)
    app = typer.Typer()
    app.callback()(lambda: None)
    app.command()(known["classes"])
    assert exit.run(app, ["classes", "runs/demo"]) == 0
    assert capsys.readouterr().out.split("\n")[:3] == list(CLASSES)


# ---- results ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explained(place) -> ew.Explanation:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        methods = ["gradcam", "occlusion:mask=50%,stride=50%", "occlusion:mask=50%,stride=25%"]
        return ew.explain("some.wav", "runs/demo", methods=methods, classes=["dog", "rain"], at=1.2, verdicts=False)


def test_scores_are_all_classes_best_first(explained):
    assert list(explained.scores.values()) == sorted(explained.scores.values(), reverse=True)
    assert sorted(explained.scores) == sorted(CLASSES)
    assert sum(explained.scores.values()) == pytest.approx(1.0)
    assert explained.predicted == next(iter(explained.scores))


def test_a_map_is_found_by_method_and_class(explained):
    assert explained["gradcam"].target_label == explained["gradcam", "dog"].target_label == "dog"
    assert explained["gradcam", "rain"].target_label == explained["gradcam", "Rain"].target_label == "rain"
    assert explained["occlusion:mask=0.5,stride=0.5"].parameters["mask"] == [48, 32]


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("lime", "'lime': is none of the methods that were asked; take 'gradcam' or"),
        ("occlusion", "'occlusion': was asked for with several settings; take 'occlusion:mask=0.5,stride=0.5' or"),
        (("gradcam", "cat"), "'cat': is none of the classes that were explained; take 'dog' or 'rain'"),
        (("gradcam", "Helicopter"), "take 'dog' or 'rain', or ask for it: explain(..., classes=['helicopter'])"),
    ],
)
def test_a_map_that_is_not_there_is_named(explained, key, says):
    with pytest.raises(ew.UsageError, match=re.escape(says)):
        explained[key]


@pytest.mark.parametrize(
    "what", ["map", "answer", "listening", "sounds", "what if", "held", "inquiry", "classifier", "data"]
)
def test_a_result_prints_on_one_line_without_its_arrays_and_its_network(what, explained, here, tmp_path):
    result = {
        "map": lambda: explained["gradcam"],
        "answer": lambda: explained.answer,
        "listening": lambda: explained.listen("gradcam"),
        "sounds": lambda: ew.listen("some.wav", out=tmp_path, box="0.1-0.5,300-4000", progress=False),
        "what if": lambda: ew.what_if("some.wav", explained.model, "0.2-0.6,0-8000"),
        "held": lambda: ew.what_if("some.wav", explained.model, "0.2-0.6,0-8000").sound,
        "inquiry": lambda: inquire.Answer(explained.answer, None),
        "classifier": lambda: explained.model.classifier,
        "data": lambda: ew.split_each_label("sounds", 0.5),
    }[what]()
    told = repr(result)
    assert "\n" not in told
    assert len(told) < 1000
    assert "array(" not in told
    assert "Conv2d" not in told


def test_a_file_that_was_trained_on_is_told_by_its_sound(here, tmp_path):
    rows = read_csv(here / "runs" / "demo" / "recordings.csv")
    told = {}
    for part in ("training", "validation"):
        name = next(row["file"] for row in rows if row["part"] == part)
        shutil.copy(here / "sounds" / name, tmp_path / f"{part}.wav")
        found = ew.explain(tmp_path / f"{part}.wav", "runs/demo", methods="gradcam", verdicts=False, progress=False)
        told[part] = [note for note in found.notes if "trained on" in note]
    assert told == {
        "training": ["this file was trained on by runs/demo: its scores tell nothing of how good that is"],
        "validation": [],
    }


def test_a_result_s_line_tells_shapes_and_counts():
    @dataclass(frozen=True)
    class Result:
        names: tuple[str, ...]
        many: tuple[int, ...]
        scores: dict[str, float]
        samples: np.ndarray
        place: Path
        nothing: None = None

        __repr__ = brief

    told = repr(Result(("a", "b"), tuple(range(9)), {"dog": 0.5}, np.zeros((2, 3), np.float32), Path("some.wav")))
    assert told == (
        "Result(names=['a', 'b'], many=9 items, scores={'dog': 0.5}, samples=float32 of shape (2, 3), place='some.wav')"
    )


def test_a_method_s_own_settings_go_before_others_of_its_name(here):
    both = ["gradcam", "gradcam:relu=true"]
    explained = ew.explain("some.wav", "runs/demo", methods=both, verdicts=False, progress=False)
    assert explained["gradcam"] is explained.attributions["gradcam", explained.predicted]
    assert explained["gradcam:relu=true"].parameters["relu"] is True


def test_seconds_and_hertz_are_the_recording_s(explained, place):
    found = explained["gradcam"]
    clock = ew.load_model(place / "runs" / "demo").classifier.front_end.clock
    first = round(explained.start_seconds / clock.frame_seconds)
    np.testing.assert_allclose(found.times, clock.frame_centre_seconds(first + np.arange(96)))
    np.testing.assert_allclose(found.frequencies, clock.band_centre_hz(np.arange(64)))
    assert explained.start_seconds > 0
    # The native cells' edges enclose the middles of their frames and bands.
    rows = np.searchsorted(found.time_edges, found.times) - 1
    columns = np.searchsorted(found.frequency_edges, found.frequencies) - 1
    np.testing.assert_array_equal(found.native[np.ix_(rows, columns)], found.values)


def test_a_notebook_shows_the_picture_that_is_saved(explained, tmp_path):
    path = explained.save(tmp_path / "out", "name")
    assert path == tmp_path / "out" / "name.png"
    assert explained._repr_png_() == path.read_bytes()
    kept = sorted(each.name for each in (tmp_path / "out").glob("*.npz"))
    assert len(kept) == len(explained.attributions) == 6
    assert all(name.startswith(("name-dog-", "name-rain-")) for name in kept)


def test_a_row_is_plain(explained):
    row = explained.as_row()
    assert all(isinstance(value, str | float | None) for value in row.values())
    assert row["gradcam dog_second"] in explained["gradcam"].times
    assert row["gradcam dog_verdict"] is None
    assert row["recording_score"] == explained.scores[explained.predicted]
    (segment,) = explained.answer.findings
    assert row["segment_score"] == segment.scores[CLASSES.index(explained.predicted)] != row["recording_score"]
    assert json.loads(json.dumps(row)) == row


def test_one_name_is_not_its_letters(here):
    (found,) = ew.explain_all("some.wav", "runs/demo", methods="saliency", classes="rain", verdicts=False)
    assert (found.methods, found.classes) == (("saliency",), ("rain",))


def test_files_that_cannot_be_used_are_told_or_raised(here, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound")
    model, said = ew.load_model("runs/demo"), []
    files = ["some.wav", bad, "other.wav"]
    found = list(ew.explain_all(files, model, methods="saliency", verdicts=False, on_unusable=said.append))
    assert [each.file for each in found] == ["some.wav", "other.wav"]
    assert [each.file for each in said] == [str(bad)]
    with pytest.raises(ew.BadRecordingError, match=r"bad\.wav"):
        list(ew.explain_all(files, model, methods="saliency", verdicts=False))


def test_a_folder_stands_for_the_sound_files_in_it(here, tmp_path):
    for name in ("b.wav", "a.WAV", "deep/c.wav", "deep/@eaDir/x.wav", "deep/.hidden.wav", "deep/notes.txt"):
        (tmp_path / "all" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("some.wav", tmp_path / "all" / name)
    model = ew.load_model("runs/demo")
    found = ew.explain_all([tmp_path / "all", "other.wav"], model, methods="saliency", verdicts=False)
    within = [Path(each.file).relative_to(tmp_path / "all").as_posix() for each in itertools.islice(found, 3)]
    assert within == ["a.WAV", "b.wav", "deep/c.wav"]
    assert [each.file for each in found] == ["other.wav"]
    with pytest.raises(ew.UsageError, match="is a folder; explain_all"):
        ew.explain(tmp_path / "all", model)
    (tmp_path / "none").mkdir()
    with pytest.raises(ew.UsageError, match="holds no sound file"):
        ew.explain_all(tmp_path / "none", model)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"methods": "gradcm"}, "did you mean gradcam"),
        ({"classes": "cat"}, "no such class"),
        ({"whole": True, "at": 1.0}, "leave out one"),
        ({"whole": True, "methods": "lime"}, "lime explains single segments"),
    ],
)
def test_a_wrong_request_is_refused_before_the_first_file(here, options, says):
    with pytest.raises(ew.UsageError, match=says):
        ew.explain_all(["some.wav"], "runs/demo", **options)


def test_a_whole_recording_has_its_map_and_its_profile(here):
    whole = ew.explain("some.wav", "runs/demo", methods="occlusion:mask=50%,stride=50%", whole=True)
    both, time = whole.methods
    assert time.endswith("along=time")
    assert whole["occlusion"] is whole[both]
    assert whole[both].values.shape == whole[time].values.shape == (len(whole[both].times), 64)
    assert (whole[time].values == whole[time].values[:, :1]).all()
    assert whole.start_seconds == 0.0
    assert whole.plot().get_suptitle().startswith("some.wav")


def test_a_class_goes_by_a_word_of_its_name_in_every_call(here, tmp_path):
    """In a run whose rain is "Rain, drizzle": a file, one of its maps, a question; each class once."""
    shutil.copytree("runs/demo", tmp_path / "run")
    renamed = {"rain": "Rain, drizzle"}
    known = classifier.load("runs/demo/model.safetensors")
    identity = json.loads(Path("runs/demo/run.json").read_text())["identity"]
    replace(known, classes=tuple(renamed.get(name, name) for name in known.classes)).save(
        tmp_path / "run" / "model.safetensors", identity
    )
    names = ["drizzle", "DOG", "Rain, drizzle"]
    found = ew.explain("some.wav", tmp_path / "run", methods="saliency", classes=names, verdicts=False)
    assert found.classes == ("Rain, drizzle", "dog")
    assert found["saliency", "rain"] is found["saliency"]
    (answer,) = ew.inquire("runs/demo", of_class="DOG", count=1, methods="saliency", verdicts=False)
    assert answer.picture.name.startswith("class-dog")  # an earlier answer with more is kept beside it
    for pair in ({"true": "DOG"}, {"predicted": "Dog"}, {"true": "Rain", "predicted": "DOG"}):
        (answer,) = ew.inquire("runs/demo", **pair, methods="saliency", verdicts=False)
        assert "DOG" not in answer.inquiry.name + answer.title + "".join(answer.notes)


def test_a_run_s_classes_are_listed_one_a_line(here, capsys):
    assert exit.run(app.app, ["explain", "--list-classes", "--run", "runs/demo"]) == 0
    assert capsys.readouterr() == ("dog\nhelicopter\nrain\n", "")


@pytest.fixture
def nesting(here, monkeypatch) -> ew.Model:
    """A model whose best class for some.wav, a dog, holds the other two, and one of them with half of its score."""
    model = ew.load_model("runs/demo")
    scores = np.array([0.8, 0.5, 0.1])  # of dog, helicopter, rain
    monkeypatch.setattr(
        classifier.Classifier, "probabilities", lambda _, values, *rest: torch.tensor(scores).repeat(len(values), 1)
    )
    return replace(model, classifier=replace(model.classifier, parents=((), (0,), (1,))))


@pytest.mark.parametrize("whole", [False, True])
def test_the_most_specific_of_nested_classes_is_explained_and_said(nesting, whole, capsys, monkeypatch):
    found = ew.explain("some.wav", nesting, methods="occlusion:mask=50%,stride=50%", whole=whole, verdicts=False)
    assert found.predicted == "dog"
    assert found.classes == ("helicopter",)
    assert found.answer.nested == ("dog", "helicopter")
    monkeypatch.setattr(explaining, "model_named", lambda *_: nesting)
    asked = ["explain", "some.wav", "--no-verdicts", "--method", "occlusion:mask=50%,stride=50%", "--out", "nested"]
    for options, said in (((), 1), (("--class", "helicopter"), 0)):
        words = [*asked, *options, *(["--whole"] if whole else [])]
        assert exit.run(app.app, words) == 0
        assert capsys.readouterr().out.count("  class:     helicopter, the most specific of dog > helicopter\n") == said


def test_a_class_that_holds_no_other_is_called_the_best(here, nesting):
    alone = replace(nesting, classifier=replace(nesting.classifier, parents=()))
    titles = [
        " ".join(axes.get_title().split())
        for model in (alone, nesting)
        for axes in ew.explain("some.wav", model, methods="saliency", verdicts=False).plot().axes
    ]
    assert sum("for dog (best)" in title for title in titles) == 1
    assert sum("for helicopter (most specific)" in title for title in titles) == 1


def test_a_model_is_loaded_once_and_passes_through(here):
    model = ew.load_model("runs/demo")
    assert ew.load_model(model) is model
    assert model.prepared is model.prepared
    with pytest.raises(ew.UsageError, match="a run has its own weights"):
        ew.load_model("runs/demo", weights="x.pt")
    with pytest.raises(ew.UsageError, match="is not a run folder"):
        ew.load_model("sounds")


# ---- every second -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def late(place) -> Path:
    """A recording whose last stretch fills no segment of the usual step: the end of a dog after a second of rain."""
    dog, rain = (decoding.read(place / name, 16_000).samples for name in ("some.wav", "other.wav"))
    path = place / "late.wav"
    decoding.write_wav(path, np.concatenate([rain[:16_000], dog])[: 16_000 + 3_000], 16_000)
    return path


def test_the_end_of_a_recording_is_explained(here, late):
    whole = ew.explain(late, "runs/demo", methods="occlusion:mask=50%,stride=50%", whole=True)
    assert whole.end_seconds == pytest.approx(whole.seconds)
    assert whole["occlusion"].values[-5:].any()


@given(share=st.floats(0.0, 1.0))
def test_at_explains_a_segment_that_holds_the_moment(place, late, share):
    model = ew.load_model(place / "runs" / "demo")
    scored = score_file(model.classifier, late)
    at = share * scored.real_frames * scored.clock.frame_seconds  # what follows the last frame is in no segment
    inquiry = explain_segment(model, late, scored, [], at=at)
    (finding,) = inquiry.findings
    assert finding.start_seconds - 1e-9 <= at <= finding.end_seconds + 1e-9


@pytest.mark.parametrize(("recipe", "tail"), [("example", False), ("compact", True)])
def test_a_run_says_whether_its_tails_were_learned_from(here, recipe, tail, tmp_path):
    request = ew.Request(data="sounds", out=tmp_path / "run", backbone="compact", recipe=recipe, changes={"epochs": 1})
    run = ew.train(request).run
    assert files.read_json(run.run_json)["recipe"]["tail"] is tail
    assert ew.load_model(run.path).classifier.tail is tail
    ends = {}
    for row in files.read_csv(run.predictions):
        ends[row["file"]] = max(ends.get(row["file"], 0.0), float(row["end_s"]))
    classifier = ew.load_model(run.path).classifier
    seconds, scored = classifier.front_end.clock.frame_seconds, {}
    for name in ends:
        scored[name] = score_file(classifier, Path("sounds", name)).real_frames * seconds
    left = [scored[name] - end for name, end in ends.items()]
    assert (max(left) < 1e-6) is tail
