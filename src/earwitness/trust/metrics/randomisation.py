"""Randomisation: whether a method's map changes when what the network learned is taken from it.

Adebayo, Gilmer, Muelly, Goodfellow, Hardt & Kim, *Sanity Checks for Saliency Maps*, NeurIPS 2018, section 3: a map that
stays as it was cannot explain what the network learned. Weights are redrawn from the last layer down to the first, all
above staying redrawn (the cascade), and in each block of layers alone.

The test has critics, and what is done about them here: maps of one kind of input are alike for other reasons than the
network (Yona & Greenfeld, *Revisiting Sanity Checks for Saliency Maps*, 2021), so a method is held against how alike
its maps of different segments are; and a network with a few redrawn layers on top still lets most of its signal pass
(Binder et al., *Shortcomings of Top-Down Randomization-Based Sanity Checks*, CVPR 2023), so the whole cascade counts.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from earwitness.audio.segments import Segments
from earwitness.core.arrays import Float32Array
from earwitness.core.errors import EarwitnessError, UsageError, printable
from earwitness.core.files import read_json, write_json
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers.attribution import Target
from earwitness.explainers.inference.binding import network_input
from earwitness.explainers.method import Explainer
from earwitness.explainers.parameters import spec
from earwitness.explainers.ranks import rank_correlation
from earwitness.models.adapter import shown_name
from earwitness.models.network import weights_sha256
from earwitness.models.protocols import Explainable, ExplainableFrontEnd
from earwitness.trust.metrics.reinitialise import BLOCKS, blocks_of, redraw, restore, settle
from earwitness.trust.metrics.similarity import ssim

FORMAT, FORMAT_VERSION = "earwitness-randomisation", 1
# A map has not changed when its likeness to the original lies nearer to 1 than to the likeness of different segments'
# maps; nor when it is above this whatever those do (a map that is always the same is not excused by being so).
MOST = 0.9


@dataclass(frozen=True)
class Likeness:
    """How alike maps are, each a mean over segments.

    Parameters
    ----------
    signed
        Rank correlation of the maps; this one is judged by.
    absolute
        Rank correlation of their absolute values. Methods that multiply with the input keep its outline, whatever the
        network: it says how alike two maps *look*.
    ssim
        Structural similarity of the absolute values, each map scaled to its largest cell.
    """

    signed: float
    absolute: float
    ssim: float


@dataclass(frozen=True)
class Step:
    """One block of layers.

    Parameters
    ----------
    layers
        Dotted names of the layers with weights, as their network's owner knows them.
    cascade
        Likeness to the original with these layers and all above redrawn.
    alone
        With only these redrawn, or None where that was not asked for.
    constant
        Share of the cascade's maps that tell no cell from another, and so count as like nothing.
    """

    layers: tuple[str, ...]
    cascade: Likeness
    alone: Likeness | None
    constant: float

    @property
    def label(self) -> str:
        """The layers in a few words."""
        return self.layers[0] if len(self.layers) == 1 else f"{self.layers[0]} to {self.layers[-1]}"


@dataclass(frozen=True, kw_only=True)
class Randomisation:
    """What randomised weights do to a method's maps of one classifier.

    Parameters
    ----------
    method
        The method, as :func:`earwitness.explainers.registry.parse` reads it.
    weights
        SHA-256 of the classifier's weights.
    segments
        How many segments were explained.
    counted
        How many of them had a map at all; the others are left out of every mean.
    seed
        Of the new weights.
    between
        Likeness of the original maps of different segments (0 where there is only one).
    steps
        Blocks of layers, the last layer's first.
    forwards, backwards
        Network evaluations that the test took.
    """

    method: str
    weights: str
    segments: int
    counted: int
    seed: int
    between: Likeness
    steps: tuple[Step, ...]
    forwards: int = 0
    backwards: int = 0

    @property
    def kept(self) -> float:
        """What stays of the map: the signed likeness, mean over the cascade."""
        return float(np.mean([step.cascade.signed for step in self.steps])) if self.steps else 0.0

    @property
    def limit(self) -> float:
        """The likeness from which on a map counts as unchanged: half-way from different segments' maps to 1."""
        return min(MOST, (1 + max(0.0, self.between.signed)) / 2)

    @property
    def changes(self) -> bool:
        """Whether the map changes with the network's weights."""
        return self.counted > 0 and self.kept < self.limit

    @property
    def follows_class(self) -> bool:
        """Whether the map changes with the last layer, which alone tells one class from another."""
        return bool(self.counted and self.steps) and self.steps[0].cascade.signed < MOST

    @property
    def explains(self) -> bool:
        """Whether the maps can explain the model, as far as this test tells."""
        return self.changes and self.follows_class

    @property
    def reason(self) -> str:
        """One plain sentence with the figures."""
        if not self.counted:
            return "none of its maps tells one cell from another"
        figures = f"{self.kept:.2f} of 1 stays, {self.limit:.2f} is the limit"
        if not self.changes:
            return f"its maps hardly change when the network's weights are made random ({figures})"
        if not self.follows_class:
            share = self.steps[0].cascade.signed
            return f"its maps hardly change when the last layer is made random ({share:.2f} of 1 stays)"
        return f"its maps change when the network's weights are made random ({figures})"

    def save(self, path: Path | str) -> None:
        """Write JSON, with the judgement beside the figures."""
        judged = {"kept": self.kept, "limit": self.limit, "explains": self.explains, "reason": self.reason}
        write_json(path, {"format": FORMAT, "version": FORMAT_VERSION, **asdict(self), "judged": judged})

    @classmethod
    def load(cls, path: Path | str) -> Randomisation:
        """Read what :meth:`save` wrote.

        Raises
        ------
        EarwitnessError
            If the file is missing, damaged, or something else.
        """
        found = read_json(path)
        try:
            if found.pop("format") != FORMAT or found.pop("version") != FORMAT_VERSION:
                raise ValueError("another format or version")
            found.pop("judged")
            steps = tuple(_step(**step) for step in found.pop("steps"))
            return cls(**found | {"between": Likeness(**found["between"]), "steps": steps})
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            advice = "remove it, and it is measured again"
            raise EarwitnessError(f"{printable(path)}: is not a randomisation test ({problem}); {advice}") from problem


