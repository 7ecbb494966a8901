"""What hidden cells become, how masks fade, what is skipped, and where two fills disagree."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio.segments import Segments
from earwitness.explainers.attribution import Target
from earwitness.explainers.fills import FILLS, Ground, disagreement, faded, filled
from earwitness.explainers.perturbation.lime import Lime
from earwitness.explainers.perturbation.occlusion import Occlusion
from explain_toys import SILENCE, convolutional, linear, segments
from rounding import rounding

NOTHING = torch.zeros(1, 6, 2, dtype=torch.bool)


def ground(values, real=None, seed=0):
    values = np.asarray(values, np.float32)
    return Ground(
        values=values,
        segment=torch.tensor(values),
        real_frames=len(values) if real is None else real,
        silence=SILENCE,
        seed=seed,
    )


def test_plain_fills_look_at_real_frames_only():
    segment = np.arange(12, dtype=np.float32).reshape(6, 2)
    assert filled("mean", ground(segment, 2), NOTHING) == 1.5
    assert filled("mean", ground(segment, 0), NOTHING) == pytest.approx(SILENCE)
    assert filled("floor", ground(segment), NOTHING) == pytest.approx(SILENCE)
    assert filled(0.25, ground(segment), NOTHING) == 0.25
    assert filled("band-mean", ground(segment, 2), NOTHING).tolist() == [1.0, 2.0]
    assert filled("band-mean", ground(segment, 0), NOTHING).tolist() == pytest.approx([SILENCE] * 2)
    assert filled("band-mean", ground(segment).stretch(1, 3), NOTHING).tolist() == [5.0, 6.0]
    assert set(FILLS) == {"mean", "band-mean", "floor", "noise", "neighbours"}


def test_noise_has_the_bands_own_statistics():
    rng = np.random.default_rng(0)
    segment = rng.standard_normal((4000, 3)) * [0.1, 1.0, 0.5] + [-2.0, 3.0, 0.0]
    segment[2000:] = SILENCE
    noise = filled("noise", ground(segment, 2000), torch.zeros(1, 4000, 3, dtype=torch.bool)).numpy()
    np.testing.assert_allclose(noise.mean(axis=0), segment[:2000].mean(axis=0), atol=0.05)
    np.testing.assert_allclose(noise.std(axis=0), segment[:2000].std(axis=0), rtol=0.05)


def test_noise_is_seeded_and_no_quieter_than_silence():
    segment = np.random.default_rng(0).standard_normal((50, 4)) * 3
    one, again, other = (filled("noise", ground(np.maximum(segment, SILENCE), seed=s), NOTHING) for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.min() == pytest.approx(SILENCE)


def test_neighbours_go_straight_over_the_hole():
    segment = np.array([[0, 9], [5, 9], [5, 9], [3, 9], [8, 9], [8, 9]], np.float32)
    hidden = torch.zeros(2, 6, 2, dtype=torch.bool)
    hidden[0, 1:3, 0] = True
    hidden[1, 4:, 0] = True
    found = filled("neighbours", ground(segment), hidden).numpy()
    np.testing.assert_allclose(found[0, :4, 0], [0, 1, 2, 3])
    np.testing.assert_allclose(found[1, 3:, 0], [3, 3, 3])


def by_interp(segment, hidden, real):
    expected = segment.astype(float).copy()
    for band in range(segment.shape[1]):
        heard = [t for t in range(real) if not hidden[t, band]]
        for t in np.flatnonzero(hidden[:real, band]):
            expected[t, band] = np.interp(t, heard, segment[heard, band]) if heard else segment[:real].mean()
    return expected


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 15), st.integers(1, 4), st.integers(0, 10**6), st.floats(0, 1))
def test_neighbours_equal_numpy_s_interpolation(frames, bands, seed, share):
    rng = np.random.default_rng(seed)
    segment = rng.standard_normal((frames, bands)).astype(np.float32)
    real = int(rng.integers(1, frames + 1))
    hidden = rng.random((3, frames, bands)) < share
    hidden[:, real:] = False
    found = filled("neighbours", ground(segment, real), torch.tensor(hidden)).numpy()
    for one, mask in zip(found, hidden, strict=True):
        np.testing.assert_allclose(one[mask], by_interp(segment, mask, real)[mask], atol=rounding(segment))


@pytest.mark.parametrize("fill", ["band-mean", "noise", "neighbours"])
def test_fills_in_a_method_by_hand(fill):
    classifier, excerpt = linear(), segments(2, real_frames=[12, 9])
    explainer = Occlusion(mask=(4, 4), stride=(4, 4), edges="whole", fill=fill, score="logit", seed=3)
    weights = classifier.network.weights[1].detach().double().numpy()
    for one, segment in zip(explainer.attribute(classifier, excerpt, [[Target(1)]] * 2), excerpt.values, strict=True):
        drops = np.zeros((3, 2))
        for row, column in np.ndindex(3, 2):
            hidden = np.zeros((12, 8), bool)
            hidden[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = True
            hidden[one.real_frames :] = False
            under = ground(segment, one.real_frames, seed=3)
            value = np.broadcast_to(filled(fill, under, torch.tensor(hidden)[None]).numpy(), (1, 12, 8))[0]
            drops[row, column] = (weights * (segment - value))[hidden].sum()
        np.testing.assert_allclose(one.native, drops, atol=1e-4)
        assert one.fill == fill


@pytest.mark.parametrize("fill", sorted(FILLS))
def test_fills_do_not_see_other_segments(fill):
    classifier, excerpt = convolutional(), segments(3)
    explainer = Lime(grid=(2, 2), samples=40, fill=fill, soft=1)
    together = explainer.attribute(classifier, excerpt, [[Target(0)]] * 3)
    for row, one in enumerate(together):
        (alone,) = explainer.attribute(classifier, excerpt.take([row]), [[Target(0)]])
        np.testing.assert_allclose(one.values, alone.values, atol=rounding(1.0))


# ---- soft edges ---------------------------------------------------------------------------------------------------


def test_soft_masks_fade_linearly_across_their_edges():
    hidden = torch.zeros(1, 12, 5, dtype=torch.bool)
    hidden[:, 6:] = True
    share = faded(hidden, 2)[0, :, 2].numpy()
    np.testing.assert_allclose(share, [0, 0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1], atol=1e-6)
    assert torch.equal(faded(hidden, 0), hidden.float())
    assert (faded(torch.ones(1, 4, 3, dtype=torch.bool), 5) == 1).all()


def test_soft_masks_of_a_linear_network_by_hand():
    classifier, excerpt = linear(), segments(1)
    explainer = Occlusion(mask=(6, 8), stride=(6, 8), edges="whole", fill=-1.0, score="logit", soft=1)
    (found,) = explainer.attribute(classifier, excerpt, [[Target(0)]])
    share = np.array([1] * 5 + [2 / 3, 1 / 3] + [0] * 5)
    added = (classifier.network.weights[0].detach().numpy() * (excerpt.values[0] + 1)).sum(axis=1)
    np.testing.assert_allclose(found.native[:, 0], [share @ added, (1 - share) @ added], atol=1e-4)


# ---- passes that are not needed -----------------------------------------------------------------------------------


def test_masks_that_change_nothing_cost_nothing():
    classifier = linear()
    values = np.full((1, 12, 8), SILENCE, np.float32)
    values[0, :4] = 1.0
    excerpt = Segments(values, np.zeros(1, int), np.array([12]), ("half.wav",))
    explainer = Occlusion(mask=(4, 4), stride=(4, 4), edges="whole", fill="floor", score="logit")
    (found,) = explainer.attribute(classifier, excerpt, [[Target(0)]])
    assert found.forwards == classifier.network.seen == 1 + 2
    assert not found.native[1:].any()
    assert found.native[0].any()


def test_equal_samples_are_heard_once():
    classifier, excerpt = linear(), segments(2)
    explainer = Lime(grid=(2, 2), samples=500, score="logit")
    found = explainer.attribute(classifier, excerpt, [[Target(0)]] * 2)
    assert {one.forwards for one in found} == {16}
    assert classifier.network.seen == 32
    assert all(one.diagnostics["r2"] == pytest.approx(1) for one in found)


# ---- two fills ----------------------------------------------------------------------------------------------------


def test_a_second_fill_is_compared():
    classifier, excerpt = convolutional(), segments(2)
    options = {"mask": (4, 4), "stride": (2, 2), "fill": "mean"}
    alone = Occlusion(**options).attribute(classifier, excerpt, [[Target(0), Target(2)], [Target(1)]])
    other = Occlusion(**options | {"fill": "noise"}).attribute(
        classifier, excerpt, [[Target(0), Target(2)], [Target(1)]]
    )
    both = Occlusion(**options, fill2="noise").attribute(classifier, excerpt, [[Target(0), Target(2)], [Target(1)]])
    for one, first, second in zip(both, alone, other, strict=True):
        np.testing.assert_array_equal(one.values, first.values)
        assert one.diagnostics == disagreement(first, second)
        assert one.forwards == first.forwards + second.forwards
        assert one.parameters["fill2"] == "noise"
        assert one.fill == "mean"


def made(values):
    (found,) = Occlusion().attribute(convolutional(), segments(1), [[Target(0)]])
    return dataclasses.replace(found, values=np.asarray(values, np.float32))


def test_disagreement_in_numbers():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((12, 8))
    assert disagreement(made(values), made(values**3))["fill2_rank_correlation"] == pytest.approx(1)
    opposite = disagreement(made(values), made(-values))
    assert opposite["fill2_rank_correlation"] == pytest.approx(-1)
    assert opposite["fill2_opposite"] == pytest.approx(1)
    changed = values.copy()
    changed[7, 3] = -4 * np.sign(values[7, 3]) * np.abs(values).max()
    where = disagreement(made(values), made(changed))
    assert (where["fill2_frame"], where["fill2_band"]) == (7, 3)
    flat = np.zeros((12, 8))
    assert disagreement(made(flat), made(flat))["fill2_rank_correlation"] == 1
    assert disagreement(made(values), made(flat))["fill2_rank_correlation"] == 0
    rounded = 1 + 1e-7 * rng.integers(-1, 2, (12, 8))  # the last bit of float32 tells no cell from another
    assert np.ptp(rounded.astype(np.float32)) > 0
    assert disagreement(made(values), made(rounded))["fill2_rank_correlation"] == 0
