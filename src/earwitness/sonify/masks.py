"""What is kept of each cell of time and frequency: the strongest share of a map, or a box; as gains on an STFT."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from scipy import ndimage

from earwitness.audio.stft import Gains, Stft
from earwitness.audio.timefreq import Clock
from earwitness.core.arrays import Float32Array, Float64Array
from earwitness.core.brief import brief
from earwitness.core.errors import UsageError
from earwitness.explainers.attribution import SILENT, Attribution

# Amplitude that is left of what is hidden, and taken from what is kept, so that the two still add up. None: a network
# recognises in half of the cases what lies at -40 dB, for it takes logarithms (docs/listening.md).
FLOOR = 0.0
BLUR_SECONDS = 0.02  # half width over which a mask's edges rise, besides the STFT's window
BLUR_OCTAVES = 1 / 6  # the same for a box's edges in frequency
BLUR_BANDS = 1 / 64  # and for a map's, as share of its bands

BY = ("area", "mass")
SHARE = 0.3  # of all cells that is kept by default: where kept and removed differ most from random patches' (ibid.)


class NoEvidenceError(UsageError):
    """Nothing in a map speaks for its class."""


class Keep(Protocol):
    """Something that tells what is kept of a recording."""

    def shares(self, grid: Stft, seconds: Float64Array) -> Float32Array:
        """Return what is kept, 0 to 1, at moments of the recording, shape (moments, bins)."""
        ...

    def described(self) -> dict[str, Any]:
        """Return what it is, as JSON types."""
        ...


def gains(keep: Keep, grid: Stft, start_seconds: float = 0.0, floor: float = FLOOR) -> Gains:
    """Return gains that keep something of a sound that begins at a moment of the recording.

    Parameters
    ----------
    keep
        What is kept.
    grid
        The sound's STFT.
    start_seconds
        Where in the recording the sound begins.
    floor
        Gains lie between this and 1 less this.
    """

    def of(seconds: Float64Array) -> Float32Array:
        return np.float32(floor) + np.float32(1 - 2 * floor) * keep.shares(grid, seconds + start_seconds)

    return of


@dataclass(frozen=True, kw_only=True)
class Mask:
    """What is kept of each cell of a mel spectrogram.

    Parameters
    ----------
    values
        Shape (frames, bands), float32, 0 to 1.
    times
        Shape (frames,): the frames' middles in seconds of the recording. Before the first and after the last frame that
        one's values hold.
    clock
        The front end's grid, whose filters the bands are.
    name, area
        In words, and the share of the cells that it keeps.
    everything
        Whether that is all that speaks for the class, which is less than was asked for.
    """

    values: Float32Array
    times: Float64Array
    clock: Clock
    name: str
    area: float
    everything: bool = False

    __repr__ = brief

    def shares(self, grid: Stft, seconds: Float64Array) -> Float32Array:
        """Spread bands over their triangles and frames over time, linearly.

        Frequencies beyond the front end's filters, which the model cannot use, are kept nowhere.
        """
        place = np.interp(seconds, self.times, np.arange(len(self.times)))
        before = np.minimum(place.astype(np.int64), max(0, len(self.times) - 2))
        after = np.minimum(before + 1, len(self.times) - 1)
        part = (place - before).astype(np.float32)[:, None]
        rows = self.values[before] * (1 - part) + self.values[after] * part
        return np.asarray(rows @ triangles(self.clock, grid.frequencies))

    def described(self) -> dict[str, Any]:
        """Return what it is, as JSON types."""
        return {"mask": self.name, "area": round(self.area, 6)}


def triangles(clock: Clock, hertz: Float64Array) -> Float32Array:
    """Return the mel filters at some frequencies, shape (bands, frequencies); neighbours add up to 1."""
    mel, edges = clock.to_scale(hertz), clock.to_scale(clock.filter_edges_hz())
    distance = np.abs(mel[None] - edges[1:-1, None]) / (edges[1] - edges[0])
    return np.maximum(0.0, 1.0 - distance).astype(np.float32)


def mask_of(attribution: Attribution, clock: Clock, share: float = SHARE, by: str = "area") -> Mask:
    """Return the mask that keeps the strongest share of a map, smooth at its edges.

    Parameters
    ----------
    attribution
        The map; only cells that speak for its target are kept.
    clock
        Of the front end that it was made with.
    share, by
        As for :func:`strongest`.

    Raises
    ------
    NoEvidenceError
        Nothing in the map speaks for its target, or its segment is silent.
    UsageError
        The share is none.
    """
    real = len(attribution.times) if attribution.real_frames == 0 else attribution.real_frames
    values, times = _on_bands(attribution, clock)[:real], attribution.times[:real]
    if SILENT in attribution.flags:
        raise NoEvidenceError(f"{attribution.method}: the segment holds no sound, so there is none to listen to")
    if not (values > 0).any():
        raise NoEvidenceError(
            f"{attribution.method}: nothing in its map speaks for {attribution.target_label}, so there is no evidence "
            "to listen to; name another method or class"
        )
    kept = strongest(values, share, by)
    name = f"strongest {100 * share:g} % of {attribution.method} by {by}"
    return replace(smooth(kept, times, clock, name), everything=by == "area" and bool((values > 0).mean() < share))


def _on_bands(attribution: Attribution, clock: Clock) -> Float32Array:
    """Return a map's values on all bands; an overview of a long recording has cells of several."""
    values = attribution.values
    if values.shape[1] == clock.bands:
        return values
    inner = attribution.frequency_edges[1:-1]
    return values[:, np.searchsorted(inner, clock.band_centre_hz(np.arange(clock.bands)))]


