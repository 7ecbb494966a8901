"""Progress of long work: a bar in a terminal, a line every few seconds in a log or a notebook, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]

# In a log, a line at most this often (seconds), whatever the work is made of.
PLAIN_INTERVAL = 5.0


class Progress(Protocol):
    """Something that can be told how far a piece of work has come."""

    def task(self, description: str, total: int | None) -> AbstractContextManager[Advance]:
        """Begin a piece of work of ``total`` steps, None where nobody knows how many they are.

        The context's value takes the number of steps just done.
        """
        ...

    def say(self, line: str) -> None:
        """Say one line that stays."""
        ...


class Silent:
    """Says nothing."""

    @contextmanager
    def task(self, description: str, total: int | None) -> Iterator[Advance]:
        """Count nothing."""
        del description, total
        yield lambda _steps: None

    def say(self, line: str) -> None:
        """Say nothing."""


NO_PROGRESS = Silent()


class Plain:
    """Lines for logs, pipes and notebooks: one every few seconds, and none for what is done sooner.

    Parameters
    ----------
    verbose
        Also a line for each piece of work that has ended, however short.
    """

    def __init__(self, *, verbose: bool = False) -> None:
        self.verbose = verbose
        self._spoken = time.monotonic()

    @contextmanager
    def task(self, description: str, total: int | None) -> Iterator[Advance]:
        """Print how far the work is where nothing was printed for some seconds, and its end where it took as long."""
        begun = time.monotonic()
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            now = time.monotonic()
            if now - self._spoken < PLAIN_INTERVAL:
                return
            if total is None:
                self.say(f"{description}: {done} so far")
            elif done < total:
                left = (now - begun) / done * (total - done) if done else float("nan")
                self.say(f"{description}: {done} of {total}, about {left:.0f} s left")

        yield advance
        now = time.monotonic()
        if self.verbose or now - begun >= PLAIN_INTERVAL or now - self._spoken >= PLAIN_INTERVAL:
            self.say(f"{description}: {done} done in {now - begun:.1f} s")

    def say(self, line: str) -> None:
        """Print one line to standard error."""
        self._spoken = time.monotonic()
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


class Bar:
    """A bar with the time left, for terminals."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)

    @contextmanager
    def task(self, description: str, total: int | None) -> Iterator[Advance]:
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


def for_terminal(*, verbose: bool = False) -> Progress:
    """Return a bar if standard error is a terminal, plain lines if not."""
    return Bar() if sys.stderr.isatty() else Plain(verbose=verbose)


def shown(progress: Progress | bool) -> Progress:
    """Return what a Python call tells how far it is: as in a terminal by default, False for nothing."""
    if isinstance(progress, bool):
        return for_terminal() if progress else NO_PROGRESS
    return progress
