"""A seal notices whatever changes a network, and nothing else."""

from __future__ import annotations

import copy
import gc
import weakref

import pytest
import torch
from torch import nn

from earwitness.explainers.inference.fingerprint import Seal
from explain_toys import convolutional


def trained(network):
    network.train()
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
    network(torch.randn(2, 12, 8)).sum().backward()
    optimiser.step()
    network.eval()


def loaded(network):
    network.load_state_dict({name: value + 1 for name, value in network.state_dict().items()})


def assigned(network):
    network.load_state_dict({name: value.clone() for name, value in network.state_dict().items()}, assign=True)


def through_data(network):
    network.features[3].weight.data[2, 1, 1, 1] += 0.5  # counts up no version


def turned(network):
    network.features[3].weight.data = network.features[3].weight.data.transpose(2, 3)  # the same numbers where they lay


def in_another_order(network):
    network.features[3].weight.data.copy_(network.features[3].weight.data.flip(0))


def another_tensor(network):
    network.features[0].weight = nn.Parameter(network.features[0].weight.flip(0))


def a_norm(network):
    network.features[1].running_mean += 0.5


def another_module(network):
    network.features[2] = nn.Tanh()


def watched(network):
    network.features[2].register_forward_hook(lambda *_: None)


def watched_before(network):
    network.features[2].register_forward_pre_hook(lambda *_: None)


def answered_for(network):
    network.features[2].forward = torch.tanh


CHANGES = [trained, loaded, assigned, through_data, turned, in_another_order, another_tensor, a_norm, another_module]


@pytest.mark.parametrize("change", [*CHANGES, watched, watched_before, answered_for])
def test_a_change_is_noticed(change):
    network = convolutional().network
    seal = Seal(network)
    assert seal.holds(network)
    change(network)
    assert not seal.holds(network)
    assert Seal(network).holds(network)


def test_use_is_no_change():
    network = convolutional().network
    seal = Seal(network)
    with torch.no_grad():
        network(torch.randn(2, 12, 8))
    network(torch.randn(2, 12, 8)).sum().backward()
    network.train().eval()
    assert seal.holds(network)


def test_a_module_with_the_id_of_one_that_is_gone_is_another():
    network = nn.Sequential(nn.Linear(3, 3), nn.LeakyReLU(0.1))
    seal, old = Seal(network), id(network[1])
    network[1] = nn.Identity()
    others = [nn.LeakyReLU(0.5) for _ in range(100)]
    network[1] = next((other for other in others if id(other) == old), others[0])
    assert not seal.holds(network)


def test_weights_of_every_kind_are_looked_at():
    network = nn.Linear(300, 300)
    wide = torch.zeros(40, 100)
    kinds = {
        "one for all": torch.ones(1).expand(70, 70),
        "none": torch.zeros(0),
        "count": torch.tensor(3),
        "with gaps": wide[:, 1::2],
        "over one another": torch.arange(90.0)[50:].expand(30, 40),
        "complex": torch.ones(5, dtype=torch.complex64),
    }
    with torch.inference_mode():
        kinds["still"] = torch.ones(5)
    for name, values in kinds.items():
        network.register_buffer(name, values)

    def changed(name, change):
        seal = Seal(network)
        assert seal.holds(network)
        change(network.get_buffer(name).data)
        return not seal.holds(network)

    assert changed("one for all", lambda values: values[:1, :1].fill_(2.0))
    assert changed("count", lambda values: values.fill_(4))
    assert changed("with gaps", lambda values: values[-1:].fill_(1.0))
    assert changed("over one another", lambda values: values[:1, -1:].fill_(0.0))
    assert changed("complex", lambda values: values.imag.fill_(1.0))
    with torch.inference_mode():
        assert changed("still", lambda values: values.fill_(2.0))


def test_large_weights_are_looked_at_in_many_places():
    network = nn.Linear(400, 400)
    for change in (
        lambda weight: weight.copy_(weight.T.clone()),
        lambda weight: weight[:2].add_(1.0),  # rows
        lambda weight: weight[:, 7].add_(1.0),  # a column
    ):
        seal = Seal(network)
        change(network.weight.data)
        assert not seal.holds(network)


def test_a_network_is_not_held():
    network = convolutional().network
    seal, gone = Seal(network), weakref.ref(network)
    other = copy.deepcopy(network)
    del network
    gc.collect()
    assert gone() is None
    assert not seal.holds(other)
