"""Maps that know nothing of the classifier, which a method must beat: random, energy, centre, edge.

Each is at hand as a function of arrays, and as an explainer that goes through the same door as a method does.
"""

from __future__ import annotations

import zlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from earwitness.audio.segments import Segments
from earwitness.core.arrays import Float32Array, Float64Array
from earwitness.core.device import to_numpy
from earwitness.core.progress import Progress
from earwitness.explainers.attribution import Attribution, Grid, Target
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.inference.scoring import (
    PROBABILITY,
    activated,
    as_input,
    batch_size,
    check_scores,
    logits_of,
    score_parameter,
    stopwatch,
    target_scores,
)
from earwitness.explainers.method import Cost, Explainer, Found, Need, attribution_of, in_batches
from earwitness.explainers.parameters import check, integer, parameter

# ---- maps from arrays ---------------------------------------------------------------------------------------------


def random_map(
    values: npt.NDArray[Any], real_frames: int | None = None, *, seed: int | Sequence[int] = 0
) -> Float32Array:
    """Return independent normal draws, shape (frames, bands), zero in the padding.

    Parameters
    ----------
    values
        Shape (frames, bands): the log-mel segment (its shape alone counts).
    real_frames
        Frames before the padding; None for all.
    seed
        One number or several.
    """
    return _real(np.random.default_rng(seed).standard_normal(values.shape), real_frames)


def energy_map(values: npt.NDArray[Any], silence: float, real_frames: int | None = None) -> Float32Array:
    """Return how far each cell rises above silence, in the log-mel's unit, shape (frames, bands); never negative.

    Parameters
    ----------
    values
        Shape (frames, bands): the log-mel segment.
    silence
        The front end's value of a silent cell.
    real_frames
        Frames before the padding; None for all.
    """
    return _real(np.maximum(values.astype(np.float64) - silence, 0.0), real_frames)


def centre_map(values: npt.NDArray[Any], real_frames: int | None = None) -> Float32Array:
    """Return 1 in the middle of the real part, 0 at its corners, falling linearly with the distance.

    Both sides of the real part count as equally long, whatever their numbers of cells. Shape (frames, bands).

    Parameters
    ----------
    values
        Shape (frames, bands): the log-mel segment (its shape alone counts).
    real_frames
        Frames before the padding; None for all.
    """
    frames, bands = values.shape
    real = frames if real_frames is None else real_frames
    along = [(np.arange(length) + 0.5) / max(1, end) * 2 - 1 for length, end in ((frames, real), (bands, bands))]
    distance = np.hypot(along[0][:, None], along[1])
    return _real(1.0 - distance / np.sqrt(2.0), real_frames)


def edge_map(values: npt.NDArray[Any], real_frames: int | None = None) -> Float32Array:
    """Return how steep the log-mel is at each cell: the length of Sobel's gradient, shape (frames, bands).

    Adebayo et al. (*Sanity Checks for Saliency Maps*, NeurIPS 2018, section 6) show how much an edge detector looks
    like many saliency maps although it knows no network. Padding is cut off first, so its edge is none.

    Parameters
    ----------
    values
        Shape (frames, bands): the log-mel segment.
    real_frames
        Frames before the padding; None for all.
    """
    found = np.zeros(values.shape)
    real = values[:real_frames].astype(np.float64)
    if real.size:
        slopes = [ndimage.sobel(real, axis=axis, mode="nearest") for axis in (0, 1)]
        found[: len(real)] = np.hypot(*slopes)
    return _real(found, real_frames)


def _real(found: Float64Array, real_frames: int | None) -> Float32Array:
    """Return a map as float32, zero in the padding."""
    kept = found.astype(np.float32)
    if real_frames is not None:
        kept[real_frames:] = 0.0
    return kept


