"""Short sounds for a page that plays them: one channel, in MP3, which every browser knows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from earwitness.audio import decoding
from earwitness.audio.loudness import Meter
from earwitness.core.arrays import Float32Array
from earwitness.core.errors import EarwitnessError, printable
from earwitness.core.files import atomic_write
from earwitness.sonify.levels import finished, matching_gains

MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
ENDING = ".mp3"


@dataclass(frozen=True, kw_only=True)
class PlayedMap:
    """A map of a stretch, as sound.

    Parameters
    ----------
    title, target
        Its method and class, in words; the class alone.
    place
        Where the map stands in its picture's row, counted from 0.
    kept, removed
        The files that hold only its evidence, and all without it.
    scores
        The class's score of the original, of what is kept and of what is removed.
    """

    title: str
    target: str
    place: int
    kept: str
    removed: str
    scores: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Played:
    """A stretch of a recording that a page plays.

    Parameters
    ----------
    title
        Which, in words.
    start_seconds, end_seconds
        Where in the recording.
    row
        Which of its picture's segments or recordings it is, counted from 0; None where the picture shows it nowhere.
    original
        The file that holds it as it is.
    maps
        Its maps in which something speaks for their class.
    """

    title: str
    start_seconds: float
    end_seconds: float
    row: int | None
    original: str
    maps: tuple[PlayedMap, ...] = ()


def blocks_between(path: Path, first: int, end: int | None) -> Iterator[Float32Array]:
    """Yield a recording's samples from one on to before another (None: to its end), in blocks, shape (k, channels).

    Raises
    ------
    BadRecordingError
        It cannot be used.
    """
    at = 0
    for block in decoding.stream_channels(path):
        yield block[max(0, first - at) : None if end is None else max(0, end - at)]
        at += len(block)
        if end is not None and at >= end:
            break


def read_stretch(path: Path, start_seconds: float, end_seconds: float | None) -> tuple[Float32Array, int]:
    """Return a stretch of a recording, the mean of its channels, shape (n, 1), and its sample rate.

    Raises
    ------
    BadRecordingError
        It cannot be used.
    """
    _, _, sample_rate, _ = decoding.header(path)
    end = None if end_seconds is None else round(end_seconds * sample_rate)
    parts = [
        block.mean(axis=1, dtype=np.float32, keepdims=True)
        for block in blocks_between(path, round(start_seconds * sample_rate), end)
    ]
    return np.concatenate(parts), sample_rate


def at_one_loudness(samples: Float32Array, sample_rate: int) -> Float32Array:
    """Return a sound, shape (n, 1), at the loudness to which all that is played is brought, limited and faded."""
    meter = Meter(sample_rate)
    meter.see(samples)
    (gain,) = matching_gains(meter, [])
    return np.concatenate(list(finished([samples], len(samples), sample_rate, gain)))


def write_clip(path: Path, samples: Float32Array, sample_rate: int) -> None:
    """Write a sound as MP3; of a rate that the format lacks at the next higher one, at most 48 kHz.

    Parameters
    ----------
    path
        Where.
    samples
        Shape (n, 1), float32.
    sample_rate
        Hz.
    """
    rate = next((each for each in MP3_RATES if each >= sample_rate), MP3_RATES[-1])
    at_rate = decoding.resample(samples[:, 0], sample_rate, rate)
    with atomic_write(path) as temporary:
        # A file without a sample would be no MP3.
        soundfile.write(temporary, at_rate if len(at_rate) else np.zeros(1), rate, format="MP3")


def read_clip(path: Path) -> bytes:
    """Return the bytes of a sound that :func:`write_clip` wrote.

    Raises
    ------
    EarwitnessError
        It is missing, or no MP3.
    """
    try:
        data = path.read_bytes()
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            kind = file.format
    except (OSError, soundfile.LibsndfileError) as error:
        raise EarwitnessError(f"{printable(path)}: cannot be read as a sound ({error}); inquire again") from error
    if kind != "MP3":
        raise EarwitnessError(f"{printable(path)}: is no MP3 but {kind}; inquire again")
    return data
