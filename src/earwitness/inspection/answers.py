"""How a question to a run is answered: its segments read again, explained, judged, and the attributions kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from earwitness.audio.segments import Segments
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers.attribution import Attribution, Target, is_silent
from earwitness.explainers.findings import MOST_SHOWN, Finding, Inquiry
from earwitness.explainers.method import Explainer
from earwitness.explainers.parameters import spec
from earwitness.explainers.regions import with_regions
from earwitness.inspection.questions import Candidates, Question
from earwitness.inspection.run import SHOWN_SECONDS, OpenRun
from earwitness.models.prediction import Predictions
from earwitness.trust.verdicts.assess import TESTED_ON, all_judged


def answer(
    run: OpenRun,
    question: Question,
    methods: Sequence[Explainer] = (),
    *,
    verdicts: bool = True,
    progress: Progress = NO_PROGRESS,
) -> Inquiry:
    """Read the segments that a question is about, explain them, judge the maps, and keep the attributions in the run.

    Every method explains every class of every segment in one call.

    Parameters
    ----------
    run
        The run.
    question
        About its predictions.
    methods
        The explainers; without any, or where the question has no ``roles``, segments are shown without maps.
    verdicts
        Whether to measure how far each map may be believed.
    progress
        Told how far the work has come.

    Raises
    ------
    UsageError
        There are more segments than a picture holds.
    EarwitnessError
        A recording is missing, cannot be used any more, or is no longer the one that was measured.
    """
    front_end = run.classifier.front_end
    rows, notes = chosen_rows(run, question.candidates)
    if len(rows) > MOST_SHOWN:
        raise UsageError(f"{len(rows)} segments are more than a picture holds; ask for at most {MOST_SHOWN}")
    shown = tuple(run.recordings(question.recordings, progress)) if question.recordings else ()
    if not all(each.whole for each in shown):
        notes.append(f"Of recordings longer than {SHOWN_SECONDS} s, the beginning is shown.")
    explainers = methods if rows and question.roles else ()
    return Inquiry(
        kind=question.kind,
        name=question.name,
        title=question.title,
        question=question.question,
        clock=front_end.clock,
        classes=run.classifier.classes,
        silence=front_end.silence,
        methods=tuple(method.title for method in explainers),
        targets=question.roles if explainers else (),
        findings=_findings(run, rows, question.roles, explainers, verdicts, progress) if rows else (),
        recordings=shown,
        notes=(*question.notes, *notes),
    )


# ---- choosing -----------------------------------------------------------------------------------------------------


def chosen_rows(run: OpenRun, groups: Sequence[Candidates]) -> tuple[list[int], list[str]]:
    """Return the rows to show, and sentences that a reader must know of what is not shown.

    Whether a segment holds sound is found out by reading it, so it goes no further than somebody asks for.
    """
    rows: list[int] = []
    notes: list[str] = []
    for group in groups:
        if group.silent == "shown":
            rows += group.rows[: group.count]
            continue
        silent: list[int] = []
        picked = spread_over_recordings(run.predictions, _sounding(run, group.rows, silent), group.count)
        if group.silent == "last" and silent:
            if picked:
                words = "such segment" if len(silent) == 1 else "such segments"
                notes.append(f"Left out: {len(silent)} {words} without any sound, where there is nothing to point at.")
            else:
                picked = silent[: group.count]
                notes.append("None of these segments has any sound in it.")
        if not picked:
            notes.append(group.none)
        rows += picked
    return rows, notes


def _sounding(run: OpenRun, rows: Sequence[int], silent: list[int]) -> Iterator[int]:
    """Yield the rows that hold sound, adding the others to ``silent``."""
    for row in rows:
        if not run.silent(row):
            yield row
        else:
            silent.append(row)


def spread_over_recordings(predictions: Predictions, ranked: Iterable[int], count: int) -> list[int]:
    """Return ``count`` rows, from as many recordings as can be, the most confident first.

    Neighbouring segments overlap, so the most confident ones of all often show one moment several times.
    """
    scores, recording = predictions.scores, predictions.recording
    seen: set[int] = set()
    later: list[int] = []

    def first_of_each_recording() -> Iterator[int]:
        for row in ranked:
            if int(recording[row]) in seen:
                later.append(row)
            else:
                seen.add(int(recording[row]))
                yield row

    picked = list(islice(first_of_each_recording(), count))
    picked += later[: count - len(picked)]
    return sorted(picked, key=lambda row: -float(scores[row].max()))


# ---- explaining ---------------------------------------------------------------------------------------------------


def _findings(
    run: OpenRun,
    rows: Sequence[int],
    roles: Sequence[str],
    methods: Sequence[Explainer],
    verdicts: bool,
    progress: Progress,
) -> tuple[Finding, ...]:
    """Explain segments under the classes of their roles, judge the maps and keep them."""
    predictions, segments = run.predictions, run.segments(rows, progress)
    of_role = {"predicted": predictions.predicted, "true": predictions.segment_labels}
    targets = [[Target(int(of_role[role][row])) for role in roles] for row in rows]
    found = [method.attribute(run.prepared, segments, targets, progress) for method in methods]
    found = with_regions(run.prepared, segments, found, progress)
    if verdicts and methods:
        each = segments.take([row for row, listed in enumerate(targets) for _ in listed])
        found = all_judged(run.folder.trust, run.prepared, methods, each, found, _to_test(run), progress)
    for method, listed in zip(methods, found, strict=True):
        for attribution in listed:
            path = run.attribution_path(attribution, spec(method))
            if not _judged_before(path, attribution):
                attribution.save(path)
    maps = [
        tuple(tuple(listed[first + number] for listed in found) for number in range(len(roles)))
        for first in range(0, len(rows) * len(roles), max(1, len(roles)))
    ]
    return tuple(
        _finding(run, row, segments, position, maps[position] if methods else ()) for position, row in enumerate(rows)
    )


def _judged_before(path: Path, new: Attribution) -> bool:
    """Say whether the same map is kept with a verdict, which one without would replace."""
    if new.verdict is not None or not path.exists():
        return False
    try:
        kept = Attribution.load(path)
    except EarwitnessError:  # damaged: the new one takes its place
        return False
    return kept.verdict is not None and np.array_equal(kept.values, new.values)


def _to_test(run: OpenRun) -> tuple[Segments, list[Target]] | None:
    """Return a few right segments that sound, on which methods are tested with random weights; None without any."""
    predictions = run.predictions
    right = np.flatnonzero(predictions.predicted == predictions.segment_labels)
    rows: list[int] = []
    for part in np.array_split(right, TESTED_ON):
        # The most confident of each part: segments of different classes, where files are sorted by class.
        ranked = part[np.argsort(-predictions.scores[part].max(axis=1), kind="stable")]
        rows += [int(row) for row in ranked[:1] if not run.silent(int(row))]
    if not rows:
        return None
    return run.segments(rows), [Target(int(predictions.predicted[row])) for row in rows]


def _finding(
    run: OpenRun,
    row: int,
    segments: Segments,
    position: int,
    attributions: tuple[tuple[Attribution, ...], ...],
) -> Finding:
    predictions = run.predictions
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
        silent=is_silent(log_mel, real, run.classifier.front_end.silence),
        attributions=attributions,
    )
