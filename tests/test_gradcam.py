from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn

from earwitness.audio.segments import Segments
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.explainers.attribution import Target
from earwitness.explainers.cam.grad_cam import GradCam
from earwitness.explainers.inference.layers import map_layers
from earwitness.explainers.inference.prepared import Prepared
from explain_toys import ToyClassifier, classes_of, convolutional, linear, real, real_segments, segments
from rounding import DEEP, rounding


def captum_maps(classifier, values, layer, target, relu=False, probability=False):
    network = classifier.network

    def forward(x):
        logits = network(x)
        return logits.softmax(-1) if probability else logits

    cam = LayerGradCam(forward, network.get_submodule(layer))
    maps = cam.attribute(torch.tensor(values), target=target, relu_attributions=relu)[:, 0].detach().numpy()
    return maps.transpose(0, 2, 1) if network.map_axes == ("frequency", "time") else maps


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("score", ["logit", "probability"])
@pytest.mark.parametrize("layer", ["features.0", "features.3", "features.4"])
def test_equals_captum(relu, turned, score, layer):
    classifier, excerpt = convolutional(turned=turned), segments(5, 12, 8)
    found = GradCam(layer=layer, relu=relu, score=score).attribute(classifier, excerpt, [[Target(2)]] * 5)
    signed = captum_maps(classifier, excerpt.values, layer, 2, False, score == "probability")
    expected = captum_maps(classifier, excerpt.values, layer, 2, relu, score == "probability")
    np.testing.assert_allclose(np.stack([one.native for one in found]), expected, rtol=0, atol=rounding(signed))
    assert np.abs(expected).max() > 1e-4


@pytest.mark.parametrize(("backbone", "shape"), [("vggish", (12, 8)), ("mn04", (3, 4))])
@pytest.mark.parametrize("relu", [False, True])
def test_equals_captum_on_real_backbones(backbone, shape, relu):
    classifier, excerpt = real(backbone), real_segments(backbone)
    found = GradCam(relu=relu).attribute(classifier, excerpt, [[Target(3), Target(7)]] * 2)
    for target, maps in ((3, found[::2]), (7, found[1::2])):
        expected = captum_maps(classifier, excerpt.values, classifier.network.feature_layer, target, relu)
        assert maps[0].native.shape == shape
        signed = captum_maps(classifier, excerpt.values, classifier.network.feature_layer, target, False)
        assert expected.any() or (relu and target == 7)
        room = rounding(signed, units=DEEP)
        np.testing.assert_allclose(np.stack([one.native for one in maps]), expected, rtol=0, atol=room)


def test_equals_hand_computed_map():
    classifier, excerpt = convolutional(), segments(1)
    network = classifier.network
    maps = network.features[:5](torch.tensor(excerpt.values)[:, None]).detach().requires_grad_()
    pooled = network.features[5](maps)
    logits = network.head(network.pool(pooled * torch.linspace(0.5, 2, pooled.shape[-1])).flatten(1))
    gradient = torch.autograd.grad(logits[0, 1], maps)[0]
    expected = sum(gradient[0, k].mean() * maps[0, k] for k in range(8)).detach().numpy()
    (found,) = GradCam().attribute(classifier, excerpt, [[Target(1)]])
    np.testing.assert_allclose(found.native, expected, rtol=0, atol=rounding(expected))
    assert found.score == pytest.approx(logits[0, 1].item(), abs=rounding(1.0))


def test_every_segment_has_its_own_targets():
    classifier, excerpt = convolutional(), segments(4)
    targets = [[Target(0)], [Target(3), Target(1), Target(0)], [], [Target(2, against=1), Target(2)]]
    found = GradCam().attribute(classifier, excerpt, targets)
    assert [one.target for one in found] == [target for listed in targets for target in listed]
    assert [one.file for one in found] == ["file0.wav", *["file1.wav"] * 3, *["file3.wav"] * 2]
    assert [one.backwards for one in found] == [1, 3, 3, 3, 2, 2]
    plain = {t: captum_maps(classifier, excerpt.values, "features.4", t) for t in range(4)}
    rows = [0, 1, 1, 1, 3, 3]
    for one, row in zip(found, rows, strict=True):
        expected = plain[one.target.index][row]
        if one.target.against is not None:
            expected = expected - plain[one.target.against][row]
        np.testing.assert_allclose(one.native, expected, rtol=0, atol=rounding(*plain.values()))