def strongest(values: Float32Array, share: float, by: str = "area") -> Float32Array:
    """Return what is kept of each cell of a map, 0 or 1 but for the weakest kept ones.

    Parameters
    ----------
    values
        Shape (frames, bands). Only positive cells are kept.
    share
        Over 0 to 1: of all cells (``by`` area), or of the sum of the positive ones (mass).
    by
        ``"area"`` or ``"mass"``.

    Returns
    -------
    The same shape. Cells of the same value are kept alike; those at the limit in part, so that the share is met
    exactly however coarse the map is.
    """
    if not 0.0 < share <= 1.0:
        raise UsageError(f"a share of {100 * share:g} % cannot be kept; keep more than 0 and at most 100 %")
    if by not in BY:
        raise UsageError(f"{by!r}: a share is kept by area or by mass; name one of these")
    levels, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    weights = counts * (levels > 0) if by == "area" else counts * np.maximum(levels, 0).astype(np.float64)
    wanted = share * (values.size if by == "area" else weights.sum())
    above = weights[::-1].cumsum()[::-1] - weights  # in stronger cells
    part = np.clip((wanted - above) / np.where(weights > 0, weights, 1.0), 0.0, 1.0)
    return np.where(weights > 0, part, 0.0).astype(np.float32)[place].reshape(values.shape)


def smooth(kept: Float32Array, times: Float64Array, clock: Clock, name: str) -> Mask:
    """Return a mask whose edges rise over some frames and bands instead of at once.

    Parameters
    ----------
    kept
        Shape (frames, bands), 0 to 1.
    times, clock, name
        As for :class:`Mask`, which keeps the area of ``kept``.
    """
    soft = kept.astype(np.float32)
    step = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else clock.frame_seconds
    for axis, half in ((0, BLUR_SECONDS / step), (1, BLUR_BANDS * clock.bands)):
        size = 2 * round(half) + 1
        window = np.hanning(size + 2)[1:-1]
        soft = ndimage.convolve1d(soft, window / window.sum(), axis=axis, mode="nearest")
    return Mask(values=np.clip(soft, 0, 1), times=times, clock=clock, name=name, area=float(kept.mean()))


