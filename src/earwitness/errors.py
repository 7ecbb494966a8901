"""What can go wrong, said in one line: what, which file or value, what to do.

The command line prints the message alone and leaves with ``exit_code``; Python callers catch the class.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_SOME_UNUSABLE = 3


class EarwitnessError(Exception):
    """A failure that the user can understand and act on."""

    exit_code: ClassVar[int] = EXIT_FAILED


class UsageError(EarwitnessError):
    """The request itself is wrong: an unknown name, a value out of range, a missing folder."""

    exit_code: ClassVar[int] = EXIT_USAGE


class BadRecordingError(EarwitnessError):
    """One recording that cannot be used.

    Parameters
    ----------
    path
        The file.
    reason
        One clause that says what is wrong and, where it helps, what to do.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = Path(path)
        self.reason = reason
        super().__init__(f"{printable(self.path)}: {reason}")


def printable(path: Path | str) -> str:
    r"""Return a path as text that any terminal and any CSV can hold.

    Names that are not UTF-8 reach Python with surrogate escapes, which cannot be encoded again; their
    bytes are shown as ``\xNN``.
    """
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