def test_map_is_spread_to_the_nearest_cells_time_first():
    (found,) = GradCam().attribute(convolutional(turned=True), segments(1, 12, 8), [[Target(0)]])
    assert found.native.shape == (6, 4)
    np.testing.assert_array_equal(found.values, found.native.repeat(2, axis=0).repeat(2, axis=1))
    np.testing.assert_array_equal(found.frame_edges, np.arange(0, 13, 2))
    np.testing.assert_array_equal(found.band_edges, np.arange(0, 9, 2))
    assert found.parameters == {"layer": "features.4", "score": "logit", "relu": False}
    assert (found.fill, found.seed, found.precision, found.forwards) == ("", None, "float32", 1)


def test_nothing_before_the_layer_enters_the_graph():
    classifier = convolutional()
    first, after = classifier.network.features[0], classifier.network.features[4]
    graphs = []
    handles = [first.register_forward_hook(lambda _m, _i, out: graphs.append(out.requires_grad))]
    handles.append(after.register_forward_hook(lambda _m, _i, out: graphs.append(out.requires_grad)))
    GradCam(layer="features.2").attribute(classifier, segments(1), [[Target(0)]])
    for handle in handles:
        handle.remove()
    assert graphs == [False, True]


def test_leaves_the_network_as_it_was():
    classifier = convolutional()
    network = classifier.network.train()
    network.features[1].eval()
    network.head[0].weight.requires_grad_(False)
    modes = [module.training for module in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = GradCam().attribute(classifier, segments(2), [[Target(0)]] * 2)
    second = GradCam().attribute(classifier, segments(2), [[Target(0)]] * 2)
    assert [module.training for module in network.modules()] == modes
    assert all(parameter.grad is None for parameter in network.parameters())
    assert [p.requires_grad for p in network.parameters()].count(False) == 1
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
    assert first[1].values.tobytes() == second[1].values.tobytes()
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("layer", ["features.0", "features.1", "features.3"])
def test_an_in_place_layer_that_follows_changes_nothing(layer):
    plain, inplace = convolutional(), convolutional(inplace=True)
    results = [GradCam(layer=layer).attribute(one, segments(2), [[Target(1)]] * 2)[1] for one in (plain, inplace)]
    np.testing.assert_array_equal(results[0].values, results[1].values)


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_works_inside_any_gradient_mode(context):
    expected = GradCam().attribute(convolutional(), segments(1), [[Target(0)]])[0]
    classifier = convolutional()
    with context():
        found = GradCam().attribute(classifier, segments(1), [[Target(0)]])[0]
    np.testing.assert_array_equal(found.values, expected.values)


def test_batch_equals_single_segments(monkeypatch):
    classifier, excerpt = convolutional(), segments(7)
    targets = [[Target(i % 4)] for i in range(7)]
    whole = GradCam().attribute(classifier, excerpt, targets)
    monkeypatch.setattr("earwitness.explainers.inference.scoring.PROCESSOR_CELLS", 3 * 12 * 8)
    parted = GradCam().attribute(classifier, excerpt, targets)
    alone = [GradCam().attribute(classifier, excerpt.take([i]), [targets[i]])[0] for i in range(7)]
    for one, two, three in zip(whole, parted, alone, strict=True):
        np.testing.assert_allclose(one.values, two.values, rtol=0, atol=rounding(one.values))
        np.testing.assert_allclose(one.values, three.values, rtol=0, atol=rounding(one.values))


def test_float64_network_is_explained_in_float64():
    classifier = convolutional()
    classifier.network.double()
    (found,) = GradCam().attribute(classifier, segments(1), [[Target(0)]])
    (single,) = GradCam().attribute(convolutional(), segments(1), [[Target(0)]])
    assert found.precision == "float64"
    np.testing.assert_allclose(found.values, single.values, rtol=0, atol=rounding(found.values))


def test_sigmoid_probability():
    base = convolutional()
    classifier = ToyClassifier(base.network, base.classes, "sigmoid")
    (logit,) = GradCam().attribute(classifier, segments(1), [[Target(0)]])
    (probability,) = GradCam(score="probability").attribute(classifier, segments(1), [[Target(0)]])
    p = 1 / (1 + np.exp(-logit.score))
    assert probability.score == pytest.approx(p, abs=rounding(1.0))
    expected = logit.values * p * (1 - p)
    np.testing.assert_allclose(probability.values, expected, rtol=0, atol=rounding(expected))


def test_padding_is_empty_and_flagged():
    (found,) = GradCam().attribute(convolutional(), segments(1, real_frames=[7]), [[Target(0)]])
    assert found.flags == ("padded",)
    assert not found.values[7:].any()
    assert found.values[:7].any()
    assert not found.native[4:].any()
    assert found.native[3].any()
    assert found.real_frames == 7


def test_silent_segment_and_constant_map_are_flagged():
    silent = Segments(np.full((1, 12, 8), -4.6, np.float32), np.zeros(1, int), np.array([12]), ("quiet.wav",))
    (found,) = GradCam().attribute(convolutional(), silent, [[Target(0)]])
    assert "silent" in found.flags
    classifier = convolutional()
    with torch.no_grad():
        classifier.network.head[2].weight.zero_()
    (found,) = GradCam().attribute(classifier, segments(1), [[Target(0)]])
    assert found.flags == ("constant",)
    assert not found.values.any()


class SideBranch(nn.Module):
    """A layer that has no part in the score."""

    feature_layer = "aside"

    def __init__(self):
        super().__init__()
        self.aside, self.dense = nn.Conv2d(1, 2, 1), nn.Linear(8, 2)

    def forward(self, x):
        self.aside(x[:, None])
        return self.dense(x.mean(dim=1))


def test_layer_without_influence_gives_a_constant_map():
    (found,) = GradCam().attribute(ToyClassifier(SideBranch(), classes_of(2)), segments(1), [[Target(0)]])
    assert found.flags == ("constant",)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.dense = nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(), nn.Linear(8, 2)

    def forward(self, x):
        return self.dense(self.relu(self.conv(self.relu(self.conv(x[:, None])))).mean(dim=(1, 2)))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("features.99", r"gradcam: layer 'features.99' is unknown; these would do: .*features.4 \(6x4\)"),
        ("pool", r"layer 'pool' has no map of time and frequency \(its output is \(8, 1, 1\)\); these would do"),
        ("head.0", r"layer 'head.0' has no map of time and frequency \(its output is \(16,\)\)"),
    ],
)
def test_unfit_layers(layer, message):
    classifier = convolutional()
    with pytest.raises(UsageError, match=message):
        GradCam(layer=layer).attribute(classifier, segments(1), [[Target(0)]])
    assert not any(module._forward_hooks for module in classifier.network.modules())
    assert torch.is_grad_enabled()


