"""FullGrad: Srinivas & Fleuret, *Full-Gradient Representation for Neural Network Visualization*, NeurIPS 2019."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from earwitness.audio.timefreq import nearest_cells
from earwitness.core.errors import UsageError
from earwitness.explainers.gradient.base import GradientBatch, GradientMethod, Measured
from earwitness.explainers.inference.scoring import LOGIT, as_input, logits_of
from earwitness.models.foreign.waveform import Waveforms
from earwitness.models.network import Standardise

AFFINE = (nn.Conv2d, nn.BatchNorm2d, nn.Linear, Standardise)
# Activations that are no straight lines from 0: there a score is not the sum of the input's share and the biases'.
BENT = (
    *(nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh, nn.SiLU, nn.GELU, nn.ELU, nn.SELU, nn.CELU, nn.Softplus),
    *(nn.Mish, nn.ReLU6, nn.Hardtanh),
)


@dataclass(frozen=True)
class FullGrad(GradientMethod):
    """FullGrad: the score as the sum of what the input and what each bias adds, with each bias at its cells.

    In a network of ReLUs the score is its input times the gradient there, plus every bias times the gradient at its
    place; a layer's biases are laid on the cells that they belong to. The authors' picture takes absolute values and
    scales each layer to 1; this map keeps signs and units, so that it adds up to the logit: ``diagnostics["gap"]`` is
    what has no place of time and frequency, the biases after the last map. Other activations (mn04's) miss more, and
    raise the flag ``"not converged"`` where that is more than a thousandth of the map's absolute sum.
    Parameters are those of :class:`~earwitness.explainers.gradient.base.GradientMethod`.
    """

    name: ClassVar[str] = "fullgrad"
    title: ClassVar[str] = "FullGrad"
    paper: ClassVar[str] = "Srinivas & Fleuret, NeurIPS 2019"
    cost: ClassVar[str] = "1 forward, and 1 backward per target"
    assumes: ClassVar[str] = "the network is made of ReLUs and linear layers, and a bias speaks where it is added"
    misses: ClassVar[str] = (
        "loudness: a log-mel's 0 is not silence; and whose doing a bias is, which other cells may have switched on"
    )

    def measure(self, batch: GradientBatch) -> Measured:
        """Return the maps of a batch."""
        network = batch.classifier.network
        if isinstance(network, Waveforms):
            raise UsageError(f"{self.name}: biases of a network over waveforms lie at no frequency; use inputxgradient")
        leaf = as_input(batch.classifier, batch.segments.values).requires_grad_()
        with torch.enable_grad(), _biases(network) as added:
            logits = logits_of(batch.classifier, leaf.clone())
            wanted = torch.einsum("nc,ntc->tn", batch.scored(logits), batch.weights).sum(dim=1)
        maps = []
        for position, total in enumerate(wanted):
            again = position + 1 < len(wanted)
            found = torch.autograd.grad(
                total, [leaf, *(output for output, _ in added)], retain_graph=again, allow_unused=True
            )
            gradients = [torch.zeros_like(leaf) if each is None else each for each in found[:1]] + list(found[1:])
            maps.append(_laid(network, leaf.detach(), gradients, [bias for _, bias in added]))
        none = leaf.detach()[:, None][:, :0]
        scores = batch.exact_scores(logits)
        return Measured(
            values=torch.stack(maps, dim=1) if maps else none,
            scores=scores,
            forwards=1,
            reference_scores=np.zeros_like(scores) if batch.score == LOGIT else None,
            exact=any(isinstance(module, BENT) for module in network.modules()),
        )


@contextmanager
def _biases(network: nn.Module) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """List, while a network runs, what its affine modules answer, each with what it would answer to zeros."""
    added: list[tuple[Tensor, Tensor]] = []

    def note(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.requires_grad:
            with torch.no_grad():
                added.append((output, module.forward(torch.zeros_like(inputs[0][:1]))))

    with ExitStack() as hooks:
        for module in network.modules():
            if isinstance(module, AFFINE):
                hooks.callback(module.register_forward_hook(note).remove)
        yield added


def _laid(network: nn.Module, x: Tensor, gradients: list[Tensor], biases: list[Tensor]) -> Tensor:
    """Return the map, shape (n, frames, bands): the input's share and those biases' that have a place."""
    found = x * gradients[0]
    turned = tuple(getattr(network, "map_axes", ("time", "frequency"))) == ("frequency", "time")
    for gradient, bias in zip(gradients[1:], biases, strict=True):
        if gradient is None or gradient.ndim < 3:
            continue
        share = gradient * bias
        if share.ndim == 4:
            share = share.sum(dim=1)
            share = share.transpose(1, 2) if turned else share
        found = found + _spread(share, *x.shape[1:])
    return found


def _spread(share: Tensor, frames: int, bands: int) -> Tensor:
    """Return a layer's map, shape (n, H, W), on the segment's cells, with the sum that it has."""
    for axis, length in ((1, frames), (2, bands)):
        cells = torch.as_tensor(nearest_cells(length, share.shape[axis]), device=share.device)
        counts = torch.bincount(cells, minlength=share.shape[axis]).to(share)
        shape = [1, 1, 1]
        shape[axis] = -1
        share = (share / counts.view(shape)).index_select(axis, cells)
    return share
