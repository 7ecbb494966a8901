"""Models that others trained, by file and by function: what they are said to take, and what is refused."""

from __future__ import annotations

import json
import math
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file
from torch import nn

import earwitness as ew
from command import earwitness
from earwitness.audio.logmel import log_mel
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.explainers.registry import METHODS
from earwitness.models.foreign.description import Description
from earwitness.models.foreign.loading import load_foreign
from earwitness.models.foreign.reading import described, read_description

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CLASSES = ["low", "high", "none"]
LIBROSA = {
    "like": "librosa",
    "sample_rate": 16_000,
    "hop": 256,
    "window": 1_024,
    "bands": 32,
    "segment_frames": 64,
    "layout": ["channel", "bands", "frames"],
    "classes": CLASSES,
}
FEW = {"lime": "lime:grid=4x4,samples=64", "occlusion": "occlusion:mask=25%,stride=25%", "rise": "rise:samples=64"}
CPU = torch.device("cpu")


class Ear(nn.Module):
    """Tells low from high tones by the loudness of the lower and the upper bands, in decibels."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
        self.weight = nn.Parameter(torch.tensor(0.1))

    def forward(self, x):
        loud = ((x + 100.0) * self.weight).clamp(min=0.0)
        seen = self.layers(loud).mean(dim=(1, 2, 3)) * 1e-3
        low, high = (part.amax(dim=(1, 2, 3)) for part in (loud[:, :, :16], loud[:, :, 16:]))
        return torch.stack([low - high + seen, high - low, torch.zeros_like(low)], dim=1)


def exported(path: Path, network=None, *, batch=None, shape=(1, 32, 64), metadata=None) -> Path:
    """Write a network in the format of the path's ending."""
    x = torch.zeros(batch or 2, *shape)
    network = (network or Ear()).eval()
    if path.suffix == ".onnx":
        free = None if batch else {"x": {0: "n"}, "y": {0: "n"}}
        torch.onnx.export(
            network, (x,), str(path), input_names=["x"], output_names=["y"], dynamic_axes=free, dynamo=False
        )
        if metadata:
            model = onnx.load(path)
            onnx.helper.set_model_props(model, metadata)
            onnx.save(model, path)
    elif path.suffix == ".pt2":
        free = ({0: torch.export.Dim("n", min=1, max=4096)},)
        torch.export.save(torch.export.export(network, (x,), dynamic_shapes=free), path)
    else:
        torch.jit.trace(network, x).save(str(path))
    return path


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """Two seconds: a tone of 300 Hz from 0.5 to 1.1 s in faint noise."""
    path = tmp_path_factory.mktemp("sound") / "low tone.wav"
    seconds = np.arange(32_000) / 16_000
    tone = np.where((seconds > 0.5) & (seconds < 1.1), 0.5 * np.sin(2 * np.pi * 300 * seconds), 0.0)
    soundfile.write(path, tone + 1e-4 * np.random.default_rng(0).standard_normal(32_000), 16_000)
    return path


@pytest.fixture
def plain() -> Description:
    return described(LIBROSA)


def explained(sound, model, methods):
    return ew.explain(sound, model, methods=[FEW.get(each, each) for each in methods], verdicts=False, progress=False)


# ---- every way to name a model ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore::UserWarning")
@pytest.mark.parametrize("ending", [".onnx", ".pt2", ".pt"])
def test_a_file_gives_the_maps_of_its_network(tmp_path, sound, ending):
    path = exported(tmp_path / f"ear{ending}")
    (tmp_path / "factory.py").write_text(
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_models_of_others import Ear, LIBROSA\ndef make():\n    return Ear(), LIBROSA\n"
    )
    mine = explained(sound, ew.load_model(path, description=LIBROSA), ["lime", "occlusion", "rise"])
    own = explained(sound, ew.load_model(f"{tmp_path / 'factory.py'}:make"), ["lime", "occlusion", "rise"])
    assert mine.predicted == own.predicted == "low"
    assert mine.methods == own.methods
    for key in own.attributions:
        np.testing.assert_allclose(mine[key].values, own[key].values, atol=1e-4 * np.abs(own[key].values).max())
    found = mine["occlusion"]
    frame, band = np.unravel_index(found.values.argmax(), found.values.shape)
    assert 0.4 < found.times[frame] < 1.2
    assert found.frequencies[band] < 1_500


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore::UserWarning")
@pytest.mark.parametrize("ending", [".pt2", ".pt"])
def test_programs_of_torch_let_gradients_through(tmp_path, sound, ending):
    path = exported(tmp_path / f"ear{ending}")
    model = ew.load_model(path, description=LIBROSA)
    found = explained(sound, model, ["saliency", "integratedgradients"])
    with pytest.raises(UsageError, match=r"inside a model file cannot be changed; use saliency .* file.py:make"):
        explained(sound, model, ["guidedbackprop"])
    assert found["saliency"].values.any()
    assert found["integratedgradients"].values.any()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore::UserWarning")
