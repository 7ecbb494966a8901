"""What explainers need of a classifier, and what they do with it alike: modes, scores, targets, results.

Explainers see a classifier only through :class:`Explainable`, so any network over a spectrogram can be explained that
comes with these few attributes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from earwitness.audio.segments import Segments
from earwitness.audio.timefreq import Clock
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.explainers.attribution import (
    CONSTANT,
    NOT_CONVERGED,
    PADDED,
    SILENT,
    Attribution,
    Grid,
    Target,
    is_constant,
    is_silent,
)
from earwitness.explainers.parameters import in_force

SCORE_KINDS = ("logit", "probability")

# Cells of log-mel in one batch. On a processor a small batch keeps the feature maps in the caches; an accelerator
# wants work enough for all of it at once.
PROCESSOR_CELLS = 200_000
ACCELERATOR_CELLS = 6_000_000


class ListeningFrontEnd(Protocol):
    """What explainers need of a front end."""

    @property
    def silence(self) -> float:
        """The log-mel value of a silent cell."""
        ...

    @property
    def clock(self) -> Clock:
        """The grid of time and frequency."""
        ...


class Explainable(Protocol):
    """What explainers need of a classifier.

    The network maps (n, frames, bands) to logits (n, classes), each row by itself. It may have ``feature_layer``
    (dotted name of the module that activation maps look at), ``map_axes`` (what the last two axes of a feature
    map mean) and ``copies(frames)`` (how many times in a row it hears a segment, which its feature maps then show).
    """

    @property
    def network(self) -> nn.Module:
        """The network."""
        ...

    @property
    def front_end(self) -> ListeningFrontEnd:
        """The front end."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        ...

    @property
    def activation(self) -> str:
        """``"softmax"`` or ``"sigmoid"``."""
        ...

    @property
    def device(self) -> torch.device | str:
        """Where the network's weights are."""
        ...


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


def as_input(classifier: Explainable, values: npt.NDArray[np.float32]) -> Tensor:
    """Return log-mel segments (n, frames, bands) as the network takes them: its device, its number format."""
    return torch.as_tensor(values).to(device=classifier.device, dtype=arithmetic(classifier.network))


