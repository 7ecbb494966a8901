"""What perturbation methods share: fills, batches over hidden cells and segments, and every target from one pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from earwitness.explain.attribution import Target
from earwitness.explain.model import (
    Explainable,
    activated,
    as_input,
    batch_size,
    check_scores,
    evaluation_mode,
    logits_of,
    target_scores,
)
from earwitness.explain.parameters import UnreadableError
from earwitness.progress import Advance
from earwitness.segments import Segments

FloatArray = npt.NDArray[np.float64]
LogMel = npt.NDArray[np.float32]


# ---- fills --------------------------------------------------------------------------------------------------------


def mean_fill(segment: LogMel, real_frames: int, silence: float) -> npt.NDArray[Any]:
    """Return the mean of a segment's real cells (silence where it has none)."""
    real = segment[:real_frames]
    return np.asarray(real.mean(dtype=np.float64) if real.size else silence)


def floor_fill(segment: LogMel, real_frames: int, silence: float) -> npt.NDArray[Any]:
    """Return the front end's value of a silent cell."""
    del segment, real_frames
    return np.asarray(silence)


# A fill takes a segment (frames, bands), its real frames and the front end's silence, and returns what hidden cells
# become: one number, or an array that broadcasts to (frames, bands).
Fill = Callable[[LogMel, int, float], npt.NDArray[Any]]
FILLS: dict[str, Fill] = {"mean": mean_fill, "floor": floor_fill}


def fill(value: Any) -> str | float:
    """Read the name of a fill, or a number (the log-mel value that hidden cells take)."""
    if value in FILLS:
        return str(value)
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise UnreadableError(f"use {', '.join(FILLS)}, or a number")
    return number


def fill_values(name: str | float, segment: LogMel, real_frames: int, silence: float) -> npt.NDArray[Any]:
    """Return what the hidden cells of one segment become, broadcastable to (frames, bands)."""
    if isinstance(name, str):
        return FILLS[name](segment, real_frames, silence)
    return np.asarray(name)


# ---- one pass for all ---------------------------------------------------------------------------------------------


class Hiding(Protocol):
    """A series of perturbations. The first one hides nothing, so that it measures the whole segment."""

    @property
    def count(self) -> int:
        """How many there are."""
        ...

    def hidden(self, segment: int, start: int, stop: int) -> Tensor:
        """Return which cells perturbations ``start`` to ``stop`` hide, shape (stop - start, frames, bands), bool."""
        ...


@dataclass(frozen=True)
class Piece:
    """Perturbations ``start`` to ``stop`` of one segment."""

    segment: int
    start: int
    stop: int


def batches(segments: int, count: int, size: int) -> Iterator[list[Piece]]:
    """Divide ``count`` perturbations of each of some segments into batches of at most ``size``.

    A segment whose perturbations fill a batch is divided evenly and shares no batch, so its numbers are the same to
    the last bit whatever stands beside it; where several fit, whole segments share one.
    """
    if count > size:
        step = math.ceil(count / math.ceil(count / size))
        for segment in range(segments):
            for start in range(0, count, step):
                yield [Piece(segment, start, min(start + step, count))]
        return
    together = max(1, size // max(1, count))
    for first in range(0, segments, together):
        yield [Piece(segment, 0, count) for segment in range(first, min(first + together, segments))]


def perturbed_scores(
    classifier: Explainable,
    segments: Segments,
    targets: Sequence[Sequence[Target]],
    hiding: Hiding,
    *,
    fill: str | float,
    kind: str,
    advance: Advance,
) -> list[FloatArray]:
    """Put every perturbation of every segment through the network once and read off all targets' scores.

    Padding is never hidden: it is not evidence, and a fill would put sound where there is none.

    Parameters
    ----------
    classifier, segments, targets
        As for an explainer.
    hiding
        The perturbations.
    fill
        What hidden cells become.
    kind
        ``"logit"`` or ``"probability"``.
    advance
        Told after each batch how many network evaluations were made.

    Returns
    -------
    Per segment, shape (perturbations, targets).

    Raises
    ------
    EarwitnessError
        If a score is NaN or infinite.
    """
    frames, bands = segments.values.shape[1:]
    parts: list[list[FloatArray]] = [[] for _ in range(len(segments))]
    sheet = _Sheet(classifier, segments, fill)
    with evaluation_mode(classifier.network), torch.inference_mode():
        for batch in batches(len(segments), hiding.count, batch_size(classifier, frames, bands)):
            # Scores are taken on the processor in float64: small drops of a score near 1 keep their digits.
            logits = logits_of(classifier, sheet.perturbed(batch, hiding)).cpu().double()
            scores = activated(logits, kind, classifier.activation).numpy()
            row = 0
            for piece in batch:
                rows = scores[row : row + piece.stop - piece.start]
                check_scores(rows, classifier, segments, piece.segment)
                parts[piece.segment].append(target_scores(rows, targets[piece.segment]))
                row += len(rows)
            advance(row)
    return [np.concatenate(listed) for listed in parts]


class _Sheet:
    """The segment at hand with its fill, on the device, from which perturbed copies are made."""

    def __init__(self, classifier: Explainable, segments: Segments, name: str | float) -> None:
        self.classifier, self.segments, self.name = classifier, segments, name
        self.frames = torch.arange(segments.values.shape[1], device=classifier.device)[:, None]
        self.held: tuple[int, Tensor, Tensor] | None = None

    def segment(self, index: int) -> tuple[Tensor, Tensor]:
        if self.held is None or self.held[0] != index:
            segment, real = self.segments.values[index], int(self.segments.real_frames[index])
            filled = fill_values(self.name, segment, real, self.classifier.front_end.silence)
            tensors = as_input(self.classifier, segment), as_input(self.classifier, np.asarray(filled, np.float64))
            self.held = (index, *tensors)
        return self.held[1:]

    def perturbed(self, batch: list[Piece], hiding: Hiding) -> Tensor:
        """Return the perturbed segments of a batch, shape (rows, frames, bands)."""
        made = []
        for piece in batch:
            segment, filled = self.segment(piece.segment)
            hidden = hiding.hidden(piece.segment, piece.start, piece.stop)
            real = int(self.segments.real_frames[piece.segment])
            if real < segment.shape[0]:
                hidden = hidden & (self.frames < real)
            made.append(torch.where(hidden, filled, segment))
        return made[0] if len(made) == 1 else torch.cat(made)
