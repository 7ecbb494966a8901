"""A classifier's scores for recordings, segment by segment, and what follows from them: votes and means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from earwitness.audio.segments import SegmentedLogMels, cut
from earwitness.core.arrays import BoolArray, Float64Array, Int64Array, LogMel
from earwitness.core.device import to_numpy
from earwitness.core.progress import Progress, Silent
from earwitness.models.classifier import Classifier

SEGMENTS_AT_ONCE = 512  # overlapping segments of an hour would be several times its log-mel


@dataclass(frozen=True)
class Predictions:
    """A classifier's scores for every segment of some labelled recordings.

    Parameters
    ----------
    classes
        Names, in the order of the scores.
    files
        One name a recording.
    labels
        Shape (files,): each recording's true class.
    recording
        Shape (n,): per segment, its recording's position in ``files``.
    start_seconds, end_seconds
        Shape (n,): per segment, its place in the recording.
    scores
        Shape (n, classes): probabilities.
    """

    classes: tuple[str, ...]
    files: tuple[str, ...]
    labels: Int64Array
    recording: Int64Array
    start_seconds: Float64Array
    end_seconds: Float64Array
    scores: Float64Array

    @cached_property
    def segment_labels(self) -> Int64Array:
        """True class of each segment, shape (n,)."""
        return self.labels[self.recording]

    @cached_property
    def predicted(self) -> Int64Array:
        """Predicted class of each segment, shape (n,)."""
        return np.argmax(self.scores, axis=1).astype(np.int64)

    @cached_property
    def votes(self) -> Int64Array:
        """Segments that chose each class, shape (files, classes)."""
        counts = np.zeros((len(self.files), len(self.classes)), dtype=np.int64)
        np.add.at(counts, (self.recording, self.predicted), 1)
        return counts

    @cached_property
    def mean_scores(self) -> Float64Array:
        """Mean probability over each file's segments, shape (files, classes)."""
        sums = np.zeros((len(self.files), len(self.classes)))
        np.add.at(sums, self.recording, self.scores)
        return sums / np.bincount(self.recording, minlength=len(self.files))[:, None]

    @cached_property
    def tied(self) -> BoolArray:
        """Files whose vote ended in a tie, shape (files,)."""
        most = self.votes.max(axis=1, keepdims=True)
        return (self.votes == most).sum(axis=1) > 1

    @cached_property
    def file_predicted(self) -> Int64Array:
        """Class of each file by majority vote, shape (files,); among tied classes the higher mean score decides."""
        most = self.votes.max(axis=1, keepdims=True)
        return np.argmax(np.where(self.votes == most, self.mean_scores, -1.0), axis=1).astype(np.int64)

    @cached_property
    def file_predicted_by_mean(self) -> Int64Array:
        """Class of each file by mean score, shape (files,)."""
        return np.argmax(self.mean_scores, axis=1).astype(np.int64)


def segmented(classifier: Classifier, log_mels: Sequence[LogMel], names: Sequence[str]) -> SegmentedLogMels:
    """Return log-mels cut into segments as a classifier takes them: their length, their overlap, what pads them.

    Parameters
    ----------
    classifier
        Whose front end made the log-mels.
    log_mels
        Each of shape (frames, bands).
    names
        The recordings' names.
    """
    return cut(log_mels, names, classifier.front_end.silence, classifier.segment_frames, classifier.overlap)


def predict(
    classifier: Classifier,
    data: SegmentedLogMels,
    labels: Int64Array,
    recordings: Int64Array,
    progress: Progress | None = None,
) -> Predictions:
    """Let a classifier listen to recordings.

    Parameters
    ----------
    classifier
        Which one.
    data
        Log-mels and segments of recordings, by the classifier's front end and segment length.
    labels
        Shape (recordings in data,): true classes.
    recordings
        Positions in ``data`` of the recordings to listen to.
    progress
        Told a step a recording.
    """
    scores: list[Float64Array] = []
    chosen = np.asarray(recordings, dtype=np.int64)
    with (progress or Silent()).task("Listening", len(chosen)) as advance:
        rows = [data.rows_of([recording]) for recording in chosen]
        for row in rows:
            parts = np.array_split(row, -(-len(row) // SEGMENTS_AT_ONCE))
            scores += [to_numpy(classifier.probabilities(data.values(part))).astype(np.float64) for part in parts]
            advance(1)
    every = np.concatenate(rows)
    start = classifier.front_end.clock.frame_start_seconds(data.start_frames[every])
    return Predictions(
        classifier.classes,
        tuple(data.files[recording] for recording in chosen),
        np.asarray(labels, dtype=np.int64)[chosen],
        np.repeat(np.arange(len(chosen)), [len(row) for row in rows]),
        start,
        start + classifier.segment_seconds,
        np.concatenate(scores),
    )
