"""Networks over waveforms, explained on cells of the recording's own STFT: seconds and hertz.

A cell's level is what the front end says of the sound there. To change it is to apply a soft gain to the STFT of the
segment's samples, with the phase kept; the inverse STFT gives what the network then gets. A level that is not changed
has a gain of 1, silence one of 0. The grid of the STFT is the front end's own, so frames are frames; bands are spread
over bins by triangles between their peaks, and bins beyond the lowest and the highest band stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from earwitness.audio.frontend import FrontEnd
from earwitness.audio.logmel import window_of
from earwitness.audio.segments import SILENCE_TOLERANCE
from earwitness.audio.timefreq import Clock
from earwitness.core.arrays import Float32Array
from earwitness.models.adapter import Coat
from earwitness.models.protocols import ExplainableFrontEnd

MOST_GAIN = 100.0  # 40 dB: how far a fill may lift a cell that is quieter than it


class Waveforms(nn.Module):
    """A network over waveforms that is asked by levels, or gains, of the cells of one segment.

    Parameters
    ----------
    coat
        The network, from samples (n, samples) to answers (n, classes).
    front_end
        What made the levels: a centred one whose window is as long as its FFT.
    levels
        Shape (frames, bands): the segment as it is.
    samples
        Shape (samples,): its sound.
    """

    def __init__(self, coat: nn.Module, front_end: FrontEnd, levels: Tensor, samples: Tensor) -> None:
        super().__init__()
        self.coat, self.front_end, self.length = coat, front_end, len(samples)
        # Silence up to a whole hop: frames then reach the last sample from both sides.
        whole = pad(samples.float(), (0, -len(samples) % front_end.hop))
        window = window_of(front_end, torch.float32, str(samples.device))
        size, hop = front_end.fft, front_end.hop
        spectrum = torch.stft(whole[None], size, hop, window=window, pad_mode="constant", return_complex=True)
        shares = torch.from_numpy(band_shares(front_end.clock, size)).to(samples.device)
        self.levels: Tensor
        self.spectrum: Tensor
        self.shares: Tensor
        self.window: Tensor
        for name, values in (("levels", levels), ("spectrum", spectrum), ("shares", shares), ("window", window)):
            self.register_buffer(name, values, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the answers, shape (n, classes), to levels, shape (n, frames, bands)."""
        return self.under(self.gains(x))

    def gains(self, x: Tensor) -> Tensor:
        """Return the gains, shape (..., frames, bands), that give cells other levels: 1 where they are the segment's.

        Silence is a gain of 0, and no gain is above ``MOST_GAIN``.
        """
        per_amplitude = self.front_end.scale * self.front_end.power
        moved = ((x - self.levels) / per_amplitude).exp().clamp(max=MOST_GAIN)
        heard = torch.where(x <= self.front_end.silence + SILENCE_TOLERANCE, torch.zeros_like(moved), moved)
        return torch.where(x == self.levels, torch.ones_like(moved), heard)

    def under(self, gains: Tensor) -> Tensor:
        """Return the answers, shape (n, classes), to the segment under gains, shape (n, frames, bands)."""
        dtype = gains.dtype if gains.is_floating_point() else torch.float32
        answers: Tensor = self.coat(self.sound(gains).to(dtype))
        return answers

    def sound(self, gains: Tensor) -> Tensor:
        """Return the segment's samples, shape (n, samples), under gains, shape (n, frames, bands)."""
        spread = gains.to(self.shares.dtype) @ self.shares.T + (1 - self.shares.sum(dim=1))
        missing = self.spectrum.shape[-1] - spread.shape[1]  # frames in which the segment's last one ends
        spread = torch.cat([spread, spread[:, -1:].expand(-1, missing, -1)], dim=1).transpose(1, 2)
        size, hop = self.front_end.fft, self.front_end.hop
        length = hop * (self.spectrum.shape[-1] - 1)
        found = torch.istft(self.spectrum * spread, size, hop, window=self.window, length=length)
        return found[:, : self.length]


def band_shares(clock: Clock, fft: int) -> Float32Array:
    """Return how much of each bin belongs to each band, shape (fft // 2 + 1, bands).

    Bins between the clock's lowest and highest frequency are shared by the bands whose peaks lie next to them, by
    distance on the clock's scale; those beyond belong to none.
    """
    place = clock.band_position(np.arange(fft // 2 + 1) * (clock.sample_rate / fft))
    inside = (place >= -1 - 1e-9) & (place <= clock.bands + 1e-9)
    held = np.clip(place, 0, clock.bands - 1)
    shares = np.maximum(0.0, 1.0 - np.abs(held[:, None] - np.arange(clock.bands)))
    return np.asarray(shares * inside[:, None], dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A classifier whose network was made ready for what is asked: bound to one segment's sound, or showing a layer.

    Parameters
    ----------
    network
        The network with the segment's sound, which can be explained as one over spectrograms; or one that shows a map.
    front_end, classes, activation, device
        The classifier's.
    """

    network: nn.Module
    front_end: ExplainableFrontEnd
    classes: tuple[str, ...]
    activation: str
    device: torch.device | str


def takes_waveforms(network: nn.Module) -> bool:
    """Return whether a network takes samples, and has to be bound to a segment before it can be explained."""
    return isinstance(network, Coat) and network.takes_samples
