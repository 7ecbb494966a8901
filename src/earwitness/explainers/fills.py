"""Fills: what hidden cells become, how masks fade at their edges, and where two fills disagree."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from earwitness.audio.segments import Segments
from earwitness.core.arrays import Float64Array, LogMel
from earwitness.explainers.attribution import Attribution
from earwitness.explainers.inference.scoring import as_input
from earwitness.explainers.parameters import Reader, UnreadableError, integer, parameter
from earwitness.explainers.ranks import rank_correlation, tells
from earwitness.models.protocols import Explainable

NONE = "none"


@dataclass(frozen=True)
class Level:
    """How loud a recording is on the whole: what the fills ``mean`` and ``noise`` take from it.

    Parameters
    ----------
    means, spreads
        Mean and standard deviation of each band over the real frames, shape (bands,).
    lowest
        Its quietest cell.
    """

    means: Float64Array
    spreads: Float64Array
    lowest: float

    @classmethod
    def of(cls, blocks: Iterable[LogMel]) -> Level:
        """Measure consecutive frames, each block of shape (frames, bands), of which there is at least one frame."""
        frames, lowest = 0, math.inf
        means = squares = np.zeros(
            1
        )  # of the deviations so far (Chan, Golub & LeVeque, The American Statistician 1983)
        for block in blocks:
            fresh = block.astype(np.float64)
            apart, total = fresh.mean(axis=0) - means, frames + len(fresh)
            squares = squares + fresh.var(axis=0) * len(fresh) + apart**2 * (frames * len(fresh) / total)
            means = means + apart * (len(fresh) / total)
            frames, lowest = total, min(lowest, float(fresh.min()))
        return cls(means, np.sqrt(squares / frames), lowest)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What a fill may know of a segment, or of a stretch of a recording.

    Parameters
    ----------
    values
        Shape (frames, bands): the log-mel.
    segment
        The same as the network takes it: its device, its number format.
    real_frames
        Frames that come from the recording.
    silence
        The front end's value of a silent cell.
    seed
        Of random draws.
    whole, first
        Of a stretch: the recording that it is cut from, and its first frame there.
    known
        The level of the recording that this is an excerpt of; None measures this.
    """

    values: LogMel
    segment: Tensor
    real_frames: int
    silence: float
    seed: int = 0
    whole: Ground | None = None
    first: int = 0
    known: Level | None = None

    def stretch(self, first: int, last: int) -> Ground:
        """Return frames ``first`` to ``last``, whose mean and noise remain those of the whole."""
        real = min(max(self.real_frames - first, 0), last - first)
        frames = slice(first, last)
        return replace(
            self, values=self.values[frames], segment=self.segment[frames], real_frames=real, whole=self, first=first
        )

    @cached_property
    def mean(self) -> float:
        """Mean of the real cells (silence where there are none)."""
        if self.whole is not None:
            return self.whole.mean
        if self.known is not None:
            return float(self.known.means.mean())
        real = self.values[: self.real_frames]
        return float(real.mean(dtype=np.float64)) if real.size else self.silence

    @cached_property
    def band_means(self) -> Float64Array:
        """Mean of each band over the real frames, shape (bands,); silence where there are none."""
        if self.whole is not None:
            return self.whole.band_means
        if self.known is not None:
            return self.known.means
        real = self.values[: self.real_frames]
        return np.asarray(real.mean(axis=0, dtype=np.float64) if real.size else np.full(real.shape[1], self.silence))

    @cached_property
    def noise(self) -> Float64Array:
        """Normal noise with each band's mean and spread over the real frames, shape (frames, bands)."""
        if self.whole is not None:
            return self.whole.noise[self.first : self.first + len(self.values)]
        real = self.values[: self.real_frames].astype(np.float64)
        if not real.size:
            return np.full(self.values.shape, self.silence)
        level = self.known or Level(real.mean(axis=0), real.std(axis=0), float(real.min()))
        drawn = np.random.default_rng(self.seed).standard_normal(self.values.shape)
        # A segment may lie below the nominal silence (resampled digital silence does); its own floor is then the limit.
        return np.asarray(np.maximum(level.means + level.spreads * drawn, min(self.silence, level.lowest)))


def mean_fill(ground: Ground, hidden: Tensor) -> Tensor:
    """Return the mean of the segment's real cells (silence where it has none)."""
    del hidden
    return ground.segment.new_tensor(ground.mean)


def band_mean_fill(ground: Ground, hidden: Tensor) -> Tensor:
    """Return each band's mean over the segment's real frames (silence where it has none), shape (bands,)."""
    del hidden
    return torch.as_tensor(ground.band_means).to(ground.segment)


def floor_fill(ground: Ground, hidden: Tensor) -> Tensor:
    """Return the front end's value of a silent cell."""
    del hidden
    return ground.segment.new_tensor(ground.silence)


def noise_fill(ground: Ground, hidden: Tensor) -> Tensor:
    """Return normal noise with each band's own mean and spread over the real frames, no quieter than silence.

    The same noise hides whatever is hidden, so that perturbations of a segment differ in their masks alone.
    """
    del hidden
    return torch.as_tensor(ground.noise).to(ground.segment)