def test_onnx_is_asked_by_what_hides_parts_and_says_so_of_others(tmp_path, sound):
    model = ew.load_model(exported(tmp_path / "ear.onnx"), description=LIBROSA)
    with pytest.raises(UsageError, match=r"saliency needs gradients.* lime, occlusion"):
        explained(sound, model, ["saliency"])
    with pytest.raises(UsageError, match=r"gradcam"):
        explained(sound, model, ["gradcam"])


def test_a_function_over_arrays_is_a_model(tmp_path, sound):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def answer(x):\n    loud = x.max(axis=(1, 2))\n    return np.stack([loud, -loud], axis=1) / 50\n"
        f"def make():\n    return answer, {dict(LIBROSA, layout=['frames', 'bands'], classes=['a', 'b'])!r}\n"
    )
    found = explained(sound, ew.load_model(f"{tmp_path / 'mine.py'}:make"), ["occlusion"])
    assert found.predicted == "a"
    assert found["occlusion"].values.any()


def test_code_may_import_what_lies_beside_it(tmp_path, monkeypatch):
    (tmp_path / "beside_mine.py").write_text(
        "import test_models_of_others as here\nEar, LIBROSA = here.Ear, here.LIBROSA\n"
    )
    (tmp_path / "mine_too.py").write_text(
        "def make():\n    from beside_mine import Ear, LIBROSA\n    return Ear(), LIBROSA\n"
    )
    before = list(sys.path)
    assert ew.load_model(f"{tmp_path / 'mine_too.py'}:make").classes == tuple(CLASSES)
    sys.modules.pop("beside_mine")
    monkeypatch.chdir(tmp_path)
    assert ew.load_model("mine_too:make").classes == tuple(CLASSES)
    assert sys.path == before


def test_verdicts_leave_out_what_a_file_does_not_allow_and_say_so(tmp_path, sound):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def answer(x):\n    low = x[:, :, :8].max(axis=(1, 2)) / 20\n    return np.stack([low, -low], axis=1)\n"
        f"def make():\n    return answer, {dict(LIBROSA, layout=['frames', 'bands'], classes=['a', 'b'])!r}\n"
    )
    model = ew.load_model(f"{tmp_path / 'mine.py'}:make")
    found = ew.explain(sound, model, methods=[FEW["occlusion"], FEW["lime"]], progress=False)
    assert found["occlusion"].verdict is not None
    assert "kept" not in found["occlusion"].verdict["signs"]
    assert any("leave out the test with random weights" in note for note in found.notes)
    reasons = " ".join(reason["text"] for reason in found["occlusion"].verdict["reasons"])
    assert "Grad-CAM" not in reasons


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore::UserWarning")
def test_mn04_gives_the_same_maps_through_onnx(tmp_path, shared):
    own = ew.load_model(
        "mn04", weights=shared / "weights" / "mn04_as_mAP_432.pt", segment_seconds=0.96, overlap=0.0, device="cpu"
    )
    network, front_end = own.classifier.network, own.classifier.front_end
    x = torch.zeros(2, 96, front_end.bands)
    free = {"x": {0: "n"}, "y": {0: "n"}}
    path = tmp_path / "mn04.onnx"
    torch.onnx.export(network, (x,), str(path), input_names=["x"], output_names=["y"], dynamic_axes=free, dynamo=False)
    model = ew.load_model(
        path,
        description={
            "sample_rate": 32_000,
            "window": 800,
            "hop": 320,
            "fft": 1_024,
            "periodic": False,
            "preemphasis": 0.97,
            "scale": "kaldi",
            "bands": 128,
            "high_hz": 15_000.0,
            "log": "natural",
            "offset": 1e-5,
            "mean": -4.5,
            "std": 5.0,
            "layout": ["frames", "bands"],
            "segment_frames": 96,
            "activation": "sigmoid",
        },
        classes=own.classes,
        device="cpu",
    )
    clip = shared / "data" / "esc10" / "dog" / "5-208030-A.ogg"
    mine, other = (
        ew.explain(clip, each, methods=list(FEW.values())[:2], classes="Bark", at=0.5, verdicts=False, progress=False)
        for each in (model, own)
    )
    assert mine.scores["Bark"] == pytest.approx(other.scores["Bark"], abs=1e-5)
    for method in ("lime", "occlusion"):
        peak = np.abs(other[method].values).max()
        np.testing.assert_allclose(mine[method].values, other[method].values, atol=1e-4 * peak)


