"""Randomised weights: what is redrawn, that the user's network is not, and which methods are caught."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import explain_toys as toys
from earwitness.core import errors
from earwitness.core.progress import NO_PROGRESS
from earwitness.explainers.attribution import Target
from earwitness.explainers.ranks import rank_correlation
from earwitness.explainers.registry import parse
from earwitness.models.adapter import Adapter
from earwitness.models.network import weights_sha256
from earwitness.trust.metrics import reinitialise
from earwitness.trust.metrics.randomisation import Likeness, Randomisation, Step, kept_randomisation, randomisation
from earwitness.trust.metrics.reinitialise import blocks_of, redraw, restore, settle
from rounding import rounding

TARGETS = [Target(0), Target(1), Target(2)]


@dataclass(frozen=True)
class Fixed:
    """A method whose maps are the same whatever the network: the segment itself, or one picture for all."""

    name: ClassVar[str] = "fixed"
    title: ClassVar[str] = "Fixed"
    paper: ClassVar[str] = ""
    cost: ClassVar[str] = ""

    picture: str = "segment"

    def attribute(self, classifier, segments, targets, progress=NO_PROGRESS):
        found = parse("saliency").attribute(classifier, segments, targets, progress)
        pictures = {"segment": lambda one: one, "slope": lambda one: np.arange(one.size).reshape(one.shape)}
        pictures["nothing"] = np.zeros_like
        maps = [pictures[self.picture](one).astype(np.float32) for one in segments.values]
        return [replace(one, values=values) for one, values in zip(found, maps, strict=True)]


class Deep(nn.Module):
    """Weights of every shape: convolution, batch norm, dense layers, one that never runs."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
        self.idle = nn.Linear(3, 3)
        self.top = nn.Linear(4 * 12 * 8, 3)
        nn.init.uniform_(self.body[1].weight, 0.5, 2)
        nn.init.uniform_(self.body[1].bias, -1, 1)

    def forward(self, x):
        return self.top(self.body(x[:, None]))


def deep():
    return toys.ToyClassifier(Deep().eval(), toys.classes_of(3))


def state_of(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_blocks_run_from_the_input_to_the_last_layer():
    assert blocks_of(deep(), toys.segments()) == [["body.0", "body.1", "idle"], ["top"]]
    assert blocks_of(deep(), toys.segments(), 1) == [["body.0", "body.1", "idle"], ["top"]]


def test_weights_that_are_used_without_a_call_are_redrawn_too():
    """Attention takes its last layer's weights itself and never calls that layer."""
    network = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Flatten(), nn.Linear(96, 3))
    blocks = blocks_of(toys.ToyClassifier(network.eval(), toys.classes_of(3)), toys.segments())
    held = {name for block in blocks for name in block}
    assert {name.rpartition(".")[0] for name, _ in network.named_parameters()} == held
    assert "0.self_attn.out_proj" in blocks[0]
    assert blocks[-1] == ["2"]


def test_a_network_without_weights_is_refused():
    network = nn.Sequential(nn.Flatten(), nn.Softmax(dim=1))
    classifier = Adapter.around(network, toys.classes_of(96), toys.ToyFrontEnd(), channel=False)
    with pytest.raises(errors.UsageError, match="no weights"):
        blocks_of(classifier, toys.segments())


@pytest.mark.parametrize("backbone", ["vggish", "mn04"])
def test_backbones_are_divided_into_few_blocks_that_hold_every_weight(backbone):
    classifier = toys.real(backbone)
    blocks = blocks_of(classifier, toys.real_segments(backbone, 1))
    assert len(blocks) == reinitialise.BLOCKS
    assert blocks[-1] == ["FCFinal"]
    held = {f"{name}.{leaf}" for block in blocks for name in block for leaf in ("weight", "bias")}
    assert {name for name, _ in classifier.network.named_parameters()} <= held


def test_weights_keep_their_size_and_lose_what_they_were():
    network = Deep()
    before = state_of(network)
    redraw(network, ["body.0", "body.1", "top"], np.random.default_rng(0))
    after = state_of(network)
    old, new = before["top.weight"].flatten(), after["top.weight"].flatten()
    assert float(new.square().mean().sqrt()) == pytest.approx(float(old.square().mean().sqrt()), rel=0.1)
    assert abs(np.corrcoef(old, new)[0, 1]) < 0.1
    assert abs(float(new.mean())) < 0.1 * float(new.std())
    for name in ("body.0.bias", "body.1.weight", "body.1.bias", "top.bias"):
        assert torch.equal(after[name].sort().values, before[name].sort().values)
    assert torch.equal(after["idle.weight"], before["idle.weight"])


