"""The scoreboard: every method, and four baselines that know nothing of the network, on cases whose evidence is known.

>>> from earwitness.trust import scoreboard
>>> board = scoreboard.measure(scoreboard.gather(classifier))  # doctest: +SKIP
>>> print(board.text())  # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from earwitness.classifier import Classifier
from earwitness.errors import UsageError
from earwitness.explain import METHODS, Attribution, Explainable, Explainer, parse
from earwitness.explain.attribution import Target
from earwitness.progress import Progress, Silent
from earwitness.recordings import Recording
from earwitness.trust import knownnets, mixtures, shortcuts
from earwitness.trust.baselines import BASELINES
from earwitness.trust.cases import ELSEWHERE, NO_PLACE, UNHEARD, Case, check, segments_of
from earwitness.trust.standings import ALL, ENERGY, Record, Standing, standings
from earwitness.trust.truth import scores

MADE = "mixtures of made sounds"
RECORDED = "mixtures of recordings"
PLANTED = "planted shortcuts"
KNOWN = "known networks"

MAIN_SCORE = "auroc"
# How many segments are asked for each one that is wanted, before one gives up.
PATIENCE = 12
ASKED_AT_ONCE = 8
EXPLAINED_AT_ONCE = 4

Keep = Callable[[Case, Attribution], None]


@dataclass(frozen=True)
class Preset:
    """How much is spent.

    Parameters
    ----------
    mixtures
        Segments of each source (made sounds, recordings), half of them of each kind.
    planted, known
        Cases of each planted shortcut, and of each known network.
    size
        Of the trainings with planted shortcuts.
    settings
        What follows a method's name, such as ``":samples=128"``; methods that are not named run as they are.
    """

    mixtures: int
    planted: int
    known: int
    size: shortcuts.Size
    settings: dict[str, str]

    def methods(self) -> tuple[str, ...]:
        """Return every method with this preset's settings, as one types them."""
        return tuple(name + self.settings.get(name, "") for name in METHODS)


PRESETS = {
    "quick": Preset(
        mixtures=8,
        planted=5,
        known=5,
        size=shortcuts.QUICK,
        settings={
            "integratedgradients": ":steps=16",
            "smoothgrad": ":samples=16",
            "lime": ":samples=128",
            "rise": ":samples=128",
            "shapley": ":samples=128",
            "kernelshap": ":samples=128",
        },
    ),
    "full": Preset(mixtures=60, planted=20, known=20, size=shortcuts.FULL, settings={"rise": ":samples=2048"}),
}


@dataclass(frozen=True)
class Tally:
    """How many cases of a kind were tried, and why those that cannot be judged cannot.

    Parameters
    ----------
    family, kind
        Of the cases.
    tried, judged
        How many.
    unheard, elsewhere, no_place
        Not heard; heard just as well without the evidence; with evidence on hardly any cell or on most.
    """

    family: str
    kind: str
    tried: int
    judged: int
    unheard: int
    elsewhere: int
    no_place: int

    def text(self) -> str:
        """Return the tally as a sentence."""
        reasons = ((self.unheard, UNHEARD), (self.elsewhere, ELSEWHERE), (self.no_place, NO_PLACE))
        left_out = ", ".join(f"{count} {reason}" for count, reason in reasons if count)
        words = f"{self.family}, {self.kind}: {self.judged} of {self.tried} cases can be judged"
        return words + (f" ({left_out})" if left_out else "")


@dataclass(frozen=True)
class Bench:
    """A classifier and the cases that its maps are judged by.

    Parameters
    ----------
    family
        Where the cases come from.
    classifier
        Whose maps.
    cases
        Each with the target's probability with its evidence and without it; targets of one segment stand together.
    """

    family: str
    classifier: Explainable
    cases: tuple[tuple[Case, float, float], ...]


@dataclass(frozen=True)
class Gathered:
    """Cases to be judged, how they were found, and what was measured of the planted shortcuts."""

    benches: tuple[Bench, ...]
    tallies: tuple[Tally, ...]
    notes: tuple[str, ...] = ()


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

    def of(self, family: str = ALL, kind: str = ALL, score: str = MAIN_SCORE) -> list[Standing]:
        """Return the standings of one score over some cases, the highest mean first."""
        found = [each for each in self.standings if (each.family, each.kind, each.score) == (family, kind, score)]
        return sorted(found, key=lambda each: -each.mean)

    def kinds(self) -> list[tuple[str, str]]:
        """Return the families and kinds of the cases, in the order in which they were asked."""
        return list(dict.fromkeys((each.family, each.kind) for each in self.records))


# ---- cases --------------------------------------------------------------------------------------------------------


