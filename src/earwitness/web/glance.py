"""What is answered about a collection and its classes at a glance, typed."""

from __future__ import annotations

import msgspec

from earwitness.web.shapes import Answer


class Share(Answer, frozen=True, kw_only=True):
    """A share with its interval; None where there is none."""

    value: float
    low: float | None
    high: float | None


class Accuracies(Answer, frozen=True, kw_only=True):
    """Of segments and of files (majority vote)."""

    segment: Share
    file: Share


class ClassRow(Answer, frozen=True, kw_only=True):
    """How well a class is told from others, by file; None where nothing was measured."""

    name: str
    recordings: int
    precision: float | None
    recall: float | None
    f1: float | None
    segments_right: float | None


class ConfusionShape(Answer, frozen=True, kw_only=True):
    """Counts; a row a true class, a column a predicted one, of the classes that recordings have or are predicted as."""

    classes: list[str]
    files: list[list[int]]
    segments: list[list[int]]


class History(Answer, frozen=True, kw_only=True):
    """The training; validation took place at some iterations."""

    iteration: list[int]
    train_loss: list[float]
    train_accuracy: list[float]
    validation_iteration: list[int]
    validation_loss: list[float]
    validation_accuracy: list[float]


class Figure(Answer, frozen=True, kw_only=True):
    """A picture of the run."""

    id: str
    title: str
    question: str
    kind: str
    alt: str


class Overview(Answer, frozen=True, kw_only=True):
    """A collection at a glance."""

    accuracy: Accuracies | None
    right: int | None
    """How many recordings are predicted right; None where nothing was measured."""
    recordings: int
    segments: int
    trained: bool
    headline: str
    audit: str | None
    """On what an audit found the predictions to depend; None where there was none."""
    classes: list[ClassRow]
    confusion: ConfusionShape | None
    history: History | None
    warnings: list[str]
    figures: list[Figure]
    report: bool
    scoring: str | None = None
    """The id of the job that scores the recordings, while it is under way."""


class PlacedSegment(Answer, frozen=True, kw_only=True):
    """A segment of some recording."""

    recording: str
    name: str
    start_seconds: float
    label: str | None
    predicted: str
    score: float


class Confused(Answer, frozen=True, kw_only=True):
    """How many recordings of a class were predicted as another."""

    name: str = msgspec.field(name="class")
    count: int


class ClassPage(Answer, frozen=True, kw_only=True):
    """A class."""

    name: str
    metrics: ClassRow | None
    figures: list[Figure]
    typical: list[PlacedSegment]
    contradictory: list[PlacedSegment]
    confused_with: list[Confused]
