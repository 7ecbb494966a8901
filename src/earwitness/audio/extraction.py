"""From recordings to log-mels: decoding, resampling and the front end, at once or stretch by stretch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from earwitness.audio import decoding
from earwitness.audio.frontend import FrontEnd
from earwitness.audio.logmel import log_mel_stream
from earwitness.audio.losses import Losses
from earwitness.core.arrays import LogMel, Samples


def log_mel_of(path: Path | str, front_end: FrontEnd) -> LogMel:
    """Return the log-mel of a recording, shape (frames, bands), float32; hours of sound need bounded memory beside it.

    A recording shorter than one window is continued with silence to one window.

    Raises
    ------
    BadRecordingError
        It cannot be used.
    """
    with one_thread():
        return log_mel_of_blocks(decoding.stream(path, front_end.sample_rate), front_end)


def log_mel_of_blocks(blocks: Iterator[Samples], front_end: FrontEnd) -> LogMel:
    """Return the log-mel of a recording that comes in blocks of samples, as :func:`log_mel_of` does."""
    return np.concatenate(list(log_mel_blocks(blocks, front_end)))


def log_mel_blocks(blocks: Iterator[Samples], front_end: FrontEnd) -> Iterator[LogMel]:
    """Yield the log-mel of a recording that comes in blocks of samples, of which there is at least one, in parts."""
    first = next(blocks)
    if first.shape[0] < front_end.least_samples:
        # Shorter than a window, perhaps. Silence after it makes one window of it, and changes nothing if more comes.
        first = np.concatenate([first, *blocks])
        first = np.pad(first, (0, max(0, front_end.least_samples - first.shape[0])))
    yield from log_mel_stream(front_end, chain((first,), blocks))


class LogMelSource(Protocol):
    """A recording's log-mel, as often as it is needed."""

    def blocks(self) -> Iterator[LogMel]:
        """Yield consecutive frames from the beginning, shape (frames, bands), float32."""
        ...


@dataclass(frozen=True)
class HeldLogMel:
    """A log-mel in memory, shape (frames, bands)."""

    values: LogMel

    def blocks(self) -> Iterator[LogMel]:
        """Yield all of it."""
        yield self.values


@dataclass(frozen=True)
class StreamedLogMel:
    """The log-mel of a file that is decoded anew each time, for hours of sound would fill the memory.

    Parameters
    ----------
    path, front_end
        As for :func:`log_mel_of`; reading raises as that does, where the reason shows.
    losses
        Told of the sound each time that it is read, if there is one.
    """

    path: Path
    front_end: FrontEnd
    losses: Losses | None = None

    def blocks(self) -> Iterator[LogMel]:
        """Yield some seconds at a time."""
        made = log_mel_blocks(
            decoding.stream(self.path, self.front_end.sample_rate, losses=self.losses), self.front_end
        )
        while True:
            with one_thread():  # not while somebody else has the turn
                block = next(made, None)
            if block is None:
                return
            yield block


def stretches(source: LogMelSource, spans: Iterable[tuple[int, int]]) -> Iterator[LogMel]:
    """Cut a log-mel into stretches, in one pass, holding no more of it than the longest of them.

    Parameters
    ----------
    source
        The log-mel.
    spans
        First frame and end of each, the first frames in rising order; they may overlap, and there may be gaps. What
        comes after the last stretch is not read.

    Yields
    ------
    Shape (frames, bands); fewer frames than were asked for, perhaps none, where the recording ends before.
    """
    blocks = source.blocks()
    held: list[tuple[int, LogMel]] = []
    come = 0
    for first, end in spans:
        held = _reaching(held, first)
        while (come < end or not held) and (block := next(blocks, None)) is not None:
            held = _reaching([*held, (come, block)], first)
            come += len(block)
        parts = [block[max(0, first - at) : max(0, end - at)] for at, block in held]
        yield parts[0] if len(parts) == 1 else np.concatenate(parts)


def _reaching(held: list[tuple[int, LogMel]], first: int) -> list[tuple[int, LogMel]]:
    """Return the blocks that end after a frame, or else the last one, which tells how many bands there are."""
    return [(at, block) for at, block in held if at + len(block) > first] or held[-1:]


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep PyTorch's work for this thread of ours in it: recordings run side by side, and their products are small.

    ``torch.set_num_threads`` would do so for the whole process; OpenMP's own limit belongs to the calling thread.
    """
    torch.get_num_threads()  # at its first use in a thread PyTorch sets that thread's limit itself
    with threadpool_limits(limits=1, user_api="openmp"):
        yield