# ---- what a file and its description say --------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    "metadata",
    [
        {"classes": '["low", "high", "none"]'},
        {"names": "{0: 'low', 1: 'high', 2: 'none'}"},
        {"labels": "low,high,none"},
    ],
)
def test_classes_are_found_in_the_file(tmp_path, metadata):
    path = exported(tmp_path / "ear.onnx", metadata=metadata)
    without = {name: value for name, value in LIBROSA.items() if name != "classes"}
    assert ew.load_model(path, description=without).classes == ("low", "high", "none")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_classes_and_description_are_found_beside_the_file(tmp_path):
    path = exported(tmp_path / "ear.onnx")
    with pytest.raises(UsageError, match=r"what does it take\? write .*ear.toml with sample_rate"):
        ew.load_model(path)
    lines = [f"{name} = {value!r}" for name, value in LIBROSA.items() if name != "classes"]
    (tmp_path / "ear.toml").write_text("\n".join(lines).replace("'", '"'))
    assert ew.load_model(path).classes == ("class 0", "class 1", "class 2")
    (tmp_path / "labels.txt").write_text("low\nhigh\n\nnone\n")
    assert ew.load_model(path).classes == ("low", "high", "none")
    assert ew.load_model(path, classes=["a", "b", "c"]).classes == ("a", "b", "c")
    (tmp_path / "other.txt").write_text("x\ny\n")
    with pytest.raises(UsageError, match="answers 3 numbers, and 2 classes are named"):
        ew.load_model(path, classes=tmp_path / "other.txt")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_fixed_batch_and_length_are_the_files_own(tmp_path, sound):
    path = exported(tmp_path / "ear.onnx", batch=1)
    known = {name: value for name, value in LIBROSA.items() if name != "segment_frames"}
    model = ew.load_model(path, description=known)
    assert model.classifier.segment_frames == 64
    free = ew.load_model(exported(tmp_path / "free.onnx"), description=LIBROSA)
    mine, other = (explained(sound, each, ["occlusion"])["occlusion"] for each in (model, free))
    np.testing.assert_allclose(mine.values, other.values, atol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bands": 40}, r"takes any x 1 x 32 x 64 .*and the description gives 40 as bands"),
        ({"segment_frames": 60}, r"the description gives 60 as frames"),
        ({"layout": ["bands", "frames"]}, r"the layout has 2 axes after the batch"),
        ({"layout": ["channel", "frames", "bands"]}, r'layout = \["channel", "bands", "frames"\] fits\)$'),
        ({"output": "z"}, r"the network gives y; name the output"),
        ({"high_hz": 12_000.0}, r"do not fit a sample rate of 16000 Hz"),
        ({"mean": math.nan}, r"answers what is not finite"),
    ],
)
def test_a_description_that_contradicts_the_file_is_refused(tmp_path, change, words):
    with pytest.raises(EarwitnessError, match=words):
        ew.load_model(exported(tmp_path / "ear.onnx"), description={**LIBROSA, **change})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sample_rat": 16_000}, r"sample_rat: is no word of a description \(did you mean sample_rate\?\)"),
        ({"n_mels": 64}, r"n_mels: is no word of a description \(did you mean bands\?\)"),
        ({"hop": "256"}, r"hop '256': has the wrong type"),
        ({"bands": True}, r"bands True: has the wrong type"),
        ({"scale": "bark"}, r"scale 'bark': is unknown; name one of htk, slaney"),
        ({"like": "matlab"}, r"like 'matlab': is unknown"),
        ({"like": "", "bands": 10}, r"10 bands on which scale\?"),
        ({"window": 0}, r"names sample_rate \(Hz\), hop, and window or fft"),
        ({"floor": 1.0, "offset": 1.0}, r"floor and offset are two ways"),
        ({"segment_seconds": 1.0}, r"segment_seconds and segment_frames say the same"),
        ({"reference": "loudest"}, r"is neither a number nor 'max'"),
        ({"std": 0.0}, r"std is not 0"),
        ({"activation": "tanh"}, r"activation 'tanh': is unknown"),
    ],
)
def test_a_description_that_is_wrong_in_itself_is_refused(given, words):
    with pytest.raises(UsageError, match=words):
        described({**LIBROSA, **given})


