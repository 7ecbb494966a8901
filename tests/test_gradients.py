"""Gradient methods against Captum asked directly, against finite differences, and against what they promise."""

from __future__ import annotations

import copy
import subprocess
import sys
import warnings

import captum.attr
import numpy as np
import pytest
import torch
from captum.attr._core import deep_lift
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.explainers.attribution import Target
from earwitness.explainers.gradient.base import GradientMethod
from earwitness.explainers.registry import METHODS
from explain_toys import SILENCE, ToyClassifier, classes_of, convolutional, linear, real, real_segments, segments
from rounding import DEEP, rounding

GRADIENTS = sorted(name for name, method in METHODS.items() if issubclass(method, GradientMethod))
QUICK = {"integratedgradients": {"steps": 16, "budget": 16}, "smoothgrad": {"samples": 8}}
COMPLETE = ("deeplift", "integratedgradients")
IN_CAPTUM = [name for name in GRADIENTS if name != "fullgrad"]


def explain(method, classifier, excerpt, targets, **options):
    return METHODS[method](**QUICK.get(method, {}) | options).attribute(classifier, excerpt, targets)


class Scored(nn.Module):
    """A network whose answer is one target's score, for Captum."""

    def __init__(self, network, target, probability=False):
        super().__init__()
        self.network, self.target = network, target
        self.last = nn.Softmax(-1) if probability else nn.Identity()

    def forward(self, x):
        scores = self.last(self.network(x))
        return scores[:, self.target.index] - (0 if self.target.against is None else scores[:, self.target.against])


