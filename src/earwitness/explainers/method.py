"""What all methods share: the way from a request to attributions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from torch import nn

from earwitness.audio.segments import Segments
from earwitness.core.arrays import Float32Array, Float64Array, Int64Array
from earwitness.core.errors import UsageError
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers.attribution import (
    CONSTANT,
    NOT_CONVERGED,
    PADDED,
    SILENT,
    Attribution,
    Grid,
    Target,
    is_constant,
    is_silent,
)
from earwitness.explainers.inference.attention import refuse_without_attention
from earwitness.explainers.inference.binding import bindings, shown_layer
from earwitness.explainers.inference.layers import chosen_layer, refuse_layer
from earwitness.explainers.inference.modules import precision_of
from earwitness.explainers.inference.prepared import Prepared, working
from earwitness.explainers.inference.scoring import LOGIT, PROBABILITY
from earwitness.explainers.inference.shown import is_shown, refuse_shown
from earwitness.explainers.inference.trial import check_answers, check_request, tried
from earwitness.explainers.parameters import in_force
from earwitness.models.adapter import shown_name
from earwitness.models.foreign.runtimes import is_outside
from earwitness.models.protocols import Explainable
from earwitness.models.reduction import reduction_of


class Need(StrEnum):
    """What a method needs of a network; the words are for lists of methods.

    A network with gradients or with a layer to look at has scores, too.
    """

    SCORES = "scores"
    GRADIENTS = "gradients"
    FEATURE_LAYER = "a feature layer"
    ATTENTION = "attention"


@dataclass(frozen=True)
class Explainer(ABC):
    """An explanation method: a frozen dataclass whose fields are its parameters, each with a default.

    The words are phrases without a full stop, for lists of methods: ``cost`` counts passes, ``assumes`` is what has to
    be true for the map to mean something, ``misses`` what the map cannot show, ``family`` one of :data:`FAMILIES`.
    ``needs`` is what :func:`check_needs` asks of a network, ``presets`` keeps several parameters under one name.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    cost: ClassVar[str]
    assumes: ClassVar[str]
    misses: ClassVar[str]
    family: ClassVar[str]
    needs: ClassVar[tuple[Need, ...]]
    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    # What others ask of any method. One that has such a parameter declares it as a field, which takes the place of
    # the property.

    @property
    @abstractmethod
    def score(self) -> str:
        """The score that is explained: ``"logit"``, ``"log-odds"`` or ``"probability"``."""

    @property
    def fill(self) -> str | float:
        """What hidden cells become, or what segments are compared with; ``""`` where there is no such thing."""
        return ""

    @property
    def seed(self) -> int | None:
        """The seed of all draws; None where nothing is drawn."""
        return None

    @property
    def layer(self) -> str:
        """Dotted name of the layer that is looked at; ``""`` for the network's own ``feature_layer``."""
        return ""

    @property
    def random(self) -> bool:
        """Whether another seed gives another map."""
        return self.seed is not None

    def changed(self, **parameters: Any) -> Self:
        """Return the method with other values of some parameters, which are checked."""
        return replace(self, **parameters)

    def quick(self) -> Self:
        """Return the method in a cheaper setting, for checks that apply it dozens of times; itself if none is needed.

        Record :func:`earwitness.explainers.parameters.spec` of it: its own parameters tell what was changed.
        """
        return self

    def at_most(self, passes: int) -> Self:  # noqa: ARG002
        """Return the method with no more samples or steps than so many forward passes allow.

        A method whose passes are counted by something else, such as masks or channels, stays as it is.
        """
        return self

    def refuse(self, network: nn.Module) -> None:
        """Refuse a network for which the method is not defined.

        Raises
        ------
        UsageError
            Naming methods that are.
        """
        if Need.ATTENTION in self.needs:
            refuse_without_attention(self.name, network)

    def attribute(
        self,
        classifier: Explainable,
        segments: Segments,
        targets: Sequence[Sequence[Target]],
        progress: Progress = NO_PROGRESS,
    ) -> list[Attribution]:
        """Explain segments.

        Parameters
        ----------
        classifier
            What made the decision.
        segments
            The excerpts to explain.
        targets
            Per segment, what to explain; all come from the same forward passes where the method's can be shared.
        progress
            Told how far the work has come.

        Returns
        -------
        One attribution per segment and target, the first segment's first.

        Raises
        ------
        UsageError
            If a target is out of range, a parameter does not fit the segments, or the network is not made of what the
            method needs (a layer with a map, say).
        EarwitnessError
            If the network's score is not a number.
        """
        check_request(classifier, segments, targets)
        self.refuse(classifier.network)
        if not len(segments):
            return []
        reduction = reduction_of(classifier.network)
        method, found = self._of_numbers(reduction) if reduction else self, list[Attribution]()
        layer = self._shown(classifier.network)
        if layer is not None:
            method = method.changed(layer=shown_layer(classifier.network, layer))
        with working(classifier) as prepared:
            for one, rows in bindings(prepared, segments, layer):
                some = segments if len(rows) == len(segments) else segments.take(rows)
                asked = [targets[row] for row in rows]
                check_answers(one, some, method.score)
                self._check_gradients(one, some)
                found += method.explained(one, some, asked, progress)
        more = {} if layer is None else {"layer": shown_name(classifier.network, layer)}
        more |= {"reduction": reduction} if reduction else {}
        return [replace(each, parameters=each.parameters | more) for each in found] if more else found

    def _of_numbers(self, reduction: str) -> Self:
        """Return the method for a network that answers a number, which is no probability and is explained as it is."""
        if self.score == PROBABILITY:
            raise UsageError(f"{self.name}: {reduction} is a number and no probability; leave out score={self.score}")
        return self if self.score == LOGIT else self.changed(score=LOGIT)

    def _shown(self, network: nn.Module) -> str | None:
        """Return the layer that is looked at where it has to be shown as a map; None for other networks and methods."""
        if Need.FEATURE_LAYER not in self.needs or not is_shown(network):
            return None
        refuse_shown(self.name, network, self.layer)
        return chosen_layer(network, self.layer)

    def _check_gradients(self, prepared: Prepared, segments: Segments) -> None:
        """Refuse a network that lets no gradient through; from a layer on, methods let it through themselves."""
        if Need.GRADIENTS not in self.needs or Need.FEATURE_LAYER in self.needs:
            return
        trial = tried(prepared, segments)
        if trial is not None and not trial.gradients:
            raise self.without_gradients()

    def without_gradients(self) -> UsageError:
        """Return the refusal of a network that lets no gradient through, with the methods that need none."""
        return UsageError(
            f"{self.name} needs gradients, and this network lets none through; ask a method that needs its scores "
            "alone: lime, occlusion, rise, shapley, kernelshap"
        )

    @abstractmethod
    def explained(
        self, prepared: Prepared, segments: Segments, targets: Sequence[Sequence[Target]], progress: Progress
    ) -> list[Attribution]:
        """Return the attributions of a request that was checked.

        Parameters
        ----------
        prepared
            Held by this call: its network is in evaluation mode, outside inference mode.
        segments
            At least one.
        targets, progress
            As for :meth:`attribute`.
        """


