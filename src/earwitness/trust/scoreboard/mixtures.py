"""Cases from mixed sounds: one class's event in a part of a segment, over background or with another class's event.

Because the stems are known before they are mixed, so is the truth: the share of each cell's energy that is the event's
(the ideal ratio mask of Srinivasan, Roman & Wang 2006; see :mod:`earwitness.data.synthetic.corpus`). Events come from
the made sounds, or from real recordings, where the event is the loudest stretch. A recording's own background comes
with its event, and belongs to it. Events may also stand alone in digital silence, as in clips that were filled up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from earwitness.audio import decoding, logmel
from earwitness.audio.artefacts import rms
from earwitness.audio.frontend import FrontEnd
from earwitness.audio.segments import sound_at
from earwitness.core.arrays import Float32Array, Samples
from earwitness.core.device import to_numpy
from earwitness.data.recordings import Recording
from earwitness.data.synthetic import scenes
from earwitness.data.synthetic.corpus import ratio_mask
from earwitness.explainers.attribution import Target
from earwitness.trust.scoreboard.cases import Case

OVER_BACKGROUND = "event over background"
OVER_SOUND = "event over another sound"
TWO_EVENTS = "two events"
ALONE = "event in silence"
LEVELS_DB = {OVER_BACKGROUND: (6.0, 12.0, 20.0), OVER_SOUND: (0.0, 6.0, 12.0), TWO_EVENTS: (-6.0, 0.0, 6.0)}

# An event takes up at most this share of a segment, and so many seconds; so that there is a part without it.
MOST_SHARE, MOST_SECONDS = 0.4, 1.5
LEAST_SECONDS = 0.1
TAIL_DB = 25.0  # what is fainter than the loudest moment by so much at the ends of a stretch is cut off
FADE_SECONDS = 0.01
HOP_SECONDS = 0.01
FLOOR_DB = -25.0  # noise under two events, below the fainter one; what is fainter in an event alone is no evidence
PEAK = 0.5
SCENE_SECONDS = 2.5
SCENE_SEEDS = 900_000_000  # far from those of any made data set that a classifier may have learned from


@dataclass(frozen=True)
class Stem:
    """A class's sound by itself.

    Parameters
    ----------
    label, name
        Class, and where it comes from.
    event
        Samples (n,) of the event alone, its ends faded.
    beside
        Samples of what may sound beside it: a background, or for recordings the loudest stretch of all of it.
    """

    label: str
    name: str
    event: Samples
    beside: Samples


@dataclass(frozen=True)
class Stage:
    """What mixtures are made for: a classifier's front end, classes and segment length.

    Parameters
    ----------
    front_end, classes
        The classifier's.
    frames
        Of a segment.
    segment_samples
        Of a segment of a classifier over waveforms; 0 for others.
    """

    front_end: FrontEnd
    classes: tuple[str, ...]
    frames: int
    segment_samples: int = 0

    @property
    def samples(self) -> int:
        """Samples that give at least the segment's frames, with none of them near the end."""
        return (self.frames - 1) * self.front_end.hop + 2 * max(self.front_end.fft, self.front_end.window)

    @property
    def event_samples(self) -> int:
        """The most samples of an event."""
        rate = self.front_end.sample_rate
        return round(min(MOST_SHARE * self.frames * self.front_end.clock.frame_seconds, MOST_SECONDS) * rate)

    def log_mel(self, samples: Samples) -> Float32Array:
        """Return the segment, shape (frames, bands), of samples at the front end's rate."""
        return to_numpy(logmel.log_mel(self.front_end, torch.from_numpy(samples)))[: self.frames]

    def sound(self, samples: Samples) -> Samples | None:
        """Return the segment's sound, shape (segment_samples,); None where the classifier gets log-mels."""
        return sound_at(samples, np.zeros(1, np.int64), self.segment_samples)[0] if self.segment_samples else None

    def mask(self, event: Samples, rest: Samples) -> Float32Array:
        """Return the event's share of each cell, shape (frames, bands)."""
        return ratio_mask(event, rest, self.front_end.sample_rate, self.front_end.clock, self.frames)


