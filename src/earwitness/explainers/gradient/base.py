"""What gradient methods share: the score's gradient at the segment's own cells, for several targets, through Captum.

Of a network over waveforms they are with respect to the gain of each cell: 1 as the sound is, 0 where it is silent.

Captum's methods take the function that computes gradients as an attribute. The one given to them here runs a batch
through the network once and takes every target's gradient from that pass: inputs go in with the shape
(n, 1, frames, bands), gradients come out with (n, targets, frames, bands), and Captum's arithmetic broadcasts.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from earwitness.audio.segments import Segments
from earwitness.core.arrays import Float64Array
from earwitness.core.device import filled_up, to_numpy
from earwitness.core.progress import Progress
from earwitness.explainers.attribution import Attribution, Grid, Target
from earwitness.explainers.fills import reference
from earwitness.explainers.inference.modules import out_of_place
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.inference.scoring import (
    activated,
    as_input,
    batch_size,
    check_scores,
    logits_of,
    score_parameter,
    stopwatch,
    target_scores,
)
from earwitness.explainers.method import Cost, Explainer, Found, Need, attribution_of, in_batches
from earwitness.explainers.parameters import check
from earwitness.models.foreign.waveform import Waveforms
from earwitness.models.protocols import Explainable

# A map that has to add up to a difference of scores has not converged where it misses it by more than this share of
# its own absolute sum.
WIDE_GAP = 1e-3
# Forward passes that one pass with the way back for every target is taken to cost; forward passes alone are made
# faster in ways that gradients do not allow.
WAY_BACK = 8


@dataclass(frozen=True)
class GradientBatch:
    """A batch of segments to be explained.

    Parameters
    ----------
    classifier, segments, targets
        As for an explainer.
    score
        One of :data:`~earwitness.explainers.inference.scoring.SCORE_KINDS`.
    """

    classifier: Prepared
    segments: Segments
    targets: Sequence[Sequence[Target]]
    score: str

    @property
    def x(self) -> Tensor:
        """The segments as Captum gets them, shape (n, 1, frames, bands): values of cells, or gains, which are 1."""
        return self._taken(as_input(self.classifier, self.segments.values))[:, None]

    def _taken(self, values: Tensor) -> Tensor:
        """Return values of cells in what gradients are taken with respect to: of a waveform, the cells' gains."""
        network = self.classifier.network
        return network.gains(values) if isinstance(network, Waveforms) else values

    def logits(self, x: Tensor) -> Tensor:
        """Return logits, shape (n, classes), of what gradients are taken with respect to, shape (n, frames, bands)."""
        network = self.classifier.network
        return logits_of(self.classifier, x, network.under if isinstance(network, Waveforms) else None)

    def reach(self, row: int) -> float:
        """Return the range of a segment's real values; gains go from 0 to 1."""
        if isinstance(self.classifier.network, Waveforms):
            return 1.0
        real = self.segments.values[row, : int(self.segments.real_frames[row])]
        return float(real.max() - real.min()) if real.size else 0.0

    @property
    def weights(self) -> Tensor:
        """What each class's score counts for each target, shape (n, targets, classes); 0 where there are fewer."""
        most = max((len(listed) for listed in self.targets), default=0)
        weights = torch.zeros(len(self.targets), most, len(self.classifier.classes))
        for row, listed in enumerate(self.targets):
            for position, target in enumerate(listed):
                weights[row, position, target.index] += 1
                if target.against is not None:
                    weights[row, position, target.against] -= 1
        return weights.to(self.x)

    def scored(self, logits: Tensor) -> Tensor:
        """Return class scores of the kind that is explained, shape (n, classes)."""
        return activated(logits, self.score, self.classifier.activation)

    def take(self, rows: Sequence[int]) -> GradientBatch:
        """Return some of the segments, with their targets."""
        return GradientBatch(self.classifier, self.segments.take(rows), [self.targets[row] for row in rows], self.score)

    def references(self, fill: str | float) -> Tensor:
        """Return what the segments are compared with, shape (n, 1, frames, bands)."""
        each = [reference(fill, self.classifier, self.segments, row) for row in range(len(self.segments))]
        return self._taken(torch.stack(each))[:, None]

    def evaluate(self, x: Tensor) -> Float64Array:
        """Return class scores, shape (n, classes), of inputs, shape (n, 1, frames, bands): the segments in turn."""
        with torch.inference_mode():
            found = self.exact_scores(self.logits(filled_up(x[:, 0]))[: len(x)])
        for row, each in enumerate(found):
            check_scores(each, self.classifier, self.segments, row % len(self.segments))
        return found

    def exact_scores(self, logits: Tensor) -> Float64Array:
        """Return class scores, shape (n, classes), in float64: small differences of scores near 1 keep their digits."""
        return to_numpy(self.scored(logits.detach().cpu().double()))