def _step(layers: list[str], cascade: dict[str, float], alone: dict[str, float] | None, constant: float) -> Step:
    return Step(tuple(layers), Likeness(**cascade), Likeness(**alone) if alone else None, constant)


# ---- the test -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Stand:
    """A network that is explained in place of a classifier's own."""

    network: nn.Module
    front_end: ExplainableFrontEnd
    classes: tuple[str, ...]
    activation: str
    device: torch.device | str


def randomisation(
    classifier: Explainable,
    explainer: Explainer,
    segments: Segments,
    targets: Sequence[Target],
    *,
    seed: int = 0,
    blocks: int = BLOCKS,
    alone: bool = True,
    progress: Progress = NO_PROGRESS,
) -> Randomisation:
    """Measure what becomes of a method's maps when the network's weights are made random.

    New weights have the size of the trained ones (:func:`earwitness.trust.metrics.reinitialise.redraw`); batch norms
    with new weights take their statistics from the segments. The classifier's own network is not touched.

    Parameters
    ----------
    classifier, explainer
        Whose maps. For a costly method :meth:`earwitness.explainers.method.Explainer.quick` gives a cheaper setting.
    segments
        A handful, of different sounds: the method is applied to all of them 1 + 2 ``blocks`` times.
    targets
        What to explain of each.
    seed
        Of the new weights.
    blocks
        At most so many blocks of layers, in the order in which they run; the last layer is one of its own.
    alone
        Whether each block is also redrawn alone (half of the cost).
    progress
        Told how far the work has come.

    Raises
    ------
    UsageError
        If there is not one target a segment, or no segment, or the network has no weights.
    """
    if not len(segments):
        raise UsageError("no segments to explain with random weights; give a handful")
    listed = [[target] for target in targets]
    device, work = classifier.device, copy.deepcopy(classifier.network)
    stand = Stand(
        network=work,
        front_end=classifier.front_end,
        classes=classifier.classes,
        activation=classifier.activation,
        device=device,
    )
    inputs = network_input(classifier, segments)
    order = blocks_of(classifier, segments, blocks)[::-1]
    spent: list[tuple[int, int]] = []

    with progress.task(f"{explainer.title} with random weights", 1 + (1 + alone) * len(order)) as advance:

        def explain(model: Explainable) -> list[Float32Array]:
            found = explainer.attribute(model, segments, listed)
            advance(1)
            spent.append((sum(one.forwards for one in found), sum(one.backwards for one in found)))
            return [one.values[: one.real_frames] for one in found]

        original = explain(classifier)
        own = [_redrawn_alone(classifier, stand, order, at, inputs, seed, explain) for at in range(alone * len(order))]
        cascade = []
        for at, names in enumerate(order):
            redraw(work, names, np.random.default_rng([seed, at]))
            settle(work, list(itertools.chain(*order[: at + 1])), inputs)
            cascade.append(explain(stand))
    counted = [row for row, one in enumerate(original) if _scaled(one).any()]
    steps = tuple(
        Step(
            tuple(shown_name(classifier.network, each) for each in names),
            _mean(original, cascade[at], [(row, row) for row in counted]),
            _mean(original, own[at], [(row, row) for row in counted]) if alone else None,
            float(np.mean([not _scaled(one).any() for one in cascade[at]])),
        )
        for at, names in enumerate(order)
    )
    between = _mean(original, original, list(itertools.combinations(counted, 2)))
    forwards, backwards = (sum(each) for each in zip(*spent, strict=True))
    weights = weights_sha256(classifier.network)
    return Randomisation(
        method=spec(explainer),
        weights=weights,
        segments=len(segments),
        counted=len(counted),
        seed=seed,
        between=between,
        steps=steps,
        forwards=forwards,
        backwards=backwards,
    )


