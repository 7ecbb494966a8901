"""The classifier: scores, saving, loading, and files that are not what they should be."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.models.classifier import load
from earwitness.models.registry import BACKBONES
from rounding import DEEP, rounding
from tiny_sounds import new_classifier

SEGMENTS = np.random.default_rng(0).standard_normal((7, 32, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def classifier():
    return new_classifier()


@given(st.integers(1, 20))
def test_the_batch_size_changes_no_score(classifier, size):
    found, expected = classifier.logits(SEGMENTS, batch_size=size), classifier.logits(SEGMENTS)
    torch.testing.assert_close(found, expected, rtol=0, atol=rounding(expected, units=DEEP))


def test_scores_are_float32_on_the_processor_without_gradients(classifier):
    logits = classifier.logits(torch.from_numpy(SEGMENTS))
    assert logits.shape == (7, 3)
    assert logits.dtype == torch.float32
    assert logits.device.type == "cpu"
    assert not logits.requires_grad


def test_no_segments_have_no_scores(classifier):
    assert classifier.logits(SEGMENTS[:0]).shape == (0, 3)
    assert classifier.probabilities(SEGMENTS[:0]).shape == (0, 3)


def test_probabilities_are_softmax_or_sigmoid_of_the_logits(classifier):
    logits = classifier.logits(SEGMENTS).double().numpy()
    exact = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.probabilities(SEGMENTS).numpy(), exact, atol=rounding(1.0))
    several = replace(classifier, activation="sigmoid")
    np.testing.assert_allclose(several.probabilities(SEGMENTS).numpy(), 1 / (1 + np.exp(-logits)), atol=rounding(1.0))


def test_scores_are_those_of_the_finished_network_even_if_it_is_left_training(classifier):
    expected = classifier.logits(SEGMENTS)
    classifier.network.train()
    torch.testing.assert_close(classifier.logits(SEGMENTS), expected, rtol=0, atol=0)


def test_classes_are_found_by_name(classifier):
    assert [classifier.class_index(name) for name in classifier.classes] == [0, 1, 2]
    with pytest.raises(UsageError, match=r"'cat': .* no such class; it knows hiss, high, low$"):
        classifier.class_index("cat")
    many = replace(classifier, classes=tuple(f"c{number}" for number in range(20)))
    with pytest.raises(UsageError, match=r"c11 \.\.\. \(earwitness explain --list-classes lists all\)$"):
        many.class_index("cat")


def test_other_segments_leave_the_classifier_as_it_is(classifier):
    other = classifier.with_segments(96, 0.0)
    assert (other.segment_frames, other.overlap, other.segment_seconds) == (96, 0.0, pytest.approx(0.96))
    assert (classifier.segment_frames, classifier.overlap) == (32, 75.0)
    assert other.network is classifier.network


@pytest.mark.parametrize("backbone", BACKBONES)
def test_what_is_saved_is_loaded(tmp_path, backbone):
    saved = replace(new_classifier(backbone, 96), classes=("a \N{SNOWMAN}", "b,\n", 'c"'), overlap=12.5)
    saved.network.standardise.set(-1.5, 2.5)
    saved.network.to(memory_format=torch.channels_last)
    saved.save(tmp_path / "model.safetensors")
    back = load(tmp_path / "model.safetensors")
    assert replace(back, network=saved.network) == saved
    assert back.network.state_dict().keys() == saved.network.state_dict().keys()
    for name, tensor in saved.network.state_dict().items():
        assert torch.equal(back.network.state_dict()[name], tensor)
    assert not back.network.training
    values = np.random.default_rng(1).standard_normal((2, 96, saved.front_end.bands)).astype(np.float32)
    torch.testing.assert_close(back.logits(values), saved.logits(values), rtol=1e-4, atol=1e-4)


def test_saving_twice_gives_the_same_bytes_and_leaves_nothing_else(tmp_path, classifier):
    classifier.save(tmp_path / "a.safetensors")
    classifier.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_the_file_tells_what_it_is_without_earwitness(tmp_path, classifier):
    classifier.save(tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", framework="np") as stored:
        description = json.loads(stored.metadata()["earwitness"])
    assert description["classes"] == ["hiss", "high", "low"]
    assert description["backbone"] == "compact"
    assert description["front_end"]["sample_rate"] == 16_000
    assert (description["segment_frames"], description["overlap"]) == (32, 75.0)


def described(path, classifier, change) -> None:
    """Save a classifier whose description is changed."""
    classifier.save(path)
    with safe_open(path, framework="pt") as stored:
        text = stored.metadata()["earwitness"]
        state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a mapping)
    save_file(state, path, metadata={"earwitness": change(text)})


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda text: "no json", "is not an earwitness model"),
        (lambda text: "[]", "is not an earwitness model"),
        (lambda text: "null", "is not an earwitness model"),
        (lambda text: "{}", "is not an earwitness model"),
        (lambda text: json.dumps({**json.loads(text), "format": 99}), "newer earwitness"),
        (lambda text: json.dumps({**json.loads(text), "format": "one"}), "is not an earwitness model"),
        (lambda text: json.dumps({**json.loads(text), "backbone": "vgish"}), "is not an earwitness model"),
        (lambda text: json.dumps({**json.loads(text), "front_end": {}}), "is not an earwitness model"),
        (lambda text: json.dumps({**json.loads(text), "classes": None}), "is not an earwitness model"),
        (lambda text: json.dumps({**json.loads(text), "classes": ["a"]}), "do not fit compact .*FCFinal"),
        (lambda text: json.dumps({**json.loads(text), "backbone": "mn04"}), "do not fit mn04"),
    ],
)
def test_a_description_that_cannot_be_is_said_in_one_line(tmp_path, classifier, change, line):
    described(tmp_path / "model.safetensors", classifier, change)
    with pytest.raises(EarwitnessError, match=line) as caught:
        load(tmp_path / "model.safetensors")
    assert "\n" not in str(caught.value)


def test_another_front_end_of_the_same_name_is_refused(tmp_path, classifier):
    def change(text):
        description = json.loads(text)
        description["front_end"]["hop"] = 161
        return json.dumps(description)

    described(tmp_path / "model.safetensors", classifier, change)
    with pytest.raises(EarwitnessError, match="front end 'vggish' differs"):
        load(tmp_path / "model.safetensors")


@pytest.mark.parametrize("content", [b"", b"RIFF....WAVE", b"\xff" * 64])
def test_files_that_are_no_models_are_said_in_one_line(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(EarwitnessError, match="is not an earwitness model"):
        load(tmp_path / "model.safetensors")


def test_a_cut_model_is_said_in_one_line(tmp_path, classifier):
    classifier.save(tmp_path / "model.safetensors")
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(EarwitnessError, match="is not an earwitness model"):
        load(tmp_path / "model.safetensors")


def test_a_safetensors_file_of_others_is_no_model(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(EarwitnessError, match="is not an earwitness model"):
        load(tmp_path / "model.safetensors")


@pytest.mark.parametrize("what", ["missing", "folder"])
def test_no_file_is_no_model(tmp_path, what):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="no such model file"):
        load(tmp_path / what)


@pytest.mark.parametrize("shape", [(96, 64), (1, 64, 96), (1, 1, 96, 64)])
def test_segments_of_another_shape_are_refused(classifier, shape):
    with pytest.raises(UsageError, match=r"takes \(n, frames, 64\)"):
        classifier.logits(np.zeros(shape, np.float32))
