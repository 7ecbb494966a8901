"""Attention relevance: Chefer et al., *Generic Attention-model Explainability* [...] *Encoder-Decoder Transformers*.

ICCV 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from earwitness.explainers.attention.base import AttentionMethod
from earwitness.explainers.inference.attention import own_flow
from earwitness.explainers.method import Need


@dataclass(frozen=True)
class AttentionRelevance(AttentionMethod):
    """Attention relevance: attention rollout in which each head counts by its gradient for the class.

    Each block adds what its attention, times the score's gradient there and where positive, takes from the tokens
    before it (equations 5 and 6 of the paper, for encoders with self-attention). The values are never negative.
    Parameters are those of :class:`~earwitness.explainers.attention.base.AttentionMethod`.
    """

    name: ClassVar[str] = "attentionrelevance"
    title: ClassVar[str] = "Attention relevance"
    paper: ClassVar[str] = "Chefer et al., ICCV 2021"
    cost: ClassVar[str] = "1 forward, and 1 backward per target"
    needs: ClassVar[tuple[Need, ...]] = (Need.ATTENTION, Need.GRADIENTS)
    assumes: ClassVar[str] = "a head whose attention would raise the score brings what speaks for the class"
    misses: ClassVar[str] = "evidence against the class, and all that is done to tokens between the attention"
    graph: ClassVar[bool] = True

    def flows(self, weights: Sequence[Tensor], scores: Sequence[Tensor]) -> list[Tensor]:
        """Return what each token takes from each other, for each target."""
        found, own = [], own_flow(weights)
        for position, score in enumerate(scores):
            again = position + 1 < len(scores)
            gradients = torch.autograd.grad(score, list(weights), retain_graph=again, allow_unused=True)
            flow = own.expand(len(weights[0]), -1, -1)
            for each, gradient in zip(weights, gradients, strict=True):
                if gradient is not None:
                    taken = (gradient * each.detach()).clamp(min=0).mean(dim=1)
                    flow = flow + taken @ flow
            found.append(flow - own)  # what each token is of itself says nothing of where it looks
        return found
