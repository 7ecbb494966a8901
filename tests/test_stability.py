"""Stability: what small changes are, what they do to maps whose answer is known, and agreement among methods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import explain_toys as toys
from earwitness.audio.frontend import EFFICIENTAT, VGGISH
from earwitness.audio.logmel import energy_of
from earwitness.audio.segments import Segments
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.explainers.attribution import Target
from earwitness.explainers.baselines import RandomBaseline
from earwitness.explainers.ranks import rank_correlation
from earwitness.explainers.registry import parse
from earwitness.trust.metrics.robustness import Agreement, agreement, noisy, shifted, stability
from earwitness.trust.metrics.similarity import correlation, top_overlap

TARGETS = [[Target(0), Target(1, against=2)], [Target(2)], [Target(1)]]


class SameEverywhere(nn.Module):
    """A score to which every frame adds the same function of its bands, so maps move with the sound."""

    def __init__(self, bands=8, classes=3):
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.top = nn.Linear(bands, 6), nn.Linear(6, classes)

    def forward(self, x):
        return self.top(torch.tanh(self.hidden(x))).sum(dim=1)


def moving():
    return toys.ToyClassifier(SameEverywhere(), toys.classes_of(3))


def request(classifier, method, segments, targets=TARGETS):
    """An explainer, its attributions, and the segments row by row."""
    explainer = parse(method)
    rows = [row for row, listed in enumerate(targets) for _ in listed]
    return explainer, segments.take(rows), explainer.attribute(classifier, segments, targets)


def measured(classifier, method, segments=None, targets=TARGETS, **options):
    explainer, aligned, attributions = request(classifier, method, segments or toys.segments(), targets)
    return stability(classifier, explainer, aligned, attributions, **options)


# ---- the changes --------------------------------------------------------------------------------------------------


def test_a_later_segment_shows_everything_a_frame_earlier():
    segments = toys.segments(2, real_frames=[12, 7])
    later = shifted(segments, 1).values
    for row, real in enumerate(segments.real_frames):
        np.testing.assert_array_equal(later[row, : real - 1], segments.values[row, 1:real])
        np.testing.assert_array_equal(later[row, real - 1], segments.values[row, real - 1])
        np.testing.assert_array_equal(later[row, real:], segments.values[row, real:])


@pytest.mark.parametrize("frames", [-3, -1, 0, 1, 2, 40])
def test_shifting_back_gives_the_inner_frames_again(frames):
    segments = toys.segments(1)
    there_and_back = shifted(shifted(segments, frames), -frames).values
    inner = slice(abs(frames), 12 - abs(frames))
    np.testing.assert_array_equal(there_and_back[:, inner], segments.values[:, inner])


def loud(front_end, seed=0):
    """A segment of noise, as the front end shows it."""
    rng = np.random.default_rng(seed)
    energy = rng.exponential(1.0, (1, 96, front_end.bands)) ** (front_end.power / 2) * 3
    values = ((np.log(energy + front_end.offset) + front_end.shift) * front_end.scale).astype(np.float32)
    return Segments(values, np.zeros(1, np.int64), np.array([80]), ("a.wav",))


@pytest.mark.parametrize("front_end", [VGGISH, EFFICIENTAT], ids=lambda one: one.name)
def test_noise_lies_so_many_decibels_below_the_segment(front_end):
    classifier = replace(toys.linear(), front_end=front_end)
    segments = loud(front_end)
    changed = noisy(classifier, segments, -20.0)
    power = [
        energy_of(front_end, torch.from_numpy(one.values[0, :80]).double()).numpy() ** (2 / front_end.power)
        for one in (segments, changed)
    ]
    added = power[1] - power[0]
    assert added.min() > -1e-3 * power[0].mean()
    assert 10 * np.log10(added.mean() / power[0].mean()) == pytest.approx(-20, abs=0.2)
    np.testing.assert_array_equal(changed.values[0, 80:], segments.values[0, 80:])


def test_noise_in_a_foreign_spectrogram_is_a_share_of_its_spread():
    segments = toys.segments(2, 60, 40, real_frames=[60, 0])
    changed = noisy(toys.linear(60, 40), segments, -40.0).values - segments.values
    assert changed[0].std() == pytest.approx(0.01 * segments.values[0].std(), rel=0.1)
    assert not changed[1].any()


@pytest.mark.parametrize("front_end", [toys.ToyFrontEnd(), VGGISH], ids=["foreign", "vggish"])
def test_noise_does_not_depend_on_what_stands_beside_a_segment(front_end):
    classifier, segments = replace(toys.linear(), front_end=front_end), toys.segments(3)
    alone = noisy(classifier, segments.take([2])).values[0]
    np.testing.assert_array_equal(noisy(classifier, segments).values[2], alone)
    assert np.abs(alone - noisy(classifier, segments.take([2]), seed=1).values[0]).max() > 0


# ---- the figures --------------------------------------------------------------------------------------------------


def likeness(a, b):
    """What agreement must be, measured one by one."""
    return Agreement(*(pytest.approx(of(a, b), abs=1e-6) for of in (correlation, rank_correlation, top_overlap)))


def test_maps_that_move_with_the_sound_are_stable_to_shifts():
    for found in measured(moving(), "inputxgradient"):
        assert found.shift.value == pytest.approx(1, abs=1e-9)
        assert found.shift.rank == pytest.approx(1, abs=1e-9)
        assert found.shift.overlap == pytest.approx(1)
        assert 0.99 < found.noise.rank < 1


def test_a_linear_models_gradient_stays_where_it_is():
    """The gradient is the weights, whatever the segment: noise changes nothing, a shift moves the map's cells."""
    classifier = toys.linear()
    (found,) = measured(classifier, "saliency", toys.segments(1), [[Target(1)]])
    weights = classifier.network.weights.detach().numpy()[1]
    assert found.noise == Agreement(pytest.approx(1), pytest.approx(1), pytest.approx(1))
    moved = weights[1:], weights[:-1]
    assert found.shift == likeness(*moved)
    assert (found.seeds, found.fills) == (None, None)


