"""Layers of networks over waveforms as activation methods want them: a map over time, of a single band."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from earwitness.core.errors import UsageError
from earwitness.explainers.inference.fused import frozen_copy
from earwitness.explainers.inference.layers import refuse_layer

KINDS = (nn.Conv1d, nn.BatchNorm1d, nn.ReLU, nn.GELU, nn.SiLU, nn.MaxPool1d, nn.AvgPool1d)
MAP = "map"  # the name, in the module that takes the layer's place, of what shows the map


class OverTime(nn.Module):
    """A layer whose output (n, channels, time) passes by as a map (n, channels, time, 1), where it can be looked at.

    Parameters
    ----------
    layer
        The layer.
    name
        For messages.
    """

    def __init__(self, layer: nn.Module, name: str) -> None:
        super().__init__()
        self.layer, self.map = layer, _Map(name)

    def forward(self, *inputs: Any, **options: Any) -> Tensor:
        """Return what the layer answers."""
        found: Tensor = self.map(self.layer(*inputs, **options))
        return found.squeeze(-1)


class _Map(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Any) -> Tensor:
        if not isinstance(x, Tensor) or x.ndim != 3 or x.shape[2] < 2:
            shape = tuple(x.shape[1:]) if isinstance(x, Tensor) else type(x).__name__
            raise UsageError(
                f"layer '{self.name}' has no map over time (its output is {shape}, where channels and time are "
                "expected); name another, or use lime or occlusion"
            )
        return x.unsqueeze(-1)


def refuse_layer_over_time(method: str, network: nn.Module, name: str) -> None:
    """Refuse a layer that a network over waveforms does not have, or hides.

    Parameters
    ----------
    method
        Registry name, for the message.
    network, name
        The network, and the layer's dotted name.

    Raises
    ------
    UsageError
        Naming the last layers that may do.
    """
    refuse_layer(method, network, name, KINDS, "layers over time")
    if any(isinstance(module, torch.jit.ScriptModule) for module in network.modules()):
        raise UsageError(f"{method}: torch.jit compiled the network, which hides its layers; use lime or occlusion")


def over_time(network: nn.Module, name: str) -> nn.Module:
    """Return a copy of a network over waveforms whose layer ``name`` shows a map, in its part :data:`MAP`.

    Weights are shared, and the network is not changed. A layer whose output is no map over time raises a UsageError
    when the copy runs.
    """
    copied = frozen_copy(network).eval()
    parent, _, last = name.rpartition(".")
    setattr(copied.get_submodule(parent), last, OverTime(copied.get_submodule(name), name))
    return copied
