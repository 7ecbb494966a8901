"""The figure of a whole recording: log-mel, evidence, what each moment carries, what segments were predicted as."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from earwitness.audio.timefreq import Clock
from earwitness.core.arrays import BoolArray, Float64Array
from earwitness.explainers.attribution import Attribution
from earwitness.explainers.findings import (
    RecordingExplanation,
    WholeExplanation,
    WholeMap,
    score_name,
    score_words,
    shown_score,
)
from earwitness.explainers.parameters import spec
from earwitness.plots.maps import MapStyle, evidence, evidence_limit, nothing
from earwitness.plots.medium import SCREEN, Medium
from earwitness.plots.style import (
    QUIET,
    RIGHT,
    colour_bar,
    hatch_padding,
    label,
    sound_limits,
    spectrogram,
    styled,
)

WIDTH = 11.0  # inches
RIGHT_EDGE = 0.965  # share of the width; the counts of votes reach beyond it
MOST_COLUMNS = 1500  # cells of a spectrogram from left to right
MOST_CLASSES = 5  # rows of what segments were predicted as
LEAST_SCORE = 0.05  # of a segment, for a class that is neither explained nor voted for to have a row
FOR, AGAINST = "#b2182b", "#2166ac"
LIGHT = "#b9cfe8"
FULL_SCORE = 0.86  # height of a score of 1, as share of its class's row
STRONG = 0.5  # share of a map's largest cell from which on cells are outlined on the spectrogram
# Heights of the rows, in inches.
SOUND_HEIGHT, MAP_HEIGHT, PROFILE_HEIGHT, CLASS_HEIGHT = 1.5, 1.5, 0.85, 0.26


@styled
def whole_recording(whole: WholeExplanation, medium: Medium = SCREEN) -> Figure:
    """Draw a recording from its beginning to its end: log-mel, evidence, time profile, segments, below each other.

    Parameters
    ----------
    whole
        The explanation, with at least one map.
    medium
        What it is drawn for.
    """
    found = [each for listed in whole.maps for each in listed]
    classes = shown_classes(whole, [listed[0].map.target.index for listed in whole.maps])
    heights = [SOUND_HEIGHT]
    for each in found:
        heights += [PROFILE_HEIGHT] if each.map is each.profile else [MAP_HEIGHT, PROFILE_HEIGHT]
    heights.append(max(0.6, CLASS_HEIGHT * len(classes)))
    size = (medium.width(WIDTH), sum(heights) + 0.32 * len(heights) + 0.6)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(rect=(0.0, 0.0, right_edge(RIGHT_EDGE, medium), 1.0)))
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=[1.0, 0.012])
    panels = [figure.add_subplot(grid[row, 0]) for row in range(len(heights))]
    step = -(-len(whole.log_mel) // MOST_COLUMNS)
    norm = sound_limits([whole.log_mel[::step]], whole.silence)
    spectrogram(panels[0], whole.log_mel, whole.clock, 0, whole.real_frames, norm, step, medium.sound)
    panels[0].set_ylabel("Hz")
    titled(panels[0], "log-mel")
    colour_bar(figure.add_subplot(grid[0, 1]), ScalarMappable(norm, medium.sound), "louder \N{RIGHTWARDS ARROW}")
    if outline(panels[0], whole.clock, found[0].map):
        words = (
            f"outlined: strong evidence for {label(found[0].map.target_label, 30)} (half of the map's peak and more)"
        )
        titled(panels[0], "log-mel", words)
    row = 1
    for each in found:
        if each.map is not each.profile:
            # Maps in one unit share their colours, so that they can be compared.
            limit = evidence_limit([one.map for one in found if one.map.score_kind == each.map.score_kind])
            _draw_map(panels[row], whole, each, limit, medium)
            colours = ScalarMappable(Normalize(-limit, limit), medium.evidence)
            colour_bar(figure.add_subplot(grid[row, 1]), colours, "against \N{LEFT RIGHT ARROW} for")
            row += 1
        _draw_profile(panels[row], whole, each, medium)
        row += 1
    draw_segments(panels[-1], whole, classes)
    for axes in panels:
        axes.set_xlim(panels[0].get_xlim())
        axes.xaxis.set_major_locator(MaxNLocator(nbins=12, steps=[1, 2, 5, 10]))
        axes.tick_params(labelbottom=axes is panels[-1])
    panels[-1].set_xlabel("seconds in the recording")
    figure.align_ylabels(panels[:-1])
    if not medium.marks_only:
        figure.suptitle(headline(whole), x=0.01, ha="left", fontsize=10, fontweight="bold")
    return medium.finished(figure)


def right_edge(edge: float, medium: Medium) -> float:
    """Return how far panels reach, as share of the width: words beyond them are as long in narrow figures."""
    narrower = WIDTH / medium.width(WIDTH)
    return edge if narrower == 1 else 1 - (1 - edge) * narrower


def headline(whole: RecordingExplanation) -> str:
    """Return a recording's name and what it was predicted as."""
    best, voted = whole.best(1)[0], whole.voted
    file, name = label(whole.file, 40), label(whole.classes[best], 30)
    score = shown_score(float(whole.mean[best]))
    if best == voted:
        return f"{file}: predicted as {name} (mean score {score}, votes of {whole.vote_words(best)})"
    other = label(whole.classes[voted], 30)
    return f"{file}: predicted as {name} by mean score ({score}), as {other} by votes ({whole.vote_words(voted)})"


