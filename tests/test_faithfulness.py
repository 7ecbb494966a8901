"""Faithfulness: closed forms on networks that can be worked out by hand, and Quantus and Captum as oracles."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.explainers.attribution import Grid, Target
from earwitness.explainers.baselines import BASELINES, RandomBaseline
from earwitness.explainers.registry import parse
from earwitness.trust.metrics.complexity import entropy, gini
from earwitness.trust.metrics.curves import Draws, area, block_means, blocks_of, judged, order_of, random_orders, shares
from earwitness.trust.metrics.faithfulness import Faithfulness, faithfulness, mask_of
from earwitness.trust.metrics.sensitivity import infidelity
from explain_toys import SILENCE, Linear, ToyClassifier, attributed, classes_of, convolutional, linear, segments
from rounding import rounding

TARGET = Target(1)
FILL = -2.0


def truth_of(classifier, one, target=TARGET, fill=FILL):
    """What each cell of a linear network adds to the logit, above what the fill would add."""
    weights = classifier.network.weights.detach().numpy()
    weight = weights[target.index] - (0 if target.against is None else weights[target.against])
    return weight * (one.values[0] - fill)


def given_map(classifier, one, values, target=TARGET, grid=None):
    return attributed(classifier, one, 0, target, np.asarray(values, dtype=np.float32), grid=grid)


def measured(classifier, one, values, target=TARGET, grid=None, **options) -> Faithfulness:
    attribution = given_map(classifier, one, values, target, grid)
    return faithfulness(classifier, one, [attribution], **({"fill": FILL} | options))[0]


# ---- orders and areas ---------------------------------------------------------------------------------------------


@given(
    arrays(np.float32, (5, 4), elements=st.floats(-3, 3, width=16)),
    st.integers(0, 9),
    st.sampled_from([(5, 4), (2, 2), (1, 4)]),
)
@settings(max_examples=60, deadline=None)
def test_order_is_a_permutation_that_never_puts_a_smaller_cell_first(values, seed, cells):
    one, grid = segments(1, 5, 4), Grid.whole(5, 4, *cells)
    blocks = blocks_of(given_map(linear(5, 4), one, values, grid=grid))
    ranks = order_of(values, blocks, Draws(seed, 1))
    assert sorted(ranks.ravel()) == list(range(20))
    assert (np.diff(values.ravel()[np.argsort(ranks.ravel())]) <= 0).all()
    assert np.array_equal(ranks, order_of(values, blocks, Draws(seed, 1)))


def test_blocks_stay_together_in_ties_and_in_random_orders():
    blocks = blocks_of(given_map(linear(), segments(1), np.zeros((12, 8)), grid=Grid.whole(12, 8, 3, 4)))
    every = [order_of(np.zeros((12, 8)), blocks, Draws(seed, 5)) for seed in (0, 1)]
    every += random_orders(blocks, Draws(0, 5), 2)
    for ranks in every:
        assert sorted(ranks.ravel()) == list(range(96))
        for block in range(12):
            held = np.sort(ranks[blocks == block])
            assert np.array_equal(held, np.arange(held[0], held[0] + 8))
    sequences = [tuple(np.argsort([ranks[blocks == block].min() for block in range(12)])) for ranks in every]
    assert len({tuple(range(12)), *sequences}) == 5


def test_random_orders_differ_from_a_maps_order_in_the_blocks_alone():
    blocks, draws = np.repeat(np.arange(6), [1, 5, 2, 9, 3, 4])[:, None], Draws(3, 5)
    for ranks in random_orders(blocks, draws, 5):
        first = np.array([ranks[blocks == block].min() for block in range(6)])
        assert np.array_equal(ranks, order_of(-first[blocks], blocks, draws))


def test_random_orders_of_blocks_are_evenly_spread():
    orders = random_orders(np.arange(6).reshape(2, 3), Draws(0, 0), 600)
    first = [int(np.argmin(order)) for order in orders]
    assert np.abs(np.bincount(first, minlength=6) - 100).max() < 40  # four standard deviations and more


def test_blocks_are_the_maps_own_cells_and_real_ones_only():
    one = segments(1, real_frames=[7])
    found = blocks_of(given_map(linear(), one, np.zeros((12, 8)), grid=Grid.whole(12, 8, 3, 2)))
    assert found.shape == (7, 8)
    assert np.array_equal(np.unique(found), [0, 1, 2, 3])
    assert found[3, 3] == found[0, 0] != found[4, 0] != found[0, 4]


def test_blocks_of_feature_maps_whose_edges_cut_through_cells():
    classifier = convolutional()
    (one_map,) = parse("gradcam").attribute(classifier, segments(1, 13, 9), [[TARGET]])
    blocks = blocks_of(one_map)
    assert blocks.max() + 1 == one_map.native.size
    for block in range(one_map.native.size):
        assert np.ptp(one_map.values[blocks == block]) == 0


def test_blocks_of_a_map_without_a_grid_are_its_values():
    (one_map,) = parse("lime:parts=superpixels,samples=64").attribute(linear(), segments(1), [[TARGET]])
    assert not one_map.frame_edges.size
    blocks = blocks_of(one_map)
    assert blocks.max() + 1 == len(np.unique(one_map.values))
    np.testing.assert_allclose(block_means(one_map.values, blocks), one_map.values, rtol=1e-6, atol=1e-9)


@given(st.integers(1, 40), st.integers(2, 20))
@settings(deadline=None)
def test_shares_are_as_equal_as_can_be(cells, steps):
    turns = shares(np.arange(cells), steps)
    assert turns.min() == 1
    assert turns.max() <= steps
    hidden = [(turns <= step).sum() for step in range(steps + 1)]
    assert np.abs(np.array(hidden) - cells * np.arange(steps + 1) / steps).max() < 1


def test_area_of_known_curves():
    assert area(np.full(5, 0.3)) == pytest.approx(0.3)
    assert area(np.linspace(1, 0, 11)) == pytest.approx(0.5)
    assert area(np.linspace(0, 1, 1001) ** 2) == pytest.approx(1 / 3, abs=1e-6)


def test_judged_curve_has_the_sign_of_success():
    falling = np.array([1.0, 0.2, 0.0])
    good = judged(falling, [0.5, 0.6, 0.7], 0.5, insertion=False)
    assert good.beats_random == pytest.approx((0.6 - 0.35) / (0.1 * np.sqrt(4 / 3)))
    assert good.beats_energy == pytest.approx(0.15)
    assert good.normalised == pytest.approx(0.35)
    bad = judged(falling[::-1], [0.5, 0.6, 0.7], 0.5, insertion=True)
    assert (bad.beats_random, bad.beats_energy) == pytest.approx((-good.beats_random, -good.beats_energy))
    flat = judged(np.full(3, 0.4), [0.4, 0.4 + 1e-9], 0.4, insertion=False)
    assert flat.normalised is None
    assert abs(flat.beats_random) < 0.01


# ---- closed forms -------------------------------------------------------------------------------------------------


def test_deletion_by_the_truth_is_the_best_of_all_orders():
    classifier, one = linear(5, 1), segments(1, 5, 1)
    truth = truth_of(classifier, one)
    every = [np.array(order, dtype=np.float32).reshape(5, 1) for order in itertools.permutations(range(5))]
    maps = [given_map(classifier, one, values) for values in [truth, *every]]
    found = faithfulness(classifier, one.take([0] * len(maps)), maps, fill=FILL, steps=5, orders=2, score="logit")
    deletions, insertions = ([getattr(each, name).area for each in found] for name in ("deletion", "insertion"))
    room = rounding(*(each.deletion.scores for each in found), *(each.insertion.scores for each in found))
    assert deletions[0] == pytest.approx(min(deletions[1:]), abs=room)
    assert insertions[0] == pytest.approx(max(insertions[1:]), abs=room)
    assert np.ptp(deletions) > 0.1


@pytest.mark.parametrize("target", [TARGET, Target(2, 0)])
def test_truth_beats_two_hundred_random_maps_at_every_share(target):
    classifier, one = linear(), segments(1, real_frames=[10])
    truth = truth_of(classifier, one, target)
    maps = [given_map(classifier, one, truth, target)]
    maps += [given_map(classifier, one, np.random.default_rng(k).standard_normal((12, 8)), target) for k in range(200)]
    found = faithfulness(classifier, one.take([0] * 201), maps, fill=FILL, steps=8, orders=3, score="logit")
    best = found[0]
    for other in found[1:]:
        assert (best.deletion.scores <= other.deletion.scores + 1e-4).all()
        assert (best.insertion.scores >= other.insertion.scores - 1e-4).all()
    assert best.deletion.beats_random > 3
    assert best.deletion.beats_energy > 0
    # The curve is known in closed form: the score less the largest contributions.
    ranked = np.sort(truth[:10].ravel())[::-1].astype(np.float64)
    hidden = np.ceil(np.arange(9) * 80 / 8).astype(int)
    expected = best.score - np.concatenate([[0], np.cumsum(ranked)])[hidden]
    np.testing.assert_allclose(best.deletion.scores, expected, atol=rounding(expected))


def test_insertion_of_an_order_is_deletion_of_its_reverse():
    # The same pictures, whatever the network: what the one has shown is what the other has not hidden yet.
    classifier, one = convolutional(), segments(1)
    values = np.random.default_rng(0).permutation(96).reshape(12, 8)
    forth, back = (measured(classifier, one, each, steps=8) for each in (values, -values))
    np.testing.assert_allclose(forth.insertion.scores, back.deletion.scores[::-1], atol=rounding(1.0))
    np.testing.assert_allclose(forth.deletion.scores, back.insertion.scores[::-1], atol=rounding(1.0))
    assert forth.insertion.area == pytest.approx(back.deletion.area, abs=rounding(1.0))


def test_insertion_and_deletion_complement_each_other_on_a_linear_network():
    classifier, one = linear(), segments(1)
    found = measured(classifier, one, truth_of(classifier, one), score="logit", steps=8)
    total = found.score + found.hidden_score
    np.testing.assert_allclose(
        found.insertion.scores + found.deletion.scores,
        total,
        atol=rounding(found.insertion.scores, found.deletion.scores),
    )


def test_truth_explains_every_fall_of_a_linear_network():
    classifier, one = linear(), segments(1, real_frames=[11])
    truth = truth_of(classifier, one)
    found = measured(classifier, one, 3 * truth, score="logit")
    assert found.unexplained == pytest.approx(0, abs=1e-6)
    assert found.infidelity == pytest.approx(0, abs=1e-5)
    assert found.correlation == pytest.approx(1, abs=1e-5)
    against = measured(classifier, one, -truth, score="logit")
    assert against.correlation == pytest.approx(-1, abs=1e-5)
    assert against.deletion.beats_random < -3


def test_masks_by_hand():
    # Probabilities of a sigmoid network whose contributions are known, so every published formula can be written out.
    classifier, one = linear(activation="sigmoid"), segments(1)
    weights, bias = (each.detach().numpy().astype(np.float64) for each in classifier.network.parameters())
    values = np.random.default_rng(2).standard_normal((12, 8)).astype(np.float32)
    found = measured(classifier, one, values)
    kept = np.maximum(values, 0) / values.max()

    def heard(share):
        mixed = one.values[0] * share + FILL * (1 - share)
        return 1 / (1 + np.exp(-(np.einsum("cfb,fb->c", weights, mixed) + bias)))

    whole, seen, removed = (heard(share) for share in (np.ones((12, 8)), kept, 1 - kept))
    p, p_in, p_out = (each[1] for each in (whole, seen, removed))
    assert found.drop == pytest.approx(max(0, p - p_in) / p, abs=1e-5)
    assert found.gain == pytest.approx(max(0, p_in - p) / (1 - p), abs=1e-5)
    assert found.increase == (p_in > p)
    assert found.mask_out == pytest.approx(p - p_out, abs=1e-5)
    assert found.mask_in == pytest.approx(p - p_in, abs=1e-5)
    assert found.input_fidelity == (whole.argmax() == seen.argmax())
    assert found.hidden_score == pytest.approx(heard(np.zeros((12, 8)))[1], abs=1e-5)


def test_gain_and_drop_exclude_each_other():
    classifier, many = linear(), segments(40)
    classifier.network.weights.data *= 0.1
    maps = RandomBaseline().attribute(classifier, many, [[TARGET]] * 40)
    found = faithfulness(classifier, many, maps, fill=0.0, steps=2, orders=2)
    assert any(each.increase for each in found)
    assert any(each.drop for each in found)
    for each in found:
        assert 0 <= each.drop <= 1
        assert 0 <= each.gain <= 1
        assert (each.gain > 0) == bool(each.increase) == (each.mask_in < 0)
        assert not (each.gain and each.drop)


def test_a_map_of_ones_keeps_all():
    classifier, one = convolutional(), segments(1)
    found = measured(classifier, one, np.ones((12, 8)))
    assert (found.mask_in, found.input_fidelity) == pytest.approx((0, 1), abs=rounding(1.0))
    assert found.drop * found.score == pytest.approx(0, abs=rounding(1.0))
    assert found.mask_out == pytest.approx(found.score - found.hidden_score, abs=rounding(1.0))
    nothing = measured(classifier, one, -np.ones((12, 8)))
    assert nothing.mask_out == pytest.approx(0, abs=rounding(1.0))
    assert nothing.mask_in == pytest.approx(found.mask_out, abs=rounding(1.0))


def test_mask_clips_and_scales():
    one_map = given_map(linear(), segments(1), np.linspace(-1, 4, 96).reshape(12, 8))
    found = mask_of(one_map)
    assert (found.min(), found.max()) == (0, 1)
    np.testing.assert_allclose(found, np.maximum(one_map.values, 0) / 4, rtol=1e-6)


# ---- chance -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cells", [(12, 8), (4, 4)], ids=str)
def test_random_maps_do_not_beat_random(cells):
    classifier = convolutional()
    classifier.network.head[2].weight.data *= 30
    many, grid = segments(60), Grid.whole(12, 8, *cells)
    draw = np.random.default_rng(3)
    maps = [
        attributed(classifier, many, row, TARGET, grid.spread(draw.standard_normal(cells)), grid=grid)
        for row in range(60)
    ]
    found = faithfulness(classifier, many, maps, steps=4, fill="floor")
    for name in ("deletion", "insertion"):
        z = np.array([getattr(each, name).beats_random for each in found])
        # Student's t with 9 degrees of freedom has the standard deviation sqrt(9 / 7).
        assert abs(z.mean()) < 3 * np.sqrt(9 / 7 / 60)
        assert 0.7 < z.std() < 1.7
    correlations = [each.correlation for each in found]
    assert abs(np.mean(correlations)) < 0.15


@pytest.mark.parametrize("cells", [(12, 8), (3, 2)], ids=str)
def test_a_constant_map_behaves_like_random(cells):
    classifier, many, grid = linear(), segments(40), Grid.whole(12, 8, *cells)
    maps = [attributed(classifier, many, row, TARGET, np.full((12, 8), 0.5), grid=grid) for row in range(40)]
    found = faithfulness(classifier, many, maps, steps=4, fill=FILL, score="logit")
    z = np.array([each.deletion.beats_random for each in found])
    assert abs(z.mean()) < 3 * np.sqrt(9 / 7 / 40)
    assert z.std() > 0.5
    assert all(each.correlation == 0 for each in found)


def test_energy_map_equals_the_energy_order():
    classifier, one = convolutional(), segments(1, real_frames=[9])
    (energy,) = BASELINES["energy"]().attribute(classifier, one, [[TARGET]])
    (found,) = faithfulness(classifier, one, [energy])
    for curve in (found.deletion, found.insertion):
        assert curve.area == pytest.approx(curve.energy, abs=rounding(1.0))
        assert curve.beats_energy == pytest.approx(0, abs=rounding(1.0))


def test_energy_order_is_as_coarse_as_the_map():
    classifier, one, grid = convolutional(), segments(1), Grid.whole(12, 8, 3, 2)
    blocks = blocks_of(given_map(classifier, one, np.zeros((12, 8)), grid=grid))
    found = measured(classifier, one, block_means(one.values[0], blocks), grid=grid)
    for curve in (found.deletion, found.insertion):
        assert curve.area == pytest.approx(curve.energy, abs=rounding(1.0))


def test_seed_decides():
    classifier, one = convolutional(), segments(1)
    values = np.random.default_rng(0).standard_normal((12, 8))
    first, again, other = (measured(classifier, one, values, seed=seed) for seed in (0, 0, 1))
    assert first.deletion.random_mean == again.deletion.random_mean
    assert first.deletion.random_mean != other.deletion.random_mean
    assert first.deletion.area == other.deletion.area


# ---- batches, padding, silence ------------------------------------------------------------------------------------


def listed(found: Faithfulness) -> dict[str, float | None]:
    return {name: value for name, value in found.numbers().items() if name not in ("seconds", "forwards")}


@pytest.mark.parametrize("fill", ["mean", "band-mean", "floor", "noise", "neighbours", 0.5])
def test_batch_equals_singles(fill):
    classifier, many = convolutional(), segments(3, real_frames=[12, 8, 12])
    gradcam = parse("gradcam").attribute(classifier, many, [[Target(0), Target(1, 2)]] * 3)
    random = RandomBaseline().attribute(classifier, many, [[Target(3)]] * 3)
    maps, rows = [*gradcam, *random], [0, 0, 1, 1, 2, 2, 0, 1, 2]
    together = faithfulness(classifier, many.take(rows), maps, fill=fill, steps=5, orders=3)
    for row, one_map, found in zip(rows, maps, together, strict=True):
        (alone,) = faithfulness(classifier, many.take([row]), [one_map], fill=fill, steps=5, orders=3)
        # What is said in spreads of random orders is as exact as scores are beside these.
        spread = min(found.deletion.random_std, found.insertion.random_std)
        assert listed(alone) == pytest.approx(listed(found), abs=rounding(1.0) / spread, nan_ok=False)
        assert alone.insertion.area == pytest.approx(found.insertion.area, abs=rounding(1.0))
        np.testing.assert_allclose(alone.deletion.scores, found.deletion.scores, atol=rounding(1.0))


def test_passes_are_shared_and_counted():
    classifier, one, seen = linear(), segments(1), []
    classifier.network.register_forward_pre_hook(lambda _module, given: seen.append(len(given[0])))
    draw = np.random.default_rng(1)
    maps = [given_map(classifier, one, draw.standard_normal((12, 8)), Target(index)) for index in (0, 2)]
    shared = 2 + 10 * 15 + 2 * 15
    for number in (1, 2):
        seen.clear()
        found = faithfulness(classifier, one.take([0] * number), maps[:number], fill=FILL)
        assert sum(seen) == found[-1].forwards == shared + number * (2 * 15 + 2)


def test_padding_is_never_hidden():
    classifier, one = linear(), segments(1, real_frames=[5])
    seen = []
    classifier.network.register_forward_pre_hook(lambda _module, given: seen.append(given[0][:, 5:].clone()))
    measured(classifier, one, np.random.default_rng(0).standard_normal((12, 8)), fill="noise")
    assert all((each == SILENCE).all() for each in seen)


def test_padding_does_not_count():
    classifier, one = linear(), segments(1, real_frames=[5])
    values = np.random.default_rng(0).standard_normal((12, 8))
    found = measured(classifier, one, values)
    assert found.gini == pytest.approx(gini(values[:5]), abs=1e-6)
    assert found.entropy == pytest.approx(entropy(values[:5]), abs=1e-6)


@pytest.mark.parametrize("values", [np.zeros((12, 8)), np.full((12, 8), -2.0), np.eye(12, 8)], ids=["0", "-2", "eye"])
@pytest.mark.parametrize("real", [12, 0])
def test_silence_and_emptiness_have_numbers(values, real):
    classifier, one = convolutional(), segments(1, real_frames=[real])
    one.values[:] = SILENCE
    for fill in ("mean", "floor", "neighbours"):
        found = measured(classifier, one, values, fill=fill)
        numbers = found.numbers()
        undefined = {name for name, value in numbers.items() if value is None}
        assert undefined == {"deletion_normalised", "insertion_normalised", "unexplained"}
        assert np.isfinite([value for value in numbers.values() if value is not None]).all()
        assert found.deletion.beats_random == pytest.approx(0, abs=0.1)
        assert found.deletion.beats_energy == pytest.approx(0, abs=rounding(1.0))
        assert found.deletion.area == pytest.approx(found.score, abs=rounding(1.0))
        assert (found.mask_out, found.input_fidelity) == pytest.approx((0, 1), abs=rounding(1.0))
        assert found.drop * found.score == pytest.approx(0, abs=rounding(1.0))
        assert found.correlation == 0


def test_a_saturated_network_gives_no_great_success():
    classifier, one = linear(), segments(1)
    classifier.network.bias.data[1] = 1e4
    found = measured(classifier, one, truth_of(classifier, one))
    assert abs(found.deletion.beats_random) < 0.1
    assert (found.gain, found.drop, found.unexplained) == (0, 0, None)


def test_no_attributions_give_no_results():
    assert faithfulness(linear(), segments(0), []) == []


def test_refusals():
    classifier, one = linear(), segments(1)
    attribution = given_map(classifier, one, np.zeros((12, 8)))
    with pytest.raises(UsageError, match="fill=loud"):
        faithfulness(classifier, one, [attribution], fill="loud")
    with pytest.raises(UsageError, match="steps=1"):
        faithfulness(classifier, one, [attribution], steps=1)
    with pytest.raises(UsageError, match="score=area"):
        faithfulness(classifier, one, [attribution], score="area")
    with pytest.raises(UsageError, match="own segment"):
        faithfulness(classifier, segments(1, real_frames=[9]), [attribution])
    with pytest.raises(UsageError, match="one list per segment"):
        faithfulness(classifier, segments(2), [attribution])
    classifier.network.bias.data[:] = np.nan
    with pytest.raises(EarwitnessError, match="NaN"):
        faithfulness(classifier, one, [attribution])


# ---- sparseness ---------------------------------------------------------------------------------------------------


def test_gini_and_entropy_at_their_ends():
    one_of_fifty = np.eye(1, 50)
    assert gini(one_of_fifty) == pytest.approx(1 - 1 / 50)
    assert entropy(one_of_fifty) == 0
    for flat in (np.ones(50), -np.ones(50), np.zeros(50)):
        assert gini(flat) == pytest.approx(0, abs=1e-12)
        assert entropy(flat) == pytest.approx(np.log(50))
    assert (gini(np.zeros(0)), entropy(np.zeros(0))) == (0, 0)


@given(arrays(np.float64, 12, elements=st.floats(-5, 5, width=16)), st.floats(0.5, 100))
@settings(deadline=None)
def test_gini_and_entropy_do_not_depend_on_scale_or_sign(values, factor):
    for measure in (gini, entropy):
        assert measure(-factor * values) == pytest.approx(measure(values), abs=1e-9)
    assert 0 <= gini(values) < 1


# ---- oracles ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quantus():
    with warnings.catch_warnings():
        # Its docstrings hold backslashes that Python warns of where it compiles them.
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        import quantus

    return quantus


def test_gini_and_entropy_are_those_of_quantus(quantus):
    maps = np.random.default_rng(0).standard_normal((4, 1, 12, 8))
    shared = {"model": torch.nn.Identity(), "x_batch": maps, "y_batch": np.zeros(4, dtype=int), "a_batch": maps}
    options = {"abs": True, "normalise": False, "disable_warnings": True}
    sparseness = quantus.Sparseness(**options)(**shared, channel_first=True)
    np.testing.assert_allclose([gini(each) for each in maps], sparseness, atol=1e-6)
    complexity = quantus.Complexity(**options)(**shared, channel_first=True)
    np.testing.assert_allclose([entropy(each) for each in maps], complexity, atol=1e-6)


class Pictures(torch.nn.Module):
    """A network of ours as Quantus calls it, with pictures of one channel."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x[:, 0])


