"""Small labelled sounds, on disk and as log-mels, that a network learns within seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from earwitness.audio import decoding
from earwitness.audio.frontend import VGGISH, FrontEnd
from earwitness.audio.segments import cut
from earwitness.models.classifier import Classifier
from earwitness.models.registry import BACKBONES
from earwitness.training.loop import TrainingData

LABELS = ("hiss", "high", "low")
RATE = 16_000


def write_sounds(folder: Path, clips: int = 6, seconds: float = 1.0) -> Path:
    """Write one folder a class: noise, a high tone, a low tone, each clip another."""
    random = np.random.default_rng(5)
    moments = np.arange(round(seconds * RATE)) / RATE
    for label in LABELS:
        for take in range(clips):
            noise = random.standard_normal(len(moments))
            hz = {"hiss": 0, "high": 4000 + 100 * take, "low": 300 + 20 * take}[label]
            samples = 0.2 * noise if label == "hiss" else 0.3 * np.sin(2 * np.pi * hz * moments) + 0.02 * noise
            decoding.write_wav(folder / label / f"take{take}.wav", samples.astype(np.float32), RATE)
    return folder


def made_data(
    front_end: FrontEnd = VGGISH,
    files: int = 12,
    frames: int = 64,
    length: int = 32,
    spread: float = 1.0,
    seed: int = 0,
) -> TrainingData:
    """Return log-mels of three classes, each loud in another third of the bands; every third triple is held out."""
    random = np.random.default_rng(seed)
    labels = np.arange(files) % 3
    third = front_end.bands // 3
    log_mels = []
    for label in labels:
        values = spread * random.standard_normal((frames, front_end.bands)) - 2.0
        values[:, label * third : (label + 1) * third] += 1.0
        log_mels.append(values.astype(np.float32))
    segments = cut(log_mels, [f"{number}.wav" for number in range(files)], front_end.silence, length, 75.0)
    held_out = np.flatnonzero(np.arange(files) // 3 % 3 == 2)
    rest = np.setdiff1d(np.arange(files), held_out)
    return TrainingData(segments, labels.astype(np.int64), segments.rows_of(rest), segments.rows_of(held_out))


def new_classifier(backbone: str = "compact", length: int = 32, classes: tuple[str, ...] = LABELS) -> Classifier:
    """Return a classifier with random weights that do not depend on what was drawn before."""
    import torch

    from earwitness.models.vggish import initialise_he

    line = BACKBONES[backbone]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = line.build(len(classes))
        initialise_he(network, 0)
    return Classifier(
        network=network,
        front_end=line.front_end,
        classes=classes,
        backbone=backbone,
        segment_frames=length,
        overlap=75.0,
    )
