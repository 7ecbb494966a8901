"""Why: the explanation methods, one file each, found by name.

>>> from earwitness.explainers.registry import parse
>>> parse("lime:samples=512,grid=8x8").samples
512
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from earwitness.explainers import parameters
from earwitness.explainers.attention.relevance import AttentionRelevance
from earwitness.explainers.attention.rollout import AttentionRollout
from earwitness.explainers.attribution import Attribution, Target
from earwitness.explainers.cam.ablation_cam import AblationCam
from earwitness.explainers.cam.eigen_cam import EigenCam
from earwitness.explainers.cam.eigen_grad_cam import EigenGradCam
from earwitness.explainers.cam.grad_cam import GradCam
from earwitness.explainers.cam.grad_cam_pp import GradCamPlusPlus
from earwitness.explainers.cam.hires_cam import HiResCam
from earwitness.explainers.cam.layer_cam import LayerCam
from earwitness.explainers.cam.score_cam import ScoreCam
from earwitness.explainers.cam.xgrad_cam import XGradCam
from earwitness.explainers.gradient.deeplift import DeepLift
from earwitness.explainers.gradient.fullgrad import FullGrad
from earwitness.explainers.gradient.guided_backprop import GuidedBackprop
from earwitness.explainers.gradient.input_x_gradient import InputXGradient
from earwitness.explainers.gradient.integrated_gradients import IntegratedGradients
from earwitness.explainers.gradient.saliency import Saliency
from earwitness.explainers.gradient.smoothgrad import SmoothGrad
from earwitness.explainers.method import Explainer, Need, check_needs
from earwitness.explainers.parameters import spec
from earwitness.explainers.perturbation.kernel_shap import KernelShap
from earwitness.explainers.perturbation.lime import Lime
from earwitness.explainers.perturbation.occlusion import Occlusion
from earwitness.explainers.perturbation.rise import Rise
from earwitness.explainers.perturbation.shapley import Shapley
from earwitness.models.protocols import Explainable
from earwitness.models.registry import backbone_named

__all__ = [
    "METHODS",
    "Attribution",
    "Explainable",
    "Explainer",
    "Summary",
    "Target",
    "catalogue",
    "parse",
    "spec",
    "without_attention",
]


DEFAULT_METHODS = ("gradcam", "lime", "occlusion")  # the example's

# A new method is one file beside these and one line here.
METHODS: dict[str, type[Explainer]] = {
    "gradcam": GradCam,
    "ablationcam": AblationCam,
    "eigencam": EigenCam,
    "eigengradcam": EigenGradCam,
    "gradcampp": GradCamPlusPlus,
    "hirescam": HiResCam,
    "layercam": LayerCam,
    "scorecam": ScoreCam,
    "xgradcam": XGradCam,
    "rollout": AttentionRollout,
    "attentionrelevance": AttentionRelevance,
    "saliency": Saliency,
    "inputxgradient": InputXGradient,
    "integratedgradients": IntegratedGradients,
    "smoothgrad": SmoothGrad,
    "deeplift": DeepLift,
    "guidedbackprop": GuidedBackprop,
    "fullgrad": FullGrad,
    "lime": Lime,
    "occlusion": Occlusion,
    "rise": Rise,
    "shapley": Shapley,
    "kernelshap": KernelShap,
}


def without_attention() -> tuple[str, ...]:
    """Return the methods that any network with layers can be asked by, those of runs among them."""
    return tuple(name for name, method in METHODS.items() if Need.ATTENTION not in method.needs)


def parse(text: str | Explainer) -> Explainer:
    """Make an explainer from text such as ``"occlusion"`` or ``"lime:samples=512,grid=8x8"``; one that is made stays.

    Raises
    ------
    UsageError
        Naming the unknown method, parameter or value, and the valid ones.
    """
    return text if isinstance(text, Explainer) else parameters.parse(text, METHODS)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a reader of the list of methods wants to know of one.

    Parameters
    ----------
    name, title, paper, cost, assumes, misses, family
        In words; see :class:`Explainer`.
    needs
        What it needs of a network.
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
    needs: tuple[Need, ...]
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
            needs=method.needs,
            parameters=tuple(parameters.described(method)),
        )
        for name, method in METHODS.items()
    ]


def check_methods(methods: Sequence[str], backbone: str | None) -> None:
    """Refuse methods that are wrong, or that need what the backbone does not have, before long work and not after it.

    What a backbone of others (None) has is found out when it is asked.

    Raises
    ------
    UsageError
        Naming what is wrong.
    """
    explainers = [parse(method) for method in methods]
    if backbone is None:
        return
    network = backbone_named(backbone).build(2)
    for explainer in explainers:
        check_needs(explainer, network)
