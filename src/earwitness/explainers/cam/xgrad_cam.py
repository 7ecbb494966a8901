"""XGrad-CAM: Fu et al., *Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs*, BMVC 2020."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from earwitness.explainers.cam.base import GradientCam


@dataclass(frozen=True)
class XGradCam(GradientCam):
    """XGrad-CAM: channels weighted by their gradient, averaged with the channel's own activation as the weight.

    The map's sum is that of HiResCAM, its shape that of Grad-CAM. Made for layers after a ReLU; a channel whose cells
    add up to nothing counts for nothing. Parameters are those of :class:`~earwitness.explainers.cam.base.Cam`.
    """

    name: ClassVar[str] = "xgradcam"
    title: ClassVar[str] = "XGrad-CAM"
    paper: ClassVar[str] = "Fu et al., BMVC 2020"
    assumes: ClassVar[str] = (
        "where a channel is active is where its gradient should be averaged; made for layers after a ReLU"
    )
    misses: ClassVar[str] = "differences between the cells of one channel, and channels whose cells add up to nothing"

    @staticmethod
    def combine(maps: Tensor, gradient: Tensor) -> Tensor:
        """Return the maps, shape (n, H, W): channels by their activation-weighted mean gradients."""
        sums = maps.sum(dim=(2, 3), keepdim=True)
        product = (gradient * maps).sum(dim=(2, 3), keepdim=True)
        weights = torch.where(sums == 0, torch.zeros_like(sums), product / torch.where(sums == 0, 1.0, sums))
        return (weights * maps).sum(dim=1)
