"""Taking from a network what it learned: its layers in blocks, their weights redrawn in place, a name for weights."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from earwitness.audio.segments import Segments
from earwitness.core.device import to_numpy, without_tf32
from earwitness.core.errors import UsageError
from earwitness.explainers.inference.binding import network_input
from earwitness.explainers.inference.hooks import calls_of
from earwitness.explainers.inference.modules import evaluation_mode
from earwitness.explainers.inference.prepared import working
from earwitness.explainers.inference.scoring import logits_of
from earwitness.models.protocols import Explainable

BLOCKS = 8
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def blocks_of(classifier: Explainable, segments: Segments, most: int = BLOCKS) -> list[list[str]]:
    """Return the names of the layers with weights, the first to run first, in at most ``most`` blocks.

    The last layer is a block of its own; the others are divided evenly. What only scales and shifts (a norm) goes with
    the layer before it, and so does a layer that is not called as a module: its weights may be used all the same.

    Raises
    ------
    UsageError
        If the network has no weights.
    """
    with working(classifier) as prepared, calls_of(prepared.network, _weighted) as calls, torch.inference_mode():
        logits_of(prepared, network_input(prepared, segments.take([0])))
    modules = {name: module for name, module in classifier.network.named_modules() if _weighted(module)}
    layers: list[list[str]] = []
    for name in calls:
        if not layers or any(weight.dim() > 1 for weight in modules[name].parameters(recurse=False)):
            layers.append([])
        layers[-1].append(name)
    for before, name in itertools.pairwise(modules):
        if name not in calls:
            next(layer for layer in layers if before in layer).append(name)
    if not layers:
        raise UsageError("the network has no weights that could be made random; this test does not fit it")
    below = np.array_split(np.arange(len(layers) - 1), max(1, min(most - 1, len(layers) - 1)))
    groups = [[*group] for group in below if len(group)] + [[len(layers) - 1]]
    return [[name for layer in group for name in layers[layer]] for group in groups]


def can_be_random(network: nn.Module) -> bool:
    """Return whether a network has weights that can be redrawn: a compiled or foreign program keeps its own."""
    modules = list(network.modules())
    return any(map(_weighted, modules)) and not any(isinstance(each, torch.jit.ScriptModule) for each in modules)


def _weighted(module: nn.Module) -> bool:
    return next(module.parameters(recurse=False), None) is not None


def redraw(network: nn.Module, names: Sequence[str], rng: np.random.Generator) -> None:
    """Give the named layers random weights in place.

    Tensors with two dimensions or more are drawn from a normal distribution around 0 whose spread is the root mean
    square of the trained weights; the others (biases, scales and shifts of norms) are shuffled. So signals keep their
    size from layer to layer, and no layer falls silent because its weights lean to one side.
    """
    modules = dict(network.named_modules())
    with torch.no_grad():
        for name in names:
            for weight in modules[name].parameters(recurse=False):
                if weight.dim() > 1:
                    drawn = rng.standard_normal(tuple(weight.shape), dtype=np.float32)
                    drawn *= to_numpy(weight.float().square().mean().sqrt())
                else:
                    drawn = rng.permutation(to_numpy(weight.float()).reshape(-1))
                weight.copy_(torch.from_numpy(drawn).reshape(weight.shape))


def settle(network: nn.Module, names: Sequence[str], x: Tensor) -> None:
    """Give the batch norms among the named layers the mean and the variance of what they get from some segments.

    Statistics of the trained layers below would not fit redrawn ones: signals would grow or fade from norm to norm.
    """

    def measure(module: Any, inputs: tuple[Tensor, ...]) -> None:
        axes = [axis for axis in range(inputs[0].dim()) if axis != 1]
        module.running_mean.copy_(inputs[0].mean(dim=axes))
        module.running_var.copy_(inputs[0].var(dim=axes, correction=0))

    modules = dict(network.named_modules())
    norms = [modules[name] for name in names if isinstance(modules[name], NORMS)]
    handles = [norm.register_forward_pre_hook(measure) for norm in norms if norm.running_mean is not None]
    try:
        if handles:
            with evaluation_mode(network), torch.no_grad(), without_tf32(x.device):
                network(x)
    finally:
        for handle in handles:
            handle.remove()


def restore(network: nn.Module, names: Sequence[str], source: nn.Module) -> None:
    """Give the named layers the weights and the statistics of another network with the same layers."""
    modules, others = dict(network.named_modules()), dict(source.named_modules())
    with torch.no_grad():
        for name in names:
            mine = [*modules[name].parameters(recurse=False), *modules[name].buffers(recurse=False)]
            theirs = [*others[name].parameters(recurse=False), *others[name].buffers(recurse=False)]
            for one, other in zip(mine, theirs, strict=True):
                one.copy_(other)
