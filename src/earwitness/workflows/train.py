"""The main job over a run folder: train, evaluate, cross-validate."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earwitness.core import files, run_folder
from earwitness.core.device import resolve_precision
from earwitness.core.errors import UsageError, printable
from earwitness.core.progress import NO_PROGRESS, Progress, shown
from earwitness.core.run_folder import RunFolder
from earwitness.data import checks, loading, losses, provenance, recordings
from earwitness.data import splits as dataset
from earwitness.data.recordings import DataSet
from earwitness.data.splits import Split
from earwitness.models import prediction
from earwitness.models.classifier import Classifier
from earwitness.models.foreign.backbone import ForeignBackbone
from earwitness.training import loop, metrics, prediction_files
from earwitness.training.checkpoints import remove_checkpoints
from earwitness.training.cross_validation import CrossValidation
from earwitness.training.embeddings import Scored, embedded_as_predicted
from earwitness.training.loop import CHECKPOINT_SECONDS, HistoryRow, TrainingData, write_history
from earwitness.training.request import Request, TrainingPlan, make_plan
from earwitness.workflows.evaluate import Evaluation, check_apart, tell_notes
from earwitness.workflows.extracting import Extracted, extract
from earwitness.workflows.untrained import begun_with, build

OF_ORIGIN = ("weights_sha256", "description")  # what tells one model of others from another, beside its file
FINISHED_BEFORE = "the run was finished already and is kept as it is"


def train(
    request: Request,
    *,
    overwrite: bool = False,
    resume: bool = False,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    progress: Progress | bool = True,
    on_row: Callable[[HistoryRow], None] | None = None,
) -> Evaluation:
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

    Examples
    --------
    >>> import earwitness as ew
    >>> request = ew.Request(data="sounds", out="runs/first", backbone="compact", changes={"epochs": 1})
    >>> trained = ew.train(request)
    >>> trained.run.model.name
    'model.safetensors'
    """
    progress = shown(progress)
    plan = make_plan(request)
    data = loading.load(request.data, merge_labels=request.merge_labels)
    check_apart(request.data, request.out)
    with run_folder.held(request.out):
        run_folder.check_free(request.out, overwrite=overwrite, resume=resume)
        # A wrong split and wrong weights are found out before the recordings are read.
        choose_split(request, data)
        untrained = build(plan, data.classes)
        plan = plan.built()
        data, extracted = _extracted(plan, data, progress)
        split = choose_split(request, data)
        # An earlier run is not removed before it is certain that this one can begin.
        run = run_folder.create(request.out, overwrite=overwrite, resume=resume)
        watch = Watch(progress, on_row, checkpoint_seconds)
        return _train_split(plan, untrained, data, extracted, split, run, watch)


def cross_validate(
    request: Request,
    folds: int | None,
    *,
    overwrite: bool = False,
    progress: Progress | bool = True,
    on_row: Callable[[HistoryRow], None] | None = None,
) -> CrossValidation:
    """Train and evaluate once for every fold, each in its own run folder below ``request.out``.

    Parameters
    ----------
    request
        What is asked, without a split.
    folds
        How many; None takes the data set's own.
    overwrite, progress, on_row
        As for :func:`train`. Finished folds are kept unless ``overwrite``; unfinished ones are resumed.

    Examples
    --------
    >>> import earwitness as ew
    >>> request = ew.Request(data="sounds", out="runs/folds", backbone="compact", changes={"epochs": 1})
    >>> measured = ew.cross_validate(request, folds=2)
    >>> len(measured.folds)
    2
    """
    progress = shown(progress)
    plan = make_plan(request)
    if request.split is not None or request.fold is not None:
        raise UsageError("--folds makes splits of its own; leave out --split and --fold")
    data = loading.load(request.data, merge_labels=request.merge_labels)
    check_apart(request.data, request.out)
    with run_folder.held(request.out):
        dataset.folds(data, folds, seed=request.seed)
        untrained = build(plan, data.classes)
        plan = plan.built()
        data, extracted = _extracted(plan, data, progress)
        splits = dataset.folds(data, folds, seed=request.seed)
        tell_notes(plan.notes, progress)
        plan = replace(plan, notes=())
        embeddings = _Embeddings(plan, untrained, extracted, tuple(range(len(data.recordings))), progress)
        measured = []
        for number, split in enumerate(splits, start=1):
            out = Path(request.out, f"fold-{number}")
            fold_plan = replace(plan, request=replace(plan.request, out=out))
            fresh = replace(untrained, network=deepcopy(untrained.network))
            with run_folder.held(out):
                run = run_folder.create(out, overwrite=overwrite, resume=True)
                watch = Watch(progress, on_row)
                trained = _train_split(fold_plan, fresh, data, extracted, split, run, watch, embeddings)
            measured.append(trained.metrics)
        result = CrossValidation(tuple(measured), data.unusable)
        files.write_json(Path(request.out, "cross_validation.json"), result.as_dict())
        return result


