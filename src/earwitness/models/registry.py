"""The networks that can be put behind a front end. Adding one: a module here and a line in ``BACKBONES``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from earwitness.audio.frontend import EFFICIENTAT, VGGISH, FrontEnd
from earwitness.core.errors import UsageError, no_such
from earwitness.models.compact import Compact
from earwitness.models.mobilenet import MobileNet
from earwitness.models.network import Network
from earwitness.models.vggish import VGGish


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A line of the registry.

    Parameters
    ----------
    name
        What users type.
    front_end
        The log-mel that the network was made for.
    build
        Makes the network with random weights for a number of classes.
    published
        Whether published weights exist for it.
    fixed_length
        Whether segments must have the front end's ``segment_frames``.
    scratch
        Name of the recipe that trains it from random weights.
    source
        Paper or project.
    """

    name: str
    front_end: FrontEnd
    build: Callable[[int], Network]
    published: bool
    fixed_length: bool
    scratch: str
    source: str


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        Backbone(
            name="vggish",
            front_end=VGGISH,
            build=VGGish,
            published=True,
            fixed_length=True,
            scratch="scratch",
            source="Hershey et al., ICASSP 2017",
        ),
        Backbone(
            name="mn04",
            front_end=EFFICIENTAT,
            build=MobileNet,
            published=True,
            fixed_length=False,
            scratch="compact",
            source="Schmid et al., ICASSP 2023",
        ),
        Backbone(
            name="compact",
            front_end=VGGISH,
            build=Compact,
            published=False,
            fixed_length=False,
            scratch="compact",
            source="earwitness",
        ),
    )
}


def backbone_named(name: str) -> Backbone:
    """Return a registry line.

    Raises
    ------
    UsageError
        There is no such backbone.
    """
    if name not in BACKBONES:
        raise UsageError(no_such(name, "backbone", BACKBONES))
    return BACKBONES[name]
