"""Locks: one process at a time writes a folder or a file, and one that was killed stands in nobody's way.

A lock is a small file made with O_EXCL, which network folders know, too: it names its process. filelock writes it, and
takes it over where that process is known to be dead, which it is on the same machine alone.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from earwitness.core.errors import UsageError, printable

NAME = ".earwitness.lock"
# For taking over what a killed process left, which may need a second look where names cannot be exchanged.
PATIENCE_SECONDS = 0.2
# filelock puts this and the number of the namespace of processes behind the name of a machine: a container's processes
# have numbers of their own.
NAMESPACE = "?pidns-"


@contextmanager
def folder_held(
    folder: Path | str, *, instead: str = "name another --out", patience: float = PATIENCE_SECONDS
) -> Iterator[None]:
    """Keep a folder to one writer until the block ends, or its process does.

    The folder is made where it is missing, and removed again where the block leaves nothing in it.

    Parameters
    ----------
    folder
        The folder. Its lock lies in it and is no content (:func:`contents`).
    instead
        What a second writer can do but wait; empty where it can only wait.
    patience
        Seconds to wait for another writer.

    Raises
    ------
    UsageError
        Another process, or another thread of this one, is at work there; or the folder cannot be made or written to.
    """
    place = Path(folder)
    made = [each for each in (place, *place.parents) if not each.exists()]
    try:
        with ExitStack() as stack:
            try:
                place.mkdir(parents=True, exist_ok=True)
                stack.enter_context(held(place / NAME, place, f"wait{', or ' if instead else ''}{instead}", patience))
            except OSError as error:
                raise UsageError(
                    f"{printable(place)}: cannot be written to ({error.strerror or error}); check its permissions and "
                    "the disk"
                ) from error
            yield
    finally:
        for each in made:
            with suppress(OSError):  # it holds what was made
                each.rmdir()


@contextmanager
def held(marker: Path, place: Path, advice: str, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Keep what ``place`` names to the process that makes ``marker``, until the block ends.

    Raises
    ------
    UsageError
        Another process, or another thread of this one, holds it; ``advice`` says what can be done.
    OSError
        The marker cannot be made.
    """
    from filelock import SoftFileLock, Timeout  # most commands write nothing

    lock = SoftFileLock(marker, timeout=patience, poll_interval=PATIENCE_SECONDS / 4, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(f"{printable(place)}: {_holder(marker, advice)}") from None
    try:
        yield
    finally:
        lock.release()


def contents(folder: Path) -> list[Path]:
    """Return what lies in a folder, without locks and what a killed process left of one."""
    return [path for path in folder.iterdir() if path.name != NAME and not path.name.startswith(f"{NAME}.")]


def _holder(marker: Path, advice: str) -> str:
    """Return who holds a marker and since when, and what can be done."""
    try:
        lines = marker.read_text(encoding="utf-8", errors="replace").splitlines()
        since = datetime.fromtimestamp(marker.stat().st_mtime).astimezone()
    except OSError:
        return "another process was at work here a moment ago; try again"
    number, machine = (*lines, "", "")[:2]
    who = f"process {number}" if number.isdigit() else "another process"
    here = _is_here(machine)
    where = "" if here or not machine else f" on {machine.partition(NAMESPACE)[0]}"
    gone = "" if here else f"; if that process is gone, delete {printable(marker)}"
    return f"{who}{printable(where)} has been at work here since {since:%Y-%m-%d %H:%M:%S}; {advice}{gone}"


def _is_here(machine: str) -> bool:
    """Tell whether a marker's machine is this one, where a process that is gone would have been noticed."""
    name, _, namespace = machine.partition(NAMESPACE)
    if name != socket.gethostname():
        return False
    with suppress(OSError):
        return not namespace or namespace == f"{Path('/proc/self/ns/pid').stat().st_ino:x}"
    return not namespace
