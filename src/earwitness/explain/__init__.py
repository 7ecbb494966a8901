"""Why: the explanation methods, one file each, found by name.

>>> from earwitness.explain import parse
>>> parse("lime:samples=512,grid=8x8").samples
512
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from earwitness.explain import parameters
from earwitness.explain.ablationcam import AblationCam
from earwitness.explain.attribution import Attribution, Target
from earwitness.explain.deeplift import DeepLift
from earwitness.explain.eigencam import EigenCam
from earwitness.explain.gradcam import GradCam
from earwitness.explain.gradcampp import GradCamPlusPlus
from earwitness.explain.guidedbackprop import GuidedBackprop
from earwitness.explain.hirescam import HiResCam
from earwitness.explain.inputxgradient import InputXGradient
from earwitness.explain.integratedgradients import IntegratedGradients
from earwitness.explain.kernelshap import KernelShap
from earwitness.explain.layercam import LayerCam
from earwitness.explain.lime import Lime
from earwitness.explain.model import Explainable
from earwitness.explain.occlusion import Occlusion
from earwitness.explain.parameters import spec
from earwitness.explain.rise import Rise
from earwitness.explain.saliency import Saliency
from earwitness.explain.scorecam import ScoreCam
from earwitness.explain.shapley import Shapley
from earwitness.explain.smoothgrad import SmoothGrad
from earwitness.explain.xgradcam import XGradCam
from earwitness.progress import Progress
from earwitness.segments import Segments

__all__ = [
    "FAMILIES",
    "METHODS",
    "Attribution",
    "Explainable",
    "Explainer",
    "Summary",
    "Target",
    "catalogue",
    "parse",
    "spec",
]


class Explainer(Protocol):
    """An explanation method: a frozen dataclass whose fields are its parameters.

    The words are phrases without a full stop, for lists of methods: ``cost`` counts passes, ``assumes`` is what has to
    be true for the map to mean something, ``misses`` what the map cannot show, ``family`` one of :data:`FAMILIES`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    cost: ClassVar[str]
    assumes: ClassVar[str]
    misses: ClassVar[str]
    family: ClassVar[str]

    def attribute(
        self,
        classifier: Explainable,
        segments: Segments,
        targets: Sequence[Sequence[Target]],
        progress: Progress | None = None,
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
        ...


# Kinds of methods, in the order in which they are told of.
FAMILIES = ("activation maps", "perturbation", "gradients")

# A new method is one file beside these and one line here.
METHODS: dict[str, type[Explainer]] = {
    "gradcam": GradCam,
    "ablationcam": AblationCam,
    "eigencam": EigenCam,
    "gradcampp": GradCamPlusPlus,
    "hirescam": HiResCam,
    "layercam": LayerCam,
    "scorecam": ScoreCam,
    "xgradcam": XGradCam,
    "saliency": Saliency,
    "inputxgradient": InputXGradient,
    "integratedgradients": IntegratedGradients,
    "smoothgrad": SmoothGrad,
    "deeplift": DeepLift,
    "guidedbackprop": GuidedBackprop,
    "lime": Lime,
    "occlusion": Occlusion,
    "rise": Rise,
    "shapley": Shapley,
    "kernelshap": KernelShap,
}


def parse(text: str) -> Explainer:
    """Make an explainer from text such as ``"occlusion"`` or ``"lime:samples=512,grid=8x8"``.

    Raises
    ------
    UsageError
        Naming the unknown method, parameter or value, and the valid ones.
    """
    return parameters.parse(text, METHODS)


@dataclass(frozen=True)
class Summary:
    """What a reader of the list of methods wants to know of one.

    Parameters
    ----------
    name, title, paper, cost, assumes, misses, family
        In words; see :class:`Explainer`.
    parameters
        Name, default and one sentence of help of each.
    """

    name: str
    title: str
    paper: str
    cost: str
    assumes: str
    misses: str
    family: str
    parameters: tuple[tuple[str, str, str], ...]


def catalogue() -> list[Summary]:
    """Return a summary of every method."""
    return [
        Summary(
            name=name,
            title=method.title,
            paper=method.paper,
            cost=method.cost,
            assumes=method.assumes,
            misses=method.misses,
            family=method.family,
            parameters=tuple(parameters.described(method)),
        )
        for name, method in METHODS.items()
    ]
