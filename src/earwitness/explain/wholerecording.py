"""Occlusion sensitivity of a whole recording: hide a cell of it, and listen again to the segments that contain it.

The score of a recording is the mean over its segments, as in :mod:`earwitness.evaluation`. A hidden cell changes the
segments that contain it and no others, so these alone go through the network; the others keep their scores. Every
segment that is heard is heard from its beginning to its end.

>>> import numpy as np
>>> from earwitness import classifier
>>> from earwitness.explain import Target
>>> from earwitness.explain.occlusion import Occlusion
>>> from earwitness.explain.wholerecording import explain_recording
>>> judge = classifier.load("runs/demo/model.safetensors")          # doctest: +SKIP
>>> log_mel = np.load("rain.npy")                                   # doctest: +SKIP
>>> (found,) = explain_recording(judge, log_mel, [Target(3)], Occlusion(along="time"))  # doctest: +SKIP
>>> found.values.shape == log_mel.shape                             # doctest: +SKIP
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from earwitness.errors import UsageError
from earwitness.explain.attribution import Attribution, Target
from earwitness.explain.listening import Piece, Sheet
from earwitness.explain.model import (
    Cost,
    Explainable,
    activated,
    as_input,
    attribution_of,
    check_request,
    check_scores,
    evaluation_mode,
    stopwatch,
    target_scores,
)
from earwitness.explain.occlusion import Masks, Occlusion
from earwitness.explain.precision import settle
from earwitness.explain.swift import Swift, swift
from earwitness.progress import Progress, Silent
from earwitness.segments import Segments, cut

FloatArray = npt.NDArray[np.float64]
# Perturbed recordings at a time; each is as large as the recording's log-mel.
TOGETHER = 32


def explain_recording(
    classifier: Explainable,
    log_mel: npt.NDArray[np.float32],
    targets: Sequence[Target],
    explainer: Occlusion | None = None,
    *,
    segment_frames: int | None = None,
    overlap: float | None = None,
    file: str = "",
    progress: Progress | None = None,
) -> list[Attribution]:
    """Explain a recording's mean score by occlusion, on the recording's own grid.

    Parameters
    ----------
    classifier
        What made the decision.
    log_mel
        Shape (frames, bands): the whole recording.
    targets
        What to explain; all come from the same passes.
    explainer
        Mask, stride, fill and the rest. Shares of a side are shares of a segment's, so that a mask hides the same
        length of sound in recordings of any length; ``fill`` looks at the whole recording.
    segment_frames, overlap
        How the recording is cut: frames, and percent; the classifier's own where it has such.
    file
        The recording's name.
    progress
        Told how many masks were dealt with.

    Returns
    -------
    One attribution per target: ``values`` of shape (frames, bands), ``score`` the mean over segments, ``forwards`` the
    segments that were heard. ``diagnostics`` tells the number of ``segments``, and ``brute_forwards``: how many would
    be heard if each mask meant listening to all of them. Frames after the last segment are heard by nobody and 0.

    Raises
    ------
    UsageError
        If it is not known how to cut the recording, a mask does not fit, a target is out of range, or ``fill2`` is
        asked for.
    EarwitnessError
        If the network's score is not a number.
    """
    explainer = explainer or Occlusion()
    if explainer.fill2 != "none":
        raise UsageError("occlusion: fill2 is for segments; explain the recording once with each fill")
    seconds = stopwatch()
    whole, parts = _cut(classifier, log_mel, file, segment_frames, overlap)
    check_request(classifier, whole, [targets])
    bands = whole.values.shape[2]
    inside = explainer.masks(parts.values.shape[1], bands, classifier.device)
    over = replace(explainer, mask=inside.mask, stride=inside.stride)
    masks = over.masks(whole.values.shape[1], bands, classifier.device)
    options = {"fill": explainer.fill, "kind": explainer.score, "seed": explainer.seed, "soft": explainer.soft}
    settled = settle(explainer, classifier, parts, [targets] * len(parts), inside, options, progress or Silent())
    hearer = _Recording(classifier, swift(classifier, parts, settled.precision), whole, parts, targets, explainer.score)
    sheet = Sheet(classifier, whole, explainer.fill, explainer.seed, explainer.soft)
    with evaluation_mode(classifier.network), torch.inference_mode():
        scores, forwards = hearer.scores(sheet, masks, progress or Silent())
    cost = Cost(forwards, 0, seconds(1), hearer.swift.precision)
    told = {"segments": float(len(parts)), "brute_forwards": float(len(parts) * masks.count)}
    found = [settled.told(replace(each, diagnostics=told)) for each in explainer.read(masks, scores)]
    return [
        attribution_of(explainer, classifier, whole, 0, target, each, cost)
        for target, each in zip(targets, found, strict=True)
    ]


def _cut(
    classifier: Explainable, log_mel: npt.NDArray[np.float32], file: str, frames: int | None, overlap: float | None
) -> tuple[Segments, Segments]:
    """Return the recording as one long segment (padded if it is short), and the segments that it is cut into."""
    values: Any = np.asarray(log_mel, dtype=np.float32)
    frames = getattr(classifier, "segment_frames", None) if frames is None else frames
    overlap = getattr(classifier, "overlap", None) if overlap is None else overlap
    if frames is None or overlap is None:
        raise UsageError("the classifier does not say how recordings are cut; give segment_frames and overlap")
    if values.ndim != 2 or not values.size:
        raise UsageError(f"a recording's log-mel has shape {values.shape}; give one of (frames, bands), not empty")
    if frames < 1 or not 0 <= overlap < 100:
        raise UsageError(
            f"segment_frames={frames}, overlap={overlap:g} do not do; use frames from 1, percent below 100"
        )
    data = cut([values], [file], classifier.front_end.silence, frames, overlap)
    whole = Segments(data.log_mels[0][np.newaxis], np.zeros(1, np.int64), np.array([len(values)]), (file,))
    return whole, data.take(np.arange(len(data)))


@dataclass(frozen=True)
class _Recording:
    """A recording whose segments are heard.

    Parameters
    ----------
    classifier, swift
        What hears.
    whole, parts
        The recording, and its segments.
    targets, kind
        Which scores are wanted.
    """

    classifier: Explainable
    swift: Swift
    whole: Segments
    parts: Segments
    targets: Sequence[Target]
    kind: str

    def scores(self, sheet: Sheet, masks: Masks, progress: Progress) -> tuple[FloatArray, int]:
        """Return the recording's score under each mask (the first hides nothing), and how many segments were heard.

        Returns
        -------
        Shape (masks, targets); and the number.
        """
        base = self._heard(as_input(self.classifier, self.parts.values), np.arange(len(self.parts)))
        recording = as_input(self.classifier, self.whole.values[0])
        found, forwards = np.empty((masks.count, len(self.targets))), len(base)
        found[0] = base.mean(axis=0)
        with progress.task("Occlusion of the whole recording", masks.count - 1) as advance:
            for start in range(0, masks.count, TOGETHER):
                stop = min(start + TOGETHER, masks.count)
                copies, taken = sheet.perturbed(Piece(0, start, stop), masks)
                fresh = np.flatnonzero(taken == np.arange(start, stop)) + start
                change, heard = self._change(copies, recording, base)
                found[fresh] = found[0] + change
                found[start:stop] = found[taken]
                forwards += heard
                advance(stop - max(start, 1))
        return found, forwards

    def _change(self, copies: Tensor, recording: Tensor, base: FloatArray) -> tuple[FloatArray, int]:
        """Return how far the mean over segments moves in perturbed recordings, and how many segments were heard."""
        change = np.zeros((len(copies), len(self.targets)))
        if not len(copies):
            return change, 0
        starts = torch.as_tensor(self.parts.start_frames, device=copies.device)
        length = self.parts.values.shape[1]
        touched = (copies != recording).any(dim=2).unfold(1, length, 1)[:, starts].any(dim=2)
        which, segment = (each.cpu().numpy() for each in touched.nonzero(as_tuple=True))
        cells = starts[:, None] + torch.arange(length, device=copies.device)
        for first in range(0, len(which), self.swift.rows):
            pairs = slice(first, first + self.swift.rows)
            rows = copies[torch.as_tensor(which[pairs], device=copies.device)[:, None], cells[segment[pairs]]]
            np.add.at(change, which[pairs], self._scored(rows, segment[pairs]) - base[segment[pairs]])
        return change / len(self.parts), len(which)

    def _heard(self, segments: Tensor, numbers: npt.NDArray[np.int64]) -> FloatArray:
        step = self.swift.rows
        batches = [slice(first, first + step) for first in range(0, len(numbers), step)]
        return np.concatenate([self._scored(segments[batch], numbers[batch]) for batch in batches])

    def _scored(self, rows: Tensor, numbers: npt.NDArray[np.int64]) -> FloatArray:
        """Return the scores, shape (rows, targets), of perturbed segments, whose numbers are for messages."""
        logits = self.swift.logits(rows).cpu().double()
        scores = activated(logits, self.kind, self.classifier.activation).numpy()
        broken = ~np.isfinite(scores).all(axis=1)
        if broken.any():
            check_scores(scores[broken], self.classifier, self.parts, int(numbers[broken][0]))
        return target_scores(scores, self.targets)
