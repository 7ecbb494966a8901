"""Figures of what is doubted: an audit's counterfactuals, and how far verdicts come true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earwitness.plots.style import QUIET, RIGHT, WRONG, label, styled
from earwitness.trust.audit.effects import FEW_TOUCHED, LEAST_CLASS_LOSS, Audit, Effect
from earwitness.trust.verdicts.calibration import Bin

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
    named = _shown_classes(audit, tested)
    height = 0.34 * max(1, len(tested)) + 1.5
    figure = Figure(figsize=(4.6 + 0.34 * max(8, len(named)), height), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3.4, 0.34 * max(8, len(named)) + 0.6], sharey=True)
    _draw_altogether(left, tested)
    _draw_by_class(right, tested, named)
    if len(named) < len(audit.classes):
        right.set_xlabel(f"{len(named)} of {len(audit.classes)} classes: those that changed most")
    return figure


def _shown_classes(audit: Audit, tested: Sequence[Effect]) -> list[str]:
    """Return the classes that were measured, in order; where they are too many, those that changed most."""
    most: dict[str, float] = {}
    for each in tested:
        for one in each.classes:
            # What is found comes before what may be chance.
            most[one.name] = max(most.get(one.name, 0.0), abs(one.change) + (one.relies or one.gains))
    shown = set(sorted(most, key=lambda name: -most[name])[:MOST_CLASSES])
    return [name for name in audit.classes if name in shown]


def _draw_altogether(axes: Axes, tested: Sequence[Effect]) -> None:
    for row, each in enumerate(tested):
        line = WRONG if each.altogether else QUIET if each.few else RIGHT
        edge = WRONG if each.found else line
        # A ring: the interval may well reach 0, it is a class that relies.
        face = "white" if each.found and not each.altogether else edge
        axes.plot([100 * each.low, 100 * each.high], [row, row], color=line, linewidth=2.0, solid_capstyle="butt")
        axes.plot(100 * each.change, row, "o", color=edge, markerfacecolor=face, markersize=5.0, markeredgewidth=1.4)
    axes.axvline(0.0, color=QUIET, linewidth=0.8, zorder=0)
    axes.set_yticks(
        range(len(tested)), [f"{each.name}\n({each.touched} of {each.files} recordings)" for each in tested]
    )
    axes.set_ylim(max(1, len(tested)) - 0.5, -0.5)
    axes.set_xlim(min([-10.0, *(105 * each.low for each in tested)]), max([2.0, *(105 * each.high for each in tested)]))
    axes.set_xlabel("change of segments predicted right\n(points; 95 % interval)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(
        f"all recordings (orange: relies on it; ring: only\na class does; grey: fewer than {FEW_TOUCHED} had it)"
    )


def _draw_by_class(axes: Axes, tested: Sequence[Effect], named: Sequence[str]) -> None:
    changes = np.array([[_of_class(each, name) for name in named] for each in tested])
    if changes.size:
        axes.imshow(changes, cmap="RdBu", vmin=-50, vmax=50, aspect="auto")
    axes.set_xticks(range(len(named)), [label(name, 14) for name in named], rotation=45, ha="right")
    axes.tick_params(axis="y", length=0)
    for row, each in enumerate(tested):
        for column, name in enumerate(named):
            change = changes[row, column]
            if np.isfinite(change) and round(change):
                weight = "bold" if name in each.relying or name in each.gaining else "normal"
                colour = "white" if abs(change) > 30 else "black"
                text = f"{change:+.0f}"
                axes.text(column, row, text, ha="center", va="center", fontsize=6.5, weight=weight, color=colour)
    axes.set_title(f"by class (points; bold: {100 * LEAST_CLASS_LOSS:g} and more,\nand beyond chance)")


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
