"""Every class activation map against the same sum written out by hand, and what all of them keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from earwitness.audio.segments import Segments
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.explainers.attribution import Target
from earwitness.explainers.cam.base import Cam, GradientCam
from earwitness.explainers.method import check_needs
from earwitness.explainers.registry import METHODS
from explain_toys import ToyClassifier, classes_of, convolutional, linear, real, real_segments, segments
from rounding import rounding

CAMS = sorted(name for name, method in METHODS.items() if issubclass(method, Cam))
GRADIENT_CAMS = sorted(name for name, method in METHODS.items() if issubclass(method, GradientCam))


def explain(method, classifier, excerpt, targets, **options):
    return METHODS[method](**options).attribute(classifier, excerpt, targets)


def first_half(classifier, excerpt, layer=4):
    """The maps of one segment after ``features.layer``, by hand."""
    x = torch.tensor(excerpt.values).to(classifier.network.head[0].weight)
    x = x.transpose(1, 2) if classifier.network.turned else x
    return classifier.network.features[: layer + 1](x[:, None]).detach()


def second_half(classifier, maps, layer=4):
    network = classifier.network
    pooled = network.features[layer + 1 :](maps)
    weights = torch.linspace(0.5, 2, pooled.shape[-1])
    return network.head(network.pool(pooled * weights).flatten(1))


def plus_plus(g, a):
    """Grad-CAM++'s weight of one channel."""
    weight = 0.0
    for value in g.flat:
        below = 2 * value**2 + a.sum() * value**3
        weight += max(value, 0) * (value**2 / below if below else 0)
    return weight


