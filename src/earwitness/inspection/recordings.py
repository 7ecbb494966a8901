"""The question to a whole recording: what each of its segments heard, and on what the mean of their scores hangs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from earwitness.audio.extraction import log_mel_of
from earwitness.audio.segments import SegmentedLogMels, cut
from earwitness.audio.timefreq import Clock
from earwitness.core.device import to_numpy
from earwitness.core.errors import UsageError, printable
from earwitness.core.progress import Progress, Silent
from earwitness.explainers.attribution import Attribution, Target
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.perturbation.occlusion import Occlusion
from earwitness.explainers.perturbation.recording import explain_recording
from earwitness.explainers.registry import parse
from earwitness.inspection.files import file_name, segment_frames
from earwitness.models.classifier import Classifier
from earwitness.training.evaluation import SEGMENTS_AT_ONCE

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
METHODS = (Occlusion.name,)


@dataclass(frozen=True)
class WholeMap:
    """What a method found over a whole recording for one class.

    Parameters
    ----------
    method
        The explainer.
    map
        What is lost when a mask hides some time and some bands.
    profile
        What is lost when all bands of a moment are hidden, by the same method; the map itself where it is that.
    """

    method: Occlusion
    map: Attribution
    profile: Attribution


@dataclass(frozen=True)
class HeardWhole:
    """What was heard in a whole recording.

    Parameters
    ----------
    file
        Its name, printable.
    name
        Of its pictures, safe in any file system.
    clock, classes, silence
        Of the classifier; ``silence`` is the log-mel value of a silent cell.
    log_mel
        Shape (frames, bands), float32; padded with silence where it is shorter than a segment.
    real_frames
        Frames before the padding.
    segment_frames, start_frames
        Frames in a segment, and the first of each, shape (n,).
    scores
        Shape (n, classes): every segment's probabilities.
    top
        Classes to list.
    maps
        A list a target, in each one entry a method.
    """

    file: str
    name: str
    clock: Clock
    classes: tuple[str, ...]
    silence: float
    log_mel: npt.NDArray[np.float32]
    real_frames: int
    segment_frames: int
    start_frames: IntArray
    scores: FloatArray
    top: int
    maps: tuple[tuple[WholeMap, ...], ...]

    @property
    def seconds(self) -> float:
        """Its length as far as it was listened to."""
        return self.real_frames * self.clock.frame_seconds

    @property
    def heard_frames(self) -> int:
        """Frames before the end of the last segment: a tail that fills no segment is heard by nobody."""
        return int(self.start_frames[-1]) + self.segment_frames

    @cached_property
    def mean(self) -> FloatArray:
        """Mean probability over the segments, shape (classes,)."""
        return np.asarray(self.scores.mean(axis=0))

    @cached_property
    def predicted(self) -> IntArray:
        """The class that each segment votes for, shape (n,)."""
        return self.scores.argmax(axis=1).astype(np.int64)

    @cached_property
    def votes(self) -> IntArray:
        """Segments that vote for each class, shape (classes,)."""
        return np.bincount(self.predicted, minlength=len(self.classes)).astype(np.int64)

    @cached_property
    def voted(self) -> int:
        """The class with most votes; among equals, the one of the higher mean."""
        return int(np.argmax(np.where(self.votes == self.votes.max(), self.mean, -1.0)))

    def vote_words(self, index: int) -> str:
        """Return how many of the segments vote for a class, in words."""
        return f"{self.votes[index]} of {len(self.scores)} segment{'s' if len(self.scores) > 1 else ''}"

    def best(self, count: int) -> list[int]:
        """Return the classes of the highest mean, best first."""
        return [int(index) for index in np.argsort(-self.mean, kind="stable")[:count]]


def explainers(methods: Sequence[str]) -> list[Occlusion]:
    """Return the methods by these names, as far as they can explain a whole recording.

    Raises
    ------
    UsageError
        One cannot, or is none.
    """
    found = []
    for each in [parse(method) for method in methods]:
        if not isinstance(each, Occlusion):
            raise UsageError(
                f"--whole: {each.name} explains single segments; of the methods, {Occlusion.name} can explain a whole "
                "recording (also occlusion:along=time and along=bands)"
            )
        found.append(each)
    return found


def hear_whole(
    classifier: Classifier,
    path: Path,
    methods: Sequence[Occlusion],
    *,
    targets: Sequence[str] = (),
    top: int = 5,
    prepared: Prepared | None = None,
    progress: Progress | None = None,
) -> HeardWhole:
    """Let a classifier listen to all of a file, and explain the mean of its segments' scores.

    Parameters
    ----------
    classifier
        Which one; it cuts the recording as it was trained to.
    path
        The file.
    methods
        The explainers.
    targets
        Classes to explain; none takes the one of the highest mean score.
    top
        How many classes are listed.
    prepared
        The classifier prepared for explaining, where several files are explained; None prepares it for this one.
    progress
        Told how far it is.

    Raises
    ------
    BadRecordingError
        The file cannot be used.
    UsageError
        The classifier has no such class, or a mask is larger than a segment of this file.
    """
    indices = [classifier.class_index(name) for name in targets]
    log_mel = log_mel_of(path, classifier.front_end)
    name = printable(path)
    frames = segment_frames(classifier, log_mel.shape[0])
    data = cut([log_mel], [name], classifier.front_end.silence, frames, classifier.overlap)
    scores = _scores(classifier, data, progress or Silent())
    indices = indices or [int(scores.mean(axis=0).argmax())]
    prepared = prepared or Prepared(classifier)
    found = [_found(prepared, log_mel, indices, method, name, frames, progress) for method in methods]
    return HeardWhole(
        path.name if path.name.isprintable() else name,
        f"{file_name(path)}-whole",
        classifier.front_end.clock,
        classifier.classes,
        classifier.front_end.silence,
        data.log_mels[0],
        data.real_frames[0],
        frames,
        data.start_frames,
        scores,
        top,
        tuple(tuple(each[place] for each in found) for place in range(len(indices))),
    )


def _scores(classifier: Classifier, data: SegmentedLogMels, progress: Progress) -> FloatArray:
    parts = np.array_split(np.arange(len(data)), -(-len(data) // SEGMENTS_AT_ONCE))
    found = []
    with progress.task("Listening to segments", len(data)) as advance:
        for rows in parts:
            found.append(to_numpy(classifier.probabilities(data.values(rows))).astype(np.float64))
            advance(len(rows))
    return np.concatenate(found)


def _found(
    prepared: Prepared,
    log_mel: npt.NDArray[np.float32],
    indices: Sequence[int],
    method: Occlusion,
    name: str,
    frames: int,
    progress: Progress | None,
) -> list[WholeMap]:
    """Return a method's map and profile for each class."""

    def explained(explainer: Occlusion) -> list[Attribution]:
        try:
            return explain_recording(
                prepared,
                log_mel,
                [Target(index) for index in indices],
                explainer,
                segment_frames=frames,
                file=name,
                progress=progress,
            )
        except UsageError as error:  # of several files, a mask may be too large for one
            raise UsageError(f"{name}: {error}") from error

    maps = explained(method)
    profiles = maps if method.along == "time" else explained(along_time(method))
    return [WholeMap(method, *pair) for pair in zip(maps, profiles, strict=True)]


def along_time(method: Occlusion) -> Occlusion:
    """Return the method whose mask hides all bands of a moment."""
    return replace(method, along="time")