def by_captum(method, network, segment, target, probability=False):
    """What Captum says when it is asked for one target of one segment (frames, bands)."""
    model = Scored(network, target, probability)
    x = torch.tensor(segment)[None].to(next(network.parameters())).requires_grad_()
    floor = torch.full_like(x, SILENCE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method == "saliency":
            found = captum.attr.Saliency(model).attribute(x, abs=False)
        elif method == "inputxgradient":
            found = captum.attr.InputXGradient(model).attribute(x)
        elif method == "integratedgradients":
            found = captum.attr.IntegratedGradients(model).attribute(x, baselines=floor, n_steps=16)
        elif method == "deeplift":
            found = captum.attr.DeepLift(model).attribute(x, baselines=floor)
        elif method == "guidedbackprop":
            found = captum.attr.GuidedBackprop(model).attribute(x)
        elif method == "smoothgrad":
            with torch.random.fork_rng():
                torch.manual_seed(0)
                found = captum.attr.NoiseTunnel(captum.attr.Saliency(model)).attribute(
                    x, nt_samples=8, stdevs=0.15 * float(segment.max() - segment.min()), abs=False
                )
    return found[0].detach().numpy()


@pytest.mark.parametrize("score", ["logit", "probability"])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("method", IN_CAPTUM)
def test_equals_captum(method, turned, score):
    classifier, excerpt = convolutional(turned=turned), segments(3)
    if method == "deeplift":  # which divides small differences by small differences
        classifier.network.double()
    targets = [[Target(2), Target(1, against=3)], [Target(0)], [Target(3)]]
    found = explain(method, classifier, excerpt, targets, score=score)
    for one, row in zip(found, [0, 0, 1, 2], strict=True):
        expected = by_captum(method, classifier.network, excerpt.values[row], one.target, score == "probability")
        scale = np.abs(expected).max()
        assert scale > 1e-6
        np.testing.assert_allclose(one.values, expected, rtol=0, atol=rounding(expected))
        np.testing.assert_array_equal(one.native, one.values)
        assert one.score_kind == score


# Captum's DeepLIFT does not add up where maximum pooling and an activation meet, which they do in VGGish and compact.
POOLED = {("deeplift", "vggish"), ("deeplift", "compact")}


@pytest.mark.parametrize(
    ("method", "backbone"),
    sorted({(each, name) for each in IN_CAPTUM for name in ("vggish", "mn04", "compact")} - POOLED),
)
def test_equals_captum_on_backbones(method, backbone, monkeypatch):
    classifier, excerpt = real(backbone), real_segments(backbone, 1)
    monkeypatch.setattr("explain_toys.SILENCE", classifier.front_end.silence)
    monkeypatch.setattr("test_gradients.SILENCE", classifier.front_end.silence)
    for kind in (nn.Hardswish,):  # which Captum's DeepLIFT does not know by itself
        monkeypatch.setitem(deep_lift.SUPPORTED_NON_LINEAR, kind, deep_lift.nonlinear)
    (found,) = explain(method, classifier, excerpt, [[Target(3)]])
    expected = by_captum(method, classifier.network, excerpt.values[0], Target(3))
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found.values, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("method", GRADIENTS)
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
    whole_values = [one.values for one in whole]
    for one, single in zip(whole, alone, strict=True):
        np.testing.assert_allclose(one.values, single.values, rtol=0, atol=rounding(*whole_values))
        assert one.score == pytest.approx(single.score, abs=rounding(1.0))
        assert one.target == single.target


# Guided backpropagation keeps positive gradients, of a difference as of anything.
@pytest.mark.parametrize("method", [name for name in GRADIENTS if name != "guidedbackprop"])
def test_a_contrast_is_the_difference_of_two_maps(method):
    a, b, both = explain(method, convolutional(), segments(1), [[Target(1), Target(2), Target(1, against=2)]])
    np.testing.assert_allclose(both.values, a.values - b.values, rtol=0, atol=rounding(a.values, b.values))


@pytest.mark.parametrize("method", GRADIENTS)
def test_float32_agrees_with_float64(method):
    classifier = convolutional()
    (single,) = explain(method, classifier, segments(1), [[Target(0)]])
    classifier.network.double()
    (double,) = explain(method, classifier, segments(1), [[Target(0)]])
    assert (single.precision, double.precision) == ("float32", "float64")
    np.testing.assert_allclose(single.values, double.values, rtol=0, atol=rounding(double.values))


@pytest.mark.parametrize("method", GRADIENTS)
def test_closed_form_on_a_linear_model(method):
    classifier, excerpt = linear(), segments(1)
    (found,) = explain(method, classifier, excerpt, [[Target(1, against=0)]])
    slope = (classifier.network.weights[1] - classifier.network.weights[0]).detach().numpy()
    x = excerpt.values[0]
    expected = dict.fromkeys(("inputxgradient", "fullgrad"), slope * x)
    expected |= dict.fromkeys(COMPLETE, slope * (x - SILENCE))
    np.testing.assert_allclose(found.values, expected.get(method, slope), atol=rounding(found.values, slope))


def test_saliency_is_the_slope_of_the_score():
    classifier, excerpt = convolutional(), segments(1)
    classifier.network.double()
    (found,) = explain("saliency", classifier, excerpt, [[Target(2)]])
    x, step = torch.tensor(excerpt.values).double(), 1e-6
    for frame, band in [(0, 0), (5, 3), (11, 7)]:
        up, down = x.clone(), x.clone()
        up[0, frame, band] += step
        down[0, frame, band] -= step
        with torch.no_grad():
            slope = (classifier.network(up) - classifier.network(down))[0, 2].item() / (2 * step)
        assert found.values[frame, band] == pytest.approx(slope, abs=1e-6)


# ---- completeness -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", ["floor", "mean", 0.0])
@pytest.mark.parametrize("real", [12, 7])
@pytest.mark.parametrize("method", COMPLETE)
def test_maps_add_up_to_the_difference_of_scores(method, fill, real):
    classifier, excerpt = convolutional(), segments(2, real_frames=[12, real])
    options = {"steps": 512} if method == "integratedgradients" else {}
    found = explain(method, classifier, excerpt, [[Target(0), Target(1, against=2)]] * 2, fill=fill, **options)
    for number, one in enumerate(found):
        row = number // 2
        x = torch.tensor(excerpt.values[row])
        end = int(excerpt.real_frames[row])
        base = x.clone()
        base[:end] = {"floor": SILENCE, "mean": float(x[:end].mean())}.get(fill, fill)
        with torch.no_grad():
            scores, below = classifier.network(torch.stack([x, base]))
        change = scores - below
        expected = change[one.target.index] - (0 if one.target.against is None else change[one.target.against])
        assert one.values.sum() == pytest.approx(expected.item(), abs=1e-3)
        assert one.diagnostics["gap"] == pytest.approx(0, abs=1e-3)
        assert one.fill == str(fill)
        assert "not converged" not in one.flags


def test_integrated_gradients_are_complete_on_compact():
    """Random weights make a ragged path: positive and negative cells outweigh the difference by far."""
    classifier, excerpt = real("compact"), real_segments("compact", 1)
    few, many = (
        explain("integratedgradients", classifier, excerpt, [[Target(3)]], steps=steps)[0] for steps in (32, 256)
    )
    change = many.score - many.diagnostics["reference_score"]
    assert many.values.sum() == pytest.approx(change, abs=1e-3 * float(np.abs(many.values).sum()))
    assert many.diagnostics["gap"] == pytest.approx(change - many.values.sum(), abs=1e-2)
    assert abs(many.diagnostics["gap"]) < abs(few.diagnostics["gap"])


def test_too_few_steps_are_flagged():
    class Step(nn.Module):
        """Changes in one place of the path only."""

        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(200.0))

        def forward(self, x):
            rise = torch.sigmoid(self.scale * (x.mean(dim=(1, 2)) + 2.0))
            return torch.stack([rise, -rise], dim=1)

    classifier = ToyClassifier(Step(), classes_of(2))
    few, many = (
        explain("integratedgradients", classifier, segments(1), [[Target(0)]], steps=steps)[0] for steps in (2, 2048)
    )
    assert "not converged" in few.flags
    assert "not converged" not in many.flags
    assert abs(many.diagnostics["gap"]) < 1e-3 < abs(few.diagnostics["gap"])


