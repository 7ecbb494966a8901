"""What is answered over the wire, typed.

Times are seconds of the recording, frequencies hertz, ids opaque. Numbers are finite: JSON has no others.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Decision = Literal["correct", "wrong label", "unsure", "interesting", ""]
Level = Literal["reliable", "weak", "not reliable"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered: JSON objects whose members are the fields."""


class Scored(Answer, frozen=True, kw_only=True):
    """A class with its score."""

    name: str = msgspec.field(name="class")
    score: float


class Method(Answer, frozen=True, kw_only=True):
    """A method that the model can be asked by; ``default`` where nobody names one."""

    name: str
    title: str
    family: str
    default: bool


class Grid(Answer, frozen=True, kw_only=True):
    """The front end's grid of time and frequency; ``silence`` is the value of a silent cell."""

    sample_rate: int
    frame_seconds: float
    bands: int
    band_edges_hz: list[float]
    band_centres_hz: list[float]
    silence: float


class CollectionShape(Answer, frozen=True, kw_only=True):
    """A run, or a folder of recordings with a model."""

    id: str
    title: str
    kind: Literal["run", "folder"]
    backbone: str
    classes: list[str]
    recordings: int
    labelled: bool
    """Whether any recording's true class is known."""
    segment_seconds: float
    overlap: float
    activation: str
    methods: list[Method]
    grid: Grid


class Session(Answer, frozen=True, kw_only=True):
    """What the server shows."""

    version: str
    collections: list[CollectionShape]


class ReviewShape(Answer, frozen=True, kw_only=True):
    """What a person decided of a recording, and when."""

    decision: Decision
    note: str
    at: str


class Row(Answer, frozen=True, kw_only=True):
    """A recording in a list; what is not known yet is None."""

    id: str
    name: str
    label: str | None
    predicted: str | None
    score: float | None
    margin: float | None
    right: bool | None
    segments: int | None
    silent: bool
    verdict: Level | None
    """Of the map that the recording opens with."""
    maps: int
    review: ReviewShape | None


class Rows(Answer, frozen=True, kw_only=True):
    """A part of a list."""

    total: int
    offset: int
    items: list[Row]


class SegmentTimes(Answer, frozen=True, kw_only=True):
    """Where a recording's segments begin, and how long each is."""

    count: int
    start_seconds: list[float]
    length_seconds: float


class DetectionShape(Answer, frozen=True, kw_only=True):
    """A stretch at which a class was detected."""

    name: str = msgspec.field(name="class")
    start: float
    end: float
    score: float


class RegionShape(Answer, frozen=True, kw_only=True):
    """A place that holds much of a map's evidence, with the score and the score without it."""

    start_seconds: float
    end_seconds: float
    low_hz: float
    high_hz: float
    share: float
    score: float
    without: float


class ReasonShape(Answer, frozen=True, kw_only=True):
    """What speaks for a map, or against it."""

    good: bool
    text: str


class VerdictShape(Answer, frozen=True, kw_only=True):
    """Whether a map may be believed."""

    level: Level
    chance: float
    reasons: list[ReasonShape]
    advice: str
    beyond: str
    """What to know of verdicts on this network, where they were fitted on others."""


class Map(Answer, frozen=True, kw_only=True):
    """A map; its cells are asked for by its id."""

    id: str
    method: str
    title: str
    target: str
    name: str = msgspec.field(name="class")
    against: str | None
    score: float
    score_kind: str
    start_seconds: float
    end_seconds: float
    whole: bool
    rows: int
    columns: int
    time_edges: list[float]
    frequency_edges: list[float]
    strongest: float
    flags: list[str]
    regions: list[RegionShape]
    text: str
    verdict: VerdictShape | None
    held: bool = True


class FindingShape(Answer, frozen=True, kw_only=True):
    """What a person kept of an edit."""

    id: str
    title: str
    note: str
    edits: list[dict[str, Any]]
    map: str | None
    before: list[Scored]
    after: list[Scored]
    at: str


class JobShape(Answer, frozen=True, kw_only=True):
    """A piece of work that takes its time."""

    id: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    title: str
    doing: str
    done: int
    total: int | None
    ahead: int
    result: dict[str, Any] | None
    error: str | None


class Recording(Answer, frozen=True, kw_only=True):
    """A recording; while it is being scored, what the run does not tell is not known yet."""

    id: str
    name: str
    label: str | None
    predicted: str | None
    right: bool | None
    seconds: float | None
    sample_rate: int
    channels: int
    frames: int
    scores: list[Scored]
    segments: SegmentTimes
    detections: list[DetectionShape]
    maps: list[Map]
    """The one first that the recording opens with."""
    findings: list[FindingShape]
    review: ReviewShape | None
    why: str | None
    notes: list[str]
    next: str | None
    previous: str | None
    scoring: JobShape | None = None
    surest: float | None = None
    """Where the segment begins that is the most confident for the predicted class."""


class MapAnswer(Answer, frozen=True, kw_only=True):
    """A map that is held, or the job that makes it."""

    map: Map | None = None
    job: JobShape | None = None


class Sounds(Answer, frozen=True, kw_only=True):
    """Addresses of sounds."""

    original: str
    kept: str
    removed: str


class SoundScores(Answer, frozen=True, kw_only=True):
    """The scores of sounds."""

    original: list[Scored]
    kept: list[Scored]
    removed: list[Scored]


class Listened(Answer, frozen=True, kw_only=True):
    """A map as sound."""

    id: str
    start_seconds: float
    end_seconds: float
    area: float
    sounds: Sounds
    scores: SoundScores


class SegmentScores(Answer, frozen=True, kw_only=True):
    """The predicted class's score of each segment, before and after."""

    start_seconds: list[float]
    before: list[float]
    after: list[float]


class EditedSegment(Answer, frozen=True, kw_only=True):
    """One segment's scores before and after, the highest before first."""

    start_seconds: float
    end_seconds: float
    before: list[Scored]
    after: list[Scored]


class WhatIfAnswer(Answer, frozen=True, kw_only=True):
    """A stretch of a recording under edits; ``segment`` is the one that was asked about."""

    id: str
    start_seconds: float
    end_seconds: float
    predicted_before: str
    predicted_after: str
    before: list[Scored]
    after: list[Scored]
    segments: SegmentScores
    segment: EditedSegment | None
    milliseconds: float
    sound: str | None


class Uploaded(Answer, frozen=True, kw_only=True):
    """Where a file that was sent can be found."""

    collection: str
    recording: str


class Reviewed(Answer, frozen=True, kw_only=True):
    """A decision after it was taken back."""

    review: ReviewShape | None


class Removed(Answer, frozen=True, kw_only=True):
    """What is no more."""

    removed: str
