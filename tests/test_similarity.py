"""Similarity of maps: against SciPy, against the formulas written out, and what must hold for any two maps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from earwitness.core.errors import EarwitnessError
from earwitness.explainers.ranks import rank_correlation, standard_ranks
from earwitness.trust.metrics.similarity import correlation, ssim, top_overlap

SHAPES = st.tuples(st.integers(1, 13), st.integers(1, 6))
FEW = settings(max_examples=25)
MEASURES = (correlation, rank_correlation, ssim, top_overlap)


def pairs(levels=5):
    """Two maps of one shape with many ties, neither of them constant."""
    cells = st.integers(0, levels).map(float)
    return SHAPES.flatmap(lambda shape: st.tuples(*[arrays(np.float64, shape, elements=cells)] * 2)).filter(
        lambda pair: np.ptp(pair[0]) > 0 and np.ptp(pair[1]) > 0
    )


def noise(seed, shape=(12, 8)):
    return np.random.default_rng(seed).standard_normal(shape)


@FEW
@given(pairs())
def test_rank_correlation_is_scipys(pair):
    expected = stats.spearmanr(pair[0].ravel(), pair[1].ravel()).statistic
    assert rank_correlation(*pair) == pytest.approx(expected, abs=1e-12)


@FEW
@given(pairs())
def test_correlation_is_scipys(pair):
    expected = stats.pearsonr(pair[0].ravel(), pair[1].ravel()).statistic
    assert correlation(*pair) == pytest.approx(expected, abs=1e-12)


def test_cells_in_which_nothing_happens_hardly_count_by_value_but_do_by_rank():
    one, other = noise(1) * 1e-3, noise(2) * 1e-3
    one[2:4, 1:3] = other[2:4, 1:3] = 1.0
    assert correlation(one, other) > 0.99
    assert rank_correlation(one, other) < 0.5


@FEW
@given(pairs())
def test_ranks_multiply_to_the_rank_correlation(pair):
    ranks = [standard_ranks(one) for one in pair]
    assert ranks[0] @ ranks[1] == pytest.approx(rank_correlation(*pair), abs=1e-12)


def written_out(a, b):
    """SSIM with a loop over windows: equations 6 and 13 to 16 of Wang et al. 2004."""
    heights, widths = ([min(11, side if side % 2 else side - 1)] for side in a.shape)
    height, width = heights[0], widths[0]
    rows, columns = np.mgrid[:height, :width]
    window = np.exp(-((rows - height // 2) ** 2 + (columns - width // 2) ** 2) / (2 * 1.5**2))
    window /= window.sum()
    low = min(a.min(), b.min())
    span = max(a.max(), b.max()) - low
    a, b = a - low, b - low
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    found = []
    for row, column in itertools.product(range(a.shape[0] - height + 1), range(a.shape[1] - width + 1)):
        x, y = (one[row : row + height, column : column + width] for one in (a, b))
        mx, my = (window * x).sum(), (window * y).sum()
        vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
        both = (window * (x - mx) * (y - my)).sum()
        found.append((2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return np.mean(found)


@FEW
@given(pairs())
def test_ssim_is_the_formula_written_out(pair):
    assert ssim(*pair) == pytest.approx(written_out(*pair), abs=1e-9)


def test_ssim_of_a_whole_window():
    a, b = noise(0, (30, 21)), noise(1, (30, 21))
    assert ssim(a, b) == pytest.approx(written_out(a, b), abs=1e-12)


@pytest.mark.parametrize("factor", [1e-200, 1e-3, 1e200])
def test_ssim_does_not_depend_on_the_unit_that_both_share(factor):
    a, b = noise(0), noise(1)
    assert ssim(a * factor, b * factor) == pytest.approx(ssim(a, b), abs=1e-12)


@pytest.mark.parametrize("level", [-7.0, 0.5])
def test_ssim_does_not_depend_on_the_level_that_both_share(level):
    a, b = noise(0), noise(1)
    assert ssim(a + level, b + level) == pytest.approx(ssim(a, b), abs=1e-12)


def drawn_overlap(a, b, places):
    """The overlap with ties broken by the order of the cells, the same for both maps, that gives most."""
    best = 0
    for order in itertools.permutations(range(a.size)):
        tops = [set(sorted(range(a.size), key=lambda i, m=m, o=order: (-m.flat[i], o[i]))[:places]) for m in (a, b)]
        best = max(best, len(tops[0] & tops[1]))
    return best / places


@pytest.mark.parametrize("seed", range(10))
def test_top_overlap_without_ties_is_brute_force(seed):
    a, b = noise(seed), noise(100 + seed)
    tops = [set(np.argsort(-one.ravel())[:10]) for one in (a, b)]
    assert top_overlap(a, b) == len(tops[0] & tops[1]) / 10


@pytest.mark.parametrize("seed", range(6))
def test_top_overlap_of_ties_is_at_most_what_some_order_of_them_gives(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 3, (2, 3)).astype(float), rng.integers(0, 3, (2, 3)).astype(float)
    if np.ptp(a) and np.ptp(b):
        assert top_overlap(a, b, 0.5) <= drawn_overlap(a, b, 3) + 1e-12


def test_top_overlap_of_ties_against_none_is_the_mean_over_their_orders():
    fine = np.arange(8.0).reshape(2, 4)
    coarse = np.array([[0.0, 0, 0, 0], [1, 1, 1, 1]])
    # Two places, four cells tie for them, two of which are the fine map's.
    assert top_overlap(fine, coarse, 0.25) == pytest.approx(0.5)


def test_top_overlap_of_a_random_map_is_the_share():
    fine = noise(0, (20, 10))
    found = [top_overlap(fine, noise(seed, (20, 10))) for seed in range(1, 301)]
    assert np.mean(found) == pytest.approx(0.1, abs=3 * np.std(found) / np.sqrt(300))


@pytest.mark.parametrize("measure", MEASURES)
@FEW
@given(pair=pairs())
def test_measures_are_symmetric_and_bounded(measure, pair):
    found = measure(*pair)
    assert found == pytest.approx(measure(*pair[::-1]), abs=1e-12)
    assert -1 - 1e-9 <= found <= 1 + 1e-9


@pytest.mark.parametrize("measure", MEASURES)
@FEW
@given(pair=pairs())
def test_a_map_is_all_like_itself(measure, pair):
    assert measure(pair[0], pair[0]) == pytest.approx(1)


def test_a_map_is_the_opposite_of_its_negative():
    a = noise(3)
    assert rank_correlation(a, -a) == pytest.approx(-1)
    assert top_overlap(a, -a) == 0
    assert ssim(a, -a) < -0.5


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    "empty",
    [np.zeros((12, 8)), np.full((12, 8), 0.1), np.full((12, 8), np.nan), np.full((12, 8), 1e9) + noise(5) * 1e-3],
    ids=["zero", "constant", "nan", "rounding"],
)
def test_a_map_that_tells_nothing_is_like_nothing(measure, empty):
    for other in (empty, noise(2)):
        assert measure(empty, other) == 0
        assert measure(other, empty) == 0


@pytest.mark.parametrize("measure", MEASURES)
def test_one_cell_and_no_cell_are_like_nothing(measure):
    for shape in ((1, 1), (0, 8)):
        assert measure(np.ones(shape), np.ones(shape)) == 0


@pytest.mark.parametrize("measure", MEASURES)
def test_shapes_must_agree(measure):
    with pytest.raises(EarwitnessError, match=r"\(12, 8\) and \(8, 12\)"):
        measure(noise(0), noise(0, (8, 12)))
