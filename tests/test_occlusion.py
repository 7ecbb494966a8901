from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from captum.attr import Occlusion as CaptumOcclusion
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from earwitness.audio.segments import Segments
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.explainers.attribution import Target
from earwitness.explainers.inference import optimised
from earwitness.explainers.inference.scoring import SCORE_KINDS
from earwitness.explainers.perturbation.occlusion import Occlusion, positions
from explain_toys import SILENCE, ToyClassifier, convolutional, linear, real, real_segments, segments
from rounding import DEEP, rounding


def captum_map(classifier, segment, mask, stride, target, fill, probability=False):
    def forward(x):
        logits = classifier.network(x)
        return logits.softmax(-1) if probability else logits

    found = CaptumOcclusion(forward).attribute(
        torch.tensor(segment)[None], mask, stride, baselines=float(fill), target=target, perturbations_per_eval=8
    )
    return found[0].detach().numpy()


def test_linear_network_by_hand():
    classifier, excerpt = linear(frames=10, bands=6), segments(2, 10, 6)
    weights = classifier.network.weights.detach().double().numpy()
    explainer = Occlusion(mask=(5, 3), stride=(2, 2), fill=-1.5, score="logit")
    found = explainer.attribute(classifier, excerpt, [[Target(0), Target(2)], [Target(1)]])
    for one, row in zip(found, [0, 0, 1], strict=True):
        share = weights[one.target.index] * (excerpt.values[row].astype(float) + 1.5)
        # Middles at frames 0, 2, 4, 6, 8 and bands 0, 2, 4; the mask reaches 2 frames and 1 band to either side.
        expected = [
            [share[max(t - 2, 0) : t + 3, max(b - 1, 0) : b + 2].sum() for b in (0, 2, 4)] for t in (0, 2, 4, 6, 8)
        ]
        np.testing.assert_allclose(one.native, expected, rtol=0, atol=rounding(expected, one.score))


@pytest.mark.parametrize(
    ("frames", "bands", "mask", "stride", "edges"),
    [
        (12, 8, (4, 4), (2, 2), "whole"),
        (12, 8, (3, 2), (3, 2), "whole"),
        (12, 8, (12, 8), (5, 5), "whole"),
        (12, 8, (5, 3), (3, 2), "cover"),
        (12, 8, (4, 4), (4, 3), "cover"),
        (11, 7, (1, 7), (1, 1), "cover"),
    ],
)
@pytest.mark.parametrize("score", ["logit", "probability"])
def test_average_over_masks_equals_captum(frames, bands, mask, stride, edges, score):
    classifier, excerpt = convolutional(), segments(2, frames, bands)
    explainer = Occlusion(mask=mask, stride=stride, edges=edges, spread="average", score=score)
    found = explainer.attribute(classifier, excerpt, [[Target(1)], [Target(3)]])
    for one, segment in zip(found, excerpt.values, strict=True):
        fill = segment.mean(dtype=np.float64)
        expected = captum_map(classifier, segment, mask, stride, one.target.index, fill, score == "probability")
        np.testing.assert_allclose(one.values, expected, atol=rounding(1.0, one.score))
        assert one.fill == "mean"


def test_equals_captum_on_vggish_with_the_example_s_masks():
    classifier, excerpt = real("vggish"), real_segments("vggish", 1)
    found = Occlusion(edges="cover", spread="average", score="logit").attribute(classifier, excerpt, [[Target(3)]])
    fill = excerpt.values[0].mean(dtype=np.float64)
    expected = captum_map(classifier, excerpt.values[0], (19, 13), (10, 6), 3, fill)
    # Small differences of scores are as exact as these.
    logits = classifier.network(torch.tensor(excerpt.values))
    room = rounding(logits, units=DEEP)
    assert np.abs(expected).max() > 50 * room
    np.testing.assert_allclose(found[0].values, expected, rtol=0, atol=room)