@dataclass
class Gradients:
    """The function that Captum's methods call for gradients, and what it saw.

    Parameters
    ----------
    batch
        Whose targets.
    scores
        Class scores of the last call, shape (rows, classes).
    """

    batch: GradientBatch
    scores: Float64Array = field(default_factory=lambda: np.zeros((0, 0)))

    def __call__(
        self, forward_fn: Any, inputs: tuple[Tensor, ...], target_ind: Any = None, additional_forward_args: Any = None
    ) -> tuple[Tensor]:
        """Return the gradients, shape (rows, targets, frames, bands), of every target at every row.

        ``additional_forward_args`` holds each row's weights of classes, shape (rows, targets, classes).
        """
        del forward_fn, target_ind
        given = additional_forward_args
        weights, leaf = given[0] if isinstance(given, tuple) else given, inputs[0].detach()[:, 0].requires_grad_()
        with torch.enable_grad():
            # A copy goes in, so that a network may change its input in place.
            logits = self.batch.logits(filled_up(leaf.clone()))[: len(leaf)]
            scores = self.batch.scored(logits)
            wanted = list(torch.einsum("nc,ntc->tn", scores, weights).sum(dim=1))
        self.scores = to_numpy(scores.detach().cpu().double())
        return (gradients_of(wanted, leaf),)


def gradients_of(wanted: Sequence[Tensor] | Tensor, leaf: Tensor) -> Tensor:
    """Return the gradients, shape (rows, targets, frames, bands), of each wanted number at a leaf (rows, ...)."""
    last = len(wanted) - 1
    found = [_gradient(one, leaf, again=position < last) for position, one in enumerate(wanted)]
    return torch.stack(found, dim=1) if found else leaf.detach()[:, None][:, :0]