def test_occlusion_of_a_linear_model_under_two_fills():
    """A cell hidden alone costs weight x (value - fill), so the map under the other fill is known."""
    classifier, segments = toys.linear(), toys.segments(1)
    method = "occlusion:mask=1x1,stride=1x1,score=logit,fill=floor"
    (found,) = measured(classifier, method, segments, [[Target(1)]])
    weights, values = classifier.network.weights.detach().numpy()[1], segments.values[0]
    maps = [weights * (values - fill) for fill in (toys.SILENCE, values.mean())]
    assert found.fills == likeness(*maps)
    assert found.seeds is None


@pytest.mark.parametrize(
    ("method", "seeds", "fills"),
    [
        ("occlusion:fill=noise", True, True),
        ("lime:samples=60", True, True),
        ("smoothgrad:samples=4", True, False),
        ("integratedgradients:steps=4", False, True),
        ("gradcam", False, False),
        ("scorecam", False, True),
    ],
)
def test_what_a_method_declares_is_what_is_varied(method, seeds, fills):
    (found,) = measured(toys.convolutional(3), method, toys.segments(1), [[Target(1)]])
    assert (found.seeds is not None, found.fills is not None) == (seeds, fills)


def test_another_seed_is_another_random_map():
    classifier, segments, explainer = toys.linear(), toys.segments(1), RandomBaseline()
    (found,) = stability(classifier, explainer, segments, explainer.attribute(classifier, segments, [[Target(1)]]))
    assert abs(found.seeds.value) < 0.4
    assert found.fills is None


def test_figures_are_those_of_maps_made_one_by_one():
    classifier, segments, method = toys.convolutional(3), toys.segments(), "smoothgrad:samples=4,seed=5"
    explainer = parse(method)
    found = measured(classifier, method, segments, seeds=2, noises=2)
    rows = [(row, target) for row, listed in enumerate(TARGETS) for target in listed]
    assert len(found) == len(rows)
    for one, (row, target) in zip(found, rows, strict=True):
        alone = segments.take([row])

        def explained(method, version, target=target):
            return method.attribute(classifier, version, [[target]])[0].values

        original = explained(explainer, alone)
        pairs = {
            "seeds": [(original, explained(replace(explainer, seed=seed), alone)) for seed in (6, 7)],
            "noise": [(original, explained(explainer, noisy(classifier, alone, seed=seed))) for seed in (0, 1)],
            "shift": [
                (original[1:], explained(explainer, shifted(alone, 1))[:-1]),
                (original[:-1], explained(explainer, shifted(alone, -1))[1:]),
            ],
        }
        for kind, listed in pairs.items():
            agreed = getattr(one, kind)
            assert agreed.value == pytest.approx(np.mean([correlation(*pair) for pair in listed]), abs=1e-4)
            assert agreed.rank == pytest.approx(np.mean([rank_correlation(*pair) for pair in listed]), abs=1e-4)
            assert agreed.overlap == pytest.approx(np.mean([top_overlap(*pair) for pair in listed]), abs=1e-4)


