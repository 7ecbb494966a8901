"""The panel: a few methods that err in different ways, whose mean map every other map is held against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from earwitness.audio.segments import Segments
from earwitness.core.arrays import LogMel
from earwitness.core.errors import UsageError
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers.attribution import Attribution
from earwitness.explainers.method import Explainer
from earwitness.explainers.parameters import spec
from earwitness.explainers.ranks import standard_values
from earwitness.explainers.registry import parse
from earwitness.models.protocols import Explainable
from earwitness.trust.metrics.reexplain import Again
from earwitness.trust.metrics.similarity import correlation

# Two of each family that shows whole regions; cell-by-cell gradients find the evidence of no known case.
REFERENCES = ("gradcam", "layercam", "occlusion", "lime:samples=129,design=hadamard")
COARSE = 8  # rows and columns on which maps of any grain can agree


class Panel:
    """The references' maps of some segments and targets, each made when it is first asked for.

    Parameters
    ----------
    classifier
        Who is explained.
    segments
        One segment per attribution.
    attributions
        Any method's, for the targets.
    progress
        Told how far the work has come.
    """

    def __init__(
        self,
        classifier: Explainable,
        segments: Segments,
        attributions: Sequence[Attribution],
        progress: Progress = NO_PROGRESS,
    ) -> None:
        self._again = Again(classifier, segments, attributions, progress)
        self._maps: dict[str, list[LogMel] | None] = {}

    def agreements(self, explainer: Explainer, attributions: Sequence[Attribution]) -> list[float | None]:
        """Return how far each map agrees with the mean of the references' maps: their correlation, -1 to 1.

        All are compared on 8 x 8 cells, each reference's map scaled to the same spread. The method itself is no
        reference, nor is one that the network has no place for; None where none is left.

        Parameters
        ----------
        explainer
            What made the maps.
        attributions
            The maps, of the panel's segments and targets in their order.
        """
        others = [maps for each in self.held_against(explainer) if (maps := self._maps_of(each)) is not None]
        if not others:
            return [None] * len(attributions)
        found: list[float | None] = []
        for row, attribution in enumerate(attributions):
            own = coarse(attribution.values[: attribution.real_frames])
            mean = np.mean([standard_values(coarse(maps[row])) for maps in others], axis=0)
            found.append(correlation(own.ravel(), mean))
        return found

    def held_against(self, explainer: Explainer) -> list[Explainer]:
        """Return the methods whose mean map a method's maps are held against, of those that the network allows."""
        return [each for each in references(explainer) if self._maps_of(each) is not None]

    def _maps_of(self, reference: Explainer) -> list[LogMel] | None:
        name = spec(reference)
        if name not in self._maps:
            try:
                (self._maps[name],) = self._again.explain(reference, [self._again.segments])
            except UsageError:
                self._maps[name] = None
        return self._maps[name]


def references(explainer: Explainer) -> list[Explainer]:
    """Return the methods whose mean map a method's maps are held against."""
    return [each for each in (parse(text) for text in REFERENCES) if each.name != explainer.name]


def coarse(values: LogMel, cells: int = COARSE) -> LogMel:
    """Return a map (frames, bands) as means over at most so many rows and columns of equal cells."""
    for axis in (0, 1):
        length = values.shape[axis]
        count = min(cells, length)
        starts = np.arange(count) * length // max(1, count)
        sizes = np.diff(np.append(starts, length))
        sums = np.add.reduceat(values, starts, axis=axis) if count else values
        values = sums / np.expand_dims(sizes, 1 - axis) if count else sums
    return values.astype(np.float32)
