"""Stability: whether a map stays what it is when what should not matter is changed; whether methods agree.

Four changes: other random draws, another fill, the segment taken one frame later or earlier, and noise 40 dB below the
segment. Each is told by three figures, the map's correlation and rank correlation with the original and the overlap of
the strongest tenth of their cells (:mod:`earwitness.trust.metrics.similarity`); a map that tells no cell from another
has 0 in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from earwitness.audio.frontend import FrontEnd
from earwitness.audio.logmel import energy_of, log_of
from earwitness.audio.segments import Segments
from earwitness.core.arrays import Float64Array, LogMel
from earwitness.core.device import to_numpy
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers.attribution import Attribution
from earwitness.explainers.method import Explainer
from earwitness.explainers.parameters import spec
from earwitness.explainers.ranks import rank_correlation, standard_ranks, standard_values
from earwitness.models.foreign.sound import levels_of
from earwitness.models.protocols import Explainable
from earwitness.trust.metrics.reexplain import Again, real_cells
from earwitness.trust.metrics.similarity import correlation, top_overlap

# The fills that a map is compared under, its own apart: what is hidden sounds like the rest, or is silent.
FILLS = ("mean", "floor")
NOISE_DB = -40.0


@dataclass(frozen=True)
class Agreement:
    """How two maps agree, or many pairs of maps on average.

    Parameters
    ----------
    value
        Correlation of their cells' values, -1 to 1: cells in which nothing happens hardly count.
    rank
        Rank correlation of their cells, -1 to 1: all cells count alike.
    overlap
        Part, 0 to 1, of the strongest tenth of cells that they share; chance gives 0.1.
    """

    value: float
    rank: float
    overlap: float


@dataclass(frozen=True, kw_only=True)
class Stability:
    """How a map agrees with itself under changes that should not matter.

    Parameters
    ----------
    method
        What was measured, as :func:`earwitness.explainers.registry.parse` reads it; a cheaper setting where that was
        asked for.
    seeds
        Other random draws; None for a method without chance.
    fills
        Other fills; None for a method that hides nothing.
    shift
        The segment one frame later and one frame earlier.
    noise
        Noise added.
    forwards, backwards
        Network evaluations spent on the segment, shared by its targets.
    """

    method: str
    seeds: Agreement | None
    fills: Agreement | None
    shift: Agreement
    noise: Agreement
    forwards: int
    backwards: int


def stability(
    classifier: Explainable,
    explainer: Explainer,
    segments: Segments,
    attributions: Sequence[Attribution],
    *,
    seeds: int = 1,
    noises: int = 1,
    noise_db: float = NOISE_DB,
    cheap: bool = True,
    progress: Progress = NO_PROGRESS,
) -> list[Stability]:
    """Explain segments again with small changes, and compare.

    Segments are explained once for all of their targets, all segments together.

    Parameters
    ----------
    classifier, explainer
        What made the attributions.
    segments, attributions
        One segment per attribution (the same segment may come again and again).
    seeds, noises
        How many other random draws, and how many noises; 1 or more.
    noise_db
        Energy of the noise relative to the segment's.
    cheap
        Whether a costly method is measured in its :meth:`~earwitness.explainers.method.Explainer.quick` setting. The
        originals are then made anew in this setting, too, so that like is compared with like; a map of fewer samples is
        less stable.
    progress
        Told how far the work has come.

    Returns
    -------
    One per attribution, in their order.

    Raises
    ------
    UsageError
        If there is not one segment per attribution.
    """
    if len(segments) != len(attributions):
        raise UsageError(f"{len(attributions)} attributions for {len(segments)} segments; give one segment for each")
    measured = explainer.quick() if cheap else explainer
    if not len(segments):
        return []
    again, hop = Again(classifier, segments, attributions, progress), classifier.front_end.clock.hop
    originals = [real_cells(one) for one in attributions]
    if measured != explainer:
        (originals,) = again.explain(measured, [again.segments])
    later, earlier, *noised = again.explain(
        measured,
        [shifted(again.segments, 1, hop), shifted(again.segments, -1, hop)]
        + [noisy(classifier, again.segments, noise_db, seed) for seed in range(noises)],
    )
    seeded = [again.explain(other, [again.segments])[0] for other in _other_seeds(measured, seeds)]
    filled = [again.explain(other, [again.segments])[0] for other in _other_fills(measured)]
    found = []
    for row, original in enumerate(originals):
        cost = again.cost[again.place[row]]
        # What a segment taken a frame later shows in its first frame is in the original's second.
        moved = [(original[1:], later[row][:-1]), (original[:-1], earlier[row][1:])]
        found.append(
            Stability(
                method=spec(measured),
                seeds=_mean([(original, maps[row]) for maps in seeded]) if seeded else None,
                fills=_mean([(original, maps[row]) for maps in filled]) if filled else None,
                shift=_mean(moved),
                noise=_mean([(original, maps[row]) for maps in noised]),
                forwards=cost[0],
                backwards=cost[1],
            )
        )
    return found


def _mean(pairs: Sequence[tuple[LogMel, LogMel]]) -> Agreement:
    figures = [(correlation(*pair), rank_correlation(*pair), top_overlap(*pair)) for pair in pairs]
    return Agreement(*(float(figure) for figure in np.mean(figures, axis=0)))


def _other_seeds(explainer: Explainer, count: int) -> list[Explainer]:
    """Return the method with other seeds; nothing where no random draw depends on it."""
    if explainer.seed is None or not explainer.random:
        return []
    return [explainer.changed(seed=explainer.seed + 1 + number) for number in range(count)]


def _other_fills(explainer: Explainer) -> list[Explainer]:
    if explainer.fill == "":
        return []
    return [explainer.changed(fill=fill) for fill in FILLS if fill != explainer.fill]


# ---- changes that should not matter -------------------------------------------------------------------------------


def shifted(segments: Segments, frames: int, hop: int = 0) -> Segments:
    """Return segments taken some frames later (earlier where negative): frame t shows what was in t + ``frames``.

    What lies beyond a segment is not known here; its last (first) real frame, or ``hop`` samples a frame of its sound,
    are repeated in its place. Padding stays.

    Raises
    ------
    UsageError
        Segments carry their sound, and no hop is named.
    """
    if segments.samples is not None and hop < 1:
        raise UsageError("to shift segments of sound, name their hop (samples a frame)")
    values = segments.values.copy()
    samples = None if segments.samples is None else segments.samples.copy()
    for row, real in enumerate(segments.real_frames):
        if real:
            values[row, :real] = values[row, np.clip(np.arange(real) + frames, 0, real - 1)]
        if samples is not None:
            at = np.arange(min(samples.shape[1], int(real) * hop))
            there = at + frames * hop
            samples[row, : len(at)] = samples[row, np.where((there >= 0) & (there < len(at)), there, at)]
    return replace(segments, values=values, samples=samples)


def noisy(classifier: Explainable, segments: Segments, noise_db: float = NOISE_DB, seed: int = 0) -> Segments:
    """Return segments with noise added, by energy where the front end tells how, else to their values.

    By energy: Gaussian noise whose power is the same in every cell on average (an exponential distribution in each)
    and ``noise_db`` below the real cells' mean. Other spectrograms get normal noise of so much less than their real
    cells' spread. Sound itself gets white noise of so much less than its power. Every segment gets the same draws;
    padding stays.
    """
    front_end = classifier.front_end
    level = 10.0 ** (noise_db / 10.0)
    if segments.samples is not None and isinstance(front_end, FrontEnd):
        return _noisy_sound(front_end, segments, level, seed)
    shape = segments.values.shape[1:]
    rng = np.random.default_rng([seed])
    values = segments.values.copy()
    if not isinstance(front_end, FrontEnd):
        drawn = rng.standard_normal(shape)
        for one, real in zip(values, segments.real_frames, strict=True):
            spread = float(one[:real].std()) if real else 0.0
            one[:real] += (np.sqrt(level) * spread * drawn[:real]).astype(np.float32)
        return replace(segments, values=values)
    drawn = rng.standard_exponential(shape)
    for one, real in zip(values, segments.real_frames, strict=True):
        if real:
            power = energy_of(front_end, torch.from_numpy(one[:real]).double()) ** (2 / front_end.power)
            noise = torch.from_numpy(drawn[:real]) * level * power.mean()
            one[:real] = to_numpy(log_of(front_end, (power + noise) ** (front_end.power / 2)).float())
    return replace(segments, values=values)


def _noisy_sound(front_end: FrontEnd, segments: Segments, level: float, seed: int) -> Segments:
    assert segments.samples is not None
    levels, samples = segments.values.copy(), segments.samples.copy()
    drawn = np.random.default_rng([seed]).standard_normal((samples.shape[1],))
    for row in np.flatnonzero(segments.real_frames).tolist():
        real = int(segments.real_frames[row])
        one = samples[row, : real * front_end.hop]
        spread = float(np.sqrt(level * np.square(one, dtype=np.float64).mean()))
        one += (spread * drawn[: len(one)]).astype(np.float32)
        levels[row, :real] = levels_of(front_end, samples[row])[:real]
    return replace(segments, values=levels, samples=samples)


# ---- agreement among methods --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Agreements:
    """How the maps of several methods agree about one segment and target.

    Parameters
    ----------
    methods
        Their names, in the order of the rows.
    value, rank, overlap
        Shape (methods, methods): as in :class:`Agreement`, for every pair. On the diagonal stands 1, or 0 for a map
        that tells no cell from another.
    """

    methods: tuple[str, ...]
    value: Float64Array
    rank: Float64Array
    overlap: Float64Array

    @property
    def means(self) -> tuple[Agreement, ...]:
        """Each method's mean agreement with the others (0 where there is no other)."""
        others = max(1, len(self.methods) - 1)
        sums = [(one.sum(axis=1) - np.diag(one)) / others for one in (self.value, self.rank, self.overlap)]
        return tuple(Agreement(*(float(figure) for figure in figures)) for figures in zip(*sums, strict=True))


def agreement(attributions: Sequence[Attribution]) -> Agreements:
    """Compare the maps of several methods.

    Parameters
    ----------
    attributions
        Of one segment and one target.

    Raises
    ------
    EarwitnessError
        If they are not, or there is none.
    """
    of = {(one.file, one.start_seconds, one.values.shape, one.real_frames, one.target) for one in attributions}
    if len(of) != 1:
        raise EarwitnessError(
            "no maps, or maps of different segments or targets, cannot agree; compare those of one at a time"
        )
    maps = [real_cells(one) for one in attributions]
    values, ranks = (np.array([of(one) for one in maps]) for of in (standard_values, standard_ranks))
    overlap = np.zeros((len(maps), len(maps)))
    for row, first in enumerate(maps):
        for column, second in enumerate(maps[: row + 1]):
            overlap[row, column] = overlap[column, row] = top_overlap(first, second)
    by_value, by_rank = (np.clip(each @ each.T, -1, 1) for each in (values, ranks))
    return Agreements(tuple(one.method for one in attributions), by_value, by_rank, overlap)
