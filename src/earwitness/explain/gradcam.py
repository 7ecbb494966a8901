"""Grad-CAM: Selvaraju et al., *Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization*.

ICCV 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from earwitness.errors import UsageError
from earwitness.explain.attribution import Attribution, Grid, Target
from earwitness.explain.model import (
    SCORE_KINDS,
    Cost,
    Explainable,
    Found,
    activated,
    as_input,
    attribution_of,
    batch_size,
    check_request,
    check_scores,
    evaluation_mode,
    logits_of,
    stopwatch,
    target_scores,
)
from earwitness.explain.parameters import check, choice, parameter, text, truth
from earwitness.progress import Progress, Silent
from earwitness.segments import Segments

FloatArray = npt.NDArray[np.float64]
# How many layers an error message names; the last ones are the likeliest choices.
LAYERS_NAMED = 6


@dataclass(frozen=True)
class GradCam:
    """Grad-CAM: each channel of a layer's map, weighted by the mean gradient of the score over that channel.

    The score before the softmax is the paper's choice (its section 3) and the default. Networks that saturate have
    next to no gradient after the softmax, which is ``score="probability"``.

    Parameters
    ----------
    layer
        Dotted name of the module whose output is weighted; ``""`` for the network's own ``feature_layer``.
    score
        ``"logit"`` (before the activation) or ``"probability"`` (after it).
    relu
        Whether to keep positive evidence only, as the paper does.
    """

    name: ClassVar[str] = "gradcam"
    title: ClassVar[str] = "Grad-CAM"
    paper: ClassVar[str] = "Selvaraju et al., ICCV 2017"
    cost: ClassVar[str] = "1 forward, and 1 backward per target from the layer up"

    layer: str = parameter("", text, "layer whose map is weighted; empty for the network's own choice")
    score: str = parameter("logit", choice(*SCORE_KINDS), "score that is explained: logit or probability")
    relu: bool = parameter(False, truth, "keep positive evidence only, as the paper does")

    def __post_init__(self) -> None:
        check(self)

    def attribute(
        self,
        classifier: Explainable,
        segments: Segments,
        targets: Sequence[Sequence[Target]],
        progress: Progress | None = None,
    ) -> list[Attribution]:
        """Explain segments.

        Parameters
        ----------
        classifier
            What made the decision.
        segments
            The excerpts to explain.
        targets
            Per segment, what to explain; all come from one forward pass.
        progress
            Told how far the work has come.

        Returns
        -------
        One attribution per segment and target, the first segment's first.

        Raises
        ------
        UsageError
            If the layer is unknown or its output is not a map, or a target is out of range.
        EarwitnessError
            If the network's score is not a number.
        """
        check_request(classifier, segments, targets)
        size = batch_size(classifier, *segments.values.shape[1:])
        found: list[Attribution] = []
        with (progress or Silent()).task(self.title, len(segments)) as advance:
            for start in range(0, len(segments), size):
                rows = list(range(start, min(start + size, len(segments))))
                found += self._batch(classifier, segments.take(rows), [targets[row] for row in rows])
                advance(len(rows))
        return found

    def _batch(
        self, classifier: Explainable, segments: Segments, targets: Sequence[Sequence[Target]]
    ) -> list[Attribution]:
        seconds = stopwatch()
        layer = self.layer or str(getattr(classifier.network, "feature_layer", ""))
        maps, scores = self._maps(classifier, segments, targets, layer)
        frames, bands = segments.values.shape[1:]
        grid = Grid.even(frames, bands, *maps[0].shape[1:])
        each = seconds(len(segments))
        found = []
        for index, listed in enumerate(targets):
            check_scores(scores[index], classifier, segments, index)
            own = target_scores(scores[index : index + 1], listed)[0]
            for position, target in enumerate(listed):
                native = maps[index][position]
                score = float(own[position])
                result = Found(native, grid.spread(native), grid, score, settled={"layer": layer})
                cost = Cost(1, len(listed), each)
                found.append(attribution_of(self, classifier, segments, index, target, result, cost))
        return found

    def _maps(
        self, classifier: Explainable, segments: Segments, targets: Sequence[Sequence[Target]], layer: str
    ) -> tuple[list[npt.NDArray[Any]], FloatArray]:
        """Return per segment its maps (targets, rows, columns), time first, and all class scores (n, classes)."""
        network = classifier.network
        module = _module(classifier, layer, segments)
        # Leaving inference mode lets a caller stand inside it.
        with evaluation_mode(network), torch.inference_mode(False):
            seen, logits = _forward(classifier, module, as_input(classifier, segments.values))
            leaf = _leaf(classifier, seen, layer, segments)
            with torch.enable_grad():
                scores = activated(logits, self.score, classifier.activation)
                cams = _weighted(leaf, scores, targets)
        if tuple(getattr(network, "map_axes", ("time", "frequency"))) == ("frequency", "time"):
            cams = [cam.transpose(1, 2) for cam in cams]
        copies_of: Callable[[int], int] | None = getattr(network, "copies", None)
        copies = 1 if copies_of is None else copies_of(segments.values.shape[1])
        if copies > 1:
            # Each copy of a moment is evidence of its own, and their evidence adds up.
            cams = [cam.reshape(len(cam), copies, -1, cam.shape[-1]).sum(dim=1) for cam in cams]
        if self.relu:
            cams = [cam.clamp(min=0) for cam in cams]
        return [cam.float().cpu().numpy() for cam in cams], scores.detach().cpu().double().numpy()


def _forward(classifier: Explainable, module: nn.Module, x: Tensor) -> tuple[list[Any], Tensor]:
    """Run the network with a graph that begins at a module's output; return the outputs seen and the logits."""
    seen: list[Any] = []

    def begin(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if not _is_map(output):
            seen.append(output)
            return output
        leaf = output.detach().requires_grad_()
        seen.append(leaf)
        torch.set_grad_enabled(True)  # until the no_grad block around the network ends
        # A copy goes on, so that a following in-place layer cannot change the map that is weighted.
        return leaf.clone()

    handle = module.register_forward_hook(begin)
    try:
        with torch.no_grad():
            return seen, logits_of(classifier, x)
    finally:
        handle.remove()


def _weighted(leaf: Tensor, scores: Tensor, targets: Sequence[Sequence[Target]]) -> list[Tensor]:
    """Return per segment its maps (targets, H, W): channels weighted by their mean gradients.

    The n-th targets of all segments go through one backward pass: segments do not meet inside the network, so the
    gradient of the sum is each one's own.
    """
    most = max((len(listed) for listed in targets), default=0)
    cams: list[list[Tensor]] = [[] for _ in targets]
    for position in range(most):
        rows = [row for row, listed in enumerate(targets) if len(listed) > position]
        chosen = [targets[row][position] for row in rows]
        total = scores[rows, [target.index for target in chosen]].sum()
        against = [
            (row, target.against) for row, target in zip(rows, chosen, strict=True) if target.against is not None
        ]
        if against:
            total = total - scores[[row for row, _ in against], [index for _, index in against]].sum()
        gradient = _gradient(total, leaf, again=position + 1 < most)
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        cam = (weights * leaf.detach()).sum(dim=1)
        for row in rows:
            cams[row].append(cam[row])
    none = leaf.detach()[0, :0]
    return [torch.stack(listed) if listed else none for listed in cams]


def _gradient(total: Tensor, leaf: Tensor, *, again: bool) -> Tensor:
    if not total.requires_grad:  # the layer has no part in the score
        return torch.zeros_like(leaf)
    (gradient,) = torch.autograd.grad(total, leaf, retain_graph=again, allow_unused=True)
    return torch.zeros_like(leaf) if gradient is None else gradient


def _module(classifier: Explainable, layer: str, segments: Segments) -> nn.Module:
    modules: dict[str, nn.Module] = dict(classifier.network.named_modules())
    if layer in modules and layer:
        return modules[layer]
    problem = f"layer '{layer}' is unknown" if layer else "the network names no feature_layer"
    raise UsageError(f"gradcam: {problem}; {_advice(classifier, segments)}")


def _leaf(classifier: Explainable, seen: list[Any], layer: str, segments: Segments) -> Tensor:
    if len(seen) != 1:
        problem = f"layer '{layer}' is used {len(seen)} times in one pass, so its map is not one"
    elif not _is_map(seen[0]):
        shape = tuple(seen[0].shape[1:]) if isinstance(seen[0], Tensor) else type(seen[0]).__name__
        problem = f"layer '{layer}' has no map of time and frequency (its output is {shape})"
    else:
        leaf: Tensor = seen[0]
        return leaf
    raise UsageError(f"gradcam: {problem}; {_advice(classifier, segments)}")


def _is_map(output: Any) -> bool:
    return (
        isinstance(output, Tensor)
        and output.is_floating_point()
        and output.ndim == 4
        and output.shape[2] * output.shape[3] > 1
    )


def _advice(classifier: Explainable, segments: Segments) -> str:
    layers = map_layers(classifier, segments)
    if not layers:
        return "no layer of this network has such a map, so use lime or occlusion"
    named = ", ".join(f"{name} ({rows}x{columns})" for name, (rows, columns) in layers[-LAYERS_NAMED:])
    earlier = len(layers) - LAYERS_NAMED
    return f"these would do: {named}" + (f" and {earlier} earlier ones" if earlier > 0 else "")


def map_layers(classifier: Explainable, segments: Segments) -> list[tuple[str, tuple[int, int]]]:
    """Return the layers that Grad-CAM can look at, in the order they run, with the size of their maps.

    Parameters
    ----------
    classifier
        Whose network is looked at.
    segments
        The first one is put through the network.
    """
    network = classifier.network
    found: dict[str, list[Any]] = {}
    handles = [
        module.register_forward_hook(lambda _m, _i, output, name=name: found.setdefault(name, []).append(output))
        for name, module in network.named_modules()
        if name and not any(module.children())
    ]
    try:
        with evaluation_mode(network), torch.inference_mode():
            network(as_input(classifier, segments.values[:1]))
    finally:
        for handle in handles:
            handle.remove()
    single = {name: outputs[0] for name, outputs in found.items() if len(outputs) == 1}
    return [(name, (output.shape[2], output.shape[3])) for name, output in single.items() if _is_map(output)]
