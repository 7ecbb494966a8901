"""Front ends: in numbers, how a waveform becomes the log-mel spectrogram that a network sees.

:mod:`earwitness.audio.logmel` computes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from earwitness.audio.timefreq import Clock

FILLED = "reflect-filled"  # of paddings


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """A description of how a waveform becomes a log-mel spectrogram.

    Parameters
    ----------
    name
        Registry name.
    sample_rate
        Hz.
    window, hop, fft
        Samples. The window is centred in the FFT where it is shorter.
    periodic
        Whether the Hann window is the periodic one (period ``window``) or the symmetric one.
    centred
        Whether frame 0's window is centred on the first sample (the signal is mirrored at both ends, or ``padding``
        says otherwise) or begins there.
    preemphasis
        Coefficient c of y[t] = x[t + 1] - c x[t]; 0 for none.
    power
        1 for magnitudes, 2 for power.
    mel_scale, bands, low_hz, high_hz, edges_hz
        The triangular filters, as for :class:`earwitness.audio.timefreq.Clock`.
    offset
        Added before the natural logarithm.
    shift, scale
        The result is (log(mel + offset) + shift) * scale.
    segment_frames
        Frames in the segment that the published network was trained on, or the example uses.
    window_name
        ``"hann"`` or ``"hamming"``.
    padding
        What stands beyond the ends of a centred signal: ``"reflect"`` (its mirror image), ``"zeros"``, or
        ``"reflect-filled"``: its mirror image, but zeros after a signal shorter than ``segment_frames``, which is
        filled up to these; frames then go on for as long as they reach the sound.
    triangles
        Whether the filters' flanks are straight over ``"mel"`` (HTK, Kaldi, TensorFlow) or over ``"hertz"`` (librosa,
        torchaudio).
    norm
        ``"slaney"`` divides each filter by half its width in Hz, so that all have one area; ``""`` leaves height 1.
    clamped
        Whether the logarithm is of max(mel, offset) and not of mel + offset.
    framewise
        Whether each frame is freed of its mean and then pre-emphasised by itself, as Kaldi does; else the signal is.
    after
        The value of the frames that follow a recording's end where a segment goes on; None for silence.
    """

    name: str
    sample_rate: int
    window: int
    hop: int
    fft: int
    periodic: bool
    centred: bool
    preemphasis: float
    power: int
    mel_scale: str
    bands: int
    low_hz: float
    high_hz: float
    offset: float
    shift: float
    scale: float
    segment_frames: int
    edges_hz: tuple[float, ...] = ()
    window_name: str = "hann"
    padding: str = "reflect"
    triangles: str = "mel"
    norm: str = ""
    clamped: bool = False
    framewise: bool = False
    after: float | None = None

    def __post_init__(self) -> None:
        # A model's file is JSON, which knows lists alone; compared with () they would make it another front end.
        object.__setattr__(self, "edges_hz", tuple(self.edges_hz))

    @cached_property
    def clock(self) -> Clock:
        """The front end's grid of time and frequency."""
        # Pre-emphasis looks one sample ahead, so the mirrored front ends' frame 0 sits on the first sample it has.
        centre = 0.0 if self.centred else self.window / 2
        return Clock(
            sample_rate=self.sample_rate,
            hop=self.hop,
            centre=centre,
            bands=self.bands,
            low_hz=self.low_hz,
            high_hz=self.high_hz,
            mel_scale=self.mel_scale,
            edges_hz=self.edges_hz,
        )

    @property
    def silence(self) -> float:
        """The value of every cell while nothing sounds."""
        return (math.log(self.offset) + self.shift) * self.scale

    @property
    def padding_value(self) -> float:
        """The value of every cell after the end of a recording."""
        return self.silence if self.after is None else self.after

    @property
    def ahead(self) -> int:
        """How many samples beyond its own the signal's pre-emphasis looks at."""
        return 1 if self.preemphasis and not self.framewise else 0

    @property
    def least_samples(self) -> int:
        """The fewest samples that give a frame."""
        if self.centred:
            return self.fft // 2 + 1 + self.ahead
        return self.window

    def ends_in_zeros(self, samples: int) -> bool:
        """Return whether zeros, and not its mirror image, stand beyond the end of so many samples."""
        return self.padding == "zeros" or (self.padding == FILLED and samples < self.segment_frames * self.hop)

    def frames(self, samples: int) -> int:
        """Return the number of frames that so many samples give."""
        if samples < self.least_samples:
            return 0
        if self.centred and self.padding == FILLED:
            reaching = (samples - self.ahead + self.fft // 2 - 1) // self.hop + 1
            return min(reaching, max(-(-samples // self.hop), self.segment_frames))
        return (samples - (self.ahead if self.centred else self.window)) // self.hop + 1


VGGISH = FrontEnd(
    name="vggish",
    sample_rate=16_000,
    window=400,
    hop=160,
    fft=512,
    periodic=True,
    centred=False,
    preemphasis=0.0,
    power=1,
    mel_scale="htk",
    bands=64,
    low_hz=125.0,
    high_hz=7_500.0,
    offset=0.01,
    shift=0.0,
    scale=1.0,
    segment_frames=96,
)
"""Hershey et al., *CNN Architectures for Large-Scale Audio Classification*, ICASSP 2017, section 3.1, as published."""

EFFICIENTAT = FrontEnd(
    name="efficientat",
    sample_rate=32_000,
    window=800,
    hop=320,
    fft=1_024,
    periodic=False,
    centred=True,
    preemphasis=0.97,
    power=2,
    mel_scale="kaldi",
    bands=128,
    low_hz=0.0,
    high_hz=15_000.0,
    offset=1e-5,
    shift=4.5,
    scale=0.2,
    segment_frames=96,
)
"""Schmid, Koutini & Widmer, *Efficient Large-Scale Audio Tagging ...*, ICASSP 2023; without its training jitter."""

FRONT_ENDS = {front_end.name: front_end for front_end in (VGGISH, EFFICIENTAT)}
