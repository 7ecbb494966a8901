"""A prepared classifier works on a network of its own, and several threads may explain over one network at once."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from earwitness.explainers.attribution import Target
from earwitness.explainers.inference.prepared import Prepared, prepare, working
from earwitness.explainers.perturbation.recording import explain_recording
from earwitness.explainers.registry import parse, without_attention
from explain_toys import Convolutional, ToyClassifier, classes_of, convolutional, segments
from test_unchanged import CHANGES, answered_for, watched

QUICK = {
    "lime": "lime:samples=64,grid=3x3",
    "rise": "rise:samples=40",
    "shapley": "shapley:grid=2x2",
    "kernelshap": "kernelshap:grid=2x2",
    "smoothgrad": "smoothgrad:samples=4",
    "integratedgradients": "integratedgradients:steps=8,budget=0",
}
SPECS = [QUICK.get(name, name) for name in without_attention()]
TARGETS = [[Target(0), Target(2, against=1)], [Target(1)], [Target(3)]]


def state_of(network):
    """Return what may not change of a network: modes, hooks, attributes, weights."""
    return {
        name: (
            module.training,
            getattr(module, "inplace", None),
            len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks),
            frozenset(vars(module)),
            tuple(float(weight.detach().sum()) for weight in module.parameters(recurse=False)),
            tuple(weight.requires_grad for weight in module.parameters(recurse=False)),
        )
        for name, module in network.named_modules()
    }


class Watch:
    """Held by a network and its copies alike: looks at the caller's network in every pass."""

    def __init__(self):
        self.network, self.before, self.passes = None, None, 0

    def __deepcopy__(self, memo):
        return self

    def look(self):
        if self.network is not None:
            assert state_of(self.network) == self.before
            self.passes += 1


class Watched(Convolutional):
    def __init__(self):
        super().__init__(inplace=True)
        self.watch = Watch()

    def forward(self, x):
        self.watch.look()
        return super().forward(x)


@pytest.mark.parametrize("spec", SPECS)
def test_the_callers_network_is_never_written_to(spec):
    network = Watched().train()
    network.watch.network, network.watch.before = network, state_of(network)
    found = parse(spec).attribute(ToyClassifier(network, classes_of(4)), segments(3), TARGETS)
    assert network.watch.passes > 0
    assert state_of(network) == network.watch.before
    plain = parse(spec).attribute(convolutional(inplace=True), segments(3), TARGETS)
    assert [one.values.tobytes() for one in found] == [one.values.tobytes() for one in plain]


@pytest.mark.parametrize("shared", [False, True], ids=["over one network", "over one prepared classifier"])
def test_two_threads_explain_as_one_after_the_other(shared):
    classifier = convolutional(inplace=True)
    given = Prepared(classifier) if shared else classifier
    jobs = [(spec, seed) for spec in SPECS for seed in range(2)]

    def explained(job):
        spec, seed = job
        return [one.values.tobytes() for one in parse(spec).attribute(given, segments(3, seed=seed), TARGETS)]

    expected = [explained(job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            assert list(pool.map(explained, jobs)) == expected


@pytest.mark.parametrize("kind", ["scripted", "answered for", "not to be copied"])
def test_a_network_that_cannot_be_copied_is_worked_on_and_given_back(kind):
    classifier, plain = convolutional(), convolutional()
    if kind == "scripted":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # as people's older models are
            classifier.network.head = torch.jit.script(classifier.network.head)
    elif kind == "answered for":
        own = classifier.network.head.forward
        classifier.network.head.forward = lambda x: own(x)
    else:

        class Closed:
            def __deepcopy__(self, memo):
                raise TypeError("cannot be copied")

        classifier.network.closed = Closed()
    before = {name: set(vars(module)) for name, module in classifier.network.named_modules()}
    network = classifier.network.train()
    assert prepare(classifier).network is network
    for spec in ("gradcam:layer=features.4", "ablationcam:layer=features.4", "occlusion:score=logit", "saliency"):
        for one, other in zip(
            *(parse(spec).attribute(each, segments(3), TARGETS) for each in (classifier, plain)), strict=True
        ):
            np.testing.assert_allclose(one.values, other.values, atol=2e-5 * np.abs(other.values).max())
    assert all(module.training for module in network.modules())
    assert {name: set(vars(module)) for name, module in network.named_modules()} == before


def test_weights_are_shared_and_ask_for_no_gradients():
    classifier = convolutional()
    prepared = prepare(classifier)
    assert prepare(prepared) is prepared
    for mine, theirs in zip(prepared.network.parameters(), classifier.network.parameters(), strict=True):
        assert mine.data_ptr() == theirs.data_ptr()
        assert (mine.requires_grad, theirs.requires_grad) == (False, True)
    with working(prepared) as same:
        assert same is prepared
        assert not any(module.training for module in same.network.modules())


@pytest.mark.parametrize("change", [*CHANGES, watched, answered_for], ids=lambda change: change.__name__)
@pytest.mark.parametrize("spec", ["saliency", "occlusion:score=logit"])
def test_whatever_changes_a_network_is_noticed(change, spec):
    classifier, fresh = convolutional(), convolutional()
    prepared = Prepared(classifier)
    parse(spec).attribute(prepared, segments(3), TARGETS)
    for each in (classifier, fresh):
        torch.manual_seed(0)
        change(each.network)
    found, expected = (parse(spec).attribute(each, segments(3), TARGETS) for each in (prepared, fresh))
    assert [one.values.tobytes() for one in found] == [one.values.tobytes() for one in expected]


def test_things_are_found_out_once_for_what_they_are_about():
    prepared, calls = Prepared(convolutional()), []

    def find():
        calls.append(1)
        return len(calls)

    assert [prepared.once("size", 3, find), prepared.once("size", 3, find)] == [1, 1]
    assert prepared.once("size", 4, find) == 2
    assert prepared.once("other", 4, find) == 3
    with torch.no_grad():
        prepared.classifier.network.head[2].bias += 1.0
    with prepared.working():
        assert prepared.once("size", 4, find) == 4


def test_a_recording_is_cut_as_the_prepared_classifier_cuts():
    class Cutting(ToyClassifier):
        segment_frames, overlap = 12, 75.0

    classifier = Cutting(Convolutional().eval(), classes_of(4))
    log_mel = segments(1, frames=36).values[0]
    found, same = (explain_recording(each, log_mel, [Target(1)])[0] for each in (classifier, Prepared(classifier)))
    assert found.values.tobytes() == same.values.tobytes()


def test_a_network_in_two_places_at_once_keeps_its_ties():
    network = Convolutional()
    network.again = network.head
    network.tied = nn.Linear(8, 16)
    network.tied.weight = network.head[0].weight
    copied = prepare(ToyClassifier(network, classes_of(4))).network
    assert copied.again is copied.head
    assert copied.tied.weight is copied.head[0].weight
