"""What a person does to a recording's time and frequency: boxes and outlines that are hidden, kept or made quieter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from earwitness.audio.stft import Stft
from earwitness.core.arrays import BoolArray, Float32Array, Float64Array
from earwitness.core.errors import UsageError
from earwitness.sonify.masks import BLUR_OCTAVES, BLUR_SECONDS, Box

HIDE, KEEP, ATTENUATE = ACTIONS = ("hide", "keep", "attenuate")
LEAST_DECIBELS = -80.0
# How an outline's edge rises, as a box's does: it is looked at a little before and after, lower and higher.
_STEPS = np.linspace(-1.0, 1.0, 5)
_WEIGHTS = np.hanning(len(_STEPS) + 2)[1:-1]


class Shape(Protocol):
    """A place in time and frequency."""

    @property
    def start_seconds(self) -> float:
        """Where it begins."""
        ...

    @property
    def end_seconds(self) -> float:
        """Where it ends."""
        ...

    def shares(self, grid: Stft, seconds: Float64Array) -> Float32Array:
        """Return how far each cell is inside, 0 to 1, at moments of the recording, shape (moments, bins)."""
        ...

    def described(self) -> dict[str, Any]:
        """Return what it is, as JSON types."""
        ...


@dataclass(frozen=True)
class Outline:
    """A place with an outline drawn by hand; its edges are smooth.

    Parameters
    ----------
    points
        Corners as (seconds, hertz), in order; the last joins the first. Between them the outline is straight over time
        and over mel (HTK). What it encloses twice is outside, as in a drawing.

    Raises
    ------
    UsageError
        They enclose nothing.
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        given = np.asarray(self.points, dtype=np.float64)
        if given.ndim != 2 or given.shape[0] < 3 or not np.isfinite(given).all() or (given < 0).any():
            raise UsageError("an outline needs three corners or more, in seconds and hertz from 0 on")
        if not (np.ptp(given, axis=0) > 0).all():
            raise UsageError("an outline whose corners lie on one line encloses nothing; draw it around something")

    @property
    def start_seconds(self) -> float:
        """Its earliest corner."""
        return min(seconds for seconds, _ in self.points)

    @property
    def end_seconds(self) -> float:
        """Its latest corner."""
        return max(seconds for seconds, _ in self.points)

    @property
    def low_hz(self) -> float:
        """Its lowest corner."""
        return min(hertz for _, hertz in self.points)

    @property
    def high_hz(self) -> float:
        """Its highest corner."""
        return max(hertz for _, hertz in self.points)

    def shares(self, grid: Stft, seconds: Float64Array) -> Float32Array:
        """Return how far each cell is inside, shape (moments, bins)."""
        total = np.zeros((len(seconds), len(grid.frequencies)))
        near = (seconds > self.start_seconds - BLUR_SECONDS) & (seconds < self.end_seconds + BLUR_SECONDS)
        if not near.any():
            return total.astype(np.float32)
        inside = np.zeros((int(near.sum()), len(grid.frequencies)))
        for step, weight in zip(_STEPS, _WEIGHTS, strict=True):
            for turn, share in ((-0.5, 0.25), (0.0, 0.5), (0.5, 0.25)):
                moved = grid.frequencies * 2.0 ** (turn * BLUR_OCTAVES)
                inside += weight * share * self._inside(seconds[near] + step * BLUR_SECONDS, moved)
        total[near] = inside / _WEIGHTS.sum()
        return total.astype(np.float32)

    def _inside(self, seconds: Float64Array, hertz: Float64Array) -> BoolArray:
        """Tell which cells lie inside: at each moment those with an odd number of edges below them."""
        times, mel = self._corners
        before, after = times[None], np.roll(times, -1)[None]
        low, high = mel[None], np.roll(mel, -1)[None]
        crossed = (before <= seconds[:, None]) != (after <= seconds[:, None])
        rows, edges = np.nonzero(crossed)
        part = (seconds[rows] - times[edges]) / (after[0, edges] - times[edges])
        at = low[0, edges] + part * (high[0, edges] - low[0, edges])
        counts = np.zeros((len(seconds), len(hertz) + 1), dtype=np.int64)
        np.add.at(counts, (rows, np.searchsorted(_mel(hertz), at)), 1)
        return np.asarray(counts.cumsum(axis=1)[:, :-1] % 2 == 1)

    @cached_property
    def _corners(self) -> tuple[Float64Array, Float64Array]:
        given = np.asarray(self.points, dtype=np.float64)
        return given[:, 0], _mel(given[:, 1])

    def described(self) -> dict[str, Any]:
        """Return what it is, as JSON types."""
        return {"outline": [list(point) for point in self.points]}


