"""Parts of a segment that are kept or hidden as wholes: grids, strips along time or frequency, superpixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from earwitness.audio.segments import Segments
from earwitness.core.arrays import BoolArray, Float64Array, Int64Array
from earwitness.core.errors import UsageError, printable
from earwitness.explainers.attribution import Grid
from earwitness.explainers.method import Found
from earwitness.explainers.parameters import UnreadableError, parameter
from earwitness.explainers.perturbation.slic import slic

GRIDS = ("grid", "time", "bands")


@dataclass(frozen=True)
class Parts:
    """A segment divided into parts.

    Parameters
    ----------
    labels
        Shape (frames, bands): each cell's part, 0 to count - 1.
    count
        How many parts.
    grid
        Their grid, or None for superpixels.
    """

    labels: Int64Array
    count: int
    grid: Grid | None

    def found(
        self, values: Float64Array, score: float, diagnostics: dict[str, float], error: Float64Array | None = None
    ) -> Found:
        """Return a map of one number per part, with its standard errors where they are known."""
        if self.grid is None:
            native = spread = values[self.labels]
            errors = None if error is None else error[self.labels]
        else:
            native, errors = values.reshape(self.grid.shape), None if error is None else error.reshape(self.grid.shape)
            spread = self.grid.spread(native)
        return Found(
            native=native,
            values=spread,
            grid=self.grid,
            score=score,
            diagnostics=diagnostics,
            error=errors,
            features=self.labels,
            importances=values,
        )


@dataclass(frozen=True)
class Segmentation:
    """A user's own parts of a segment; two of the same parts are equal.

    Parameters
    ----------
    labels
        Shape (frames, bands): each cell's part, 0 to count - 1.
    said
        The file that they come from, or a digest of them, for lists of parameters.
    """

    labels: Int64Array = field(compare=False)
    said: str

    def __str__(self) -> str:
        return self.said

    @property
    def count(self) -> int:
        """How many parts."""
        return int(self.labels.max()) + 1

    def of(self, method: str, segments: Segments) -> Parts:
        """Return the parts of some segments.

        Raises
        ------
        UsageError
            The segments have another shape.
        """
        shape = segments.values.shape[1:]
        if self.labels.shape != shape:
            told, wanted = ("x".join(map(str, each)) for each in (self.labels.shape, shape))
            raise UsageError(
                f"{method}: segmentation={self.said} has {told} cells, and the segment {wanted} (frames x bands); "
                "make one of the segment's shape"
            )
        return Parts(self.labels, self.count, None)


def segmentation_parameter() -> Any:
    """Declare ``segmentation``."""
    return parameter(None, _segmentation, "parts of your own: a .npy file of whole numbers (frames, bands)")


def _segmentation(value: Any) -> Segmentation | None:
    """Read a user's own parts: an array of whole numbers (frames, bands), a ``.npy`` file of one, or nothing."""
    if value is None or isinstance(value, Segmentation):
        return value
    said = ""
    if isinstance(value, str | Path):
        said = printable(value)
        try:
            value = np.load(value, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UnreadableError(f"name a .npy file that NumPy can read ({error})") from error
    array = np.asarray(value)
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer) or (names := np.unique(array)).size < 2:
        raise UnreadableError(
            f"use whole numbers of shape (frames, bands) that name two parts or more, not {array.dtype} {array.shape}"
        )
    labels = np.searchsorted(names, array).astype(np.int64)
    return Segmentation(labels, said or f"array-{sha256(labels.tobytes()).hexdigest()[:8]}")


def strips(kind: str, grid: tuple[int, int]) -> tuple[int, int]:
    """Return rows and columns of the parts: ``"time"`` and ``"bands"`` take one side of the grid, across the other."""
    return {"grid": grid, "time": (grid[0], 1), "bands": (1, grid[1])}[kind]


def gridded(method: str, segments: Segments, rows: int, columns: int) -> Parts:
    """Return how every one of some segments is divided into rectangles.

    Raises
    ------
    UsageError
        If there are more of them than cells.
    """
    frames, bands = segments.values.shape[1:]
    if rows > frames or columns > bands:
        raise UsageError(
            f"{method}: grid={rows}x{columns} is finer than the segment of {frames}x{bands} cells; choose a coarser one"
        )
    grid = Grid.whole(frames, bands, rows, columns)
    return Parts(grid.spread(np.arange(rows * columns).reshape(rows, columns)), rows * columns, grid)


def superpixels(method: str, segments: Segments, features: int) -> list[Parts]:
    """Return each segment divided into at most some superpixels.

    Raises
    ------
    UsageError
        If more are wanted than there are cells.
    """
    frames, bands = segments.values.shape[1:]
    if features > frames * bands:
        raise UsageError(
            f"{method}: features={features} is more than the segment's {frames}x{bands} cells; choose fewer"
        )
    divided = [slic(values, features) for values in segments.values]
    return [Parts(labels, int(labels.max()) + 1, None) for labels in divided]


class Coalitions:
    """Samples of kept parts as perturbations, made when they are needed; samples that are equal are scored once.

    Parameters
    ----------
    kept
        Shape (samples, parts): which parts each sample keeps; the first keeps all.
    divided
        Each segment's parts.
    device
        Where masks are made.
    """

    def __init__(self, kept: BoolArray, divided: Sequence[Parts], device: torch.device | str) -> None:
        # Equal samples are found by their packed bits; each is scored where it comes first.
        _, first, equal = np.unique(np.packbits(kept, axis=1), axis=0, return_index=True, return_inverse=True)
        self.perturbation = np.argsort(np.argsort(first))[equal.reshape(-1)]
        self.reach = np.maximum.accumulate(self.perturbation) + 1
        self.lost = torch.as_tensor(~kept[np.sort(first)], device=device)
        # Segments that share a grid share its labels on the device.
        on_device = {id(parts): torch.as_tensor(parts.labels, device=device) for parts in divided}
        self.labels = [on_device[id(parts)] for parts in divided]

    @property
    def count(self) -> int:
        """Different samples."""
        return len(self.lost)

    def stops(self, samples: Sequence[int]) -> list[int]:
        """Return how many perturbations make the first so many samples; stops that add none are left out."""
        return sorted({int(self.reach[number - 1]) for number in samples})

    def scores(self, scored: Float64Array) -> Float64Array:
        """Return the scores of all samples whose perturbations have some, (perturbations, targets) to (samples, …)."""
        return scored[self.perturbation[: np.searchsorted(self.reach, len(scored), side="right")]]

    def hidden(self, segment: int, start: int, stop: int) -> Tensor:
        """Return which cells perturbations hide, shape (stop - start, frames, bands)."""
        labels = self.labels[segment]
        chosen = self.lost[start:stop].index_select(1, labels.flatten())
        return chosen.view(stop - start, *labels.shape)