# ---- the same as explainers ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Baseline(Explainer):
    """A map of the segment alone, through the door of the explanation methods; all targets get the same map.

    Parameters
    ----------
    score
        Kind of the score that the attribution names.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str] = "none; a baseline"
    cost: ClassVar[str] = "1 forward, for the score alone"
    assumes: ClassVar[str] = "Nothing of the network."
    misses: ClassVar[str] = "The network."
    family: ClassVar[str] = "baselines"
    needs: ClassVar[tuple[Need, ...]] = (Need.SCORES,)  # for the attribution's score; the map is the segment's own

    score: str = score_parameter(PROBABILITY)

    def __post_init__(self) -> None:
        check(self)

    @abstractmethod
    def draw(self, values: Float32Array, silence: float, real_frames: int) -> Float32Array:
        """Return the map, shape (frames, bands), of a segment."""

    def explained(
        self, prepared: Prepared, segments: Segments, targets: Sequence[Sequence[Target]], progress: Progress
    ) -> list[Attribution]:
        """Return one attribution per segment and target, the first segment's first."""
        size = batch_size(prepared, *segments.values.shape[1:])
        return in_batches(self._batch, size, prepared, segments, targets, self.title, progress)

    def _batch(self, prepared: Prepared, segments: Segments, targets: Sequence[Sequence[Target]]) -> list[Attribution]:
        seconds = stopwatch()
        with torch.inference_mode():
            logits = logits_of(prepared, as_input(prepared, segments.values)).cpu().double()
        scores = to_numpy(activated(logits, self.score, prepared.activation))
        silence, shape = float(prepared.front_end.silence), segments.values.shape[1:]
        grid, cost = Grid.whole(*shape, *shape), Cost(1, 0, seconds(len(segments)))
        found = []
        for index, listed in enumerate(targets):
            row = scores[index : index + 1]
            check_scores(row, prepared, segments, index)
            drawn = self.draw(segments.values[index], silence, int(segments.real_frames[index]))
            for target, score in zip(listed, target_scores(row, listed)[0], strict=True):
                result = Found(native=drawn, values=drawn, grid=grid, score=float(score))
                found.append(attribution_of(self, prepared, segments, index, target, result, cost))
        return found


@dataclass(frozen=True)
class RandomBaseline(Baseline):
    """Independent draws for each cell. A segment's draws depend on the seed and on its own cells alone."""

    name: ClassVar[str] = "random"
    title: ClassVar[str] = "Random"

    seed: int = parameter(0, integer(0), "seed of the draws")

    def draw(self, values: Float32Array, silence: float, real_frames: int) -> Float32Array:  # noqa: ARG002
        """Return :func:`random_map`."""
        mark = zlib.crc32(np.ascontiguousarray(values).tobytes())
        return random_map(values, real_frames, seed=[self.seed, mark])


@dataclass(frozen=True)
class EnergyBaseline(Baseline):
    """Louder cells first."""

    name: ClassVar[str] = "energy"
    title: ClassVar[str] = "Energy"

    def draw(self, values: Float32Array, silence: float, real_frames: int) -> Float32Array:
        """Return :func:`energy_map`."""
        return energy_map(values, silence, real_frames)


@dataclass(frozen=True)
class CentreBaseline(Baseline):
    """The middle of the segment first."""

    name: ClassVar[str] = "centre"
    title: ClassVar[str] = "Centre"

    def draw(self, values: Float32Array, silence: float, real_frames: int) -> Float32Array:  # noqa: ARG002
        """Return :func:`centre_map`."""
        return centre_map(values, real_frames)


@dataclass(frozen=True)
class EdgeBaseline(Baseline):
    """Where the log-mel is steep, first."""

    name: ClassVar[str] = "edge"
    title: ClassVar[str] = "Edges"

    def draw(self, values: Float32Array, silence: float, real_frames: int) -> Float32Array:  # noqa: ARG002
        """Return :func:`edge_map`."""
        return edge_map(values, real_frames)


BASELINES: dict[str, type[Baseline]] = {
    "random": RandomBaseline,
    "energy": EnergyBaseline,
    "centre": CentreBaseline,
    "edge": EdgeBaseline,
}
