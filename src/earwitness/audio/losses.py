"""What a front end cannot use of a recording's sound: what lies above its bands, what its channels cancel."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

import numpy as np
from scipy import fft

from earwitness.core.arrays import Float32Array, Float64Array

SIZE = 1024
WINDOW: Float32Array = np.hanning(SIZE + 1)[:SIZE].astype(np.float32)
WEIGHT = SIZE / 2 * float(np.mean(WINDOW**2))  # of energy, in a sum of one-sided spectra
STRETCH = 64 * SIZE  # samples at once, which a processor's cache holds
HARDLY = 0.25
MOSTLY = 0.5
# Independent channels lose 1 - 1 / channels of their energy when they are mixed, cancelling ones half of the rest, too.
CANCELLING = 0.5

SLOWER = "slow the sound down first (tenfold, frequencies are a tenth), or use another model"
ONE = "keep one channel only"


class Losses:
    """The share of a recording's energy that is lost, measured while its blocks pass by, before they are resampled.

    Constant offsets are no sound and count nowhere.

    Parameters
    ----------
    edges
        Frequencies (Hz) above which a front end uses nothing.
    """

    def __init__(self, edges: Sequence[float] = ()) -> None:
        self._edges = tuple(edges)
        self._sample_rate = 0
        self._seen = 0
        self._power: Float64Array = np.zeros(SIZE // 2 + 1)
        self._frames = 0
        self._sums: Float64Array = np.zeros(0)  # of the channels, and of their mean
        self._squares: Float64Array = np.zeros(0)

    def see(self, block: Float32Array, mono: Float32Array, sample_rate: int) -> None:
        """Take in a block of shape (k, channels) at the recording's own rate, and its mean (k,)."""
        self._sample_rate = sample_rate
        self._seen += len(mono)
        lowest = min(self._edges, default=sample_rate) / sample_rate
        if lowest < 0.5:  # else there is nothing above
            self._power += _power(mono, lowest)
        if block.shape[1] > 1:
            sums = np.append(block.sum(axis=0, dtype=np.float64), mono.sum(dtype=np.float64))
            squares = np.append(np.einsum("ij,ij->j", block, block), np.vdot(mono, mono)).astype(np.float64)
            self._sums = self._sums + sums if self._frames else sums
            self._squares = self._squares + squares if self._frames else squares
            self._frames += len(mono)

    @property
    def seconds(self) -> float:
        """Length of what passed by."""
        return self._seen / max(1, self._sample_rate)

    @property
    def above(self) -> tuple[tuple[float, float], ...]:
        """Each edge (Hz) with the share of the energy that lies above it."""
        frequencies = np.arange(len(self._power)) * self._sample_rate / SIZE
        whole = max(float(self._power.sum()), np.finfo(np.float64).tiny)
        return tuple((edge, float(self._power[frequencies > edge].sum()) / whole) for edge in self._edges)

    @property
    def cancelled(self) -> float:
        """Share of the channels' mean energy that their mean lacks, where they cancel; 0 where they do not."""
        if not self._frames:
            return 0.0
        energies = self._squares - self._sums**2 / self._frames
        channels = len(energies) - 1
        kept = float(energies[-1]) / max(float(energies[:-1].mean()), np.finfo(np.float64).tiny)
        return 1 - kept if kept * channels < CANCELLING else 0.0

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a user must know of the recording, if there is anything."""
        told = [
            f"{percent(share)} of its energy lies above {edge / 1000:g} kHz, lost to the model; {SLOWER}"
            for edge, share in self.above
            if share > MOSTLY
        ]
        if self.cancelled:
            told.append(f"its channels cancel: {percent(self.cancelled)} of the energy is lost in their mean; {ONE}")
        return tuple(told)


def _power(samples: Float32Array, lowest_edge: float) -> Float64Array:
    """Return the power of samples by frequency, shape (SIZE // 2 + 1,), in windows side by side.

    Parameters
    ----------
    samples
        Shape (n,).
    lowest_edge
        As share of the sample rate. A stretch of which hardly anything can lie above it is counted at 0 Hz as a whole.
    """
    power: Float64Array = np.zeros(SIZE // 2 + 1)
    # Neighbouring samples differ by so much at least, as share of the energy, if all of it lies above the edge.
    least = 4 * np.sin(np.pi * lowest_edge) ** 2
    for start in range(0, len(samples), STRETCH):
        some = samples[start : start + STRETCH]
        steps = np.diff(some)
        mean = some.mean()
        energy = float(np.vdot(some, some)) - len(some) * float(mean) ** 2
        if float(np.vdot(steps, steps)) < HARDLY * least * energy:
            power[0] += energy * WEIGHT
            continue
        some = np.append(some - mean, np.zeros(-len(some) % SIZE, dtype=np.float32))
        parts = fft.rfft(some.reshape(-1, SIZE) * WINDOW, axis=1).view(np.float32)
        squares = np.einsum("ij,ij->j", parts, parts)
        power += squares[::2] + squares[1::2]
    return power


def percent(share: float) -> str:
    """Return a share as a percentage; one that is not the whole never reads as 100 %."""
    return f"{floor(10_000 * share) / 100:.2f} %"
