"""A whole recording explained: what each of its segments is predicted as, what their mean score relies on.

Where it is short, every cell of it is hidden once; where it is long, every moment, and the cells of those that matter
most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.segments import pad
from earwitness.core.arrays import Int64Array, LogMel
from earwitness.core.errors import UsageError
from earwitness.core.files import file_name
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers.attribution import Attribution, Target
from earwitness.explainers.fills import Level
from earwitness.explainers.findings import LongExplanation, WholeExplanation, WholeMap
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.method import Explainer
from earwitness.explainers.perturbation.long_recording import explain_timeline
from earwitness.explainers.perturbation.moments import Place
from earwitness.explainers.perturbation.occlusion import Occlusion
from earwitness.explainers.perturbation.recording import explain_recording
from earwitness.explainers.registry import parse
from earwitness.inspection.files import shown_name
from earwitness.inspection.model import Model
from earwitness.models.classifier import WAVEFORM
from earwitness.models.detections import Detection, detect, in_order_of_importance, to_explain
from earwitness.models.hierarchy import most_specific
from earwitness.models.prediction import ScoredRecording

METHODS = (f"{Occlusion.name}:score=probability",)  # the mean of log-odds is nobody's score
LONG_SECONDS = 20.0  # a longer recording is no clip of one sound: it is explained by what was detected in it
MOST_COLUMNS = 1500  # of the overview of a long recording


def explainers(methods: Sequence[str | Explainer]) -> list[Occlusion]:
    """Return the methods by these names, as far as they can explain a whole recording.

    Raises
    ------
    UsageError
        One cannot, or is none.
    """
    found = []
    for each in [parse(method) for method in methods]:
        if not isinstance(each, Occlusion):
            raise UsageError(
                f"--whole: {each.name} explains single segments; of the methods, {Occlusion.name} can explain a whole "
                "recording (also occlusion:along=time and along=bands)"
            )
        found.append(each)
    return found


def explain_whole(
    model: Model,
    path: Path,
    scored: ScoredRecording,
    methods: Sequence[Occlusion],
    *,
    classes: Sequence[str] = (),
    progress: Progress = NO_PROGRESS,
) -> WholeExplanation | LongExplanation:
    """Explain the mean of a file's scores over its segments.

    Parameters
    ----------
    model
        What scored it; it cuts the recording as it was trained to.
    path, scored
        The file, and its segments with their scores.
    methods
        The explainers.
    classes
        Classes to explain; none takes the one of the highest mean score, or the most specific of those nested in it
        that lead; of a recording longer than ``LONG_SECONDS`` the one that was detected with the highest score.
    progress
        Told how far it is.

    Returns
    -------
    A map of every cell; of a recording longer than ``LONG_SECONDS``, what each moment carries, and the detections in
    detail, or the moments that matter most where the class was not detected.

    Raises
    ------
    UsageError
        The classifier has no such class, or a mask is larger than a segment of this file.
    EarwitnessError
        The file is no longer what was scored.
    """
    if model.classifier.takes == WAVEFORM:
        raise UsageError("--whole: is for models over spectrograms; leave it out, or name a moment with --at")
    detections, long = detect(scored, model.classifier.activation), scored.seconds > LONG_SECONDS
    best = [each.class_name for each in to_explain(detections, 1)] if long else []
    nested = [] if classes or best else most_specific(scored.mean, model.classifier.parents)
    names = classes or best or [scored.classes[nested[-1]]]
    targets = [Target(model.classifier.class_index(name)) for name in names]
    given: dict[str, Any] = {field.name: getattr(scored, field.name) for field in fields(scored)}
    given |= {"file": shown_name(path), "name": f"{file_name(path)}-whole", "detections": detections}
    given["nested"] = tuple(scored.classes[index] for index in nested)
    if not long:
        (log_mel,) = scored.excerpts([(0, scored.real_frames)])
        found = [_found(model.prepared, scored, log_mel, targets, method, progress) for method in methods]
        maps = tuple(tuple(each[place] for each in found) for place in range(len(targets)))
        return WholeExplanation(**given, log_mel=pad(log_mel, scored.segment_frames, scored.padding_value), maps=maps)
    overview, edges, level = overview_of(scored)
    overlap = model.classifier.overlap
    places = [places_of(scored, detections, name) for name in names]
    lines = [
        explain_timeline(model.prepared, scored, overlap, targets, each, level, places, progress) for each in methods
    ]
    timelines = tuple(tuple(each[place] for each in lines) for place in range(len(targets)))
    return LongExplanation(**given, overview=overview, overview_edges=edges, timelines=timelines)


def places_of(scored: ScoredRecording, detections: Sequence[Detection], name: str) -> list[Place]:
    """Return where a class was detected, in frames, the most important first."""
    found = in_order_of_importance([each for each in detections if each.class_name == name])
    step = scored.clock.frame_seconds
    return [
        Place(round(each.start_seconds / step), round(each.end_seconds / step), int(scored.start_frames[each.row]))
        for each in found
    ]


def overview_of(scored: ScoredRecording) -> tuple[LogMel, Int64Array, Level]:
    """Return the loudest of every few frames (columns, bands), the columns' edges, and the level, in one pass."""
    step = -(-scored.real_frames // MOST_COLUMNS)
    starts = np.arange(0, scored.real_frames, step)
    loudest = np.full((len(starts), scored.clock.bands), -np.inf, dtype=np.float32)

    def passing() -> Iterator[LogMel]:
        spans = [(first, min(first + step, scored.real_frames)) for first in starts.tolist()]
        for column, block in enumerate(scored.excerpts(spans)):
            loudest[column] = block.max(axis=0)
            yield block

    level = Level.of(passing())
    return loudest, np.append(starts, scored.real_frames), level


def _found(
    prepared: Prepared,
    scored: ScoredRecording,
    log_mel: LogMel,
    targets: Sequence[Target],
    method: Occlusion,
    progress: Progress,
) -> list[WholeMap]:
    """Return a method's map and profile for each class."""

    def explained(explainer: Occlusion) -> list[Attribution]:
        try:
            return explain_recording(
                prepared,
                log_mel,
                targets,
                explainer,
                segment_frames=scored.segment_frames,
                file=scored.file,
                progress=progress,
            )
        except UsageError as error:  # of several files, a mask may be too large for one
            raise UsageError(f"{scored.file}: {error}") from error

    maps = explained(method)
    profiles = maps if method.along == "time" else explained(along_time(method))
    return [WholeMap(method, *pair) for pair in zip(maps, profiles, strict=True)]


def along_time(method: Occlusion) -> Occlusion:
    """Return the method whose mask hides all bands of a moment."""
    return replace(method, along="time")
