"""Every method on a network that earwitness has never seen, with a front end of its own, through the thin adapter."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from earwitness.audio.segments import Segments
from earwitness.audio.timefreq import Clock
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.explainers.attribution import Target
from earwitness.explainers.registry import METHODS, parse, without_attention
from earwitness.models.adapter import Adapter, Coat, ForeignFrontEnd
from explain_toys import scores_of
from rounding import DEEP, rounding

FEW = {
    "lime": "lime:grid=4x4,samples=64",
    "rise": "rise:grid=4x4,samples=64",
    "kernelshap": "kernelshap:grid=3x3,samples=200",
    "shapley": "shapley:grid=3x3",
    "occlusion": "occlusion:mask=4x4,stride=4x4",
    "integratedgradients": "integratedgradients:steps=32",
    "smoothgrad": "smoothgrad:samples=8",
}
FRONT_END = ForeignFrontEnd(
    silence=-80.0, clock=Clock(sample_rate=22050, hop=512, centre=0.0, bands=16, low_hz=0.0, high_hz=11025.0)
)


def foreign_network():
    """Plain torch layers: pictures (n, 1, bands, frames), decibels, in-place ReLUs, a linear layer at the end."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 3),
        )


def adapted(network=None, **options):
    network = network or foreign_network()
    chosen = {"feature_layer": "4", "turned": True} | options
    return Adapter.around(network, ("cough", "sneeze", "laugh"), FRONT_END, **chosen)


def decibels(n=2, frames=20, bands=16):
    values = np.random.default_rng(0).uniform(-70, -10, (n, frames, bands)).astype(np.float32)
    values[0, 12:] = -80.0
    return Segments(values, np.arange(n) * 20, np.array([12, frames][:n]), tuple(f"{i}.flac" for i in range(n)))


ATTENTION = sorted(set(METHODS) - set(without_attention()))


@pytest.mark.parametrize("method", ATTENTION)
def test_methods_that_need_attention_are_refused_where_there_is_none(method):
    with pytest.raises(UsageError, match=f"^{method}: needs attention, of which this network has none; ask gradcam"):
        parse(method).attribute(adapted(), decibels(), [[Target(1)], [Target(2)]])


@pytest.mark.parametrize("method", sorted(without_attention()))
def test_every_method_explains_a_foreign_network(method):
    classifier, excerpt = adapted(), decibels()
    found = parse(FEW.get(method, method)).attribute(classifier, excerpt, [[Target(1)], [Target(2, against=0)]])
    picture = torch.tensor(excerpt.values).transpose(1, 2)[:, None]
    with torch.no_grad():
        logits = classifier.network.inner(picture).double()
    for row, one in enumerate(found):
        scores = scores_of(logits[row], one.score_kind)
        against = 0 if one.target.against is None else scores[one.target.against].item()
        assert one.score == pytest.approx(scores[one.target.index].item() - against, abs=rounding(scores, units=DEEP))
        assert one.values.shape == (20, 16)
        assert one.values.any()
        assert not one.values[one.real_frames :].any()
    assert "padded" in found[0].flags
    assert found[1].target_label == "laugh rather than cough"
    assert found[1].start_seconds == pytest.approx(20 * 512 / 22050, abs=0.05)


def test_feature_maps_are_turned_back():
    (found,) = parse("gradcam").attribute(adapted(), decibels().take([1]), [[Target(0)]])
    assert found.native.shape == (10, 8)
    assert found.parameters["layer"] == "4"


def test_a_layer_is_named_as_in_the_foreign_network_or_chosen_by_its_full_name():
    (own,) = parse("gradcam").attribute(adapted(), decibels().take([1]), [[Target(0)]])
    for name in ("4", "inner.4"):
        (named,) = parse(f"gradcam:layer={name}").attribute(adapted(), decibels().take([1]), [[Target(0)]])
        np.testing.assert_array_equal(own.values, named.values)
        assert named.parameters["layer"] == "4"
    with pytest.raises(UsageError, match=r"gradcam: layer '9' is unknown; these would do: 0 "):
        parse("gradcam:layer=9").attribute(adapted(), decibels(), [[Target(0)]] * 2)
    with pytest.raises(UsageError, match=r"the network names no feature_layer; these would do: 0 "):
        parse("gradcam").attribute(adapted(feature_layer=""), decibels(), [[Target(0)]] * 2)


class TakesLogMels(nn.Module):
    """A network that takes (n, frames, bands) itself and has no parameters."""

    def forward(self, x):
        return torch.stack([x.mean(dim=(1, 2)), x[:, :5].mean(dim=(1, 2))], dim=1)


