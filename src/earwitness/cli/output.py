"""What commands print: tables, the live training table, warnings, next steps."""

from __future__ import annotations

import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earwitness.core.errors import UsageError, no_such, printable
from earwitness.core.progress import Progress, for_terminal

if TYPE_CHECKING:
    from earwitness.data.recordings import DataSet
    from earwitness.data.splits import Split
    from earwitness.explainers.registry import Summary
    from earwitness.training.cross_validation import CrossValidation
    from earwitness.training.loop import HistoryRow
    from earwitness.training.metrics import Metrics

# The example's columns, each with its width.
TRAINING_COLUMNS = (
    ("Epoch", 5),
    ("Iteration", 9),
    ("Elapsed", 8),
    ("Batch accuracy", 14),
    ("Validation accuracy", 19),
    ("Batch loss", 10),
    ("Validation loss", 15),
    ("Learning rate", 13),
)
SHOW_EVERY = 50
MOST_NAMED = 5


def show(text: str = "") -> None:
    """Print a line of a command's result, at once: what follows may take long, and the output be a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    """Print a line that the user should not miss, to standard error."""
    sys.stderr.write(f"earwitness: {text}\n")


# Set before each command by what stands before it: `earwitness --verbose COMMAND`.
VERBOSE: ContextVar[bool] = ContextVar("verbose", default=False)


def progress_bar() -> Progress:
    """Return what a command tells how far it is."""
    return for_terminal(verbose=VERBOSE.get())


def next_step(text: str) -> None:
    """End a command's output with what can be done next."""
    show(f"\nNext: {text}")


def show_exported(paths: Iterable[Path]) -> None:
    """Print a line for each file that was written for other programs."""
    for path in paths:
        show(f"  exported:  {printable(path)}")


def typed(path: Path) -> str:
    """Return a path as one types it in a shell."""
    return shlex.quote(printable(path))


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], indent: str = "") -> str:
    """Return aligned columns: text to the left, numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [all(_is_number(row[place]) for row in cells) for place in range(len(header))]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = []
    for row in [list(header), ["-" * width for width in widths], *cells]:
        parts = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        lines.append((indent + "  ".join(parts)).rstrip())
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _is_number(cell: str) -> bool:
    return cell.rstrip(" %s").replace(".", "", 1).replace("-", "", 1).isdigit() or cell == "-"


def percent(share: float) -> str:
    """Return a share as a percentage with two decimals."""
    return f"{100 * share:.2f} %"


def elapsed(seconds: float) -> str:
    """Return seconds as h:mm:ss."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def training_rows(progress: Progress) -> Callable[[HistoryRow], None]:
    """Return a function that prints the first iteration, every 50th and each validation as a row of a table."""
    begun = False

    def on_row(row: HistoryRow) -> None:
        nonlocal begun
        if not begun:
            begun = True
            progress.say(" | ".join(name.rjust(width) for name, width in TRAINING_COLUMNS))
        elif row.iteration % SHOW_EVERY and row.validation_loss is None:
            return
        cells = (
            str(row.epoch),
            str(row.iteration),
            elapsed(row.seconds),
            percent(row.train_accuracy),
            "" if row.validation_accuracy is None else percent(row.validation_accuracy),
            f"{row.train_loss:.4f}",
            "" if row.validation_loss is None else f"{row.validation_loss:.4f}",
            f"{row.learning_rate:.2e}",
        )
        progress.say(" | ".join(cell.rjust(width) for cell, (_, width) in zip(cells, TRAINING_COLUMNS, strict=True)))

    return on_row


def metrics_lines(metrics: Metrics) -> str:
    """Return the headline accuracies and a line a class."""
    reach = round(100 * metrics.confidence)
    by_vote, by_mean = metrics.intervals.file_accuracy, metrics.intervals.file_accuracy_mean_score
    rows = [
        ["segments", percent(metrics.segment_accuracy), metrics.segments, ""],
        ["files, majority vote", percent(metrics.file_accuracy), metrics.files, _interval(*by_vote)],
        ["files, mean score", percent(metrics.file_accuracy_mean_score), metrics.files, _interval(*by_mean)],
    ]
    text = table(["measured by", "accuracy", "of", f"{reach} % interval"], rows)
    if metrics.ties:
        text += f"\n{len(metrics.ties)} file(s) with tied votes, decided by the higher mean score"
    classes = [
        [name, each.files.support, each.files.precision, each.files.recall, each.files.f1, each.segments.f1]
        for name, each in metrics.per_class.items()
        if each.files.support
    ]
    absent = [name for name, each in metrics.per_class.items() if not each.files.support]
    if absent:
        named = ", ".join(absent[:MOST_NAMED]) + (", ..." if len(absent) > MOST_NAMED else "")
        text += f"\nno recordings to measure {len(absent)} class(es) on: {named}"
    return f"{text}\n\n" + table(["class", "files", "precision", "recall", "F1", "F1 by segment"], classes)


