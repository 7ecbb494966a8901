"""Models of others as backbones: from a name (SPEC), or a trained run, to a network with a new head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from earwitness.audio.frontend import FrontEnd
from earwitness.core.errors import EarwitnessError, UsageError, printable
from earwitness.models.classifier import Classifier
from earwitness.models.foreign.description import Description
from earwitness.models.foreign.hugging_face import is_folder
from earwitness.models.foreign.identity import origin_of
from earwitness.models.foreign.loading import Opened, open_foreign
from earwitness.models.foreign.reading import described
from earwitness.models.foreign.reference import check_unchanged, check_weights
from earwitness.models.foreign.runtimes import is_opaque
from earwitness.models.headed import Headed
from earwitness.models.origin import Origin

# An embedding of so many numbers and fewer is rare, and classes are often more than a hundred.
FEW = 32
NEAR_ONE = 1e-4  # of a sum of probabilities in float32


@dataclass(frozen=True, kw_only=True)
class ForeignBackbone:
    """A model of others in the place of a line of the registry.

    Parameters
    ----------
    opened
        The model.
    embedding
        How many numbers it answers.
    origin
        Where it comes from.
    probabilities
        Whether what it answers to silence adds up to 1, as a softmax's answers do.
    """

    opened: Opened
    embedding: int
    origin: Origin
    probabilities: bool = False

    @property
    def name(self) -> str:
        """What its users call it."""
        return Path(self.opened.spec).name

    @property
    def front_end(self) -> FrontEnd:
        """What turns sound into its segments."""
        return self.opened.front_end

    @property
    def segment_frames(self) -> int:
        """Frames of a segment, as it was described."""
        return self.opened.known.frames()

    @property
    def segment_samples(self) -> int:
        """Samples of a segment where it takes waveforms, else 0."""
        return self.opened.samples

    @property
    def can_learn(self) -> bool:
        """Whether its layers have weights that can learn."""
        return not is_opaque(self.opened.coat) and any(each.requires_grad for each in self.opened.coat.parameters())

    def check_embedding(self, classes: int) -> None:
        """Refuse to learn a number of classes from what is obviously class scores, unless its description says to.

        Raises
        ------
        UsageError
            The model names a class for each number, its numbers are probabilities, or they are few and no more than
            the classes.
        """
        if self.opened.known.embedding or is_folder(Path(self.opened.spec)):  # whose own head is off
            return
        count, named = self.embedding, len(self.opened.class_names())
        if count == named:
            why = f"and {named} names of classes come with it"
        elif self.probabilities:
            why = "which are probabilities, for they add up to 1"
        elif count <= min(classes, FEW):
            why = f"for {classes} classes to learn"
        else:
            return
        raise UsageError(
            f"{printable(self.opened.spec)}: answers {count} numbers, {why}: class scores, not an embedding; name "
            "another output, or a model that ends before its classifier, or write embedding = true in its description "
            "to learn from them all the same"
        )

    def build(self, classes: int, *, frozen: bool) -> Headed:
        """Return the network under a new head for a number of classes."""
        return Headed(self.opened.coat, self.embedding, classes, frozen=frozen)


def load_backbone(
    spec: str,
    description: Path | Mapping[str, Any] | Description | None = None,
    device: torch.device | str = "cpu",
) -> ForeignBackbone:
    """Return a model of others that answers an embedding.

    Parameters
    ----------
    spec, description, device
        As for :func:`earwitness.models.foreign.loading.load_foreign`.

    Raises
    ------
    UsageError
        There is no such model or description, they do not fit each other, or it answers something else than (n, d).
    EarwitnessError
        The file is damaged, or the user's code fails.
    """
    opened = open_foreign(spec, torch.device(device), description, embedding=True)
    answer = opened.answers("embedding")
    return ForeignBackbone(
        opened=opened,
        embedding=answer.shape[1],
        origin=origin_of(spec, opened.runnable.network, opened.known),
        probabilities=bool((answer >= 0).all()) and abs(float(answer.sum()) - 1) < NEAR_ONE,
    )


def headed_again(stored: Mapping[str, Any], run: Path) -> Classifier:
    """Return a classifier without its weights from the metadata of a model file, with its backbone loaded again.

    Raises
    ------
    EarwitnessError
        The backbone has gone missing or changed.
    KeyError, TypeError, ValueError
        The metadata are damaged.
    """
    origin, frozen = Origin.from_dict(stored["origin"]), bool(stored["frozen"])
    check_unchanged(origin, run)
    backbone = load_backbone(origin.spec, described(origin.description))
    if frozen:
        check_weights(origin, backbone.origin, run)
    classes = tuple(map(str, stored["classes"]))
    if backbone.embedding != int(stored["embedding"]):
        raise EarwitnessError(
            f"{printable(run)}: its backbone {printable(origin.spec)} answers {backbone.embedding} numbers, "
            f"{stored['embedding']} when it was trained; put the old one back, or train again"
        )
    return Classifier(
        network=backbone.build(len(classes), frozen=frozen),
        front_end=backbone.front_end,
        classes=classes,
        backbone=str(stored["backbone"]),
        segment_frames=int(stored["segment_frames"]),
        overlap=float(stored["overlap"]),
        activation=str(stored["activation"]),
        tail=bool(stored["tail"]),
        segment_samples=backbone.segment_samples,
        origin=origin,
    )