def titled(axes: Axes, left: str, right: str = "") -> None:
    """Write above a panel, to the left and small to the right."""
    axes.set_title(left, loc="left", pad=4.0)
    if right:
        axes.set_title(right, loc="right", pad=4.0, fontsize=7, color=QUIET)


# ---- evidence -----------------------------------------------------------------------------------------------------


def _draw_map(axes: Axes, whole: WholeExplanation, each: WholeMap, limit: float, medium: Medium) -> None:
    evidence(axes, each.map, whole.clock, 0, limit, MapStyle(medium=medium))
    axes.set_ylabel("Hz")
    bands = each.map.parameters["mask"][1]
    what = (
        f"all the time of {bands} bands" if each.method.along == "bands" else f"{_hidden(whole, each)} x {bands} bands"
    )
    words = f"{each.method.title}{_given(each)}: {fall_of(each.map)} without {what}"
    titled(axes, f"{each.method.title} for {label(each.map.target_label, 30)}" if medium.marks_only else words)


def _draw_profile(axes: Axes, whole: WholeExplanation, each: WholeMap, medium: Medium) -> None:
    """Draw how far the mean score falls without each moment."""
    draw_fall(axes, each.profile, whole.clock)
    hatch_padding(axes, whole.clock, 0, len(whole.log_mel), whole.real_frames)
    words = f"Over time{_given(each)}: {fall_of(each.profile)} without {_hidden(whole, each)}"
    titled(axes, f"Over time, without {_hidden(whole, each)}" if medium.marks_only else words)


def draw_fall(axes: Axes, found: Attribution, clock: Clock) -> None:
    """Draw a profile over time of a recording: what speaks for the class upwards, what speaks against it downwards."""
    fall, edges = found.native[:, 0], clock.frame_edge_seconds(found.frame_edges)
    if words := nothing(found):
        axes.set_facecolor("#eeeeee")
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color=QUIET, fontsize=7.5)
        axes.set_yticks([])
    else:
        for part, colour in ((np.maximum(fall, 0.0), FOR), (np.minimum(fall, 0.0), AGAINST)):
            axes.stairs(part, edges, fill=True, color=colour, alpha=0.85, linewidth=0.0)
        axes.axhline(0.0, color=QUIET, linewidth=0.6)
        axes.margins(y=0.1)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
    axes.set_ylabel("fall")


def _given(each: WholeMap) -> str:
    """Return the parameters that were given to a method, in brackets."""
    _, _, given = spec(each.method).partition(":")
    return f" ({label(given, 40)})" if given else ""


def fall_of(found: Attribution) -> str:
    """Return in words whose fall a map tells."""
    score = score_words(found, found.score)
    return f"fall of the mean {score_name(found)} for {label(found.target_label, 30)} ({score})"


