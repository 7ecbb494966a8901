"""Embeddings of segments, computed once, for training a head alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from earwitness.audio.segments import SegmentedLogMels
from earwitness.core.arrays import Float64Array, Int64Array
from earwitness.core.device import to_numpy
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.models.classifier import Classifier
from earwitness.models.prediction import together

AT_ONCE = 64


@dataclass(frozen=True)
class Embeddings:
    """Those of the segments that are learned from and that are held out, shape (rows, embedding) each."""

    train: Tensor
    validation: Tensor


def embedded(classifier: Classifier, segments: SegmentedLogMels, rows: Int64Array) -> Tensor:
    """Return the embeddings of segments, shape (rows, embedding), float32, on the CPU.

    Parameters
    ----------
    classifier
        Whose network embeds.
    segments, rows
        Recordings that are cut, and which of their segments.
    """
    network = classifier.own_network.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, len(rows), AT_ONCE):
            values = torch.from_numpy(segments.inputs(rows[start : start + AT_ONCE]))
            parts.append(network.embed(values.to(classifier.device)).float().cpu())
    return torch.cat(parts) if parts else torch.zeros(0)


@dataclass(frozen=True)
class Scored:
    """Embeddings of all segments, from which a head's predictions follow without another pass.

    Parameters
    ----------
    segments
        The recordings, cut.
    embeddings
        Shape (segments, embedding).
    """

    segments: SegmentedLogMels
    embeddings: Tensor

    def scores(self, classifier: Classifier, rows: Int64Array) -> Float64Array:
        """Return the probabilities of a held-out recording's segments, shape (rows, classes)."""
        cells = self.segments.segment_samples or self.segments.segment_frames * classifier.front_end.bands
        logits = [classifier.logits_of(self.embeddings[torch.from_numpy(part)], cells) for part in together(rows)]
        return to_numpy(classifier.activate(torch.cat(logits))).astype(np.float64)


def embedded_as_predicted(
    classifier: Classifier, segments: SegmentedLogMels, held_out: Int64Array, progress: Progress = NO_PROGRESS
) -> Scored:
    """Return the embeddings of all segments, float32, on the CPU.

    Parameters
    ----------
    classifier
        Whose network embeds.
    segments
        Recordings that are cut.
    held_out
        Positions of the recordings that are to be predicted: each is embedded alone, as predictions are made, for the
        last bit of what a network answers may depend on the batch.
    progress
        Told a step a segment.
    """
    alone = [part for recording in held_out for part in together(segments.rows_of([recording]))]
    others = np.setdiff1d(np.arange(len(segments)), np.concatenate([np.zeros(0, np.int64), *alone]))
    groups = [*alone, *(others[start : start + AT_ONCE] for start in range(0, len(others), AT_ONCE))]
    found = []
    with progress.task("Computing embeddings", len(segments)) as advance:
        for rows in groups:
            found.append(classifier.embeddings(segments.inputs(rows)))
            advance(len(rows))
    values = torch.cat(found)
    embeddings = torch.empty_like(values)
    embeddings[torch.from_numpy(np.concatenate(groups))] = values
    return Scored(segments, embeddings)
