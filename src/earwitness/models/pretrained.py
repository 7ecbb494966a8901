"""Backbones used as they were published, without training."""

from __future__ import annotations

from pathlib import Path

from earwitness.core.errors import UsageError
from earwitness.models.classifier import Classifier
from earwitness.models.hierarchy import audioset_parents
from earwitness.models.registry import backbone_named
from earwitness.models.weights import NO_WEIGHTS, PUBLISHED, Resolved, audioset_labels, fill, resolve

# What a network that tags recordings sees at once: AudioSet's clips are 10 s long.
TAGGING_SECONDS = 10.0


def tagger_named(name: str, weights: Path | str | None = None) -> Classifier:
    """Return a tagger by its name, with its published weights or those of a file.

    Parameters
    ----------
    name
        The backbone.
    weights
        A file; None takes the published ones from where they were downloaded to.

    Raises
    ------
    UsageError
        The backbone has no published head, or its weights are not there.
    EarwitnessError
        The file is damaged.
    """
    check_tagger(name)
    return tagger(name, resolve(name, weights, random=False))


def check_tagger(name: str) -> None:
    """Refuse a backbone that knows no classes before it is trained, or that there is none of."""
    backbone_named(name)
    taggers = [key for key, published in PUBLISHED.items() if published.last_layer]
    if name not in taggers:
        raise UsageError(
            f"{name}: has no published classes, so it cannot be used without training; "
            f"use --backbone {' or '.join(taggers)}, or a trained run with --run"
        )


def tagger(name: str, weights: Resolved | None) -> Classifier:
    """Return a backbone with its published head: AudioSet's 527 classes, several of which may be right at once.

    Parameters
    ----------
    name
        The backbone.
    weights
        Its published file.

    Raises
    ------
    UsageError
        The backbone has no published head, or there is no file.
    """
    backbone = backbone_named(name)
    check_tagger(name)
    if weights is None:
        raise UsageError(f"{name}: from random weights it knows nothing; leave out --weights {NO_WEIGHTS}")
    classes = audioset_labels()
    network = backbone.build(len(classes))
    fill(network, name, weights, last_layer=True)
    frames = backbone.front_end.clock.seconds_to_frame_count(TAGGING_SECONDS)
    return Classifier(
        network=network.eval(),
        front_end=backbone.front_end,
        classes=classes,
        backbone=name,
        segment_frames=frames,
        overlap=0.0,
        activation="sigmoid",
        parents=audioset_parents(),
    )
