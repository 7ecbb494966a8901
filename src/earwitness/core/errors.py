"""What can go wrong, said in one line: what, which file or value, what to do.

The command line prints the message alone and leaves with ``exit_code``; Python callers catch the class.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar
from unicodedata import category

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_SOME_UNUSABLE = 3
JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"


class EarwitnessError(Exception):
    """A failure that the user can understand and act on; every other error of earwitness is one, too.

    Examples
    --------
    >>> import earwitness as ew
    >>> try:
    ...     ew.load_model("runs/nowhere")
    ... except ew.EarwitnessError as error:
    ...     print(str(error).partition(";")[0])
    runs/nowhere: no such run folder, and no model of this name
    """

    exit_code: ClassVar[int] = EXIT_FAILED


class UsageError(EarwitnessError):
    """The request itself is wrong: an unknown name, a value out of range, a missing folder.

    Examples
    --------
    >>> import earwitness as ew
    >>> try:
    ...     ew.explain("some.wav", "runs/demo", classes="dgo")
    ... except ew.UsageError as error:
    ...     print(str(error).partition(";")[0])
    'dgo': the classifier has no such class (did you mean dog?)
    """

    exit_code: ClassVar[int] = EXIT_USAGE


class BadRecordingError(EarwitnessError):
    """One recording that cannot be used.

    Parameters
    ----------
    path
        The file.
    reason
        One clause that says what is wrong and, where it helps, what to do.

    Examples
    --------
    >>> import earwitness as ew
    >>> try:
    ...     ew.explain("nothing.wav", "runs/demo")
    ... except ew.BadRecordingError as error:
    ...     print(error.path)
    nothing.wav
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = Path(path)
        self.reason = reason
        super().__init__(f"{printable(self.path)}: {reason}")


def no_such(name: str, what: str, known: Iterable[str]) -> str:
    """Return the line that says that there is none by a name, what may have been meant, and what there is.

    Parameters
    ----------
    name
        What was asked for.
    what
        What it should be, such as ``"backbone"``.
    known
        The names that there are.
    """
    names = list(known)
    near = get_close_matches(name.casefold(), names, n=1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    return f"{name!r}: no such {what}{meant}; choose one of {', '.join(names)}"


def printable(path: Path | str) -> str:
    r"""Return a path, or any other text, as one line that any terminal and any CSV can hold.

    Names that are not UTF-8 reach Python with surrogate escapes, which cannot be encoded again; names may hold line
    ends and the codes that steer a terminal or turn the direction of writing. Their bytes are shown as ``\xNN``.
    """
    text = str(path)
    return text if text.isprintable() else "".join(_shown(character) for character in text)


def first_line(error: Exception, most: int | None = None) -> str:
    """Return the first line of another library's message, at most so many letters; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]


def said(error: Exception) -> str:
    """Return what a failure to read a file's content says: an entry that is missing goes by its name."""
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) and error.args else first_line(error)


def on_disk(path: Path) -> Path:
    r"""Return a path as the disk has it, where :func:`printable` wrote bytes of its name as ``\xNN``."""
    if path.exists() or "\\x" not in str(path):
        return path
    return Path(
        os.fsdecode(re.sub(rb"\\x([0-9a-f]{2})", lambda byte: bytes.fromhex(byte[1].decode()), os.fsencode(path)))
    )


def _shown(character: str) -> str:
    # Controls, formats, surrogates, and the separators of lines and paragraphs; two formats join letters and emoji.
    if category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} or character in JOINERS:
        return character
    try:
        encoded = character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a pair, which no file name holds
        encoded = character.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in encoded)
