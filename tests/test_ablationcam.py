"""Ablation-CAM and Score-CAM against the whole network run again for every channel."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from earwitness.explainers.attribution import Target
from earwitness.explainers.cam.ablation_cam import AblationCam
from earwitness.explainers.cam.score_cam import ScoreCam
from earwitness.explainers.inference.layers import Layer
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.inference.suffix import Rest
from explain_toys import SILENCE, ToyClassifier, classes_of, convolutional, real, real_segments, segments
from rounding import DEEP, rounding


def rerun(classifier, segment, layer, change):
    """Logits of the whole network, the layer's output changed by a function."""
    module = classifier.network.get_submodule(layer)
    handle = module.register_forward_hook(lambda _m, _i, output: change(output.clone()))
    try:
        with torch.no_grad():
            return classifier.network(torch.tensor(segment.values).to(next(classifier.network.parameters())))[0]
    finally:
        handle.remove()


def without(channel):
    def change(maps):
        maps[:, channel] = 0
        return maps

    return change


def by_hand(classifier, segment, target, layer, probability=False):
    seen = []
    activate = (lambda z: z.softmax(-1)) if probability else (lambda z: z)
    whole = activate(rerun(classifier, segment, layer, lambda maps: seen.append(maps.clone()) or maps))
    maps = seen[0][0]

    def of(scores):
        return (scores[target.index] - (0 if target.against is None else scores[target.against])).item()

    cam = sum(
        (of(whole) - of(activate(rerun(classifier, segment, layer, without(k))))) * maps[k] for k in range(len(maps))
    )
    axes = getattr(classifier.network, "map_axes", ("time", "frequency"))
    return (cam.T if axes[0] == "frequency" else cam).numpy()


class Shortcuts(nn.Module):
    """A shortcut around the layer, one activation used twice, a list of outputs, a concatenation."""

    feature_layer = "second"

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first, self.second = nn.Conv2d(1, 5, 3, padding=1), nn.Conv2d(5, 5, 3, padding=1)
            self.third, self.dense = nn.Conv2d(10, 4, 3, padding=1), nn.Linear(4, 3)
        self.relu = nn.ReLU()

    def forward(self, x):
        early = self.relu(self.first(x[:, None]))
        late = self.second(early) + early
        both = torch.cat([self.relu(late), early], dim=1)
        return self.dense(self.relu(self.third(both)).mean(dim=(2, 3)))


class Changing(nn.Module):
    """Changes its tensors in place between modules, before and after the layer."""

    feature_layer = "second"

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first, self.second = nn.Conv2d(1, 5, 3, padding=1), nn.Conv2d(5, 6, 3, padding=1)
            self.dense = nn.Linear(6, 3)

    def forward(self, x):
        maps = self.first(x[:, None])
        maps += 1.0
        maps = self.second(maps)
        maps *= 1.5
        return self.dense(maps.tanh_().mean(dim=(2, 3)))


def toys():
    return {
        "plain": (convolutional(), "features.2"),
        "turned": (convolutional(turned=True), "features.4"),
        "inplace": (convolutional(inplace=True), "features.1"),
        "shortcuts": (ToyClassifier(Shortcuts(), classes_of(3)), "second"),
        "changing": (ToyClassifier(Changing(), classes_of(3)), "second"),
    }