def test_a_network_without_channels_and_without_weights():
    classifier = Adapter.around(TakesLogMels(), ("a", "b"), FRONT_END, channel=False, activation="sigmoid")
    assert str(classifier.device) == "cpu"
    (found,) = parse("saliency").attribute(classifier, decibels().take([1]), [[Target(1)]])
    np.testing.assert_allclose(found.values[:5], 1 / 80, atol=rounding(1 / 80))
    assert not found.values[5:].any()


def test_the_foreign_network_stays_as_it_was():
    network = foreign_network().train()
    classifier = adapted(network)
    assert classifier.network.inner is network
    for method in ("gradcam", "deeplift", "ablationcam"):
        parse(method).attribute(classifier, decibels(), [[Target(0)]] * 2)
    assert network.training
    assert [module.inplace for module in network if isinstance(module, nn.ReLU)] == [True, True]


def test_an_unknown_activation_is_refused():
    with pytest.raises(UsageError, match="activation 'tanh' does not do; use softmax, sigmoid or none"):
        adapted(activation="tanh")


# ---- answers that are probabilities -------------------------------------------------------------------------------


class Answering(nn.Module):
    """A network whose answers go through a last step."""

    def __init__(self, last):
        super().__init__()
        self.inner, self.last = foreign_network(), last

    def forward(self, x):
        return self.last(self.inner(x) / 20)


SOFTMAX, SIGMOID = nn.Softmax(dim=1), nn.Sigmoid()
PER_CELL = ["occlusion:mask=4x4,stride=4x4", "lime:grid=4x4,samples=64", "saliency", "scorecam", "deeplift"]


@pytest.mark.parametrize("score", ["probability", "log-odds"])
@pytest.mark.parametrize(("last", "activation"), [(SOFTMAX, "softmax"), (SIGMOID, "sigmoid")])
@pytest.mark.parametrize("method", ["occlusion:mask=4x4,stride=4x4", "lime:grid=4x4,samples=64"])
def test_final_answers_are_explained_as_the_same_network_with_its_last_step_outside(method, last, activation, score):
    inside = adapted(Answering(last), feature_layer="inner.4", activation="none")
    outside = adapted(Answering(nn.Identity()), feature_layer="inner.4", activation=activation)
    mine, expected = (
        parse(f"{method},score={score}").attribute(each, decibels(), [[Target(1)]] * 2) for each in (inside, outside)
    )
    for one, other in zip(mine, expected, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)
        np.testing.assert_allclose(one.values, other.values, atol=1e-4)


@pytest.mark.parametrize("method", PER_CELL)
def test_probabilities_said_to_be_logits_of_a_softmax_are_refused(method):
    with pytest.raises(UsageError, match=r"answers are probabilities .* put through a softmax once more; say .*'none'"):
        parse(method).attribute(adapted(Answering(SOFTMAX), feature_layer="inner.4"), decibels(), [[Target(0)]] * 2)


def test_answers_that_look_like_probabilities_are_named_where_a_sigmoid_follows():
    classifier = adapted(Answering(SIGMOID), feature_layer="inner.4", activation="sigmoid")
    with pytest.warns(UserWarning, match=r"all of the network's answers lie in 0 to 1.*say activation 'none'"):
        parse("saliency").attribute(classifier, decibels(), [[Target(0)]] * 2)


def test_probabilities_are_not_made_of_answers_that_are_none():
    classifier = adapted(activation="none")
    with pytest.raises(UsageError, match=r"are no probabilities; explain them .* \(--method occlusion:score=logit\)"):
        parse("occlusion").attribute(classifier, decibels(), [[Target(0)]] * 2)
    (found, _) = parse("occlusion:score=logit").attribute(classifier, decibels(), [[Target(0)]] * 2)
    assert found.values.any()


def test_certain_answers_have_finite_log_odds():
    certain = adapted(Answering(lambda x: torch.eye(3)[x.argmax(1)]), feature_layer="inner.4", activation="none")
    found = parse("occlusion:mask=4x4,stride=4x4").attribute(certain, decibels(), [[Target(each)] for each in (0, 1)])
    for one in found:
        assert abs(one.score) == pytest.approx(24 * np.log(2), abs=1e-3)
        assert np.isfinite(one.values).all()


# ---- networks without gradients, of one batch, of other layouts ---------------------------------------------------


class Session(nn.Module):
    """A runtime that is no torch: arrays in and out, in batches of one size if asked for."""

    def __init__(self, size=0):
        super().__init__()
        self.network, self.size = [foreign_network()], size

    def forward(self, x):
        if self.size and len(x) != self.size:
            raise ValueError(f"INVALID_ARGUMENT: Got: {len(x)} Expected: {self.size}")
        array = x.detach().numpy()
        return torch.from_numpy(self.network[0](torch.from_numpy(array)).detach().numpy())


