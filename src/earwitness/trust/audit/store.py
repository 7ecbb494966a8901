"""An audit in its run's folder."""

from __future__ import annotations

from pathlib import Path

from earwitness.core import files
from earwitness.core.run_folder import RunFolder
from earwitness.trust.audit.effects import Audit

NAME = "audit.json"


def kept_at(run: RunFolder) -> Path:
    """Return where a run keeps its audit."""
    return run.trust / NAME


def read(run: RunFolder) -> Audit | None:
    """Return a run's audit, or None where it has none.

    Raises
    ------
    EarwitnessError
        It is damaged.
    """
    path = kept_at(run)
    return Audit.from_dict(files.read_json(path)) if path.exists() else None