def _gradient(wanted: Tensor, leaf: Tensor, *, again: bool) -> Tensor:
    if not wanted.requires_grad:
        return torch.zeros_like(leaf)
    (gradient,) = torch.autograd.grad(wanted, leaf, retain_graph=again, allow_unused=True)
    return torch.zeros_like(leaf) if gradient is None else gradient


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a method found for a batch.

    Parameters
    ----------
    values
        Shape (n, targets, frames, bands).
    scores
        Class scores of the segments, shape (n, classes).
    forwards, backwards
        Per segment, one number for all or one each; backwards for each of its targets.
    reference_scores
        Class scores of what the segments were compared with, where the map adds up to the difference; else None.
    errors
        Standard errors, of the shape of ``values``, or None.
    diagnostics
        The same for all.
    exact
        Whether the map is meant to add up to the difference of the scores, and to be flagged where it does not.
    steps
        Per segment, the points on a path that its maps were made of, or None.
    """

    values: Tensor
    scores: Float64Array
    forwards: int | Sequence[int]
    backwards: int | Sequence[int] = 1
    reference_scores: Float64Array | None = None
    errors: Tensor | None = None
    diagnostics: dict[str, float] = field(default_factory=dict)
    exact: bool = False
    steps: Sequence[int] | None = None


@dataclass(frozen=True)
class GradientMethod(Explainer):
    """A method that asks for the score's gradient at the segment's own cells.

    Parameters
    ----------
    score
        ``"logit"`` (before the activation), ``"probability"`` (after it) or ``"log-odds"`` of it.
    """

    family: ClassVar[str] = "gradients"
    needs: ClassVar[tuple[Need, ...]] = (Need.GRADIENTS,)

    score: str = score_parameter("logit")

    def __post_init__(self) -> None:
        check(self)

    @abstractmethod
    def measure(self, batch: GradientBatch) -> Measured:
        """Return the maps of a batch; the network is in evaluation mode and changes nothing in place."""

    def together(self, classifier: Explainable, frames: int, bands: int) -> int:
        """Return how many segments make a batch."""
        return batch_size(classifier, frames, bands)

    def explained(
        self, prepared: Prepared, segments: Segments, targets: Sequence[Sequence[Target]], progress: Progress
    ) -> list[Attribution]:
        """Return the attributions, a batch of segments after another.

        Where the map has to add up to a difference of scores, ``diagnostics["gap"]`` is what it misses; the flag
        ``"not converged"`` says that this is more than a thousandth of the map's absolute sum.
        """
        size = self.together(prepared, *segments.values.shape[1:])
        return in_batches(self._batch, size, prepared, segments, targets, self.title, progress)

    def _batch(self, prepared: Prepared, segments: Segments, targets: Sequence[Sequence[Target]]) -> list[Attribution]:
        seconds = stopwatch()
        with out_of_place(prepared.network):
            measured = self.measure(GradientBatch(prepared, segments, targets, self.score))
        frames, bands = segments.values.shape[1:]
        grid = Grid.whole(frames, bands, frames, bands)
        each = seconds(len(segments))
        found = []
        for index, listed in enumerate(targets):
            check_scores(measured.scores[index], prepared, segments, index)
            cost = Cost(of(measured.forwards, index), of(measured.backwards, index) * len(listed), each)
            for position, target in enumerate(listed):
                result = _found(measured, index, position, target, grid)
                found.append(attribution_of(self, prepared, segments, index, target, result, cost))
        return found


def _found(measured: Measured, index: int, position: int, target: Target, grid: Grid) -> Found:
    values = to_numpy(measured.values[index, position])
    error = None if measured.errors is None else to_numpy(measured.errors[index, position])
    score = float(target_scores(measured.scores[index : index + 1], [target])[0, 0])
    diagnostics, converged = dict(measured.diagnostics), True
    if measured.steps is not None:
        diagnostics["steps"] = float(measured.steps[index])
    if measured.reference_scores is not None:
        base = float(target_scores(measured.reference_scores[index : index + 1], [target])[0, 0])
        gap = score - base - float(values.sum(dtype=np.float64))
        diagnostics |= {"gap": gap, "reference_score": base}
        converged = not measured.exact or abs(gap) <= WIDE_GAP * float(np.abs(values).sum(dtype=np.float64))
    return Found(
        native=values, values=values, grid=grid, score=score, diagnostics=diagnostics, error=error, converged=converged
    )


def and_back(passes: int) -> int:
    """Return how many passes with their ways back cost about as much as so many forward passes; 1 or more."""
    return max(1, passes // WAY_BACK)


def of(numbers: int | Sequence[int], index: int) -> int:
    """Return the number of one segment, where all have the same or each its own."""
    return numbers if isinstance(numbers, int) else numbers[index]


def by_captum(make: Callable[[Any], Any], gradients: Gradients) -> Any:
    """Return one of Captum's methods, made by a function of ``captum.attr``, that asks our function for gradients."""
    from captum import attr  # takes a second to import, which only these methods need

    method = make(attr)
    method.gradient_func = gradients
    return method
