"""Figures of what was measured: a training's course, what is taken for what, how well each class is recognised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earwitness.core.arrays import BoolArray, Float64Array, Int64Array
from earwitness.plots.style import QUIET, RIGHT, label, styled
from earwitness.training.metrics import ClassMetrics

MOST_NUMBERED_CLASSES = 30
SMOOTHING = 15  # iterations


@styled
def confusion_chart(counts: Int64Array, classes: Sequence[str], unit: str = "segments") -> Figure:
    """Draw a confusion matrix with the shares right and wrong of each row (recall) and each column (precision).

    Parameters
    ----------
    counts
        Shape (classes, classes): a row a true class, a column a predicted one.
    classes
        Names.
    unit
        What is counted.
    """
    count = len(classes)
    cell = 0.52 if count <= MOST_NUMBERED_CLASSES else 16.0 / count
    side = max(count, 3) * cell
    figure = Figure(figsize=(side + 3.3, side + 2.5), layout="constrained")
    summary = 2 if count <= MOST_NUMBERED_CLASSES else max(2, count // 12)
    ratios = [count, summary]
    panels = figure.subplots(2, 2, width_ratios=ratios, height_ratios=ratios, squeeze=False)
    main, right, below, corner = panels.ravel()
    corner.set_axis_off()
    numbers = count <= MOST_NUMBERED_CLASSES
    shares = _shares(counts, counts.sum(axis=1, keepdims=True))
    _tiles(main, shares, np.eye(count, dtype=bool), counts.astype(str) if numbers else None, counts > 0)
    recall, precision = _shares(np.diag(counts), counts.sum(axis=1)), _shares(np.diag(counts), counts.sum(axis=0))
    sides = np.array([[True, False]])
    _tiles(right, _pair(recall), np.repeat(sides, count, axis=0), _percent(_pair(recall)) if numbers else None)
    _tiles(
        below, _pair(precision).T, np.repeat(sides.T, count, axis=1), _percent(_pair(precision).T) if numbers else None
    )
    names = [label(name, 20) for name in classes]
    step = max(1, count // 60)
    main.set_yticks(range(0, count, step), names[::step])
    main.set_xticks([])
    below.set_xticks(range(0, count, step), names[::step], rotation=40, ha="right", rotation_mode="anchor")
    below.set_yticks([0, 1], ["right", "wrong"])
    right.set_xticks([0, 1], ["right", "wrong"])
    right.xaxis.tick_top()
    right.set_yticks([])
    main.set_ylabel(f"true class ({unit})")
    below.set_xlabel("predicted class")
    right.set_title("of the true class\n(recall)", fontsize=7.5)
    below.set_ylabel("of the\npredicted\n(precision)", fontsize=7.5, rotation=0, ha="right", va="center")
    return figure


def _shares(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Float64Array:
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole > 0)


def _pair(right: Float64Array) -> Float64Array:
    return np.stack([right, 1.0 - right], axis=1)


def _percent(shares: Float64Array) -> npt.NDArray[Any]:
    return np.array([[f"{100 * each:.0f}%" if np.isfinite(each) else "\N{EN DASH}" for each in row] for row in shares])


def _tiles(
    axes: Axes,
    shares: Float64Array,
    is_right: BoolArray,
    texts: npt.NDArray[Any] | None,
    written: BoolArray | None = None,
) -> None:
    """Draw tiles whose colour says right or wrong, its depth the share, and the number the rest."""
    blues, oranges = matplotlib.colormaps["Blues"], matplotlib.colormaps["Oranges"]
    depth = np.nan_to_num(shares)
    colours = np.where(is_right[..., None], blues(0.85 * depth), oranges(np.where(depth > 0, 0.12 + 0.75 * depth, 0.0)))
    colours[depth == 0] = (1.0, 1.0, 1.0, 1.0)
    axes.imshow(colours, aspect="auto", interpolation="nearest")
    if texts is not None:
        for (row, column), text in np.ndenumerate(texts):
            if written is None or written[row, column]:
                dark = depth[row, column] > 0.6
                axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color="white" if dark else "black")
        axes.set_xticks(np.arange(shares.shape[1] + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(shares.shape[0] + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="#cccccc", linewidth=0.5)
    axes.tick_params(which="both", length=0)


@styled
def training_curves(history: Sequence[dict[str, str]]) -> Figure:
    """Draw accuracy and loss over the iterations, with the validations marked.

    Parameters
    ----------
    history
        The rows of ``history.csv``, at least one.
    """
    figure = Figure(figsize=(7.5, 5.0), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    iteration = np.array([int(row["iteration"]) for row in history])
    for axes, name, scale in ((top, "accuracy", 100.0), (bottom, "loss", 1.0)):
        training = scale * np.array([float(row[f"train_{name}"] or "nan") for row in history])
        axes.plot(iteration, training, color="#9ec3e6", linewidth=0.9, label="training, each mini-batch")
        if len(training) >= 2 * SMOOTHING:
            axes.plot(iteration, _smooth(training), color=RIGHT, linewidth=1.6, label=f"training, mean of {SMOOTHING}")
        seen = [number for number, row in enumerate(history) if row[f"validation_{name}"]]
        measured = [scale * float(history[number][f"validation_{name}"]) for number in seen]
        if seen:
            style: dict[str, Any] = {
                "color": "black",
                "linestyle": "--",
                "linewidth": 1.1,
                "marker": "o",
                "markersize": 4.5,
            }
            axes.plot(iteration[seen], measured, label="validation", **style)
            last = f"{measured[-1]:.1f} %" if name == "accuracy" else f"{measured[-1]:.2f}"
            axes.annotate(last, (iteration[seen[-1]], measured[-1]), (6, 0), textcoords="offset points", va="center")
        _epochs(axes, history, iteration)
        axes.grid(axis="y", color="#e5e5e5", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    top.set_ylabel("accuracy (%)")
    top.set_ylim(0.0, 101.0)
    bottom.set_ylabel("loss (cross-entropy)")
    # A little below nothing, so that the label of a small loss does not lie on the axis.
    bottom.set_ylim(bottom=-0.05 * bottom.get_ylim()[1])
    bottom.set_xlabel("iteration (grey stripes: every second epoch)")
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _smooth(values: Float64Array) -> Float64Array:
    kernel = np.ones(SMOOTHING)
    weight = np.convolve(np.ones(len(values)), kernel, mode="same")
    return np.convolve(values, kernel, mode="same") / weight


def _epochs(axes: Axes, history: Sequence[dict[str, str]], iteration: Int64Array) -> None:
    epoch = np.array([int(row["epoch"]) for row in history])
    for number in range(int(epoch.min()), int(epoch.max()) + 1):
        inside = iteration[epoch == number]
        if number % 2 == 0 and inside.size:
            axes.axvspan(inside[0] - 0.5, inside[-1] + 0.5, color="#f3f3f3", linewidth=0.0, zorder=0)


@styled
def class_scores(per_class: Mapping[str, ClassMetrics]) -> Figure:
    """Draw the F1 of every class, by segment and by file, with the number of each.

    Parameters
    ----------
    per_class
        Scores by class.
    """
    classes = sorted(per_class.items(), key=lambda entry: -(entry[1].segments.f1 or 0.0))
    figure = Figure(figsize=(7.5, 0.42 * len(classes) + 1.2), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(classes))
    hatched = {"color": "#d9e6f4", "edgecolor": RIGHT, "hatch": "////", "linewidth": 0.8}
    for offset, unit, scores, style in (
        (-0.19, "segment", [each.segments for _, each in classes], {"color": RIGHT}),
        (0.19, "file", [each.files for _, each in classes], hatched),
    ):
        shown = [100 * (each.f1 or 0.0) for each in scores]
        axes.barh(place + offset, shown, height=0.34, label=f"by {unit}", **style)
        for row, (score, each) in enumerate(zip(shown, scores, strict=True)):
            text = f"{score:.0f} %  ({each.support})"
            axes.text(score + 0.8, row + offset, text, va="center", fontsize=6.5, color=QUIET)
    axes.set_yticks(place, [label(name) for name, _ in classes])
    axes.invert_yaxis()
    axes.set_xlim(0, 116)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("F1 (%); in brackets, how many segments or files of the class there are")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=2)
    return figure
