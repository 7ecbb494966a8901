"""Superpixels by SLIC.

Achanta et al., *SLIC Superpixels Compared to State-of-the-Art Superpixel Methods*, PAMI 2012. One step is left out:
every cell is compared with every centre, not with those near by, which at a segment's size costs milliseconds.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from earwitness.core.arrays import Float32Array, Float64Array, Int64Array

ITERATIONS = 10
# Weight of place against loudness, both in units of their spread: at 1, cells one grid step apart count as far from
# each other as cells one standard deviation of the segment's log-mel apart.
COMPACTNESS = 0.5


def slic(segment: Float32Array, count: int) -> Int64Array:
    """Divide a segment into about ``count`` connected regions of similar loudness.

    Parameters
    ----------
    segment
        Shape (frames, bands), log-mel.
    count
        Regions wanted; there may be fewer, and never more.

    Returns
    -------
    Shape (frames, bands): each cell's region, 0 to regions - 1, none of them empty.
    """
    rows, columns = seed_grid(segment.shape[0], segment.shape[1], count)
    features = _features(segment, rows, columns)
    flat = features.reshape(-1, features.shape[-1])
    frame_seeds = ((np.arange(rows) + 0.5) * segment.shape[0] / rows).astype(np.int64)
    band_seeds = ((np.arange(columns) + 0.5) * segment.shape[1] / columns).astype(np.int64)
    centres = features[frame_seeds[:, np.newaxis], band_seeds].reshape(rows * columns, -1)
    for _ in range(ITERATIONS):
        nearest = _nearest(flat, centres)
        size = np.bincount(nearest, minlength=len(centres))
        sums = np.stack([np.bincount(nearest, column, minlength=len(centres)) for column in flat.T], axis=1)
        filled = size > 0
        centres[filled] = sums[filled] / size[filled, np.newaxis]
    return _connected(_nearest(flat, centres).reshape(segment.shape))


def seed_grid(frames: int, bands: int, count: int) -> tuple[int, int]:
    """Return rows and columns of the seeds: at most ``count``, as near to it and as square as possible."""
    return max(
        ((rows, min(bands, count // rows)) for rows in range(1, min(frames, count) + 1)),
        key=lambda sides: (sides[0] * sides[1] / count) - abs(np.log(frames * sides[1] / (bands * sides[0]))) / 10,
    )


def _features(segment: Float32Array, rows: int, columns: int) -> Float64Array:
    """Return loudness and place of each cell, shape (frames, bands, 3), in comparable units."""
    loudness = segment.astype(np.float64)
    spread = loudness.std()
    loudness = (loudness - loudness.mean()) / spread if spread > 0 else np.zeros_like(loudness)
    frame, band = np.indices(segment.shape, dtype=np.float64)
    place = np.stack([frame * rows / segment.shape[0], band * columns / segment.shape[1]], axis=-1)
    return np.concatenate([loudness[..., np.newaxis], COMPACTNESS * place], axis=-1)


def _nearest(flat: Float64Array, centres: Float64Array) -> Int64Array:
    distance = (centres**2).sum(axis=1) - 2.0 * flat @ centres.T  # the cell's own square changes no order
    return np.asarray(distance.argmin(axis=1), dtype=np.int64)


def _connected(labels: Int64Array) -> Int64Array:
    """Give every region's stray parts to the neighbour that they touch most, and number the regions anew."""
    kept = np.full(labels.shape, -1, dtype=np.int64)
    for label in np.unique(labels):
        parts, number = ndimage.label(labels == label)
        largest = np.bincount(parts.ravel())[1:].argmax() + 1 if number else 0
        kept[parts == largest] = label
    while (kept < 0).any():
        kept = _grown(kept)
    return np.unique(kept, return_inverse=True)[1].reshape(labels.shape).astype(np.int64)


def _grown(kept: Int64Array) -> Int64Array:
    """Return the labels after each stray part that touches a region has joined the one along its longest border."""
    strays, number = ndimage.label(kept < 0)
    framed, parts = np.pad(kept, 1, constant_values=-1), np.pad(strays, 1)
    touching = np.zeros((number + 1, kept.max() + 1), dtype=np.int64)
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        beside = np.roll(framed, step, axis)
        border = (parts > 0) & (beside >= 0)
        np.add.at(touching, (parts[border], beside[border]), 1)
    joined = touching.argmax(axis=1)
    joined[touching.sum(axis=1) == 0] = -1
    return np.where(strays > 0, joined[strays], kept)
