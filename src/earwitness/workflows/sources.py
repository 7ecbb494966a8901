"""What tells explanations of files of one name from each other, and how the names of their maps begin."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Sequence
from pathlib import Path

from earwitness.core.files import safe_name
from earwitness.explainers.attribution import saved_source
from earwitness.inspection.model import Model


def source_of(model: Model, path: Path, classes: Sequence[str]) -> str:
    """Return what tells a file's place, a model and classes from others: a hash, for maps are passed on."""
    run = Path(model.name)
    parts = [str(path.resolve()), str(run.resolve() if run.exists() else run), *sorted(set(classes))]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def lead(stem: str, label: str) -> str:
    """Return how the names of the maps for a class begin."""
    return f"{stem}-{safe_name(label)}-"


def sources_in(folder: Path, stem: str) -> set[str]:
    """Return the sources of the maps that go with a picture."""
    found = ((path.name, saved_source(path)) for path in folder.glob(f"{glob.escape(stem)}-*.npz"))
    return {saved[1] for name, saved in found if saved and name.startswith(lead(stem, saved[0]))}
