"""The nouns of an inquiry: recordings, segments with what was found about them, and the question that they answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from earwitness.audio.timefreq import Clock
from earwitness.core.arrays import Float32Array, Float64Array, Int64Array
from earwitness.explainers.attribution import SILENCE_TOLERANCE, Attribution
from earwitness.explainers.perturbation.occlusion import Occlusion

MOST_SHOWN = 60  # rows of a picture


@dataclass(frozen=True)
class Recording:
    """A recording as a person and as the classifier get it.

    Parameters
    ----------
    file, label
        Its name and true class.
    samples
        Shape (samples,), float32, at the front end's sample rate.
    sample_rate
        Hz.
    log_mel
        Shape (frames, bands).
    whole
        Whether this is all of it, not only its beginning.
    """

    file: str
    label: str
    samples: Float32Array
    sample_rate: int
    log_mel: Float32Array
    whole: bool = True


@dataclass(frozen=True)
class Finding:
    """One segment, what the classifier said of it, and what the methods found.

    Parameters
    ----------
    row
        The segment's row in ``predictions.csv``, counted from 0 without the header.
    file, start_seconds, end_seconds
        Where it is.
    label, predicted
        Its true class (None where nobody told) and the class it was heard as.
    score
        The predicted class's probability.
    scores
        Every class's probability.
    log_mel
        Shape (frames, bands), float32.
    start_frame, real_frames
        Its first frame in the recording, and its frames before any padding.
    silent
        Whether it holds no sound.
    attributions
        A list a target, in each one attribution a method.
    """

    row: int
    file: str
    start_seconds: float
    end_seconds: float
    label: str | None
    predicted: str
    score: float
    scores: tuple[float, ...]
    log_mel: Float32Array
    start_frame: int
    real_frames: int
    silent: bool
    attributions: tuple[tuple[Attribution, ...], ...] = ()

    @property
    def right(self) -> bool:
        """Whether it was heard as what it is, as far as anybody knows."""
        return self.label in (None, self.predicted)

    def silent_share(self, silence: float) -> float:
        """Return the share of its frames, padding apart, that hold no sound, 0 to 1.

        Parameters
        ----------
        silence
            The log-mel value of a silent cell.
        """
        loudest = self.log_mel[: self.real_frames].max(axis=1, initial=silence)
        return float((loudest - silence < SILENCE_TOLERANCE).mean()) if loudest.size else 1.0


def shown_score(score: float) -> str:
    """Return a probability with two digits; what is not quite 0 or 1 is not shown as if it were."""
    if 0.995 <= score < 1.0:
        return "> 0.99"
    return "< 0.01" if 0.0 < score < 0.005 else f"{score:.2f}"


@dataclass(frozen=True)
class Inquiry:
    """A question put to a run, and its answer.

    Parameters
    ----------
    kind
        ``"recordings"``, ``"samples"``, ``"segments"``, ``"class"`` or ``"confusion"``.
    name
        Of its pictures: safe in any file system, the same for the same question.
    title
        A few words.
    question
        One plain sentence.
    clock, classes, silence
        Of the classifier; ``silence`` is the log-mel value of a silent cell.
    methods
        The methods' titles, in the order of each finding's attributions.
    targets
        What the targets of each segment are to it: ``"predicted"``, then perhaps ``"true"``.
    findings
        The segments.
    recordings
        Whole recordings, where the question is about those.
    notes
        Sentences that a reader must know, such as that there is none.
    """

    kind: str
    name: str
    title: str
    question: str
    clock: Clock
    classes: tuple[str, ...]
    silence: float
    methods: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    recordings: tuple[Recording, ...] = ()
    notes: tuple[str, ...] = ()


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
    log_mel: Float32Array
    real_frames: int
    segment_frames: int
    start_frames: Int64Array
    scores: Float64Array
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
        return int(np.argmax(np.where(self.votes == self.votes.max(), self.mean, -1.0)))

    def vote_words(self, index: int) -> str:
        """Return how many of the segments vote for a class, in words."""
        return f"{self.votes[index]} of {len(self.scores)} segment{'s' if len(self.scores) > 1 else ''}"

    def best(self, count: int) -> list[int]:
        """Return the classes of the highest mean, best first."""
        return [int(index) for index in np.argsort(-self.mean, kind="stable")[:count]]
