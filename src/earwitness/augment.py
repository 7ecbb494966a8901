"""Changes made to training segments, so that a network learns the sound and not the recording."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from earwitness.logmel import FrontEnd
from earwitness.recipes import Augmentation
from earwitness.segments import SegmentedLogMels
from earwitness.timefreq import segment_hop


class Batch(NamedTuple):
    """A mini-batch: log-mels (n, frames, bands) and class shares (n, classes), both float32."""

    values: Tensor
    shares: Tensor


def draw(
    data: SegmentedLogMels,
    rows: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    classes: int,
    front_end: FrontEnd,
    overlap: float,
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> Batch:
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
    length = data.segment_frames
    if augmentation.longest > 1:
        factor = rng.uniform(1.0, augmentation.longest)
        length = round(length * factor)
        # As many seconds of sound in every batch: longer segments, fewer of them.
        rows = rows[: max(2, round(len(rows) / factor))]
    shares = functional.one_hot(torch.from_numpy(labels[data.recording[rows]]), classes).float()
    if not augmentation.any:
        return Batch(torch.from_numpy(data.values(rows)), shares)
    values = torch.from_numpy(_cut(data, rows, length, front_end, overlap, augmentation, rng))
    if augmentation.gain_db:
        gain_db = rng.uniform(-augmentation.gain_db, augmentation.gain_db, len(rows))
        gain = torch.from_numpy(10.0 ** (gain_db * front_end.power / 20.0)).float()
        values = _log(front_end, _energy(front_end, values) * gain[:, None, None])
    if augmentation.mixup:
        share = float(rng.beta(augmentation.mixup, augmentation.mixup))
        other = torch.from_numpy(rng.permutation(len(rows)))
        values = _log(front_end, share * _energy(front_end, values) + (1 - share) * _energy(front_end, values[other]))
        shares = share * shares + (1 - share) * shares[other]
    if augmentation.masks:
        values = _mask(values, augmentation, rng)
    return Batch(values, shares)


def _energy(front_end: FrontEnd, values: Tensor) -> Tensor:
    """Return mel magnitudes or powers of log-mels."""
    return ((values / front_end.scale - front_end.shift).exp() - front_end.offset).clamp_(min=0.0)


def _log(front_end: FrontEnd, energy: Tensor) -> Tensor:
    return ((energy + front_end.offset).log() + front_end.shift) * front_end.scale


def _cut(
    data: SegmentedLogMels,
    rows: npt.NDArray[np.int64],
    length: int,
    front_end: FrontEnd,
    overlap: float,
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Cut segments whose start is drawn; a recording too short for the length goes on in silence."""
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
