"""Recordings as they would be without something that is not their sound: edges, silence, hum, a band limit, level.

Each counterfactual looks for its trace in a recording, takes it out, and leaves a recording without it as it is. A
classifier that relies on the sound itself answers the same; how far it does not is what an audit measures.

>>> import numpy as np
>>> noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
>>> louder = COUNTERFACTUALS["level"].change(4 * noise, 16_000)
>>> bool(np.allclose(louder, COUNTERFACTUALS["level"].change(noise, 16_000), atol=1e-6))
True
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile
from scipy import fft, ndimage

from earwitness.audio.artefacts import even_level, mend_edges, remove_lines, rms
from earwitness.core.arrays import BoolArray, Float64Array, Samples

SILENT = 2.0**-15  # half a step of a 16-bit file, doubled: what dither and resampling leave of digital silence
SILENT_SECONDS = 0.05
SPECTRUM_SECONDS = 0.25
LINE_DB = 10.0  # a line stands so far above what is beside it ...
LINE_SHARE = 0.8  # ... in at least so many of the windows
LINE_NEIGHBOURS_HZ = 100.0
MOST_LINES = 40
LIMIT_DB = 50.0  # all above a limit lies so far under the loudest band ...
LIMIT_DROP_DB = 20.0  # ... and so far under what is LIMIT_WIDTH_HZ below: a sound's own end is flatter
LIMIT_WIDTH_HZ = 700.0
LEAST_LIMIT_HZ = 1_000.0
LIMIT_SHARE = 0.95  # of the highest frequency: a limit above that is the file's own
AUDIBLE_HZ = (30.0, 15_000.0)
CLIPPED_AT = 0.985  # of the highest peak
CLIPPED_RUN = 3  # samples in a row


@dataclass(frozen=True, kw_only=True)
class Counterfactual:
    """One thing that may be taken out of recordings.

    Parameters
    ----------
    name
        One word or two.
    question
        What a classifier is asked by it.
    taken
        What is done to a recording, in a few words.
    change
        Function of samples (n,), float32, and the sample rate; returns samples, perhaps more or fewer.
    fills_up
        Whether a recording shorter than a segment is repeated, too, so that the classifier pads nothing.
    """

    name: str
    question: str
    taken: str
    change: Callable[[Samples, int], Samples]
    fills_up: bool = False


# ---- edges and silence --------------------------------------------------------------------------------------------


def without_edges(samples: Samples, sample_rate: int) -> Samples:
    """Replace the first and the last 30 ms by the sound beside them, played backwards."""
    return mend_edges(samples.astype(np.float64), sample_rate).astype(np.float32)


def without_silence(samples: Samples, sample_rate: int) -> Samples:
    """Cut digital silence out (50 ms and more of it) and repeat what sounds up to the old length.

    A recording of silence alone is left as it is.
    """
    kept = _sounding(samples, sample_rate)
    if not kept.size or kept.size == samples.size:
        return samples
    return np.resize(kept, samples.size)


def _sounding(samples: Samples, sample_rate: int) -> Samples:
    """Return a recording without its stretches of digital silence."""
    return samples[~_runs(np.abs(samples) <= SILENT, round(SILENT_SECONDS * sample_rate))]


def repeated(samples: Samples, sample_rate: int, seconds: float) -> Samples:
    """Repeat a recording shorter than so many seconds until it is as long, so that nothing must be padded."""
    wanted = round(seconds * sample_rate)
    return samples if samples.size >= wanted or not samples.size else np.resize(samples, wanted)


def _runs(marked: BoolArray, least: int) -> BoolArray:
    """Keep the marks that stand in runs of at least so many."""
    labels, count = ndimage.label(marked)
    if not count:
        return marked
    long = np.bincount(labels) >= max(1, least)
    long[0] = False
    return long[labels]


# ---- lines --------------------------------------------------------------------------------------------------------


def without_lines(samples: Samples, sample_rate: int) -> Samples:
    """Bring steady narrow lines, such as hum and whine, down to the level beside them."""
    lines = steady_lines(samples, sample_rate)
    if not lines.size:
        return samples
    return remove_lines(samples.astype(np.float64), sample_rate, lines).astype(np.float32)


def steady_lines(samples: Samples, sample_rate: int) -> Float64Array:
    """Return the frequencies (Hz) of lines that stand out in at least four of five windows, the strongest 40 at most.

    A line rises 10 dB above the median of the 100 Hz around it. Notes of animals and engines move or pause and are not
    found; a machine that whistles all the time is, which is why an audit says what it took out.
    """
    bins, power = _windows(samples, sample_rate)
    if len(power) < 4:
        return np.zeros(0)
    level = 10 * np.log10(power + 1e-20)
    width = max(3, round(LINE_NEIGHBOURS_HZ / (bins[1] - bins[0])) | 1)
    above = level - ndimage.median_filter(level, size=(1, width), mode="nearest")
    share = (above >= LINE_DB).mean(axis=0)
    strength = np.median(above, axis=0)
    # The louder of a line's bins stands for it.
    peak = strength == ndimage.maximum_filter1d(strength, size=5, mode="nearest")
    found = np.flatnonzero((share >= LINE_SHARE) & peak & (bins > 0))
    strongest = found[np.argsort(-strength[found], kind="stable")][:MOST_LINES]
    return np.sort(bins[strongest])


def _windows(samples: Samples, sample_rate: int) -> tuple[Float64Array, Float64Array]:
    """Return frequencies (bins,) and powers (windows, bins) of a recording's sounding windows of 0.25 s."""
    size = round(SPECTRUM_SECONDS * sample_rate)
    starts = range(0, samples.size - size + 1, max(1, size // 2))
    window = np.hanning(size)
    stacked = np.array([samples[start : start + size] for start in starts], dtype=np.float64).reshape(-1, size)
    sounding = stacked[np.abs(stacked).max(axis=1, initial=0.0) > SILENT]
    return fft.rfftfreq(size, 1 / sample_rate), np.abs(fft.rfft(sounding * window, axis=1)) ** 2


# ---- bands --------------------------------------------------------------------------------------------------------


def band_limit(samples: Samples, sample_rate: int) -> float | None:
    """Return the frequency (Hz) above which a filter or a low sample rate left nothing, or None where there is none.

    A limit is a steep edge (20 dB within 700 Hz); everything above it stays under its foot, and 50 dB under the loudest
    part of the spectrum.
    """
    bins, power = _windows(samples, sample_rate)
    if not len(power):
        return None
    width = max(1, round(200.0 / (bins[1] - bins[0])))
    smooth = ndimage.uniform_filter1d(power.mean(axis=0), width, mode="nearest")
    level = 10 * np.log10(np.maximum(smooth, 1e-20))
    step = max(1, round(LIMIT_WIDTH_HZ / (bins[1] - bins[0])))
    loudest_above = np.maximum.accumulate(level[::-1])[::-1][step:]
    edge = (level[:-step] - loudest_above >= LIMIT_DROP_DB) & (bins[:-step] >= LEAST_LIMIT_HZ)
    edge &= (loudest_above <= level.max() - LIMIT_DB) & (bins[step:] < LIMIT_SHARE * sample_rate / 2)
    if not edge.any():
        return None
    first, last = _stretches(*ndimage.label(edge))[-1]
    # The limit itself is where half of the power is gone.
    return float(bins[first + np.flatnonzero(level[first : last + step] >= level[first] - 3.0)[-1]])


def without_limit(samples: Samples, sample_rate: int) -> Samples:
    """Put noise above a band limit, in the rhythm of the octave below it and 6 dB an octave under its level."""
    limit = band_limit(samples, sample_rate)
    if limit is None:
        return samples
    sound = samples.astype(np.float64)
    below = _passed(sound, sample_rate, limit / 2, limit)
    size = max(1, round(0.02 * sample_rate))
    envelope = np.sqrt(ndimage.uniform_filter1d(below**2, size, mode="nearest") + 1e-12)
    white = np.random.default_rng(40).standard_normal(samples.size)
    noise = _passed(white, sample_rate, limit, sample_rate / 2)
    reference = rms(_passed(white, sample_rate, limit / 2, limit))
    noise *= envelope / max(reference, 1e-12) / 2.0
    return (sound + noise).astype(np.float32)


def without_inaudible(samples: Samples, sample_rate: int) -> Samples:
    """Remove what lies below 30 Hz and above 15 kHz, which few people hear."""
    return _passed(samples.astype(np.float64), sample_rate, *AUDIBLE_HZ).astype(np.float32)


def _passed(samples: Float64Array, sample_rate: int, low: float, high: float) -> Float64Array:
    """Return the part of a sound between two frequencies, cut sharply; ends are mirrored so that they do not ring."""
    pad = min(samples.size - 1, sample_rate // 4)
    padded = np.pad(samples, pad, mode="reflect") if pad > 0 else samples
    size = fft.next_fast_len(padded.size, real=True)
    hertz = fft.rfftfreq(size, 1 / sample_rate)
    spectrum = fft.rfft(padded, size) * ((hertz >= low) & (hertz <= high))
    return np.asarray(fft.irfft(spectrum, size)[pad : pad + samples.size])


# ---- level and format ---------------------------------------------------------------------------------------------


def with_even_level(samples: Samples, sample_rate: int) -> Samples:
    """Scale to an RMS of 0.1 over what sounds, as every other recording; no peak is cut off."""
    sounding = _sounding(samples, sample_rate)
    if not rms(sounding):
        return samples
    scaled = even_level(sounding.astype(np.float64), sample_rate)
    return (samples * (rms(scaled) / rms(sounding))).astype(np.float32)


def without_clipping(samples: Samples, sample_rate: int) -> Samples:  # noqa: ARG001
    """Draw the peaks that were cut off anew, by a smooth curve through the samples beside each, and scale them in."""
    clipped = clipped_samples(samples)
    if not clipped.any() or clipped.all():
        return samples
    intact = np.flatnonzero(~clipped)
    drawn = samples.astype(np.float64)
    labels, count = ndimage.label(clipped)
    for first, last in _stretches(labels, count):
        around = intact[max(0, np.searchsorted(intact, first) - 4) : np.searchsorted(intact, last) + 4]
        degree = min(3, around.size - 1)
        curve = np.polynomial.Polynomial.fit(around, drawn[around], degree)
        inside = np.arange(first, last)
        peak = np.sign(samples[first]) * curve(inside)
        drawn[first:last] = np.sign(samples[first]) * np.clip(peak, np.abs(samples[first]), 4 * np.abs(samples[first]))
    return (drawn * (np.abs(samples).max() / np.abs(drawn).max())).astype(np.float32)


def clipped_samples(samples: Samples) -> BoolArray:
    """Return which samples were cut off, shape (n,): three and more in a row within 1.5 % of the highest peak."""
    peak = float(np.abs(samples).max(initial=0.0))
    if peak <= SILENT:
        return np.zeros(samples.shape, dtype=bool)
    high = _runs(samples >= CLIPPED_AT * peak, CLIPPED_RUN)
    low = _runs(samples <= -CLIPPED_AT * peak, CLIPPED_RUN)
    return high | low


def _stretches(labels: npt.NDArray[np.int32], count: int) -> list[tuple[int, int]]:
    return [(piece[0].start, piece[0].stop) for piece in ndimage.find_objects(labels, count)]


def as_vorbis(samples: Samples, sample_rate: int) -> Samples:
    """Send a recording through Ogg Vorbis, so that every one has the same lossy format in its history."""
    if not samples.size:
        return samples
    stream = io.BytesIO()
    peak = max(1.0, float(np.abs(samples).max()))
    soundfile.write(stream, samples / peak, sample_rate, format="OGG", subtype="VORBIS")
    stream.seek(0)
    decoded, _ = soundfile.read(stream, dtype="float32")
    fitted = np.zeros_like(samples)
    fitted[: decoded.size] = decoded[: samples.size] * peak
    return fitted


COUNTERFACTUALS: dict[str, Counterfactual] = {
    each.name: each
    for each in (
        Counterfactual(
            name="edges",
            question="Does it rely on the clips' edges?",
            taken="the first and last 30 ms are replaced by the sound beside them",
            change=without_edges,
        ),
        Counterfactual(
            name="silence",
            question="Does it rely on digital silence and padding?",
            taken="silence is cut out and the sound repeated in its place",
            change=without_silence,
            fills_up=True,
        ),
        Counterfactual(
            name="steady tones",
            question="Does it rely on hum, whine and other steady tones?",
            taken="lines that never stop are brought down to the level beside them",
            change=without_lines,
        ),
        Counterfactual(
            name="band limit",
            question="Does it rely on where a recording's band ends?",
            taken="noise is put above the limit, in the rhythm of what is below",
            change=without_limit,
        ),
        Counterfactual(
            name="inaudible",
            question="Does it rely on what nobody can hear?",
            taken="what lies below 30 Hz and above 15 kHz is removed",
            change=without_inaudible,
        ),
        Counterfactual(
            name="level",
            question="Does it rely on loudness alone?",
            taken="every recording is brought to one level (RMS 0.1)",
            change=with_even_level,
        ),
        Counterfactual(
            name="clipping",
            question="Does it rely on clipped peaks?",
            taken="peaks that were cut off are drawn anew",
            change=without_clipping,
        ),
        Counterfactual(
            name="file format",
            question="Does it rely on the file format?",
            taken="every recording goes through the same lossy format (Ogg Vorbis)",
            change=as_vorbis,
        ),
    )
}
