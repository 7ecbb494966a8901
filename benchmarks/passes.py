"""Passes through networks without gradients: as they are, compiled, and as methods that need many make them ready."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from earwitness.core.processor import native_bfloat16
from earwitness.explainers.inference.fused import frozen, lay_channels_last, twin_of
from earwitness.explainers.inference.optimised import BFLOAT16, FLOAT32, swift
from earwitness.explainers.inference.prepared import Prepared
from measuring import Result, Setting, SkippedError, compared, measure, threads
from subjects import subjects

COMPILED = 16  # the size of batch for which networks are compiled, as each takes minutes
OURS = "earwitness"
PLAIN = "folded, channels last"


def passes(setting: Setting) -> list[Result]:
    """Pass segments through networks of random weights without gradients: as they are, and as methods use them.

    `folded, channels last` is a copy with batch norms folded into convolutions, whose weights PyTorch lays; `compiled`
    is `torch.compile` with freezing, whose start is told beside it; `earwitness` is the copy with packed weights and
    fused activations.
    """
    if setting.device.type != "cpu":
        raise SkippedError("these ways are a processor's")
    return [each for number in setting.threads for each in _with_threads(setting, number)]


def _with_threads(setting: Setting, number: int) -> Iterator[Result]:
    with threads(number), torch.inference_mode():
        networks = tuple(dict.fromkeys((*setting.sizes.networks, "compact")))
        for subject in subjects(replace(setting, models={}, sizes=replace(setting.sizes, networks=networks))):
            prepared = Prepared(subject.classifier)
            for precision in (FLOAT32, BFLOAT16) if native_bfloat16() else (FLOAT32,):
                ready = swift(prepared, subject.segments.take([0]), precision)
                if ready.precision != precision:
                    setting.say(f"{subject.name}: bfloat16 is too rough for its random weights")
                    continue
                for batch in setting.sizes.passes:
                    x = torch.as_tensor(subject.segments.values[:1]).repeat(batch, 1, 1)
                    known = _known(setting, prepared.network, x, precision, compiled=_compiles(setting, number, batch))
                    ways: dict[str, Callable[[], object]] = {**known, OURS: partial(ready.logits, x)}
                    seconds = measure(list(ways.values()), setting.sizes.repetitions)
                    of = f"{subject.name}, {precision}, {number} thread{'s' * (number > 1)}, batch of {batch}"
                    yield from compared(list(ways), of, seconds)


def _compiles(setting: Setting, number: int, batch: int) -> bool:
    if number != max(setting.threads) or batch != COMPILED:
        return False
    if shutil.which("c++") is None:
        setting.say("compiled: not measured, for there is no C++ compiler")
        return False
    return True


def _known(
    setting: Setting, network: nn.Module, x: Tensor, precision: str, *, compiled: bool
) -> dict[str, Callable[[], object]]:
    """Return the ways that PyTorch has by itself."""
    folded = twin_of(network)
    lay_channels_last(folded)
    if precision == BFLOAT16:
        for module in folded.modules():
            if isinstance(module, nn.Conv2d):
                module.weight = frozen(module.weight.bfloat16())
                module.bias = None if module.bias is None else frozen(module.bias.bfloat16())

    def autocast() -> AbstractContextManager[Any]:
        return torch.autocast("cpu", torch.bfloat16, cache_enabled=False) if precision == BFLOAT16 else nullcontext()

    def run(way: Callable[[Tensor], object]) -> Callable[[], object]:
        def once() -> object:
            with autocast():
                return way(x)

        return once

    ways = {"network": run(network), PLAIN: run(folded)}
    if compiled:
        begun = time.perf_counter()
        try:
            with torch._inductor.config.patch(freezing=True):
                made = torch.compile(network)
                run(made)()
        except Exception as problem:  # whatever a compiler may raise: the others are measured all the same
            setting.say(f"compiled: failed ({type(problem).__name__})")
            return ways
        setting.say(f"compiled: {precision} took {time.perf_counter() - begun:.0f} s to start for one size of batch")
        ways["compiled"] = run(made)
    return ways
