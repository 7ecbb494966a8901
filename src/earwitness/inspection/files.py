"""One segment of a sound file that no run knows: which one, for which classes, and what methods find in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from earwitness.audio import decoding
from earwitness.audio.extraction import StreamedLogMel, stretches
from earwitness.audio.losses import Losses
from earwitness.audio.segments import Segments
from earwitness.core.errors import UsageError, printable
from earwitness.core.files import file_name
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers.attribution import Attribution, Target, is_silent
from earwitness.explainers.findings import Finding, Inquiry, shown_score
from earwitness.explainers.method import Explainer
from earwitness.explainers.regions import with_regions
from earwitness.inspection.model import Model
from earwitness.models.classifier import WAVEFORM, Classifier, segment_frames
from earwitness.models.foreign.sound import score_waveform
from earwitness.models.hierarchy import most_specific
from earwitness.models.prediction import ScoredRecording, score_recording, score_stream
from earwitness.trust.verdicts.assess import all_judged, rows_to_test

HELD_SECONDS = 600.0  # a longer recording's log-mel is not held in memory
MOST_LOOKED_AT = 16  # segments among which those to test a method on are looked for


def score_file(
    classifier: Classifier, path: Path, progress: Progress = NO_PROGRESS, *, tail: bool = True
) -> ScoredRecording:
    """Return a file's segments with their scores.

    Parameters
    ----------
    classifier
        Which one. A file shorter than its segments is one segment; where the network takes any length, it is not
        padded but scored as it is.
    path
        The file.
    progress
        Told a step a segment.
    tail
        Whether a last segment ends where the file does. A network over waveforms always gets it.

    Raises
    ------
    BadRecordingError
        The file cannot be used.
    """
    if classifier.takes == WAVEFORM:
        return _score_samples(classifier, path, progress)
    front_end, name = classifier.front_end, printable(path)
    most, losses = front_end.clock.seconds_to_frame_count(HELD_SECONDS), Losses((front_end.high_hz,))
    (beginning,) = stretches(StreamedLogMel(path, front_end, losses), [(0, most + 1)])
    if len(beginning) > most:
        losses = Losses((front_end.high_hz,))  # those before were of the beginning alone
        scored = score_stream(classifier, StreamedLogMel(path, front_end, losses), name, progress, tail=tail)
        return replace(scored, source=StreamedLogMel(path, front_end), notes=losses.sentences, lasts=losses.seconds)
    frames = segment_frames(classifier, len(beginning))
    scored = score_recording(classifier, beginning, name, segment_frames=frames, tail=tail, progress=progress)
    return replace(scored, notes=losses.sentences, lasts=losses.seconds)


def _score_samples(classifier: Classifier, path: Path, progress: Progress) -> ScoredRecording:
    """Return a file's segments with the scores of a network over waveforms; the samples are held in memory."""
    front_end, losses = classifier.front_end, Losses((classifier.front_end.high_hz,))
    blocks, held = [], 0
    for block in decoding.stream(path, front_end.sample_rate, losses=losses):
        blocks.append(block)
        held += len(block)
        if held > HELD_SECONDS * front_end.sample_rate:
            raise UsageError(
                f"{printable(path)}: is longer than {HELD_SECONDS / 60:g} minutes, which a model over waveforms cannot "
                "be explained on; cut it into shorter files"
            )
    scored = score_waveform(classifier, np.concatenate(blocks), printable(path), progress)
    return replace(scored, notes=losses.sentences, lasts=losses.seconds)


def explain_segment(
    model: Model,
    path: Path,
    scored: ScoredRecording,
    methods: Sequence[Explainer],
    *,
    classes: Sequence[str] = (),
    at: float | None = None,
    progress: Progress = NO_PROGRESS,
) -> Inquiry:
    """Explain one segment of a file.

    Parameters
    ----------
    model
        What scored it.
    path, scored
        The file, and its segments with their scores.
    methods
        The explainers.
    classes
        Classes to explain; none takes the one of the highest mean score, or, with ``at``, the one that the segment was
        predicted as; of nested classes that lead, the most specific.
    at
        A moment in seconds: the segment around it is explained. None takes the segment with sound that scores highest
        for the first class (:func:`surest_segment`); a silent one that scores higher is named in a note.
    progress
        Told how far it is.

    Raises
    ------
    UsageError
        The classifier has no such class, or the file no such moment.
    """
    classifier = model.classifier
    indices, nested = [classifier.class_index(name) for name in classes], []
    row = None if at is None else _segment_at(scored, at)
    if not indices:  # of this segment, if it was named, which need not be the file's
        nested = most_specific(scored.mean if row is None else scored.scores[row], classifier.parents)
        indices = nested[-1:]
    notes: tuple[str, ...] = ()
    if row is None:
        row = surest_segment(scored, indices[0])
        notes = _passed_over(scored, row, indices[0])
    segment = scored.take([row])
    wanted = [[Target(index) for index in indices]]
    found = [method.attribute(model.prepared, segment, wanted, progress) for method in methods]
    found = with_regions(model.prepared, segment, found, progress)
    maps = tuple(tuple(attributions[place] for attributions in found) for place in range(len(indices)))
    return inquiry_of(
        path,
        scored,
        "Which moments and which frequencies made this decision?",
        methods,
        ("chosen" if classes else _role(nested, at),) * len(indices),
        [finding_of(path, scored, row, segment, maps)],
        nested=tuple(scored.classes[index] for index in nested),
        notes=notes,
    )


