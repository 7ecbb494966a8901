"""A copy of a network made for many passes answers what the network answers; bfloat16 is used where it ranks alike."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from earwitness.audio.segments import Segments
from earwitness.core.progress import Silent
from earwitness.explainers.attribution import Target
from earwitness.explainers.inference.optimised import LARGEST_MAP, rows_of, swift
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.perturbation import precision
from earwitness.explainers.perturbation.occlusion import Occlusion
from earwitness.explainers.perturbation.scoring import Scoring
from earwitness.explainers.registry import parse
from explain_toys import ToyClassifier, classes_of, convolutional, linear, real, real_segments, segments
from rounding import DEEP, rounding


def around(network, classes=3):
    return ToyClassifier(network.eval(), classes_of(classes))


class Odd(nn.Module):
    """What a copy must not spoil: a layer used twice, and an output that is used after its activation."""

    def __init__(self, kind):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.body = nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU())
            self.last = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3))
        self.body[1].running_mean.fill_(0.3)
        self.kind = kind

    def forward(self, x):
        maps = self.body[0](x[:, None])
        if self.kind == "norm left out":
            return self.last(maps)
        heard = self.body[2](maps)
        return self.last(heard + 2 * maps)


@pytest.mark.parametrize("backbone", ["vggish", "mn04"])
def test_backbones_answer_alike_with_less_work(backbone):
    classifier, excerpt = Prepared(real(backbone)), real_segments(backbone, 2)
    state = {name: value.clone() for name, value in classifier.network.state_dict().items()}
    ready = swift(classifier, excerpt)
    assert ready.network is not classifier.network
    x = torch.tensor(excerpt.values)
    with torch.inference_mode():
        expected, found = classifier.network(x), ready.logits(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=rounding(expected, units=DEEP))
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in ready.network.modules())
    assert norms == 0
    assert 8 <= ready.rows <= 128
    assert all(torch.equal(state[name], value) for name, value in classifier.network.state_dict().items())
    assert not any("forward" in vars(module) for module in classifier.network.modules())


@pytest.mark.parametrize("kind", ["norm left out", "used after its activation"])
def test_a_network_that_a_copy_would_spoil_is_used_itself(kind):
    classifier, excerpt = around(Odd(kind)), segments(2)
    prepared = Prepared(classifier)
    assert swift(prepared, excerpt).network is prepared.network
    (found,) = Occlusion(score="logit").attribute(classifier, excerpt.take([0]), [[Target(1)]])
    with torch.inference_mode():
        expected = classifier.network(torch.tensor(excerpt.values[:1]))[0, 1].item()
    assert found.score == pytest.approx(expected, abs=rounding(1.0))


def test_hooked_double_and_plain_networks_are_left_alone():
    hooked, doubled = convolutional(), convolutional()
    hooked.network.features[0].register_forward_hook(lambda *_: None)
    doubled.network.double()
    for classifier, name in ((hooked, "float32"), (linear(), "float32")):
        prepared = Prepared(classifier)
        ready = swift(prepared, segments(1))
        assert (ready.network, ready.precision) == (prepared.network, name)
    twice = ToyClassifier(
        nn.Sequential(nn.Unflatten(1, (1, 12)), nn.Conv2d(1, 3, (12, 8)), nn.Flatten()).double(), ("a", "b", "c")
    )
    assert swift(Prepared(twice), segments(1)).precision == "float64"
    (found,) = Occlusion(precision="bfloat16").attribute(twice, segments(1), [[Target(0)]])
    assert found.precision == "float64"


@pytest.mark.parametrize("change", ["in place", "through data", "in another order", "another tensor", "another module"])
def test_changed_weights_are_noticed(change):
    classifier, excerpt = convolutional(), segments(1)
    prepared = Prepared(classifier)
    before = Occlusion(score="logit").attribute(prepared, excerpt, [[Target(0)]])[0]
    conv = classifier.network.features[0]
    with torch.no_grad():
        if change == "in place":
            conv.weight.mul_(1.5)
        elif change == "through data":
            conv.weight.data.mul_(1.5)
        elif change == "in another order":
            conv.weight.data.copy_(conv.weight.data.flip(0))
        elif change == "another tensor":
            conv.weight = nn.Parameter(conv.weight * 1.5)
        else:
            classifier.network.features[2] = nn.Tanh()
    fresh = ToyClassifier(copy.deepcopy(classifier.network), classifier.classes)
    after, expected = (
        Occlusion(score="logit").attribute(each, excerpt, [[Target(0)]])[0] for each in (prepared, fresh)
    )
    assert after.values.tobytes() == expected.values.tobytes()
    assert after.score != pytest.approx(before.score, abs=1e-4)


@given(st.integers(1, 10**9), st.integers(0, 10**9))
def test_batches_hold_a_map_that_fits(widest, weights):
    rows = rows_of(widest, weights)
    assert rows >= 1
    if rows > 1:
        assert rows * widest <= max(LARGEST_MAP, weights)


def test_what_hides_the_same_is_heard_once():
    classifier, excerpt = linear(), segments(2, real_frames=[12, 6])
    masks = torch.zeros(6, 12, 8, dtype=torch.bool)
    masks[1, 2:4], masks[2, 2:4], masks[3, 8:], masks[4, 2:4], masks[4, 8:], masks[5] = (True,) * 6

    class Repeating:
        count = 6

        def hidden(self, segment, start, stop):
            return masks[start:stop]

    heard = Scoring(
        Prepared(classifier), excerpt, [[Target(0)]] * 2, Repeating(), fill=0.5, kind="logit", advance=lambda _: None
    )
    heard.score([0, 1], 3)
    heard.score([0, 1], 6)
    # In the padded segment, the fourth mask hides nothing and the fifth what the second hid.
    assert heard.forwards == [5, 3]
    for values, frames, scores in zip(excerpt.values, excerpt.real_frames, heard.scores, strict=True):
        hole = masks.numpy() & (np.arange(12) < frames)[:, None]
        x = torch.tensor(np.where(hole, np.float32(0.5), values))
        np.testing.assert_allclose(scores[:, 0], classifier.network(x)[:, 0].detach(), atol=rounding(scores, 10.0))


# ---- bfloat16 -----------------------------------------------------------------------------------------------------

SMALL = ["occlusion", "lime:samples=64,grid=3x3", "rise:samples=40", "shapley:grid=2x2", "kernelshap:grid=2x2"]


@pytest.mark.parametrize("method", SMALL)
def test_every_perturbation_method_listens_in_bfloat16(method):
    mark = "," if ":" in method else ":"
    classifier, excerpt = convolutional(), segments(2)
    exact = parse(method).attribute(classifier, excerpt, [[Target(0)], [Target(1)]])
    explainer = parse(f"{method}{mark}precision=bfloat16")
    found = explainer.attribute(classifier, excerpt, [[Target(0)], [Target(1)]])
    for one, other in zip(exact, found, strict=True):
        assert other.parameters["precision"] == "bfloat16"
        agreement = other.diagnostics["precision_agreement"]
        assert other.precision == ("bfloat16" if agreement >= precision.AGREEMENT else "float32")
        if other.precision == "bfloat16":
            assert np.abs(other.values - one.values).max() <= 0.05 * np.abs(one.values).max()
            assert other.values.tobytes() != one.values.tobytes()
        else:
            assert other.values.tobytes() == one.values.tobytes()
    again = explainer.attribute(classifier, excerpt, [[Target(0)], [Target(1)]])
    assert [one.values.tobytes() for one in again] == [one.values.tobytes() for one in found]
    assert [one.diagnostics for one in again] == [one.diagnostics for one in found]


def test_bfloat16_is_checked_once_for_weights_as_they_are(monkeypatch):
    classifier, checked = convolutional(), []
    prepared = Prepared(classifier)
    monkeypatch.setattr(precision, "agreement", lambda *_: checked.append(1) or 1.0)
    explainer = Occlusion(mask=0.5, stride=0.5, precision="bfloat16")
    for times in (1, 1, 2, 2):
        if times > len(checked):
            classifier.network.features[0].weight.data[0] += 0.1
        explainer.attribute(prepared, segments(1), [[Target(0)]])
        assert len(checked) == times


class Told(Silent):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def test_bfloat16_that_ranks_otherwise_falls_back_and_says_so():
    classifier, excerpt = convolutional(), segments(1)
    with torch.no_grad():  # cells matter so little beside this that bfloat16 cannot tell them apart
        classifier.network.features[0].bias += 40.0
    told = Told()
    (found,) = Occlusion(precision="bfloat16", score="logit").attribute(classifier, excerpt, [[Target(0)]], told)
    (exact,) = Occlusion(score="logit").attribute(classifier, excerpt, [[Target(0)]])
    assert found.diagnostics["precision_agreement"] < 0.99
    assert found.precision == "float32"
    assert found.values.tobytes() == exact.values.tobytes()
    (line,) = told.lines
    assert line.startswith("occlusion: bfloat16 ranks what is hidden otherwise than float32 does (agreement ")


def test_auto_is_bfloat16_only_where_it_is_native(monkeypatch):
    classifier, excerpt = convolutional(), segments(1)
    for native in (True, False):
        monkeypatch.setattr(precision, "fast_bfloat16", lambda _device, native=native: native)
        (found,) = Occlusion(precision="auto").attribute(classifier, excerpt, [[Target(0)]])
        assert ("precision_agreement" in found.diagnostics) is native


def test_silence_has_no_order_to_keep():
    values = np.full((1, 12, 8), -4.6, np.float32)
    silent = Segments(values, np.zeros(1, np.int64), np.array([12]), ("quiet.wav",))
    (found,) = Occlusion(precision="bfloat16").attribute(convolutional(), silent, [[Target(0)]])
    assert found.diagnostics["precision_agreement"] == 1.0
    assert set(found.flags) == {"silent", "constant"}


def test_vggish_ranks_alike_in_bfloat16():
    classifier, excerpt = real("vggish"), real_segments("vggish", 1)
    (found,) = Occlusion(mask=0.5, stride=0.25, precision="bfloat16", score="logit").attribute(
        classifier, excerpt, [[Target(0)]]
    )
    assert found.precision == "bfloat16"
    assert 0.99 <= found.diagnostics["precision_agreement"] < 1.0
    assert dataclasses.replace(found).parameters["precision"] == "bfloat16"
