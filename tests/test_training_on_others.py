"""Trainings on models that others trained: a head over embeddings computed once, or all layers of a torch module."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

import earwitness as ew
import own_code
from command import earwitness
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.core.files import read_csv, read_json
from earwitness.inspection.run import open_run
from test_runs_of_others import exported
from tiny_sounds import write_sounds

SPECTRA = {
    "like": "librosa",
    "sample_rate": 16_000,
    "hop": 256,
    "window": 1_024,
    "bands": 32,
    "segment_frames": 31,
    "layout": ["channel", "bands", "frames"],
}
WAVES = {"input": "waveform", "sample_rate": 16_000, "segment_seconds": 0.5}
FEW = "occlusion:mask=25%,stride=25%"
HEAD = {"linear.weight", "linear.bias", "mean", "spread"}


class Embedding(nn.Module):
    """The loudness of bands, through a convolution whose weights are drawn by a seed of its own."""

    def __init__(self, seed: int = 0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())

    def forward(self, x):
        return self.layers(x / 40).mean(dim=3).flatten(1)


class Random(Embedding):
    """One whose weights nobody keeps."""

    def __init__(self):
        super().__init__(seed=int(torch.randint(2**31, ())))


class Powers(nn.Module):
    """The energies of 16 bands of a waveform, weighted."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.ones(16))

    def forward(self, x):
        power = torch.fft.rfft(x).abs().square()[:, : 16 * (x.shape[1] // 32)]
        return (power.unflatten(1, (16, -1)).mean(dim=2) + 1e-6).log() * self.weights


class Sequence(nn.Module):
    """One that answers a row of embeddings, as many transformers do."""

    def forward(self, x):
        return x[:, 0].transpose(1, 2)


def spec_of(folder: Path, kind: str, description: dict | None = None) -> str:
    return own_code.spec_of(folder, __name__, kind, description or SPECTRA)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    return write_sounds(tmp_path_factory.mktemp("trained") / "sounds", clips=5, seconds=1.2)


@pytest.fixture(scope="module")
def onnx(tmp_path_factory) -> Path:
    """An embedding as ONNX, with its description beside it."""
    folder = tmp_path_factory.mktemp("onnx")
    (folder / "embedding.toml").write_text(
        "".join(f"{name} = {json.dumps(value)}\n" for name, value in SPECTRA.items()), encoding="utf-8"
    )
    return exported(folder / "embedding.onnx", Embedding())


@pytest.fixture(scope="module")
def headed(tmp_path_factory, sounds, onnx) -> Path:
    """A run of a head over the ONNX file's embeddings."""
    run = tmp_path_factory.mktemp("headed") / "run"
    left = earwitness("train", sounds, "--backbone", onnx, "--overlap", 50, "--out", run)
    assert left.code == 0, left.err
    assert "head over its 128 numbers learns alone, for its layers cannot learn" in left.err
    return run


def request(data, out, backbone, **more) -> ew.Request:
    return ew.Request(data=data, out=out, backbone=str(backbone), overlap=50.0, **more)


def tensors(run: Path) -> dict[str, torch.Tensor]:
    with safe_open(run / "model.safetensors", framework="pt") as stored:
        return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118


# ---- a head alone -------------------------------------------------------------------------------------------------


def test_a_head_learns_on_the_embeddings_of_a_file(headed, onnx):
    settings = read_json(headed / "run.json")
    assert settings["backbone"] == "embedding.onnx"
    assert settings["freeze"] is True
    assert settings["recipe_name"] == "head"
    assert settings["origin"]["path"] == str(onnx)
    assert settings["origin"]["sha256"] == settings["weights"]["sha256"] != ""
    assert set(tensors(headed)) == HEAD
    assert read_json(headed / "metrics.json")["file_accuracy"] == 1.0
    assert {row["part"] for row in read_csv(headed / "recordings.csv")} == {"training", "validation"}


def test_the_same_request_gives_the_same_weights(headed, sounds, onnx, tmp_path):
    ew.train(request(sounds, tmp_path / "run", onnx), progress=False)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (headed / "model.safetensors").read_bytes()


def test_embeddings_are_computed_once_for_each_segment_of_all_folds(sounds, tmp_path):
    (tmp_path / "counted.py").write_text(
        "from pathlib import Path\nimport numpy as np\n"
        f"def answer(x):\n    with Path({str(tmp_path / 'count.txt')!r}).open('a') as f:\n"
        "        f.write(f'{len(x)}\\n')\n"
        "    return x.mean(axis=(1, 3))\n"
        f"def make():\n    return answer, {SPECTRA!r}\n"
    )
    asked = request(sounds, tmp_path / "folds", f"{tmp_path / 'counted.py'}:make", seed=1)
    found = ew.cross_validate(asked, 3, progress=False)
    assert len(found.folds) == 3
    segments = sum(fold.segments for fold in found.folds)
    counted = sum(map(int, (tmp_path / "count.txt").read_text().split()))
    # Once all of them, and one of silence to learn its size.
    assert counted == segments + 1
    assert all((tmp_path / "folds" / f"fold-{number}" / "model.safetensors").exists() for number in (1, 2, 3))


def test_a_run_with_a_head_is_asked_like_any_other(headed, sounds, tmp_path):
    run = Path(shutil.copytree(headed, tmp_path / "run"))
    before = (run / "predictions.csv").read_text()
    assert earwitness("evaluate", run).code == 0
    assert (run / "predictions.csv").read_text() == before
    left = earwitness("inquire", run, "--class", "hiss", "--count", 1, "--method", FEW, "--no-verdicts", "--no-sounds")
    assert left.code == 0, left.err
    (kept,) = (run / "attributions").glob("*.npz")
    assert ew.Attribution.load(kept).values.any()
    assert earwitness("audit", run).code == 0
    assert earwitness("report", run).code == 0
    page = (run / "report.html").read_text()
    assert 'id="training"' in page
    assert "changed at random" not in page
    assert "A segment is what the classifier judges at once: 0.50 s" in page
    explained = earwitness(
        "explain", sounds / "low" / "take0.wav", "--run", run, "--method", FEW, "--no-verdicts", "--out", tmp_path
    )
    assert explained.code == 0, explained.err
    other = ew.evaluate(run, data=sounds, out=tmp_path / "other", progress=False)
    assert any("were trained on" in each for each in other.warnings)


def test_a_head_over_waveforms_learns_and_is_asked(sounds, tmp_path):
    spec = spec_of(tmp_path, "Powers()", WAVES)
    trained = ew.train(request(sounds, tmp_path / "run", spec, freeze=True), progress=False)
    assert trained.metrics.file_accuracy == 1.0
    assert set(tensors(tmp_path / "run")) == HEAD
    (answer,) = ew.inquire(
        tmp_path / "run", of_class="low", count=1, methods=(FEW, "saliency"), verdicts=False, progress=False
    )
    assert all(each.values.any() for each in answer.attributions)


# ---- all layers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "description", "recipe"),
    [
        ("Embedding()", SPECTRA, "best"),
        ("Random()", SPECTRA, "compact"),
        ("Powers()", WAVES, "best"),
    ],
)
def test_all_layers_of_a_module_learn(sounds, tmp_path, kind, description, recipe):
    spec = spec_of(tmp_path, kind, description)
    asked = request(sounds, tmp_path / "run", spec, recipe=recipe, changes={"epochs": 6, "batch": 16})
    trained = ew.train(asked, progress=False)
    kept = tensors(tmp_path / "run")
    assert set(kept) > HEAD
    if kind != "Random()":
        start = ew.load_model(spec).classifier.network.state_dict()
        moved = [name for name in start if not torch.equal(start[name], kept[name])]
        assert moved
    opened = open_run(tmp_path / "run")
    rows = list(range(4))
    opened.segments(rows)  # which refuses other scores than those that were measured
    assert trained.metrics.segments == len(opened.predictions.recording)
    if "input" in description:
        assert not read_json(tmp_path / "run" / "run.json")["recipe"]["augmentation"]["gain_db"]


def test_activation_maps_look_at_the_named_layer(sounds, tmp_path):
    spec = spec_of(tmp_path, "Embedding()", {**SPECTRA, "feature_layer": "layers.2"})
    ew.train(request(sounds, tmp_path / "run", spec, recipe="best", changes={"epochs": 1}), progress=False)
    (answer,) = ew.inquire(
        tmp_path / "run", segments="low/take4.wav@0", methods="gradcam", verdicts=False, progress=False
    )
    assert answer.attributions[0].values.any()


@pytest.mark.parametrize("freeze", [False, True])
def test_a_killed_training_goes_on_to_the_same_bytes(sounds, tmp_path, freeze):
    spec = spec_of(tmp_path, "Embedding()")
    changes = {"epochs": 4, "batch": 16}

    def asked(name):
        return request(sounds, tmp_path / name, spec, recipe="best", freeze=freeze, changes=changes)

    ew.train(asked("whole"), progress=False)

    def killed(row):
        if row.iteration == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ew.train(asked("killed"), checkpoint_seconds=0.0, on_row=killed, progress=False)
    with pytest.raises(UsageError, match="training is unfinished"):
        ew.load_model(tmp_path / "killed")
    ew.train(asked("killed"), resume=True, progress=False)
    whole, resumed = (tensors(tmp_path / name) for name in ("whole", "killed"))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


# ---- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--weights", "some.pt"), "has its own weights"),
        (("--segment", "2"), "its description says"),
        (("--overlap", "100"), "--overlap 100"),
        (("--backbone", "nothing.onnx"), "no such model file"),
        (("--backbone", "mn05"), "no such backbone"),
        (("--backbone", "compact", "--description", "some.toml"), "goes with a --backbone that others trained"),
        (("--description", "none.toml"), "none.toml"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(options, words, sounds, onnx, tmp_path):
    given = () if "--backbone" in options else ("--backbone", onnx)
    left = earwitness("train", sounds, *given, *options, "--out", tmp_path / "run")
    assert left.code == 2
    (line,) = left.lines
    assert words in line
    assert not (tmp_path / "run" / "run.json").exists()


def test_an_answer_that_is_no_embedding_is_refused(sounds, tmp_path):
    with pytest.raises(UsageError, match=r"answers \(1, 31, 32\) .* where \(1, embedding\) is expected; name output"):
        ew.train(request(sounds, tmp_path / "run", spec_of(tmp_path, "Sequence()")), progress=False)


SCORES = """
import numpy as np

def scores(x):
    found = x.mean(axis=(1, 3)) / 40
    return found[:, :{count}]

def sure(x):
    found = np.exp(scores(x))
    return found / found.sum(axis=1, keepdims=True)

def make():
    return {kind}, {description!r}
"""


def scorer(folder: Path, count: int, kind: str = "scores", **more) -> str:
    """Return the name of a function over arrays that answers so many numbers."""
    (folder / "scorer.py").write_text(SCORES.format(count=count, kind=kind, description={**SPECTRA, **more}))
    return f"{folder / 'scorer.py'}:make"


@pytest.mark.parametrize(
    ("count", "more", "why"),
    [
        (5, {"classes": list("abcde")}, "answers 5 numbers, and 5 names of classes come with it"),
        (5, {"kind": "sure"}, "answers 5 numbers, which are probabilities"),
        (3, {}, "answers 3 numbers, for 3 classes to learn"),
    ],
)
def test_class_scores_are_not_taken_for_an_embedding_unless_said_so(sounds, tmp_path, count, more, why):
    left = earwitness("train", sounds, "--backbone", scorer(tmp_path, count, **more), "--out", tmp_path / "run")
    assert left.code == 2
    (line,) = left.lines
    assert why in line
    assert "class scores, not an embedding; name another output" in line
    assert "embedding = true" in line
    said = scorer(tmp_path, count, embedding=True, **more)
    trained = ew.train(request(sounds, tmp_path / "run", said, changes={"epochs": 1}), progress=False)
    assert ew.evaluate(trained.run.path, progress=False).metrics == trained.metrics


def test_few_numbers_that_look_like_no_class_scores_are_learned_from(sounds, tmp_path):
    ew.train(request(sounds, tmp_path / "run", scorer(tmp_path, 4), changes={"epochs": 1}), progress=False)


def test_a_frozen_backbone_whose_weights_nobody_keeps_is_refused(sounds, tmp_path):
    spec = spec_of(tmp_path, "Random()")
    with pytest.raises(UsageError, match="gives other weights each time"):
        ew.train(request(sounds, tmp_path / "run", spec, freeze=True), progress=False)
    other = spec_of(tmp_path, "Random()", {**SPECTRA, "classes": [str(number) for number in range(128)]})
    with pytest.raises(UsageError, match="gives other weights each time"):
        ew.evaluate(model=other, data=sounds, out=tmp_path / "run", progress=False)


@pytest.mark.parametrize("change", ["edited", "gone"])
def test_a_backbone_that_changed_or_went_missing_is_refused(sounds, tmp_path, change):
    spec = spec_of(tmp_path, "Embedding()")
    ew.train(request(sounds, tmp_path / "run", spec, freeze=True, changes={"epochs": 1}), progress=False)
    code = tmp_path / "mine.py"
    words = "has changed since the run was made"
    if change == "edited":
        code.write_text(code.read_text() + "# another\n")
    else:
        code.unlink()
        words = "has gone missing"
    for command in (ew.load_model, ew.audit, ew.evaluate):
        with pytest.raises(EarwitnessError, match=words):
            command(tmp_path / "run")
    if change == "edited":
        with pytest.raises(UsageError, match="differs from when the training began"):
            ew.train(
                request(sounds, tmp_path / "run", spec, freeze=True, changes={"epochs": 1}), resume=True, progress=False
            )


def test_a_trained_run_is_not_measured_as_a_model_of_others(headed, sounds, tmp_path):
    with pytest.raises(UsageError, match="name a run"):
        ew.evaluate(model=ew.load_model(headed), data=sounds, out=tmp_path / "new", progress=False)


def test_an_embedding_that_is_not_finite_is_named(sounds, tmp_path):
    (tmp_path / "broken.py").write_text(
        "import numpy as np\n"
        "def answer(x):\n    found = x.mean(axis=(1, 3))\n    return np.where(x.std() > 1, np.nan, found)\n"
        f"def make():\n    return answer, {SPECTRA!r}\n"
    )
    with pytest.raises(EarwitnessError, match="an embedding is not finite"):
        ew.train(request(sounds, tmp_path / "run", f"{tmp_path / 'broken.py'}:make"), progress=False)
