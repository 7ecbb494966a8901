"""How well maps hold as sound: scores of what is kept and of the rest, against patches of the same area."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from earwitness.audio.logmel import energy_of
from earwitness.audio.stft import Stft, apply_gains
from earwitness.core.arrays import BoolArray, Float32Array, Float64Array, LogMel
from earwitness.core.device import to_numpy
from earwitness.core.statistics import Interval, bootstrap_interval, wilson_interval
from earwitness.models.classifier import Classifier
from earwitness.sonify.masks import FLOOR, Mask, gains, smooth
from earwitness.sonify.patches import band_pass, loudest_patch, random_patch
from earwitness.sonify.scoring import score_sound

RANDOM, LOUDEST, BAND_PASS = "random patch", "loudest patch", "band-pass"
PATCHES = (RANDOM, LOUDEST, BAND_PASS)

# L-MAC (Paissan, Ravanelli & Subakan, *Listenable Maps for Audio Classifiers*, ICML 2024) on ESC-50: what its recipe in
# SpeechBrain publishes of mixtures of two recordings, with CNN14.
PUBLISHED = {"increase": 0.616, "drop": 0.038, "gain": 0.335, "faithfulness": 0.40, "input_fidelity": 0.82}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One stretch of one recording, parted by one mask.

    Parameters
    ----------
    recording, start_seconds, label
        Which one, and its true class.
    target
        The class that is explained.
    method, against
        The method; the patch that takes its map's place, or ``""`` for the map itself.
    area
        Share of the cells that is kept.
    original, kept, removed
        The target's probability.
    predicted
        Class that the original is predicted as.
    kept_predicted, removed_predicted
        Class that is predicted.
    """

    recording: str
    start_seconds: float
    label: str
    target: str
    method: str
    against: str
    area: float
    original: float
    kept: float
    removed: float
    predicted: str
    kept_predicted: str
    removed_predicted: str


def keep_of(samples: Float32Array, sample_rate: int, mask: Mask, start_seconds: float) -> Float32Array:
    """Return what a mask keeps of samples (n, channels) that begin at a moment of the recording."""
    grid = Stft.of(sample_rate)
    made = apply_gains(grid, [samples], gains(mask, grid, start_seconds, FLOOR))
    return np.concatenate([kept for _, kept in made])


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What is explained of a recording, in memory.

    Parameters
    ----------
    samples
        Shape (n, channels), at the recording's own rate.
    sample_rate
        Hz.
    start_seconds
        Where it begins.
    log_mel, times
        Shapes (frames, bands) and (frames,): what the model was shown, and the frames' middles in the recording.
    """

    samples: Float32Array
    sample_rate: int
    start_seconds: float
    log_mel: LogMel
    times: Float64Array


def patch_masks(classifier: Classifier, stretch: Stretch, area: float, seed: Sequence[int]) -> dict[str, Mask]:
    """Return the patches of an area that a map must beat, by name."""
    front_end = classifier.front_end
    energy = to_numpy(energy_of(front_end, torch.from_numpy(stretch.log_mel.astype(np.float64))))
    energy = energy ** (2 / front_end.power)
    patches = {
        RANDOM: random_patch(stretch.log_mel.shape, area, seed),
        LOUDEST: loudest_patch(energy, area),
        BAND_PASS: band_pass(energy, area),
    }
    return {name: smooth(kept, stretch.times, front_end.clock, name) for name, kept in patches.items()}


def measured(classifier: Classifier, stretch: Stretch, masks: dict[tuple[str, str], Mask], **known: Any) -> list[Row]:
    """Score what masks keep of a stretch and what they leave.

    Parameters
    ----------
    classifier, stretch
        What scores what.
    masks
        By method, and what stands in its place.
    known
        The rest of :class:`Row`: ``recording``, ``label``, ``target``.
    """
    target = classifier.class_index(known["target"])

    def scores(samples: Float32Array) -> Float64Array:
        seconds = len(samples) / stretch.sample_rate
        return score_sound(classifier, iter([samples]), stretch.sample_rate, seconds)

    original = scores(stretch.samples)
    parted: dict[int, tuple[Float64Array, Float64Array]] = {}  # patches of one area stand in several maps' place
    rows = []
    for (method, against), mask in masks.items():
        if id(mask) not in parted:
            kept = keep_of(stretch.samples, stretch.sample_rate, mask, stretch.start_seconds)
            parted[id(mask)] = scores(kept), scores(stretch.samples - kept)
        of_kept, of_removed = parted[id(mask)]
        best = [classifier.classes[int(each.argmax())] for each in (original, of_kept, of_removed)]
        rows.append(
            Row(
                start_seconds=stretch.start_seconds,
                method=method,
                against=against,
                area=mask.area,
                original=float(original[target]),
                kept=float(of_kept[target]),
                removed=float(of_removed[target]),
                predicted=best[0],
                kept_predicted=best[1],
                removed_predicted=best[2],
                **known,
            )
        )
    return rows


@dataclass(frozen=True)
class Measure:
    """A mean over recordings with its interval of 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """What a method's maps, or patches in their place, keep and leave, over many recordings.

    Parameters
    ----------
    method, against
        As for :class:`Row`.
    recordings, area
        How many, and the mean share of the cells that is kept.
    kept, removed
        Share in which what is kept, or what is left, is predicted as the class that is explained.
    increase
        Share in which what is kept scores higher than all (average increase; Chattopadhay et al., *Grad-CAM++*, WACV
        2018, there for images).
    drop
        By which share the score falls when only what is kept is left, rises counting 0 (average drop; ibid.).
    gain
        By which share of what is missing to 1 it rises, falls counting 0 (average gain; Zhang et al., *Opti-CAM*,
        2024).
    faithfulness
        What the score loses when the evidence is taken out (Parekh et al., *Listen to Interpret*, NeurIPS 2022).
    input_fidelity
        Share in which what is kept is predicted as all is (Paissan et al., ICML 2024).
    """

    method: str
    against: str
    recordings: int
    area: float
    kept: Measure
    removed: Measure
    increase: Measure
    drop: Measure
    gain: Measure
    faithfulness: Measure
    input_fidelity: Measure


