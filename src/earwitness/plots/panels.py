"""Where in a picture which sound is shown: what a page needs to move a cursor over it."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

PREFIX = "panel"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A part of a picture with time to the right.

    Parameters
    ----------
    row, place
        Which segment or recording, and which of its maps, counted from 0; no map is None.
    left, top, width, height
        Shares of the picture's width and height, from its upper left corner.
    start_seconds, end_seconds
        The time at its left and right edge.
    """

    row: int
    place: int | None
    left: float
    top: float
    width: float
    height: float
    start_seconds: float
    end_seconds: float


def mark(axes: Axes, row: int, place: int | None = None) -> None:
    """Say which segment or recording axes show, and which of its maps, if one."""
    axes.set_gid(f"{PREFIX}-{row}" if place is None else f"{PREFIX}-{row}-{place}")


def panels_of(figure: Figure) -> tuple[Panel, ...]:
    """Return the marked axes of a figure that has been drawn, whose layout is settled only then."""
    found = []
    for axes in figure.axes:
        word, _, numbers = (axes.get_gid() or "").partition("-")
        if word != PREFIX:
            continue
        row, _, place = numbers.partition("-")
        box, (start, end) = axes.get_position(), axes.get_xlim()
        left, top, width, height = (round(each, 5) for each in (box.x0, 1 - box.y1, box.width, box.height))
        found.append(
            Panel(
                row=int(row),
                place=int(place) if place else None,
                left=left,
                top=top,
                width=width,
                height=height,
                start_seconds=round(float(start), 5),
                end_seconds=round(float(end), 5),
            )
        )
    return tuple(found)
