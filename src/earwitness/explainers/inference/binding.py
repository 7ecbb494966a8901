"""Networks over waveforms bound to the segments at hand, so that methods see levels of cells as everywhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from earwitness.audio.frontend import FrontEnd
from earwitness.audio.segments import Segments
from earwitness.core.errors import UsageError
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.inference.scoring import as_input
from earwitness.models.foreign.waveform import Bound, Waveforms, takes_waveforms
from earwitness.models.protocols import Explainable


def bindings(prepared: Prepared, segments: Segments) -> Iterator[tuple[Prepared, list[int]]]:
    """Yield classifiers over levels of cells, each with the rows of the segments that it is to be asked about.

    A classifier over spectrograms is one for all; one over waveforms is bound to one segment after another.

    Raises
    ------
    UsageError
        A network over waveforms gets segments without samples.
    """
    if not takes_waveforms(prepared.network):
        yield prepared, list(range(len(segments)))
        return
    for row in range(len(segments)):
        with bound(prepared, segments, row) as one:
            yield one, [row]


def network_input(classifier: Explainable, segments: Segments) -> Tensor:
    """Return what a classifier's own network takes: log-mels (n, frames, bands), or samples (n, samples)."""
    waves = takes_waveforms(classifier.network) and segments.samples is not None
    return as_input(classifier, segments.samples if waves and segments.samples is not None else segments.values)


@contextmanager
def bound(prepared: Prepared, segments: Segments, row: int = 0) -> Iterator[Prepared]:
    """Hold a classifier over waveforms bound to one segment (:meth:`Prepared.working`); any other as it is.

    Raises
    ------
    UsageError
        A network over waveforms gets segments without samples.
    """
    if not takes_waveforms(prepared.network):
        yield prepared
        return
    front_end = prepared.front_end
    if segments.samples is None or not isinstance(front_end, FrontEnd):
        raise UsageError(
            "segments of a model over waveforms carry their samples: Segments(..., samples=...), as those of "
            "earwitness.models.foreign.sound.score_waveform do"
        )
    levels = as_input(prepared, segments.values[row]).float()
    samples = torch.as_tensor(segments.samples[row]).to(prepared.device)
    one = Prepared(
        Bound(
            network=Waveforms(prepared.network, front_end, levels, samples),
            front_end=front_end,
            classes=prepared.classes,
            activation=prepared.activation,
            device=prepared.device,
        ),
        lasting=False,
    )
    with one.working():
        yield one
