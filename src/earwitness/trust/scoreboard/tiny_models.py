"""Small classifiers of made sounds, trained in a minute where a scoreboard needs one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from earwitness.audio import decoding
from earwitness.audio.logmel import log_mel
from earwitness.audio.segments import cut
from earwitness.core.arrays import Float32Array, Int64Array
from earwitness.core.device import to_numpy
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.data.synthetic import scenes
from earwitness.models.classifier import Classifier
from earwitness.models.registry import backbone_named
from earwitness.training.loop import TrainingData, train
from earwitness.training.recipes import COMPACT, Augmentation

BACKBONE = "compact"
# Many small steps: what a network needs before its batch norms have settled is steps, and small ones cost little.
BATCH = 8
SCENE_SEEDS = 700_000_000  # far from those of the cases
OVERLAP = 50.0


def learned(
    log_mels: Sequence[Float32Array],
    labels: Int64Array,
    classes: tuple[str, ...],
    *,
    epochs: int,
    overlap: float = 0.0,
    augmentation: Augmentation | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Progress = NO_PROGRESS,
) -> Classifier:
    """Return a compact network that has learned recordings.

    Parameters
    ----------
    log_mels, labels
        One array (frames, bands) by VGGish's front end, and one class number, a recording.
    classes
        Names.
    epochs
        Passes over the segments.
    overlap
        Of consecutive segments, in percent.
    augmentation
        What is changed while learning; nothing by default.
    seed
        The same seed gives the same weights on the same machine.
    device
        Where it learns, and is asked.
    progress
        Told of each iteration.
    """
    backbone = backbone_named(BACKBONE)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = backbone.build(len(classes))
    front_end = backbone.front_end
    made = Classifier(
        network=network.to(device).eval(),
        front_end=front_end,
        classes=classes,
        backbone=BACKBONE,
        segment_frames=front_end.segment_frames,
        overlap=overlap,
    )
    segments = cut(log_mels, [""] * len(log_mels), front_end.silence, front_end.segment_frames, overlap)
    data = TrainingData(segments, labels, np.arange(len(segments)), np.zeros(0, dtype=np.int64))
    recipe = replace(
        COMPACT,
        epochs=epochs,
        batch=BATCH,
        precision="float32",
        tf32=False,  # so that devices differ by rounding alone
        augmentation=augmentation or Augmentation(),
    )
    train(made, data, recipe, seed=seed, progress=progress)
    return made


def of_made_sounds(
    *,
    clips: int = 24,
    epochs: int = 4,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Progress = NO_PROGRESS,
) -> Classifier:
    """Return a compact network that has learned the ten classes of made sounds.

    Parameters
    ----------
    clips
        Of each class.
    epochs
        Passes over their segments.
    seed
        Of the sounds and of the training.
    device
        Where it learns, and is asked.
    progress
        Told of each clip and of each iteration.
    """
    front_end = backbone_named(BACKBONE).front_end
    log_mels, classes = [], scenes.CLASSES
    with progress.task("Making sounds to learn from", clips * len(classes)) as advance:
        for label in classes:
            for clip in range(clips):
                scene = scenes.make(label, SCENE_SEEDS + seed * 10_000 + clip)
                samples = decoding.resample(scene.samples, scene.sample_rate, front_end.sample_rate)
                log_mels.append(to_numpy(log_mel(front_end, torch.from_numpy(samples.astype(np.float32)))))
                advance(1)
    return learned(
        log_mels,
        np.repeat(np.arange(len(classes)), clips),
        classes,
        epochs=epochs,
        overlap=OVERLAP,
        augmentation=Augmentation(shift=True, gain_db=6.0),
        seed=seed,
        device=device,
        progress=progress,
    )