@pytest.mark.parametrize("toy", sorted(toys()))
@pytest.mark.parametrize("score", ["logit", "probability"])
def test_equals_the_whole_network_with_each_channel_zeroed(toy, score):
    classifier, layer = toys()[toy]
    classifier.network.double()
    excerpt = segments(2)
    targets = [[Target(1), Target(2, against=0)]] * 2
    found = AblationCam(layer=layer, score=score).attribute(classifier, excerpt, targets)
    for number, one in enumerate(found):
        expected = by_hand(classifier, excerpt.take([number // 2]), one.target, layer, score == "probability")
        assert np.abs(expected).max() > 1e-6
        np.testing.assert_allclose(one.native, expected, rtol=1e-5, atol=1e-7)
        assert one.diagnostics["rest_alone"] == float(toy != "changing")


def test_equals_the_whole_network_on_mn04_with_its_shortcuts():
    classifier, excerpt = real("mn04"), real_segments("mn04", 1)
    layer = "features.4.block.0.2"  # 32 channels, with excitation and a shortcut above
    (found,) = AblationCam(layer=layer).attribute(classifier, excerpt, [[Target(3)]])
    expected = by_hand(classifier, excerpt, Target(3), layer)
    assert found.diagnostics["rest_alone"] == 1
    np.testing.assert_allclose(found.native, expected, rtol=0, atol=rounding(expected, units=4 * DEEP))


class ChangesItsInput(Shortcuts):
    """Changes what it is given, before any module runs."""

    def forward(self, x):
        x -= 1.0
        return super().forward(x)


@pytest.mark.parametrize("count", [1, 3])
def test_a_network_that_changes_its_input(count):
    network, excerpt = ChangesItsInput(), segments(count)
    kept = excerpt.values.copy()
    changing, plain = (ToyClassifier(one.eval(), classes_of(3)) for one in (network, Shortcuts()))
    found = AblationCam().attribute(changing, excerpt, [[Target(1)]] * count)
    excerpt.values[:] = kept
    moved = dataclasses.replace(excerpt, values=kept - 1)
    for one, expected in zip(found, AblationCam().attribute(plain, moved, [[Target(1)]] * count), strict=True):
        np.testing.assert_allclose(one.native, expected.native, rtol=0, atol=rounding(1.0))


@pytest.mark.parametrize("method", [AblationCam, ScoreCam])
def test_channels_of_several_segments_share_passes(method):
    """Of four segments as of each alone, in fewer passes."""
    classifier, excerpt = real("compact"), real_segments("compact", 4)
    targets = [[Target(1)], [Target(2), Target(0, against=3)], [], [Target(4)]]
    calls = []
    handle = classifier.network.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        whole = method().attribute(classifier, excerpt, targets)
        together = len(calls)
        calls.clear()
        alone = [one for row in range(4) for one in method().attribute(classifier, excerpt.take([row]), [targets[row]])]
    finally:
        handle.remove()
    assert together < len(calls)
    for one, single in zip(whole, alone, strict=True):
        np.testing.assert_allclose(one.native, single.native, atol=1e-4 * np.abs(single.native).max())
        assert (one.forwards, one.diagnostics) == (single.forwards, single.diagnostics)


@pytest.mark.parametrize("backbone", ["vggish", "mn04", "compact"])
def test_rest_of_a_backbone_answers_what_the_whole_answers(backbone):
    classifier, excerpt = real(backbone), real_segments(backbone, 1)
    layer = classifier.network.feature_layer
    with torch.inference_mode():
        rest = Rest(Layer("ablationcam", Prepared(classifier), layer), excerpt)
        assert rest.alone
        maps = rest.maps[[0, 0, 0]]
        for k in range(3):
            maps[k, k * 7] = 0
        found = rest.logits(maps, torch.zeros(3, dtype=torch.long))
    expected = torch.stack([rerun(classifier, excerpt, layer, without(k * 7)) for k in range(3)])
    torch.testing.assert_close(found.clone(), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_what_comes_before_the_layer_runs_once():
    classifier = convolutional()
    network, rows = classifier.network, {}

    def count(name):
        def hook(module, inputs):
            # A module that answers from memory is asked, but computes nothing.
            if "forward" not in vars(module):
                rows[name] = rows.get(name, 0) + len(inputs[0])

        return hook

    for name in ("features.0", "features.3", "features.5", "head"):
        network.get_submodule(name).register_forward_pre_hook(count(name))
    (found,) = AblationCam().attribute(classifier, segments(1), [[Target(0), Target(1)]])[:1]
    live = int(found.diagnostics["channels"])
    assert 0 < live <= 8
    assert rows["features.0"] == rows["features.3"] == 1
    assert rows["features.5"] == rows["head"] == 1 + 2 + live  # the whole pass, the trial with two rows, the channels
    assert (found.forwards, found.backwards) == (1 + live, 0)


def test_channels_at_zero_are_not_tried():
    classifier, excerpt = convolutional(), segments(1)
    classifier.network.double()
    with torch.no_grad():
        classifier.network.features[3].weight[2:5] = 0
        classifier.network.features[3].bias[2:5] = -1
    (found,) = AblationCam().attribute(classifier, excerpt, [[Target(0)]])
    assert found.diagnostics["channels"] <= 5
    np.testing.assert_allclose(found.native, by_hand(classifier, excerpt, Target(0), "features.4"), atol=1e-8)


def test_channels_are_run_in_batches(monkeypatch):
    classifier = convolutional()
    (whole,) = AblationCam(layer="features.0").attribute(classifier, segments(1), [[Target(0)]])
    monkeypatch.setattr("earwitness.explainers.inference.suffix.PROCESSOR_NUMBERS", 2 * 6 * 12 * 8 + 5)
    (parted,) = AblationCam(layer="features.0").attribute(classifier, segments(1), [[Target(0)]])
    np.testing.assert_allclose(whole.values, parted.values, rtol=0, atol=rounding(1.0))


def test_one_linear_layer_after_the_map():
    """The drop is the channel's own contribution: weight times mean activation."""

    class Pooled(nn.Module):
        feature_layer = "conv"

        def __init__(self):
            super().__init__()
            with torch.random.fork_rng():
                torch.manual_seed(0)
                self.conv, self.dense = nn.Conv2d(1, 5, 3, padding=1), nn.Linear(5, 3)

        def forward(self, x):
            return self.dense(self.conv(x[:, None]).mean(dim=(2, 3)))

    network, excerpt = Pooled(), segments(1)
    (found,) = AblationCam().attribute(ToyClassifier(network, classes_of(3)), excerpt, [[Target(2)]])
    maps = network.conv(torch.tensor(excerpt.values)[:, None])[0]
    drops = network.dense.weight[2] * maps.mean(dim=(1, 2))
    np.testing.assert_allclose(found.native, torch.einsum("k,kfb->fb", drops, maps).detach(), atol=rounding(1.0))


# ---- Score-CAM ----------------------------------------------------------------------------------------------------


def score_cam_by_hand(classifier, excerpt, target, layer, weights):
    """One channel after another, on a segment without padding."""
    network, x = classifier.network, torch.tensor(excerpt.values)
    seen = []
    rerun(classifier, excerpt, layer, lambda maps: seen.append(maps.clone()) or maps)
    maps = seen[0][0]

    def score(values):
        with torch.no_grad():
            logits = network(values.float())[0].double()
        return (logits[target.index] - (0 if target.against is None else logits[target.against])).item()

    floor = torch.full_like(x, SILENCE)
    scores = []
    for channel in maps:
        upright = channel.T if getattr(network, "turned", False) else channel
        spread = upright.max() - upright.min()
        scaled = (upright - upright.min()) / spread if spread > 0 else torch.zeros_like(upright)
        mask = nn.functional.interpolate(scaled[None, None], size=x.shape[1:], mode="bilinear")[0]
        scores.append(score(x * mask + floor * (1 - mask)) - score(floor))
    weight = np.array(scores)
    if weights == "softmax":
        weight = np.exp(weight - weight.max())
        weight /= weight.sum()
    cam = np.einsum("k,kfb->fb", weight, maps.numpy())
    return cam.T if getattr(network, "turned", False) else cam


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("weights", ["softmax", "increase"])
@pytest.mark.parametrize("layer", ["features.2", "features.4"])
def test_score_cam_equals_one_channel_after_another(turned, weights, layer):
    classifier, excerpt = convolutional(turned=turned), segments(2)
    with torch.no_grad():  # a channel that is the same everywhere
        classifier.network.features[3].weight[2] = 0
    targets = [[Target(1), Target(2, against=0)]] * 2
    found = ScoreCam(layer=layer, weights=weights).attribute(classifier, excerpt, targets)
    for number, one in enumerate(found):
        expected = score_cam_by_hand(classifier, excerpt.take([number // 2]), one.target, layer, weights)
        np.testing.assert_allclose(one.native, expected, rtol=0, atol=rounding(1.0, expected))
        assert one.fill == "floor"
        assert one.forwards == 2 + one.diagnostics["channels"]
    assert layer != "features.4" or found[0].diagnostics["channels"] <= 7


def test_score_cam_leaves_padding_alone():
    classifier, excerpt = convolutional(), segments(1, real_frames=[7])
    seen = []
    handle = classifier.network.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0].clone()))
    ScoreCam(fill="mean").attribute(classifier, excerpt, [[Target(0)]])
    handle.remove()
    every = torch.cat(seen)
    assert len(every) > 3
    assert torch.equal(every[:, 7:], torch.tensor(excerpt.values[:, 7:]).expand(len(every), -1, -1))
    mean = excerpt.values[0, :7].mean()
    torch.testing.assert_close(every[1, :7], torch.full((7, 8), float(mean)))
