"""Infidelity and max-sensitivity, through Captum.

Yeh, Hsieh, Suggala, Inouye & Ravikumar, *On the (In)fidelity and Sensitivity of Explanations*, NeurIPS 2019.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from earwitness.audio.segments import Segments
from earwitness.core.arrays import Float64Array
from earwitness.core.device import to_numpy
from earwitness.core.errors import UsageError
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers.attribution import Target
from earwitness.explainers.inference.prepared import prepare
from earwitness.explainers.method import Explainer, check_request
from earwitness.models.protocols import Explainable
from earwitness.trust.metrics.curves import Draws


def infidelity(sums: Float64Array, falls: Float64Array, *, scaled: bool = True) -> float:
    """Return the infidelity of a map whose perturbations have been heard (definition 2.1).

    A perturbation hides cells, so its product with the map is the map's sum over these cells, and the score's fall is
    known from the pass that was made anyway: Captum gets both and does its arithmetic without a network.

    Parameters
    ----------
    sums
        Shape (perturbations,): the map's sum over the hidden cells of each.
    falls
        Shape (perturbations,): how far the score fell.
    scaled
        Whether the map is first multiplied by what makes the infidelity smallest, as the paper does where it compares
        methods (section 4), because maps come in different units.
    """
    from captum.metrics import infidelity as measured  # takes a second to import

    origin = torch.zeros(1, 1, dtype=torch.float64)
    perturbations, moved = (torch.as_tensor(each, dtype=torch.float64)[:, None] for each in (sums, -falls))
    found = measured(
        lambda at: at[:, 0],
        lambda _repeated: (perturbations, moved),
        origin,
        torch.ones_like(origin),
        n_perturb_samples=len(sums),
        normalize=scaled,
    )
    return max(0.0, float(found[0]))


def max_sensitivity(
    classifier: Explainable,
    explainer: Explainer,
    segments: Segments,
    targets: Sequence[Target],
    *,
    radius: float = 0.02,
    samples: int = 10,
    seed: int = 0,
    progress: Progress = NO_PROGRESS,
) -> list[float]:
    """Return by how much, at most, each map moves when the segment's real cells move a little (definition 2.2).

    Cells move by uniform draws of up to ``radius`` times the range of the segment's real cells. The result is the
    largest distance between a moved map and the segment's own, as share of the latter's length (Frobenius norms); a
    map of zeros counts as of length 1, as Captum has it. Of a segment without range no cell moves.

    Parameters
    ----------
    classifier
        What made the decisions.
    explainer
        The method; it explains ``samples + 1`` segments for each.
    segments
        The excerpts.
    targets
        One per segment.
    radius
        Share of the range.
    samples
        Draws.
    seed
        Of the draws, which depend on it and on the segment's own cells alone.
    progress
        Told how far the work has come.

    Raises
    ------
    UsageError
        If there is not one target per segment, or a number does not do.
    EarwitnessError
        If the network's score is not a number.
    """
    check_request(classifier, segments, [[target] for target in targets])
    if samples < 1 or not radius > 0:
        raise UsageError(f"max-sensitivity: samples={samples}, radius={radius} do not do; use 1 or more, and above 0")
    found, prepared = [], prepare(classifier)
    with progress.task("Max-sensitivity", len(segments)) as advance:
        for row, target in enumerate(targets):
            found.append(_sensitivity(prepared, explainer, segments.take([row]), target, radius, samples, seed))
            advance(1)
    return found


def _sensitivity(
    classifier: Explainable,
    explainer: Explainer,
    one: Segments,
    target: Target,
    radius: float,
    samples: int,
    seed: int,
) -> float:
    from captum.metrics import sensitivity_max

    real = int(one.real_frames[0])

    def explained(inputs: tuple[Tensor, ...] | Tensor) -> tuple[Tensor]:
        values = to_numpy(inputs[0] if isinstance(inputs, tuple) else inputs)
        base = one.take([0] * len(values))
        moved = Segments(values, base.start_frames, base.real_frames, base.files)
        maps = explainer.attribute(classifier, moved, [[target]] * len(values))
        return (torch.as_tensor(np.stack([each.values for each in maps]), dtype=torch.float64),)

    def moved(repeated: Tensor) -> Tensor:
        heard = one.values[0, :real]
        reach = radius * float(np.ptp(heard)) if heard.size else 0.0
        generator = Draws.of(one.values[0], seed).generator(3)
        shift = torch.as_tensor(generator.uniform(-reach, reach, tuple(repeated.shape)), dtype=repeated.dtype)
        shift[:, real:] = 0
        return repeated + shift

    start = torch.as_tensor(one.values)
    return float(sensitivity_max(explained, start, moved, n_perturb_samples=samples)[0])
