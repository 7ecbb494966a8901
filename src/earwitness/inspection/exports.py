"""Regions and detections as files for other programs: a CSV, Raven's selection tables, Audacity's labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from earwitness.core.errors import UsageError
from earwitness.core.files import safe_name, write_csv, write_text
from earwitness.explainers.attribution import Attribution, Region
from earwitness.explainers.findings import shown_score
from earwitness.models.detections import COLUMNS as DETECTION_COLUMNS
from earwitness.models.detections import Detection

# What is added to a file's name. Raven opens any text; its own tables end so.
FORMATS = {"csv": "-regions.csv", "raven": ".selections.txt", "audacity": ".labels.txt"}
DETECTIONS = {"csv": "-detections.csv", "raven": "-detections.selections.txt", "audacity": "-detections.labels.txt"}
PICTURES = ("svg", "pdf")  # who has the picture draws it
ENDINGS = (*FORMATS.values(), *DETECTIONS.values(), *(f".{each}" for each in PICTURES))
RAVEN = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Annotation",
)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A stretch of a recording with a name, as Raven and Audacity know it.

    Parameters
    ----------
    start_seconds, end_seconds, low_hz, high_hz
        Where it is in the recording.
    label, remark
        The class, and what Audacity, which knows a name alone, shows behind it in brackets.
    measures
        What else Raven shows, by the name of its column.
    """

    start_seconds: float
    end_seconds: float
    low_hz: float
    high_hz: float
    label: str
    remark: str
    measures: Mapping[str, str | int | float]


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

    @property
    def selection(self) -> Selection:
        """As Raven and Audacity know it."""
        measures: dict[str, str | float] = {"Method": self.method, "Share": self.share}
        measures |= {"Score": self.score, "Score Without": self.without}
        return _selection(self, self.label, self.method, measures)


@dataclass(frozen=True, kw_only=True)
class KeptRow:
    """A region of a sound's evidence, or a box, that is kept where it is listened to.

    Parameters
    ----------
    file, label, method
        The recording, the class and the method that it is evidence of; both are empty of a box.
    start_seconds, end_seconds, low_hz, high_hz
        Where it is in the recording.
    share
        Of all that is kept, 0 to 1.
    """

    file: str
    label: str
    method: str
    start_seconds: float
    end_seconds: float
    low_hz: float
    high_hz: float
    share: float

    @property
    def selection(self) -> Selection:
        """As Raven and Audacity know it."""
        measures: dict[str, str | float] = {"Method": self.method, "Share": self.share}
        return _selection(self, self.label or "box", self.method or "kept", measures)


def _selection(row: RegionRow | KeptRow, label: str, remark: str, measures: Mapping[str, str | float]) -> Selection:
    return Selection(
        start_seconds=row.start_seconds,
        end_seconds=row.end_seconds,
        low_hz=row.low_hz,
        high_hz=row.high_hz,
        label=label,
        remark=remark,
        measures=measures,
    )


COLUMNS = ("file", "label", "method", *(item.name for item in fields(Region)))


def check_formats(formats: Sequence[str], *, pictures: bool = True) -> None:
    """Refuse formats that there are not.

    Parameters
    ----------
    formats
        What was asked for.
    pictures
        Whether there is a picture.

    Raises
    ------
    UsageError
        Naming those that there are.
    """
    known = (*FORMATS, *(PICTURES if pictures else ()))
    for each in formats:
        if each not in known:
            raise UsageError(f"--export {each}: use {', '.join(known)}")


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
        Of ``"csv"``, ``"raven"`` and ``"audacity"``; those of pictures are passed over. Times are seconds of the
        recording in all of them.

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
    for each in (one for one in dict.fromkeys(formats) if one in FORMATS):
        if each == "csv":
            written.append(folder / f"{name}{FORMATS[each]}")
            write_csv(written[-1], COLUMNS, [[getattr(row, column) for column in COLUMNS] for row in rows])
            continue
        recordings = list(dict.fromkeys(row.file for row in rows)) or [""]
        for file in recordings:
            place = f"{name}-{safe_name(file)}" if len(recordings) > 1 else name
            written.append(folder / f"{place}{FORMATS[each]}")
            of_file = [row.selection for row in rows if row.file == file]
            _write(written[-1], each, of_file, ("Method", "Share", "Score", "Score Without"))
    return written