@dataclass(frozen=True)
class _Embeddings:
    """What a frozen backbone of others answers to all segments, computed when it is first needed, for all folds."""

    plan: TrainingPlan
    classifier: Classifier
    extracted: Extracted
    held_out: tuple[int, ...]
    progress: Progress

    @cached_property
    def all(self) -> Scored | None:
        """Those of all segments; None of a backbone of ours, or one that learns."""
        if not (isinstance(self.plan.backbone, ForeignBackbone) and self.plan.request.freeze):
            return None
        self.classifier.network.to(self.plan.device)
        segments, held_out = self.extracted.segments(self.classifier), np.asarray(self.held_out, dtype=np.int64)
        return embedded_as_predicted(self.classifier, segments, held_out, self.progress)


def _extracted(plan: TrainingPlan, data: DataSet, progress: Progress) -> tuple[DataSet, Extracted]:
    backbone = plan.backbone
    waveforms = isinstance(backbone, ForeignBackbone) and backbone.segment_samples > 0
    return extract(data, backbone.front_end, waveforms=waveforms, strict=plan.request.strict, progress=progress)


@dataclass(frozen=True)
class Watch:
    """Who is told how far a training is, and how often it is secured."""

    progress: Progress = NO_PROGRESS
    on_row: Callable[[HistoryRow], None] | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS


