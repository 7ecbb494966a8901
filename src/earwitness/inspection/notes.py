"""What a reader of maps must be told that the maps themselves do not show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from earwitness.explainers.attribution import CONSTANT, SILENT, Attribution
from earwitness.explainers.findings import Inquiry

SATURATED = 0.99  # probability above which hiding a cell hardly moves it
NEARLY_EMPTY = 0.1  # peak, as a share of the largest peak of the method's maps in one figure
HARDLY = 0.01  # of a probability: what no cell moves by so much shows almost nothing
ENOUGH = 3  # maps: of one or two it can be seen at once


def with_notes(inquiry: Inquiry) -> Inquiry:
    """Return an inquiry with a note for each method whose maps show almost nothing because the score is saturated.

    Where a probability stands at 1, hiding any one cell does not move it. Maps of one method share their colours, so a
    single map of a less certain segment makes the others look blank.

    Parameters
    ----------
    inquiry
        Any; without maps it is returned as it is.
    """
    notes = []
    for number, title in enumerate(inquiry.methods):
        maps = [per_target[number] for each in inquiry.findings for per_target in each.attributions]
        shown = [each for each in maps if not {SILENT, CONSTANT} & set(each.flags)]
        limit = max((_peak(each) for each in shown), default=0.0)
        least = max(NEARLY_EMPTY * limit, HARDLY)
        empty = [each for each in shown if _saturated(each) and _peak(each) < least]
        if len(shown) >= ENOUGH and len(empty) >= len(shown) / 2:
            notes.append(
                f"{len(empty)} of {len(shown)} maps by {title} show almost nothing: the score stands above "
                f"{SATURATED:g} and hardly moves; ask with --method {empty[0].method}:score=log-odds to see more."
            )
    return replace(inquiry, notes=(*inquiry.notes, *notes)) if notes else inquiry


def _peak(attribution: Attribution) -> float:
    return float(np.abs(attribution.native).max(initial=0.0))


def _saturated(attribution: Attribution) -> bool:
    """Tell whether the score is a probability near 1, by a method that can be asked for the log-odds."""
    return attribution.parameters.get("score") == "probability" and attribution.score > SATURATED
