"""A classifier's scores for recordings, segment by segment, and what follows from them: votes and means."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from earwitness.audio.extraction import HeldLogMel, LogMelSource, stretches
from earwitness.audio.segments import SegmentedLogMels, Segments, cut, sound_at
from earwitness.audio.timefreq import Clock, leaves_tail, segment_hop
from earwitness.core.arrays import BoolArray, Float64Array, Int64Array, LogMel, Samples
from earwitness.core.device import to_numpy
from earwitness.core.errors import EarwitnessError
from earwitness.core.progress import NO_PROGRESS, Advance, Progress
from earwitness.models.classifier import Classifier

SEGMENTS_AT_ONCE = 512  # overlapping segments of an hour would be several times its log-mel


@dataclass(frozen=True, kw_only=True)
class ScoredRecording:
    """A recording cut into segments, with a classifier's scores of each.

    Parameters
    ----------
    file
        Its name, printable.
    classes, clock, silence
        Of the classifier; ``silence`` is the log-mel value of a silent cell.
    source
        Its log-mel: held in memory, or read from the file anew each time.
    real_frames
        Frames of the log-mel.
    segment_frames, start_frames
        Frames in a segment, and the first of each, shape (n,).
    scores
        Shape (n, classes): every segment's probabilities.
    notes
        Sentences that a reader must know of the recording, such as on sound that the model does not use.
    lasts
        Seconds of the recording itself, whose last frame may be cut short or reach beyond it; 0 where nobody measured.
    samples, segment_samples
        For a classifier over waveforms: the recording, and how many samples of it are in a segment.
    padding
        The value of a cell after its end; None for silence.
    """

    file: str
    classes: tuple[str, ...]
    clock: Clock
    silence: float
    source: LogMelSource
    real_frames: int
    segment_frames: int
    start_frames: Int64Array
    scores: Float64Array
    notes: tuple[str, ...] = ()
    lasts: float = 0.0
    samples: Samples | None = None
    segment_samples: int = 0
    padding: float | None = None

    @property
    def padding_value(self) -> float:
        """The value of a cell after its end."""
        return self.silence if self.padding is None else self.padding

    @property
    def seconds(self) -> float:
        """Its length; that of its frames where nobody measured the recording's own."""
        return self.lasts or self.real_frames * self.clock.frame_seconds

    @cached_property
    def mean(self) -> Float64Array:
        """Mean probability over the segments, shape (classes,)."""
        return np.asarray(self.scores.mean(axis=0))

    @cached_property
    def predicted(self) -> Int64Array:
        """The class that each segment votes for, shape (n,)."""
        return self.scores.argmax(axis=1).astype(np.int64)

    @cached_property
    def votes(self) -> Int64Array:
        """Segments that vote for each class, shape (classes,)."""
        return np.bincount(self.predicted, minlength=len(self.classes)).astype(np.int64)

    @cached_property
    def voted(self) -> int:
        """The class with most votes; among equals, the one of the higher mean."""
        return int(majority(self.votes, self.mean))

    def best(self, count: int) -> list[int]:
        """Return the classes of the highest mean, best first."""
        return [int(index) for index in np.argsort(-self.mean, kind="stable")[:count]]

    def take(self, rows: Sequence[int] | Int64Array) -> Segments:
        """Return some of its segments, in that order.

        Raises
        ------
        EarwitnessError
            The file is no longer what was scored.
        """
        starts = self.start_frames[np.asarray(rows, dtype=np.int64)]
        real = np.clip(self.real_frames - starts, 0, self.segment_frames)
        values = np.full((len(starts), self.segment_frames, self.clock.bands), self.padding_value, dtype=np.float32)
        order = np.argsort(starts, kind="stable")
        spans = [(int(starts[row]), int(starts[row] + real[row])) for row in order]
        for row, found in zip(order, self.excerpts(spans), strict=True):
            values[row, : len(found)] = found
        heard = None
        if self.samples is not None:
            heard = sound_at(self.samples, starts * self.clock.hop, self.segment_samples)
        return Segments(values, starts, real, (self.file,) * len(starts), heard)

    def excerpts(self, spans: Sequence[tuple[int, int]]) -> Iterator[LogMel]:
        """Yield stretches of the log-mel that lie in it, as :func:`earwitness.audio.extraction.stretches` does.

        Raises
        ------
        EarwitnessError
            The file is no longer what was scored.
        """
        for (first, end), found in zip(spans, stretches(self.source, spans), strict=True):
            if len(found) < end - first:
                raise EarwitnessError(f"{self.file}: became shorter while it was explained; explain it again")
            yield found


