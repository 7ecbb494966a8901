"""Attention rollout: Abnar & Zuidema, *Quantifying Attention Flow in Transformers*, ACL 2020."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from earwitness.explainers.attention.base import AttentionMethod
from earwitness.explainers.inference.attention import own_flow


@dataclass(frozen=True)
class AttentionRollout(AttentionMethod):
    """Attention rollout: how much of each token has come to the answer through all blocks, whatever the class.

    In each block a token is half itself, by the shortcut around the attention, and half what it attends to, in the mean
    over the heads; the blocks' matrices are multiplied. What class tokens then hold of each token is the map, or the
    mean over all tokens where the network has none. The values are shares, never negative, the same for every target.
    Parameters are those of :class:`~earwitness.explainers.attention.base.AttentionMethod`.
    """

    name: ClassVar[str] = "rollout"
    title: ClassVar[str] = "Attention rollout"
    paper: ClassVar[str] = "Abnar & Zuidema, ACL 2020"
    cost: ClassVar[str] = "1 forward, whatever the number of targets, whose maps are all the same"
    assumes: ClassVar[str] = "what a token attends to is what it is made of, and all heads count alike"
    misses: ClassVar[str] = (
        "the class: the map is the same for every target, and has no evidence against it; and all that is done to "
        "tokens between the attention"
    )

    def flows(self, weights: Sequence[Tensor], scores: Sequence[Tensor]) -> list[Tensor]:
        """Return what each token takes from each other, the same for every target."""
        own = own_flow(weights)
        flow = own
        for each in weights:
            block = (each.mean(dim=1) + own) / 2
            flow = block / block.sum(dim=-1, keepdim=True) @ flow
        return [flow] * len(scores)
