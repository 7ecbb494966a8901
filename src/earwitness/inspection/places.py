"""Where a segment is, as people write it: ``FILE@SECONDS``, ``FILE``, or a row of ``predictions.csv``."""

from __future__ import annotations

import numpy as np

from earwitness.core.errors import UsageError
from earwitness.models.prediction import Predictions


def checked_row(predictions: Predictions, row: int) -> int:
    """Return a row that exists.

    Raises
    ------
    UsageError
        It does not.
    """
    total = len(predictions.recording)
    if not 0 <= row < total:
        raise UsageError(f"row {row}: the run has no such segment; its rows are 0 to {total - 1}")
    return int(row)


def row_at(predictions: Predictions, place: str) -> int:
    """Return the row of ``FILE@SECONDS`` (the segment that starts nearest) or ``FILE`` (its most confident one).

    Parameters
    ----------
    predictions
        Whose rows.
    place
        The file's name as in ``predictions.csv``, or the end of it where only one ends so. A number is a row.

    Raises
    ------
    UsageError
        The run measured no such recording, or it is shorter.
    """
    if place.isdecimal():
        return checked_row(predictions, int(place))
    name, at, moment = place.rpartition("@")
    try:
        seconds = float(moment) if at else None
    except ValueError:
        name, seconds = place, None  # the @ belongs to the name
    recording = _recording_named(predictions.files, name if seconds is not None else place)
    rows = np.flatnonzero(predictions.recording == recording)
    if seconds is None:
        return int(rows[np.argmax(predictions.scores[rows].max(axis=1))])
    starts, end = predictions.start_seconds[rows], float(predictions.end_seconds[rows].max())
    if not 0.0 <= seconds <= end:
        raise UsageError(f"{place}: the recording's segments lie between 0 and {end:.2f} s; name a moment among them")
    return int(rows[np.argmin(np.abs(starts - seconds))])


def place_of(predictions: Predictions, row: int) -> str:
    """Return ``FILE@SECONDS`` of a row."""
    return f"{predictions.files[predictions.recording[row]]}@{predictions.start_seconds[row]:.2f}"


def _recording_named(files: tuple[str, ...], name: str) -> int:
    if name in files:
        return files.index(name)
    ending = [number for number, file in enumerate(files) if f"/{file}".endswith(f"/{name}")]
    if len(ending) == 1:
        return ending[0]
    if ending:
        raise UsageError(f"{name}: {len(ending)} recordings end so, such as {files[ending[0]]}; give the whole name")
    raise UsageError(
        f"{name}: the run measured no such recording; its {len(files)} stand in predictions.csv, such as {files[0]}"
    )
