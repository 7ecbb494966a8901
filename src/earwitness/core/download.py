"""Download one file: resumed after a cut, checked before it gets its name, never half-written.

The bytes go into ``NAME.part`` beside the target. A later call, or a later attempt of the same call, asks the server
only for what is missing. When the whole is there and its check says that it is right, it is renamed to the target.

requests does the talking; pooch, which could keep and check files, always starts at the first byte.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urljoin, urlsplit

from earwitness.core import locks
from earwitness.core.errors import EarwitnessError, UsageError, first_line, printable
from earwitness.core.home import HOME_VARIABLE

if TYPE_CHECKING:
    from requests import Response, Session

OnBytes = Callable[[int, int | None], None]
"""Called with the bytes that are there (those of earlier runs included) and the bytes of the whole, None if unknown."""

Check = Callable[[Path], str | None]
"""Given the complete file, return None when it is right, or a clause that says what is wrong with it."""

BLOCK_BYTES = 1 << 14  # also the most that a cut can lose
MOST_REDIRECTS = 8
PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})  # a later attempt may get a better answer
ELSEWHERE = "name a mirror with --url, or fetch it by other means"
FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long and how often to try.

    Parameters
    ----------
    attempts
        Connections made before giving up.
    connect_seconds
        Longest wait for a connection.
    stall_seconds
        Longest wait for the next bytes. A server that is slow but sends is waited for.
    pause_seconds
        Pause before the second attempt; doubled before each further one.
    tell
        Called with a line before each further attempt: why there is one, and which it is.
    """

    attempts: int = 4
    connect_seconds: float = 15.0
    stall_seconds: float = 30.0
    pause_seconds: float = 1.0
    tell: Callable[[str], None] | None = None


class _PassingError(Exception):
    """A failure that another attempt may not meet."""


@dataclass(frozen=True)
class _Part:
    """The unfinished file and, beside it, what the server called this version of it (ETag or date)."""

    path: Path
    version_path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def version(self) -> str | None:
        try:
            version = self.version_path.read_text("latin-1").strip()
        except FileNotFoundError:
            return None
        return version if version.isprintable() and version else None

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.version_path.unlink(missing_ok=True)


def fetch(
    url: str,
    target: Path,
    check: Check,
    *,
    limit: int,
    progress: OnBytes | None = None,
    patience: Patience | None = None,
) -> Path:
    """Download ``url`` to ``target``, going on where an earlier call was cut.

    The target is replaced if it exists; whether to call at all is the caller's decision.

    Parameters
    ----------
    url
        An http or https address. Redirects are followed, except to other schemes and from https to http.
    target
        The file to make. Only a complete file that passed its check gets this name.
    check
        Says what is wrong with the complete file, or None.
    limit
        Most bytes that the file may have; a server that sends more is refused.
    progress
        Called after every block with bytes done and bytes in all (None where the server does not say).
    patience
        Time limits and number of attempts.

    Returns
    -------
    Path
        ``target``.

    Raises
    ------
    UsageError
        The address is not http or https.
    EarwitnessError
        The server refuses, sends a wrong file or stops sending, or the disk does not take it. What came is kept for
        the next call unless it was wrong.
    """
    _require_web(url)
    part = _Part(target.with_name(target.name + ".part"), target.with_name(target.name + ".part.version"))
    with _named_disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with locks.held(target.with_name(target.name + ".lock"), target, "wait"):
            # A file pieced together may mix two versions and earns one fresh try; one from a single answer is wrong.
            for _ in range(2):
                pieced = _complete(url, part, limit, progress, patience or Patience())
                reason = check(part.path)
                if reason is None:
                    part.path.replace(target)
                    part.discard()
                    _sync_folder(target.parent)
                    return target
                part.discard()
                if not pieced:
                    break
    raise EarwitnessError(f"{_shown(url)}: {reason}; nothing was kept; try again later, {ELSEWHERE}")


def _complete(url: str, part: _Part, limit: int, progress: OnBytes | None, patience: Patience) -> bool:
    """Bring the part to its full length; return whether it was pieced together from several answers."""
    import requests  # slow to import, and needed by no other command

    pieced = False
    last: _PassingError | None = None
    with requests.Session() as session:
        for attempt in range(patience.attempts):
            if attempt:
                if patience.tell is not None:
                    patience.tell(f"{_shown(url)}: {last}; trying again ({attempt + 1} of {patience.attempts})")
                time.sleep(patience.pause_seconds * 2 ** (attempt - 1))
            pieced = pieced or part.size > 0
            try:
                _receive(session, url, part, limit, progress, patience)
            except _PassingError as problem:
                last = problem
            else:
                return pieced
    kept = f"; {part.size:,} bytes are kept: run the same command again to go on from there" if part.size else ""
    raise EarwitnessError(f"{_shown(url)}: {last} (tried {patience.attempts} times){kept}; {ELSEWHERE}")


