"""The panel: maps are held against methods that do not err alike, and these are asked once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from earwitness.core.run_folder import RunFolder
from earwitness.explainers.attribution import Target
from earwitness.explainers.registry import parse
from earwitness.trust.metrics.consensus import Panel, coarse
from earwitness.trust.metrics.similarity import correlation
from earwitness.trust.verdicts.assess import all_judged, judged
from explain_toys import convolutional, linear, segments

CLASSIFIER = convolutional()
SEGMENTS = segments(2, frames=24, bands=16)
TARGETS = [Target(1), Target(0)]


def agreements(classifier, explainer, segments, attributions):
    return Panel(classifier, segments, attributions).agreements(explainer, attributions)


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


REFERENCES = ("gradcam", "layercam", "occlusion", "lime:samples=129,design=hadamard")


@pytest.mark.parametrize("name", ["saliency", "gradcam", "lime", "occlusion"])
def test_a_map_agrees_with_the_mean_of_the_other_methods_maps(name):
    own = maps(name)
    others = [maps(text) for text in REFERENCES if not text.startswith(name)]
    for row, (one, found) in enumerate(zip(own, agreements(CLASSIFIER, parse(name), SEGMENTS, own), strict=True)):
        mean = sum(stats.zscore(coarse(other[row].values), axis=None) for other in others)
        assert found == pytest.approx(correlation(coarse(one.values), mean), abs=1e-6)


def test_a_network_without_a_layer_to_look_at_is_held_against_the_other_methods():
    classifier = linear(24, 16, 4)
    found = agreements(classifier, parse("saliency"), SEGMENTS, maps("saliency", classifier))
    assert all(value is not None and -1 <= value <= 1 for value in found)


def test_references_are_explained_once_for_all_methods(monkeypatch):
    asked = []
    occlusion = type(parse("occlusion"))
    attribute = occlusion.attribute

    def counted(self, *arguments, **named):
        asked.append(self)
        return attribute(self, *arguments, **named)

    monkeypatch.setattr(occlusion, "attribute", counted)
    own = maps("saliency")
    panel = Panel(CLASSIFIER, SEGMENTS, own)
    for name in ("saliency", "inputxgradient", "gradcam"):
        panel.agreements(parse(name), maps(name))
    assert len(asked) == 1


def test_methods_judged_together_get_the_verdicts_that_they_get_alone(tmp_path):
    methods = [parse("saliency"), parse("gradcam")]
    found = [maps("saliency"), maps("gradcam")]
    together = all_judged(RunFolder(tmp_path), CLASSIFIER, methods, SEGMENTS, found, None)
    alone = [judged(CLASSIFIER, method, SEGMENTS, listed, None) for method, listed in zip(methods, found, strict=True)]
    assert [[one.verdict for one in listed] for listed in together] == [
        [one.verdict for one in listed] for listed in alone
    ]
    assert all(one.verdict for listed in together for one in listed)