def batch_size(classifier: Explainable, frames: int, bands: int) -> int:
    """Return how many segments to put through the network at once."""
    if torch.device(classifier.device).type == "cpu":
        return max(1, PROCESSOR_CELLS // max(1, frames * bands))
    # A power of two, so that few sizes of batches come up (:func:`earwitness.core.device.filled_up`).
    return 1 << (max(1, ACCELERATOR_CELLS // max(1, frames * bands)).bit_length() - 1)


def logits_of(classifier: Explainable, x: Tensor, network: nn.Module | None = None) -> Tensor:
    """Return the network's logits, shape (n, classes), checked for shape.

    Parameters
    ----------
    classifier
        Its network answers.
    x
        Shape (n, frames, bands).
    network
        A copy that answers in the network's stead.

    Raises
    ------
    EarwitnessError
        If the network's answer is not one number per segment and class.
    """
    logits = (classifier.network if network is None else network)(x)
    expected = (x.shape[0], len(classifier.classes))
    if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise EarwitnessError(f"the network answered {found} where {expected} was expected; match it to its classes")
    return logits


def activated(logits: Tensor, kind: str, activation: str) -> Tensor:
    """Return class scores of one kind, shape (n, classes), of logits; gradients pass through.

    Parameters
    ----------
    logits
        Class scores before the activation, shape (n, classes).
    kind
        ``"logit"`` or ``"probability"``.
    activation
        What turns logits into probabilities: ``"softmax"`` or ``"sigmoid"``.
    """
    if kind == "logit":
        return logits
    return logits.softmax(dim=-1) if activation == "softmax" else logits.sigmoid()


def target_scores(scores: npt.NDArray[np.float64], targets: Sequence[Target]) -> npt.NDArray[np.float64]:
    """Return each target's score, shape (n, targets), of class scores, shape (n, classes).

    A contrastive target's score is the difference of its two classes' scores.
    """
    found = scores[:, [target.index for target in targets]]
    for column, target in enumerate(targets):
        if target.against is not None:
            found[:, column] -= scores[:, target.against]
    return found


def check_request(classifier: Explainable, segments: Segments, targets: Sequence[Sequence[Target]]) -> None:
    """Refuse targets that do not fit the segments or the classes, and segments of what is not a number.

    Raises
    ------
    UsageError
        If there is not one list of targets per segment, or a target names no class.
    EarwitnessError
        If a segment holds NaN or infinite numbers.
    """
    if len(targets) != len(segments):
        raise UsageError(f"{len(targets)} lists of targets for {len(segments)} segments; give one list per segment")
    count = len(classifier.classes)
    for target in {target for listed in targets for target in listed}:
        for index in (target.index, target.against):
            if index is not None and not 0 <= index < count:
                raise UsageError(f"target {index} is out of range; the classifier's classes are 0 to {count - 1}")
        if target.index == target.against:
            name = classifier.classes[target.index]
            raise UsageError(f"target '{name}' is contrasted with itself; name another class")
    check_values(classifier, segments)


def place_of(classifier: Explainable, segments: Segments, index: int) -> str:
    """Return where a segment comes from, in words, for messages."""
    start = classifier.front_end.clock.frame_start_seconds(segments.start_frames[index])
    return f"{segments.files[index] or 'segment'} at {float(start):.2f} s"


def check_values(classifier: Explainable, segments: Segments) -> None:
    """Refuse segments that hold what is not a number, which a network may pass over in silence.

    Raises
    ------
    EarwitnessError
        Naming the first such segment.
    """
    broken = np.flatnonzero(~np.isfinite(segments.values).all(axis=(1, 2)))
    if len(broken):
        raise EarwitnessError(
            f"{place_of(classifier, segments, int(broken[0]))}: the spectrogram holds NaN or infinite numbers; compute "
            "it again"
        )


def check_scores(scores: npt.NDArray[np.float64], classifier: Explainable, segments: Segments, index: int) -> None:
    """Refuse scores that are not numbers.

    Raises
    ------
    EarwitnessError
        Naming the segment.
    """
    if not np.isfinite(scores).all():
        raise EarwitnessError(
            f"{place_of(classifier, segments, index)}: the network's score is NaN or infinite; "
            "the weights are damaged or training diverged: train again with a lower learning rate"
        )


@dataclass(frozen=True)
class Cost:
    """What the explanation of one segment took (shared by its targets); the arithmetic, where not the network's own."""

    forwards: int
    backwards: int
    seconds: float
    precision: str = ""


@dataclass(frozen=True)
class Found:
    """What a method found for one segment and one target.

    Parameters
    ----------
    native, values
        The map on the method's own cells and on the segment's grid (frames, bands).
    grid
        The method's own cells, or None where they are not a grid.
    score
        The score of the whole segment for the target.
    diagnostics
        Numbers that the method reports about itself.
    settled
        Parameters that were settled only now, such as a mask's size in cells.
    error
        Standard error of each native cell, or None where it is not known.
    converged
        Whether the error is under the tolerance that was asked for.
    """

    native: npt.NDArray[Any]
    values: npt.NDArray[Any]
    grid: Grid | None
    score: float
    diagnostics: dict[str, float] = field(default_factory=dict)
    settled: dict[str, Any] = field(default_factory=dict)
    error: npt.NDArray[Any] | None = None
    converged: bool = True


def attribution_of(
    explainer: Any,
    classifier: Explainable,
    segments: Segments,
    index: int,
    target: Target,
    found: Found,
    cost: Cost,
) -> Attribution:
    """Return the finished attribution: padding emptied, flags raised, provenance written down."""
    real = int(segments.real_frames[index])
    values, native = (np.array(array, dtype=np.float32) for array in (found.values, found.native))
    error = None if found.error is None else np.array(found.error, dtype=np.float32)
    values[real:] = 0.0
    if found.grid is None:
        native = values.copy()
    padding = slice(real, None) if found.grid is None else found.grid.beyond(real)
    native[padding] = 0.0
    if error is not None:
        error[padding] = 0.0
    none = np.zeros(0)
    start = classifier.front_end.clock.frame_start_seconds(segments.start_frames[index])
    return Attribution(
        values=values,
        native=native,
        frame_edges=none if found.grid is None else found.grid.frame_edges,
        band_edges=none if found.grid is None else found.grid.band_edges,
        target=target,
        target_label=target.label(classifier.classes),
        score=found.score,
        score_kind=explainer.score,
        method=explainer.name,
        parameters=in_force(explainer) | found.settled,
        fill=str(getattr(explainer, "fill", "")),
        seed=getattr(explainer, "seed", None),
        precision=cost.precision or precision_of(classifier.network),
        forwards=cost.forwards,
        backwards=cost.backwards,
        seconds=cost.seconds,
        diagnostics=found.diagnostics,
        flags=_flags(classifier, segments, index, values, found),
        real_frames=real,
        file=segments.files[index],
        start_seconds=float(start),
        standard_error=error,
    )


def _flags(
    classifier: Explainable, segments: Segments, index: int, values: npt.NDArray[np.float32], found: Found
) -> tuple[str, ...]:
    segment, real = segments.values[index], int(segments.real_frames[index])
    raised = {
        SILENT: is_silent(segment, real, classifier.front_end.silence),
        CONSTANT: is_constant(values, real, found.score),
        PADDED: real < segment.shape[0],
        NOT_CONVERGED: not found.converged,
    }
    return tuple(flag for flag, up in raised.items() if up)


def stopwatch() -> Callable[[int], float]:
    """Start a watch; called with a number of segments, it returns the seconds since then for each of them."""
    started = time.perf_counter()
    return lambda segments: (time.perf_counter() - started) / max(1, segments)
