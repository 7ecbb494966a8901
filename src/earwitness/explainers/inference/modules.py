"""A network's modules: all of them, their modes, their number format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def out_of_place(network: nn.Module) -> Iterator[None]:
    """Hold modules back from changing their input in place, which gradients and hooks of other methods trip over."""
    held = [module for module in network.modules() if getattr(module, "inplace", False) is True]
    for module in held:
        module.inplace = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for module in held:
            module.inplace = True  # type: ignore[assignment]


def parts(network: nn.Module) -> list[nn.Module]:
    """Return a network and all modules in it, each once; in a fifth of the time that ``modules()`` takes."""
    found = {network: None}
    waiting = [network]
    while waiting:
        for part in waiting.pop()._modules.values():
            if part is not None and part not in found:
                found[part] = None
                waiting.append(part)
    return list(found)


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Hold every module in evaluation mode, and give each back the mode that it had."""
    before = [(module, module.training) for module in parts(network)]
    if any(training for _, training in before):
        network.eval()
    try:
        yield
    finally:
        for module, training in before:
            if module.training != training:  # to set what a module has already takes most of the time
                module.training = training


def arithmetic(network: nn.Module) -> torch.dtype:
    """Return the number format of a network's weights (float32 where it has none)."""
    formats = (weight.dtype for weight in network.parameters() if weight.is_floating_point())
    return next(formats, torch.float32)


def precision_of(network: nn.Module) -> str:
    """Return the name of :func:`arithmetic`, such as ``"float32"``."""
    return str(arithmetic(network)).removeprefix("torch.")
