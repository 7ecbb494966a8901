"""What is explained: trained networks where there are any, and segments of real sound where there is a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import nn

from earwitness.audio.segments import Segments, cut
from earwitness.data import extraction
from earwitness.explainers.attribution import Target, is_silent
from earwitness.explainers.inference.prepared import Prepared
from earwitness.models.classifier import Classifier, load, ready
from earwitness.models.registry import backbone_named
from earwitness.models.vggish import initialise_he
from measuring import Setting

CLASSES = tuple(f"class {number}" for number in range(10))
NAMES = {"vggish": "VGGish"}
UNDECIDED = 0.75


@dataclass(frozen=True)
class Subject:
    """A classifier and segments that it hears.

    Parameters
    ----------
    name
        Of the network, as it is written.
    classifier
        Whose decisions are explained.
    segments
        As many as the large batch has.
    """

    name: str
    classifier: Classifier
    segments: Segments

    @cached_property
    def targets(self) -> list[Target]:
        """The class that each segment is predicted as."""
        heard = self.classifier.logits(self.segments.values).argmax(dim=1)
        return [Target(int(index)) for index in heard]

    @cached_property
    def prepared(self) -> Prepared:
        """The classifier prepared for explaining."""
        return Prepared(self.classifier)

    def first(self, count: int) -> Subject:
        """Return the same with fewer segments."""
        return replace(self, segments=self.segments.take(range(count)))


def subjects(setting: Setting) -> Iterator[Subject]:
    """Yield every network with its segments."""
    for name in setting.sizes.networks:
        yield _subject(name, setting)


def _subject(name: str, setting: Setting) -> Subject:
    path = setting.models.get(name)
    if path is not None:
        classifier = load(path, setting.device)
    else:
        setting.say(f"{name}: no trained model; its weights are random")
        classifier = _untrained(name, setting.device)
    return Subject(NAMES.get(name, name), classifier, _undecided_first(classifier, _heard(classifier, setting)))


def _undecided_first(classifier: Classifier, segments: Segments) -> Segments:
    """Return segments, those with the winner's probability nearest to UNDECIDED first.

    Where the network is sure, next to nothing changes a probability, and maps of rounding errors would be compared.
    """
    winner = classifier.probabilities(segments.values).amax(dim=1)
    return segments.take((winner - UNDECIDED).abs().argsort(stable=True).numpy())


def _untrained(name: str, device: torch.device) -> Classifier:
    line = backbone_named(name)
    network = line.build(len(CLASSES)).eval()
    initialise_he(network, 0)
    frames = line.front_end.segment_frames
    _settle_norms(network, torch.as_tensor(_noise(4, frames, line.front_end.bands)))
    classifier = Classifier(
        network=network, front_end=line.front_end, classes=CLASSES, backbone=name, segment_frames=frames, overlap=0.0
    )
    return ready(classifier, device)


def _settle_norms(network: nn.Module, noise: torch.Tensor) -> None:
    """Give batch norms the statistics of some noise; without them random weights hear nothing."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train().momentum = 1.0
    with torch.no_grad():
        network(noise)
    network.eval()


def _noise(count: int, frames: int, bands: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).standard_normal((count, frames, bands)).astype(np.float32)


def _heard(classifier: Classifier, setting: Setting) -> Segments:
    """Return one segment from the middle of each of some recordings, none of them silent, or noise without data."""
    count, frames, front_end = setting.sizes.many, classifier.segment_frames, classifier.front_end
    step = max(1, len(setting.data.recordings) // (2 * count))
    some = replace(setting.data, recordings=setting.data.recordings[::step][: 2 * count])
    if some.recordings:
        used, log_mels = extraction.extract_log_mels(some, front_end, for_training=False, workers=2)
        files = [recording.name for recording in used.recordings]
        table = cut(log_mels, files, front_end.silence, frames, 0.0, tail=False)
        rows = [int(own[len(own) // 2]) for own in (table.rows_of([number]) for number in range(len(files)))]
        segments = table.take(rows)
        real = zip(segments.values, segments.real_frames, strict=True)
        kept = [row for row, one in enumerate(real) if not is_silent(one[0], int(one[1]), front_end.silence)]
        if len(kept) >= count:
            return segments.take(kept[:count])
    setting.say("no data set with sounds enough; the segments are noise")
    whole = np.full(count, frames)
    return Segments(_noise(count, frames, front_end.bands), np.zeros_like(whole), whole, ("noise",) * count)
