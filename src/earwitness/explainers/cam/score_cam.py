"""Score-CAM: Wang et al., *Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks*.

CVPR Workshops 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from earwitness.core.arrays import Float64Array
from earwitness.core.device import to_numpy
from earwitness.explainers.cam.base import Cam, CamRequest, Cams, weighed
from earwitness.explainers.fills import reference, reference_parameter
from earwitness.explainers.inference.optimised import swift
from earwitness.explainers.inference.scoring import as_input, target_scores
from earwitness.explainers.inference.two_stage import runs
from earwitness.explainers.parameters import choice, parameter
from earwitness.models.protocols import Explainable

# How many segments at most are seen through their channels together; more save next to nothing.
SEGMENTS = 16


@dataclass(frozen=True)
class ScoreCam(Cam):
    """Score-CAM: each channel of a layer's map, weighted by the score of the segment seen through that channel.

    A channel, enlarged to the segment and scaled to 0..1, says how much of each cell is kept; the rest is the fill.
    Channels that are the same everywhere keep nothing, and get the fill's own score without a pass.

    Parameters
    ----------
    layer, score, relu
        As for :class:`~earwitness.explainers.cam.base.Cam`.
    fill
        What cells become that a channel hides. The paper's 0 is loud in a log-mel.
    weights
        ``"softmax"``: of the scores over all channels, as in the paper; always positive. ``"increase"``: the score
        itself above that of the fill, signed, in the unit of the score.
    """

    name: ClassVar[str] = "scorecam"
    title: ClassVar[str] = "Score-CAM"
    paper: ClassVar[str] = "Wang et al., CVPR Workshops 2020"
    cost: ClassVar[str] = "2 forwards, and 1 per channel that is not constant, whatever the number of targets"
    assumes: ClassVar[str] = (
        "a channel that, used as a mask, keeps the score up holds evidence, and a half-faded sound is still one "
        "that the network knows"
    )
    misses: ClassVar[str] = (
        "evidence against the class (softmax weights are positive; those of `weights=increase` have a sign), and "
        "detail finer than the layer's cells"
    )

    fill: str | float = reference_parameter()
    weights: str = parameter(
        "softmax", choice("softmax", "increase"), "weights: softmax of the scores, or their increase"
    )

    def together(self, classifier: Explainable, frames: int, bands: int) -> int:
        """Return how many segments' channels fill batches together."""
        return min(SEGMENTS, super().together(classifier, frames, bands))

    def cams(self, request: CamRequest) -> Cams:
        """Return the maps of a batch."""
        maps, logits = (torch.cat(each) for each in zip(*_heard(request), strict=True))
        scores = request.scores(logits)
        request.check(scores)
        low, high = maps.flatten(2).amin(dim=2), maps.flatten(2).amax(dim=2)
        rows, channels = (high > low).nonzero(as_tuple=True)
        with torch.inference_mode():
            filled, through = self._through(request, maps, rows, channels)
        found, diagnostics = [], []
        for row, listed in enumerate(request.targets):
            own = to_numpy(rows == row)
            every = np.repeat(filled[row : row + 1], maps.shape[1], axis=0)
            every[to_numpy(channels)[own]] = through[own]
            request.check(every.min(axis=0, keepdims=True), row)
            weights = torch.as_tensor(target_scores(every, listed) - target_scores(filled[row : row + 1], listed)).T
            if self.weights == "softmax":
                weights = weights.softmax(dim=1)
            found.append(weighed(maps[row], weights))
            diagnostics.append({"channels": float(own.sum())})
        tried = [2 + int(each["channels"]) for each in diagnostics]
        return Cams(maps=found, scores=scores, forwards=tried, backwards=[0] * len(tried), diagnostics=diagnostics)

    def _through(
        self, request: CamRequest, maps: Tensor, rows: Tensor, channels: Tensor
    ) -> tuple[Float64Array, Float64Array]:
        """Return class scores of each segment's fill alone, and of segments seen through some channels of their own."""
        classifier, segments = request.classifier, request.segments
        ready = swift(classifier, segments)
        x = as_input(classifier, segments.values)
        filled = torch.stack([reference(self.fill, classifier, segments, row) for row in range(len(segments))])
        padding = torch.arange(x.shape[1])[None] >= torch.as_tensor(segments.real_frames)[:, None]
        padding = padding[:, :, None].to(x.device)
        scores = [request.scores(ready.logits(part)) for part in torch.split(filled, ready.rows)]
        parts = zip(torch.split(rows, ready.rows), torch.split(channels, ready.rows), strict=True)
        for some, through in parts if len(rows) else ():
            kept = self._masks(request, maps[some, through])
            kept = torch.where(padding[some], 1, kept)  # padding is not evidence, and stays
            scores.append(request.scores(ready.logits(torch.lerp(filled[some], x[some], kept))))
        every = np.concatenate(scores)
        return every[: len(x)], every[len(x) :]

    def _masks(self, request: CamRequest, maps: Tensor) -> Tensor:
        """Return how much of each cell channels keep, shape (n, frames, bands), of their maps, shape (n, H, W)."""
        frames, bands = request.segments.values.shape[1:]
        low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
        upright = request.layer.upright((maps - low) / (high - low))
        # The segment's copies are seen through one mask, the mean of what the map shows of each.
        folded = request.layer.folded(upright, frames) / request.layer.copies(frames)
        return interpolate(folded[:, None], size=(frames, bands), mode="bilinear", align_corners=False)[:, 0]


def _heard(request: CamRequest) -> list[tuple[Tensor, Tensor]]:
    """Return the layer's maps and the logits, one stretch of the segments after another."""
    return [(leaf.detach(), logits.detach()) for leaf, logits in runs(request.layer, request.segments)]
