"""From segments to scores: batches, logits, activations, targets, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from earwitness.audio.segments import Segments
from earwitness.core.arrays import Float32Array, Float64Array
from earwitness.core.errors import EarwitnessError
from earwitness.explainers.attribution import Target
from earwitness.explainers.inference.modules import arithmetic
from earwitness.explainers.parameters import choice, parameter
from earwitness.models.adapter import NONE
from earwitness.models.protocols import Explainable

PROBABILITY = "probability"
LOG_ODDS = "log-odds"
LOGIT = "logit"
SCORE_KINDS = (LOGIT, LOG_ODDS, PROBABILITY)
LEAST_CHANCE = 2.0**-24


def score_parameter(default: str, kinds: Sequence[str] = SCORE_KINDS) -> Any:
    """Declare ``score``: which score a method explains."""
    return parameter(default, choice(*kinds), f"score that is explained: {', '.join(kinds[:-1])} or {kinds[-1]}")


# Cells of log-mel in one batch. On a processor a small batch keeps the feature maps in the caches; an accelerator
# wants work enough for all of it at once.
PROCESSOR_CELLS = 200_000


ACCELERATOR_CELLS = 6_000_000


def as_input(classifier: Explainable, values: Float32Array) -> Tensor:
    """Return log-mel segments (n, frames, bands) as the network takes them: its device, its number format."""
    return torch.as_tensor(values).to(device=classifier.device, dtype=arithmetic(classifier.network))


def batch_size(classifier: Explainable, frames: int, bands: int) -> int:
    """Return how many segments to put through the network at once."""
    if torch.device(classifier.device).type == "cpu":
        return max(1, PROCESSOR_CELLS // max(1, frames * bands))
    # A power of two, so that few sizes of batches come up (:func:`earwitness.core.device.filled_up`).
    return 1 << (max(1, ACCELERATOR_CELLS // max(1, frames * bands)).bit_length() - 1)


def logits_of(classifier: Explainable, x: Tensor, network: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Return the network's logits, shape (n, classes), checked for shape.

    Parameters
    ----------
    classifier
        Its network answers.
    x
        Shape (n, frames, bands).
    network
        A copy that answers in the network's stead.

    Raises
    ------
    EarwitnessError
        If the network's answer is not one number per segment and class.
    """
    logits = (classifier.network if network is None else network)(x)
    expected = (x.shape[0], len(classifier.classes))
    if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise EarwitnessError(f"the network answered {found} where {expected} was expected; match it to its classes")
    return logits


def activated(logits: Tensor, kind: str, activation: str) -> Tensor:
    """Return class scores of one kind, shape (n, classes), of logits; gradients pass through.

    Parameters
    ----------
    logits
        Class scores before the activation, shape (n, classes).
    kind
        ``"logit"``; ``"probability"``, p; or ``"log-odds"``, log p - log(1 - p): it goes on moving where p stands
        still near 0 or 1. Of a sigmoid, or of one class alone, it is the logit; of a softmax, the logit less
        those of all other classes together.
    activation
        What turns logits into probabilities: ``"softmax"``, ``"sigmoid"``, or ``"none"`` where the network's answers
        are probabilities already; their log-odds are held within 2**-24 of 0 and 1, which float32 does not tell apart.
    """
    if activation == NONE:
        return logits.clamp(LEAST_CHANCE, 1 - LEAST_CHANCE).logit() if kind == LOG_ODDS else logits
    if kind == PROBABILITY:
        return logits.softmax(dim=-1) if activation == "softmax" else logits.sigmoid()
    others = kind == LOG_ODDS and activation == "softmax" and logits.shape[-1] > 1
    return _log_odds(logits) if others else logits


def _log_odds(logits: Tensor) -> Tensor:
    """Return each logit less the log of the sum of the others' exponentials, without the cancellation of 1 - p."""
    none = logits.new_full((*logits.shape[:-1], 1), -torch.inf)
    before = torch.cat([none, logits[..., :-1]], dim=-1).logcumsumexp(dim=-1)
    after = torch.cat([none, logits.flip(-1)[..., :-1]], dim=-1).logcumsumexp(dim=-1).flip(-1)
    return logits - torch.logaddexp(before, after)


def target_scores(scores: Float64Array, targets: Sequence[Target]) -> Float64Array:
    """Return each target's score, shape (n, targets), of class scores, shape (n, classes).

    A contrastive target's score is the difference of its two classes' scores.
    """
    found = scores[:, [target.index for target in targets]]
    for column, target in enumerate(targets):
        if target.against is not None:
            found[:, column] -= scores[:, target.against]
    return found


def place_of(classifier: Explainable, segments: Segments, index: int) -> str:
    """Return where a segment comes from, in words, for messages."""
    start = classifier.front_end.clock.frame_start_seconds(segments.start_frames[index])
    return f"{segments.files[index] or 'segment'} at {float(start):.2f} s"


def check_values(classifier: Explainable, segments: Segments) -> None:
    """Refuse segments that hold what is not a number, which a network may pass over in silence.

    Raises
    ------
    EarwitnessError
        Naming the first such segment.
    """
    broken = np.flatnonzero(~np.isfinite(segments.values).all(axis=(1, 2)))
    if len(broken):
        raise EarwitnessError(
            f"{place_of(classifier, segments, int(broken[0]))}: the spectrogram holds NaN or infinite numbers; compute "
            "it again"
        )
    if segments.samples is not None and not np.isfinite(segments.samples).all():
        raise EarwitnessError("the segments' samples hold NaN or infinite numbers; read the recording again")


def check_scores(scores: Float64Array, classifier: Explainable, segments: Segments, index: int) -> None:
    """Refuse scores that are not numbers.

    Raises
    ------
    EarwitnessError
        Naming the segment.
    """
    if not np.isfinite(scores).all():
        raise EarwitnessError(
            f"{place_of(classifier, segments, index)}: the network's score is NaN or infinite; "
            "the weights are damaged or training diverged: train again with a lower learning rate"
        )


def stopwatch() -> Callable[[int], float]:
    """Start a watch; called with a number of segments, it returns the seconds since then for each of them."""
    started = time.perf_counter()
    return lambda segments: (time.perf_counter() - started) / max(1, segments)
