"""The panel: methods of other families that a map is held against, asked once for all maps of a question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from earwitness.errors import UsageError
from earwitness.explain import Attribution, Explainable, Explainer, parse, spec
from earwitness.progress import Progress
from earwitness.segments import Segments
from earwitness.trust.similarity import correlation
from earwitness.trust.stability import Again

LogMel = npt.NDArray[np.float32]

# One method of each kind that shows whole regions. Methods of a map's own family are left out, for they err alike.
REFERENCES = ("gradcam", "occlusion", "lime:samples=129,design=hadamard")
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
        progress: Progress | None = None,
    ) -> None:
        self._again = Again(classifier, segments, attributions, progress)
        self._maps: dict[str, list[LogMel] | None] = {}

    def agreements(self, explainer: Explainer, attributions: Sequence[Attribution]) -> list[float | None]:
        """Return how far each map agrees with those of methods of other families: -1 to 1, the mean over these.

        None where there is no such method. A method that the network has no place for is left out.

        Parameters
        ----------
        explainer
            What made the maps.
        attributions
            The maps, of the panel's segments and targets in their order.
        """
        others = [self._maps_of(reference) for reference in references(explainer)]
        found: list[float | None] = []
        for row, attribution in enumerate(attributions):
            own = coarse(attribution.values[: attribution.real_frames])
            likeness = [correlation(own, coarse(maps[row])) for maps in others if maps is not None]
            found.append(float(np.mean(likeness)) if likeness else None)
        return found

    def _maps_of(self, reference: Explainer) -> list[LogMel] | None:
        name = spec(reference)
        if name not in self._maps:
            try:
                (self._maps[name],) = self._again.explain(reference, [self._again.segments])
            except UsageError:
                self._maps[name] = None
        return self._maps[name]


def references(explainer: Explainer) -> list[Explainer]:
    """Return the methods of other families that a method's maps are held against."""
    family = getattr(explainer, "family", "")
    return [each for each in (parse(text) for text in REFERENCES) if each.family != family]


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
