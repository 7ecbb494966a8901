"""RISE: Petsiuk et al., *RISE: Randomized Input Sampling for Explanation of Black-box Models*, BMVC 2018."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from earwitness.audio.segments import Segments
from earwitness.core.arrays import BoolArray, Float64Array, Int64Array
from earwitness.core.errors import UsageError
from earwitness.explainers.attribution import Grid
from earwitness.explainers.fills import fill_parameter, second_fill_parameter, soft_parameter
from earwitness.explainers.inference.scoring import LOG_ODDS, score_parameter
from earwitness.explainers.method import Found
from earwitness.explainers.parameters import check, choice, integer, number_from, pair, parameter
from earwitness.explainers.perturbation.base import Perturbing, samples_for, stops, tolerance_parameter
from earwitness.explainers.perturbation.parts import gridded
from earwitness.explainers.perturbation.precision import precision_parameter
from earwitness.explainers.perturbation.sampling import DESIGNS, ROOM, Design, random_design
from earwitness.models.protocols import Explainable

# Samples whose masks are held at once while the map is made.
TOGETHER = 64


@dataclass(frozen=True, kw_only=True)
class Rise(Perturbing):
    """RISE: the score with a cell kept, averaged over what else is kept, less the same with the cell hidden.

    Coarse random masks, enlarged smoothly and shifted at random, hide parts of the segment. With M a mask at a cell and
    f the score, the map is sum(f M) / sum(M) - sum(f (1 - M)) / sum(1 - M). The sums of the masks that were drawn
    stand where the paper has their expectation, samples times ``keep``: with hard masks both means are then unbiased,
    and a constant added to the score changes nothing, while in the paper's form it is multiplied by how often chance
    kept the cell. The paper's map is the first of the two means, which is positive wherever the score is;
    the difference has a sign, and on a network that is linear in the cells it is each cell's own share.

    Parameters
    ----------
    grid
        Cells of the coarse masks along time and frequency.
    samples
        Perturbed segments, the whole one among them; with a tolerance, at most so many.
    keep
        Probability that a coarse cell is kept.
    masks
        ``"smooth"``: enlarged by linear interpolation and shifted, as in the paper; ``"hard"``: the cells of the grid.
    norm
        ``"difference"`` (kept less hidden) or ``"kept"`` (the paper's mean over masks that keep the cell).
    design
        ``"bernoulli"`` or ``"hadamard"``; see :mod:`earwitness.explainers.perturbation.sampling`. A single block of the
        latter tells no standard error.
    tolerance
        Standard error at which to stop, as share of the largest cell; 0 to use all samples. With it, Hadamard designs
        come in the smallest blocks.
    fill, fill2, soft
        What hidden cells become (the paper's is 0); a second fill to compare with; cells over which hard masks fade.
    score
        ``"log-odds"`` of the probability, ``"probability"`` (after the activation) or ``"logit"`` (before it).
    seed
        Of the draws.
    """

    name: ClassVar[str] = "rise"
    title: ClassVar[str] = "RISE"
    paper: ClassVar[str] = "Petsiuk et al., BMVC 2018"
    cost: ClassVar[str] = "1 forward per sample (4000), whatever the number of targets"
    assumes: ClassVar[str] = "the evidence is still recognised with about half of the segment hidden at random"
    misses: ClassVar[str] = (
        "short and narrow evidence, blurred to the size of a coarse cell, and weak evidence under the noise of "
        "the draws"
    )

    presets: ClassVar[dict[str, dict[str, Any]]] = {"fast": {"samples": 1025, "design": "hadamard"}}

    grid: tuple[int, int] = parameter((7, 7), pair, "cells of the coarse masks along time and frequency")
    samples: int = parameter(4000, integer(2), "perturbed segments")
    keep: float = parameter(0.5, number_from(0.0, above=True), "probability that a coarse cell is kept")
    masks: str = parameter("smooth", choice("smooth", "hard"), "smooth (enlarged and shifted) or hard (the grid)")
    norm: str = parameter("difference", choice("difference", "kept"), "difference (kept less hidden) or kept only")
    design: str = parameter("bernoulli", choice(*DESIGNS), "how samples are drawn: bernoulli or hadamard")
    tolerance: float = tolerance_parameter()
    fill: str | float = fill_parameter()
    score: str = score_parameter(LOG_ODDS)
    seed: int = parameter(0, integer(0), "seed of the random masks")
    fill2: str | float = second_fill_parameter()
    soft: int = soft_parameter()
    precision: str = precision_parameter()

    def __post_init__(self) -> None:
        check(self)
        if self.keep >= 1:
            raise UsageError(f"rise: keep={self.keep} does not do; use a number above 0 and below 1")
        if self.soft and self.masks == "smooth":
            raise UsageError("rise: soft goes with masks=hard; smooth masks fade already")

    def quick(self) -> Self:
        """Return RISE with fewer samples, from a balanced design if half is kept, and without a second fill."""
        enough = samples_for(math.prod(self.grid), enough=513)
        fewer: dict[str, Any] = {"samples": enough} if enough < self.samples else {}
        if fewer and self.keep == 0.5:
            fewer["design"] = "hadamard"
        return super().quick().changed(**fewer)

    def plan(self, classifier: Explainable, segments: Segments) -> _RisePlan:
        """Return what to hide in some segments, and how to read the scores."""
        frames, bands = segments.values.shape[1:]
        gridded(self.name, segments, *self.grid)
        # The error is told by how blocks differ, so a tolerance takes many small ones.
        room = 1 if self.tolerance else ROOM
        design = random_design(self.name, self.design, self.samples, self.grid, self.seed, self.keep, room=room)
        masks = RandomMasks.drawn(design, self.grid, (frames, bands), self.masks, self.seed, classifier.device)
        looks = stops(len(design.kept), 3 * math.prod(self.grid), design.block, self.tolerance)
        return _RisePlan(self, design, masks, looks)


@dataclass(frozen=True, kw_only=True)
class RandomMasks:
    """Coarse random masks laid over a segment: each is a product of two interpolations around its coarse cells.

    Parameters
    ----------
    coarse
        Shape (samples, rows, columns), bool: what each mask keeps.
    along_time, along_bands
        Shapes (shifts, frames, rows) and (shifts, bands, columns): how much each coarse cell makes of a fine one.
    shifts
        Shape (samples, 2): which interpolations each mask has.
    soft
        Whether masks have values between 0 and 1.
    device
        Where masks are made.
    """

    coarse: BoolArray
    along_time: Float64Array
    along_bands: Float64Array
    shifts: Int64Array
    soft: bool
    device: torch.device

    @classmethod
    def drawn(
        cls,
        design: Design,
        grid: tuple[int, int],
        lengths: tuple[int, int],
        kind: str,
        seed: int,
        device: torch.device | str,
    ) -> RandomMasks:
        """Return the masks of a design, with random shifts where they are smooth."""
        enlarge = enlarged if kind == "smooth" else _repeated
        sides = [enlarge(length, cells) for length, cells in zip(lengths, grid, strict=True)]
        rng = np.random.default_rng([seed, 1])
        draws = design.kept[1:].shape[0] // design.pair
        shifts = np.stack([rng.integers(0, len(side), draws) for side in sides], axis=1).repeat(design.pair, axis=0)
        shifts = np.concatenate([np.zeros((1, 2), np.int64), shifts])
        coarse = design.kept.reshape(-1, *grid)
        return cls(
            coarse=coarse,
            along_time=sides[0],
            along_bands=sides[1],
            shifts=shifts,
            soft=kind == "smooth",
            device=torch.device(device),
        )

    @property
    def count(self) -> int:
        """How many there are, the one that hides nothing first."""
        return len(self.coarse)

    def kept(self, start: int, stop: int) -> Float64Array:
        """Return how far masks keep each cell, shape (stop - start, frames, bands)."""
        rows = self.along_time[self.shifts[start:stop, 0]]
        columns = self.along_bands[self.shifts[start:stop, 1]]
        return np.asarray(rows @ self.coarse[start:stop] @ columns.transpose(0, 2, 1))

    def hidden(self, segment: int, start: int, stop: int) -> Tensor:
        """Return how far masks hide each cell, shape (stop - start, frames, bands); the same for every segment."""
        del segment
        lost = torch.as_tensor(1.0 - self.kept(start, stop), device=self.device, dtype=torch.float32)
        if start == 0:
            lost[0] = 0.0
        return lost if self.soft else lost > 0.5


def enlarged(length: int, cells: int) -> Float64Array:
    """Return linear interpolations of coarse cells on a longer line, shape (shifts, length, cells).

    The coarse cells are enlarged to ``cells + 1`` times the size of a cell (their middles are the nodes) and cut to the
    length at every shift up to the size of a cell.
    """
    size = math.ceil(length / cells)
    place = (np.arange((cells + 1) * size) + 0.5) * cells / ((cells + 1) * size) - 0.5
    nodes = np.clip(1.0 - np.abs(np.clip(place, 0, cells - 1)[:, np.newaxis] - np.arange(cells)), 0.0, 1.0)
    return np.stack([nodes[shift : shift + length] for shift in range(size)])


def _repeated(length: int, cells: int) -> Float64Array:
    grid = Grid.whole(length, 1, cells, 1)
    return (grid.frame_cells[:, np.newaxis] == np.arange(cells)).astype(np.float64)[np.newaxis]


@dataclass(frozen=True)
class _RisePlan:
    explainer: Rise
    design: Design
    hiding: RandomMasks
    stops: Sequence[int]

    def solve(self, segment: int, scores: Float64Array) -> list[Found]:
        del segment
        hard = not self.hiding.soft
        frames, bands = self.hiding.along_time.shape[1], self.hiding.along_bands.shape[1]
        rows, columns = self.hiding.coarse.shape[1:] if hard else (frames, bands)
        grid = Grid.whole(frames, bands, rows, columns)
        found = []
        for measured in np.ascontiguousarray(scores.T):
            native, error = self._map(measured)
            found.append(
                Found(native=native, values=grid.spread(native), grid=grid, score=float(measured[0]), error=error)
            )
        return found

    def _masks(self, stop: int) -> Iterator[tuple[slice, Float64Array]]:
        """Yield the masks after the first in stretches of whole blocks, on the native cells."""
        step = math.ceil(TOGETHER / self.design.block) * self.design.block
        for start in range(1, stop, step):
            stretch = slice(start, min(start + step, stop))
            coarse = self.hiding.coarse[stretch].astype(np.float64)
            yield stretch, self.hiding.kept(stretch.start, stretch.stop) if self.hiding.soft else coarse

    def _map(self, scores: Float64Array) -> tuple[Float64Array, Float64Array | None]:
        """Return the map of one target and its standard error, of the scores so far."""
        stretches = [
            (np.tensordot(scores[stretch], kept, axes=1), kept.sum(axis=0))
            for stretch, kept in self._masks(len(scores))
        ]
        scored, weight = (np.asarray(sum(column)) for column in zip(*stretches, strict=True))
        number = len(scores) - 1
        mean = _share(scored, weight)
        other = _share(scores[1:].sum() - scored, number - weight)
        difference = self.explainer.norm == "difference"
        native = mean - other if difference else mean
        # Where chance never hid a cell (or never kept it), nothing was learned of it.
        native = np.where((weight > 0) & (weight < number), native, 0.0)
        # The samples of a Hadamard block balance each other; only whole blocks are draws of their own.
        draws = number // self.design.block
        if draws < 2:
            return native, None
        square = np.zeros_like(native)
        for stretch, kept in self._masks(len(scores)):
            measured = scores[stretch, np.newaxis, np.newaxis]
            pull = _share(kept * (measured - mean), weight)
            if difference:
                pull = pull - _share((1.0 - kept) * (measured - other), number - weight)
            square += (pull.reshape(-1, self.design.block, *native.shape).sum(axis=1) ** 2).sum(axis=0)
        return native, np.sqrt(square * draws / (draws - 1))


def _share(part: Float64Array, whole: Float64Array) -> Float64Array:
    return np.divide(part, whole, out=np.zeros(np.broadcast_shapes(part.shape, whole.shape)), where=whole > 0)
