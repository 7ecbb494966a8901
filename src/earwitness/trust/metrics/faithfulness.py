"""Faithfulness: whether the network's score follows the cells that an attribution says it depends on.

Everything is measured by hiding cells and scoring again, in one series of passes per segment: each pass tells the
scores of all classes, and what depends on the segment alone is measured once for all its attributions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from earwitness.audio.segments import Segments
from earwitness.core.arrays import Float32Array, Float64Array, Int64Array
from earwitness.core.device import to_numpy
from earwitness.core.errors import UsageError
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers import fills
from earwitness.explainers.attribution import Attribution, Target
from earwitness.explainers.baselines import energy_map
from earwitness.explainers.inference.binding import bound
from earwitness.explainers.inference.prepared import Prepared, prepare
from earwitness.explainers.inference.scoring import PROBABILITY, SCORE_KINDS, activated, stopwatch, target_scores
from earwitness.explainers.inference.trial import check_request
from earwitness.explainers.parameters import UnreadableError
from earwitness.explainers.perturbation.scoring import Scoring
from earwitness.models.protocols import Explainable
from earwitness.trust.metrics.complexity import entropy, gini
from earwitness.trust.metrics.curves import (
    ROUNDING,
    Curve,
    Draws,
    area,
    block_means,
    blocks_of,
    judged,
    order_of,
    random_orders,
    shares,
)
from earwitness.trust.metrics.passes import NOTHING, WHOLE, Series
from earwitness.trust.metrics.sensitivity import infidelity

STEPS = 16
RANDOM_ORDERS = 10


@dataclass(frozen=True, kw_only=True)
class Faithfulness:
    """How faithful one attribution is. Scores are those of the attribution's target, of the kind ``score_kind``.

    Where masks are named, the map is clipped at 0 and scaled to a largest cell of 1; *in* keeps this share of each
    cell and fills up with the fill, *out* does the opposite. A map without positive cells keeps nothing.

    Parameters
    ----------
    score, hidden_score
        Of the whole segment, and with all real cells hidden.
    deletion, insertion
        The curves, with the largest cells first (Petsiuk et al., BMVC 2018, section 4.2).
    drop
        Share of the class's probability that is lost when the mask is in, ``max(0, p - p_in) / p``; its mean over many
        attributions is the *average drop* (Chattopadhay et al., Grad-CAM++, WACV 2018, section 4.1).
    increase
        1 where the mask raises the probability, else 0; the mean is the *increase in confidence* (the same).
    gain
        ``max(0, p_in - p) / (1 - p)``; the mean is the *average gain* (Zhang et al., Opti-CAM, Computer Vision and
        Image Understanding 2024).
    mask_out
        ``p - p_out``: how much probability goes with the mask; large is good (faithfulness of Paissan et al., L-MAC,
        ICML 2024, section 4; comprehensiveness of DeYoung et al., ERASER, ACL 2020, section 4).
    mask_in
        ``p - p_in``: how much probability is missing from the mask alone; small is good, below 0 it has gained
        (sufficiency of the same).
    input_fidelity
        1 where the network names the same top class with the mask in, else 0 (Parekh et al., Listen to Interpret,
        NeurIPS 2022, with their k = 1; Paissan et al.).
    infidelity
        Mean square of what the map's sum over hidden cells misses of the score's fall, after the best scaling of the
        map (Yeh et al., NeurIPS 2019), over the random orders' passes; in the square of the score's unit.
    unexplained
        ``infidelity`` as share of the falls' mean square, 0 to 1; None where the score never moves.
    correlation
        Between the sum over hidden cells and the fall of the score, among random hidden sets of equal size, 0 where
        one of them does not vary (faithfulness of Bhatt et al., IJCAI 2020, for several sizes at once).
    gini, entropy
        Of the real cells' absolute values.
    score_kind, fill, seed, steps, orders
        How it was measured; ``orders`` are the random ones.
    forwards
        Network evaluations spent on the segment, shared by all its attributions.
    seconds
        Wall time of this attribution's share.
    """

    score: float
    hidden_score: float
    deletion: Curve
    insertion: Curve
    drop: float
    increase: float
    gain: float
    mask_out: float
    mask_in: float
    input_fidelity: float
    infidelity: float
    unexplained: float | None
    correlation: float
    gini: float
    entropy: float
    score_kind: str
    fill: str | float
    seed: int
    steps: int
    orders: int
    forwards: int
    seconds: float

    def numbers(self) -> dict[str, float | None]:
        """Return every measured number by name, curves' as ``deletion_area`` and so on; None is not defined here."""
        found: dict[str, float | None] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Curve):
                listed = (each.name for each in fields(value) if each.name != "scores")
                found |= {f"{item.name}_{name}": getattr(value, name) for name in listed}
            elif item.name not in ("score_kind", "fill", "seed", "steps", "orders"):
                found[item.name] = value
        return found


