"""Finding the cases for a scoreboard: mixtures that a classifier predicts, planted shortcuts, known networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.data.recordings import Recording
from earwitness.data.synthetic import scenes
from earwitness.explainers.parameters import spec
from earwitness.explainers.registry import parse, without_attention
from earwitness.models.classifier import Classifier
from earwitness.models.protocols import Explainable
from earwitness.trust.scoreboard import analytic
from earwitness.trust.scoreboard.cases import ELSEWHERE, NO_PLACE, NOT_PREDICTED, Case, check
from earwitness.trust.scoreboard.mixtures import Stage, made, recorded
from earwitness.trust.scoreboard.planted import FULL, QUICK, Size, plant

MADE = "mixtures of made sounds"
RECORDED = "mixtures of recordings"
PLANTED = "planted shortcuts"
KNOWN = "known networks"

# How many segments are asked for each one that is wanted, before one gives up.
PATIENCE = 12
ASKED_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
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
    passes
        Of each method's map at most, as far as its samples or steps can be bounded.
    """

    mixtures: int
    planted: int
    known: int
    size: Size
    passes: int

    def methods(self) -> tuple[str, ...]:
        """Return every method with this preset's settings, as one types them; no run's network has attention."""
        return tuple(spec(parse(name).at_most(self.passes)) for name in without_attention())


PRESETS = {
    "quick": Preset(
        mixtures=6,
        planted=5,
        known=5,
        size=QUICK,
        passes=128,
    ),
    "full": Preset(mixtures=60, planted=20, known=20, size=FULL, passes=2048),
}


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many cases of a kind were tried, and why those that cannot be judged cannot.

    Parameters
    ----------
    family, kind
        Of the cases.
    tried, judged
        How many.
    not_predicted, elsewhere, no_place
        Not predicted; predicted just as well without the evidence; with evidence on hardly any cell or on most.
    """

    family: str
    kind: str
    tried: int
    judged: int
    not_predicted: int
    elsewhere: int
    no_place: int

    def text(self) -> str:
        """Return the tally as a sentence."""
        reasons = ((self.not_predicted, NOT_PREDICTED), (self.elsewhere, ELSEWHERE), (self.no_place, NO_PLACE))
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
    """Cases to be judged, how they were found, and what a reader must know: what planting measured, what lacks."""

    benches: tuple[Bench, ...]
    tallies: tuple[Tally, ...]
    notes: tuple[str, ...] = ()


def gather(
    classifier: Classifier,
    recordings: Sequence[Recording] = (),
    *,
    preset: Preset = PRESETS["quick"],
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Progress = NO_PROGRESS,
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
    device
        Where planted shortcuts are learned, and they and the known networks are asked.
    progress
        Told of the trainings and the cases.
    """
    stage = Stage(classifier.front_end, classifier.classes, classifier.segment_frames, classifier.segment_samples)
    benches: list[Bench] = []
    tallies: list[Tally] = []
    notes: list[str] = []
    sources = ((MADE, made(stage, seed=seed)), (RECORDED, recorded(stage, recordings, seed=seed)))
    for family, source in sources:
        with progress.task(f"Looking for {family} that are predicted", preset.mixtures) as advance:
            bench, found = choose(classifier, source, family, preset.mixtures, advance)
        benches.append(bench)
        tallies += found
        if not bench.cases:
            notes.append(f"no {family}: {_lacking(family, stage, recordings)}")
    planted = plant(size=preset.size, seed=seed, device=device, progress=progress)
    for shortcut in planted:
        groups = ([case] for case in shortcut.cases)
        bench, found = choose(shortcut.classifier, groups, PLANTED, preset.planted)
        benches.append(bench)
        tallies += found
    for name in analytic.NETWORKS:
        known = analytic.build(name, cases=preset.known, seed=seed, device=device)
        bench, found = choose(known.classifier, ([case] for case in known.cases), KNOWN, preset.known)
        benches.append(bench)
        tallies += found
    notes += [f"planted {each.text()}" for each in planted]
    return Gathered(tuple(bench for bench in benches if bench.cases), tuple(tallies), tuple(notes))


def _lacking(family: str, stage: Stage, recordings: Sequence[Recording]) -> str:
    """Return why there are no mixtures of a family."""
    if family == MADE and len(set(stage.classes) & set(scenes.CLASSES)) < 2:
        return "the classifier's classes are not those of the made sounds"
    if family == RECORDED and len({each.label for each in recordings}) < 2:
        return "there are no recordings of two of its classes"
    return "the classifier predicts none of them as what they are"


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
        Which must predict them.
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
        Tally(
            family=family,
            kind=kind,
            tried=len(each),
            judged=each.count(""),
            not_predicted=each.count(NOT_PREDICTED),
            elsewhere=each.count(ELSEWHERE),
            no_place=each.count(NO_PLACE),
        )
        for kind, each in reasons.items()
    ]
    return Bench(family, classifier, tuple(case for kind in sorted(taken) for case in taken[kind])), tallies
