"""What is checked before a network is asked: the request, and, by a trial, gradients and answers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from earwitness.audio.segments import Segments
from earwitness.core.errors import EarwitnessError, UsageError, first_line
from earwitness.explainers.attribution import Target
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.inference.scoring import LOG_ODDS, PROBABILITY, as_input, check_values, logits_of
from earwitness.models.adapter import NONE, Coat
from earwitness.models.foreign.runtimes import REASON
from earwitness.models.foreign.waveform import Waveforms
from earwitness.models.protocols import Explainable

ADDS_UP = 1e-3  # how far from 1 the answers of a softmax may add up to


@dataclass(frozen=True)
class Trial:
    """What two inputs told.

    Parameters
    ----------
    gradients
        Whether gradients pass, or the network answers everything alike.
    chances
        Whether all answers lie in 0 to 1.
    adds_up
        Whether they add up to 1 as well.
    low, high
        The least and the greatest answer.
    """

    gradients: bool
    chances: bool
    adds_up: bool
    low: float
    high: float


def tried(prepared: Prepared, segments: Segments) -> Trial | None:
    """Return what a foreign network is found to be, once for each size of segments; None of our own networks."""
    if not isinstance(prepared.classifier.network, Coat | Waveforms):
        return None
    return prepared.once("trial", segments.values.shape[1:], lambda: _try(prepared, segments))


def _try(prepared: Prepared, segments: Segments) -> Trial:
    x = as_input(prepared, segments.values[:1])
    answers = _answers(prepared, torch.cat([x, torch.full_like(x, float(prepared.front_end.silence))]))
    found = answers.detach().double()
    low, high = float(found.min()), float(found.max())
    chances = low >= 0.0 and high <= 1.0
    return Trial(
        gradients=answers.requires_grad or bool((found[0] == found[1]).all()),
        chances=chances,
        adds_up=chances and found.shape[1] > 1 and bool(((found.sum(dim=1) - 1).abs() < ADDS_UP).all()),
        low=low,
        high=high,
    )


def _answers(prepared: Prepared, x: Tensor) -> Tensor:
    """Return the answers to two segments, or say what is wrong about how they are put."""
    try:
        with torch.enable_grad():
            return logits_of(prepared, x.requires_grad_())
    except EarwitnessError:
        raise
    except Exception as error:
        if _takes(prepared, x[:1]):
            raise UsageError("the network takes one segment at a time; say so (batch=1)") from error
        shape = " x ".join(str(size) for size in x.shape[1:])
        raise UsageError(
            f"the network cannot take segments of {shape} frames and bands ({first_line(error, REASON)}); check its "
            "layout and the segments' size"
        ) from error


def _takes(prepared: Prepared, x: Tensor) -> bool:
    """Return whether a network takes an input; what another's code raises when it does not is nobody's to foresee."""
    try:
        logits_of(prepared, x)
    except Exception:
        return False
    return True


def check_answers(prepared: Prepared, segments: Segments, kind: str) -> None:
    """Refuse a score that cannot be made of a foreign network's answers, and warn of one that is unlikely to be meant.

    Parameters
    ----------
    prepared, segments
        As for an explainer.
    kind
        The score that is explained.

    Raises
    ------
    UsageError
        Answers that add up to 1 are said to be logits, or probabilities are wanted of answers beyond 0 to 1.
    """
    trial = tried(prepared, segments)
    if trial is None:
        return
    if prepared.activation == "softmax" and trial.adds_up:
        raise UsageError(
            "the network's answers are probabilities (0 to 1, and add up to 1), and would be put through a softmax "
            "once more; say activation 'none'"
        )
    if prepared.activation == NONE and kind in (LOG_ODDS, PROBABILITY) and not trial.chances:
        raise UsageError(
            f"the network's answers go from {trial.low:.3g} to {trial.high:.3g} and are no probabilities; explain "
            "them as they are (--method occlusion:score=logit), or say activation 'softmax' or 'sigmoid'"
        )
    if prepared.activation == "sigmoid" and trial.chances:
        warnings.warn(
            "all of the network's answers lie in 0 to 1, as probabilities do; if they are, say activation 'none', for "
            "a sigmoid is applied to them",
            stacklevel=2,
        )


def check_request(classifier: Explainable, segments: Segments, targets: Sequence[Sequence[Target]]) -> None:
    """Refuse targets that do not fit the segments or the classes, and segments of what is not a number.

    Raises
    ------
    UsageError
        If there is not one list of targets per segment, or a target names no class.
    EarwitnessError
        If a segment holds NaN or infinite numbers.
    """
    if len(targets) != len(segments):
        raise UsageError(f"{len(targets)} lists of targets for {len(segments)} segments; give one list per segment")
    count = len(classifier.classes)
    for target in {target for listed in targets for target in listed}:
        for index in (target.index, target.against):
            if index is not None and not 0 <= index < count:
                raise UsageError(f"target {index} is out of range; the classifier's classes are 0 to {count - 1}")
        if target.index == target.against:
            name = classifier.classes[target.index]
            raise UsageError(f"target '{name}' is contrasted with itself; name another class")
    check_values(classifier, segments)