def by_hand(method, classifier, excerpt, target, layer=4, score="logit"):
    """A class activation map in plain loops, float64, for one segment."""
    maps = first_half(classifier, excerpt, layer).requires_grad_()
    scores = second_half(classifier, maps, layer)
    scores = scores.softmax(-1) if score == "probability" else scores
    wanted = scores[0, target.index] - (0 if target.against is None else scores[0, target.against])
    g = torch.autograd.grad(wanted, maps)[0][0].numpy()
    a = maps.detach()[0].numpy()
    cam = np.zeros(a.shape[1:])
    for k in range(len(a)):
        if method == "gradcam":
            cam += g[k].mean() * a[k]
        elif method == "hirescam":
            cam += g[k] * a[k]
        elif method == "layercam":
            cam += np.maximum(g[k], 0) * a[k]
        elif method == "xgradcam":
            cam += sum(g[k].flat[i] * a[k].flat[i] / a[k].sum() for i in range(a[k].size) if a[k].sum()) * a[k]
        elif method == "gradcampp":
            cam += plus_plus(g[k], a[k]) * a[k]
    if method == "eigencam":
        cells = a.reshape(len(a), -1).T
        values, vectors = np.linalg.eigh(cells.T @ cells)
        cam = (cells @ vectors[:, np.argmax(values)]).reshape(a.shape[1:])
        cam = cam if cam.sum() > 0 else -cam
    if method == "eigengradcam":
        cells = (g * a).reshape(len(a), -1).T
        left, sizes, _ = np.linalg.svd(cells)
        cam = (left[:, 0] * sizes[0]).reshape(a.shape[1:])
        cam = cam if (cam * (g * a).sum(axis=0)).sum() > 0 else -cam
    return cam.T if classifier.network.turned else cam


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("score", ["logit", "probability"])
@pytest.mark.parametrize("layer", [0, 3, 4])
@pytest.mark.parametrize("method", [*GRADIENT_CAMS, "eigencam"])
def test_equals_the_sum_by_hand(method, layer, score, turned):
    classifier, excerpt = convolutional(turned=turned), segments(3)
    classifier.network.double()
    targets = [Target(2), Target(1, against=3)]
    found = explain(method, classifier, excerpt, [targets] * 3, layer=f"features.{layer}", score=score)
    for number, one in enumerate(found):
        expected = by_hand(method, classifier, excerpt.take([number // 2]), one.target, layer, score)
        assert np.abs(expected).max() > 1e-6
        np.testing.assert_allclose(one.native, expected, rtol=1e-5, atol=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize("method", CAMS)
def test_batch_of_n_is_n_batches_of_one_and_every_class_that_class_alone(method):
    classifier, excerpt = convolutional(), segments(4, real_frames=[12, 12, 7, 12])
    targets = [[Target(0), Target(3)], [Target(1)], [], [Target(2, against=0), Target(2)]]
    whole = explain(method, classifier, excerpt, targets)
    alone = [
        explain(method, classifier, excerpt.take([row]), [[target]])[0]
        for row, listed in enumerate(targets)
        for target in listed
    ]
    assert len(whole) == len(alone) == 5
    for one, single in zip(whole, alone, strict=True):
        np.testing.assert_allclose(one.values, single.values, rtol=0, atol=rounding(1.0, single.values))
        assert one.score == pytest.approx(single.score, abs=rounding(1.0))
        assert one.target == single.target


@pytest.mark.parametrize("method", CAMS)
def test_float32_agrees_with_float64(method):
    classifier = convolutional()
    (single,) = explain(method, classifier, segments(1), [[Target(0)]])
    classifier.network.double()
    (double,) = explain(method, classifier, segments(1), [[Target(0)]])
    assert (single.precision, double.precision) == ("float32", "float64")
    np.testing.assert_allclose(single.values, double.values, rtol=0, atol=rounding(double.values))


@pytest.mark.parametrize("method", CAMS)
def test_in_place_layers_change_nothing(method):
    for layer in ("features.1", "features.3"):
        plain, inplace = (
            explain(method, convolutional(inplace=flag), segments(2), [[Target(1)]] * 2, layer=layer)
            for flag in (False, True)
        )
        for one, two in zip(plain, inplace, strict=True):
            np.testing.assert_allclose(one.values, two.values, rtol=0, atol=rounding(one.values))


@pytest.mark.parametrize("method", CAMS)
def test_leaves_the_network_as_it_was(method):
    classifier = convolutional()
    network = classifier.network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    attributes = {name: set(vars(module)) for name, module in network.named_modules()}
    with torch.inference_mode():
        explain(method, classifier, segments(2), [[Target(0)]] * 2)
    assert all(module.training for module in network.modules())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert {name: set(vars(module)) for name, module in network.named_modules()} == attributes
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("method", CAMS)
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("features.99", r"layer 'features.99' is unknown; these would do: .*features.4 \(6x4\)"),
        ("pool", r"layer 'pool' has no map of time and frequency \(its output is \(8, 1, 1\)\); these would do"),
        ("head.0", r"layer 'head.0' has no map of time and frequency \(its output is \(16,\)\)"),
    ],
)
def test_unfit_layers(method, layer, message):
    with pytest.raises(UsageError, match=f"^{method}: {message}"):
        explain(method, convolutional(), segments(1), [[Target(0)]], layer=layer)


@pytest.mark.parametrize("method", CAMS)
def test_a_layer_is_refused_before_anything_is_computed(method):
    explainer, network = METHODS[method], convolutional().network
    check_needs(explainer(), network)
    check_needs(explainer(layer="features.2"), network)
    with pytest.raises(UsageError, match=rf"^{method}: layer 'nope' is unknown; its last layers are .*features.4"):
        check_needs(explainer(layer="nope"), network)
    with pytest.raises(UsageError, match=f"^{method}: the network names no feature_layer; .*use lime or occlusion$"):
        check_needs(explainer(), linear().network)


@pytest.mark.parametrize("method", CAMS)
def test_networks_without_maps_and_scores_that_are_no_numbers(method):
    with pytest.raises(UsageError, match=f"{method}: the network names no feature_layer"):
        explain(method, linear(), segments(1), [[Target(0)]])
    classifier = convolutional()
    with torch.no_grad():
        classifier.network.features[0].bias[0] = float("nan")
    with pytest.raises(EarwitnessError, match=r"file1.wav at 0.24 s: the network's score is NaN"):
        explain(method, classifier, segments(2).take([1]), [[Target(0)]])


class Never(nn.Module):
    """A layer that the network holds and does not use."""

    feature_layer = "spare"

    def __init__(self):
        super().__init__()
        self.spare, self.dense = nn.Conv2d(1, 1, 1), nn.Linear(8, 2)

    def forward(self, x):
        return self.dense(x.mean(dim=1))


@pytest.mark.parametrize("method", CAMS)
def test_a_layer_that_is_not_used(method):
    with pytest.raises(UsageError, match=f"{method}: layer 'spare' is not used, so"):
        explain(method, ToyClassifier(Never(), classes_of(2)), segments(1), [[Target(0)]])


@pytest.mark.parametrize("method", CAMS)
def test_silent_segments_and_padding_are_flagged(method):
    excerpt = segments(2, real_frames=[12, 7])
    excerpt.values[0] = -4.6
    quiet, padded = explain(method, convolutional(), excerpt, [[Target(0)]] * 2)
    assert "silent" in quiet.flags
    assert padded.flags == ("padded",)
    assert not padded.values[7:].any()


@pytest.mark.parametrize("method", CAMS)
def test_relu_keeps_positive_evidence_only(method):
    signed, kept = (
        explain(method, convolutional(), segments(1), [[Target(1)]], layer="features.0", relu=flag)[0]
        for flag in (False, True)
    )
    np.testing.assert_array_equal(kept.native, np.maximum(signed.native, 0))


@pytest.mark.parametrize("method", ["hirescam", "xgradcam"])
def test_sum_equals_gradient_times_activation(method):
    """Axiom of conservation: both maps add up to the same number."""
    classifier, excerpt = convolutional(), segments(1)
    (found,) = explain(method, classifier, excerpt, [[Target(1)]])
    maps = first_half(classifier, excerpt).requires_grad_()
    gradient = torch.autograd.grad(second_half(classifier, maps)[0, 1], maps)[0]
    products = gradient * maps
    assert found.native.sum() == pytest.approx(products.sum().item(), abs=rounding(products.abs().sum()))


class Pooled(nn.Module):
    """Maps, their mean, one linear layer: the network of CAM's first paper."""

    feature_layer = "relu"

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv, self.relu, self.dense = nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(), nn.Linear(5, 3)

    def forward(self, x):
        return self.dense(self.relu(self.conv(x[:, None])).mean(dim=(2, 3)))


@given(st.integers(0, 2), st.integers(0, 20))
def test_on_a_pooled_network_gradient_maps_are_the_class_activation_map(index, seed):
    classifier, excerpt = ToyClassifier(Pooled(), classes_of(3)), segments(1, seed=seed)
    network = classifier.network
    maps = network.relu(network.conv(torch.tensor(excerpt.values)[:, None]))[0]
    expected = torch.einsum("k,kfb->fb", network.dense.weight[index], maps).detach().numpy() / maps[0].numel()
    made_of = [network.dense.weight[index, k].item() * maps[k] / maps[0].numel() for k in range(len(maps))]
    for method in ("gradcam", "hirescam", "xgradcam"):
        (found,) = explain(method, classifier, excerpt, [[Target(index)]])
        np.testing.assert_allclose(found.native, expected, rtol=0, atol=rounding(*made_of))
        bias = network.dense.bias[index].item()
        assert found.native.sum() + bias == pytest.approx(found.score, abs=1e-4)


def test_eigen_map_is_what_explains_most_of_the_activations():
    (one, two) = explain("eigencam", convolutional(), segments(1), [[Target(0), Target(2, against=1)]])
    np.testing.assert_array_equal(one.native, two.native)
    assert one.score != two.score
    assert (one.forwards, one.backwards) == (1, 0)
    maps = first_half_of_single(segments(1))
    cells = maps.reshape(len(maps), -1)
    explained = np.linalg.svd(cells)[1][0]
    assert np.linalg.norm(one.native) == pytest.approx(explained, rel=1e-5)


def first_half_of_single(excerpt):
    network = convolutional().network
    return network.features[:5](torch.tensor(excerpt.values)[:, None])[0].detach().numpy()


@pytest.mark.parametrize("method", CAMS)
def test_copies_of_a_segment_are_laid_on_one_another(method):
    """mn04 hears a short segment several times in a row; its map is folded back onto the segment."""
    classifier, excerpt = real("mn04"), real_segments("mn04", 1)
    network = classifier.network
    short = Segments(excerpt.values[:, :64], excerpt.start_frames, np.array([64]), excerpt.files)
    # Few channels, so that methods with a pass per channel are quick.
    layer = "features.3.block.2"
    network.repeats.fill_(2)
    try:
        (found,) = explain(method, classifier, short, [[Target(1)]], layer=layer)
    finally:
        network.repeats.fill_(1)
    (single,) = explain(method, classifier, short, [[Target(1)]], layer=layer)
    assert found.native.shape == single.native.shape
    assert found.values.shape == (64, 128)
