"""The scoreboard: every method, and four baselines that know nothing of the network, on cases whose evidence is known.

>>> from earwitness.trust.scoreboard.board import collect, board
>>> board = scoreboard.measure(gathering.gather(classifier))  # doctest: +SKIP
>>> [each.method for each in board.of(score="pointing")]  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from earwitness.core.brief import brief
from earwitness.core.errors import UsageError
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers.attribution import Attribution, Target
from earwitness.explainers.baselines import BASELINES
from earwitness.explainers.inference.prepared import prepare
from earwitness.explainers.method import Explainer
from earwitness.explainers.registry import parse
from earwitness.models.protocols import Explainable
from earwitness.trust.metrics.localisation import scores
from earwitness.trust.scoreboard.cases import Case, segments_of
from earwitness.trust.scoreboard.collect import PRESETS, Gathered
from earwitness.trust.scoreboard.ranking import ALL, ENERGY, Record, Standing, standings

MAIN_SCORE = "auroc"
EXPLAINED_AT_ONCE = 4

Keep = Callable[[Case, Attribution], None]


@dataclass(frozen=True)
class Scoreboard:
    """What came of it.

    Parameters
    ----------
    records
        One a method and case: what a verdict can be fitted on.
    standings
        Means with intervals.
    gathered
        The cases.
    """

    records: tuple[Record, ...]
    standings: tuple[Standing, ...]
    gathered: Gathered

    __repr__ = brief

    def of(self, family: str = ALL, kind: str = ALL, score: str = MAIN_SCORE) -> list[Standing]:
        """Return the standings of one score over some cases, the highest mean first."""
        found = [each for each in self.standings if (each.family, each.kind, each.score) == (family, kind, score)]
        return sorted(found, key=lambda each: -each.mean)

    def kinds(self) -> list[tuple[str, str]]:
        """Return the families and kinds of the cases, in the order in which they were asked."""
        return list(dict.fromkeys((each.family, each.kind) for each in self.records))


# ---- maps and their scores ----------------------------------------------------------------------------------------


def explainers(methods: Sequence[str] = ()) -> list[tuple[str, Explainer]]:
    """Return methods and baselines with what one types for them; no methods means all, as the quick preset has them.

    Raises
    ------
    UsageError
        Naming what is wrong with a method.
    """
    listed = methods or PRESETS["quick"].methods()
    named: list[tuple[str, Explainer]] = [(text, parse(text)) for text in listed]
    twice = [each.name for _, each in named]
    for name in twice:
        if twice.count(name) > 1:
            raise UsageError(f"--method {name}: is named twice; a scoreboard holds each method once")
    return named + [(name, baseline()) for name, baseline in BASELINES.items()]


def run_scoreboard(
    classifier: Explainable,
    cases: Sequence[tuple[Case, float, float]],
    methods: Sequence[tuple[str, Explainer]],
    *,
    family: str = "",
    keep: Keep | None = None,
    refused: dict[str, str] | None = None,
    advance: Callable[[int], None] = lambda _steps: None,
) -> list[Record]:
    """Explain cases of one classifier by each method, and score the maps.

    Parameters
    ----------
    classifier
        Whose decisions.
    cases
        With the target's probability with the evidence and without it, as :class:`Bench` has them.
    methods
        As :func:`explainers` returns them.
    family
        Of the cases.
    keep
        Handed each case with each of its maps.
    refused
        Gets the reason why the classifier cannot be asked by a method, by the method's name; None raises.
    advance
        Told of each segment that a method has explained.

    Raises
    ------
    UsageError
        The classifier cannot be asked by a method, and there is no ``refused``.
    """
    groups: dict[str, list[tuple[Case, float, float]]] = {}
    for each in cases:
        groups.setdefault(each[0].name, []).append(each)
    segments, prepared = list(groups.values()), prepare(classifier)
    records = []
    for text, method in methods:
        for start in range(0, len(segments), EXPLAINED_AT_ONCE):
            chosen = segments[start : start + EXPLAINED_AT_ONCE]
            targets: list[list[Target]] = [[case.target for case, _, _ in group] for group in chosen]
            try:
                found = method.attribute(prepared, segments_of([group[0][0] for group in chosen]), targets)
            except UsageError as error:
                if refused is None:
                    raise
                refused[method.name] = str(error)
                break
            members = [each for group in chosen for each in group]
            for (case, probability, without), attribution in zip(members, found, strict=True):
                records.append(_record(text, method.name, family, case, probability, without, attribution))
                if keep is not None:
                    keep(case, attribution)
            advance(len(chosen))
    return records


def _record(
    text: str, name: str, family: str, case: Case, probability: float, without: float, attribution: Attribution
) -> Record:
    return Record(
        method=name,
        settings=text,
        family=family,
        kind=case.kind,
        case=case.name,
        target=attribution.target_label,
        level_db=case.level_db,
        share=case.share,
        probability=probability,
        without=without,
        flags=attribution.flags,
        seconds=attribution.seconds,
        forwards=attribution.forwards,
        scores=scores(attribution.values, case.truth, case.real_frames),
    )


def measure(
    gathered: Gathered,
    methods: Sequence[str] = (),
    *,
    every: bool = False,
    seed: int = 0,
    keep: Keep | None = None,
    progress: Progress = NO_PROGRESS,
) -> Scoreboard:
    """Ask every method about all cases.

    Parameters
    ----------
    gathered
        The cases.
    methods
        As one types them; none means all, with the quick preset's settings.
    every
        Whether they are all that there are: those by which a classifier cannot be asked are then left out of its cases,
        and noted.
    seed
        Of the bootstrap.
    keep
        Handed each case with each of its maps.
    progress
        Told of each segment that a method has explained.

    Raises
    ------
    UsageError
        A method is unknown or named twice, or there is no case.
    """
    chosen = explainers(methods)
    if not gathered.benches:
        raise UsageError("no case can be judged: the classifier predicts none of the sounds that were mixed for it")
    total = sum(len({case.name for case, _, _ in bench.cases}) for bench in gathered.benches) * len(chosen)
    records: list[Record] = []
    notes: list[str] = []
    with progress.task("Explaining what is known", total) as advance:
        for bench in gathered.benches:
            refused: dict[str, str] | None = {} if every else None
            records += run_scoreboard(
                bench.classifier, bench.cases, chosen, family=bench.family, keep=keep, refused=refused, advance=advance
            )
            if refused:
                first = next(iter(refused.values()))
                notes.append(f"left out of {bench.family}: {', '.join(refused)} (the first: {first})")
    gathered = replace(gathered, notes=(*gathered.notes, *notes))
    return Scoreboard(tuple(records), tuple(standings(records, seed=seed)), gathered)


def verdicts(board: Scoreboard, family: str = ALL, kind: str = ALL) -> tuple[list[str], list[str]]:
    """Return the methods that beat the energy baseline in the area under ROC, and those that do not, best first."""
    mine = [each for each in board.of(family, kind) if each.method != ENERGY and each.method not in BASELINES]
    beat = [each.method for each in mine if each.beats_energy]
    return beat, [each.method for each in mine if not each.beats_energy]
