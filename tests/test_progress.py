"""Progress: nothing, lines, or a bar."""

from __future__ import annotations

import io

import pytest

from earwitness.core import progress
from earwitness.core.progress import Bar, Plain, Silent, for_terminal, shown


class Clock:
    """A clock that goes as told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


def test_silence_says_nothing(capsys):
    with Silent().task("Working", 3) as advance:
        advance(3)
    Silent().say("hello")
    assert capsys.readouterr() == ("", "")


def test_plain_lines_come_at_most_every_few_seconds_and_tell_the_time_left(capsys, clock):
    with Plain().task("Working", 100) as advance:
        for _ in range(100):
            clock.now += 0.5
            advance(1)
    out, lines = capsys.readouterr()
    assert out == ""
    told = lines.splitlines()
    assert told[0] == "Working: 10 of 100, about 45 s left"
    assert told[-1] == "Working: 100 done in 50.0 s"
    assert len(told) == 10


def test_plain_short_work_is_told_of_where_every_step_is_wanted(capsys, clock):
    for verbose, said in ((False, ""), (True, "Working: 2 done in 0.0 s\n")):
        with Plain(verbose=verbose).task("Working", 2) as advance:
            advance(2)
        assert capsys.readouterr().err == said


def test_many_short_pieces_of_work_give_a_line_every_few_seconds(capsys, clock):
    lines = Plain()
    for number in range(30):
        with lines.task(f"Piece {number}", 1) as advance:
            clock.now += 1.0
            advance(1)
    assert capsys.readouterr().err.splitlines() == [f"Piece {last}: 1 done in 1.0 s" for last in (4, 9, 14, 19, 24, 29)]


def test_a_python_call_shows_its_progress_unless_told_not_to(monkeypatch):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: False, raising=False)
    assert isinstance(shown(True), Plain)
    assert isinstance(shown(False), Silent)
    mine = Silent()
    assert shown(mine) is mine


def test_plain_work_of_nothing_and_without_steps_ends_well(capsys, clock):
    with Plain().task("Nothing", 0):
        pass
    with Plain().task("Stuck", 5) as advance:
        clock.now += 60
        advance(0)
    assert "Stuck: 0 done" in capsys.readouterr().err


def test_work_that_fails_is_not_said_to_be_done(capsys, clock):
    with pytest.raises(ValueError, match="no"), Plain().task("Working", 2):
        raise ValueError("no")
    assert capsys.readouterr().err == ""


def test_plain_says_a_line_to_standard_error(capsys):
    Plain().say("[bold] 100 %")
    assert capsys.readouterr() == ("", "[bold] 100 %\n")


def bar() -> tuple[Bar, io.StringIO]:
    from rich.console import Console

    made, stream = Bar(), io.StringIO()
    made.console = Console(file=stream, force_terminal=True, width=100)
    return made, stream


def test_a_bar_counts_and_goes_away():
    made, stream = bar()
    with made.task("Working", 4) as advance:
        for _ in range(4):
            advance(1)
    assert "Working" in stream.getvalue()
    assert "4/4" in stream.getvalue()


def test_a_bar_of_nothing_ends_well():
    made, stream = bar()
    with made.task("Nothing", 0):
        pass
    assert "Nothing" in stream.getvalue()


def test_a_bars_lines_are_printed_as_they_are():
    made, stream = bar()
    with made.task("Working", 1):
        made.say("[red]  12.50 % | " + "x" * 150)
    assert "[red]  12.50 % | " + "x" * 150 in stream.getvalue()


def test_a_bar_is_for_terminals_alone(monkeypatch):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    assert isinstance(for_terminal(), Bar)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: False, raising=False)
    assert isinstance(for_terminal(), Plain)
