"""RISE: its closed form on linear networks, its numbers by hand, its masks, its error."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from earwitness.audio.segments import Segments
from earwitness.core.errors import UsageError
from earwitness.explainers.attribution import Grid, Target
from earwitness.explainers.inference import optimised
from earwitness.explainers.perturbation.rise import RandomMasks, Rise, enlarged
from earwitness.explainers.perturbation.sampling import random_design
from explain_toys import SILENCE, convolutional, linear, segments
from rounding import rounding
from test_lime import by_hand


def masks_of(explainer, frames=12, bands=8):
    design = random_design("rise", explainer.design, explainer.samples, explainer.grid, explainer.seed, explainer.keep)
    return RandomMasks.drawn(design, explainer.grid, (frames, bands), explainer.masks, explainer.seed, "cpu")


# ---- masks --------------------------------------------------------------------------------------------------------


@given(st.integers(1, 50).flatmap(lambda length: st.tuples(st.just(length), st.integers(1, length))))
def test_enlarged_masks_interpolate(sides):
    length, cells = sides
    weights = enlarged(length, cells)
    assert weights.shape == (math.ceil(length / cells), length, cells)
    np.testing.assert_allclose(weights.sum(axis=2), 1)
    assert weights.min() >= 0
    # Every shift is the one before, moved by one cell.
    np.testing.assert_allclose(weights[1:, :-1], weights[:-1, 1:])


def test_enlarged_masks_equal_torch_s_interpolation():
    coarse = torch.tensor(np.random.default_rng(0).random((1, 1, 3, 4)))
    masks = enlarged(12, 3), enlarged(8, 4)
    fine = torch.nn.functional.interpolate(coarse, (4 * 4, 5 * 2), mode="bilinear", align_corners=False)[0, 0].numpy()
    for shift in ((0, 0), (3, 1), (2, 0)):
        found = masks[0][shift[0]] @ coarse[0, 0].numpy() @ masks[1][shift[1]].T
        np.testing.assert_allclose(found, fine[shift[0] : shift[0] + 12, shift[1] : shift[1] + 8])


def test_first_mask_hides_nothing_and_the_others_keep_their_share():
    masks = masks_of(Rise(samples=4000, grid=(3, 4), keep=0.3))
    assert not masks.hidden(0, 0, 1).any()
    assert masks.kept(1, 4000).mean() == pytest.approx(0.3, abs=0.02)
    assert len(np.unique(masks.shifts, axis=0)) == 4 * 2
    hard = masks_of(Rise(samples=50, grid=(3, 4), masks="hard"))
    assert hard.hidden(0, 0, 50).dtype == torch.bool
    np.testing.assert_array_equal(hard.kept(0, 50)[:, ::4, ::2], hard.coarse)


# ---- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["difference", "kept"])
@pytest.mark.parametrize("kind", ["smooth", "hard"])
def test_by_hand(norm, kind):
    classifier, excerpt = convolutional(), segments(1)
    explainer = Rise(samples=90, grid=(3, 2), masks=kind, norm=norm, fill=-1.0, keep=0.4, score="probability", seed=5)
    (found,) = explainer.attribute(classifier, excerpt, [[Target(1)]])
    kept = masks_of(explainer).kept(1, 90)
    heard = torch.tensor(kept * excerpt.values[0] + (1 - kept) * -1.0, dtype=torch.float32)
    score = classifier.network(heard).softmax(-1)[:, 1].detach().double().numpy()
    expected = np.zeros((12, 8))
    for frame, band in np.ndindex(12, 8):
        weight = kept[:, frame, band]
        expected[frame, band] = (weight * score).sum() / weight.sum()
        if norm == "difference":
            expected[frame, band] -= ((1 - weight) * score).sum() / (1 - weight).sum()
    np.testing.assert_allclose(found.values, expected, atol=rounding(1.0))


@pytest.mark.parametrize("keep", [0.5, 0.2])
def test_hard_masks_tend_to_a_linear_network_s_shares(keep):
    classifier, excerpt = linear(), segments(1)
    explainer = Rise(samples=6000, grid=(3, 2), masks="hard", keep=keep, fill=0.0, score="logit")
    (found,) = explainer.attribute(classifier, excerpt, [[Target(2)]])
    expected = by_hand(classifier, excerpt.values[0], 2, Grid.whole(12, 8, 3, 2), 0.0)
    assert (np.abs(found.native - expected) < 4 * found.standard_error).all()
    assert found.standard_error.max() < 0.1 * np.abs(expected).max()


def test_smooth_masks_tend_to_their_closed_form():
    classifier, excerpt = linear(), segments(1)
    explainer = Rise(samples=8000, grid=(3, 2), fill=0.0, score="logit", seed=1)
    (found,) = explainer.attribute(classifier, excerpt, [[Target(0)]])
    share = (classifier.network.weights[0].detach().double().numpy()) * excerpt.values[0]
    # Two cells' masks go together as far as the same coarse cells make them, on average over shifts.
    together = [
        np.mean([weights @ weights.T for weights in enlarged(length, cells)], axis=0)
        for length, cells in ((12, 3), (8, 2))
    ]
    own = np.outer(np.diag(together[0]), np.diag(together[1]))
    expected = together[0] @ share @ together[1].T
    assert (np.abs(found.native - expected) < 4.5 * found.standard_error).all()
    assert found.standard_error.max() < 0.2 * np.abs(expected).max()
    assert own.max() <= 1


def test_hadamard_design_is_exact_on_a_linear_network():
    classifier, excerpt = linear(), segments(2)
    explainer = Rise(samples=33, grid=(4, 3), masks="hard", design="hadamard", fill=-2.0, score="logit")
    for one, segment in zip(explainer.attribute(classifier, excerpt, [[Target(1)]] * 2), excerpt.values, strict=True):
        np.testing.assert_allclose(one.native, by_hand(classifier, segment, 1, one_grid(), -2.0), atol=1e-4)
        assert one.forwards == 33


def one_grid():
    return Grid.whole(12, 8, 4, 3)


def test_a_constant_added_to_the_score_changes_nothing():
    classifier, excerpt = convolutional(), segments(1)
    before = Rise(samples=60, grid=(3, 2), score="logit").attribute(classifier, excerpt, [[Target(0)]])[0]
    with torch.no_grad():
        classifier.network.head[2].bias += 100
    after = Rise(samples=60, grid=(3, 2), score="logit").attribute(classifier, excerpt, [[Target(0)]])[0]
    np.testing.assert_allclose(after.values, before.values, atol=1e-4)


@pytest.mark.parametrize("options", [{"masks": "hard"}, {}, {"norm": "kept"}, {"masks": "hard", "design": "hadamard"}])
def test_standard_error_is_the_spread_over_seeds(options):
    classifier, excerpt = convolutional(), segments(1)
    found = [
        Rise(samples=161, grid=(3, 2), **options, seed=seed).attribute(classifier, excerpt, [[Target(0)]])[0]
        for seed in range(60)
    ]
    spread = np.std([one.native for one in found], axis=0)
    said = np.sqrt(np.mean([one.standard_error.astype(float) ** 2 for one in found], axis=0))
    ratio = np.sqrt((said**2).mean() / (spread**2).mean())
    assert 0.75 < ratio < 1.33


def test_one_hadamard_block_tells_no_error():
    (found,) = Rise(samples=17, grid=(3, 2), design="hadamard", tolerance=0.5).attribute(
        convolutional(), segments(1), [[Target(0)]]
    )
    assert found.standard_error is None
    assert found.flags == ("not converged",)


def test_native_cells():
    classifier, excerpt = convolutional(), segments(1)
    (smooth,) = Rise(samples=40, grid=(3, 2)).attribute(classifier, excerpt, [[Target(0)]])
    (hard,) = Rise(samples=40, grid=(3, 2), masks="hard").attribute(classifier, excerpt, [[Target(0)]])
    assert smooth.native.shape == smooth.standard_error.shape == (12, 8)
    assert hard.native.shape == hard.standard_error.shape == (3, 2)


# ---- house rules --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["smooth", "hard"])
def test_segments_and_targets_do_not_see_each_other(kind, monkeypatch):
    monkeypatch.setattr(optimised, "rows_of", lambda _widest, _weights: 20)
    classifier, excerpt = convolutional(), segments(3, real_frames=[12, 7, 12])
    explainer = Rise(samples=80, grid=(3, 2), masks=kind)
    every = explainer.attribute(classifier, excerpt, [[Target(i) for i in range(3)]] * 3)
    for number, one in enumerate(every):
        (alone,) = explainer.attribute(classifier, excerpt.take([number // 3]), [[one.target]])
        np.testing.assert_allclose(one.values, alone.values, atol=rounding(1.0))
        np.testing.assert_allclose(one.standard_error, alone.standard_error, atol=rounding(1.0))
        assert not one.values[one.real_frames :].any()


def test_stops_when_the_error_is_small_enough():
    classifier, excerpt = convolutional(), segments(2)
    options = {"samples": 2000, "grid": (3, 2), "masks": "hard"}
    for one in Rise(**options, tolerance=0.3).attribute(classifier, excerpt, [[Target(0)]] * 2):
        assert one.forwards < 2000
        assert one.flags == ()
        assert np.sqrt((one.standard_error**2).mean()) <= 0.3 * np.abs(one.native).max()
    (short,) = Rise(**{**options, "samples": 30}, tolerance=1e-6).attribute(
        classifier, excerpt.take([0]), [[Target(0)]]
    )
    assert short.flags == ("not converged",)
    assert short.forwards <= 30  # masks that hide the same are heard once


def test_silence_is_flagged_without_warnings():
    silent = Segments(np.full((1, 12, 8), SILENCE, np.float32), np.zeros(1, int), np.array([12]), ("quiet.wav",))
    (found,) = Rise(samples=50, grid=(3, 2)).attribute(convolutional(), silent, [[Target(0)]])
    assert set(found.flags) == {"silent", "constant"}
    assert found.forwards == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "rise: samples=0 does not do"),
        ({"keep": 1.0}, "rise: keep=1.0 does not do; use a number above 0 and below 1"),
        ({"keep": 0}, "rise: keep=0 does not do"),
        ({"soft": 2}, "rise: soft goes with masks=hard"),
        ({"grid": (13, 2)}, "rise: grid=13x2 is finer than the segment of 12x8 cells"),
    ],
)
def test_parameters_that_do_not_do(options, message):
    with pytest.raises(UsageError, match=message):
        Rise(**options).attribute(convolutional(), segments(1), [[Target(0)]])
