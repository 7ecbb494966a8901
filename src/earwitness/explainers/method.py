"""What all methods share: the way from a request to attributions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from earwitness.audio.segments import Segments
from earwitness.core.progress import Progress, Silent
from earwitness.explainers.attribution import Attribution, Target
from earwitness.explainers.inference.prepared import Prepared, working
from earwitness.explainers.protocol_ import Explainable, check_request


class Method(ABC):
    """An :class:`~earwitness.explainers.registry.Explainer` whose subclasses are frozen dataclasses."""

    name: ClassVar[str]
    title: ClassVar[str]

    def attribute(
        self,
        classifier: Explainable,
        segments: Segments,
        targets: Sequence[Sequence[Target]],
        progress: Progress | None = None,
    ) -> list[Attribution]:
        """Explain segments, as :meth:`earwitness.explainers.registry.Explainer.attribute` says."""
        check_request(classifier, segments, targets)
        if not len(segments):
            return []
        with working(classifier) as prepared:
            return self.explained(prepared, segments, targets, progress or Silent())

    @abstractmethod
    def explained(
        self, prepared: Prepared, segments: Segments, targets: Sequence[Sequence[Target]], progress: Progress
    ) -> list[Attribution]:
        """Return the attributions of a request that was checked.

        Parameters
        ----------
        prepared
            Held by this call: its network is in evaluation mode, outside inference mode.
        segments
            At least one.
        targets, progress
            As for :meth:`attribute`.
        """


def in_batches(
    explain: Callable[[Prepared, Segments, Sequence[Sequence[Target]]], list[Attribution]],
    size: int,
    prepared: Prepared,
    segments: Segments,
    targets: Sequence[Sequence[Target]],
    title: str,
    progress: Progress,
) -> list[Attribution]:
    """Explain segments, ``size`` of them at a time, and return all attributions in their order."""
    found: list[Attribution] = []
    with progress.task(title, len(segments)) as advance:
        for start in range(0, len(segments), size):
            rows = list(range(start, min(start + size, len(segments))))
            found += explain(prepared, segments.take(rows), [targets[row] for row in rows])
            advance(len(rows))
    return found
