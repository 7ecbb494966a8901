"""Decisions and findings as files for other programs: a CSV, Raven's selection tables, Audacity's labels."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from earwitness.core.errors import EarwitnessError, no_such, printable, said
from earwitness.core.files import safe_name
from earwitness.inspection.exports import FORMATS, Selection, audacity, raven
from earwitness.web.reviews import Review, SavedFinding

COLUMNS = (
    "kind",
    "recording",
    "decision",
    "title",
    "note",
    "start_seconds",
    "end_seconds",
    "low_hz",
    "high_hz",
    "edits",
    "method",
    "target_class",
    "segment_start_seconds",
    "segment_end_seconds",
    "settings",
    "before",
    "after",
    "at",
    "run",
    "map",
)
_MEASURES = ("Kind", "Note", "Decided")
# Where a spreadsheet would begin to compute, whichever separator it takes: there an apostrophe goes in front, one more
# than there are, so that reading takes away what was added and no other.
_BEGINS = '(^|[,;|"\t\r\n])'
_FORMULA = "('*[=+@\\-\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\uff0d\uff20])"
_OPEN, _CLOSED = re.compile(_BEGINS + _FORMULA), re.compile(f"{_BEGINS}'{_FORMULA}")

# Seconds and hertz of a stretch: start, end, lowest, highest.
Extent = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class MapWords:
    """What a map is, for a reader: its columns of the CSV.

    Parameters
    ----------
    method
        The method's name, as the page shows it.
    target_class
        What it explains, in words.
    segment_start_seconds, segment_end_seconds
        Which part of the recording it explains.
    settings
        The method's, as ``"samples = 512; fill = mean"``.
    """

    method: str
    target_class: str
    segment_start_seconds: float
    segment_end_seconds: float
    settings: str


@dataclass(frozen=True)
class Attachment:
    """A file to be saved: its name, its media type, its bytes."""

    name: str
    media_type: str
    body: bytes


def attachment(
    kind: str,
    name: str,
    reviews: Iterable[Review],
    findings: Iterable[SavedFinding],
    extent: Callable[[str], Extent],
    about: Callable[[str], MapWords | None] = lambda _: None,
) -> Attachment:
    """Return decisions and findings as a file.

    Parameters
    ----------
    kind
        ``"csv"``, ``"raven"`` or ``"audacity"``.
    name
        The beginning of the file's name.
    reviews, findings
        What is written.
    extent
        Tells all of a recording by its name. A decision is about all of it; a finding about each of its edits.
    about
        Tells what a map is by its id; None where it is no longer there.

    Returns
    -------
    A CSV of everything; or a table of the one recording there is, or a ZIP of them, since Raven and Audacity know one
    recording at a time. What a spreadsheet would take for a formula has an apostrophe in front.

    Raises
    ------
    EarwitnessError
        There is no such format, or the edits of a finding cannot be read.
    """
    if kind not in FORMATS:
        raise EarwitnessError(no_such(kind, "format", FORMATS))
    if kind == "csv":
        return Attachment(f"{name}-reviews.csv", "text/csv; charset=utf-8", _encoded(_table(reviews, findings, about)))
    selections: dict[str, list[Selection]] = {}
    for review in reviews:
        selections.setdefault(review.recording, []).append(_decided(review, extent(review.recording)))
    for finding in findings:
        places = _places(finding) or [extent(finding.recording)]
        selections.setdefault(finding.recording, []).extend(_found(finding, place) for place in places)
    written = raven if kind == "raven" else _labels
    texts = {
        f"{name}-{safe_name(printable(each))}{FORMATS[kind]}": written(told, _MEASURES)
        for each, told in selections.items()
    }
    if len(texts) > 1:
        return Attachment(f"{name}-{kind}.zip", "application/zip", _packed(texts))
    file, text = next(iter(texts.items()), (f"{name}{FORMATS[kind]}", written([], _MEASURES)))
    return Attachment(file, "text/plain; charset=utf-8", _encoded(text))


def read(text: str) -> list[dict[str, str]]:
    """Return the rows of such a CSV, without the apostrophes that keep spreadsheets from computing."""
    return [{name: _bare(cell) for name, cell in row.items()} for row in csv.DictReader(io.StringIO(text, newline=""))]


def _table(reviews: Iterable[Review], findings: Iterable[SavedFinding], about: Callable[[str], MapWords | None]) -> str:
    rows: list[dict[str, Any]] = [{"kind": "review", **vars(review)} for review in reviews]
    for finding in findings:
        starts, ends, lows, highs = zip(*_places(finding), strict=True) if finding.edits else ((), (), (), ())
        place = {"start_seconds": min(starts, default=""), "end_seconds": max(ends, default="")}
        place |= {"low_hz": min(lows, default=""), "high_hz": max(highs, default="")}
        lists = {key: json.dumps(getattr(finding, key), ensure_ascii=False) for key in ("edits", "before", "after")}
        words = about(finding.map) if finding.map else None
        known = {"method": "no longer kept"} if finding.map and words is None else vars(words) if words else {}
        rows.append({"kind": "finding", **vars(finding), **place, **lists, **known})
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")  # else a lone \r parts rows
    writer.writerow(COLUMNS)
    cells = ([row.get(name) for name in COLUMNS] for row in rows)
    writer.writerows(["" if cell is None else _safe(cell) for cell in each] for each in cells)
    return stream.getvalue()


def _safe(cell: str | float) -> str | float:
    return _OPEN.sub(r"\1'\2", cell) if isinstance(cell, str) else cell


def _bare(cell: str) -> str:
    return _CLOSED.sub(r"\1\2", cell)


def _decided(review: Review, place: Extent) -> Selection:
    return _selection(place, review.decision or "note", review.note, "review", review.at)


def _found(finding: SavedFinding, place: Extent) -> Selection:
    return _selection(place, finding.title or "finding", finding.note, "finding", finding.at)


def _selection(place: Extent, label: str, note: str, kind: str, at: str) -> Selection:
    start, end, low, high = place
    line = _shown(note)
    return Selection(
        start_seconds=start,
        end_seconds=end,
        low_hz=low,
        high_hz=high,
        label=_shown(label),
        remark=line or kind,
        measures={"Kind": kind, "Note": line, "Decided": at},
    )


def _shown(text: str) -> str:
    """Return a text as one line that nothing takes for a formula or a command."""
    return str(_safe(printable(" ".join(text.split()))))


def _labels(selections: Sequence[Selection], _measures: Sequence[str]) -> str:
    return audacity(selections)


def _places(finding: SavedFinding) -> list[Extent]:
    try:
        return [_place(edit) for edit in finding.edits]
    except (KeyError, TypeError, ValueError) as error:
        raise EarwitnessError(f"finding {finding.id}: its edits cannot be read ({said(error)})") from error


def _place(edit: Mapping[str, Any]) -> Extent:
    if edit["shape"] == "lasso":
        seconds, hertz = zip(*edit["points"], strict=True)
        return float(min(seconds)), float(max(seconds)), float(min(hertz)), float(max(hertz))
    return float(edit["start"]), float(edit["end"]), float(edit["low"]), float(edit["high"])


def _packed(texts: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name), _encoded(text), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