def test_toml_and_yaml_say_the_same(tmp_path):
    pytest.importorskip("yaml")
    import yaml

    (tmp_path / "a.yaml").write_text(yaml.safe_dump(LIBROSA))
    lines = [f"{name} = {value!r}".replace("'", '"') for name, value in LIBROSA.items()]
    (tmp_path / "a.toml").write_text("\n".join(lines))
    assert read_description(tmp_path / "a.yaml") == read_description(tmp_path / "a.toml") == described(LIBROSA)
    for name, text in (("b.toml", "a = = 1"), ("b.yaml", "a: [1"), ("c.yaml", "just words")):
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError, match=rf"{name}: (cannot be read|holds no description)"):
            read_description(tmp_path / name)


# ---- what the network gets ----------------------------------------------------------------------------------------


def made_of(given, tone):
    """Return what the network is given of a sound, shape (frames, bands)."""
    known = described({**LIBROSA, **given})
    values = log_mel(known.front_end(), tone)[None]
    return known.preparation()(values)[0].numpy()


def test_the_network_gets_what_librosa_makes():
    librosa = pytest.importorskip("librosa")
    tone = np.sin(np.arange(16_000) * 0.2) * np.linspace(0, 1, 16_000)
    power = librosa.feature.melspectrogram(y=tone, sr=16_000, n_fft=1_024, hop_length=256, n_mels=32)
    given = torch.from_numpy(tone)
    for change, expected in (
        ({}, librosa.power_to_db(power, top_db=None)),
        ({"top_db": 80.0}, librosa.power_to_db(power, top_db=80.0)),
        ({"reference": "max", "top_db": 60.0}, librosa.power_to_db(power, ref=np.max, top_db=60.0)),
        ({"reference": 2.0}, librosa.power_to_db(power, ref=2.0, top_db=None)),
        ({"log": "log10"}, np.log10(np.maximum(power, 1e-10))),
        ({"log": "natural", "offset": 1e-3}, np.log(power + 1e-3)),
        ({"log": "none"}, np.where(power > 1e-10, power, 0.0)),
        ({"mean": -40.0, "std": 20.0}, (librosa.power_to_db(power, top_db=None) + 40) / 20),
    ):
        np.testing.assert_allclose(
            made_of(change, given).T, expected, atol=1e-5 * np.abs(expected).max(), err_msg=str(change)
        )
    each = made_of({"normalise": "segment"}, given)
    assert each.mean() == pytest.approx(0, abs=1e-9)
    assert each.std() == pytest.approx(1)


def test_a_magnitude_in_decibels_is_that_of_its_power():
    tone = torch.from_numpy(np.random.default_rng(0).standard_normal(16_000))
    plain = {"bands": 0, "log": "db", "floor": 1e-5, "power": 1}
    power = {"bands": 0, "log": "db", "floor": 1e-10, "power": 2}
    np.testing.assert_allclose(made_of(plain, tone), made_of(power, tone), atol=1e-8)


# ---- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def other(): pass", r"has no function make"),
        ("def make(): return 3", r"returns int; return a network and a description"),
        ("def make(): return {'weight': 1}, {}", r"returns dict as the network; return a torch.nn.Module"),
        ("def make(): return print, {'hop': 1}", r"a description names sample_rate, too"),
        ("def make(): return print, 7", r"its description is no dictionary"),
        ("def make(): raise ValueError('no weights')", r"fails \(ValueError: no weights\)"),
        ("import nothing_of_the_kind", r"cannot be imported \(ModuleNotFoundError"),
        ("def make(", r"cannot be imported \(SyntaxError"),
    ],
)
def test_a_users_code_that_fails_is_one_line(tmp_path, code, words):
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(EarwitnessError, match=words):
        load_foreign(f"{tmp_path / 'mine.py'}:make", CPU)


