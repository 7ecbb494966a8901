"""What is known of a collection, a recording, a class or a map, as what goes over the wire."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from earwitness.audio.timefreq import leaves_tail
from earwitness.core.arrays import Float64Array
from earwitness.core.files import read_csv
from earwitness.explainers.registry import DEFAULT_METHODS, METHODS
from earwitness.models.detections import detect
from earwitness.models.prediction import Predictions, ScoredRecording
from earwitness.plots import gallery
from earwitness.report.causes import UNKNOWN, likely_causes
from earwitness.report.headline import headline
from earwitness.training import metrics
from earwitness.training.metrics import Confusion, Metrics
from earwitness.trust.audit import store
from earwitness.web import glance, shapes
from earwitness.web.collection import RUN, UPLOADS, Collection, recording_id
from earwitness.web.reviews import Review, SavedFinding
from earwitness.web.worker import Job, Worker

MOST_SEGMENTS = 100_000  # whose beginnings are told
MOST_DETECTIONS = 500
MOST_POINTS = 2_000  # of a curve
SHOWN_SEGMENTS = 12  # of a class


def collection_shape(collection: Collection) -> shapes.CollectionShape:
    """Return what a page must know of a collection at once."""
    classifier = collection.model.classifier
    clock, bands = classifier.front_end.clock, classifier.front_end.bands
    askable = collection.model.askable(list(METHODS))
    return shapes.CollectionShape(
        id=collection.id,
        title=collection.title,
        kind="run" if collection.kind == RUN else "folder",
        backbone=classifier.backbone,
        classes=list(classifier.classes),
        recordings=len(collection.names),
        labelled=bool(collection.labels),
        segment_seconds=classifier.segment_seconds,
        overlap=classifier.overlap,
        activation=classifier.activation,
        methods=[
            shapes.Method(
                name=name, title=METHODS[name].title, family=METHODS[name].family, default=name in DEFAULT_METHODS
            )
            for name in askable
        ],
        grid=shapes.Grid(
            sample_rate=classifier.front_end.sample_rate,
            frame_seconds=clock.frame_seconds,
            bands=bands,
            band_edges_hz=np.maximum(clock.band_edge_hz(np.arange(bands + 1)), 0.0).tolist(),
            band_centres_hz=clock.band_centre_hz(np.arange(bands)).tolist(),
            silence=float(classifier.front_end.silence),
        ),
    )


def scored_list(named: Mapping[str, float]) -> list[shapes.Scored]:
    """Return classes with their scores, in their order."""
    return [shapes.Scored(name=name, score=float(score)) for name, score in named.items()]


def ranked(classes: tuple[str, ...], means: Float64Array) -> dict[str, float]:
    """Return classes with their scores, best first."""
    return {classes[index]: float(means[index]) for index in np.argsort(-means, kind="stable")}


# ---- a collection -------------------------------------------------------------------------------------------------


def overview(collection: Collection, scoring: str | None) -> glance.Overview:
    """Return a collection at a glance; ``scoring`` is the job that scores it."""
    run = collection.run
    if run is None:
        known = len(collection.known)
        what = "sent here" if collection.kind == UPLOADS else f"in {collection.title}"
        return glance.Overview(
            accuracy=None,
            right=None,
            recordings=len(collection.names),
            segments=sum(each.segments for each in list(collection.known.values())),
            trained=False,
            audit=None,
            headline=f"Recordings {what}: {len(collection.names)}; scored by {collection.model.name}: {known}.",
            classes=_counted(collection),
            confusion=None,
            history=None,
            warnings=[f"{name}: {why}" for name, why in list(collection.unusable.items())],
            figures=[],
            report=False,
            scoring=scoring,
        )
    measured, folder, audit = metrics.read(run.folder), run.folder, store.read(run.folder)
    split = run.settings.get("split", {})
    return glance.Overview(
        accuracy=_accuracies(measured),
        right=int(np.trace(np.asarray(measured.confusion.files))),
        recordings=measured.files,
        segments=measured.segments,
        trained=folder.history.exists(),
        headline=str(headline(measured, run.predictions)["lead"]),
        audit=None if audit is None else audit.summary(),
        classes=[row for row in class_rows(measured) if row.recordings or row.precision is not None],
        confusion=_confusion(measured.confusion),
        history=_history(folder.history) if folder.history.exists() else None,
        warnings=[str(each) for each in split.get("warnings", [])],
        figures=figures(collection),
        report=folder.report.exists(),
    )


def _counted(collection: Collection) -> list[glance.ClassRow]:
    """Return the classes that were predicted or that recordings are labelled as, without measures."""
    counts = dict.fromkeys(collection.model.classes, 0)
    for known in list(collection.known.values()):  # the worker may be adding to them
        counts[known.predicted] += 1
    return [
        glance.ClassRow(name=name, recordings=count, precision=None, recall=None, f1=None, segments_right=None)
        for name, count in counts.items()
        if count
    ]


def _confusion(found: Confusion) -> glance.ConfusionShape:
    files, segments = np.asarray(found.files), np.asarray(found.segments)
    there = np.flatnonzero(files.sum(axis=1) + segments.sum(axis=0))
    grid = np.ix_(there, there)
    names = [found.classes[index] for index in there]
    return glance.ConfusionShape(classes=names, files=files[grid].tolist(), segments=segments[grid].tolist())


def _accuracies(measured: Metrics) -> glance.Accuracies:
    low, high = measured.intervals.file_accuracy
    # Segments of one recording are not independent: there is no interval for them.
    return glance.Accuracies(
        segment=glance.Share(value=measured.segment_accuracy, low=None, high=None),
        file=glance.Share(value=measured.file_accuracy, low=low, high=high),
    )


def class_rows(measured: Metrics) -> list[glance.ClassRow]:
    """Return how well each class is told from the others."""
    return [
        glance.ClassRow(
            name=name,
            recordings=each.files.support,
            precision=each.files.precision,
            recall=each.files.recall,
            f1=each.files.f1,
            segments_right=each.segments.recall,
        )
        for name, each in measured.per_class.items()
    ]


def _history(path: Path) -> glance.History | None:
    rows = read_csv(path)
    if not rows:
        return None
    step = max(1, len(rows) // MOST_POINTS)
    train = rows[::step]
    judged = [row for row in rows if row.get("validation_accuracy")]
    judged = judged[:: max(1, len(judged) // MOST_POINTS)]
    return glance.History(
        iteration=[int(row["iteration"]) for row in train],
        train_loss=[float(row["train_loss"]) for row in train],
        train_accuracy=[float(row["train_accuracy"]) for row in train],
        validation_iteration=[int(row["iteration"]) for row in judged],
        validation_loss=[float(row["validation_loss"]) for row in judged],
        validation_accuracy=[float(row["validation_accuracy"]) for row in judged],
    )


def figures(collection: Collection, about: str = "") -> list[glance.Figure]:
    """Return the run's pictures; with a class, those whose title names it."""
    if collection.run is None:
        return []
    return [
        glance.Figure(
            id=figure_id(collection, entry.name),
            title=entry.title,
            question=entry.question,
            kind=entry.kind,
            alt=entry.alt,
        )
        for entry in gallery.read(collection.run.folder)
        if entry.file is not None and about in entry.title
    ]