def in_batches(
    explain: Callable[[Prepared, Segments, Sequence[Sequence[Target]]], list[Attribution]],
    size: int,
    prepared: Prepared,
    segments: Segments,
    targets: Sequence[Sequence[Target]],
    title: str,
    progress: Progress,
) -> list[Attribution]:
    """Explain segments, ``size`` of them at a time, and return all attributions in their order."""
    found: list[Attribution] = []
    with progress.task(title, len(segments)) as advance:
        for start in range(0, len(segments), size):
            rows = list(range(start, min(start + size, len(segments))))
            found += explain(prepared, segments.take(rows), [targets[row] for row in rows])
            advance(len(rows))
    return found


# Kinds of methods, in the order in which they are told of.
FAMILIES = ("activation maps", "attention", "perturbation", "gradients")


def check_needs(explainer: Explainer, network: nn.Module) -> None:
    """Refuse a method that needs what a network does not have, before anything is computed.

    Every PyTorch network gives scores and gradients, but for a function over arrays; that a layer's output is a map
    shows only in a pass.

    Raises
    ------
    UsageError
        Naming layers that may do, where the network has none by the layer's name, or names none of its own; or naming
        other methods, where this one is not defined for such a network.
    """
    explainer.refuse(network)
    if Need.FEATURE_LAYER in explainer.needs:
        refuse_layer(explainer.name, network, explainer.layer)
    elif Need.GRADIENTS in explainer.needs and is_outside(network):
        raise explainer.without_gradients()


