"""What figures are drawn for: a screen, or the columns of a paper."""

from __future__ import annotations

import math
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.text import Text

from earwitness.core.errors import UsageError

COLUMN, PAGE = 3.5, 7.2  # inches: widths of one column and of two, which most journals have
MOST_COLUMNS = 3  # panels of a sound each beside each other: narrower ones have no room for words
FONTS = 7.0, 8.0  # points: smallest and largest letters in print


@dataclass(frozen=True, kw_only=True)
class Medium:
    """What figures are drawn for.

    Parameters
    ----------
    name
        As one asks for it.
    dpi
        Dots per inch of a PNG.
    cells_dpi
        Of the cells of maps and spectrograms in an SVG or PDF, which are pictures there: as shapes beside each other,
        viewers would draw seams between them.
    sound, evidence
        Colours (matplotlib's names) of log-mels, and of maps from what speaks against a class to what speaks for it.
    widest
        Inches.
    marks_only
        Whether verdicts are their marks alone: the caption of a paper says what these mean.
    key
        What a reader of the report must know of its colours; empty on a screen, of which all other words are.
    """

    name: str
    dpi: int
    cells_dpi: int
    sound: str
    evidence: str
    widest: float
    marks_only: bool
    key: str = ""

    def width(self, wanted: float) -> float:
        """Return the width of a figure in inches: in a paper that of one column or of two."""
        if self.widest == math.inf:
            return wanted
        return COLUMN if wanted <= 1.2 * COLUMN else PAGE

    def columns(self, most: int, panels: int) -> int:
        """Return how many panels stand beside each other, of so many and at most so many on a screen."""
        return min(most if self.widest == math.inf else MOST_COLUMNS, panels)

    def finished(self, figure: Figure) -> Figure:
        """Return a figure, in a paper with all letters of 7 to 8 points."""
        if self.widest < math.inf:
            for text in figure.findobj(Text):
                text.set_fontsize(min(max(text.get_fontsize(), FONTS[0]), FONTS[1]))
        return figure


# Sound from black to bright; evidence from blue (against) over white (nothing) to red (for). Both keep their order for
# every kind of colour vision, and no colour is in both.
SCREEN = Medium(
    name="screen", dpi=120, cells_dpi=300, sound="magma", evidence="RdBu_r", widest=math.inf, marks_only=False
)
# On a grey print a diverging map's two ends look alike. cividis goes from dark blue (against) over grey (nothing) to
# bright yellow (for): its lightness alone tells one from the other. Sound in print is white where it is quiet.
PAPER = Medium(
    name="paper",
    dpi=400,
    cells_dpi=600,
    sound="gray_r",
    evidence="cividis",
    widest=PAGE,
    marks_only=True,
    key="In this picture's colours, which are those of print, yellow is for red, dark blue for blue, grey for white; "
    "darker sound is louder.",
)
MEDIA = {each.name: each for each in (SCREEN, PAPER)}


def medium_named(name: str) -> Medium:
    """Return what figures are drawn for.

    Raises
    ------
    UsageError
        There is nothing of this name.
    """
    if name not in MEDIA:
        raise UsageError(f"--style {name}: use {' or '.join(MEDIA)}")
    return MEDIA[name]
