"""One made clip: an event of a class over background noise, the two kept apart, all from one seed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from scipy import fft

from earwitness.core.arrays import Float64Array, Samples
from earwitness.core.errors import UsageError
from earwitness.data.synthetic.events import MAKERS, SAMPLE_RATE, Sound, equaliser, filtered, tilt, wander

CLASSES: tuple[str, ...] = tuple(MAKERS)
SECONDS = 2.5
SNR_DB = (5.0, 20.0)  # from the faintest to the clearest event
PEAK_DBFS = (-12.0, -2.0)
FULL_SCALE = 32768.0  # steps of a 16-bit file


@dataclass(frozen=True)
class Event:
    """One part of an event: when it sounds, and the band that holds nine tenths of its energy."""

    start_seconds: float
    end_seconds: float
    low_hz: float
    high_hz: float


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A made clip and the truth about it.

    Attributes
    ----------
    samples
        What is heard, ``event + background``, float32 (n,), within -1..1.
    sample_rate
        Hz.
    label
        The class.
    event, background
        The two stems, float32 (n,), in steps of a 16-bit file, so that nothing changes when they are written.
    events
        The parts of the event in the order of time.
    snr_db
        Power of the event while it sounds over power of the background, from 125 Hz to 7.5 kHz with every octave
        counting alike.
    seed, take
        What it was made from, with the label.
    """

    samples: Samples
    sample_rate: int
    label: str
    event: Samples
    background: Samples
    events: tuple[Event, ...]
    snr_db: float
    seed: int
    take: int = 0


# ---- one clip -------------------------------------------------------------------------------------------------


def make(label: str, seed: int, take: int = 0, *, seconds: float | None = None, snr_db: float | None = None) -> Scene:
    """Make one clip of a class.

    Parameters
    ----------
    label
        One of ``CLASSES``.
    seed
        Decides the source: its voice, its equalisation and the colour of the background. Not negative.
    take
        Decides the moments, strengths and noise within the source. Not negative.
    seconds
        Length, 1 to 60 s; by default 2.5 s, and for one clip in five something between 2 and 3 s. A rooster crows
        once, whatever the length.
    snr_db
        Event over background, -60 to 60 dB; by default between 5 and 20.

    Raises
    ------
    UsageError
        If the class is unknown, or a number is out of its range.

    Examples
    --------
    >>> scene = make("dog", seed=1, seconds=2.0)
    >>> scene.samples.shape, scene.sample_rate
    ((64000,), 32000)
    """
    if label not in MAKERS:
        raise UsageError(f"no made sound is called {label!r}; choose one of {', '.join(CLASSES)}")
    if seed < 0 or take < 0:
        raise UsageError(f"seed and take must not be negative, not {seed} and {take}")
    if seconds is not None and not 1.0 <= seconds <= 60.0:
        raise UsageError(f"a made sound lasts from 1 to 60 s, not {seconds:g} s")
    if snr_db is not None and not -60.0 <= snr_db <= 60.0:
        raise UsageError(f"snr_db of a made sound must be from -60 to 60, not {snr_db:g}")
    voice, rng = (np.random.default_rng([seed, zlib.crc32(label.encode()), part]) for part in (0, 1 + take))
    length = rng.uniform(2.0, 3.0) if rng.uniform() < 0.2 else SECONDS  # drawn even if not used: one seed, one sound
    ratio = rng.uniform(*SNR_DB)
    size = round((length if seconds is None else seconds) * SAMPLE_RATE)
    ratio = ratio if snr_db is None else snr_db

    sound = MAKERS[label](voice, rng, size)
    event = filtered(sound.samples, equaliser(voice))
    background = _background(voice, rng, size)
    event *= 10 ** (ratio / 20) * _weighted_rms(background) / _weighted_rms(event, sound)
    level = 10 ** (rng.uniform(*PEAK_DBFS) / 20) / np.abs(event + background).max()
    stem, rest = _sixteen_bits(event * level), _sixteen_bits(background * level)
    return Scene(
        samples=stem + rest,
        sample_rate=SAMPLE_RATE,
        label=label,
        event=stem,
        background=rest,
        events=tuple(_event(stem, first, last) for first, last in sound.spans),
        snr_db=float(ratio),
        seed=seed,
        take=take,
    )


def _background(voice: np.random.Generator, rng: np.random.Generator, size: int) -> Float64Array:
    """Return noise of random colour that drifts a little, and in two places of five a hum or a whine in it."""
    slope, colour = tilt(voice.uniform(-6.0, 0.0), 40.0), equaliser(voice)
    noise = filtered(rng.standard_normal(size), lambda hertz: slope(hertz) * colour(hertz))
    noise *= 10 ** (0.08 * wander(rng, size, 1.5)) / np.std(noise)
    kind, whine = voice.uniform(), voice.uniform(300.0, 5000.0)
    moment = np.arange(size) / SAMPLE_RATE
    if kind < 0.2:
        mains = voice.choice([50.0, 60.0]) * np.array([1.0, 2.0, 3.0, 4.0])
        noise += 0.4 * np.sin(2 * np.pi * mains[:, None] * moment + rng.uniform(0, 6, 4)[:, None]).sum(axis=0)
    elif kind < 0.4:
        noise += voice.uniform(0.1, 0.4) * np.sin(2 * np.pi * whine * moment)
    return noise


def _weighted_rms(samples: Float64Array, sound: Sound | None = None) -> float:
    """Return the RMS from 125 Hz to 7.5 kHz with octaves alike; of a sound, over the samples in which it sounds."""
    power = filtered(samples, tilt(3.0, 125.0, 7500.0)) ** 2
    if sound is None:
        return float(np.sqrt(power.mean()))
    active = np.zeros(samples.size, dtype=bool)
    for first, last in sound.spans:
        active[first:last] = True
    return float(np.sqrt(power[active].mean()))


def _sixteen_bits(samples: Float64Array) -> Samples:
    return np.asarray(np.rint(samples * FULL_SCALE) / FULL_SCALE, dtype=np.float32)


def _event(event: Samples, first: int, last: int) -> Event:
    """Describe the part of an event between two samples."""
    size = fft.next_fast_len(last - first, real=True)
    power = np.cumsum(np.abs(fft.rfft(event[first:last].astype(np.float64), size)) ** 2)
    hertz = fft.rfftfreq(size, 1 / SAMPLE_RATE)
    low, high = np.interp([0.05 * power[-1], 0.95 * power[-1]], power, hertz)
    return Event(first / SAMPLE_RATE, last / SAMPLE_RATE, float(low), float(high))
