"""The one clock: samples, seconds, frames, hertz, bands and pixels.

Every conversion between these units in earwitness is made here, so that picture, sound and cursor cannot disagree.

A *frame* is one column of a spectrogram, computed from one window of samples; a *band* is one mel filter. Frame ``i``
of a front end is computed from the window whose centre lies at sample ``i * hop + centre``. Its cell on a picture
reaches half a hop to either side of that centre. A band's cell reaches from half-way to the band below to half-way to
the band above, measured on the scale on which the bands are evenly spaced.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from earwitness.core.arrays import Float64Array, Int64Array
from earwitness.core.errors import UsageError

# O'Shaughnessy's mel scale, as HTK writes it (2595 log10) and as Kaldi writes it (1127 ln). The two differ in the
# fifth digit, which is enough to miss reference values, so each front end names its own.
MEL_PER_NEPER = {"htk": 2595.0 / np.log(10.0), "kaldi": 1127.0}
MEL_BREAK_HZ = 700.0
# Slaney, *Auditory Toolbox*, technical report 1998-010, function mfcc: linear up to 1 kHz, then logarithmic.
SLANEY_HZ = 200.0 / 3.0
SLANEY_BREAK_HZ = 1_000.0
SLANEY_STEP = np.log(6.4) / 27.0
EDGES = "edges"
SCALES = (*MEL_PER_NEPER, "slaney", "linear", EDGES)
FRAMES_PER_TAIL = 20  # in a segment of so many frames, one more frame than whole segments hold makes no segment


def hz_to_mel(hz: npt.ArrayLike, scale: str = "htk") -> Float64Array:
    """Convert hertz to a scale on which bands are evenly spaced.

    Parameters
    ----------
    hz
        Frequencies in Hz, any shape.
    scale
        ``"htk"`` (2595 log10(1 + f / 700); Young et al., *The HTK Book*, section 5.6), ``"kaldi"``
        (1127 ln(1 + f / 700)), ``"slaney"`` (librosa's default) or ``"linear"`` (hertz as they are).
    """
    values = np.asarray(hz, dtype=np.float64)
    if scale == "linear":
        return values
    if scale == "slaney":
        above = np.log(np.maximum(values, SLANEY_BREAK_HZ) / SLANEY_BREAK_HZ) / SLANEY_STEP
        return np.asarray(np.minimum(values, SLANEY_BREAK_HZ) / SLANEY_HZ + above)
    mel: Float64Array = MEL_PER_NEPER[scale] * np.log1p(values / MEL_BREAK_HZ)
    return mel


def mel_to_hz(mel: npt.ArrayLike, scale: str = "htk") -> Float64Array:
    """Convert a scale's numbers to hertz; the inverse of :func:`hz_to_mel`."""
    values = np.asarray(mel, dtype=np.float64)
    if scale == "linear":
        return values
    if scale == "slaney":
        corner = SLANEY_BREAK_HZ / SLANEY_HZ
        return np.asarray(
            np.minimum(values, corner) * SLANEY_HZ * np.exp(np.maximum(values - corner, 0.0) * SLANEY_STEP)
        )
    hz: Float64Array = MEL_BREAK_HZ * np.expm1(values / MEL_PER_NEPER[scale])
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
        Number of bands.
    low_hz, high_hz
        Lower edge of the lowest and upper edge of the highest filter (Hz).
    mel_scale
        On which the bands are evenly spaced: one of ``SCALES``; ``"edges"`` for those of ``edges_hz``.
    edges_hz
        The corner frequencies of filters that lie on no scale, shape (bands + 2,): filter b rises from b, peaks at
        b + 1 and ends at b + 2. The first and the last are ``low_hz`` and ``high_hz``.

    Raises
    ------
    UsageError
        No such grid: an unknown scale, frequencies that do not rise, or bands above half the sample rate.
    """

    sample_rate: int
    hop: int
    centre: float
    bands: int
    low_hz: float
    high_hz: float
    mel_scale: str = "htk"
    edges_hz: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.mel_scale not in SCALES:
            raise UsageError(f"scale {self.mel_scale!r} is unknown; name one of {', '.join(SCALES)}")
        if (self.mel_scale == EDGES) != bool(self.edges_hz):
            raise UsageError("a clock with explicit edges has the scale 'edges' and edges_hz, any other has neither")
        if self.edges_hz and (len(self.edges_hz) != self.bands + 2 or (np.diff(self.edges_hz) <= 0).any()):
            raise UsageError(
                f"edges_hz: {len(self.edges_hz)} numbers; {self.bands} bands have {self.bands + 2} rising corner "
                "frequencies (Hz)"
            )
        if min(self.sample_rate, self.hop, self.bands) < 1 or not self.low_hz < self.high_hz:
            raise UsageError(
                f"{self.bands} bands from {self.low_hz:g} to {self.high_hz:g} Hz, a hop of {self.hop} at "
                f"{self.sample_rate} Hz: is no grid; all are above 0, and frequencies rise"
            )
        lowest, highest = self.band_centre_hz([0, self.bands - 1])
        if lowest < -1e-6 or highest > self.sample_rate / 2 * (1 + 1e-9):
            raise UsageError(
                f"bands from {self.low_hz:g} to {self.high_hz:g} Hz do not fit a sample rate of {self.sample_rate} Hz, "
                f"which holds 0 to {self.sample_rate / 2:g} Hz; check both"
            )

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

    def to_scale(self, hz: npt.ArrayLike) -> Float64Array:
        """Return frequencies on the scale on which the bands are evenly spaced."""
        if self.edges_hz:
            return _along(hz, np.array(self.edges_hz), np.arange(self.bands + 2.0))
        return hz_to_mel(hz, self.mel_scale)

    def from_scale(self, values: npt.ArrayLike) -> Float64Array:
        """Return the frequencies (Hz) of that scale's numbers; the inverse of :meth:`to_scale`."""
        if self.edges_hz:
            return _along(values, np.arange(self.bands + 2.0), np.array(self.edges_hz))
        return mel_to_hz(values, self.mel_scale)

    def _step(self) -> tuple[float, float]:
        low, high = self.to_scale([self.low_hz, self.high_hz])
        return float(low), float((high - low) / (self.bands + 1))

    def filter_edges_hz(self) -> Float64Array:
        """Return the corner frequencies of the filters, shape (bands + 2,): filter b rises from b, peaks at b + 1."""
        return self.band_centre_hz(np.arange(-1, self.bands + 1))

    def band_centre_hz(self, bands: npt.ArrayLike) -> Float64Array:
        """Return the peak frequency of bands (Hz)."""
        low, step = self._step()
        return self.from_scale(low + (np.asarray(bands, dtype=np.float64) + 1.0) * step)

    def band_edge_hz(self, edges: npt.ArrayLike) -> Float64Array:
        """Return the picture's edge below band ``e`` (fractions allowed), in Hz."""
        return self.band_centre_hz(np.asarray(edges, dtype=np.float64) - 0.5)

    def hz_to_band(self, hz: npt.ArrayLike) -> Int64Array:
        """Return the band whose cell holds each frequency; outside the range the number lies outside 0..bands-1."""
        return np.floor(self.band_position(hz) + 0.5 + 1e-9).astype(np.int64)

    def band_position(self, hz: npt.ArrayLike) -> Float64Array:
        """Return where frequencies lie among the bands' peaks: b at band b's peak, b + 0.5 half-way to the next."""
        low, step = self._step()
        return np.asarray((self.to_scale(hz) - low) / step - 1.0)


def _along(values: npt.ArrayLike, known: Float64Array, wanted: Float64Array) -> Float64Array:
    """Interpolate between rising numbers; beyond the ends their first and last slope goes on."""
    x = np.asarray(values, dtype=np.float64)
    place = np.clip(np.searchsorted(known, x, side="right") - 1, 0, len(known) - 2)
    slope = np.diff(wanted) / np.diff(known)
    return np.asarray(wanted[place] + (x - known[place]) * slope[place])


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
        Whether a last segment ends flush with the recording, where the others leave a tail (:func:`leaves_tail`); its
        overlap is larger. Without, up to a segment less a frame is seen by none, as in the published VGGish and the
        MathWorks example.

    Returns
    -------
    Shape (segments,).
    """
    hop, last = segment_hop(segment_frames, overlap), max(frames - segment_frames, 0)
    starts = np.arange(0, last + 1, hop, dtype=np.int64)
    return np.append(starts, last) if tail and leaves_tail(last - int(starts[-1]), segment_frames) else starts


def leaves_tail(remainder: int, segment_frames: int) -> bool:
    """Return whether the frames that follow the last of the evenly spaced segments get a segment of their own.

    A single frame gets none, where it is a twentieth of a segment at most: that segment would see again what the one
    before it sees, and count it twice. A centred front end gives 5 s of sound one frame more than 5 x 1 s of segments.
    """
    return remainder > 1 or (remainder == 1 and segment_frames < FRAMES_PER_TAIL)


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
