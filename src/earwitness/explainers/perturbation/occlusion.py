"""Occlusion sensitivity: Zeiler & Fergus, *Visualizing and Understanding Convolutional Networks*, ECCV 2014."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from earwitness.audio.segments import Segments
from earwitness.core.arrays import BoolArray, Float64Array
from earwitness.core.errors import UsageError
from earwitness.explainers.attribution import Grid
from earwitness.explainers.fills import fill_parameter, second_fill_parameter, soft_parameter
from earwitness.explainers.inference.scoring import LOG_ODDS, PROBABILITY, score_parameter
from earwitness.explainers.method import Found
from earwitness.explainers.parameters import check, choice, integer, parameter, size
from earwitness.explainers.perturbation.base import Perturbing
from earwitness.explainers.perturbation.precision import precision_parameter
from earwitness.models.protocols import Explainable

Cells = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Occlusion(Perturbing):
    """Occlusion sensitivity: how far the score drops when a mask hides part of the segment.

    Parameters
    ----------
    mask, stride
        The mask's size and its step: a share of each side, rounded to cells, or cells along time and frequency.
    edges
        ``"clip"``: the first mask's middle lies on the corner, and masks are clipped at the edges. ``"whole"``: the
        first mask lies in the corner and every mask inside; the last one ends at the edge, by a shorter step where
        need be. ``"cover"``: the first mask lies in the corner and the last is clipped at the far edge (Captum's way).
    fill, fill2, soft
        What the mask hides its cells with; a second fill to compare with; cells over which the mask fades.
    spread
        How a cell of the segment gets its value: ``"nearest"``: from the mask whose middle is nearest; ``"average"``:
        the mean over the masks that hide it.
    score
        ``"log-odds"`` of the probability, ``"probability"`` (after the activation) or ``"logit"`` (before it).
    along
        ``"time"`` or ``"bands"``: the mask hides all bands (all frames) at once and moves along one side only, so that
        the map is a profile over seconds or over hertz.
    seed
        Of the noise, where that is the fill.
    """

    name: ClassVar[str] = "occlusion"
    title: ClassVar[str] = "Occlusion sensitivity"
    paper: ClassVar[str] = "Zeiler & Fergus, ECCV 2014"
    cost: ClassVar[str] = "1 forward per mask position and 1 more (111 for VGGish), whatever the number of targets"
    assumes: ClassVar[str] = "the evidence fits under one mask, and the fill sounds to the network like nothing"
    misses: ClassVar[str] = (
        "evidence that is there twice (hiding one copy changes nothing), and anything narrower than the mask"
    )

    presets: ClassVar[dict[str, dict[str, Any]]] = {"example": {"mask": 0.2, "stride": 0.1, "score": PROBABILITY}}

    mask: float | tuple[int, int] = parameter(0.2, size, "size of the mask: share of each side, or cells such as 19x13")
    stride: float | tuple[int, int] = parameter(
        0.1, size, "step of the mask: share of each side, or cells such as 10x6"
    )
    edges: str = parameter("clip", choice("clip", "whole", "cover"), "masks at the edges: clip, whole or cover")
    fill: str | float = fill_parameter()
    spread: str = parameter("nearest", choice("nearest", "average"), "value of a cell: nearest mask, or average of all")
    score: str = score_parameter(LOG_ODDS)
    along: str = parameter(
        "both", choice("both", "time", "bands"), "sides along which the mask moves: both, time, bands"
    )
    seed: int = parameter(0, integer(0), "seed of the noise fill")
    fill2: str | float = second_fill_parameter()
    soft: int = soft_parameter()
    precision: str = precision_parameter()

    def __post_init__(self) -> None:
        check(self)

    @property
    def random(self) -> bool:
        """Whether another seed gives another map."""
        return self.fill == "noise"

    def plan(self, classifier: Explainable, segments: Segments) -> _OcclusionPlan:
        """Return what to hide in some segments, and how to read the scores."""
        frames, bands = segments.values.shape[1:]
        return _OcclusionPlan(self, self.masks(frames, bands, classifier.device))

    def masks(self, frames: int, bands: int, device: torch.device | str = "cpu") -> Masks:
        """Return the mask positions on a segment of (frames, bands).

        Raises
        ------
        UsageError
            If the mask is larger than the segment, or the stride larger than the mask.
        """
        lengths = (frames, bands)
        mask = _across(_cells(self.mask, frames, bands), self.along, lengths)
        stride = _across(_cells(self.stride, frames, bands), self.along, lengths)
        if mask[0] > frames or mask[1] > bands:
            raise UsageError(
                f"occlusion: mask={_by(mask)} is larger than the segment of {_by((frames, bands))} cells; choose less"
            )
        if stride[0] > mask[0] or stride[1] > mask[1]:
            raise UsageError(
                f"occlusion: stride={_by(stride)} is larger than mask={_by(mask)}, so cells between masks would never "
                "be hidden; choose a smaller stride"
            )
        starts = [
            # A mask as long as its side has one place there, wherever clipped masks would begin.
            positions(length, side, step, self.edges if self.along in ("both", axis) else "whole")
            for axis, length, side, step in zip(("time", "bands"), lengths, mask, stride, strict=True)
        ]
        return Masks(
            frame_starts=starts[0],
            band_starts=starts[1],
            mask=mask,
            stride=stride,
            lengths=lengths,
            device=torch.device(device),
        )

    def read(self, masks: Masks, scores: Float64Array) -> list[Found]:
        """Return the map of each target, of the scores under every mask, shape (masks, targets)."""
        drops = (scores[0] - scores[1:]).reshape(*masks.shape, scores.shape[1])
        settled = {"mask": list(masks.mask), "stride": list(masks.stride)}
        found = []
        for column in range(scores.shape[1]):
            native = drops[..., column]
            values: npt.NDArray[Any] = masks.grid.spread(native) if self.spread == "nearest" else masks.average(native)
            found.append(
                Found(native=native, values=values, grid=masks.grid, score=float(scores[0, column]), settled=settled)
            )
        return found


@dataclass(frozen=True)
class _OcclusionPlan:
    """Every position of the mask, scored in one go."""

    explainer: Occlusion
    hiding: Masks

    @property
    def stops(self) -> list[int]:
        return [self.hiding.count]

    def solve(self, segment: int, scores: Float64Array) -> list[Found]:
        del segment
        return self.explainer.read(self.hiding, scores)


@dataclass(frozen=True, kw_only=True)
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

    def sides(self) -> tuple[BoolArray, BoolArray]:
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

    def average(self, drops: Float64Array) -> Float64Array:
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


def _within(starts: tuple[int, ...], mask: int, length: int) -> BoolArray:
    cells, first = np.arange(length), np.array(starts)[:, np.newaxis]
    return np.asarray((cells >= first) & (cells < first + mask))


def _cells(share: float | Cells, frames: int, bands: int) -> Cells:
    if isinstance(share, tuple):
        return share
    # Halves go up, as MATLAB's round does; Python's goes to the even number.
    return max(1, math.floor(share * frames + 0.5)), max(1, math.floor(share * bands + 0.5))


def _across(cells: Cells, along: str, lengths: Cells) -> Cells:
    """Return a size in cells, stretched over the whole of the side along which the mask does not move."""
    return {"both": cells, "time": (cells[0], lengths[1]), "bands": (lengths[0], cells[1])}[along]


def _by(cells: Cells) -> str:
    return f"{cells[0]}x{cells[1]}"
