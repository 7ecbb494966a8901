"""How good a classifier is: measured from predictions, by segment and by file; the nouns of ``metrics.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from earwitness.core.arrays import Int64Array
from earwitness.core.brief import brief
from earwitness.core.errors import EarwitnessError, printable
from earwitness.core.files import read_json
from earwitness.core.run_folder import RunFolder
from earwitness.core.statistics import CONFIDENCE, Interval, wilson_interval
from earwitness.models.prediction import Predictions

OTHERS = "other classes"  # those without a recording to measure them on, together
Counts = tuple[tuple[int, ...], ...]  # shape (classes, classes): a row a true class, a column a predicted one


@dataclass(frozen=True)
class ClassScores:
    """How well one class is told from the others.

    Parameters
    ----------
    precision, recall, f1
        0 to 1; None where it is 0 / 0.
    support
        How many segments, or files, are of the class.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True)
class ClassMetrics:
    """One class's scores, by segment and by file (majority vote)."""

    segments: ClassScores
    files: ClassScores


@dataclass(frozen=True)
class Confusion:
    """What is taken for what.

    Parameters
    ----------
    classes
        The names, in the order of rows and columns.
    segments, files
        Counts of segments, and of files by majority vote.
    """

    classes: tuple[str, ...]
    segments: Counts
    files: Counts

    def measured(self) -> Confusion:
        """Return it with the classes that have recordings, and all others, which may be predicted, as one."""
        counts = (np.array(self.segments), np.array(self.files))
        there = counts[1].sum(axis=1) > 0
        if there.all():
            return self
        names = [name for name, known in zip(self.classes, there, strict=True) if known]
        if not counts[0][:, ~there].any():
            return Confusion(tuple(names), *(_counts(each[there][:, there]) for each in counts))
        tables = []
        for each in counts:
            rows = np.column_stack([each[there][:, there], each[there][:, ~there].sum(axis=1)])
            tables.append(_counts(np.vstack([rows, np.zeros_like(rows[:1])])))
        return Confusion((*names, OTHERS), *tables)


@dataclass(frozen=True)
class Tie:
    """A file whose votes were tied, and the class that the higher mean score decided for."""

    file: str
    decided: str


@dataclass(frozen=True)
class Intervals:
    """Wilson's intervals of the accuracies by file; segments of one file are not independent and have none."""

    file_accuracy: Interval
    file_accuracy_mean_score: Interval


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """How good a classifier is.

    Parameters
    ----------
    segment_accuracy, file_accuracy, file_accuracy_mean_score
        Shares right: of segments, of files by majority vote, of files by mean score.
    segments, files
        How many were measured.
    confidence
        Of the intervals, such as 0.95.
    intervals
        Of the accuracies by file.
    ties
        Files with tied votes.
    per_class
        By class, in the classifier's order.
    confusion
        Counts of true against predicted classes.
    """

    segment_accuracy: float
    file_accuracy: float
    file_accuracy_mean_score: float
    segments: int
    files: int
    confidence: float
    intervals: Intervals
    ties: tuple[Tie, ...]
    per_class: Mapping[str, ClassMetrics]
    confusion: Confusion

    __repr__ = brief

    def shown(self, most: int) -> tuple[Mapping[str, ClassMetrics], Confusion]:
        """Return scores and confusion as they are shown: of more than so many classes, those that have recordings."""
        if len(self.per_class) <= most:
            return self.per_class, self.confusion
        per_class = {name: each for name, each in self.per_class.items() if each.files.support}
        return per_class, self.confusion.measured()

    def as_dict(self) -> dict[str, Any]:
        """Return the content of ``metrics.json``."""
        return {
            "segment_accuracy": self.segment_accuracy,
            "file_accuracy": self.file_accuracy,
            "file_accuracy_mean_score": self.file_accuracy_mean_score,
            "segments": self.segments,
            "files": self.files,
            "confidence": self.confidence,
            "intervals": {name: list(ends) for name, ends in asdict(self.intervals).items()},
            "ties": [asdict(tie) for tie in self.ties],
            "per_class": {name: asdict(each) for name, each in self.per_class.items()},
            "confusion": {
                "classes": list(self.confusion.classes),
                "segments": [list(row) for row in self.confusion.segments],
                "files": [list(row) for row in self.confusion.files],
            },
        }

    @classmethod
    def from_dict(cls, stored: Any) -> Metrics:
        """Return the metrics from :meth:`as_dict`, as version 0.1.0 and later write it.

        Raises
        ------
        EarwitnessError
            Something is missing, or is not what it should be.
        """
        try:
            confusion = _confusion(stored["confusion"])
            per_class = {
                str(name): ClassMetrics(_class_scores(each["segments"]), _class_scores(each["files"]))
                for name, each in stored["per_class"].items()
            }
            if tuple(per_class) != confusion.classes:
                raise ValueError("per_class and confusion are of other classes")
            return cls(
                segment_accuracy=_share(stored["segment_accuracy"]),
                file_accuracy=_share(stored["file_accuracy"]),
                file_accuracy_mean_score=_share(stored["file_accuracy_mean_score"]),
                segments=_count(stored["segments"]),
                files=_count(stored["files"]),
                confidence=_share(stored["confidence"]),
                intervals=Intervals(
                    _interval(stored["intervals"]["file_accuracy"]),
                    _interval(stored["intervals"]["file_accuracy_mean_score"]),
                ),
                ties=tuple(Tie(_name(tie["file"]), _name(tie["decided"])) for tie in stored["ties"]),
                per_class=per_class,
                confusion=confusion,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else printable(str(error))
            raise EarwitnessError(f"the metrics are damaged ({reason}); evaluate the run again") from error


def read(run: RunFolder) -> Metrics:
    """Return the metrics of a run.

    Raises
    ------
    EarwitnessError
        ``metrics.json`` is missing or damaged.
    """
    stored = read_json(run.metrics)
    try:
        return Metrics.from_dict(stored)
    except EarwitnessError as error:
        raise EarwitnessError(f"{printable(run.metrics)}: {error}") from error


def _class_scores(stored: Any) -> ClassScores:
    precision, recall, f1 = (
        None if stored[key] is None else _share(stored[key]) for key in ("precision", "recall", "f1")
    )
    return ClassScores(precision, recall, f1, _count(stored["support"]))


def _confusion(stored: Any) -> Confusion:
    classes = tuple(_name(name) for name in _list(stored["classes"]))
    tables = []
    for unit in ("segments", "files"):
        table = tuple(tuple(_count(count) for count in _list(row)) for row in _list(stored[unit]))
        if [len(row) for row in table] != [len(classes)] * len(classes):
            raise ValueError(f"the confusion by {unit} is not a row and a column a class")
        tables.append(table)
    return Confusion(classes, *tables)


def _interval(stored: Any) -> Interval:
    low, high = _list(stored)
    return _share(low), _share(high)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.40} is not a list")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} is not a name")
    return value


