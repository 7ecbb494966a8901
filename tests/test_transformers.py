"""Folders of Hugging Face Transformers: AST, wav2vec2, HuBERT and Whisper as classifiers that can be explained."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import earwitness as ew
from earwitness.audio.frontend import log_mel, log_mel_stream
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.inspection.files import score_file
from tiny_transformers import BANDS, CLASSES, FRAMES, KINDS, RATE, burst, saved, transformers


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of each kind with random weights."""
    place = tmp_path_factory.mktemp("models")
    return {name: make(place / name) for name, make in KINDS.items()}


def written(path: Path, samples: np.ndarray) -> Path:
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return path


# ---- scores -------------------------------------------------------------------------------------------------------


def their_scores(folder: Path, samples: np.ndarray) -> list[float]:
    """Return what Transformers' own pipeline says of samples, in the order of the classes."""
    pipeline = transformers.pipeline(
        "audio-classification",
        model=transformers.AutoModelForAudioClassification.from_pretrained(folder),
        feature_extractor=transformers.AutoFeatureExtractor.from_pretrained(folder),
        device="cpu",
    )
    found = {each["label"]: each["score"] for each in pipeline(samples.copy(), top_k=None)}
    return [found[name] for name in CLASSES]


@pytest.mark.parametrize("seconds", [0.4, 1.0, 1.3])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_transformers(folders, tmp_path, kind, seconds):
    model = ew.load_model(folders[kind])
    assert model.classes == CLASSES
    classifier, samples = model.classifier, burst(seconds=seconds, at=0.2)
    scored = score_file(classifier, written(tmp_path / "some.wav", samples))
    length = {"ast": FRAMES * 160 + 240, "whisper": RATE}.get(kind, 5 * RATE)
    firsts = scored.start_frames * classifier.front_end.hop
    assert len(firsts) == (2 if seconds > 1.0 and kind in ("ast", "whisper") else 1)
    for row, first in enumerate(firsts):
        if kind == "whisper" and len(firsts) > 1:
            continue  # theirs mirrors each segment's ends, where ours has what the recording goes on with
        theirs = their_scores(folders[kind], samples[first : first + length])
        np.testing.assert_allclose(scored.scores[row], theirs, atol=1e-4)


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert"])
def test_quiet_sound_is_scaled_as_theirs_is(folders, tmp_path, kind):
    samples = 1e-4 * burst()
    scored = score_file(ew.load_model(folders[kind]).classifier, written(tmp_path / "quiet.wav", samples))
    np.testing.assert_allclose(scored.scores[0], their_scores(folders[kind], samples), atol=1e-4)


@pytest.mark.parametrize("samples", [300, 7_999, 8_001, 15_999, 16_000, 16_001, 40_000])
@pytest.mark.parametrize("kind", ["ast", "whisper"])
def test_a_recording_in_blocks_has_the_same_spectrogram(folders, kind, samples):
    front_end = ew.load_model(folders[kind]).classifier.front_end
    sound = np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
    whole = log_mel(front_end, torch.from_numpy(sound)).numpy()
    assert len(whole) == front_end.frames(samples)
    blocks = np.split(sound, range(0, samples, 777)[1:])
    parts = [np.zeros((0, BANDS), np.float32), *log_mel_stream(front_end, blocks)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-4)


def test_a_whisper_on_a_longer_recording_differs_at_edges_alone(folders):
    front_end = ew.load_model(folders["whisper"]).classifier.front_end
    samples = torch.from_numpy(burst(seconds=2.0))
    whole, half = log_mel(front_end, samples), log_mel(front_end, samples[:RATE])
    assert (len(whole), len(half)) == (200, 100)
    torch.testing.assert_close(whole[:98], half[:98])
    assert not torch.equal(whole[98:100], half[98:])


@pytest.mark.parametrize(
    ("problem", "activation"),
    [
        (None, "softmax"),
        ("single_label_classification", "softmax"),
        ("multi_label_classification", "sigmoid"),
        ("regression", "none"),
    ],
)
def test_the_activation_is_the_pipelines(tmp_path, problem, activation):
    folder = KINDS["ast"](tmp_path / "model", problem_type=problem)
    model = ew.load_model(folder)
    assert model.classifier.activation == activation
    scored = score_file(model.classifier, written(tmp_path / "some.wav", burst()))
    np.testing.assert_allclose(scored.scores[0], their_scores(folder, burst()), atol=1e-4)


