"""A model of others that a run remembers: kept as a few words in place of weights, loaded again as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from earwitness.core.errors import EarwitnessError, printable, said
from earwitness.core.files import read_json, write_json
from earwitness.core.run_folder import IDENTITY
from earwitness.models.classifier import Classifier
from earwitness.models.foreign.identity import hash_of
from earwitness.models.foreign.loading import load_foreign
from earwitness.models.foreign.reading import described
from earwitness.models.origin import Origin

FORMAT = 1


def check_unchanged(origin: Origin, run: Path | str) -> None:
    """Refuse a model that is no longer what a run was made with, before it is loaded.

    Parameters
    ----------
    origin
        What the run remembers.
    run
        The run folder, for the message.

    Raises
    ------
    EarwitnessError
        Its file has gone missing, or is another than it was.
    """
    where, path = printable(run), Path(origin.path)
    if origin.path and not path.exists():
        raise EarwitnessError(f"{where}: its model {printable(path)} has gone missing; put it back")
    if origin.path and hash_of(path) != origin.sha256:
        raise EarwitnessError(
            f"{where}: its model {printable(path)} has changed since the run was made (SHA-256); put the old one back, "
            "or make a new run with it"
        )


def check_weights(origin: Origin, found: Origin, run: Path | str) -> None:
    """Refuse a model whose code gives other weights than it did; parameters are those of :func:`check_unchanged`.

    Raises
    ------
    EarwitnessError
        Naming the code.
    """
    if found.weights_sha256 != origin.weights_sha256:
        raise EarwitnessError(
            f"{printable(run)}: {printable(origin.spec)} gives other weights than when the run was made; let it load "
            "the old ones (not draw new ones), or make a new run with it"
        )


# ---- the file -----------------------------------------------------------------------------------------------------


def write_reference(classifier: Classifier, path: Path, identity: str) -> None:
    """Write what takes the place of weights in a run folder: the model's origin, classes and segments.

    Parameters
    ----------
    classifier
        A model of others.
    path
        The run's ``model.json``.
    identity
        The run's.
    """
    assert classifier.origin is not None
    content = {
        "format": FORMAT,
        IDENTITY: identity,
        **classifier.origin.as_dict(),
        "classes": list(classifier.classes),
        "segment_frames": classifier.segment_frames,
        "overlap": classifier.overlap,
    }
    write_json(path, content)


def load_reference(path: Path, device: torch.device) -> Classifier:
    """Load the model that a run's ``model.json`` names.

    Raises
    ------
    EarwitnessError
        The file is damaged or of a newer version, or the model has gone missing or changed.
    """
    stored: Any = read_json(path)
    try:
        newer = stored["format"] > FORMAT
        origin, classes = Origin.from_dict(stored), tuple(map(str, stored["classes"]))
        frames, overlap = int(stored["segment_frames"]), float(stored["overlap"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EarwitnessError(f"{printable(path)}: is damaged ({said(error)}); evaluate the model again") from error
    if newer:
        raise EarwitnessError(f"{printable(path)}: was written by a newer earwitness; update this one")
    check_unchanged(origin, path.parent)
    found = load_foreign(origin.spec, device, description=described(origin.description), classes=classes)
    assert found.origin is not None
    check_weights(origin, found.origin, path.parent)
    return found.with_segments(frames, overlap)
