"""An audit asked for, answered, drawn and put into words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from earwitness import album
from earwitness.auditing import audit_run, kept_at
from earwitness.errors import printable
from earwitness.investigation import open_run
from earwitness.progress import Progress
from earwitness.runs import check_writable
from earwitness.terminal import table
from earwitness.training import choose_device
from earwitness.trust.audit import Audit, Effect


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
        head = ["taken out", "recordings that had it", "right with", "without", "95 % interval (points)", "score"]
        lines = [f"{self.audit.files} recordings heard with and without:", "", table(head, rows), ""]
        lines += [f"{each.question} {each.sentence()}{_examples(each)}" for each in self.audit.effects]
        lines += [f"warning: {sentence}" for sentence in self.audit.formats]
        found = [each.name for each in self.audit.effects if each.found]
        verdict = (
            f"It leans on: {', '.join(found)}." if found else "Nothing was found that it leans on, of what was tested."
        )
        return "\n".join([*lines, "", verdict, f"kept in {printable(self.file)}"])


def _examples(effect: Effect) -> str:
    """Name the recordings that lost most, where the classifier leans."""
    if not effect.found:
        return ""
    worst = [f"{each.file} ({each.before:.2f} to {each.after:.2f})" for each in effect.recordings[:3]]
    return f" Most affected: {', '.join(worst)}." if worst else ""


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
        It is no finished run.
    EarwitnessError
        The run or one of its recordings cannot be used.
    """
    investigation = open_run(run, choose_device(device), data)
    check_writable(investigation.run.trust)
    found = audit_run(investigation, seed=seed, progress=progress)
    file = kept_at(investigation.run)
    return AuditOutcome(found, file, album.add_audit(investigation.run, found))
