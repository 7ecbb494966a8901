"""Models that others trained, measured on labelled recordings: runs without a training, and every command on them."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import earwitness as ew
import own_code
from command import earwitness
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.core.files import read_csv, read_json
from earwitness.core.progress import NO_PROGRESS
from earwitness.core.run_folder import RunFolder
from earwitness.inspection.run import open_run
from earwitness.models.foreign.identity import words_of
from earwitness.models.foreign.reading import described
from earwitness.models.weights import audioset_labels
from earwitness.training.metrics import Confusion
from earwitness.trust.scoreboard import analytic, collect
from earwitness.trust.scoreboard.board import measure
from earwitness.trust.scoreboard.collect import Gathered, choose
from earwitness.trust.scoreboard.mixtures import Stage, recorded
from earwitness.workflows import scoreboard as scorebook
from earwitness.workflows.scoreboard import classifier_and_recordings
from tiny_sounds import write_sounds

CLASSES = ["low tone", "high tone", "hiss"]
SPECTRA = {
    "like": "librosa",
    "sample_rate": 16_000,
    "hop": 256,
    "window": 1_024,
    "bands": 32,
    "segment_frames": 31,
    "overlap": 50.0,
    "layout": ["channel", "bands", "frames"],
    "classes": CLASSES,
}
WAVES = {"input": "waveform", "sample_rate": 16_000, "segment_seconds": 0.5, "overlap": 50.0, "classes": CLASSES}
FEW = ("occlusion:mask=25%,stride=25%",)


class Ear(nn.Module):
    """Tells low from high tones from hiss by decibels of mel bands, through a layer whose map is the input's."""

    def __init__(self, ending: str = "none"):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU())
        self.ending = ending
        nn.init.constant_(self.layers[0].weight, 0.1)
        nn.init.constant_(self.layers[0].bias, 10.0)

    def forward(self, x):
        loud = self.layers(x)[:, 0].mean(dim=2)
        low, high, least = loud[:, :10].amax(dim=1), loud[:, 22:].amax(dim=1), loud.amin(dim=1)
        found = torch.stack([low - high, high - low, 2 * (least - 7.0)], dim=1)
        return found.softmax(dim=1) if self.ending == "softmax" else found


