"""LIME and Kernel SHAP against Captum's, which are given the very same samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum._utils.models.linear_model import SkLearnLinearRegression
from captum.attr import KernelShap as CaptumKernelShap
from captum.attr import Lime as CaptumLime

from earwitness.explainers.attribution import Grid, Target
from earwitness.explainers.perturbation.kernel_shap import KernelShap, coalitions_by_size
from earwitness.explainers.perturbation.lime import Lime
from earwitness.explainers.perturbation.surrogates import similarity
from explain_toys import convolutional, real, real_segments, segments

# Real networks take their time; on them one kind of score and of sizes will do.
LIMES = [("toy", "logit"), ("toy", "probability"), ("vggish", "logit"), ("mn04", "probability")]
SHAPS = [("toy", "kernel"), ("toy", "even"), ("vggish", "kernel"), ("mn04", "even")]
FILL = -1.0


def problem(name):
    if name == "toy":
        return convolutional(), segments(1)
    return real(name), real_segments(name, 1)


def by_captum(method, classifier, segment, kept, weights, score, target):
    """Captum's coefficients, spread on the segment, from samples and weights in a given order."""
    network = classifier.network
    heard = network if score == "logit" else lambda x: network(x).softmax(-1)
    given = iter(torch.tensor(kept, dtype=torch.float32)[:, None])
    weighed = iter(weights.tolist())
    if method is CaptumLime:
        method = CaptumLime(
            heard,
            interpretable_model=SkLearnLinearRegression(),
            similarity_func=lambda *_args, **_named: next(weighed),
            perturb_func=lambda *_args, **_named: next(given),
        )
    else:
        method = CaptumKernelShap(heard)
        method.perturb_func = lambda *_args, **_named: next(given)
        method.similarity_func = lambda *_args, **_named: next(weighed)
    frames, bands = segment.shape
    labels = Grid.whole(frames, bands, 4, 3).spread(np.arange(12).reshape(4, 3))
    found = method.attribute(
        torch.tensor(segment[None]),
        baselines=FILL,
        target=target,
        feature_mask=torch.tensor(labels[None]),
        n_samples=len(kept),
        perturbations_per_eval=16,
    )
    return found[0].numpy()


@pytest.mark.parametrize(("name", "score"), LIMES)
def test_lime_equals_captum_s_from_the_same_samples(name, score):
    classifier, excerpt = problem(name)
    explainer = Lime(grid=(4, 3), samples=30, fill=FILL, score=score, seed=3)
    (found,) = explainer.attribute(classifier, excerpt, [[Target(2)]])
    kept = explainer.drawn((4, 3)).kept
    expected = by_captum(CaptumLime, classifier, excerpt.values[0], kept, similarity(kept, 0.25), score, 2)
    assert np.abs(expected).max() > 1e-6
    np.testing.assert_allclose(found.values, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(("name", "sizes"), SHAPS)
def test_kernel_shap_equals_captum_s_from_the_same_samples(name, sizes):
    classifier, excerpt = problem(name)
    explainer = KernelShap(grid=(4, 3), samples=40, sizes=sizes, fill=FILL, score="logit", seed=3)
    (found,) = explainer.attribute(classifier, excerpt, [[Target(2)]])
    drawn = coalitions_by_size(12, 40, 3, even=sizes == "even")
    weights = drawn.weights.copy()
    weights[drawn.complete :] /= len(weights) - drawn.complete
    # Captum holds the two ends by great weights.
    ends, great = np.array([[True] * 12, [False] * 12]), np.full(2, 1e6 * weights.max())
    kept = np.concatenate([ends, drawn.kept[1:]])
    weights = np.concatenate([great, weights])
    expected = by_captum(CaptumKernelShap, classifier, excerpt.values[0], kept, weights, "logit", 2)
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(found.values, expected, atol=1e-3 * np.abs(expected).max())