def test_steps_are_doubled_until_the_map_adds_up_or_the_budget_is_spent():
    classifier, excerpt = convolutional(), segments(3)
    targets = [[Target(0)], [Target(1)], [Target(1), Target(2)]]
    found = explain("integratedgradients", classifier, excerpt, targets, steps=2, budget=256)
    taken = {one.diagnostics["steps"] for one in found}
    assert len(taken) > 1  # each segment takes what it needs
    for one, row in zip(found, (0, 1, 2, 2), strict=True):
        steps = int(one.diagnostics["steps"])
        (alone,) = explain(
            "integratedgradients", classifier, excerpt.take([row]), [[one.target]], steps=steps, budget=0
        )
        np.testing.assert_allclose(one.values, alone.values, rtol=0, atol=rounding(*(each.values for each in found)))
        assert one.forwards == 2 * steps - 2 + 2
        assert ("not converged" in one.flags) == (abs(one.diagnostics["gap"]) > 1e-3 * np.abs(one.values).sum())


def test_a_deeplift_that_does_not_add_up_is_flagged():
    (pooled,) = explain("deeplift", real("compact"), real_segments("compact", 1), [[Target(3)]])
    assert ("not converged" in pooled.flags) == (abs(pooled.diagnostics["gap"]) > 1e-3 * np.abs(pooled.values).sum())
    assert "not converged" in pooled.flags


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9))
def test_steps_in_batches_are_the_same_path(steps, size):
    classifier, excerpt = convolutional(), segments(1)
    (whole,) = explain("integratedgradients", classifier, excerpt, [[Target(0)]], steps=steps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("earwitness.explainers.inference.scoring.PROCESSOR_CELLS", size * 12 * 8)
        (parted,) = explain("integratedgradients", classifier, excerpt, [[Target(0)]], steps=steps)
    np.testing.assert_allclose(whole.values, parted.values, rtol=0, atol=rounding(whole.values))


# ---- passes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "forwards", "backwards"),
    [
        ("saliency", 1, 1),
        ("inputxgradient", 1, 1),
        ("integratedgradients", 18, 16),
        ("smoothgrad", 9, 8),
        ("guidedbackprop", 1, 1),
        ("deeplift", 2, 1),
    ],
)
def test_cost(method, forwards, backwards):
    classifier = convolutional()
    rows = []
    handle = classifier.network.register_forward_pre_hook(lambda _m, inputs: rows.append(len(inputs[0])))
    found = explain(method, classifier, segments(1), [[Target(0), Target(1), Target(2)]])
    handle.remove()
    assert {(one.forwards, one.backwards) for one in found} == {(forwards, 3 * backwards)}
    assert sum(rows) == forwards + (1 if method == "guidedbackprop" else 0)