class Waves(nn.Module):
    """The same of waveforms, by the energy under 1 kHz, above 3 kHz, and how little of it is a tone."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        power = torch.fft.rfft(x).abs().square() + 1e-9
        step = x.shape[1] / 16_000
        low, high = power[:, : int(1_000 * step)].sum(dim=1), power[:, int(3_000 * step) :].sum(dim=1)
        tonal = power.amax(dim=1) / power.sum(dim=1)
        gap = (low.log() - high.log()) * self.scale
        return torch.stack([gap, -gap, 20 * (0.3 - tonal)], dim=1)


def spec_of(folder: Path, kind: str, description: dict, name: str = "mine") -> str:
    return own_code.spec_of(folder, __name__, kind, description, name)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    return write_sounds(tmp_path_factory.mktemp("others") / "sounds", clips=3, seconds=1.2)


@pytest.fixture(scope="module")
def spectral(tmp_path_factory, sounds) -> Path:
    """A run of a module over spectrograms, with a layer that activation maps look at."""
    folder = tmp_path_factory.mktemp("spectral")
    spec = spec_of(folder, "Ear()", {**SPECTRA, "feature_layer": "layers.1"})
    ew.evaluate(model=spec, data=sounds, out=folder / "run", progress=False)
    return folder / "run"


@pytest.fixture(scope="module")
def waves(tmp_path_factory, sounds) -> Path:
    """A run of a module over waveforms."""
    folder = tmp_path_factory.mktemp("waves")
    ew.evaluate(model=spec_of(folder, "Waves()", WAVES), data=sounds, out=folder / "run", progress=False)
    return folder / "run"


def exported(path: Path, network: nn.Module, frames: int = 31) -> Path:
    """Write a network over spectrograms as ONNX."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    x, free = torch.zeros(2, 1, 32, frames), {"x": {0: "n"}, "y": {0: "n"}}
    names = {"input_names": ["x"], "output_names": ["y"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's future
        torch.onnx.export(network.eval(), (x,), str(path), dynamic_axes=free, dynamo=False, **names)
    return path


def copied(run: Path, folder: Path) -> Path:
    """Return a copy of a run whose model lies where it lay."""
    return Path(shutil.copytree(run, folder / "run"))


# ---- the run folder -----------------------------------------------------------------------------------------------


def test_a_model_that_others_trained_is_measured_and_makes_a_run(spectral, sounds):
    run = RunFolder(spectral)
    assert sorted(path.name for path in run.path.iterdir() if not path.name.startswith(".")) == [
        *("files.csv", "metrics.json", "model.json", "predictions.csv", "quarantine.csv", "recordings.csv", "run.json"),
    ]
    settings, reference = read_json(run.run_json), read_json(run.reference)
    assert settings["identity"] == reference["identity"]
    for told in (settings["model"], reference):
        assert told["spec"] == f"{spectral.parent / 'mine.py'}:make"
        assert told["path"] == str(spectral.parent / "mine.py")
        assert re.fullmatch("[0-9a-f]{64}", told["sha256"])
        assert told["classes"] == CLASSES
        assert told["description"]["bands"] == 32
        assert told["description"]["norm"] == "slaney"  # librosa's, in words
    assert read_json(run.metrics)["file_accuracy"] == 1.0
    rows = read_csv(run.recordings)
    assert {row["part"] for row in rows} == {"validation"}
    assert {row["label"] for row in rows} == set(CLASSES)
    assert len(rows) == len(read_csv(run.files)) == 9


@pytest.mark.parametrize("kind", ["spectral", "waves"])
def test_its_scores_are_those_of_the_model_on_each_file(kind, request, sounds):
    run = request.getfixturevalue(kind)
    model = ew.load_model(f"{run.parent / 'mine.py'}:make")
    predictions = open_run(run).predictions
    for row, name in enumerate(predictions.files):
        alone = ew.explain(sounds / name, model, methods=(), verdicts=False, progress=False)
        mine = dict(zip(predictions.classes, predictions.mean_scores[row], strict=True))
        assert mine == pytest.approx(alone.scores, abs=2e-3)


def test_measured_again_it_scores_the_same(waves, tmp_path):
    run = copied(waves, tmp_path)
    before = (run / "predictions.csv").read_text()
    again = earwitness("evaluate", run)
    assert again.code == 0, again.err
    assert (run / "predictions.csv").read_text() == before


def test_measured_with_other_segments_it_keeps_them(sounds, tmp_path):
    spec = spec_of(tmp_path, "Waves()", WAVES)
    ew.evaluate(model=spec, data=sounds, out=tmp_path / "run", segment_seconds=0.8, overlap=0.0, progress=False)
    opened = open_run(tmp_path / "run")
    assert (opened.classifier.segment_frames, opened.classifier.overlap) == (80, 0.0)
    assert opened.segments([0, 1]).samples.shape == (2, 12_800)


def test_labels_may_be_words_of_the_model_s_classes(sounds, tmp_path):
    spec = spec_of(tmp_path, "Ear()", SPECTRA)
    left = earwitness("evaluate", "--model", spec, "--data", sounds, "--out", tmp_path / "run")
    assert left.code == 0, left.err
    assert "note: of the labels, high means high tone; low means low tone" in left.err
    assert "Next: earwitness inquire" in left.out


@pytest.mark.parametrize("table", [False, True])
def test_labels_that_are_no_class_are_named_with_the_nearest(sounds, tmp_path, table):
    data = Path(shutil.copytree(sounds, tmp_path / "data"))
    (data / "low").rename(data / "hisss")
    (data / "high").rename(data / "zebra")
    if table:
        lines = [f"{path.relative_to(data)},{path.parent.name}" for path in sorted(data.rglob("*.wav"))]
        data = data / "data.csv"
        data.write_text("file,label\n" + "\n".join(lines))
    spec = spec_of(tmp_path, "Ear()", SPECTRA)
    left = earwitness("evaluate", "--model", spec, "--data", data, "--out", tmp_path / "run")
    assert left.code == 2
    (line,) = left.lines
    assert "'hisss' (nearest: hiss), 'zebra' are no classes of the model" in line
    assert not (tmp_path / "run").exists()


def test_labels_that_mean_none_of_classes_without_names_ask_for_the_names(sounds, tmp_path):
    nameless = {word: value for word, value in SPECTRA.items() if word != "classes"}
    with pytest.raises(UsageError, match=r"'low' .*its classes have no names; name them with --classes FILE"):
        ew.evaluate(model=spec_of(tmp_path, "Ear()", nameless), data=sounds, out=tmp_path / "run", progress=False)


def test_what_cannot_be_read_is_set_aside(sounds, tmp_path):
    data = Path(shutil.copytree(sounds, tmp_path / "data"))
    (data / "low" / "take0.wav").write_bytes(b"nothing")
    spec = spec_of(tmp_path, "Waves()", WAVES)
    left = earwitness("evaluate", "--model", spec, "--data", data, "--out", tmp_path / "run")
    assert left.code == 3
    assert [row["file"] for row in read_csv(tmp_path / "run" / "quarantine.csv")] == ["low/take0.wav"]
    assert len(read_csv(tmp_path / "run" / "files.csv")) == 8


# ---- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name one: RUN"),
        (("RUN", "--model", "SPEC"), "name one: RUN"),
        (("--model", "SPEC"), "--data"),
        (("--model", "SPEC", "--data", "SOUNDS"), "--out"),
        (("--model", "SPEC", "--data", "SOUNDS", "--out", "SOUNDS/run"), "lies in the data folder"),
        (("--model", "SPEC", "--data", "SOUNDS", "--out", "RUN"), "holds a run; name another --out, or --overwrite"),
        (("--model", "SPEC", "--data", "SOUNDS", "--out", "OTHER"), "not an empty folder"),
        (("--model", "SPEC", "--data", "SOUNDS", "--out", "OTHER", "--overwrite"), "is not empty and holds no run"),
        (("RUN", "--overwrite"), "--overwrite: goes with --model"),
        (("--model", "SPEC", "--data", "SOUNDS", "--out", "NEW", "--leave-out-trained"), "trained on"),
        (("--model", "mn04", "--data", "SOUNDS", "--out", "NEW"), "mn04"),
        (("--model", "RUN", "--data", "SOUNDS", "--out", "NEW"), "is a run"),
        (("RUN", "--classes", "some.txt"), "go with --model"),
        (("RUN", "--data", "SOUNDS"), "--out"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(arguments, words, spectral, sounds, tmp_path, monkeypatch):
    monkeypatch.setenv("EARWITNESS_HOME", str(tmp_path / "home"))
    places = {"RUN": spectral, "SPEC": f"{spectral.parent / 'mine.py'}:make", "SOUNDS": sounds, "NEW": tmp_path / "new"}
    places["OTHER"] = tmp_path / "other"
    places["OTHER"].mkdir()
    (places["OTHER"] / "notes.txt").write_text("mine")
    given = [str(places.get(each, each)).replace("SOUNDS", str(sounds)) for each in arguments]
    left = earwitness("evaluate", *given)
    assert left.code == 2
    (line,) = left.lines
    assert words in line
    assert not (tmp_path / "new").exists()


def test_an_earlier_run_is_replaced_only_if_that_is_said_and_the_new_one_can_begin(spectral, sounds, tmp_path):
    run = copied(spectral, tmp_path)
    (run / "notes.txt").write_text("mine")
    (run / "report.html").write_text("of the run before")
    held = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file() and path.name[0] != "."}
    asked = {"data": sounds, "out": run, "overwrite": True, "progress": False}
    with pytest.raises(UsageError, match="say activation 'none'"):
        ew.evaluate(model=spec_of(tmp_path, "Ear('softmax')", SPECTRA), **asked)
    assert {name: (run / name).read_bytes() for name in held} == held
    spec = spec_of(tmp_path, "Ear()", {**SPECTRA, "overlap": 0.0})
    left = earwitness("evaluate", "--model", spec, "--data", sounds, "--out", run, "--overwrite")
    assert left.code == 0, left.err
    assert open_run(run).classifier.overlap == 0.0
    assert not (run / "report.html").exists()
    assert (run / "notes.txt").read_text() == "mine"


def test_probabilities_that_are_said_to_be_logits_are_found_before_the_run_is_made(sounds, tmp_path):
    spec = spec_of(tmp_path, "Ear('softmax')", SPECTRA)
    with pytest.raises(UsageError, match="say activation 'none'"):
        ew.evaluate(model=spec, data=sounds, out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "run.json").exists()


def test_final_answers_that_are_no_probabilities_are_measured_and_said(sounds, tmp_path):
    spec = spec_of(tmp_path, "Ear()", {**SPECTRA, "activation": "none"})
    found = ew.evaluate(model=spec, data=sounds, out=tmp_path / "run", progress=False)
    assert found.metrics.file_accuracy == 1.0
    (warning,) = found.warnings
    assert re.search(r"its answers, -[\d.]+ to [\d.]+, are no probabilities", warning)
    (answer,) = ew.inquire(
        tmp_path / "run", methods=f"{FEW[0]},score=logit", of_class="hiss", count=1, verdicts=False, progress=False
    )
    assert answer.attributions[0].values.any()


COMMANDS = [
    lambda run: ew.inquire(run, methods=FEW, verdicts=False, progress=False),
    lambda run: ew.audit(run, progress=False),
    lambda run: ew.evaluate(run, progress=False),
    lambda run: ew.load_model(run),
]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("change", ["edited", "gone", "other weights"])
def test_a_model_that_changed_or_went_missing_is_refused(spectral, sounds, tmp_path, command, change):
    run = copied(spectral, tmp_path)
    stored = read_json(run / "model.json")
    code = Path(shutil.copy(stored["path"], tmp_path / "mine.py"))
    stored |= {"path": str(code), "spec": f"{code}:make"}
    words = r"other weights"
    if change == "edited":
        code.write_text(code.read_text() + "# another\n")
        words = r"mine\.py has changed since the run was made"
    elif change == "gone":
        code.unlink()
        words = r"mine\.py has gone missing"
    else:
        stored["weights_sha256"] = "0" * 64
    (run / "model.json").write_text(json.dumps(stored))
    with pytest.raises(EarwitnessError, match=words) as caught:
        command(run)
    assert "\n" not in str(caught.value)


def test_the_report_needs_no_model(spectral, tmp_path):
    run = copied(spectral, tmp_path)
    stored = read_json(run / "model.json")
    (run / "model.json").write_text(json.dumps(stored | {"path": str(tmp_path / "gone.py")}))
    assert "was not trained here" in ew.build_report(run).read_text()


@pytest.mark.parametrize("damage", ["{}", "[]", "nothing", '{"format": 99, "identity": null}'])
def test_a_damaged_reference_is_named(spectral, tmp_path, damage):
    run = copied(spectral, tmp_path)
    (run / "model.json").write_text(damage)
    with pytest.raises(EarwitnessError, match=r"model\.json"):
        ew.load_model(run)


def test_an_unfinished_evaluation_says_what_to_do(spectral, tmp_path):
    run = copied(spectral, tmp_path)
    (run / "model.json").unlink()
    with pytest.raises(UsageError, match="evaluation is unfinished"):
        ew.audit(run, progress=False)


def test_files_of_two_runs_are_told_apart(spectral, waves, tmp_path):
    run = copied(spectral, tmp_path)
    shutil.copy(waves / "model.json", run / "model.json")
    with pytest.raises(EarwitnessError, match=r"model\.json .* are of two"):
        ew.load_model(run)


# ---- the commands on it -------------------------------------------------------------------------------------------


def test_a_run_of_a_module_is_investigated_by_all_that_it_has_a_layer_for(spectral, sounds, tmp_path):
    run = copied(spectral, tmp_path)
    few = ["--method", "gradcam", "--method", FEW[0]]
    left = earwitness("inquire", run, *few, "--class", "high", "--count", 1)
    assert left.code == 0, left.err
    kept = [ew.Attribution.load(path) for path in (run / "attributions").glob("*.npz")]
    assert {each.method for each in kept} == {"gradcam", "occlusion"}
    assert {each.target_label for each in kept} == {"high tone"}
    assert all(each.verdict for each in kept)
    assert list((run / "sounds").rglob("*.mp3"))
    explained = earwitness(
        "explain", sounds / "low" / "take1.wav", "--run", run, "--method", "gradcam", "--no-verdicts",
        "--out", tmp_path / "explained",
    )  # fmt: skip
    assert explained.code == 0, explained.err
    assert "low tone" in explained.out


def test_a_run_of_waveforms_is_investigated_and_listened_to(waves, sounds, tmp_path):
    run = copied(waves, tmp_path)
    notes = earwitness("inquire", run, "--class", "low", "--count", 1, "--no-verdicts", "--no-sounds")
    assert notes.code == 0, notes.err
    assert "gradcam left out" in notes.err
    (answer,) = ew.inquire(run, methods=FEW, of_class="low", count=1, progress=False)
    (found,) = answer.attributions
    peak = np.unravel_index(found.values.argmax(), found.values.shape)
    assert found.frequencies[peak[1]] < 1_000
    assert answer.picture.exists()
    heard = earwitness(
        "listen", sounds / "low" / "take1.wav", "--run", run, "--method", FEW[0], "--out", tmp_path / "listened"
    )
    assert heard.code == 0, heard.err


@pytest.mark.parametrize("kind", ["spectral", "waves"])
def test_it_is_audited_reported_and_listened_to_as_a_whole(kind, request, tmp_path):
    run = copied(request.getfixturevalue(kind), tmp_path)
    found = earwitness("audit", run)
    assert found.code == 0, found.err
    assert "Predictions depend on steady tones" in found.out
    told = earwitness("report", run)
    assert told.code == 0, told.err
    page = (run / "report.html").read_text()
    assert "This model was not trained here" in page
    assert "kept out of the training" not in page
    assert 'id="training"' not in page
    assert str(tmp_path) not in page
    assert earwitness("report", run, "--paths").code == 0
    whole = earwitness("listen", "--run", run, "--method", FEW[0])
    assert whole.code == 0, whole.err
    assert read_json(run / "trust" / "listening.json")["measures"]


@pytest.mark.parametrize("kind", ["spectral", "waves"])
def test_mixtures_of_its_recordings_score_methods_on_it(kind, request):
    opened = open_run(request.getfixturevalue(kind))
    classifier, there = classifier_and_recordings(opened.folder.path, None, "cpu", 0, NO_PROGRESS)
    assert len(there) == 9
    stage = Stage(classifier.front_end, classifier.classes, classifier.segment_frames, classifier.segment_samples)
    bench, _ = choose(classifier, recorded(stage, there), "mixtures", 4)
    assert bench.cases
    board = measure(Gathered((bench,), ()), (*FEW, "gradcam:layer=nowhere"), every=True)
    assert {each.method for each in board.standings} >= {"occlusion", "energy"}
    (note,) = board.gathered.notes
    assert note.startswith("left out of mixtures: gradcam")
    with pytest.raises(UsageError, match="nowhere"):
        measure(Gathered((bench,), ()), ("gradcam:layer=nowhere",))


LOUDNESS = """
import numpy as np

def answer(x):
    loud = x[:, 0].mean(axis=2) / 10 + 10
    low, high, least = loud[:, :10].max(axis=1), loud[:, 22:].max(axis=1), loud.min(axis=1)
    return np.stack([low - high, high - low, 2 * (least - 7)], axis=1)

def make():
    return answer, {description!r}
"""


@pytest.fixture(scope="module")
def arrays(tmp_path_factory, sounds) -> Path:
    """A run of a function over arrays, which has neither layers nor gradients."""
    folder = tmp_path_factory.mktemp("arrays")
    (folder / "loudness.py").write_text(LOUDNESS.format(description=SPECTRA))
    ew.evaluate(model=f"{folder / 'loudness.py'}:make", data=sounds, out=folder / "run", progress=False)
    return folder / "run"


def test_a_scoreboard_ranks_no_method_by_which_the_run_cannot_be_asked(arrays, tmp_path, monkeypatch):
    names = ("gradcam", "saliency", "eigencam", "smoothgrad", "rise:samples=16", FEW[0])
    monkeypatch.setattr(collect.Preset, "methods", lambda _preset: names)
    known = analytic.build("matched filter", cases=2)
    bench, _ = choose(known.classifier, ([case] for case in known.cases), "known networks", 2)
    monkeypatch.setattr(scorebook, "gather", lambda *_, **__: Gathered((bench,), ()))
    board = ew.scoreboard(arrays, out=tmp_path / "board", progress=False).board
    assert {each.method for each in board.standings} == {"rise", "occlusion", "energy", "edge", "centre", "random"}
    (note,) = board.gathered.notes
    assert note == (
        "4 of 6 methods left out, for loudness.py:make has no layers to look at, and lets no gradient through: "
        "gradcam, saliency, eigencam, smoothgrad"
    )
    with pytest.raises(UsageError, match="layers inside a model file or a function cannot be looked at"):
        ew.scoreboard(arrays, out=tmp_path / "board", methods="gradcam", progress=False)


def test_no_advice_names_a_method_by_which_the_model_cannot_be_asked(arrays, tmp_path):
    run = copied(arrays, tmp_path)
    ew.inquire(run, of_class="hiss", count=1, methods="rise:samples=8", sounds=False, progress=False)
    (entry,) = read_json(run / "figures" / "index.json")
    assert any("--method" in line for line in entry["advice"])
    assert not any("cam" in line for line in entry["advice"])


# ---- many classes -------------------------------------------------------------------------------------------------


class Tagger(nn.Module):
    """An ear whose three classes stand among hundreds that are never meant."""

    def __init__(self, classes: int):
        super().__init__()
        self.ear, self.others = Ear(), classes - 3

    def forward(self, x):
        found = self.ear(x)
        return torch.cat([found, torch.full_like(found[:, :1], -5.0).expand(-1, self.others)], dim=1)


def test_hundreds_of_classes_with_a_few_recordings_make_a_readable_report(sounds, tmp_path):
    known = audioset_labels()
    names = ["Chicken, rooster", "Dog", "Rain"]
    names += [each for each in known if each not in names]
    model = exported(tmp_path / "tagger.onnx", Tagger(len(names)))
    (tmp_path / "tagger.txt").write_text("\n".join(names), encoding="utf-8")
    description = {name: value for name, value in SPECTRA.items() if name != "classes"}
    means = {"low": "rooster", "high": "dog", "hiss": "rain"}
    lines = [f"{path.relative_to(sounds)},{means[path.parent.name]}" for path in sorted(sounds.rglob("*.wav"))]
    lines[-1] = lines[-1].replace("rooster", "Rain")  # a wrong label
    data = Path(shutil.copytree(sounds, tmp_path / "data")) / "data.csv"
    data.write_text("file,label\n" + "\n".join(lines))
    model = ew.load_model(model, description={**description, "activation": "sigmoid"})
    made = ew.evaluate(model=model, data=data, out=tmp_path / "run", progress=False)
    assert made.metrics.files == 9
    assert made.metrics.file_accuracy == pytest.approx(8 / 9)
    answers = ew.inquire(tmp_path / "run", methods=FEW, verdicts=False, progress=False)
    notes = [note for answer in answers for note in answer.notes if "not measured" in note]
    assert set(notes) == {"The run was not measured on any recording of 524 of its 527 classes."}
    assert any("Rain predicted as Chicken, rooster" in answer.title for answer in answers)
    page = ew.build_report(tmp_path / "run").read_text()
    assert "524 classes without a recording stand in" in page
    assert "several may be right at once" in page
    assert "add up to 1" not in page
    assert len(page) < 4_000_000
    assert "Chicken, rooster" in page
    assert known[-1] not in page


def test_a_confusion_lumps_classes_without_recordings():
    confusion = Confusion(("a", "b", "c", "d"), ((1, 0, 2, 3),) + ((0,) * 4,) * 3, ((1, 0, 0, 1),) + ((0,) * 4,) * 3)
    shown = confusion.measured()
    assert shown.classes == ("a", "other classes")
    assert shown.segments == ((1, 5), (0, 0))
    assert shown.files == ((1, 1), (0, 0))
    alone = Confusion(("a", "b"), ((1, 0), (0, 0)), ((1, 0), (0, 0))).measured()
    assert (alone.classes, alone.segments) == (("a",), ((1,),))


# ---- words that make it again -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        SPECTRA,
        {**SPECTRA, "norm": "none", "floor": 0.0, "offset": 1e-3, "output": "y", "normalise": "segment"},
        {"sample_rate": 8_000, "hop": 64, "fft": 256, "segment_frames": 20, "log": "none", "power": 1},
        {"sample_rate": 8_000, "hop": 64, "window": 256, "bands": 2, "scale": "edges", "edges_hz": [10, 200, 400, 900]},
        WAVES,
        {**WAVES, "bands": 0, "scale": "", "layout": ["channel", "samples"], "hop": 100},
    ],
)
def test_a_description_is_the_same_after_it_was_written(words):
    before = described({name: value for name, value in words.items() if name != "classes"})
    again = described(json.loads(json.dumps(words_of(before))))
    assert replace(again, like="") == replace(before, like="")
