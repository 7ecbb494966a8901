"""How far chances come true: area under the ROC curve, and bins of predicted against measured shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

BINS = 6


def area_under_roc(chances: Sequence[float], right: Sequence[bool]) -> float:
    """Return the chance that a map that is right is given a higher chance than one that is not; NaN without both."""
    marked = np.asarray(right, dtype=bool)
    if not marked.any() or marked.all():
        return float("nan")
    ranks = rankdata(np.asarray(chances, dtype=np.float64))
    count = int(marked.sum())
    return float((ranks[marked].sum() - count * (count + 1) / 2) / (count * (len(marked) - count)))


@dataclass(frozen=True)
class Bin:
    """Maps of about the same chance: their mean chance, the share that is right, how many."""

    chance: float
    right: float
    count: int


def calibration(chances: Sequence[float], right: Sequence[bool], bins: int = BINS) -> list[Bin]:
    """Return how chances compare with what came true, in bins of about equal counts, the lowest chances first."""
    order = np.argsort(chances, kind="stable")
    given, came = np.asarray(chances, dtype=np.float64)[order], np.asarray(right, dtype=np.float64)[order]
    parts = [part for part in np.array_split(np.arange(len(order)), bins) if part.size]
    return [Bin(float(given[part].mean()), float(came[part].mean()), int(part.size)) for part in parts]