def _share(value: Any) -> float:
    # Some programs write 1.0 as 1. A bool is an int too; NaN fails the comparison.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{value!r:.40} is not a share, 0 to 1")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r:.40} is not a count")
    return value


def confusion_matrix(true: Int64Array, predicted: Int64Array, classes: int) -> Int64Array:
    """Return counts, shape (classes, classes): a row a true class, a column a predicted one."""
    matrix = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(matrix, (true, predicted), 1)
    return matrix


def class_metrics(matrix: Int64Array) -> list[ClassScores]:
    """Return precision, recall, F1 and support of each class of a confusion matrix."""
    rows = []
    for index in range(matrix.shape[0]):
        right = int(matrix[index, index])
        support, claimed = int(matrix[index].sum()), int(matrix[:, index].sum())
        rows.append(
            ClassScores(
                precision=right / claimed if claimed else None,
                recall=right / support if support else None,
                f1=2 * right / (support + claimed) if support + claimed else None,
                support=support,
            )
        )
    return rows


def measure(predictions: Predictions) -> Metrics:
    """Return how good predictions are."""
    classes, truth = predictions.classes, predictions.labels
    by_segment = confusion_matrix(predictions.segment_labels, predictions.predicted, len(classes))
    by_file = confusion_matrix(truth, predictions.file_predicted, len(classes))
    vote_right = int((predictions.file_predicted == truth).sum())
    mean_right = int((predictions.file_predicted_by_mean == truth).sum())
    files, segments = len(truth), len(predictions.recording)
    scored = zip(classes, class_metrics(by_segment), class_metrics(by_file), strict=True)
    return Metrics(
        segment_accuracy=float(np.trace(by_segment) / segments),
        file_accuracy=vote_right / files,
        file_accuracy_mean_score=mean_right / files,
        segments=segments,
        files=files,
        confidence=CONFIDENCE,
        intervals=Intervals(wilson_interval(vote_right, files), wilson_interval(mean_right, files)),
        ties=tuple(
            Tie(predictions.files[row], classes[predictions.file_predicted[row]])
            for row in np.flatnonzero(predictions.tied)
        ),
        per_class={name: ClassMetrics(segment, file) for name, segment, file in scored},
        confusion=Confusion(classes, _counts(by_segment), _counts(by_file)),
    )


def _counts(matrix: Int64Array) -> Counts:
    return tuple(tuple(row) for row in matrix.tolist())
