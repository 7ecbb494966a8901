"""Networks that begin from published weights: for transfer learning, or as they are."""

from __future__ import annotations

import torch

from earwitness.backbones import backbone_named
from earwitness.backbones.network import Network
from earwitness.backbones.weights import Resolved, audioset_labels, open_state_dict
from earwitness.classifier import Classifier
from earwitness.errors import UsageError

# The published file's name for the layer that ours calls FCFinal, and its number of classes.
PUBLISHED_HEADS = {"mn04": ("classifier.5", 527)}
OURS = ("standardise.", "FCFinal.")
# What a network that tags whole recordings hears at once: AudioSet's clips are 10 s long.
TAGGING_SECONDS = 10.0

Expected = dict[str, tuple[tuple[int, ...], torch.dtype]]


def expected_entries(name: str, network: Network) -> Expected:
    """Return the entries that a backbone's published file must hold: shape and dtype by name."""
    state = network.state_dict()
    entries: Expected = {
        key: (tuple(value.shape), value.dtype) for key, value in state.items() if not key.startswith(OURS)
    }
    if name in PUBLISHED_HEADS:
        head, classes = PUBLISHED_HEADS[name]
        hidden = state["FCFinal.weight"].shape[1]
        entries[f"{head}.weight"] = ((classes, hidden), torch.float32)
        entries[f"{head}.bias"] = ((classes,), torch.float32)
    return entries


def load_published(name: str, network: Network, weights: Resolved, *, with_head: bool = False) -> None:
    """Fill a backbone's network with published weights.

    Parameters
    ----------
    name
        The backbone.
    network
        Changed in place; its new last layer keeps its random weights unless ``with_head``.
    weights
        The file, already chosen; its SHA-256 is checked once more as it is opened.
    with_head
        Take the published last layer too (the network must have its number of classes).
    """
    state = open_state_dict(weights.path, expected_entries(name, network), weights.sha256)
    if name in PUBLISHED_HEADS:
        head, _ = PUBLISHED_HEADS[name]
        published = {part: state.pop(f"{head}.{part}") for part in ("weight", "bias")}
        if with_head:
            state.update({f"FCFinal.{part}": value for part, value in published.items()})
    network.load_state_dict({**network.state_dict(), **state})


def tagger(name: str, weights: Resolved | None, segment_seconds: float = TAGGING_SECONDS) -> Classifier:
    """Return a backbone with its published head: AudioSet's 527 classes, several of which may be right at once.

    Parameters
    ----------
    name
        The backbone.
    weights
        Its published file.
    segment_seconds
        How much it hears at once.

    Raises
    ------
    UsageError
        The backbone has no published head, or there is no file.
    """
    backbone = backbone_named(name)
    if name not in PUBLISHED_HEADS:
        raise UsageError(
            f"{name}: has no published classes, so it cannot be used without training; "
            f"use --backbone {', '.join(PUBLISHED_HEADS)} or a trained run with --run"
        )
    if weights is None:
        raise UsageError(f"{name}: cannot be used without training from random weights; leave --weights out")
    network = backbone.build(PUBLISHED_HEADS[name][1])
    load_published(name, network, weights, with_head=True)
    frames = backbone.front_end.clock.seconds_to_frame_count(segment_seconds)
    return Classifier(network.eval(), backbone.front_end, audioset_labels(), name, frames, 0.0, "sigmoid")
