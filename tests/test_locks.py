"""One process at a time writes a folder; one that was killed stands in nobody's way."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import filelock
import pytest

from earwitness.core import locks
from earwitness.core.errors import UsageError
from earwitness.core.files import write_json
from earwitness.core.run_folder import CONTRACT, create, open_finished
from earwitness.report.page import build_report
from earwitness.training.request import Request
from earwitness.workflows.audit import audit
from earwitness.workflows.evaluate import evaluate
from earwitness.workflows.inquire import inquire
from earwitness.workflows.scoreboard import scoreboard
from earwitness.workflows.train import cross_validate, train
from tiny_sounds import write_sounds

HOLD = """
import sys
from earwitness.core.locks import folder_held
with folder_held(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""
TRY = """
import sys
from earwitness.core.errors import UsageError
from earwitness.core.locks import folder_held
try:
    with folder_held(sys.argv[1]):
        print("in", flush=True)
        sys.stdin.read()
except UsageError as error:
    print(error, flush=True)
"""


@contextmanager
def another_process(folder: Path, code: str = HOLD):
    """A process that holds a folder, until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refusal(folder: Path, **options) -> str:
    with pytest.raises(UsageError) as error, locks.folder_held(folder, **options):
        pass
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_second_process_is_told_of_the_first(tmp_path):
    folder = tmp_path / "run"
    with another_process(folder) as (process, said):
        assert said == "held"
        line = refusal(folder)
        assert re.fullmatch(
            rf"{re.escape(str(folder))}: process {process.pid} has been at work here since "
            r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d; wait, or name another --out",
            line,
        )
        assert refusal(folder, instead="").endswith("; wait")
        process.stdin.close()
        assert process.wait(30) == 0
    assert not folder.exists()  # it made the folder and left nothing in it
    with locks.folder_held(folder):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="nobody is killed there")
def test_a_killed_process_stands_in_nobodys_way(tmp_path):
    for _ in range(3):
        with another_process(tmp_path) as (process, _said):
            process.send_signal(signal.SIGKILL)
            process.wait(30)
        assert names(tmp_path) == [locks.NAME]
        assert locks.contents(tmp_path) == []
        with locks.folder_held(tmp_path):
            assert "has been at work here" in refusal(tmp_path)
        assert names(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="nobody is killed there")
def test_of_many_that_begin_at_once_one_gets_in(tmp_path):
    """Also where all of them find what a killed process left."""
    with another_process(tmp_path) as (process, _said):
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", TRY, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    said = [process.stdout.readline().strip() for process in started]
    for process in started:
        process.communicate(timeout=60)
    inside = [process.pid for process, line in zip(started, said, strict=True) if line == "in"]
    assert len(inside) == 1
    assert sum(f"process {inside[0]} has been at work" in line for line in said) == len(said) - 1
    assert names(tmp_path) == []


def test_a_process_of_another_machine_is_not_taken_for_dead(tmp_path):
    marker = tmp_path / locks.NAME
    marker.write_text("1\nnode7\n12345\n")
    line = refusal(tmp_path)
    assert line.startswith(f"{tmp_path}: process 1 on node7 has been at work here since 20")
    assert line.endswith(f"; wait, or name another --out; if that process is gone, delete {marker}")
    assert marker.read_text() == "1\nnode7\n12345\n"


@pytest.mark.parametrize("text", ["", "nonsense", "-1\nx\n", "1\x1b[31m\nno\x1b[31mde\n"])
def test_a_damaged_lock_is_named(tmp_path, text):
    marker = tmp_path / locks.NAME
    marker.write_text(text)
    line = refusal(tmp_path)
    assert "another process" in line
    assert line.endswith(f"; if that process is gone, delete {marker}")
    assert line.isprintable()


def test_a_container_of_the_same_name_is_another_machine(tmp_path):
    (tmp_path / locks.NAME).write_text(f"{os.getpid()}\n{socket.gethostname()}{locks.NAMESPACE}1\n")
    line = refusal(tmp_path)
    assert f"process {os.getpid()} on {socket.gethostname()} has" in line
    assert "if that process is gone, delete" in line


def test_threads_of_one_process_keep_each_other_out(tmp_path):
    said = []
    with locks.folder_held(tmp_path):
        thread = threading.Thread(target=lambda: said.append(refusal(tmp_path)))
        thread.start()
        thread.join()
    assert f"process {os.getpid()} has been at work here" in said[0]


def test_nothing_is_left_after_a_failure(tmp_path):
    with pytest.raises(ZeroDivisionError), locks.folder_held(tmp_path / "a" / "b"):
        _ = 1 / 0
    assert names(tmp_path) == []
    (tmp_path / "mine").mkdir()
    with pytest.raises(KeyboardInterrupt), locks.folder_held(tmp_path / "mine"):
        raise KeyboardInterrupt
    assert names(tmp_path) == ["mine"]  # nobody's folder is removed that was there before


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch, code):
    def refuse(*_arguments, **_options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(filelock.SoftFileLock, "acquire", refuse)
    assert refusal(tmp_path) == (
        f"{tmp_path}: cannot be written to ({os.strerror(code)}); check its permissions and the disk"
    )


def test_a_folder_that_vanishes_is_no_failure(tmp_path):
    with locks.folder_held(tmp_path / "run"):
        (tmp_path / "run" / locks.NAME).unlink()
        (tmp_path / "run").rmdir()
    assert names(tmp_path) == []


# ---- run folders --------------------------------------------------------------------------------------------------


def test_a_lock_is_no_content_of_a_run_folder(tmp_path):
    for name in (locks.NAME, f"{locks.NAME}.break.12.{'0' * 32}"):
        (tmp_path / name).write_text("1\nnode7\n")
    assert not create(tmp_path).finished
    create(tmp_path, overwrite=True)
    create(tmp_path, resume=True)
    with pytest.raises(UsageError, match="is not a run folder"):
        open_finished(tmp_path)
    write_json(tmp_path / "run.json", {"backbone": "compact", "split": {}})
    create(tmp_path, overwrite=True)
    assert not set(names(tmp_path)) & set(CONTRACT)


def test_every_writer_of_a_folder_waits_its_turn(tmp_path):
    sounds, out = write_sounds(tmp_path / "sounds", clips=3), tmp_path / "out"
    changes = {"epochs": 1, "batch": 64}
    request = Request(data=sounds, out=tmp_path / "run", backbone="compact", changes=changes, segment_seconds=0.48)
    run = train(request).run
    writers = {
        run.path: [
            lambda: train(request, overwrite=True),
            lambda: train(request, resume=True),
            lambda: evaluate(run.path),
            lambda: inquire(run.path, methods="gradcam", verdicts=False),
            lambda: audit(run.path),
            lambda: build_report(run.path),
        ],
        out: [
            lambda: evaluate(run.path, overlap=0.0, out=out),
            lambda: scoreboard(run.path, out=out, methods="gradcam"),
            lambda: cross_validate(replace(request, out=out), 2),
        ],
    }
    for folder, calls in writers.items():
        with another_process(folder) as (process, said):
            assert said == "held"
            before = names(folder)
            for call in calls:
                with pytest.raises(UsageError, match=rf": process {process.pid} has been at work here since"):
                    call()
            assert names(folder) == before
            process.stdin.close()
            process.wait(30)
    before = names(run.path)
    evaluate(run.path)
    assert names(run.path) == before
    assert evaluate(run.path, overlap=0.0, out=out).metrics.files
    assert locks.NAME not in names(out)
