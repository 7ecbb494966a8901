"""Maps that know nothing of the classifier, as arrays and through the door of the methods."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earwitness.core.errors import EarwitnessError
from earwitness.explainers.attribution import Target
from earwitness.explainers.baselines import BASELINES, RandomBaseline, centre_map, edge_map, energy_map, random_map
from explain_toys import SILENCE, linear, segments
from rounding import rounding

TARGETS = [Target(0), Target(1, 2)]


def test_energy_is_height_above_silence():
    values = np.array([[SILENCE, SILENCE + 2], [SILENCE - 1, 3.0], [9.0, 9.0]], dtype=np.float32)
    found = energy_map(values, SILENCE, 2)
    np.testing.assert_allclose(found, [[0, 2], [0, 3 - SILENCE], [0, 0]], atol=rounding(found))


def test_centre_falls_from_the_middle_of_the_real_part():
    found = centre_map(np.zeros((9, 5)), 5)
    assert np.unravel_index(found.argmax(), found.shape) == (2, 2)
    assert found[2, 2] == 1
    assert not found[5:].any()
    real = found[:5].astype(np.float64)
    np.testing.assert_allclose(real, real[::-1, ::-1], atol=1e-6)
    assert real.min() == real[0, 0] >= 0


def test_both_sides_count_alike_for_the_centre():
    np.testing.assert_allclose(centre_map(np.zeros((8, 4))).T, centre_map(np.zeros((4, 8))), atol=1e-6)


def test_edges_are_where_the_log_mel_changes_and_never_at_padding():
    values = np.zeros((10, 6), dtype=np.float32)
    values[:, 3:] = 2.0
    found = edge_map(values, 8)
    assert (found[:8, 2:4] == 8.0).all()  # Sobel over a step of 2: (1 + 2 + 1) * 2
    assert not found[:, [0, 1, 4, 5]].any()
    assert not found[8:].any()


def test_random_draws_depend_on_the_seed():
    values = np.zeros((30, 20), dtype=np.float32)
    found = random_map(values, 25, seed=3)
    assert np.array_equal(found, random_map(values, 25, seed=3))
    assert not np.array_equal(found, random_map(values, 25, seed=4))
    assert abs(found[:25].mean()) < 0.2
    assert not found[25:].any()


@pytest.mark.parametrize("name", BASELINES)
def test_explainer_gives_what_its_function_gives(name):
    given = segments(3, real_frames=[12, 7, 0])
    classifier = linear()
    baseline = BASELINES[name]()
    found = baseline.attribute(classifier, given, [TARGETS, TARGETS[:1], []])
    assert [one.target for one in found] == [*TARGETS, TARGETS[0]]
    assert [one.method for one in found] == [name] * 3
    for one, row in zip(found, (0, 0, 1), strict=True):
        real = int(given.real_frames[row])
        assert np.array_equal(one.values, baseline.draw(given.values[row], SILENCE, real))
        assert np.array_equal(one.values, one.native)
        assert one.values.dtype == np.float32
        assert not one.values[real:].any()
        assert np.isfinite(one.values).all()
    alone = baseline.attribute(classifier, given.take([1]), [TARGETS[:1]])[0]
    assert np.array_equal(alone.values, found[2].values)
    # However small a probability is, its logarithm is as exact as the logits that made it.
    logits = classifier.network(torch.tensor(given.values))
    assert np.log(alone.score) == pytest.approx(np.log(found[2].score), abs=rounding(logits))
    assert 0 <= found[0].score <= 1


@pytest.mark.parametrize("name", BASELINES)
def test_silent_and_empty_segments_give_finite_maps(name):
    given = segments(2, real_frames=[12, 0])
    given.values[:] = SILENCE
    found = BASELINES[name]().attribute(linear(), given, [TARGETS[:1]] * 2)
    assert all(np.isfinite(one.values).all() and "silent" in one.flags for one in found)
    assert not found[1].values.any()


def test_random_baseline_differs_between_segments_and_seeds():
    given = segments(2)
    first, second = RandomBaseline().attribute(linear(), given, [TARGETS[:1]] * 2)
    assert not np.array_equal(first.values, second.values)
    assert not np.array_equal(
        RandomBaseline(seed=1).attribute(linear(), given, [TARGETS[:1]] * 2)[0].values, first.values
    )


def test_a_score_that_is_no_number_is_refused():
    classifier = linear()
    classifier.network.bias.data[:] = np.nan
    with pytest.raises(EarwitnessError, match="NaN"):
        BASELINES["energy"]().attribute(classifier, segments(1), [TARGETS[:1]])