# ---- stems --------------------------------------------------------------------------------------------------------


def made_stem(label: str, stage: Stage, seed: int) -> Stem:
    """Return the loudest event of a made sound that no data set of ours contains, and its background."""
    scene = scenes.make(label, SCENE_SEEDS + seed, seconds=SCENE_SECONDS)
    rate = stage.front_end.sample_rate
    event, beside = (
        decoding.resample(stem, scene.sample_rate, rate).astype(np.float32) for stem in (scene.event, scene.background)
    )
    return Stem(label, f"made {label} {seed}", loudest(event, rate, stage.event_samples), looped(beside, stage.samples))


def recorded_stem(recording: Recording, stage: Stage) -> Stem | None:
    """Return the loudest stretch of a recording as its event; None where nothing sounds.

    Raises
    ------
    BadRecordingError
        It cannot be read.
    """
    rate = stage.front_end.sample_rate
    samples = decoding.read(recording.path, rate).samples
    event = loudest(samples, rate, stage.event_samples)
    if not event.size:
        return None
    start = _loudest_start(samples, rate, stage.samples)
    return Stem(recording.label, recording.name, event, looped(samples[start : start + stage.samples], stage.samples))


def loudest(samples: Samples, sample_rate: int, most: int) -> Samples:
    """Return the loudest stretch of at most so many samples, without its faint ends, faded; empty where all is silent.

    Parameters
    ----------
    samples
        Shape (n,).
    sample_rate
        Hz.
    most
        Samples.
    """
    start = _loudest_start(samples, sample_rate, most)
    stretch = samples[start : start + most]
    hop = round(HOP_SECONDS * sample_rate)
    levels = np.array([rms(stretch[at : at + hop]) for at in range(0, len(stretch), hop)])
    if not levels.size or levels.max() <= 0.0:
        return np.zeros(0, np.float32)
    sounding = np.flatnonzero(levels >= levels.max() * 10 ** (-TAIL_DB / 20))
    first, last = int(sounding[0]), int(sounding[-1]) + 1
    least = round(LEAST_SECONDS / HOP_SECONDS)
    last = max(last, min(first + least, len(levels)))
    return faded(stretch[first * hop : last * hop], sample_rate)


def _loudest_start(samples: Samples, sample_rate: int, size: int) -> int:
    """Return where the stretch of ``size`` samples with the most energy begins, to a hundredth of a second."""
    if len(samples) <= size:
        return 0
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    starts = np.arange(0, len(samples) - size + 1, round(HOP_SECONDS * sample_rate))
    return int(starts[np.argmax(energy[starts + size] - energy[starts])])


def faded(samples: Samples, sample_rate: int) -> Samples:
    """Return samples whose first and last 10 ms rise from and fall to nothing."""
    size = min(round(FADE_SECONDS * sample_rate), len(samples) // 2)
    ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(size) + 0.5) / max(1, size))).astype(np.float32)
    shaped = samples.astype(np.float32, copy=True)
    shaped[:size] *= ramp
    shaped[len(shaped) - size :] *= ramp[::-1]
    return shaped


def looped(samples: Samples, size: int) -> Samples:
    """Return so many samples: the beginning, and where there are too few, forwards and backwards in turn."""
    if len(samples) >= size or not samples.size:
        return np.resize(samples, size) if samples.size else np.zeros(size, np.float32)
    there_and_back = np.concatenate([samples, samples[::-1]])
    return np.resize(there_and_back, size)


# ---- mixtures -----------------------------------------------------------------------------------------------------


