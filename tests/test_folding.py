"""A copy whose convolutions do their norms' work: the same logits, the same gradients, the same weights to learn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from earwitness.models.network import Network
from earwitness.training import loop
from earwitness.training.folded_norms import folded
from earwitness.training.loop import train
from earwitness.training.recipes import Recipe
from tiny_sounds import made_data, new_classifier

KEPT = Recipe(epochs=1, batch=8, learning_rate=2e-3, keep_norms=True)


def norms(network):
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def normed(backbone, seed):
    """A network in float64, so that what is compared is not rounding, with norms of their own numbers."""
    network = new_classifier(backbone).network.double()
    random = torch.Generator().manual_seed(seed)
    for norm in norms(network):
        size = norm.running_mean.shape
        norm.running_mean.copy_(0.3 * torch.randn(size, generator=random))
        norm.running_var.copy_(0.5 + torch.rand(size, generator=random))
        norm.weight.data.copy_(0.5 + torch.rand(size, generator=random))
        norm.bias.data.copy_(0.3 * torch.randn(size, generator=random))
    return learning(network)


def learning(network):
    network.train()
    for norm in norms(network):
        norm.eval()
    return network


def gradients(learner, network, x, labels):
    network.zero_grad()
    torch.manual_seed(3)  # of dropout
    cross_entropy(learner(x), labels).backward()
    return {name: weight.grad.clone() for name, weight in network.named_parameters()}


@pytest.mark.parametrize("backbone", ["compact", "mn04"])
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), count=st.integers(1, 4))
def test_gradients_are_those_of_the_plain_network(backbone, seed, count):
    network = normed(backbone, seed)
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 32, new_classifier(backbone).front_end.bands, generator=random, dtype=torch.float64)
    labels = torch.randint(3, (count,), generator=random)
    learner = folded(network, x)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in learner.features[0])
    plain, ours = (gradients(each, network, x, labels) for each in (network, learning(learner)))
    for name, expected in plain.items():
        torch.testing.assert_close(
            ours[name], expected, rtol=1e-6, atol=1e-9 * float(expected.abs().max() + 1), msg=name
        )


def test_the_network_is_left_as_it_was():
    network = normed("compact", 0)
    names, modes = list(network.state_dict()), [module.training for module in network.modules()]
    learner = folded(network, torch.zeros(1, 32, 64, dtype=torch.float64))
    assert list(network.state_dict()) == names
    assert [module.training for module in network.modules()] == modes
    assert {id(weight) for weight in learner.parameters()} == {id(weight) for weight in network.parameters()}
    assert {id(buffer) for buffer in learner.buffers()} == {id(buffer) for buffer in network.buffers()}


def test_a_network_without_norms_is_its_own():
    network = new_classifier("vggish").network
    assert folded(network, torch.zeros(1, 96, 64)) is network


class Elsewhere(Network):
    """Looks at the convolution before its norm has run."""

    def __init__(self):
        super().__init__()
        self.pair = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))
        self.pair[1].running_mean.fill_(5.0)

    def embed(self, segments):
        before = self.pair[0](segments.unsqueeze(1))
        return (before * self.pair[1](before)).mean(dim=(2, 3))

    def head(self, embeddings):
        return embeddings

    def head_parameters(self):
        return []


def test_a_layer_that_has_another_use_is_noticed():
    network = Elsewhere().eval()
    assert folded(network, torch.ones(2, 8, 8)) is network


def test_only_norms_that_keep_their_numbers_are_folded():
    data = made_data()
    kept, learns, head = (
        loop._Loop(new_classifier(), data, replace(KEPT, keep_norms=keep), 0, freeze)
        for keep, freeze in ((True, False), (False, False), (True, True))
    )
    assert kept.learner is not kept.network
    assert learns.learner is learns.network
    assert head.learner is head.network


@pytest.mark.parametrize("backbone", ["compact", "mn04"])
def test_a_training_begins_the_plain_ones_way(backbone, monkeypatch):
    def losses():
        classifier = new_classifier(backbone)
        history = train(classifier, made_data(classifier.front_end), KEPT, seed=1)
        return [row.train_loss for row in history[:2]]  # later ones hang on rounding: these norms tame nothing

    ours = losses()
    monkeypatch.setattr(loop, "folded", lambda network, _segments: network)
    assert ours == pytest.approx(losses(), rel=0.02)
