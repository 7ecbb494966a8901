"""Commands run in this process, and what they leave: an exit code, standard output, standard error."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earwitness.audio import decoding
from earwitness.cli import exit
from earwitness.cli.app import app

LABELS = ("hiss", "high", "low")
RATE = 16_000
PROGRESS = re.compile(r"[A-Z][\w -]+: \d+ (done in|of) .*|\s*(Epoch|\d+) \|.*")


@dataclass(frozen=True)
class Left:
    """What a command left.

    Parameters
    ----------
    code
        Its exit code.
    out, err
        Its output.
    """

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Its lines on standard error, without those that tell how far the work was."""
        return [line for line in self.err.splitlines() if not PROGRESS.fullmatch(line)]


def earwitness(*arguments: str | Path | float) -> Left:
    """Run a command."""
    # Text streams as a process has them, so that whatever cannot be encoded fails here as well.
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = exit.run(app, [str(argument) for argument in arguments])
    return Left(code, *(stream.buffer.getvalue().decode("utf-8") for stream in (out, err)))


def write_sounds(folder: Path, labels: Sequence[str] = LABELS, clips: int = 5, seconds: float = 1.0) -> Path:
    """Write one folder a class: noise, or tones of a height of the class's own."""
    random = np.random.default_rng(5)
    moments = np.arange(round(seconds * RATE)) / RATE
    for number, label in enumerate(labels):
        for take in range(clips):
            noise = random.standard_normal(len(moments))
            tone = np.sin(2 * np.pi * (300 * 4**number + 20 * take) * moments)
            samples = 0.3 * tone * (number > 0) + (0.2 if number == 0 else 0.02) * noise
            decoding.write_wav(folder / label / f"take{take}.wav", samples.astype(np.float32), RATE)
    return folder


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a process of one thread, without a terminal's settings."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONIOENCODING", "LC_ALL", "LANG")}
    return {**kept, "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8", **changes}


PROCESS = (sys.executable, "-m", "earwitness")
