"""Scores of sound in memory: the same way that a file goes, from the mean of the channels to the classifier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from earwitness.audio import decoding
from earwitness.audio.extraction import HeldLogMel, log_mel_blocks, log_mel_of_blocks, one_thread
from earwitness.core.arrays import Float32Array, Float64Array, LogMel
from earwitness.core.device import to_numpy
from earwitness.models.classifier import WAVEFORM, Classifier, segment_frames
from earwitness.models.foreign.sound import score_waveform
from earwitness.models.prediction import ScoredRecording, score_recording, score_stream

HELD_SECONDS = 600.0  # as of files: the log-mel of a longer sound is not held in memory


@dataclass(frozen=True)
class _Passing:
    """A log-mel that can be read once."""

    parts: Iterator[LogMel]

    def blocks(self) -> Iterator[LogMel]:
        return self.parts


def score_sound(
    classifier: Classifier, blocks: Iterator[Float32Array], sample_rate: int, seconds: float
) -> Float64Array:
    """Return a sound's class scores, the mean over its segments, shape (classes,).

    Parameters
    ----------
    classifier
        What scores.
    blocks
        Of shape (k, channels), float32.
    sample_rate
        Hz.
    seconds
        How long it is.
    """
    return scored_sound(classifier, blocks, sample_rate, seconds).mean


def scored_sound(
    classifier: Classifier,
    blocks: Iterator[Float32Array],
    sample_rate: int,
    seconds: float,
    before: ScoredRecording | None = None,
    *,
    tail: bool = True,
) -> ScoredRecording:
    """Return a sound's segments with their scores.

    Parameters
    ----------
    classifier, blocks, sample_rate, seconds
        As for :func:`score_sound`.
    before
        The same sound before something in it was changed: segments that did not change are not scored again.
    tail
        Whether a last segment ends flush with the sound.
    """
    front_end = classifier.front_end
    mono = (block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32) for block in blocks)
    at_rate = decoding.resample_blocks(mono, sample_rate, front_end.sample_rate)
    if classifier.takes == WAVEFORM:
        return score_waveform(classifier, np.concatenate(list(at_rate)))
    if seconds > HELD_SECONDS:
        return score_stream(classifier, _Passing(log_mel_blocks(at_rate, front_end)), tail=tail)
    with one_thread():
        log_mel = log_mel_of_blocks(at_rate, front_end)
    if before is not None and before.real_frames == len(log_mel):
        return _scored_again(classifier, log_mel, before)
    frames = segment_frames(classifier, len(log_mel))
    return score_recording(classifier, log_mel, segment_frames=frames, tail=tail)


def _scored_again(classifier: Classifier, log_mel: LogMel, before: ScoredRecording) -> ScoredRecording:
    """Return a recording with another log-mel of the same length, and new scores of those segments that changed."""
    (old,) = before.excerpts([(0, before.real_frames)])
    changed = np.concatenate([[0], np.cumsum((log_mel != old).any(axis=1))])
    ends = np.minimum(before.start_frames + before.segment_frames, len(log_mel))
    rows = np.flatnonzero(changed[ends] > changed[before.start_frames])
    now = replace(before, source=HeldLogMel(log_mel), scores=before.scores.copy())
    if len(rows):
        now.scores[rows] = to_numpy(classifier.probabilities(now.take(rows).values))
    return now
