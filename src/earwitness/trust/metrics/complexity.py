"""How much of a map lies in how few cells."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def gini(values: npt.NDArray[np.floating]) -> float:
    """Return the Gini index of a map's absolute values: 0 where all cells are alike, near 1 where one holds all.

    Chalasani et al., *Concise Explanations of Neural Networks using Adversarial Training*, ICML 2020, section 4. A map
    of zeros, or without cells, has 0.

    Parameters
    ----------
    values
        Any shape; the real cells.
    """
    sizes = np.sort(np.abs(values.astype(np.float64)).ravel())
    total = float(sizes.sum())
    if total == 0:
        return 0.0
    count = sizes.size
    return float((2 * np.arange(1, count + 1) - count - 1) @ sizes / (count * total))


def entropy(values: npt.NDArray[np.floating]) -> float:
    """Return the entropy, in nats, of the shares that cells have in a map's absolute mass: 0 where one holds all.

    Bhatt, Weller & Moura, *Evaluating and Aggregating Feature-based Model Explanations*, IJCAI 2020, where it is
    called complexity. At most the logarithm of the number of cells, which a map of zeros has too; without cells 0.

    Parameters
    ----------
    values
        Any shape; the real cells.
    """
    sizes = np.abs(values.astype(np.float64)).ravel()
    total = float(sizes.sum())
    if total == 0:
        return float(np.log(max(1, sizes.size)))
    held = sizes[sizes > 0] / total
    return float(-(held * np.log(held)).sum()) + 0.0