def _mel(hertz: Float64Array) -> Float64Array:
    return np.asarray(2595.0 * np.log10(1.0 + hertz / 700.0))


@dataclass(frozen=True)
class Edit:
    """One thing that is done to a place.

    Parameters
    ----------
    shape
        The place: a :class:`earwitness.sonify.masks.Box` or an :class:`Outline`.
    action
        ``"hide"``; ``"keep"``, and all that lies in no kept place is hidden; ``"attenuate"``.
    decibels
        What ``"attenuate"`` does: -80 to 0.

    Raises
    ------
    UsageError
        There is no such action, or it would make something louder.

    Examples
    --------
    >>> import earwitness as ew
    >>> from earwitness.sonify.masks import Box
    >>> hum = ew.Edit(Box(start_seconds=0, end_seconds=5, low_hz=0, high_hz=120), "attenuate", decibels=-30)
    >>> ew.what_if("some.wav", "runs/demo", hum).edits == (hum,)
    True
    """

    shape: Box | Outline
    action: str = HIDE
    decibels: float = -20.0

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise UsageError(f"{self.action!r}: is nothing that an edit does; name one of {', '.join(ACTIONS)}")
        if not LEAST_DECIBELS <= self.decibels <= 0.0:
            raise UsageError(f"{self.decibels:g} dB: attenuate by {LEAST_DECIBELS:g} to 0 dB")

    def described(self) -> dict[str, Any]:
        """Return what it is, as JSON types."""
        told: dict[str, Any] = {**self.shape.described(), "action": self.action}
        return told | ({"decibels": self.decibels} if self.action == ATTENUATE else {})


@dataclass(frozen=True)
class Edited:
    """What is left of a recording under several edits; something that tells what is kept.

    Parameters
    ----------
    edits
        In any order: what lies in a kept place, or everything where none is kept, under all others together.
    """

    edits: tuple[Edit, ...]

    @property
    def extent(self) -> tuple[float, float] | None:
        """The seconds outside which everything stays as it is; None where something changes everywhere."""
        if any(edit.action == KEEP for edit in self.edits):
            return None
        if not self.edits:
            return (0.0, 0.0)
        starts, ends = zip(*((edit.shape.start_seconds, edit.shape.end_seconds) for edit in self.edits), strict=True)
        return max(0.0, min(starts) - 2 * BLUR_SECONDS), max(ends) + 2 * BLUR_SECONDS

    def shares(self, grid: Stft, seconds: Float64Array) -> Float32Array:
        """Return what is left of each cell, 0 to 1, at moments of the recording, shape (moments, bins)."""
        left = np.ones((len(seconds), len(grid.frequencies)), dtype=np.float32)
        if kept := self._of(KEEP):
            left = np.maximum.reduce([edit.shape.shares(grid, seconds) for edit in kept])
        for edit in (*self._of(HIDE), *self._of(ATTENUATE)):
            quieter = np.float32(0.0 if edit.action == HIDE else 10.0 ** (edit.decibels / 20.0))
            left = left * (1 - (1 - quieter) * edit.shape.shares(grid, seconds))
        return left

    def _of(self, action: str) -> Sequence[Edit]:
        return [edit for edit in self.edits if edit.action == action]

    def described(self) -> dict[str, Any]:
        """Return what it is, as JSON types."""
        return {"edits": [edit.described() for edit in self.edits]}
