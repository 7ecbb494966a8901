"""From a name or a folder to a classifier that is ready."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from earwitness.core.device import choose_device
from earwitness.core.errors import UsageError
from earwitness.core.run_folder import RunFolder, open_finished
from earwitness.models.classifier import Classifier, load, ready
from earwitness.models.foreign.backbone import headed_again
from earwitness.models.foreign.reference import load_reference
from earwitness.models.pretrained import check_tagger, tagger_named
from earwitness.models.weights import audioset_labels


def load_classifier(
    run: Path | str | None = None, *, backbone: str | None = None, weights: str | None = None, device: str = "auto"
) -> Classifier:
    """Return a classifier that is ready to be used.

    Parameters
    ----------
    run
        Folder of a finished training.
    backbone, weights
        Instead of a run: ``"mn04"`` with AudioSet's 527 classes, and the file of its weights (None: the published
        ones, where they were downloaded to).
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` ...

    Raises
    ------
    UsageError
        Neither or both are named, or there is none by that name.
    EarwitnessError
        A file is damaged.
    """
    _check_one(run, backbone)
    if run is not None:
        if weights is not None:
            raise UsageError(f"--weights {weights}: a run has its own weights; leave out --weights or --run")
        return load_run(open_finished(run), choose_device(device))
    assert backbone is not None
    return ready(tagger_named(backbone, weights), choose_device(device))


def load_run(run: RunFolder, device: torch.device | str = "cpu") -> Classifier:
    """Return the classifier of a finished run: trained here, or a model of others that was measured.

    Raises
    ------
    EarwitnessError
        A file is damaged, or the model of others has gone missing or changed.
    """
    if run.mark == run.reference:
        return load_reference(run.reference, torch.device(device))
    return load(run.model, device, partial(headed_again, run=run.path))


def class_names(run: Path | str | None = None, *, backbone: str | None = None) -> tuple[str, ...]:
    """Return the classes of a run, or of a backbone whether or not its weights are there.

    Parameters
    ----------
    run, backbone
        As for :func:`load_classifier`.

    Raises
    ------
    UsageError
        Neither or both are named, there is none by that name, or the backbone knows no classes.
    EarwitnessError
        A file is damaged.
    """
    _check_one(run, backbone)
    if backbone is None:
        return load_classifier(run, device="cpu").classes
    check_tagger(backbone)
    return audioset_labels()


def _check_one(run: Path | str | None, backbone: str | None) -> None:
    if (run is None) == (backbone is None):
        raise UsageError("name either --run RUN, a trained run, or --backbone mn04, for AudioSet's 527 classes")
