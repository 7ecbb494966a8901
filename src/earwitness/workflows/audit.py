"""An audit asked for, answered, drawn and put into words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from earwitness.cli.output import table
from earwitness.core.errors import UsageError, printable
from earwitness.core.progress import Progress
from earwitness.core.run_folder import RunFolder, check_writable
from earwitness.inspection.audit import audit_run, kept_at
from earwitness.inspection.run import open_run
from earwitness.plots import gallery
from earwitness.training.loop import choose_device
from earwitness.trust.audit.effects import Audit


@dataclass(frozen=True)
class AuditOutcome:
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

    def text(self) -> str:
        """Return the audit's table and findings for a terminal."""
        rows = [
            [
                each.name,
                each.touched,
                f"{100 * each.before:.1f} %",
                f"{100 * each.after:.1f} %",
                f"{100 * each.low:+.1f} to {100 * each.high:+.1f}",
                f"{each.score_change:+.3f}",
            ]
            for each in self.audit.effects
        ]
        head = [
            "taken out",
            "recordings that had it",
            "segments right with",
            "without",
            "95 % interval of the change (points)",
            "change of score",
        ]
        lines = [
            f"{self.audit.files} recordings heard with and without; shares and changes are means over all of them:",
            "",
            table(head, rows),
        ]
        for each in self.audit.effects:
            lines += ["", f"{each.name}: {each.taken}.", f"  {each.question} {each.told()}"]
        lines += ["", *(f"warning: {sentence}" for sentence in self.audit.formats)]
        return "\n".join([*lines, _verdict(self.audit), f"kept in {printable(self.file)}"])


def _verdict(audit: Audit) -> str:
    """Return what all was tested for in a line or two."""
    leans = [f"{each.name}{_of(each.leaning)}" for each in audit.effects if each.found]
    gains = [f"{each.name}{_of(each.gaining)}" for each in audit.effects if each.gaining]
    said = f"It leans on: {'; '.join(leans)}." if leans else "Nothing was found that it leans on, of what was tested."
    return said + (f" Heard better without: {'; '.join(gains)}." if gains else "")


def _of(classes: Sequence[str]) -> str:
    return f" ({', '.join(classes)})" if classes else ""


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
    progress: Progress | None = None,
) -> AuditOutcome:
    """Test what a run leans on, and keep the answer and its chart in the run folder.

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
    """
    investigation = open_run(run, choose_device(device), data)
    check_place(investigation.run)
    found = audit_run(investigation, seed=seed, progress=progress)
    file = kept_at(investigation.run)
    return AuditOutcome(found, file, gallery.add_audit(investigation.run, found))
