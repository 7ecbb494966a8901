"""What is known of a network up to a layer, and copies that compute the same maps sooner."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from earwitness.explainers.attribution import Target
from earwitness.explainers.inference import prefix
from earwitness.explainers.inference.layers import Layer
from earwitness.explainers.inference.prefix import before
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.registry import parse
from explain_toys import ToyClassifier, classes_of, convolutional, real, real_segments, segments
from rounding import DEEP, rounding
from test_swift import Odd


@pytest.fixture(params=["many", "few"])
def copying(request, monkeypatch):
    """Copies are made for any number of segments, as for many or as for few."""
    monkeypatch.setattr("earwitness.explainers.inference.prefix.MANY", 1 if request.param == "many" else 10**9)
    if request.param == "few":  # as on a processor that packs convolutions, and with a network that is large
        monkeypatch.setattr(prefix, "packs", lambda: True)
        monkeypatch.setattr("earwitness.explainers.inference.prefix.LARGE", 0)


def by_hooks(layer, excerpt):
    return layer.run(excerpt)[0].detach()


@pytest.mark.parametrize("backbone", ["vggish", "mn04", "compact"])
def test_copies_of_backbones_make_the_same_maps(backbone, copying):
    classifier, excerpt = Prepared(real(backbone)), real_segments(backbone, 3)
    state = {name: value.clone() for name, value in classifier.network.state_dict().items()}
    layer = Layer("gradcam", classifier, classifier.network.feature_layer)
    known = before(layer, excerpt)
    assert known.ready is not None
    expected = by_hooks(layer, excerpt)
    found = known.maps(layer, excerpt)
    torch.testing.assert_close(found, expected, rtol=0, atol=rounding(expected, units=DEEP))
    assert not found.requires_grad
    assert all(torch.equal(state[name], value) for name, value in classifier.network.state_dict().items())
    assert before(layer, excerpt) is known


@pytest.mark.parametrize("kind", ["norm left out", "output used twice"])
def test_networks_that_a_copy_would_spoil_are_used_as_they_are(kind, copying):
    network = Odd(kind).eval()
    layer, excerpt = Layer("gradcam", Prepared(ToyClassifier(network, classes_of(3))), "body.0"), segments(3)
    known = before(layer, excerpt)
    assert known.ready is None  # the convolution's own output is asked for, which the folded one does not make
    found, expected = known.maps(layer, excerpt), by_hooks(layer, excerpt)
    torch.testing.assert_close(found, expected, rtol=0, atol=rounding(expected))


def test_networks_that_somebody_watches_are_used_as_they_are(copying):
    classifier, calls = convolutional(), []
    prepared = Prepared(classifier)
    layer = Layer("gradcam", prepared, "features.4")
    assert before(layer, segments(3)).ready is not None
    classifier.network.features[0].register_forward_hook(lambda *_: calls.append(1))
    with prepared.working():
        known = before(layer, segments(3))
    assert known.ready is None
    calls.clear()
    known.maps(layer, segments(3))
    assert calls == [1]


def changes():
    def weight(network):
        network.features[3].weight.data[2, 1, 1, 1] += 0.5  # counts up no version

    def norm(network):
        network.features[1].running_mean += 0.5

    def step(network):
        with torch.no_grad():
            network.features[0].weight *= -1

    def whole(network):
        network.features[0].weight = nn.Parameter(network.features[0].weight.flip(0))

    def module(network):
        network.features[2] = nn.Tanh()

    return [weight, norm, step, whole, module]


@pytest.mark.parametrize("change", changes())
def test_a_changed_network_is_noticed(change, copying):
    classifier, excerpt = convolutional(), segments(3)
    gradcam, targets = parse("gradcam"), [[Target(1)]] * 3
    prepared = Prepared(classifier)
    before_it = gradcam.attribute(prepared, excerpt, targets)
    change(classifier.network)
    fresh = convolutional()
    change(fresh.network)
    found, expected = (gradcam.attribute(one, excerpt, targets) for one in (prepared, Prepared(fresh)))
    for one, same, other in zip(found, expected, before_it, strict=True):
        np.testing.assert_array_equal(one.values, same.values)
        assert not np.allclose(one.values, other.values, rtol=1e-3)


def test_a_network_that_changes_its_input(copying):
    class Changes(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = convolutional().network.features

        def forward(self, x):
            x -= 1.0
            return self.body(x[:, None]).mean(dim=(2, 3))

    layer, excerpt = Layer("gradcam", Prepared(ToyClassifier(Changes().eval(), classes_of(8))), "body.4"), segments(3)
    kept = excerpt.values.copy()
    known = before(layer, excerpt)
    np.testing.assert_array_equal(excerpt.values, kept)
    assert known.ready is not None
    found = known.maps(layer, excerpt.take([0, 1, 2]))
    expected = by_hooks(layer, excerpt.take([0, 1, 2]))
    torch.testing.assert_close(found, expected, rtol=0, atol=rounding(expected))


def test_of_a_network_with_modules_that_take_no_hooks_nothing_is_known(copying):
    class Closed(nn.Tanh):
        """As scripted modules are."""

        def register_forward_hook(self, *_arguments, **_named):
            raise RuntimeError("not supported")

    classifier, plain, excerpt = convolutional(), convolutional(), segments(3)
    classifier.network.head[1] = Closed()
    assert before(Layer("gradcam", Prepared(classifier), "features.4"), excerpt) is None
    assert not any(module._forward_hooks for module in classifier.network.modules())
    one, other = (parse("gradcam").attribute(each, excerpt, [[Target(1)]] * 3)[2] for each in (classifier, plain))
    np.testing.assert_allclose(one.native, other.native, rtol=0, atol=rounding(other.native))


def test_layers_and_sizes_are_told_apart(copying):
    classifier = Prepared(convolutional())
    for name, frames in (("features.4", 12), ("features.2", 12), ("features.2", 16), ("features.4", 12)):
        layer, excerpt = Layer("gradcam", classifier, name), segments(3, frames=frames)
        found, expected = before(layer, excerpt).maps(layer, excerpt), by_hooks(layer, excerpt)
        torch.testing.assert_close(found, expected, rtol=0, atol=rounding(expected))


def test_a_network_is_not_kept_alive(copying):
    classifier = convolutional()
    parse("gradcam").attribute(classifier, segments(3), [[Target(1)]] * 3)
    watched = weakref.ref(classifier.network)
    del classifier
    gc.collect()
    assert watched() is None
