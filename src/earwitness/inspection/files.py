"""What a classifier hears in a sound file that no run knows: its best classes, and on what they are based."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earwitness.audio.extraction import log_mel_of
from earwitness.audio.segments import SegmentedLogMels, Segments, cut
from earwitness.core.arrays import Float64Array
from earwitness.core.device import to_numpy
from earwitness.core.errors import UsageError, printable
from earwitness.core.files import file_name
from earwitness.core.progress import Progress
from earwitness.core.run_folder import RunFolder
from earwitness.explainers.attribution import Target, is_silent
from earwitness.explainers.explanations import Finding, Inquiry
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.method import Explainer
from earwitness.models.classifier import Classifier, segment_frames
from earwitness.trust.verdicts.assess import all_judged, rows_to_test

MOST_LOOKED_AT = 16  # segments among which those to test a method on are looked for


@dataclass(frozen=True)
class Heard:
    """What was heard in one file.

    Parameters
    ----------
    file
        Its name, printable.
    seconds
        Its length as far as it was listened to.
    ranking
        The best classes and their scores: the mean of the segments' probabilities.
    inquiry
        The explained segment, with an attribution for each target and method.
    """

    file: str
    seconds: float
    ranking: tuple[tuple[str, float], ...]
    inquiry: Inquiry


def hear(
    classifier: Classifier,
    path: Path,
    methods: Sequence[Explainer],
    *,
    targets: Sequence[str] = (),
    at: float | None = None,
    top: int = 5,
    judging: RunFolder | None = None,
    prepared: Prepared | None = None,
    progress: Progress | None = None,
) -> Heard:
    """Let a classifier listen to a file and explain what it heard.

    Parameters
    ----------
    classifier
        Which one. A file shorter than its segments is one segment; where the network takes any length, it is not
        padded but heard as it is.
    path
        The file.
    methods
        The explainers.
    targets
        Classes to explain; none takes the best.
    at
        A moment in seconds: the segment around it is explained. None takes the segment that scores highest for the
        first target.
    top
        How many classes are ranked.
    judging
        Where what was measured once of a method is kept (its ``trust/``): every map gets a verdict. None: no verdicts.
    prepared
        The classifier prepared for explaining, where several files are explained; None prepares it for this one.
    progress
        Told how far it is.

    Raises
    ------
    BadRecordingError
        The file cannot be used.
    UsageError
        The classifier has no such class, or the file no such moment.
    """
    indices = [classifier.class_index(name) for name in targets]
    log_mel = log_mel_of(path, classifier.front_end)
    name = printable(path)
    frames = segment_frames(classifier, log_mel.shape[0])
    data = cut([log_mel], [name], classifier.front_end.silence, frames, classifier.overlap)
    scores = to_numpy(classifier.probabilities(data.values(np.arange(len(data))))).astype(np.float64)
    mean = scores.mean(axis=0)
    best = np.argsort(-mean, kind="stable")[:top]
    indices = indices or [int(best[0])]
    row = int(scores[:, indices[0]].argmax()) if at is None else _segment_at(classifier, data, at, name)
    segment = data.take([row])
    wanted = [[Target(index) for index in indices]]
    prepared = prepared or Prepared(classifier)
    found = [method.attribute(prepared, segment, wanted, progress) for method in methods]
    if judging is not None:
        each, to_test = segment.take([0] * len(indices)), _to_test(classifier, data, scores)
        found = all_judged(judging, prepared, methods, each, found, to_test, progress)
    clock = classifier.front_end.clock
    start = float(clock.frame_start_seconds(data.start_frames[row]))
    predicted = int(scores[row].argmax())
    finding = Finding(
        row,
        path.name if path.name.isprintable() else name,
        start,
        start + frames * clock.frame_seconds,
        None,
        classifier.classes[predicted],
        float(scores[row, predicted]),
        tuple(float(score) for score in scores[row]),
        segment.values[0],
        int(data.start_frames[row]),
        int(segment.real_frames[0]),
        is_silent(segment.values[0], int(segment.real_frames[0]), classifier.front_end.silence),
        tuple(tuple(attributions[place] for attributions in found) for place in range(len(indices))),
    )
    inquiry = Inquiry(
        "segments",
        file_name(path),
        name,
        "Which moments and which frequencies made this decision?",
        clock,
        classifier.classes,
        classifier.front_end.silence,
        tuple(method.title for method in methods),
        tuple("best" if not targets else "asked" for _ in indices),
        (finding,),
    )
    ranking = tuple((classifier.classes[index], float(mean[index])) for index in best)
    return Heard(name, log_mel.shape[0] * clock.frame_seconds, ranking, inquiry)


def _to_test(classifier: Classifier, data: SegmentedLogMels, scores: Float64Array) -> tuple[Segments, list[Target]]:
    """Return a few sounding segments of the file, and the class that each is heard as."""
    some = np.unique(np.linspace(0, len(data) - 1, MOST_LOOKED_AT).astype(np.int64))
    rows = some[rows_to_test(classifier, data.take(some))]
    return data.take(rows), [Target(int(scores[row].argmax())) for row in rows]


def _segment_at(classifier: Classifier, data: SegmentedLogMels, at: float, name: str) -> int:
    """Return the segment whose middle is nearest to a moment."""
    clock = classifier.front_end.clock
    seconds = data.real_frames[0] * clock.frame_seconds
    if not 0.0 <= at <= seconds:
        raise UsageError(f"--at {at:g}: {name} lasts {seconds:.2f} s; name a moment within it")
    middles: Float64Array = clock.frame_centre_seconds(data.start_frames + data.segment_frames / 2)
    return int(np.abs(middles - at).argmin())