def test_a_feature_layer_that_the_network_does_not_have_is_refused_and_not_left_out(tmp_path):
    code = "from torch import nn\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(2048, 3)), {}\n"
    for layer, words in (
        ("conv", r"its last layers are 0, 1$"),
        ("1.", r"did you mean 1\?"),
    ):
        (tmp_path / "mine.py").write_text(code.format({**LIBROSA, "feature_layer": layer}))
        with pytest.raises(
            UsageError, match=rf"mine.py:make: feature_layer {layer}: the network has no such layer; {words}"
        ):
            load_foreign(f"{tmp_path / 'mine.py'}:make", CPU)
    (tmp_path / "mine.py").write_text(code.format({**LIBROSA, "feature_layer": "inner.1"}))
    assert load_foreign(f"{tmp_path / 'mine.py'}:make", CPU).network.feature_layer == "inner.1"


def test_a_function_that_fails_is_told_the_shape_that_it_got(tmp_path):
    (tmp_path / "mine.py").write_text(
        f"def answer(x):\n    return x['no such']\ndef make():\n    return answer, {LIBROSA!r}\n"
    )
    with pytest.raises(UsageError, match=r"it got an array of shape \(1, 1, 32, 64\); IndexError"):
        load_foreign(f"{tmp_path / 'mine.py'}:make", CPU)


def test_files_that_are_no_models_are_one_line(tmp_path, plain):
    for ending, words in ((".onnx", "no usable ONNX model"), (".pt2", "no torch.export"), (".pt", "no TorchScript")):
        path = tmp_path / f"a{ending}"
        with pytest.raises(UsageError, match="no such model file"):
            load_foreign(str(path), CPU, description=plain)
        path.write_bytes(b"nothing")
        with pytest.raises(EarwitnessError, match=words):
            load_foreign(str(path), CPU, description=plain)
    for saved in ({"weight": torch.zeros(2)}, nn.Linear(2, 2)):
        torch.save(saved, tmp_path / "weights.pt")
        with pytest.raises(EarwitnessError, match=r"written by torch.save, .* write file.py with a make\(\)") as told:
            load_foreign(str(tmp_path / "weights.pt"), CPU, description=plain)
        assert "corrupted" not in str(told.value)


def test_what_is_neither_a_run_nor_a_folder_of_transformers_is_said(tmp_path):
    with pytest.raises(UsageError, match=r"is not a run folder \(.*\), nor one of Transformers \(no config.json\)$"):
        ew.load_model(tmp_path)
    with pytest.raises(UsageError, match=r"mit/ast: no such run folder, .* of this machine: nothing is fetched$"):
        ew.load_model("mit/ast")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("explain", "a.wav", "--model"), "holds model.safetensors, but neither run.json"),
        (("explain", "a.wav", "--run"), "holds model.safetensors, but neither run.json"),
        (("check-model",), "holds model.safetensors, but neither run.json"),
        (("inquire",), "holds model.safetensors, but neither run.json"),
        (("train", ".", "--out", "run", "--backbone"), "holds model.safetensors, but neither run.json"),
    ],
)
def test_a_folder_of_weights_alone_lacks_what_makes_it_a_run_or_one_of_transformers(tmp_path, monkeypatch, words, why):
    monkeypatch.chdir(tmp_path)
    Path("weights").mkdir()
    Path("a.wav").touch()
    save_file({"weight": torch.zeros(2)}, "weights/model.safetensors")
    left = earwitness(*words, "weights")
    assert left.code == 2
    (line,) = left.lines
    assert f"weights: {why}, as a run does, nor config.json and preprocessor_config.json" in line


def test_a_folder_of_transformers_is_no_run_and_a_run_no_model_of_others(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match="is a folder of Transformers and no run; name it with --model"):
        ew.inquire(tmp_path)
    (tmp_path / "config.json").rename(tmp_path / "run.json")
    with pytest.raises(UsageError, match="is a run folder and no model of others"):
        load_foreign(str(tmp_path), CPU)


def test_a_description_goes_with_models_of_others_alone(tmp_path):
    with pytest.raises(UsageError, match="are for models of others"):
        ew.load_model("mn04", description=LIBROSA)


