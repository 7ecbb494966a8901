"""From recordings to log-mels: decoding, resampling and the front end, several recordings at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from earwitness.audio import decoding
from earwitness.audio.frontend import FrontEnd, log_mel_stream
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
    first = next(blocks)
    if first.shape[0] < front_end.least_samples:
        # Shorter than a window, perhaps. Silence after it makes one window of it, and changes nothing if more comes.
        first = np.concatenate([first, *blocks])
        first = np.pad(first, (0, max(0, front_end.least_samples - first.shape[0])))
    return np.concatenate(list(log_mel_stream(front_end, chain((first,), blocks))))


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep PyTorch's work for this thread of ours in it: recordings run side by side, and their products are small.

    ``torch.set_num_threads`` would do so for the whole process; OpenMP's own limit belongs to the calling thread.
    """
    torch.get_num_threads()  # at its first use in a thread PyTorch sets that thread's limit itself
    with threadpool_limits(limits=1, user_api="openmp"):
        yield
