"""LayerCAM: Jiang et al., *LayerCAM: Exploring Hierarchical Class Activation Maps for Localization*, IEEE TIP 2021."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from earwitness.explainers.cam.base import GradientCam


@dataclass(frozen=True)
class LayerCam(GradientCam):
    """LayerCAM: positive gradient times activation, cell by cell, added up over channels.

    Made for early layers with fine maps, where one weight per channel says little. After a ReLU the map has no negative
    cells, and no evidence against is seen. Parameters are those of :class:`~earwitness.explainers.cam.base.Cam`.
    """

    name: ClassVar[str] = "layercam"
    title: ClassVar[str] = "LayerCAM"
    paper: ClassVar[str] = "Jiang et al., IEEE TIP 2021"
    assumes: ClassVar[str] = (
        "a positive gradient points at evidence cell by cell, also at early layers, whose maps are fine"
    )
    misses: ClassVar[str] = "evidence against the class (no weight is negative, only activations are)"

    @staticmethod
    def combine(maps: Tensor, gradient: Tensor) -> Tensor:
        """Return the maps, shape (n, H, W): the sum over channels of positive gradient times activation."""
        return (gradient.clamp(min=0) * maps).sum(dim=1)
