"""Which parts random samples keep: Hadamard matrices, fold-over blocks, room, and what a design saves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.errors import UsageError
from earwitness.explain import parse
from earwitness.explain.attribution import Grid, Target
from earwitness.explain.designs import hadamard, hadamard_order, random_design
from earwitness.explain.lime import Lime
from explain_toys import convolutional, linear, segments
from test_lime import by_hand


@given(st.integers(1, 130))
def test_hadamard_matrices_are_orthogonal_and_large_enough(features):
    order = hadamard_order(features)
    matrix = hadamard(order)
    assert features <= order <= 2 * features
    assert set(np.unique(matrix)) <= {-1, 1}
    np.testing.assert_array_equal(matrix @ matrix.T, order * np.eye(order))


def test_small_orders_are_known():
    assert [hadamard_order(n) for n in (1, 2, 3, 12, 13, 25, 49)] == [1, 2, 4, 12, 16, 32, 60]


@given(st.integers(1, 40), st.integers(1, 3), st.integers(0, 10**6))
def test_blocks_are_balanced_orthogonal_and_folded(features, blocks, seed):
    samples = 1 + 2 * hadamard_order(features) * blocks
    design = random_design("lime", "hadamard", samples, features, seed)
    assert design.kept.shape == (samples, features)
    assert design.kept[0].all()
    np.testing.assert_array_equal(design.kept[1::2], ~design.kept[2::2])
    for block in design.kept[1:].reshape(blocks, design.block, features):
        signs = np.where(block, 1, -1)
        np.testing.assert_array_equal(signs.T @ signs, design.block * np.eye(features))
        assert not signs.sum(axis=0).any()


def test_blocks_differ_and_the_seed_decides():
    one, again, other = (random_design("lime", "hadamard", 49, 12, seed).kept for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    assert (one[1:25] != one[25:]).any()


def test_left_over_samples_are_not_used():
    assert random_design("lime", "hadamard", 300, 49, 0).kept.shape == (241, 49)


def test_coins_fall_as_asked():
    kept = random_design("rise", "bernoulli", 20_000, 5, 0, 0.2).kept
    np.testing.assert_allclose(kept[1:].mean(axis=0), 0.2, atol=0.02)
    assert kept[0].all()


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("lime:design=hadamard,samples=120", r"lime: samples=120 has no room for 49 parts .*; use at least 121, fewer"),
        ("rise:design=hadamard,samples=24,grid=3x4", "rise: samples=24 has no room for 12 parts"),
        ("rise:design=hadamard,keep=0.3", "rise: keep=0.3 does not go with design=hadamard"),
    ],
)
def test_more_parts_than_the_design_has_room_for(method, message):
    with pytest.raises(UsageError, match=message):
        parse(method).attribute(convolutional(), segments(1), [[Target(0)]])


@pytest.mark.parametrize("samples", [25, 49])
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
    assert split_half(samples=121, design="hadamard") > split_half(samples=361)
    assert split_half(samples=241, design="hadamard") > max(split_half(samples=721), 0.99)
