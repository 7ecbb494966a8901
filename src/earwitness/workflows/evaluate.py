"""Measure a run's classifier again, or a model that others trained."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.segments import SegmentedLogMels
from earwitness.core import files, locks, run_folder
from earwitness.core.arrays import Int64Array
from earwitness.core.device import choose_device
from earwitness.core.download import sha256_of
from earwitness.core.errors import EarwitnessError, UsageError, on_disk, printable
from earwitness.core.progress import Progress, shown
from earwitness.core.run_folder import RunFolder
from earwitness.data import checks, loading, losses, provenance, recordings
from earwitness.data.recordings import DataSet, Unusable
from earwitness.data.splits import Split
from earwitness.explainers.inference.binding import bound
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.inference.trial import check_answers
from earwitness.inspection.model import Model, load_model, other_segments
from earwitness.models import prediction
from earwitness.models.adapter import NONE
from earwitness.models.class_names import classes_meant
from earwitness.models.classifier import WAVEFORM, Classifier
from earwitness.models.foreign.identity import check_steady
from earwitness.models.foreign.reference import write_reference
from earwitness.models.headed import Headed
from earwitness.models.loading import load_run
from earwitness.models.prediction import Predictions
from earwitness.training import prediction_files
from earwitness.training.metrics import Metrics
from earwitness.workflows.extracting import Extracted, extract


@dataclass(frozen=True)
class Evaluation:
    """What a training or an evaluation came to.

    Parameters
    ----------
    run
        Its folder.
    metrics
        How good the classifier is.
    unusable
        Recordings that could not be used.
    warnings
        What the user should know.
    """

    run: RunFolder
    metrics: Metrics
    unusable: tuple[Unusable, ...]
    warnings: tuple[str, ...]


def evaluate(
    run: Path | str | None = None,
    *,
    model: Model | Path | str | None = None,
    description: Path | str | Mapping[str, Any] | None = None,
    classes: Path | str | Sequence[str] | None = None,
    data: Path | str | None = None,
    out: Path | str | None = None,
    segment_seconds: float | None = None,
    overlap: float | None = None,
    leave_out_trained: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    strict: bool = False,
    progress: Progress | bool = True,
) -> Evaluation:
    """Measure a finished run's classifier again, or a model that others trained, which makes a run of it.

    A run is measured on its held-out recordings, or on other labelled ones.

    Parameters
    ----------
    run
        The run folder.
    model, description, classes
        In place of a run, a model that others trained, as for :func:`earwitness.load_model`; ``data`` and ``out`` are
        then needed, and ``out`` becomes a run folder, which keeps no weights: the model stays where it is. Labels of
        the data may be a word or a part of a class's name that no other class has.
    data
        Other labelled recordings; None takes those that the run held out.
    out
        Folder for the results; None writes them into the run (only where nothing else than there is asked for).
    segment_seconds, overlap
        Another length or overlap of segments.
    leave_out_trained
        Measure other recordings without those that the run was trained on, and without those of their groups.
    overwrite
        Of a model that others trained: replace an earlier run in ``out``, once it is certain that this one can begin.
    device, strict, progress
        As for a training.

    Raises
    ------
    UsageError
        Something other than the run's own evaluation is asked for without ``out``, or a label of the data means none
        of the model's classes.

    Examples
    --------
    >>> import earwitness as ew
    >>> again = ew.evaluate("runs/demo", overlap=0.0, out="no-overlap")
    >>> 0.0 <= again.metrics.file_accuracy <= 1.0
    True
    """
    progress = shown(progress)
    if (run is None) == (model is None):
        raise UsageError("name one: RUN, a run folder, or --model SPEC, a model of others, with --data and --out")
    if model is not None:
        _check_model(model, data, out, leave_out_trained=leave_out_trained)
        assert data is not None
        assert out is not None
        known: dict[str, Any] = {"description": description, "classes": classes}
        known |= {"segment_seconds": segment_seconds, "overlap": overlap, "device": device}
        classifier = load_model(model, **known).classifier
        return _measure_others(classifier, data, out, overwrite=overwrite, strict=strict, progress=progress)
    assert run is not None
    if description is not None or classes is not None:
        raise UsageError("--description and --classes go with --model; leave them out")
    if overwrite:
        raise UsageError("--overwrite: goes with --model; a run's results go into it, or into a new folder")
    folder = run_folder.open_finished(run)
    settings = files.read_json(folder.run_json)
    changed = data is not None or segment_seconds is not None or overlap is not None
    if changed and out is None:
        raise UsageError("--out: name a folder for the results; the run's own are kept as they are")
    with _written(folder, out) as target:
        classifier = load_run(folder, choose_device(device))
        if segment_seconds is not None or overlap is not None:
            classifier = other_segments(classifier, segment_seconds, overlap)
        source = _labelled(folder, settings, classifier, data)
        source, extracted = _extracted(source, classifier, strict, progress)
        rows: Int64Array = np.arange(len(source.recordings))
        warnings: tuple[str, ...] = ()
        if data is not None:
            rows, warnings = _apart_from_training(folder, settings, source, leave_out=leave_out_trained)
        predictions = prediction.predict(
            classifier,
            extracted.segments(classifier),
            np.array(source.class_numbers(), dtype=np.int64),
            rows,
            progress,
        )
        source = _only(source, rows)
        warnings += losses.warnings(source, {classifier.front_end.high_hz: classifier.backbone})
        tell_notes(source.notes, progress)
        if out is not None:
            recordings.write_quarantine(target.quarantine, source.unusable)
            files.write_json(target.run_json, _settings(folder, classifier, source, warnings))
        return Evaluation(target, prediction_files.write(predictions, target), source.unusable, warnings)


def _labelled(run: RunFolder, settings: Any, classifier: Classifier, data: Path | str | None) -> DataSet:
    """Return the recordings to measure a run on: others, or all that it was measured on."""
    merge = bool(settings.get("merge_labels", False))  # a run that made one class of several spellings still does
    meaning = partial(classes_meant, classifier.classes) if run_folder.MODEL in settings else None
    known: dict[str, Any] = {"for_training": False, "merge_labels": merge, "meaning": meaning}
    if data is not None:
        return loading.load(data, classifier.classes, **known)
    place, held_out = _measured(run, settings)
    source = loading.load(place, classifier.classes, **known)
    source = replace(source, recordings=tuple(entry for entry in source.recordings if entry.name in held_out))
    _check_complete(held_out, source)
    return source


def _extracted(source: DataSet, classifier: Classifier, strict: bool, progress: Progress) -> tuple[DataSet, Extracted]:
    """Decode recordings, of which there must be some that can be used."""
    source, extracted = extract(
        source,
        classifier.front_end,
        waveforms=classifier.takes == WAVEFORM,
        strict=strict,
        for_training=False,
        progress=progress,
    )
    if not source.recordings:
        raise UsageError(f"{printable(source.root)}: holds no usable recording")
    return source, extracted


def _apart_from_training(
    run: RunFolder, settings: Any, source: DataSet, *, leave_out: bool
) -> tuple[Int64Array, tuple[str, ...]]:
    """Return the recordings to measure, and what a user must know of those that the run was trained on."""
    trained = provenance.read(run.recordings, settings)
    same, kin = trained.among(source)
    rows = np.arange(len(source.recordings))
    if not leave_out:
        return rows, provenance.sentences(same, kin, len(rows), trained)
    rows = np.setdiff1d(rows, [*same, *kin])
    if not len(rows):
        raise UsageError(f"{printable(source.root)}: the run was trained on all of it; name other recordings")
    return rows, ()


def _only(source: DataSet, rows: Int64Array) -> DataSet:
    """Return a data set with some of its recordings alone; the others are no fault of its."""
    kept = tuple(source.recordings[row] for row in rows)
    return replace(source, recordings=kept, facts=tuple(source.facts[row] for row in rows))


# ---- models of others ---------------------------------------------------------------------------------------------


def _check_model(
    model: Model | Path | str, data: Path | str | None, out: Path | str | None, *, leave_out_trained: bool
) -> None:
    """Refuse what makes no sense for a model of others, before it is loaded."""
    if leave_out_trained:
        raise UsageError("--leave-out-trained: nobody knows here what a model of others was trained on")
    if data is None or out is None:
        raise UsageError("--model: name labelled recordings with --data, and a run folder to make with --out")
    if not isinstance(model, Model) and RunFolder(Path(model)).started:
        raise UsageError(f"{printable(model)}: is a run; name it in place of --model, with --data and --out")
    check_apart(data, out)


def _measure_others(
    classifier: Classifier, data: Path | str, out: Path | str, *, overwrite: bool, strict: bool, progress: Progress
) -> Evaluation:
    """Measure a model that others trained, and keep everything in a run folder, whose model.json comes last."""
    if classifier.origin is None or isinstance(classifier.network, Headed):
        raise UsageError(f"{classifier.backbone}: was not loaded from a model of others; name a run, or an .onnx file")
    check_steady(classifier.origin)
    source = loading.load(
        data, classifier.classes, for_training=False, meaning=partial(classes_meant, classifier.classes)
    )
    with run_folder.held(out):
        _check_free(out, overwrite=overwrite)
        source, extracted = _extracted(source, classifier, strict, progress)
        lost = losses.warnings(source, {classifier.front_end.high_hz: classifier.backbone})
        warnings = (*source.warnings, *checks.duplicate_warnings(source), *lost)
        tell_notes(source.notes, progress)
        segments = extracted.segments(classifier)
        check_described(classifier, segments)
        run = run_folder.create(out, overwrite=overwrite)
        identity = _record(classifier, data, source, warnings, run)
        recordings.write_quarantine(run.quarantine, source.unusable)
        everything = tuple(range(len(source.recordings)))
        provenance.write(run.recordings, source, Split(train=(), validation=everything, kind="all"))
        predictions = prediction.predict(
            classifier, segments, np.array(source.class_numbers(), dtype=np.int64), np.array(everything), progress
        )
        warnings += _no_probabilities(classifier, predictions)
        measured = prediction_files.write(predictions, run)
        write_reference(classifier, run.reference, identity)
    return Evaluation(run, measured, source.unusable, warnings)


def check_described(classifier: Classifier, segments: SegmentedLogMels) -> None:
    """Refuse a model of others whose answers, by a trial, are not what they are said to be."""
    one = segments.take([0])
    with bound(Prepared(classifier, lasting=False), one) as prepared, prepared.working():
        check_answers(prepared, one, "logit")


def _no_probabilities(classifier: Classifier, predictions: Predictions) -> tuple[str, ...]:
    """Say so where a network's final answers are no probabilities."""
    low, high = float(predictions.scores.min()), float(predictions.scores.max())
    if classifier.activation != NONE or (low >= 0.0 and high <= 1.0):
        return ()
    return (
        f"{classifier.backbone}: its answers, {low:.3g} to {high:.3g}, are no probabilities, and are compared as they "
        "are; maps need a method that explains them so (--method occlusion:score=logit)",
    )


