"""The nouns of an inquiry: recordings, segments with what was found about them, and the question that they answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from earwitness.audio.segments import silent_share
from earwitness.audio.timefreq import Clock
from earwitness.core.arrays import Float32Array, Int64Array, LogMel
from earwitness.core.brief import brief
from earwitness.explainers.attribution import CONSTANT, SILENT, Attribution, Region
from earwitness.explainers.method import Explainer
from earwitness.explainers.parameters import spec
from earwitness.explainers.perturbation.occlusion import Occlusion
from earwitness.explainers.timeline import Timeline
from earwitness.models.detections import Detection
from earwitness.models.prediction import ScoredRecording

MOST_SHOWN = 60  # rows of a picture
JUDGED = ", judged"


@dataclass(frozen=True, kw_only=True)
class ShownRecording:
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

    __repr__ = brief


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One segment, what the classifier said of it, and what the methods found.

    Parameters
    ----------
    row
        The segment's row in ``predictions.csv``, counted from 0 without the header.
    file, start_seconds, end_seconds
        Where it is.
    label, predicted
        Its true class (None where nobody told) and the class it was predicted as.
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

    __repr__ = brief

    @property
    def right(self) -> bool:
        """Whether it was predicted as what it is, as far as anybody knows."""
        return self.label in (None, self.predicted)

    def silent_share(self, silence: float) -> float:
        """Return the share of its frames, padding apart, that hold no sound, 0 to 1.

        Parameters
        ----------
        silence
            The log-mel value of a silent cell.
        """
        return silent_share(self.log_mel, self.real_frames, silence)


def shown_score(score: float) -> str:
    """Return a probability with two digits; what is not quite 0 or 1 is not shown as if it were."""
    if 0.995 <= score < 1.0:
        return "> 0.99"
    return "< 0.01" if 0.0 < score < 0.005 else f"{score:.2f}"


def score_name(found: Attribution) -> str:
    """Return what a map's score is called: a probability is the score, all others go by their kind."""
    return "score" if found.score_kind == "probability" else found.score_kind


def score_words(found: Attribution, score: float) -> str:
    """Return a number in the unit of a map's score with two digits."""
    return shown_score(score) if found.score_kind == "probability" else f"{score:.2f}"


def region_words(region: Region) -> tuple[str, str, str, str, str]:
    """Return a region's seconds, hertz, share of the evidence, the score and the score without it, in words."""
    low, high = (float(f"{hz:.3g}") for hz in (region.low_hz, region.high_hz))
    score, without = (shown_score(each) if each >= 0 else f"{each:.2f}" for each in (region.score, region.without))
    return (
        f"{region.start_seconds:.2f} to {region.end_seconds:.2f} s",
        f"{low:.0f} to {high:.0f} Hz",
        f"{100 * region.share:.0f} %",
        score,
        without,
    )


# A fill and silence are not the same, and both are told of the same place.
WITHOUT = "without it: hidden by the segment's mean level; listen removes it to silence"
REGION_HEAD = ("evidence by", "seconds", "hertz", "share", "score", "without it")


def region_rows(name: str, found: Attribution) -> list[tuple[str, ...]]:
    """Return a map's regions as rows under ``REGION_HEAD``; one row of words where there are none."""
    if {SILENT, CONSTANT} & set(found.flags):
        return [(name, "nothing stands out", "", "", "", "")]
    if not found.regions:
        return [(name, "scattered: no place holds a tenth of it", "", "", "", "")]
    return [(name if place == 0 else "", *region_words(region)) for place, region in enumerate(found.regions)]


def duration(seconds: float, digits: int = 2) -> str:
    """Return seconds as a person reads them: ``"12.34 s"``, ``"3:07.5"``, ``"1:02:03"``.

    Parameters
    ----------
    seconds
        At least 0.
    digits
        After the point, under a minute; one less from a minute on.
    """
    if seconds < 60.0:
        return f"{seconds:.{digits}f} s"
    digits = max(0, digits - 1)
    units = round(seconds * 10**digits)
    minutes, rest = divmod(units, 60 * 10**digits)
    hours, minutes = divmod(minutes, 60)
    last = f"{rest / 10**digits:0{2 + (digits + 1 if digits else 0)}.{digits}f}"
    return f"{hours}:{minutes:02}:{last}" if hours else f"{minutes}:{last}"


