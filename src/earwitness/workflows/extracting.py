"""From a data set to what a classifier gets of its recordings."""

from __future__ import annotations

from dataclasses import dataclass

from earwitness.audio.frontend import FrontEnd
from earwitness.audio.segments import SegmentedLogMels
from earwitness.core.arrays import LogMel, Samples
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.data.extraction import extract_log_mels, extract_samples
from earwitness.data.recordings import DataSet
from earwitness.models.classifier import Classifier
from earwitness.models.foreign.sound import levels_of
from earwitness.models.prediction import segmented


@dataclass(frozen=True)
class Extracted:
    """What a classifier gets of recordings.

    Parameters
    ----------
    names
        The recordings'.
    log_mels
        One of shape (frames, bands) a recording.
    samples
        Where the classifier is one over waveforms, those of each recording; None for others.
    """

    names: tuple[str, ...]
    log_mels: tuple[LogMel, ...]
    samples: tuple[Samples, ...] | None = None

    def segments(self, classifier: Classifier) -> SegmentedLogMels:
        """Return them cut into segments as a classifier takes these."""
        return segmented(classifier, self.log_mels, self.names, self.samples)


def extract(
    data: DataSet,
    front_end: FrontEnd,
    *,
    waveforms: bool = False,
    strict: bool = False,
    for_training: bool = True,
    progress: Progress = NO_PROGRESS,
) -> tuple[DataSet, Extracted]:
    """Decode a data set's recordings once.

    Parameters
    ----------
    data, front_end, strict, for_training, progress
        As for :func:`earwitness.data.extraction.extract_log_mels`.
    waveforms
        Whether the classifier takes waveforms, whose samples are then held beside the levels of its cells.

    Returns
    -------
    The data set with its facts and without what cannot be used, and what the classifier gets of it.
    """
    if not waveforms:
        data, log_mels = extract_log_mels(data, front_end, strict=strict, for_training=for_training, progress=progress)
        return data, Extracted(tuple(data.names), tuple(log_mels))
    data, samples = extract_samples(data, front_end, strict=strict, for_training=for_training, progress=progress)
    levels = tuple(levels_of(front_end, each) for each in samples)
    return data, Extracted(tuple(data.names), levels, tuple(samples))
