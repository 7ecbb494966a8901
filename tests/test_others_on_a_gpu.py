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
from earwitness.core.files import read_csv, read_json
from earwitness.core.run_folder import RunFolder
from earwitness.sonify.masks import Box
from earwitness.web.app import make_app
from earwitness.web.studio import open_studio
from pretend_gpu import GPU, pretended_gpu
from test_on_a_gpu import done, on_both
from tiny_sounds import write_sounds

SPECTRAL = {**others.SPECTRA, "feature_layer": "layers.1"}
BOX = Box(start_seconds=0.2, end_seconds=0.6, low_hz=0.0, high_hz=2000.0)
OCCLUSION = "occlusion:mask=25%,stride=25%"


@pytest.fixture
def gpu():
    with pretended_gpu() as pretended:
        yield pretended


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


def test_an_onnx_file_computes_on_the_processor_and_answers_on_the_gpu(sounds, tmp_path):
    path = others.exported(tmp_path / "model.onnx", others.Ear("softmax"))
    words = {**others.SPECTRA, "activation": "none"}
    (tmp_path / "model.toml").write_text("\n".join(f"{word} = {json.dumps(value)}" for word, value in words.items()))
    on_both(tmp_path, "explain", one_of(sounds), "--model", path, "--method", OCCLUSION)


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