def test_deletion_is_the_pixel_flipping_of_quantus(quantus):
    classifier, many = convolutional(), segments(3)
    maps = [
        given_map(classifier, many.take([row]), np.random.default_rng(row).standard_normal((12, 8))) for row in range(3)
    ]
    found = faithfulness(classifier, many, maps, fill=0.25, steps=8)
    flipping = quantus.PixelFlipping(
        features_in_step=12, abs=False, normalise=False, perturb_baseline=0.25, disable_warnings=True
    )
    scores = flipping(
        model=Pictures(classifier.network).eval(),
        x_batch=many.values[:, None],
        y_batch=np.full(3, TARGET.index),
        a_batch=np.stack([each.values for each in maps])[:, None],
        channel_first=True,
        softmax=True,
    )
    # Theirs begins after the first share.
    np.testing.assert_allclose([each.deletion.scores[1:] for each in found], scores, atol=rounding(1.0))


@pytest.mark.parametrize("scaled", [True, False])
def test_infidelity_is_captums_on_whole_pictures(scaled):
    from captum.metrics import infidelity as theirs

    classifier, one = convolutional(), segments(1)
    draw = np.random.default_rng(0)
    hidden = torch.as_tensor(draw.random((20, 12, 8)) < 0.3)
    values = torch.as_tensor(draw.standard_normal((1, 12, 8)))
    network, x = classifier.network.double(), torch.as_tensor(one.values).double()
    moved = torch.where(hidden, FILL, x)
    expected = theirs(
        lambda x: network(x)[:, 1],
        lambda _x: (hidden.double(), moved),
        x,
        values,
        n_perturb_samples=20,
        normalize=scaled,
    )
    sums = (hidden * values).sum(dim=(1, 2)).numpy()
    with torch.no_grad():
        falls = (network(x) - network(moved))[:, 1].numpy()
    assert infidelity(sums, falls, scaled=scaled) == pytest.approx(float(expected[0]))
    by_hand = sums * (sums @ falls / (sums @ sums) if scaled else 1)
    assert infidelity(sums, falls, scaled=scaled) == pytest.approx(np.mean((by_hand - falls) ** 2))


def test_networks_in_double_precision_and_other_classes_do_not_matter():
    classifier = ToyClassifier(Linear(12, 8, 2).double(), classes_of(2))
    one = segments(1)
    found = measured(classifier, one, truth_of(classifier, one), score="logit")
    assert found.unexplained == pytest.approx(0, abs=1e-6)