def score_recording(
    classifier: Classifier,
    log_mel: LogMel,
    file: str = "",
    *,
    segment_frames: int | None = None,
    tail: bool | None = None,
    progress: Progress = NO_PROGRESS,
) -> ScoredRecording:
    """Cut a recording into segments and score each.

    Parameters
    ----------
    classifier
        Which one.
    log_mel
        Shape (frames, bands), by the classifier's front end.
    file
        The recording's name.
    segment_frames
        Another length of segments than the classifier's.
    tail
        Whether a last segment ends flush with the recording; None as the classifier was trained.
    progress
        Told a step a segment.
    """
    padding, frames = classifier.front_end.padding_value, segment_frames or classifier.segment_frames
    data = cut([log_mel], [file], padding, frames, classifier.overlap, tail=classifier.tail if tail is None else tail)
    with progress.task("Scoring segments", len(data)) as advance:
        scores = _scores(classifier, data, np.arange(len(data)), advance)
    return _scored(classifier, file, HeldLogMel(log_mel), data.real_frames[0], frames, data.start_frames, scores)


def score_stream(
    classifier: Classifier,
    source: LogMelSource,
    file: str = "",
    progress: Progress = NO_PROGRESS,
    *,
    tail: bool = True,
) -> ScoredRecording:
    """Score the segments of a recording that is longer than memory is large.

    Parameters
    ----------
    classifier, file, progress, tail
        As for :func:`score_recording`.
    source
        The recording's log-mel, read once.
    """
    frames, padding = classifier.segment_frames, classifier.front_end.padding_value
    hop = segment_hop(frames, classifier.overlap)
    length = hop * (SEGMENTS_AT_ONCE - 1) + frames
    firsts = range(0, sys.maxsize, hop * SEGMENTS_AT_ONCE)
    # Each part begins a segment early, so that the last one of all, flush with the end, finds its frames in any part.
    parts = stretches(source, ((max(0, first - frames), first + length) for first in firsts))
    starts: list[Int64Array] = []
    scores: list[Float64Array] = []
    end = 0
    with progress.task("Scoring segments", None) as advance:
        for first, part in zip(firsts, parts, strict=False):
            early = min(first, frames)
            own, end = part[early:], first - early + len(part)
            if len(own) >= frames or not starts:
                data = cut([own], [file], padding, frames, classifier.overlap, tail=False)
                starts.append(first + data.start_frames)
                scores.append(_scores(classifier, data, np.arange(len(data)), advance))
            if len(own) < length:
                break
        if tail and leaves_tail(end - frames - int(starts[-1][-1]), frames):
            data = cut([part[-frames:]], [file], padding, frames, classifier.overlap)
            starts.append(np.array([end - frames]))
            scores.append(_scores(classifier, data, np.arange(1), advance))
    return _scored(classifier, file, source, end, frames, np.concatenate(starts), np.concatenate(scores))


def _scored(
    classifier: Classifier,
    file: str,
    source: LogMelSource,
    real_frames: int,
    segment_frames: int,
    start_frames: Int64Array,
    scores: Float64Array,
) -> ScoredRecording:
    return ScoredRecording(
        file=file,
        classes=classifier.classes,
        clock=classifier.front_end.clock,
        silence=classifier.front_end.silence,
        padding=classifier.front_end.padding_value,
        source=source,
        real_frames=real_frames,
        segment_frames=segment_frames,
        start_frames=start_frames,
        scores=scores,
    )


