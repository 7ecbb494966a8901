"""Eigen-CAM: Muhammad & Yeasin, *Eigen-CAM: Class Activation Map using Principal Components*, IJCNN 2020."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from earwitness.explainers.cam.base import Cam, CamRequest, Cams


@dataclass(frozen=True)
class EigenCam(Cam):
    """Eigen-CAM: what most of a layer's channels have in common, whatever the class.

    The cells' projection onto the first right singular vector of the (cells, channels) matrix, not centred, as in the
    paper. A singular vector has no sign of its own; the one with a positive sum is taken. The map has the unit of the
    activations, and it is the same for every target: it shows what the layer reacts to, not why a class was chosen.
    Parameters are those of :class:`~earwitness.explainers.cam.base.Cam`.
    """

    name: ClassVar[str] = "eigencam"
    title: ClassVar[str] = "Eigen-CAM"
    paper: ClassVar[str] = "Muhammad & Yeasin, IJCNN 2020"
    cost: ClassVar[str] = "1 forward, whatever the number of targets, whose maps are all the same"
    assumes: ClassVar[str] = "what most channels have in common is what the network looks at"
    misses: ClassVar[str] = (
        "the class: the map is the same for every target, and tells what the layer reacts to, not why it decided"
    )

    def cams(self, request: CamRequest) -> Cams:
        """Return the maps of a batch."""
        leaf, logits = request.layer.run(request.segments)
        scores = request.scores(logits)
        request.check(scores)
        found = _principal(leaf.detach())
        maps = [one.expand(len(listed), -1, -1) for one, listed in zip(found, request.targets, strict=True)]
        return Cams(maps=maps, scores=scores, forwards=[1] * len(maps), backwards=[0] * len(maps))


def _principal(maps: Tensor) -> Tensor:
    """Return the first principal projections, shape (n, H, W), of maps, shape (n, channels, H, W)."""
    left, sizes, _ = torch.linalg.svd(maps.flatten(2).transpose(1, 2), full_matrices=False)
    first = left[:, :, 0] * sizes[:, :1]
    turned = torch.where(first.sum(dim=1, keepdim=True) < 0, -first, first)
    return turned.reshape(len(maps), *maps.shape[2:])