def test_equals_captum_on_mn04_with_whole_masks():
    classifier, excerpt = real("mn04"), real_segments("mn04", 1)
    frames, bands = excerpt.values.shape[1:]
    mask, stride = (frames // 2, bands // 2), (frames // 4, bands // 4)
    explainer = Occlusion(mask=mask, stride=stride, edges="whole", spread="average", score="probability")
    (found,) = explainer.attribute(classifier, excerpt, [[Target(3)]])
    fill = excerpt.values[0].mean(dtype=np.float64)
    expected = captum_map(classifier, excerpt.values[0], mask, stride, 3, fill, probability=True)
    room = rounding(1.0, units=DEEP)
    assert np.abs(expected).max() > 50 * room
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=room)


def test_vggish_sizes_are_those_of_the_example():
    masks = Occlusion().masks(96, 64)
    assert (masks.mask, masks.stride) == ((19, 13), (10, 6))
    assert masks.frame_starts == tuple(range(-9, 90, 10))
    assert masks.band_starts == tuple(range(-6, 60, 6))
    assert masks.count == 1 + 10 * 11
    assert Occlusion(mask=0.2, stride=0.1).masks(25, 25).stride == (3, 3)


@given(
    st.integers(1, 60).flatmap(
        lambda mask: st.tuples(st.integers(mask, 120), st.just(mask), st.integers(1, mask)),
    ),
    st.sampled_from(["clip", "whole", "cover"]),
)
def test_masks_hide_every_cell(sides, edges):
    length, mask, stride = sides
    starts = np.array(positions(length, mask, stride, edges))
    hidden = (np.arange(length) >= starts[:, None]) & (np.arange(length) < starts[:, None] + mask)
    assert hidden.any(axis=0).all()
    assert hidden.any(axis=1).all()
    steps = np.diff(starts)
    assert (steps[:-1] == stride).all()
    assert (steps > 0).all()
    assert (steps <= stride).all()
    if edges == "clip":
        assert starts[0] == -(mask // 2)
    else:
        assert starts[0] == 0
    if edges == "whole":
        assert (hidden.sum(axis=1) == mask).all()
        assert starts[-1] + mask == length


@given(st.integers(2, 40), st.integers(2, 30), st.floats(0.05, 1.0), st.sampled_from(["clip", "whole", "cover"]))
def test_native_cells_cover_the_segment_and_each_position_is_drawn_at_its_middle(frames, bands, mask, edges):
    masks = Occlusion(mask=mask, stride=min(mask, 0.5), edges=edges).masks(frames, bands)
    grid = masks.grid
    assert grid.shape == masks.shape
    for side, length, cells in (
        (grid.frame_edges, frames, grid.frame_cells),
        (grid.band_edges, bands, grid.band_cells),
    ):
        assert side[0] == 0
        assert side[-1] == length
        assert (np.diff(side) > 0).all()
        middles = np.arange(length) + 0.5
        assert (side[cells] <= middles).all()
        assert (middles <= side[cells + 1]).all()


def test_all_targets_come_from_one_pass_and_cost_is_counted():
    classifier, excerpt = linear(), segments(3)
    explainer = Occlusion(mask=(4, 4), stride=(2, 2))
    found = explainer.attribute(classifier, excerpt, [[Target(i) for i in range(3)]] * 3)
    assert classifier.network.seen == 3 * explainer.masks(12, 8).count == 3 * 25
    assert {(one.forwards, one.backwards) for one in found} == {(25, 0)}
    assert [one.target.index for one in found] == [0, 1, 2] * 3
    for one in found:
        (alone,) = explainer.attribute(classifier, excerpt.take([int(one.file[4])]), [[one.target]])
        logits = classifier.network(torch.tensor(excerpt.values))
        np.testing.assert_allclose(one.values, alone.values, atol=rounding(logits))


def test_segments_with_many_masks_do_not_see_each_other(monkeypatch):
    monkeypatch.setattr(optimised, "rows_of", lambda _widest, _weights: 7)
    classifier, excerpt = convolutional(), segments(4)
    together = Occlusion().attribute(classifier, excerpt, [[Target(0)]] * 4)
    for row, one in enumerate(together):
        (alone,) = Occlusion().attribute(classifier, excerpt.take([row]), [[Target(0)]])
        assert one.values.tobytes() == alone.values.tobytes()
        assert one.native.tobytes() == alone.native.tobytes()


@pytest.mark.parametrize("rows", [1, 9, 10**6])
def test_batch_size_changes_nothing(monkeypatch, rows):
    classifier, excerpt = convolutional(), segments(3)
    expected = Occlusion().attribute(classifier, excerpt, [[Target(0)]] * 3)
    monkeypatch.setattr(optimised, "rows_of", lambda _widest, _weights: rows)
    found = Occlusion().attribute(classifier, excerpt, [[Target(0)]] * 3)
    for one, two in zip(expected, found, strict=True):
        np.testing.assert_allclose(one.values, two.values, atol=rounding(1.0))


def test_contrastive_target_is_the_difference():
    classifier, excerpt = convolutional(), segments(1)
    a, b, both = Occlusion().attribute(classifier, excerpt, [[Target(0), Target(2), Target(0, against=2)]])
    np.testing.assert_allclose(both.values, a.values - b.values, atol=rounding(1.0))
    assert both.score == pytest.approx(a.score - b.score, abs=rounding(1.0))
    assert both.target_label == "class0 rather than class2"


@pytest.mark.parametrize(("fill", "value"), [("floor", SILENCE), (0.25, 0.25), ("-2", -2.0)])
def test_fills(fill, value):
    classifier, excerpt = linear(), segments(1)
    explainer = Occlusion(mask=(12, 8), stride=(12, 8), edges="whole", fill=fill, score="logit")
    (found,) = explainer.attribute(classifier, excerpt, [[Target(0)]])
    hidden = classifier.network(torch.full((1, 12, 8), value))[0, 0].item()
    np.testing.assert_allclose(found.native, found.score - hidden, atol=rounding(found.score, hidden))
    assert found.fill == str(explainer.fill)


def test_padding_is_neither_hidden_nor_filled_nor_shown():
    classifier, excerpt = linear(), segments(1, real_frames=[7])
    explainer = Occlusion(mask=(3, 8), stride=(3, 8), edges="whole", score="logit")
    (found,) = explainer.attribute(classifier, excerpt, [[Target(0)]])
    weights, segment = classifier.network.weights[0].detach().numpy(), excerpt.values[0]
    share = (weights * (segment - segment[:7].mean())).sum(axis=1)
    np.testing.assert_allclose(found.native[:, 0], [share[:3].sum(), share[3:6].sum(), share[6], 0], atol=1e-4)
    assert "padded" in found.flags
    assert not found.values[7:].any()


def test_silent_segment_gives_a_constant_map_without_warnings():
    values = np.full((1, 12, 8), SILENCE, np.float32)
    silent = Segments(values, np.zeros(1, np.int64), np.array([12]), ("quiet.wav",))
    for end in (12, 0):
        excerpt = dataclasses.replace(silent, real_frames=np.array([end]))
        (found,) = Occlusion().attribute(convolutional(), excerpt, [[Target(0)]])
        assert set(found.flags) >= {"silent", "constant"}
        assert not found.values.any()


def test_settled_parameters_are_recorded():
    (found,) = Occlusion().attribute(convolutional(), segments(1, 96, 64), [[Target(0)]])
    assert found.parameters == {
        "mask": [19, 13],
        "stride": [10, 6],
        "edges": "clip",
        "fill": "mean",
        "spread": "nearest",
        "score": "log-odds",
        "along": "both",
        "seed": 0,
        "fill2": "none",
        "soft": 0,
        "precision": "float32",
    }
    assert found.score_kind == "log-odds"


@pytest.mark.parametrize("score", SCORE_KINDS)
def test_sigmoid_scores(score):
    base = convolutional()
    classifier = ToyClassifier(base.network, base.classes, "sigmoid")
    explainer = Occlusion(mask=(12, 8), stride=(12, 8), edges="whole", score=score)
    (found,) = explainer.attribute(classifier, segments(1), [[Target(1)]])
    expected = base.network(torch.tensor(segments(1).values))[0, 1]  # the log-odds of a sigmoid are the logit
    expected = torch.sigmoid(expected) if score == "probability" else expected
    assert found.score == pytest.approx(expected.item(), abs=rounding(1.0))


class Sure(nn.Module):
    """A network whose answers are far apart."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return 400 * self.network(x)


def test_a_saturated_score_goes_on_moving_in_log_odds():
    base = convolutional()
    classifier = ToyClassifier(Sure(base.network), base.classes)
    best = int(classifier.network(torch.tensor(segments(1).values)).argmax())
    for score, moves in (("probability", False), ("log-odds", True)):
        (found,) = Occlusion(mask=(3, 2), stride=(3, 2), score=score).attribute(
            classifier, segments(1), [[Target(best)]]
        )
        assert (np.abs(found.native).max() > 1e-3) == moves


def test_leaves_the_network_as_it_was():
    classifier = convolutional()
    classifier.network.train()
    state = {name: value.clone() for name, value in classifier.network.state_dict().items()}
    Occlusion().attribute(classifier, segments(1), [[Target(0)]])
    assert classifier.network.training
    assert classifier.network.features[1].training
    assert all(torch.equal(state[name], value) for name, value in classifier.network.state_dict().items())


def test_network_with_the_wrong_number_of_classes_is_refused():
    base = convolutional(classes=4)
    with pytest.raises(EarwitnessError, match=r"answered \(\d+, 4\) where \(\d+, 3\) was expected"):
        Occlusion().attribute(ToyClassifier(base.network, base.classes[:3]), segments(1), [[Target(0)]])


def test_nan_score_is_refused():
    classifier = convolutional()
    with torch.no_grad():
        classifier.network.head[2].bias[1] = float("inf")
    with pytest.raises(EarwitnessError, match=r"file0.wav at 0.00 s: .* NaN or infinite; .* lower learning rate"):
        Occlusion().attribute(classifier, segments(1), [[Target(0)]])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"mask": (13, 2)}, "mask=13x2 is larger than the segment of 12x8 cells"),
        ({"mask": (4, 9)}, "mask=4x9 is larger"),
        ({"mask": (2, 2), "stride": (3, 1)}, "stride=3x1 is larger than mask=2x2"),
    ],
)
def test_masks_that_do_not_fit(parameters, message):
    with pytest.raises(UsageError, match=message):
        Occlusion(**{"stride": (1, 1), **parameters}).attribute(convolutional(), segments(1), [[Target(0)]])


def test_progress_counts_every_forward():
    steps = []

    class Counting:
        def task(self, description, total):
            self.total = total
            return self

        def __enter__(self):
            return steps.append

        def __exit__(self, *error):
            return None

        def say(self, line):
            raise AssertionError(line)

    progress = Counting()
    Occlusion().attribute(convolutional(), segments(2), [[Target(0)]] * 2, progress)
    assert sum(steps) == progress.total == 2 * Occlusion().masks(12, 8).count


@pytest.mark.parametrize("edges", ["clip", "whole", "cover"])
def test_profiles_of_a_linear_network_by_hand(edges):
    classifier, excerpt = linear(), segments(1)
    share = classifier.network.weights[2].detach().double().numpy() * (excerpt.values[0].astype(float) + 1.0)
    options = {"mask": (4, 4), "stride": (4, 4), "edges": edges, "fill": -1.0, "score": "logit"}
    (time,) = Occlusion(**options, along="time").attribute(classifier, excerpt, [[Target(2)]])
    (bands,) = Occlusion(**options, along="bands").attribute(classifier, excerpt, [[Target(2)]])
    starts = positions(12, 4, 4, edges), positions(8, 4, 4, edges)
    expected = [[share[max(start, 0) : start + 4].sum()] for start in starts[0]]
    np.testing.assert_allclose(time.native, expected, atol=1e-4)
    np.testing.assert_allclose(bands.native, [[share[:, max(s, 0) : s + 4].sum() for s in starts[1]]], atol=1e-4)
    assert (time.values == time.values[:, :1]).all()
    assert (bands.values == bands.values[:1]).all()
    assert time.parameters["mask"] == [4, 8]
    assert bands.forwards == 1 + len(starts[1])
