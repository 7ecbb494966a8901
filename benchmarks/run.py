"""Measure earwitness's speed against the plain way of doing the same, in one process, by medians.

``make bench`` prints a table and writes ``benchmarks/results.json``. ``make bench ARGS=--quick`` tries everything out
with tiny sizes; its numbers mean nothing. Compared things take turns, so that a busy moment meets both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from earwitness import audio, dataset, features
from earwitness.backbones import backbone_named
from earwitness.backbones.vggish import initialise_he
from earwitness.logmel import EFFICIENTAT, VGGISH, FrontEnd, LogMel, Samples, log_mel, mel_filters
from earwitness.recipes import EXAMPLE
from earwitness.training import make_optimiser, native_bfloat16

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = PROJECT / "benchmarks" / "results.json"
PACKAGES = ("earwitness", "torch", "numpy", "soundfile", "soxr", "librosa")
WORKERS = 2  # threads of the extraction from disk
AGREEMENT = 1e-3  # largest difference between two log-mels that count as the same
CLASSES = 10


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    repetitions: int = 5
    recordings: int | None = None
    clips: int = 40
    batch: int = 128


QUICK = Sizes(repetitions=1, recordings=10, clips=2, batch=2)


@dataclass(frozen=True)
class Result:
    """One line of the table: seconds a repetition, and its speed relative to what it is compared with."""

    name: str
    seconds: tuple[float, ...]
    of: str
    times_as_fast_as: dict[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Return the median of the seconds."""
        return statistics.median(self.seconds)


class SkippedError(Exception):
    """A part that cannot be measured here, and why."""


def measure(ways: Sequence[Callable[[], object]], repetitions: int, warm_up: int = 1) -> list[tuple[float, ...]]:
    """Return the seconds of each repetition of each way; the ways take turns."""
    seconds: list[list[float]] = [[] for _ in ways]
    for turn in range(warm_up + repetitions):
        for way, spent in zip(ways, seconds, strict=True):
            begun = time.perf_counter()
            way()
            if turn >= warm_up:
                spent.append(time.perf_counter() - begun)
    return [tuple(spent) for spent in seconds]


def compared(names: Sequence[str], of: str, seconds: list[tuple[float, ...]]) -> list[Result]:
    """Return a result a way, the last (ours) with its speed relative to the others."""
    *others, ours = (Result(name, spent, of) for name, spent in zip(names, seconds, strict=True))
    return [*others, replace(ours, times_as_fast_as={each.name: each.median / ours.median for each in others})]


# ---- from files to log-mels ---------------------------------------------------------------------------------------


def from_disk(data: dataset.DataSet, sizes: Sizes) -> list[Result]:
    """Measure decoding, resampling and log-mel of every recording, as a training does it."""
    some = replace(data, recordings=data.recordings[: sizes.recordings])
    of = f"{len(some.recordings)} recordings, {WORKERS} threads"

    def listen(front_end: FrontEnd) -> Callable[[], object]:
        return lambda: features.listen(some, front_end, for_training=False, workers=WORKERS)

    front_ends = (VGGISH, EFFICIENTAT)
    seconds = measure([listen(front_end) for front_end in front_ends], sizes.repetitions)
    return [
        Result(f"files to {front_end.name} log-mels", spent, of)
        for front_end, spent in zip(front_ends, seconds, strict=True)
    ]


