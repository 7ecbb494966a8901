"""What was detected in a recording, a lane a class, and the axis of time that panels above each other share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MultipleLocator

from earwitness.explainers.findings import RecordingExplanation, duration
from earwitness.plots.recording import LIGHT, titled
from earwitness.plots.style import RIGHT, label

if TYPE_CHECKING:
    from earwitness.models.detections import Detection

MOST_CLASSES = 6
LANE_HEIGHT, LEAST_HEIGHT = 0.3, 0.6  # inches
FULL = 0.72  # height of a score of 1, as share of its class's lane
MOST_TICKS = 10
# Seconds from tick to tick.
STEPS = (10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


def lane_height(classes: Sequence[str]) -> float:
    """Return the height of so many lanes in inches."""
    return max(LEAST_HEIGHT, LANE_HEIGHT * len(classes))


def lanes(whole: RecordingExplanation, first: Sequence[str]) -> list[str]:
    """Return the classes that have a lane: those of what is explained, then those that were detected longest."""
    lengths: dict[str, float] = {}
    for each in whole.detections:
        lengths[each.class_name] = lengths.get(each.class_name, 0.0) + each.seconds
    longest = sorted(lengths, key=lambda name: -lengths[name])
    return list(dict.fromkeys([*first, *longest]))[: max(MOST_CLASSES, len(set(first)))]


def draw_detections(
    axes: Axes, whole: RecordingExplanation, classes: Sequence[str], numbers: dict[Detection, int] | None = None
) -> None:
    """Draw a lane a class: its segments' scores, dark where it was detected, with the numbers of what is explained.

    Parameters
    ----------
    axes
        Where.
    whole
        The recording.
    classes
        From above.
    numbers
        Of detections that are explained.
    """
    middles = whole.start_frames + whole.segment_frames / 2
    halves = (middles[1:] + middles[:-1]) / 2
    edges = whole.clock.frame_start_seconds(
        np.concatenate([[whole.start_frames[0]], halves, [whole.start_frames[-1] + whole.segment_frames]])
    )
    places = list(range(len(classes)))[::-1]
    for place, name in zip(places, classes, strict=True):
        scores = FULL * whole.scores[:, whole.classes.index(name)]
        axes.stairs(place + scores, edges, baseline=place, fill=True, color=LIGHT, linewidth=0.0)
        for each in (one for one in whole.detections if one.class_name == name):
            height = FULL * each.mean
            axes.broken_barh([(each.start_seconds, each.seconds)], (place, height), color=RIGHT, linewidth=0.0)
        for each, number in (numbers or {}).items():
            if each.class_name == name:
                middle = (each.start_seconds + each.end_seconds) / 2
                axes.text(middle, place + FULL * each.highest, str(number), ha="center", va="bottom", fontsize=7)
        axes.axhline(place, color="#aaaaaa", linewidth=0.5)
    axes.set_ylim(0, len(classes) + 0.1)
    axes.set_yticks([place + FULL / 2 for place in places], [label(name, 18) for name in classes])
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    left = len({each.class_name for each in whole.detections}.difference(classes))
    more = f"; {left} more class{'es' if left > 1 else ''} detected" if left else ""
    seconds = whole.segment_frames * whole.clock.frame_seconds
    titled(axes, f"Detected (dark, to its mean score), over the score of each segment of {seconds:.2f} s{more}")


def time_axis(panels: Sequence[Axes], seconds: float) -> None:
    """Give panels above each other one axis of time, in minutes or hours, with round steps."""
    step = next((each for each in STEPS if seconds / each <= MOST_TICKS), STEPS[-1])
    for axes in panels:
        axes.set_xlim(panels[0].get_xlim())
        axes.xaxis.set_major_locator(MultipleLocator(step))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _place: duration(at, 0) if at else "0"))
        axes.tick_params(labelbottom=axes is panels[-1])
