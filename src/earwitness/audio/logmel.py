"""From a waveform to the log-mel spectrogram that a network sees, as a front end describes it.

:func:`log_mel` computes it in one piece, :func:`log_mel_stream` of a recording that arrives in blocks, so that hours of
sound pass through bounded memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from earwitness.audio.frontend import FrontEnd
from earwitness.audio.timefreq import MEL_PER_NEPER
from earwitness.core.arrays import LogMel, Samples
from earwitness.core.device import to_numpy

# Frames that a CPU transforms at a time: a few megabytes in between, with few calls for many frames.
FRAMES_AT_ONCE = 512


@lru_cache(maxsize=16)
def mel_filters(front_end: FrontEnd, dtype: torch.dtype, device: str) -> Tensor:
    """Return the triangular filters, shape (fft // 2 + 1, bands), computed in float64.

    Their height is 1, but for ``norm``. HTK's and Kaldi's leave the bin at 0 Hz out.
    """
    clock = front_end.clock
    hertz = np.arange(front_end.fft // 2 + 1) * front_end.sample_rate / front_end.fft
    corners = clock.filter_edges_hz()
    if front_end.triangles == "mel":
        place, edges = clock.to_scale(hertz), clock.to_scale(corners)
    else:
        place, edges = hertz, corners
    low, peak, high = edges[None, :-2], edges[None, 1:-1], edges[None, 2:]
    weights = np.minimum((place[:, None] - low) / (peak - low), (high - place[:, None]) / (high - peak))
    weights = np.maximum(0.0, weights)
    if front_end.mel_scale in MEL_PER_NEPER and front_end.triangles == "mel":
        weights[0] = 0.0
    if front_end.mel_scale == "kaldi":
        weights[-1] = 0.0  # Kaldi computes fft / 2 bins only: Nyquist's has no weight.
    if front_end.norm == "slaney":
        weights *= 2.0 / (corners[2:] - corners[:-2])
    return torch.from_numpy(weights).to(dtype=dtype, device=device)


@lru_cache(maxsize=16)
def window_of(front_end: FrontEnd, dtype: torch.dtype, device: str) -> Tensor:
    """Return the window of a front end, shape (window,)."""
    make = torch.hamming_window if front_end.window_name == "hamming" else torch.hann_window
    window = make(front_end.window, periodic=front_end.periodic, dtype=torch.float64)
    return window.to(dtype=dtype, device=device)


def log_mel(front_end: FrontEnd, waveform: Tensor) -> Tensor:
    """Compute log-mel spectrograms.

    Parameters
    ----------
    front_end
        Which one.
    waveform
        Shape (samples,) or (batch, samples), float32 or float64, at the front end's sample rate, full scale 1.0.
        Any device.

    Returns
    -------
    Shape (frames, bands) or (batch, frames, bands), in the same dtype. Too few samples for one window give 0 frames.
    """
    signal = waveform if waveform.ndim == 2 else waveform[None]
    if front_end.frames(signal.shape[-1]) == 0:
        result = signal.new_zeros(signal.shape[0], 0, front_end.bands)
    else:
        result = _frames_to_log_mel(front_end, _mirror(front_end, _emphasise(front_end, signal)))
    return result[0] if waveform.ndim == 1 else result


def energy_of(front_end: FrontEnd, values: Tensor) -> Tensor:
    """Return the mel magnitudes (``power`` 1) or powers (2) of log-mels, of any shape; none is negative."""
    energy = (values / front_end.scale - front_end.shift).exp()
    if front_end.clamped:  # what lay below the limit is not known: silence
        return torch.where(energy > front_end.offset * (1 + 1e-6), energy, torch.zeros_like(energy))
    return (energy - front_end.offset).clamp_(min=0.0)


def log_of(front_end: FrontEnd, energy: Tensor) -> Tensor:
    """Return the log-mels of mel magnitudes or powers, of any shape."""
    kept = energy.clamp(min=front_end.offset) if front_end.clamped else energy + front_end.offset
    return (kept.log() + front_end.shift) * front_end.scale


def log_mel_stream(front_end: FrontEnd, blocks: Iterable[Samples]) -> Iterator[LogMel]:
    """Compute the log-mel of a recording that arrives in blocks.

    Parameters
    ----------
    front_end
        Which one.
    blocks
        Consecutive samples of any lengths at the front end's sample rate.

    Yields
    ------
    Consecutive frames, shape (frames, bands); put together, :func:`log_mel` of the whole up to rounding.
    """
    margin = front_end.fft // 2 if front_end.centred else 0
    samples = given = 0  # how many came, and how many frames went
    carry = torch.zeros(0)  # samples not yet emphasised
    ready = torch.zeros(0)  # the signal from the next frame's first sample on
    last = torch.zeros(0)  # the end of the emphasised signal, for the mirror at the end
    started = False
    for block in blocks:
        samples += len(block)
        carry = torch.cat([carry, torch.from_numpy(np.ascontiguousarray(block))])
        if not started and carry.shape[0] < front_end.least_samples:
            continue
        piece = _emphasise(front_end, carry[None])[0]
        carry = carry[carry.shape[0] - front_end.ahead :]
        if not started and margin:
            ready = _beyond(piece[1 : margin + 1], zeros=front_end.padding == "zeros")
        started = True
        last = torch.cat([last, piece])[-(margin + 1) :] if margin else last
        ready = torch.cat([ready, piece])
        frames, ready = _whole_frames(front_end, ready)
        given += len(frames)
        if frames.shape[0]:
            yield to_numpy(frames)
    if started and margin:
        ready = torch.cat([ready, _beyond(last[:-1], zeros=front_end.ends_in_zeros(samples))])
        missing = front_end.frames(samples) - given
        length = (missing - 1) * front_end.hop + front_end.fft
        frames, _ = _whole_frames(front_end, functional.pad(ready, (0, length - len(ready))))
        if frames.shape[0]:
            yield to_numpy(frames)


def _emphasise(front_end: FrontEnd, signal: Tensor) -> Tensor:
    return signal[:, 1:] - front_end.preemphasis * signal[:, :-1] if front_end.ahead else signal


def _mirror(front_end: FrontEnd, signal: Tensor) -> Tensor:
    if not front_end.centred:
        return signal
    margin, samples = front_end.fft // 2, signal.shape[-1] + front_end.ahead
    before, after = signal[:, 1 : margin + 1].flip(1), signal[:, -margin - 1 : -1].flip(1)
    before = torch.zeros_like(before) if front_end.padding == "zeros" else before
    after = torch.zeros_like(after) if front_end.ends_in_zeros(samples) else after
    whole = torch.cat([before, signal, after], dim=1)
    length = (front_end.frames(samples) - 1) * front_end.hop + front_end.fft
    return functional.pad(whole, (0, max(0, length - whole.shape[1])))[:, :length]


def _beyond(inside: Tensor, *, zeros: bool) -> Tensor:
    """Return what stands beyond an end of a signal whose samples next to it are these."""
    return torch.zeros_like(inside) if zeros else inside.flip(0)


def _frame_length(front_end: FrontEnd) -> int:
    # A centred front end frames the mirrored signal in FFT-long pieces with the window in their middle.
    return front_end.fft if front_end.centred else front_end.window


def _whole_frames(front_end: FrontEnd, signal: Tensor) -> tuple[Tensor, Tensor]:
    length = _frame_length(front_end)
    if signal.shape[0] < length:
        return signal.new_zeros(0, front_end.bands), signal
    result = _frames_to_log_mel(front_end, signal[None])[0]
    return result, signal[result.shape[0] * front_end.hop :]


def _frames_to_log_mel(front_end: FrontEnd, signal: Tensor) -> Tensor:
    length = _frame_length(front_end)
    left = (length - front_end.window) // 2
    frames = signal.unfold(-1, length, front_end.hop)[..., left : left + front_end.window]
    at_once = max(1, FRAMES_AT_ONCE // frames.shape[0]) if signal.device.type == "cpu" else frames.shape[1]
    mel = torch.cat([_mel(front_end, part) for part in torch.split(frames, at_once, dim=1)], dim=1)
    kept = mel.clamp_(min=front_end.offset) if front_end.clamped else mel.add_(front_end.offset)
    result: Tensor = kept.log_().add_(front_end.shift).mul_(front_end.scale)
    return result


def _mel(front_end: FrontEnd, frames: Tensor) -> Tensor:
    key = (front_end, frames.dtype, str(frames.device))
    if front_end.framewise:
        frames = frames - frames.mean(dim=-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)  # the first one stands for that before it
        frames = frames - front_end.preemphasis * before
    # Where the window begins inside the FFT changes phases only, and only magnitudes are used.
    # Two axes, because a product takes a slice of a matrix as it is, but copies a slice of a stack of matrices.
    windowed = (frames * window_of(*key)).flatten(0, 1)
    spectrum = torch.fft.rfft(windowed, n=front_end.fft)
    strength = _magnitude(spectrum) if front_end.power == 1 else spectrum.real.square() + spectrum.imag.square()
    mel = torch.cat([strength[:, bins] @ weights for bins, weights in _filter_halves(*key)], dim=1)
    return mel.view(*frames.shape[:2], -1)


@lru_cache(maxsize=16)
def _filter_halves(front_end: FrontEnd, dtype: torch.dtype, device: str) -> tuple[tuple[slice, Tensor], ...]:
    """Return the lower and the upper half of the filters, each with the bins that it covers.

    Nearly all weights of the whole are zero; two halves on their own bins need half as many products.
    """
    halves = []
    for filters in mel_filters(front_end, dtype, device).chunk(2, dim=1):
        covered = filters.any(dim=1).nonzero()[:, 0]
        bins = slice(int(covered[0]), int(covered[-1]) + 1)
        halves.append((bins, filters[bins].contiguous()))
    return tuple(halves)


def _magnitude(spectrum: Tensor) -> Tensor:
    # PyTorch takes the magnitudes of complex numbers one by one on a CPU; NumPy is ten times as fast there.
    if spectrum.device.type == "cpu" and not spectrum.requires_grad:
        return torch.from_numpy(np.abs(to_numpy(spectrum)))
    return spectrum.abs()
