"""Ablation-CAM: Desai & Ramaswamy, *Ablation-CAM: Visual Explanations* [...] *via Gradient-free Localization*.

WACV 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from earwitness.core.device import to_numpy
from earwitness.explainers.cam.base import Cam, CamRequest, Cams, weighed
from earwitness.explainers.inference.scoring import target_scores
from earwitness.explainers.inference.suffix import Rest
from earwitness.models.protocols import Explainable

# How many segments at most are tried together; more save next to nothing, and what is remembered of them takes memory.
SEGMENTS = 16


@dataclass(frozen=True)
class AblationCam(Cam):
    """Ablation-CAM: each channel of a layer's map, weighted by how far the score drops when the channel is zero.

    The network up to the layer runs once; only what follows is run again for each channel, many channels at a time. A
    channel that is zero already is not tried: nothing would change. The paper divides the drop by the score; here the
    weight is the drop itself, so that a map's sign does not turn with the sign of a logit, and maps of two targets
    have one scale. Parameters are those of :class:`~earwitness.explainers.cam.base.Cam`.
    """

    name: ClassVar[str] = "ablationcam"
    title: ClassVar[str] = "Ablation-CAM"
    paper: ClassVar[str] = "Desai & Ramaswamy, WACV 2020"
    cost: ClassVar[str] = (
        "1 forward, and 1 from the layer up per channel that is not zero, whatever the number of targets"
    )
    assumes: ClassVar[str] = "a channel is worth what the score drops by when that channel alone is zero"
    misses: ClassVar[str] = "channels that stand in for each other, and differences between the cells of one channel"

    def together(self, classifier: Explainable, frames: int, bands: int) -> int:
        """Return how many segments' channels fill batches together."""
        return min(SEGMENTS, super().together(classifier, frames, bands))

    def cams(self, request: CamRequest) -> Cams:
        """Return the maps of a batch."""
        with torch.inference_mode():
            rest = Rest(request.layer, request.segments)
            scores = request.scores(rest.scores)
            request.check(scores)
            rows, channels = rest.maps.flatten(2).any(dim=2).nonzero(as_tuple=True)
            parts = [
                request.scores(rest.logits(_without(rest.maps, *some), some[0]))
                for some in zip(torch.split(rows, rest.rows), torch.split(channels, rest.rows), strict=True)
            ]
        measured = np.concatenate([scores[:0], *parts])
        found, diagnostics = [], []
        for row, listed in enumerate(request.targets):
            own = rows == row
            dropped = np.concatenate([scores[row : row + 1], measured[to_numpy(own)]])
            request.check(dropped.min(axis=0, keepdims=True), row)
            reached = target_scores(dropped, listed)
            found.append(weighed(rest.maps[row, channels[own]], torch.as_tensor(reached[0] - reached[1:]).T))
            diagnostics.append({"channels": float(own.sum()), "rest_alone": float(rest.alone)})
        tried = [1 + int(each["channels"]) for each in diagnostics]
        return Cams(maps=found, scores=scores, forwards=tried, backwards=[0] * len(tried), diagnostics=diagnostics)


def _without(maps: Tensor, rows: Tensor, channels: Tensor) -> Tensor:
    """Return copies of some rows of maps (n, channels, H, W), each with a channel at zero."""
    copies = maps[rows]
    copies[torch.arange(len(rows), device=maps.device), channels] = 0
    return copies
