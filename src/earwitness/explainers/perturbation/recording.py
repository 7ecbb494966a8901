"""Occlusion sensitivity of a whole recording: hide a cell of it, and score the segments that contain it again.

The score of a recording is the mean over its segments, as in :mod:`earwitness.training.prediction_files`. A hidden cell
changes the segments that contain it and no others, so these alone go through the network; the others keep their scores.
Every segment that is scored is scored from its beginning to its end.

>>> import numpy as np
>>> from earwitness.models import classifier
>>> from earwitness.explainers.attribution import Target
>>> from earwitness.explainers.perturbation.occlusion import Occlusion
>>> from earwitness.explainers.perturbation.recording import explain_recording
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
import torch
from torch import Tensor

from earwitness.audio.segments import SegmentedLogMels, Segments, cut
from earwitness.core.arrays import Float32Array, Float64Array, Int64Array
from earwitness.core.device import to_numpy
from earwitness.core.errors import UsageError
from earwitness.core.progress import NO_PROGRESS, Advance, Progress
from earwitness.explainers import fills
from earwitness.explainers.attribution import Attribution, Target
from earwitness.explainers.inference.optimised import Swift, swift
from earwitness.explainers.inference.prepared import Prepared, prepare
from earwitness.explainers.inference.scoring import (
    activated,
    as_input,
    check_scores,
    check_values,
    stopwatch,
    target_scores,
)
from earwitness.explainers.inference.trial import check_request
from earwitness.explainers.method import Cost, attribution_of
from earwitness.explainers.perturbation.occlusion import Masks, Occlusion
from earwitness.explainers.perturbation.precision import SEGMENTS_CHECKED, settle
from earwitness.explainers.perturbation.scoring import Piece, Sheet
from earwitness.models.protocols import Explainable

# Perturbed stretches of the recording at a time, and their cells together (128 MB in float32) where these are fewer.
TOGETHER = 32
CELLS_TOGETHER = 2**25


def explain_recording(
    classifier: Explainable,
    log_mel: Float32Array,
    targets: Sequence[Target],
    explainer: Occlusion | None = None,
    *,
    segment_frames: int | None = None,
    overlap: float | None = None,
    tail: bool = True,
    file: str = "",
    progress: Progress = NO_PROGRESS,
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
        length of sound in recordings of any length; ``fill`` looks at the whole recording. With ``fill2``,
        ``diagnostics`` tells how far a second run with that fill disagrees
        (:func:`earwitness.explainers.fills.disagreement`), and the cost is that of both.
    segment_frames, overlap
        How the recording is cut: frames, and percent; the classifier's own where it has such.
    tail
        Whether a last segment ends flush with the recording.
    file
        The recording's name.
    progress
        Told how many masks were dealt with.

    Returns
    -------
    One attribution per target: ``values`` of shape (frames, bands), ``score`` the mean over segments, ``forwards`` the
    segments that were scored. ``diagnostics`` tells the number of ``segments``, and ``brute_forwards``: how many would
    be scored if each mask meant scoring all of them. Without ``tail``, frames after the last segment are in none, and
    0.

    Raises
    ------
    UsageError
        If it is not known how to cut the recording, a mask does not fit, or a target is out of range.
    EarwitnessError
        If the network's score is not a number.
    """
    explainer, prepared = explainer or Occlusion(), prepare(classifier)
    whole, data = _cut(prepared.classifier, log_mel, file, segment_frames, overlap, tail)
    return explain_excerpt(prepared, whole, data, targets, explainer, progress=progress)[0]


def explain_excerpt(
    prepared: Prepared,
    whole: Segments,
    data: SegmentedLogMels,
    targets: Sequence[Target],
    explainer: Occlusion,
    *,
    level: fills.Level | None = None,
    progress: Progress = NO_PROGRESS,
) -> tuple[list[Attribution], Float64Array]:
    """Explain the mean score of the segments of an excerpt, as :func:`explain_recording` does for a whole recording.

    Parameters
    ----------
    prepared
        What made the decision.
    whole
        The excerpt as one long segment.
    data
        Its segments.
    targets, explainer, progress
        As for :func:`explain_recording`.
    level
        Of the recording that the excerpt is from, for fills that look at the whole; None where it is the whole.

    Returns
    -------
    The attributions, and every segment's scores, shape (segments, targets).
    """
    broken = np.flatnonzero(~np.isfinite(whole.values[0]).all(axis=1))[:1]
    first, end = data.start_frames, data.start_frames + data.segment_frames
    check_values(prepared, data.take(np.flatnonzero((first <= broken) & (broken < end))[:1] if len(broken) else []))
    check_request(prepared, whole, [targets])
    found, base = _explained(prepared, whole, data, targets, explainer, level, progress)
    if explainer.fill2 == fills.NONE:
        return found, base
    another = replace(explainer, fill=explainer.fill2, fill2=fills.NONE)
    second, _ = _explained(prepared, whole, data, targets, another, level, progress)
    return [fills.compared(*pair) for pair in zip(found, second, strict=True)], base


