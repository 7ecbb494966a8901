"""A whole recording explained: what each of its segments is predicted as, what their mean score relies on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from earwitness.core.errors import UsageError
from earwitness.core.files import file_name
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers.attribution import Attribution, Target
from earwitness.explainers.findings import WholeExplanation, WholeMap
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.perturbation.occlusion import Occlusion
from earwitness.explainers.perturbation.recording import explain_recording
from earwitness.explainers.registry import parse
from earwitness.inspection.files import shown_name
from earwitness.inspection.model import Model
from earwitness.models.prediction import ScoredRecording

METHODS = (Occlusion.name,)


def explainers(methods: Sequence[str]) -> list[Occlusion]:
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
) -> WholeExplanation:
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
        Classes to explain; none takes the one of the highest mean score.
    progress
        Told how far it is.

    Raises
    ------
    UsageError
        The classifier has no such class, or a mask is larger than a segment of this file.
    """
    indices = [model.classifier.class_index(name) for name in classes] or scored.best(1)
    found = [_found(model.prepared, scored, indices, method, progress) for method in methods]
    given = {field.name: getattr(scored, field.name) for field in fields(scored)}
    return WholeExplanation(
        **given | {"file": shown_name(path)},
        name=f"{file_name(path)}-whole",
        maps=tuple(tuple(each[place] for each in found) for place in range(len(indices))),
    )


def _found(
    prepared: Prepared,
    scored: ScoredRecording,
    indices: Sequence[int],
    method: Occlusion,
    progress: Progress,
) -> list[WholeMap]:
    """Return a method's map and profile for each class."""

    def explained(explainer: Occlusion) -> list[Attribution]:
        try:
            return explain_recording(
                prepared,
                scored.log_mel[: scored.real_frames],
                [Target(index) for index in indices],
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
