"""One thread a model: long work waits in a queue and can be watched and cancelled, short work is let in between."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, TypeVar

from earwitness.core.errors import EarwitnessError, first_line
from earwitness.core.progress import Advance, Progress

T = TypeVar("T")

QUEUED, RUNNING, DONE, FAILED, CANCELLED = STATES = ("queued", "running", "done", "failed", "cancelled")
ENDED = (DONE, FAILED, CANCELLED)
MOST_ENDED = 200  # jobs whose end is remembered
MOST_WAITING = 500
MOST_SECONDS = 120.0  # that somebody waits for something short
UNFORESEEN = "this should not have happened"


class Stopped(BaseException):
    """Somebody cancelled the job; no method's own handling of errors may swallow it."""


class TooManyJobsError(EarwitnessError):
    """More jobs wait than anybody will look at."""


class BusyError(EarwitnessError):
    """The model is at one thing for longer than anybody waits."""


@dataclass
class Job:
    """A piece of work that is watched; only the worker changes it.

    Parameters
    ----------
    title
        In words.
    state
        One of ``STATES``.
    doing, done, total
        What it is at, and how many steps of how many (None: nobody knows) of that are done.
    result, error
        What it came to, or why it failed, in one line.
    background
        Whether others are done between its steps: nobody looks at it, and the model is free there.
    """

    title: str
    id: str = field(default_factory=lambda: token_hex(8))
    state: str = QUEUED
    doing: str = ""
    done: int = 0
    total: int | None = None
    result: Any = None
    error: str | None = None
    background: bool = False
    stop: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing more will change."""
        return self.state in ENDED


class Worker:
    """A thread that owns a model: nothing else may ask it.

    Parameters
    ----------
    between
        Whether short work may be done between two steps of a long one. Not where a method works on the network itself
        and not on a copy of it.
    """

    def __init__(self, *, between: bool = True) -> None:
        self._between = between
        self._jobs: dict[str, tuple[Job, Callable[[Progress], Any]]] = {}
        self._waiting: deque[str] = deque()
        self._short: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="earwitness-model", daemon=True)
        self._thread.start()

    # ---- asked by others ------------------------------------------------------------------------------------------

    def submit(self, title: str, work: Callable[[Progress], Any], *, background: bool = False) -> Job:
        """Let a job wait for its turn.

        Parameters
        ----------
        title
            In words.
        work
            Told progress, which also ends it where it is cancelled.
        background
            Whether others may be done between its steps.

        Raises
        ------
        TooManyJobsError
            Too many wait already.
        """
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                raise TooManyJobsError(f"{MOST_WAITING} jobs wait already; cancel some, or wait for them")
            job = Job(title, background=background)
            self._jobs[job.id] = (job, work)
            self._waiting.append(job.id)
            self._forget()
            self._changed.notify_all()
        return job

    def now(self, work: Callable[[], T]) -> T:
        """Do something short as soon as may be, and return what it comes to; raises what it raises.

        Raises
        ------
        BusyError
            The model was at one thing for too long.
        """
        if threading.current_thread() is self._thread:
            return work()
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise EarwitnessError("the server is closing; start it again")
            self._short.append((future, work))
            self._changed.notify_all()
        try:
            return future.result(timeout=MOST_SECONDS)
        except FutureTimeoutError:
            if not future.cancel():  # it began just now, and is short
                return future.result()
            raise BusyError("the model is at something long; wait for its job, or cancel it, and ask again") from None

    def job(self, name: str) -> Job | None:
        """Return a job by its id; None where there is none."""
        with self._changed:
            found = self._jobs.get(name)
        return found[0] if found else None

    def ahead(self, job: Job) -> int:
        """Return how many jobs come before one."""
        with self._changed:
            if job.id not in self._waiting:
                return 0
            jobs = [each for each, _ in self._jobs.values()]
            before = self._waiting.index(job.id)
            if job.background:
                return before + sum(each.state == RUNNING for each in jobs)
            waiting = list(self._waiting)[:before]
            return sum(not each.background and (each.state == RUNNING or each.id in waiting) for each in jobs)

    def cancel(self, job: Job) -> None:
        """End a job: at once where it waits, at its next step where it runs."""
        with self._changed:
            job.stop = True
            if job.state == QUEUED and job.id in self._waiting:
                self._waiting.remove(job.id)
                job.state = CANCELLED

    def close(self) -> None:
        """End the thread with what it is at; jobs that wait are cancelled."""
        with self._changed:
            self._closed = True
            for job, _ in self._jobs.values():
                job.stop = True
            self._changed.notify_all()
        self._thread.join(timeout=10.0)

    def _forget(self) -> None:
        """Forget the oldest of too many jobs that have ended."""
        ended = [name for name, (job, _) in self._jobs.items() if job.ended]
        for name in ended[: max(0, len(ended) - MOST_ENDED)]:
            del self._jobs[name]

    # ---- the thread -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._short or self._waiting)
                if self._closed:
                    self._refuse_rest()
                    return
                name = None if self._short else self._next() or self._next(background=True)
            if name is None:
                self.do_short()
            else:
                self._do(*self._jobs[name])

    def _next(self, *, background: bool = False) -> str | None:
        """Take the first job that waits, of those that somebody looks at or of the others, and let it run."""
        for name in self._waiting:
            if (job := self._jobs[name][0]).background == background:
                self._waiting.remove(name)
                job.state = RUNNING
                return name
        return None

    def do_others(self) -> None:
        """Do what somebody waits for, between two steps of a job that nobody looks at."""
        while True:
            with self._changed:
                name = None if self._closed else self._next()
            if name is None:
                return
            self._do(*self._jobs[name])

    def do_short(self) -> None:
        """Do what is short and waits; called by the thread itself."""
        while True:
            with self._changed:
                if not self._short:
                    return
                future, work = self._short.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

    def _do(self, job: Job, work: Callable[[Progress], Any]) -> None:
        try:
            if job.stop:
                raise Stopped
            result, error, state = work(_Watched(self, job, between=self._between)), None, DONE
        except Stopped:
            result, error, state = None, None, CANCELLED
        except EarwitnessError as failed:
            result, error, state = None, str(failed), FAILED
        except Exception as failed:
            result, error, state = None, f"{UNFORESEEN} ({type(failed).__name__}: {first_line(failed, 200)})", FAILED
        with self._changed:
            job.result, job.error, job.state = result, error, state
            name, (_, _) = job.id, self._jobs[job.id]
            self._jobs[name] = (job, _nothing)  # the work may hold what it was made with

    def _refuse_rest(self) -> None:
        for job, _ in self._jobs.values():
            job.state = job.state if job.ended else CANCELLED
        while self._short:
            future, _ = self._short.popleft()
            if future.set_running_or_notify_cancel():
                future.set_exception(EarwitnessError("the server is closing; start it again"))


def _nothing(_progress: Progress) -> None:
    return None


class _Watched:
    """Progress of a job: counted, cancelled at a step, and interrupted for what is short."""

    def __init__(self, worker: Worker, job: Job, *, between: bool) -> None:
        self._worker, self._job, self._between = worker, job, between

    @contextmanager
    def task(self, description: str, total: int | None) -> Iterator[Advance]:
        """Count the steps of the innermost piece of work."""
        before = self._job.doing, self._job.done, self._job.total
        self._job.doing, self._job.done, self._job.total = description, 0, total
        self._step(0)
        yield self._step
        self._job.doing, self._job.done, self._job.total = before

    def _step(self, steps: int) -> None:
        if self._job.stop:
            raise Stopped
        self._job.done += steps
        if self._between or self._job.background:
            self._worker.do_short()
        if self._job.background:
            self._worker.do_others()

    def say(self, line: str) -> None:
        """Say nothing: what a reader must know is in the result."""