def over(stem: Stem, beside: Samples, level_db: float, kind: str, stage: Stage, rng: np.random.Generator) -> Case:
    """Return a case: an event somewhere in a segment over something else.

    Parameters
    ----------
    stem
        Whose event; its label is the target.
    beside
        What else sounds, shape (stage.samples,).
    level_db
        RMS of the event over that of what else sounds.
    kind
        Of the case.
    stage
        For what classifier.
    rng
        Draws the place.
    """
    event = _placed(stem.event, 0.0, 1.0, stage, rng)
    event *= 10 ** (level_db / 20) * max(rms(beside), 1e-5) / rms(stem.event)
    return _case(stem, event, beside, event + beside, level_db, kind, f"{stem.name} {level_db:+g} dB", stage)


def two_events(first: Stem, second: Stem, level_db: float, stage: Stage, rng: np.random.Generator) -> list[Case]:
    """Return two cases of one segment: the first class's event in one half, the second's in the other.

    Parameters
    ----------
    first, second
        Of two classes.
    level_db
        RMS of the first event over that of the second.
    stage
        For what classifier.
    rng
        Draws which comes first, the places and the faint noise under both.
    """
    halves = ((0.0, 0.5), (0.5, 1.0)) if rng.uniform() < 0.5 else ((0.5, 1.0), (0.0, 0.5))
    gains = (10 ** (level_db / 40), 10 ** (-level_db / 40))
    events = [
        _placed(stem.event, *half, stage, rng) * np.float32(gain * 0.1 / rms(stem.event))
        for stem, half, gain in zip((first, second), halves, gains, strict=True)
    ]
    noise = _pink(stage.samples, rng) * np.float32(0.1 * min(gains) * 10 ** (FLOOR_DB / 20))
    name, whole = f"{first.name} and {second.name} {level_db:+g} dB", noise + events[0] + events[1]
    return [
        _case(first, events[0], noise + events[1], whole, level_db, TWO_EVENTS, name, stage),
        _case(second, events[1], noise + events[0], whole, -level_db, TWO_EVENTS, name, stage),
    ]


def alone(stem: Stem, stage: Stage, rng: np.random.Generator) -> Case:
    """Return a case: an event somewhere in a segment that is digital silence otherwise.

    Any trace of the event would be all of a cell's energy, so its share is taken against faint noise that is inaudible.

    Parameters
    ----------
    stem
        Whose event; its label is the target.
    stage
        For what classifier.
    rng
        Draws the place, and the noise that evidence must be louder than.
    """
    gain = np.float32(PEAK / max(float(np.abs(stem.event).max()), 1e-6))
    event = _placed(stem.event, 0.0, 1.0, stage, rng) * gain
    faint = _pink(stage.samples, rng) * np.float32(gain * rms(stem.event) * 10 ** (FLOOR_DB / 20))
    truth = stage.mask(event, faint)
    return _between(stem, event, np.zeros_like(event), truth, ALONE, f"{stem.name} alone", stage)


def _case(
    stem: Stem, event: Samples, rest: Samples, whole: Samples, level_db: float, kind: str, name: str, stage: Stage
) -> Case:
    gain = np.float32(PEAK / max(float(np.abs(whole).max()), 1e-6))
    truth = stage.mask(event * gain, rest * gain)
    return replace(_between(stem, whole * gain, rest * gain, truth, kind, name, stage), level_db=level_db)


def _between(
    stem: Stem, whole: Samples, bare: Samples, truth: Float32Array, kind: str, name: str, stage: Stage
) -> Case:
    """Return a case of a segment with its evidence and without it."""
    return Case(
        name=name,
        kind=kind,
        log_mel=stage.log_mel(whole),
        real_frames=stage.frames,
        target=Target(stage.classes.index(stem.label)),
        truth=truth,
        without=stage.log_mel(bare),
        samples=stage.sound(whole),
        samples_without=stage.sound(bare),
    )


def _placed(event: Samples, low: float, high: float, stage: Stage, rng: np.random.Generator) -> Samples:
    """Return an event alone in (stage.samples,), wholly between two shares of the segment where it fits."""
    length = round(stage.frames * stage.front_end.hop)
    first, last = round(low * length), max(round(low * length) + 1, round(high * length) - len(event))
    start = int(rng.integers(first, last)) if last > first else first
    placed = np.zeros(stage.samples, dtype=np.float32)
    part = event[: stage.samples - start]
    placed[start : start + len(part)] = part
    return placed


