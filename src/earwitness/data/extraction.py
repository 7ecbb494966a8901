"""From a data set to log-mels, several recordings at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from earwitness.audio.extraction import log_mel_of_blocks, one_thread
from earwitness.audio.frontend import FrontEnd
from earwitness.core.arrays import LogMel, Samples
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.data.checks import for_each_recording
from earwitness.data.recordings import DataSet, Recording


def extract_log_mels(
    data: DataSet,
    front_end: FrontEnd,
    *,
    strict: bool = False,
    for_training: bool = True,
    workers: int | None = None,
    progress: Progress = NO_PROGRESS,
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

    def extract(_recording: Recording, blocks: Iterator[Samples]) -> LogMel:
        with one_thread():
            return log_mel_of_blocks(blocks, front_end)

    return for_each_recording(
        data,
        front_end.sample_rate,
        extract,
        strict=strict,
        for_training=for_training,
        workers=workers,
        progress=progress,
        edges=(front_end.high_hz,),
        description="Computing log-mels",
    )


def extract_samples(
    data: DataSet,
    front_end: FrontEnd,
    *,
    strict: bool = False,
    for_training: bool = True,
    progress: Progress = NO_PROGRESS,
) -> tuple[DataSet, list[Samples]]:
    """Return the samples (n,) of a data set's recordings at a front end's rate, as :func:`extract_log_mels` does."""

    def extract(_recording: Recording, blocks: Iterator[Samples]) -> Samples:
        return np.concatenate(list(blocks))

    return for_each_recording(
        data,
        front_end.sample_rate,
        extract,
        strict=strict,
        for_training=for_training,
        progress=progress,
        edges=(front_end.high_hz,),
        description="Reading recordings",
    )
