"""The one clock: samples, seconds, frames, hertz, bands and pixels.

Every conversion between these units in earwitness is made here, so that picture, sound and cursor cannot disagree.

A *frame* is one column of a spectrogram, computed from one window of samples; a *band* is one mel filter. Frame ``i``
of a front end is computed from the window whose centre lies at sample ``i * hop + centre``. Its cell on a picture
reaches half a hop to either side of that centre. A band's cell reaches from half-way to the band below to half-way to
the band above, measured on the mel scale, where the bands are evenly spaced.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from earwitness.core.arrays import Float64Array, Int64Array

# O'Shaughnessy's mel scale, as HTK writes it (2595 log10) and as Kaldi writes it (1127 ln). The two differ in the
# fifth digit, which is enough to miss reference values, so each front end names its own.
MEL_PER_NEPER = {"htk": 2595.0 / np.log(10.0), "kaldi": 1127.0}
MEL_BREAK_HZ = 700.0


def hz_to_mel(hz: npt.ArrayLike, scale: str = "htk") -> Float64Array:
    """Convert hertz to mel.

    Parameters
    ----------
    hz
        Frequencies in Hz, any shape.
    scale
        ``"htk"`` (2595 log10(1 + f / 700); Young et al., *The HTK Book*, section 5.6) or ``"kaldi"``
        (1127 ln(1 + f / 700)).
    """
    mel: Float64Array = MEL_PER_NEPER[scale] * np.log1p(np.asarray(hz, dtype=np.float64) / MEL_BREAK_HZ)
    return mel


def mel_to_hz(mel: npt.ArrayLike, scale: str = "htk") -> Float64Array:
    """Convert mel to hertz; the inverse of :func:`hz_to_mel`."""
    hz: Float64Array = MEL_BREAK_HZ * np.expm1(np.asarray(mel, dtype=np.float64) / MEL_PER_NEPER[scale])
    return hz


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The time and frequency grid of one front end.

    Parameters
    ----------
    sample_rate
        Samples per second (Hz).
    hop
        Samples from one frame to the next.
    centre
        Sample at the middle of frame 0's window.
    bands
        Number of mel bands.
    low_hz, high_hz
        Lower edge of the lowest and upper edge of the highest mel filter (Hz).
    mel_scale
        ``"htk"`` or ``"kaldi"``.
    """

    sample_rate: int
    hop: int
    centre: float
    bands: int
    low_hz: float
    high_hz: float
    mel_scale: str = "htk"

    # ---- time -------------------------------------------------------------------------------------------------

    @property
    def frame_seconds(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop / self.sample_rate

    def frame_start_seconds(self, frames: npt.ArrayLike) -> Float64Array:
        """Return the nominal start of frames: ``frame * hop``; this names segments (0.00, 0.24, 0.48 s ...)."""
        return np.asarray(frames, dtype=np.float64) * self.hop / self.sample_rate

    def frame_centre_seconds(self, frames: npt.ArrayLike) -> Float64Array:
        """Return the middle of the windows that frames are computed from, in seconds."""
        return (np.asarray(frames, dtype=np.float64) * self.hop + self.centre) / self.sample_rate

    def frame_edge_seconds(self, edges: npt.ArrayLike) -> Float64Array:
        """Return the picture's edge before frame ``e`` (fractions allowed), in seconds.

        ``frame_edge_seconds(np.arange(n + 1))`` are the edges of n cells.
        """
        return self.frame_centre_seconds(np.asarray(edges, dtype=np.float64) - 0.5)

    def seconds_to_frame(self, seconds: npt.ArrayLike) -> Int64Array:
        """Return the frame whose cell holds each moment; the inverse of :meth:`frame_edge_seconds`."""
        position = np.asarray(seconds, dtype=np.float64) * self.sample_rate - self.centre
        # A moment on an edge belongs to the frame after it, in spite of the last bit of a division.
        return np.floor(position / self.hop + 0.5 + 1e-9).astype(np.int64)

    def seconds_to_frame_count(self, seconds: float) -> int:
        """Return the number of frames nearest to a duration (at least one)."""
        return max(1, round(seconds * self.sample_rate / self.hop))

    # ---- frequency --------------------------------------------------------------------------------------------

    def _mel_step(self) -> tuple[float, float]:
        low, high = hz_to_mel([self.low_hz, self.high_hz], self.mel_scale)
        return float(low), float((high - low) / (self.bands + 1))

    def filter_edges_hz(self) -> Float64Array:
        """Return the corner frequencies of the filters, shape (bands + 2,): filter b rises from b, peaks at b + 1."""
        return self.band_centre_hz(np.arange(-1, self.bands + 1))

    def band_centre_hz(self, bands: npt.ArrayLike) -> Float64Array:
        """Return the peak frequency of bands (Hz)."""
        low, step = self._mel_step()
        return mel_to_hz(low + (np.asarray(bands, dtype=np.float64) + 1.0) * step, self.mel_scale)

    def band_edge_hz(self, edges: npt.ArrayLike) -> Float64Array:
        """Return the picture's edge below band ``e`` (fractions allowed), in Hz."""
        return self.band_centre_hz(np.asarray(edges, dtype=np.float64) - 0.5)

    def hz_to_band(self, hz: npt.ArrayLike) -> Int64Array:
        """Return the band whose cell holds each frequency; outside the range the number lies outside 0..bands-1."""
        low, step = self._mel_step()
        position = (hz_to_mel(hz, self.mel_scale) - low) / step - 1.0
        return np.floor(position + 0.5 + 1e-9).astype(np.int64)


def segment_starts(frames: int, segment_frames: int, overlap: float, *, tail: bool = True) -> Int64Array:
    """Return the first frame of each segment of a recording.

    Parameters
    ----------
    frames
        Frames in the recording. Fewer than ``segment_frames`` give one segment (the caller pads it).
    segment_frames
        Frames in a segment.
    overlap
        Overlap of consecutive segments in percent, 0 <= overlap < 100; 75 % of 96 frames is a hop of 24.
    tail
        Whether a last segment ends flush with the recording, where the others leave a tail; its overlap is larger.
        Without, up to a segment less a frame is seen by none, as in the published VGGish and the MathWorks example.

    Returns
    -------
    Shape (segments,).
    """
    hop, last = segment_hop(segment_frames, overlap), max(frames - segment_frames, 0)
    starts = np.arange(0, last + 1, hop, dtype=np.int64)
    return np.append(starts, last) if tail and starts[-1] < last else starts


def segment_hop(segment_frames: int, overlap: float) -> int:
    """Return the frames from one segment to the next for an overlap in percent (at least one frame)."""
    if not 0.0 <= overlap < 100.0:
        raise ValueError(f"overlap must be at least 0 and under 100 percent, not {overlap:g}")
    return max(1, round(segment_frames * (1.0 - overlap / 100.0)))


def cell_edges(length: int, cells: int) -> Float64Array:
    """Return the edges of equal cells over ``length`` frames or bands, shape (cells + 1,), fractions allowed."""
    return np.linspace(0.0, float(length), cells + 1)


def nearest_cells(length: int, cells: int) -> Int64Array:
    """Return, for each of ``length`` frames or bands, the coarse cell that its middle lies in, shape (length,)."""
    return np.minimum((np.arange(length) + 0.5) * cells / length, cells - 1).astype(np.int64)
