"""How loud a sound is to a listener: ITU-R BS.1770-5 (LUFS), of a sound that comes in blocks."""

from __future__ import annotations

import math

import numpy as np

from earwitness.core.arrays import Float32Array, Float64Array

STEP_SECONDS = 0.1
STEPS = 4  # gated blocks last 400 ms and begin every 100 ms
ABSOLUTE_GATE = -70.0  # LUFS
RELATIVE_GATE = -10.0  # dB below the mean of what passes the absolute one
OFFSET = -0.691
# The two filters of annex 1 for any sample rate, as analogue prototypes (De Man, *Evaluation of Implementations of the
# EBU R128 Loudness Measurement*, AES 145, 2018): frequency in Hz and quality; the shelf's gain in dB.
SHELF = (1681.974450955533, 0.7071752369554196, 3.999843853973347)
HIGH_PASS = (38.13547087602444, 0.5003270373238773)


class Meter:
    """Measures loudness and peak while a sound's blocks pass by; all channels count alike.

    Parameters
    ----------
    sample_rate
        Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._filters = _k_weighting(sample_rate)
        self._step = max(1, round(STEP_SECONDS * sample_rate))
        self._state: Float64Array | None = None
        self._squares: Float64Array = np.zeros(0)  # of the samples in the unfinished step
        self._steps: list[float] = []
        self.peak = 0.0
        self.frames = 0

    def see(self, block: Float32Array) -> None:
        """Take in a block of shape (k, channels)."""
        if not len(block):
            return
        from scipy import signal  # takes half a second, and few commands measure loudness

        if self._state is None:
            self._state = np.zeros((len(self._filters), 2, block.shape[1]))
        self.peak = max(self.peak, float(np.abs(block).max()))
        self.frames += len(block)
        weighted, self._state = signal.sosfilt(self._filters, block.astype(np.float64), axis=0, zi=self._state)
        squares = np.concatenate([self._squares, np.square(weighted).sum(axis=1)])
        whole = len(squares) // self._step
        self._steps += squares[: whole * self._step].reshape(whole, self._step).mean(axis=1).tolist()
        self._squares = squares[whole * self._step :]

    @property
    def lufs(self) -> float:
        """Gated loudness; of less than 400 ms, that of all of it, ungated; minus infinity of silence."""
        if len(self._steps) < STEPS:
            seen = self._step * sum(self._steps) + float(self._squares.sum())
            return _loudness(seen / max(1, self.frames))
        sums = np.convolve(self._steps, np.full(STEPS, 1 / STEPS), mode="valid")
        loud = sums[sums > 10 ** ((ABSOLUTE_GATE - OFFSET) / 10)]
        if not loud.size:
            return _loudness(float(sums.mean()))
        loud = loud[loud > float(loud.mean()) * 10 ** (RELATIVE_GATE / 10)]
        return _loudness(float(loud.mean()))


def _loudness(power: float) -> float:
    return OFFSET + 10 * math.log10(power) if power > 0 else -math.inf


def _k_weighting(sample_rate: int) -> Float64Array:
    """Return the filters as second-order sections; those beyond half a low sample rate are left out."""
    sections = [[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]]
    hertz, quality, gain = SHELF
    if 2.1 * hertz < sample_rate:
        k, high = math.tan(math.pi * hertz / sample_rate), 10 ** (gain / 20)
        middle, whole = high**0.4996667741545416, 1 + k / quality + k * k
        above = [high + middle * k / quality + k * k, 2 * (k * k - high), high - middle * k / quality + k * k]
        sections.append([*(each / whole for each in above), 1.0, *_poles(k, quality)])
    hertz, quality = HIGH_PASS
    if 2.1 * hertz < sample_rate:
        sections.append([1.0, -2.0, 1.0, 1.0, *_poles(math.tan(math.pi * hertz / sample_rate), quality)])
    return np.array(sections)


def _poles(k: float, quality: float) -> list[float]:
    whole = 1 + k / quality + k * k
    return [2 * (k * k - 1) / whole, (1 - k / quality + k * k) / whole]