def gather(
    classifier: Classifier,
    recordings: Sequence[Recording] = (),
    *,
    preset: Preset = PRESETS["quick"],
    seed: int = 0,
    progress: Progress | None = None,
) -> Gathered:
    """Make cases for a classifier, and with them the planted shortcuts and known networks that come with their own.

    Parameters
    ----------
    classifier
        Asked about mixtures: of made sounds as far as it knows their classes, and of the recordings.
    recordings
        Labelled; the classifier must not have learned from them.
    preset
        How many.
    seed
        The same seed gives the same cases.
    progress
        Told of the trainings and the cases.
    """
    progress = progress or Silent()
    stage = mixtures.Stage(classifier.front_end, classifier.classes, classifier.segment_frames)
    benches: list[Bench] = []
    tallies: list[Tally] = []
    sources = ((MADE, mixtures.made(stage, seed=seed)), (RECORDED, mixtures.recorded(stage, recordings, seed=seed)))
    for family, source in sources:
        with progress.task(f"Looking for {family} that are heard", preset.mixtures) as advance:
            bench, found = choose(classifier, source, family, preset.mixtures, advance)
        benches.append(bench)
        tallies += found
    planted = shortcuts.plant(size=preset.size, seed=seed, progress=progress)
    for shortcut in planted:
        groups = ([case] for case in shortcut.cases)
        bench, found = choose(shortcut.classifier, groups, PLANTED, preset.planted)
        benches.append(bench)
        tallies += found
    for name in knownnets.NETWORKS:
        known = knownnets.build(name, cases=preset.known, seed=seed)
        bench, found = choose(known.classifier, ([case] for case in known.cases), KNOWN, preset.known)
        benches.append(bench)
        tallies += found
    return Gathered(
        tuple(bench for bench in benches if bench.cases), tuple(tallies), tuple(each.text() for each in planted)
    )


def choose(
    classifier: Explainable,
    source: Iterator[list[Case]],
    family: str,
    wanted: int,
    advance: Callable[[int], None] = lambda _steps: None,
) -> tuple[Bench, list[Tally]]:
    """Take cases from a source, a segment at a time, until there are enough that can be judged, or patience ends.

    Parameters
    ----------
    classifier
        Who must hear them.
    source
        The cases of one segment at a time; kinds that take turns are wanted equally often.
    family
        Of the cases.
    wanted
        Segments.
    advance
        Told of each that was taken.
    """
    taken: dict[str, list[tuple[Case, float, float]]] = {}
    names: dict[str, set[str]] = {}
    reasons: dict[str, list[str]] = {}
    tried = 0
    while tried < PATIENCE * wanted:
        block = [group for _, group in zip(range(ASKED_AT_ONCE), source, strict=False)]
        tried += len(block)
        checked = check(classifier, [case for group in block for case in group])
        # Two kinds take turns in mixtures; each may fill its half.
        share = math.ceil(wanted / max(1, len({each.case.kind for each in checked} | taken.keys())))
        for each in checked:
            kind, name = each.case.kind, each.case.name
            mine = names.setdefault(kind, set())
            if name not in mine and len(mine) >= share:
                continue
            reasons.setdefault(kind, []).append(each.reason)
            if not each.reason:
                advance(int(name not in mine))
                mine.add(name)
                taken.setdefault(kind, []).append((each.case, each.probability, each.without))
        if len(block) < ASKED_AT_ONCE or (names and all(len(mine) >= share for mine in names.values())):
            break
    tallies = [
        Tally(family, kind, len(each), each.count(""), each.count(UNHEARD), each.count(ELSEWHERE), each.count(NO_PLACE))
        for kind, each in reasons.items()
    ]
    return Bench(family, classifier, tuple(case for kind in sorted(taken) for case in taken[kind])), tallies


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
    advance
        Told of each segment that a method has explained.
    """
    groups: dict[str, list[tuple[Case, float, float]]] = {}
    for each in cases:
        groups.setdefault(each[0].name, []).append(each)
    segments = list(groups.values())
    records = []
    for text, method in methods:
        for start in range(0, len(segments), EXPLAINED_AT_ONCE):
            chosen = segments[start : start + EXPLAINED_AT_ONCE]
            targets: list[list[Target]] = [[case.target for case, _, _ in group] for group in chosen]
            found = method.attribute(classifier, segments_of([group[0][0] for group in chosen]), targets)
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
    seed: int = 0,
    keep: Keep | None = None,
    progress: Progress | None = None,
) -> Scoreboard:
    """Ask every method about all cases.

    Parameters
    ----------
    gathered
        The cases.
    methods
        As one types them; none means all, with the quick preset's settings.
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
        raise UsageError("no case can be judged: the classifier hears none of the sounds that were mixed for it")
    total = sum(len({case.name for case, _, _ in bench.cases}) for bench in gathered.benches) * len(chosen)
    records: list[Record] = []
    with (progress or Silent()).task("Explaining what is known", total) as advance:
        for bench in gathered.benches:
            records += run_scoreboard(
                bench.classifier, bench.cases, chosen, family=bench.family, keep=keep, advance=advance
            )
    return Scoreboard(tuple(records), tuple(standings(records, seed=seed)), gathered)


def verdicts(board: Scoreboard, family: str = ALL, kind: str = ALL) -> tuple[list[str], list[str]]:
    """Return the methods that beat the energy baseline in the area under ROC, and those that do not, best first."""
    mine = [each for each in board.of(family, kind) if each.method != ENERGY and each.method not in BASELINES]
    beat = [each.method for each in mine if each.beats_energy]
    return beat, [each.method for each in mine if not each.beats_energy]
