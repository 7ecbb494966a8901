"""One map as a picture: its cells in signed colours, how strong it is, its verdict; words where there is nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from scipy.ndimage import map_coordinates

from earwitness.audio.timefreq import Clock
from earwitness.core.arrays import Float32Array, Float64Array
from earwitness.core.errors import UsageError
from earwitness.explainers.attribution import CONSTANT, SILENT, Attribution
from earwitness.plots.medium import SCREEN, Medium
from earwitness.plots.style import QUIET, SMALL, WRONG, draw_cells, finish_axes, sound_limits
from earwitness.trust.verdicts.verdict import NOT_RELIABLE, RELIABLE, WEAK, percent

UPSAMPLING = ("nearest", "bicubic")
SAME = 1e-6  # relative difference of numbers that are shown as one
OPAQUE = 0.85  # of the strongest evidence that is laid over a log-mel
BEHIND_COLOURS = "gray"  # of a log-mel under a map
# Told apart by how full the circle is, by the words, and by how dark the colour is: no eye needs the hue.
VERDICT_MARKS = {
    RELIABLE: ("\N{BLACK CIRCLE}", "#0b4f2f"),
    WEAK: ("\N{CIRCLE WITH LEFT HALF BLACK}", "#8a6100"),
    NOT_RELIABLE: ("\N{WHITE CIRCLE}", WRONG),
}


@dataclass(frozen=True)
class MapStyle:
    """How maps are drawn.

    Parameters
    ----------
    upsampling
        ``"nearest"``: the method's own cells, as they were measured; ``"bicubic"``: cubic interpolation between their
        middles, as MATLAB enlarges them (its ``gradCAM``).
    overlay
        Lay maps over the log-mel, in grey, the more transparent the weaker the evidence.
    common
        Give all maps of a method one colour scale, to compare segments. Otherwise each segment has its own for each
        method, which its targets share.
    medium
        What they are drawn for.

    Raises
    ------
    UsageError
        There is no such upsampling.
    """

    upsampling: str = "nearest"
    overlay: bool = False
    common: bool = False
    medium: Medium = SCREEN

    def __post_init__(self) -> None:
        if self.upsampling not in UPSAMPLING:
            raise UsageError(f"--upsampling {self.upsampling}: use {' or '.join(UPSAMPLING)}")


PLAIN = MapStyle()


def evidence(
    axes: Axes,
    attribution: Attribution,
    clock: Clock,
    start_frame: int,
    limit: float,
    look: MapStyle = PLAIN,
    behind: Float32Array | None = None,
) -> None:
    """Draw an attribution's own cells, signed; words where there is nothing to draw.

    Parameters
    ----------
    axes
        Where.
    attribution
        What.
    clock
        The front end's.
    start_frame
        Of the segment in its recording.
    limit
        The colours reach from minus this to plus this.
    look
        How.
    behind
        The segment's log-mel, shape (frames, bands), over which the map is laid where ``look`` says so.
    """
    frames, bands = attribution.values.shape
    words = nothing(attribution)
    if words:
        finish_axes(axes, clock, start_frame, frames, attribution.real_frames)
        axes.set_facecolor("#eeeeee")
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color=QUIET, fontsize=7.5)
        return
    on_grid = len(attribution.frame_edges) > 1
    time_edges = attribution.frame_edges if on_grid else np.arange(frames + 1.0)
    band_edges = attribution.band_edges if on_grid else np.arange(bands + 1.0)
    cells = attribution.native
    if look.upsampling == "bicubic":
        cells = enlarged(cells, time_edges, band_edges)
        time_edges, band_edges = np.arange(frames + 1.0), np.arange(bands + 1.0)
    norm = Normalize(-limit, limit)
    if look.overlay and behind is not None:
        grey = sound_limits([behind], float(behind.min()))
        draw_cells(axes, behind, clock, start_frame, np.arange(frames + 1), np.arange(bands + 1), BEHIND_COLOURS, grey)
    mesh = draw_cells(axes, cells, clock, start_frame, time_edges, band_edges, look.medium.evidence, norm)
    if look.overlay and behind is not None:
        mesh.set_alpha(np.clip(np.abs(cells.T) / limit, 0.0, 1.0) * OPAQUE)  # type: ignore[arg-type]  # arrays do
    finish_axes(axes, clock, start_frame, frames, attribution.real_frames)
    strongest = float(attribution.native.ravel()[np.argmax(np.abs(attribution.native))])
    # Where colours reach further than this map's own peak, it looks weak; the numbers say that it is compared.
    words = f"peak {_number(strongest, '+')}"
    if limit > abs(strongest) * (1 + SAME):
        # A verdict beside it leaves room for numbers alone.
        short = f"{_number(strongest, '+')}/{_number(limit)}"
        words = f"{words} of {_number(limit)}" if attribution.verdict is None else short
    axes.text(1.0, 1.015, words, transform=axes.transAxes, ha="right", va="bottom", fontsize=6, color=QUIET)


def enlarged(cells: Float32Array, time_edges: Float64Array, band_edges: Float64Array) -> Float32Array:
    """Return a map on frames and bands, by cubic interpolation between the middles of its cells.

    Parameters
    ----------
    cells
        Shape (rows, columns).
    time_edges, band_edges
        Shapes (rows + 1,) and (columns + 1,): edges of the cells in frames and bands; the last are how many there are.
    """
    sides = [
        np.interp(np.arange(edges[-1]) + 0.5, (edges[:-1] + edges[1:]) / 2, np.arange(len(edges) - 1.0))
        for edges in (time_edges, band_edges)
    ]
    return map_coordinates(cells, np.meshgrid(*sides, indexing="ij"), order=3, mode="nearest").astype(np.float32)


def _number(value: float, sign: str = "") -> str:
    """Return a number so short that a verdict can stand beside it: +0.044, +7e-5."""
    text = f"{value:{sign}.2g}" if abs(value) >= SMALL else f"{value:{sign}.0e}".replace("e-0", "e-")
    return text.replace("-", "\N{MINUS SIGN}")


def verdict_text(attribution: Attribution) -> str:
    """Return an attribution's verdict in a few letters, such as ``● reliable 83 %``; empty where it has none."""
    if attribution.verdict is None:
        return ""
    level, chance = str(attribution.verdict["level"]), float(attribution.verdict["chance"])
    return f"{VERDICT_MARKS[level][0]} {level} {percent(chance)} %"


