"""Embeddings of segments, computed once, for training a head alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from earwitness.audio.segments import SegmentedLogMels
from earwitness.core.arrays import Int64Array
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.models.classifier import Classifier


@dataclass(frozen=True)
class Embeddings:
    """Those of the segments that are learned from and that are held out, shape (rows, embedding) each."""

    train: Tensor
    validation: Tensor


def embedded(
    classifier: Classifier,
    segments: SegmentedLogMels,
    rows: Int64Array,
    progress: Progress = NO_PROGRESS,
    size: int = 64,
) -> Tensor:
    """Return the embeddings of segments, shape (rows, embedding), float32, on the CPU.

    Parameters
    ----------
    classifier
        Whose network embeds.
    segments, rows
        Recordings that are cut, and which of their segments.
    progress
        Told a step a segment.
    size
        Segments at once.
    """
    network = classifier.own_network.eval()
    parts = []
    with torch.no_grad(), progress.task("Computing embeddings", len(rows)) as advance:
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            values = torch.from_numpy(segments.inputs(some))
            parts.append(network.embed(values.to(classifier.device)).float().cpu())
            advance(len(some))
    return torch.cat(parts) if parts else torch.zeros(0)
