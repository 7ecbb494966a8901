"""Figures of sounds and evidence, one function a figure; no other program's settings can change them.

>>> from earwitness.plots import evidence, style
>>> style.save(evidence.maps(inquiry), "maps.png")  # doctest: +SKIP
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from earwitness.explainers.findings import Finding, Inquiry, ShownRecording, shown_score
from earwitness.plots.maps import PLAIN, MapStyle, evidence, evidence_limit, units, verdict_key, verdict_mark
from earwitness.plots.medium import SCREEN, Medium
from earwitness.plots.panels import mark
from earwitness.plots.style import (
    QUIET,
    RIGHT,
    WRONG,
    as_picture,
    colour_bar,
    label,
    save,
    sound_limits,
    spectrogram,
    styled,
)

__all__ = ["maps", "recordings", "samples", "save"]

COLUMNS = 4
WAVE_BINS = 600
SHORT_NAME = 11  # characters that fit beside "for" and "(predicted)" over a map
TICK, CROSS = "\N{CHECK MARK}", "\N{BALLOT X}"
LOG_MEL = "log-mel"
TITLE_PAD = 13.0  # points: the verdict and the strength of a map stand between it and its title
LEAST_LIMIT = 1 / 3  # of the strongest cell by a method in a figure: every segment's colours reach so far at least
SILENCE_NAMED = 0.2  # share of a segment without sound from which on a picture says so


# ---- sounds -------------------------------------------------------------------------------------------------------


@styled
def recordings(inquiry: Inquiry, medium: Medium = SCREEN) -> Figure:
    """Draw whole recordings: the waveform above the log-mel, one recording a class.

    Parameters
    ----------
    inquiry
        With recordings.
    medium
        What it is drawn for.
    """
    shown = inquiry.recordings
    columns = medium.columns(5, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(medium.width(2.3 * columns + 0.6), 2.35 * rows + 0.2), layout="constrained")
    norm = sound_limits([each.log_mel for each in shown], inquiry.silence)
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[1.0, 2.0] * rows)
    below: list[Axes] = []
    for number, each in enumerate(shown):
        row, column = divmod(number, columns)
        wave = figure.add_subplot(grid[2 * row, column])
        picture = figure.add_subplot(grid[2 * row + 1, column], sharex=wave)
        _waveform(wave, each)
        wave.set_title(f"{label(each.label)}\n", fontweight="bold", loc="left", pad=2)
        wave.text(
            0,
            1.06,
            label(each.file, 28 if medium.marks_only else 34),
            transform=wave.transAxes,
            fontsize=6.5,
            color=QUIET,
        )
        spectrogram(picture, each.log_mel, inquiry.clock, 0, each.log_mel.shape[0], norm, colours=medium.sound)
        picture.set_xlim(0.0, max(len(each.samples) / each.sample_rate, inquiry.clock.frame_seconds))
        if column == 0:
            picture.set_ylabel("Hz")
            wave.set_ylabel("amplitude")
        if number + columns >= len(shown):
            picture.set_xlabel("seconds")
        below.append(picture)
        mark(wave, number)
        mark(picture, number)
    _loudness_bar(figure, below, norm, medium)
    return medium.finished(figure)


def _waveform(axes: Axes, recording: ShownRecording) -> None:
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
def samples(inquiry: Inquiry, medium: Medium = SCREEN) -> Figure:
    """Draw the log-mels of segments with their true and predicted classes; wrong ones have a cross and a dashed frame.

    Parameters
    ----------
    inquiry
        With findings.
    medium
        What it is drawn for.
    """
    shown = inquiry.findings
    columns = medium.columns(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(medium.width(2.75 * columns + 0.5), 2.0 * rows), layout="constrained")
    norm = sound_limits([each.log_mel for each in shown], inquiry.silence)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for number, axes in enumerate(panels):
        if number >= len(shown):
            axes.set_axis_off()
            continue
        _sample(axes, shown[number], inquiry, norm, medium)
        mark(axes, number)
        if number % columns == 0:
            axes.set_ylabel("Hz")
        if number + columns >= len(shown):
            axes.set_xlabel("seconds in the recording")
    _loudness_bar(figure, list(panels), norm, medium)
    return medium.finished(figure)


def _sample(axes: Axes, each: Finding, inquiry: Inquiry, norm: Normalize, medium: Medium) -> None:
    where = inquiry.clock, each.start_frame, each.real_frames
    spectrogram(axes, each.log_mel, *where, norm, colours=medium.sound)
    mark = TICK if each.right else CROSS
    score = shown_score(each.score)
    text = f"{mark} true {label(each.label or '', 24)},\npredicted as {label(each.predicted, 16)}"
    text += f",\nscore {score}" if medium.marks_only else f" (score {score})"
    axes.set_title(
        text, loc="left", color="black" if each.right else WRONG, fontweight="normal" if each.right else "bold"
    )
    if words := _silence(each, inquiry.silence):
        behind = {"facecolor": "black", "alpha": 0.6, "linewidth": 0.0, "pad": 2.0}
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color="white", bbox=behind)
    if not each.right:
        frame_wrong(axes)


def _loudness_bar(figure: Figure, beside: list[Axes], norm: Normalize, medium: Medium) -> None:
    bar = figure.colorbar(ScalarMappable(norm, medium.sound), ax=beside, shrink=0.4, aspect=25, pad=0.01)
    bar.set_label(LOG_MEL)
    as_picture(bar)


def _silence(each: Finding, silence: float) -> str:
    """Say how much of a segment holds no sound, where it is much."""
    if each.silent:
        return "silent"
    share = each.silent_share(silence)
    return f"{100 * share:.0f} % of it silent" if share >= SILENCE_NAMED else ""


def frame_wrong(axes: Axes) -> None:
    """Draw a dashed frame around a segment that was misclassified."""
    for spine in axes.spines.values():
        spine.set(color=WRONG, linewidth=2.0, linestyle=(0, (3, 1.5)))


# ---- evidence -----------------------------------------------------------------------------------------------------


@styled
def maps(inquiry: Inquiry, look: MapStyle = PLAIN) -> Figure:
    """Draw the evidence: a row a segment, its log-mel, then each method's map, target by target.

    Maps keep their sign. A segment's maps by one method share their colours, so that its targets can be compared; the
    strongest cell of each is written above it. Colours reach to the segment's strongest cell, but never less far than a
    third of the figure's strongest by that method: next to no evidence looks pale. Between methods the units differ.

    Parameters
    ----------
    inquiry
        With findings that have attributions.
    look
        How maps are drawn, and whether segments share their colours, too.
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
    limits = colour_limits(inquiry, look.common)
    for row, each in enumerate(shown):
        _words(figure.add_subplot(grid[row, 0]), each, inquiry)
        panels = [figure.add_subplot(grid[row, place]) for place in places[1:]]
        spectrogram(panels[0], each.log_mel, inquiry.clock, each.start_frame, each.real_frames, norm)
        panels[0].set_ylabel("Hz")
        mark(panels[0], row)
        if not each.right:
            frame_wrong(panels[0])
        for place, (axes, (target, method)) in enumerate(zip(panels[1:], columns, strict=True)):
            mark(axes, row, place)
            found = each.attributions[target][method]
            evidence(axes, found, inquiry.clock, each.start_frame, limits[row][method], look, each.log_mel)
            verdict_mark(axes, each.attributions[target][method])
            axes.tick_params(labelleft=False)
        if row == 0:
            panels[0].set_title(LOG_MEL, pad=TITLE_PAD)
            for axes, (target, method) in zip(panels[1:], columns, strict=True):
                axes.set_title(f"{inquiry.methods[method]}\n{for_whom(inquiry, target)}", pad=TITLE_PAD)
        if row == rows - 1:
            for axes in panels:
                axes.set_xlabel("seconds in the recording")
    words = f"{LOG_MEL} (louder \N{RIGHTWARDS ARROW})"
    colour_bar(figure.add_subplot(grid[rows, 1]), ScalarMappable(norm, SCREEN.sound), words, "horizontal")
    one_scale = look.common or rows == 1
    for place, (target, method) in zip(places[2:], columns, strict=True):
        limit = limits[0][method] if one_scale else 1.0
        colours = ScalarMappable(Normalize(-limit, limit), SCREEN.evidence)
        unit = units([each.attributions[target][method] for each in shown])
        words = f"against \N{LEFT RIGHT ARROW} for ({unit})"
        colour_bar(figure.add_subplot(grid[rows, place]), colours, words, "horizontal", numbers=one_scale)
    if judged:
        figure.supxlabel(verdict_key(), x=0.99, ha="right", fontsize=7, color=QUIET)
    return figure


def colour_limits(inquiry: Inquiry, common: bool) -> list[list[float]]:
    """Return how far the colours of each segment's maps by each method reach."""
    columns = []
    for method in range(len(inquiry.methods)):
        own = [[listed[method] for listed in each.attributions] for each in inquiry.findings]
        strongest = evidence_limit([found for row in own for found in row])
        least = LEAST_LIMIT * strongest
        columns.append([strongest if common else max(evidence_limit(row), least) for row in own])
    return [list(row) for row in zip(*columns, strict=True)]


def _words(axes: Axes, each: Finding, inquiry: Inquiry) -> None:
    axes.set_axis_off()
    lines = [f"predicted as {label(each.predicted, 15)}", _score(each, inquiry.classes)]
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


def for_whom(inquiry: Inquiry, target: int, short: int = SHORT_NAME) -> str:
    """Return for which class a column's maps are, in two lines where its name has more letters than ``short``."""
    names = {each.attributions[target][0].target_label for each in inquiry.findings}
    role = inquiry.targets[target]
    if len(names) > 1:
        return f"for the class {role}"
    name = label(names.pop(), 18)
    return f"for {name} ({role})" if len(name) <= short else f"for {name}\n({role})"
