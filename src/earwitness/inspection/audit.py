"""The audit of a run: its recordings scored with and without what is not their sound, the answer kept in the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from earwitness.audio import decoding
from earwitness.core import files
from earwitness.core.errors import BadRecordingError, printable
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.inspection.run import OpenRun
from earwitness.trust.audit.effects import LEAST_FILES, Audit
from earwitness.trust.audit.measure import Sounding, audit
from earwitness.trust.audit.store import kept_at

SECONDS = 60.0  # of each recording; hours would be held in memory eight times


def audit_run(run: OpenRun, *, seed: int = 0, progress: Progress = NO_PROGRESS) -> Audit:
    """Audit a run on the recordings that it was measured on, and keep the result as ``trust/audit.json``.

    Of recordings longer than a minute, the first minute is scored.

    Raises
    ------
    EarwitnessError
        A recording has gone missing or is damaged.
    """
    predictions = run.predictions
    label_of = dict(zip(predictions.files, predictions.labels, strict=True))

    def soundings() -> Iterator[Sounding]:
        for name in predictions.files:
            samples = run.samples(name, SECONDS)
            yield Sounding(name, int(label_of[name]), samples)

    classes = run.classifier.classes
    found = audit(
        run.classifier,
        soundings,
        len(predictions.files),
        seconds=SECONDS,
        formats=[each for name, values in _formats(run).items() for each in giveaways(name, values, classes)],
        seed=seed,
        progress=progress,
    )
    files.write_json(kept_at(run.folder), found.as_dict())
    return found


def _formats(run: OpenRun) -> dict[str, list[tuple[int, str]]]:
    """Return what the files' headers tell, per property a (class, value) a recording."""
    found: dict[str, list[tuple[int, str]]] = {"file format": [], "sample rate": [], "number of channels": []}
    predictions = run.predictions
    for name, label in zip(predictions.files, predictions.labels, strict=True):
        try:
            kind, subtype, sample_rate, channels = decoding.header(run.path_of(name))
        except BadRecordingError:
            continue  # hearing it will say why
        coding = kind if subtype.casefold() in kind.casefold() else f"{kind} {subtype}"
        values = coding, f"{sample_rate} Hz", str(channels)
        for listed, value in zip(found.values(), values, strict=True):
            listed.append((int(label), printable(value)))
    return found


def giveaways(name: str, values: Sequence[tuple[int, str]], classes: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each class that a property of its files gives away.

    Parameters
    ----------
    name
        The property, such as ``"sample rate"``.
    values
        A (class, value) a recording.
    classes
        Names.
    """
    for value in sorted({value for _, value in values}):
        having = [label for label, each in values if each == value]
        for label in sorted(set(having)):
            total = sum(each == label for each, _ in values)
            share, others = having.count(label) / total, len(having) - having.count(label)
            if len(having) < len(values) and share >= 0.5 and others == 0 and total >= LEAST_FILES:
                yield f"{share:.0%} of {classes[label]} and no other class have the {name} {value}: it gives them away."
