"""Guided backpropagation: Springenberg et al., *Striving for Simplicity: The All Convolutional Net*.

ICLR Workshops 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from earwitness.core.errors import UsageError
from earwitness.explainers.gradient.base import GradientBatch, GradientMethod, Gradients, Measured
from earwitness.explainers.inference.attention import refuse_attention
from earwitness.explainers.inference.hooks import answering, calls_of, operations
from earwitness.explainers.inference.modules import parts
from earwitness.explainers.inference.scoring import as_input, logits_of
from earwitness.models.foreign.runtimes import is_opaque


@dataclass(frozen=True)
class GuidedBackprop(GradientMethod):
    """Guided backpropagation: the gradient of the score, of which every ReLU lets only positive parts through.

    Sharp pictures that hardly depend on the class (Adebayo et al., *Sanity Checks for Saliency Maps*, NeurIPS 2018):
    closer to what the network reacts to than to why it decided. Only ReLUs are changed; hard-swish and other
    activations pass gradients as they are, and ``diagnostics["relus"]`` says how many ReLUs there are. Parameters are
    those of :class:`~earwitness.explainers.gradient.base.GradientMethod`.
    """

    name: ClassVar[str] = "guidedbackprop"
    title: ClassVar[str] = "Guided backpropagation"
    paper: ClassVar[str] = "Springenberg et al., ICLR Workshops 2015"
    cost: ClassVar[str] = "1 forward, and 1 backward per target; 1 forward more per batch"
    assumes: ClassVar[str] = "paths that are positive at every ReLU lead to what matters"
    misses: ClassVar[str] = (
        "the class: the picture hardly depends on it, nor on what the network has learned, and activations other "
        "than ReLU pass unchanged"
    )

    def refuse(self, network: nn.Module) -> None:
        """Refuse a transformer without a ReLU, of which plain gradients are left."""
        if not any(isinstance(module, nn.ReLU) for module in parts(network)):
            reason = "changes gradients at ReLUs, and this transformer has none"
            refuse_attention(
                self.name, network, reason, "saliency, smoothgrad, integratedgradients, attentionrelevance"
            )

    def measure(self, batch: GradientBatch) -> Measured:
        """Return the maps of a batch."""
        if is_opaque(batch.classifier.network):
            raise UsageError(
                f"{self.name}: changes every ReLU, and those inside a model file cannot be changed; use saliency or "
                "integratedgradients, or give the network as file.py:make"
            )
        relus = self._relus(batch)
        gradients = Gradients(batch)
        with ExitStack() as stubs:
            for module in parts(batch.classifier.network):
                if isinstance(module, nn.ReLU):
                    stubs.enter_context(answering(module, _guided(module.forward)))
            (values,) = gradients(None, (batch.x,), additional_forward_args=batch.weights)
        return Measured(values=values, scores=gradients.scores, forwards=1, diagnostics={"relus": float(relus)})

    def _relus(self, batch: GradientBatch) -> int:
        """Return how many ReLUs run in one pass.

        Raises
        ------
        UsageError
            If some of them are functions, which cannot be found among the modules.
        """
        network, x = batch.classifier.network, as_input(batch.classifier, batch.segments.values[:1]).requires_grad_()
        with calls_of(network, lambda module: isinstance(module, nn.ReLU)) as calls, torch.enable_grad():
            logits = logits_of(batch.classifier, x.clone())
        modules, every = sum(calls.values()), operations(logits)["ReluBackward0"]
        if every > modules:
            raise UsageError(
                f"{self.name}: {every - modules} of the network's {every} ReLUs are functions, which this method "
                "cannot change; make them nn.ReLU modules, or use another method"
            )
        return modules


def _guided(activate: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return a ReLU through which only positive gradients pass back."""

    def forward(x: Tensor) -> Tensor:
        y = activate(x)
        if y.requires_grad:
            y.register_hook(lambda gradient: gradient.clamp(min=0))  # type: ignore[no-untyped-call]
        return y

    return forward
