"""The networks that can be put behind a front end. Adding one: a module here and an entry of ``BACKBONES``.

The registry names modules and imports none of them before a network is built, so that the command line knows all
backbones without PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from earwitness.core.errors import UsageError, no_such

if TYPE_CHECKING:
    from earwitness.audio.frontend import FrontEnd
    from earwitness.models.network import Network


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A line of the registry.

    Parameters
    ----------
    name
        What users type.
    network
        The network's class as ``MODULE.CLASS``; the module lies beside this one.
    log_mel
        Name of the front end that the network was made for (:data:`earwitness.audio.frontend.FRONT_ENDS`).
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
    network: str
    log_mel: str
    published: bool
    fixed_length: bool
    scratch: str
    source: str

    @property
    def front_end(self) -> FrontEnd:
        """The log-mel that the network was made for."""
        from earwitness.audio.frontend import FRONT_ENDS

        return FRONT_ENDS[self.log_mel]

    def build(self, classes: int) -> Network:
        """Make the network with random weights for a number of classes."""
        module, _, name = self.network.partition(".")
        made: Network = getattr(import_module(f"earwitness.models.{module}"), name)(classes)
        return made


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        Backbone(
            name="vggish",
            network="vggish.VGGish",
            log_mel="vggish",
            published=True,
            fixed_length=True,
            scratch="scratch",
            source="Hershey et al., ICASSP 2017",
        ),
        Backbone(
            name="mn04",
            network="mobilenet.MobileNet",
            log_mel="efficientat",
            published=True,
            fixed_length=False,
            scratch="compact",
            source="Schmid et al., ICASSP 2023",
        ),
        Backbone(
            name="compact",
            network="compact.Compact",
            log_mel="vggish",
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


def highest_frequencies() -> dict[float, str]:
    """Return the highest frequencies (Hz) that networks use, the highest first, and whose they are."""
    edges = {name: backbone.front_end.high_hz for name, backbone in BACKBONES.items()}
    return {
        edge: " and ".join(name for name in edges if edges[name] == edge)
        for edge in sorted(set(edges.values()), reverse=True)
    }
