"""Whether a network is still the one that something was found out about: told in a thousandth of a second."""

from __future__ import annotations

import math
import weakref
from typing import Any

import torch
from torch import Tensor, nn

from earwitness.explainers.inference.modules import parts

SAMPLED = 4096  # numbers of a weight that are looked at


class Seal:
    """What tells whether a network has changed: its modules, who watches them, and of each weight where and what it is.

    Large weights are looked at in thousands of places each, all weights in one sum. Whatever is changed through
    PyTorch itself also counts up the weight's version. The network itself is not held, only its weights, so that no
    other weights can take their place in memory.

    Parameters
    ----------
    network
        The network as it is now.
    """

    def __init__(self, network: nn.Module) -> None:
        modules = parts(network)
        self.free = untouched(modules)
        self._places = _places(modules)
        self._modules = [weakref.ref(module) for module in modules]
        self._some: dict[torch.device, list[Tensor]] = {}
        self._held = _weights(modules)
        self._lying = [_lying(weight) for weight in self._held]
        with torch.inference_mode():
            for weight in self._held:
                self._some.setdefault(weight.device, []).append(_some(weight))
        self._sums = self._summed()

    def holds(self, network: nn.Module) -> bool:
        """Tell whether the network, which has to be the same object, is as it was."""
        modules = parts(network)
        return self.free == untouched(modules) and self._places == _places(modules) and self._sums == self._summed()

    def fits(self, network: nn.Module) -> bool:
        """Tell whether the network consists of the same modules and weights, whatever these have learned since."""
        modules = parts(network)
        weights = _weights(modules)
        return (
            len(modules) == len(self._modules)
            and all(known() is module for known, module in zip(self._modules, modules, strict=True))
            and self.free == untouched(modules)
            and len(weights) == len(self._held)
            and all(known is weight for known, weight in zip(self._held, weights, strict=True))
            and self._lying == [_lying(weight) for weight in weights]
        )

    def _summed(self) -> list[float]:
        """Return two sums over some of the weights' numbers, the second of which a new order changes."""
        sums = []
        with torch.inference_mode():
            for device, some in self._some.items():
                numbers = torch.cat(some).double()
                places = torch.arange(1, len(numbers) + 1, dtype=torch.float64, device=device)
                sums += [float(numbers.sum()), float(numbers @ places)]
        return sums


def untouched(modules: list[nn.Module]) -> bool:
    """Tell whether nobody watches modules, or answers for them."""
    return not any(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or "forward" in module.__dict__
        for module in modules
    )


def _weights(modules: list[nn.Module]) -> list[Tensor]:
    held = [weight for module in modules for weight in (*module._parameters.values(), *module._buffers.values())]
    return [weight for weight in held if weight is not None]


def _places(modules: list[nn.Module]) -> list[Any]:
    """Return which modules there are, how the numbers of their weights lie, and how often they were changed."""
    weights = [
        (id(each), each.data_ptr(), each.shape, each.stride(), 0 if each.is_inference() else each._version)
        for each in _weights(modules)
    ]
    # Weak references, because a new module may get the id of one that is gone.
    return [*[(weakref.ref(module), type(module)) for module in modules], *weights]


def _lying(weight: Tensor) -> tuple[Any, ...]:
    return weight.data_ptr(), weight.shape, weight.stride()


def _some(weight: Tensor) -> Tensor:
    """Return some of a weight's numbers, shape (count,), where they lie."""
    if weight.is_complex():
        weight = torch.view_as_real(weight)
    # In the order of memory, whatever the layout: nothing is copied.
    lengths = ((size - 1) * stride for size, stride in zip(weight.shape, weight.stride(), strict=True))
    reach = 1 + sum(lengths) if weight.numel() else 0
    step = max(1, reach // SAMPLED)
    while math.gcd(step, reach) > 1 and step > 1:
        step += 1  # else whole rows or columns would never be looked at
    return weight.as_strided((reach // step,), (step,))
