"""A training step: plain eager float32 against what a training does here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from earwitness.backbones import backbone_named
from earwitness.backbones.vggish import initialise_he
from earwitness.processor import native_bfloat16
from earwitness.recipes import EXAMPLE
from earwitness.training import make_optimiser
from measuring import Result, Setting, compared, measure

CLASSES = 10


def training_step(setting: Setting) -> list[Result]:
    """Take a training step, all layers, random segments: plain eager float32 against what a training does here."""
    return [each for name in setting.sizes.learners for each in _step(name, setting)]


def _step(name: str, setting: Setting) -> list[Result]:
    line, size = backbone_named(name), setting.sizes.batch
    random = torch.Generator().manual_seed(0)
    values = torch.randn(size, line.front_end.segment_frames, line.front_end.bands, generator=random)
    labels = torch.randint(CLASSES, (size,), generator=random)
    plain, ours = _network(line.name), _network(line.name)
    adam = torch.optim.Adam(plain.parameters(), lr=EXAMPLE.learning_rate, foreach=False, fused=False)
    ours.to(memory_format=torch.channels_last)
    fused = make_optimiser(ours, EXAMPLE, freeze=False)
    precision = "bfloat16" if native_bfloat16() else "float32"

    def step(network: nn.Module, optimiser: torch.optim.Optimizer, precision: str) -> Callable[[], object]:
        autocast = torch.autocast("cpu", dtype=torch.bfloat16) if precision == "bfloat16" else nullcontext()

        def once() -> None:
            optimiser.zero_grad(set_to_none=True)
            with autocast:
                logits = network(values)
            functional.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
            optimiser.step()

        return once

    ways = [step(plain, adam, "float32"), step(ours, fused, precision)]
    seconds = measure(ways, setting.sizes.repetitions)
    title = SPOKEN.get(line.name, line.name)
    names = (f"{title} step, plain float32", f"{title} step, earwitness ({precision})")
    return compared(names, f"batch of {size}, {torch.get_num_threads()} threads", seconds)


SPOKEN = {"vggish": "VGGish"}


def _network(name: str) -> Any:
    network = backbone_named(name).build(CLASSES)
    initialise_he(network, 0)
    return network.train()