def test_noise_and_its_standard_error():
    classifier, excerpt = convolutional(), segments(2, real_frames=[12, 7])
    found = explain("smoothgrad", classifier, excerpt, [[Target(0)], [Target(1)]], samples=64)
    again = explain("smoothgrad", classifier, excerpt, [[Target(0)], [Target(1)]], samples=64)
    other = explain("smoothgrad", classifier, excerpt, [[Target(0)], [Target(1)]], samples=64, seed=1)
    for one, same, two in zip(found, again, other, strict=True):
        np.testing.assert_array_equal(one.values, same.values)
        assert one.values.tobytes() != two.values.tobytes()
        # Two estimates differ by about the square root of two standard errors.
        apart = (one.values - two.values)[: one.real_frames] / one.standard_error[: one.real_frames]
        assert 0.7 < np.sqrt(np.mean(apart**2)) / np.sqrt(2) < 1.4
        assert one.seed == 0
    (still,) = explain("smoothgrad", classifier, excerpt.take([0]), [[Target(0)]], noise=0.0)
    (slope,) = explain("saliency", classifier, excerpt.take([0]), [[Target(0)]])
    np.testing.assert_allclose(still.values, slope.values, rtol=0, atol=rounding(slope.values))


def test_noise_stays_out_of_the_padding_and_out_of_the_global_generator():
    classifier, excerpt = convolutional(), segments(1, real_frames=[7])
    seen = []
    handle = classifier.network.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0].clone()))
    before = torch.get_rng_state()
    explain("smoothgrad", classifier, excerpt, [[Target(0)]])
    handle.remove()
    assert torch.equal(torch.get_rng_state(), before)
    every = torch.cat(seen).detach()
    assert torch.equal(every[:, 7:], torch.tensor(excerpt.values[:, 7:]).expand(9, -1, -1))
    assert every[1:, :7].std(dim=0).min() > 0


# ---- networks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", GRADIENTS)
def test_in_place_layers_change_nothing(method):
    plain, inplace = (
        explain(method, convolutional(inplace=flag), segments(2), [[Target(1)]] * 2) for flag in (False, True)
    )
    for one, two in zip(plain, inplace, strict=True):
        np.testing.assert_array_equal(one.values, two.values)


class ChangesItsInput(nn.Module):
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.dense = nn.Linear(8, 2)

    def forward(self, x):
        x -= 1.0
        return self.dense(x.mean(dim=1))


@pytest.mark.parametrize("method", GRADIENTS)
def test_a_network_that_changes_its_input(method):
    excerpt = segments(1)
    kept = excerpt.values.copy()
    (found,) = explain(method, ToyClassifier(ChangesItsInput(), classes_of(2)), excerpt, [[Target(0)]])
    assert found.values.any()
    np.testing.assert_array_equal(excerpt.values, kept)


@pytest.mark.parametrize("method", GRADIENTS)
def test_leaves_the_network_as_it_was(method):
    classifier = convolutional(inplace=True)
    network = classifier.network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    attributes = {name: set(vars(module)) for name, module in network.named_modules()}
    rules = dict(deep_lift.SUPPORTED_NON_LINEAR)
    with torch.inference_mode():
        first = explain(method, classifier, segments(2), [[Target(0)]] * 2)
    second = explain(method, classifier, segments(2), [[Target(0)]] * 2)
    assert first[1].values.tobytes() == second[1].values.tobytes()
    assert all(module.training for module in network.modules())
    assert [module.inplace for module in network.modules() if isinstance(module, nn.ReLU)] == [True, True]
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    assert not any(getattr(module, name) for module in network.modules() for name in hooks)
    assert {name: set(vars(module)) for name, module in network.named_modules()} == attributes
    assert all(parameter.grad is None for parameter in network.parameters())
    assert rules == deep_lift.SUPPORTED_NON_LINEAR