def figure_id(collection: Collection, name: str) -> str:
    """Return a picture's opaque id."""
    return hashlib.sha256(f"{collection.id}\n{name}".encode()).hexdigest()[:16]


def figure_path(collection: Collection, wanted: str) -> Path | None:
    """Return where a picture lies; None where the collection has none of this id."""
    if collection.run is None:
        return None
    for entry in gallery.read(collection.run.folder):
        if entry.file is not None and figure_id(collection, entry.name) == wanted:
            return collection.run.folder.figures / entry.file
    return None


# ---- a class ------------------------------------------------------------------------------------------------------


def class_page(collection: Collection, index: int, predicted: str = "") -> glance.ClassPage:
    """Return what is known of a class; ``predicted`` names the class that its contradictory segments are taken for.

    Raises
    ------
    UsageError
        There is no such class.
    """
    other = collection.model.classifier.class_index(predicted) if predicted else None
    name, found = collection.model.classes[index], collection.predictions
    if found is None or collection.run is None:
        return glance.ClassPage(name=name, metrics=None, figures=[], typical=[], contradictory=[], confused_with=[])
    measured = metrics.read(collection.run.folder)
    of_class, as_class = found.segment_labels == index, found.predicted == index
    row = measured.confusion.files[index]
    confused = [
        glance.Confused(name=found.classes[other], count=int(row[other]))
        for other in np.argsort(-np.asarray(row), kind="stable")
        if other != index and row[other]
    ]
    return glance.ClassPage(
        name=name,
        metrics=next(each for each in class_rows(measured) if each.name == name),
        figures=figures(collection, name),
        typical=_placed(found, np.flatnonzero(of_class & as_class), index),
        contradictory=_contradictory(found, index)
        if other is None
        else _placed(found, np.flatnonzero(of_class & (found.predicted == other)), other),
        confused_with=confused,
    )