def neighbours_fill(ground: Ground, hidden: Tensor) -> Tensor:
    """Return each band interpolated along time from the nearest real cells outside the hole.

    A hole that reaches the first or the last real frame takes the value on its other side; a band that is hidden for
    its whole length becomes the segment's mean.
    """
    frames = hidden.shape[1]
    at = torch.arange(frames, device=hidden.device)[None, :, None]
    kept = ~hidden & (at < ground.real_frames)
    before = torch.where(kept, at, -1).cummax(dim=1).values
    after = torch.where(kept, at, frames).flip(1).cummin(dim=1).values.flip(1)
    first = torch.where(before < 0, after, before)
    last = torch.where(after >= frames, before, after)
    segment = ground.segment.expand(hidden.shape)
    low = segment.gather(1, first.clamp(0, frames - 1))
    high = segment.gather(1, last.clamp(0, frames - 1))
    share = (at - first) / (last - first).clamp(min=1)
    filled = low + (high - low) * share.to(segment.dtype)
    return torch.where((before < 0) & (after >= frames), ground.segment.new_tensor(ground.mean), filled)


# A fill takes a segment's ground and what is hidden, shape (n, frames, bands), bool; it returns what hidden cells
# become, broadcastable to that shape.
Fill = Callable[[Ground, Tensor], Tensor]
FILLS: dict[str, Fill] = {
    "mean": mean_fill,
    "band-mean": band_mean_fill,
    "floor": floor_fill,
    "noise": noise_fill,
    "neighbours": neighbours_fill,
}


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


def filled(name: str | float, ground: Ground, hidden: Tensor) -> Tensor:
    """Return what hidden cells become, broadcastable to the shape of ``hidden``, (n, frames, bands)."""
    if isinstance(name, str):
        return FILLS[name](ground, hidden)
    return ground.segment.new_tensor(name)


def faded(hidden: Tensor, cells: int) -> Tensor:
    """Return how far each cell is hidden, 0 to 1, when masks (n, frames, bands) fade linearly across their edges.

    Parameters
    ----------
    hidden
        What hard masks hide, bool.
    cells
        How far the fading reaches to either side of an edge.
    """
    side = 2 * cells + 1
    return avg_pool2d(hidden[:, None].float(), side, stride=1, padding=cells, count_include_pad=False)[:, 0]


# ---- parameters that methods share --------------------------------------------------------------------------------


def fill_parameter() -> Any:
    """Declare ``fill``."""
    return parameter("mean", fill, f"what hidden cells become: {', '.join(FILLS)}, or a number")


def _fill_or_none(value: Any) -> str | float:
    return NONE if value == NONE else fill(value)


def second_fill_parameter() -> Any:
    """Declare ``fill2``: the fill of a second run, with which the map is compared."""
    reader: Reader = _fill_or_none
    return parameter(NONE, reader, "a second fill; how far its map disagrees is reported")


def soft_parameter() -> Any:
    """Declare ``soft``."""
    return parameter(0, integer(0), "cells over which masks fade to either side of their edges; 0: hard edges")


# ---- two fills ----------------------------------------------------------------------------------------------------


def disagreement(first: Attribution, second: Attribution) -> dict[str, float]:
    """Return how far two maps of one decision, made with two fills, disagree.

    Returns
    -------
    ``fill2_rank_correlation`` (Spearman, over the real cells; 1 where neither map tells cells apart, 0 where one does
    not), ``fill2_opposite`` (share of the first map's absolute mass on cells to which the second gives the other
    sign), and ``fill2_frame`` and ``fill2_band``: where the two differ most when each is scaled to its largest cell.
    """
    maps = [one.values[: one.real_frames].astype(np.float64) for one in (first, second)]
    if not maps[0].size:
        return {"fill2_rank_correlation": 1.0, "fill2_opposite": 0.0, "fill2_frame": 0.0, "fill2_band": 0.0}
    mass = float(np.abs(maps[0]).sum())
    opposite = float(np.abs(maps[0])[maps[0] * maps[1] < 0].sum()) / mass if mass else 0.0
    scaled = [one / (float(np.abs(one).max()) or 1.0) for one in maps]
    frame, band = np.unravel_index(int(np.abs(scaled[0] - scaled[1]).argmax()), scaled[0].shape)
    return {
        "fill2_rank_correlation": rank_correlation(*maps) if any(map(tells, maps)) else 1.0,
        "fill2_opposite": opposite,
        "fill2_frame": float(frame),
        "fill2_band": float(band),
    }


def compared(first: Attribution, second: Attribution) -> Attribution:
    """Return a map that says how far another one, made with a second fill, disagrees, and that costs what both did."""
    return replace(
        first,
        diagnostics=first.diagnostics | disagreement(first, second),
        forwards=first.forwards + second.forwards,
        seconds=first.seconds + second.seconds,
    )


def reference_parameter() -> Any:
    """Declare ``fill``: what the whole segment is compared with. Silence is the absence of sound; 0 is not."""
    return parameter("floor", fill, f"what the segment is compared with: {', '.join(FILLS)}, or a number")


def reference(name: str | float, classifier: Explainable, segments: Segments, index: int) -> Tensor:
    """Return a segment whose real cells are all filled, shape (frames, bands), as the network takes it.

    Padding stays what it is: it is not evidence, and so it differs in nothing from the segment's.
    """
    values, real = segments.values[index], int(segments.real_frames[index])
    segment = as_input(classifier, values)
    hidden = torch.zeros((1, *segment.shape), dtype=torch.bool, device=segment.device)
    hidden[:, :real] = True
    ground = Ground(values=values, segment=segment, real_frames=real, silence=classifier.front_end.silence)
    return torch.where(hidden, filled(name, ground, hidden), segment)[0]
