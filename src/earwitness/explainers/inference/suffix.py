"""The part of a network after a layer, run by itself: what came before is computed once and remembered."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from earwitness.audio.segments import Segments
from earwitness.explainers.inference.hooks import answering, hookable
from earwitness.explainers.inference.layers import Layer
from earwitness.explainers.inference.scoring import as_input, logits_of

# Numbers in the layer's maps of one batch.
PROCESSOR_NUMBERS = 6_000_000
ACCELERATOR_NUMBERS = 200_000_000
# The rest is run by itself only where it answers the whole network's logits to this share of their size.
AGREEMENT = 1e-4


class Rest:
    """A network from a layer's output on, for some segments.

    One pass through the whole network remembers what every module answered that had finished before the layer. In
    later passes these modules do not run: they answer not-a-numbers, or, where these reach the logits, what they
    answered for the segment in question. So a shortcut around the layer stays what it was, and only what follows the
    layer is computed anew. A trial with the segments' own maps shows whether the logits come out the same; where they
    do not (a network that changes its tensors in place between modules), modules before the layer are run again each
    time, which is slow and right.

    Parameters
    ----------
    layer
        The layer.
    segments
        At least one.

    Attributes
    ----------
    maps
        The layer's output, shape (n, channels, H, W).
    scores
        The whole network's logits, shape (n, classes).
    alone
        Whether the rest runs by itself.
    """

    def __init__(self, layer: Layer, segments: Segments) -> None:
        self.layer, self.module = layer, layer.module(segments)
        self.x = as_input(layer.classifier, segments.values)
        self._given, self._memory = self.x, dict[nn.Module, Tensor]()
        self.maps, self.scores = self._remember(segments)
        self.alone = self._tried()

    def logits(self, maps: Tensor, rows: Tensor) -> Tensor:
        """Return the logits, shape (n, classes), of other outputs of the layer.

        Parameters
        ----------
        maps
            Shape (n, channels, H, W).
        rows
            Which of the segments each belongs to, shape (n,).
        """
        with ExitStack() as stubs:
            stubs.enter_context(answering(self.module, maps))
            for module, output in self._memory.items():
                stubs.enter_context(answering(module, _of(output, rows)))
            x = self.x[rows] if self._given is self.x else _of(self._given, rows)
            return logits_of(self.layer.classifier, x)

    @property
    def rows(self) -> int:
        """How many maps to run at once."""
        numbers = PROCESSOR_NUMBERS if self.x.device.type == "cpu" else ACCELERATOR_NUMBERS
        return max(1, numbers // max(self.maps[0].numel(), self.x[0].numel()))

    def _remember(self, segments: Segments) -> tuple[Tensor, Tensor]:
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
            if module is not self.module and isinstance(output, Tensor) and output.ndim and len(output) == len(self.x):
                self._memory[module] = output

        # What torch.jit has compiled takes no hooks; it runs in every pass.
        modules = [module for _, module in hookable(self.layer.classifier.network)]
        handles = [module.register_forward_pre_hook(before) for module in modules]
        handles += [module.register_forward_hook(after) for module in modules]
        try:
            logits = logits_of(self.layer.classifier, self.x.clone())  # which a network may change in place
        finally:
            for handle in handles:
                handle.remove()
        self._memory = {module: output for module, output in self._memory.items() if calls[module] == 1}
        return self.layer.maps_of(seen, segments), logits

    def _tried(self) -> bool:
        """Tell whether the rest runs by itself; choose what the modules before the layer answer from now on."""
        remembered = self._memory
        self._memory = {module: _nothing(output) for module, output in remembered.items()}
        self._given = _nothing(self.x)
        try:
            if self._agrees():
                return True
            self._memory, self._given = remembered, self.x
            if self._agrees():
                return True
        except RuntimeError:  # such as a change in place of what stands for many rows
            pass
        self._memory, self._given = {}, self.x
        return False

    def _agrees(self) -> bool:
        ends = torch.tensor([0, len(self.x) - 1], device=self.x.device)
        gap = (self.logits(self.maps[ends], ends) - self.scores[ends]).abs().max()
        return bool(gap <= AGREEMENT * self.scores.abs().max())


def _nothing(values: Tensor) -> Tensor:
    """Return not-a-numbers in the place of values, shape (1, ...), which take no memory."""
    return values.new_full((1,), float("nan")).expand(1, *values.shape[1:])


def _of(values: Tensor, rows: Tensor) -> Tensor:
    """Return some rows of values; what stands for all rows takes no memory."""
    return values.expand(len(rows), *values.shape[1:]) if len(values) == 1 else values[rows]
