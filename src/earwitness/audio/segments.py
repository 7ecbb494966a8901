"""Segments: the fixed-length excerpts of log-mels that a network sees, and the recordings they are cut from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from earwitness.audio.timefreq import segment_starts
from earwitness.core.arrays import Float32Array, Float64Array, Int64Array, Samples
from earwitness.core.errors import UsageError

# A segment whose real cells differ, or rise above the front end's silence, by less than this (in the log-mel's own
# unit) holds no sound: resampling digital silence leaves ripples of this size.
SILENCE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Segments:
    """Some segments, side by side.

    Parameters
    ----------
    values
        Shape (n, frames, bands), float32 log-mel.
    start_frames
        Shape (n,): each segment's first frame in its recording.
    real_frames
        Shape (n,): how many frames come from the recording; later ones are padding with silence.
    files
        Length n: the recordings' names.
    samples
        For models over waveforms, shape (n, samples), float32: the sound from each segment's first frame on, with
        silence where the recording has ended; None for others.

    Raises
    ------
    UsageError
        The arrays do not have these shapes.
    """

    values: Float32Array
    start_frames: Int64Array
    real_frames: Int64Array
    files: tuple[str, ...]
    samples: Float32Array | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.values)
        if len(shape) != 3 or not np.issubdtype(np.asarray(self.values).dtype, np.floating):
            raise UsageError(
                f"segments of shape {shape}, {np.asarray(self.values).dtype}: give log-mels of shape (n, frames, "
                "bands), float32, time first"
            )
        count = len(self.files)
        if {shape[0], len(self.start_frames), len(self.real_frames)} != {count}:
            raise UsageError(
                f"{shape[0]} segments with {len(self.start_frames)} first frames, {len(self.real_frames)} numbers of "
                f"real frames and {count} names; give one of each for each segment"
            )
        if count and not 0 <= int(np.min(self.real_frames)) <= int(np.max(self.real_frames)) <= shape[1]:
            raise UsageError(f"real frames {list(self.real_frames)}: must lie between 0 and the segments' {shape[1]}")
        if self.samples is not None and (np.ndim(self.samples) != 2 or len(self.samples) != count):
            raise UsageError(f"samples of shape {np.shape(self.samples)}: give a row of samples for each segment")

    def __len__(self) -> int:
        return len(self.files)

    @property
    def inputs(self) -> Float32Array:
        """What the network gets: the samples where there are any, or the values."""
        return self.values if self.samples is None else self.samples

    def take(self, rows: Sequence[int] | Int64Array) -> Segments:
        """Return the named rows, in that order."""
        index = np.asarray(rows, dtype=np.int64)
        files = tuple(self.files[i] for i in index)
        samples = None if self.samples is None else self.samples[index]
        return Segments(self.values[index], self.start_frames[index], self.real_frames[index], files, samples)


@dataclass(frozen=True, kw_only=True)
class SegmentedLogMels:
    """The log-mels of many recordings with the table of their segments, cut only when they are asked for.

    Overlap of 75 % would make four copies of every frame if all segments were held at once.

    Parameters
    ----------
    log_mels
        One array (frames, bands) a recording, float32. None is shorter than a segment: short ones were padded.
    files
        The recordings' names.
    real_frames
        Per recording, the frames before its padding.
    recording
        Shape (n,): per segment, its recording's position.
    start_frames
        Shape (n,): per segment, its first frame.
    segment_frames
        Frames in a segment.
    samples
        For models over waveforms, each recording's sound; None for others.
    segment_samples, hop
        Samples in a segment, and from one frame to the next; 0 without samples.
    """

    log_mels: tuple[Float32Array, ...]
    files: tuple[str, ...]
    real_frames: tuple[int, ...]
    recording: Int64Array
    start_frames: Int64Array
    segment_frames: int
    samples: tuple[Samples, ...] | None = None
    segment_samples: int = 0
    hop: int = 0

    def __len__(self) -> int:
        return len(self.start_frames)

    @cached_property
    def segment_real_frames(self) -> Int64Array:
        """Per segment, the frames that are not padding, shape (n,)."""
        real = np.asarray(self.real_frames, dtype=np.int64)[self.recording]
        clipped: Int64Array = np.clip(real - self.start_frames, 0, self.segment_frames)
        return clipped

    def values(self, rows: Sequence[int] | Int64Array) -> Float32Array:
        """Return the log-mels of the named segments, shape (rows, frames, bands)."""
        index = np.asarray(rows, dtype=np.int64)
        bands = self.log_mels[0].shape[1]
        out = np.empty((len(index), self.segment_frames, bands), dtype=np.float32)
        for position, (recording, start) in enumerate(
            zip(self.recording[index], self.start_frames[index], strict=True)
        ):
            out[position] = self.log_mels[recording][start : start + self.segment_frames]
        return out

    def sounds(self, rows: Sequence[int] | Int64Array) -> Float32Array | None:
        """Return the sound of the named segments, shape (rows, samples); None where no samples are held."""
        if self.samples is None:
            return None
        index = np.asarray(rows, dtype=np.int64)
        out = np.empty((len(index), self.segment_samples), dtype=np.float32)
        for position, (recording, start) in enumerate(
            zip(self.recording[index], self.start_frames[index], strict=True)
        ):
            first = np.array([start * self.hop])
            out[position] = sound_at(self.samples[recording], first, self.segment_samples)[0]
        return out

    def inputs(self, rows: Sequence[int] | Int64Array) -> Float32Array:
        """Return what the network gets of the named segments: :meth:`sounds` where samples are held, or the values."""
        sounds = self.sounds(rows)
        return self.values(rows) if sounds is None else sounds

    def take(self, rows: Sequence[int] | Int64Array) -> Segments:
        """Return the named segments."""
        index = np.asarray(rows, dtype=np.int64)
        files = tuple(self.files[i] for i in self.recording[index])
        real, sounds = self.segment_real_frames[index], self.sounds(index)
        return Segments(self.values(index), self.start_frames[index], real, files, sounds)

    def silent_shares(self, rows: Sequence[int] | Int64Array, silence: float) -> Float64Array:
        """Return :func:`silent_share` of the named segments, shape (rows,)."""
        index = np.asarray(rows, dtype=np.int64)
        named = zip(self.recording[index], self.start_frames[index], self.segment_real_frames[index], strict=True)
        return np.array([silent_share(self.log_mels[each][first:], int(real), silence) for each, first, real in named])

    def rows_of(self, recordings: Sequence[int] | Int64Array) -> Int64Array:
        """Return the segments of the named recordings, in order."""
        return np.flatnonzero(np.isin(self.recording, np.asarray(recordings, dtype=np.int64)))


def cut(
    log_mels: Sequence[Float32Array],
    files: Sequence[str],
    padding: float,
    segment_frames: int,
    overlap: float,
    *,
    tail: bool = True,
) -> SegmentedLogMels:
    """Cut recordings into segments.

    Parameters
    ----------
    log_mels
        One array (frames, bands) a recording.
    files
        Their names.
    padding
        The value of the cells with which a recording shorter than a segment is padded at its end.
    segment_frames
        Frames in a segment.
    overlap
        Overlap of consecutive segments in percent.
    tail
        Whether a last segment ends flush with each recording (:func:`~earwitness.audio.timefreq.segment_starts`).
    """
    padded = tuple(pad(log_mel, segment_frames, padding) for log_mel in log_mels)
    starts = [segment_starts(log_mel.shape[0], segment_frames, overlap, tail=tail) for log_mel in padded]
    recording = [np.full(len(start), number, dtype=np.int64) for number, start in enumerate(starts)]
    empty = np.zeros(0, dtype=np.int64)
    return SegmentedLogMels(
        log_mels=padded,
        files=tuple(files),
        real_frames=tuple(log_mel.shape[0] for log_mel in log_mels),
        recording=np.concatenate([empty, *recording]),
        start_frames=np.concatenate([empty, *starts]),
        segment_frames=segment_frames,
    )


def sound_at(samples: Samples, firsts: Int64Array, count: int) -> Float32Array:
    """Return so many samples from each of some places on, shape (places, count), with silence after the last."""
    cut = np.zeros((len(firsts), count), dtype=np.float32)
    for row, first in zip(cut, firsts.tolist(), strict=True):
        there = samples[first : first + count]
        row[: len(there)] = there
    return cut


def silent_share(segment: Float32Array, real_frames: int, silence: float) -> float:
    """Return the share of a segment's frames, padding apart, that hold no sound, 0 to 1.

    Parameters
    ----------
    segment
        Shape (frames, bands), log-mel.
    real_frames
        How many of them are the recording's. Where all their cells are the same, whatever the value, none holds sound.
    silence
        The log-mel value of a silent cell.
    """
    real = segment[:real_frames]
    if real.size == 0 or float(real.max()) - float(real.min()) < SILENCE_TOLERANCE:
        return 1.0
    return float((real.max(axis=1) - silence < SILENCE_TOLERANCE).mean())


def pad(log_mel: Float32Array, frames: int, value: float) -> Float32Array:
    """Return a log-mel (frames, bands) that is at least so many frames long, with one value (silence) at its end."""
    missing = frames - log_mel.shape[0]
    if missing <= 0:
        return log_mel
    padding = np.full((missing, log_mel.shape[1]), value, dtype=np.float32)
    return np.concatenate([log_mel, padding])
