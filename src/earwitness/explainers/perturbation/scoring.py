"""Scores of perturbed segments: batches over masks and segments, every target from one pass, nothing scored twice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from earwitness.audio.segments import Segments
from earwitness.core.arrays import Float64Array, Int64Array
from earwitness.core.device import to_numpy
from earwitness.core.progress import Advance
from earwitness.explainers import fills
from earwitness.explainers.attribution import Target
from earwitness.explainers.inference.optimised import FLOAT32, Swift, swift
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.inference.scoring import activated, as_input, check_scores, target_scores
from earwitness.models.protocols import Explainable


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


class Scoring:
    """The scores of a series of perturbations, scored a stretch at a time.

    Every perturbed segment goes through the network once, for all targets. One that equals the whole segment (a mask
    in the padding, silence hidden by silence) takes the whole segment's score without a pass, and one that hides what
    an earlier one hid takes that one's. Padding is never hidden: it is not evidence, and a fill would put sound where
    there is none.

    Parameters
    ----------
    prepared
        Whose scores; it is held (:meth:`Prepared.working`) while perturbations are scored.
    segments, targets
        As for an explainer.
    hiding
        The perturbations.
    fill
        What hidden cells become.
    kind
        One of :data:`~earwitness.explainers.inference.scoring.SCORE_KINDS`.
    advance
        Told after each batch how many perturbations were dealt with.
    seed
        Of the fill's random draws.
    soft
        Cells over which masks fade.
    precision
        ``"float32"`` or ``"bfloat16"``, of the network's multiplications where it works in float32.
    ready
        The network already made ready for segments of this size; then ``precision`` is its own.

    Attributes
    ----------
    scores
        Per segment, shape (perturbations scored so far, targets).
    forwards
        Per segment, network evaluations so far.
    swift
        The network, made ready for many passes.
    """

    def __init__(
        self,
        prepared: Prepared,
        segments: Segments,
        targets: Sequence[Sequence[Target]],
        hiding: Hiding,
        *,
        fill: str | float,
        kind: str,
        advance: Advance,
        seed: int = 0,
        soft: int = 0,
        precision: str = FLOAT32,
        ready: Swift | None = None,
    ) -> None:
        self.classifier, self.segments, self.targets, self.hiding = prepared, segments, targets, hiding
        self.kind, self.advance = kind, advance
        self.sheet = Sheet(prepared, segments, fill, seed, soft)
        self.scores: list[Float64Array] = [np.zeros((0, len(listed))) for listed in targets]
        self.forwards = [0] * len(segments)
        self.swift = ready or swift(prepared, segments, precision)

    def score(self, chosen: Sequence[int], stop: int) -> None:
        """Put the chosen segments' perturbations up to ``stop`` through the network; all have been scored equally far.

        Raises
        ------
        EarwitnessError
            If a score is NaN or infinite.
        """
        start = len(self.scores[chosen[0]])
        with self.classifier.working(), torch.inference_mode():
            for batch in batches(len(chosen), stop - start, self.swift.rows):
                self._hear([Piece(chosen[one.segment], start + one.start, start + one.stop) for one in batch])

    def _hear(self, batch: list[Piece]) -> None:
        made = [self.sheet.perturbed(piece, self.hiding) for piece in batch]
        together = torch.cat([rows for rows, _ in made]) if len(made) > 1 else made[0][0]
        scores = np.zeros((0, len(self.classifier.classes)))
        if len(together):
            # Scores are taken on the processor in float64: small drops of a score near 1 keep their digits.
            logits = self.swift.logits(together).cpu().double()
            scores = to_numpy(activated(logits, self.kind, self.classifier.activation))
        ends = np.cumsum([len(rows) for rows, _ in made])
        for piece, (_, taken), rows in zip(batch, made, np.split(scores, ends[:-1]), strict=True):
            check_scores(rows, self.classifier, self.segments, piece.segment)
            scored = self.scores[piece.segment]
            measured = np.empty((len(taken), scored.shape[1]))
            measured[taken == np.arange(piece.start, piece.stop)] = target_scores(rows, self.targets[piece.segment])
            every = np.concatenate([scored, measured])
            every[piece.start :] = every[taken]
            self.scores[piece.segment] = every
            self.forwards[piece.segment] += len(rows)
        self.advance(sum(len(taken) for _, taken in made))


class Sheet:
    """The segment at hand, on the device, from which perturbed copies are made."""

    def __init__(self, classifier: Explainable, segments: Segments, name: str | float, seed: int, soft: int) -> None:
        self.classifier, self.segments = classifier, segments
        self.name, self.seed, self.soft = name, seed, soft
        self.frames = torch.arange(segments.values.shape[1], device=classifier.device)[:, None]
        self.held: tuple[int, fills.Ground] | None = None
        # Per segment, the first perturbation that hides the same cells, by a digest of them.
        self.known: list[dict[bytes, int]] = [{} for _ in range(len(segments))]

    def ground(self, index: int) -> fills.Ground:
        """Return what a fill may know of a segment."""
        if self.held is None or self.held[0] != index:
            values, real = self.segments.values[index], int(self.segments.real_frames[index])
            silence = float(self.classifier.front_end.silence)
            self.held = (
                index,
                fills.Ground(
                    values=values,
                    segment=as_input(self.classifier, values),
                    real_frames=real,
                    silence=silence,
                    seed=self.seed,
                ),
            )
        return self.held[1]

    def perturbed(self, piece: Piece, hiding: Hiding) -> tuple[Tensor, Int64Array]:
        """Return the copies that are to be scored, and whose score each perturbation takes.

        Returns
        -------
        Copies, shape (rows, frames, bands); and, shape (stop - start,), the number of the perturbation whose score
        counts for each: its own where it is scored.
        """
        ground = self.ground(piece.segment)
        wanted = hiding.hidden(piece.segment, piece.start, piece.stop)
        real = self.frames < ground.real_frames
        taken = np.arange(piece.start, piece.stop)
        if wanted.dtype == torch.bool:
            # A faded mask also depends on what it would hide in the padding.
            taken = self._first(piece, wanted if self.soft else wanted & real)
        fresh = torch.as_tensor(np.flatnonzero(taken == np.arange(piece.start, piece.stop)), device=wanted.device)
        if len(fresh) < len(wanted):
            wanted = wanted[fresh]
        copies = self._copies(ground, wanted, real)
        changed = (copies != ground.segment).flatten(1).any(dim=1)
        numbers = to_numpy(fresh)
        if piece.start == 0 and len(numbers):
            changed[0] = True  # the whole segment itself is scored
        listed = to_numpy(changed)
        silent = numbers[~listed] + piece.start
        taken[np.isin(taken, silent)] = 0
        return copies if listed.all() else copies[changed], taken

    def _copies(self, ground: fills.Ground, wanted: Tensor, real: Tensor) -> Tensor:
        hole = (wanted > 0) & real
        filled = fills.filled(self.name, ground, hole)
        if wanted.dtype == torch.bool and not self.soft:
            return torch.where(hole, filled, ground.segment)
        share = (fills.faded(wanted, self.soft) if self.soft else wanted).to(ground.segment.dtype) * real
        return ground.segment + share * (filled - ground.segment)

    def _first(self, piece: Piece, hole: Tensor) -> Int64Array:
        """Return, for each perturbation, the first one of its segment that hides the same."""
        known = self.known[piece.segment]
        packed = np.packbits(to_numpy(hole.flatten(1)), axis=1)
        digests = (blake2b(row.tobytes(), digest_size=16).digest() for row in packed)
        first = [known.setdefault(digest, number) for number, digest in enumerate(digests, start=piece.start)]
        return np.array(first, dtype=np.int64)
