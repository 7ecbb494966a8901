"""Measure how many passes a method needs until two draws of its samples give the same map.

``python benchmarks/stability.py RUN DATA SPEC...`` explains segments of a run's validation recordings, one of every
class and none of them silent, twice with each method, with seeds 0 and 1, and prints the Pearson correlation of the
two maps (``split-half``), and of one of them with the mean of the two maps of the first line by the same method
(``with first``), which shows whether cheaper settings aim at the same map. ``r2`` is the share of the scores' variance
that a linear model of the parts explains, where a method fits one: what it leaves is what all designs have to average
out. Medians are over segments.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earwitness.audio.segments import Segments
from earwitness.core.arrays import Float64Array
from earwitness.explainers.attribution import Target
from earwitness.explainers.method import Explainer
from earwitness.explainers.registry import parse
from earwitness.inspection.run import OpenRun, open_run

SPECS = (
    "lime:samples=2048",
    "lime:samples=129,design=hadamard",
    "lime:samples=257,design=hadamard",
    "lime:samples=513,design=hadamard",
    "lime:samples=1025,design=hadamard",
)


def chosen(run: OpenRun, count: int, seed: int = 0) -> list[int]:
    """Return rows of segments with sound in them, drawn by lot, classes taking turns."""
    order = np.random.default_rng(seed).permutation(len(run.predictions.recording)).tolist()
    labels = run.predictions.labels[run.predictions.recording]
    rows: list[int] = []
    while len(rows) < count:
        for label in range(len(run.predictions.classes)):
            row = next((row for row in order if labels[row] == label and not run.silent(row)), None)
            if row is not None and len(rows) < count:
                rows.append(row)
                order.remove(row)
    return rows


def maps(run: OpenRun, method: Explainer, segments: Segments) -> tuple[Float64Array, int, float]:
    """Return each segment's map of the class that is heard, (segments, cells), the passes of one, the median r2."""
    heard = run.classifier.logits(segments.values).argmax(dim=1)
    found = method.attribute(run.prepared, segments, [[Target(int(index))] for index in heard])
    cells = np.array([one.native.ravel() for one in found], dtype=np.float64)
    r2 = float(np.median([one.diagnostics.get("r2", np.nan) for one in found]))
    return cells, max(one.forwards for one in found), r2


def correlations(one: Float64Array, other: Float64Array) -> Float64Array:
    """Return the correlation of each row of one with the same row of the other."""
    return np.array([np.corrcoef(*rows)[0, 1] for rows in zip(one, other, strict=True)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("specs", nargs="*", default=SPECS)
    parser.add_argument("--segments", type=int, default=8)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked: Any = parser.parse_args(arguments)
    torch.set_num_threads(asked.threads)
    run = open_run(asked.run, data=asked.data)
    segments = run.segments(chosen(run, asked.segments))
    print(f"{run.classifier.backbone}, {len(segments)} segments of {segments.values.shape[1]} frames")
    print(f"{'method':58} passes  split-half: median  lowest  with first: median  lowest    r2", flush=True)
    firsts: dict[str, Float64Array] = {}
    for spec in asked.specs:
        draws = [maps(run, parse(spec).changed(seed=seed), segments) for seed in (0, 1)]
        one, two = (found for found, *_ in draws)
        first = firsts.setdefault(parse(spec).name, (one + two) / 2)
        half, same = correlations(one, two), correlations(one, first)
        print(
            f"{spec:58} {draws[0][1]:6} {np.median(half):19.3f} {half.min():7.3f} {np.median(same):19.3f} "
            f"{same.min():7.3f} {draws[0][2]:5.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
