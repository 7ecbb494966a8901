"""What is asked of a training, checked, and completed where it leaves something open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from earwitness.core.device import choose_device
from earwitness.core.errors import UsageError
from earwitness.core.run_folder import no_model_folder
from earwitness.models.foreign.backbone import ForeignBackbone, load_backbone
from earwitness.models.foreign.identity import check_steady
from earwitness.models.foreign.loading import is_foreign
from earwitness.models.registry import BACKBONES, Backbone, backbone_named
from earwitness.models.weights import Resolved, resolve
from earwitness.training.recipes import Augmentation, Recipe, recipe_named

SEGMENT_OVERLAP = 75.0
LONGEST_SEGMENT = 60.0  # seconds
SHORTEST_SEGMENT = 32  # frames: every backbone halves the map five times at most


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of a training.

    Parameters
    ----------
    data
        Folder or CSV of labelled recordings.
    out
        Run folder.
    backbone
        Registry name; or a model of others that answers an embedding, as for :func:`earwitness.load_model`.
    description
        What such a model takes, as a dictionary or a TOML or YAML file; None takes the file beside it.
    weights
        File of weights, ``"none"`` for random ones, None for the published ones.
    recipe
        Name, or ``"auto"``: the example's for published weights, the backbone's own for random ones, ``"head"`` for a
        head alone over a model of others.
    changes
        Numbers that differ from the recipe's, by field name.
    split, fold, fraction
        Kind of split (None chooses by what is known of the recordings), fold to hold out, share to train on.
    seed
        Of everything.
    segment_seconds, overlap
        Length of a segment (None: the front end's) and overlap in percent.
    freeze
        Train the head alone.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` ...
    strict
        Stop at the first recording that cannot be used.
    merge_labels
        Make one class of labels that differ in case, spaces or composition of letters only.
    command
        The command line, for the record.

    Examples
    --------
    >>> import earwitness as ew
    >>> ew.Request(data="sounds", out="runs/first", backbone="mn04", changes={"epochs": 3}).overlap
    75.0
    """

    data: Path | str
    out: Path | str
    backbone: str = "vggish"
    description: Path | str | Mapping[str, Any] | None = None
    weights: str | None = None
    recipe: str = "auto"
    changes: dict[str, Any] | None = None
    split: str | None = None
    fold: str | None = None
    fraction: float = 0.8
    seed: int = 0
    segment_seconds: float | None = None
    overlap: float = SEGMENT_OVERLAP
    freeze: bool = False
    device: str = "auto"
    strict: bool = False
    merge_labels: bool = False
    command: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """A request with everything chosen that it left open; ``notes`` say what the user should know of that.

    The network is trained on segments of ``segment_frames``; the finished classifier judges ``judge_frames``. The file
    of weights was read; its bytes are let go with :meth:`built`.
    """

    request: Request
    backbone: Backbone | ForeignBackbone
    weights: Resolved | None
    recipe: Recipe
    recipe_name: str
    segment_frames: int
    judge_frames: int
    device: torch.device
    notes: tuple[str, ...] = ()

    def built(self) -> TrainingPlan:
        """Return the plan without the bytes of its weights, for when a network has them."""
        return self if self.weights is None else replace(self, weights=replace(self.weights, content=b""))


def make_plan(request: Request) -> TrainingPlan:
    """Check a request and choose what it leaves open; nothing is read but the weights.

    Raises
    ------
    UsageError
        Something in it is wrong.
    """
    if not 0 <= request.seed < 2**63:
        raise UsageError(f"--seed {request.seed}: must be at least 0 and under 2 to the power of 63")
    check_overlap(request.overlap)
    if request.backbone not in BACKBONES and is_foreign(request.backbone):
        return _plan_of_others(request)
    if request.backbone not in BACKBONES and Path(request.backbone).is_dir():
        raise UsageError(no_model_folder(request.backbone))
    if request.description is not None:
        raise UsageError(f"--description: goes with a --backbone that others trained; {request.backbone} is ours")
    backbone = backbone_named(request.backbone)
    weights = resolve(request.backbone, request.weights)
    name = request.recipe
    if name == "auto":
        name = backbone.scratch if weights is None else "example"
    recipe = recipe_named(name, **(request.changes or {}))
    if weights is None:
        # Nothing pretrained is there to be kept or to be spared.
        recipe = replace(recipe, head_epochs=0, keep_norms=False)
    if request.freeze:
        if weights is None:
            raise UsageError(
                "--freeze: random weights cannot be kept as they are; leave out --freeze or --weights none"
            )
        recipe = replace(recipe, augmentation=type(recipe.augmentation)())
    device = choose_device(request.device)
    frames = judged = segment_frames(backbone, request.segment_seconds)
    if recipe.judge_seconds and request.segment_seconds is None and not backbone.fixed_length:
        judged = segment_frames(backbone, recipe.judge_seconds)
    return TrainingPlan(
        request=request,
        backbone=backbone,
        weights=weights,
        recipe=recipe,
        recipe_name=name,
        segment_frames=frames,
        judge_frames=judged,
        device=device,
        notes=_of_tf32(recipe, device),
    )


