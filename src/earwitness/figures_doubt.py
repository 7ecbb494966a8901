"""Figures of what is doubted: an audit's counterfactuals, and how far verdicts come true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from earwitness.canvas import QUIET, RIGHT, WRONG, label, styled
from earwitness.trust.audit import Audit, Effect
from earwitness.trust.fitting import Bin

MOST_CLASSES = 30


@styled
def audit_chart(audit: Audit) -> Figure:
    """Draw what each counterfactual takes from the classifier: of all recordings with interval, and by class.

    Parameters
    ----------
    audit
        Its answer.
    """
    tested = [each for each in audit.effects if each.touched]
    named = [name for name in audit.classes if any(name == one.name for each in tested for one in each.classes)]
    named = named[:MOST_CLASSES]
    height = 0.34 * max(1, len(tested)) + 1.3
    figure = Figure(figsize=(4.4 + 0.34 * max(4, len(named)), height), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3.2, 0.34 * max(4, len(named)) + 0.6], sharey=True)
    rows = np.arange(len(tested))
    for row, each in enumerate(tested):
        colour = WRONG if each.found else RIGHT
        left.plot([100 * each.low, 100 * each.high], [row, row], color=colour, linewidth=2.0, solid_capstyle="butt")
        left.plot(100 * each.change, row, "o", color=colour, markersize=4.5)
    left.axvline(0.0, color=QUIET, linewidth=0.8)
    left.set_yticks(rows, [f"{each.name}\n({each.touched} of {each.files} recordings)" for each in tested])
    left.set_ylim(len(tested) - 0.5, -0.5)
    left.set_xlim(
        min(-10.0, *(105 * each.low for each in tested), -10.0), max(2.0, *(105 * each.high for each in tested), 2.0)
    )
    left.set_xlabel("change of segments heard right\n(points; 95 % interval)")
    left.spines[["top", "right"]].set_visible(False)
    changes = np.array([[_of_class(each, name) for name in named] for each in tested]).reshape(len(tested), -1)
    right.imshow(changes, cmap="RdBu", vmin=-50, vmax=50, aspect="auto")
    right.set_xticks(range(len(named)), [label(name, 14) for name in named], rotation=45, ha="right")
    right.tick_params(axis="y", length=0)
    for row, each in enumerate(tested):
        for column, name in enumerate(named):
            change = changes[row, column]
            if np.isfinite(change) and round(change):
                weight = "bold" if name in each.leaning else "normal"
                colour = "white" if abs(change) > 30 else "black"
                text = f"{change:+.0f}"
                right.text(column, row, text, ha="center", va="center", fontsize=6.5, weight=weight, color=colour)
    right.set_title("by class (points; bold: beyond chance)")
    left.set_title("all recordings (orange: leans on it)")
    return figure


def _of_class(effect: Effect, name: str) -> float:
    return next((100 * one.change for one in effect.classes if one.name == name), float("nan"))


@styled
def calibration_chart(bins: Sequence[Bin], area: float) -> Figure:
    """Draw how often maps are right, against the chance that verdicts gave them.

    Parameters
    ----------
    bins
        Held-out maps, by chance.
    area
        Under the ROC curve, for the title.
    """
    figure = Figure(figsize=(3.6, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle="--", label="as often as was said")
    axes.plot([each.chance for each in bins], [each.right for each in bins], "o-", color=RIGHT, label="held-out maps")
    for each in bins:
        axes.annotate(f"{each.count}", (each.chance, each.right), (4, -9), textcoords="offset points", color=QUIET)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    axes.set_xlabel("chance that the map is right, as the verdict said")
    axes.set_ylabel("share that was right")
    axes.set_title(f"Verdicts on maps that none was fitted on\n(area under ROC {area:.2f}; figures: maps in the bin)")
    axes.legend(loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