MEASURES: dict[str, Callable[[Row], float | bool]] = {
    "kept": lambda row: row.kept_predicted == row.target,
    "removed": lambda row: row.removed_predicted == row.target,
    "increase": lambda row: row.kept > row.original,
    "drop": lambda row: max(0.0, row.original - row.kept) / max(row.original, np.finfo(np.float64).tiny),
    "gain": lambda row: max(0.0, row.kept - row.original) / max(1 - row.original, np.finfo(np.float64).eps),
    "faithfulness": lambda row: row.original - row.removed,
    "input_fidelity": lambda row: row.kept_predicted == row.predicted,
}


def fidelities(rows: Sequence[Row], seed: int = 0) -> list[Fidelity]:
    """Return the measures of each method, and of each patch in its place, in the order in which they come."""
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        grouped.setdefault((row.method, row.against), []).append(row)
    return [
        Fidelity(
            method=method,
            against=against,
            recordings=len(group),
            area=float(np.mean([row.area for row in group])),
            **{name: _measure([of(row) for row in group], seed) for name, of in MEASURES.items()},
        )
        for (method, against), group in grouped.items()
    ]


@dataclass(frozen=True, kw_only=True)
class Advantage:
    """By how much a method's maps differ from patches in their place, paired by recording; positive is better.

    Parameters
    ----------
    method, against
        Which.
    kept, removed, faithfulness
        How much more often what is kept, and less often what is left, is predicted as the class; how much more the
        score loses.
    """

    method: str
    against: str
    kept: Measure
    removed: Measure
    faithfulness: Measure


def advantages(rows: Sequence[Row], seed: int = 0) -> list[Advantage]:
    """Return each method's advantages over each patch."""
    by = {(row.method, row.against, row.recording): row for row in rows}
    methods = dict.fromkeys(row.method for row in rows)
    patches = [name for name in dict.fromkeys(row.against for row in rows) if name]
    found = []
    for method in methods:
        own = [row for row in rows if row.method == method and not row.against]
        for against in patches:
            differences = {
                name: [
                    sign * (float(MEASURES[name](row)) - float(MEASURES[name](by[method, against, row.recording])))
                    for row in own
                ]
                for name, sign in (("kept", 1), ("removed", -1), ("faithfulness", 1))
            }
            measures = {name: _measure(values, seed) for name, values in differences.items()}
            found.append(Advantage(method=method, against=against, **measures))
    return found


def _measure(values: Sequence[float | bool], seed: int) -> Measure:
    array: Float64Array | BoolArray = np.asarray(values)
    interval: Interval
    if array.dtype == np.bool_:
        interval = wilson_interval(int(array.sum()), len(array))
    else:
        interval = bootstrap_interval(array.astype(np.float64), [seed])
    return Measure(float(array.mean()), *interval)


def as_dicts(found: Sequence[Fidelity | Advantage | Row]) -> list[dict[str, Any]]:
    """Return measures as JSON types."""
    return [asdict(each) for each in found]
