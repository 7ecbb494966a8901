"""EigenGrad-CAM: Eigen-CAM of gradient times activation, as in Gildenblat's *pytorch-grad-cam*, 2021."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from earwitness.explainers.cam.base import GradientCam


@dataclass(frozen=True)
class EigenGradCam(GradientCam):
    """EigenGrad-CAM: what most channels of gradient times activation have in common, which depends on the class.

    The cells' projection onto the first right singular vector of the (cells, channels) matrix, not centred, as for
    Eigen-CAM here. A singular vector has no sign of its own; the one is taken that goes with the sum over the channels,
    which is HiResCAM's map. Parameters are those of :class:`~earwitness.explainers.cam.base.Cam`.
    """

    name: ClassVar[str] = "eigengradcam"
    title: ClassVar[str] = "EigenGrad-CAM"
    paper: ClassVar[str] = "Gildenblat, pytorch-grad-cam, 2021, after Muhammad & Yeasin, IJCNN 2020"
    assumes: ClassVar[str] = "channels that speak for the class do so at the same cells"
    misses: ClassVar[str] = (
        "channels that go their own way, however much they add to the score, and detail finer than the layer's cells"
    )

    @staticmethod
    def combine(maps: Tensor, gradient: Tensor) -> Tensor:
        """Return the maps, shape (n, H, W): first principal projections of gradient times activation."""
        cells = (gradient * maps).flatten(2).transpose(1, 2)
        left, sizes, _ = torch.linalg.svd(cells, full_matrices=False)
        first = left[:, :, 0] * sizes[:, :1]
        against = (first * cells.sum(dim=2)).sum(dim=1, keepdim=True) < 0
        return torch.where(against, -first, first).reshape(len(maps), *maps.shape[2:])