def export_detections(
    file: str,
    detections: Sequence[Detection],
    between_hz: tuple[float, float],
    folder: Path,
    name: str,
    formats: Sequence[str],
) -> list[Path]:
    """Write what was detected in a recording, as :func:`export` writes regions: one table a recording.

    Parameters
    ----------
    file, detections
        The recording, and what was detected in it; without any, tables are empty.
    between_hz
        The lowest and highest frequency that the model uses: a detection has none of its own.
    folder, name, formats
        As there.
    """
    check_formats(formats)
    written = []
    for each in (one for one in dict.fromkeys(formats) if one in DETECTIONS):
        written.append(folder / f"{name}{DETECTIONS[each]}")
        if each == "csv":
            write_csv(written[-1], ("file", *DETECTION_COLUMNS), detection_rows(file, detections))
            continue
        told = [
            Selection(
                start_seconds=one.start_seconds,
                end_seconds=one.end_seconds,
                low_hz=between_hz[0],
                high_hz=between_hz[1],
                label=one.class_name,
                remark=shown_score(one.highest),
                measures={"Score": one.highest, "Mean Score": one.mean, "Segments": one.segments},
            )
            for one in detections
        ]
        _write(written[-1], each, told, ("Score", "Mean Score", "Segments"), frequencies=False)
    return written


def detection_rows(file: str, detections: Iterable[Detection]) -> Iterator[tuple[Any, ...]]:
    """Yield a row a detection, its seconds and scores to digits that mean something."""
    for each in detections:
        values = each.as_row().values()
        yield file, *(round(value, 4) if isinstance(value, float) else value for value in values)


def export_kept(rows: Sequence[KeptRow], folder: Path, name: str, formats: Sequence[str]) -> list[Path]:
    """Write what is kept of a recording as :func:`export` writes regions; ``formats`` are those of tables."""
    check_formats(formats, pictures=False)
    written = kept_paths(folder, name, formats)
    for each, path in zip(dict.fromkeys(formats), written, strict=True):
        if each == "csv":
            write_csv(path, [item.name for item in fields(KeptRow)], map(astuple, rows))
        else:
            _write(path, each, [row.selection for row in rows], ("Method", "Share"))
    return written


def kept_paths(folder: Path, name: str, formats: Sequence[str]) -> list[Path]:
    """Return the files that :func:`export_kept` writes."""
    return [folder / f"{name}{FORMATS[each]}" for each in dict.fromkeys(formats)]


def _write(
    path: Path, kind: str, selections: Sequence[Selection], measures: Sequence[str], *, frequencies: bool = True
) -> None:
    """Write selections as Raven's table or Audacity's labels."""
    text = raven(selections, measures) if kind == "raven" else audacity(selections, frequencies=frequencies)
    write_text(path, text)


def raven(selections: Sequence[Selection], measures: Sequence[str] = ()) -> str:
    """Return a selection table of Raven: tabs between columns, a line a selection, the named measures at its end."""
    lines = ["\t".join([*RAVEN, *measures])]
    for number, each in enumerate(selections, 1):
        times = [f"{value:.6f}" for value in (each.start_seconds, each.end_seconds)]
        pitch = [f"{value:.3f}" for value in (each.low_hz, each.high_hz)]
        told = [each.measures[name] for name in measures]
        cells = [f"{value:.6f}" if isinstance(value, float) else _cell(str(value)) for value in told]
        lines.append("\t".join([str(number), "Spectrogram 1", "1", *times, *pitch, _cell(each.label), *cells]))
    return "\n".join(lines) + "\n"


def audacity(selections: Sequence[Selection], *, frequencies: bool = True) -> str:
    """Return labels of Audacity, each with the line that tells its lowest and highest frequency, if it has its own."""
    lines = []
    for each in selections:
        lines.append(f"{each.start_seconds:.6f}\t{each.end_seconds:.6f}\t{_cell(each.label)} ({_cell(each.remark)})")
        if frequencies:
            lines.append(f"\\\t{each.low_hz:.6f}\t{each.high_hz:.6f}")
    return "".join(f"{line}\n" for line in lines)


def _cell(text: str) -> str:
    """Return a name without what parts cells and lines."""
    return " ".join(text.split())
