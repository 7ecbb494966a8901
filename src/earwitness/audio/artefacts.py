"""Traces that recordings carry and a classifier may rely on: clicks, tones, hum, band limits, level; in and out.

Each can be put into a recording, which is exact. :func:`mend_edges`, :func:`remove_lines` and :func:`even_level` take
one out of a recording whose clean version nobody has, and leave everything else as they can.

>>> import numpy as np
>>> noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
>>> clicked = ARTEFACTS["click"].put_in(noise, 16_000)
>>> bool(np.abs(clicked[:320]).max() > 2 * np.abs(noise).max()), bool((clicked[320:] == noise[320:]).all())
(True, True)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from earwitness.core.arrays import Float64Array, Int64Array, Samples

CLICK_SECONDS = 0.02
CLICK_CRESTS = 3.0  # height of the click over the recording's peak
TONE_HZ = 6_000.0
TONE_DB = -12.0  # RMS below the recording's
HUM_HZ = 50.0
HUM_HARMONICS = 12  # the first two lie below what a front end for sound events covers
HUM_DB = 0.0  # as loud as the sound, or a small network hardly uses it
LIMIT_HZ = 4_000.0
LIMIT_EDGE_HZ = 300.0  # the filter falls from 1 to 0 over so much
CLIPPED_SHARE = 0.05  # of the samples
USUAL_RMS = 0.1  # what levels are evened out to
NOTCH_HZ = 12.0  # half width of what is taken out around a line; a Hann window of 0.25 s is as wide
NOTCH_WINDOW_SECONDS = 0.25
MEND_SECONDS = 0.03
FULL_SCALE = 1.0
TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """One kind of trace.

    Parameters
    ----------
    name
        One word.
    title
        In words.
    placed
        Whether it has a place in time and frequency that a map could point to.
    add
        Function of float64 samples (n,) and the sample rate, n at least 1; use :meth:`put_in`.
    """

    name: str
    title: str
    placed: bool
    add: Callable[[Float64Array, int], Float64Array]

    def put_in(self, samples: Samples, sample_rate: int) -> Samples:
        """Return a recording (n,), float32, with the trace in it; nothing is drawn by chance."""
        if samples.size == 0:
            return samples.astype(np.float32)
        return self.add(samples.astype(np.float64), sample_rate).astype(np.float32)


def rms(samples: npt.NDArray[np.floating]) -> float:
    """Return the root of the mean square of samples (n,); 0 of none."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if samples.size else 0.0


# ---- a click at the edge ------------------------------------------------------------------------------------------


def add_click(samples: Float64Array, sample_rate: int) -> Float64Array:
    """Add a click: 20 ms of noise at the recording's beginning, dying away, three times as high as its peak."""
    size = min(len(samples), round(CLICK_SECONDS * sample_rate))
    # One noise for all: the same switch clicks the same each time.
    noise = np.random.default_rng(20).standard_normal(size)
    click = noise * np.exp(-1.5 * np.arange(size) / max(1, size))
    height = CLICK_CRESTS * max(float(np.abs(samples).max()), 1e-3)
    clicked = samples.copy()
    clicked[:size] += click * height / max(float(np.abs(click).max()), TINY)
    return clicked


