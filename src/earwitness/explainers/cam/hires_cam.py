"""HiResCAM: Draelos & Carin, *Use HiResCAM instead of Grad-CAM for faithful explanations of CNNs*, 2020."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from earwitness.explainers.cam.base import GradientCam


@dataclass(frozen=True)
class HiResCam(GradientCam):
    """HiResCAM: gradient times activation, cell by cell, added up over channels.

    Unlike Grad-CAM it does not spread a channel's mean gradient over all its cells. Where one linear layer follows
    the map, its cells and the bias add up to the score. Parameters are those of
    :class:`~earwitness.explainers.cam.base.Cam`.
    """

    name: ClassVar[str] = "hirescam"
    title: ClassVar[str] = "HiResCAM"
    paper: ClassVar[str] = "Draelos & Carin, 2020, arXiv 2011.08891"
    assumes: ClassVar[str] = (
        "what follows the layer is nearly linear; then gradient times activation is each cell's own share of the score"
    )
    misses: ClassVar[str] = (
        "what only shows beyond a small step, such as a score that is saturated, and detail finer than the "
        "layer's cells"
    )

    @staticmethod
    def combine(maps: Tensor, gradient: Tensor) -> Tensor:
        """Return the maps, shape (n, H, W): the sum over channels of gradient times activation."""
        return (gradient * maps).sum(dim=1)
