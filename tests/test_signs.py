"""Signs: each figure is what it is said to be."""

from __future__ import annotations

import pytest

from earwitness.explainers.attribution import Target
from earwitness.explainers.registry import parse
from earwitness.trust.metrics.faithfulness import faithfulness
from earwitness.trust.metrics.robustness import stability
from earwitness.trust.verdicts.indicators import ORDERS, STEPS, signs
from explain_toys import convolutional, segments

CLASSIFIER = convolutional()
SEGMENTS = segments(2, frames=24, bands=16)
TARGETS = [Target(1), Target(0)]


def maps(text: str, classifier=CLASSIFIER):
    return parse(text).attribute(classifier, SEGMENTS, [[target] for target in TARGETS])


def test_signs_are_what_the_measures_say():
    own = maps("occlusion")
    found = signs(CLASSIFIER, parse("occlusion"), SEGMENTS, own, None)
    faithful = faithfulness(CLASSIFIER, SEGMENTS, own, steps=STEPS, orders=ORDERS)
    stable = stability(CLASSIFIER, parse("occlusion"), SEGMENTS, own, seeds=1, noises=1, cheap=True)
    for one, by_curve, by_change in zip(found, faithful, stable, strict=True):
        assert one.probability == by_curve.score
        assert one.depends == by_curve.score - by_curve.hidden_score
        span = max(0.02, abs(one.depends))
        assert one.deletion == pytest.approx((by_curve.deletion.random_mean - by_curve.deletion.area) / span)
        assert one.shift == by_change.shift.value
        assert one.fills == by_change.fills.value
        assert one.seeds is None
        assert one.kept is None
        assert one.explains
        assert one.empty == ""


def test_no_attributions_have_no_signs():
    assert signs(CLASSIFIER, parse("gradcam"), SEGMENTS.take([]), [], None) == []
