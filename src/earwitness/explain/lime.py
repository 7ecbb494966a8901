"""LIME: Ribeiro et al., *"Why Should I Trust You?": Explaining the Predictions of Any Classifier*, KDD 2016."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from earwitness.errors import UsageError
from earwitness.explain.attribution import Attribution, Grid, Target
from earwitness.explain.model import (
    SCORE_KINDS,
    Cost,
    Explainable,
    Found,
    attribution_of,
    check_request,
    stopwatch,
)
from earwitness.explain.parameters import check, choice, integer, number_from, pair, parameter
from earwitness.explain.perturb import fill, perturbed_scores
from earwitness.explain.superpixels import slic
from earwitness.explain.surrogate import Fit, fit_linear, fit_tree, similarity
from earwitness.progress import Progress, Silent
from earwitness.segments import Segments

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Lime:
    """LIME: a simple model of how the score depends on which parts of the segment can be heard.

    Every part is kept or hidden by the toss of a coin; a linear model (or a tree) is fitted to the scores, weighted by
    how much of the segment was left; its coefficients are the map, in the unit of the score. The first sample keeps
    everything. All segments get the same samples.

    Parameters
    ----------
    parts
        ``"grid"``: rectangles; ``"superpixels"``: regions of similar loudness (SLIC).
    grid
        Rectangles along time and frequency.
    features
        Superpixels wanted.
    samples
        Perturbed segments, the whole one among them.
    surrogate
        ``"linear"`` or ``"tree"``.
    ridge
        Penalty on the linear model's squared coefficients; 0 for plain least squares (1 in the authors' package).
    kernel
        Width of the exponential kernel that weights samples by their cosine distance from the whole segment (the
        authors' value for pictures is 0.25).
    fill
        What hidden parts become.
    score
        ``"probability"`` (after the activation) or ``"logit"`` (before it).
    seed
        Of the tosses.
    """

    name: ClassVar[str] = "lime"
    title: ClassVar[str] = "LIME"
    paper: ClassVar[str] = "Ribeiro et al., KDD 2016"
    cost: ClassVar[str] = "1 forward per sample (2048), whatever the number of targets"

    parts: str = parameter("grid", choice("grid", "superpixels"), "what is hidden: parts of a grid, or superpixels")
    grid: tuple[int, int] = parameter((7, 7), pair, "parts along time and frequency")
    features: int = parameter(49, integer(2), "superpixels wanted")
    samples: int = parameter(2048, integer(2), "perturbed segments")
    surrogate: str = parameter("linear", choice("linear", "tree"), "model that is fitted: linear or tree")
    ridge: float = parameter(0.0, number_from(0.0), "penalty on the linear model's coefficients")
    kernel: float = parameter(0.25, number_from(0.0, above=True), "width of the similarity kernel")
    fill: str | float = parameter("mean", fill, "what hidden cells become: mean, floor, or a number")
    score: str = parameter("probability", choice(*SCORE_KINDS), "score that is explained: logit or probability")
    seed: int = parameter(0, integer(0), "seed of the random samples")

    def __post_init__(self) -> None:
        check(self)

    def attribute(
        self,
        classifier: Explainable,
        segments: Segments,
        targets: Sequence[Sequence[Target]],
        progress: Progress | None = None,
    ) -> list[Attribution]:
        """Explain segments.

        Parameters
        ----------
        classifier
            What made the decision.
        segments
            The excerpts to explain.
        targets
            Per segment, what to explain; all come from the same passes.
        progress
            Told how far the work has come.

        Returns
        -------
        One attribution per segment and target, the first segment's first. ``diagnostics["r2"]`` is the share of the
        scores' weighted variance that the fitted model explains.

        Raises
        ------
        UsageError
            If the grid does not fit the segment, the samples are too few, or a target is out of range.
        EarwitnessError
            If the network's score is not a number.
        """
        check_request(classifier, segments, targets)
        if not len(segments):
            return []
        seconds = stopwatch()
        divided = self._divided(segments)
        # SLIC may find fewer superpixels than wanted; tossing for all that are wanted keeps segments independent.
        kept = self.tosses(math.prod(self.grid) if self.parts == "grid" else self.features)
        hiding = _Hidden(kept, divided, torch.device(classifier.device))
        with (progress or Silent()).task(self.title, hiding.count * len(segments)) as advance:
            scores = perturbed_scores(
                classifier, segments, targets, hiding, fill=self.fill, kind=self.score, advance=advance
            )
        fits = [self._fits(kept[:, : parts.count], measured) for parts, measured in zip(divided, scores, strict=True)]
        cost = Cost(hiding.count, 0, seconds(len(segments)))
        found = []
        for index, (parts, listed) in enumerate(zip(divided, targets, strict=True)):
            for fit, score, target in zip(fits[index], scores[index][0], listed, strict=True):
                result = parts.found(fit, float(score))
                found.append(attribution_of(self, classifier, segments, index, target, result, cost))
        return found

    def tosses(self, features: int) -> BoolArray:
        """Return which parts each sample keeps, shape (samples, features); the first sample keeps all.

        Raises
        ------
        UsageError
            If there are fewer samples than a linear model without penalty has coefficients.
        """
        if self.surrogate == "linear" and self.ridge == 0 and self.samples <= features:
            raise UsageError(
                f"lime: samples={self.samples} cannot tell {features} parts apart; use at least {features + 1} "
                "(ten times as many are better), fewer parts, or ridge=1"
            )
        kept = np.random.default_rng(self.seed).random((self.samples, features)) < 0.5
        kept[0] = True
        return kept

    def _divided(self, segments: Segments) -> list[_Parts]:
        frames, bands = segments.values.shape[1:]
        if self.parts == "superpixels":
            if self.features > frames * bands:
                raise UsageError(
                    f"lime: features={self.features} is more than the segment's {frames}x{bands} cells; choose fewer"
                )
            return [_superpixels(values, self.features) for values in segments.values]
        rows, columns = self.grid
        if rows > frames or columns > bands:
            raise UsageError(
                f"lime: grid={rows}x{columns} is finer than the segment of {frames}x{bands} cells; choose a coarser one"
            )
        grid = Grid.whole(frames, bands, rows, columns)
        labels = grid.spread(np.arange(rows * columns).reshape(rows, columns))
        return [_Parts(labels, rows * columns, grid)] * len(segments)

    def _fits(self, kept: BoolArray, scores: FloatArray) -> list[Fit]:
        weights = similarity(kept, self.kernel)
        if self.surrogate == "linear":
            return fit_linear(kept, scores, weights, self.ridge)
        return fit_tree(kept, scores, weights, self.seed)


@dataclass(frozen=True)
class _Parts:
    """A segment divided into parts.

    Parameters
    ----------
    labels
        Shape (frames, bands): each cell's part, 0 to count - 1.
    count
        How many parts.
    grid
        Their grid, or None for superpixels.
    """

    labels: IntArray
    count: int
    grid: Grid | None

    def found(self, fit: Fit, score: float) -> Found:
        native: npt.NDArray[Any] = fit.importance[self.labels]
        diagnostics = {"r2": fit.r2, "features": float(self.count)}
        if self.grid is None:
            return Found(native, native, None, score, diagnostics)
        return Found(fit.importance.reshape(self.grid.shape), native, self.grid, score, diagnostics)


def _superpixels(values: npt.NDArray[np.float32], features: int) -> _Parts:
    labels = slic(values, features)
    return _Parts(labels, int(labels.max()) + 1, None)


class _Hidden:
    """The samples as hidden cells, made when they are needed."""

    def __init__(self, kept: BoolArray, divided: Sequence[_Parts], device: torch.device) -> None:
        self.lost = torch.as_tensor(~kept, device=device)
        # Segments that share a grid share its labels on the device.
        on_device = {id(parts): torch.as_tensor(parts.labels, device=device) for parts in divided}
        self.labels = [on_device[id(parts)] for parts in divided]

    @property
    def count(self) -> int:
        return len(self.lost)

    def hidden(self, segment: int, start: int, stop: int) -> Tensor:
        labels = self.labels[segment]
        chosen = self.lost[start:stop].index_select(1, labels.flatten())
        return chosen.view(stop - start, *labels.shape)
