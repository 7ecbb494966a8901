"""Changes made to training segments, so that a network learns the sound and not the recording."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from earwitness.audio.frontend import FrontEnd
from earwitness.audio.logmel import energy_of, log_of
from earwitness.audio.segments import SegmentedLogMels
from earwitness.audio.timefreq import segment_hop
from earwitness.core.arrays import Float32Array, Float64Array, Int64Array
from earwitness.training.recipes import Augmentation

EQUALISER_PLACES = (3, 6)


class TrainingBatch(NamedTuple):
    """A mini-batch: log-mels (n, frames, bands) and class shares (n, classes), both float32."""

    values: Tensor
    shares: Tensor


def draw(
    data: SegmentedLogMels,
    rows: Int64Array,
    labels: Int64Array,
    classes: int,
    front_end: FrontEnd,
    overlap: float,
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> TrainingBatch:
    """Return a mini-batch of training segments, changed as the augmentation says.

    Parameters
    ----------
    data
        All recordings.
    rows
        Shape (n,): which segments.
    labels
        Shape (recordings,): true classes.
    classes
        How many there are.
    front_end
        What the log-mels were made by.
    overlap
        Of consecutive segments, in percent.
    augmentation
        What is changed.
    rng
        Every draw comes from it.
    """
    shares = functional.one_hot(torch.from_numpy(labels[data.recording[rows]]), classes).float()
    if not augmentation.any:
        return TrainingBatch(torch.from_numpy(data.values(rows)), shares)
    values = torch.from_numpy(_cut(data, rows, front_end, overlap, augmentation, rng))
    if augmentation.gain_db or augmentation.equalise_db:
        gains = torch.from_numpy(10.0 ** (_gains_db(len(rows), front_end, augmentation, rng) * front_end.power / 20.0))
        values = log_of(front_end, energy_of(front_end, values) * gains.float()[:, None, :])
    if augmentation.masks:
        values = _mask(values, augmentation, rng)
    return TrainingBatch(values, shares)


def _gains_db(count: int, front_end: FrontEnd, augmentation: Augmentation, rng: np.random.Generator) -> Float64Array:
    """Draw each segment's gain in each band (dB), shape (count, bands)."""
    gains = np.zeros((count, front_end.bands))
    if augmentation.gain_db:
        gains += rng.uniform(-augmentation.gain_db, augmentation.gain_db, (count, 1))
    if augmentation.equalise_db:
        places = int(rng.integers(*EQUALISER_PLACES, endpoint=True))
        drawn = rng.uniform(-augmentation.equalise_db, augmentation.equalise_db, (count, places))
        at = np.linspace(0, front_end.bands - 1, places)
        gains += np.stack([np.interp(np.arange(front_end.bands), at, curve) for curve in drawn])
    return gains


def _cut(
    data: SegmentedLogMels,
    rows: Int64Array,
    front_end: FrontEnd,
    overlap: float,
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> Float32Array:
    """Cut segments whose start is drawn; a recording too short for one goes on in silence."""
    length = data.segment_frames
    hop = segment_hop(data.segment_frames, overlap)
    move = rng.integers(-(hop // 2), hop // 2 + 1, len(rows)) if augmentation.shift else np.zeros(len(rows), np.int64)
    out = np.full((len(rows), length, front_end.bands), front_end.silence, dtype=np.float32)
    for position, row in enumerate(rows):
        log_mel = data.log_mels[data.recording[row]]
        latest = max(0, log_mel.shape[0] - length)
        start = int(np.clip(data.start_frames[row] + move[position], 0, latest))
        piece = log_mel[start : start + length]
        out[position, : piece.shape[0]] = piece
    return out


def _mask(values: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    count, frames, bands = values.shape
    fill = values.mean(dim=(1, 2), keepdim=True)
    hidden = torch.zeros(count, frames, bands, dtype=torch.bool)
    for axis, size, longest in ((1, frames, augmentation.mask_frames), (2, bands, augmentation.mask_bands)):
        place = torch.arange(size)
        for _ in range(augmentation.masks):
            width = rng.integers(0, longest + 1, count)
            start = torch.from_numpy((rng.random(count) * (size - width + 1)).astype(np.int64))[:, None]
            within = (place >= start) & (place < start + torch.from_numpy(width)[:, None])
            hidden |= within[:, :, None] if axis == 1 else within[:, None, :]
    return torch.where(hidden, fill, values)