def test_a_redrawn_layer_is_restored_to_the_bit():
    trained, network = Deep(), Deep()
    x = torch.from_numpy(toys.segments().values)
    redraw(network, ["body.0", "body.1"], np.random.default_rng(0))
    settle(network.eval(), ["body.1"], x)
    assert not same(state_of(network), state_of(trained))
    restore(network, ["body.0", "body.1"], trained)
    assert same(state_of(network), state_of(trained))


def test_settled_norms_give_the_shift_and_scale_that_they_hold():
    network = Deep().eval()
    x = torch.from_numpy(toys.segments(5).values)
    settle(network, ["body.1"], x)
    found = network.body[1](network.body[0](x[:, None]))
    assert torch.allclose(found.mean(dim=(0, 2, 3)), network.body[1].bias, atol=1e-5)
    assert torch.allclose(found.std(dim=(0, 2, 3)), network.body[1].weight, atol=1e-2)
    assert not network.body[1]._forward_pre_hooks


def test_a_linear_models_maps_change_by_just_what_was_redrawn():
    """Input x gradient of a linear model is input x weights, so what stays is known from the new weights."""
    classifier, segments = toys.linear(), toys.segments()
    found = randomisation(classifier, parse("inputxgradient"), segments, TARGETS, seed=7)
    network = copy.deepcopy(classifier.network)
    redraw(network, [""], np.random.default_rng([7, 0]))
    old, new = (one.weights.detach().numpy() for one in (classifier.network, network))
    expected = np.mean([rank_correlation(x * old[k], x * new[k]) for k, x in enumerate(segments.values)])
    assert len(found.steps) == 1
    assert found.steps[0].cascade.signed == pytest.approx(expected, abs=rounding(1.0))
    assert found.steps[0].alone == found.steps[0].cascade
    assert found.explains
    assert (found.forwards, found.backwards) == (3 * 3, 3 * 3)
    assert found.between.signed == pytest.approx(
        np.mean(
            [
                rank_correlation(segments.values[i] * old[i], segments.values[j] * old[j])
                for i, j in [(0, 1), (0, 2), (1, 2)]
            ]
        ),
        abs=rounding(1.0),
    )


@pytest.mark.parametrize("picture", ["segment", "slope"])
def test_a_method_that_does_not_look_at_the_network_is_caught(picture):
    found = randomisation(deep(), Fixed(picture), toys.segments(), TARGETS)
    assert found.kept == pytest.approx(1)
    assert not found.explains
    assert "hardly change when the network" in found.reason
    assert found.between.signed == pytest.approx(1 if picture == "slope" else 0, abs=0.2)


def test_a_method_without_maps_is_caught():
    found = randomisation(deep(), Fixed("nothing"), toys.segments(), TARGETS)
    assert (found.counted, found.kept, found.explains) == (0, 0.0, False)
    assert "none of its maps" in found.reason


def test_a_method_that_follows_the_features_but_not_the_class_is_caught():
    found = randomisation(toys.convolutional(3), parse("eigencam"), toys.segments(), TARGETS)
    assert found.steps[0].cascade.signed == pytest.approx(1)
    assert not found.follows_class
    assert not found.explains


def test_segments_without_a_map_are_left_out():
    segments = toys.segments(3)
    segments.values[1] = toys.SILENCE
    found = randomisation(toys.linear(), Fixed(), segments, TARGETS)
    assert (found.segments, found.counted) == (3, 2)
    assert found.kept == pytest.approx(1)


def test_padding_is_not_compared():
    segments = toys.segments(3, real_frames=[12, 5, 0])
    found = randomisation(toys.linear(), Fixed(), segments, TARGETS)
    assert (found.counted, found.kept) == (2, pytest.approx(1))


@pytest.mark.parametrize("method", ["gradcam:layer=body.2", "guidedbackprop", "lime:grid=3x3,samples=32"])
def test_the_users_network_stays_as_it_was(method):
    classifier = deep()
    classifier.network.body.train()
    before, modes = state_of(classifier.network), [module.training for module in classifier.network.modules()]
    randomisation(classifier, parse(method), toys.segments(), TARGETS)
    assert same(state_of(classifier.network), before)
    assert [module.training for module in classifier.network.modules()] == modes


@pytest.mark.parametrize("method", ["lime:grid=3x3,samples=64,score=logit", "saliency"])
def test_methods_that_remember_a_network_hear_the_redrawn_one(method):
    """Perturbation methods keep a copy of a network made ready for many passes: here each step gets a new network."""
    classifier, segments, explainer = toys.convolutional(3), toys.segments(), parse(method)
    x, listed = torch.from_numpy(segments.values), [[target] for target in TARGETS]
    found = randomisation(classifier, explainer, segments, TARGETS, seed=2, alone=False)
    original = explainer.attribute(classifier, segments, listed)
    order = blocks_of(classifier, segments)[::-1]
    assert len(order) == len(found.steps) == 4
    for last, step in enumerate(found.steps):
        network = copy.deepcopy(classifier.network)
        for at, names in enumerate(order[: last + 1]):
            redraw(network, names, np.random.default_rng([2, at]))
            settle(network, [name for block in order[: at + 1] for name in block], x)
        changed = explainer.attribute(replace(classifier, network=network), segments, listed)
        kept = [rank_correlation(one.values, other.values) for one, other in zip(original, changed, strict=True)]
        assert step.cascade.signed == pytest.approx(np.mean(kept), abs=1e-3)


