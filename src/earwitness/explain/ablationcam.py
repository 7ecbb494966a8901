"""Ablation-CAM: Desai & Ramaswamy, *Ablation-CAM: Visual Explanations* [...] *via Gradient-free Localization*.

WACV 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from earwitness.explain.cam import Cam, Cams, Request, weighed
from earwitness.explain.model import Explainable, target_scores
from earwitness.explain.rest import Rest


@dataclass(frozen=True)
class AblationCam(Cam):
    """Ablation-CAM: each channel of a layer's map, weighted by how far the score drops when the channel is zero.

    The network up to the layer runs once; only what follows is run again for each channel, many channels at a time. A
    channel that is zero already is not tried: nothing would change. The paper divides the drop by the score; here the
    weight is the drop itself, so that a map's sign does not turn with the sign of a logit, and maps of two targets
    have one scale. Parameters are those of :class:`~earwitness.explain.cam.Cam`.
    """

    name: ClassVar[str] = "ablationcam"
    title: ClassVar[str] = "Ablation-CAM"
    paper: ClassVar[str] = "Desai & Ramaswamy, WACV 2020"
    cost: ClassVar[str] = (
        "1 forward, and 1 from the layer up per channel that is not zero, whatever the number of targets"
    )
    assumes: ClassVar[str] = "a channel is worth what the score drops by when that channel alone is zero"
    misses: ClassVar[str] = "channels that stand in for each other, and differences between the cells of one channel"

    def together(self, classifier: Explainable, frames: int, bands: int) -> int:  # noqa: ARG002
        """Return 1: the channels of one segment fill batches."""
        return 1

    def cams(self, request: Request) -> Cams:
        """Return the maps of one segment."""
        with torch.inference_mode():
            rest = Rest(request.layer, request.segments)
            scores = request.scores(rest.scores)
            request.check(scores)
            channels = rest.maps.flatten(1).any(dim=1).nonzero()[:, 0]
            parts = [
                request.scores(rest.logits(_without(rest.maps, some))) for some in torch.split(channels, rest.rows)
            ]
        measured = np.concatenate([scores, *parts])
        request.check(measured.min(axis=0, keepdims=True))
        own = target_scores(measured, request.targets[0])
        weights = torch.as_tensor(own[0] - own[1:]).T
        found = weighed(rest.maps[channels], weights)
        diagnostics = {"channels": float(len(channels)), "rest_alone": float(rest.alone)}
        return Cams([found], scores, [1 + len(channels)], [0], diagnostics)


def _without(maps: Tensor, channels: Tensor) -> Tensor:
    """Return a copy of maps (channels, H, W) for each of some channels, with that channel at zero."""
    copies = maps.repeat(len(channels), 1, 1, 1)
    copies[torch.arange(len(channels), device=maps.device), channels] = 0
    return copies
