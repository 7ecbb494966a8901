"""Figures of the doubt floor: how well methods find evidence that is known."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earwitness.explainers.baselines import BASELINES
from earwitness.plots.style import QUIET, RIGHT, styled
from earwitness.trust.scoreboard.board import Scoreboard
from earwitness.trust.scoreboard.ranking import ALL, ENERGY, Standing

SCORE_NAMES = {
    "auroc": "area under ROC of cells",
    "auprc": "area under precision-recall of cells",
    "pointing": "pointing game",
    "mass": "relevance mass",
    "rank": "relevance rank",
    "time_auroc": "area under ROC of frames",
    "band_auroc": "area under ROC of bands",
}
CHANCE = {"auroc", "time_auroc", "band_auroc"}
LOSING = "#9a9a9a"
ENERGY_COLOUR = "#b3541e"


@styled
def scoreboard_chart(board: Scoreboard, score: str = "auroc") -> Figure:
    """Draw every method's mean of a score with its interval: over all cases, and over each family of them.

    Methods that beat the energy baseline are filled; small marks are the kinds within a family.

    Parameters
    ----------
    board
        Of at least one case.
    score
        Name of a score.
    """
    families = [ALL, *dict.fromkeys(family for family, _ in board.kinds())]
    names = [each.method for each in board.of(score=score)]
    figure = Figure(figsize=(2.0 + 2.1 * len(families), 0.21 * len(names) + 1.5), layout="constrained")
    panels = figure.subplots(1, len(families), sharey=True, squeeze=False)[0]
    for axes, family in zip(panels, families, strict=True):
        _panel(axes, board, family, score, names)
    panels[0].set_yticks(range(len(names)), [f"{name} (baseline)" if name in BASELINES else name for name in names])
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    for place, text in enumerate(panels[0].get_yticklabels()):
        if names[place] in BASELINES:
            text.set_color(ENERGY_COLOUR if names[place] == ENERGY else QUIET)
    figure.supxlabel(
        f"{SCORE_NAMES.get(score, score)}: mean and 95 % interval; filled: beats energy; small marks: kinds of cases",
        fontsize=8,
    )
    return figure


def _panel(axes: Axes, board: Scoreboard, family: str, score: str, names: list[str]) -> None:
    found = {each.method: each for each in board.of(family, ALL, score)}
    energy = found.get(ENERGY)
    if energy is not None:
        axes.axvline(energy.mean, color=ENERGY_COLOUR, linewidth=0.8, zorder=0)
        if math.isfinite(energy.low):
            axes.axvspan(energy.low, energy.high, color=ENERGY_COLOUR, alpha=0.12, linewidth=0.0, zorder=0)
    if score in CHANCE:
        axes.axvline(0.5, color=QUIET, linewidth=0.6, linestyle=":", zorder=0)
    for row, name in enumerate(names):
        if name in found:
            _mark(axes, row, found[name])
        kinds = [kind for each, kind in board.kinds() if each == family]
        for kind in kinds if len(kinds) > 1 else []:
            means = [each.mean for each in board.of(family, kind, score) if each.method == name]
            axes.plot(means, [row + 0.28] * len(means), linestyle="none", marker="|", markersize=3.5, color="#b8b8b8")
    cases = max((each.cases for each in found.values()), default=0)
    few = "" if any(math.isfinite(each.low) for each in found.values()) else ", too few for intervals"
    axes.set_title(f"{'all cases' if family == ALL else family}\n{cases} cases{few}", loc="left")
    axes.set_xlim(-0.03, 1.03)
    axes.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", ".25", ".5", ".75", "1"])
    axes.grid(axis="y", color="#eeeeee", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _mark(axes: Axes, row: int, each: Standing) -> None:
    baseline = each.method in BASELINES
    colour = ENERGY_COLOUR if each.method == ENERGY else RIGHT if each.beats_energy and not baseline else LOSING
    if math.isfinite(each.low):
        axes.plot([each.low, each.high], [row, row], color=colour, linewidth=1.2, solid_capstyle="butt")
    filled = each.beats_energy and not baseline
    axes.plot(
        [each.mean],
        [row],
        marker="D" if baseline else "o",
        markersize=4.5,
        color=colour,
        markerfacecolor=colour if filled else "white",
        linestyle="none",
    )
