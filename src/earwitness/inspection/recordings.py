"""The question to a whole recording: what each of its segments heard, and on what the mean of their scores hangs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from earwitness.audio.extraction import log_mel_of
from earwitness.audio.segments import SegmentedLogMels, cut
from earwitness.core.arrays import Float32Array, Float64Array
from earwitness.core.device import to_numpy
from earwitness.core.errors import UsageError, printable
from earwitness.core.files import file_name
from earwitness.core.progress import Progress, Silent
from earwitness.explainers.attribution import Attribution, Target
from earwitness.explainers.explanations import HeardWhole, WholeMap
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.perturbation.occlusion import Occlusion
from earwitness.explainers.perturbation.recording import explain_recording
from earwitness.explainers.registry import parse
from earwitness.models.classifier import Classifier, segment_frames
from earwitness.models.prediction import SEGMENTS_AT_ONCE

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


def hear_whole(
    classifier: Classifier,
    path: Path,
    methods: Sequence[Occlusion],
    *,
    targets: Sequence[str] = (),
    top: int = 5,
    prepared: Prepared | None = None,
    progress: Progress | None = None,
) -> HeardWhole:
    """Let a classifier listen to all of a file, and explain the mean of its segments' scores.

    Parameters
    ----------
    classifier
        Which one; it cuts the recording as it was trained to.
    path
        The file.
    methods
        The explainers.
    targets
        Classes to explain; none takes the one of the highest mean score.
    top
        How many classes are listed.
    prepared
        The classifier prepared for explaining, where several files are explained; None prepares it for this one.
    progress
        Told how far it is.

    Raises
    ------
    BadRecordingError
        The file cannot be used.
    UsageError
        The classifier has no such class, or a mask is larger than a segment of this file.
    """
    indices = [classifier.class_index(name) for name in targets]
    log_mel = log_mel_of(path, classifier.front_end)
    name = printable(path)
    frames = segment_frames(classifier, log_mel.shape[0])
    data = cut([log_mel], [name], classifier.front_end.silence, frames, classifier.overlap)
    scores = _scores(classifier, data, progress or Silent())
    indices = indices or [int(scores.mean(axis=0).argmax())]
    prepared = prepared or Prepared(classifier)
    found = [_found(prepared, log_mel, indices, method, name, frames, progress) for method in methods]
    return HeardWhole(
        path.name if path.name.isprintable() else name,
        f"{file_name(path)}-whole",
        classifier.front_end.clock,
        classifier.classes,
        classifier.front_end.silence,
        data.log_mels[0],
        data.real_frames[0],
        frames,
        data.start_frames,
        scores,
        top,
        tuple(tuple(each[place] for each in found) for place in range(len(indices))),
    )


def _scores(classifier: Classifier, data: SegmentedLogMels, progress: Progress) -> Float64Array:
    parts = np.array_split(np.arange(len(data)), -(-len(data) // SEGMENTS_AT_ONCE))
    found = []
    with progress.task("Listening to segments", len(data)) as advance:
        for rows in parts:
            found.append(to_numpy(classifier.probabilities(data.values(rows))).astype(np.float64))
            advance(len(rows))
    return np.concatenate(found)


def _found(
    prepared: Prepared,
    log_mel: Float32Array,
    indices: Sequence[int],
    method: Occlusion,
    name: str,
    frames: int,
    progress: Progress | None,
) -> list[WholeMap]:
    """Return a method's map and profile for each class."""

    def explained(explainer: Occlusion) -> list[Attribution]:
        try:
            return explain_recording(
                prepared,
                log_mel,
                [Target(index) for index in indices],
                explainer,
                segment_frames=frames,
                file=name,
                progress=progress,
            )
        except UsageError as error:  # of several files, a mask may be too large for one
            raise UsageError(f"{name}: {error}") from error

    maps = explained(method)
    profiles = maps if method.along == "time" else explained(along_time(method))
    return [WholeMap(method, *pair) for pair in zip(maps, profiles, strict=True)]


def along_time(method: Occlusion) -> Occlusion:
    """Return the method whose mask hides all bands of a moment."""
    return replace(method, along="time")
