"""Segments explained again, each once for all of its targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from earwitness.audio.segments import Segments
from earwitness.core.arrays import LogMel
from earwitness.core.progress import Progress
from earwitness.explainers.attribution import Attribution, Target
from earwitness.explainers.inference.prepared import prepare
from earwitness.explainers.method import Explainer
from earwitness.models.protocols import Explainable


class Again:
    """Segments explained again: each once for all of its targets."""

    def __init__(
        self,
        classifier: Explainable,
        segments: Segments,
        attributions: Sequence[Attribution],
        progress: Progress,
    ) -> None:
        self.classifier, self.progress = prepare(classifier), progress
        known: dict[tuple[bytes, int], int] = {}
        firsts: list[int] = []
        self.targets: list[list[Target]] = []
        # Per attribution: which of the different segments, and which of this one's targets.
        self.place: list[int] = []
        self.rank: list[int] = []
        for row, attribution in enumerate(attributions):
            key = segments.values[row].tobytes(), int(segments.real_frames[row])
            if key not in known:
                known[key] = len(firsts)
                firsts.append(row)
                self.targets.append([])
            self.place.append(known[key])
            self.rank.append(len(self.targets[known[key]]))
            self.targets[known[key]].append(attribution.target)
        self.segments = segments.take(firsts)
        self.cost = [(0, 0) for _ in firsts]

    def explain(self, explainer: Explainer, versions: Sequence[Segments]) -> list[list[LogMel]]:
        """Return the maps of each version of the segments, one per attribution."""
        count = len(self.segments)
        listed = explainer.attribute(self.classifier, _joined(versions), self.targets * len(versions), self.progress)
        waiting = iter(listed)
        maps: list[list[list[LogMel]]] = []
        for _ in versions:
            maps.append([])
            for place in range(count):
                own = [next(waiting) for _ in self.targets[place]]
                maps[-1].append([real_cells(one) for one in own])
                forwards, backwards = self.cost[place]
                self.cost[place] = forwards + own[0].forwards, backwards + own[0].backwards
        return [[of[place][rank] for place, rank in zip(self.place, self.rank, strict=True)] for of in maps]


def real_cells(attribution: Attribution) -> LogMel:
    """Return a map's cells without those of the padding, shape (real frames, bands)."""
    return attribution.values[: attribution.real_frames]


def _joined(versions: Sequence[Segments]) -> Segments:
    heard = [one.samples for one in versions if one.samples is not None]
    return Segments(
        np.concatenate([one.values for one in versions]),
        np.concatenate([one.start_frames for one in versions]),
        np.concatenate([one.real_frames for one in versions]),
        sum((one.files for one in versions), ()),
        np.concatenate(heard) if heard else None,
    )