def test_a_segment_is_explained_once_for_all_its_targets():
    classifier = toys.linear()
    explainer, aligned, attributions = request(classifier, "lime:grid=3x3,samples=32", toys.segments())
    before = classifier.network.seen
    found = stability(classifier, explainer, aligned, attributions)
    # Another seed, another fill, two shifts, one noise; three segments.
    assert classifier.network.seen - before == sum(one.forwards for one in (found[0], found[2], found[3]))
    assert found[0].forwards == found[1].forwards <= 5 * 32
    assert found[0].forwards > 4 * 32
    assert found[0] != found[1]


def test_a_costly_method_is_measured_cheaply_against_its_own_cheap_map():
    classifier, segments = toys.linear(), toys.segments(1)
    explainer = parse("shapley:grid=2x2,samples=600")
    attributions = explainer.attribute(classifier, segments, [[Target(0)]])
    far = [replace(attributions[0], values=-attributions[0].values)]
    (cheap,) = stability(classifier, explainer, segments, far)
    assert cheap.method == "shapley:grid=2x2,samples=290"
    assert cheap.noise.rank > 0.9
    (whole,) = stability(classifier, explainer, segments, far, cheap=False)
    assert whole.method == "shapley:grid=2x2,samples=600"
    assert whole.noise.rank < -0.9


@pytest.mark.parametrize("method", ["gradcam", "saliency", "lime:grid=3x3,samples=32", "occlusion:mask=3x3,stride=3x3"])
def test_the_same_request_gives_the_same_figures(method):
    classifier = toys.convolutional(3)
    assert measured(classifier, method) == measured(classifier, method)


@pytest.mark.parametrize("method", ["inputxgradient", "occlusion:mask=3x3,stride=3x3"])
def test_silent_constant_and_empty_segments_have_figures(method):
    segments = toys.segments(4, real_frames=[12, 12, 1, 0])
    segments.values[0] = toys.SILENCE
    segments.values[1] = 0.0
    targets = [[Target(0)]] * 4
    for found in measured(toys.linear(), method, segments, targets):
        for agreed in (found.shift, found.noise, found.fills):
            if agreed is not None:
                assert np.isfinite([agreed.value, agreed.rank, agreed.overlap]).all()
    found = measured(toys.linear(), method, segments, targets)
    assert found[3].noise == found[3].shift == Agreement(0.0, 0.0, 0.0)


def test_nothing_asked_gives_nothing():
    assert stability(toys.linear(), parse("saliency"), toys.segments(0), []) == []


def test_there_must_be_a_segment_for_each_map():
    explainer, aligned, attributions = request(toys.linear(), "saliency", toys.segments())
    with pytest.raises(UsageError, match="3 attributions for 4 segments"):
        stability(toys.linear(), explainer, aligned, attributions[:3])


# ---- agreement ----------------------------------------------------------------------------------------------------


def explained(*methods, target=0):
    classifier, segments = toys.linear(), toys.segments(1)
    return [parse(method).attribute(classifier, segments, [[Target(target)]])[0] for method in methods]


def test_agreement_is_that_of_every_pair():
    made = explained("saliency", "inputxgradient", "occlusion:mask=3x3,stride=3x3")
    found = agreement(made)
    assert found.methods == ("saliency", "inputxgradient", "occlusion")
    for row, first in enumerate(made):
        for column, second in enumerate(made):
            assert found.value[row, column] == pytest.approx(correlation(first.values, second.values), abs=1e-12)
            assert found.rank[row, column] == pytest.approx(rank_correlation(first.values, second.values), abs=1e-12)
            assert found.overlap[row, column] == pytest.approx(top_overlap(first.values, second.values))
    assert found.means[1].value == pytest.approx((found.value[1, 0] + found.value[1, 2]) / 2)
    assert found.means[0].rank == pytest.approx((found.rank[0, 1] + found.rank[0, 2]) / 2)
    assert found.means[2].overlap == pytest.approx((found.overlap[2, 0] + found.overlap[2, 1]) / 2)


def test_one_method_agrees_with_nobody_and_a_constant_map_with_nothing():
    (made,) = explained("saliency")
    assert agreement([made]).means == (Agreement(0.0, 0.0, 0.0),)
    found = agreement([made, replace(made, values=np.zeros_like(made.values))])
    np.testing.assert_allclose(found.value, [[1, 0], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(found.rank, [[1, 0], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(found.overlap, [[1, 0], [0, 0]])


def test_maps_of_different_targets_are_refused():
    made = explained("saliency") + explained("saliency", target=1)
    with pytest.raises(EarwitnessError, match="different segments or targets"):
        agreement(made)
    with pytest.raises(EarwitnessError, match="of one at a time"):
        agreement([])