def verdict_key() -> str:
    """Return what the marks of verdicts mean, in one line."""
    marks = "  ".join(f"{mark} {level}" for level, (mark, _colour) in VERDICT_MARKS.items())
    return f"Verdicts:  {marks};  per cent: chance that the reddest cells are the evidence"


def verdict_mark(axes: Axes, attribution: Attribution, medium: Medium = SCREEN) -> None:
    """Write an attribution's verdict, or its mark alone, over the left end of its map; nothing where it has none."""
    words = verdict_text(attribution)
    if words and attribution.verdict is not None:
        mark, colour = VERDICT_MARKS[str(attribution.verdict["level"])]
        words = mark if medium.marks_only else words
        axes.text(0.0, 1.015, words, transform=axes.transAxes, ha="left", va="bottom", fontsize=7, color=colour)


def nothing(attribution: Attribution) -> str:
    """Return why a map is not drawn, in words; empty where it shows something."""
    if SILENT in attribution.flags:
        return "silent:\nnothing sounds here"
    if CONSTANT in attribution.flags:
        return "constant:\nnothing stands out"
    return ""


def evidence_limit(attributions: Sequence[Attribution]) -> float:
    """Return the shared colour limit of maps: the largest size of any that shows something."""
    sizes = [float(np.abs(each.native).max(initial=0.0)) for each in attributions if not nothing(each)]
    return max([*sizes, 0.0]) or 1.0


def units(attributions: Sequence[Attribution]) -> str:
    """Return the kinds of score that maps are in, for a colour bar."""
    return " or ".join(sorted({each.score_kind for each in attributions}))
