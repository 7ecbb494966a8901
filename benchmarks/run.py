"""Measure earwitness's speed against the plain way and other packages', in one process, by medians.

``make bench`` prints a table and writes ``benchmarks/results.json``, from which ``make docs`` makes
``docs/benchmarks.md``. Compared things take turns, so that a busy moment meets both. ``make bench ARGS="--only lime"``
measures one part and leaves the others' results as they were; ``make bench ARGS=--quick`` tries everything out with
tiny sizes, whose numbers mean nothing.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import explaining
import frontends
import learning
import passes
from earwitness.core.files import atomic_write
from earwitness.data import loading, recordings
from measuring import QUICK, Result, Setting, Sizes, SkippedError, machine

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = PROJECT / "benchmarks" / "results.json"
FORMAT = 2
ACCELERATOR_BATCHES = (32, 128, 512, 2048)

PARTS: dict[str, Callable[[Setting], list[Result]]] = {
    "files": frontends.from_disk,
    "librosa": frontends.against_librosa,
    "step": learning.training_step,
    "passes": passes.passes,
    "occlusion": explaining.occlusion,
    "lime": explaining.lime,
    "gradcam": explaining.gradcam,
    "ablationcam": explaining.ablationcam,
    "integratedgradients": explaining.integratedgradients,
}
GROUPS = {
    "frontends": ("files", "librosa"),
    "explaining": ("occlusion", "lime", "gradcam", "ablationcam", "integratedgradients"),
}


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    shared = Path(os.environ.get("EARWITNESS_SHARED", PROJECT.parent / "shared"))
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    add = parser.add_argument
    add("--data", type=Path, default=shared / "data" / "esc10", help="ESC-10 (%(default)s)")
    add("--runs", type=Path, default=PROJECT / "runs", help="where NAME/model.safetensors are trained (%(default)s)")
    add("--quick", action="store_true", help="tiny sizes, to see whether everything runs")
    add("--threads", type=int, action="append", help="PyTorch's threads, repeatable (default: 1, and all cores)")
    add("--only", choices=[*PARTS, *GROUPS], action="append", help="a part or a group of parts; repeatable")
    add("--out", type=Path, help=f"file of results (default: {RESULTS.name}; none with --quick)")
    return parser.parse_args(arguments)


def setting_of(wanted: argparse.Namespace) -> Setting:
    """Return what parts are given."""
    empty = recordings.DataSet(root=wanted.data, recordings=(), classes=(), unusable=())
    data = loading.load(wanted.data) if wanted.data.is_dir() else empty
    sizes = QUICK if wanted.quick else Sizes()
    models = {name: wanted.runs / name / "model.safetensors" for name in sizes.networks}
    cuda = torch.cuda.is_available()
    numbers = wanted.threads or ([torch.get_num_threads()] if cuda else [1, torch.get_num_threads()])
    device = torch.device("cuda" if cuda else "cpu")
    if cuda and not wanted.quick:
        sizes = replace(sizes, batches=ACCELERATOR_BATCHES)
    found = {name: path for name, path in models.items() if path.is_file()}
    return Setting(data, found, sizes, device, tuple(sorted(set(numbers))))


def measured(name: str, setting: Setting, *, quick: bool) -> dict[str, Any]:
    """Measure one part, print its lines, and return what is kept of it."""
    setting.notes.clear()
    title, _, about = str(inspect.getdoc(PARTS[name])).partition("\n")
    print(f"\n{name}: {title}")
    begun = time.perf_counter()
    results: list[Result] = []
    try:
        results = PARTS[name](setting)
    except SkippedError as reason:
        setting.say(f"skipped: {reason}")
    for each in results:
        print(f"{each.of:46} {each.name:34} {each.median:9.4f} s  (median of {len(each.seconds)})", _facts(each))
        for other, times in each.times_as_fast_as.items():
            print(f"{'':81} {times:9.2f} times as fast as {other}")
    return {
        "title": title,
        "about": " ".join(about.split()),
        "quick": quick,
        "machine": machine(setting.device),
        "took": round(time.perf_counter() - begun, 1),
        "results": [each.as_json() for each in results],
        "notes": list(setting.notes),
    }


def _facts(result: Result) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in result.facts.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the parts, print their tables, and put each part's results in the place of its last."""
    wanted = options(arguments)
    setting = setting_of(wanted)
    if wanted.threads:
        torch.set_num_threads(max(wanted.threads))
    out = wanted.out or (None if wanted.quick else RESULTS)
    asked = [part for name in wanted.only or PARTS for part in GROUPS.get(name, (name,))]
    parts: dict[str, Any] = {}
    if out is not None and out.is_file():
        parts = json.loads(out.read_text(encoding="utf-8"))["parts"]
    for name in dict.fromkeys(asked):
        found = measured(name, setting, quick=wanted.quick)
        if not found["results"] and name in parts:
            print(f"{name}: nothing was measured; its last results stay")
            continue
        parts[name] = found
        if out is not None:
            kept = {"format": FORMAT, "parts": {part: parts[part] for part in PARTS if part in parts}}
            with atomic_write(out) as temporary:
                temporary.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    if out is not None:
        print(f"\nwrote {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
