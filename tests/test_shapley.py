"""Shapley values: brute force over all coalitions, Captum, completeness, standard errors, stopping."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from captum.attr import KernelShap as CaptumKernelShap
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from earwitness.core.errors import UsageError
from earwitness.explainers.attribution import Grid, Target
from earwitness.explainers.inference import optimised
from earwitness.explainers.perturbation.kernel_shap import KernelShap, coalitions_by_size, constrained_fit
from earwitness.explainers.perturbation.shapley import Shapley, antithetic_orders, every_coalition, exact_shapley
from earwitness.explainers.registry import parse
from explain_toys import ToyClassifier, classes_of, convolutional, linear, segments
from rounding import rounding
from test_lime import by_hand

METHODS = (Shapley, KernelShap)


def brute_force(value, parts):
    """Shapley values by their definition: the mean over all orders, in its form over subsets."""
    found = np.zeros(parts)
    for part in range(parts):
        others = [other for other in range(parts) if other != part]
        for size in range(parts):
            for before in itertools.combinations(others, size):
                weight = math.factorial(size) * math.factorial(parts - size - 1) / math.factorial(parts)
                found[part] += weight * (value(frozenset(before) | {part}) - value(frozenset(before)))
    return found


def game_of(classifier, segment, rows, columns, target, fill):
    """The score as a function of which rectangles are heard; every value is kept, as brute force asks often."""
    frame, band = (np.arange(n) * k // n for n, k in zip(segment.shape, (rows, columns), strict=True))
    labels = frame[:, None] * columns + band
    known = {}

    def value(heard):
        if heard not in known:
            copy = torch.tensor(np.where(np.isin(labels, sorted(heard)), segment, fill), dtype=torch.float32)
            with torch.no_grad():
                known[heard] = classifier.network(copy[None])[0].softmax(-1)[target].item()
        return known[heard]

    return value


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 8), st.integers(0, 10**6))
def test_exact_values_of_random_games(parts, seed):
    scores = np.random.default_rng(seed).standard_normal(2**parts)
    kept = every_coalition(parts)
    known = {frozenset(np.flatnonzero(row).tolist()): score for row, score in zip(kept, scores, strict=True)}
    assert kept[0].all()
    assert not kept[-1].any()
    expected = brute_force(known.__getitem__, parts)
    np.testing.assert_allclose(exact_shapley(scores), expected, atol=1e-12)
    assert exact_shapley(scores).sum() == pytest.approx(scores[0] - scores[-1])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("rows", "columns"), [(2, 1), (4, 2), (5, 2)])
def test_equal_brute_force_on_a_network(method, rows, columns):
    classifier, excerpt = convolutional(), segments(1, 20, 8)
    excerpt.values[:] = excerpt.values * 2
    explainer = method(grid=(rows, columns), fill=-1.0, score="probability")
    (found,) = explainer.attribute(classifier, excerpt, [[Target(2)]])
    value = game_of(classifier, excerpt.values[0], rows, columns, 2, -1.0)
    expected = brute_force(value, rows * columns)
    np.testing.assert_allclose(found.native.ravel(), expected, atol=rounding(1.0))
    assert np.abs(expected).max() > 1e-3
    assert not found.standard_error.any()
    assert found.forwards == 2 ** (rows * columns)


@pytest.mark.parametrize(
    "explainer",
    [
        Shapley(grid=(4, 2), samples=200, fill=-1.0, score="probability"),
        KernelShap(grid=(4, 2), samples=60, fill=-1.0, score="probability"),
        KernelShap(grid=(4, 2), samples=60, fill=-1.0, score="probability", sizes="even"),
    ],
)
def test_sampled_values_lie_about_the_exact_ones_as_far_as_they_say(explainer):
    classifier, excerpt = convolutional(), segments(1)
    value = game_of(classifier, excerpt.values[0], 4, 2, 1, -1.0)
    exact = brute_force(value, 8).reshape(4, 2)
    found = []
    for seed in range(60):
        one = type(explainer)(**{**vars(explainer), "seed": seed}).attribute(classifier, excerpt, [[Target(1)]])[0]
        found.append((one.native, one.standard_error))
    values, errors = (np.array(each, dtype=float) for each in zip(*found, strict=True))
    spread = values.std(axis=0)
    assert (spread > 0).all()
    np.testing.assert_allclose(values.mean(axis=0), exact, atol=4 * spread.max() / math.sqrt(60))
    said = np.sqrt((errors**2).mean())
    assert 0.6 < said / np.sqrt((spread**2).mean()) < 1.6


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("samples", [128, 400])
def test_additive_networks_are_exact_whatever_the_draw(method, samples):
    classifier, excerpt = linear(), segments(2)
    explainer = method(grid=(4, 4), samples=samples, fill=0.5, score="logit")
    found = explainer.attribute(classifier, excerpt, [[Target(0)], [Target(2, against=1)]])
    for one, segment in zip(found, excerpt.values, strict=True):
        grid = Grid.whole(12, 8, 4, 4)
        expected = by_hand(classifier, segment, one.target.index, grid, 0.5)
        if one.target.against is not None:
            expected -= by_hand(classifier, segment, one.target.against, grid, 0.5)
        np.testing.assert_allclose(one.native, expected, atol=1e-4)
        assert one.forwards <= samples
        assert one.standard_error.max() < 1e-5


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("score", ["logit", "probability"])
@pytest.mark.parametrize("options", [{}, {"parts": "time"}, {"parts": "bands", "samples": 40}, {"samples": 100}])
def test_values_add_up(method, score, options):
    classifier, excerpt = convolutional(), segments(2)
    explainer = method(**{"grid": (4, 4), "samples": 300, "score": score, **options})
    for one in explainer.attribute(classifier, excerpt, [[Target(0), Target(1, against=3)]] * 2):
        total = one.score - one.diagnostics["empty_score"]
        assert one.native.astype(float).sum() == pytest.approx(total, abs=1e-5)
        assert one.diagnostics["completeness_gap"] == pytest.approx(0, abs=1e-9)
        assert one.native.shape == {"time": (4, 1), "bands": (1, 4)}.get(explainer.parts, (4, 4))


def test_kernel_shap_equals_captum_s_with_samples_enough():
    classifier, excerpt = convolutional(), segments(1)
    (found,) = KernelShap(grid=(3, 2), fill=0.0, score="logit").attribute(classifier, excerpt, [[Target(1)]])
    mask = torch.tensor(found_labels(12, 8, 3, 2))
    torch.manual_seed(0)
    theirs = CaptumKernelShap(classifier.network).attribute(
        torch.tensor(excerpt.values), target=1, feature_mask=mask[None], n_samples=1500, perturbations_per_eval=100
    )
    ours = torch.tensor(found.values)
    # Captum holds the sum by heavy weights and draws subsets by chance.
    np.testing.assert_allclose(theirs[0].numpy(), ours, atol=0.02 * float(ours.abs().max()))


def found_labels(frames, bands, rows, columns):
    return (np.arange(frames) * rows // frames)[:, None] * columns + np.arange(bands) * columns // bands


def test_constrained_fit_of_all_coalitions_is_the_shapley_value():
    parts = 6
    rng = np.random.default_rng(0)
    scores = rng.standard_normal(2**parts)
    kept = every_coalition(parts)
    size = kept.sum(axis=1)
    between = slice(1, -1)
    weights = np.array([1 / (math.comb(parts, s) * s * (parts - s)) for s in size[between]])
    values, error = constrained_fit(
        kept[between].astype(float), scores[between] - scores[-1], weights, scores[0] - scores[-1], 2**parts - 2
    )
    np.testing.assert_allclose(values, exact_shapley(scores), atol=1e-10)
    assert error is None


@given(st.integers(5, 20), st.integers(0, 200), st.integers(0, 99), st.booleans())
def test_coalitions_by_size(parts, more, seed, even):
    samples = min(2 * parts + 6 + more, 2**parts - 1)
    if samples < 2 * parts + 6:
        return
    drawn = coalitions_by_size(parts, samples, seed, even=even)
    kept, complete = drawn.kept, drawn.complete
    assert samples - 2 <= len(kept) + 1 <= samples
    assert not kept[0].any()
    assert len(drawn.weights) == len(kept) - 1
    pairs = kept[1 + complete :]
    np.testing.assert_array_equal(pairs[::2], ~pairs[1::2])
    assert len(pairs) >= 4
    # Complete sizes hold each coalition once, the single parts among them; what is drawn has other sizes.
    sizes, count = np.unique(kept[1 : 1 + complete].sum(axis=1), return_counts=True)
    np.testing.assert_array_equal(count, [math.comb(parts, size) for size in sizes])
    assert {1, parts - 1} <= set(sizes)
    assert len(np.unique(kept[1 : 1 + complete], axis=0)) == complete
    assert not set(sizes) & set(pairs.sum(axis=1))


def test_orders_are_permutations_and_their_reverses():
    orders = antithetic_orders(7, 5, 0)
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(7), (10, 1)))
    np.testing.assert_array_equal(orders[::2], orders[1::2, ::-1])


@pytest.mark.parametrize("method", METHODS)
def test_segments_and_targets_do_not_see_each_other(method, monkeypatch):
    monkeypatch.setattr(optimised, "rows_of", lambda _widest, _weights: 20)
    classifier, excerpt = convolutional(), segments(3, real_frames=[12, 7, 12])
    for options in ({"grid": (3, 2)}, {"grid": (4, 4), "samples": 200}, {"grid": (4, 4), "tolerance": 0.05}):
        explainer = method(**options)
        together = explainer.attribute(classifier, excerpt, [[Target(i)] for i in range(3)])
        every = explainer.attribute(classifier, excerpt, [[Target(i) for i in range(3)]] * 3)
        for row, one in enumerate(together):
            (alone,) = explainer.attribute(classifier, excerpt.take([row]), [[Target(row)]])
            np.testing.assert_allclose(one.values, alone.values, atol=rounding(1.0))
            np.testing.assert_allclose(one.standard_error, alone.standard_error, atol=rounding(1.0))
            assert one.forwards == alone.forwards
            if "tolerance" not in options:
                np.testing.assert_allclose(every[4 * row].values, one.values, atol=rounding(1.0))


@pytest.mark.parametrize("method", METHODS)
def test_stops_when_the_error_is_small_enough(method):
    classifier, excerpt = convolutional(), segments(2)
    options = {"grid": (4, 3), "samples": 1500}
    full = method(**options).attribute(classifier, excerpt, [[Target(0)]] * 2)
    early = method(**options, tolerance=0.2).attribute(classifier, excerpt, [[Target(0)]] * 2)
    never = method(**options, tolerance=1e-9).attribute(classifier, excerpt, [[Target(0)]] * 2)
    for one, two, three in zip(full, early, never, strict=True):
        assert two.forwards < one.forwards == three.forwards
        assert np.sqrt((two.standard_error**2).mean()) <= 0.2 * np.abs(two.native).max()
        assert two.flags == one.flags == ()
        assert three.flags == ("not converged",)
        np.testing.assert_allclose(one.values, three.values, rtol=0, atol=rounding(one.score))


@pytest.mark.parametrize(
    ("explainer", "message"),
    [
        (Shapley(grid=(4, 4), samples=31), "shapley: samples=31 is less than one order of 16 parts .* at least 32"),
        (KernelShap(grid=(4, 4), samples=37), "kernelshap: samples=37 cannot tell 16 parts apart; use at least 38"),
        (Shapley(grid=(13, 1)), "shapley: grid=13x1 is finer than the segment"),
        (KernelShap(parts="bands", grid=(1, 9)), "kernelshap: grid=1x9 is finer"),
    ],
)
def test_parameters_that_do_not_fit(explainer, message):
    with pytest.raises(UsageError, match=message):
        explainer.attribute(convolutional(), segments(1), [[Target(0)]])


@pytest.mark.parametrize("method", METHODS)
def test_fewest_samples_do(method):
    explainer = Shapley(grid=(4, 4), samples=32) if method is Shapley else KernelShap(grid=(4, 4), samples=38)
    (found,) = explainer.attribute(convolutional(), segments(1), [[Target(0)]])
    assert np.isfinite(found.values).all()
    assert found.forwards <= explainer.samples


class Additive(nn.Module):
    """Hears each of 4 by 4 rectangles by itself, none of them linearly."""

    def __init__(self):
        super().__init__()
        self.gains = nn.Parameter(torch.linspace(-2, 3, 16))

    def parts(self, x):
        return self.gains * torch.tanh(x.unfold(1, 3, 3).unfold(2, 2, 2).mean(dim=(3, 4)).flatten(1))

    def forward(self, x):
        total = self.parts(x).sum(dim=1)
        return torch.stack([total, -total], dim=1)


@pytest.mark.parametrize(
    "method",
    [
        "shapley:samples=62",
        "kernelshap:samples=60",
        "kernelshap:samples=60,sizes=even",
        "lime:samples=60",
        "lime:samples=33,design=hadamard",
        "rise:samples=33,design=hadamard,masks=hard",
    ],
)
def test_additive_networks_give_what_each_part_adds(method):
    network, excerpt = Additive(), segments(1)
    explainer = parse(f"{method},grid=4x4,score=logit,fill=-0.5")
    (found,) = explainer.attribute(ToyClassifier(network, classes_of(2)), excerpt, [[Target(0)]])
    with torch.no_grad():
        expected = network.parts(torch.tensor(excerpt.values)) - network.parts(torch.full((1, 12, 8), -0.5))
    np.testing.assert_allclose(found.native.ravel(), expected[0].numpy(), atol=rounding(1.0, expected))


@pytest.mark.parametrize("method", METHODS)
def test_one_part_has_it_all(method):
    classifier, excerpt = linear(), segments(1)
    (found,) = method(grid=(1, 1), fill=0.5, score="logit").attribute(classifier, excerpt, [[Target(1)]])
    change = found.score - found.diagnostics["empty_score"]
    assert found.native.item() == pytest.approx(change, abs=rounding(1.0, found.score))
    assert found.forwards == 2


@pytest.mark.parametrize("method", ["lime", "rise", "shapley", "kernelshap"])
def test_no_samples_are_refused(method):
    with pytest.raises(UsageError, match=f"{method}: samples=0 does not do; use a whole number, 2 or more"):
        parse(f"{method}:samples=0")
