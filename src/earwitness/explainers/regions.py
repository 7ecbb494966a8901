"""Where the evidence of a map lies, in seconds and hertz, and how far the score falls without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from earwitness.audio.segments import Segments
from earwitness.core.arrays import BoolArray, Float64Array
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers.attribution import CONSTANT, SILENT, Attribution, Region
from earwitness.explainers.inference.binding import bound
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.inference.scoring import PROBABILITY
from earwitness.explainers.perturbation.scoring import Scoring

CORE = 0.5  # share of the positive evidence whose strongest cells make the regions
LEAST = 0.1  # share of the positive evidence that a region holds at least
MOST = 3  # regions of a map
FILL = "mean"  # what a region is hidden by, as the methods' own default
BLUR = 0.03  # of each side: how far maps without cells of their own are blurred, which are points, not areas


def with_regions(
    prepared: Prepared, segments: Segments, found: Sequence[Sequence[Attribution]], progress: Progress = NO_PROGRESS
) -> list[list[Attribution]]:
    """Return attributions with the regions that carry most of their evidence.

    Each region is hidden by itself, and the segment scored again: where the score stays what it was, the region is
    strong on the map and not needed.

    Parameters
    ----------
    prepared
        Whose attributions.
    segments
        The segments.
    found
        A list a method, in each the targets of the first segment, then of the second, as many of each.
    progress
        Told a step a segment.
    """
    each = len(found[0]) // len(segments) if found else 0
    marked: list[list[Attribution]] = [[] for _ in found]
    with progress.task("Scoring without each region", len(segments) * bool(each)) as advance:
        for row in range(len(segments) if each else 0):
            maps = [one for listed in found for one in listed[row * each : (row + 1) * each]]
            told = _of_one(prepared, segments.take([row]), maps)
            for number, listed in enumerate(marked):
                listed += told[number * each : (number + 1) * each]
            advance(1)
    return marked


def strongest(attribution: Attribution) -> list[tuple[BoolArray, float]]:
    """Return the regions of a map as cells, shape (frames, bands), each with its share of the positive evidence.

    The strongest cells that hold half of the positive evidence together fall into regions that touch at a side; those
    with a tenth of it or more are kept, the largest share first, three at most. Where evidence is scattered, there are
    none. Maps that have a value of their own for every frame and band are blurred first.
    """
    if {SILENT, CONSTANT} & set(attribution.flags):
        return []
    values = attribution.values[: attribution.real_frames].astype(np.float64)
    if attribution.native.shape == attribution.values.shape:
        values = ndimage.gaussian_filter(values, [BLUR * side for side in values.shape], mode="nearest")
    positive = np.maximum(values, 0.0)
    total = float(positive.sum())
    if not total:
        return []
    ranked = np.sort(positive, axis=None)[::-1]
    level = ranked[int(np.searchsorted(ranked.cumsum(), CORE * total))]
    labels, count = ndimage.label(positive >= level)
    shares = np.bincount(labels.ravel(), positive.ravel(), count + 1)[1:] / total
    kept = [int(index) for index in np.argsort(-shares, kind="stable")[:MOST] if shares[index] >= LEAST]
    padding = ((0, len(attribution.values) - len(values)), (0, 0))
    return [(np.pad(labels == index + 1, padding), float(shares[index])) for index in kept]


def _of_one(prepared: Prepared, segment: Segments, found: Sequence[Attribution]) -> list[Attribution]:
    """Return the attributions of one segment with their regions."""
    regions = [strongest(each) for each in found]
    cells = [region for listed in regions for region, _ in listed]
    if not cells:
        return list(found)
    scores = _scores(prepared, segment, cells, found)
    clock, first, places = prepared.front_end.clock, int(segment.start_frames[0]), iter(range(1, len(cells) + 1))
    marked = []
    for column, (each, listed) in enumerate(zip(found, regions, strict=True)):
        told = []
        for inside, share in listed:
            rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
            start, end = clock.frame_edge_seconds(first + np.array([rows[0], rows[-1] + 1])).tolist()
            low, high = clock.band_edge_hz(np.array([columns[0], columns[-1] + 1])).tolist()
            told.append(
                Region(
                    start_seconds=max(0.0, start),
                    end_seconds=end,
                    low_hz=max(0.0, low),
                    high_hz=high,
                    share=share,
                    score=float(scores[0, column]),
                    without=float(scores[next(places), column]),
                )
            )
        marked.append(replace(each, regions=tuple(told)))
    return marked


def _scores(
    prepared: Prepared, segment: Segments, cells: Sequence[BoolArray], found: Sequence[Attribution]
) -> Float64Array:
    """Return the probabilities of the attributions' targets, of the segment and without each region, (1 + n, maps)."""
    options: dict[str, Any] = {"fill": FILL, "kind": PROBABILITY, "advance": lambda _steps: None}
    targets = [[each.target for each in found]]
    with prepared.working(), bound(prepared, segment) as one:
        scoring = Scoring(one, segment, targets, _Cells(cells, prepared.device), **options)
        scoring.score([0], 1 + len(cells))
    return scoring.scores[0]


@dataclass(frozen=True)
class _Cells:
    """Regions to hide, one after the other; a :class:`~earwitness.explainers.perturbation.scoring.Hiding`."""

    cells: Sequence[BoolArray]
    device: torch.device | str

    @property
    def count(self) -> int:
        return 1 + len(self.cells)

    def hidden(self, segment: int, start: int, stop: int) -> Tensor:
        del segment
        everything = np.stack([np.zeros_like(self.cells[0]), *self.cells])
        return torch.as_tensor(everything[start:stop], device=self.device)
