"""Audits: does a classifier rely on something that is not the sound? Take it out, score again, count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from earwitness.core.arrays import BoolArray, Float64Array, Int64Array, Samples
from earwitness.core.errors import EarwitnessError
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.core.statistics import bootstrap_interval
from earwitness.models.classifier import Classifier
from earwitness.models.foreign.sound import score_samples
from earwitness.trust.audit.counterfactuals import COUNTERFACTUALS, Counterfactual, repeated
from earwitness.trust.audit.effects import (
    CLASS_CONFIDENCE,
    CONFIDENCE,
    LEAST_FALL,
    MOST_KEPT,
    Affected,
    Audit,
    ClassEffect,
    Effect,
)


@dataclass(frozen=True)
class Sounding:
    """A recording to be scored with and without.

    Parameters
    ----------
    file, label
        Its name and the index of its true class.
    samples
        Shape (n,), float32, at the front end's sample rate.
    """

    file: str
    label: int
    samples: Samples


@dataclass(frozen=True)
class Scored:
    """How one version of a recording was scored: share of segments right, true class's mean score, best mean class."""

    right: float
    score: float
    predicted: int


def audit(
    classifier: Classifier,
    recordings: Sequence[Sounding] | Callable[[], Iterator[Sounding]],
    count: int,
    *,
    seconds: float,
    formats: Sequence[str] = (),
    counterfactuals: Sequence[Counterfactual] = tuple(COUNTERFACTUALS.values()),
    seed: int = 0,
    progress: Progress = NO_PROGRESS,
) -> Audit:
    """Score recordings with and without each counterfactual.

    Parameters
    ----------
    classifier
        Which one.
    recordings
        With their true classes, or a function that yields them (one at a time is held).
    count
        How many there are.
    seconds
        How much of each recording there is at most; written down.
    formats
        Sentences on file formats that give a class away.
    counterfactuals
        What is taken out.
    seed
        Of the bootstrap.
    progress
        Told a step a recording.

    Raises
    ------
    EarwitnessError
        There is no recording.
    """
    scored: list[list[Scored]] = [[] for _ in range(1 + len(counterfactuals))]
    touched: list[list[bool]] = [[] for _ in counterfactuals]
    files, labels = [], []
    listed = recordings() if callable(recordings) else iter(recordings)
    with progress.task("Scoring with and without", count) as advance:
        for each in listed:
            files.append(each.file)
            labels.append(each.label)
            as_it_is = _scored(classifier, each.samples, each.label)
            scored[0].append(as_it_is)
            for place, counterfactual in enumerate(counterfactuals):
                changed = _without(counterfactual, each.samples, classifier)
                same = changed.shape == each.samples.shape and bool((changed == each.samples).all())
                touched[place].append(not same)
                scored[place + 1].append(as_it_is if same else _scored(classifier, changed, each.label))
            advance(1)
    if not files:
        raise EarwitnessError("the audit has no recording; evaluate the run on some first")
    truth = np.array(labels)
    effects = tuple(
        _effect(each, classifier.classes, files, truth, scored[0], scored[place + 1], np.array(touched[place]), seed)
        for place, each in enumerate(counterfactuals)
    )
    return Audit(
        effects=effects,
        classes=classifier.classes,
        files=len(files),
        seconds=seconds,
        formats=tuple(formats),
        seed=seed,
    )


def _without(counterfactual: Counterfactual, samples: Samples, classifier: Classifier) -> Samples:
    rate = classifier.front_end.sample_rate
    changed = counterfactual.change(samples, rate)
    return repeated(changed, rate, classifier.segment_seconds) if counterfactual.fills_up else changed


def _scored(classifier: Classifier, samples: Samples, label: int) -> Scored:
    scored = score_samples(classifier, samples)
    return Scored(float((scored.predicted == label).mean()), float(scored.mean[label]), int(scored.mean.argmax()))


def _effect(
    counterfactual: Counterfactual,
    classes: Sequence[str],
    files: Sequence[str],
    truth: Int64Array,
    before: Sequence[Scored],
    after: Sequence[Scored],
    touched: BoolArray,
    seed: int,
) -> Effect:
    right = np.array([[one.right, other.right] for one, other in zip(before, after, strict=True)])
    score = np.array([[one.score, other.score] for one, other in zip(before, after, strict=True)])
    change = right[:, 1] - right[:, 0]
    by_class = []
    for index, name in enumerate(classes):
        mine = truth == index
        if mine.any():
            means = right[mine].mean(axis=0)
            low, high = bootstrap_interval(change[mine], [seed, index], CLASS_CONFIDENCE)
            by_class.append(
                ClassEffect(
                    name=name,
                    files=int(mine.sum()),
                    touched=int(touched[mine].sum()),
                    before=float(means[0]),
                    after=float(means[1]),
                    low=low,
                    high=high,
                )
            )
    rise = score[:, 1] - score[:, 0]
    misled = np.array([one.predicted for one in before]) != truth
    mended = misled & (np.array([one.predicted for one in after]) == truth) & (rise >= LEAST_FALL)

    def affected(rows: list[int]) -> tuple[Affected, ...]:
        return tuple(
            Affected(
                file=files[row],
                label=classes[truth[row]],
                before=float(score[row, 0]),
                after=float(score[row, 1]),
                predicted_as=classes[after[row].predicted],
            )
            for row in rows
        )

    low, high = bootstrap_interval(change, [seed], CONFIDENCE)
    return Effect(
        name=counterfactual.name,
        question=counterfactual.question,
        taken=counterfactual.taken,
        files=len(files),
        touched=int(touched.sum()),
        before=float(right[:, 0].mean()),
        after=float(right[:, 1].mean()),
        low=low,
        high=high,
        score_change=float((score[:, 1] - score[:, 0]).mean()),
        classes=tuple(by_class),
        recordings=affected(_first_of_each_class(rise, truth, rise < 0)),
        corrected=affected(_first_of_each_class(-rise, truth, mended)),
    )


def _first_of_each_class(values: Float64Array, truth: Int64Array, wanted: BoolArray) -> list[int]:
    """Return the wanted rows of lowest value, lowest first, so many a class as are kept."""
    ranked = [int(row) for row in np.argsort(values, kind="stable") if wanted[row]]
    seen: Counter[int] = Counter()
    kept = []
    for row in ranked:
        seen[int(truth[row])] += 1
        if seen[int(truth[row])] <= MOST_KEPT:
            kept.append(row)
    return kept
