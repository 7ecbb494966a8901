"""Sound files in and out: decoding, the mean of the channels, resampling, and refusal of what cannot be trusted.

A recording is decoded from its first frame to its last, in blocks, and its frames are counted as they come: headers
lie, and seeking in compressed files is not exact. :func:`read` and :func:`stream` share every step and give the same
samples. A file that is damaged, empty, silent or not what its name says is refused with
:class:`~earwitness.core.errors.BadRecordingError`, never silently shortened or replaced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from earwitness.audio import containers, readers
from earwitness.audio.losses import Losses
from earwitness.core import files
from earwitness.core.arrays import Float32Array
from earwitness.core.errors import BadRecordingError

Result = TypeVar("Result")

QUALITY = "HQ"  # of soxr; the reference features were computed with it
BLOCK_SECONDS = 10.0
_STILL = 1e-6  # full scale is 1; -120 dB, below the last bit of 16 bits (-90 dB) and of dithered 20 bits
_LOUDEST = 1e10  # squared and summed over a window, this still fits float32


@dataclass(frozen=True)
class Clip:
    """The decoded samples of one recording.

    Parameters
    ----------
    samples
        Mono, float32, shape (n,), full scale is 1 (values beyond it are kept).
    sample_rate
        Samples per second (Hz).
    path
        The file they came from.
    """

    samples: Float32Array
    sample_rate: int
    path: Path

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What decoding a recording from end to end showed.

    Parameters
    ----------
    frames, sample_rate, channels
        As decoded (not as the header says); Hz.
    kind, subtype
        Container and coding, for example ``"WAV"`` and ``"PCM_16"``.
    peak
        Largest absolute value of the mean of the channels; full scale is 1.
    trailing_silence
        Seconds of digital silence (no value above 1e-6 of full scale) at the end.
    file_sha256
        SHA-256 of the file's bytes, hexadecimal.
    sound_sha256
        SHA-256 of the sample rate and the decoded mono samples: equal for a WAV and its FLAC copy.
    above, cancelled
        See :class:`earwitness.audio.losses.Losses`.
    """

    frames: int
    sample_rate: int
    channels: int
    kind: str
    subtype: str
    peak: float
    trailing_silence: float
    file_sha256: str
    sound_sha256: str
    above: tuple[tuple[float, float], ...] = ()
    cancelled: float = 0.0

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate


def read(path: Path | str, sample_rate: int | None = None) -> Clip:
    """Decode a whole recording.

    Parameters
    ----------
    path
        A kind of :data:`earwitness.audio.containers.SUFFIXES`, any sample rate, any number of channels.
    sample_rate
        Hz to resample to (soxr, quality HQ); None keeps the file's own.

    Returns
    -------
    The mean of the channels.

    Raises
    ------
    BadRecordingError
        The file cannot be used; the message says why and what to do.
    """
    watch = _Watch(hashing=False)
    blocks = list(_resampled(Path(path), sample_rate, BLOCK_SECONDS, watch))
    samples = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    return Clip(samples, watch.sample_rate if sample_rate is None else sample_rate, Path(path))


def follow(
    path: Path | str,
    sample_rate: int | None,
    consumer: Callable[[Iterator[Float32Array]], Result],
    edges: Sequence[float] = (),
) -> tuple[Result, Facts]:
    """Decode a recording of any length once, in bounded memory, for its facts and for a function that takes its blocks.

    Parameters
    ----------
    path, sample_rate
        As for :func:`read`.
    consumer
        Called with the blocks that :func:`stream` yields; what it leaves is decoded after it.
    edges
        Frequencies (Hz); the facts tell how much of the energy lies above them.

    Returns
    -------
    What the function returned, and what :func:`inspect` returns.
    """
    watch = _Watch(hashing=True, losses=Losses(edges))
    blocks = _resampled(Path(path), sample_rate, BLOCK_SECONDS, watch)
    result = consumer(blocks)
    for _ in blocks:
        pass
    return result, watch.facts(Path(path))


def inspect(path: Path | str, edges: Sequence[float] = ()) -> Facts:
    """Decode a whole recording in bounded memory and return the facts; as :func:`follow` does."""
    watch = _Watch(hashing=True, losses=Losses(edges))
    for _ in mono_blocks(Path(path), BLOCK_SECONDS, watch):
        pass
    return watch.facts(Path(path))