def test_weights_in_a_pickle_are_read_without_unpickling_code(folders, tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(folders["ast"], folder)
    network = transformers.AutoModelForAudioClassification.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    scored = score_file(ew.load_model(folder).classifier, written(tmp_path / "some.wav", burst()))
    np.testing.assert_allclose(scored.scores[0], their_scores(folders["ast"], burst()), atol=1e-4)
    torch.save({"classifier.dense.weight": Trap(tmp_path / "sprung")}, folder / "pytorch_model.bin")
    with pytest.raises(EarwitnessError, match="old: cannot be loaded"):
        ew.load_model(folder)
    assert not (tmp_path / "sprung").exists()


class Trap:
    """Something that makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


# ---- descriptions -------------------------------------------------------------------------------------------------


def test_a_description_changes_what_it_names(folders, tmp_path):
    folder = folders["wav2vec2"]
    assert ew.load_model(folder).segment_seconds == 5.0
    assert ew.load_model(folder, segment_seconds=2.0).segment_seconds == 2.0
    told = ew.load_model(folder, description={"segment_samples": 8_000, "activation": "sigmoid"}, classes=["a", "b"])
    assert (told.segment_seconds, told.classifier.activation, told.classes) == (0.5, "sigmoid", ("a", "b"))
    own = tmp_path / "own.toml"
    own.write_text("segment_seconds = 1.5\noverlap = 50\n")
    assert ew.load_model(folder, description=own).classifier.overlap == 50.0
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model.toml").write_text("segment_seconds = 0.25\n")
    assert ew.load_model(tmp_path / "model").segment_seconds == 0.25
    own.write_text("segment_second = 1.5\n")
    with pytest.raises(UsageError, match=r"own.toml: segment_second: .*did you mean segment_seconds"):
        ew.load_model(folder, description=own)


@pytest.mark.parametrize("kind", ["ast", "whisper"])
def test_segments_of_another_length_are_refused_where_the_network_takes_one(folders, kind):
    with pytest.raises(UsageError, match=f"{kind}: cannot take a segment of 50 frames"):
        ew.load_model(folders[kind], segment_seconds=0.5)


# ---- what is refused ----------------------------------------------------------------------------------------------


def without(folder: Path, name: str):
    (folder / name).unlink()


def another_kind(folder: Path, kind: str):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": kind}))


def headless(folder: Path):
    network = transformers.ASTModel.from_pretrained(folder)
    saved(folder, network, transformers.AutoFeatureExtractor.from_pretrained(folder))


def other_features(folder: Path):
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({"feature_extractor_type": "ClapFeatureExtractor"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: without(folder, "preprocessor_config.json"), "has no preprocessor_config.json"),
        (lambda folder: without(folder, "model.safetensors"), "has no weights"),
        (lambda folder: another_kind(folder, "bert"), "of the kind bert, which classifies no sound"),
        (lambda folder: another_kind(folder, "no-such-kind"), "cannot be loaded"),
        (lambda folder: (folder / "config.json").write_text("{"), "names no model_type"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"damaged"), "cannot be loaded"),
        (headless, "has no weights for classifier.dense.bias and others"),
        (other_features, "ClapFeatureExtractor, which is not known here"),
    ],
    ids=["preprocessor", "weights", "text", "unknown", "config", "damaged", "headless", "features"],
)
def test_what_is_no_audio_classifier_is_refused_in_one_line(folders, tmp_path, capfd, change, message):
    folder = tmp_path / "model"
    shutil.copytree(folders["ast"], folder)
    change(folder)
    with pytest.raises(EarwitnessError, match=message) as told:
        ew.load_model(folder)
    assert str(told.value).startswith(str(folder))
    assert "\n" not in str(told.value)
    assert capfd.readouterr() == ("", "")


def test_transformers_is_asked_for_where_it_is_missing(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"needs transformers; pip install 'earwitness\[transformers\]'"):
        ew.load_model(folders["ast"])


def test_loading_leaves_their_settings_as_they_were(folders, capfd):
    logging = transformers.utils.logging
    logging.enable_progress_bar()
    level = logging.get_verbosity()
    ew.load_model(folders["ast"])
    assert (logging.is_progress_bar_enabled(), logging.get_verbosity()) == (True, level)
    assert capfd.readouterr() == ("", "")
    logging.disable_progress_bar()
    ew.load_model(folders["ast"])
    assert not logging.is_progress_bar_enabled()