def test_the_same_seed_gives_the_same_figures_and_another_does_not():
    found = [randomisation(deep(), parse("saliency"), toys.segments(), TARGETS, seed=seed) for seed in (3, 3, 4)]
    assert found[0] == found[1]
    assert found[0].steps != found[2].steps


def test_each_layer_alone_can_be_left_out():
    whole = randomisation(deep(), parse("saliency"), toys.segments(), TARGETS)
    cascade = randomisation(deep(), parse("saliency"), toys.segments(), TARGETS, alone=False)
    assert [step.alone for step in cascade.steps] == [None, None]
    assert cascade.steps == tuple(replace(step, alone=None) for step in whole.steps)
    assert whole.steps[0].alone == whole.steps[0].cascade
    assert whole.steps[1].alone != whole.steps[1].cascade


def test_the_test_is_kept_once_per_weights_and_method(tmp_path):
    folder, classifier = tmp_path, deep()
    first = kept_randomisation(folder, classifier, parse("saliency"), toys.segments(), TARGETS)
    (path,) = folder.iterdir()
    assert Randomisation.load(path) == first
    # Other segments: read, not measured again.
    assert kept_randomisation(folder, classifier, parse("saliency"), toys.segments(seed=9), TARGETS) == first
    kept_randomisation(folder, classifier, parse("inputxgradient"), toys.segments(), TARGETS)
    with torch.no_grad():
        classifier.network.top.bias[0] += 1
    kept_randomisation(folder, classifier, parse("saliency"), toys.segments(), TARGETS)
    assert len(list(folder.iterdir())) == 3


def test_a_costly_method_is_tested_cheaply_and_the_test_says_so(tmp_path):
    classifier = toys.linear()
    found = kept_randomisation(tmp_path, classifier, parse("lime:grid=3x3"), toys.segments(), TARGETS)
    assert found.method == "lime:grid=3x3,samples=257,design=hadamard"


@pytest.mark.parametrize("text", ["{}", '{"format": "earwitness-randomisation", "version": 9}', "[1]", "no json"])
def test_a_damaged_test_is_refused(tmp_path, text):
    path = tmp_path / "kept.json"
    path.write_text(text)
    with pytest.raises(errors.EarwitnessError, match=r"kept\.json"):
        Randomisation.load(path)


def made(kept, between=0.0, first=0.0):
    steps = tuple(Step((f"l{i}",), Likeness(one, 0, 0), None, 0.0) for i, one in enumerate([first, 2 * kept - first]))
    return Randomisation(
        method="m", weights="w", segments=3, counted=3, seed=0, between=Likeness(between, 0, 0), steps=steps
    )


def test_the_limit_lies_between_other_segments_maps_and_the_same_map():
    assert made(0.49).explains
    assert not made(0.51).explains
    assert made(0.6, between=0.4).explains
    assert not made(0.6, between=-0.5).explains
    assert not made(0.95, between=1.0).explains
    assert not made(0.47, first=0.94).explains
    assert made(0.42, first=0.84).explains


def test_nothing_to_explain_is_refused():
    with pytest.raises(errors.UsageError, match="no segments"):
        randomisation(deep(), parse("saliency"), toys.segments(0), [])
    with pytest.raises(errors.UsageError, match="one list per segment"):
        randomisation(deep(), parse("saliency"), toys.segments(), TARGETS[:2])


def test_weights_have_a_name_of_their_own():
    assert weights_sha256(Deep()) == weights_sha256(Deep())
    network = Deep()
    with torch.no_grad():
        network.top.bias[0] += 1e-3
    assert weights_sha256(network) != weights_sha256(Deep())


def test_on_vggish_guided_backpropagation_is_caught_and_gradcam_is_not():
    """Random weights stand for trained ones: what each method keeps of them does not come from training."""
    classifier, segments = toys.real("vggish"), toys.real_segments("vggish", 1)
    found = {
        method: randomisation(classifier, parse(method), segments, TARGETS[:1], blocks=3, alone=False)
        for method in ("gradcam", "guidedbackprop")
    }
    assert found["gradcam"].explains
    assert not found["guidedbackprop"].changes
    assert found["guidedbackprop"].kept > 0.8