def stream(
    path: Path | str,
    sample_rate: int | None = None,
    block_seconds: float = BLOCK_SECONDS,
    losses: Losses | None = None,
) -> Iterator[Float32Array]:
    """Decode a recording of any length in bounded memory.

    Parameters
    ----------
    path, sample_rate
        As for :func:`read`.
    block_seconds
        Seconds decoded at a time. The samples do not depend on it.
    losses
        Told of each block, if there is one.

    Yields
    ------
    Blocks, float32, shape (k,), k differing from block to block; put together they equal :func:`read`'s samples.

    Raises
    ------
    BadRecordingError
        As :func:`read`. What only the whole file can tell (all silent, constant, damage within) is raised where it
        shows, the latest after the last block.
    """
    return _resampled(Path(path), sample_rate, block_seconds, _Watch(hashing=False, losses=losses))


def stream_channels(path: Path | str, block_seconds: float = BLOCK_SECONDS) -> Iterator[Float32Array]:
    """Decode a recording of any length in bounded memory, at its own rate and with its channels apart.

    Yields
    ------
    Blocks, float32, shape (k, channels); each is a new array.

    Raises
    ------
    BadRecordingError
        As :func:`stream`.
    """
    for block, _ in _blocks(Path(path), block_seconds, _Watch(hashing=False)):
        yield block.copy()


def header(path: Path | str) -> tuple[str, str, int, int]:
    """Return kind, subtype, sample rate (Hz) and channels of a recording, of which only the beginning is decoded.

    Raises as :func:`read` does for what shows there.
    """
    layout = containers.examine(Path(path))
    with readers.open_sound(Path(path), layout) as sound:
        return layout.kind, sound.subtype, sound.sample_rate, sound.channels


def resample(samples: npt.ArrayLike, from_rate: int, to_rate: int) -> Float32Array:
    """Resample mono sound with soxr HQ.

    Parameters
    ----------
    samples
        Shape (n,).
    from_rate, to_rate
        Hz.

    Returns
    -------
    float32, shape (about n * to_rate / from_rate,); equal rates return the samples themselves.
    """
    values = np.ascontiguousarray(samples, dtype=np.float32)
    if from_rate == to_rate:
        return values
    return np.asarray(soxr.resample(values, from_rate, to_rate, quality=QUALITY), dtype=np.float32)


def write_wav(path: Path | str, samples: npt.ArrayLike, sample_rate: int, subtype: str = "PCM_16") -> None:
    """Write a WAV file that is either whole or not there.

    Parameters
    ----------
    path
        Where to; an existing file is replaced at the end.
    samples
        Shape (n,) or (n, channels), full scale is 1. Integer subtypes clip what lies beyond it.
    sample_rate
        Hz.
    subtype
        ``"PCM_U8"``, ``"PCM_16"``, ``"PCM_24"``, ``"PCM_32"``, ``"FLOAT"`` or ``"DOUBLE"``.
    """
    with files.atomic_write(path) as temporary:
        soundfile.write(temporary, np.asarray(samples), sample_rate, subtype=subtype, format="WAV")


