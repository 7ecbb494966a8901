"""Occlusion sensitivity: Zeiler & Fergus, *Visualizing and Understanding Convolutional Networks*, ECCV 2014."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from earwitness.errors import UsageError
from earwitness.explain.attribution import Attribution, Grid, Target
from earwitness.explain.model import (
    SCORE_KINDS,
    Cost,
    Explainable,
    Found,
    attribution_of,
    check_request,
    stopwatch,
)
from earwitness.explain.parameters import check, choice, parameter, size
from earwitness.explain.perturb import fill, perturbed_scores
from earwitness.progress import Progress, Silent
from earwitness.segments import Segments

FloatArray = npt.NDArray[np.float64]
Cells = tuple[int, int]


@dataclass(frozen=True)
class Occlusion:
    """Occlusion sensitivity: how far the score drops when a mask hides part of the segment.

    Parameters
    ----------
    mask, stride
        The mask's size and its step: a share of each side, rounded to cells, or cells along time and frequency.
    edges
        ``"clip"``: the first mask's middle lies on the corner, and masks are clipped at the edges. ``"whole"``: the
        first mask lies in the corner and every mask inside; the last one ends at the edge, by a shorter step where
        need be. ``"cover"``: the first mask lies in the corner and the last is clipped at the far edge (Captum's way).
    fill
        What the mask hides its cells with.
    spread
        How a cell of the segment gets its value: ``"nearest"``: from the mask whose middle is nearest; ``"average"``:
        the mean over the masks that hide it.
    score
        ``"probability"`` (after the activation) or ``"logit"`` (before it).
    """

    name: ClassVar[str] = "occlusion"
    title: ClassVar[str] = "Occlusion sensitivity"
    paper: ClassVar[str] = "Zeiler & Fergus, ECCV 2014"
    cost: ClassVar[str] = "1 forward per mask position and 1 more (111 for VGGish), whatever the number of targets"

    mask: float | tuple[int, int] = parameter(0.2, size, "size of the mask: share of each side, or cells such as 19x13")
    stride: float | tuple[int, int] = parameter(
        0.1, size, "step of the mask: share of each side, or cells such as 10x6"
    )
    edges: str = parameter("clip", choice("clip", "whole", "cover"), "masks at the edges: clip, whole or cover")
    fill: str | float = parameter("mean", fill, "what hidden cells become: mean, floor, or a number")
    spread: str = parameter("nearest", choice("nearest", "average"), "value of a cell: nearest mask, or average of all")
    score: str = parameter("probability", choice(*SCORE_KINDS), "score that is explained: logit or probability")

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
            Per segment, what to explain; all come from the same passes.
        progress
            Told how far the work has come.

        Returns
        -------
        One attribution per segment and target, the first segment's first.

        Raises
        ------
        UsageError
            If the mask does not fit the segment, or a target is out of range.
        EarwitnessError
            If the network's score is not a number.
        """
        check_request(classifier, segments, targets)
        if not len(segments):
            return []
        seconds = stopwatch()
        frames, bands = segments.values.shape[1:]
        masks = self.masks(frames, bands, classifier.device)
        with (progress or Silent()).task(self.title, masks.count * len(segments)) as advance:
            scores = perturbed_scores(
                classifier, segments, targets, masks, fill=self.fill, kind=self.score, advance=advance
            )
        cost = Cost(masks.count, 0, seconds(len(segments)))
        found = []
        for index, (measured, listed) in enumerate(zip(scores, targets, strict=True)):
            drops = (measured[0] - measured[1:]).reshape(*masks.shape, len(listed))
            for position, target in enumerate(listed):
                result = self._found(masks, drops[..., position], float(measured[0, position]))
                found.append(attribution_of(self, classifier, segments, index, target, result, cost))
        return found

    def masks(self, frames: int, bands: int, device: torch.device | str = "cpu") -> Masks:
        """Return the mask positions on a segment of (frames, bands).

        Raises
        ------
        UsageError
            If the mask is larger than the segment, or the stride larger than the mask.
        """
        mask, stride = _cells(self.mask, frames, bands), _cells(self.stride, frames, bands)
        if mask[0] > frames or mask[1] > bands:
            raise UsageError(
                f"occlusion: mask={_by(mask)} is larger than the segment of {_by((frames, bands))} cells; choose less"
            )
        if stride[0] > mask[0] or stride[1] > mask[1]:
            raise UsageError(
                f"occlusion: stride={_by(stride)} is larger than mask={_by(mask)}, so cells between masks would never "
                "be hidden; choose a smaller stride"
            )
        lengths = (frames, bands)
        starts = [positions(*sides, self.edges) for sides in zip(lengths, mask, stride, strict=True)]
        return Masks(starts[0], starts[1], mask, stride, lengths, torch.device(device))

    def _found(self, masks: Masks, drops: FloatArray, score: float) -> Found:
        values: npt.NDArray[Any] = masks.grid.spread(drops) if self.spread == "nearest" else masks.average(drops)
        settled = {"mask": list(masks.mask), "stride": list(masks.stride)}
        return Found(drops, values, masks.grid, score, settled=settled)


@dataclass(frozen=True)
class Masks:
    """Every position of a moving mask over a segment; the series of perturbations begins with none hidden.

    Parameters
    ----------
    frame_starts, band_starts
        First frame and band of the mask at each step; below 0 where the mask is clipped.
    mask, stride
        Cells along time and frequency.
    lengths
        The segment's frames and bands.
    device
        Where masks are made.
    """

    frame_starts: tuple[int, ...]
    band_starts: tuple[int, ...]
    mask: Cells
    stride: Cells
    lengths: Cells
    device: torch.device

    @property
    def shape(self) -> Cells:
        """Steps along time and frequency."""
        return len(self.frame_starts), len(self.band_starts)

    @property
    def count(self) -> int:
        """Perturbations: every position, and the whole segment first."""
        return 1 + math.prod(self.shape)

    @property
    def grid(self) -> Grid:
        """One cell a position, around the middle of the unclipped mask."""
        centres = [
            np.array(starts) + side / 2
            for starts, side in zip((self.frame_starts, self.band_starts), self.mask, strict=True)
        ]
        return Grid.around(centres[0], centres[1], *self.lengths)

    def sides(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return which frames each step along time hides, and which bands each step along frequency."""
        return (
            _within(self.frame_starts, self.mask[0], self.lengths[0]),
            _within(self.band_starts, self.mask[1], self.lengths[1]),
        )

    def hidden(self, segment: int, start: int, stop: int) -> Tensor:
        """Return which cells perturbations hide, shape (stop - start, frames, bands); the same for every segment."""
        del segment
        rows, columns = (torch.as_tensor(side, device=self.device) for side in self.sides())
        number = torch.arange(start - 1, stop - 1, device=self.device)
        whole = number < 0
        number = number.clamp(min=0)
        row, column = rows[number // len(columns)], columns[number % len(columns)]
        return row[:, :, None] & column[:, None, :] & ~whole[:, None, None]

    def average(self, drops: FloatArray) -> FloatArray:
        """Return, for each cell, the mean of the drops of the masks that hide it, shape (frames, bands)."""
        rows, columns = (side.astype(np.float64) for side in self.sides())
        total = rows.T @ drops @ columns
        return np.asarray(total / np.outer(rows.sum(axis=0), columns.sum(axis=0)))


def positions(length: int, mask: int, stride: int, edges: str) -> tuple[int, ...]:
    """Return the first cell of the mask at each step along one side.

    Parameters
    ----------
    length
        Cells of the side.
    mask, stride
        Cells of the mask and of its step; stride <= mask <= length.
    edges
        ``"clip"``, ``"whole"`` or ``"cover"``; see :class:`Occlusion`.

    Returns
    -------
    The starts, rising. Together the masks hide every cell.
    """
    if edges == "clip":
        starts = [middle - mask // 2 for middle in range(0, length, stride)]
        if starts[-1] + mask < length:
            starts.append(starts[-1] + stride)
        return tuple(starts)
    starts = list(range(0, length - mask + 1, stride))
    if starts[-1] + mask < length:
        starts.append(length - mask if edges == "whole" else starts[-1] + stride)
    return tuple(starts)


def _within(starts: tuple[int, ...], mask: int, length: int) -> npt.NDArray[np.bool_]:
    cells, first = np.arange(length), np.array(starts)[:, np.newaxis]
    return np.asarray((cells >= first) & (cells < first + mask))


def _cells(share: float | Cells, frames: int, bands: int) -> Cells:
    if isinstance(share, tuple):
        return share
    # Halves go up, as MATLAB's round does; Python's goes to the even number.
    return max(1, math.floor(share * frames + 0.5)), max(1, math.floor(share * bands + 0.5))


def _by(cells: Cells) -> str:
    return f"{cells[0]}x{cells[1]}"
