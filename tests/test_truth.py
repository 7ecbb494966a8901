"""Scores of a map against the truth: closed forms, scikit-learn, ties, profiles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from earwitness.trust.metrics import localisation

SHAPE = (12, 8)


def boxed(first: int, last: int, low: int, high: int) -> np.ndarray:
    mask = np.zeros(SHAPE)
    mask[first:last, low:high] = 1.0
    return mask


boxes = st.tuples(st.integers(0, 10), st.integers(1, 5), st.integers(0, 6), st.integers(1, 3)).map(
    lambda box: boxed(box[0], box[0] + box[1], box[2], box[2] + box[3])
)
# Few levels, so that ties are common.
maps = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).integers(-4, 5, SHAPE).astype(float))


@given(boxes)
def test_map_that_equals_the_truth_scores_one(mask):
    assert set(localisation.scores(mask, mask).as_dict().values()) == {1.0}


@given(boxes)
def test_negative_of_the_truth_scores_zero_but_for_precision(mask):
    found = localisation.scores(-mask, mask)
    assert (found.pointing, found.mass, found.rank, found.auroc) == (0.0, 0.0, 0.0, 0.0)
    assert found.auprc == pytest.approx(localisation.evidence_share(mask))
    # Nothing speaks for any frame or band: all tie.
    assert found.time_auroc == found.band_auroc == 0.5


@given(boxes)
def test_constant_map_scores_what_chance_does(mask):
    found = localisation.scores(np.full(SHAPE, 0.3), mask)
    share = localisation.evidence_share(mask)
    assert found.auroc == found.time_auroc == found.band_auroc == 0.5
    for name in ("pointing", "mass", "rank", "auprc"):
        assert getattr(found, name) == pytest.approx(share)


def test_maps_of_chance_score_half_and_the_share_on_average():
    mask, rng = boxed(3, 6, 2, 5), np.random.default_rng(1)
    found = [localisation.scores(rng.normal(size=SHAPE), mask) for _ in range(200)]
    share = localisation.evidence_share(mask)
    assert np.mean([each.auroc for each in found]) == pytest.approx(0.5, abs=0.02)
    assert np.mean([each.time_auroc for each in found]) == pytest.approx(0.5, abs=0.03)
    for name in ("pointing", "mass", "rank"):
        assert np.mean([getattr(each, name) for each in found]) == pytest.approx(share, abs=0.04)


@given(maps, boxes)
def test_areas_are_scikit_learns(values, mask):
    found = localisation.scores(values, mask)
    assert found.auroc == pytest.approx(roc_auc_score(mask.ravel(), values.ravel()))
    assert found.auprc == pytest.approx(average_precision_score(mask.ravel(), values.ravel()))


@given(maps, boxes, st.floats(0.01, 100.0))
def test_scale_changes_nothing_and_signs_swap_the_roc(values, mask, scale):
    first, scaled = localisation.scores(values, mask), localisation.scores(values * scale, mask)
    assert scaled.as_dict() == pytest.approx(first.as_dict())
    assert localisation.scores(-values, mask).auroc == pytest.approx(1.0 - first.auroc)


@settings(max_examples=10)
@given(maps, boxes)
def test_ties_count_as_the_mean_over_ways_of_breaking_them(values, mask):
    rng = np.random.default_rng(0)
    broken = [localisation.scores(values + 1e-6 * rng.random(SHAPE), mask) for _ in range(150)]
    whole = localisation.scores(values, mask)
    for name in ("pointing", "rank", "auroc"):
        assert np.mean([getattr(each, name) for each in broken]) == pytest.approx(getattr(whole, name), abs=0.13)


@given(maps, boxes, st.integers(6, 12))
def test_padding_is_not_looked_at(values, mask, real):
    other = values.copy()
    other[real:] += 1e6
    found, same = (localisation.scores(each, mask, real).as_dict() for each in (values, other))
    assert found == pytest.approx(same, nan_ok=True)


def test_profiles_need_the_right_frames_or_bands_alone():
    mask = boxed(3, 6, 2, 5)
    right_time = boxed(3, 6, 6, 8)
    found = localisation.scores(right_time, mask)
    assert found.time_auroc == found.time_mass == found.time_pointing == 1.0
    assert found.pointing == found.mass == found.band_mass == 0.0


def test_profile_leaves_out_frames_that_hardly_hold_any():
    mask = boxed(3, 6, 0, 8).astype(bool)
    mask[9, 3] = True
    assert np.flatnonzero(localisation.profile(mask, 1)).tolist() == [3, 4, 5]


def test_truth_without_a_place_has_no_score():
    hum = boxed(0, 12, 1, 2)
    found = localisation.scores(hum, hum)
    assert math.isnan(found.time_auroc)
    assert found.band_auroc == found.auroc == 1.0
    assert all(math.isnan(score) for score in localisation.scores(hum, np.zeros(SHAPE)).as_dict().values())


def test_half_of_the_energy_makes_a_cell_the_evidences():
    soft = boxed(3, 6, 2, 5) * 0.5 + boxed(8, 9, 2, 5) * 0.49
    assert localisation.scores(boxed(3, 6, 2, 5), soft).mass == 1.0


def test_huge_values_do_not_overflow():
    mask = boxed(3, 6, 2, 5)
    assert localisation.mass((mask * 1e308).ravel(), mask.ravel() > 0) == 1.0


def test_maps_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="shape"):
        localisation.scores(np.zeros((3, 4)), np.zeros(SHAPE))
    with pytest.raises(ValueError, match="finite"):
        localisation.scores(np.full(SHAPE, np.nan), np.zeros(SHAPE))
