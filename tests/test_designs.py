"""Which parts random samples keep: balance, columns for parts, room, and what a design saves."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.core.errors import UsageError
from earwitness.explainers.attribution import Grid, Target
from earwitness.explainers.perturbation.lime import Lime
from earwitness.explainers.perturbation.parts import Coalitions, gridded
from earwitness.explainers.perturbation.sampling import columns_of, hadamard_order, random_design
from earwitness.explainers.perturbation.shapley import every_coalition
from earwitness.explainers.perturbation.surrogates import fit_linear, similarity
from earwitness.explainers.registry import parse
from explain_toys import convolutional, linear, segments
from test_lime import by_hand

SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 7))


@settings(max_examples=30, deadline=None)
@given(SHAPES, st.integers(1, 3), st.integers(0, 10**6))
def test_blocks_are_balanced_orthogonal_and_folded(shape, blocks, seed):
    features = shape[0] * shape[1]
    order = hadamard_order(features, 2)
    design = random_design("lime", "hadamard", 1 + 2 * order * blocks, shape, seed, room=1)
    assert design.kept.shape == (1 + 2 * order * blocks, features)
    assert design.kept[0].all()
    np.testing.assert_array_equal(design.kept[1::2], ~design.kept[2::2])
    for block in design.kept[1:].reshape(blocks, design.block, features):
        signs = np.where(block, 1, -1)
        np.testing.assert_array_equal(signs.T @ signs, design.block * np.eye(features))
        assert not signs.sum(axis=0).any()
        # What any two parts do together leaves the coefficients alone (strength 3).
        pairs = [signs[:, i] * signs[:, j] for i, j in combinations(range(min(features, 9)), 2)]
        assert not (np.array(pairs).reshape(-1, len(signs)) @ signs).any()


@pytest.mark.parametrize(
    ("features", "samples", "order"),
    [
        (1, 3, 1),
        (2, 5, 2),
        (49, 129, 64),
        (49, 256, 64),
        (49, 257, 128),
        (49, 512, 128),
        (49, 513, 256),
        (49, 9999, 256),
    ],
)
def test_orders_grow_with_the_samples(features, samples, order):
    assert hadamard_order(features, samples) == order
    assert hadamard_order(features, samples, 1) == 1 << (features - 1).bit_length()


def mixed_up(columns, rows, cells, order):
    """The share of neighbouring threes (of a row, a column or a corner) that fall on a part's own column."""
    number = np.arange(rows * cells).reshape(rows, cells)
    corners = [number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]]
    trios = [np.stack([part.ravel() for part in three], axis=1) for three in combinations(corners, 3)]
    trios += [np.lib.stride_tricks.sliding_window_view(line, 3) for line in (*number, *number.T)]
    trios = np.concatenate(trios)
    own = np.zeros(order, bool)
    own[columns] = True
    return own[columns[trios[:, 0]] ^ columns[trios[:, 1]] ^ columns[trios[:, 2]]].mean()


@pytest.mark.parametrize(("order", "share"), [(64, 0.6), (128, 0.15), (256, 0.01)])
def test_neighbouring_threes_seldom_fall_on_parts(order, share):
    rng = np.random.default_rng(0)
    columns = columns_of((7, 7), order, rng)
    assert len(set(columns.tolist())) == 49
    assert columns.min() >= 0
    assert columns.max() < order
    by_chance = np.mean([mixed_up(rng.permutation(order)[:49], 7, 7, order) for _ in range(20)])
    assert mixed_up(columns, 7, 7, order) < min(share, 0.8 * by_chance)


def test_many_parts_are_placed_soon_enough():
    columns = columns_of((16, 16), 256, np.random.default_rng(0))
    assert sorted(columns.tolist()) == list(range(256))


def test_blocks_differ_and_the_seed_decides():
    one, again, other = (random_design("lime", "hadamard", 65, (4, 3), seed, room=1).kept for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    assert (one[1:33] != one[33:]).any()


def test_left_over_samples_are_not_used():
    assert random_design("lime", "hadamard", 300, (7, 7), 0).kept.shape == (257, 49)


def test_coins_fall_as_asked():
    kept = random_design("rise", "bernoulli", 20_000, (1, 5), 0, 0.2).kept
    np.testing.assert_allclose(kept[1:].mean(axis=0), 0.2, atol=0.02)
    assert kept[0].all()


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("lime:design=hadamard,samples=128", r"lime: samples=128 has no room for 49 parts .*; use at least 129, fewer"),
        ("rise:design=hadamard,samples=32,grid=3x4", "rise: samples=32 has no room for 12 parts"),
        ("rise:design=hadamard,keep=0.3", "rise: keep=0.3 does not go with design=hadamard"),
    ],
)
def test_more_parts_than_the_design_has_room_for(method, message):
    with pytest.raises(UsageError, match=message):
        parse(method).attribute(convolutional(), segments(1), [[Target(0)]])