def _redrawn_alone(
    classifier: Explainable,
    stand: Stand,
    order: list[list[str]],
    at: int,
    inputs: Tensor,
    seed: int,
    explain: Callable[[Explainable], list[Float32Array]],
) -> list[Float32Array]:
    redraw(stand.network, order[at], np.random.default_rng([seed, at]))
    settle(stand.network, order[at], inputs)
    found = explain(stand)
    restore(stand.network, order[at], classifier.network)
    return found


def _scaled(values: Float32Array) -> Float32Array:
    """Return a map's absolute values as share of the largest; zeros where it tells no cell from another."""
    if not values.size or rank_correlation(values, values) == 0:
        return np.zeros_like(values)
    found: Float32Array = np.abs(values) / np.abs(values).max()
    return found


def _mean(first: list[Float32Array], second: list[Float32Array], pairs: list[tuple[int, int]]) -> Likeness:
    """Return the mean likeness of some pairs of maps, over the frames that both have."""
    found = []
    for one, other in pairs:
        frames = min(len(first[one]), len(second[other]))
        a, b = first[one][:frames], second[other][:frames]
        shares = _scaled(a), _scaled(b)
        found.append((rank_correlation(a, b), rank_correlation(*shares), ssim(*shares)))
    return Likeness(*(float(value) for value in np.mean(found, axis=0))) if found else Likeness(0.0, 0.0, 0.0)


# ---- once per classifier and method -------------------------------------------------------------------------------


def kept_randomisation(
    cache: Path,
    classifier: Explainable,
    explainer: Explainer,
    segments: Segments,
    targets: Sequence[Target],
    *,
    seed: int = 0,
    blocks: int = BLOCKS,
    alone: bool = True,
    progress: Progress = NO_PROGRESS,
) -> Randomisation:
    """Return a method's test from a folder; the first time, measure it and keep it there if that can be.

    Costly methods are tested in their :meth:`~earwitness.explainers.method.Explainer.quick` setting, which the result
    names. The file's name holds the weights, the method and its parameters; which segments were used first is not asked
    again. Parameters and errors are those of :func:`randomisation`.
    """
    cheap = explainer.quick()
    text = f"{weights_sha256(classifier.network)} {spec(cheap)} {seed} {blocks} {alone}"
    name = f"randomisation-{cheap.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
    path = cache / name
    if path.is_file():
        return Randomisation.load(path)
    found = randomisation(
        classifier, cheap, segments, targets, seed=seed, blocks=blocks, alone=alone, progress=progress
    )
    # What is kept saves time and nothing else: a run that cannot be written to can be asked all the same.
    with suppress(EarwitnessError):
        found.save(path)
    return found
