"""Progress of long work: a bar in a terminal, plain lines in a log, nothing in a script unless it asks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]

# In a log, a line at most this often (seconds).
PLAIN_INTERVAL = 10.0


class Progress(Protocol):
    """Something that can be told how far a piece of work has come."""

    def task(self, description: str, total: int) -> AbstractContextManager[Advance]:
        """Begin a piece of work of ``total`` steps; the context's value takes the number of steps just done."""
        ...

    def say(self, line: str) -> None:
        """Say one line that stays."""
        ...


class Silent:
    """Says nothing; the default of every Python call."""

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Advance]:
        """Count nothing."""
        del description, total
        yield lambda _steps: None

    def say(self, line: str) -> None:
        """Say nothing."""


NO_PROGRESS = Silent()


class Plain:
    """Lines for logs and pipes: one at the start, one now and then, one at the end."""

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Advance]:
        """Print how far the work is, at most every ten seconds, and when it ended."""
        begun = last = time.monotonic()
        done = 0

        def advance(steps: int) -> None:
            nonlocal done, last
            done += steps
            now = time.monotonic()
            if now - last >= PLAIN_INTERVAL and done < total:
                last = now
                left = (now - begun) / done * (total - done) if done else float("nan")
                self.say(f"{description}: {done} of {total}, about {left:.0f} s left")

        yield advance
        self.say(f"{description}: {done} done in {time.monotonic() - begun:.1f} s")

    def say(self, line: str) -> None:
        """Print one line to standard error."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


class Bar:
    """A bar with the time left, for terminals."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Advance]:
        """Draw a bar that goes away when the work has ended."""
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with RichProgress(*columns, console=self.console, transient=True) as bars:
            number = bars.add_task(description, total=total)
            yield lambda steps: bars.advance(number, steps)

    def say(self, line: str) -> None:
        """Print one line above the bar."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def for_terminal() -> Progress:
    """Return a bar if standard error is a terminal, plain lines if not."""
    return Bar() if sys.stderr.isatty() else Plain()
