"""DeepLIFT: Shrikumar et al., *Learning Important Features Through Propagating Activation Differences*, ICML 2017."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from earwitness.explainers.fills import reference_parameter
from earwitness.explainers.gradient.base import GradientBatch, GradientMethod, Measured, gradients_of
from earwitness.explainers.inference.attention import refuse_attention
from earwitness.explainers.inference.hooks import answering
from earwitness.explainers.inference.modules import parts
from earwitness.explainers.inference.scoring import PROBABILITY, check_scores, score_parameter
from earwitness.models.adapter import NONE
from earwitness.models.protocols import Explainable

# Activations that work number by number, to which the rescale rule applies.
RESCALED = (
    nn.ReLU,
    nn.LeakyReLU,
    nn.ELU,
    nn.Sigmoid,
    nn.Tanh,
    nn.Softplus,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Hardtanh,
    nn.ReLU6,
    nn.SiLU,
    nn.GELU,
    nn.Mish,
    nn.SELU,
    nn.CELU,
)
POOLS: dict[type[nn.Module], Callable[..., Any]] = {
    nn.MaxPool1d: functional.max_pool1d,
    nn.MaxPool2d: functional.max_pool2d,
    nn.MaxPool3d: functional.max_pool3d,
}
# Where a number differs from the reference's by less than this, its change says nothing, and the gradient is taken.
SAME = 1e-10


@dataclass(frozen=True)
class DeepLift(GradientMethod):
    """DeepLIFT (rescale rule): each activation passes on its change from silence instead of its gradient.

    Activations have to be modules. Products of two signals (mn04's excitation) and functions such as the maximum over a
    map pass ordinary gradients, and the rule for maximum pooling is not exact where the maximum moves from one cell to
    another, so there the map need not add up to the difference of the two scores; ``diagnostics["gap"]`` says what it
    misses, and the flag ``"not converged"`` is raised where that is more than a thousandth of the map's absolute sum.
    No setting makes it less. Parameters beside ``score``, for which see
    :class:`~earwitness.explainers.gradient.base.GradientMethod`:

    Parameters
    ----------
    fill
        What the segment is compared with.
    """

    name: ClassVar[str] = "deeplift"
    title: ClassVar[str] = "DeepLIFT"
    paper: ClassVar[str] = "Shrikumar et al., ICML 2017"
    cost: ClassVar[str] = "2 forwards, and 1 backward of both per target"
    assumes: ClassVar[str] = "each activation's change from silence can be handed down in proportion, layer by layer"
    misses: ClassVar[str] = (
        "products of two signals, such as mn04's excitation: there the map does not add up, and `gap` tells by how much"
    )

    # The rescale rule is given for the softmax and the sigmoid, not for the log of their odds.
    score: str = score_parameter("logit", ("logit", PROBABILITY))
    fill: str | float = reference_parameter()

    def refuse(self, network: nn.Module) -> None:
        """Refuse a network that attends: products of two signals are all that it does with them."""
        refuse_attention(
            self.name,
            network,
            "has no rule for attention, which multiplies signals with each other",
            "inputxgradient, integratedgradients, attentionrelevance, or lime, occlusion, rise, shapley",
        )

    def together(self, classifier: Explainable, frames: int, bands: int) -> int:
        """Return how many segments make a batch, half as many as for others: each comes with its reference."""
        return max(1, super().together(classifier, frames, bands) // 2)

    def measure(self, batch: GradientBatch) -> Measured:
        """Return the maps of a batch; segments and references go through the network together."""
        count, base = len(batch.segments), batch.references(self.fill)
        leaf = torch.cat([batch.x, base])[:, 0].requires_grad_()
        with torch.enable_grad(), rescaling(batch.classifier.network):
            logits = batch.logits(leaf.clone())  # a network may change its input in place
            final = batch.score == "logit" or batch.classifier.activation == NONE
            scores = logits if final else _activated(logits, batch.classifier.activation)
            weights = batch.weights.repeat(2, 1, 1)
            multipliers = gradients_of(torch.einsum("nc,ntc->tn", scores, weights).sum(dim=1), leaf)[:count]
        values = (batch.x - base) * multipliers
        measured = batch.exact_scores(logits)
        for row in range(count):
            check_scores(measured[count + row], batch.classifier, batch.segments, row)
        return Measured(
            values=values,
            scores=measured[:count],
            forwards=2,
            backwards=1,
            reference_scores=measured[count:],
            exact=True,
        )


@contextmanager
def rescaling(network: nn.Module) -> Iterator[None]:
    """Let a network's activations and poolings pass on changes, from rows of references to rows of segments.

    The first half of a batch are segments, the second half their references.
    """
    with ExitStack() as stubs:
        for module in parts(network):
            if type(module) in RESCALED:
                stubs.enter_context(answering(module, _rescaled(module.forward)))
            elif type(module) in POOLS:
                stubs.enter_context(answering(module, _pooled(module)))
            elif type(module) is nn.Softmax:
                stubs.enter_context(answering(module, _normalised(module)))
        yield


def _rescaled(activate: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return an activation whose gradient is its change over its input's change."""

    def forward(x: Tensor) -> Tensor:
        y = activate(x)
        near, change = _changes(x, y)
        # The second summand is zero, and carries the gradient.
        return y.detach() + torch.where(near, y - y.detach(), change * (x - x.detach()))

    return forward


def _normalised(module: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: _activated(x, "softmax", module.dim)


def _activated(x: Tensor, kind: str, dim: int = -1) -> Tensor:
    found: Tensor = _Activated.apply(x, kind, dim)  # type: ignore[no-untyped-call]
    return found


def _changes(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return where inputs hardly differ, and elsewhere the outputs' change over the inputs'; for both halves."""
    with torch.no_grad():
        moved, answered = (segments - references for segments, references in (x.chunk(2), y.chunk(2)))
        near = moved.abs() < SAME
        change = answered / torch.where(near, 1, moved)
        return torch.cat([near, near]), torch.cat([change, change])


class _Activated(torch.autograd.Function):
    """Softmax, whose rescaled gradients are shifted to add up to zero (section 3.5.1 of the paper), or the sigmoid."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kind: str, dim: int) -> Tensor:
        y = x.softmax(dim) if kind == "softmax" else x.sigmoid()
        ctx.save_for_backward(x, y)
        ctx.kind, ctx.dim = kind, dim
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,), (x, y) = gradients, ctx.saved_tensors
        near, change = _changes(x, y)
        if ctx.kind != "softmax":
            return torch.where(near, gradient * y * (1 - y), gradient * change), None, None
        own = y * (gradient - (gradient * y).sum(dim=ctx.dim, keepdim=True))
        passed = torch.where(near, own, gradient * change)
        return passed - passed.mean(dim=ctx.dim, keepdim=True), None, None


def _pooled(module: Any) -> Callable[[Tensor], Tensor]:
    """Return a maximum pooling that hands the change of each maximum to the cells that were it."""
    pool = POOLS[type(module)]
    options = (module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode)

    def forward(x: Tensor) -> Tensor:
        found: Tensor = _Pooled.apply(x, lambda y: pool(y, *options, return_indices=True))  # type: ignore[no-untyped-call]
        return found

    return forward


class _Pooled(torch.autograd.Function):
    """Maximum pooling: of the change of a maximum, the rise goes to the segment's cell, the fall to the reference's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pool: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
        y, places = pool(x)
        ctx.save_for_backward(x, y, places)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,), (x, y, places) = gradients, ctx.saved_tensors
        (segments, references), (own, other) = x.chunk(2), y.chunk(2)
        highest = torch.maximum(own, other)
        rise, fall = _laid(gradient * torch.cat([highest - other, own - highest]), places, x).chunk(2)
        moved = segments - references
        near = (moved.abs() < SAME).repeat(2, *[1] * (x.dim() - 1))
        change = ((rise + fall) / torch.where(moved.abs() < SAME, 1, moved)).repeat(2, *[1] * (x.dim() - 1))
        return torch.where(near, _laid(gradient, places, x), change), None


def _laid(values: Tensor, places: Tensor, x: Tensor) -> Tensor:
    """Return pooled values at the cells that they came from, added up where windows overlap, of the shape of ``x``."""
    whole = torch.zeros_like(x).flatten(2)
    return whole.scatter_add(2, places.flatten(2), values.flatten(2)).view(x.shape)