def faithfulness(
    classifier: Explainable,
    segments: Segments,
    attributions: Sequence[Attribution],
    *,
    fill: str | float = "mean",
    steps: int = STEPS,
    orders: int = RANDOM_ORDERS,
    score: str = "probability",
    seed: int = 0,
    progress: Progress = NO_PROGRESS,
) -> list[Faithfulness]:
    """Measure how faithful attributions are.

    A segment costs at most ``2 + orders * (steps - 1)`` passes for random orders, ``2 * (steps - 1)`` for the energy
    order (both again for each other grid of own cells among its attributions) and ``2 * steps`` for each attribution.

    Parameters
    ----------
    classifier
        What made the decisions.
    segments
        One segment per attribution (``segments.take(rows)`` repeats rows).
    attributions
        The maps, each of its segment and any target.
    fill
        What hidden cells become; with ``neighbours`` and a mask that is nowhere 1 all is interpolated from nothing.
    steps
        Shares in which the real cells are hidden and shown.
    orders
        Random orders.
    score
        Kind of the score along the curves: ``"probability"`` or ``"logit"``. Masks are judged by the probability of
        the target's class.
    seed
        Of random orders, ties and the fill's noise. Draws depend on it and on the segment's own cells alone.
    progress
        Told how far the work has come.

    Returns
    -------
    One result per attribution, in their order.

    Raises
    ------
    UsageError
        If attributions do not fit their segments, or a parameter does not do.
    EarwitnessError
        If the network's score is not a number.
    """
    settings = _Settings(fill=_readable(fill), steps=steps, orders=orders, score=score, seed=seed)
    _check(classifier, segments, attributions, settings)
    groups = _groups(segments)
    found: dict[int, Faithfulness] = {}
    prepared = prepare(classifier)
    with progress.task("Faithfulness", len(attributions)) as advance, prepared.working():
        for rows in groups:
            one, maps = segments.take(rows[:1]), [attributions[row] for row in rows]
            found |= dict(zip(rows, _of_one(prepared, one, maps, settings), strict=True))
            advance(len(rows))
    return [found[row] for row in range(len(attributions))]


@dataclass(frozen=True, kw_only=True)
class _Settings:
    fill: str | float
    steps: int
    orders: int
    score: str
    seed: int


def _readable(fill: str | float) -> str | float:
    try:
        return fills.fill(fill)
    except UnreadableError as problem:
        raise UsageError(f"faithfulness: fill={fill} does not do; {problem}") from None


def _check(
    classifier: Explainable, segments: Segments, attributions: Sequence[Attribution], settings: _Settings
) -> None:
    if settings.steps < 2 or settings.orders < 2:
        raise UsageError(f"faithfulness: steps={settings.steps}, orders={settings.orders} do not do; use 2 or more")
    if settings.score not in SCORE_KINDS:
        raise UsageError(f"faithfulness: score={settings.score} does not do; use one of {', '.join(SCORE_KINDS)}")
    check_request(classifier, segments, [[one.target] for one in attributions])
    for row, one in enumerate(attributions):
        shape, real = segments.values.shape[1:], int(segments.real_frames[row])
        if one.values.shape != shape or one.real_frames != real:
            raise UsageError(
                f"attribution {row} is of {one.real_frames} real frames in {one.values.shape}, its segment of {real} "
                f"in {shape}; give each attribution its own segment"
            )


def _groups(segments: Segments) -> list[list[int]]:
    """Return the rows that hold the same segment, together."""
    found: dict[tuple[bytes, int], list[int]] = {}
    for row, values in enumerate(segments.values):
        found.setdefault((values.tobytes(), int(segments.real_frames[row])), []).append(row)
    return list(found.values())


# ---- one segment --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rivals:
    """What maps on one grid of own cells are held against: passes of random orders and of the energy order.

    A random order read from its end is as random as from its beginning, and what it hides is then what it showed: so
    the areas of its deletion curve serve insertion too.
    """

    turns: list[Int64Array]
    random: list[list[int]]
    energy_deletion: list[int]
    energy_insertion: list[int]


@dataclass(frozen=True, kw_only=True)
class _Passes:
    """Where in the series an attribution's passes stand, and its rivals'."""

    deletion: list[int]
    insertion: list[int]
    mask_in: int
    mask_out: int
    rivals: _Rivals


def _of_one(prepared: Prepared, one: Segments, maps: Sequence[Attribution], settings: _Settings) -> list[Faithfulness]:
    """Measure all attributions of one segment."""
    seconds = stopwatch()
    series = Series(one=one, steps=settings.steps, device=prepared.device)
    planned = _planned(series, one, maps, float(prepared.front_end.silence), settings)
    everything = [Target(index) for index in range(len(prepared.classes))]
    with bound(prepared, one) as own:
        scoring = Scoring(
            own,
            one,
            [everything],
            series,
            fill=settings.fill,
            kind="logit",
            advance=lambda _passes: None,
            seed=settings.seed,
        )
        scoring.score([0], series.curves)
        scoring.score([0], series.count)
    logits = torch.as_tensor(scoring.scores[0])
    scores, chances = (to_numpy(activated(logits, kind, prepared.activation)) for kind in (settings.score, PROBABILITY))
    each, forwards = seconds(len(maps)), scoring.forwards[0]
    return [
        _read(passes, one_map, scores, chances, series.curves, settings, forwards, each)
        for passes, one_map in zip(planned, maps, strict=True)
    ]


