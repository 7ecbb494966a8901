"""Recipes: everything about a training that is a number."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from earwitness.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Changes made to training segments, drawn anew for every one; all zero means none.

    Parameters
    ----------
    shift
        A segment begins up to half a hop before or after its place on the grid.
    gain_db
        Level changed by up to this much, either way (dB).
    equalise_db
        A random equaliser: gains of up to this much, either way (dB), at 3 to 6 places from the lowest band to the
        highest, joined by straight lines (after Nam, Kim and Park, *FilterAugment*, ICASSP 2022).
    masks
        How many stretches of time, and as many of bands, are replaced by the segment's mean (Park et al.,
        *SpecAugment*, Interspeech 2019).
    mask_frames, mask_bands
        The longest stretch.
    """

    shift: bool = False
    gain_db: float = 0.0
    equalise_db: float = 0.0
    masks: int = 0
    mask_frames: int = 16
    mask_bands: int = 8

    @property
    def any(self) -> bool:
        """Whether anything is changed at all."""
        return self.shift or self.gain_db > 0 or self.equalise_db > 0 or self.masks > 0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained. The defaults are those of the MathWorks example.

    Parameters
    ----------
    epochs, batch
        Passes over the training segments, and segments in a mini-batch.
    learning_rate
        Of Adam.
    schedule
        ``"step"`` multiplies the rate by ``drop`` every ``drop_every`` epochs; ``"cosine"`` warms up over the first
        tenth and then falls to nothing.
    backbone_rate
        The pretrained layers' rate, as a fraction of the new layers'.
    weight_decay
        Of AdamW's kind; 0 gives plain Adam.
    label_smoothing
        0 to 1.
    validate_every
        Iterations between validations; there is always one at the end.
    precision
        ``"float32"``, ``"bfloat16"``, or ``"auto"``: bfloat16 where the processor multiplies it natively.
    tf32
        Whether a GPU multiplies in TF32 where the precision is float32: faster and rougher. None leaves what PyTorch
        has been told: by default convolutions do, and other products do not. It holds for the training alone;
        predictions and explanations never use it.
    standardise
        Shift and scale inputs to mean 0 and spread 1 over the training segments (for random weights).
    head_epochs, head_rate
        Passes over the training segments in which the head alone learns, on embeddings computed once, before all
        layers do, and the rate of these passes (Kumar et al., *Fine-Tuning can Distort Pretrained Features and
        Underperform Out-of-Distribution*, ICLR 2022).
    repeats
        How many times in a row a backbone that takes any length sees a short segment.
    judge_seconds
        Length of the segments that the finished classifier judges, where the network takes any length and the user
        names none; 0 keeps that of training.
    tail
        Whether a last segment ends flush with each recording, so that every second is learned from and measured; the
        example leaves a tail that fills no segment out.
    keep_norms
        Leave the batch norms' published means and spreads as they are, so that the network trains as it will be used.
    augmentation
        Changes made to training segments.
    """

    epochs: int = 5
    batch: int = 128
    learning_rate: float = 1e-3
    schedule: str = "step"
    drop: float = 0.5
    drop_every: int = 2
    backbone_rate: float = 1.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    validate_every: int = 50
    precision: str = "float32"
    tf32: bool | None = None
    standardise: bool = False
    head_epochs: int = 0
    head_rate: float = 1e-3
    repeats: int = 1
    judge_seconds: float = 0.0
    keep_norms: bool = False
    tail: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON types; what is left to PyTorch is left out, as it was before one could choose."""
        return {key: value for key, value in asdict(self).items() if key != "tf32" or value is not None}


EXAMPLE = Recipe()
SCRATCH = Recipe(
    tail=True,
    epochs=8,
    batch=64,
    learning_rate=1e-4,
    schedule="cosine",
    precision="auto",
    standardise=True,
    augmentation=Augmentation(shift=True, gain_db=6.0, masks=1),
)
# Batch norm bears ten times the rate, and learns in half the passes.
COMPACT = Recipe(
    tail=True,
    epochs=6,
    batch=32,
    learning_rate=2e-3,
    schedule="cosine",
    precision="auto",
    # Without it scores saturate at 1.00, where hiding a piece changes nothing and maps are blank.
    label_smoothing=0.1,
    standardise=True,
    augmentation=Augmentation(shift=True, gain_db=6.0),
)
BEST = Recipe(
    tail=True,
    epochs=4,
    batch=64,
    learning_rate=3e-4,
    schedule="cosine",
    label_smoothing=0.1,
    head_epochs=12,
    head_rate=3e-3,
    repeats=2,
    judge_seconds=4.96,
    keep_norms=True,
    augmentation=Augmentation(shift=True, gain_db=6.0, equalise_db=6.0, masks=1),
)
# A head alone over the embeddings of a model that others trained. Passes cost next to nothing, and small data sets have
# few batches. The decay predicted folds 3 and 4 of ESC-10 best, over mn04's embeddings.
HEAD = Recipe(tail=True, epochs=60, batch=32, learning_rate=3e-3, schedule="cosine", weight_decay=1.0)
RECIPES = {"example": EXAMPLE, "scratch": SCRATCH, "compact": COMPACT, "best": BEST, "head": HEAD}

CHOICES = {"schedule": ("step", "cosine"), "precision": ("float32", "bfloat16", "auto")}
LEAST = {"epochs": 1, "batch": 1, "drop_every": 1, "validate_every": 1}
NOT_NEGATIVE = ("drop", "backbone_rate", "weight_decay")


def recipe_named(name: str, **changes: Any) -> Recipe:
    """Return a recipe by name, with some of its numbers changed.

    Parameters
    ----------
    name
        A key of ``RECIPES``.
    changes
        Fields of :class:`Recipe`; None leaves the recipe's own number.

    Raises
    ------
    UsageError
        Unknown name, unknown field, or a number out of range.
    """
    if name not in RECIPES:
        raise UsageError(f"--recipe {name}: no such recipe; choose one of {', '.join(RECIPES)}")
    unknown = sorted(changes.keys() - {entry.name for entry in fields(Recipe)})
    if unknown:
        raise UsageError(f"{unknown[0]}: a recipe has no such number")
    recipe = replace(RECIPES[name], **{key: value for key, value in changes.items() if value is not None})
    check(recipe)
    return recipe


def check(recipe: Recipe) -> None:
    """Raise :class:`UsageError`, naming the first field that is out of range."""
    for key, choices in CHOICES.items():
        if getattr(recipe, key) not in choices:
            raise UsageError(f"--{key} {getattr(recipe, key)}: choose one of {', '.join(choices)}")
    for key, least in LEAST.items():
        if getattr(recipe, key) < least:
            raise UsageError(f"--{_flag(key)} {getattr(recipe, key)}: must be at least {least}")
    if not 0.0 < recipe.learning_rate <= 10.0:
        raise UsageError(f"--learning-rate {recipe.learning_rate:g}: must be over 0 and at most 10")
    if not 0.0 <= recipe.label_smoothing < 1.0:
        raise UsageError(f"--label-smoothing {recipe.label_smoothing:g}: must be at least 0 and under 1")
    for key in NOT_NEGATIVE:
        value = getattr(recipe, key)
        if not (math.isfinite(value) and value >= 0.0):
            raise UsageError(f"{key} {value:g}: must be a number of at least 0")


def _flag(key: str) -> str:
    return key.replace("_", "-")
