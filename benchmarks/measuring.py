"""What all measurements share: turns, medians, ratios, and what they were measured on."""

from __future__ import annotations

import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from earwitness.core.processor import features
from earwitness.data.recordings import DataSet

PACKAGES = (
    "earwitness",
    "torch",
    "numpy",
    "soundfile",
    "soxr",
    "captum",
    "scikit-learn",
    "librosa",
    "lime",
    "torchcam",
)
DIGITS = 7  # of seconds, after the point; a clock knows no more

Fact = float | int | str


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    repetitions: int = 5
    few: int = 3  # repetitions of what takes longer than ``patience``
    patience: float = 10.0  # seconds
    warm: float = 2.0  # seconds; what takes longer needs no turn to warm up
    recordings: int | None = None
    clips: int = 40
    lessons: tuple[tuple[str, str], ...] = (("vggish", "example"), ("mn04", "example"), ("mn04", "best"))
    batch: int | None = None  # of training; None is the recipe's
    passes: tuple[int, ...] = (1, 16, 128)  # segments at once
    networks: tuple[str, ...] = ("vggish", "mn04")
    many: int = 64  # segments of the large batch
    mask: str = "mask=0.2,stride=0.1"
    few_masks: str = "mask=0.5,stride=0.5"  # for the large batch
    samples: int = 2048
    fast: str = "preset=fast"
    grid: int = 7
    batches: tuple[int, ...] = (8, 16, 32, 64, 128)  # tried for those who let the caller choose
    steps: int = 32


QUICK = Sizes(
    repetitions=1,
    few=1,
    recordings=10,
    clips=2,
    lessons=(("compact", "example"), ("mn04", "best")),
    batch=2,
    passes=(1,),
    networks=("compact",),
    many=2,
    mask="mask=0.5,stride=0.5",
    samples=24,
    fast="samples=17,design=hadamard",
    grid=2,
    batches=(8, 64),
    steps=3,
)


@dataclass(frozen=True)
class Setting:
    """What a part is given.

    Parameters
    ----------
    data
        ESC-10, or a data set without recordings.
    models
        Model files by backbone; a backbone without one gets random weights.
    sizes
        How much is measured.
    device
        Where networks run.
    threads
        Numbers of PyTorch's threads to measure with.
    notes
        What could not be measured, and why; parts add to it.
    """

    data: DataSet
    models: Mapping[str, Path]
    sizes: Sizes
    device: torch.device
    threads: tuple[int, ...]
    notes: list[str] = field(default_factory=list)

    def say(self, note: str) -> None:
        """Print a note, once, and keep it beside the results."""
        if note not in self.notes:
            print(f"note: {note}")
            self.notes.append(note)


@dataclass(frozen=True)
class Result:
    """One line of the table.

    Parameters
    ----------
    name
        The way that was measured.
    seconds
        Of each repetition.
    of
        What was done, the same for all ways that are compared.
    times_as_fast_as
        By the name of another way: its median as a multiple of this one's.
    facts
        What else is to be known of it, such as the batch size it took.
    """

    name: str
    seconds: tuple[float, ...]
    of: str
    times_as_fast_as: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Return the median of the seconds."""
        return statistics.median(self.seconds)

    def as_json(self) -> dict[str, Any]:
        """Return JSON types, seconds rounded to what a clock knows."""
        seconds = [round(each, DIGITS) for each in self.seconds]
        ratios = {name: round(ratio, 3) for name, ratio in self.times_as_fast_as.items()}
        return asdict(self) | {
            "seconds": seconds,
            "median": round(self.median, DIGITS),
            "times_as_fast_as": ratios,
        }


class SkippedError(Exception):
    """A part that cannot be measured here, and why."""


def measure(
    ways: Sequence[Callable[[], object]],
    repetitions: int,
    *,
    few: Sequence[int] = (),
    patience: float = math.inf,
    warm: float = math.inf,
) -> list[tuple[float, ...]]:
    """Return the seconds of each repetition of each way; the ways take turns, so that a busy moment meets all.

    Parameters
    ----------
    ways
        What to do.
    repetitions
        Of each; a turn before these warms up and does not count.
    few
        Per way, repetitions where one takes longer than ``patience``.
    patience
        Seconds.
    warm
        Seconds; a way that takes longer is warm soon enough, so that its first turn counts.
    """
    seconds: list[list[float]] = [[] for _ in ways]
    wanted = [repetitions] * len(ways)
    for turn in range(1 + repetitions):
        for number, (way, spent) in enumerate(zip(ways, seconds, strict=True)):
            if len(spent) >= wanted[number]:
                continue
            begun = time.perf_counter()
            way()
            _finish()
            took = time.perf_counter() - begun
            if turn == 0 and took > patience:
                wanted[number] = min(repetitions, few[number])
            if turn > 0 or took > min(patience, warm):
                spent.append(took)
    return [tuple(spent) for spent in seconds]


def _finish() -> None:
    # An accelerator works on after the call has returned.
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def compared(names: Sequence[str], of: str, seconds: list[tuple[float, ...]]) -> list[Result]:
    """Return a result a way, the last (ours) with its speed relative to the others."""
    *others, ours = (Result(name, spent, of) for name, spent in zip(names, seconds, strict=True))
    return [*others, replace(ours, times_as_fast_as={each.name: each.median / ours.median for each in others})]


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Give PyTorch a number of threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def installed(*modules: str) -> bool:
    """Tell whether all of some packages can be imported."""
    return all(find_spec(module) is not None for module in modules)


# ---- the machine --------------------------------------------------------------------------------------------------


def machine(device: torch.device) -> dict[str, Any]:
    """Return what the numbers were measured on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "accelerator": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "features": list(features()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