def _pink(size: int, rng: np.random.Generator) -> Samples:
    """Return noise (n,) of RMS 1 that falls off by 3 dB an octave."""
    spectrum = np.fft.rfft(rng.standard_normal(size))
    spectrum /= np.sqrt(np.maximum(np.arange(spectrum.size), 1.0))
    spectrum[0] = 0.0
    noise = np.fft.irfft(spectrum, size)
    return (noise / noise.std()).astype(np.float32)


# ---- many of them -------------------------------------------------------------------------------------------------


def made(stage: Stage, *, seed: int = 0, silence: bool = False) -> Iterator[list[Case]]:
    """Yield mixtures of made sounds without end, one segment at a time: both kinds, every class and level in turn.

    Parameters
    ----------
    stage
        For what classifier. Classes that no made sound has are passed over; without two there is nothing.
    seed
        The same seed gives the same mixtures.
    silence
        Whether events stand alone in silence instead.
    """
    labels = [name for name in stage.classes if name in scenes.CLASSES]

    def stem(label: str, number: int) -> Stem | None:
        found = made_stem(label, stage, seed * 100_000 + number)
        return found if found.event.size else None

    return _mixtures(labels, stem, ALONE if silence else OVER_BACKGROUND, stage, seed)


def recorded(
    stage: Stage, recordings: Sequence[Recording], *, seed: int = 0, silence: bool = False
) -> Iterator[list[Case]]:
    """Yield mixtures of recordings, one segment at a time: an event over another class's sound, or two events.

    Parameters
    ----------
    stage
        For what classifier.
    recordings
        Labelled, and not learned from. Those of other classes than the classifier's are passed over.
    seed
        The same seed gives the same mixtures.
    silence
        Whether events stand alone in silence instead.

    Raises
    ------
    BadRecordingError
        While iterating, where a recording cannot be read.
    """
    of_class = {name: [each for each in recordings if each.label == name] for name in stage.classes}
    labels = [name for name in stage.classes if of_class[name]]
    known: dict[str, Stem | None] = {}

    def stem(label: str, number: int) -> Stem | None:
        mine = of_class[label]
        order = np.random.default_rng([seed, stage.classes.index(label), 7]).permutation(len(mine))
        chosen = mine[order[number % len(mine)]]
        if chosen.name not in known:
            known[chosen.name] = recorded_stem(chosen, stage)
        return known[chosen.name]

    return _mixtures(labels, stem, ALONE if silence else OVER_SOUND, stage, seed)


def _mixtures(
    labels: list[str], stem: Callable[[str, int], Stem | None], kind: str, stage: Stage, seed: int
) -> Iterator[list[Case]]:
    """Yield cases of one segment at a time: kinds in turn, and within each the classes in turn, in a drawn order.

    Events alone take no turns with other kinds.
    """
    if len(labels) < 2:
        return
    order = np.random.default_rng([seed, 11]).permutation(len(labels))
    in_turn = 1 if kind == ALONE else 2
    for number in range(1_000_000):
        rng = np.random.default_rng([seed, number])
        turn, which = divmod(number // in_turn, len(labels))
        label = labels[order[which]]
        other = labels[order[(which + 1 + int(rng.integers(len(labels) - 1))) % len(labels)]]
        first, second = stem(label, turn), stem(other, turn)
        if first is None or second is None:
            continue
        if kind == ALONE:
            yield [alone(first, stage, rng)]
            continue
        levels = LEVELS_DB[TWO_EVENTS if number % 2 else kind]
        level = levels[int(rng.integers(len(levels)))]
        if number % 2:
            yield two_events(first, second, level, stage, rng)
        else:
            beside = first.beside if kind == OVER_BACKGROUND else second.beside
            yield [over(first, beside, level, kind, stage, rng)]
