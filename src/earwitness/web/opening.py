"""Collections as they are opened: of a run, of a folder of recordings, of what is sent to a model."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from earwitness.core.device import choose_device
from earwitness.core.errors import UsageError, printable
from earwitness.core.home import home_folder
from earwitness.data.folders import sound_files
from earwitness.inspection.model import Model
from earwitness.inspection.run import open_run
from earwitness.models.class_names import classes_called
from earwitness.models.foreign.runtimes import is_opaque
from earwitness.models.prediction import Predictions
from earwitness.web.collection import FOLDER, RUN, UPLOADS, Collection, Known
from earwitness.web.shelf import Shelf
from earwitness.web.worker import Worker


def of_run(path: Path, device: str, data: Path | None = None) -> Collection:
    """Return a run's recordings with its model.

    Raises
    ------
    UsageError, EarwitnessError
        It is no finished run, or damaged.
    """
    run = open_run(path, choose_device(device), data)
    model = Model(name=printable(path), classifier=run.classifier, cache=run.folder.trust)
    collection = Collection(
        id=_collection_id(RUN, str(run.settings.get("identity") or path.resolve()), str(path.resolve())),
        title=printable(path.resolve().name),
        kind=RUN,
        model=model,
        worker=_worker(model),
        names=[],
        paths={},
        labels={},
        shelf=Shelf(run.folder.attributions),
        home=run.folder.path,
        run=run,
        tail=run.classifier.tail,
    )
    found = run.predictions
    means, silent = found.mean_scores, found.silent
    for row, name in enumerate(found.files):
        collection.add(name, run.path_of(name), found.classes[int(found.labels[row])])
        mine, best = found.recording == row, int(found.file_predicted[row])
        collection.known[name] = Known(
            predicted=found.classes[best],
            score=float(means[row, best]),
            margin=float(means[row, best] - np.delete(means[row], best).max(initial=0.0)),
            segments=int(mine.sum()),
            silent=silent is not None and bool((silent[mine] == 1.0).all()),
            seconds=float(found.end_seconds[mine].max()),
            surest=_surest(found, np.flatnonzero(mine), best),
        )
    return collection


def _surest(found: Predictions, rows: np.typing.NDArray[np.int64], index: int) -> float:
    """Return where the segment begins that scores highest for a class, of these and of those with sound."""
    sounding = rows if found.silent is None else rows[found.silent[rows] < 1.0]
    rows = sounding if len(sounding) else rows
    return float(found.start_seconds[rows[found.scores[rows, index].argmax()]])


def of_folder(model: Model, folder: Path) -> Collection:
    """Return the recordings of a folder with a model.

    Raises
    ------
    UsageError
        It holds no sound file.
    """
    if not folder.is_dir():
        raise UsageError(f"{printable(folder)}: no such folder; name a run, or a folder of recordings with --model")
    found = sound_files(folder)
    if not found:
        raise UsageError(f"{printable(folder)}: holds no sound file; name another folder")
    collection = _plain(model, FOLDER, printable(folder.resolve().name), str(folder.resolve()))
    for path in found:
        fitting = classes_called(model.classes, path.parent.name) if path.parent != folder else []
        label = model.classes[fitting[0]] if len(fitting) == 1 else None
        collection.add(printable(path.relative_to(folder)), path, label)
    return collection


def of_uploads(base: Collection) -> Collection:
    """Return an empty collection for what is sent to a collection's model, which is asked in the same way.

    It is the same each time, so that what was decided about a sound is found again.
    """
    return replace(_plain(base.model, UPLOADS, "Your sounds", base.id, base.worker), names=[], tail=base.tail)


def _plain(model: Model, kind: str, title: str, place: str, worker: Worker | None = None) -> Collection:
    name = _collection_id(kind, model.name, place)
    home = home_folder() / "pages" / name
    return Collection(
        id=name,
        title=title,
        kind=kind,
        model=model,
        worker=worker or _worker(model),
        names=[],
        paths={},
        labels={},
        shelf=Shelf(home / "attributions"),
        home=home,
    )


def _worker(model: Model) -> Worker:
    return Worker(between=not is_opaque(model.classifier.network))


def _collection_id(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:10]
