"""Maps as a paper prints them: as wide as its columns, letters of 7 to 8 points, no words that its caption says."""

from __future__ import annotations

import string
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from earwitness.explainers.attribution import Attribution
from earwitness.explainers.findings import Finding, Inquiry, shown_score
from earwitness.plots.evidence import LOG_MEL, SHORT_NAME, TITLE_PAD, colour_limits, for_whom, frame_wrong
from earwitness.plots.maps import MapStyle, evidence, units, verdict_mark
from earwitness.plots.medium import COLUMN, PAGE
from earwitness.plots.panels import mark
from earwitness.plots.style import colour_bar, label, sound_limits, spectrogram, styled

MOST_ACROSS = 5  # panels beside each other: narrower ones hold no letters of 7 points
PANEL_HEIGHT, WORDS_HEIGHT, BARS_HEIGHT = 0.9, 0.75, 0.65  # inches: of a panel, the words around it, all colour bars
BAR_HEIGHT = 0.07  # of a panel
FEW_TICKS = 3  # panels from which on each has fewer ticks


@styled
def maps(inquiry: Inquiry, look: MapStyle) -> Figure:
    """Draw the evidence as :func:`earwitness.plots.evidence.maps` does, in the width of a paper's column or of two.

    Parameters
    ----------
    inquiry
        With findings that have attributions.
    look
        How maps are drawn.
    """
    shown, methods, targets = inquiry.findings, len(inquiry.methods), len(inquiry.targets)
    places, lines = _places(methods, targets)
    across = 1 + max(column for _, column in places.values())
    width = COLUMN if across == 2 else PAGE
    height = len(shown) * lines * (PANEL_HEIGHT + WORDS_HEIGHT) + BARS_HEIGHT
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03))
    rows = len(shown) * lines
    grid = figure.add_gridspec(rows + 1, across, height_ratios=[1.0] * rows + [BAR_HEIGHT])
    norm = sound_limits([each.log_mel for each in shown], inquiry.silence)
    limits = colour_limits(inquiry, look.common)
    for row, each in enumerate(shown):
        first = figure.add_subplot(grid[row * lines, 0])
        spectrogram(
            first, each.log_mel, inquiry.clock, each.start_frame, each.real_frames, norm, colours=look.medium.sound
        )
        first.set_title(_words(each, row if len(shown) > 1 else None), loc="left", pad=4.0)
        mark(first, row)
        if not each.right:
            frame_wrong(first)
        panels = [first]
        for place, ((target, method), (line, column)) in enumerate(places.items()):
            axes = figure.add_subplot(grid[row * lines + line, column])
            mark(axes, row, place)
            found = each.attributions[target][method]
            evidence(axes, found, inquiry.clock, each.start_frame, limits[row][method], look, each.log_mel)
            verdict_mark(axes, found, look.medium)
            if row == 0 or lines > 1:
                name = for_whom(inquiry, target, 8 if across > FEW_TICKS else SHORT_NAME)
                axes.set_title(f"{inquiry.methods[method]}\n{name}", pad=TITLE_PAD)
            axes.tick_params(labelleft=column == 1 and line > 0)
            panels.append(axes)
        _finish(panels, across, last=row == len(shown) - 1)
    bars = figure.add_subplot(grid[rows, 0])
    colour_bar(bars, ScalarMappable(norm, look.medium.sound), f"{LOG_MEL} (louder \N{RIGHTWARDS ARROW})", "horizontal")
    for column in range(1, across):
        listed = [key for key, (_, place) in places.items() if place == column]
        drawn = [each.attributions[target][method] for each in shown for target, method in listed]
        one_scale = len({method for _, method in listed}) == 1 and (look.common or len(shown) == 1)
        limit = limits[0][listed[0][1]] if one_scale else 1.0
        _evidence_bar(figure.add_subplot(grid[rows, column]), drawn, limit, look, numbers=one_scale)
    return look.medium.finished(figure)


def _places(methods: int, targets: int) -> tuple[dict[tuple[int, int], tuple[int, int]], int]:
    """Return the line and column of each target's and method's map, and how many lines a segment takes.

    All stand beside the log-mel where there is room for them, else each target has lines of its own below it.
    """
    if 1 + targets * methods <= MOST_ACROSS:
        one = {
            (target, method): (0, 1 + target * methods + method)
            for target in range(targets)
            for method in range(methods)
        }
        return one, 1
    lines = -(-methods // (MOST_ACROSS - 1))  # of a target
    across = -(-methods // lines)
    several = {
        (target, method): (target * lines + method // across, 1 + method % across)
        for target in range(targets)
        for method in range(methods)
    }
    return several, targets * lines


def _words(each: Finding, row: int | None) -> str:
    """Return what stands over a log-mel: a letter for the caption, the true class, the predicted one."""
    letters = string.ascii_lowercase
    lead = "" if row is None else f"({letters[row // 26 - 1] if row >= 26 else ''}{letters[row % 26]}) "
    lines = [f"predicted {label(each.predicted, 14)}", f"score {shown_score(each.score)}"]
    if each.label is not None:
        lines.insert(0, f"true {label(each.label, 15)}")
    return lead + "\n".join(lines)


def _finish(panels: Sequence[Axes], across: int, *, last: bool) -> None:
    """Name the axes once, and give narrow ones few ticks."""
    panels[0].set_ylabel("Hz")
    for axes in panels:
        if across > FEW_TICKS:
            axes.xaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
        if last:
            axes.set_xlabel("time (s)")


def _evidence_bar(axes: Axes, found: Sequence[Attribution], limit: float, look: MapStyle, *, numbers: bool) -> None:
    colours = ScalarMappable(Normalize(-limit, limit), look.medium.evidence)
    words = f"against \N{LEFT RIGHT ARROW} for\n({units(found)})"
    colour_bar(axes, colours, words, "horizontal", numbers=numbers)