def test_a_models_network_is_not_trained_here(tmp_path):
    (tmp_path / "mine.py").write_text(
        f"from torch import nn\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(2048, 3)), {LIBROSA!r}\n"
    )
    model = ew.load_model(f"{tmp_path / 'mine.py'}:make")
    with pytest.raises(UsageError, match="is another's network"):
        _ = model.classifier.own_network
    assert repr(model).endswith("mine.py:make, 3 classes, segments of 1.02 s)")


# ---- the command line ---------------------------------------------------------------------------------------------


def test_a_function_over_arrays_is_asked_only_by_methods_that_hide_parts(tmp_path):
    (tmp_path / "mine.py").write_text(f"def make():\n    return (lambda x: x[:, 0, 0, :3]), {LIBROSA!r}\n")
    asked = ew.load_model(f"{tmp_path / 'mine.py'}:make").askable(tuple(METHODS))
    assert set(asked) == {"lime", "occlusion", "rise", "shapley", "kernelshap"}


@pytest.fixture
def beside(tmp_path) -> Path:
    """A model in code, with a layer."""
    (tmp_path / "mine.py").write_text(
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_models_of_others import Ear, LIBROSA\n"
        "def make():\n    return Ear(), dict(LIBROSA, feature_layer='layers.1')\n"
        "def plain():\n    return Ear(), LIBROSA\n"
    )
    return tmp_path / "mine.py"


def test_check_model_shows_what_was_understood(beside, sound):
    left = earwitness("check-model", f"{beside}:make", sound)
    assert left.code == 0, left.err
    assert "16000 Hz, segments of 1.02 s" in left.out
    assert "3: low, high, none" in left.out
    assert "Methods that it can be asked by: gradcam" in left.out
    rows = re.findall(r"^(\d+) Hz +(\d+) Hz +(\w+) ", left.out, re.MULTILINE)
    assert len(rows) == 12
    assert rows[0][2] == "low"
    assert rows[-1][2] == "high"
    for hertz, named, _ in rows:
        assert abs(np.log2(int(named) / int(hertz))) < 0.5
    assert re.search(r"low tone.wav predicted as.*\n.*\nlow ", left.out)


def test_check_model_names_methods_that_do_not_fit(beside):
    left = earwitness("check-model", f"{beside}:plain")
    assert left.code == 0, left.err
    assert "Not by gradcam" in left.out
    assert "names no feature_layer" in left.out


def test_the_step_that_check_model_names_next_goes_on_with_what_it_was_told(tmp_path, beside):
    (tmp_path / "it is.toml").write_text("\n".join(f"{word} = {json.dumps(value)}" for word, value in LIBROSA.items()))
    (tmp_path / "names.txt").write_text("low\nhigh\nnone\n")
    known = ("--description", tmp_path / "it is.toml", "--classes", tmp_path / "names.txt")
    left = earwitness("check-model", f"{beside}:plain", *known)
    assert left.code == 0, left.err
    step = left.out.splitlines()[-1].removeprefix("Next: earwitness ")
    assert shlex.split(step) == ["explain", "some.wav", "--model", f"{beside}:plain", *map(str, known)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layout": ["channels", "mels", "time"]}, r"layout channels, mels, time: name bands and frames once each"),
        ({"layout": ["channel", "bands", "bands"]}, r"name bands and frames once each"),
        ({"overlap": 100.0}, r"overlap 100: is a percentage from 0 to under 100"),
        ({"classes": ["dog", "dog", "cat"]}, r"the class dog is named twice"),
    ],
)
def test_what_newcomers_wrote_is_one_line(tmp_path, change, words):
    (tmp_path / "mine.py").write_text(
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_models_of_others import Ear, LIBROSA\n"
        f"def make():\n    return Ear(), {{**LIBROSA, **{change!r}}}\n"
    )
    left = earwitness("check-model", f"{tmp_path / 'mine.py'}:make")
    assert left.code == 2
    assert re.search(words, left.err)
    assert len(left.lines) == 1


def test_a_softmax_that_would_be_applied_twice_is_refused_by_the_check(tmp_path):
    (tmp_path / "mine.py").write_text(
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from torch import nn\nfrom test_models_of_others import Ear, LIBROSA\n"
        "def make():\n    return nn.Sequential(Ear(), nn.Softmax(dim=1)), LIBROSA\n"
    )
    left = earwitness("check-model", f"{tmp_path / 'mine.py'}:make")
    assert left.code == 2
    assert "put through a softmax once more; say activation 'none'" in left.err


