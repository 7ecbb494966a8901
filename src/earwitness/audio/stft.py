"""Gains on a recording's own STFT: analysis, soft gains with the phase kept, and weighted overlap-add, in blocks.

Analysis and synthesis use the square root of the periodic Hann window, and frames follow each other by a quarter of
it: then overlapping frames add up to the same everywhere, and a gain of 1 gives the recording back up to rounding
(Griffin & Lim, *Signal Estimation from Modified Short-Time Fourier Transform*, IEEE TASSP 32, 1984, section III).
``scipy.signal.ShortTimeFFT`` computes the same of one array (the tests hold this to it), but wants all of it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import fft

from earwitness.core.arrays import Float32Array, Float64Array

WINDOW_SECONDS = 0.04  # narrow enough for the lowest mel bands, short enough for a click
LEAST_WINDOW = 16
OVERLAP = 4  # windows that cover a sample
VALUES_AT_ONCE = 1 << 20  # frames times window times channels

# Takes the moments (seconds) of some frames, shape (n,), and returns their gains, shape (n, bins).
Gains = Callable[[Float64Array], Float32Array]


@dataclass(frozen=True)
class Stft:
    """A grid of time and frequency over a recording at its own rate.

    Frame 0's window has its middle on the first sample; one frame before it reaches the first sample, too.

    Parameters
    ----------
    sample_rate
        Hz.
    window
        Samples, a multiple of 4.
    """

    sample_rate: int
    window: int

    @classmethod
    def of(cls, sample_rate: int, seconds: float = WINDOW_SECONDS) -> Stft:
        """Return the grid whose window is the power of two nearest to some seconds."""
        return cls(sample_rate, max(LEAST_WINDOW, 1 << round(np.log2(seconds * sample_rate))))

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return self.window // OVERLAP

    @property
    def frequencies(self) -> Float64Array:
        """The bins' frequencies in Hz, shape (window // 2 + 1,)."""
        return np.arange(self.window // 2 + 1) * (np.float64(self.sample_rate) / self.window)

    def seconds(self, first: int, frames: int) -> Float64Array:
        """Return the middles of frames, shape (frames,); those of frames before the first one are negative."""
        return np.arange(first, first + frames) * (np.float64(self.hop) / self.sample_rate)


def apply_gains(
    grid: Stft, blocks: Iterable[Float32Array], gains: Gains
) -> Iterator[tuple[Float32Array, Float32Array]]:
    """Apply gains to a recording that arrives in blocks; memory does not grow with its length.

    Parameters
    ----------
    grid
        The STFT.
    blocks
        Consecutive samples, each of shape (k, channels), float32. Every channel gets the same gains.
    gains
        Of the frames that it is asked for, in order; between 0 and 1 as a rule.

    Yields
    ------
    Some samples as they were and the same samples under the gains, both of shape (k, channels), float32. Put together
    they are as long as the recording.
    """
    hop, lead = grid.hop, (OVERLAP - 1) * grid.hop
    waiting: Float32Array | None = None  # from the next frame's first sample on
    sums: Float32Array | None = None  # what the frames so far add to the samples after those that are finished
    frame, given = 1 - OVERLAP // 2, 0  # the next frame; samples that came
    done = -lead  # samples that are finished, counted from the recording's first
    for block in blocks:
        if waiting is None:
            # A frame before the first begins three hops before the recording.
            waiting = np.zeros((lead, block.shape[1]), dtype=np.float32)
            sums = np.zeros_like(waiting)
        given += len(block)
        waiting = np.concatenate([waiting, block])
        for count in _batches(grid, len(waiting), block.shape[1]):
            before, kept, waiting, sums = _frames(grid, waiting, sums, count, gains(grid.seconds(frame, count)))
            yield before[max(0, -done) :], kept[max(0, -done) :]
            frame, done = frame + count, done + len(kept)
    if waiting is None or not given:
        return
    rest = given - done
    waiting = np.concatenate([waiting, np.zeros((rest + 2 * grid.window, waiting.shape[1]), dtype=np.float32)])
    count = -(-rest // hop)
    before, kept, _, _ = _frames(grid, waiting, sums, count, gains(grid.seconds(frame, count)))
    yield before[max(0, -done) : rest], kept[max(0, -done) : rest]


def _batches(grid: Stft, samples: int, channels: int) -> Iterator[int]:
    """Yield numbers of frames that so many samples are enough for."""
    left = max(0, (samples - grid.window) // grid.hop + 1)
    most = max(1, VALUES_AT_ONCE // (grid.window * channels))
    while left:
        count = min(left, most)
        yield count
        left -= count


def _frames(
    grid: Stft, samples: Float32Array, sums: Float32Array | None, count: int, gains: Float32Array
) -> tuple[Float32Array, Float32Array, Float32Array, Float32Array]:
    """Transform frames there and back.

    Returns the samples that no later frame reaches, as they were and under the gains; the samples from the next frame's
    first one on; and what is added to those.
    """
    hop, channels = grid.hop, samples.shape[1]
    window = _window(grid.window)
    views = np.lib.stride_tricks.sliding_window_view(samples, grid.window, axis=0)[: count * hop : hop]
    spectrum = fft.rfft(views * window, axis=-1)  # (frames, channels, bins)
    spectrum *= gains[:, None, :]
    # Four windows whose squares add up to 2.
    back = fft.irfft(spectrum, grid.window, axis=-1) * (window / np.float32(OVERLAP / 2))
    parts = np.moveaxis(back.astype(np.float32, copy=False).reshape(count, channels, OVERLAP, hop), 1, -1)
    total = np.zeros((count + OVERLAP - 1, hop, channels), dtype=np.float32)
    if sums is not None:
        total.reshape(-1, channels)[: len(sums)] += sums
    for place in range(OVERLAP):
        total[place : place + count] += parts[:, place]
    flat, end = total.reshape(-1, channels), count * hop
    return samples[:end], flat[:end], samples[end:], flat[end:]


def _window(size: int) -> Float32Array:
    """Return the square root of the periodic Hann window."""
    return np.sin(np.pi * np.arange(size) / size).astype(np.float32)
