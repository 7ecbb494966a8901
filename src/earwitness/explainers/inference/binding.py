"""Networks over waveforms bound to the segments at hand, so that methods see levels of cells as everywhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from earwitness.audio.frontend import FrontEnd
from earwitness.audio.segments import Segments
from earwitness.core.errors import UsageError
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.inference.scoring import as_input
from earwitness.explainers.inference.shown import MAP, showing
from earwitness.models.foreign.waveform import Bound, Waveforms, takes_waveforms
from earwitness.models.protocols import Explainable


def bindings(prepared: Prepared, segments: Segments, layer: str | None = None) -> Iterator[tuple[Prepared, list[int]]]:
    """Yield classifiers over levels of cells, each with the rows of the segments that it is to be asked about.

    A classifier over spectrograms is one for all; one over waveforms is bound to one segment after another.
    Those whose layers are no maps of themselves get a copy in which the layer shows one.

    Parameters
    ----------
    prepared, segments
        The classifier and what it is asked about.
    layer
        The layer that has to be shown as a map, which :func:`shown_layer` then names; None for none.

    Raises
    ------
    UsageError
        A network over waveforms gets segments without samples.
    """
    if not takes_waveforms(prepared.network):
        rows = list(range(len(segments)))
        if layer is None:
            yield prepared, rows
            return
        one = prepared.once("shown", layer, lambda: _showing(prepared, layer))
        with one.working():
            yield one, rows
        return
    for row in range(len(segments)):
        with bound(prepared, segments, row, layer) as one:
            yield one, [row]


def _showing(prepared: Prepared, layer: str) -> Prepared:
    """Return a classifier over spectrograms whose layer shows a map."""
    network = showing(prepared.network, layer)
    return Prepared(
        Bound(
            network=network,
            front_end=prepared.front_end,
            classes=prepared.classes,
            activation=prepared.activation,
            device=prepared.device,
        ),
        lasting=prepared.lasting,
    )


def shown_layer(network: nn.Module, layer: str) -> str:
    """Return by what name a network, bound where it takes waveforms, shows the map of a layer."""
    return f"{'coat.' if takes_waveforms(network) else ''}{layer}.{MAP}"


def network_input(classifier: Explainable, segments: Segments) -> Tensor:
    """Return what a classifier's own network takes: log-mels (n, frames, bands), or samples (n, samples)."""
    waves = takes_waveforms(classifier.network) and segments.samples is not None
    return as_input(classifier, segments.samples if waves and segments.samples is not None else segments.values)


@contextmanager
def bound(prepared: Prepared, segments: Segments, row: int = 0, layer: str | None = None) -> Iterator[Prepared]:
    """Hold a classifier over waveforms bound to one segment (:meth:`Prepared.working`); any other as it is.

    Parameters are those of :func:`bindings`.

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
    network = prepared.network if layer is None else showing(prepared.network, layer)
    levels = as_input(prepared, segments.values[row]).float()
    samples = torch.as_tensor(segments.samples[row]).to(prepared.device)
    one = Prepared(
        Bound(
            network=Waveforms(network, front_end, levels, samples),
            front_end=front_end,
            classes=prepared.classes,
            activation=prepared.activation,
            device=prepared.device,
        ),
        lasting=False,
    )
    with one.working():
        yield one
