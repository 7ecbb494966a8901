"""A transformer's attention weights in one pass, with or without a graph, by a copy that tells them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from earwitness.core.errors import UsageError
from earwitness.explainers.inference.fused import frozen_copy
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.inference.scoring import logits_of
from earwitness.models.adapter import shown_name
from earwitness.models.tokens import Tokens, tokens_of

ASK_OTHERS = "gradcam, saliency, integratedgradients, lime, occlusion, rise, shapley ..."


def refuse_without_attention(method: str, network: nn.Module) -> None:
    """Refuse a network that has no attention, or whose modules that attend are not named.

    Parameters
    ----------
    method
        Registry name, for the message.
    network
        Trained or not.

    Raises
    ------
    UsageError
        Naming what can be asked instead.
    """
    tokens = tokens_of(network)
    if tokens is None or not tokens.attention:
        raise UsageError(f"{method}: needs attention, of which this network has none; ask {ASK_OTHERS}")


def refuse_attention(method: str, network: nn.Module, reason: str, others: str) -> None:
    """Refuse a network that attends where a method is not defined for that.

    Raises
    ------
    UsageError
        Naming the reason and what can be asked instead.
    """
    tokens = tokens_of(network)
    if tokens is not None and tokens.attention:
        raise UsageError(f"{method}: {reason}; ask {others}")


def attending(method: str, classifier: Prepared, x: Tensor, *, graph: bool) -> tuple[list[Tensor], Tensor, Tokens]:
    """Return attention weights and logits, and where the tokens lie.

    Parameters
    ----------
    method
        Registry name, for messages.
    classifier
        Of a transformer; over waveforms, bound to a segment.
    x
        Shape (n, frames, bands).
    graph
        Whether gradients of the logits at the weights are wanted.

    Returns
    -------
    The weights of each block, shape (n, heads, tokens, tokens), in their order; the logits, shape (n, classes).

    Raises
    ------
    UsageError
        The network has no attention, or does not tell it.
    """
    refuse_without_attention(method, classifier.network)
    tokens = tokens_of(classifier.network)
    assert tokens is not None
    network, seen = _telling(classifier.network), dict[str, Tensor]()
    inside = getattr(network, "coat", network)
    with ExitStack() as hooks, torch.set_grad_enabled(graph):
        for name in tokens.attention:
            hooks.callback(_watched(method, inside, name, seen).remove)
        logits = logits_of(classifier, x.detach().requires_grad_(graph), network)
    missing = next((name for name in tokens.attention if name not in seen), None)
    if missing is not None:
        raise UsageError(
            f"{method}: '{shown_name(inside, missing)}' was not asked; name the modules that attend in a pass"
        )
    return [seen[name] for name in tokens.attention], logits, tokens


def _telling(network: nn.Module) -> nn.Module:
    """Return a copy whose attention is computed step by step, so that there are weights to look at.

    Transformers' networks choose by their configuration; the copy has its own.
    """
    copied = frozen_copy(network).eval()
    for module in copied.modules():
        config: Any = getattr(module, "config", None)
        if hasattr(config, "_attn_implementation"):
            config._attn_implementation = "eager"
    return copied


def _watched(method: str, inside: nn.Module, name: str, seen: dict[str, Tensor]) -> Any:
    """Let a module that attends tell its weights, which go to ``seen``."""
    called = shown_name(inside, name)

    def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
        weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if not isinstance(weights, Tensor) or weights.ndim != 4 or weights.shape[2] != weights.shape[3]:
            raise UsageError(
                f"{method}: '{called}' tells no attention weights (n, heads, tokens, tokens); ask {ASK_OTHERS}"
            )
        seen[name] = weights

    try:
        module = inside.get_submodule(name)
    except AttributeError as error:
        raise UsageError(f"{method}: attention '{called}' is unknown; name modules of the network") from error
    return module.register_forward_hook(note)


def own_flow(weights: Sequence[Tensor]) -> Tensor:
    """Return the flow before the first block, shape (tokens, tokens): each token is its own."""
    return torch.eye(weights[0].shape[-1], dtype=weights[0].dtype, device=weights[0].device)
