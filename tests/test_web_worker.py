"""The thread that owns a model, what is remembered, and arrays as a page draws them."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.audio.frontend import EFFICIENTAT, VGGISH
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.web import worker as module
from earwitness.web.arrays import columns_of, extremes_of, little_endian, smaller
from earwitness.web.cache import Remembered
from earwitness.web.worker import Worker


@pytest.fixture
def worker():
    made = Worker()
    yield made
    made.close()


def ended(job, seconds: float = 20.0):
    until = time.monotonic() + seconds
    while not job.ended:
        assert time.monotonic() < until, f"{job.title} is still {job.state}"
        time.sleep(0.002)
    return job


class Gate:
    """Work that waits at each of its steps until it is let on."""

    def __init__(self, steps: int = 1000) -> None:
        self.steps, self.at, self.on = steps, threading.Event(), threading.Event()

    def __call__(self, progress):
        with progress.task("Waiting", self.steps) as advance:
            for _ in range(self.steps):
                self.at.set()
                self.on.wait(0.005)
                advance(1)
        return {"steps": self.steps}


# ---- the worker ---------------------------------------------------------------------------------------------------


def test_jobs_are_done_one_after_the_other_and_tell_how_far_they_are(worker):
    gate, order = Gate(), []
    first = worker.submit("first", gate)
    later = [worker.submit(str(number), lambda _, number=number: order.append(number)) for number in range(3)]
    gate.at.wait(5)
    assert (first.state, first.doing, first.total) == ("running", "Waiting", 1000)
    assert [worker.ahead(job) for job in later] == [1, 2, 3]
    assert worker.job(later[1].id) is later[1]
    assert worker.job("nobody") is None
    gate.on.set()
    assert ended(first).result == {"steps": 1000}
    ended(later[-1])
    assert order == [0, 1, 2]
    assert worker.ahead(later[0]) == 0


def test_what_somebody_waits_for_is_done_between_the_steps_of_what_nobody_does(worker):
    gate, order = Gate(10**6), []
    behind = worker.submit("a folder", gate, background=True)
    gate.at.wait(5)
    last = worker.submit("another folder", lambda _: order.append("folder"), background=True)
    first = worker.submit("a map", lambda _: order.append("map"))
    assert (ended(first).state, behind.state, last.state) == ("done", "running", "queued")
    failing = worker.submit("a map", lambda _: 1 / 0)
    assert (ended(failing).state, behind.state) == ("failed", "running")
    inner = Gate(10**6)
    watched = worker.submit("a map", inner)
    inner.at.wait(5)
    assert worker.ahead(last) == 2
    assert worker.ahead(worker.submit("a map", lambda _: None)) == 1
    assert worker.now(lambda: 7) == 7
    worker.cancel(watched)
    ended(watched)
    assert behind.state == "running"
    worker.cancel(behind)
    ended(last)
    assert order == ["map", "folder"]


def test_a_job_is_cancelled_where_it_waits_and_where_it_runs(worker):
    gate = Gate(10**6)
    running, waiting = worker.submit("running", gate), worker.submit("waiting", lambda _: {"never": 1})
    gate.at.wait(5)
    worker.cancel(waiting)
    assert waiting.state == "cancelled"
    worker.cancel(running)
    assert (ended(running).state, running.result, running.error) == ("cancelled", None, None)
    assert worker.now(lambda: 7) == 7
    worker.cancel(running)
    assert running.state == "cancelled"


@pytest.mark.parametrize("between", [True, False])
def test_short_work_is_done_between_the_steps_of_long_work_by_the_same_thread(between):
    worker, gate = Worker(between=between), Gate(10**6)
    job = worker.submit("long", gate)
    gate.at.wait(5)
    threads: list[str] = []
    asker = threading.Thread(target=lambda: threads.append(worker.now(lambda: threading.current_thread().name)))
    asker.start()
    asker.join(20 if between else 0.3)
    assert bool(threads) == between
    assert not job.ended
    worker.cancel(job)
    ended(job)
    asker.join(20)
    assert threads == ["earwitness-model"]
    worker.close()


def test_nobody_waits_for_ever(monkeypatch):
    monkeypatch.setattr(module, "MOST_SECONDS", 0.05)
    worker, gate = Worker(between=False), Gate(10**6)
    job = worker.submit("long", gate)
    gate.at.wait(5)
    asked: list[int] = []
    with pytest.raises(EarwitnessError, match="wait for its job"):
        worker.now(lambda: asked.append(1))
    worker.cancel(job)
    ended(job)
    monkeypatch.setattr(module, "MOST_SECONDS", 20.0)
    assert worker.now(lambda: 2) == 2
    assert not asked  # what nobody waits for is not done
    worker.close()


def test_errors_are_one_line_and_end_nothing_else(worker):
    def known(_progress):
        raise UsageError("name another class")

    def unforeseen(_progress):
        raise ZeroDivisionError("first\nsecond")

    assert ended(worker.submit("known", known)).error == "name another class"
    failed = ended(worker.submit("unforeseen", unforeseen))
    assert failed.state == "failed"
    assert failed.error == "this should not have happened (ZeroDivisionError: first)"
    with pytest.raises(KeyError):
        worker.now(lambda: {}["no"])
    assert worker.now(lambda: 1) == 1


def test_a_queue_has_an_end_and_old_jobs_are_forgotten(worker, monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    monkeypatch.setattr(module, "MOST_ENDED", 2)
    gate = Gate(10**6)
    running = worker.submit("running", gate)
    gate.at.wait(5)
    waiting = [worker.submit(str(number), lambda _: None) for number in range(3)]
    with pytest.raises(EarwitnessError, match="wait already"):
        worker.submit("one too many", lambda _: None)
    for job in (running, *waiting):
        worker.cancel(job)
        ended(job)
    last = ended(worker.submit("last", lambda _: None))
    assert worker.job(last.id) is last
    assert worker.job(running.id) is None


def test_as_many_ended_jobs_are_remembered_as_there_is_room_for(worker, monkeypatch):
    monkeypatch.setattr(module, "MOST_ENDED", 4)
    jobs = [ended(worker.submit(str(number), lambda _: None)) for number in range(6)]
    assert [worker.job(job.id) is job for job in jobs] == [False] + [True] * 5  # the last did not end before it came


def test_a_closed_worker_ends_what_it_is_at_and_refuses_the_rest():
    worker, gate = Worker(), Gate(10**6)
    running, waiting = worker.submit("running", gate), worker.submit("waiting", lambda _: None)
    gate.at.wait(5)
    worker.close()
    assert (running.state, waiting.state) == ("cancelled", "cancelled")
    with pytest.raises(EarwitnessError, match="closing"):
        worker.now(lambda: 1)


def test_what_is_remembered_is_bounded_and_what_was_asked_for_last_stays():
    made: list[int] = []
    held = Remembered[int](2)
    for key in (1, 2, 1, 3, 1, 2):
        assert held.get(key, lambda key=key: made.append(key) or key * 10) == key * 10
    assert made == [1, 2, 3, 2]


# ---- arrays -------------------------------------------------------------------------------------------------------


@given(
    frames=st.integers(1, 300),
    columns=st.integers(1, 64),
    begin=st.floats(0, 4),
    length=st.one_of(st.none(), st.floats(0.001, 4)),
    front_end=st.sampled_from([VGGISH, EFFICIENTAT]),
)
def test_a_stretch_is_drawn_in_few_columns_whose_mean_is_the_frames(frames, columns, begin, length, front_end):
    clock = front_end.clock
    log_mel = np.random.default_rng(frames).standard_normal((frames, 3)).astype(np.float32)
    drawn = columns_of(log_mel, clock, begin, None if length is None else begin + length, columns)
    assert 1 <= len(drawn.values) <= columns
    edges = clock.frame_edge_seconds(np.arange(frames + 1))
    first, stop = (int(np.abs(edges - each).argmin()) for each in (drawn.start_seconds, drawn.end_seconds))
    assert drawn.start_seconds == pytest.approx(edges[first], abs=1e-9)
    assert stop > first
    size = -(-(stop - first) // columns)
    for number, values in enumerate(drawn.values):
        part = log_mel[first + number * size : min(stop, first + (number + 1) * size)]
        np.testing.assert_allclose(values, part.mean(axis=0), atol=1e-5)
    if length is not None and begin + length < edges[-1] and begin >= edges[0]:
        assert drawn.start_seconds <= begin + 1e-9
        assert drawn.end_seconds >= min(begin + length, edges[-1]) - 1e-9


def test_part_of_a_long_log_mel_is_drawn_where_it_lies():
    clock = VGGISH.clock
    log_mel = np.random.default_rng(0).standard_normal((100, 4)).astype(np.float32)
    whole = columns_of(log_mel, clock, 0.4, 0.7, 100)
    part = columns_of(log_mel[20:90], clock, 0.4, 0.7, 100, first=20)
    np.testing.assert_array_equal(whole.values, part.values)
    assert (whole.start_seconds, whole.end_seconds) == (part.start_seconds, part.end_seconds)


@given(count=st.integers(0, 500), columns=st.integers(1, 40))
def test_a_waveform_keeps_its_extremes(count, columns):
    samples = np.random.default_rng(count).uniform(-1, 1, count).astype(np.float32)
    drawn = extremes_of(samples, 100, 0.0, None, columns)
    assert len(drawn.values) <= columns
    if count:
        assert drawn.values[:, 0].min() == samples.min()
        assert drawn.values[:, 1].max() == samples.max()
        assert drawn.end_seconds == count / 100


def test_a_thumbnail_is_the_mean_of_its_cells():
    log_mel = np.random.default_rng(1).standard_normal((96 * 3, 64)).astype(np.float32)
    small = smaller(log_mel, 96, 32)
    np.testing.assert_allclose(small, log_mel.reshape(96, 3, 32, 2).mean(axis=(1, 3)), atol=1e-5)
    assert smaller(log_mel[:5, :7], 96, 32).shape == (5, 7)
    assert np.frombuffer(little_endian(small), "<f4").reshape(small.shape).tolist() == small.tolist()
