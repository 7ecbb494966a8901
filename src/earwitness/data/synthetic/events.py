"""How the ten made sounds are synthesised: one function a class, each a few lines of physics and much chance.

A maker gets two random generators. ``voice`` decides what belongs to the source (pitch, timbre, rate), so that two
takes of one source are alike; ``rng`` decides what happens in this take (moments, strengths, noise). It returns the
event alone, over silence, at any level, and the spans of samples in which it sounds.

Classes differ in how they move in time (regular clicks, scattered crackles, dense drops, pulses, sweeps, contours) and
not in their average spectrum: ``scenes`` equalises every source at random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from earwitness.core.arrays import Float64Array, Int64Array

Spans = tuple[tuple[int, int], ...]
Gain = Callable[[Float64Array], Float64Array]  # hertz to factor

SAMPLE_RATE = 32_000  # Hz; the higher of the two front ends' rates
HIGHEST_HARMONIC_HZ = 14_000.0
EQUALISER_DB = 2.0  # spread of a random colour, each octave by itself


@dataclass(frozen=True)
class Sound:
    """An event over silence: samples, and the (first, last + 1) samples of each of its parts."""

    samples: Float64Array
    spans: Spans


Maker = Callable[[np.random.Generator, np.random.Generator, int], Sound]


# ---- building blocks ------------------------------------------------------------------------------------------


def seconds(value: float) -> int:
    """Return the samples in a duration."""
    return round(value * SAMPLE_RATE)


def filtered(samples: Float64Array, gain: Gain) -> Float64Array:
    """Multiply the spectrum of ``samples`` (n,) by ``gain(hertz)``: a filter without delay."""
    size = fft.next_fast_len(samples.size + seconds(0.02), real=True)  # zeros, so that the end does not wrap round
    spectrum = fft.rfft(samples, size)
    return np.asarray(fft.irfft(spectrum * gain(fft.rfftfreq(size, 1 / SAMPLE_RATE)), size)[: samples.size])


def tilt(decibels_per_octave: float, low: float = 0.0, high: float = 16_000.0) -> Gain:
    """Return a gain over hertz: a slope about 1 kHz, soft edges (12 dB an octave) at ``low`` and ``high`` Hz."""

    def gain(hertz: Float64Array) -> Float64Array:
        hertz = np.maximum(hertz, 20.0)
        slope = (hertz / 1000.0) ** (decibels_per_octave / 6.02)
        return np.asarray(slope / np.sqrt(1.0 + (low / hertz) ** 4) / np.sqrt(1.0 + (hertz / high) ** 4))

    return gain


def equaliser(voice: np.random.Generator) -> Gain:
    """Return a random smooth colour, so that the average spectrum tells little about the class."""
    octaves = np.arange(-4.0, 5.0)  # about 1 kHz
    decibels = voice.normal(0.0, EQUALISER_DB, octaves.size) + voice.uniform(-1.5, 1.5) * octaves

    def gain(hertz: Float64Array) -> Float64Array:
        place = np.log2(np.maximum(hertz, 30.0) / 1000.0)
        return np.asarray(10 ** (np.interp(place, octaves, decibels) / 20))

    return gain


def resonances(centres: Float64Array, widths: Float64Array, floor: float = 0.1) -> Gain:
    """Return a gain over hertz with peaks of height 1 at ``centres`` (Hz), the vocal tract of the voiced classes."""

    def gain(hertz: Float64Array) -> Float64Array:
        return np.asarray(
            floor + sum(1.0 / (1.0 + ((hertz - c) / w) ** 2) for c, w in zip(centres, widths, strict=True))
        )

    return gain


def buzz(pitch: Float64Array) -> Float64Array:
    """Return a train of band-limited pulses with the given pitch (Hz, one value a sample): all harmonics equal.

    The closed form of a sum of cosines, Stilson and Smith 1996, *Alias-free digital synthesis of classic analog
    waveforms*, with its mean taken off.
    """
    half_phase = np.pi * np.cumsum(pitch) / SAMPLE_RATE
    harmonics = max(1, int(HIGHEST_HARMONIC_HZ / float(pitch.max())))
    below = np.sin(half_phase)
    on_pulse = np.abs(below) < 1e-6
    ratio = np.sin((2 * harmonics + 1) * half_phase) / np.where(on_pulse, 1.0, below)
    return np.asarray((np.where(on_pulse, 2 * harmonics + 1.0, ratio) - 1.0) / np.sqrt(2.0 * harmonics))


def curve(times: npt.ArrayLike, values: npt.ArrayLike, samples: int) -> Float64Array:
    """Return a smooth line through points, times from 0 to 1 over ``samples``: half cosines between the points."""
    times, values = np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64)
    position = np.interp(np.arange(samples) / max(samples, 1), times, np.arange(times.size))
    left = np.minimum(position.astype(np.int64), times.size - 2)
    share = 0.5 - 0.5 * np.cos(np.pi * (position - left))
    return np.asarray(values[left] * (1.0 - share) + values[left + 1] * share)


def swell(samples: int, attack: float, release: float) -> Float64Array:
    """Return an envelope that rises over ``attack`` seconds, stays at 1, and falls over ``release`` seconds."""
    moment = np.arange(samples) / SAMPLE_RATE
    rise = np.clip(moment / attack, 0.0, 1.0)
    fall = np.clip((samples / SAMPLE_RATE - moment) / release, 0.0, 1.0)
    return np.asarray(np.sin(np.pi / 2 * rise) ** 2 * np.sin(np.pi / 2 * fall) ** 2)


def wander(rng: np.random.Generator, samples: int, rate: float) -> Float64Array:
    """Return a smooth random line of unit spread that changes about ``rate`` times a second."""
    points = max(3, round(samples / SAMPLE_RATE * rate) + 2)
    return curve(np.linspace(0.0, 1.0, points), rng.standard_normal(points), samples)


def ping(rng: np.random.Generator, decay: float, centre: float, modes: int, grit: float) -> Float64Array:
    """Return a click: ``modes`` decaying tones around ``centre`` (Hz) and a burst of noise; peak near 1."""
    moment = np.arange(seconds(7.0 * decay)) / SAMPLE_RATE
    tones = np.minimum(centre * rng.uniform(0.6, 1.7, modes), HIGHEST_HARMONIC_HZ)
    phases = rng.uniform(0.0, 2 * np.pi, modes)
    ring = np.sin(2 * np.pi * tones[:, None] * moment + phases[:, None]).sum(axis=0) / np.sqrt(modes)
    noise = grit * rng.standard_normal(moment.size) * np.exp(-moment / (0.3 * decay))
    return np.asarray(ring * np.exp(-moment / decay) + noise)


def place(target: Float64Array, start: int, piece: Float64Array) -> tuple[int, int]:
    """Add ``piece`` to ``target`` from sample ``start`` on, cut at the target's ends; return the span it took."""
    first, last = max(start, 0), min(start + piece.size, target.size)
    if first >= last:
        return first, first
    target[first:last] += piece[first - start : last - start]
    return first, last


