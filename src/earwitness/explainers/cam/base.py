"""What class activation maps share: a layer's channels, added up with weights of their own, for every target.

A method is a final subclass of :class:`GradientCam` with one function, or of :class:`Cam` where its weights do not
come from gradients.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from earwitness.audio.segments import Segments
from earwitness.core.arrays import Float64Array
from earwitness.core.device import to_numpy
from earwitness.core.progress import Progress
from earwitness.explainers.attribution import Attribution, Target
from earwitness.explainers.inference.layers import Layer
from earwitness.explainers.inference.modules import precision_of
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.inference.scoring import (
    activated,
    batch_size,
    check_scores,
    score_parameter,
    stopwatch,
    target_scores,
)
from earwitness.explainers.inference.two_stage import GATHERED, runs
from earwitness.explainers.method import Cost, Explainer, Found, Need, attribution_of, in_batches
from earwitness.explainers.parameters import check, parameter, text, truth
from earwitness.models.protocols import Explainable


@dataclass(frozen=True)
class CamRequest:
    """A batch of segments to be explained at one layer.

    Parameters
    ----------
    layer
        The layer, and whose.
    segments, targets
        As for an explainer.
    score
        One of :data:`~earwitness.explainers.inference.scoring.SCORE_KINDS`.
    """

    layer: Layer
    segments: Segments
    targets: Sequence[Sequence[Target]]
    score: str

    @property
    def classifier(self) -> Prepared:
        """Whose decision is explained."""
        return self.layer.classifier

    def scores(self, logits: Tensor) -> Float64Array:
        """Return class scores, shape (n, classes), float64."""
        return to_numpy(activated(logits.detach().cpu().double(), self.score, self.classifier.activation))

    def check(self, scores: Float64Array, start: int = 0) -> None:
        """Refuse scores that are not numbers; the first are those of the segment ``start``."""
        for row in range(len(scores)):
            check_scores(scores[row], self.classifier, self.segments, start + row)


@dataclass(frozen=True, kw_only=True)
class Cams:
    """What a method found for a batch.

    Parameters
    ----------
    maps
        Per segment, shape (targets, H, W), as the network lays them.
    scores
        Class scores of the whole segments, shape (n, classes).
    forwards, backwards
        Per segment.
    diagnostics
        Per segment, or empty.
    """

    maps: list[Tensor]
    scores: Float64Array
    forwards: list[int]
    backwards: list[int]
    diagnostics: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Cam(Explainer):
    """A class activation map.

    Parameters
    ----------
    layer
        Dotted name of the module whose output is weighted; ``""`` for the network's own ``feature_layer``.
    score
        ``"logit"`` (before the activation), ``"probability"`` (after it) or ``"log-odds"`` of it.
    relu
        Whether to keep positive evidence only, as the papers do.
    """

    family: ClassVar[str] = "activation maps"
    needs: ClassVar[tuple[Need, ...]] = (Need.FEATURE_LAYER,)

    layer: str = parameter("", text, "layer whose map is weighted; empty for the network's own choice")
    score: str = score_parameter("logit")
    relu: bool = parameter(False, truth, "keep positive evidence only, as the paper does")

    def __post_init__(self) -> None:
        check(self)

    @abstractmethod
    def cams(self, request: CamRequest) -> Cams:
        """Return the maps of a batch; the classifier is held."""

    def together(self, classifier: Explainable, frames: int, bands: int) -> int:
        """Return how many segments make a batch."""
        return batch_size(classifier, frames, bands)

    def explained(
        self, prepared: Prepared, segments: Segments, targets: Sequence[Sequence[Target]], progress: Progress
    ) -> list[Attribution]:
        """Return the attributions, a batch of segments after another."""
        size = self.together(prepared, *segments.values.shape[1:])
        return in_batches(self._batch, size, prepared, segments, targets, self.title, progress)

    def _batch(self, prepared: Prepared, segments: Segments, targets: Sequence[Sequence[Target]]) -> list[Attribution]:
        seconds = stopwatch()
        frames, bands = segments.values.shape[1:]
        layer = Layer.chosen(self.name, prepared, self.layer)
        cams = self.cams(CamRequest(layer, segments, targets, self.score))
        maps = [layer.folded(layer.upright(each), frames) for each in cams.maps]
        natives = [to_numpy((each.clamp(min=0) if self.relu else each).float()) for each in maps]
        grid = layer.grid(frames, bands, *natives[0].shape[1:])
        each, precision = seconds(len(segments)), precision_of(prepared.network)
        found = []
        for index, listed in enumerate(targets):
            own = target_scores(cams.scores[index : index + 1], listed)[0]
            cost = Cost(cams.forwards[index], cams.backwards[index], each, precision)
            for native, score, target in zip(natives[index], own, listed, strict=True):
                settled, told = {"layer": layer.called}, dict(cams.diagnostics[index]) if cams.diagnostics else {}
                result = Found(
                    native=native,
                    values=grid.spread(native),
                    grid=grid,
                    score=float(score),
                    diagnostics=told,
                    settled=settled,
                )
                found.append(attribution_of(self, prepared, segments, index, target, result, cost))
        return found


@dataclass(frozen=True)
class GradientCam(Cam):
    """A class activation map whose weights come from the score's gradient at the layer."""

    cost: ClassVar[str] = "1 forward, and 1 backward per target from the layer up"
    needs: ClassVar[tuple[Need, ...]] = (Need.FEATURE_LAYER, Need.GRADIENTS)

    @staticmethod
    @abstractmethod
    def combine(maps: Tensor, gradient: Tensor) -> Tensor:
        """Return class activation maps, shape (n, H, W), of maps and gradients, shape (n, channels, H, W)."""

    def cams(self, request: CamRequest) -> Cams:
        """Return the maps of a batch.

        The n-th targets of all segments go through one backward pass: segments do not meet inside the network, so the
        gradient of the sum is each one's own.
        """
        found = [_stretch(self.combine, request, start, leaf, logits) for start, leaf, logits in _runs(request)]
        maps = [each for one in found for each in one.maps]
        counts = [len(listed) for listed in request.targets]
        return Cams(
            maps=maps,
            scores=np.concatenate([one.scores for one in found]),
            forwards=[1] * len(counts),
            backwards=counts,
        )

    def together(self, classifier: Explainable, frames: int, bands: int) -> int:
        """Return how many segments make a batch: several of the network's, whose rest runs in one go."""
        return GATHERED * super().together(classifier, frames, bands)


