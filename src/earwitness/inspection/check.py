"""What was understood of a model: what it takes, what it answers to tones, how fast, and by which methods."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from earwitness.audio.logmel import log_mel
from earwitness.audio.segments import Segments
from earwitness.core.arrays import Float32Array, Float64Array
from earwitness.core.brief import brief
from earwitness.core.device import to_numpy
from earwitness.core.errors import UsageError
from earwitness.core.progress import Progress, shown
from earwitness.explainers.attribution import Target
from earwitness.explainers.method import Explainer, Need
from earwitness.explainers.registry import METHODS, parse
from earwitness.inspection.model import Model, load_model
from earwitness.models.classifier import WAVEFORM

TONES = 12
LOUD = 0.5  # of full scale
ALIKE = 1e-4  # of the largest answer: how near answers to all tones lie where the model hears none of them
TRIED = 16  # segments whose pass is timed
# Cheap settings: a trial asks whether a method works, not what it finds.
QUICK = {
    "lime": "lime:grid=2x2,samples=16",
    "rise": "rise:samples=16",
    "kernelshap": "kernelshap:grid=2x2,samples=16",
    "shapley": "shapley:grid=2x2,samples=16",
    "occlusion": "occlusion:mask=50%,stride=50%",
    "smoothgrad": "smoothgrad:samples=2",
    "integratedgradients": "integratedgradients:steps=2",
}


@dataclass(frozen=True, kw_only=True)
class Tone:
    """What the model was given and answered while a tone sounded.

    Parameters
    ----------
    hertz
        The tone's.
    loudest_hertz
        Where its spectrogram is loudest, as a map's axis would name it.
    predicted, score
        The class of the highest score.
    """

    hertz: float
    loudest_hertz: float
    predicted: str
    score: float


@dataclass(frozen=True, kw_only=True)
class ModelCheck:
    """What was understood of a model.

    Parameters
    ----------
    model
        The model.
    tones
        From low to high.
    lowest, highest
        Of its answers to these tones, as the network gives them.
    segments_a_second
        How many it takes in a second.
    methods
        By name, why the model cannot be asked by it, or ``""`` where it can.
    warnings
        What is likely to be wrong.
    """

    model: Model
    tones: tuple[Tone, ...]
    lowest: float
    highest: float
    segments_a_second: float
    methods: dict[str, str]
    warnings: tuple[str, ...]

    __repr__ = brief


def check_model(model: Model | Path | str, progress: Progress | bool = True) -> ModelCheck:
    """Try a model on tones, and by every method.

    Parameters
    ----------
    model
        As for :func:`earwitness.load_model`.
    progress
        Told a step a method.

    Raises
    ------
    UsageError
        There is no such model, or it cannot take a segment at all.

    Examples
    --------
    >>> import earwitness as ew
    >>> found = ew.check_model("runs/demo")
    >>> len(found.tones), found.methods["lime"], found.warnings
    (12, '', ())
    """
    progress, model = shown(progress), load_model(model)
    classifier = model.classifier
    clock, frames = classifier.front_end.clock, classifier.segment_frames
    low, high = clock.band_centre_hz([0, clock.bands - 1])
    lowest, highest = clock.to_scale([low, high]).tolist()
    hertz = clock.from_scale(np.linspace(lowest, highest, TONES + 2)[1:-1])
    waves = LOUD * np.sin(2 * np.pi * hertz[:, None] * _moments(model))
    values = to_numpy(log_mel(classifier.front_end, torch.from_numpy(waves.astype(np.float32))))[:, :frames]
    samples = waves[:, : classifier.segment_samples].astype(np.float32) if classifier.takes == WAVEFORM else None
    segments = Segments(values, np.zeros(TONES, int), np.full(TONES, frames), ("tone",) * TONES, samples)
    taken = values if samples is None else samples
    logits = classifier.logits(taken)
    scores = to_numpy(classifier.activate(logits))
    best = scores.argmax(axis=1)
    tones = tuple(
        Tone(
            hertz=float(each),
            loudest_hertz=float(clock.band_centre_hz(int(values[row].mean(axis=0).argmax()))),
            predicted=model.classes[best[row]],
            score=float(scores[row, best[row]]),
        )
        for row, each in enumerate(hertz)
    )
    methods: dict[str, str] = {}
    said: list[str] = []
    middle, target = segments.take([TONES // 2]), int(best[TONES // 2])
    with progress.task("Trying methods", len(METHODS)) as advance:
        for name in METHODS:
            methods[name] = _asked(model, parse(QUICK.get(name, name)), middle, target, said)
            advance(1)
    reasons = {methods[name] for name, method in METHODS.items() if method.needs == (Need.SCORES,)}
    if len(reasons) == 1 and "" not in reasons:  # nothing can ask it: what it is said to be is wrong
        raise UsageError(f"{model.name}: {reasons.pop()}")
    return ModelCheck(
        model=model,
        tones=tones,
        lowest=float(logits.min()),
        highest=float(logits.max()),
        segments_a_second=_speed(model, taken),
        methods=methods,
        warnings=(*_suspicions(tones, to_numpy(logits), clock.sample_rate), *dict.fromkeys(said)),
    )


def _asked(model: Model, method: Explainer, segments: Segments, target: int, said: list[str]) -> str:
    """Return why a model cannot be asked by a method, or nothing; what it warns of goes to ``said``."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            method.attribute(model.prepared, segments, [[Target(target)]])
        except UsageError as error:
            return str(error)
        finally:
            said += [str(each.message) for each in caught if issubclass(each.category, UserWarning)]
    return ""


def _moments(model: Model) -> Float64Array:
    """Return the moments (s) of the samples of a segment, and of some more for the windows that reach beyond it."""
    clock, frames = model.classifier.front_end.clock, model.classifier.segment_frames
    return np.arange(int((frames + 4) * clock.hop + 0.2 * clock.sample_rate)) / clock.sample_rate


def _speed(model: Model, taken: Float32Array) -> float:
    batch = np.resize(taken, (TRIED, *taken.shape[1:]))
    model.classifier.logits(batch)
    begun = time.perf_counter()
    model.classifier.logits(batch)
    return TRIED / (time.perf_counter() - begun)


def _suspicions(tones: tuple[Tone, ...], answers: Float32Array, sample_rate: int) -> list[str]:
    """Return what the tones make unlikely: other classes for none of them, or an axis that names other hertz."""
    found = []
    if np.ptp(answers, axis=0).max() <= ALIKE * max(1.0, np.abs(answers).max()):
        found.append("every tone gets the same answer: is what it takes described right (log, mean and std, layout)?")
    gap = [tone for tone in tones if abs(np.log2(tone.loudest_hertz / tone.hertz)) > 1 and tone.hertz > 200]
    if gap:
        found.append(
            f"a tone of {gap[0].hertz:.0f} Hz is loudest at {gap[0].loudest_hertz:.0f} Hz: do window, bands and a "
            f"sample rate of {sample_rate} Hz fit?"
        )
    return found
