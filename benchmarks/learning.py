"""A training step: plain eager float32 against what a training does here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from earwitness.core.processor import native_bfloat16
from earwitness.models.network import Network
from earwitness.models.registry import backbone_named
from earwitness.models.vggish import initialise_he
from earwitness.training.folded_norms import folded
from earwitness.training.loop import make_optimiser
from earwitness.training.recipes import Recipe, recipe_named
from measuring import Result, Setting, compared, measure

CLASSES = 10
SPOKEN = {"vggish": "VGGish"}


def training_step(setting: Setting) -> list[Result]:
    """Training steps, all layers, random segments: plain eager float32 against what a training does here.

    The recipe says how large a batch is, whether batch norms keep their published means and spreads (`best`), and how
    often a segment is heard. A network without batch norms is also measured in bfloat16, where that is native, which
    `--precision auto` takes; mn04 learns in float32.
    """
    results = []
    for name, recipe in setting.sizes.lessons:
        results += _lesson(setting, name, recipe)
    return results


def _lesson(setting: Setting, name: str, recipe_name: str) -> list[Result]:
    line, recipe = backbone_named(name), recipe_named(recipe_name)
    size = setting.sizes.batch or recipe.batch
    random = torch.Generator().manual_seed(0)
    values = torch.randn(size, line.front_end.segment_frames, line.front_end.bands, generator=random)
    labels = torch.randint(CLASSES, (size,), generator=random)
    plain, ours = _network(name, recipe), _network(name, recipe)
    adam = torch.optim.Adam(plain.parameters(), lr=recipe.learning_rate, foreach=False, fused=False)
    ours.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fused = make_optimiser(ours, recipe, freeze=False)
    learner = _learning(folded(ours, values[:2]), recipe) if recipe.keep_norms else ours
    precision = "bfloat16" if native_bfloat16() and not _norms(plain) else "float32"

    ways = [_step(plain, adam, values, labels, "float32"), _step(learner, fused, values, labels, precision)]
    seconds = measure(ways, setting.sizes.repetitions)
    title = SPOKEN.get(name, name)
    names = (f"{title} step, plain float32", f"{title} step, earwitness ({precision})")
    return compared(names, f"recipe {recipe_name}, batch of {size}, {torch.get_num_threads()} threads", seconds)


def _step(
    network: nn.Module, optimiser: torch.optim.Optimizer, values: Tensor, labels: Tensor, precision: str
) -> Callable[[], object]:
    autocast = torch.autocast("cpu", dtype=torch.bfloat16) if precision == "bfloat16" else nullcontext()

    def once() -> None:
        optimiser.zero_grad(set_to_none=True)
        with autocast:
            logits = network(values)
        functional.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return once


def _network(name: str, recipe: Recipe) -> Network:
    network = backbone_named(name).build(CLASSES)
    initialise_he(network, 0)
    if isinstance(repeats := getattr(network, "repeats", None), Tensor):
        repeats.fill_(recipe.repeats)
    return _learning(network, recipe)


def _learning(network: Network, recipe: Recipe) -> Network:
    """Return a network in the mode that it learns in."""
    network.train()
    if recipe.keep_norms:
        for norm in _norms(network):
            norm.eval()
    return network


def _norms(network: nn.Module) -> list[Any]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
