"""A network's twin answers what the network answers, and leaves it as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from earwitness.core.processor import features
from earwitness.explainers.inference.fused import (
    convolutions,
    lay_channels_last,
    pack_convolutions,
    pack_dense,
    twin_of,
)
from explain_toys import real, real_segments
from rounding import DEEP, rounding


def laid(twin):
    lay_channels_last(twin)


def packed(twin):
    assert pack_convolutions(twin)
    pack_dense(twin, 2**10)


@pytest.mark.parametrize("change", [lambda _twin: None, laid, packed])
@pytest.mark.parametrize("backbone", ["vggish", "mn04", "compact"])
def test_a_twin_answers_alike_and_the_network_stays_as_it_is(backbone, change):
    network, x = real(backbone).network, torch.tensor(real_segments(backbone, 3).values)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    places = [weight.data_ptr() for weight in network.parameters()]
    kinds = [type(module) for module in network.modules()]
    with torch.inference_mode():
        expected = network(x)
    twin = twin_of(network)
    change(twin)
    with torch.inference_mode():
        found, again = twin(x), network(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=rounding(expected, units=DEEP))
    assert torch.equal(again, expected)
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    assert places == [weight.data_ptr() for weight in network.parameters()]
    assert kinds == [type(module) for module in network.modules()]
    assert not set(twin.modules()) & set(network.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in twin.modules())


def test_weights_that_stay_are_shared():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 3)).eval()
    twin = twin_of(network)
    assert twin[2].weight is network[2].weight
    assert twin[0].weight is not network[0].weight
    assert len(convolutions(twin)) == len(convolutions(network)) == 2


def test_modules_that_refuse_to_be_pickled_have_twins_too():
    network = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 2, 3)), nn.ReLU()).eval()
    x = torch.randn(1, 1, 5, 5)
    torch.testing.assert_close(twin_of(network)(x), network(x))


def test_hooks_of_a_twin_are_its_own():
    network, calls = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()).eval(), []
    twin = twin_of(network)
    for module in twin.modules():
        module.register_forward_hook(lambda *_: calls.append("twin"))
    network(torch.zeros(1, 1, 4, 4))
    assert calls == []
    twin(torch.zeros(1, 1, 4, 4))
    assert calls == ["twin"] * 3


class Remembering(nn.Module):
    """Reaches a layer by another name, and remembers what depends on weights."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU())
            self.last = nn.Conv2d(3, 1, 1)
        self.body[1].running_mean.fill_(0.5)
        self.again, self.sums = [self.last], {}

    def forward(self, x):
        if "sum" not in self.sums:
            self.sums["sum"] = self.body[0].bias.sum()
        return self.again[0](self.body(x))


def test_what_a_network_holds_besides_weights_is_the_twins_own():
    network, x = Remembering().eval(), torch.ones(1, 1, 4, 4)
    twin = twin_of(network)
    with torch.no_grad():
        found = twin(x)
        assert set(twin.sums) == {"sum"}
        assert network.sums == {}
        torch.testing.assert_close(found, network(x))
    assert twin.again[0] is twin.last


@pytest.mark.parametrize("place", ["learning", "without statistics"])
def test_norms_that_look_at_the_batch_are_not_folded(place):
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=place == "learning")).eval()
    network[1].train(place == "learning")
    assert isinstance(twin_of(network)[1], nn.BatchNorm2d)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Hardswish, nn.SiLU])
def test_convolutions_apply_the_activations_after_them(activation):
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        activation(),
        nn.Conv2d(8, 8, 3, stride=2, groups=8),
        nn.Tanh(),
    ).eval()
    x = torch.randn(2, 1, 12, 8)
    # oneDNN packs bfloat16 where there is AVX-512 to take it apart.
    for dtype in (torch.float32, torch.bfloat16) if "AVX-512" in features() else (torch.float32,):
        twin = twin_of(network)
        assert pack_convolutions(twin, dtype)
        assert [type(twin[place]) for place in (1, 2, 4)] == [nn.Identity, nn.Identity, nn.Tanh]
        with torch.inference_mode():
            expected, found = network(x), twin(x)
        assert found.dtype == dtype
        # Three roundings of weights, of what lies between and of the sum of eight or nine products.
        rounding = torch.finfo(dtype).eps * float(expected.abs().max())
        torch.testing.assert_close(found.float(), expected, rtol=0, atol=8 * rounding)


def test_a_convolution_in_two_places_applies_each_places_activation():
    conv = nn.Conv2d(2, 2, 1)
    network = nn.Sequential(
        nn.Sequential(conv, nn.ReLU()), nn.Sequential(conv, nn.Hardswish()), nn.Sequential(conv, nn.Tanh())
    ).eval()
    twin, x = twin_of(network), torch.randn(1, 2, 4, 4)
    assert pack_convolutions(twin)
    with torch.inference_mode():
        torch.testing.assert_close(twin(x), network(x))
    assert [type(place[1]) for place in twin] == [nn.Identity, nn.Identity, nn.Tanh]


@pytest.mark.parametrize(
    "conv", [nn.Conv2d(1, 2, 3, padding="same"), nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular")]
)
def test_convolutions_that_cannot_be_packed_keep_their_activations(conv):
    network = nn.Sequential(conv, nn.ReLU()).eval()
    twin, x = twin_of(network), torch.randn(1, 1, 6, 6)
    assert not pack_convolutions(twin)
    with torch.inference_mode():
        torch.testing.assert_close(twin(x), network(x))


def test_layers_that_are_used_twice_are_changed_where_they_may_be():
    conv, relu = nn.Conv2d(2, 2, 1), nn.ReLU()
    network = nn.Sequential(nn.Sequential(conv, nn.BatchNorm2d(2), relu), nn.Sequential(relu, conv)).eval()
    network[0][1].running_mean.fill_(0.5)
    twin, x = twin_of(network), torch.randn(1, 2, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(twin(x), network(x))
    assert twin[1][1].weight is conv.weight
    assert (twin[0][2].inplace, twin[1][0].inplace, relu.inplace) == (True, False, False)
