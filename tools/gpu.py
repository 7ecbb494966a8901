"""Measure on a GPU what earwitness does there, and hold it against the processor of the same machine.

``make gpu`` prints five tables: commands from start to end; the first call of each method after its model was loaded,
and later ones; some of them with weights laid both ways; each method's map against the processor's; Grad-CAM,
integrated gradients and LIME against Captum's on the same GPU. It takes less than 8 minutes. ``make gpu ARGS="--only
maps"`` prints one of them; ``make gpu ARGS="--device cpu --quick"`` tries everything out on the processor with tiny
sizes, whose numbers mean nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earwitness.audio.segments import Segments
from earwitness.core.arrays import Float32Array
from earwitness.core.device import without_tf32
from earwitness.data import loading
from earwitness.data.synthetic import corpus
from earwitness.explainers.attribution import Target
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.method import Explainer
from earwitness.explainers.ranks import rank_correlation
from earwitness.explainers.registry import METHODS, parse, without_attention
from earwitness.models.classifier import load

PROJECT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("EARWITNESS_SHARED", PROJECT.parent / "shared"))
NO_GPU = "no GPU here: PyTorch finds no CUDA device (--device cpu --quick tries everything out on the processor)"
NAMES = {"vggish": "VGGish"}
THREADS = 2  # of the processor that commands are compared with
LATER = 5  # calls after the first
PATIENCE = 5.0  # seconds; a method that takes longer is called again only once
ALIKE, APART = 0.999, 1e-3  # what is wanted of maps: least rank correlation, most of the peak
PEERS = ("gradcam", "integratedgradients", "lime")
LAID = ("gradcam", "occlusion", "smoothgrad")  # methods that are timed with weights laid both ways
LAYOUTS = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}
SHORT = ("--method", "gradcam")
TRIED = ("helicopter", "rain")  # classes that everything is tried out with; each is a question of every report
PATHS_AT_ONCE = (32, 128, 512, 2048)  # batches that are tried for Captum

Table = list[list[str]]


@dataclass(frozen=True)
class Job:
    """What is measured, where, and with which files.

    Parameters
    ----------
    device
        ``"cuda"``, or ``"cpu"`` for trying out.
    small
        Whether everything is tiny.
    data
        Labelled recordings.
    weights
        Published weights of mn04; None lets earwitness find them.
    methods
        Names of those that are measured.
    folder
        For everything that is written.
    """

    device: str
    small: bool
    data: Path
    weights: Path | None
    methods: tuple[str, ...]
    folder: Path

    @property
    def backbone(self) -> str:
        """The network that is trained."""
        return "compact" if self.small else "mn04"

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks whose explanations are measured."""
        return ("compact",) if self.small else ("mn04", "vggish")

    @property
    def run(self) -> Path:
        """The run that the first table makes, and the others use where it is there."""
        return self.folder / "run"


@dataclass(frozen=True)
class Question:
    """One segment of a network to explain, in a form that another process can be given.

    Parameters
    ----------
    name
        Of the network.
    model
        Its file.
    segments, targets
        As for an explainer.
    """

    name: str
    model: Path
    segments: Segments
    targets: list[list[Target]]

    def prepared(self, device: str, layout: str = "") -> Prepared:
        """Return the network on a device, its weights laid in a way (as it is loaded by default), for explaining."""
        classifier = load(self.model, device)
        if layout:
            classifier.network.to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]
        return Prepared(classifier)


# ---- commands -----------------------------------------------------------------------------------------------------


def commands(job: Job) -> None:
    """Seconds of commands, each a process of its own from start to end."""
    trained = ["run", job.data, "--backbone", job.backbone, "--out", job.run]
    trained += ["--weights", job.weights] if job.weights and not job.small else []
    trained += ["--epochs", 1, "--overlap", 0, *SHORT] if job.small else []
    table = [["command", job.device, f"processor, {THREADS} threads", "times as fast"]]
    table.append(
        [f"run --backbone {job.backbone}, from start to report", _seconds(timed_command(job, trained)), "", ""]
    )
    clips = loading.load(job.data).recordings
    label = next((each.label for each in clips if each.label == "helicopter"), clips[0].label)
    asked: dict[str, list[Any]] = {
        "evaluate": ["evaluate", job.run, "--out", job.folder / "evaluated"],
        "explain FILE --whole": ["explain", clips[-1].path, "--run", job.run, "--whole"],
        f"inquire --class {label} --no-verdicts": ["inquire", job.run, "--class", label, "--no-verdicts"],
    }
    asked["explain FILE --whole"] += ["--out", job.folder / "explained"]
    if job.small:
        asked[f"inquire --class {label} --no-verdicts"] += [*SHORT, "--count", 1]
    for name, command in asked.items():
        there = timed_command(job, command)
        shutil.rmtree(job.folder / "evaluated", ignore_errors=True)
        with _few_cores(THREADS) as environment:
            here = timed_command(replace(job, device="cpu"), command, environment)
        table.append([name, _seconds(there), _seconds(here), f"{here / there:.2f}"])
    _show(table)


