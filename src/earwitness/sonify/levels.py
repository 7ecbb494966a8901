"""Levels for listening: one loudness for all sounds of a set, a limiter, fades."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from earwitness.audio.loudness import Meter
from earwitness.core.arrays import Float32Array

TARGET_LUFS = -23.0  # EBU R 128
MOST_GAIN_DB = 40.0
MOST_OVER_DB = 20.0  # above the original's gain: what is left of hidden sound must not come back as loud as before
CEILING = 10 ** (-1 / 20)
AHEAD_SECONDS = 0.005
FADE_SECONDS = 0.01
MATCHED, OWN = "matched", "own"
LEVELS = (MATCHED, OWN)


@dataclass(frozen=True, kw_only=True)
class Levels:
    """How loud the three sounds are, as they come from the recording.

    Parameters
    ----------
    frames
        Samples in each.
    meters
        Original, kept, removed.
    """

    frames: int
    meters: tuple[Meter, Meter, Meter]

    def gains_db(self, level: str) -> tuple[float, ...]:
        """Return each sound's gain: to one loudness (matched), or one for all that avoids clipping (own)."""
        if level == MATCHED:
            return tuple(matching_gains(self.meters[0], self.meters[1:]))
        peak = max(meter.peak for meter in self.meters)
        return (min(0.0, 20 * float(np.log10(CEILING / peak))) if peak > 1 else 0.0,) * len(self.meters)


def matching_gains(original: Meter, others: Iterable[Meter]) -> list[float]:
    """Return the gains in dB that bring a sound, and others that were made of it, to one loudness.

    Parameters
    ----------
    original
        Measured over all of it.
    others
        Measured likewise; each gets at most 20 dB more than the original.

    Returns
    -------
    The original's gain, then the others'. Silence gets none.
    """
    first = _towards_target(original, MOST_GAIN_DB)
    return [first, *(_towards_target(each, first + MOST_OVER_DB) for each in others)]


def _towards_target(meter: Meter, most: float) -> float:
    lufs = meter.lufs
    return 0.0 if math.isinf(lufs) else float(np.clip(TARGET_LUFS - lufs, -MOST_GAIN_DB, most))


def finished(
    blocks: Iterable[Float32Array], frames: int, sample_rate: int, gain_db: float, *, limit: bool = True
) -> Iterator[Float32Array]:
    """Yield a sound with its gain, limited and faded at both ends.

    Parameters
    ----------
    blocks
        Of shape (k, channels).
    frames
        All its samples.
    sample_rate
        Hz.
    gain_db
        The gain.
    limit
        Whether peaks are held under -1 dB of full scale.
    """
    loud = (block * np.float32(10 ** (gain_db / 20)) for block in blocks)
    size = min(round(FADE_SECONDS * sample_rate), frames // 2)
    rise = (0.5 - 0.5 * np.cos(np.pi * (np.arange(size) + 0.5) / max(1, size))).astype(np.float32)
    at = 0
    for block in limited(loud, sample_rate) if limit else loud:
        places = at + np.arange(len(block))
        faded = block.copy()
        for edge in (places, frames - 1 - places):
            inside = edge < size
            faded[inside] *= rise[edge[inside], None]
        at += len(block)
        yield faded


def limited(blocks: Iterable[Float32Array], sample_rate: int, ceiling: float = CEILING) -> Iterator[Float32Array]:
    """Yield a sound in which nothing is louder than a ceiling.

    The gain falls before a peak and rises after it, over 5 ms, for all channels alike; where nothing is too loud
    nothing changes.

    Parameters
    ----------
    blocks
        Of shape (k, channels); what comes out may be cut otherwise.
    sample_rate
        Hz.
    ceiling
        Amplitude, full scale is 1.
    """
    reach = max(1, round(AHEAD_SECONDS * sample_rate))
    waiting: Float32Array | None = None
    early = 0  # samples in front that were given out already
    for block in blocks:
        waiting = block if waiting is None else np.concatenate([waiting, block])
        end = len(waiting) - 2 * reach
        if end > early:
            yield (waiting * _holding(waiting, reach, ceiling))[early:end]
            first = max(0, end - 2 * reach)
            waiting, early = waiting[first:].copy(), end - first
    if waiting is not None and len(waiting) > early:
        yield (waiting * _holding(waiting, reach, ceiling))[early:]


def _holding(samples: Float32Array, reach: int, ceiling: float) -> Float32Array:
    """Return gains, shape (k, 1): the least that any peak within reach needs, averaged over as much."""
    need = np.minimum(1.0, ceiling / np.maximum(np.abs(samples).max(axis=1), np.finfo(np.float32).tiny))
    least = ndimage.minimum_filter1d(need.astype(np.float64), 2 * reach + 1, mode="nearest")
    # Each sample's average holds only gains that suffice for it, for every one of their windows holds the sample.
    return np.asarray(ndimage.uniform_filter1d(least, 2 * reach + 1, mode="nearest")[:, None]).astype(np.float32)
