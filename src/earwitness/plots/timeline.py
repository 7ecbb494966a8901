"""The figure of a long recording: what each moment carries, and the moments that matter most in detail."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator

from earwitness.explainers.attribution import Attribution
from earwitness.explainers.findings import LongExplanation, duration, score_words
from earwitness.explainers.timeline import Timeline
from earwitness.plots.lanes import draw_detections, lane_height, lanes, time_axis
from earwitness.plots.maps import MapStyle, evidence, evidence_limit
from earwitness.plots.medium import SCREEN, Medium
from earwitness.plots.recording import (
    CLASS_HEIGHT,
    MAP_HEIGHT,
    PROFILE_HEIGHT,
    SOUND_HEIGHT,
    WIDTH,
    draw_fall,
    draw_segments,
    fall_of,
    headline,
    outline,
    right_edge,
    shown_classes,
    titled,
)
from earwitness.plots.style import (
    QUIET,
    colour_bar,
    label,
    overview,
    sound_limits,
    spectrogram,
    styled,
)

RIGHT_EDGE = 0.945  # share of the width; thousands of votes take more room beyond it than dozens
MOMENT_HEIGHT = 1.15  # inches, of its log-mel and of its map
PIECES_HEIGHT = 0.55  # inches
FEWEST_COLUMNS = 3  # of moments: one alone is not drawn as wide as the recording


@styled
def long_recording(whole: LongExplanation, medium: Medium = SCREEN) -> Figure:
    """Draw a long recording from its beginning to its end, and below it the moments that matter most.

    Parameters
    ----------
    whole
        The explanation, with at least one timeline.
    medium
        What it is drawn for.
    """
    lines = [line for listed in whole.timelines for line in listed]
    detailed = [line for line in lines if line.moments]
    classes = shown_classes(whole, [line.overall.target.index for line in lines])
    heights = [SOUND_HEIGHT, *(PROFILE_HEIGHT if _over_time(line.overall) else MAP_HEIGHT for line in lines)]
    names = lanes(whole, [line.overall.target_label for line in lines]) if whole.detections else []
    heights.append(lane_height(names) if names else max(0.6, CLASS_HEIGHT * len(classes)))
    upper = len(heights)
    for line in detailed:
        heights += [MOMENT_HEIGHT, MOMENT_HEIGHT, *[PIECES_HEIGHT] * _detected(line)]
    size = (medium.width(WIDTH), sum(heights) + 0.36 * len(heights) + 0.6)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(rect=(0.0, 0.0, right_edge(RIGHT_EDGE, medium), 1.0)))
    columns = max(FEWEST_COLUMNS, *(len(line.moments) for line in lines))
    widths = [*[1.0 / columns] * columns, 0.012]
    grid = figure.add_gridspec(len(heights), columns + 1, height_ratios=heights, width_ratios=widths)
    panels = [figure.add_subplot(grid[row, :columns]) for row in range(upper)]
    norm = sound_limits([whole.overview, *(each.log_mel for line in lines for each in line.moments)], whole.silence)
    overview(panels[0], whole.overview, whole.overview_edges, whole.clock, norm, medium.sound)
    panels[0].set_ylabel("Hz")
    titled(panels[0], "log-mel")
    colour_bar(figure.add_subplot(grid[0, -1]), ScalarMappable(norm, medium.sound), "louder \N{RIGHTWARDS ARROW}")
    for axes, line in zip(panels[1:], lines, strict=False):
        _draw_overall(axes, whole, line, medium)
    if names:
        draw_detections(panels[-1], whole, names)
    else:
        draw_segments(panels[-1], whole, classes)
    time_axis(panels, whole.seconds)
    panels[-1].set_xlabel("time in the recording")
    row = upper
    for line in detailed:
        # Each class has its own colours: beside a class that the recording is full of, another's maps would be blank.
        limit = evidence_limit([each.map for each in line.moments])
        rows = range(row, row + 2 + _detected(line))
        below = None
        for column in range(len(line.moments)):
            moment = [figure.add_subplot(grid[one, column]) for one in rows[:2]]
            _draw_moment(moment, whole, line, column, norm, limit, medium)
            if _detected(line):
                below = figure.add_subplot(grid[rows[2], column], sharey=below)
                _draw_pieces(below, whole, line, column, moment[1])
        colours = ScalarMappable(Normalize(-limit, limit), medium.evidence)
        colour_bar(figure.add_subplot(grid[rows[1], -1]), colours, "against \N{LEFT RIGHT ARROW} for")
        row = rows.stop
    figure.align_ylabels(panels[:-1])
    if not medium.marks_only:
        figure.suptitle(headline(whole), x=0.01, ha="left", fontsize=10, fontweight="bold")
    return medium.finished(figure)


def _detected(line: Timeline) -> bool:
    return any(moment.pieces for moment in line.moments)


def _over_time(overall: Attribution) -> bool:
    return overall.native.shape[1] == 1


def _draw_overall(axes: Axes, whole: LongExplanation, line: Timeline, medium: Medium) -> None:
    found, clock = line.overall, whole.clock
    what = f"{fall_of(found)} without"
    if not _over_time(found):
        evidence(axes, found, clock, 0, evidence_limit([found]), MapStyle(medium=medium))
        axes.set_ylabel("Hz")
        words = f"{line.method.title}: {what} all the time of {found.parameters['mask'][1]} bands"
        titled(axes, f"{line.method.title} for {label(found.target_label, 30)}" if medium.marks_only else words)
        return
    draw_fall(axes, found, clock)
    seconds = found.parameters["mask"][0] * clock.frame_seconds
    words = "numbered: the moments below" if line.moments else ""
    if _detected(line):
        words = "numbered, with a black line: without all of a detection below"
    if medium.marks_only:
        titled(axes, f"Over time, without {seconds:.2g} s")
    else:
        titled(axes, f"Over time: {what} {seconds:.2g} s", words)
    for moment in line.moments:
        if moment.pieces:
            whole_piece = moment.pieces[0]
            edges = clock.frame_edge_seconds(whole_piece.edges)
            axes.stairs(whole_piece.lost, edges, color="black", linewidth=0.9)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.22 * (high - low))  # room for the numbers
    for number, moment in enumerate(line.moments, 1):
        at = float(clock.frame_edge_seconds(moment.middle_frame))
        axes.text(at, 0.99, str(number), transform=axes.get_xaxis_transform(), ha="center", va="top", fontsize=7)


def _draw_moment(
    panels: list[Axes],
    whole: LongExplanation,
    line: Timeline,
    column: int,
    norm: Normalize,
    limit: float,
    medium: Medium,
) -> None:
    """Draw a moment's log-mel and, below it, its map."""
    moment, clock = line.moments[column], whole.clock
    upper, lower = panels
    frames = len(moment.log_mel)
    spectrogram(upper, moment.log_mel, clock, moment.start_frame, frames, norm, colours=medium.sound)
    outline(upper, clock, moment.map, moment.start_frame)
    evidence(lower, moment.map, clock, moment.start_frame, limit, MapStyle(medium=medium))
    first, end = clock.frame_start_seconds(moment.hidden).tolist()
    name = label(line.overall.target_label, 14)
    at = duration(first if moment.pieces else float(clock.frame_edge_seconds(moment.middle_frame)))
    upper.set_title(f"{name} {column + 1}: {at}", loc="left", pad=13.0)
    there, without = (score_words(moment.map, score) for score in (moment.score, moment.without))
    words = f"there {there}, without {without}"
    if moment.pieces:
        words = f"to {duration(end)}: {there}, without {without}"
    text = upper.text(0.0, 1.03, words, transform=upper.transAxes, va="bottom", fontsize=7, color=QUIET)
    text.set_in_layout(False)  # else a long one would part the panels
    for axes in panels:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=2, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _place: duration(seconds, 1).removesuffix(" s")))
        axes.tick_params(labelbottom=axes is lower, labelleft=column == 0)
        axes.set_ylabel("Hz" if column == 0 else "")


def _draw_pieces(axes: Axes, whole: LongExplanation, line: Timeline, column: int, above: Axes) -> None:
    """Draw how far the mean score falls without a detection, its halves, its quarters ... the finer, the darker."""
    moment, sizes = line.moments[column], len(line.moments[column].pieces)
    for place, each in enumerate(moment.pieces):
        shade = 0.75 * (1 - (place + 1) / sizes)
        edges = whole.clock.frame_edge_seconds(each.edges)
        axes.stairs(each.lost, edges, color=str(shade), linewidth=0.8 + 0.4 * (place + 1) / sizes)
    axes.axhline(0.0, color=QUIET, linewidth=0.5)
    axes.set_xlim(above.get_xlim())
    axes.xaxis.set_major_locator(above.xaxis.get_major_locator())
    axes.xaxis.set_major_formatter(above.xaxis.get_major_formatter())
    axes.yaxis.set_major_locator(MaxNLocator(nbins=2))
    above.tick_params(labelbottom=False)
    axes.tick_params(labelleft=column == 0)
    axes.set_ylabel("fall" if column == 0 else "")
