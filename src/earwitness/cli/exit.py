"""How a command ends: whatever goes wrong becomes one line on standard error and an exit code."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO, cast

import typer

from earwitness.cli.output import warn
from earwitness.core.errors import EXIT_FAILED, EXIT_SOME_UNUSABLE, EXIT_USAGE, EarwitnessError, printable

INTERRUPTED = 130
DEBUG_VARIABLE = "EARWITNESS_DEBUG"
PROGRAM = "earwitness"
RESUMABLE = ("train", "run")


def run(app: Callable[..., Any], arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Parameters
    ----------
    app
        The Typer app.
    arguments
        What follows the program's name; None takes the process's own. Without any, the help is shown.
    """
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    _open_what_is_closed()
    _accept_any_text()
    with _unbroken_streams(), warnings.catch_warnings():
        shown = warnings.showwarning
        warnings.showwarning = lambda message, category, *place, **more: (
            warn(f"warning: {message}") if category is UserWarning else shown(message, category, *place, **more)
        )
        return _run(app, given)


def _run(app: Callable[..., Any], given: list[str]) -> int:
    try:
        code = app(args=given, standalone_mode=False, prog_name=PROGRAM)
    except EarwitnessError as error:
        return _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        return _unforeseen(error, given)
    if code == INTERRUPTED:  # Typer may turn the keyboard's interruption into this
        return _fail("interrupted" + ("; --resume goes on with it" if given[0] in RESUMABLE else ""), INTERRUPTED)
    return int(code or 0)


def leave(unusable: Sequence[Any], *, every: bool = False) -> None:
    """Name the files that could not be used, and end with the code that says so.

    Parameters
    ----------
    unusable
        Each has ``file`` and ``reason``.
    every
        Whether there was no other file.

    Raises
    ------
    typer.Exit
        Unless there are none.
    """
    for entry in unusable:
        warn(f"{entry.file}: {entry.reason}")
    if unusable:
        if not every:
            warn(f"finished, but {len(unusable)} file(s) could not be used")
        raise typer.Exit(EXIT_FAILED if every else EXIT_SOME_UNUSABLE)


def _unforeseen(error: Exception, given: list[str]) -> int:
    if hasattr(error, "format_message"):  # Typer's own: an unknown option, a value that is no number
        context = getattr(error, "ctx", None)
        command = context.command_path if context else PROGRAM
        return _fail(f"{_of_typer(error, given).rstrip('.')}; see {command} --help", EXIT_USAGE)
    if os.environ.get(DEBUG_VARIABLE):
        raise error
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "allocate memory" in str(error):
        return _fail("out of memory; try a smaller --batch, or fewer or shorter recordings", EXIT_FAILED)
    if isinstance(error, OSError) and error.strerror:
        place = f"{printable(os.fsdecode(error.filename))}: " if isinstance(error.filename, str | bytes) else ""
        return _fail(f"{place}{error.strerror}; check the place, its permissions and the disk", EXIT_FAILED)
    return _fail(
        f"this should not have happened ({type(error).__name__}: {error}); "
        f"please report it with what {DEBUG_VARIABLE}=1 prints",
        EXIT_FAILED,
    )


def _of_typer(error: Any, given: list[str]) -> str:
    """Return Typer's message, with the value that is wrong, which not every version of it names."""
    for name in getattr(getattr(error, "param", None), "opts", ()):
        for place, word in reversed(list(enumerate(given))):  # the last one counts
            option, equals, value = word.partition("=")
            if option == name and error.message and (equals or place + 1 < len(given)):
                return f"{name} {value if equals else given[place + 1]}: {error.message[0].lower()}{error.message[1:]}"
    return str(error.format_message())


def _fail(message: str, code: int) -> int:
    lines = [line.strip() for line in message.splitlines()]  # other libraries' messages may have several
    sys.stderr.write(f"{PROGRAM}: {printable(' '.join(filter(None, lines)))}\n")
    return code


def _open_what_is_closed() -> None:
    """Let the work be done where daemons, schedulers and programs without a window gave no output: it goes nowhere.

    The descriptors come first. Were they left free, the next files to be opened would get them, and with them what
    other libraries write to the standard output.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            free = os.open(os.devnull, os.O_RDWR)
            if free != number:
                os.dup2(free, number)
                os.close(free)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the process ends


class _Unbroken:
    """A stream for text whose failures end no work: what comes after the first of them goes nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.problem: OSError | None = None

    def write(self, text: str) -> int:
        """Write, if that can be."""
        self._attempt(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, if that can be."""
        self._attempt(self.stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            self.problem = self.problem or error
            # Also what is still in the buffer, which Python would write again when the process ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)


@contextmanager
def _unbroken_streams() -> Iterator[None]:
    """Let the work be done though nobody reads of it any more (``| head``) or its log's disk is full.

    What was lost to a disk is said, if standard error can say it; whoever closes a pipe knows.
    """
    before = sys.stdout, sys.stderr
    out, err = _Unbroken(sys.stdout), _Unbroken(sys.stderr)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield
    finally:
        out.flush()
        if out.problem is not None and not isinstance(out.problem, BrokenPipeError):
            err.write(f"{PROGRAM}: standard output could not be written ({out.problem.strerror}); the work went on\n")
        err.flush()
        sys.stdout, sys.stderr = before


def _accept_any_text() -> None:
    """Let the output hold every name: what the terminal's encoding lacks is written as its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
