"""Who finds the evidence, and by how much: means over cases, intervals, and the difference to following loudness."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from earwitness.core.arrays import Float64Array, Int64Array
from earwitness.core.statistics import drawn_groups, grouped_interval
from earwitness.trust.metrics.localisation import TruthScores

ENERGY = "energy"
ALL = "all"
LEAST_SEGMENTS = 5  # resampling fewer says nothing
SCORES = tuple(entry.name for entry in fields(TruthScores))


@dataclass(frozen=True, kw_only=True)
class Record:
    """One map of one case, scored.

    Parameters
    ----------
    method, settings
        Registry name, and the method as one types it.
    family, kind, case
        Of the case: where it comes from, its kind, its segment's name.
    target
        In words.
    level_db, share
        Of the evidence: its level over what sounds beside it (NaN where there is none), and its share of the cells.
    probability, without
        Of the target with the evidence and without it.
    flags, seconds, forwards
        The attribution's.
    scores
        Against the truth.
    """

    method: str
    settings: str
    family: str
    kind: str
    case: str
    target: str
    level_db: float
    share: float
    probability: float
    without: float
    flags: tuple[str, ...]
    seconds: float
    forwards: int
    scores: TruthScores

    def row(self) -> dict[str, Any]:
        """Return the record as a row of ``cases.csv``; what has no number is empty."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "scores"}
        values["flags"] = " ".join(self.flags)
        return {name: _cell(value) for name, value in (values | self.scores.as_dict()).items()}


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One method's mean of one score over one kind of cases.

    Parameters
    ----------
    method, settings
        As in :class:`Record`.
    family, kind
        Of the cases; ``"all"`` for all of them.
    score
        Name of the score.
    cases, segments
        How many; targets of one segment are cases of their own, but not independent.
    mean, low, high
        The mean and its interval (95 %, bootstrap over segments); NaN where there are too few.
    over_energy, over_low, over_high
        The mean difference to the energy baseline on the same cases, and its interval; NaN for energy itself.
    """

    method: str
    settings: str
    family: str
    kind: str
    score: str
    cases: int
    segments: int
    mean: float
    low: float
    high: float
    over_energy: float
    over_low: float
    over_high: float

    @property
    def beats_energy(self) -> bool:
        """Whether the whole interval of the difference lies above 0."""
        return self.over_low > 0.0

    def row(self) -> dict[str, Any]:
        """Return the standing as a row of ``scoreboard.csv``; what has no number is empty."""
        values = {name: _cell(value) for name, value in asdict(self).items()}
        known = math.isfinite(self.over_low)
        return values | {"beats_energy": ("yes" if self.beats_energy else "no") if known else ""}


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else ""
    return value


def standings(records: Sequence[Record], *, seed: int = 0) -> list[Standing]:
    """Return every method's means: over all cases, over each family, over each kind of it; for each score.

    Parameters
    ----------
    records
        Of any cases; a method need not have been asked about all.
    seed
        Of the bootstrap; all methods and scores see the same draws, so that differences are paired.
    """
    groups: dict[tuple[str, str], list[Record]] = {(ALL, ALL): list(records)}
    for record in records:
        groups.setdefault((record.family, ALL), []).append(record)
        groups.setdefault((record.family, record.kind), []).append(record)
    found: list[Standing] = []
    for number, ((family, kind), members) in enumerate(groups.items()):
        found += _group(family, kind, members, np.random.default_rng([seed, number]))
    return found


def _group(family: str, kind: str, members: Sequence[Record], rng: np.random.Generator) -> Iterable[Standing]:
    segments = {
        place: number for number, place in enumerate(dict.fromkeys((each.family, each.case) for each in members))
    }
    draws = drawn_groups(len(segments), rng)
    energy = {_place(each): each for each in members if each.method == ENERGY}
    for method in dict.fromkeys(each.method for each in members):
        mine = [each for each in members if each.method == method]
        rows = np.array([segments[each.family, each.case] for each in mine])
        values = _table(each.scores for each in mine)
        paired = [energy.get(_place(each)) for each in mine]
        missing = dict.fromkeys(SCORES, math.nan)
        over = values - np.array([list((missing if e is None else e.scores.as_dict()).values()) for e in paired])
        if method == ENERGY:
            over = np.full_like(over, math.nan)
        for column, score in enumerate(SCORES):
            counted = int(np.isfinite(values[:, column]).sum())
            if counted:
                mean, low, high = _interval(values[:, column], rows, draws)
                over_energy, over_low, over_high = _interval(over[:, column], rows, draws)
                count = len(set(rows[np.isfinite(values[:, column])].tolist()))
                yield Standing(
                    method=method,
                    settings=mine[0].settings,
                    family=family,
                    kind=kind,
                    score=score,
                    cases=counted,
                    segments=count,
                    mean=mean,
                    low=low,
                    high=high,
                    over_energy=over_energy,
                    over_low=over_low,
                    over_high=over_high,
                )


def _place(record: Record) -> tuple[str, str, str]:
    return record.family, record.case, record.target


def _table(scores: Iterable[TruthScores]) -> Float64Array:
    return np.array([list(each.as_dict().values()) for each in scores], dtype=np.float64)


def _interval(values: Float64Array, rows: Int64Array, draws: Float64Array) -> tuple[float, float, float]:
    """Return the mean of values (cases,) and its bootstrap interval, whole segments drawn; NaN values do not count."""
    there = np.isfinite(values)
    if not there.any():
        return math.nan, math.nan, math.nan
    sums = np.bincount(rows[there], values[there], draws.shape[1]).astype(np.float64)
    counts = np.bincount(rows[there], minlength=draws.shape[1]).astype(np.float64)
    mean = float(sums.sum() / counts.sum())
    if (counts > 0).sum() < LEAST_SEGMENTS:
        return mean, math.nan, math.nan
    return mean, *grouped_interval(sums, counts, draws)
