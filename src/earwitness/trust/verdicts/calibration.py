"""How far chances come true: bins of predicted against measured shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 6


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
