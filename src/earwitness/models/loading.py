"""From a name or a folder to a classifier that is ready."""

from __future__ import annotations

from pathlib import Path

from earwitness.core.device import choose_device
from earwitness.core.errors import UsageError
from earwitness.core.run_folder import open_finished
from earwitness.models.classifier import Classifier, load, ready
from earwitness.models.pretrained import tagger_named


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
    if (run is None) == (backbone is None):
        raise UsageError("name either --run RUN, a trained run, or --backbone mn04, for AudioSet's 527 classes")
    if run is not None:
        if weights is not None:
            raise UsageError(f"--weights {weights}: a run has its own weights; leave out --weights or --run")
        return load(open_finished(run).model, choose_device(device))
    assert backbone is not None
    return ready(tagger_named(backbone, weights), choose_device(device))
