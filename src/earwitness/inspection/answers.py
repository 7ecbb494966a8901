"""How a question to a run is answered: its segments heard again, explained, judged, and the attributions kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from earwitness.audio.segments import Segments
from earwitness.core.errors import UsageError
from earwitness.core.progress import Progress
from earwitness.explainers import explanations
from earwitness.explainers.attribution import Attribution, Target, is_silent
from earwitness.explainers.explanations import Finding, Inquiry
from earwitness.explainers.method import Explainer
from earwitness.explainers.parameters import spec
from earwitness.inspection.run import Investigation
from earwitness.trust.verdicts.assess import TESTED_ON, all_judged


def answer(
    investigation: Investigation,
    asked: Inquiry,
    rows: Sequence[int],
    methods: Sequence[Explainer],
    roles: tuple[str, ...],
    progress: Progress,
) -> Inquiry:
    """Listen to segments, explain them under their targets, judge the maps, and keep the attributions.

    Parameters
    ----------
    investigation
        The run.
    asked
        The question.
    rows
        Of ``predictions.csv``.
    methods
        The explainers; without any, the segments are listened to only.
    roles
        What the targets of each segment are to it: ``"predicted"``, ``"true"``.
    progress
        Told how far the work has come.

    Raises
    ------
    UsageError
        There are more segments than a picture holds.
    """
    if not rows:
        return asked
    if len(rows) > explanations.MOST_SHOWN:
        raise UsageError(
            f"{len(rows)} segments are more than a picture holds; ask for at most {explanations.MOST_SHOWN}"
        )
    predictions = investigation.predictions
    segments = investigation.listen(rows, progress)
    of_role = {"predicted": predictions.predicted, "true": predictions.segment_labels}
    targets = [[Target(int(of_role[role][row])) for role in roles] for row in rows]
    found = [method.attribute(investigation.prepared, segments, targets, progress) for method in methods]
    if investigation.judging and methods:
        each = segments.take([row for row, listed in enumerate(targets) for _ in listed])
        to_test = _to_test(investigation)
        found = all_judged(investigation.run.trust, investigation.prepared, methods, each, found, to_test, progress)
    answers = []
    for position, row in enumerate(rows):
        first = position * len(roles)
        attributions = tuple(tuple(listed[first + number] for listed in found) for number in range(len(roles)))
        answers.append(_finding(investigation, row, segments, position, attributions if methods else ()))
    for method, listed in zip(methods, found, strict=True):
        for attribution in listed:
            attribution.save(investigation.attribution_path(attribution, spec(method)))
    titles = tuple(method.title for method in methods)
    return replace(asked, methods=titles, targets=roles if methods else (), findings=tuple(answers))


def _to_test(investigation: Investigation) -> tuple[Segments, list[Target]] | None:
    """Return a few right segments that sound, on which methods are tested with random weights; None without any."""
    predictions = investigation.predictions
    right = np.flatnonzero(predictions.predicted == predictions.segment_labels)
    rows: list[int] = []
    for part in np.array_split(right, TESTED_ON):
        # The most confident of each part: segments of different classes, where files are sorted by class.
        ranked = part[np.argsort(-predictions.scores[part].max(axis=1), kind="stable")]
        rows += [int(row) for row in ranked[:1] if not investigation.silent(int(row))]
    if not rows:
        return None
    return investigation.listen(rows), [Target(int(predictions.predicted[row])) for row in rows]


def _finding(
    investigation: Investigation,
    row: int,
    segments: Segments,
    position: int,
    attributions: tuple[tuple[Attribution, ...], ...],
) -> Finding:
    predictions = investigation.predictions
    classes, best = predictions.classes, int(predictions.predicted[row])
    log_mel, real = segments.values[position], int(segments.real_frames[position])
    return Finding(
        row=row,
        file=segments.files[position],
        start_seconds=float(predictions.start_seconds[row]),
        end_seconds=float(predictions.end_seconds[row]),
        label=classes[int(predictions.segment_labels[row])],
        predicted=classes[best],
        score=float(predictions.scores[row, best]),
        scores=tuple(float(score) for score in predictions.scores[row]),
        log_mel=log_mel,
        start_frame=int(segments.start_frames[position]),
        real_frames=real,
        silent=is_silent(log_mel, real, investigation.classifier.front_end.silence),
        attributions=attributions,
    )