@pytest.mark.parametrize(
    "method", ["saliency", "inputxgradient", "integratedgradients", "smoothgrad", "deeplift", "guidedbackprop"]
)
@pytest.mark.parametrize("kind", ["session", "no_grad"])
def test_a_network_without_gradients_is_named_with_the_methods_that_do(method, kind):
    network = Session() if kind == "session" else Answering(torch.no_grad()(lambda x: x.detach()))
    with pytest.raises(UsageError, match=rf"{method} needs gradients, .* lets none through; .*lime, occl"):
        parse(method).attribute(adapted(network, feature_layer=""), decibels(), [[Target(0)]] * 2)


@pytest.mark.parametrize("size", [0, 1, 3])
@pytest.mark.parametrize("method", ["lime", "occlusion", "rise"])
def test_a_network_of_one_batch_is_asked_in_batches(method, size):
    method = FEW[method]
    classifier = adapted(Session(size), feature_layer="", batch=size)
    plain = adapted(feature_layer="")
    found, expected = (parse(method).attribute(each, decibels(), [[Target(2)]] * 2) for each in (classifier, plain))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=rounding(other.values, units=DEEP) + 1e-4)


def test_a_network_of_one_batch_that_nobody_told_of_is_named():
    with pytest.raises(UsageError, match=r"the network takes one segment at a time; say so \(batch=1\)"):
        parse("occlusion").attribute(adapted(Session(1), feature_layer=""), decibels(), [[Target(0)]] * 2)


def test_a_layout_that_does_not_fit_is_named():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 14 * 18, 3))
    with pytest.raises(UsageError, match=r"cannot take segments of 20 x 16 frames and bands .*check its layout"):
        parse("occlusion").attribute(adapted(network, channel=False), decibels(), [[Target(0)]] * 2)


@pytest.mark.parametrize("axes", [("frames", "bands"), ("bands", "frames"), ("bands", "frames", "channel")])
def test_a_coat_puts_axes_where_the_network_has_them(axes):
    seen = []

    def network(x):
        seen.append(tuple(x.shape))
        return x.flatten(1)[:, :2]

    inner = nn.Module()
    inner.forward = network
    Coat(inner, axes)(torch.zeros(4, 20, 16))
    sizes = {"frames": 20, "bands": 16, "channel": 1}
    assert seen == [(4, *(sizes[axis] for axis in axes))]


@pytest.mark.parametrize("axes", [("frames",), ("frames", "frames", "bands"), ("frames", "bands", "time"), ()])
def test_a_layout_that_is_none_is_refused(axes):
    with pytest.raises(UsageError, match="name frames and bands once each"):
        Coat(nn.Identity(), axes)


def test_one_of_several_outputs_is_named():
    inner = nn.Module()
    inner.forward = lambda x: {"embedding": x[:, 0], "clips": x[:, 1]}
    x = torch.randn(2, 5, 3)
    with pytest.raises(EarwitnessError, match="gives embedding, clips; name the output"):
        Coat(inner, ("frames", "bands"))(x)
    assert torch.equal(Coat(inner, ("frames", "bands"), output="clips")(x), x[:, 1])
    inner.forward = lambda x: (x[:, 0], x[:, 1])
    assert torch.equal(Coat(inner, ("frames", "bands"), output=1)(x), x[:, 1])
    inner.forward = lambda x: (x[:, 0],)
    assert torch.equal(Coat(inner, ("frames", "bands"))(x), x[:, 0])


class Nested(nn.Module):
    """A network with a part that is called as a coat calls the network, and holds a layer of the same name."""

    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(1, 2, 3, padding=1), nn.ReLU()
        self.inner = nn.Sequential(OrderedDict(conv=nn.Conv2d(2, 2, 3, padding=1, stride=2), act=nn.ReLU()))

    def forward(self, x):
        return self.inner(self.act(self.conv(x))).mean(dim=3)[:, :, 0]


@pytest.mark.parametrize(("name", "rows"), [("act", 20), ("inner.act", 10)])
def test_a_layer_is_the_one_that_its_owner_calls_so(name, rows):
    classifier = Adapter.around(Nested().eval(), ("cough", "sneeze"), FRONT_END, feature_layer=name, turned=True)
    for method in ("gradcam", f"gradcam:layer={name}"):
        (found,) = parse(method).attribute(classifier, decibels().take([1]), [[Target(0)]])
        assert found.native.shape[0] == rows
        assert found.parameters["layer"] == name
