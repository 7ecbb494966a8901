"""Grad-CAM: Selvaraju et al., *Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization*.

ICCV 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from earwitness.explainers.cam.base import GradientCam
from earwitness.explainers.inference.scoring import PROBABILITY


@dataclass(frozen=True)
class GradCam(GradientCam):
    """Grad-CAM: each channel of a layer's map, weighted by the mean gradient of the score over that channel.

    The score before the softmax is the paper's choice (its section 3) and the default. Networks that saturate have
    next to no gradient after the softmax, which is ``score="probability"`` and the example's. Parameters are those of
    :class:`~earwitness.explainers.cam.base.Cam`.
    """

    name: ClassVar[str] = "gradcam"
    title: ClassVar[str] = "Grad-CAM"
    paper: ClassVar[str] = "Selvaraju et al., ICCV 2017"
    assumes: ClassVar[str] = (
        "a channel of the layer means the same wherever it is active, so that one mean gradient can weigh all of "
        "its cells"
    )
    misses: ClassVar[str] = (
        "differences between the cells of one channel (HiResCAM keeps them), and detail finer than the layer's cells"
    )
    presets: ClassVar[dict[str, dict[str, Any]]] = {"example": {"score": PROBABILITY}}

    @staticmethod
    def combine(maps: Tensor, gradient: Tensor) -> Tensor:
        """Return the maps, shape (n, H, W): channels by their mean gradients."""
        return (gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1)
