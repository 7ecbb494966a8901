"""LIME: Ribeiro et al., *"Why Should I Trust You?": Explaining the Predictions of Any Classifier*, KDD 2016."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from earwitness.audio.segments import Segments
from earwitness.core.arrays import Float64Array
from earwitness.core.errors import UsageError
from earwitness.explainers.fills import fill_parameter, second_fill_parameter, soft_parameter
from earwitness.explainers.inference.scoring import LOG_ODDS, PROBABILITY, score_parameter
from earwitness.explainers.method import Found
from earwitness.explainers.parameters import check, choice, integer, number_from, pair, parameter
from earwitness.explainers.perturbation.base import Perturbing, samples_for, stops, tolerance_parameter
from earwitness.explainers.perturbation.parts import (
    GRIDS,
    Coalitions,
    Parts,
    Segmentation,
    gridded,
    segmentation_parameter,
    strips,
    superpixels,
)
from earwitness.explainers.perturbation.precision import precision_parameter
from earwitness.explainers.perturbation.sampling import DESIGNS, Design, random_design
from earwitness.explainers.perturbation.slic import seed_grid
from earwitness.explainers.perturbation.surrogates import Fit, fit_lasso, fit_linear, fit_tree, similarity
from earwitness.models.protocols import Explainable


@dataclass(frozen=True, kw_only=True)
class Lime(Perturbing):
    """LIME: a simple model of how the score depends on which parts of the segment are kept.

    Every part is kept or hidden by chance; a linear model (or a tree) is fitted to the scores, weighted by how much of
    the segment was left; its coefficients are the map, in the unit of the score. The first sample keeps everything.
    All segments get the same samples. ``diagnostics["r2"]`` is the share of the scores' weighted variance that the
    fitted model explains.

    Parameters
    ----------
    parts
        ``"grid"``: rectangles; ``"time"`` and ``"bands"``: strips across the other side; ``"superpixels"``: regions of
        similar loudness (SLIC).
    grid
        Rectangles along time and frequency; strips along time take the first number, strips of bands the second.
    features
        Superpixels wanted.
    segmentation
        Parts of one's own, in place of ``parts``: whole numbers of shape (frames, bands), in which cells of one number
        are one part; an array, or a ``.npy`` file of one. What each part is worth is ``attribution.importances``.
    samples
        Perturbed segments, the whole one among them; with a tolerance, at most so many.
    design
        ``"bernoulli"``: a toss of a coin for every part; ``"hadamard"``: see
        :mod:`earwitness.explainers.perturbation.sampling`.
    surrogate
        ``"linear"``, ``"lasso"`` (few parts) or ``"tree"``.
    ridge
        Penalty on the linear model's squared coefficients; 0 for plain least squares (1 in the authors' package).
    sparsity
        The lasso's penalty, as a share of the smallest that leaves no part at all.
    kernel
        Width of the exponential kernel that weights samples by their cosine distance from the whole segment (the
        authors' value for pictures is 0.25); of a sample and its complement, both get the mean.
    fill, fill2, soft
        What hidden parts become; a second fill to compare with; cells over which masks fade.
    tolerance
        Standard error at which to stop, as share of the largest cell (linear only); 0 to use all samples.
    score
        ``"log-odds"`` of the probability, ``"probability"`` (after the activation) or ``"logit"`` (before it).
    seed
        Of the draws.
    """

    name: ClassVar[str] = "lime"
    title: ClassVar[str] = "LIME"
    paper: ClassVar[str] = "Ribeiro et al., KDD 2016"
    cost: ClassVar[str] = "1 forward per sample (2048), whatever the number of targets"
    assumes: ClassVar[str] = (
        "close to the segment the score is a sum of what its parts add; `r2` in the diagnostics tells how far "
        "that is so"
    )
    misses: ClassVar[str] = "parts that matter only together, and where inside a part the evidence lies"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "example": {"samples": 2048, "grid": (7, 7), "design": "bernoulli", "score": PROBABILITY},
        "fast": {"samples": 513, "design": "hadamard"},
    }

    parts: str = parameter("grid", choice(*GRIDS, "superpixels"), "what is hidden: grid, time, bands or superpixels")
    grid: tuple[int, int] = parameter((7, 7), pair, "parts along time and frequency")
    features: int = parameter(49, integer(2), "superpixels wanted")
    samples: int = parameter(2048, integer(2), "perturbed segments")
    surrogate: str = parameter("linear", choice("linear", "lasso", "tree"), "model that is fitted: linear, lasso, tree")
    ridge: float = parameter(0.0, number_from(0.0), "penalty on the linear model's coefficients")
    kernel: float = parameter(0.25, number_from(0.0, above=True), "width of the similarity kernel")
    fill: str | float = fill_parameter()
    score: str = score_parameter(LOG_ODDS)
    seed: int = parameter(0, integer(0), "seed of the random samples")
    design: str = parameter("bernoulli", choice(*DESIGNS), "how samples are drawn: bernoulli or hadamard")
    sparsity: float = parameter(0.05, number_from(0.0, above=True), "the lasso's penalty, 1 leaves no part at all")
    tolerance: float = tolerance_parameter()
    fill2: str | float = second_fill_parameter()
    soft: int = soft_parameter()
    precision: str = precision_parameter()
    segmentation: Segmentation | None = segmentation_parameter()  # noqa: RUF009 (a field, as all others are)

    def __post_init__(self) -> None:
        check(self)
        if self.segmentation is not None and self.parts != "grid":
            raise UsageError(f"lime: segmentation={self.segmentation} names the parts; leave out parts={self.parts}")
        if self.tolerance and self.surrogate != "linear":
            raise UsageError(
                f"lime: tolerance={self.tolerance} needs the standard error, which surrogate={self.surrogate} "
                "does not have; use surrogate=linear"
            )

    def quick(self) -> Self:
        """Return LIME with fewer samples, from a balanced design, and without a second fill."""
        parts = self.features if self.parts == "superpixels" else math.prod(self.grid)
        if self.segmentation is not None:
            parts = self.segmentation.count
        enough = samples_for(parts, enough=257)
        fewer = {"samples": enough, "design": "hadamard"} if enough < self.samples else {}
        return super().quick().changed(**fewer)

    def plan(self, classifier: Explainable, segments: Segments) -> _LimePlan:
        """Return what to hide in some segments, and how to read the scores."""
        divided = self._divided(segments)
        # SLIC may find fewer superpixels than wanted; tossing for all that are wanted keeps segments independent.
        shape = self._shape(segments)
        wanted = math.prod(shape)
        design = self.drawn(shape)
        coalitions = Coalitions(design.kept, divided, classifier.device)
        # Three samples a part before the first look: with fewer the standard error is itself a guess.
        looks = coalitions.stops(stops(len(design.kept), 3 * wanted, design.block, self.tolerance))
        return _LimePlan(explainer=self, design=design, divided=divided, hiding=coalitions, stops=looks)

    def drawn(self, shape: tuple[int, int]) -> Design:
        """Return the samples for parts in so many rows and columns.

        Raises
        ------
        UsageError
            If there are fewer samples than a linear model without penalty has coefficients, or than the design needs.
        """
        enough = math.prod(shape) + 1 if self.surrogate == "linear" and self.ridge == 0 else 2
        return random_design(self.name, self.design, self.samples, shape, self.seed, enough=enough)

    def _shape(self, segments: Segments) -> tuple[int, int]:
        """Return rows and columns of the parts; superpixels grow from a grid of seeds and are numbered along it."""
        if self.segmentation is not None:
            return self.segmentation.count, 1
        if self.parts != "superpixels":
            return strips(self.parts, self.grid)
        frames, bands = segments.values.shape[1:]
        return seed_grid(frames, bands, self.features)

    def _divided(self, segments: Segments) -> Sequence[Parts]:
        if self.segmentation is not None:
            return [self.segmentation.of(self.name, segments)] * len(segments)
        if self.parts == "superpixels":
            return superpixels(self.name, segments, self.features)
        parts = gridded(self.name, segments, *strips(self.parts, self.grid))
        return [parts] * len(segments)


@dataclass(frozen=True, kw_only=True)
class _LimePlan:
    """LIME's samples of some segments."""

    explainer: Lime
    design: Design
    divided: Sequence[Parts]
    hiding: Coalitions
    stops: Sequence[int]

    def solve(self, segment: int, scores: Float64Array) -> list[Found]:
        parts = self.divided[segment]
        fits = self._fits(parts.count, self.hiding.scores(scores))
        return [
            parts.found(fit.importance, float(score), {"r2": fit.r2, "features": float(parts.count)}, fit.error)
            for fit, score in zip(fits, scores[0], strict=True)
        ]

    def _fits(self, features: int, scores: Float64Array) -> list[Fit]:
        kept = self.design.kept[: len(scores), :features]
        # The whole segment is one sample in thousands to the coins; in a small balanced design it would weigh heavily
        # and spoil the balance.
        first = 1 if self.design.pair > 1 else 0
        kept, scores = kept[first:], scores[first:]
        weights = similarity(kept, self.explainer.kernel)
        # A sample and its complement must weigh alike, or what two parts do together no longer cancels between them.
        weights = weights.reshape(-1, self.design.pair).mean(axis=1).repeat(self.design.pair)
        if self.explainer.surrogate == "linear":
            return fit_linear(kept, scores, weights, self.explainer.ridge, self.design.pair)
        if self.explainer.surrogate == "lasso":
            return fit_lasso(kept, scores, weights, self.explainer.sparsity)
        return fit_tree(kept, scores, weights, self.explainer.seed)
