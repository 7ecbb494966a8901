"""Planted shortcuts: classifiers that learned from data in which one class carries an artefact, and rely on it.

Small networks learn four classes of made sounds that are hard to tell from each other, with one artefact in every clip
of one class. Whether a network relies on it is measured, not assumed: on held-out clips, the accuracy of that class
falls when the artefact is removed. Only then do its cases count; and of those only the ones in which the decision falls
without the artefact (:mod:`earwitness.trust.scoreboard.cases`), whichever class's clip carries it. So the truth is
where the artefact is: the share of each cell's energy that it brought, or took away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from earwitness.audio import decoding
from earwitness.audio.artefacts import ARTEFACTS, Artefact
from earwitness.core.arrays import BoolArray, Float32Array, Int64Array, Samples
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.data.synthetic import scenes
from earwitness.explainers.attribution import Target
from earwitness.models.classifier import Classifier
from earwitness.models.registry import backbone_named
from earwitness.trust.audit.measure import Sounding, audit
from earwitness.trust.scoreboard.cases import Case, probabilities
from earwitness.trust.scoreboard.mixtures import Stage
from earwitness.trust.scoreboard.tiny_models import BACKBONE, learned

CLASSES = ("crackling_fire", "helicopter", "rain", "sea_waves")
CARRIER = "rain"
SNR_DB = (-6.0, 6.0)  # faint enough for an artefact to be the easier way
SCENE_SEEDS = 800_000_000
SECONDS = 1.2
# The artefact is used where accuracy falls by at least this share when it is removed.
LEAST_FALL = 0.25


@dataclass(frozen=True)
class Size:
    """How much is spent on each planted shortcut.

    Parameters
    ----------
    train, held_out
        Clips of each class.
    epochs
        Of the training.
    """

    train: int
    held_out: int
    epochs: int


QUICK = Size(train=40, held_out=20, epochs=5)
FULL = Size(train=80, held_out=40, epochs=10)


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """A classifier that may rely on an artefact, and whether it does.

    Parameters
    ----------
    artefact
        What was planted.
    classifier
        Compact, for the front end of VGGish.
    accuracy
        Of the carrier's held-out clips with the artefact in them.
    without
        Of the same clips without it.
    audited
        Counterfactuals by which an audit of the held-out clips finds that the carrier relies on something.
    cases
        Held-out clips of all classes with the artefact in them, the carrier being the target; none where the
        artefact has no place, or is not used.
    """

    artefact: Artefact
    classifier: Classifier
    accuracy: float
    without: float
    audited: tuple[str, ...]
    cases: tuple[Case, ...]

    @property
    def used(self) -> bool:
        """Whether the classifier demonstrably relies on the artefact."""
        return self.accuracy - self.without >= LEAST_FALL

    def text(self) -> str:
        """Return what was measured, in one line."""
        line = (
            f"{self.artefact.name} ({self.artefact.title}): {100 * self.accuracy:.0f} % of the clips of its class are "
            f"right with it, {100 * self.without:.0f} % without"
        )
        if not self.used:
            return f"{line}; not used, so nothing is asked"
        line += f"; an audit finds it by {' and '.join(self.audited)}" if self.audited else "; no audit finds it"
        return line + ("" if self.artefact.placed else "; it has no place that a map could show")


@dataclass(frozen=True)
class _Clips:
    """Made clips without any artefact: samples (front end's rate), labels, and whether they are held out."""

    samples: tuple[Samples, ...]
    labels: Int64Array
    held_out: BoolArray


def plant(
    names: Sequence[str] = tuple(ARTEFACTS),
    *,
    size: Size = QUICK,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Progress = NO_PROGRESS,
) -> list[Shortcut]:
    """Train a classifier for each artefact, and measure whether it relies on it.

    Parameters
    ----------
    names
        Of artefacts.
    size
        How much is spent.
    seed
        The same seed gives the same classifiers on the same machine.
    device
        Where they learn, and are asked.
    progress
        Told of the sounds made and of each iteration.
    """
    backbone = backbone_named(BACKBONE)
    stage = Stage(backbone.front_end, CLASSES, backbone.front_end.segment_frames)
    clips = _make(stage, size, seed, progress)
    learn = partial(learned, epochs=size.epochs, seed=seed, device=device, progress=progress)
    return [_planted(ARTEFACTS[name], clips, stage, learn) for name in names]


def _make(stage: Stage, size: Size, seed: int, progress: Progress) -> _Clips:
    each = size.train + size.held_out
    samples, rate = [], stage.front_end.sample_rate
    with progress.task("Making sounds to plant artefacts in", each * len(CLASSES)) as advance:
        for number, label in enumerate(CLASSES):
            rng = np.random.default_rng([seed, number, 3])
            for clip in range(each):
                voice = SCENE_SEEDS + seed * 10_000 + clip
                scene = scenes.make(label, voice, seconds=SECONDS, snr_db=float(rng.uniform(*SNR_DB)))
                resampled = decoding.resample(scene.samples, scene.sample_rate, rate)
                samples.append(resampled[: stage.samples].astype(np.float32))
                advance(1)
    labels = np.repeat(np.arange(len(CLASSES)), each)
    return _Clips(tuple(samples), labels, np.tile(np.arange(each) >= size.train, len(CLASSES)))


def _planted(artefact: Artefact, clips: _Clips, stage: Stage, learn: Callable[..., Classifier]) -> Shortcut:
    rate, carrier = stage.front_end.sample_rate, CLASSES.index(CARRIER)
    plain = [stage.log_mel(each) for each in clips.samples]
    dirty = [artefact.put_in(each, rate) for each in clips.samples]
    marked = [stage.log_mel(each) for each in dirty]
    rows = np.flatnonzero(~clips.held_out)
    clips_of = [marked[row] if clips.labels[row] == carrier else plain[row] for row in rows]
    # Without augmentation: shifts would move a click from the edge, gains would hide a level.
    classifier = learn(clips_of, clips.labels[rows], CLASSES)
    mine = np.flatnonzero(clips.held_out & (clips.labels == carrier))
    accuracy, without = (
        float((probabilities(classifier, np.stack([each[row] for row in mine])).argmax(axis=1) == carrier).mean())
        for each in (marked, plain)
    )
    found = Shortcut(
        artefact=artefact,
        classifier=classifier,
        accuracy=accuracy,
        without=without,
        audited=_audited(artefact, classifier, clips, rate),
        cases=(),
    )
    if not (found.used and artefact.placed):
        return found
    # The classes in turn, so that a few cases are not of one class.
    rows = np.flatnonzero(clips.held_out).reshape(len(CLASSES), -1).T.ravel()
    cases = [
        Case(
            name=f"{artefact.name} in {CLASSES[clips.labels[row]]} {row}",
            kind=artefact.name,
            log_mel=marked[row],
            real_frames=stage.frames,
            target=Target(carrier),
            truth=change_mask(clips.samples[row], dirty[row], stage),
            without=plain[row],
        )
        for row in rows
    ]
    return replace(found, cases=tuple(cases))


def _audited(artefact: Artefact, classifier: Classifier, clips: _Clips, sample_rate: int) -> tuple[str, ...]:
    """Return what an audit says that the carrier relies on, by its held-out clips with the artefact in them."""
    carrier = CLASSES.index(CARRIER)
    soundings = [
        Sounding(f"{CARRIER} {row}", carrier, artefact.put_in(clips.samples[row], sample_rate))
        for row in np.flatnonzero(clips.held_out & (clips.labels == carrier))
    ]
    found = audit(classifier, soundings, len(soundings), seconds=SECONDS)
    return tuple(each.name for each in found.effects if CARRIER in each.relying)


def change_mask(clean: Samples, changed: Samples, stage: Stage) -> Float32Array:
    """Return the share of each cell, (frames, bands), that an artefact brought or took away.

    Parameters
    ----------
    clean, changed
        Samples (n,) without and with it. Energy that was brought is held against the clean sound, energy that was
        taken away against what is left.
    stage
        Whose grid.
    """
    difference = changed - clean
    rest = clean if np.square(changed).sum() >= np.square(clean).sum() else changed
    return stage.mask(difference, rest)