def against_librosa(data: dataset.DataSet, sizes: Sizes) -> list[Result]:
    """Measure VGGish's log-mel of decoded clips against librosa's of the same values, on one thread.

    librosa draws its triangles over hertz, VGGish over mel. For the same numbers, librosa's spectrum is multiplied by
    VGGish's filters, made beforehand; ``librosa.feature.melspectrogram``, which makes its own each time and gives
    nearly the same numbers, is measured too.
    """
    if find_spec("librosa") is None:
        raise SkippedError("librosa is not installed (pip install 'earwitness[bench]')")
    import librosa
    from threadpoolctl import threadpool_limits

    step = max(1, len(data.recordings) // sizes.clips)
    paths = [recording.path for recording in data.recordings[::step]][: sizes.clips]
    clips = [audio.read(path, VGGISH.sample_rate).samples for path in paths]
    filters = mel_filters(VGGISH, torch.float32, "cpu").numpy().T
    # librosa centres the window in the FFT, so its samples are moved by the difference.
    moved = [np.pad(clip, (VGGISH.fft - VGGISH.window) // 2) for clip in clips]

    spectrum: dict[str, Any] = {
        "n_fft": VGGISH.fft,
        "hop_length": VGGISH.hop,
        "win_length": VGGISH.window,
        "center": False,
    }
    mel: dict[str, Any] = {
        "sr": VGGISH.sample_rate,
        "n_mels": VGGISH.bands,
        "fmin": VGGISH.low_hz,
        "fmax": VGGISH.high_hz,
    }

    def theirs(samples: Samples) -> LogMel:
        values: LogMel = np.log(filters @ np.abs(librosa.stft(samples, **spectrum)) + VGGISH.offset).T
        return values

    def all_theirs(samples: Samples) -> LogMel:
        strength = librosa.feature.melspectrogram(y=samples, **spectrum, **mel, power=1.0, htk=True, norm=None)
        values: LogMel = np.log(strength + VGGISH.offset).T
        return values

    def ours(samples: Samples) -> Tensor:
        return log_mel(VGGISH, torch.from_numpy(samples))

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            pairs = list(zip(clips, moved, strict=True))
            apart = max(float(np.abs(theirs(other) - ours(clip).numpy()).max()) for clip, other in pairs)
            if apart > AGREEMENT:
                raise SkippedError(f"the two log-mels differ by up to {apart:.2g}, which makes no fair comparison")
            ways: list[Callable[[], object]] = [
                lambda: [theirs(clip) for clip in moved],
                lambda: [all_theirs(clip) for clip in moved],
                lambda: [ours(clip) for clip in clips],
            ]
            seconds = measure(ways, 3 * sizes.repetitions)
    finally:
        torch.set_num_threads(before)
    names = ("log-mel, librosa.stft", "log-mel, librosa.feature", "log-mel, earwitness")
    return compared(names, f"{len(clips)} clips, 1 thread", seconds)


# ---- training -----------------------------------------------------------------------------------------------------


def training_step(_: dataset.DataSet, sizes: Sizes) -> list[Result]:
    """Measure a VGGish step, all layers: plain eager float32 against what a training does here."""
    random = torch.Generator().manual_seed(0)
    values = torch.randn(sizes.batch, VGGISH.segment_frames, VGGISH.bands, generator=random)
    labels = torch.randint(CLASSES, (sizes.batch,), generator=random)
    plain, ours = _vggish(), _vggish()
    adam = torch.optim.Adam(plain.parameters(), lr=EXAMPLE.learning_rate, foreach=False, fused=False)
    ours.to(memory_format=torch.channels_last)
    fused = make_optimiser(ours, EXAMPLE, freeze=False)
    precision = "bfloat16" if native_bfloat16() else "float32"

    def step(network: nn.Module, optimiser: torch.optim.Optimizer, precision: str) -> Callable[[], object]:
        autocast = torch.autocast("cpu", dtype=torch.bfloat16) if precision == "bfloat16" else nullcontext()

        def once() -> None:
            optimiser.zero_grad(set_to_none=True)
            with autocast:
                logits = network(values)
            functional.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
            optimiser.step()

        return once

    seconds = measure([step(plain, adam, "float32"), step(ours, fused, precision)], sizes.repetitions)
    names = ("VGGish step, plain float32", f"VGGish step, earwitness ({precision})")
    return compared(names, f"batch of {sizes.batch}, {torch.get_num_threads()} threads", seconds)


def _vggish() -> Any:
    network = backbone_named("vggish").build(CLASSES)
    initialise_he(network, 0)
    return network.train()


# ---- the run ------------------------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """Return what the numbers were measured on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "bfloat16": native_bfloat16(),
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


def arguments() -> argparse.Namespace:
    """Read the command line."""
    shared = Path(os.environ.get("EARWITNESS_SHARED", PROJECT.parent / "shared"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=shared / "data" / "esc10", help="ESC-10 (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see whether everything runs")
    parser.add_argument("--threads", type=int, help="PyTorch's threads (default: all cores)")
    parser.add_argument("--only", choices=list(PARTS), action="append", help="a part; repeatable")
    parser.add_argument("--out", type=Path, help=f"file of results (default: {RESULTS.name}; none with --quick)")
    return parser.parse_args()


PARTS: dict[str, Callable[[dataset.DataSet, Sizes], list[Result]]] = {
    "files": from_disk,
    "librosa": against_librosa,
    "step": training_step,
}


def main() -> int:
    """Measure the parts, print a table, write the results."""
    options = arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    sizes = QUICK if options.quick else Sizes()
    about = machine()
    print(f"{about['processor']}, {about['cores']} cores, PyTorch {about['versions']['torch']}")
    needs_data = {"files", "librosa"}.intersection(options.only or PARTS)
    if needs_data and not options.data.is_dir():
        print(f"skipped {', '.join(sorted(needs_data))}: no data set at {options.data}; name one with --data")
    results: list[Result] = []
    skipped: dict[str, str] = {}
    empty = dataset.DataSet(options.data, (), (), ())
    data = dataset.load(options.data) if needs_data and options.data.is_dir() else empty
    for name in options.only or PARTS:
        if name in needs_data and not data.recordings:
            skipped[name] = f"no data set at {options.data}"
            continue
        try:
            found = PARTS[name](data, sizes)
        except SkippedError as reason:
            skipped[name] = str(reason)
            print(f"skipped {name}: {reason}")
            continue
        results += found
        for each in found:
            print(f"{each.name:36} {each.median:9.4f} s  ({each.of}, median of {len(each.seconds)})")
            for other, times in each.times_as_fast_as.items():
                print(f"{'':36} {times:9.2f} times as fast as: {other}")
    out = options.out or (None if options.quick else RESULTS)
    if out is not None:
        content = {
            "quick": options.quick,
            "machine": about,
            "results": [{**asdict(each), "median": each.median} for each in results],
            "skipped": skipped,
        }
        out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        print(f"wrote {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
