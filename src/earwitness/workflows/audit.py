"""A run's audit: made, kept and drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from earwitness.core.brief import brief
from earwitness.core.device import choose_device
from earwitness.core.errors import UsageError, printable
from earwitness.core.files import check_writable
from earwitness.core.locks import folder_held
from earwitness.core.progress import Progress, shown
from earwitness.core.run_folder import RunFolder
from earwitness.inspection.audit import audit_run
from earwitness.inspection.run import open_run
from earwitness.plots import gallery
from earwitness.trust.audit.effects import Audit
from earwitness.trust.audit.store import kept_at


@dataclass(frozen=True)
class AuditResult:
    """An audit and where it is kept.

    Parameters
    ----------
    audit
        What was found.
    file, picture
        ``trust/audit.json`` and ``figures/chart-audit.png`` in the run folder.
    """

    audit: Audit
    file: Path
    picture: Path

    __repr__ = brief


def check_place(run: RunFolder) -> None:
    """Find out before the work that the audit and its chart can be kept in the run.

    Raises
    ------
    UsageError
        They cannot.
    """
    for folder in (run.trust, run.figures):
        try:
            check_writable(folder)
        except UsageError as error:
            # An audit belongs to its run: another place cannot be named, as elsewhere.
            raise UsageError(
                f"{printable(folder)}: cannot be written to, and an audit is kept in its run; make it a folder that "
                "can be written to, or copy the run and audit the copy"
            ) from error


def audit(
    run: Path | str,
    *,
    data: Path | str | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress | bool = True,
) -> AuditResult:
    """Test what a run relies on, and keep the answer and its chart in the run folder.

    Parameters
    ----------
    run
        Run folder of a finished training.
    data
        Where the recordings are now, if not where they were at the time of the run.
    device, seed, progress
        As everywhere.

    Raises
    ------
    UsageError
        It is no finished run, or nothing can be written to it.
    EarwitnessError
        The run or one of its recordings cannot be used.

    Examples
    --------
    >>> import earwitness as ew
    >>> result = ew.audit("runs/demo")
    >>> [effect.name for effect in result.audit.effects][:3]
    ['edges', 'silence', 'steady tones']
    """
    progress = shown(progress)
    opened = open_run(run, choose_device(device), data)
    check_place(opened.folder)
    with folder_held(opened.folder.path, instead=""):
        found = audit_run(opened, seed=seed, progress=progress)
        return AuditResult(found, kept_at(opened.folder), gallery.add_audit(opened.folder, found))
