"""The room for rounding lets every order of sums pass, and nothing that is wrong."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from explain_toys import convolutional, real, real_segments, segments
from rounding import DEEP, UNITS, rounding


def largest_difference(one, other):
    with torch.inference_mode():
        return float((one - other).abs().max())


def test_it_is_units_in_the_last_place_of_the_largest_number():
    assert rounding(np.array([1.0, -4.0])) == UNITS * 2**-23 * 4
    assert rounding(torch.tensor([0.5]), 2.0, units=1, precision="float64") == 2**-51
    assert rounding([8.0], units=4, precision="bfloat16") == 4 * 2**-7 * 8


def test_nothing_and_no_number_have_no_roundings():
    with pytest.raises(AssertionError, match="compare with =="):
        rounding(np.zeros(3))
    with pytest.raises(AssertionError):
        rounding(np.array([1.0, np.nan]))


@pytest.mark.parametrize("change", [1e-3, -1e-3])
def test_a_weight_that_is_a_thousandth_off_is_seen(change):
    network, x = convolutional().network, torch.tensor(segments(3).values)
    other = copy.deepcopy(network)
    other.features[3].weight.data *= 1 + change
    exact = network(x)
    assert largest_difference(exact, torch.cat([network(row[None]) for row in x])) <= rounding(1.0, exact)
    assert largest_difference(exact, other(x)) > rounding(1.0, exact)


@pytest.mark.parametrize("backbone", ["vggish", "mn04", "compact"])
def test_a_coarser_format_is_seen_in_a_backbone(backbone):
    network, x = real(backbone).network, torch.tensor(real_segments(backbone, 2).values)
    with torch.inference_mode():
        exact, alone = network(x), torch.cat([network(row[None]) for row in x])
        with torch.autocast("cpu", torch.bfloat16):
            coarse = network(x).float()
    assert largest_difference(exact, alone) <= rounding(exact, units=DEEP)
    assert largest_difference(exact, coarse) > rounding(exact, units=DEEP)
