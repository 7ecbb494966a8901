"""Figures from data: one function a figure, each a Matplotlib figure that no other program's settings can change.

>>> from earwitness import figures
>>> figures.save(figures.maps(answer), "maps.png")  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from earwitness.canvas import (
    EVIDENCE_COLOURS,
    QUIET,
    RIGHT,
    SOUND_COLOURS,
    WRONG,
    evidence,
    evidence_limit,
    label,
    save,
    sound_limits,
    spectrogram,
    styled,
    verdict_key,
    verdict_mark,
)
from earwitness.explain import Attribution
from earwitness.findings import Finding, Inquiry, Recording, shown_score

__all__ = ["class_scores", "confusion_chart", "maps", "recordings", "samples", "save", "training_curves"]

IntArray = npt.NDArray[np.int64]

COLUMNS = 4
WAVE_BINS = 600
MOST_NUMBERED_CLASSES = 30
SMOOTHING = 15  # iterations
SHORT_NAME = 11  # characters that fit beside "for" and "(heard)" over a map
TICK, CROSS = "\N{CHECK MARK}", "\N{BALLOT X}"
LOG_MEL = "log-mel"
TITLE_PAD = 13.0  # points: the verdict and the strength of a map stand between it and its title
SILENCE_NAMED = 0.2  # share of a segment without sound from which on a picture says so


# ---- sounds -------------------------------------------------------------------------------------------------------


@styled
def recordings(inquiry: Inquiry) -> Figure:
    """Draw whole recordings: the waveform above the log-mel, one recording a class.

    Parameters
    ----------
    inquiry
        With recordings.
    """
    shown = inquiry.recordings
    columns = min(5, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(2.3 * columns + 0.6, 2.35 * rows + 0.2), layout="constrained")
    norm = sound_limits([each.log_mel for each in shown], inquiry.silence)
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[1.0, 2.0] * rows)
    below: list[Axes] = []
    for number, each in enumerate(shown):
        row, column = divmod(number, columns)
        wave = figure.add_subplot(grid[2 * row, column])
        picture = figure.add_subplot(grid[2 * row + 1, column], sharex=wave)
        _waveform(wave, each)
        wave.set_title(f"{label(each.label)}\n", fontweight="bold", loc="left", pad=2)
        wave.text(0, 1.06, label(each.file, 34), transform=wave.transAxes, fontsize=6.5, color=QUIET)
        spectrogram(picture, each.log_mel, inquiry.clock, 0, each.log_mel.shape[0], norm)
        picture.set_xlim(0.0, max(len(each.samples) / each.sample_rate, inquiry.clock.frame_seconds))
        if column == 0:
            picture.set_ylabel("Hz")
            wave.set_ylabel("amplitude")
        if number + columns >= len(shown):
            picture.set_xlabel("seconds")
        below.append(picture)
    bar = figure.colorbar(ScalarMappable(norm, SOUND_COLOURS), ax=below, shrink=0.4, aspect=25, pad=0.01)
    bar.set_label(LOG_MEL)
    return figure


def _waveform(axes: Axes, recording: Recording) -> None:
    """Draw the lowest and highest sample of each of some hundred stretches: no peak is lost, however long it is."""
    samples = recording.samples
    edges = np.linspace(0, len(samples), min(WAVE_BINS, len(samples)) + 1).astype(np.int64)
    low = np.minimum.reduceat(samples, edges[:-1])
    high = np.maximum.reduceat(samples, edges[:-1])
    seconds = (edges[:-1] + edges[1:]) / 2 / recording.sample_rate
    axes.fill_between(seconds, low, high, color="#444444", linewidth=0.3)
    size = max(float(np.abs(samples).max()), 1e-6) * 1.05
    axes.set_ylim(-size, size)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=2, symmetric=True))
    axes.tick_params(labelbottom=False)


@styled
def samples(inquiry: Inquiry) -> Figure:
    """Draw the log-mels of segments with their true and predicted classes; wrong ones have a cross and a dashed frame.

    Parameters
    ----------
    inquiry
        With findings.
    """
    shown = inquiry.findings
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(2.75 * columns + 0.5, 2.0 * rows), layout="constrained")
    norm = sound_limits([each.log_mel for each in shown], inquiry.silence)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for number, axes in enumerate(panels):
        if number >= len(shown):
            axes.set_axis_off()
            continue
        _sample(axes, shown[number], inquiry, norm)
        if number % columns == 0:
            axes.set_ylabel("Hz")
        if number + columns >= len(shown):
            axes.set_xlabel("seconds in the recording")
    bar = figure.colorbar(ScalarMappable(norm, SOUND_COLOURS), ax=panels, shrink=0.4, aspect=25, pad=0.01)
    bar.set_label(LOG_MEL)
    return figure


def _sample(axes: Axes, each: Finding, inquiry: Inquiry, norm: Normalize) -> None:
    spectrogram(axes, each.log_mel, inquiry.clock, each.start_frame, each.real_frames, norm)
    mark = TICK if each.right else CROSS
    score = shown_score(each.score)
    text = f"{mark} true {label(each.label or '', 24)},\nheard as {label(each.predicted, 16)} (score {score})"
    axes.set_title(
        text, loc="left", color="black" if each.right else WRONG, fontweight="normal" if each.right else "bold"
    )
    if words := _silence(each, inquiry.silence):
        behind = {"facecolor": "black", "alpha": 0.6, "linewidth": 0.0, "pad": 2.0}
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color="white", bbox=behind)
    if not each.right:
        _frame(axes)


def _silence(each: Finding, silence: float) -> str:
    """Say how much of a segment holds no sound, where it is much."""
    if each.silent:
        return "silent"
    share = each.silent_share(silence)
    return f"{100 * share:.0f} % of it silent" if share >= SILENCE_NAMED else ""


def _frame(axes: Axes) -> None:
    for spine in axes.spines.values():
        spine.set(color=WRONG, linewidth=2.0, linestyle=(0, (3, 1.5)))


# ---- evidence -----------------------------------------------------------------------------------------------------


@styled
def maps(inquiry: Inquiry) -> Figure:
    """Draw the evidence: a row a segment, its log-mel, then each method's map, target by target.

    Maps keep their sign; each method has one colour scale for the whole figure, so that its maps can be compared
    between segments and targets. Between methods the units differ.

    Parameters
    ----------
    inquiry
        With findings that have attributions.
    """
    shown, methods = inquiry.findings, len(inquiry.methods)
    columns = [(target, method) for target in range(len(inquiry.targets)) for method in range(methods)]
    rows, gaps = len(shown), len(inquiry.targets) - 1
    judged = any(map_.verdict for each in shown for per_target in each.attributions for map_ in per_target)
    size = (1.75 * (len(columns) + 2) + 0.15 * gaps, 1.4 * rows + (1.1 if judged else 0.95))
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.04))
    # Words, log-mel, then the maps, with a little air between one target's and the next one's.
    widths = [0.95, 1.0, *[1.0] * methods, *([0.08, *[1.0] * methods] * gaps)]
    places = [0, 1, *(2 + target * (methods + 1) + method for target, method in columns)]
    grid = figure.add_gridspec(rows + 1, len(widths), width_ratios=widths, height_ratios=[1.0] * rows + [0.07])
    norm = sound_limits([each.log_mel for each in shown], inquiry.silence)
    limits = [
        evidence_limit([per_target[method] for each in shown for per_target in each.attributions])
        for method in range(methods)
    ]
    for row, each in enumerate(shown):
        _words(figure.add_subplot(grid[row, 0]), each, inquiry)
        panels = [figure.add_subplot(grid[row, place]) for place in places[1:]]
        spectrogram(panels[0], each.log_mel, inquiry.clock, each.start_frame, each.real_frames, norm)
        panels[0].set_ylabel("Hz")
        if not each.right:
            _frame(panels[0])
        for axes, (target, method) in zip(panels[1:], columns, strict=True):
            evidence(axes, each.attributions[target][method], inquiry.clock, each.start_frame, limits[method])
            verdict_mark(axes, each.attributions[target][method])
            axes.tick_params(labelleft=False)
        if row == 0:
            panels[0].set_title(LOG_MEL, pad=TITLE_PAD)
            for axes, (target, method) in zip(panels[1:], columns, strict=True):
                axes.set_title(f"{inquiry.methods[method]}\n{_for(inquiry, target)}", pad=TITLE_PAD)
        if row == rows - 1:
            for axes in panels:
                axes.set_xlabel("seconds in the recording")
    _bar(figure, grid[rows, 1], ScalarMappable(norm, SOUND_COLOURS), f"{LOG_MEL} (louder \N{RIGHTWARDS ARROW})")
    for place, (target, method) in zip(places[2:], columns, strict=True):
        colours = ScalarMappable(Normalize(-limits[method], limits[method]), EVIDENCE_COLOURS)
        unit = _unit([each.attributions[target][method] for each in shown])
        _bar(figure, grid[rows, place], colours, f"against \N{LEFT RIGHT ARROW} for ({unit})")
    if judged:
        figure.supxlabel(verdict_key(), x=0.99, ha="right", fontsize=7, color=QUIET)
    return figure


def _words(axes: Axes, each: Finding, inquiry: Inquiry) -> None:
    axes.set_axis_off()
    lines = [f"heard as {label(each.predicted, 15)}", _score(each, inquiry.classes)]
    if each.label is not None:
        mark, colour = (TICK, RIGHT) if each.right else (CROSS, WRONG)
        axes.text(0, 0.92, mark, transform=axes.transAxes, va="top", fontsize=11, color=colour)
        lines.insert(0, f"true {label(each.label, 19)}")
    axes.text(0.13, 0.92, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=8.5, linespacing=1.25)
    where = f"{label(each.file.rpartition('/')[2], 24)}\n{each.start_seconds:.2f} to {each.end_seconds:.2f} s"
    where += f"\n{words}" if (words := _silence(each, inquiry.silence)) else ""
    axes.text(0.13, 0.08, where, transform=axes.transAxes, va="bottom", fontsize=7, color=QUIET)


def _score(each: Finding, classes: tuple[str, ...]) -> str:
    words = f"score {shown_score(each.score)}"
    if each.right or each.label is None:
        return words
    return f"{words} (true: {shown_score(each.scores[classes.index(each.label)])})"


def _for(inquiry: Inquiry, target: int) -> str:
    names = {each.attributions[target][0].target_label for each in inquiry.findings}
    role = {"predicted": "heard", "true": "true", "best": "best", "asked": "asked for"}[inquiry.targets[target]]
    if len(names) > 1:
        return f"for the class {role}"
    name = label(names.pop(), 18)
    return f"for {name} ({role})" if len(name) <= SHORT_NAME else f"for {name}\n({role})"


def _unit(attributions: Sequence[Attribution]) -> str:
    return " or ".join(sorted({each.score_kind for each in attributions}))


def _bar(figure: Figure, place: Any, colours: ScalarMappable, text: str) -> None:
    axes = figure.add_subplot(place)
    bar = figure.colorbar(colours, cax=axes, orientation="horizontal")
    bar.locator = MaxNLocator(nbins=4, symmetric=colours.get_cmap().name == EVIDENCE_COLOURS)
    bar.update_ticks()
    bar.set_label(text, fontsize=7.5)
    bar.outline.set_linewidth(0.5)


# ---- measures -----------------------------------------------------------------------------------------------------


@styled
def confusion_chart(counts: IntArray, classes: Sequence[str], unit: str = "segments") -> Figure:
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


def _shares(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole > 0)


def _pair(right: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.stack([right, 1.0 - right], axis=1)


def _percent(shares: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    return np.array([[f"{100 * each:.0f}%" if np.isfinite(each) else "\N{EN DASH}" for each in row] for row in shares])


def _tiles(
    axes: Axes,
    shares: npt.NDArray[np.float64],
    is_right: npt.NDArray[np.bool_],
    texts: npt.NDArray[Any] | None,
    written: npt.NDArray[np.bool_] | None = None,
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


def _smooth(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    kernel = np.ones(SMOOTHING)
    weight = np.convolve(np.ones(len(values)), kernel, mode="same")
    return np.convolve(values, kernel, mode="same") / weight


def _epochs(axes: Axes, history: Sequence[dict[str, str]], iteration: IntArray) -> None:
    epoch = np.array([int(row["epoch"]) for row in history])
    for number in range(int(epoch.min()), int(epoch.max()) + 1):
        inside = iteration[epoch == number]
        if number % 2 == 0 and inside.size:
            axes.axvspan(inside[0] - 0.5, inside[-1] + 0.5, color="#f3f3f3", linewidth=0.0, zorder=0)


@styled
def class_scores(per_class: dict[str, dict[str, dict[str, Any]]]) -> Figure:
    """Draw the F1 of every class, by segment and by file, with the number of each.

    Parameters
    ----------
    per_class
        ``metrics.json``'s entry of that name.
    """
    names = sorted(per_class, key=lambda name: -(per_class[name]["segments"]["f1"] or 0.0))
    figure = Figure(figsize=(7.5, 0.42 * len(names) + 1.2), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(names))
    for offset, kind, style in (
        (-0.19, "segments", {"color": RIGHT}),
        (0.19, "files", {"color": "#d9e6f4", "edgecolor": RIGHT, "hatch": "////", "linewidth": 0.8}),
    ):
        scores = [100 * (per_class[name][kind]["f1"] or 0.0) for name in names]
        axes.barh(place + offset, scores, height=0.34, label=f"by {kind.removesuffix('s')}", **style)
        for row, score in enumerate(scores):
            support = per_class[names[row]][kind]["support"]
            axes.text(score + 0.8, row + offset, f"{score:.0f} %  ({support})", va="center", fontsize=6.5, color=QUIET)
    axes.set_yticks(place, [label(name) for name in names])
    axes.invert_yaxis()
    axes.set_xlim(0, 116)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("F1 (%); in brackets, how many segments or files of the class there are")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=2)
    return figure