class Reused(nn.Module):
    """One activation in two places."""

    def __init__(self, functions=False):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.one, self.two = nn.Linear(8, 6), nn.Linear(6, 2)
        self.act, self.functions = nn.ReLU(), functions

    def forward(self, x):
        activate = torch.relu if self.functions else self.act
        return activate(self.two(self.act(self.one(x.mean(dim=1))))) + 1.0


def test_deeplift_takes_an_activation_used_twice_for_two():
    one, excerpt = Reused(), segments(1)
    other = nn.Sequential(copy.deepcopy(one.one), nn.ReLU(), copy.deepcopy(one.two), nn.ReLU())
    (found,) = explain("deeplift", ToyClassifier(one, classes_of(2)), excerpt, [[Target(0)]])
    x = torch.tensor(excerpt.values).mean(dim=1).requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = captum.attr.DeepLift(other).attribute(x, torch.full_like(x, SILENCE), target=0)
    np.testing.assert_allclose(found.values.sum(axis=0), expected[0].detach(), atol=1e-6)


class Pools(nn.Module):
    """Maximum poolings of one to three dimensions, windows that overlap or not, before and after activations."""

    def __init__(self, kind):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body, cells = {
                "alone": lambda: (nn.Sequential(nn.MaxPool2d(2)), 24),
                "overlapping": lambda: (nn.Sequential(nn.MaxPool2d(3, 2, 1)), 24),
                "after": lambda: (nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)), 72),
                "before": lambda: (nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()), 72),
                "1d": lambda: (nn.Sequential(nn.Flatten(1, 2), nn.Conv1d(12, 3, 3), nn.MaxPool1d(2, dilation=2)), 6),
                "3d": lambda: (nn.Sequential(nn.Unflatten(2, (2, 6)), nn.MaxPool3d(2, ceil_mode=True)), 12),
            }[kind]()
            self.last = nn.Linear(cells, 3)

    def forward(self, x):
        return self.last(self.body(x[:, None]).flatten(1))


@pytest.mark.parametrize("kind", ["alone", "overlapping", "after", "before", "1d", "3d"])
def test_deeplift_adds_up_through_maximum_pooling(kind):
    classifier, excerpt = ToyClassifier(Pools(kind).double(), classes_of(3)), segments(2, real_frames=[12, 12])
    for one in explain("deeplift", classifier, excerpt, [[Target(0), Target(1, against=2)]] * 2, fill=0.0):
        assert np.abs(one.values).sum() > 0.1
        assert abs(one.diagnostics["gap"]) < 1e-5 * np.abs(one.values).sum()
        assert "not converged" not in one.flags
    if kind == "alone":
        expected = torch.zeros(12, 8, dtype=torch.float64)
        network, values = classifier.network, torch.tensor(excerpt.values[0]).double()
        weights = network.last.weight[0].view(6, 4)
        for row in range(6):
            for column in range(4):
                window = (slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2))
                highest = values[window].max()  # against silence of 0, whose first cell is its maximum
                mine, zero = (values[window] == highest).nonzero()[0], torch.tensor([0, 0])
                rise, fall = highest.clamp(min=0), highest.clamp(max=0)
                for place, share in ((mine, rise), (zero, fall)):
                    cell = (2 * row + int(place[0]), 2 * column + int(place[1]))
                    expected[cell] += weights[row, column].detach() * share
        (found,) = explain("deeplift", classifier, excerpt.take([0]), [[Target(0)]], fill=0.0)
        np.testing.assert_allclose(found.values, expected, atol=1e-6)