def _interval(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def data_lines(data: DataSet, split: Split) -> str:
    """Return what `earwitness data` prints of a checked data set and the split that a training would get."""
    from earwitness.data import losses
    from earwitness.data.checks import count_table, duplicate_warnings, findings
    from earwitness.data.splits import guesses
    from earwitness.models.registry import highest_frequencies

    held_out = Counter(data.recordings[row].label for row in split.validation)
    rows: list[list[Any]] = []
    for entry in count_table(data):
        minutes = None if entry.seconds is None else f"{entry.seconds / 60:.1f} min"
        lengths = None if entry.shortest is None else f"{entry.shortest:.2f} to {entry.longest:.2f} s"
        train = entry.files - held_out[entry.label]
        rows.append([entry.label, entry.files, minutes, lengths, entry.sources, train, held_out[entry.label]])
    rows.append(["all", len(data.recordings), None, None, None, len(split.train), len(split.validation)])
    lines = [table(["class", "files", "sound", "lengths", "sources", "to train on", "held out"], rows), ""]
    lines += [f"note: {sentence}" for sentence in (*data.notes, *guesses(data, split), *findings(data))]
    if all(row[4] is None for row in rows):
        lines.append("note: sources are not known (-); where several files are cut from one recording, name the groups")
    said = (
        *data.warnings,
        *split.warnings,
        *duplicate_warnings(data, split),
        *losses.warnings(data, highest_frequencies()),
    )
    lines += [f"warning: {sentence}" for sentence in said]
    kind = f"{split.kind} {split.held_out}".rstrip()
    lines.append(f"split: {kind}, {len(split.train)} to train on, {len(split.validation)} held out")
    return "\n".join(lines)


def folds_lines(result: CrossValidation) -> str:
    """Return a cross-validation as a table: a row a fold, then the mean and its interval."""
    rows: list[list[Any]] = [
        [
            number,
            fold.files,
            *map(percent, (fold.segment_accuracy, fold.file_accuracy, fold.file_accuracy_mean_score)),
        ]
        for number, fold in enumerate(result.folds, start=1)
    ]
    rows.append(["mean", None, *map(percent, astuple(result.mean))])
    rows.append(["95 % interval", None, *(_interval(low, high) for low, high in astuple(result.interval_of_mean))])
    return table(["fold", "files", "segments", "files by vote", "files by mean score"], rows)


def methods_lines(names: Sequence[str] = ()) -> str:
    """Return the explanation methods, a line each; or, of those that are named, all that is known.

    Raises
    ------
    UsageError
        There is no such method.
    """
    from earwitness.explainers.method import FAMILIES
    from earwitness.explainers.registry import METHODS, catalogue

    for name in names:
        if name not in METHODS:
            raise UsageError(no_such(name, "method", METHODS))
    methods = {method.name: method for method in catalogue()}
    if names:
        return "\n\n".join(_method(methods[name]) for name in dict.fromkeys(names))
    lines = []
    for family in FAMILIES:
        rows = [[each.name, each.title, _briefly(each.cost)] for each in methods.values() if each.family == family]
        lines.append(table([family, "", "cost"], rows))
    lines.append(f"Parameters of one: earwitness explain --list {next(iter(methods))}")
    return "\n\n".join(lines)


def _briefly(cost: str) -> str:
    return re.split(r"; |, whatever", cost)[0]


def _method(method: Summary) -> str:
    rows = [[name, default, text] for name, default, text in method.parameters]
    head = f"{method.name}: {method.title}\n  {method.paper}\n"
    head += f"  needs: {' and '.join(method.needs)}\n  cost: {method.cost}\n"
    head += f"  assumes: {method.assumes}\n  misses: {method.misses}\n"
    return head + table(["parameter", "default", "meaning"], rows, indent="  ")


@contextmanager
def download_progress(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a download as a bar in a terminal, as a line for each tenth of it elsewhere."""
    if not sys.stderr.isatty():
        shown = -1

        def line(done: int, total: int | None) -> None:
            nonlocal shown
            step = 10 * done // total if total else done // 10_000_000
            if step > shown:
                shown = step
                of = f" of {total / 1e6:.1f}" if total else ""
                sys.stderr.write(f"{name}: {done / 1e6:.1f}{of} MB\n")

        yield line
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bars(*columns, transient=True) as bars:
        number = bars.add_task(name, total=None)
        yield lambda done, total: bars.update(number, completed=done, total=total)
