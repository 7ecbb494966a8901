"""What perturbation methods share: batches over hidden cells and segments, every target from one pass, rounds."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from earwitness.explain import fills
from earwitness.explain.attribution import Attribution, Target
from earwitness.explain.model import (
    Cost,
    Explainable,
    Found,
    activated,
    as_input,
    attribution_of,
    batch_size,
    check_request,
    check_scores,
    evaluation_mode,
    logits_of,
    stopwatch,
    target_scores,
)
from earwitness.explain.parameters import number_from, parameter
from earwitness.progress import Advance, Progress, Silent
from earwitness.segments import Segments

FloatArray = npt.NDArray[np.float64]


class Hiding(Protocol):
    """A series of perturbations. The first one hides nothing, so that it measures the whole segment."""

    @property
    def count(self) -> int:
        """How many there are."""
        ...

    def hidden(self, segment: int, start: int, stop: int) -> Tensor:
        """Return what perturbations ``start`` to ``stop`` hide, shape (stop - start, frames, bands).

        Either bool, or how far each cell is hidden from 0 to 1.
        """
        ...


# ---- one pass for all ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Piece:
    """Perturbations ``start`` to ``stop`` of one segment."""

    segment: int
    start: int
    stop: int


def batches(segments: int, count: int, size: int) -> Iterator[list[Piece]]:
    """Divide ``count`` perturbations of each of some segments into batches of at most ``size``.

    A segment whose perturbations fill a batch is divided evenly and shares no batch, so its numbers are the same to
    the last bit whatever stands beside it; where several fit, whole segments share one.
    """
    if count > size:
        step = math.ceil(count / math.ceil(count / size))
        for segment in range(segments):
            for start in range(0, count, step):
                yield [Piece(segment, start, min(start + step, count))]
        return
    together = max(1, size // max(1, count))
    for first in range(0, segments, together):
        yield [Piece(segment, 0, count) for segment in range(first, min(first + together, segments))]


class Listening:
    """The scores of a series of perturbations, heard a stretch at a time.

    Every perturbed segment goes through the network once, for all targets. One that equals the whole segment (a mask
    in the padding, silence hidden by silence) takes the whole segment's score without a pass. Padding is never
    hidden: it is not evidence, and a fill would put sound where there is none.

    Parameters
    ----------
    classifier, segments, targets
        As for an explainer.
    hiding
        The perturbations.
    fill
        What hidden cells become.
    kind
        ``"logit"`` or ``"probability"``.
    advance
        Told after each batch how many perturbations were dealt with.
    seed
        Of the fill's random draws.
    soft
        Cells over which masks fade.

    Attributes
    ----------
    scores
        Per segment, shape (perturbations heard so far, targets).
    forwards
        Per segment, network evaluations so far.
    """

    def __init__(
        self,
        classifier: Explainable,
        segments: Segments,
        targets: Sequence[Sequence[Target]],
        hiding: Hiding,
        *,
        fill: str | float,
        kind: str,
        advance: Advance,
        seed: int = 0,
        soft: int = 0,
    ) -> None:
        self.classifier, self.segments, self.targets, self.hiding = classifier, segments, targets, hiding
        self.kind, self.advance = kind, advance
        self.sheet = _Sheet(classifier, segments, fill, seed, soft)
        self.scores: list[FloatArray] = [np.zeros((0, len(listed))) for listed in targets]
        self.forwards = [0] * len(segments)

    def hear(self, chosen: Sequence[int], stop: int) -> None:
        """Put the chosen segments' perturbations up to ``stop`` through the network; all have been heard equally far.

        Raises
        ------
        EarwitnessError
            If a score is NaN or infinite.
        """
        start = len(self.scores[chosen[0]])
        size = batch_size(self.classifier, *self.segments.values.shape[1:])
        with evaluation_mode(self.classifier.network), torch.inference_mode():
            for batch in batches(len(chosen), stop - start, size):
                self._hear([Piece(chosen[one.segment], start + one.start, start + one.stop) for one in batch])

    def _hear(self, batch: list[Piece]) -> None:
        made = [self.sheet.perturbed(piece, self.hiding) for piece in batch]
        changed = [new for _, new in made]
        together = torch.cat([rows for rows, _ in made]) if len(made) > 1 else made[0][0]
        scores = np.zeros((0, len(self.classifier.classes)))
        if len(together):
            # Scores are taken on the processor in float64: small drops of a score near 1 keep their digits.
            logits = logits_of(self.classifier, together).cpu().double()
            scores = activated(logits, self.kind, self.classifier.activation).numpy()
        ends = np.cumsum([new.sum() for new in changed])
        for piece, new, rows in zip(batch, changed, np.split(scores, ends[:-1]), strict=True):
            check_scores(rows, self.classifier, self.segments, piece.segment)
            heard = self.scores[piece.segment]
            measured = np.empty((len(new), heard.shape[1]))
            measured[new] = target_scores(rows, self.targets[piece.segment])
            measured[~new] = heard[0] if piece.start else measured[0]
            self.scores[piece.segment] = np.concatenate([heard, measured])
            self.forwards[piece.segment] += len(rows)
        self.advance(sum(len(new) for new in changed))


class _Sheet:
    """The segment at hand, on the device, from which perturbed copies are made."""

    def __init__(self, classifier: Explainable, segments: Segments, name: str | float, seed: int, soft: int) -> None:
        self.classifier, self.segments = classifier, segments
        self.name, self.seed, self.soft = name, seed, soft
        self.frames = torch.arange(segments.values.shape[1], device=classifier.device)[:, None]
        self.held: tuple[int, fills.Ground] | None = None

    def ground(self, index: int) -> fills.Ground:
        if self.held is None or self.held[0] != index:
            values, real = self.segments.values[index], int(self.segments.real_frames[index])
            silence = float(self.classifier.front_end.silence)
            self.held = (index, fills.Ground(values, as_input(self.classifier, values), real, silence, self.seed))
        return self.held[1]

    def perturbed(self, piece: Piece, hiding: Hiding) -> tuple[Tensor, npt.NDArray[np.bool_]]:
        """Return the copies that differ from the segment, shape (rows, frames, bands), and which these are.

        The first perturbation, the whole segment, counts as one of them.
        """
        ground = self.ground(piece.segment)
        wanted = hiding.hidden(piece.segment, piece.start, piece.stop)
        real = self.frames < ground.real_frames
        hole = (wanted > 0) & real
        filled = fills.filled(self.name, ground, hole)
        if wanted.dtype == torch.bool and not self.soft:
            copies = torch.where(hole, filled, ground.segment)
        else:
            share = (fills.faded(wanted, self.soft) if self.soft else wanted).to(ground.segment.dtype) * real
            copies = ground.segment + share * (filled - ground.segment)
        changed = (copies != ground.segment).flatten(1).any(dim=1)
        if piece.start == 0:
            changed[0] = True
        listed = changed.cpu().numpy()
        return copies if listed.all() else copies[changed], listed


# ---- the loop of every perturbation method ------------------------------------------------------------------------


class Plan(Protocol):
    """What a method makes of some segments: perturbations, when to look at what they tell, and how to read it."""

    @property
    def hiding(self) -> Hiding:
        """The perturbations."""
        ...

    @property
    def stops(self) -> Sequence[int]:
        """After how many perturbations the map may be made; rising, the last is all of them."""
        ...

    def solve(self, segment: int, scores: FloatArray) -> list[Found]:
        """Return what was found for each target, of the scores heard so far, shape (perturbations, targets)."""
        ...


class Perturbing(ABC):
    """A method that hides parts of the segment and listens again.

    A subclass is a frozen dataclass with the fields named here; methods with chance also have ``seed``, and those that
    know their error ``tolerance``.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    fill: str | float
    fill2: str | float
    soft: int
    score: str

    @abstractmethod
    def plan(self, classifier: Explainable, segments: Segments) -> Plan:
        """Return what to hide in some segments, and how to read the scores."""

    def attribute(
        self,
        classifier: Explainable,
        segments: Segments,
        targets: Sequence[Sequence[Target]],
        progress: Progress | None = None,
    ) -> list[Attribution]:
        """Explain segments.

        Parameters
        ----------
        classifier
            What made the decision.
        segments
            The excerpts to explain.
        targets
            Per segment, what to explain; all come from the same passes.
        progress
            Told how far the work has come.

        Returns
        -------
        One attribution per segment and target, the first segment's first. With ``fill2``, ``diagnostics`` tells how
        far a second run with that fill disagrees (:func:`earwitness.explain.fills.disagreement`), and the cost is
        that of both.

        Raises
        ------
        UsageError
            If a parameter does not fit the segments, or a target is out of range.
        EarwitnessError
            If the network's score is not a number.
        """
        check_request(classifier, segments, targets)
        if not len(segments):
            return []
        found = self._heard(classifier, segments, targets, progress or Silent())
        if self.fill2 == fills.NONE:
            return found
        another: Perturbing = dataclasses.replace(self, fill=self.fill2, fill2=fills.NONE)  # type: ignore[type-var]
        second = another._heard(classifier, segments, targets, progress or Silent())
        return [_compared(*pair) for pair in zip(found, second, strict=True)]

    def _heard(
        self, classifier: Explainable, segments: Segments, targets: Sequence[Sequence[Target]], progress: Progress
    ) -> list[Attribution]:
        seconds = stopwatch()
        plan = self.plan(classifier, segments)
        found: list[list[Found]] = [[] for _ in range(len(segments))]
        active = list(range(len(segments)))
        with progress.task(self.title, plan.stops[-1] * len(segments)) as advance:
            listening = Listening(
                classifier,
                segments,
                targets,
                plan.hiding,
                fill=self.fill,
                kind=self.score,
                advance=advance,
                seed=getattr(self, "seed", 0),
                soft=self.soft,
            )
            for stop in plan.stops:
                listening.hear(active, stop)
                for index in active:
                    found[index] = [self._settled(each) for each in plan.solve(index, listening.scores[index])]
                done = [index for index in active if all(each.converged for each in found[index])]
                active = [index for index in active if index not in done]
                advance(len(done) * (plan.stops[-1] - stop))
                if not active:
                    break
        return self._attributions(classifier, segments, targets, found, listening.forwards, seconds(len(segments)))

    def _settled(self, found: Found) -> Found:
        """Return what was found, marked as not converged while its error is above the tolerance."""
        tolerance = getattr(self, "tolerance", 0.0)
        if not tolerance:
            return found
        return dataclasses.replace(found, converged=relative_error(found) <= tolerance)

    def _attributions(
        self,
        classifier: Explainable,
        segments: Segments,
        targets: Sequence[Sequence[Target]],
        found: list[list[Found]],
        forwards: list[int],
        seconds: float,
    ) -> list[Attribution]:
        return [
            attribution_of(self, classifier, segments, index, target, each, Cost(forwards[index], 0, seconds))
            for index, listed in enumerate(targets)
            for target, each in zip(listed, found[index], strict=True)
        ]