def _explained(
    prepared: Prepared,
    whole: Segments,
    data: SegmentedLogMels,
    targets: Sequence[Target],
    explainer: Occlusion,
    level: fills.Level | None,
    progress: Progress,
) -> tuple[list[Attribution], Float64Array]:
    seconds = stopwatch()
    frames, bands = whole.values.shape[1:]
    inside = explainer.masks(data.segment_frames, bands, prepared.device)
    over = replace(explainer, mask=inside.mask, stride=inside.stride)
    masks = over.masks(frames, bands, prepared.device)
    options = {"fill": explainer.fill, "kind": explainer.score, "seed": explainer.seed, "soft": explainer.soft}
    few = data.take(np.arange(min(SEGMENTS_CHECKED, len(data))))
    with prepared.working(), torch.inference_mode():
        settled = settle(explainer, prepared, few, [targets] * len(few), inside, options, progress)
        ready = settled.ready or swift(prepared, few, settled.precision)
        recording = RecordingScorer(
            classifier=prepared,
            swift=ready,
            whole=whole,
            data=data,
            targets=targets,
            explainer=explainer,
            level=level,
        )
        base = recording.base()
        scores, forwards = recording.scores(masks, base, progress)
    cost = Cost(forwards, 0, seconds(1), ready.precision)
    told = {"segments": float(len(data)), "brute_forwards": float(len(data) * masks.count)}
    found = [settled.told(replace(each, diagnostics=told)) for each in explainer.read(masks, scores)]
    return [
        attribution_of(explainer, prepared, whole, 0, target, each, cost)
        for target, each in zip(targets, found, strict=True)
    ], base


def _cut(
    classifier: Explainable,
    log_mel: Float32Array,
    file: str,
    frames: int | None,
    overlap: float | None,
    tail: bool,
) -> tuple[Segments, SegmentedLogMels]:
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
    padding = getattr(classifier.front_end, "padding_value", classifier.front_end.silence)
    data = cut([values], [file], padding, frames, overlap, tail=tail)
    whole = Segments(data.log_mels[0][np.newaxis], np.zeros(1, np.int64), np.array([len(values)]), (file,))
    return whole, data


