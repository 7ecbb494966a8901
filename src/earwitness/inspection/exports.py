"""Regions of evidence as files for other programs: a CSV, Raven's selection tables, Audacity's labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from earwitness.core.errors import UsageError
from earwitness.core.files import safe_name, write_csv, write_text
from earwitness.explainers.attribution import Attribution, Region

# What is added to a file's name. Raven opens any text; its own tables end so.
FORMATS = {"csv": "-regions.csv", "raven": ".selections.txt", "audacity": ".labels.txt"}
RAVEN = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Annotation",
    "Method",
    "Share",
    "Score",
    "Score Without",
)


@dataclass(frozen=True, kw_only=True)
class RegionRow(Region):
    """A region with the map that it is of: a line of a table.

    Parameters
    ----------
    file, label, method
        The recording, the class that was explained, the method.
    """

    file: str
    label: str
    method: str


COLUMNS = ("file", "label", "method", *(item.name for item in fields(Region)))


def check_formats(formats: Sequence[str]) -> None:
    """Refuse formats that there are not.

    Raises
    ------
    UsageError
        Naming those that there are.
    """
    for each in formats:
        if each not in FORMATS:
            raise UsageError(f"--export {each}: use {', '.join(FORMATS)}")


def region_table(maps: Iterable[tuple[str, Attribution]]) -> list[RegionRow]:
    """Return the regions of maps, each with the method that one calls it by."""
    return [
        RegionRow(file=found.file, label=found.target_label, method=method, **vars(region))
        for method, found in maps
        for region in found.regions
    ]


def export(rows: Sequence[RegionRow], folder: Path, name: str, formats: Sequence[str]) -> list[Path]:
    """Write regions to files; Raven and Audacity, which know one recording at a time, get a file for each.

    Parameters
    ----------
    rows
        The regions; without any, tables are empty.
    folder, name
        Where, and the beginning of the files' names; the recording's name follows where there are several.
    formats
        Of ``"csv"``, ``"raven"`` and ``"audacity"``. Times are seconds of the recording in all of them.

    Returns
    -------
    The files.

    Raises
    ------
    UsageError
        There is no such format.
    """
    check_formats(formats)
    written = []
    for each in dict.fromkeys(formats):
        if each == "csv":
            written.append(folder / f"{name}{FORMATS[each]}")
            write_csv(written[-1], COLUMNS, [[getattr(row, column) for column in COLUMNS] for row in rows])
            continue
        recordings = list(dict.fromkeys(row.file for row in rows)) or [""]
        for file in recordings:
            place = f"{name}-{safe_name(file)}" if len(recordings) > 1 else name
            written.append(folder / f"{place}{FORMATS[each]}")
            of_file = [row for row in rows if row.file == file]
            write_text(written[-1], raven(of_file) if each == "raven" else audacity(of_file))
    return written


def raven(rows: Sequence[RegionRow]) -> str:
    """Return a selection table of Raven: tabs between columns, a line a region."""
    lines = ["\t".join(RAVEN)]
    for number, row in enumerate(rows, 1):
        times = [f"{value:.6f}" for value in (row.start_seconds, row.end_seconds)]
        pitch = [f"{value:.3f}" for value in (row.low_hz, row.high_hz)]
        scores = [f"{value:.6f}" for value in (row.share, row.score, row.without)]
        lines.append(
            "\t".join([str(number), "Spectrogram 1", "1", *times, *pitch, _cell(row.label), row.method, *scores])
        )
    return "\n".join(lines) + "\n"


def audacity(rows: Sequence[RegionRow]) -> str:
    """Return labels of Audacity, each with the line that tells its lowest and highest frequency."""
    lines = []
    for row in rows:
        lines.append(f"{row.start_seconds:.6f}\t{row.end_seconds:.6f}\t{_cell(row.label)} ({row.method})")
        lines.append(f"\\\t{row.low_hz:.6f}\t{row.high_hz:.6f}")
    return "".join(f"{line}\n" for line in lines)


def _cell(text: str) -> str:
    """Return a name without what parts cells and lines."""
    return " ".join(text.split())