def _receive(session: Session, url: str, part: _Part, limit: int, progress: OnBytes | None, patience: Patience) -> None:
    """Make one request for what the part lacks and append the answer to it."""
    have = part.size
    headers = {"Accept-Encoding": "identity", "User-Agent": "earwitness"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if part.version:
            headers["If-Range"] = part.version
    with _named_web_errors(url, patience), _open(session, url, headers, patience) as response:
        place = _place(response, url, part, have)
        if place is None:
            return
        start, total = place
        if total is not None and total > limit:
            raise EarwitnessError(
                f"{_shown(url)}: the server offers {total:,} bytes, at most {limit:,} are expected; "
                "check that the address is the right one"
            )
        if start == 0:
            part.version_path.write_text(_version(response), "latin-1")
        done = start
        with part.path.open("r+b" if start else "wb") as file:
            file.seek(start)
            for block in _reported(response, start, total, progress):
                done += len(block)
                if done > limit:
                    raise EarwitnessError(f"{_shown(url)}: the server sends more than the {limit:,} bytes expected")
                _append(file, block)
            file.flush()
            os.fsync(file.fileno())
        if total is not None and done < total:
            raise _PassingError(f"the connection was cut after {done:,} of {total:,} bytes")


def _reported(response: Response, start: int, total: int | None, progress: OnBytes | None) -> Iterator[bytes]:
    """Yield the answer's blocks; report each once it has been used."""
    done = start
    if progress is not None:
        progress(done, total)
    for block in response.iter_content(BLOCK_BYTES):
        yield block
        done += len(block)
        if progress is not None:
            progress(done, total)


def _append(file: BinaryIO, block: bytes) -> None:
    """Write one block; a function of its own so that tests can fill the disk."""
    file.write(block)


def _open(session: Session, url: str, headers: dict[str, str], patience: Patience) -> Response:
    """Return the answer at the end of the redirects."""
    here = url
    timeout = patience.connect_seconds, patience.stall_seconds
    for _ in range(MOST_REDIRECTS + 1):
        try:
            response = session.get(here, headers=headers, stream=True, timeout=timeout, allow_redirects=False)
            if not response.is_redirect:
                return response
            there = urljoin(here, response.headers["location"])
        except ValueError as error:  # requests looks at the next address too, even when it does not go there
            raise EarwitnessError(f"{_shown(url)}: leads to an unreadable address; check it") from error
        response.close()
        schemes = _scheme(here), _scheme(there)
        if schemes[1] not in ("http", "https") or schemes == ("https", "http"):
            raise EarwitnessError(
                f"{_shown(url)}: the server sends us on from {schemes[0]}: to {schemes[1]}:, which is refused; "
                "check the address"
            )
        here = there
    raise EarwitnessError(f"{_shown(url)}: redirected more than {MOST_REDIRECTS} times; check the address")


def _place(response: Response, url: str, part: _Part, have: int) -> tuple[int, int | None] | None:
    """Return the offset at which the answer's bytes belong and the length of the whole; None if nothing is missing."""
    status = response.status_code
    packed = response.headers.get("content-encoding", "identity") != "identity"  # then lengths are of the packed bytes
    span = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("content-range", ""))
    total = int(span[2]) if span and span[2].isdigit() else None
    if status == 200:
        length = response.headers.get("content-length", "")
        return 0, int(length) if length.isdigit() and not packed else None
    if status == 206 and span and span[1] and int(span[1]) == have:
        return have, total
    if status == 416 and total == have:
        return None
    if status in (206, 416):
        part.discard()  # the server's file is another one now; begin at the beginning
        raise _PassingError("the server does not go on where the earlier download stopped")
    answer = f"the server answers {status}" + (f" ({response.reason})" if response.reason else "")
    if status in PASSING_STATUSES:
        raise _PassingError(answer)
    raise EarwitnessError(f"{_shown(url)}: {answer}; check the address, {ELSEWHERE}")


def _version(response: Response) -> str:
    """Return what If-Range may send back: a strong ETag, else the date, else nothing."""
    tag = response.headers.get("etag", "")
    if tag and not tag.startswith("W/"):
        return tag
    return response.headers.get("last-modified", "")


def _require_web(url: str) -> None:
    if _scheme(url) not in ("http", "https"):
        raise UsageError(f"{_shown(url)}: not an address to download from; it must begin with https:// or http://")


def _scheme(url: str) -> str:
    """Return the scheme of a complete address, or words that are no scheme."""
    try:
        parts = urlsplit(url)
        return parts.scheme if parts.hostname else f"{parts.scheme or 'nothing'} without a host"
    except ValueError:
        return "something unreadable"


def _shown(url: str) -> str:
    """Return the address without user name, password and query, which may be secret."""
    bare = re.sub(r"^(\w+://)[^/@]*@", r"\1", url)
    return printable(bare.partition("?")[0])


@contextlib.contextmanager
def _named_web_errors(url: str, patience: Patience) -> Iterator[None]:
    """Turn what requests raises into one line, and tell what another attempt may cure."""
    import requests

    try:
        yield
    except requests.exceptions.SSLError as error:
        raise EarwitnessError(f"{_shown(url)}: the connection is not safe: {first_line(error)}") from error
    except requests.exceptions.ConnectTimeout as error:
        raise _PassingError(f"no connection within {patience.connect_seconds:g} s") from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise _PassingError("the connection was cut") from error
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        # A stall in the middle of the file reaches us as a ConnectionError that only its words tell apart.
        if "timed out" in str(error).lower():
            raise _PassingError(f"the server sent nothing for {patience.stall_seconds:g} s") from error
        raise _PassingError(f"no connection to {urlsplit(url).hostname}; check the network") from error
    except requests.exceptions.RequestException as error:
        raise EarwitnessError(f"{_shown(url)}: {first_line(error)}") from error


@contextlib.contextmanager
def _named_disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = error.strerror or str(error)
        if error.errno in FULL_DISK:
            advice = "free some space and run the same command again: it goes on from there"
        else:
            advice = f"check the folder, or choose another one with {HOME_VARIABLE}"
        raise EarwitnessError(f"{printable(error.filename or target)}: cannot be written ({what}); {advice}") from error


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system can open folders."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_check(expected: str) -> Check:
    """Return a check of a file against its SHA-256, of which ``expected`` may be only the first digits."""

    def check(path: Path) -> str | None:
        found = sha256_of(path)
        if found.startswith(expected.lower()):
            return None
        return f"its SHA-256 begins {found[:16]}, expected {expected[:16]}"

    return check
