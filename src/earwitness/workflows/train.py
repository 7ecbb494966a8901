"""The main job over a run folder: train, evaluate, cross-validate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student

from earwitness.audio.extraction import listen
from earwitness.audio.frontend import LogMel
from earwitness.audio.segments import SegmentedLogMels, cut
from earwitness.core import run_folder
from earwitness.core.errors import EarwitnessError, UsageError, on_disk, printable
from earwitness.core.progress import Progress
from earwitness.core.run_folder import RunFolder
from earwitness.data import checks, recordings
from earwitness.data import splits as dataset
from earwitness.data.recordings import DataSet, Unusable
from earwitness.data.splits import Split
from earwitness.models.classifier import Classifier, load
from earwitness.models.mobilenet import MobileNet
from earwitness.models.registry import backbone_named
from earwitness.models.vggish import initialise_he
from earwitness.models.weights import fill
from earwitness.training import evaluation
from earwitness.training.checkpoints import remove_checkpoints
from earwitness.training.loop import (
    CHECKPOINT_SECONDS,
    HistoryRow,
    TrainingData,
    choose_device,
    resolve_precision,
    train,
    write_history,
)
from earwitness.training.request import Plan, Request, check_overlap, make_plan, segment_frames

__all__ = [
    "Outcome",
    "Plan",
    "Request",
    "cross_validate",
    "evaluate_run",
    "make_plan",
    "segment_frames",
    "train_run",
]

FINISHED_BEFORE = "the run was finished already and is kept as it is"
ACCURACIES = ("segment_accuracy", "file_accuracy", "file_accuracy_mean_score")


@dataclass(frozen=True)
class Outcome:
    """What a training or an evaluation came to.

    Parameters
    ----------
    run
        Its folder.
    metrics
        Content of ``metrics.json``.
    unusable
        Recordings that could not be used.
    warnings
        What the user should know.
    """

    run: RunFolder
    metrics: dict[str, Any]
    unusable: tuple[Unusable, ...]
    warnings: tuple[str, ...]


def train_run(
    request: Request,
    *,
    overwrite: bool = False,
    resume: bool = False,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    progress: Progress | None = None,
    on_row: Callable[[HistoryRow], None] | None = None,
) -> Outcome:
    """Train a classifier on a data set, evaluate it on the recordings held out, and keep everything in a run folder.

    Parameters
    ----------
    request
        What is asked.
    overwrite
        Replace an earlier run in the folder.
    resume
        Go on with an unfinished training of the same request.
    checkpoint_seconds
        Least time between checkpoints.
    progress, on_row
        Told how far it is.

    Raises
    ------
    UsageError, EarwitnessError
        In one line, what is wrong.
    """
    plan = make_plan(request)
    data = recordings.load(request.data)
    _check_apart(request)
    run_folder.check_free(request.out, overwrite=overwrite, resume=resume)
    # A wrong split and wrong weights are found out before the listening.
    choose_split(request, data)
    _check_weights(plan, data.classes)
    data, log_mels = hear(data, plan, progress)
    split = choose_split(request, data)
    # An earlier run is not removed before it is certain that this one can begin.
    run = run_folder.create(request.out, overwrite=overwrite, resume=resume)
    return _train_split(plan, data, log_mels, split, run, Watch(progress, on_row, checkpoint_seconds))


def cross_validate(
    request: Request,
    folds: int | None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    on_row: Callable[[HistoryRow], None] | None = None,
) -> dict[str, Any]:
    """Train and evaluate once for every fold, each in its own run folder below ``request.out``.

    Parameters
    ----------
    request
        What is asked, without a split.
    folds
        How many; None takes the data set's own.
    overwrite, progress, on_row
        As for :func:`train_run`. Finished folds are kept unless ``overwrite``; unfinished ones are resumed.

    Returns
    -------
    The content of ``cross_validation.json``: each fold's accuracies, their means, and 95 % intervals of the means
    (Student's t over the folds).
    """
    plan = make_plan(request)
    if request.split is not None or request.fold is not None:
        raise UsageError("--folds makes splits of its own; leave out --split and --fold")
    data = recordings.load(request.data)
    _check_apart(request)
    run_folder.check_writable(Path(request.out))
    dataset.folds(data, folds, seed=request.seed)
    _check_weights(plan, data.classes)
    data, log_mels = hear(data, plan, progress)
    splits = dataset.folds(data, folds, seed=request.seed)
    rows: list[dict[str, Any]] = []
    for number, split in enumerate(splits, start=1):
        out = Path(request.out, f"fold-{number}")
        fold_plan = replace(plan, request=replace(request, out=out))
        run = run_folder.create(out, overwrite=overwrite, resume=True)
        metrics = _train_split(fold_plan, data, log_mels, split, run, Watch(progress, on_row)).metrics
        rows.append({"fold": number, **{key: metrics[key] for key in (*ACCURACIES, "files", "segments")}})
    result = {
        "folds": rows,
        "mean": {key: float(np.mean([row[key] for row in rows])) for key in ACCURACIES},
        "interval_of_mean": {key: list(_mean_interval([row[key] for row in rows])) for key in ACCURACIES},
        "unusable": [[entry.file, entry.reason] for entry in data.unusable],
    }
    run_folder.write_json(Path(request.out, "cross_validation.json"), result)
    return result


def evaluate_run(
    path: Path | str,
    *,
    data: Path | str | None = None,
    out: Path | str | None = None,
    segment_seconds: float | None = None,
    overlap: float | None = None,
    device: str = "auto",
    strict: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Measure a finished run's classifier again: on its held-out recordings, or on other labelled ones.

    Parameters
    ----------
    path
        The run folder.
    data
        Other labelled recordings; None takes those that the run held out.
    out
        Folder for the results; None writes them into the run (only where nothing else than there is asked for).
    segment_seconds, overlap
        Another length or overlap of segments.
    device, strict, progress
        As for a training.

    Raises
    ------
    UsageError
        Something other than the run's own evaluation is asked for without ``out``.
    """
    run = run_folder.open_finished(path)
    asked = run_folder.read_json(run.run_json)
    changed = data is not None or segment_seconds is not None or overlap is not None
    if changed and out is None:
        raise UsageError("--out: name a folder for the results; the run's own are kept as they are")
    target = run if out is None else RunFolder(Path(out))
    if out is not None:
        if target.path.exists() and (not target.path.is_dir() or any(target.path.iterdir())):
            raise UsageError(f"{printable(out)}: exists and is not an empty folder; name a new one with --out")
        run_folder.check_writable(target.path)
    classifier = load(run.model, choose_device(device))
    if segment_seconds is not None or overlap is not None:
        classifier = _other_segments(classifier, segment_seconds, overlap)
    if data is not None:
        source = recordings.load(data, classifier.classes, for_training=False)
    else:
        place, held_out = _measured(run, asked)
        source = recordings.load(place, classifier.classes, for_training=False)
        source = replace(source, recordings=tuple(entry for entry in source.recordings if entry.name in held_out))
        _check_complete(held_out, source)
    source, log_mels = listen(source, classifier.front_end, strict=strict, for_training=False, progress=progress)
    if not source.recordings:
        raise UsageError(f"{printable(source.root)}: holds no usable recording")
    predictions = evaluation.predict(
        classifier,
        _cut(source, log_mels, classifier),
        np.array(source.class_numbers(), dtype=np.int64),
        np.arange(len(log_mels)),
        progress,
    )
    if out is not None:
        _write_quarantine(target, source.unusable)
    return Outcome(target, evaluation.write(predictions, target), source.unusable, ())


@dataclass(frozen=True)
class Watch:
    """Who is told how far a training is, and how often it is secured."""

    progress: Progress | None = None
    on_row: Callable[[HistoryRow], None] | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS


def hear(data: DataSet, plan: Plan, progress: Progress | None = None) -> tuple[DataSet, list[LogMel]]:
    """Compute the log-mels of a data set; return it without the recordings that cannot be used, and what was heard."""
    return listen(data, plan.backbone.front_end, strict=plan.request.strict, progress=progress)


def build(plan: Plan, classes: tuple[str, ...]) -> Classifier:
    """Return the untrained classifier of a plan: published or random weights below, a new last layer on top."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.request.seed)
        network = plan.backbone.build(len(classes))
    if plan.weights is None:
        initialise_he(network, plan.request.seed)
    else:
        fill(network, plan.backbone.name, plan.weights)
        if isinstance(network, MobileNet):
            network.repeats.fill_(plan.recipe.repeats)
    network.to(plan.device)
    return Classifier(
        network, plan.backbone.front_end, classes, plan.backbone.name, plan.segment_frames, plan.request.overlap
    )


def _train_split(
    plan: Plan, data: DataSet, log_mels: list[LogMel], split: Split, run: RunFolder, watch: Watch
) -> Outcome:
    _record(plan, data, split, run)
    warnings = (*split.warnings, *checks.duplicate_warnings(data, split))
    _warn(warnings, watch.progress)
    if run.finished:
        remove_checkpoints(run.checkpoints)
        _warn((FINISHED_BEFORE,), watch.progress)
        return Outcome(run, run_folder.read_json(run.metrics), data.unusable, (*warnings, FINISHED_BEFORE))
    _write_quarantine(run, data.unusable)
    classifier = build(plan, data.classes)
    segments = _cut(data, log_mels, classifier)
    labels = np.array(data.class_numbers(), dtype=np.int64)
    history = train(
        classifier,
        TrainingData(segments, labels, segments.rows_of(split.train), segments.rows_of(split.validation)),
        plan.recipe,
        seed=plan.request.seed,
        freeze=plan.request.freeze,
        checkpoints=run.checkpoints,
        checkpoint_seconds=watch.checkpoint_seconds,
        on_row=watch.on_row,
        progress=watch.progress,
    )
    write_history(run.history, history)
    if plan.judge_frames != plan.segment_frames:
        classifier = classifier.with_segments(plan.judge_frames, plan.request.overlap)
        segments = _cut(data, log_mels, classifier)
    predictions = evaluation.predict(classifier, segments, labels, np.asarray(split.validation), watch.progress)
    metrics = evaluation.write(predictions, run)
    # The model comes last: a folder that holds it is finished.
    classifier.save(run.model)
    remove_checkpoints(run.checkpoints)
    return Outcome(run, metrics, data.unusable, warnings)


def _warn(warnings: tuple[str, ...], progress: Progress | None) -> None:
    """Say what the user should know before the time of a training is spent."""
    if progress is not None:
        for line in warnings:
            progress.say(f"earwitness: warning: {line}")


def _record(plan: Plan, data: DataSet, split: Split, run: RunFolder) -> None:
    """Write ``run.json``, or, where a training is resumed or was finished before, make sure that the same is asked."""
    request = plan.request
    names = [recording.name for recording in data.recordings]
    content = {
        "command": list(request.command),
        "backbone": plan.backbone.name,
        "weights": {
            "source": "random" if plan.weights is None else printable(plan.weights.path.resolve()),
            "sha256": None if plan.weights is None else plan.weights.sha256,
        },
        "data": {
            "path": printable(Path(request.data).resolve()),
            "recordings": len(names),
            "classes": dict(Counter(recording.label for recording in data.recordings)),
        },
        "split": {
            "kind": split.kind,
            "train": [names[row] for row in split.train],
            "validation": [names[row] for row in split.validation],
            "warnings": list(split.warnings),
        },
        "recipe_name": plan.recipe_name,
        "recipe": plan.recipe.as_dict(),
        "freeze": request.freeze,
        "segment_frames": plan.segment_frames,
        "judge_frames": plan.judge_frames,
        "overlap": request.overlap,
        "seed": request.seed,
        "device": str(plan.device),
        "precision": resolve_precision(plan.recipe.precision, plan.device),
        "threads": torch.get_num_threads(),
        "versions": dict(run_folder.versions()),
    }
    if not run.started:
        run_folder.write_json(run.run_json, content)
        return
    before = run_folder.read_json(run.run_json)
    # What the bytes of an unfinished training may depend on says nothing against a finished one.
    free = {"command", *(("device", "precision", "threads", "versions") if run.finished else ())}
    for key, value in content.items():
        if key not in free and before.get(key) != value:
            raise UsageError(
                f"{printable(run.path)}: --resume needs the same request, but {key} differs from when the training "
                "began; ask as before, or --overwrite to begin anew"
            )


def choose_split(request: Request, data: DataSet) -> Split:
    """Return the split that a request names, or the one that is safest for what is known of the recordings."""
    return dataset.split(data, request.split, fold=request.fold, fraction=request.fraction, seed=request.seed)


def _cut(data: DataSet, log_mels: list[LogMel], classifier: Classifier) -> SegmentedLogMels:
    names = [recording.name for recording in data.recordings]
    return cut(log_mels, names, classifier.front_end.silence, classifier.segment_frames, classifier.overlap)


def _other_segments(classifier: Classifier, seconds: float | None, overlap: float | None) -> Classifier:
    frames = classifier.segment_frames
    if seconds is not None:
        frames = segment_frames(backbone_named(classifier.backbone), seconds)
    return classifier.with_segments(frames, classifier.overlap if overlap is None else check_overlap(overlap))


def _check_weights(plan: Plan, classes: tuple[str, ...]) -> None:
    if plan.weights is not None:
        fill(plan.backbone.build(len(classes)), plan.backbone.name, plan.weights)


def _measured(run: RunFolder, asked: Any) -> tuple[Path, set[str]]:
    """Return where a run's data was, and the names of the recordings that it held out."""
    try:
        place, held_out = on_disk(Path(asked["data"]["path"])), set(asked["split"]["validation"])
    except (KeyError, TypeError) as error:
        raise EarwitnessError(
            f"{printable(run.run_json)}: is damaged (it does not say what was held out); "
            "evaluate other recordings with --data"
        ) from error
    if not place.exists():
        raise UsageError(
            f"{printable(place)}: the run's data has gone missing; "
            "put it back, or evaluate other recordings with --data"
        )
    return place, held_out


def _check_apart(request: Request) -> None:
    """Refuse a run folder inside the data folder: the next training would take it for a class."""
    data, out = Path(request.data).resolve(), Path(request.out).resolve()
    if data.is_dir() and (data == out or data in out.parents):
        raise UsageError(
            f"{printable(request.out)}: lies in the data folder, whose folders are classes; name another --out"
        )


def _check_complete(names: set[str], data: DataSet) -> None:
    missing = sorted(names - {recording.name for recording in data.recordings})
    if missing:
        raise UsageError(
            f"{printable(data.root / missing[0])}: was held out by the run and is gone or unusable"
            + (f", and {len(missing) - 1} more" if len(missing) > 1 else "")
            + "; put it back, or evaluate other recordings with --data"
        )


def _write_quarantine(run: RunFolder, unusable: tuple[Unusable, ...]) -> None:
    run_folder.write_csv(run.quarantine, ["file", "reason"], [[entry.file, entry.reason] for entry in unusable])


def _mean_interval(values: list[float], confidence: float = evaluation.CONFIDENCE) -> tuple[float, float]:
    """Return Student's interval of a mean, cut to 0..1; one value alone says nothing."""
    if len(values) < 2:
        return 0.0, 1.0
    spread = float(np.std(values, ddof=1)) / np.sqrt(len(values))
    reach = float(student.ppf(0.5 + confidence / 2, len(values) - 1)) * spread
    return max(0.0, float(np.mean(values)) - reach), min(1.0, float(np.mean(values)) + reach)