@dataclass(frozen=True, kw_only=True)
class RecordingScorer:
    """A recording whose segments are scored.

    Parameters
    ----------
    classifier, swift
        What scores.
    whole, data
        The recording, and its segments.
    targets, explainer
        Which scores are wanted; what masks hide their cells with.
    level
        What fills take the whole to be, where this is an excerpt.
    """

    classifier: Explainable
    swift: Swift
    whole: Segments
    data: SegmentedLogMels
    targets: Sequence[Target]
    explainer: Occlusion
    level: fills.Level | None

    def scores(self, masks: Masks, base: Float64Array, progress: Progress) -> tuple[Float64Array, int]:
        """Return the recording's score under each mask (the first hides nothing), and how many segments were scored.

        Parameters
        ----------
        masks
            What is hidden.
        base
            From :meth:`base`.
        progress
            Told a step a mask.

        Returns
        -------
        Shape (masks, targets); and the number.
        """
        found, forwards = np.empty((masks.count, len(self.targets))), len(base)
        found[0] = base.mean(axis=0)
        values, real = self.whole.values[0], int(self.whole.real_frames[0])
        silence = float(self.classifier.front_end.silence)
        ground = fills.Ground(
            values=values,
            segment=as_input(self.classifier, values),
            real_frames=real,
            silence=silence,
            seed=self.explainer.seed,
            known=self.level,
        )
        steps, across = masks.shape
        together = max(1, TOGETHER // across)
        with progress.task("Occlusion of the whole recording", masks.count - 1) as advance:
            for first in range(0, steps, together):
                last = min(first + together, steps)
                change, scored = self._hidden(
                    replace(masks, frame_starts=masks.frame_starts[first:last]), ground, base, advance
                )
                found[1 + first * across : 1 + last * across] = found[0] + change
                forwards += scored
        return found, forwards

    def _hidden(
        self, masks: Masks, ground: fills.Ground, base: Float64Array, advance: Advance
    ) -> tuple[Float64Array, int]:
        """Return how far each of a few masks moves the mean over segments, and how many segments were scored.

        Only a stretch of the recording is copied for each mask, so that time and memory do not grow with its square.
        """
        first, last = self._stretch(masks)
        starts, length = self.data.start_frames, self.data.segment_frames
        inside = np.flatnonzero((starts >= first) & (starts + length <= last))
        change, forwards = np.zeros((masks.count, len(self.targets))), 0
        excerpt = Segments(
            self.whole.values[:, first:last],
            np.array([first]),
            np.clip(self.whole.real_frames - first, 0, last - first),
            self.whole.files,
        )
        sheet = Sheet(self.classifier, excerpt, self.explainer.fill, self.explainer.seed, self.explainer.soft)
        sheet.held = (0, ground.stretch(first, last))  # its own fills would know the stretch alone
        moved = replace(
            masks,
            frame_starts=tuple(start - first for start in masks.frame_starts),
            lengths=(last - first, masks.lengths[1]),
        )
        size = min(TOGETHER, max(1, CELLS_TOGETHER // excerpt.values.size))
        for start in range(1, masks.count, size):
            stop = min(start + size, masks.count)
            if len(inside):
                copies, taken = sheet.perturbed(Piece(0, start, stop), moved)
                fresh = np.flatnonzero(taken == np.arange(start, stop)) + start
                change[fresh], scored = self._change(copies, sheet.ground(0).segment, first, inside, base)
                change[start:stop] = change[taken]
                forwards += scored
            advance(stop - start)
        return change[1:], forwards

    def _stretch(self, masks: Masks) -> tuple[int, int]:
        """Return the first frame and the end of what masks change: segments that they touch, and what fills look at."""
        soft = self.explainer.soft
        first, end = masks.frame_starts[0], masks.frame_starts[-1] + masks.mask[0]
        starts, length = self.data.start_frames, self.data.segment_frames
        touched = starts[(starts < end + soft) & (starts + length > first - soft)]
        margin = 2 * soft + 1  # the fading at the stretch's own ends must not reach a mask; a neighbour beside each
        low = min([first - margin, *touched[:1].tolist()])
        high = max([end + margin, *(touched[-1:] + length).tolist()])
        return max(0, low), min(self.whole.values.shape[1], high)

    def _change(
        self, copies: Tensor, stretch: Tensor, first: int, inside: Int64Array, base: Float64Array
    ) -> tuple[Float64Array, int]:
        """Return how far the mean over segments moves in perturbed stretches, and how many segments were scored."""
        change = np.zeros((len(copies), len(self.targets)))
        if not len(copies):
            return change, 0
        starts = torch.as_tensor(self.data.start_frames[inside] - first, device=copies.device)
        length = self.data.segment_frames
        touched = (copies != stretch).any(dim=2).unfold(1, length, 1)[:, starts].any(dim=2)
        which, segment = (to_numpy(each) for each in touched.nonzero(as_tuple=True))
        cells = starts[:, None] + torch.arange(length, device=copies.device)
        for begin in range(0, len(which), self.swift.rows):
            pairs = slice(begin, begin + self.swift.rows)
            rows = copies[torch.as_tensor(which[pairs], device=copies.device)[:, None], cells[segment[pairs]]]
            numbers = inside[segment[pairs]]
            np.add.at(change, which[pairs], self._scored(rows, numbers) - base[numbers])
        return change / len(self.data), len(which)

    def base(self) -> Float64Array:
        """Return every segment's scores, shape (segments, targets)."""
        rows, step = np.arange(len(self.data)), self.swift.rows
        batches = [rows[first : first + step] for first in range(0, len(rows), step)]
        return np.concatenate([self._scored(as_input(self.classifier, self.data.values(one)), one) for one in batches])

    def _scored(self, rows: Tensor, numbers: Int64Array) -> Float64Array:
        """Return the scores, shape (rows, targets), of perturbed segments, whose numbers are for messages."""
        logits = self.swift.logits(rows).cpu().double()
        scores = to_numpy(activated(logits, self.explainer.score, self.classifier.activation))
        broken = ~np.isfinite(scores).all(axis=1)
        if broken.any():
            check_scores(scores[broken], self.classifier, self.data.take(numbers[broken][:1]), 0)
        return target_scores(scores, self.targets)
