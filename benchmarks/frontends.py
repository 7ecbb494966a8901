"""From files to log-mels: earwitness by itself, and its log-mel against librosa's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from earwitness.audio import decoding
from earwitness.audio.frontend import EFFICIENTAT, VGGISH, FrontEnd
from earwitness.audio.logmel import log_mel, mel_filters
from earwitness.core.arrays import LogMel, Samples
from earwitness.data import extraction
from measuring import Result, Setting, SkippedError, compared, installed, measure, threads

WORKERS = 2  # threads of the extraction from disk
AGREEMENT = 1e-3  # largest difference between two log-mels that count as the same


def from_disk(setting: Setting) -> list[Result]:
    """From files to log-mels: decoding, resampling and log-mel of every recording, as a training does it."""
    data = _data(setting)
    some = replace(data, recordings=data.recordings[: setting.sizes.recordings])
    of = f"{len(some.recordings)} recordings, {WORKERS} threads"

    def listen(front_end: FrontEnd) -> Callable[[], object]:
        return lambda: extraction.extract_log_mels(some, front_end, for_training=False, workers=WORKERS)

    front_ends = (VGGISH, EFFICIENTAT)
    seconds = measure([listen(front_end) for front_end in front_ends], setting.sizes.repetitions)
    return [
        Result(f"files to {front_end.name} log-mels", spent, of)
        for front_end, spent in zip(front_ends, seconds, strict=True)
    ]


def _data(setting: Setting) -> Any:
    if not setting.data.recordings:
        raise SkippedError("no data set; name one with --data")
    return setting.data


def against_librosa(setting: Setting) -> list[Result]:
    """VGGish's log-mel of decoded clips against librosa's of the same values, on one thread.

    librosa draws its triangles over hertz, VGGish over mel. For the same numbers, librosa's spectrum is multiplied by
    VGGish's filters, made beforehand; `librosa.feature.melspectrogram`, which makes its own each time and gives nearly
    the same numbers, is measured too.
    """
    if not installed("librosa", "threadpoolctl"):
        raise SkippedError("librosa is not installed (pip install 'earwitness[bench]')")
    import librosa
    from threadpoolctl import threadpool_limits

    recordings = _data(setting).recordings
    step = max(1, len(recordings) // setting.sizes.clips)
    paths = [recording.path for recording in recordings[::step]][: setting.sizes.clips]
    clips = [decoding.read(path, VGGISH.sample_rate).samples for path in paths]
    filters = mel_filters(VGGISH, torch.float32, "cpu").numpy().T
    # librosa centres the window in the FFT, so its samples are moved by the difference.
    moved = [np.pad(clip, (VGGISH.fft - VGGISH.window) // 2) for clip in clips]

    spectrum: dict[str, Any] = {
        "n_fft": VGGISH.fft,
        "hop_length": VGGISH.hop,
        "win_length": VGGISH.window,
        "center": False,
    }
    mel: dict[str, Any] = {
        "sr": VGGISH.sample_rate,
        "n_mels": VGGISH.bands,
        "fmin": VGGISH.low_hz,
        "fmax": VGGISH.high_hz,
    }

    def theirs(samples: Samples) -> LogMel:
        values: LogMel = np.log(filters @ np.abs(librosa.stft(samples, **spectrum)) + VGGISH.offset).T
        return values

    def all_theirs(samples: Samples) -> LogMel:
        strength = librosa.feature.melspectrogram(y=samples, **spectrum, **mel, power=1.0, htk=True, norm=None)
        values: LogMel = np.log(strength + VGGISH.offset).T
        return values

    def ours(samples: Samples) -> Tensor:
        return log_mel(VGGISH, torch.from_numpy(samples))

    with threads(1), threadpool_limits(1):
        pairs = list(zip(clips, moved, strict=True))
        apart = max(float(np.abs(theirs(other) - ours(clip).numpy()).max()) for clip, other in pairs)
        if apart > AGREEMENT:
            raise SkippedError(f"the two log-mels differ by up to {apart:.2g}, which makes no fair comparison")
        ways: list[Callable[[], object]] = [
            lambda: [theirs(clip) for clip in moved],
            lambda: [all_theirs(clip) for clip in moved],
            lambda: [ours(clip) for clip in clips],
        ]
        seconds = measure(ways, 3 * setting.sizes.repetitions)
    names = ("log-mel, librosa.stft", "log-mel, librosa.feature", "log-mel, earwitness")
    return compared(names, f"{len(clips)} clips, 1 thread", seconds)
