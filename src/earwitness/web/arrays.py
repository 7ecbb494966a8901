"""Arrays as a page draws them: a stretch in so many columns, little-endian float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earwitness.audio.timefreq import Clock
from earwitness.core.arrays import Float32Array, LogMel, Samples


@dataclass(frozen=True)
class Drawn:
    """Rows of a stretch, with where it begins and ends.

    Parameters
    ----------
    values
        Shape (columns, n), float32.
    start_seconds, end_seconds
        Edges of the first and the last column.
    """

    values: Float32Array
    start_seconds: float
    end_seconds: float


def columns_of(log_mel: LogMel, clock: Clock, start: float, end: float | None, columns: int, first: int = 0) -> Drawn:
    """Return a stretch of a log-mel in at most so many columns, each the mean of as many frames.

    Parameters
    ----------
    log_mel
        Shape (frames, bands).
    clock
        Its grid.
    start, end
        Seconds; frames that they touch are drawn. None for the end of the recording.
    columns
        How many at most. The last column may hold fewer frames than the others; edges tell its true end.
    first
        The log-mel's first frame in the recording.
    """
    begin, stop = frames_between(clock, start, end, first + len(log_mel))
    part = log_mel[max(0, begin - first) : max(0, stop - first)]
    size = max(1, -(-len(part) // columns))
    edges = np.arange(0, len(part), size)
    pooled = np.add.reduceat(part, edges, axis=0) / np.diff(edges, append=len(part))[:, None] if len(part) else part
    between = clock.frame_edge_seconds(np.array([begin, begin + len(part)]))
    return Drawn(pooled.astype(np.float32), float(between[0]), float(between[1]))


def frames_between(clock: Clock, start: float, end: float | None, frames: int) -> tuple[int, int]:
    """Return the first frame and the end of those that a stretch touches, at least one of a recording's frames."""
    edges = clock.frame_edge_seconds(np.arange(frames + 1))
    first = int(np.clip(np.searchsorted(edges, start, side="right") - 1, 0, max(0, frames - 1)))
    stop = frames if end is None else int(np.clip(np.searchsorted(edges, end, side="left"), first + 1, frames))
    return first, max(stop, min(frames, first + 1))


def extremes_of(samples: Samples, sample_rate: int, start: float, end: float | None, columns: int) -> Drawn:
    """Return the least and the greatest sample of each of at most so many columns, shape (columns, 2)."""
    first = min(len(samples), round(start * sample_rate))
    stop = len(samples) if end is None else min(len(samples), max(first, round(end * sample_rate)))
    part = samples[first:stop]
    size = max(1, -(-len(part) // columns))
    edges = np.arange(0, len(part), size)
    if not len(part):
        return Drawn(np.zeros((0, 2), dtype=np.float32), first / sample_rate, first / sample_rate)
    values = np.stack([np.minimum.reduceat(part, edges), np.maximum.reduceat(part, edges)], axis=1)
    return Drawn(values.astype(np.float32), first / sample_rate, stop / sample_rate)


def smaller(log_mel: LogMel, columns: int, bands: int) -> Float32Array:
    """Return a picture of a log-mel in at most so many columns and bands, each the mean of its cells."""
    values: Float32Array = log_mel
    for axis, most in ((0, columns), (1, bands)):
        size = max(1, -(-values.shape[axis] // most))
        edges = np.arange(0, values.shape[axis], size)
        counts = np.diff(edges, append=values.shape[axis])
        sums = np.add.reduceat(values, edges, axis=axis)
        values = (sums / (counts[:, None] if axis == 0 else counts[None])).astype(np.float32)
    return values


def little_endian(values: Float32Array) -> bytes:
    """Return the bytes of an array, row by row."""
    return np.ascontiguousarray(values, dtype="<f4").tobytes()
