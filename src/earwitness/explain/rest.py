"""The part of a network after a layer, run by itself: what came before is computed once and remembered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from earwitness.explain.featuremaps import Layer
from earwitness.explain.model import as_input, logits_of
from earwitness.segments import Segments

# Numbers in the layer's maps of one batch.
PROCESSOR_NUMBERS = 6_000_000
ACCELERATOR_NUMBERS = 200_000_000
# The rest is run by itself only where it answers the whole network's logits to this share of their size.
AGREEMENT = 1e-4


class Rest:
    """A network from a layer's output on, for one segment.

    One pass through the whole network remembers what every module answered that had finished before the layer; in
    later passes these modules answer from memory, for as many rows as there are maps. So a shortcut around the layer
    stays what it was, and only what follows the layer is computed anew. A trial with the segment's own maps shows
    whether the logits come out the same; where they do not (a network that changes its tensors in place between
    modules), modules before the layer are run again each time, which is slow and right.

    Parameters
    ----------
    layer
        The layer.
    segment
        One segment.

    Attributes
    ----------
    maps
        The layer's output, shape (channels, H, W).
    scores
        The whole network's logits, shape (1, classes).
    alone
        Whether the rest runs by itself.
    """

    def __init__(self, layer: Layer, segment: Segments) -> None:
        self.layer, self.module = layer, layer.module(segment)
        self.x = as_input(layer.classifier, segment.values)
        self._memory: dict[nn.Module, Tensor] = {}
        whole, self.scores = self._remember(segment)
        self.maps = whole[0]
        self.alone = self._agrees(whole)
        if not self.alone:
            self._memory = {}

    def logits(self, maps: Tensor) -> Tensor:
        """Return the logits, shape (n, classes), of other outputs of the layer, shape (n, channels, H, W)."""
        count = len(maps)
        with ExitStack() as stubs:
            stubs.enter_context(answering(self.module, maps))
            for module, output in self._memory.items():
                stubs.enter_context(answering(module, output.expand(count, *output.shape[1:])))
            return logits_of(self.layer.classifier, self.x.repeat(count, 1, 1))

    @property
    def rows(self) -> int:
        """How many maps to run at once."""
        numbers = PROCESSOR_NUMBERS if self.x.device.type == "cpu" else ACCELERATOR_NUMBERS
        return max(1, numbers // self.maps.numel())

    def _remember(self, segment: Segments) -> tuple[Tensor, Tensor]:
        """Run the whole network once, filling the memory; return the layer's output and the logits."""
        seen: list[Any] = []
        calls: Counter[nn.Module] = Counter()

        def before(module: nn.Module, _inputs: Any) -> None:
            calls[module] += 1

        def after(module: nn.Module, _inputs: Any, output: Any) -> None:
            if module is self.module:
                seen.append(output.clone() if isinstance(output, Tensor) else output)
            if seen and module is not self.module:
                return
            for part in module.modules():  # what is inside a finished module is never asked again
                self._memory.pop(part, None)
            if module is not self.module and isinstance(output, Tensor) and output.ndim and len(output) == 1:
                self._memory[module] = output

        handles = [module.register_forward_pre_hook(before) for module in self.layer.classifier.network.modules()]
        handles += [module.register_forward_hook(after) for module in self.layer.classifier.network.modules()]
        try:
            logits = logits_of(self.layer.classifier, self.x)
        finally:
            for handle in handles:
                handle.remove()
        self._memory = {module: output for module, output in self._memory.items() if calls[module] == 1}
        return self.layer.maps_of(seen, segment), logits

    def _agrees(self, maps: Tensor) -> bool:
        try:
            again = self.logits(torch.cat([maps, maps]))
        except RuntimeError:
            return False
        gap = (again - self.scores).abs().max()
        return bool(gap <= AGREEMENT * self.scores.abs().max())


@contextmanager
def answering(module: nn.Module, answer: Tensor | Callable[..., Tensor]) -> Iterator[None]:
    """Let a module answer one tensor, or what a function returns, whatever it is asked."""
    own = module.__dict__.get("forward")
    module.__dict__["forward"] = (lambda *_inputs, **_named: answer) if isinstance(answer, Tensor) else answer
    try:
        yield
    finally:
        if own is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = own
