"""What a person decided about recordings, in the run folder: decisions, notes and findings.

Nothing that was written is overwritten or removed: a decision is a row, and undoing it marks the row, so that the one
before counts again. A call returns only when its row is on the disk.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from earwitness.core.errors import UsageError, no_such
from earwitness.core.run_folder import RunFolder
from earwitness.web.review_file import ReviewFile, stored

DECISIONS = ("correct", "wrong label", "unsure", "interesting", "")
MOST_NAME, MOST_TITLE, MOST_NOTE = 4096, 200, 10_000  # characters

Json = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Review:
    """A decision about a recording.

    Parameters
    ----------
    recording
        Its name, as the run calls it.
    decision
        One of ``DECISIONS``; empty where there is a note alone.
    note
        The person's words.
    at
        When, in ISO 8601, UTC.
    run
        The identity of the training that was looked at: the folder may have been trained anew since.
    """

    recording: str
    decision: str
    note: str
    at: str
    run: str


@dataclass(frozen=True, kw_only=True)
class SavedFinding:
    """What a person found out by editing a recording.

    Parameters
    ----------
    id
        16 characters of 0-9 and a-f.
    recording, title, note
        The recording's name; the person's words.
    edits
        What was hidden, kept or attenuated: the live page's boxes and lassos, in seconds and hertz.
    map
        The id of the map that led there.
    before, after
        Scores, best first: ``class`` and ``score``.
    at, run
        As of a :class:`Review`.
    """

    id: str
    recording: str
    title: str
    note: str
    edits: Json
    map: str | None
    before: Json
    after: Json
    at: str
    run: str


_REVIEW = tuple(each.name for each in fields(Review))
_FINDING = tuple(each.name for each in fields(SavedFinding))
_LISTS = ("edits", "before", "after")
_LAST = "SELECT max(step) FROM decisions WHERE recording = CAST(? AS TEXT) AND undone IS NULL"


class Reviews:
    """The decisions and findings of a folder.

    Parameters
    ----------
    folder
        The run folder, or any other that a person looks at.
    run
        The identity of its training, which new rows name.

    Raises
    ------
    EarwitnessError
        Here and from every call: see :class:`earwitness.web.review_file.ReviewFile`.
    """

    def __init__(self, folder: Path | str, run: str = "") -> None:
        self._file = ReviewFile(RunFolder(Path(folder)).reviews)
        self._run = run
        self._file.check()

    def put(self, recording: str, decision: str, note: str = "") -> Review:
        """Keep a decision; those before stay, to be returned to.

        Raises
        ------
        UsageError
            There is no such decision, or a text is too long.
        """
        if decision not in DECISIONS:
            raise UsageError(no_such(decision, "decision", [each or "none ('')" for each in DECISIONS]))
        _check_lengths(recording=(recording, MOST_NAME), note=(note, MOST_NOTE))
        review = Review(recording=recording, decision=decision, note=note, at=_now(), run=self._run)
        self._insert("decisions", vars(review))
        return review

    def get(self, recording: str) -> Review | None:
        """Return the decision that counts, if there is one."""
        return next(iter(self._reviews(f"step = ({_LAST})", recording)), None)

    def delete(self, recording: str) -> Review | None:
        """Undo the last decision; return the one before, which counts again, if there is one."""
        if self.get(recording):
            with self._file.writing() as database:
                undo = f"UPDATE decisions SET undone = ? WHERE step = ({_LAST})"
                database.execute(undo, (_now(), stored(recording)))
        return self.get(recording)

    def all(self) -> dict[str, Review]:
        """Return the decisions that count, by recording, in the order in which they were made."""
        found = self._reviews("step IN (SELECT max(step) FROM decisions WHERE undone IS NULL GROUP BY recording)")
        return {review.recording: review for review in found}

    def add_finding(
        self,
        recording: str,
        *,
        title: str,
        note: str = "",
        edits: Json = (),
        map: str | None = None,
        before: Json = (),
        after: Json = (),
    ) -> SavedFinding:
        """Keep a finding.

        Raises
        ------
        UsageError
            A text is too long, or what should be JSON is none.
        """
        _check_lengths(recording=(recording, MOST_NAME), title=(title, MOST_TITLE), note=(note, MOST_NOTE))
        finding = SavedFinding(
            id=secrets.token_hex(8),
            recording=recording,
            title=title,
            note=note,
            edits=edits,
            map=map,
            before=before,
            after=after,
            at=_now(),
            run=self._run,
        )
        lists = {name: _json(name, getattr(finding, name)) for name in _LISTS}
        self._insert("findings", vars(finding) | lists)
        return replace(finding, **{name: json.loads(text) for name, text in lists.items()})

    def findings(self, recording: str | None = None) -> list[SavedFinding]:
        """Return the findings of a recording, or all of them, in the order in which they were made."""
        return self._findings("TRUE") if recording is None else self._findings("recording = CAST(? AS TEXT)", recording)

    def remove_finding(self, id: str) -> SavedFinding | None:
        """Leave a finding out from now on; return it, or nothing where there is none of this id."""
        found = self._findings("id = CAST(? AS TEXT)", id)
        if found:
            with self._file.writing() as database:
                database.execute("UPDATE findings SET removed = ? WHERE id = ?", (_now(), found[0].id))
        return found[0] if found else None

    def _reviews(self, where: str, *values: str) -> list[Review]:
        return [Review(**row) for row in self._rows(f"decisions WHERE {where}", _REVIEW, values)]

    def _findings(self, where: str, *values: str) -> list[SavedFinding]:
        rows = self._rows(f"findings WHERE removed IS NULL AND {where}", _FINDING, values)
        return [SavedFinding(**row | {name: json.loads(row[name]) for name in _LISTS}) for row in rows]

    def _rows(self, where: str, columns: Sequence[str], values: Sequence[str]) -> list[dict[str, Any]]:
        with self._file.reading() as database:
            asked = f"SELECT {', '.join(columns)} FROM {where} ORDER BY step"
            found = database.execute(asked, [stored(value) for value in values]).fetchall()
            return [dict(zip(columns, row, strict=True)) for row in found]

    def _insert(self, table: str, row: Mapping[str, Any]) -> None:
        places = ", ".join(["CAST(? AS TEXT)"] * len(row))
        with self._file.writing() as database:
            database.execute(
                f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})",
                [None if value is None else stored(value) for value in row.values()],
            )


def _json(name: str, value: Json) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        raise UsageError(f"{name}: must be plain JSON, with finite numbers") from None


def _check_lengths(**texts: tuple[str, int]) -> None:
    for name, (text, most) in texts.items():
        if len(text) > most:
            raise UsageError(f"{name}: has {len(text):,} characters, of {most:,} at most")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