def test_layer_used_twice_and_network_without_layers():
    twice = ToyClassifier(Twice(), classes_of(2))
    with pytest.raises(UsageError, match="layer 'relu' is used 2 times in one pass"):
        GradCam(layer="relu").attribute(twice, segments(1), [[Target(0)]])
    with pytest.raises(UsageError, match=r"names no feature_layer; no layer .* use lime or occlusion"):
        GradCam().attribute(linear(), segments(1), [[Target(0)]])


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_compiled_networks_layers_are_refused():
    plain = convolutional()
    compiled = torch.jit.trace(plain.network.eval(), torch.zeros(1, 24, 16))
    with pytest.raises(UsageError, match=r"layer 'features.6' was compiled by .* or use lime or occlusion"):
        GradCam(layer="features.6").attribute(replace(plain, network=compiled), segments(1), [[Target(0)]])


def test_map_layers_lists_layers_in_their_order():
    layers = map_layers(Prepared(convolutional()), segments(1))
    assert layers[0] == ("features.0", (12, 8))
    assert layers[-1] == ("features.6", (3, 2))
    assert "pool" not in dict(layers)


def test_no_segments():
    assert GradCam().attribute(convolutional(), segments(0), []) == []


def test_nan_score_is_refused():
    classifier = convolutional()
    with torch.no_grad():
        classifier.network.head[2].bias[0] = float("nan")
    with pytest.raises(EarwitnessError, match=r"file1.wav at 0.24 s: the network's score is NaN"):
        GradCam().attribute(classifier, segments(2).take([1]), [[Target(0)]])


@pytest.mark.parametrize("target", [Target(4), Target(-1), Target(0, against=9), Target(1, against=1)])
def test_bad_targets(target):
    with pytest.raises(UsageError, match=r"target"):
        GradCam().attribute(convolutional(), segments(1), [[target]])


def test_one_list_of_targets_per_segment():
    with pytest.raises(UsageError, match="1 lists of targets for 2 segments"):
        GradCam().attribute(convolutional(), segments(2), [[Target(0)]])
