"""A recording of several sounds explained: each detection by its own best segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from earwitness.core.files import file_name
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers.attribution import Target
from earwitness.explainers.findings import DetectedExplanation
from earwitness.explainers.method import Explainer
from earwitness.explainers.regions import with_regions
from earwitness.inspection.files import finding_of, inquiry_of, shown_name
from earwitness.inspection.model import Model
from earwitness.inspection.recordings import overview_of
from earwitness.models.detections import Detection, to_explain
from earwitness.models.hierarchy import Parents, most_specific
from earwitness.models.prediction import ScoredRecording

MOST_EXPLAINED = 6  # each takes seconds, and a place in the picture


def wanted(
    scored: ScoredRecording,
    detections: Sequence[Detection],
    classes: Sequence[int],
    most: int,
    parents: Parents = (),
) -> tuple[Detection, ...]:
    """Return the detections to explain, the most important first.

    Parameters
    ----------
    scored
        The recording.
    detections
        All that was detected in it.
    classes
        The classes that are asked about; none takes all. One that was not detected is explained where it scores
        highest.
    most
        How many at most, but each class that is asked about has one at least.
    parents
        Which classes are nested in which: where a leading one is nested in what was detected, and was detected there
        itself, it is explained instead, the most specific one.
    """
    if not classes:
        overlapping = len(scored.scores) > 1 and scored.start_frames[1] < scored.segment_frames
        short = scored.segment_frames * scored.clock.frame_seconds if overlapping else 0.0
        return tuple(_inner(scored, detections, each, parents) for each in to_explain(detections, most, short))
    names = [scored.classes[index] for index in classes]
    found = {name: to_explain([each for each in detections if each.class_name == name], most) for name in names}
    firsts = [found[name][0] if found[name] else _undetected(scored, name) for name in found]
    others = to_explain([each for name in found for each in found[name][1:]], max(0, most - len(firsts)))
    return (*firsts, *others)


def _inner(scored: ScoredRecording, detections: Sequence[Detection], outer: Detection, parents: Parents) -> Detection:
    """Return the most specific detection nested in one, or the same where there is none."""
    specific = scored.classes[most_specific(scored.scores[outer.row], parents)[-1]]
    inner = [each for each in detections if each.class_name == specific and each.overlaps(outer) > 0]
    return max(inner, key=lambda each: each.highest, default=outer)


def _undetected(scored: ScoredRecording, name: str) -> Detection:
    """Return the segment at which a class scores highest in the place of a detection."""
    scores = scored.scores[:, scored.classes.index(name)]
    row = int(scores.argmax())
    start = float(scored.clock.frame_start_seconds(scored.start_frames[row]))
    return Detection(
        class_name=name,
        start_seconds=start,
        end_seconds=min(start + scored.segment_frames * scored.clock.frame_seconds, scored.seconds),
        highest=float(scores[row]),
        mean=float(scores[row]),
        segments=1,
        row=row,
    )


def explain_detections(
    model: Model,
    path: Path,
    scored: ScoredRecording,
    methods: Sequence[Explainer],
    detections: Sequence[Detection],
    explained: Sequence[Detection],
    *,
    progress: Progress = NO_PROGRESS,
) -> DetectedExplanation:
    """Explain detections, each by the segment at which it scores highest.

    Parameters
    ----------
    model
        What scored the file.
    path, scored
        The file, and its segments with their scores.
    methods
        The explainers.
    detections
        All that was detected.
    explained
        What to explain (:func:`wanted`).
    progress
        Told how far it is.

    Raises
    ------
    EarwitnessError
        The file is no longer what was scored.
    """
    segments = scored.take([each.row for each in explained])
    targets = [[Target(scored.classes.index(each.class_name))] for each in explained]
    found = [method.attribute(model.prepared, segments, targets, progress) for method in methods]
    found = with_regions(model.prepared, segments, found, progress)
    findings = [
        finding_of(path, scored, each.row, segments.take([place]), (tuple(maps[place] for maps in found),))
        for place, each in enumerate(explained)
    ]
    overview, edges, _ = overview_of(scored)
    given: dict[str, Any] = {field.name: getattr(scored, field.name) for field in fields(scored)}
    given |= {"file": shown_name(path), "name": file_name(path)}
    return DetectedExplanation(
        **given,
        detections=tuple(detections),
        overview=overview,
        overview_edges=edges,
        explained=tuple(explained),
        inquiry=inquiry_of(
            path,
            scored,
            "Which moments and which frequencies made these decisions?",
            methods,
            ("detected",),
            findings,
        ),
    )
