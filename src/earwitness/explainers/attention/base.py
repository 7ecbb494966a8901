"""What attention methods share: from attention weights to a map of the tokens, for every target."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from earwitness.audio.segments import Segments
from earwitness.core.device import to_numpy
from earwitness.core.progress import Progress
from earwitness.explainers.attribution import Attribution, Target
from earwitness.explainers.inference.attention import attending
from earwitness.explainers.inference.layers import token_grid
from earwitness.explainers.inference.modules import precision_of
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.inference.scoring import (
    activated,
    as_input,
    batch_size,
    check_scores,
    score_parameter,
    stopwatch,
    target_scores,
)
from earwitness.explainers.method import Cost, Explainer, Found, Need, attribution_of, in_batches
from earwitness.explainers.parameters import check


@dataclass(frozen=True)
class AttentionMethod(Explainer):
    """A method that follows attention from the answer down to the tokens that the segment was cut into.

    Parameters
    ----------
    score
        ``"logit"`` (before the activation), ``"probability"`` (after it) or ``"log-odds"`` of it.
    """

    family: ClassVar[str] = "attention"
    needs: ClassVar[tuple[Need, ...]] = (Need.ATTENTION,)
    graph: ClassVar[bool] = False  # whether gradients at the weights are wanted

    score: str = score_parameter("logit")

    def __post_init__(self) -> None:
        check(self)

    @abstractmethod
    def flows(self, weights: Sequence[Tensor], scores: Sequence[Tensor]) -> list[Tensor]:
        """Return, for each target's score, what each token takes from each other, shape (n, tokens, tokens).

        Parameters
        ----------
        weights
            Of each block, shape (n, heads, tokens, tokens).
        scores
            For each position among a segment's targets, the sum over segments of their scores, with a graph where
            ``graph`` says so.
        """

    def explained(
        self, prepared: Prepared, segments: Segments, targets: Sequence[Sequence[Target]], progress: Progress
    ) -> list[Attribution]:
        """Return the attributions, a batch of segments after another."""
        size = batch_size(prepared, *segments.values.shape[1:])
        return in_batches(self._batch, size, prepared, segments, targets, self.title, progress)

    def _batch(self, prepared: Prepared, segments: Segments, targets: Sequence[Sequence[Target]]) -> list[Attribution]:
        seconds = stopwatch()
        x = as_input(prepared, segments.values)
        weights, logits, tokens = attending(self.name, prepared, x, graph=self.graph)
        with torch.set_grad_enabled(self.graph):
            sums = _summed(activated(logits, self.score, prepared.activation), targets)
        scores = to_numpy(activated(logits.detach().cpu().double(), self.score, prepared.activation))
        maps = [tokens.laid(tokens.read(flow)[:, :, None])[:, 0] for flow in self.flows(weights, sums)]
        frames, bands = segments.values.shape[1:]
        each, precision, found = seconds(len(segments)), precision_of(prepared.network), list[Attribution]()
        for index, listed in enumerate(targets):
            check_scores(scores[index], prepared, segments, index)
            cost = Cost(1, len(listed) if self.graph else 0, each, precision)
            for position, target in enumerate(listed):
                native = to_numpy(maps[position][index].float())
                grid = token_grid(tokens, frames, bands, *native.shape)
                own = float(target_scores(scores[index : index + 1], [target])[0, 0])
                result = Found(native=native, values=grid.spread(native), grid=grid, score=own)
                found.append(attribution_of(self, prepared, segments, index, target, result, cost))
        return found


def _summed(scores: Tensor, targets: Sequence[Sequence[Target]]) -> list[Tensor]:
    """Return, for each position among the targets, the sum of the scores of those that stand there."""
    found = []
    for position in range(max((len(listed) for listed in targets), default=0)):
        counted = torch.zeros_like(scores)
        for row, listed in enumerate(targets):
            if position < len(listed):
                counted[row, listed[position].index] += 1
                if (against := listed[position].against) is not None:
                    counted[row, against] -= 1
        found.append((scores * counted.detach()).sum())
    return found