def test_the_file_alone_asks_for_its_function(beside):
    with pytest.raises(UsageError, match=r"name the function that makes the model, too: .*mine.py:make"):
        ew.load_model(beside)


def test_a_layer_goes_by_its_name_in_the_network_or_in_messages(beside, sound):
    for name in ("layers.1", "inner.layers.1"):
        text = beside.read_text().replace("'layers.1'", repr(name)).replace("'inner.inner.", "'inner.")
        (beside.parent / "named.py").write_text(text)
        found = explained(sound, ew.load_model(f"{beside.parent / 'named.py'}:make"), ["gradcam"])
        assert found["gradcam"].parameters["layer"] == "layers.1"


def test_explain_takes_a_model_of_others(beside, sound, tmp_path):
    left = earwitness("explain", sound, "--model", f"{beside}:make", "--no-verdicts", "--out", tmp_path / "out")
    assert left.code == 0, left.err
    assert "low" in left.out
    assert sorted(path.name.rpartition("-")[2] for path in (tmp_path / "out").glob("*.npz")) == [
        "gradcam.npz",
        "lime.npz",
        "occlusion.npz",
    ]


def test_methods_that_do_not_fit_are_left_out_where_nobody_named_them(beside, sound, tmp_path):
    words = ["explain", sound, "--model", f"{beside}:plain", "--no-verdicts", "--out", tmp_path / "out"]
    left = earwitness(*words)
    assert left.code == 0, left.err
    assert "note: gradcam left out" in left.err
    assert not list((tmp_path / "out").glob("*gradcam*"))
    named = earwitness(*words, "--method", "gradcam")
    assert named.code == 2
    assert "names no feature_layer" in named.err


def test_listen_takes_a_model_of_others(beside, sound, tmp_path):
    words = ["--method", "occlusion:mask=25%,stride=25%", "--out", tmp_path / "out"]
    left = earwitness("listen", sound, "--model", f"{beside}:make", *words)
    assert left.code == 0, left.err
    assert len(list((tmp_path / "out").glob("*.wav"))) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "a.onnx", "--run", "b"], "name one of --run RUN"),
        (["--model", "a.onnx"], "a.onnx: no such model file"),
        (["--model", "a.onnx", "--weights", "w.pt"], "has its own weights; leave out --weights or --model"),
        (["--backbone", "mn04", "--description", "d.toml"], "--description d.toml: goes with --model"),
        (["--backbone", "mn04", "--classes", "c.txt"], "--classes c.txt: goes with --model"),
    ],
)
def test_wrong_words_are_one_line(sound, words, message):
    left = earwitness("explain", sound, *words)
    assert left.code == 2
    assert message in left.err
    assert len(left.lines) == 1


def test_classes_are_listed(beside):
    left = earwitness("explain", "--list-classes", "--model", f"{beside}:make")
    assert left.out.split() == CLASSES


def test_check_model_shows_a_model_over_waveforms(tmp_path, sound):
    (tmp_path / "wave.py").write_text(
        "import numpy as np\n"
        "def answer(x):\n"
        "    power = np.abs(np.fft.rfft(x)) ** 2\n"
        "    low, high = power[:, :1000].sum(1), power[:, 1000:].sum(1)\n"
        "    return np.log10(np.stack([low, high], axis=1) + 1e-9)\n"
        "def make():\n"
        "    return answer, {'input': 'waveform', 'layout': ['samples'], 'sample_rate': 16000,\n"
        "                    'segment_seconds': 1.0, 'classes': ['low', 'high']}\n"
    )
    left = earwitness("check-model", f"{tmp_path / 'wave.py'}:make", sound)
    assert left.code == 0, left.err
    assert re.search(r"takes +waveforms", left.out)
    rows = re.findall(r"^(\d+) Hz +(\d+) Hz +(\w+) ", left.out, re.MULTILINE)
    assert len(rows) == 12
    for hertz, named, predicted in rows:
        assert abs(np.log2(int(named) / int(hertz))) < 0.5
        assert predicted == ("low" if int(hertz) < 1_000 else "high")
    assert "Methods that it can be asked by: lime, occlusion, rise, shapley, kernelshap." in left.out