def with_verdicts(
    model: Model,
    scored: ScoredRecording,
    methods: Sequence[Explainer],
    inquiry: Inquiry,
    progress: Progress = NO_PROGRESS,
) -> Inquiry:
    """Return an answer about segments of a file with a verdict on each of its maps.

    Parameters
    ----------
    model, scored, methods
        What made the answer: the model, the file's segments with their scores, the explainers.
    inquiry
        The answer.
    progress
        Told how far it is.

    Raises
    ------
    EarwitnessError
        The file is no longer what was scored.
    """
    if not methods:
        return inquiry
    of_target = [(finding.row, maps) for finding in inquiry.findings for maps in finding.attributions]
    segments = scored.take([row for row, _ in of_target])
    of_method = list(zip(*(maps for _, maps in of_target), strict=True))
    to_test = segments_to_test(model.classifier, scored)
    found = all_judged(model.cache, model.prepared, methods, segments, of_method, to_test, progress)
    judged = zip(*found, strict=True)
    findings = [
        replace(finding, attributions=tuple(islice(judged, len(finding.attributions)))) for finding in inquiry.findings
    ]
    return replace(inquiry, findings=tuple(findings))


def inquiry_of(
    path: Path,
    scored: ScoredRecording,
    question: str,
    methods: Sequence[Explainer],
    targets: tuple[str, ...],
    findings: Sequence[Finding],
    *,
    nested: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> Inquiry:
    """Return what was found about segments of a file as an answer to a question."""
    return Inquiry(
        kind="segments",
        name=file_name(path),
        title=scored.file,
        question=question,
        clock=scored.clock,
        classes=scored.classes,
        silence=scored.silence,
        methods=tuple(method.title for method in methods),
        targets=targets,
        nested=nested,
        notes=notes,
        findings=tuple(findings),
    )


def _role(nested: Sequence[int], at: float | None) -> str:
    """Return why a class is explained that nobody named."""
    if len(nested) > 1:
        return "most specific"
    return "best" if at is None else "predicted"


def finding_of(
    path: Path, scored: ScoredRecording, row: int, segment: Segments, maps: tuple[tuple[Attribution, ...], ...]
) -> Finding:
    """Return what was found about one segment of a file, given its row and its maps, a list a target."""
    start = float(scored.clock.frame_start_seconds(scored.start_frames[row]))
    predicted, real = int(scored.predicted[row]), int(segment.real_frames[0])
    return Finding(
        row=row,
        file=shown_name(path),
        start_seconds=start,
        end_seconds=start + scored.segment_frames * scored.clock.frame_seconds,
        label=None,
        predicted=scored.classes[predicted],
        score=float(scored.scores[row, predicted]),
        scores=tuple(float(score) for score in scored.scores[row]),
        log_mel=segment.values[0],
        start_frame=int(scored.start_frames[row]),
        real_frames=real,
        silent=is_silent(segment.values[0], real, scored.silence),
        attributions=maps,
    )


def shown_name(path: Path) -> str:
    """Return what a picture calls a file."""
    return path.name if path.name.isprintable() else printable(path)


def segments_to_test(classifier: Classifier, scored: ScoredRecording) -> tuple[Segments, list[Target]]:
    """Return a few sounding segments of the file, and the class that each is predicted as."""
    some = np.unique(np.linspace(0, len(scored.scores) - 1, MOST_LOOKED_AT).astype(np.int64))
    rows = some[rows_to_test(classifier, scored.take(some))]
    return scored.take(rows), [Target(int(scored.predicted[row])) for row in rows]


def surest_segment(scored: ScoredRecording, index: int) -> int:
    """Return the segment that scores highest for a class among those with sound, of which a map can say something.

    Where none holds sound, it is the one that scores highest.
    """
    order = np.argsort(-scored.scores[:, index], kind="stable")
    first = scored.take(order[:1])
    if not is_silent(first.values[0], int(first.real_frames[0]), scored.silence):
        return int(order[0])
    ends = np.minimum(scored.start_frames + scored.segment_frames, scored.real_frames)
    spans = list(zip(scored.start_frames.tolist(), ends.tolist(), strict=True))
    silent = np.array([is_silent(found, len(found), scored.silence) for found in scored.excerpts(spans)])
    return int(next((row for row in order if not silent[row]), order[0]))


def _passed_over(scored: ScoredRecording, row: int, index: int) -> tuple[str, ...]:
    """Return what to say of a segment without sound that scores higher for a class than the explained one."""
    highest, clock = int(scored.scores[:, index].argmax()), scored.clock
    if highest == row:
        return ()
    start = float(clock.frame_start_seconds(scored.start_frames[highest]))
    middle = start + 0.5 * scored.segment_frames * clock.frame_seconds
    return (
        f"the segment at {start:.2f} s scores highest for {scored.classes[index]} "
        f"({shown_score(float(scored.scores[highest, index]))}) and is silent, so the surest one with sound is "
        f"explained; --at {min(middle, scored.seconds):.2f} explains the silent one",
    )


def silence_explained(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return what to say of explained segments that hold no sound, where nobody named their moments."""
    starts = [f"{each.start_seconds:.2f} s" for each in findings if each.silent]
    if not starts:
        return ()
    what, holds = ("segment", "holds") if len(starts) == 1 else ("segments", "hold")
    return (f"the explained {what} at {', '.join(starts)} {holds} no sound; --at SECONDS explains another moment",)


def _segment_at(scored: ScoredRecording, at: float) -> int:
    """Return the segment whose middle is nearest to a moment."""
    if not 0.0 <= at <= scored.seconds:
        raise UsageError(f"--at {at:g}: {scored.file} lasts {scored.seconds:.2f} s; name a moment within it")
    return nearest_segment(scored, at)


def nearest_segment(scored: ScoredRecording, at: float) -> int:
    """Return the segment whose middle is nearest to a moment (seconds), counted from 0."""
    middles = scored.clock.frame_centre_seconds(scored.start_frames + scored.segment_frames / 2)
    return int(np.abs(middles - at).argmin())