def _train_split(
    plan: TrainingPlan,
    classifier: Classifier,
    data: DataSet,
    extracted: Extracted,
    split: Split,
    run: RunFolder,
    watch: Watch,
    embeddings: _Embeddings | None = None,
) -> Evaluation:
    lost = losses.warnings(data, {classifier.front_end.high_hz: classifier.backbone})
    warnings = (*data.warnings, *split.warnings, *checks.duplicate_warnings(data, split), *lost)
    identity = _record(plan, data, split, warnings, run)
    guesses = dataset.guesses(data, split, asked=plan.request.split is not None)
    tell_notes((*plan.notes, *data.notes, *guesses), watch.progress)
    _warn(warnings, watch.progress)
    if run.finished:
        run_folder.check_identity(run)
        remove_checkpoints(run.checkpoints)
        _warn((FINISHED_BEFORE,), watch.progress)
        return Evaluation(run, metrics.read(run), data.unusable, (*warnings, FINISHED_BEFORE))
    recordings.write_quarantine(run.quarantine, data.unusable)
    classifier.network.to(plan.device)
    segments = extracted.segments(classifier)
    labels = np.array(data.class_numbers(), dtype=np.int64)
    known = (embeddings or _Embeddings(plan, classifier, extracted, split.validation, watch.progress)).all
    history = loop.train(
        classifier,
        TrainingData(
            segments,
            labels,
            segments.rows_of(split.train),
            segments.rows_of(split.validation),
            None if known is None else known.embeddings,
        ),
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
        segments = extracted.segments(classifier)
    scores_of = None if known is None else partial(known.scores, classifier)
    predictions = prediction.predict(
        classifier, segments, labels, np.asarray(split.validation), watch.progress, scores_of
    )
    measured = prediction_files.write(predictions, run)
    # The model comes last: a folder that holds it is finished.
    classifier.save(run.model, identity)
    remove_checkpoints(run.checkpoints)
    return Evaluation(run, measured, data.unusable, warnings)


def _warn(warnings: tuple[str, ...], progress: Progress) -> None:
    """Say what the user should know before the time of a training is spent."""
    if progress is not None:
        for line in warnings:
            progress.say(f"earwitness: warning: {line}")


def _record(plan: TrainingPlan, data: DataSet, split: Split, warnings: tuple[str, ...], run: RunFolder) -> str | None:
    """Write ``run.json``, or, where a training is resumed or was finished before, make sure that the same is asked.

    Returns
    -------
    The run's identity; None for one that version 0.1.0 began.
    """
    request = plan.request
    names = data.names
    content = {
        "command": list(request.command),
        "backbone": plan.backbone.name,
        **begun_with(plan),
        "data": {
            "path": printable(Path(request.data).resolve()),
            "recordings": len(names),
            "classes": dict(Counter(recording.label for recording in data.recordings)),
        },
        "split": {
            "kind": split.kind,
            "train": [names[row] for row in split.train],
            "validation": [names[row] for row in split.validation],
            "warnings": list(warnings),
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
        "versions": dict(files.versions()),
        **({"merge_labels": True} if request.merge_labels else {}),  # runs of before do not know of it
    }
    if not run.started:
        identity = _identity(content, data)
        files.write_json(run.run_json, {run_folder.IDENTITY: identity, **content})
        provenance.write(run.recordings, data, split)
        return identity
    before = files.read_json(run.run_json)
    before.get("recipe", {}).setdefault("tail", False)  # version 0.1.0 had none
    # What the bytes of an unfinished training may depend on says nothing against a finished one.
    free = {"command", *(("device", "precision", "threads", "versions") if run.finished else ())}
    for key, value in content.items():
        if key not in free and not _same(before.get(key), value):
            differs = _difference(key, before.get(key), value)
            raise UsageError(
                f"{printable(run.path)}: --resume needs the same request, but {differs}; ask as before, or --overwrite "
                "to begin anew"
            )
    identity = before.get(run_folder.IDENTITY)
    if run.finished:
        return identity
    if not run.recordings.exists():  # the end came between the two files, or version 0.1.0 began
        provenance.write(run.recordings, data, split)
    if others := provenance.changed(run.recordings, data):
        more = f", and {len(others) - 1} more" if len(others) > 1 else ""
        raise UsageError(
            f"{printable(data.root / others[0])}: has another sound or label than when the training began{more}; put "
            "the old one back, or --overwrite to begin anew"
        )
    return identity


def _identity(content: dict[str, Any], data: DataSet) -> str:
    """Return a hash of what decides which classifier a training gives: the same request gives the same bytes anywhere.

    Places, and what rounding may depend on, are left out.
    """
    split = content["split"]
    decisive = {
        **{key: content[key] for key in ("backbone", "recipe", "freeze", "segment_frames", "overlap", "seed")},
        "weights": content["weights"]["sha256"],
        **({name: content["origin"][name] for name in OF_ORIGIN} if "origin" in content else {}),
        "split": [split["train"], split["validation"]],
        "labels": [recording.label for recording in data.recordings],
        "sounds": [facts.sound_sha256 for facts in data.facts],
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


def _same(before: Any, now: Any) -> bool:
    """Tell whether a part of two requests is the same; warnings follow from the rest, in the words of their version."""
    if isinstance(before, dict) and isinstance(now, dict):
        return {**before, "warnings": None} == {**now, "warnings": None}
    return bool(before == now)


def _difference(key: str, before: Any, now: Any) -> str:
    """Say which entry of two requests differs, and how where that is short; those of a recipe are options."""
    since = "from when the training began"
    if isinstance(before, dict) and isinstance(now, dict):
        parts = [name for name in {**before, **now} if name != "warnings" and before.get(name) != now.get(name)]
        if key != "recipe":
            return f"{key} ({', '.join(parts)}) differs {since}"
        if len(parts) > 1:
            return f"{' and '.join(parts)} differ {since}"
        key, before, now = parts[0], before.get(parts[0]), now.get(parts[0])
    plain = all(isinstance(each, str | int | float | None) for each in (before, now))
    return f"{key} differs {since}" + (f" ({before} then, {now} now)" if plain else "")


def choose_split(request: Request, data: DataSet) -> Split:
    """Return the split that a request names, or the one that is safest for what is known of the recordings."""
    return dataset.split(data, request.split, fold=request.fold, fraction=request.fraction, seed=request.seed)