def _scores(
    classifier: Classifier, data: SegmentedLogMels, rows: Int64Array, advance: Advance | None = None
) -> Float64Array:
    """Return the probabilities of segments, shape (rows, classes), a bounded number of segments at a time."""
    found = []
    for part in together(rows):
        found.append(to_numpy(classifier.probabilities(data.inputs(part))).astype(np.float64))
        if advance is not None:
            advance(len(part))
    return np.concatenate(found)


def together(rows: Int64Array) -> list[Int64Array]:
    """Return rows in as few parts as are scored together."""
    return np.array_split(rows, -(-len(rows) // SEGMENTS_AT_ONCE))


def majority(votes: Int64Array, means: Float64Array) -> Int64Array:
    """Return the class with most votes; among equals, the one of the higher mean.

    Parameters
    ----------
    votes, means
        Shape (..., classes).
    """
    most = votes.max(axis=-1, keepdims=True)
    return np.argmax(np.where(votes == most, means, -np.inf), axis=-1).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
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
    silent
        Shape (n,): per segment, the share of its frames that hold no sound; None where that is not known.
    """

    classes: tuple[str, ...]
    files: tuple[str, ...]
    labels: Int64Array
    recording: Int64Array
    start_seconds: Float64Array
    end_seconds: Float64Array
    scores: Float64Array
    silent: Float64Array | None = None

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
        return majority(self.votes, self.mean_scores)

    @cached_property
    def file_predicted_by_mean(self) -> Int64Array:
        """Class of each file by mean score, shape (files,)."""
        return np.argmax(self.mean_scores, axis=1).astype(np.int64)


def segmented(
    classifier: Classifier, log_mels: Sequence[LogMel], names: Sequence[str], sounds: Sequence[Samples] | None = None
) -> SegmentedLogMels:
    """Return log-mels cut into segments as a classifier takes them: their length, their overlap, what pads them.

    Parameters
    ----------
    classifier
        Whose front end made the log-mels.
    log_mels, names
        Each of shape (frames, bands), and the recordings' names.
    sounds
        Of a classifier over waveforms, their samples at the front end's rate.
    """
    padding, frames = classifier.front_end.padding_value, classifier.segment_frames
    found = cut(log_mels, names, padding, frames, classifier.overlap, tail=classifier.tail)
    if sounds is None:
        return found
    hop, samples = classifier.front_end.hop, classifier.segment_samples
    return replace(found, samples=tuple(sounds), segment_samples=samples, hop=hop)


def predict(
    classifier: Classifier,
    data: SegmentedLogMels,
    labels: Int64Array,
    recordings: Int64Array,
    progress: Progress = NO_PROGRESS,
    scores_of: Callable[[Int64Array], Float64Array] | None = None,
) -> Predictions:
    """Score the segments of recordings.

    Parameters
    ----------
    classifier
        Which one.
    data
        Log-mels and segments of recordings, by the classifier's front end and segment length.
    labels
        Shape (recordings in data,): true classes.
    recordings
        Positions in ``data`` of the recordings to score.
    progress
        Told a step a recording.
    scores_of
        Returns the probabilities of segments by their rows, where they are known; None asks the network.
    """
    scores: list[Float64Array] = []
    chosen = np.asarray(recordings, dtype=np.int64)
    with progress.task("Scoring recordings", len(chosen)) as advance:
        rows = [data.rows_of([recording]) for recording in chosen]
        for row in rows:
            scores.append(_scores(classifier, data, row) if scores_of is None else scores_of(row))
            advance(1)
    every = np.concatenate(rows)
    start = classifier.front_end.clock.frame_start_seconds(data.start_frames[every])
    return Predictions(
        classes=classifier.classes,
        files=tuple(data.files[recording] for recording in chosen),
        labels=np.asarray(labels, dtype=np.int64)[chosen],
        recording=np.repeat(np.arange(len(chosen)), [len(row) for row in rows]),
        start_seconds=start,
        end_seconds=start + classifier.segment_seconds,
        scores=np.concatenate(scores),
        silent=data.silent_shares(every, classifier.front_end.silence),
    )
