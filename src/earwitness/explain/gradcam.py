"""Grad-CAM: Selvaraju et al., *Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization*.

ICCV 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from earwitness.explain.cam import GradientCam


@dataclass(frozen=True)
class GradCam(GradientCam):
    """Grad-CAM: each channel of a layer's map, weighted by the mean gradient of the score over that channel.

    The score before the softmax is the paper's choice (its section 3) and the default. Networks that saturate have
    next to no gradient after the softmax, which is ``score="probability"``. Parameters are those of
    :class:`~earwitness.explain.cam.Cam`.
    """

    name: ClassVar[str] = "gradcam"
    title: ClassVar[str] = "Grad-CAM"
    paper: ClassVar[str] = "Selvaraju et al., ICCV 2017"

    @staticmethod
    def combine(maps: Tensor, gradient: Tensor) -> Tensor:
        """Return the maps, shape (n, H, W): channels by their mean gradients."""
        return (gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1)