def _plan_of_others(request: Request) -> TrainingPlan:
    """Check a request to train on a model that others trained, and load that, its random weights by the seed."""
    if request.weights is not None:
        raise UsageError(f"--weights {request.weights}: {request.backbone} has its own weights; leave them out")
    if request.segment_seconds is not None:
        raise UsageError(f"--segment {request.segment_seconds:g}: its description says how long a segment is")
    device, given = choose_device(request.device), request.description
    known = given if isinstance(given, Mapping | None) else Path(given)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.seed)
        backbone = load_backbone(request.backbone, known, device)
    frozen = request.freeze or not backbone.can_learn
    if frozen:
        check_steady(backbone.origin)
    name = request.recipe if request.recipe != "auto" else "head" if frozen else "example"
    # What its description says of the input is what it expects.
    recipe = replace(recipe_named(name, **(request.changes or {})), standardise=False)
    notes = []
    if frozen:
        why = "" if request.freeze else ", for its layers cannot learn"
        notes.append(
            f"{backbone.name}: a head over its {backbone.embedding} numbers learns alone{why}; they are computed once "
            "for each segment, without augmentation"
        )
    elif backbone.segment_samples and recipe.augmentation.any:
        notes.append(f"{backbone.name}: learns without augmentation, which is made for spectrograms")
    if frozen or backbone.segment_samples:
        recipe = replace(recipe, augmentation=Augmentation())
    return TrainingPlan(
        request=replace(request, freeze=frozen),
        backbone=backbone,
        weights=None,
        recipe=recipe,
        recipe_name=name,
        segment_frames=backbone.segment_frames,
        judge_frames=backbone.segment_frames,
        device=device,
        notes=(*notes, *_of_tf32(recipe, device)),
    )


def _of_tf32(recipe: Recipe, device: torch.device) -> tuple[str, ...]:
    """Return what to say where TF32 is asked for and there is none."""
    if not recipe.tf32 or device.type == "cuda":
        return ()
    return (f"--tf32 changes nothing: TF32 is CUDA's, and this training runs on {device.type}",)


def segment_frames(backbone: Backbone, seconds: float | None) -> int:
    """Return the frames of a segment of so many seconds, or of the backbone's own length.

    Raises
    ------
    UsageError
        The backbone cannot take such a segment.
    """
    own = backbone.front_end.segment_frames
    if seconds is None:
        return own
    frames = backbone.front_end.clock.seconds_to_frame_count(check_seconds(seconds))
    if backbone.fixed_length and frames != own:
        length = own * backbone.front_end.clock.frame_seconds
        raise UsageError(f"--segment {seconds:g}: {backbone.name} takes segments of {length:g} s only")
    if frames < SHORTEST_SEGMENT:
        raise UsageError(f"--segment {seconds:g}: gives {frames} frames; at least {SHORTEST_SEGMENT} are needed")
    return frames


def check_seconds(seconds: float) -> float:
    """Return the length of a segment, or refuse one that no network is asked about."""
    if not 0.0 < seconds <= LONGEST_SEGMENT:
        raise UsageError(f"--segment {seconds:g}: must be over 0 and at most {LONGEST_SEGMENT:g} seconds")
    return seconds


def check_overlap(overlap: float) -> float:
    """Return an overlap in percent that makes sense, or raise :class:`UsageError`."""
    if not 0.0 <= overlap < 100.0:
        raise UsageError(f"--overlap {overlap:g}: must be at least 0 and under 100 percent")
    return overlap
