"""What a training begins with: an untrained classifier, of a backbone of ours or of others, and its weights."""

from __future__ import annotations

from typing import Any

import torch

from earwitness.core.errors import printable
from earwitness.models.classifier import Classifier
from earwitness.models.foreign.backbone import ForeignBackbone
from earwitness.models.mobilenet import MobileNet
from earwitness.models.vggish import initialise_he
from earwitness.models.weights import fill
from earwitness.training.request import TrainingPlan


def build(plan: TrainingPlan, classes: tuple[str, ...]) -> Classifier:
    """Return the untrained classifier of a plan: published or random weights below, a new last layer on top.

    It is on the CPU, and holds nothing of the plan's file of weights but the numbers.

    Raises
    ------
    UsageError
        A backbone of others answers class scores.
    EarwitnessError
        The file of weights is not this network's.
    """
    if isinstance(plan.backbone, ForeignBackbone):
        return _over_others(plan, plan.backbone, classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.request.seed)
        network = plan.backbone.build(len(classes))
    if plan.weights is None:
        initialise_he(network, plan.request.seed)
    else:
        fill(network, plan.backbone.name, plan.weights)
        if isinstance(network, MobileNet):
            network.repeats.fill_(plan.recipe.repeats)
    return Classifier(
        network=network,
        front_end=plan.backbone.front_end,
        classes=classes,
        backbone=plan.backbone.name,
        segment_frames=plan.segment_frames,
        overlap=plan.request.overlap,
        tail=plan.recipe.tail,
    )


def _over_others(plan: TrainingPlan, backbone: ForeignBackbone, classes: tuple[str, ...]) -> Classifier:
    """Return the untrained classifier of a plan over a model that others trained."""
    backbone.check_embedding(len(classes))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.request.seed)
        network = backbone.build(len(classes), frozen=plan.request.freeze)
    return Classifier(
        network=network,
        front_end=backbone.front_end,
        classes=classes,
        backbone=backbone.name,
        segment_frames=plan.segment_frames,
        overlap=plan.request.overlap,
        tail=plan.recipe.tail,
        segment_samples=backbone.segment_samples,
        origin=backbone.origin,
    )


def begun_with(plan: TrainingPlan) -> dict[str, Any]:
    """Return what ``run.json`` says of the weights that a training begins with."""
    if isinstance(plan.backbone, ForeignBackbone):
        origin = plan.backbone.origin
        return {
            "weights": {"source": printable(origin.path or origin.spec), "sha256": origin.sha256 or None},
            "origin": origin.as_dict(),
            "segment_seconds": round(plan.segment_frames * plan.backbone.front_end.clock.frame_seconds, 6),
        }
    source = "random" if plan.weights is None else printable(plan.weights.path.resolve())
    return {"weights": {"source": source, "sha256": None if plan.weights is None else plan.weights.sha256}}