def _planned(
    series: Series, one: Segments, maps: Sequence[Attribution], silence: float, settings: _Settings
) -> list[_Passes]:
    """Add to the series what all attributions of a segment need, and return where it stands."""
    real, values = int(one.real_frames[0]), one.values[0]
    draws, energy = Draws.of(values, settings.seed), energy_map(values, silence)[:real]
    known: dict[bytes, _Rivals] = {}
    found = []
    for each in maps:
        blocks = blocks_of(each)
        rivals = known.get(blocks.tobytes()) or _rivals(series, blocks, energy, draws, settings)
        known[blocks.tobytes()] = rivals
        turns = shares(order_of(each.values[:real], blocks, draws), settings.steps)
        kept = mask_of(each)[:real]
        found.append(
            _Passes(
                deletion=series.deletion(turns),
                insertion=series.insertion(turns),
                mask_in=series.mask(1 - kept),
                mask_out=series.mask(kept),
                rivals=rivals,
            )
        )
    return found


def _rivals(series: Series, blocks: Int64Array, energy: Float32Array, draws: Draws, settings: _Settings) -> _Rivals:
    turns = [shares(ranks, settings.steps) for ranks in random_orders(blocks, draws, settings.orders)]
    loudest = shares(order_of(block_means(energy, blocks), blocks, draws), settings.steps)
    random = [series.deletion(each) for each in turns]
    return _Rivals(turns, random, series.deletion(loudest), series.insertion(loudest))


def mask_of(attribution: Attribution) -> Float64Array:
    """Return how much of each cell a map keeps, 0 to 1, shape (frames, bands): clipped at 0, its largest cell at 1."""
    positive = np.maximum(attribution.values.astype(np.float64), 0.0)
    largest = float(positive.max(initial=0.0))
    return positive / largest if largest else positive


# ---- reading the scores -------------------------------------------------------------------------------------------


def _read(
    passes: _Passes,
    attribution: Attribution,
    scores: Float64Array,
    chances: Float64Array,
    masks: int,
    settings: _Settings,
    forwards: int,
    seconds: float,
) -> Faithfulness:
    """Return what the passes tell of one attribution; ``masks`` is where the masks begin."""
    own = target_scores(scores, [attribution.target])[:, 0]
    rivals, real = passes.rivals, attribution.values[: attribution.real_frames]
    areas = [area(own[each]) for each in rivals.random]
    sums, falls = _sums(real, rivals.turns, settings.steps), own[WHOLE] - own[np.array(rivals.random)[:, 1:-1]]
    missed, moved = infidelity(sums.ravel(), falls.ravel()), float(np.mean(falls**2))
    seen, silenced = masks + passes.mask_in, masks + passes.mask_out
    index = attribution.target.index
    whole, kept, removed = (float(chances[each, index]) for each in (WHOLE, seen, silenced))
    return Faithfulness(
        score=float(own[WHOLE]),
        hidden_score=float(own[NOTHING]),
        deletion=judged(own[passes.deletion], areas, area(own[rivals.energy_deletion]), insertion=False),
        insertion=judged(own[passes.insertion], areas, area(own[rivals.energy_insertion]), insertion=True),
        drop=_share(whole - kept, whole),
        increase=float(kept > whole),
        gain=_share(kept - whole, 1 - whole),
        mask_out=whole - removed,
        mask_in=whole - kept,
        input_fidelity=float(chances[seen].argmax() == chances[WHOLE].argmax()),
        infidelity=missed,
        unexplained=min(1.0, missed / moved) if moved > ROUNDING**2 else None,
        correlation=_correlation(sums, falls),
        gini=gini(real),
        entropy=entropy(real),
        score_kind=settings.score,
        fill=settings.fill,
        seed=settings.seed,
        steps=settings.steps,
        orders=settings.orders,
        forwards=forwards,
        seconds=seconds,
    )


def _share(part: float, whole: float) -> float:
    """Return a positive part's share of the whole; 0 where there is nothing to lose or to gain."""
    return min(1.0, part / whole) if part > 0 and whole > 0 else 0.0


def _sums(values: Float32Array, turns: Sequence[Int64Array], steps: int) -> Float64Array:
    """Return the map's sum over what each pass of each order hides, shape (orders, steps - 1)."""
    weights = values.ravel().astype(np.float64)
    each = [np.bincount(turn.ravel(), weights=weights, minlength=steps + 1)[1:steps] for turn in turns]
    return np.cumsum(each, axis=1)


def _correlation(sums: Float64Array, falls: Float64Array) -> float:
    """Return the correlation of sums and falls, shapes (orders, steps - 1), among passes that hide equally much."""
    apart = [each - each.mean(axis=0) for each in (sums, falls)]
    sizes = [float(np.sqrt((each**2).sum())) for each in apart]
    flat = sizes[0] <= ROUNDING * float(np.abs(sums).max(initial=0.0)) or sizes[1] <= ROUNDING
    return 0.0 if flat else float((apart[0] * apart[1]).sum() / (sizes[0] * sizes[1]))
