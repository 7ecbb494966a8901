"""Models that others trained, and the live page, on a GPU: a pretended one, which refuses what a real one refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

import earwitness as ew
import test_runs_of_others as others
import test_training_on_others as trainings
import test_web_api as web
import tiny_run
import tiny_transformers
from command import earwitness
from earwitness.core.files import read_csv, read_json
from earwitness.core.run_folder import RunFolder
from earwitness.sonify.masks import Box
from earwitness.web.app import make_app
from earwitness.web.studio import open_studio
from pretend_gpu import GPU, pretended_gpu
from test_on_a_gpu import done, kept, on_both, same_maps
from tiny_sounds import write_sounds

SPECTRAL = {**others.SPECTRA, "feature_layer": "layers.1"}
BOX = Box(start_seconds=0.2, end_seconds=0.6, low_hz=0.0, high_hz=2000.0)
OCCLUSION = "occlusion:mask=25%,stride=25%"


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    return write_sounds(tmp_path_factory.mktemp("gpu") / "sounds", clips=3, seconds=1.2)


def one_of(sounds: Path) -> Path:
    return sorted(sounds.rglob("*.wav"))[0]


@pytest.mark.parametrize(
    ("network", "description", "methods"),
    [
        ("Ear()", SPECTRAL, ["gradcam", "eigengradcam", "fullgrad", "integratedgradients:steps=8", OCCLUSION]),
        ("Waves()", others.WAVES, ["saliency", "smoothgrad:samples=4", "rise:samples=16", OCCLUSION]),
    ],
)
def test_a_module_is_explained_alike_on_both(network, description, methods, sounds, tmp_path):
    spec = others.spec_of(tmp_path, network, description)
    asked = [word for method in methods for word in ("--method", method)]
    on_both(tmp_path, "explain", one_of(sounds), "--model", spec, "--no-verdicts", *asked)


@pytest.mark.parametrize("kind", ["ast", "wav2vec2"])
def test_a_transformer_is_explained_alike_on_both(kind, sounds, tmp_path):
    folder = tiny_transformers.KINDS[kind](tmp_path / "model")
    asked = ["--no-verdicts", "--method", "rollout", "--method", "attentionrelevance", "--method", "gradcam"]
    on_both(tmp_path, "explain", one_of(sounds), "--model", folder, *asked)


def onnx_file(folder: Path) -> Path:
    path = others.exported(folder / "model.onnx", others.Ear("softmax"))
    words = {**others.SPECTRA, "activation": "none"}
    (folder / "model.toml").write_text("\n".join(f"{word} = {json.dumps(value)}" for word, value in words.items()))
    return path


@pytest.mark.filterwarnings("default:.*this onnxruntime:UserWarning")
def test_an_onnx_file_runs_on_the_processor_where_its_runtime_knows_no_gpu_and_says_so(sounds, tmp_path):
    path = onnx_file(tmp_path)
    words = ("explain", one_of(sounds), "--model", path, "--method", OCCLUSION, "--out")
    with pretended_gpu() as gpu:
        left = earwitness(*words, tmp_path / "there")
    assert left.code == 0, left.err
    assert f"{path}: this onnxruntime cannot compute on a GPU; the model runs on the processor" in left.err
    assert gpu.moved
    done(*words, tmp_path / "here", "--device", "cpu")
    same_maps(*(list(kept(tmp_path / place).values()) for place in ("there", "here")))


def test_an_onnx_file_is_given_to_a_gpu_that_its_runtime_knows_without_tf32(tmp_path, monkeypatch):
    import onnxruntime

    asked = []

    class Session(onnxruntime.InferenceSession):
        def __init__(self, path, providers):
            asked.extend(providers)
            super().__init__(path, providers=["CPUExecutionProvider"])

        def get_providers(self=None):
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", Session.get_providers)
    with pretended_gpu():
        ew.load_model(onnx_file(tmp_path), device="cuda")
    assert asked == [("CUDAExecutionProvider", {"device_id": 0, "use_tf32": 0}), "CPUExecutionProvider"]


def test_a_run_of_others_is_measured_inquired_and_heard(gpu, sounds, tmp_path):
    spec, run = others.spec_of(tmp_path, "Ear()", SPECTRAL), tmp_path / "run"
    done("evaluate", "--model", spec, "--data", sounds, "--out", run)
    assert gpu.moved
    assert read_json(RunFolder(run).metrics)["file_accuracy"] == 1.0
    done("inquire", run, "--class", "hiss", "--count", 1, "--method", "gradcam", "--method", OCCLUSION)
    done("audit", run)
    done("listen", "--run", run, "--method", "gradcam")
    model, edit = ew.load_model(run), ew.Edit(BOX, "hide")
    assert model.classifier.device == GPU
    there = ew.what_if(one_of(sounds), model, edit)
    here = ew.what_if(one_of(sounds), ew.load_model(run, device="cpu"), edit)
    assert there.scores == pytest.approx(here.scores, abs=1e-5)
    assert not gpu.tf32


@pytest.mark.parametrize("frozen", [True, False])
def test_a_network_of_others_is_trained_there(frozen, gpu, sounds, tmp_path):
    spec, run = trainings.spec_of(tmp_path, "Embedding()"), tmp_path / "run"
    done("train", sounds, "--backbone", spec, "--out", run, "--epochs", 2, *(["--freeze"] if frozen else []))
    assert gpu.moved
    there = read_csv(RunFolder(run).predictions)
    done("evaluate", run, "--device", "cpu", "--out", tmp_path / "here")
    here = read_csv(RunFolder(tmp_path / "here").predictions)
    np.testing.assert_allclose([float(row["score"]) for row in there], [float(row["score"]) for row in here], 1e-4)


def asked_of_the_page(run: Path, device: str) -> tuple[np.ndarray, dict[str, float]]:
    """Return a map, and every class's score after an edit, as the page is told them."""
    studio = open_studio([run], device=device)
    with TestClient(make_app(studio)) as page:
        (one,) = page.get("/api/session").json()["collections"]
        rows = page.get(f"/api/collections/{one['id']}/recordings").json()["items"]
        where = f"/api/collections/{one['id']}/recordings/{rows[0]['id']}"
        told = web.made(page, where, method=OCCLUSION + ",precision=float32", at=0.0)
        found = web.array(page.get(f"/api/maps/{told['id']}/values"))
        edit = {"shape": "box", "start": 0.2, "end": 0.6, "low": 0.0, "high": 2000.0}
        after = page.post(f"{where}/what-if", json={"edits": [edit]}).json()["after"]
    studio.close()
    return found, {each["class"]: each["score"] for each in after}


def test_the_page_shows_the_same_on_both(tmp_path):
    places = {device: tiny_run.make(tmp_path / device) for device in ("auto", "cpu")}
    with pretended_gpu() as gpu:
        there = asked_of_the_page(places["auto"], "auto")
    assert gpu.moved
    assert not gpu.tf32
    here = asked_of_the_page(places["cpu"], "cpu")
    np.testing.assert_allclose(there[0], here[0], atol=1e-4 * np.abs(here[0]).max())
    assert there[1] == pytest.approx(here[1], abs=1e-4)
