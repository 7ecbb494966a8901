"""In which number format a perturbation method scores, and how bfloat16 is checked against float32.

bfloat16 keeps 8 bits of a number. Products take half the time where the processor multiplies it natively; whether the
maps stay what they were depends on the network. So a few of the segments' own perturbations are scored in both formats:
first with convolutions that take fewer products, and where these are too rough, with plain ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from earwitness.audio.segments import Segments
from earwitness.core.arrays import Int64Array
from earwitness.core.processor import fast_bfloat16
from earwitness.core.progress import Progress
from earwitness.explainers.attribution import CONSTANT_TOLERANCE, Target
from earwitness.explainers.inference.optimised import BFLOAT16, FLOAT32, Swift, swift
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.method import Found
from earwitness.explainers.parameters import choice, parameter
from earwitness.explainers.perturbation.scoring import Hiding, Scoring
from earwitness.explainers.ranks import rank_correlation

AUTO = "auto"
# Spearman's correlation of scores in both formats, below which float32 is used.
AGREEMENT = 0.99
SEGMENTS_CHECKED = 4
PERTURBATIONS_CHECKED = 48  # of all checked segments together
# At least so many of each: two neighbours of 13 that change places lower the correlation to 0.9945, of 25 to 0.9992.
FEWEST_CHECKED = 24


def precision_parameter() -> Any:
    """Declare ``precision``."""
    text = "number format of the network: float32; bfloat16, if it ranks like float32; auto: that, where it is faster"
    return parameter(FLOAT32, choice(FLOAT32, BFLOAT16, AUTO), text)


@dataclass(frozen=True)
class Settled:
    """The number format that was settled on.

    Parameters
    ----------
    precision
        ``"float32"`` or ``"bfloat16"``.
    agreement
        Spearman's correlation of bfloat16 scores with float32 scores, or None where bfloat16 was not tried.
    ready
        The network made ready in bfloat16, where that was settled on.
    """

    precision: str
    agreement: float | None = None
    ready: Swift | None = None

    def told(self, found: Found) -> Found:
        """Return what was found, with the agreement among its diagnostics."""
        if self.agreement is None:
            return found
        return dataclasses.replace(found, diagnostics=found.diagnostics | {"precision_agreement": self.agreement})


def settle(
    explainer: Any,
    prepared: Prepared,
    segments: Segments,
    targets: Sequence[Sequence[Target]],
    hiding: Hiding,
    options: dict[str, Any],
    progress: Progress,
) -> Settled:
    """Return the number format for an explainer's wish.

    bfloat16 is checked once per network (its weights as they are), explainer and size of segments; the answer is kept
    with the prepared classifier, so that later segments do not pay for it again.

    Parameters
    ----------
    explainer
        Has ``precision``.
    prepared, segments, targets, hiding
        As for :class:`earwitness.explainers.perturbation.scoring.Scoring`; the check scores the first few segments.
    options
        Further parameters of ``Scoring``.
    progress
        Told when bfloat16 is not good enough.
    """
    wish = explainer.precision
    if wish == AUTO:
        wish = BFLOAT16 if fast_bfloat16(torch.device(prepared.device)) else FLOAT32
    if wish == FLOAT32:
        return Settled(FLOAT32)
    for sparing in (True, False):
        ready = swift(prepared, segments, BFLOAT16, sparing=sparing)
        if ready.precision != BFLOAT16:
            return Settled(FLOAT32)
        measured = prepared.once(
            ("agreement", explainer, sparing),
            segments.values.shape[1:],
            partial(agreement, prepared, segments, targets, hiding, options, ready),
        )
        if measured >= AGREEMENT:
            return Settled(BFLOAT16, measured, ready)
        if not ready.sparing:
            break
    progress.say(
        f"{explainer.name}: bfloat16 ranks what is hidden otherwise than float32 does (agreement {measured:.3f}, at "
        f"least {AGREEMENT} is wanted), so float32 is used"
    )
    return Settled(FLOAT32, measured)


def agreement(
    prepared: Prepared,
    segments: Segments,
    targets: Sequence[Sequence[Target]],
    hiding: Hiding,
    options: dict[str, Any],
    ready: Swift,
) -> float:
    """Return how alike float32 and a network made ready rank perturbations, from -1 to 1.

    It is the lowest Spearman correlation over segments and targets. Perturbations are taken evenly from all, the same
    ones in both formats. Where float32 tells no perturbation from another (silence), there is no order to keep, and the
    pair is left out.
    """
    rows = list(range(min(SEGMENTS_CHECKED, len(segments))))
    few = _Some(hiding, rows, max(FEWEST_CHECKED, PERTURBATIONS_CHECKED // len(rows)))
    scored = []
    for network in (swift(prepared, segments, FLOAT32), ready):
        scoring = Scoring(
            prepared,
            segments.take(rows),
            [targets[row] for row in rows],
            few,
            advance=lambda _steps: None,
            ready=network,
            **options,
        )
        scoring.score(rows, few.count)
        scored.append(scoring.scores)
    pairs = [
        (one, other)
        for exact, rough in zip(*scored, strict=True)
        for one, other in zip(exact.T, rough.T, strict=True)
        if np.ptp(one) > CONSTANT_TOLERANCE * np.abs(one).max()
    ]
    return min((rank_correlation(one, other) for one, other in pairs), default=1.0)


class _Some:
    """Some perturbations of a series, taken evenly; the first hides nothing."""

    def __init__(self, hiding: Hiding, rows: list[int], most: int) -> None:
        self.hiding, self.rows = hiding, rows
        number = min(most, hiding.count - 1)
        self.chosen: Int64Array = np.linspace(0, hiding.count - 1, number + 1).round().astype(np.int64)

    @property
    def count(self) -> int:
        return len(self.chosen)

    def hidden(self, segment: int, start: int, stop: int) -> Tensor:
        one = self.hiding.hidden
        return torch.cat([one(self.rows[segment], number, number + 1) for number in self.chosen[start:stop].tolist()])
