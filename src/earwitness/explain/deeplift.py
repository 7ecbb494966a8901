"""DeepLIFT: Shrikumar et al., *Learning Important Features Through Propagating Activation Differences*, ICML 2017."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from earwitness.errors import UsageError
from earwitness.explain.gradients import Batch, GradientMethod, Measured, quiet
from earwitness.explain.model import Explainable, logits_of, parts
from earwitness.explain.passes import calls_of
from earwitness.explain.reference import reference_parameter

# Activations that work number by number, to which the rescale rule applies, beyond those that Captum knows.
FURTHER = (nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.ReLU6, nn.SiLU, nn.GELU, nn.Mish, nn.SELU, nn.CELU)

# Captum's rules for these take something from all rows of a batch, or from the first.
MIXING = (nn.Softmax, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


@dataclass(frozen=True)
class DeepLift(GradientMethod):
    """DeepLIFT (rescale rule): each activation passes on its change from silence instead of its gradient.

    Activations have to be modules, each used once in a pass. Products of two signals (mn04's excitation) and functions
    such as the maximum over a map pass ordinary gradients, and Captum's rule for maximum pooling is not exact, so there
    the map need not add up to the difference of the two scores; ``diagnostics["gap"]`` says what it misses, and the
    flag ``"not converged"`` is raised where that is more than a thousandth of the map's absolute sum. No setting makes
    it less. Parameters beside ``score``, for which see :class:`~earwitness.explain.gradients.GradientMethod`:

    Parameters
    ----------
    fill
        What the segment is compared with.
    """

    name: ClassVar[str] = "deeplift"
    title: ClassVar[str] = "DeepLIFT"
    paper: ClassVar[str] = "Shrikumar et al., ICML 2017"
    cost: ClassVar[str] = "2 forwards and 1 backward of both per target, and 2 forwards more"
    assumes: ClassVar[str] = "each activation's change from silence can be handed down in proportion, layer by layer"
    misses: ClassVar[str] = (
        "products of two signals, such as mn04's excitation: there the map does not add up, and `gap` tells by how much"
    )

    fill: str | float = reference_parameter()

    def together(self, classifier: Explainable, frames: int, bands: int) -> int:
        """Return how many segments make a batch, half as many as for others: each comes with its reference.

        One where a softmax or a maximum pooling is met, because Captum's rules for them mix the segments of a batch.
        """
        softmax = self.score == "probability" and classifier.activation == "softmax"
        mixed = softmax or any(isinstance(module, MIXING) for module in parts(classifier.network))
        return 1 if mixed else max(1, super().together(classifier, frames, bands) // 2)

    def measure(self, batch: Batch) -> Measured:
        """Return the maps of a batch, the n-th targets of all segments together."""
        base = batch.references(self.fill)
        scores, reference_scores = self._checked(batch), batch.evaluate(base)
        values = batch.x.repeat(1, batch.weights.shape[1], 1, 1).zero_()
        for position in range(batch.weights.shape[1]):
            rows = [row for row, listed in enumerate(batch.targets) if len(listed) > position]
            values[rows, position] = self._maps(batch.take(rows), base[rows], position)
        forwards = [2 + 2 * len(listed) for listed in batch.targets]
        return Measured(values, scores, forwards, 1, reference_scores, exact=True)

    def _maps(self, batch: Batch, base: Tensor, position: int) -> Tensor:
        """Return the maps of one target a segment, shape (n, frames, bands)."""
        with quiet(), _further_activations() as attr:
            method = attr.DeepLift(_Scored(batch))
            weights = batch.weights[:, position]
            found: Tensor = method.attribute(batch.x.requires_grad_(), baselines=base, additional_forward_args=weights)
        return found.detach()[:, 0]

    def _checked(self, batch: Batch) -> Any:
        """Return the segments' class scores, after a look at how often activations run."""
        with _further_activations(), calls_of(batch.classifier.network, _changed) as calls:
            scores = batch.evaluate(batch.x)
        often = [name for name, count in calls.items() if count > 1]
        if often:
            raise UsageError(
                f"{self.name}: the network uses its activation '{often[0]}' {calls[often[0]]} times in one pass; give "
                "each place a module of its own, or use integratedgradients"
            )
        return scores


class _Scored(nn.Module):
    """A network up to the score that is explained; its activation is a module, so that DeepLIFT finds it."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        # Not registered under the classifier: the network stays whose it is.
        self.network = batch.classifier.network
        self.classifier: Explainable = batch.classifier
        kinds: dict[str, nn.Module] = {"softmax": nn.Softmax(dim=-1), "sigmoid": nn.Sigmoid()}
        self.activation = nn.Identity() if batch.score == "logit" else kinds[batch.classifier.activation]

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Return one score a row, shape (n,), of inputs (n, 1, frames, bands) and weights of classes (n, classes)."""
        scores: Tensor = self.activation(logits_of(self.classifier, x[:, 0]))
        return (scores * weights).sum(dim=-1)


def _changed(module: nn.Module) -> bool:
    from captum.attr._core import deep_lift

    return type(module) in deep_lift.SUPPORTED_NON_LINEAR


@contextmanager
def _further_activations() -> Iterator[Any]:
    """Let Captum's DeepLIFT treat more activations by its rescale rule; yields ``captum.attr``."""
    from captum import attr
    from captum.attr._core import deep_lift

    rules: dict[Any, Any] = deep_lift.SUPPORTED_NON_LINEAR
    fresh = [kind for kind in FURTHER if kind not in rules]
    rules.update(dict.fromkeys(fresh, deep_lift.nonlinear))
    try:
        yield attr
    finally:
        for kind in fresh:
            del rules[kind]