def mend_start(samples: Float64Array, sample_rate: int) -> Float64Array:
    """Replace the first 30 ms by the 30 ms after them, played backwards, so that the sound goes on without a step."""
    size = min(len(samples) // 2, round(MEND_SECONDS * sample_rate))
    mended = samples.copy()
    mended[:size] = samples[size : 2 * size][::-1]
    return mended


def mend_edges(samples: Float64Array, sample_rate: int) -> Float64Array:
    """Replace the first and the last 30 ms by what stands beside them (:func:`mend_start` at both ends)."""
    return mend_start(mend_start(samples, sample_rate)[::-1], sample_rate)[::-1]


# ---- lines --------------------------------------------------------------------------------------------------------


def add_lines(samples: Float64Array, sample_rate: int, hertz: Float64Array, decibels: float) -> Float64Array:
    """Add equal sines of some frequencies (Hz), together so many decibels above the recording's RMS."""
    audible = hertz[hertz < sample_rate / 2]
    if not audible.size:
        return samples
    moments = np.arange(len(samples)) / sample_rate
    # Phases of golden steps keep the crest of many lines low.
    phases = 2 * np.pi * 0.618 * np.arange(audible.size) ** 2
    height = max(rms(samples), 1e-4) * 10 ** (decibels / 20) * np.sqrt(2.0 / audible.size)
    added = samples.copy()
    for line, phase in zip(audible, phases, strict=True):
        added += height * np.sin(2 * np.pi * line * moments + phase)
    return added


def remove_lines(samples: Float64Array, sample_rate: int, hertz: Float64Array) -> Float64Array:
    """Bring narrow lines (Hz) down to the level beside them, in overlapping windows of 0.25 s, phases kept."""
    size = round(NOTCH_WINDOW_SECONDS * sample_rate) // 2 * 2
    hop = size // 2
    window = np.sin(np.pi * (np.arange(size) + 0.5) / size)  # its square and the next one's add up to 1
    padded = np.pad(samples, (hop, hop + -len(samples) % hop))
    bins = fft.rfftfreq(size, 1 / sample_rate)
    beside = [_beside(bins, line) for line in hertz if line + 4 * NOTCH_HZ < sample_rate / 2]
    cleaned = np.zeros_like(padded)
    for start in range(0, len(padded) - size + 1, hop):
        spectrum = fft.rfft(padded[start : start + size] * window)
        for inside, outside in beside:
            strength = np.abs(spectrum[inside])
            level = float(np.median(np.abs(spectrum[outside])))
            spectrum[inside] *= np.minimum(1.0, level / np.maximum(strength, TINY))
        cleaned[start : start + size] += fft.irfft(spectrum, size) * window
    return cleaned[hop : hop + len(samples)]


def _beside(bins: Float64Array, line: float) -> tuple[Int64Array, Int64Array]:
    distance = np.abs(bins - line)
    inside = np.flatnonzero(distance <= NOTCH_HZ)
    return inside, np.flatnonzero((distance > NOTCH_HZ) & (distance <= 2 * NOTCH_HZ) & (bins > 0))


TONE_LINES: Float64Array = np.array([TONE_HZ])
HUM_LINES: Float64Array = np.arange(1, HUM_HARMONICS + 1) * np.float64(HUM_HZ)


# ---- a missing band, and level ------------------------------------------------------------------------------------


def limit_band(samples: Float64Array, sample_rate: int) -> Float64Array:
    """Remove everything above 4 kHz, as a narrow channel or a low sample rate does."""
    size = fft.next_fast_len(2 * len(samples), real=True)
    spectrum = fft.rfft(samples, size) * _below(fft.rfftfreq(size, 1 / sample_rate))
    return np.asarray(fft.irfft(spectrum, size)[: len(samples)])


def clip_level(samples: Float64Array, sample_rate: int) -> Float64Array:  # noqa: ARG001
    """Amplify until one sample in twenty is at full scale, and cut off what is over it."""
    edge = float(np.quantile(np.abs(samples), 1.0 - CLIPPED_SHARE))
    return np.clip(samples * FULL_SCALE / max(edge, 1e-4), -FULL_SCALE, FULL_SCALE)


def even_level(samples: Float64Array, sample_rate: int) -> Float64Array:  # noqa: ARG001
    """Scale to an RMS of 0.1 (-20 dBFS); silence stays silence."""
    return samples * USUAL_RMS / rms(samples) if rms(samples) > TINY else samples


def _below(hertz: Float64Array) -> Float64Array:
    """Return the gain of the band limit: 1 up to it, then half a period of a cosine down to 0."""
    place = np.clip((hertz - LIMIT_HZ) / LIMIT_EDGE_HZ, 0.0, 1.0)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * place))


ARTEFACTS: dict[str, Artefact] = {
    each.name: each
    for each in (
        Artefact(
            name="click",
            title="a click of 20 ms at the beginning",
            placed=True,
            add=add_click,
        ),
        Artefact(
            name="tone",
            title="a faint tone of 6 kHz",
            placed=True,
            add=lambda samples, rate: add_lines(samples, rate, TONE_LINES, TONE_DB),
        ),
        Artefact(
            name="band limit",
            title="nothing above 4 kHz",
            placed=True,
            add=limit_band,
        ),
        Artefact(
            name="hum",
            title="mains hum of 50 Hz and its harmonics",
            placed=True,
            add=lambda samples, rate: add_lines(samples, rate, HUM_LINES, HUM_DB),
        ),
        Artefact(
            name="level",
            title="so loud that one sample in twenty is clipped",
            placed=False,
            add=clip_level,
        ),
    )
}
