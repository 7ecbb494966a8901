"""Cheaper settings of costly methods, for checks that apply a method dozens of times."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

from earwitness.explainers.fills import NONE
from earwitness.explainers.method import Explainer

# Samples that suffice for 49 parts (or, for SmoothGrad, for a segment); more parts take more in proportion.
SAMPLES = {"lime": 257, "rise": 513, "shapley": 290, "kernelshap": 290, "smoothgrad": 12}
STEPS = {"integratedgradients": 16}
PARTS = 49


def quick(explainer: Explainer) -> Explainer:
    """Return a method with fewer samples or steps, and without a second fill; as it is where there is nothing to save.

    LIME and RISE take their samples from a balanced design where theirs are drawn by tossing coins. The result's own
    parameters tell what was changed: record :func:`earwitness.explainers.parameters.spec` of it.
    """
    known = {item.name for item in fields(explainer)}
    changed: dict[str, Any] = {}
    fewer = math.ceil(SAMPLES.get(explainer.name, 0) * max(1.0, _parts(explainer) / PARTS))
    if 0 < fewer < getattr(explainer, "samples", 0):
        changed["samples"] = fewer
        if getattr(explainer, "keep", 0.5) == 0.5 and "design" in known:
            changed["design"] = "hadamard"
    if 0 < STEPS.get(explainer.name, 0) < getattr(explainer, "steps", 0):
        changed["steps"] = STEPS[explainer.name]
    if getattr(explainer, "fill2", NONE) != NONE:
        changed["fill2"] = NONE
    return replace(explainer, **changed) if changed else explainer


def _parts(explainer: Any) -> int:
    if getattr(explainer, "parts", "") == "superpixels":
        return int(explainer.features)
    return math.prod(getattr(explainer, "grid", (1, 1)))