def _hidden(whole: WholeExplanation, each: WholeMap) -> str:
    """Return how long a mask hides."""
    return f"{min(each.profile.parameters['mask'][0], whole.real_frames) * whole.clock.frame_seconds:.2g} s"


def outline(axes: Axes, clock: Clock, found: Attribution, start_frame: int = 0) -> bool:
    """Draw a line around the cells of the strongest evidence for the class; False where there are none."""
    strong = found.native >= STRONG * float(np.abs(found.native).max(initial=0.0))
    if nothing(found) or not strong.any() or not len(found.frame_edges):
        return False
    seconds, hertz = clock.frame_edge_seconds(start_frame + found.frame_edges), clock.band_edge_hz(found.band_edges)
    lines = LineCollection(borders(strong, seconds, hertz), colors="white", linewidths=1.1, capstyle="projecting")
    lines.set_path_effects([patheffects.Stroke(linewidth=2.2, foreground="black"), patheffects.Normal()])
    axes.add_collection(lines, autolim=False)
    return True


def borders(inside: BoolArray, seconds: Float64Array, hertz: Float64Array) -> list[list[tuple[float, float]]]:
    """Return the lines between cells that are inside and cells that are not, each from point to point."""
    padded = np.pad(inside, 1)
    upright = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1]).tolist()
    level = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1]).tolist()
    lines = [[(float(seconds[row]), float(hertz[column + end])) for end in (0, 1)] for row, column in upright]
    return lines + [[(float(seconds[row + end]), float(hertz[column])) for end in (0, 1)] for row, column in level]


# ---- segments -----------------------------------------------------------------------------------------------------


def shown_classes(whole: RecordingExplanation, explained: Sequence[int]) -> list[int]:
    """Return the classes to show: those explained, those with most votes, those that a segment scores at least."""
    voted = [int(index) for index in np.argsort(-whole.votes, kind="stable") if whole.votes[index]]
    most = whole.scores.max(axis=0)
    listed = [*explained, *voted, *(index for index in whole.best(MOST_CLASSES) if most[index] >= LEAST_SCORE)]
    return list(dict.fromkeys(listed))[: max(MOST_CLASSES, len(set(explained)))]


def draw_segments(axes: Axes, whole: RecordingExplanation, classes: Sequence[int]) -> None:
    """Draw each segment's scores around its middle, a row a class, dark where the segment votes for it."""
    length, count = whole.segment_frames, len(whole.scores)
    middles = whole.start_frames + length / 2
    hop = float(middles[1] - middles[0]) if count > 1 else float(length)
    between = (middles[1:] + middles[:-1]) / 2  # the last segment may lie nearer to the one before it
    edges = whole.clock.frame_edge_seconds(np.array([middles[0] - hop / 2, *between, middles[-1] + hop / 2]))
    places = np.arange(len(classes))[::-1]
    for place, index in zip(places.tolist(), classes, strict=True):
        height = FULL_SCORE * whole.scores[:, index]
        axes.stairs(place + height, edges, baseline=place, fill=True, color=LIGHT, linewidth=0.0)
        chosen = np.where(whole.predicted == index, height, 0.0)
        axes.stairs(place + chosen, edges, baseline=place, fill=True, color=RIGHT, linewidth=0.0)
        axes.axhline(place, color="#aaaaaa", linewidth=0.5)
        words = f"{whole.votes[index]} of {count}, mean {shown_score(float(whole.mean[index]))}"
        where = (1.006, place + FULL_SCORE / 2)
        text = axes.text(*where, words, transform=axes.get_yaxis_transform(), va="center", fontsize=7, color=QUIET)
        text.set_in_layout(False)  # else the panels above would end where these words do
    axes.set_ylim(0, len(classes))
    axes.set_yticks(places + FULL_SCORE / 2, [label(whole.classes[index], 18) for index in classes])
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    seconds = length * whole.clock.frame_seconds
    titled(
        axes,
        f"Scores of each segment of {seconds:.2f} s, at its middle, from 0 to 1; dark where it votes so",
    )