def _contradictory(found: Predictions, index: int) -> list[glance.PlacedSegment]:
    """Return what is predicted as a class and is another, and what is of the class and scores least for it."""
    of_class, as_class = found.segment_labels == index, found.predicted == index
    taken = _placed(found, np.flatnonzero(~of_class & as_class), index)
    missed = _placed(found, np.flatnonzero(of_class & ~as_class), index, least=True)
    return taken[: SHOWN_SEGMENTS // 2] + missed[: SHOWN_SEGMENTS // 2]


def _placed(
    found: Predictions, rows: np.typing.NDArray[np.int64], index: int, *, least: bool = False
) -> list[glance.PlacedSegment]:
    """Return the segments of the highest (or least) score for a class, one a recording, with that of the predicted."""
    order = np.argsort(found.scores[rows, index] * (1 if least else -1), kind="stable")
    firsts: dict[int, int] = {}
    for row in rows[order].tolist():
        firsts.setdefault(int(found.recording[row]), row)
    return [
        glance.PlacedSegment(
            recording=recording_id(found.files[recording]),
            name=found.files[recording],
            start_seconds=float(found.start_seconds[row]),
            label=found.classes[int(found.labels[recording])],
            predicted=found.classes[int(found.predicted[row])],
            score=float(found.scores[row, found.predicted[row]]),
        )
        for recording, row in list(firsts.items())[:SHOWN_SEGMENTS]
    ]


# ---- a recording --------------------------------------------------------------------------------------------------


def segment_times(scored: ScoredRecording) -> shapes.SegmentTimes:
    """Return where a recording's segments begin."""
    starts = scored.clock.frame_start_seconds(scored.start_frames[:MOST_SEGMENTS])
    length = scored.segment_frames * scored.clock.frame_seconds
    return shapes.SegmentTimes(count=len(scored.scores), start_seconds=starts.tolist(), length_seconds=length)


def unseen(scored: ScoredRecording) -> list[str]:
    """Return a sentence on the end of a recording that no segment reaches; empty where there is none to speak of."""
    frames = scored.real_frames - int(scored.start_frames[-1]) - scored.segment_frames
    if not leaves_tail(frames, scored.segment_frames):
        return []
    return [f"no segment reaches its last {frames * scored.clock.frame_seconds:.2f} s, as when the run was measured"]


def detections(collection: Collection, scored: ScoredRecording) -> list[shapes.DetectionShape]:
    """Return what was detected in a recording, the surest of very many, in order of time."""
    found = detect(scored, collection.model.classifier.activation)
    surest = sorted(found, key=lambda each: -each.highest)[:MOST_DETECTIONS]
    return [
        shapes.DetectionShape(name=each.class_name, start=each.start_seconds, end=each.end_seconds, score=each.highest)
        for each in sorted(surest, key=lambda each: each.start_seconds)
    ]


def why(collection: Collection, name: str) -> str | None:
    """Return the likely cause of a misclassified recording in a sentence, or that none is known; None of others."""
    if collection.run is None:
        return None
    told = likely_causes(collection.run.predictions, [name], store.read(collection.run.folder)).get(name)
    return told if told is None or told.startswith(UNKNOWN) else f"Likely cause: {told}"


def review(found: Review) -> shapes.ReviewShape:
    """Return what a person decided."""
    return shapes.ReviewShape(decision=found.decision, note=found.note, at=found.at)  # type: ignore[arg-type]


def finding(found: SavedFinding) -> shapes.FindingShape:
    """Return what a person kept of an edit."""
    return shapes.FindingShape(
        id=found.id,
        title=found.title,
        note=found.note,
        edits=[dict(each) for each in found.edits],
        map=found.map,
        before=[msgspec.convert(each, shapes.Scored) for each in found.before],
        after=[msgspec.convert(each, shapes.Scored) for each in found.after],
        at=found.at,
    )


def job_shape(worker: Worker, job: Job) -> shapes.JobShape:
    """Return a job as it is now."""
    return shapes.JobShape(
        id=job.id,
        state=job.state,  # type: ignore[arg-type]  # one of STATES
        title=job.title,
        doing=job.doing,
        done=job.done,
        total=job.total,
        ahead=worker.ahead(job),
        result=job.result,
        error=job.error,
    )
