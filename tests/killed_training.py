"""Kill trainings at every rename of a file, just before it and just after it, and say what became of them.

Started by test_study.py in a process of its own: ``killed_training.py DATA FOLDER``. Each training runs in a forked
child that kills itself, as `kill -9` would, when it has come to the wanted rename.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

from earwitness.training.request import Request
from earwitness.workflows import train as workflow

CHANGES = {"epochs": 2, "batch": 32}
LAST_WRITES = 6  # quarantine.csv, history.csv, predictions.csv, files.csv, metrics.json, model.safetensors


def train(data: Path, out: Path, kill_at: int = 0, after: bool = False) -> bool:
    """Train or go on in a child; return whether it came to the end."""
    child = os.fork()
    if child == 0:
        _arm(kill_at, after)
        try:
            _train(data, out)
        except BaseException as error:
            sys.stderr.write(f"{out.name}: {type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(1)
    return True


def _train(data: Path, out: Path) -> None:
    request = Request(data=data, out=out, backbone="compact", changes=CHANGES, segment_seconds=0.48, seed=1)
    workflow.train(request, resume=True, checkpoint_seconds=0.0)


def _arm(kill_at: int, after: bool) -> None:
    rename, count = Path.replace, 0

    def replace(self: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count == kill_at and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = rename(self, target)
        if count == kill_at and after:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Path.replace = replace  # type: ignore[method-assign]


def main(data: Path, folder: Path) -> None:
    """Make FOLDER/whole without a kill, FOLDER/chain with a kill at ever later renames, FOLDER/end-* late ones."""
    _train(data, folder / "whole")  # not in a child, so that everything is imported only once
    chain = folder / "chain"
    kills = 0
    for number in range(1, 100):
        ended = False
        for after in (False, True):
            ended = ended or train(data, chain, number, after)
            kills += not ended
            if not (chain / "model.safetensors").exists() and (chain / "checkpoints").is_dir():
                shutil.copytree(chain, folder / "late", dirs_exist_ok=True)
        if ended:
            break
    assert kills >= 6
    # From one unfinished run, each of the last writes is the last.
    for number in range(1, 40):
        for after in (False, True):
            out = folder / f"end-{number}-{'after' if after else 'before'}"
            shutil.copytree(folder / "late", out)
            if train(data, out, number, after):
                assert number >= LAST_WRITES
                return
            assert train(data, out)
    raise AssertionError("never ended")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
