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


@dataclass(frozen=True)
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
        Backbone("vggish", VGGISH, VGGish, True, True, "scratch", "Hershey et al., ICASSP 2017"),
        Backbone("mn04", EFFICIENTAT, MobileNet, True, False, "compact", "Schmid et al., ICASSP 2023"),
        Backbone("compact", VGGISH, Compact, False, False, "compact", "earwitness"),
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
