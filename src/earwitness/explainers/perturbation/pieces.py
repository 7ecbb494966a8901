"""From coarse to fine: what a recording loses without a stretch of it, without its halves, its quarters, its eighths.

A mask must cover all that speaks for a class, or the rest still does: two tenths of a second hidden in a call of two
seconds lower no segment's score, and the mean over two minutes even less. So the first mask is as long as the call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from earwitness.audio.segments import SegmentedLogMels, Segments
from earwitness.core.arrays import Float64Array
from earwitness.core.progress import NO_PROGRESS
from earwitness.explainers import fills
from earwitness.explainers.attribution import Target
from earwitness.explainers.inference.optimised import FLOAT32, swift
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.perturbation.occlusion import Masks, Occlusion
from earwitness.explainers.perturbation.precision import SEGMENTS_CHECKED
from earwitness.explainers.perturbation.recording import RecordingScorer

MOST_HALVINGS = 3


def lost_without_pieces(
    prepared: Prepared,
    whole: Segments,
    data: SegmentedLogMels,
    targets: Sequence[Target],
    explainer: Occlusion,
    span: tuple[int, int],
    *,
    level: fills.Level | None = None,
) -> list[tuple[Float64Array, Float64Array]]:
    """Hide all bands of a stretch, then of each of its pieces.

    Parameters
    ----------
    prepared, whole, data, targets, level
        As for :func:`~earwitness.explainers.perturbation.recording.explain_excerpt`.
    explainer
        Fills, and tells the shortest piece: its own mask's length.
    span
        First frame and end of the stretch, in frames of the excerpt.

    Returns
    -------
    A pair a size of pieces, the whole stretch first: their edges, shape (pieces + 1,), in frames of the excerpt; and
    what the scores of all segments lose together without each, shape (pieces, targets).
    """
    bands, (first, end) = whole.values.shape[2], span
    shortest = explainer.masks(data.segment_frames, bands).mask[0]
    with prepared.working(), torch.inference_mode():
        few = data.take(np.arange(min(SEGMENTS_CHECKED, len(data))))
        scorer = RecordingScorer(
            classifier=prepared,
            swift=swift(prepared, few, FLOAT32),
            whole=whole,
            data=data,
            targets=targets,
            explainer=explainer,
            level=level,
        )
        base = scorer.base()
        found = []
        for halvings in range(MOST_HALVINGS + 1):
            size = math.ceil((end - first) / 2**halvings)
            if halvings and size < shortest:
                break
            starts = tuple(range(first, end, size))
            masks = Masks(
                frame_starts=starts,
                band_starts=(0,),
                mask=(size, bands),
                stride=(size, bands),
                lengths=(whole.values.shape[1], bands),
                device=torch.device(prepared.device),
            )
            scores, _ = scorer.scores(masks, base, NO_PROGRESS)
            edges = np.array([*starts, end], dtype=np.float64)
            found.append((edges, (scores[0] - scores[1:]) * len(data)))
    return found
