"""Grad-CAM++: Chattopadhyay et al., *Grad-CAM++: Improved Visual Explanations for Deep Convolutional Networks*.

WACV 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from earwitness.explainers.cam.base import GradientCam


@dataclass(frozen=True)
class GradCamPlusPlus(GradientCam):
    """Grad-CAM++: channels weighted by their positive gradients, each cell with a coefficient of its own.

    The coefficients make a small patch count as much as a large one. They suppose that the score enters through an
    exponential (the paper's equation 19), whose positive factor is left out here, so that the map has the score's
    unit. Only positive gradients count: after a ReLU the map has no negative cells, and no evidence against is seen.
    Parameters are those of :class:`~earwitness.explainers.cam.base.Cam`.
    """

    name: ClassVar[str] = "gradcampp"
    title: ClassVar[str] = "Grad-CAM++"
    paper: ClassVar[str] = "Chattopadhyay et al., WACV 2018"
    assumes: ClassVar[str] = (
        "positive gradients are what counts, and small patches of evidence should weigh as much as large ones"
    )
    misses: ClassVar[str] = (
        "evidence against the class (no weight is negative, only activations are), and detail finer than the layer's "
        "cells"
    )

    @staticmethod
    def combine(maps: Tensor, gradient: Tensor) -> Tensor:
        """Return the maps, shape (n, H, W): channels by weighted sums of their positive gradients."""
        square = gradient**2
        below = 2 * square + maps.sum(dim=(2, 3), keepdim=True) * square * gradient
        alpha = torch.where(below == 0, torch.zeros_like(below), square / torch.where(below == 0, 1.0, below))
        weights = (alpha * gradient.clamp(min=0)).sum(dim=(2, 3), keepdim=True)
        return (weights * maps).sum(dim=1)
