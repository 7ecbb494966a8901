"""The measured signs by which an attribution is judged: faithful, stable, tied to the network's weights, not empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from earwitness.audio.segments import Segments
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers.attribution import CONSTANT, SILENT, Attribution
from earwitness.explainers.inference.prepared import prepare
from earwitness.explainers.method import Explainer
from earwitness.models.protocols import Explainable
from earwitness.trust.metrics.consensus import Panel
from earwitness.trust.metrics.faithfulness import Faithfulness, faithfulness
from earwitness.trust.metrics.randomisation import Randomisation
from earwitness.trust.metrics.robustness import Stability, stability

# Cheaper than the defaults, for many maps are judged.
STEPS, ORDERS, NOISES = 12, 8, 1
LEAST_SPAN = 0.02  # of a probability: a curve between two nearly equal ends has no shape to speak of


@dataclass(frozen=True, kw_only=True)
class Signs:
    """What was measured of one attribution. All are without unit; larger is better unless said otherwise.

    Parameters
    ----------
    probability
        Of the target's class for the whole segment.
    depends
        How much of it is gone when all cells are hidden.
    deletion, insertion
        By how much the curve's area is better than that of random orders of the map's own cells, as share of what
        hiding all cells changes; 0 for a map that tells nothing.
    energy
        The same against the order of loudness, mean of both curves.
    correlation
        Between the map's sum over hidden cells and the fall of the score.
    shift, noise
        Correlation with the map of the segment one frame earlier or later, and with noise 40 dB below it. By value,
        not by rank: where most of a segment is silence, ranks are those of cells in which nothing happens.
    seeds, fills
        The same with other random draws and with another fill; None for methods without.
    kept
        What stays of the method's maps with random weights, mean over the layers; small is good. None where it was
        not measured.
    agrees
        Correlation with the mean map of the panel (:mod:`earwitness.trust.metrics.consensus`), on 8 x 8 cells; None
        where there is no other method to ask.
    sparse
        Gini index of the map's absolute values.
    explains
        Whether the method's maps change with the network's weights at all.
    empty
        Why the map tells nothing, or an empty text.
    others
        The methods of ``agrees``, in words: ``"Grad-CAM, LayerCAM and LIME"``.
    """

    probability: float
    depends: float
    deletion: float
    insertion: float
    energy: float
    correlation: float
    shift: float
    noise: float
    seeds: float | None
    fills: float | None
    kept: float | None
    agrees: float | None
    sparse: float
    explains: bool
    empty: str
    others: str = ""

    def numbers(self) -> dict[str, float]:
        """Return the measured figures that there are, by name."""
        found = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: float(value) for name, value in found.items() if isinstance(value, float)}


def signs(
    classifier: Explainable,
    explainer: Explainer,
    segments: Segments,
    attributions: Sequence[Attribution],
    tested: Randomisation | None,
    *,
    panel: Panel | None = None,
    seed: int = 0,
    progress: Progress = NO_PROGRESS,
) -> list[Signs]:
    """Measure the signs of one method's attributions.

    Parameters
    ----------
    classifier, explainer
        What made them.
    segments
        One segment per attribution.
    attributions
        The maps.
    tested
        What random weights do to the method's maps of this classifier; None leaves it out.
    panel
        Of these segments and targets, where several methods are held against the same maps; None makes one.
    seed
        Of random orders and noises.
    progress
        Told how far the work has come.

    Returns
    -------
    One per attribution, in their order.
    """
    if not attributions:
        return []
    prepared = prepare(classifier)
    faithful = faithfulness(prepared, segments, attributions, steps=STEPS, orders=ORDERS, seed=seed, progress=progress)
    stable = stability(
        prepared, explainer, segments, attributions, seeds=1, noises=NOISES, cheap=True, progress=progress
    )
    panel = panel or Panel(prepared, segments, attributions, progress)
    agreed = panel.agreements(explainer, attributions)
    titles = [each.title for each in panel.held_against(explainer)]
    others = " and ".join(filter(None, [", ".join(titles[:-1]), *titles[-1:]]))
    return [_signs(*each, tested, others) for each in zip(attributions, faithful, stable, agreed, strict=True)]


def _signs(
    attribution: Attribution,
    faithful: Faithfulness,
    stable: Stability,
    agrees: float | None,
    tested: Randomisation | None,
    others: str,
) -> Signs:
    span = max(LEAST_SPAN, abs(faithful.score - faithful.hidden_score))
    deletion, insertion = faithful.deletion, faithful.insertion
    return Signs(
        probability=faithful.score,
        depends=faithful.score - faithful.hidden_score,
        deletion=(deletion.random_mean - deletion.area) / span,
        insertion=(insertion.area - insertion.random_mean) / span,
        energy=(deletion.beats_energy + insertion.beats_energy) / 2 / span,
        correlation=faithful.correlation,
        shift=stable.shift.value,
        noise=stable.noise.value,
        seeds=None if stable.seeds is None else stable.seeds.value,
        fills=None if stable.fills is None else stable.fills.value,
        kept=None if tested is None else tested.kept,
        agrees=agrees,
        sparse=faithful.gini,
        explains=tested is None or tested.explains,
        empty=_empty(attribution),
        others=others,
    )


def _empty(attribution: Attribution) -> str:
    if SILENT in attribution.flags:
        return "there is no sound in the segment"
    if CONSTANT in attribution.flags:
        return "the map tells no cell from another"
    return "" if float(attribution.values.max(initial=0.0)) > 0 else "the map shows no evidence for the class"