def _record(
    classifier: Classifier, data: Path | str, source: DataSet, warnings: tuple[str, ...], run: RunFolder
) -> str:
    """Write ``run.json`` of a model that others trained; return the run's identity."""
    origin = classifier.origin
    assert origin is not None
    place, names = Path(data).resolve(), source.names
    labels = [recording.label for recording in source.recordings]
    decisive = {
        **{name: value for name, value in origin.as_dict().items() if name not in ("spec", "path")},
        "classes": classifier.classes,
        "segments": [classifier.segment_frames, classifier.overlap],
        "labels": labels,
        "sounds": [facts.sound_sha256 for facts in source.facts],
    }
    identity = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]
    command = ("earwitness", "evaluate", "--model", origin.spec, "--data", place, "--out", run.path)
    content = {
        run_folder.IDENTITY: identity,
        "command": [printable(word) for word in command],
        "backbone": classifier.backbone,
        "weights": {"source": printable(origin.path or origin.spec), "sha256": origin.sha256 or None},
        run_folder.MODEL: {**origin.as_dict(), "classes": list(classifier.classes)},
        "data": {"path": printable(place), "recordings": len(names), "classes": dict(Counter(labels))},
        "split": {"kind": "all", "train": [], "validation": names, "warnings": list(warnings)},
        "activation": classifier.activation,
        "segment_frames": classifier.segment_frames,
        "segment_seconds": round(classifier.segment_seconds, 6),
        "overlap": classifier.overlap,
        "device": str(classifier.device),
        "versions": dict(files.versions()),
    }
    files.write_json(run.run_json, content)
    return identity