def scatter(
    rng: np.random.Generator, samples: int, starts: Int64Array, heights: Float64Array, pings: list[Float64Array]
) -> Float64Array:
    """Return clicks at ``starts``, each with its height and one of ``pings``, by convolution (many cost as few)."""
    which = rng.integers(len(pings), size=starts.size)
    size = fft.next_fast_len(samples + max(p.size for p in pings), real=True)
    spectrum = np.zeros(size // 2 + 1, dtype=np.complex128)
    for index, kernel in enumerate(pings):
        mine = which == index
        impulses = np.bincount(starts[mine], weights=heights[mine], minlength=samples)
        spectrum += fft.rfft(impulses, size) * fft.rfft(kernel, size)
    return np.asarray(fft.irfft(spectrum, size)[:samples])


def whole(samples: Float64Array) -> Sound:
    """Return a sound that lasts from the first to the last sample."""
    return Sound(samples, ((0, samples.size),))


def kept(samples: Float64Array, spans: list[tuple[int, int]]) -> Sound:
    """Return a sound with its spans, less those that fell outside the clip."""
    return Sound(samples, tuple((first, last) for first, last in spans if last > first))


# ---- machines -------------------------------------------------------------------------------------------------


def chainsaw(voice: np.random.Generator, rng: np.random.Generator, samples: int) -> Sound:
    """Buzz of a two-stroke engine whose pitch revs up and down, rough at every second stroke."""
    idle = voice.uniform(75.0, 130.0)
    rev = voice.uniform(1.5, 2.3)
    points = max(4, round(samples / SAMPLE_RATE * rng.uniform(2.0, 4.0)))
    throttle = np.where(np.arange(points) % 2 == rng.integers(2), rng.uniform(0.5, 1.0, points), 0.0)
    times = np.concatenate(([0.0], np.sort(rng.uniform(0.05, 0.95, points - 2)), [1.0]))
    pull = curve(times, throttle, samples)
    pitch = idle * rev**pull * (1.0 + 0.012 * wander(rng, samples, 25.0))
    pulses = buzz(pitch)
    stroke = 1.0 + voice.uniform(0.1, 0.5) * np.cos(np.pi * np.cumsum(pitch) / SAMPLE_RATE)
    hiss = voice.uniform(0.05, 0.2) * rng.standard_normal(samples) * (0.4 + np.abs(pulses))
    return whole((pulses * stroke + hiss) * (0.5 + 0.5 * pull))


def helicopter(voice: np.random.Generator, rng: np.random.Generator, samples: int) -> Sound:
    """Low thumps at a steady 9 to 18 a second, each with the slap of a blade, and rotor wash that beats with them."""
    rate = voice.uniform(9.0, 18.0)
    sharp = voice.uniform(3.0, 9.0)
    turns = np.cumsum(rate * (1.0 + 0.01 * wander(rng, samples, 2.0))) / SAMPLE_RATE + rng.uniform()
    beat = np.exp(sharp * (np.cos(2 * np.pi * turns) - 1.0))
    uneven = 1.0 + voice.uniform(0.0, 0.3) * np.cos(np.pi * turns)
    thump = np.sin(2 * np.pi * voice.uniform(60.0, 140.0) * np.arange(samples) / SAMPLE_RATE)
    wash = filtered(rng.standard_normal(samples), tilt(voice.uniform(-6.0, -2.0), 80.0, 9000.0))
    level = 10 ** (0.1 * wander(rng, samples, 1.0))
    return whole((2.0 * thump + wash) * (beat * uneven + voice.uniform(0.03, 0.12)) * level)


def clock_tick(voice: np.random.Generator, rng: np.random.Generator, samples: int) -> Sound:
    """Short clicks of one timbre, evenly spaced, every other one a little lower and softer."""
    period = voice.uniform(0.15, 0.36)
    centre, decay = voice.uniform(1200.0, 5500.0), voice.uniform(0.003, 0.009)
    tick = ping(voice, decay, centre, 4, 0.6)
    tock = voice.uniform(0.5, 1.0) * ping(voice, decay, centre * voice.uniform(0.7, 1.0), 4, 0.6)
    out, spans = np.zeros(samples), []
    start, index = rng.uniform(0.0, period), int(rng.integers(2))
    while seconds(start) < samples:
        piece = (tock if index % 2 else tick) * rng.uniform(0.9, 1.1)
        spans.append(place(out, seconds(start), piece))
        start, index = start + period * rng.uniform(0.995, 1.005), index + 1
    return kept(out, spans)


# ---- weather, water, fire -------------------------------------------------------------------------------------


def rain(voice: np.random.Generator, rng: np.random.Generator, samples: int) -> Sound:
    """Hundreds of drops a second at random moments, of like strength, over the hiss of farther ones."""
    rate = voice.uniform(150.0, 420.0)
    pings = [ping(voice, voice.uniform(0.0008, 0.004), voice.uniform(900.0, 7000.0), 2, 0.8) for _ in range(8)]
    starts = rng.integers(samples, size=round(rate * samples / SAMPLE_RATE))
    drops = scatter(rng, samples, starts, rng.lognormal(0.0, 0.5, starts.size), pings)
    hiss = filtered(rng.standard_normal(samples), tilt(voice.uniform(-2.0, 2.0), 500.0))
    return whole(drops / np.std(drops) + voice.uniform(0.1, 0.35) * hiss / np.std(hiss))


def crackling_fire(voice: np.random.Generator, rng: np.random.Generator, samples: int) -> Sound:
    """Crackles at random moments, in clusters and of very different strength, over a low fluttering roar."""
    rate = voice.uniform(11.0, 26.0)
    pings = [ping(voice, 10 ** voice.uniform(-3.0, -2.1), voice.uniform(700.0, 6000.0), 2, 1.0) for _ in range(10)]
    # Gaps drawn from a heavier tail than a Poisson process's: crackles come in bursts, with rests between.
    gaps = rng.lognormal(-0.6, 1.1, round(4 * rate * samples / SAMPLE_RATE) + 8) / rate
    starts = np.cumsum(gaps) - rng.uniform(0.0, 0.3)
    inside = starts[(starts >= 0) & (starts < samples / SAMPLE_RATE - 0.01)]
    points = (inside * SAMPLE_RATE).astype(np.int64) if inside.size else np.array([samples // 2])
    crackles = scatter(rng, samples, points, rng.lognormal(0.0, 0.9, points.size), pings)
    roar = filtered(rng.standard_normal(samples), tilt(-6.0, 60.0, 1500.0)) * 10 ** (0.15 * wander(rng, samples, 6.0))
    peak = max(float(np.abs(crackles).max()), 1e-9)
    out = crackles / peak + voice.uniform(0.01, 0.04) * roar / np.std(roar)
    return kept(out, [(int(p), min(int(p) + seconds(0.03), samples)) for p in points])


def sea_waves(voice: np.random.Generator, rng: np.random.Generator, samples: int) -> Sound:
    """Noise that swells within a second, breaks, and runs out slowly, brighter the stronger it is."""
    period = voice.uniform(1.3, 2.4)
    crest = voice.uniform(0.3, 0.5)
    depth = voice.uniform(1.0, 1.5)  # decades of amplitude between trough and crest
    times = np.arange(samples) / SAMPLE_RATE / period + rng.uniform()
    share = times % 1.0
    rising, falling = share / crest, (1.0 - share) / (1.0 - crest)
    height = np.where(share < crest, 0.5 - 0.5 * np.cos(np.pi * np.clip(rising, 0, 1)), falling**1.3)
    strength = rng.uniform(0.85, 1.0, 8)[times.astype(np.int64) % 8]
    body = filtered(rng.standard_normal(samples), tilt(-3.0, 100.0, 2500.0))
    foam = filtered(rng.standard_normal(samples), tilt(0.0, 1500.0))
    low, high = 10 ** (depth * (height * strength - 1.0)), 10 ** (1.7 * depth * (height * strength - 1.0))
    return whole(body / np.std(body) * low + voice.uniform(0.6, 1.2) * foam / np.std(foam) * high)


# ---- voices ---------------------------------------------------------------------------------------------------


def tract(voice: np.random.Generator, scale: float) -> Gain:
    """Return the resonances of a vocal tract, ``scale`` times those of a child's."""
    centres = scale * np.array([1000.0, 2400.0, 4200.0, 6500.0]) * voice.uniform(0.75, 1.3, 4)
    return resonances(centres, centres * voice.uniform(0.12, 0.3, 4), voice.uniform(0.1, 0.25))


def voiced(rng: np.random.Generator, pitch: Float64Array, breath: float, formants: Gain) -> Float64Array:
    """Return pulses of the given pitch and breath noise through ``formants``, of unit power."""
    source = filtered(buzz(pitch), tilt(-3.0)) + breath * rng.standard_normal(pitch.size)
    shaped = filtered(source, formants)
    return np.asarray(shaped / np.std(shaped))


def crying_baby(voice: np.random.Generator, rng: np.random.Generator, samples: int) -> Sound:
    """Cries of half a second or more on an arched, trembling pitch of 350 to 600 Hz, with breaths between."""
    base, formants = voice.uniform(350.0, 520.0), tract(voice, 1.1)
    tremble, depth = voice.uniform(5.0, 8.0), voice.uniform(0.015, 0.04)
    out, spans = np.zeros(samples), []
    start = rng.uniform(-0.3, 0.3)
    while seconds(start) < samples:
        length = rng.uniform(0.45, 1.0)
        size = seconds(length)
        arch = curve([0.0, rng.uniform(0.2, 0.5), 1.0], [0.82, rng.uniform(1.05, 1.25), rng.uniform(0.72, 0.9)], size)
        vibrato = 1.0 + depth * np.sin(2 * np.pi * tremble * np.arange(size) / SAMPLE_RATE)
        cry = voiced(rng, base * arch * vibrato, voice.uniform(0.02, 0.1), formants)
        spans.append(place(out, seconds(start), cry * swell(size, 0.07, 0.15) * rng.uniform(0.7, 1.0)))
        start += length + rng.uniform(0.12, 0.35)
    return kept(out, spans)


def dog(voice: np.random.Generator, rng: np.random.Generator, samples: int) -> Sound:
    """Barks of a tenth to a quarter of a second, pitch falling, hoarse, with a sudden start."""
    base, formants = voice.uniform(330.0, 800.0), tract(voice, 0.8)
    hoarse, length = voice.uniform(0.3, 1.0), voice.uniform(0.09, 0.2)
    gap = voice.uniform(0.15, 0.4)
    out, spans = np.zeros(samples), []
    start = rng.uniform(0.0, 0.4)
    while seconds(start) < samples:
        size = seconds(length * rng.uniform(0.85, 1.2))
        pitch = base * rng.uniform(0.9, 1.1) * curve([0.0, 0.25, 1.0], [0.95, 1.1, rng.uniform(0.45, 0.6)], size)
        bark = voiced(rng, pitch, hoarse, formants) * swell(size, 0.01, 0.6 * size / SAMPLE_RATE)
        spans.append(place(out, seconds(start), bark * rng.uniform(0.7, 1.0)))
        start += size / SAMPLE_RATE + gap * rng.uniform(0.7, 1.6)
    return kept(out, spans)


def rooster(voice: np.random.Generator, rng: np.random.Generator, samples: int) -> Sound:
    """Crow: two or three short notes on rising steps, then a long one that climbs, holds and drops."""
    base, formants = voice.uniform(450.0, 750.0), tract(voice, 1.0)
    notes, breath = int(voice.integers(2, 4)), voice.uniform(0.03, 0.15)
    out, spans = np.zeros(samples), []
    start = rng.uniform(0.05, 0.35)
    step = voice.uniform(1.1, 1.25)
    for note in range(notes):
        size = seconds(rng.uniform(0.1, 0.18))
        pitch = base * step**note * curve([0.0, 0.6, 1.0], [0.8, 1.05, 0.95], size)
        piece = voiced(rng, pitch, breath, formants) * swell(size, 0.02, 0.04)
        spans.append(place(out, seconds(start), piece))
        start += size / SAMPLE_RATE + rng.uniform(0.02, 0.07)
    size = seconds(max(0.3, min(rng.uniform(0.9, 1.4), samples / SAMPLE_RATE - start - 0.05)))
    top = step**notes * voice.uniform(1.1, 1.3)
    pitch = base * curve([0.0, 0.25, 0.6, 1.0], [1.0, top, 0.95 * top, rng.uniform(0.55, 0.7)], size)
    pitch *= 1.0 + 0.01 * np.sin(2 * np.pi * 11.0 * np.arange(size) / SAMPLE_RATE)
    spans.append(place(out, seconds(start), voiced(rng, pitch, breath, formants) * swell(size, 0.05, 0.2)))
    return kept(out, spans)


def sneezing(voice: np.random.Generator, rng: np.random.Generator, samples: int) -> Sound:
    """Draw a breath, rising to a stop; then burst into noise that falls from bright to dull, partly voiced."""
    base, formants = voice.uniform(200.0, 380.0), tract(voice, 0.75)
    out, spans = np.zeros(samples), []
    start = rng.uniform(0.0, 0.25)
    while seconds(start) < samples - seconds(0.4):
        size = seconds(rng.uniform(0.3, 0.5))
        gasp = filtered(rng.standard_normal(size), formants)
        rise = curve([0.0, 1.0], [0.0, 1.0], size) ** 2 * swell(size, 0.05, 0.03)
        spans.append(place(out, seconds(start), voice.uniform(0.15, 0.4) * gasp / np.std(gasp) * rise))
        start += size / SAMPLE_RATE + rng.uniform(0.04, 0.1)
        size = seconds(rng.uniform(0.22, 0.4))
        fade = np.arange(size) / size
        bright = filtered(rng.standard_normal(size), tilt(1.0, 1500.0))
        dull = voiced(rng, base * curve([0.0, 1.0], [1.2, 0.6], size), 0.6, formants)
        burst = bright / np.std(bright) * np.exp(-6.0 * fade) + 0.6 * dull * np.sqrt(fade) * np.exp(-3.0 * fade)
        spans.append(place(out, seconds(start), 2.0 * burst * swell(size, 0.006, 0.08)))
        start += size / SAMPLE_RATE + rng.uniform(0.1, 0.35)
    return kept(out, spans)


MAKERS: dict[str, Maker] = {
    "chainsaw": chainsaw,
    "clock_tick": clock_tick,
    "crackling_fire": crackling_fire,
    "crying_baby": crying_baby,
    "dog": dog,
    "helicopter": helicopter,
    "rain": rain,
    "rooster": rooster,
    "sea_waves": sea_waves,
    "sneezing": sneezing,
}
