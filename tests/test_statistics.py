"""Statistics: intervals against published numbers and equations, the area under ROC against scikit-learn."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from earwitness.core.statistics import (
    RESAMPLES,
    area_under_roc,
    bootstrap_interval,
    drawn_groups,
    grouped_interval,
    ranks,
    student_interval,
    wilson_interval,
)

# ---- shares and means ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17, 1998, p. 857: table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_intervals_are_the_published_ones(right, total, low, high):
    assert wilson_interval(right, total) == pytest.approx((low, high), abs=5.1e-5)


@given(st.integers(1, 3000), st.data(), st.floats(0.5, 0.999))
def test_an_interval_ends_where_the_score_test_does(total, data, confidence):
    from statistics import NormalDist

    right = data.draw(st.integers(0, total))
    low, high = wilson_interval(right, total, confidence)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = right / total
    assert 0.0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1.0
    for end in (low, high):
        if 1e-9 < end < 1 - 1e-9:  # solves |share - p| = z sqrt(p (1 - p) / n)
            assert abs(share - end) == pytest.approx(z * np.sqrt(end * (1 - end) / total), rel=1e-6)


@given(st.integers(0, 200), st.integers(1, 200))
def test_intervals_mirror(right, more):
    total = right + more
    low, high = wilson_interval(right, total)
    assert wilson_interval(total - right, total) == pytest.approx((1 - high, 1 - low))


def test_the_interval_of_a_mean_is_students():
    low, high = student_interval([0.90, 0.92, 0.94, 0.96, 0.98])
    # t(0.975, 4) = 2.776; the standard deviation is 0.0316
    assert low == pytest.approx(0.94 - 2.776 * 0.0316228 / 5**0.5, abs=1e-4)
    assert high == pytest.approx(0.94 + 2.776 * 0.0316228 / 5**0.5, abs=1e-4)
    assert student_interval([1.0]) == (0.0, 1.0)
    assert student_interval([1.0, 0.0]) == (0.0, 1.0)


def test_no_trials_say_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_all_right_is_not_certain():
    low, high = wilson_interval(80, 80)
    assert high == 1.0
    assert low == pytest.approx(80 / (80 + 1.959964**2), abs=1e-6)


# ---- bootstrap ----------------------------------------------------------------------------------------------------


def error_of_an_end(values) -> float:
    """Return five times the error of an end of a 95 % interval that comes of the draws being so few."""
    return 5 * 2.7 * float(np.std(values)) / math.sqrt(len(values)) / math.sqrt(RESAMPLES)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_a_bootstrap_interval_holds_its_share_of_means_over_draws_with_replacement(confidence):
    values = np.random.default_rng(0).exponential(size=30)
    chance = random.Random(1)
    means = [np.mean(chance.choices(values.tolist(), k=30)) for _ in range(4 * RESAMPLES)]
    tail = (1 - confidence) / 2
    ours = bootstrap_interval(values, [3], confidence)
    assert ours == pytest.approx(np.quantile(means, [tail, 1 - tail]), abs=error_of_an_end(values))
    assert ours == bootstrap_interval(values, [3], confidence) != bootstrap_interval(values, [4], confidence)


def test_groups_of_one_value_each_are_independent_values():
    values = np.random.default_rng(1).exponential(size=30)
    draws = drawn_groups(30, np.random.default_rng(2))
    assert draws.shape == (RESAMPLES, 30)
    assert (draws.sum(axis=1) == 30).all()
    grouped = grouped_interval(values, np.ones(30), draws)
    assert grouped == pytest.approx(bootstrap_interval(values, [3]), abs=error_of_an_end(values))


def test_values_that_are_said_twice_tell_no_more_but_in_groups():
    values = np.random.default_rng(4).normal(size=25)
    draws = drawn_groups(25, np.random.default_rng(5))
    once = grouped_interval(values, np.ones(25), draws)
    assert grouped_interval(4 * values, np.full(25, 4.0), draws) == pytest.approx(once)
    low, high = bootstrap_interval(np.repeat(values, 4), [5])
    assert high - low < 0.7 * (once[1] - once[0])


def test_draws_without_a_value_are_left_out():
    sums, counts = np.array([3.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.0])
    draws = drawn_groups(3, np.random.default_rng(6))
    assert (draws @ counts == 0).any()
    assert grouped_interval(sums, counts, draws) == (3.0, 3.0)


# ---- area under ROC -----------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=60))
def test_the_area_under_roc_is_scikit_learns_ties_too(pairs):
    values, positive = [float(value) for value, _ in pairs], [marked for _, marked in pairs]
    found = area_under_roc(values, positive)
    if len(set(positive)) == 2:
        assert found == pytest.approx(roc_auc_score(positive, values))
    else:
        assert math.isnan(found)


@given(st.lists(st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1e-300, 3.0]), max_size=30))
def test_ranks_are_scipy_s(values):
    np.testing.assert_array_equal(ranks(values), stats.rankdata(values))


def test_ranks_with_a_nan_are_none():
    assert np.isnan(ranks([1.0, math.nan, 2.0])).all()


@given(st.integers(1, 3000), st.data(), st.floats(0.5, 0.999))
def test_wilson_s_interval_is_scipy_s(total, data, confidence):
    right = data.draw(st.integers(0, total))
    theirs = stats.binomtest(right, total).proportion_ci(confidence, method="wilson")
    assert wilson_interval(right, total, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12), st.floats(0.5, 0.999))
def test_student_s_interval_is_scipy_s(shares, confidence):
    reach = stats.t.ppf(0.5 + confidence / 2, len(shares) - 1) * np.std(shares, ddof=1) / np.sqrt(len(shares))
    middle = np.mean(shares)
    wanted = max(0.0, middle - reach), min(1.0, middle + reach)
    assert student_interval(shares, confidence) == pytest.approx(wanted, abs=1e-12)
