"""Measure a run's classifier again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.core import files, locks, run_folder
from earwitness.core.arrays import LogMel
from earwitness.core.device import choose_device
from earwitness.core.download import sha256_of
from earwitness.core.errors import EarwitnessError, UsageError, on_disk, printable
from earwitness.core.progress import Progress, shown
from earwitness.core.run_folder import RunFolder
from earwitness.data import loading, losses, provenance, recordings
from earwitness.data.extraction import extract_log_mels
from earwitness.data.recordings import DataSet, Unusable
from earwitness.inspection.model import other_segments
from earwitness.models import prediction
from earwitness.models.classifier import Classifier, load
from earwitness.training import prediction_files
from earwitness.training.metrics import Metrics


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
    run: Path | str,
    *,
    data: Path | str | None = None,
    out: Path | str | None = None,
    segment_seconds: float | None = None,
    overlap: float | None = None,
    leave_out_trained: bool = False,
    device: str = "auto",
    strict: bool = False,
    progress: Progress | bool = True,
) -> Evaluation:
    """Measure a finished run's classifier again: on its held-out recordings, or on other labelled ones.

    Parameters
    ----------
    run
        The run folder.
    data
        Other labelled recordings; None takes those that the run held out.
    out
        Folder for the results; None writes them into the run (only where nothing else than there is asked for).
    segment_seconds, overlap
        Another length or overlap of segments.
    leave_out_trained
        Measure other recordings without those that the run was trained on, and without those of their groups.
    device, strict, progress
        As for a training.

    Raises
    ------
    UsageError
        Something other than the run's own evaluation is asked for without ``out``.

    Examples
    --------
    >>> import earwitness as ew
    >>> again = ew.evaluate("runs/demo", overlap=0.0, out="no-overlap")
    >>> 0.0 <= again.metrics.file_accuracy <= 1.0
    True
    """
    progress = shown(progress)
    folder = run_folder.open_finished(run)
    settings = files.read_json(folder.run_json)
    changed = data is not None or segment_seconds is not None or overlap is not None
    if changed and out is None:
        raise UsageError("--out: name a folder for the results; the run's own are kept as they are")
    with _written(folder, out) as target:
        classifier = load(folder.model, choose_device(device))
        if segment_seconds is not None or overlap is not None:
            classifier = other_segments(classifier, segment_seconds, overlap)
        merge = bool(settings.get("merge_labels", False))  # a run that made one class of several spellings still does
        if data is not None:
            source = loading.load(data, classifier.classes, for_training=False, merge_labels=merge)
        else:
            place, held_out = _measured(folder, settings)
            source = loading.load(place, classifier.classes, for_training=False, merge_labels=merge)
            source = replace(source, recordings=tuple(entry for entry in source.recordings if entry.name in held_out))
            _check_complete(held_out, source)
        source, log_mels = extract_log_mels(
            source, classifier.front_end, strict=strict, for_training=False, progress=progress
        )
        if not source.recordings:
            raise UsageError(f"{printable(source.root)}: holds no usable recording")
        warnings: tuple[str, ...] = ()
        if data is not None:
            trained = provenance.read(folder.recordings, settings)
            same, kin = trained.among(source)
            if leave_out_trained:
                source, log_mels = _without(source, log_mels, {*same, *kin})
            else:
                warnings = provenance.sentences(same, kin, len(source.recordings), trained)
        warnings += losses.warnings(source, {classifier.front_end.high_hz: classifier.backbone})
        tell_notes(source.notes, progress)
        predictions = prediction.predict(
            classifier,
            prediction.segmented(classifier, log_mels, source.names),
            np.array(source.class_numbers(), dtype=np.int64),
            np.arange(len(log_mels)),
            progress,
        )
        if out is not None:
            recordings.write_quarantine(target.quarantine, source.unusable)
            files.write_json(target.run_json, _settings(folder, classifier, source, warnings))
        return Evaluation(target, prediction_files.write(predictions, target), source.unusable, warnings)


@contextmanager
def _written(run: RunFolder, out: Path | str | None) -> Iterator[RunFolder]:
    """Keep the folder of the results, which has to be new unless it is the run's own, to this evaluation."""
    target = run if out is None else RunFolder(Path(out))
    with run_folder.held(target.path):
        if out is not None and locks.contents(target.path):
            raise UsageError(f"{printable(out)}: exists and is not an empty folder; name a new one with --out")
        yield target


def _without(source: DataSet, log_mels: list[LogMel], rows: set[int]) -> tuple[DataSet, list[LogMel]]:
    """Return a data set without some recordings, which are no fault of its."""
    kept = [row for row in range(len(source.recordings)) if row not in rows]
    if not kept:
        raise UsageError(f"{printable(source.root)}: the run was trained on all of it; name other recordings")
    entries = tuple(source.recordings[row] for row in kept)
    facts = tuple(source.facts[row] for row in kept)
    return replace(source, recordings=entries, facts=facts), [log_mels[row] for row in kept]


def _settings(run: RunFolder, classifier: Classifier, source: DataSet, warnings: tuple[str, ...]) -> dict[str, Any]:
    """Return the content of an evaluation's own ``run.json``: what was measured, and how."""
    return {
        "evaluation_of": printable(run.path.resolve()),
        "model_sha256": sha256_of(run.model),
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
