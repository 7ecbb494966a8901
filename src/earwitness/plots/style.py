"""What all figures share: style, the axes of time and frequency, colour bars, and files whose bytes repeat."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from earwitness.audio.timefreq import Clock
from earwitness.core.arrays import Float32Array, Float64Array, Int64Array
from earwitness.core.files import atomic_write
from earwitness.plots.medium import SCREEN, Medium

P = ParamSpec("P")


RIGHT, WRONG = "#1f5fa8", "#b3541e"
QUIET = "#666666"
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    # A dollar in a file's or a class's name is no formula.
    "text.parse_math": False,
    # In an SVG text stays text, and in a PDF its font is embedded whole in kind (TrueType), so that both can be edited.
    "svg.fonttype": "none",
    "svg.hashsalt": "earwitness",
    "pdf.fonttype": 42,
}
# What matplotlib would write into files: the time, its own version. The same figure gives the same bytes.
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
FONT = re.compile(r"((?:font-family: |px )'DejaVu Sans')")  # of text in an SVG
OCTAVES_HZ = (31.25, 62.5, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0, 32000.0)
LEAST_TICK_GAP_POINTS = 9.0
SMALL, LARGE = 0.01, 10_000.0  # what lies beyond is written with a power of ten
ROUND = (1, 2, 5)
OUTERMOST = 0.75  # share of a colour bar within which its numbers stand


@contextmanager
def style() -> Iterator[None]:
    """Draw in earwitness's style, whatever the user's own settings are."""
    with matplotlib.style.context(["default", STYLE]), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; the report's text holds it in full.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        yield


def styled(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make a figure function draw in earwitness's style."""

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            return function(*args, **kwargs)

    return inside


def save(figure: Figure, path: Path | str, medium: Medium = SCREEN) -> None:
    """Write a figure as an SVG or a PDF where its name ends so, else as a PNG, atomically.

    The same figure gives the same bytes.

    Parameters
    ----------
    figure
        Any that has not been written yet: writing settles its layout.
    path
        The target; its folder is made where it is missing.
    medium
        What it was drawn for.
    """
    ending = Path(path).suffix[1:].lower()
    kind = ending if ending in METADATA else "png"
    dpi = medium.dpi if kind == "png" else medium.cells_dpi
    with atomic_write(path) as temporary, style():
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=METADATA[kind])
        if kind == "svg":  # who lacks the font gets one of the same widths, or any without serifs
            text = temporary.read_text(encoding="utf-8")
            text = FONT.sub(r"\1, 'Bitstream Vera Sans', Verdana, sans-serif", text)
            temporary.write_text(text, encoding="utf-8", newline="\n")


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG."""
    stream = io.BytesIO()
    with style():
        figure.savefig(stream, format="png", dpi=SCREEN.dpi, metadata=METADATA["png"])
    return stream.getvalue()


def label(text: str, most: int = 26) -> str:
    """Return a name that fits a picture: one line, the middle left out where it is too long."""
    line = "".join(character if character.isprintable() else "\N{MIDDLE DOT}" for character in text)
    if len(line) <= most:
        return line
    end = (most - 1) // 2
    return f"{line[: most - 1 - end]}\N{HORIZONTAL ELLIPSIS}{line[len(line) - end :]}"


# ---- time and frequency -------------------------------------------------------------------------------------------


def spectrogram(
    axes: Axes,
    log_mel: Float32Array,
    clock: Clock,
    start_frame: int,
    real_frames: int,
    norm: Normalize,
    step: int = 1,
    colours: str = SCREEN.sound,
) -> QuadMesh:
    """Draw a log-mel (frames, bands): seconds of the recording to the right, hertz upwards, padding hatched.

    Parameters
    ----------
    axes
        Where.
    log_mel
        Shape (frames, bands).
    clock
        The front end's.
    start_frame
        Of the segment in its recording.
    real_frames
        Frames before the padding.
    norm
        Limits of the colours.
    step
        Frames that are drawn as one, the loudest of them: a picture has fewer dots than a long recording frames.
    colours
        Of the medium.
    """
    frames, bands = log_mel.shape
    starts = np.arange(0, frames, step)
    loudest = log_mel if step == 1 else np.maximum.reduceat(log_mel, starts, axis=0)
    edges = np.append(starts, frames)
    mesh = draw_cells(axes, loudest, clock, start_frame, edges, np.arange(bands + 1), colours, norm)
    finish_axes(axes, clock, start_frame, frames, real_frames)
    return mesh


def overview(
    axes: Axes,
    loudest: Float32Array,
    edges: Int64Array,
    clock: Clock,
    norm: Normalize,
    colours: str = SCREEN.sound,
) -> None:
    """Draw a recording of which only the loudest of every few frames is known, as :func:`spectrogram` does.

    Parameters
    ----------
    axes, clock, norm, colours
        As for :func:`spectrogram`.
    loudest
        Shape (columns, bands).
    edges
        Shape (columns + 1,): the columns' edges in frames of the recording.
    """
    draw_cells(axes, loudest, clock, 0, edges, np.arange(loudest.shape[1] + 1), colours, norm)
    finish_axes(axes, clock, 0, int(edges[-1]), int(edges[-1]))


def draw_cells(
    axes: Axes,
    values: Float32Array,
    clock: Clock,
    start_frame: int,
    frame_edges: npt.NDArray[Any],
    band_edges: npt.NDArray[Any],
    colours: str,
    norm: Normalize,
) -> QuadMesh:
    """Draw cells between edges in frames of a segment and in bands; the axes are left as they are."""
    seconds = clock.frame_edge_seconds(start_frame + frame_edges)
    hertz = clock.band_edge_hz(band_edges)
    return axes.pcolormesh(seconds, hertz, values.T, cmap=colours, norm=norm, rasterized=True)


def finish_axes(axes: Axes, clock: Clock, start_frame: int, frames: int, real_frames: int) -> None:
    """Scale and tick the axes, and hatch the padding."""
    first, end = clock.frame_edge_seconds(start_frame + np.array([0, frames])).tolist()
    hatch_padding(axes, clock, start_frame, frames, real_frames)
    axes.set_xlim(first, end)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    mel_axis(axes, clock)


def hatch_padding(axes: Axes, clock: Clock, start_frame: int, frames: int, real_frames: int) -> None:
    """Hatch the frames after the real ones, if there are such."""
    if real_frames < frames:
        first, end = clock.frame_edge_seconds(start_frame + np.array([real_frames, frames])).tolist()
        axes.axvspan(first, end, facecolor="#dddddd", edgecolor="#888888", hatch="////", linewidth=0.0, zorder=3)


def mel_axis(axes: Axes, clock: Clock) -> None:
    """Space the vertical axis as the bands are (evenly in mel), with ticks at octaves of 1 kHz."""
    low, high = clock.band_edge_hz([0, clock.bands]).tolist()
    axes.set_yscale("function", functions=(clock.to_scale, clock.from_scale))
    axes.set_ylim(low, high)
    figure = axes.get_figure(root=True)
    height = axes.get_position().height * (figure.get_figheight() if figure else 1.0) * 72
    axes.yaxis.set_major_locator(FixedLocator(octave_ticks(clock, LEAST_TICK_GAP_POINTS / height)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda hz, _position: hertz(hz)))


def octave_ticks(clock: Clock, least_gap: float) -> list[float]:
    """Return the octaves of 1 kHz within a clock's range, from below, none nearer to the next than a share of the axis.

    Parameters
    ----------
    clock
        The front end's.
    least_gap
        0 to 1.
    """
    low, high = clock.band_edge_hz([0, clock.bands])
    bottom, top = clock.to_scale([low, high])
    kept: list[float] = []
    last = np.inf
    for hz in reversed([octave for octave in OCTAVES_HZ if low <= octave <= high]):
        place = float((clock.to_scale(hz) - bottom) / (top - bottom))
        if last - place >= least_gap:
            kept.insert(0, hz)
            last = place
    return kept


def hertz(hz: float) -> str:
    """Return a frequency as a tick's text: 500, 1k, 2k."""
    return f"{hz / 1000:g}k" if hz >= 1000 else f"{hz:g}"


