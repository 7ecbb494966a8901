"""The SQLite file of what a person decided: opened for each call, written durably, left as it is when it is damaged."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from earwitness.core.errors import EarwitnessError, printable

PATIENCE_SECONDS = 10.0  # for another writer
VERSION = 1
_APPLICATION = 0x65777276  # "ewrv": a SQLite file can say whose it is
_SCHEMA = f"""
CREATE TABLE decisions (
    step INTEGER PRIMARY KEY AUTOINCREMENT, recording TEXT NOT NULL, decision TEXT NOT NULL, note TEXT NOT NULL,
    at TEXT NOT NULL, run TEXT NOT NULL, undone TEXT);
CREATE INDEX standing ON decisions (recording, step) WHERE undone IS NULL;
CREATE TABLE findings (
    step INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, recording TEXT NOT NULL, title TEXT NOT NULL,
    note TEXT NOT NULL, edits TEXT NOT NULL, map TEXT, before TEXT NOT NULL, after TEXT NOT NULL, at TEXT NOT NULL,
    run TEXT NOT NULL, removed TEXT);
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {VERSION};
"""


class ReviewFile:
    """The file, whether it is there or not; any number of threads and processes may use it.

    Parameters
    ----------
    path
        Where it is, or will be.

    Raises
    ------
    EarwitnessError
        From every call: the file is damaged, another program's or a newer version's, and is left as it is; or it
        cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Open the file, made where it is missing, for one transaction, which is on the disk when the block ends."""
        with self._said("could not be written"), self._made() as database:
            _patiently(database, "PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("BEGIN IMMEDIATE")
            with database:
                if _is_empty(database):
                    _lay_out(database)
                self._check_kind(database)
                yield database

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Open the file to read; where there is none, one without rows in memory."""
        with self._said("could not be read"), ExitStack() as stack:
            database = self._reader(stack) if os.path.lexists(self.path) else None
            if database is None or _is_empty(database):
                database = stack.enter_context(closing(sqlite3.connect(":memory:")))
                _lay_out(database)
            self._check_kind(database)
            yield database

    def check(self) -> None:
        """Look through all of the file for damage."""
        with self.reading() as database:
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.DatabaseError(" ".join(found.split()))

    def _reader(self, stack: ExitStack) -> sqlite3.Connection:
        """Open the file to read, or a copy: SQLite writes beside what it reads, which not every folder allows."""
        database = stack.enter_context(closing(self._opened(self.path, "rw")))
        try:
            _is_empty(database)
            return database
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise
        spare = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="earwitness-")))
        for path in (self.path, self.path.with_name(f"{self.path.name}-wal")):
            if path.exists():
                shutil.copyfile(path, spare / path.name)
        return stack.enter_context(closing(self._opened(spare / self.path.name, "rw")))

    def _made(self) -> closing[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return closing(self._opened(self.path, "rwc"))

    def _opened(self, path: Path, mode: str) -> sqlite3.Connection:
        if path.is_symlink():
            raise EarwitnessError(f"{printable(path)}: is a link; put the file itself there")
        place = f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}"
        database = sqlite3.connect(place, uri=True, timeout=PATIENCE_SECONDS, isolation_level=None)
        database.text_factory = lambda stored: stored.decode("utf-8", "surrogatepass")
        database.execute("PRAGMA trusted_schema = OFF")  # a run folder may come from elsewhere
        return database

    def _check_kind(self, database: sqlite3.Connection) -> None:
        if _pragma(database, "application_id") != _APPLICATION:
            raise EarwitnessError(f"{printable(self.path)}: is another program's file; move it elsewhere")
        if (version := _pragma(database, "user_version")) > VERSION:
            raise EarwitnessError(f"{printable(self.path)}: is of a newer earwitness ({version}); update this one")

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        """Say in one line what SQLite or the system complain about."""
        try:
            yield
        except sqlite3.OperationalError as error:
            advice = "check its permissions, its folder's and the room on the disk"
            raise EarwitnessError(f"{printable(self.path)}: {what} ({error}); {advice}") from error
        except sqlite3.DatabaseError as error:
            advice = "nothing in it was changed: put back a copy, or move it elsewhere to begin anew"
            raise EarwitnessError(f"{printable(self.path)}: is damaged ({error}); {advice}") from error
        except OSError as error:
            raise EarwitnessError(f"{printable(self.path)}: {what} ({error.strerror or error})") from error


def stored(text: str) -> bytes:
    """Return a text as the file holds it, to be CAST: names of recordings need not be UTF-8."""
    return text.encode("utf-8", "surrogatepass")


def _lay_out(database: sqlite3.Connection) -> None:
    for statement in _SCHEMA.split(";"):
        database.execute(statement)


def _is_empty(database: sqlite3.Connection) -> bool:
    return database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def _pragma(database: sqlite3.Connection, name: str) -> int:
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])


def _patiently(database: sqlite3.Connection, statement: str) -> None:
    """Do what SQLite does not wait for by itself while others have the file open."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            database.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