@dataclass(frozen=True)
class Cost:
    """What the explanation of one segment took (shared by its targets); the arithmetic, where not the network's own."""

    forwards: int
    backwards: int
    seconds: float
    precision: str = ""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a method found for one segment and one target.

    Parameters
    ----------
    native, values
        The map on the method's own cells and on the segment's grid (frames, bands).
    grid
        The method's own cells, or None where they are not a grid.
    score
        The score of the whole segment for the target.
    diagnostics
        Numbers that the method reports about itself.
    settled
        Parameters that were settled only now, such as a mask's size in cells.
    error
        Standard error of each native cell, or None where it is not known.
    converged
        Whether the error is under the tolerance that was asked for.
    features, importances
        Of a method that hides parts: each cell's part, shape (frames, bands), and a number a part.
    """

    native: npt.NDArray[Any]
    values: npt.NDArray[Any]
    grid: Grid | None
    score: float
    diagnostics: dict[str, float] = field(default_factory=dict)
    settled: dict[str, Any] = field(default_factory=dict)
    error: npt.NDArray[Any] | None = None
    converged: bool = True
    features: Int64Array | None = None
    importances: Float64Array | None = None


def attribution_of(
    explainer: Explainer,
    classifier: Explainable,
    segments: Segments,
    index: int,
    target: Target,
    found: Found,
    cost: Cost,
) -> Attribution:
    """Return the finished attribution: padding emptied, flags raised, provenance written down."""
    real = int(segments.real_frames[index])
    values, native = (np.array(array, dtype=np.float32) for array in (found.values, found.native))
    error = None if found.error is None else np.array(found.error, dtype=np.float32)
    values[real:] = 0.0
    if found.grid is None:
        native = values.copy()
    padding = slice(real, None) if found.grid is None else found.grid.beyond(real)
    native[padding] = 0.0
    if error is not None:
        error[padding] = 0.0
    none = np.zeros(0)
    clock, first = classifier.front_end.clock, int(segments.start_frames[index])
    frames, bands = values.shape
    rows, columns = (np.arange(frames + 1), np.arange(bands + 1)) if found.grid is None else found.grid.edges
    return Attribution(
        values=values,
        native=native,
        frame_edges=none if found.grid is None else found.grid.frame_edges,
        band_edges=none if found.grid is None else found.grid.band_edges,
        target=target,
        target_label=target.label(classifier.classes),
        score=found.score,
        score_kind=explainer.score,
        method=explainer.name,
        parameters=in_force(explainer) | found.settled,
        fill=str(explainer.fill),
        seed=explainer.seed,
        precision=cost.precision or precision_of(classifier.network),
        forwards=cost.forwards,
        backwards=cost.backwards,
        seconds=cost.seconds,
        diagnostics=found.diagnostics,
        flags=_flags(classifier, segments, index, values, found),
        real_frames=real,
        file=segments.files[index],
        start_seconds=float(clock.frame_start_seconds(first)),
        standard_error=error,
        features=found.features,
        importances=found.importances,
        times=clock.frame_centre_seconds(first + np.arange(frames)),
        frequencies=clock.band_centre_hz(np.arange(bands)),
        time_edges=clock.frame_edge_seconds(first + rows),
        frequency_edges=clock.band_edge_hz(columns),
    )


def _flags(
    classifier: Explainable, segments: Segments, index: int, values: Float32Array, found: Found
) -> tuple[str, ...]:
    segment, real = segments.values[index], int(segments.real_frames[index])
    raised = {
        SILENT: is_silent(segment, real, classifier.front_end.silence),
        CONSTANT: is_constant(values, real, found.score),
        PADDED: real < segment.shape[0],
        NOT_CONVERGED: not found.converged,
    }
    return tuple(flag for flag, up in raised.items() if up)