def kept_regions(mask: Mask) -> list[tuple[Box, float]]:
    """Return where a mask keeps something, each place with its share of all that is kept, the largest share first.

    Cells that are kept by half or more, or by half of what the mask keeps most, form a place where they touch at a
    side; what the mask's soft edges keep beyond them is in no place.
    """
    labels, count = ndimage.label(mask.values >= min(0.5, float(mask.values.max()) / 2))
    shares = np.bincount(labels.ravel(), mask.values.ravel(), count + 1)[1:] / float(mask.values.sum())
    half = np.diff(mask.times, append=mask.times[-1:] + mask.clock.frame_seconds) / 2
    if len(half) > 1:
        half[-1] = half[-2]
    found = []
    for place in np.argsort(-shares, kind="stable").tolist():
        rows, columns = ndimage.find_objects(labels, count)[place]
        low, high = mask.clock.band_edge_hz(np.array([columns.start, columns.stop])).tolist()
        box = Box(
            start_seconds=max(0.0, float(mask.times[rows.start] - half[rows.start])),
            end_seconds=float(mask.times[rows.stop - 1] + half[rows.stop - 1]),
            low_hz=max(0.0, low),
            high_hz=high,
        )
        found.append((box, float(shares[place])))
    return found


@dataclass(frozen=True, kw_only=True)
class Box:
    """A box of time and frequency; its edges are smooth.

    Parameters
    ----------
    start_seconds, end_seconds, low_hz, high_hz
        Where it lies in the recording.

    Raises
    ------
    UsageError
        It has no extent.
    """

    start_seconds: float
    end_seconds: float
    low_hz: float
    high_hz: float

    def __post_init__(self) -> None:
        if not 0 <= self.start_seconds < self.end_seconds or not 0 <= self.low_hz < self.high_hz:
            raise UsageError(
                f"a box from {self.start_seconds:g} to {self.end_seconds:g} s and {self.low_hz:g} to "
                f"{self.high_hz:g} Hz holds nothing; name the lower end first"
            )

    @classmethod
    def parse(cls, text: str) -> Box:
        """Read ``START-END,LOW-HIGH`` in seconds and hertz, such as ``0.5-1.2,300-4000``.

        Raises
        ------
        UsageError
            It is none.
        """
        try:
            time, frequency = text.split(",")
            start, end = map(float, time.split("-"))
            low, high = map(float, frequency.split("-"))
        except ValueError:
            raise UsageError(
                f"--box {text}: is no box; write START-END,LOW-HIGH in seconds and hertz, such as 0.5-1.2,300-4000"
            ) from None
        return cls(start_seconds=start, end_seconds=end, low_hz=low, high_hz=high)

    def shares(self, grid: Stft, seconds: Float64Array) -> Float32Array:
        """Return the product of a window in time and one in frequency, whose edges rise around the box's."""
        along = _rising((seconds - self.start_seconds) / BLUR_SECONDS)
        along *= _rising((self.end_seconds - seconds) / BLUR_SECONDS)
        octaves = np.log2(np.maximum(grid.frequencies, grid.frequencies[1] / 2))
        across = _rising((np.log2(self.high_hz) - octaves) / BLUR_OCTAVES)
        if self.low_hz > 0:
            across *= _rising((octaves - np.log2(self.low_hz)) / BLUR_OCTAVES)
        return np.outer(along, across).astype(np.float32)

    def described(self) -> dict[str, Any]:
        """Return what it is, as JSON types."""
        return {
            "box": {
                "seconds": [self.start_seconds, self.end_seconds],
                "hertz": [self.low_hz, self.high_hz],
            }
        }


def _rising(distance: Float64Array) -> Float64Array:
    """Return half a period of a cosine from 0 at -1 to 1 at 1: how much is kept so far inside an edge."""
    return np.asarray(0.5 + 0.5 * np.sin(0.5 * np.pi * np.clip(distance, -1.0, 1.0)))
