"""Networks in two stages against the same network as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earwitness.explainers.attribution import Target
from earwitness.explainers.inference import two_stage
from earwitness.explainers.inference.layers import Layer
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.inference.two_stage import runs
from earwitness.explainers.registry import parse
from explain_toys import ToyClassifier, classes_of, convolutional, real, real_segments, segments
from rounding import DEEP, rounding
from test_ablationcam import Changing, Shortcuts


@pytest.fixture
def small(monkeypatch):
    """Two segments are many, and make a batch of the first stage."""
    monkeypatch.setattr("earwitness.explainers.inference.prefix.MANY", 2)
    monkeypatch.setattr("earwitness.explainers.inference.scoring.PROCESSOR_CELLS", 2 * 12 * 8)
    monkeypatch.setattr("earwitness.explainers.inference.two_stage.FIRST_NUMBERS", 2 * 6 * 12 * 8)


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
        torch.testing.assert_close(leaf, expected_leaf, rtol=0, atol=rounding(expected_leaf))
        torch.testing.assert_close(logits, expected, rtol=0, atol=rounding(1.0, expected))
        gradient = torch.autograd.grad(logits[:, 1].sum(), leaf)[0]
        (slope,) = torch.autograd.grad(expected[:, 1].sum(), expected_leaf)
        torch.testing.assert_close(gradient, slope, rtol=0, atol=rounding(slope))
        start += len(leaf)
    assert start == 7
    assert (len(found) == 1) == apart  # what goes around the layer is noticed, and the network runs whole


def test_the_second_stage_is_gathered_up_to_its_room(small, monkeypatch):
    classifier = convolutional()
    monkeypatch.setattr(two_stage, "PROCESSOR_NUMBERS", 4 * 8 * 6 * 4)
    assert [len(leaf) for leaf, _ in runs(Layer("gradcam", Prepared(classifier), "features.4"), segments(7))] == [4, 3]


def test_what_comes_before_the_layer_runs_without_a_graph_and_what_follows_once(small):
    classifier, calls = convolutional(), []
    for name in ("features.0", "head"):
        module = classifier.network.get_submodule(name)
        module.register_forward_hook(lambda _m, i, o, name=name: calls.append((name, len(i[0]), o.requires_grad)))
    parse("gradcam").attribute(Prepared(classifier), segments(6), [[Target(0), Target(1)]] * 6)
    heads = [each for each in calls if each[0] == "head"]
    assert heads == [("head", 6, True)]
    assert not any(graph for name, _, graph in calls if name == "features.0")


@pytest.mark.parametrize("many", [2, 10**9])
@pytest.mark.parametrize("backbone", ["vggish", "mn04", "compact"])
def test_many_segments_are_explained_as_each_alone(backbone, many, monkeypatch):
    monkeypatch.setattr("earwitness.explainers.inference.prefix.MANY", many)
    monkeypatch.setattr("earwitness.explainers.inference.prefix.LARGE", 1)
    monkeypatch.setattr("earwitness.explainers.inference.two_stage.FIRST_NUMBERS", 1_000_000)
    classifier, excerpt = real(backbone), real_segments(backbone, 5)
    targets = [[Target(3), Target(1, against=2)]] * 5
    with torch.inference_mode():
        logits = classifier.network(torch.tensor(excerpt.values))
    found = parse("gradcam").attribute(Prepared(classifier), excerpt, targets)
    monkeypatch.setattr("earwitness.explainers.inference.prefix.MANY", 10**9)
    monkeypatch.setattr("earwitness.explainers.inference.prefix.LARGE", 10**9)
    for row in range(0, 5, 4):
        alone = parse("gradcam").attribute(classifier, excerpt.take([row]), targets[:1])
        for one, single in zip(found[2 * row : 2 * row + 2], alone, strict=True):
            np.testing.assert_allclose(one.native, single.native, rtol=0, atol=rounding(single.native, units=DEEP))
            assert one.score == pytest.approx(single.score, abs=rounding(logits, units=DEEP))