# ---- folders ------------------------------------------------------------------------------------------------------


def check_apart(data: Path | str, out: Path | str) -> None:
    """Refuse a run folder inside the data folder: the next training would take it for a class."""
    place, run = Path(data).resolve(), Path(out).resolve()
    if place.is_dir() and (place == run or place in run.parents):
        raise UsageError(f"{printable(out)}: lies in the data folder, whose folders are classes; name another --out")


def _check_empty(out: Path | str) -> None:
    if locks.contents(Path(out)):
        raise UsageError(f"{printable(out)}: exists and is not an empty folder; name a new one with --out")


def _check_free(out: Path | str, *, overwrite: bool) -> None:
    """Refuse a folder that a new run may not have; nothing in it is removed yet."""
    if overwrite:
        run_folder.check_free(out, overwrite=True)
    elif RunFolder(Path(out)).started:
        raise UsageError(f"{printable(out)}: holds a run; name another --out, or --overwrite to replace it")
    else:
        _check_empty(out)


@contextmanager
def _written(run: RunFolder, out: Path | str | None) -> Iterator[RunFolder]:
    """Keep the folder of the results, which has to be new unless it is the run's own, to this evaluation."""
    target = run if out is None else RunFolder(Path(out))
    with run_folder.held(target.path):
        if out is not None:
            _check_empty(out)
        yield target


