"""Score-CAM: Wang et al., *Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks*.

CVPR Workshops 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from earwitness.explain.cam import Cam, Cams, Request, weighed
from earwitness.explain.model import Explainable, as_input, batch_size, logits_of, target_scores
from earwitness.explain.parameters import choice, parameter
from earwitness.explain.reference import reference, reference_parameter

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ScoreCam(Cam):
    """Score-CAM: each channel of a layer's map, weighted by the score of the segment seen through that channel.

    A channel, enlarged to the segment and scaled to 0..1, says how much of each cell is kept; the rest is the fill.
    Channels that are the same everywhere keep nothing, and get the fill's own score without a pass.

    Parameters
    ----------
    layer, score, relu
        As for :class:`~earwitness.explain.cam.Cam`.
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

    def together(self, classifier: Explainable, frames: int, bands: int) -> int:  # noqa: ARG002
        """Return 1: the channels of one segment fill batches."""
        return 1

    def cams(self, request: Request) -> Cams:
        """Return the maps of one segment."""
        leaf, logits = request.layer.run(request.segments)
        maps, scores = leaf.detach()[0], request.scores(logits)
        request.check(scores)
        low, high = maps.flatten(1).min(dim=1).values, maps.flatten(1).max(dim=1).values
        varied = (high > low).nonzero()[:, 0]
        with torch.inference_mode():
            masks = self._masks(request, (maps[varied] - low[varied, None, None]) / (high - low)[varied, None, None])
            seen = self._seen(request, masks)
        every = np.repeat(seen[:1], len(maps), axis=0)
        every[varied.cpu().numpy()] = seen[1:]
        request.check(every.min(axis=0, keepdims=True))
        own = target_scores(every, request.targets[0])
        base = target_scores(seen[:1], request.targets[0])
        weights = torch.as_tensor(own - base).T
        if self.weights == "softmax":
            weights = weights.softmax(dim=1)
        diagnostics = {"channels": float(len(varied))}
        return Cams([weighed(maps, weights)], scores, [2 + len(varied)], [0], diagnostics)

    def _masks(self, request: Request, scaled: Tensor) -> Tensor:
        """Return how much of each cell channels keep, shape (channels, frames, bands)."""
        frames, bands = request.segments.values.shape[1:]
        upright = request.layer.upright(scaled)
        # The segment's copies are seen through one mask, the mean of what the map shows of each.
        folded = request.layer.folded(upright, frames) / request.layer.copies(frames)
        return interpolate(folded[:, None], size=(frames, bands), mode="bilinear", align_corners=False)[:, 0]

    def _seen(self, request: Request, masks: Tensor) -> FloatArray:
        """Return class scores, shape (1 + channels, classes), of the fill alone and of the segment through masks."""
        classifier, (frames, bands) = request.classifier, request.segments.values.shape[1:]
        x = as_input(classifier, request.segments.values)[0]
        real = int(request.segments.real_frames[0])
        filled = reference(self.fill, classifier, request.segments, 0)
        masks = torch.cat([masks.new_zeros(1, frames, bands), masks])
        masks[:, real:] = 1  # padding is not evidence, and stays
        parts = torch.split(masks, batch_size(classifier, frames, bands))
        return np.concatenate([request.scores(logits_of(classifier, torch.lerp(filled, x, part))) for part in parts])