# ---- decoding ----------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class _Watch:
    """What is learnt about a recording while its blocks pass by."""

    hashing: bool
    losses: Losses | None = None
    kind: str = ""
    subtype: str = ""
    sample_rate: int = 0
    channels: int = 0
    frames: int = 0
    lowest: float = np.inf
    highest: float = -np.inf
    channel_peak: float = 0.0
    last_sound: int = -1  # the last frame that is not silent
    sound_hash: Any = field(default_factory=hashlib.sha256)

    def see(self, path: Path, block: Float32Array, mono: Float32Array) -> None:
        """Take in a block of shape (k, channels) and its mean (k,)."""
        lowest, highest = float(mono.min()), float(mono.max())
        # A NaN makes both NaN; infinities show as themselves, or as NaN where channels cancel.
        if not (np.isfinite(lowest) and np.isfinite(highest)):
            bad = self.frames + int(np.flatnonzero(~np.isfinite(mono))[0])
            raise BadRecordingError(
                path, f"holds NaN or infinite samples, the first {bad / self.sample_rate:.3f} s in; export it again"
            )
        if max(-lowest, highest) > _LOUDEST:
            raise BadRecordingError(
                path, f"holds samples as large as {max(-lowest, highest):.1e}, full scale being 1; export it again"
            )
        if self.channels > 1 and self.channel_peak <= _STILL:
            self.channel_peak = max(self.channel_peak, float(np.abs(block).max()))
        self.lowest, self.highest = min(self.lowest, lowest), max(self.highest, highest)
        last = last_sound(mono)
        if last >= 0:
            self.last_sound = self.frames + last
        self.frames += len(mono)
        if self.hashing:
            self.sound_hash.update(mono)
        if self.losses is not None:
            self.losses.see(block, mono, self.sample_rate)

    def judge(self, path: Path) -> None:
        """Raise for what only the whole recording can tell."""
        if self.frames == 0:
            raise BadRecordingError(path, "holds no samples; record it again")
        if max(self.highest, -self.lowest) <= _STILL:
            if self.channel_peak > _STILL:
                raise BadRecordingError(path, "has channels that cancel each other to silence; keep one channel only")
            raise BadRecordingError(path, "is silent from start to end; record it again or leave it out")
        if self.highest - self.lowest <= _STILL:
            raise BadRecordingError(
                path, f"is constant ({self.highest:.4g} throughout), so it holds no sound; record it again"
            )

    def facts(self, path: Path) -> Facts:
        """Sum up; the file's bytes are hashed here."""
        self.sound_hash.update(f"{self.sample_rate} Hz".encode())
        with path.open("rb") as file:
            file_hash = hashlib.file_digest(file, "sha256").hexdigest()
        return Facts(
            frames=self.frames,
            sample_rate=self.sample_rate,
            channels=self.channels,
            kind=self.kind,
            subtype=self.subtype,
            peak=max(self.highest, -self.lowest),
            trailing_silence=(self.frames - 1 - self.last_sound) / self.sample_rate,
            file_sha256=file_hash,
            sound_sha256=self.sound_hash.hexdigest(),
            above=() if self.losses is None else self.losses.above,
            cancelled=0.0 if self.losses is None else self.losses.cancelled,
        )


def last_sound(mono: Float32Array) -> int:
    """Return the index of the last sample that is not silent, or -1; most blocks end in sound, so look there first."""
    size = 4096
    end = len(mono)
    while end > 0:
        begin = max(0, end - size)
        loud = np.flatnonzero(np.abs(mono[begin:end]) > _STILL)
        if len(loud):
            return begin + int(loud[-1])
        end, size = begin, size * 4
    return -1


def _resampled(path: Path, sample_rate: int | None, block_seconds: float, watch: _Watch) -> Iterator[Float32Array]:
    blocks = mono_blocks(path, block_seconds, watch)
    ahead = [next(blocks)]  # there is one: a recording without samples was refused
    yield from resample_blocks(_again(ahead, blocks), watch.sample_rate, sample_rate or watch.sample_rate)


def _again(ahead: list[Float32Array], blocks: Iterator[Float32Array]) -> Iterator[Float32Array]:
    yield ahead.pop()  # popped, so that no block outlives its turn
    yield from blocks


def resample_blocks(blocks: Iterator[Float32Array], from_rate: int, to_rate: int) -> Iterator[Float32Array]:
    """Resample mono sound that comes in blocks (k,), of which there is at least one, as :func:`resample` does."""
    if from_rate == to_rate:
        yield from blocks
        return
    first, second = next(blocks), next(blocks, None)
    if second is None:
        # In one call soxr takes a third of the time that its stream takes, for the same samples.
        yield resample(first, from_rate, to_rate)
        return
    resampler = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality=QUALITY)
    ahead = [second, first]
    del first, second
    while ahead or (mono := next(blocks, None)) is not None:
        ready = resampler.resample_chunk(ahead.pop() if ahead else mono)
        if len(ready):
            yield ready
    rest = resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
    if len(rest):
        yield rest


def mono_blocks(path: Path, block_seconds: float, watch: _Watch) -> Iterator[Float32Array]:
    """Yield the mean of the channels, block by block, at the file's own rate; each block is a new array."""
    for _, mono in _blocks(path, block_seconds, watch):
        yield mono


def _blocks(path: Path, block_seconds: float, watch: _Watch) -> Iterator[tuple[Float32Array, Float32Array]]:
    """Yield blocks of all channels, which the next may overwrite, each with its mean; and judge the recording."""
    layout = containers.examine(path)
    watch.kind = layout.kind
    with readers.open_sound(path, layout) as sound:
        watch.sample_rate, watch.channels, watch.subtype = sound.sample_rate, sound.channels, sound.subtype
        for block in sound.blocks(int(block_seconds * watch.sample_rate)):
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused
                mono = block[:, 0].copy() if watch.channels == 1 else block.mean(axis=1, dtype=np.float32)
            watch.see(path, block, mono)
            yield block, mono
    watch.judge(path)