def _runs(request: CamRequest) -> Iterator[tuple[int, Tensor, Tensor]]:
    start = 0
    for leaf, logits in runs(request.layer, request.segments):
        yield start, leaf, logits
        start += len(leaf)


def _stretch(
    combine: Callable[[Tensor, Tensor], Tensor], request: CamRequest, start: int, leaf: Tensor, logits: Tensor
) -> Cams:
    """Return the maps of the segments from ``start`` on that went through the network together.

    Their n-th targets go through one backward pass, and no further down than the layer.
    """
    scores_found = request.scores(logits)
    request.check(scores_found, start)
    with torch.enable_grad():
        scores = activated(logits, request.score, request.classifier.activation)
    maps, targets = leaf.detach(), request.targets[start : start + len(leaf)]
    most = max((len(listed) for listed in targets), default=0)
    cams: list[list[Tensor]] = [[] for _ in targets]
    for position in range(most):
        rows = [row for row, listed in enumerate(targets) if len(listed) > position]
        total = _summed(scores, rows, [targets[row][position] for row in rows])
        cam = combine(maps, _gradient(total, leaf, again=position + 1 < most))
        for row in rows:
            cams[row].append(cam[row])
    stacked = [torch.stack(listed) if listed else maps[0, :0] for listed in cams]
    return Cams(maps=stacked, scores=scores_found, forwards=[], backwards=[])


def _summed(scores: Tensor, rows: list[int], chosen: list[Target]) -> Tensor:
    """Return the sum of one target's score per row, a number with a gradient."""
    with torch.enable_grad():
        total = scores[rows, [target.index for target in chosen]].sum()
        pairs = [(row, target.against) for row, target in zip(rows, chosen, strict=True) if target.against is not None]
        if pairs:
            total = total - scores[[row for row, _ in pairs], [index for _, index in pairs]].sum()
    return total


def _gradient(total: Tensor, leaf: Tensor, *, again: bool) -> Tensor:
    if not total.requires_grad:  # the layer has no part in the score
        return torch.zeros_like(leaf)
    (gradient,) = torch.autograd.grad(total, leaf, retain_graph=again, allow_unused=True)
    return torch.zeros_like(leaf) if gradient is None else gradient


def weighed(maps: Tensor, weights: Tensor) -> Tensor:
    """Return the sum of a segment's channels, shape (targets, H, W).

    Parameters
    ----------
    maps
        Shape (channels, H, W).
    weights
        Shape (targets, channels).
    """
    return torch.einsum("tc,chw->thw", weights.to(maps), maps)