def test_deeplift_takes_several_segments_at_once():
    deeplift, (frames, bands) = METHODS["deeplift"](), real_segments("mn04", 1).values.shape[1:]
    exact = copy.deepcopy(real("mn04").network).double()  # the rules divide by small differences, which round
    classifier, excerpt = ToyClassifier(exact, classes_of(10)), real_segments("mn04", 3)
    assert deeplift.together(classifier, frames, bands) > 3
    targets = [[Target(1), Target(2, against=0)], [], [Target(3)]]
    calls = []
    handle = classifier.network.register_forward_pre_hook(lambda *_: calls.append(1))
    found = deeplift.attribute(classifier, excerpt, targets)
    handle.remove()
    assert len(calls) == 1  # segments, references and all targets
    alone = [one for row in (0, 2) for one in deeplift.attribute(classifier, excerpt.take([row]), [targets[row]])]
    for one, single in zip(found, alone, strict=True):
        np.testing.assert_allclose(one.values, single.values, rtol=0, atol=rounding(single.values, units=DEEP))
        assert (one.forwards, one.backwards) == (single.forwards, single.backwards)


def test_guided_backpropagation_refuses_relus_that_it_cannot_find():
    with pytest.raises(UsageError, match=r"guidedbackprop: 1 of the network's 2 ReLUs are functions"):
        explain("guidedbackprop", ToyClassifier(Reused(functions=True), classes_of(2)), segments(1), [[Target(0)]])
    (found,) = explain("guidedbackprop", ToyClassifier(Reused(), classes_of(2)), segments(1), [[Target(0)]])
    assert found.diagnostics["relus"] == 2


def test_guided_backpropagation_by_hand():
    """Every ReLU lets through what is positive in both directions."""
    classifier, excerpt = ToyClassifier(Reused(), classes_of(2)), segments(1)
    network = classifier.network
    hidden = network.one(torch.tensor(excerpt.values).mean(dim=1))[0].detach()
    out = network.two(hidden.clamp(min=0)).detach()
    for target in range(2):
        (found,) = explain("guidedbackprop", classifier, excerpt, [[Target(target)]])
        above = float(out[target] > 0)
        back = (network.two.weight[target] * above).clamp(min=0) * (hidden > 0)
        expected = (back @ network.one.weight).detach().numpy() / 12
        np.testing.assert_allclose(found.values, np.tile(expected, (12, 1)), atol=rounding(network.one.weight))


@pytest.mark.parametrize("backbone", ["vggish", "mn04", "compact"])
def test_every_activation_of_the_backbones_is_a_module_used_once(backbone):
    classifier, excerpt = real(backbone), real_segments(backbone, 1)
    (found,) = explain("guidedbackprop", classifier, excerpt, [[Target(0)]])
    assert found.diagnostics["relus"] == sum(isinstance(each, nn.ReLU) for each in classifier.network.modules())
    (found,) = explain("deeplift", classifier, excerpt, [[Target(0)]])
    assert found.values.any()


# ---- what all keep ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", GRADIENTS)
def test_silence_constants_and_padding_are_flagged(method):
    excerpt = segments(2, real_frames=[12, 7])
    excerpt.values[0] = SILENCE
    quiet, padded = explain(method, convolutional(), excerpt, [[Target(0)]] * 2)
    assert "silent" in quiet.flags
    assert "padded" in padded.flags
    assert not padded.values[7:].any()
    classifier = convolutional()
    with torch.no_grad():
        classifier.network.head[2].weight.zero_()
    (flat,) = explain(method, classifier, segments(1), [[Target(0)]])
    assert "constant" in flat.flags
    assert not flat.values.any()


@pytest.mark.parametrize("method", GRADIENTS)
def test_nan_scores_and_wrong_targets_are_refused(method):
    classifier = convolutional()
    with pytest.raises(UsageError, match="target 4 is out of range"):
        explain(method, classifier, segments(1), [[Target(4)]])
    with torch.no_grad():
        classifier.network.head[2].bias[0] = float("nan")
    with pytest.raises(EarwitnessError, match=r"file1.wav at 0.24 s: the network's score is NaN"):
        explain(method, classifier, segments(2).take([1]), [[Target(0)]])


def test_captum_is_not_imported_before_it_is_needed():
    program = "import sys, earwitness.explainers.registry as e; e.parse('deeplift'); e.catalogue(); "
    program += "sys.exit('captum' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
