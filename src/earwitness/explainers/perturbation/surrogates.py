"""The simple models that LIME fits to a network's scores, and how samples are weighted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earwitness.core.arrays import BoolArray, Float64Array

# A leaf of the tree holds at least this share of the samples, so that it fits the score and not the draw.
LEAF_SHARE = 0.01
# Scores that vary by less than this share of their size (as standard deviation) are the same but for rounding.
FLAT = 1e-9
# Directions in which the samples differ by less than this share of the most are not told apart.
SINGULAR = 1e-10


@dataclass(frozen=True)
class Fit:
    """A fitted model of one target's score.

    Parameters
    ----------
    importance
        Shape (features,): what keeping each part adds to the score, in the unit of the score.
    r2
        Share of the scores' weighted variance that the model explains; 0 where the scores do not vary.
    error
        Shape (features,): standard error of each importance over draws of the samples, or None where it is not known.
    """

    importance: Float64Array
    r2: float
    error: Float64Array | None = None


def similarity(kept: BoolArray, width: float) -> Float64Array:
    """Return each sample's weight, shape (samples,), by how much of the segment it keeps.

    The distance is the cosine distance from keeping everything, and the weight the root of exp(-distance^2 / width^2),
    as in the authors' package for pictures.
    """
    distance = 1.0 - np.sqrt(kept.mean(axis=1))
    return np.asarray(np.exp(-0.5 * (distance / width) ** 2))


def fit_linear(kept: BoolArray, scores: Float64Array, weights: Float64Array, ridge: float, pair: int = 1) -> list[Fit]:
    """Fit a linear model with intercept to each target's scores by weighted least squares.

    The standard error is the sandwich estimate, which holds for scores that are not linear in the parts too; samples
    that were drawn together count as one draw, and draws are counted less the coefficients. A Hadamard design whose
    parts leave columns free makes it an upper bound: what falls on the free columns is in the residuals alone.

    Parameters
    ----------
    kept
        Shape (samples, features).
    scores
        Shape (samples, targets).
    weights
        Shape (samples,).
    ridge
        Penalty on the squared coefficients (not on the intercept).
    pair
        How many samples in a row were drawn together.

    Returns
    -------
    One fit per target. Where the samples do not tell parts apart, the smallest coefficients are taken.
    """
    share = weights / weights.sum()
    design = kept - share @ kept
    weighted = (design * weights[:, np.newaxis]).T
    penalised = weighted @ design + ridge * np.eye(kept.shape[1])
    # One solver for all targets, applied to each by itself: a target's numbers do not depend on its neighbours.
    solver = np.linalg.pinv(penalised, rcond=SINGULAR, hermitian=True) @ weighted
    fits = []
    for measured in np.ascontiguousarray(scores.T):
        centred = measured - share @ measured
        importance = solver @ centred
        predicted = design @ importance
        r2 = _r2(centred, predicted, share, measured)
        fits.append(Fit(importance, r2, _sandwich(solver, centred - predicted, pair)))
    return fits


def _sandwich(solver: Float64Array, residual: Float64Array, pair: int) -> Float64Array | None:
    """Return the standard error of coefficients that a solver (features, samples) takes from the scores."""
    features, draws = len(solver), len(residual) // pair
    if draws <= features + 1:
        return None
    pulls = (solver * residual).reshape(features, draws, pair).sum(axis=2)
    return np.asarray(np.sqrt((pulls**2).sum(axis=1) * draws / (draws - features - (pair == 1))))


def fit_lasso(kept: BoolArray, scores: Float64Array, weights: Float64Array, sparsity: float) -> list[Fit]:
    """Fit a linear model with intercept and few coefficients to each target's scores (Tibshirani, JRSS B 1996).

    Parameters
    ----------
    kept, scores, weights
        As for :func:`fit_linear`.
    sparsity
        Penalty on the absolute coefficients, as a share of the smallest penalty that makes all of them zero.
    """
    from sklearn.linear_model import Lasso  # heavy, and only this surrogate needs it

    share = weights / weights.sum()
    design = kept - share @ kept
    root = np.sqrt(share * len(share))[:, np.newaxis]
    fits = []
    for measured in np.ascontiguousarray(scores.T):
        centred = measured - share @ measured
        limit = float(np.abs((share * centred) @ design).max())
        importance = np.zeros(kept.shape[1])
        if not _flat(centred, share, measured):
            model = Lasso(alpha=sparsity * limit, fit_intercept=False, tol=1e-8, max_iter=100_000)
            importance = np.asarray(model.fit(design * root, centred * root[:, 0]).coef_, dtype=np.float64)
        fits.append(Fit(importance, _r2(centred, design @ importance, share, measured)))
    return fits


def fit_tree(kept: BoolArray, scores: Float64Array, weights: Float64Array, seed: int) -> list[Fit]:
    """Fit a regression tree to each target's scores.

    A tree has no coefficients. A part's importance is the coefficient with which a linear model would explain as much
    variance as the tree explains by that part, with the sign of the part's own correlation with the score; on a
    linear network the two surrogates agree.

    Parameters
    ----------
    kept, scores, weights
        As for :func:`fit_linear`.
    seed
        Breaks ties between equally good splits.
    """
    from sklearn.tree import DecisionTreeRegressor  # heavy, and only this surrogate needs it

    share = weights / weights.sum()
    design = kept - share @ kept
    spread = np.sqrt(share @ design**2)
    leaf = max(1, int(LEAF_SHARE * len(kept)))
    fits = []
    for measured in np.ascontiguousarray(scores.T):
        centred = measured - share @ measured
        tree = DecisionTreeRegressor(min_samples_leaf=leaf, random_state=seed)
        predicted = tree.fit(kept, centred, sample_weight=weights).predict(kept)
        explained = max(0.0, float(share @ centred**2 - share @ (centred - predicted) ** 2))
        size = np.sqrt(explained * np.asarray(tree.feature_importances_))
        sign = np.sign((share * centred) @ design)
        importance = np.divide(sign * size, spread, out=np.zeros_like(size), where=spread > 0)
        fits.append(Fit(importance, _r2(centred, predicted, share, measured)))
    return fits


def _r2(centred: Float64Array, predicted: Float64Array, share: Float64Array, measured: Float64Array) -> float:
    if _flat(centred, share, measured):
        return 0.0
    return 1.0 - float(share @ (centred - predicted) ** 2) / float(share @ centred**2)


def _flat(centred: Float64Array, share: Float64Array, measured: Float64Array) -> bool:
    return float(share @ centred**2) <= (FLAT * float(np.abs(measured).max())) ** 2
