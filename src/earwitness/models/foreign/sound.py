"""Recordings scored by networks over waveforms: from samples, with the levels of their STFT beside them."""

from __future__ import annotations

import numpy as np
import torch

from earwitness.audio.extraction import HeldLogMel
from earwitness.audio.frontend import FrontEnd
from earwitness.audio.logmel import log_mel
from earwitness.audio.segments import pad, sound_at
from earwitness.audio.timefreq import segment_starts
from earwitness.core.arrays import LogMel, Samples
from earwitness.core.device import to_numpy
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.models.classifier import WAVEFORM, Classifier
from earwitness.models.prediction import ScoredRecording, score_recording

SEGMENTS_AT_ONCE = 64


def levels_of(front_end: FrontEnd, samples: Samples) -> LogMel:
    """Return the levels of a sound's cells, shape (frames, bands); a frame begins before the sound has ended."""
    frames = max(1, -(-len(samples) // front_end.hop))
    sound = np.pad(samples, (0, max(0, front_end.least_samples - len(samples))))
    found: LogMel = to_numpy(log_mel(front_end, torch.from_numpy(np.ascontiguousarray(sound, dtype=np.float32))))
    return found[:frames]


def score_waveform(
    classifier: Classifier, samples: Samples, file: str = "", progress: Progress = NO_PROGRESS
) -> ScoredRecording:
    """Cut a sound into segments, the last one flush with its end, and score each.

    A sound shorter than a segment is one, filled up with silence to the network's shortest.

    Parameters
    ----------
    classifier
        One that takes waveforms.
    samples
        Shape (n,), at the classifier's sample rate.
    file
        The recording's name.
    progress
        Told a step a segment.
    """
    front_end, levels = classifier.front_end, levels_of(classifier.front_end, samples)
    # A network that takes any length sees a short recording as it is, not filled up with silence.
    frames = min(classifier.segment_frames, max(len(levels), front_end.segment_frames))
    length = classifier.segment_samples
    if frames < classifier.segment_frames:
        length = len(samples) if frames == len(levels) else frames * front_end.hop
    held = pad(levels, frames, front_end.silence)
    starts = segment_starts(len(held), frames, classifier.overlap)
    scores = []
    with progress.task("Scoring segments", len(starts)) as advance:
        for some in np.array_split(starts, -(-len(starts) // SEGMENTS_AT_ONCE)):
            cut = sound_at(samples, some * front_end.hop, length)
            scores.append(to_numpy(classifier.probabilities(cut)).astype(np.float64))
            advance(len(some))
    return ScoredRecording(
        file=file,
        classes=classifier.classes,
        clock=front_end.clock,
        silence=front_end.silence,
        source=HeldLogMel(held),
        real_frames=len(levels),
        segment_frames=frames,
        start_frames=starts,
        scores=np.concatenate(scores),
        samples=samples,
        segment_samples=length,
    )


def score_samples(classifier: Classifier, samples: Samples) -> ScoredRecording:
    """Cut a sound (n,), at the classifier's sample rate, into segments as it was trained to, and score each.

    Of a classifier over waveforms the last segment is flush with the end.
    """
    if classifier.takes == WAVEFORM:
        return score_waveform(classifier, samples)
    missing = max(0, classifier.front_end.least_samples - samples.size)
    values = log_mel(classifier.front_end, torch.from_numpy(np.pad(samples, (0, missing))))
    return score_recording(classifier, to_numpy(values))