@pytest.mark.parametrize("samples", [33, 65])
@pytest.mark.parametrize("fill", ["mean", 0.5])
def test_hadamard_lime_recovers_a_linear_network(samples, fill):
    classifier, excerpt = linear(), segments(2)
    explainer = Lime(grid=(4, 3), samples=samples, design="hadamard", fill=fill, score="logit")
    found = explainer.attribute(classifier, excerpt, [[Target(0)], [Target(2, against=1)]])
    for one, segment in zip(found, excerpt.values, strict=True):
        value = segment.mean(dtype=float) if fill == "mean" else fill
        expected = by_hand(classifier, segment, one.target.index, Grid.whole(12, 8, 4, 3), value)
        if one.target.against is not None:
            expected -= by_hand(classifier, segment, one.target.against, Grid.whole(12, 8, 4, 3), value)
        np.testing.assert_allclose(one.native, expected, atol=1e-4)
        assert one.diagnostics["r2"] == pytest.approx(1)


def split_half(**options):
    classifier, excerpt = convolutional(), segments(4, 24, 16)
    maps = [
        [one.native.ravel() for one in Lime(**options, seed=seed).attribute(classifier, excerpt, [[Target(0)]] * 4)]
        for seed in (1, 2)
    ]
    return np.median([np.corrcoef(*pair)[0, 1] for pair in zip(*maps, strict=True)])


def test_hadamard_needs_a_third_of_the_passes_or_less_on_a_network_that_is_not_linear():
    assert split_half(samples=129, design="hadamard") > split_half(samples=387)
    assert split_half(samples=257, design="hadamard") > max(split_half(samples=771), 0.99)


@pytest.mark.parametrize("method", ["lime", "rise"])
def test_one_part(method):
    classifier, excerpt = linear(), segments(1)
    for design in ("samples=2,design=bernoulli", "samples=3,design=hadamard"):
        hard = ",masks=hard" if method == "rise" else ""
        (found,) = parse(f"{method}:grid=1x1,fill=0.5,score=logit,seed=1,{design}{hard}").attribute(
            classifier, excerpt, [[Target(1)]]
        )
        if "hadamard" in design:
            expected = by_hand(classifier, excerpt.values[0], 1, Grid.whole(12, 8, 1, 1), 0.5)
            np.testing.assert_allclose(found.native, expected, atol=1e-4)
        assert np.isfinite(found.values).all()


@pytest.mark.parametrize(("options", "low"), [({"samples": 200}, 0.88), ({"samples": 129, "design": "hadamard"}, 0.93)])
def test_two_standard_errors_cover_what_all_coalitions_tell(options, low):
    classifier, excerpt = convolutional(), segments(1)
    kept = every_coalition(8)
    heard = Coalitions(kept, [gridded("lime", excerpt, 4, 2)], "cpu").hidden(0, 0, len(kept)).numpy()
    copies = torch.tensor(np.where(heard, np.float32(-1), excerpt.values[0]))
    with torch.no_grad():
        scores = classifier.network(copies).softmax(-1)[:, :1].double().numpy()
    weights = similarity(kept, 0.25)
    if "design" in options:
        weights = weights + weights[::-1]  # of a coalition and its complement
    exact = fit_linear(kept, scores, weights, 0.0)[0].importance.reshape(4, 2)
    assert np.abs(exact).max() > 1e-3
    covered = []
    for seed in range(40):
        explainer = Lime(grid=(4, 2), fill=-1.0, score="probability", seed=seed, **options)
        (found,) = explainer.attribute(classifier, excerpt, [[Target(0)]])
        covered.append(np.abs(found.native - exact) <= 2 * found.standard_error)
    # Free columns hear more of what neighbours do together than the parts' own: balanced designs err on the safe side.
    assert low < np.mean(covered) < (0.99 if "design" not in options else 1.01)
