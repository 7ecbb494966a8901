"""Networks in two stages, with fewer products, against the same network as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from earwitness.explain import parse
from earwitness.explain.attribution import Target
from earwitness.explain.featuremaps import Layer
from earwitness.explain.prepared import Prepared
from earwitness.explain.stages import runs
from earwitness.explain.winograd import fewer_products
from explain_toys import ToyClassifier, classes_of, convolutional, real, real_segments, segments
from test_ablationcam import Changing, Shortcuts


@pytest.fixture
def small(monkeypatch):
    """Two segments are many, and make a batch of the first stage."""
    monkeypatch.setattr("earwitness.explain.before.MANY", 2)
    monkeypatch.setattr("earwitness.explain.model.PROCESSOR_CELLS", 2 * 12 * 8)
    monkeypatch.setattr("earwitness.explain.stages.FIRST_NUMBERS", 2 * 6 * 12 * 8)


def networks():
    return {
        "plain": (convolutional(), "features.4", True),
        "inplace": (convolutional(inplace=True), "features.1", True),
        "shortcuts": (ToyClassifier(Shortcuts(), classes_of(3)), "second", False),
        "changing": (ToyClassifier(Changing(), classes_of(3)), "second", False),
    }


@pytest.mark.parametrize("name", sorted(networks()))
def test_two_stages_answer_what_one_pass_answers(name, small):
    classifier, name_of_layer, apart = networks()[name]
    layer, excerpt = Layer("gradcam", Prepared(classifier), name_of_layer), segments(7)
    classifier.network.eval()
    found = list(runs(layer, excerpt))
    start = 0
    for leaf, logits in found:
        expected_leaf, expected = layer.run(excerpt.take(range(start, start + len(leaf))))
        torch.testing.assert_close(leaf, expected_leaf)
        torch.testing.assert_close(logits, expected)
        gradient = torch.autograd.grad(logits[:, 1].sum(), leaf)[0]
        torch.testing.assert_close(gradient, torch.autograd.grad(expected[:, 1].sum(), expected_leaf)[0])
        start += len(leaf)
    assert start == 7
    assert (len(found) == 1) == apart  # what goes around the layer is noticed, and the network runs whole


def test_the_second_stage_is_gathered_up_to_its_room(small, monkeypatch):
    classifier = convolutional()
    monkeypatch.setattr("earwitness.explain.stages.PROCESSOR_NUMBERS", 4 * 8 * 6 * 4)
    assert [len(leaf) for leaf, _ in runs(Layer("gradcam", Prepared(classifier), "features.4"), segments(7))] == [4, 3]


def test_what_comes_before_the_layer_runs_without_a_graph_and_what_follows_once(small):
    classifier, calls = convolutional(), []
    for name in ("features.0", "head"):
        module = classifier.network.get_submodule(name)
        module.register_forward_hook(lambda _m, i, o, name=name: calls.append((name, len(i[0]), o.requires_grad)))
    parse("gradcam").attribute(classifier, segments(6), [[Target(0), Target(1)]] * 6)
    heads = [each for each in calls if each[0] == "head"]
    assert heads == [("head", 6, True)]
    assert not any(graph for name, _, graph in calls if name == "features.0")


@pytest.mark.parametrize("many", [2, 10**9])
@pytest.mark.parametrize("backbone", ["vggish", "mn04", "compact"])
def test_many_segments_are_explained_as_each_alone(backbone, many, monkeypatch):
    monkeypatch.setattr("earwitness.explain.before.MANY", many)
    monkeypatch.setattr("earwitness.explain.before.LARGE", 1)
    monkeypatch.setattr("earwitness.explain.winograd.FEWEST_TILES", 1)
    monkeypatch.setattr("earwitness.explain.stages.FIRST_NUMBERS", 1_000_000)
    classifier, excerpt = real(backbone), real_segments(backbone, 5)
    targets = [[Target(3), Target(1, against=2)]] * 5
    found = parse("gradcam").attribute(classifier, excerpt, targets)
    monkeypatch.setattr("earwitness.explain.before.MANY", 10**9)
    monkeypatch.setattr("earwitness.explain.before.LARGE", 10**9)
    for row in range(0, 5, 4):
        alone = parse("gradcam").attribute(classifier, excerpt.take([row]), targets[:1])
        for one, single in zip(found[2 * row : 2 * row + 2], alone, strict=True):
            np.testing.assert_allclose(one.native, single.native, atol=2e-5 * np.abs(single.native).max())
            assert one.score == pytest.approx(single.score, rel=1e-4, abs=1e-4)


# ---- fewer products -----------------------------------------------------------------------------------------------


@given(st.integers(1, 3), st.integers(1, 11), st.integers(1, 11), st.booleans(), st.integers(0, 9))
def test_fewer_products_give_the_same_convolution(count, height, width, bias, seed):
    generator = torch.Generator().manual_seed(seed)
    conv = nn.Conv2d(64, 65, 3, padding=1, bias=bias)
    with torch.no_grad():
        for each in conv.parameters():
            each.copy_(torch.randn(each.shape, generator=generator))
        x = torch.randn(count, 64, height, width, generator=generator)
        expected = conv(x)
        exact = conv.double()(x.double())
        conv.float()
        with fewer_products(nn.Sequential(conv), 1000):
            found = conv(x)
    assert not torch.equal(found, expected) or found.numel() < 200  # another order of sums
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=2e-5 * float(exact.abs().max()))


@given(st.integers(1, 9), st.integers(1, 9), st.booleans(), st.integers(0, 9))
def test_fewer_products_in_bfloat16_are_as_rough_as_they_are_said_to_be(height, width, bias, seed):
    generator = torch.Generator().manual_seed(seed)
    conv = nn.Conv2d(64, 64, 3, padding=1, bias=bias)
    with torch.no_grad():
        for each in conv.parameters():
            each.copy_(torch.randn(each.shape, generator=generator))
        x = torch.randn(2, 64, height, width, generator=generator).bfloat16()
        with fewer_products(nn.Sequential(conv), 1000, torch.bfloat16) as changed:
            found = conv(x)
        exact = conv.double()(x.double())
    assert changed == 1
    assert found.dtype == torch.bfloat16
    assert 0.001 < float((found - exact).norm() / exact.norm()) < 0.02  # 0.027 with the paper's points


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(64, 64, 3),
        nn.Conv2d(64, 64, 3, padding=1, stride=2),
        nn.Conv2d(64, 64, 3, padding=1, groups=2),
        nn.Conv2d(64, 64, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(64, 64, 5, padding=1),
        nn.Conv2d(8, 64, 3, padding=1),
        nn.Conv2d(64, 64, 3, padding=1).double(),
    ],
)
def test_other_convolutions_stay_as_they_are(conv):
    with fewer_products(conv, 1000) as changed:
        assert "forward" not in vars(conv)
    assert changed == 0


def test_few_segments_and_gradients_take_the_plain_way():
    conv, x = nn.Conv2d(64, 64, 3, padding=1), torch.randn(1, 64, 8, 8)
    with fewer_products(conv, 1), torch.no_grad():
        assert torch.equal(conv(x), nn.Conv2d.forward(conv, x))
    with fewer_products(conv, 1000):
        assert torch.equal(conv(x.requires_grad_()), nn.Conv2d.forward(conv, x))
    assert "forward" not in vars(conv)
