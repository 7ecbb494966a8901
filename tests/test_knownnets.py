"""Networks built by hand hear what they are built for, and nothing else: the truth is where their slope is positive."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earwitness.explainers.baselines import energy_map
from earwitness.explainers.registry import parse
from earwitness.trust.metrics import localisation
from earwitness.trust.scoreboard import analytic, cases


@pytest.fixture(scope="module", params=list(analytic.NETWORKS))
def known(request):
    return analytic.build(request.param, cases=4)


def test_every_case_is_heard_and_heard_in_its_evidence_alone(known):
    checked = cases.check(known.classifier, known.cases)
    assert [each.reason for each in checked] == [""] * 4
    assert min(each.probability for each in checked) > 0.85
    assert max(each.without for each in checked) < 0.1


def test_truth_is_where_more_energy_raises_the_answer(known):
    for case in known.cases:
        x = torch.from_numpy(case.log_mel)[None].requires_grad_()
        (slope,) = torch.autograd.grad(known.classifier.network(x)[0, 0], x)
        assert ((slope[0].numpy() > 0) == (case.truth > 0)).all()


def test_nothing_but_the_evidence_makes_the_difference(known):
    for case in known.cases:
        assert (case.log_mel >= case.without).all()
        # Of an onset, the frames after the first ones belong to the event but not to the evidence.
        changed = (case.log_mel > case.without).any(axis=0)
        assert (changed == (case.truth > 0).any(axis=0)).all()


def test_distractor_is_louder_than_the_evidence(known):
    for case in known.cases:
        found = localisation.scores(energy_map(case.log_mel, known.classifier.front_end.silence), case.truth)
        assert found.pointing == 0.0


@pytest.mark.parametrize("method", ["layercam", "integratedgradients:steps=8", "occlusion"])
def test_methods_that_look_cell_by_cell_find_it(known, method):
    found = parse(method).attribute(
        known.classifier, cases.segments_of(known.cases), [[case.target] for case in known.cases]
    )
    scores = [localisation.scores(each.values, case.truth) for each, case in zip(found, known.cases, strict=True)]
    share = np.mean([case.share for case in known.cases])
    # An onset's unit lies at the first of its three frames, so an activation map shows a third of them.
    assert np.mean([each.mass for each in scores]) > 5 * share
    assert np.mean([each.auroc for each in scores]) > 0.65


def test_xor_hears_one_band_and_the_other_but_not_both():
    known = analytic.build("xor of two bands", cases=8)
    low = next(case for case in known.cases if case.truth[:, slice(*analytic.LOW_BANDS)].any())
    mirrored = low.log_mel.copy()
    mirrored[:, slice(*analytic.HIGH_BANDS)] = low.log_mel[:, slice(*analytic.LOW_BANDS)]
    probabilities = cases.probabilities(known.classifier, np.stack([low.log_mel, mirrored]))[:, 0]
    assert probabilities[0] > 0.9
    assert probabilities[1] < 0.1


def test_same_seed_gives_the_same_cases():
    first, second, other = (analytic.build("onset detector", cases=2, seed=seed).cases for seed in (1, 1, 2))
    assert all((a.log_mel == b.log_mel).all() for a, b in zip(first, second, strict=True))
    assert (first[0].log_mel != other[0].log_mel).any()
