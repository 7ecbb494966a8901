"""A number in place of classes: any function of the scores, or of what a layer answers, explained by every method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import earwitness as ew
import explain_toys
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.explainers.attribution import Target
from earwitness.explainers.method import Need
from earwitness.explainers.registry import METHODS, parse
from earwitness.inspection.files import score_file
from earwitness.inspection.model import Model
from earwitness.models.reduction import Reduced, reduced
from tiny_sounds import new_classifier

FEW = {
    "lime": "lime:grid=4x4,samples=64",
    "occlusion": "occlusion:mask=25%,stride=25%",
    "rise": "rise:samples=64",
    "shapley": "shapley:grid=3x3,samples=64",
    "kernelshap": "kernelshap:grid=3x3,samples=64",
    "integratedgradients": "integratedgradients:steps=16",
    "smoothgrad": "smoothgrad:samples=8",
    "scorecam": "scorecam",
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "some.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(32_000), 16_000)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    return Model(name="compact", classifier=new_classifier(length=48), cache=tmp_path_factory.mktemp("cache"))


def second(scores):
    return scores[:, 1]


def margin(scores):
    return scores[:, 0] - scores[:, 1:].logsumexp(dim=1)


@pytest.mark.parametrize("name", [name for name in METHODS if Need.ATTENTION not in METHODS[name].needs])
def test_a_class_as_a_number_has_the_maps_of_the_class(model, sound, name):
    """A reduction that picks a class's logit is that class's logit."""
    method = parse(FEW.get(name, name)).changed(score="logit")
    segments = score_file(model.classifier, sound).take([0, 1])
    (own, _, theirs, _) = (
        *method.attribute(model.classifier, segments, [[Target(1)]] * 2),
        *method.attribute(model.reduced(second).classifier, segments, [[Target(0)]] * 2),
    )
    assert own.values.any()
    np.testing.assert_allclose(theirs.values, own.values, atol=1e-4 * np.abs(own.values).max())
    assert theirs.score == pytest.approx(own.score, rel=1e-4)
    assert theirs.target_label == theirs.parameters["reduction"] == "second"
    assert "reduction" not in own.parameters


@pytest.mark.parametrize("name", [name for name in METHODS if Need.ATTENTION in METHODS[name].needs])
def test_attention_is_looked_at_within_the_number_s_network(name):
    toy, method = explain_toys.transformer(), parse(name)
    number = replace(toy, network=Reduced(toy.network, second, "second").eval(), classes=("second",))
    few = explain_toys.segments(2)
    own = method.attribute(toy, few, [[Target(1)]] * 2)
    theirs = method.attribute(number, few, [[Target(0)]] * 2)
    for one, other in zip(own, theirs, strict=True):
        assert one.values.any()
        np.testing.assert_allclose(other.values, one.values, atol=1e-5 * np.abs(one.values).max())


def test_grad_cam_of_a_function_is_the_papers_with_its_gradient(model, sound):
    classifier = model.classifier
    segments = score_file(classifier, sound).take([0])
    network, kept = classifier.network, []

    def keep(_module, _inputs, output):
        output.retain_grad()
        kept.append(output)

    handle = network.get_submodule(network.feature_layer).register_forward_hook(keep)
    with torch.enable_grad():
        margin(network(torch.from_numpy(segments.values))).sum().backward()
    handle.remove()
    network.zero_grad()
    (maps,) = kept
    expected = (maps.grad.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1)[0].detach()
    (found,) = parse("gradcam").attribute(reduced(classifier, margin), segments, [[Target(0)]])
    if network.map_axes == ("frequency", "time"):
        expected = expected.T
    np.testing.assert_allclose(found.native, expected, atol=1e-5 * float(expected.abs().max()))


def test_occlusion_of_a_layers_channel_is_what_hiding_takes_from_it(model, sound):
    classifier = model.classifier
    layer, segments = classifier.network.feature_layer, score_file(classifier, sound).take([0])
    seen = []
    handle = classifier.network.get_submodule(layer).register_forward_hook(lambda _m, _i, output: seen.append(output))
    method = parse("occlusion:mask=24x32,stride=24x32,edges=whole,fill=floor")
    x = torch.from_numpy(segments.values).repeat(5, 1, 1)
    for number, (frame, band) in enumerate([(0, 0), (0, 32), (24, 0), (24, 32)], 1):
        x[number, frame : frame + 24, band : band + 32] = classifier.front_end.silence
    with torch.no_grad():
        classifier.network(x)
    handle.remove()
    channel = seen[0][:, 3].mean(dim=(1, 2))
    number = model.reduced(lambda maps: maps[:, 3].mean(dim=(1, 2)), name="channel 3", layer=layer)
    (found,) = method.attribute(number.prepared, segments, [[Target(0)]])
    expected = (channel[0] - channel[1:]).reshape(2, 2)
    np.testing.assert_allclose(found.native, expected, atol=1e-5 * float(channel.abs().max()))
    assert found.parameters["reduction"] == "channel 3"


def test_a_file_is_explained_and_saved_with_what_was_reduced(model, sound, tmp_path):
    explanation = ew.explain(sound, model.reduced(margin), methods=["gradcam", *FEW.values()][:3], progress=False)
    assert explanation.predicted == "margin"
    assert explanation["lime"].score_kind == "logit"  # no log-odds of what is no probability
    assert explanation.scores["margin"] == pytest.approx(
        float(margin(model.classifier.logits(score_file(model.classifier, sound).take([0, 1]).values)).mean()), abs=0.5
    )
    assert any("no verdicts on margin" in note for note in explanation.notes)
    assert explanation["gradcam"].verdict is None
    picture = explanation.save(tmp_path)
    assert picture.stat().st_size > 10_000
    (kept,) = tmp_path.glob("*gradcam.npz")
    assert ew.Attribution.load(kept).parameters["reduction"] == "margin"


def test_a_lambda_has_a_name_all_the_same(model):
    assert model.reduced(lambda scores: scores[:, 0]).classes == ("reduction",)
    assert model.reduced(lambda scores: scores[:, 0], name="dogness").classes == ("dogness",)


@pytest.mark.parametrize(
    ("function", "layer", "words"),
    [
        (lambda scores: scores, "", r"makes \(2, 3\) of answers of shape \(2, 3\); return .* shape \(2,\)"),
        (lambda scores: 1.0, "", "makes float"),
        (lambda scores: scores[:, 7], "", r"reduction: fails on answers of shape \(2, 3\) \(index 7"),
        (second, "nowhere", "layer 'nowhere' is unknown; the last layers are"),
    ],
)
def test_what_is_no_number_is_one_line(model, function, layer, words):
    with pytest.raises(EarwitnessError, match=words):
        model.reduced(function, layer=layer)


def test_a_number_is_no_probability(model, sound):
    with pytest.raises(UsageError, match="margin is a number and no probability; leave out score=probability"):
        ew.explain(sound, model.reduced(margin), methods="lime:preset=example", progress=False)


def test_a_number_of_a_model_over_waveforms(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def make():\n"
        "    network = torch.nn.Sequential(\n"
        "        torch.nn.Conv1d(1, 4, 64, stride=16), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool1d(1),\n"
        "        torch.nn.Flatten(), torch.nn.Linear(4, 3))\n"
        "    return network, {'input': 'waveform', 'sample_rate': 8000, 'segment_seconds': 0.5, 'layout':\n"
        "        ['channel', 'samples'], 'feature_layer': '1', 'classes': ['a', 'b', 'c']}\n"
    )
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "some.wav", 0.1 * rng.standard_normal(4_000), 8_000, subtype="FLOAT")
    model = ew.load_model(f"{tmp_path / 'mine.py'}:make")
    asked = {"methods": ["gradcam", "saliency:score=logit", FEW["occlusion"] + ",score=logit"], "verdicts": False}
    own = ew.explain(tmp_path / "some.wav", model, classes="b", progress=False, **asked)
    theirs = ew.explain(tmp_path / "some.wav", model.reduced(second), progress=False, **asked)
    for (_, found), (_, number) in zip(own.attributions.items(), theirs.attributions.items(), strict=True):
        assert found.values.any()
        np.testing.assert_allclose(number.values, found.values, atol=1e-4 * np.abs(found.values).max())
        assert number.parameters["reduction"] == "second"
