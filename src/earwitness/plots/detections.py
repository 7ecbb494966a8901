"""The figure of a recording of several sounds: what was detected when, and each explained detection in detail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.ticker import FuncFormatter, MaxNLocator

from earwitness.explainers.findings import DetectedExplanation, duration, shown_score
from earwitness.plots.lanes import draw_detections, lane_height, lanes, time_axis
from earwitness.plots.maps import PLAIN, MapStyle, evidence, evidence_limit, units, verdict_key, verdict_mark
from earwitness.plots.medium import Medium
from earwitness.plots.recording import SOUND_HEIGHT, WIDTH, titled
from earwitness.plots.style import (
    QUIET,
    RIGHT,
    colour_bar,
    label,
    overview,
    sound_limits,
    spectrogram,
    styled,
)

if TYPE_CHECKING:
    from earwitness.models.detections import Detection

DETAIL_HEIGHT = 1.35  # inches
WORDS, MAP = 0.8, 1.0  # shares of the width
TITLE_PAD = 13.0  # points: verdicts stand between a title and its map


@styled
def detections(answer: DetectedExplanation, look: MapStyle = PLAIN) -> Figure:
    """Draw a recording with what was detected in it and, below, a row for each detection that was explained.

    Parameters
    ----------
    answer
        The explanation, with at least one detection explained.
    look
        How maps are drawn; each has colours of its own.
    """
    classes = lanes(answer, [each.class_name for each in answer.explained])
    upper = SOUND_HEIGHT + lane_height(classes) + 1.1
    lower = DETAIL_HEIGHT * len(answer.explained) + 1.25
    figure = Figure(figsize=(look.medium.width(WIDTH), upper + lower), layout="constrained")
    parts = figure.add_gridspec(2, 1, height_ratios=[upper, lower])
    norm = sound_limits([answer.overview, *(each.log_mel for each in answer.inquiry.findings)], answer.silence)
    _draw_overview(figure, parts[0], answer, classes, norm, look.medium)
    _draw_details(figure, parts[1], answer, norm, look)
    words = f"{len(answer.detections)} detections, {len(answer.explained)} explained"
    words = f"{label(answer.file, 40)} ({duration(answer.seconds)}): {words}"
    if not look.medium.marks_only:
        figure.suptitle(words, x=0.01, ha="left", fontsize=10, fontweight="bold")
    return look.medium.finished(figure)


def _draw_overview(
    figure: Figure,
    place: SubplotSpec,
    answer: DetectedExplanation,
    classes: Sequence[str],
    norm: Normalize,
    medium: Medium,
) -> None:
    heights = [SOUND_HEIGHT, lane_height(classes)]
    grid = place.subgridspec(2, 2, height_ratios=heights, width_ratios=[1.0, 0.012])
    panels = [figure.add_subplot(grid[row, 0]) for row in range(2)]
    overview(panels[0], answer.overview, answer.overview_edges, answer.clock, norm, medium.sound)
    panels[0].set_ylabel("Hz")
    titled(panels[0], "log-mel")
    colour_bar(figure.add_subplot(grid[0, 1]), ScalarMappable(norm, medium.sound), "louder \N{RIGHTWARDS ARROW}")
    draw_detections(panels[1], answer, classes, {each: number for number, each, _ in answer.by_time})
    time_axis(panels, answer.seconds)
    panels[1].set_xlabel("time in the recording")


def _draw_details(
    figure: Figure, place: SubplotSpec, answer: DetectedExplanation, norm: Normalize, look: MapStyle
) -> None:
    """Draw a row a detection, in order of time: words, its segment's log-mel, each method's map."""
    rows, methods = answer.by_time, answer.inquiry.methods
    widths = [WORDS, MAP, *[MAP] * len(methods)]
    heights = [1.0] * len(rows) + [0.07]
    grid = place.subgridspec(len(rows) + 1, len(widths), width_ratios=widths, height_ratios=heights)
    maps = [[finding.attributions[0][number] for _, _, finding in rows] for number in range(len(methods))]
    for row, (number, detection, finding) in enumerate(rows):
        _words(figure.add_subplot(grid[row, 0]), answer, number, detection)
        panels = [figure.add_subplot(grid[row, column]) for column in range(1, len(widths))]
        where = answer.clock, finding.start_frame, finding.real_frames
        spectrogram(panels[0], finding.log_mel, *where, norm, colours=look.medium.sound)
        panels[0].set_ylabel("Hz")
        for axes, found in zip(panels[1:], finding.attributions[0], strict=True):
            limit = evidence_limit([found])
            evidence(axes, found, answer.clock, finding.start_frame, limit, look, finding.log_mel)
            verdict_mark(axes, found, look.medium)
            axes.tick_params(labelleft=False)
        for axes in panels:
            axes.xaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _place: duration(max(at, 0.0)).removesuffix(" s")))
        if row == 0:
            for axes, title in zip(panels, ["log-mel of its best segment", *methods], strict=True):
                axes.set_title(title, pad=TITLE_PAD)
        if row == len(rows) - 1:
            for axes in panels:
                axes.set_xlabel("time in the recording")
    for column, each in enumerate(maps, 2):
        words = f"against \N{LEFT RIGHT ARROW} for ({units(each)})"
        colours = ScalarMappable(Normalize(-1.0, 1.0), look.medium.evidence)
        colour_bar(figure.add_subplot(grid[len(rows), column]), colours, words, "horizontal", numbers=False)
    if any(one.verdict for each in maps for one in each) and not look.medium.marks_only:
        figure.supxlabel(verdict_key(), x=0.99, ha="right", fontsize=7, color=QUIET)


def _words(axes: Axes, answer: DetectedExplanation, number: int, detection: Detection) -> None:
    axes.set_axis_off()
    axes.text(0.0, 0.95, str(number), transform=axes.transAxes, va="top", fontsize=11, fontweight="bold", color=RIGHT)
    where = f"{duration(detection.start_seconds)} to {duration(detection.end_seconds)}"
    lines = [label(detection.class_name, 18), f"highest {shown_score(detection.highest)}"]
    lines.append(f"mean {shown_score(detection.mean)}" if detection in answer.detections else "not detected")
    axes.text(0.17, 0.93, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=8.5, linespacing=1.25)
    segments = f"{where}\n{detection.segments} segment{'s' if detection.segments > 1 else ''}"
    axes.text(0.17, 0.05, segments, transform=axes.transAxes, va="bottom", fontsize=7, color=QUIET)