def _settings(run: RunFolder, classifier: Classifier, source: DataSet, warnings: tuple[str, ...]) -> dict[str, Any]:
    """Return the content of an evaluation's own ``run.json``: what was measured, and how."""
    return {
        "evaluation_of": printable(run.path.resolve()),
        "model_sha256": sha256_of(run.mark),
        "data": {"path": printable(source.root.resolve()), "recordings": source.names},
        "segment_frames": classifier.segment_frames,
        "overlap": classifier.overlap,
        "tail": classifier.tail,
        "warnings": list(warnings),
        "versions": dict(files.versions()),
    }


def tell_notes(notes: Iterable[str], progress: Progress) -> None:
    """Say what the user should know, and is no fault."""
    for note in notes:
        progress.say(f"earwitness: note: {note}")


def _measured(run: RunFolder, settings: Any) -> tuple[Path, set[str]]:
    """Return where a run's data was, and the names of the recordings that it held out."""
    try:
        place, held_out = on_disk(Path(settings["data"]["path"])), set(settings["split"]["validation"])
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


def _check_complete(names: set[str], data: DataSet) -> None:
    missing = sorted(names - {recording.name for recording in data.recordings})
    if missing:
        raise UsageError(
            f"{printable(data.root / missing[0])}: was held out by the run and is gone or unusable"
            + (f", and {len(missing) - 1} more" if len(missing) > 1 else "")
            + "; put it back, or evaluate other recordings with --data"
        )