def sound_limits(log_mels: Sequence[Float32Array], silence: float) -> Normalize:
    """Return shared colour limits of log-mels: from silence, or what is quieter than all but 2 %, to the loudest."""
    cells: Float64Array = np.concatenate([values.ravel() for values in log_mels]).astype(np.float64)
    sounding = cells[cells > silence + 1e-3]
    if not sounding.size:
        return Normalize(silence, silence + 1.0)
    low, high = np.percentile(sounding, [2.0, 99.95]).tolist()
    return Normalize(low, max(high, low + 1e-3))


def bar_ticks(low: float, high: float) -> list[float]:
    """Return two or three round numbers between limits; of limits that are opposite, 0 and one number to either side.

    None is so near to an end that its text would reach another bar's.
    """
    if low == -high:
        size = high * OUTERMOST
        place = 10.0 ** np.floor(np.log10(size))
        outer = float(place * max(digit for digit in ROUND if digit * place <= size))
        return [-outer, 0.0, outer]
    margin = (high - low) * (1 - OUTERMOST) / 2
    inside = low + margin, high - margin
    place = 10.0 ** np.ceil(np.log10(high - low))
    for step in (place * digit / ten for ten in (1, 10, 100) for digit in reversed(ROUND)):
        first, last = np.ceil(inside[0] / step), np.floor(inside[1] / step)
        if last > first:
            return [float(number * step) for number in np.arange(first, last + 1, 1 if last - first < 3 else 2)]
    return []


def short(value: float) -> str:
    """Return a number as a tick's text of few letters, very small and large ones with a power of ten."""
    text = f"{value + 0.0:g}" if value == 0 or SMALL <= abs(value) < LARGE else f"{value:.3e}"
    digits, power, exponent = text.partition("e")
    if power:
        digits = digits.rstrip("0").rstrip(".") + f"e{int(exponent)}"
    return digits.replace("-", "\N{MINUS SIGN}")


def colour_bar(
    axes: Axes, colours: ScalarMappable, text: str, orientation: str = "vertical", *, numbers: bool = True
) -> None:
    """Draw what colours mean, with few numbers; 0 stays in the middle where they tell for from against.

    Parameters
    ----------
    axes
        Where; nothing else is in them.
    colours
        The colours and their limits.
    text
        In a few words.
    orientation
        ``"vertical"`` or ``"horizontal"``.
    numbers
        False where each map has limits of its own: then the ends are named.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(colours, cax=axes, orientation=orientation)
    if numbers:
        ticks = bar_ticks(*colours.get_clim())
        bar.set_ticks(ticks, labels=[short(tick) for tick in ticks])
    else:
        bar.set_ticks([-OUTERMOST, 0.0, OUTERMOST], labels=["\N{MINUS SIGN}peak", "0", "+peak"])
    bar.set_label(text, fontsize=7.5)
    bar.outline.set_linewidth(0.5)
    as_picture(bar)


def as_picture(bar: Colorbar) -> None:
    """Make a colour bar's colours a picture in an SVG or PDF, as cells are there."""
    if bar.solids is not None:
        bar.solids.set_rasterized(True)