def timed_command(job: Job, arguments: Sequence[Any], environment: dict[str, str] | None = None) -> float:
    """Run a command of earwitness on the job's device; return its seconds."""
    words = [sys.executable, "-m", "earwitness", *map(str, arguments), "--device", job.device]
    begun = time.perf_counter()
    done = subprocess.run(
        words, env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise RuntimeError(f"earwitness {' '.join(map(str, arguments))}: ended with {done.returncode}\n{done.stdout}")
    return time.perf_counter() - begun


@contextmanager
def _few_cores(number: int) -> Iterator[dict[str, str]]:
    """Keep processes that are started meanwhile to some cores; yields what else they need in their environment."""
    environment = {"OMP_NUM_THREADS": str(number), "MKL_NUM_THREADS": str(number)}
    if not hasattr(os, "sched_setaffinity"):  # not on Linux: threads are all that can be limited
        yield environment
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:number])
    try:
        yield environment
    finally:
        os.sched_setaffinity(0, before)


# ---- methods ------------------------------------------------------------------------------------------------------


def methods(job: Job) -> None:
    """Seconds of a method's first call after its model was loaded, each in a process of its own, and of later calls."""
    for question in questions(job):
        table = [["method", "first call", "later calls"]]
        for name in job.methods:
            first, later = _afresh(timed, question, _spelled(job, name), job.device)
            table.append([name, _seconds(first), _seconds(later)])
        _show(table, f"{NAMES.get(question.name, question.name)}, one segment, {job.device}")


def layouts(job: Job) -> None:
    """Seconds of first and later calls with weights laid in both ways that PyTorch has."""
    question = questions(job)[0]
    table = [["method", *(f"{layout}, {calls}" for layout in LAYOUTS for calls in ("first", "later"))]]
    for name in (each for each in LAID if each in job.methods):
        spent = [_afresh(timed, question, _spelled(job, name), job.device, layout) for layout in LAYOUTS]
        table.append([name, *(_seconds(each) for pair in spent for each in pair)])
    _show(table, f"{NAMES.get(question.name, question.name)}, one segment, {job.device}")


def timed(question: Question, spec: str, device: str, layout: str = "") -> tuple[float, float]:
    """Return the seconds of a method's first call on a network, and the median of later ones."""
    # Captum takes a second to import, which is no matter of the device.
    import captum.attr  # noqa: F401

    explainer, prepared = parse(spec), question.prepared(device, layout)
    torch.ones(8, device=device).sum().item()  # the device itself has started
    spent = [_once(explainer, prepared, question) for _ in range(2)]
    while len(spent) <= LATER and spent[-1] < PATIENCE:
        spent.append(_once(explainer, prepared, question))
    return spent[0], statistics.median(spent[1:])


def _once(explainer: Explainer, prepared: Prepared, question: Question) -> float:
    begun = time.perf_counter()
    explainer.attribute(prepared, question.segments, question.targets)  # arrays come back, so the device has finished
    return time.perf_counter() - begun


# ---- maps ---------------------------------------------------------------------------------------------------------


def maps(job: Job) -> None:
    """Each method's map against the processor's, both in float32, with few samples; SmoothGrad's with the same seed."""
    missed = []
    for question in questions(job):
        table = [["method", "rank correlation", "largest difference, of the peak", ""]]
        both = [question.prepared(device) for device in (job.device, "cpu")]
        for name in job.methods:
            explainer = parse(_spelled(job, name, precision="float32")).quick()
            there, here = (map_of(question, explainer, each) for each in both)
            alike = rank_correlation(there, here)
            apart = float(np.abs(there - here).max() / (np.abs(here).max() or 1.0))
            fits = alike >= ALIKE and apart <= APART
            missed += [] if fits else [f"{name} on {question.name}"]
            table.append([name, f"{alike:.6f}", f"{apart:.1e}", "" if fits else "apart"])
        _show(table, f"{NAMES.get(question.name, question.name)}, {job.device} against the processor")
    wanted = f"rank correlation {ALIKE} and more, difference {APART:g} of the peak and less"
    print(f"{wanted}: {'all' if not missed else 'not ' + ', '.join(missed)}")


def map_of(question: Question, explainer: Explainer, prepared: Prepared) -> Float32Array:
    """Return a method's map for a question."""
    (found,) = explainer.attribute(prepared, question.segments, question.targets)
    return found.values


# ---- Captum -------------------------------------------------------------------------------------------------------


