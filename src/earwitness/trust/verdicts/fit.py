"""How the judge of verdicts is fitted on maps whose truth is known, and how it is tested on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from earwitness.core.arrays import BoolArray, Float64Array
from earwitness.core.errors import EarwitnessError
from earwitness.trust.verdicts.indicators import Signs
from earwitness.trust.verdicts.judge import Judge

NAMES = (
    "probability",
    "depends",
    "deletion",
    "insertion",
    "energy",
    "correlation",
    "shift",
    "noise",
    "seeds",
    "fills",
    "kept",
    "agrees",
    "sparse",
)
# Only one sign speaks for a map by being small. Which way the others speak is known beforehand, and a fit that found
# the opposite would have found chance: so weights keep their sides.
SMALL_IS_GOOD = ("kept",)
PENALTY = 0.02  # of squared weights, against chance in few cases
# Of the maps called reliable and of those called not reliable, so many should be right, and wrong.
RELIABLE_RIGHT, UNRELIABLE_WRONG = 0.85, 0.85


@dataclass(frozen=True)
class Known:
    """A map whose truth is known: its signs, and whether it is right."""

    signs: Signs
    right: bool


def fit(cases: Sequence[Known], fitted_on: str, names: Sequence[str] = NAMES) -> Judge:
    """Fit a judge: ridge-penalised logistic regression, each weight on its side, classes weighing alike.

    Parameters
    ----------
    cases
        Maps whose truth is known, some right and some wrong.
    fitted_on
        In words.
    names
        Of the signs to use.

    Raises
    ------
    EarwitnessError
        All maps are right, or none is.
    """
    right = np.array([case.right for case in cases])
    if not right.any() or right.all():
        raise EarwitnessError("a judge needs maps that are right and maps that are wrong; measure more cases")
    numbers = [case.signs.numbers() for case in cases]
    table = np.array([[one.get(name, np.nan) for name in names] for one in numbers])
    known = ~np.isnan(table)
    counts = np.maximum(known.sum(axis=0), 1)
    means = np.where(known, table, 0.0).sum(axis=0) / counts
    spread = np.where(known, table - means, 0.0)
    scales = np.sqrt((spread**2).sum(axis=0) / counts)
    scales[scales < 1e-9] = 1.0
    standard = np.clip(spread / scales, -4.0, 4.0)
    sides = np.array([-1.0 if name in SMALL_IS_GOOD else 1.0 for name in names])
    found = minimize(
        _loss,
        np.zeros(len(names) + 1),
        args=(standard, right),
        jac=True,
        bounds=[(0.0, None) if side > 0 else (None, 0.0) for side in sides] + [(None, None)],
        method="L-BFGS-B",
    ).x
    weights, intercept = found[:-1], float(found[-1])
    chances = 1.0 / (1.0 + np.exp(-(intercept + standard @ weights)))
    reliable, weak = _limits(chances, right)
    return Judge(
        names=tuple(names),
        means=tuple(_round(means)),
        scales=tuple(_round(scales)),
        weights=tuple(_round(weights)),
        intercept=round(intercept, 6),
        reliable=reliable,
        weak=weak,
        fitted_on=fitted_on,
    )


def _loss(found: Float64Array, standard: Float64Array, right: BoolArray) -> tuple[float, Float64Array]:
    """Return the penalised loss and its gradient."""
    weights = found[:-1]
    odds = found[-1] + standard @ weights
    sign = np.where(right, 1.0, -1.0)
    loss = float(np.logaddexp(0.0, -sign * odds).mean() + PENALTY * weights @ weights)
    slope = -sign / (1.0 + np.exp(sign * odds)) / len(right)
    return loss, np.append(standard.T @ slope + 2 * PENALTY * weights, slope.sum())


def _limits(chances: Float64Array, right: BoolArray) -> tuple[float, float]:
    """Return the least chance of *reliable* and of *weak*.

    The first is the lowest limit above which enough maps are right, the second the highest limit below which enough
    are wrong; where there is no such limit, the chances themselves must serve.
    """
    order = np.sort(np.unique(chances))
    above = [float(limit) for limit in order if right[chances >= limit].mean() >= RELIABLE_RIGHT]
    below = [float(limit) for limit in order[1:] if (~right[chances < limit]).mean() >= UNRELIABLE_WRONG]
    reliable = min(above, default=RELIABLE_RIGHT)
    weak = max(below, default=1 - UNRELIABLE_WRONG)
    return round(max(reliable, weak), 4), round(min(reliable, weak), 4)


def _round(values: Float64Array) -> list[float]:
    return [round(float(value), 6) for value in values]


# ---- testing ------------------------------------------------------------------------------------------------------
