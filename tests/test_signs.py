"""Signs: each figure is what it is said to be, and agreement is between methods that do not err alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.explain import Target, parse
from earwitness.trust.faithfulness import faithfulness
from earwitness.trust.signs import ORDERS, STEPS, agreements, coarse, signs
from earwitness.trust.similarity import rank_correlation
from earwitness.trust.stability import stability
from explain_toys import convolutional, linear, segments

CLASSIFIER = convolutional()
SEGMENTS = segments(2, frames=24, bands=16)
TARGETS = [Target(1), Target(0)]


def maps(text: str, classifier=CLASSIFIER):
    return parse(text).attribute(classifier, SEGMENTS, [[target] for target in TARGETS])


@given(frames=st.integers(1, 40), bands=st.integers(1, 40), seed=st.integers(0, 99))
def test_a_coarse_map_holds_the_means_of_its_cells(frames, bands, seed):
    values = np.random.default_rng(seed).normal(size=(frames, bands)).astype(np.float32)
    found = coarse(values)
    assert found.shape == (min(8, frames), min(8, bands))
    rows, columns = (
        np.arange(count + 1) * length // count for count, length in zip(found.shape, values.shape, strict=True)
    )
    for row in range(found.shape[0]):
        for column in range(found.shape[1]):
            cell = values[rows[row] : rows[row + 1], columns[column] : columns[column + 1]]
            assert found[row, column] == pytest.approx(float(cell.mean()), abs=1e-5)


def test_a_map_agrees_with_methods_of_other_families_only():
    own = maps("saliency")
    others = [maps(text) for text in ("gradcam", "occlusion", "lime:samples=129,design=hadamard")]
    by_hand = [
        np.mean([rank_correlation(coarse(one.values), coarse(other[row].values)) for other in others])
        for row, one in enumerate(own)
    ]
    assert agreements(CLASSIFIER, parse("saliency"), SEGMENTS, own) == pytest.approx(by_hand, abs=1e-6)
    cam = maps("hirescam")
    by_hand = [
        np.mean([rank_correlation(coarse(one.values), coarse(other[row].values)) for other in others[1:]])
        for row, one in enumerate(cam)
    ]
    assert agreements(CLASSIFIER, parse("hirescam"), SEGMENTS, cam) == pytest.approx(by_hand, abs=1e-6)


def test_a_network_without_a_layer_to_look_at_is_held_against_the_other_methods():
    classifier = linear(24, 16, 4)
    found = agreements(classifier, parse("saliency"), SEGMENTS, maps("saliency", classifier))
    assert all(value is not None and -1 <= value <= 1 for value in found)


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
        assert one.shift == by_change.shift.rank
        assert one.fills == by_change.fills.rank
        assert one.seeds is None
        assert one.kept is None
        assert one.explains
        assert one.empty == ""


def test_no_attributions_have_no_signs():
    assert signs(CLASSIFIER, parse("gradcam"), SEGMENTS.take([]), [], None) == []
