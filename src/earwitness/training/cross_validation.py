"""What a cross-validation came to: the metrics of every fold, their means, and how far the means can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from earwitness.core.brief import brief
from earwitness.core.statistics import Interval, student_interval
from earwitness.data.recordings import Unusable
from earwitness.training.metrics import Metrics

T = TypeVar("T")


@dataclass(frozen=True)
class Accuracies(Generic[T]):
    """A value for each accuracy: of segments, of files by majority vote, of files by mean score."""

    segment_accuracy: T
    file_accuracy: T
    file_accuracy_mean_score: T


@dataclass(frozen=True)
class CrossValidation:
    """What a cross-validation came to.

    Parameters
    ----------
    folds
        The metrics of each fold's held-out recordings, the first fold first.
    unusable
        Recordings that could not be used.
    """

    folds: tuple[Metrics, ...]
    unusable: tuple[Unusable, ...]

    __repr__ = brief

    @property
    def mean(self) -> Accuracies[float]:
        """Means over the folds."""
        return self._over_folds(lambda values: float(np.mean(values)))

    @property
    def interval_of_mean(self) -> Accuracies[Interval]:
        """95 % intervals of the means (Student's t over the folds)."""
        return self._over_folds(student_interval)

    def _over_folds(self, of: Callable[[list[float]], T]) -> Accuracies[T]:
        return Accuracies(
            segment_accuracy=of([fold.segment_accuracy for fold in self.folds]),
            file_accuracy=of([fold.file_accuracy for fold in self.folds]),
            file_accuracy_mean_score=of([fold.file_accuracy_mean_score for fold in self.folds]),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the content of ``cross_validation.json``."""
        return {
            "folds": [
                {
                    "fold": number,
                    "segment_accuracy": fold.segment_accuracy,
                    "file_accuracy": fold.file_accuracy,
                    "file_accuracy_mean_score": fold.file_accuracy_mean_score,
                    "files": fold.files,
                    "segments": fold.segments,
                }
                for number, fold in enumerate(self.folds, start=1)
            ],
            "mean": asdict(self.mean),
            "interval_of_mean": {name: list(ends) for name, ends in asdict(self.interval_of_mean).items()},
            "unusable": [[entry.file, entry.reason] for entry in self.unusable],
        }
