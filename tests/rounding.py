"""How far rounding alone takes two computations of one thing apart.

Two batch shapes, two algorithms, two numbers of threads and two processors add the same products in another order.
Every addition rounds, at the size of what was added and not of what comes out: a small difference of two large scores
differs as large scores do. So a test names the numbers that made what it compares.
"""

from __future__ import annotations

import numpy as np
import torch

# Roundings of half a unit in the last place walk at random, so a thousand of them come to some 16 units. Small networks
# were 9 units apart at most, with AVX2 and with PyTorch without vectors; a wrong weight, cell or formula makes a
# hundred times as much.
UNITS = 32
# Through the layers of a backbone errors grow, and weights that lie otherwise are added up in another order: 120 units
# of the map's peak were measured.
DEEP = 512


def rounding(*made_of, units: float = UNITS, precision: str = "float32") -> float:
    """Return the largest difference that rounding may make.

    Parameters
    ----------
    made_of
        The numbers that were added up or subtracted: arrays, tensors or numbers. The largest of them counts.
    units
        How many units in the last place, of the largest number.
    precision
        The format that was computed in.

    Returns
    -------
    float
        An absolute tolerance.
    """
    size = max(float(np.abs(_array(each)).max(initial=0.0)) for each in made_of)
    assert np.isfinite(size)
    assert size > 0, "nothing was computed: compare with =="
    return units * torch.finfo(getattr(torch, precision)).eps * size


def _array(numbers) -> np.ndarray:
    if isinstance(numbers, torch.Tensor):
        numbers = numbers.detach().cpu().double().numpy()
    return np.asarray(numbers, np.float64)
