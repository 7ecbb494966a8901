"""Infidelity, through Captum.

Yeh, Hsieh, Suggala, Inouye & Ravikumar, *On the (In)fidelity and Sensitivity of Explanations*, NeurIPS 2019.
"""

from __future__ import annotations

import torch

from earwitness.core.arrays import Float64Array


def infidelity(sums: Float64Array, falls: Float64Array, *, scaled: bool = True) -> float:
    """Return the infidelity of a map whose perturbations have been scored (definition 2.1).

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
