"""Layers whose output is no map as activation methods want them: moments and tokens, laid out as a map."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from earwitness.core.errors import UsageError
from earwitness.explainers.inference.fused import frozen_copy
from earwitness.explainers.inference.layers import refuse_layer
from earwitness.models.adapter import shown_name
from earwitness.models.foreign.waveform import takes_waveforms
from earwitness.models.tokens import Tokens

KINDS = (nn.Conv1d, nn.BatchNorm1d, nn.ReLU, nn.GELU, nn.SiLU, nn.MaxPool1d, nn.AvgPool1d)
CHANNELS_FIRST = (nn.Conv1d, nn.BatchNorm1d, nn.MaxPool1d, nn.AvgPool1d)
MAP = "map"  # the name, in the module that takes the layer's place, of what shows the map


class Shown(nn.Module):
    """A layer whose output passes by as a map (n, channels, time, frequency), where it can be looked at.

    Parameters
    ----------
    layer
        The layer; it answers moments (n, channels, time), tokens (n, tokens, channels), perhaps first of several
        outputs.
    name
        For messages.
    tokens
        Where tokens lie; None where the layer answers moments.
    turned
        Whether the network's maps are (frequency, time).
    """

    def __init__(self, layer: nn.Module, name: str, tokens: Tokens | None, *, turned: bool) -> None:
        super().__init__()
        self.layer, self.name, self.turned = layer, name, turned
        self.tokens = None if isinstance(layer, CHANNELS_FIRST) else tokens
        self.map = nn.Identity()

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Return what the layer answers."""
        found = self.layer(*inputs, **options)
        several = isinstance(found, tuple)
        values = found[0] if several else found
        passed = self._passed(values)
        return (passed, *found[1:]) if several else passed

    def _passed(self, values: Any) -> Tensor:
        tokens = self.tokens
        if tokens is not None and isinstance(values, Tensor) and tokens.are(values):
            return tokens.unlaid(self._across(self.map(self._across(tokens.laid(values)))), values)
        if tokens is not None or not isinstance(values, Tensor) or values.ndim != 3 or values.shape[2] < 2:
            shape = tuple(values.shape[1:]) if isinstance(values, Tensor) else type(values).__name__
            wanted = "channels and time" if tokens is None else f"tokens of {tokens.width or 'some'} numbers"
            raise UsageError(
                f"layer '{self.name}' has no map over time (its output is {shape}, where {wanted} are "
                "expected); name another, or use lime or occlusion"
            )
        return self._across(self.map(self._across(values.unsqueeze(-1)))).squeeze(-1)

    def _across(self, maps: Tensor) -> Tensor:
        return maps.transpose(2, 3) if self.turned else maps


def is_shown(network: nn.Module) -> bool:
    """Return whether a network's layers have to be shown as maps: it takes waveforms, or works on tokens."""
    return takes_waveforms(network) or getattr(network, "tokens", None) is not None


def refuse_shown(method: str, network: nn.Module, name: str) -> None:
    """Refuse a layer that a network does not have, or hides.

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
    if getattr(network, "tokens", None) is not None:
        refuse_layer(method, network, name, (nn.LayerNorm,), "layers of tokens")
    else:
        refuse_layer(method, network, name, KINDS, "layers over time")
    if any(isinstance(module, torch.jit.ScriptModule) for module in network.modules()):
        raise UsageError(f"{method}: torch.jit compiled the network, which hides its layers; use lime or occlusion")


def showing(network: nn.Module, name: str) -> nn.Module:
    """Return a copy of a network whose layer ``name`` shows a map, in its part :data:`MAP`.

    Weights are shared, and the network is not changed. A layer whose output is no map raises a UsageError when the copy
    runs.
    """
    copied = frozen_copy(network).eval()
    parent, _, last = name.rpartition(".")
    turned = not takes_waveforms(network) and getattr(network, "map_axes", ("time",))[0] == "frequency"
    layer = copied.get_submodule(name)
    shown = Shown(layer, shown_name(network, name), getattr(network, "tokens", None), turned=turned)
    # Who collects the layer's outputs (a weighted sum over blocks does) is to get what has passed by.
    shown._forward_hooks, layer._forward_hooks = layer._forward_hooks, shown._forward_hooks
    setattr(copied.get_submodule(parent), last, shown)
    return copied