@dataclass(frozen=True, kw_only=True)
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
        What the targets of each segment are to it: ``"predicted"``, then perhaps ``"true"``; of a file ``"best"``,
        ``"most specific"`` or ``"chosen"``.
    findings
        The segments.
    recordings
        Whole recordings, where the question is about those.
    notes
        Sentences that a reader must know, such as that there is none.
    nested
        Of a file for which nobody named a class: the classes that lead, from the best one down to the most specific,
        which is explained.
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
    recordings: tuple[ShownRecording, ...] = ()
    notes: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()

    __repr__ = brief

    @property
    def maps(self) -> tuple[str, ...]:
        """A line for each map that tells it from others: segment, method, class, settings, whether it was judged."""
        return tuple(
            f"{finding.file}@{finding.start_seconds:.2f} {each.method} for {each.target_label}, "
            f"{json.dumps(each.parameters, sort_keys=True)}{'' if each.verdict is None else JUDGED}"
            for finding in self.findings
            for per_target in finding.attributions
            for each in per_target
        )


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

    __repr__ = brief


@dataclass(frozen=True, kw_only=True)
class RecordingExplanation(ScoredRecording):
    """A recording of several segments, of which more than one segment is explained.

    Parameters
    ----------
    name
        Of its pictures, safe in any file system.
    nested
        As for an :class:`Inquiry`.
    detections
        All that was detected in it, in order of time.
    """

    name: str
    nested: tuple[str, ...] = ()
    detections: tuple[Detection, ...] = ()

    __repr__ = brief

    def vote_words(self, index: int) -> str:
        """Return how many of the segments vote for a class, in words."""
        return f"{self.votes[index]} of {len(self.scores)} segment{'s' if len(self.scores) > 1 else ''}"


@dataclass(frozen=True, kw_only=True)
class WholeExplanation(RecordingExplanation):
    """A recording of seconds or a few minutes, every cell of which was hidden.

    Parameters
    ----------
    log_mel
        Shape (frames, bands); padded with silence where it is shorter than a segment.
    maps
        A list a target, in each one entry a method.
    """

    log_mel: LogMel
    maps: tuple[tuple[WholeMap, ...], ...]

    __repr__ = brief


@dataclass(frozen=True, kw_only=True)
class LongExplanation(RecordingExplanation):
    """A longer recording: what each moment carries, and the moments that matter most in detail.

    Parameters
    ----------
    overview
        Shape (columns, bands): the loudest of each column's frames.
    overview_edges
        Shape (columns + 1,): the first frame of each column, and the end of the last one.
    timelines
        A list a target, in each one entry a method.
    """

    overview: LogMel
    overview_edges: Int64Array
    timelines: tuple[tuple[Timeline, ...], ...]

    __repr__ = brief


@dataclass(frozen=True, kw_only=True)
class DetectedExplanation(RecordingExplanation):
    """A recording of which several detections are explained, each by its best segment.

    Parameters
    ----------
    overview, overview_edges
        As of a :class:`LongExplanation`.
    explained
        The detections that were explained, the most important first.
    inquiry
        A finding each, in that order, with the maps for the detection's class.
    """

    overview: LogMel
    overview_edges: Int64Array
    explained: tuple[Detection, ...]
    inquiry: Inquiry

    __repr__ = brief

    @property
    def by_time(self) -> list[tuple[int, Detection, Finding]]:
        """What was explained in order of time, numbered from 1."""
        pairs = zip(self.explained, self.inquiry.findings, strict=True)
        ordered = sorted(pairs, key=lambda pair: (pair[0].start_seconds, pair[0].class_name))
        return [(number, *pair) for number, pair in enumerate(ordered, 1)]


NamedMaps = dict[tuple[str, str], Attribution]
NamedMoments = dict[tuple[str, str], tuple[Attribution, ...]]


def maps_by_name(methods: Sequence[Explainer], inquiry: Inquiry) -> tuple[NamedMaps, NamedMoments]:
    """Return the first map of each method, with its settings, for each class, and the class's others in order of time.

    Parameters
    ----------
    methods
        What made the maps.
    inquiry
        An answer about segments of a file, the most important first.
    """
    maps: NamedMaps = {}
    others: dict[tuple[str, str], list[Attribution]] = {}
    for per_target in (per_target for finding in inquiry.findings for per_target in finding.attributions):
        for method, found in zip(methods, per_target, strict=True):
            key = spec(method), found.target_label
            if maps.setdefault(key, found) is not found:
                others.setdefault(key, []).append(found)
    return maps, {key: tuple(sorted(found, key=lambda one: one.start_seconds)) for key, found in others.items()}