def tolerance_parameter() -> Any:
    """Declare ``tolerance``."""
    text = "standard error, as share of the largest cell, at which to stop early; 0: use all samples"
    return parameter(0.0, number_from(0.0), text)


def relative_error(found: Found) -> float:
    """Return the root mean square of a map's standard errors as share of its largest cell (0 for an empty map)."""
    if found.error is None:
        return math.inf
    error, largest = float(np.sqrt(np.mean(found.error**2))), float(np.abs(found.native).max())
    if error == 0:
        return 0.0
    return error / largest if largest else math.inf


def stops(count: int, first: int, block: int, tolerance: float) -> list[int]:
    """Return after how many perturbations to look at the error: whole blocks after the first perturbation, doubling.

    Parameters
    ----------
    count
        All of them.
    first
        Fewest to look at.
    block
        Perturbations that belong together.
    tolerance
        Where 0, all are heard in one go.
    """
    found = []
    blocks = max(1, math.ceil(first / block))
    while tolerance and 1 + blocks * block < count:
        found.append(1 + blocks * block)
        blocks *= 2
    return [*found, count]


def _compared(first: Attribution, second: Attribution) -> Attribution:
    return dataclasses.replace(
        first,
        diagnostics=first.diagnostics | fills.disagreement(first, second),
        forwards=first.forwards + second.forwards,
        seconds=first.seconds + second.seconds,
    )
