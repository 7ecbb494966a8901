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
from earwitness.audio.frontend import FrontEnd, LogMel, Samples, log_mel_stream
from earwitness.core.progress import Progress
from earwitness.data.checks import for_each_recording
from earwitness.data.recordings import DataSet, Recording


def log_mel_of(path: Path | str, front_end: FrontEnd) -> LogMel:
    """Return the log-mel of a recording, shape (frames, bands), float32; hours of sound need bounded memory beside it.

    A recording shorter than one window is continued with silence to one window.

    Raises
    ------
    BadRecordingError
        It cannot be used.
    """
    with one_thread():
        return _log_mel(decoding.stream(path, front_end.sample_rate), front_end)


def listen(
    data: DataSet,
    front_end: FrontEnd,
    *,
    strict: bool = False,
    for_training: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[DataSet, list[LogMel]]:
    """Compute the log-mels of a data set's recordings, each of which is decoded once.

    Parameters
    ----------
    data
        As it was loaded.
    front_end
        How.
    strict
        Raise at the first recording that cannot be used, instead of setting it aside.
    for_training
        Whether too few usable recordings are an error.
    workers
        Recordings at a time; None takes the processor's cores.
    progress
        Told a step a recording.

    Returns
    -------
    The data set with its facts and without what cannot be used, and a log-mel (frames, bands) for each recording.

    Raises
    ------
    BadRecordingError
        With ``strict``.
    UsageError
        With ``for_training``, where too little is left.
    """

    def hear(_recording: Recording, blocks: Iterator[Samples]) -> LogMel:
        with one_thread():
            return _log_mel(blocks, front_end)

    return for_each_recording(
        data,
        front_end.sample_rate,
        hear,
        strict=strict,
        for_training=for_training,
        workers=workers,
        progress=progress,
        description="Computing log-mels",
    )


def _log_mel(blocks: Iterator[Samples], front_end: FrontEnd) -> LogMel:
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