def peers(job: Job) -> None:
    """One segment against Captum on the same device, without TF32 for either; as ``make bench`` has it."""
    bench, setting = _bench(job)
    with without_tf32(job.device):
        for name in PEERS:
            bench.measured(name, setting, quick=job.small)


# ---- what several tables need -------------------------------------------------------------------------------------


def _bench(job: Job) -> tuple[Any, Any]:
    """Return the module of ``make bench`` and its setting for one segment on the job's device."""
    sys.path.insert(0, str(PROJECT / "benchmarks"))
    import run as bench
    from measuring import QUICK, Setting, Sizes

    sizes = QUICK if job.small else Sizes(networks=job.networks)
    sizes = replace(sizes, many=1, batches=sizes.batches if job.device == "cpu" else PATHS_AT_ONCE)
    model = job.run / "model.safetensors"
    models = {job.backbone: model} if model.is_file() else {}
    threads = (torch.get_num_threads(),)
    return bench, Setting(loading.load(job.data), models, sizes, torch.device(job.device), threads)


def questions(job: Job) -> list[Question]:
    """Return a segment of each network to explain: of the run where there is one, else with random weights."""
    _, setting = _bench(job)
    from subjects import subjects

    found = []
    for name, subject in zip(job.networks, subjects(setting), strict=True):
        path = job.folder / f"{name}.safetensors"
        subject.classifier.save(path)
        found.append(Question(name, path, subject.segments, [[target] for target in subject.targets]))
    return found


def _spelled(job: Job, name: str, **settings: str) -> str:
    """Return a method as one types it, with the settings that it knows."""
    known = {field.name for field in fields(METHODS[name])}
    if job.small and name in SMALL:
        settings = {**settings, **SMALL[name]}
    given = ",".join(f"{key}={value}" for key, value in settings.items() if key in known)
    return f"{name}:{given}" if given else name


SMALL: dict[str, dict[str, str]] = {
    "integratedgradients": {"steps": "8", "budget": "8"},
    "kernelshap": {"samples": "120"},
    "lime": {"samples": "64"},
    "occlusion": {"mask": "40%", "stride": "40%"},
    "rise": {"samples": "32"},
    "shapley": {"samples": "100"},
    "smoothgrad": {"samples": "4"},
}


def _afresh(what: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns in a process of its own, in which nothing was computed before."""
    # The server has imported everything and computed nothing: a process forked from it need not import again.
    context = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload(["__main__", "captum.attr"])
    with ProcessPoolExecutor(1, mp_context=context) as process:
        return process.submit(what, *arguments).result()


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"


def _show(table: Table, title: str = "") -> None:
    """Print rows below each other, columns as wide as their longest cell."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    if title:
        print(title)
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(flush=True)


PARTS: dict[str, Callable[[Job], None]] = {
    "commands": commands,
    "methods": methods,
    "layouts": layouts,
    "maps": maps,
    "peers": peers,
}


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    add = parser.add_argument
    weights = SHARED / "weights" / "mn04_as_mAP_432.pt"
    add("--device", choices=["cuda", "cpu"], default="cuda", help="cpu tries the script on the processor (%(default)s)")
    add(
        "--quick",
        action="store_true",
        help="tiny sizes and made sounds, to see in a minute or two whether everything runs",
    )
    add("--only", choices=list(PARTS), action="append", help="a table; repeatable")
    add("--method", choices=list(METHODS), action="append", help="a method of the second and third table; repeatable")
    add("--data", type=Path, default=SHARED / "data" / "esc10", help="ESC-10 (%(default)s)")
    add("--weights", type=Path, default=weights if weights.is_file() else None, help="of mn04 (%(default)s)")
    return parser.parse_args(arguments)


def _tiny(folder: Path) -> Path:
    """Write made sounds of few classes into a folder; return where they are."""
    made = corpus.write_dataset(folder / "made", 5)
    for label in TRIED:
        shutil.copytree(made / label, folder / "sounds" / label)
    return folder / "sounds"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; 1 where there is no GPU."""
    wanted = options(arguments)
    if wanted.device == "cuda" and not torch.cuda.is_available():
        print(NO_GPU, file=sys.stderr)
        return 1
    device = torch.cuda.get_device_name() if wanted.device == "cuda" else "the processor"
    print(f"{device}; {os.cpu_count()} cores; PyTorch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        data = _tiny(Path(folder)) if wanted.quick else wanted.data
        chosen = tuple(wanted.method or without_attention())
        job = Job(wanted.device, wanted.quick, data, wanted.weights, chosen, Path(folder))
        for name in dict.fromkeys(wanted.only or PARTS):
            begun = time.perf_counter()
            print(f"\n{name}: {str(PARTS[name].__doc__).splitlines()[0]}\n")
            PARTS[name](job)
            print(f"({name} took {time.perf_counter() - begun:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
