"""FullGrad: the score as the sum of what the input and each bias add, laid where they are added."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from earwitness.explainers.attribution import NOT_CONVERGED, Target
from earwitness.explainers.registry import parse
from earwitness.models.registry import BACKBONES
from earwitness.models.vggish import initialise_he
from explain_toys import ToyClassifier, classes_of, segments


class Rectified(nn.Module):
    """Convolutions, a batch norm, pooling and dense layers: straight lines and ReLUs alone."""

    def __init__(self, turned=False):
        super().__init__()
        self.turned = turned
        self.map_axes = ("frequency", "time") if turned else ("time", "frequency")
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.features = nn.Sequential(
                nn.Conv2d(1, 6, 3, padding=1),
                nn.BatchNorm2d(6),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(6, 8, 3),
                nn.ReLU(),
            )
            self.head = nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3))
            for module in (self.features[0], self.features[1], self.features[4], *self.head[::2]):
                nn.init.normal_(module.bias)
            self.features[1].running_mean.normal_()
            self.features[1].running_var.uniform_(0.5, 2.0)

    def forward(self, x):
        x = x.transpose(1, 2) if self.turned else x
        maps = self.features(x[:, None])
        return self.head(maps.mean(dim=(2, 3)) + maps.amax(dim=(2, 3)))


def gradients_by_bias(network, excerpt, target):
    """What each bias adds, by the gradient of the bias itself, which autograd knows: name -> share of the score."""
    network.zero_grad()
    network(torch.from_numpy(excerpt.values).double())[0, target].backward()
    return {
        name: float((each.grad * each.detach()).sum()) for name, each in network.named_parameters() if "bias" in name
    }


@pytest.mark.parametrize("turned", [False, True])
def test_the_map_and_the_dense_biases_add_up_to_the_score(turned):
    network, excerpt = Rectified(turned).eval().double(), segments(1, 12, 10)
    classifier = ToyClassifier(network, classes_of(3))
    for target in range(3):
        (found,) = parse("fullgrad").attribute(classifier, excerpt, [[Target(target)]])
        dense = sum(each for name, each in gradients_by_bias(network, excerpt, target).items() if "head" in name)
        assert abs(dense) > 1e-3
        assert found.values.sum(dtype=float) == pytest.approx(found.score - dense, abs=1e-5)
        assert found.diagnostics["gap"] == pytest.approx(dense, abs=1e-5)
        assert NOT_CONVERGED not in found.flags


def test_a_bias_lies_where_it_is_added():
    """One convolution that sees nothing but its bias, and a head that looks at one place alone."""

    class OnePlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(1, 2, 2, stride=2)
            nn.init.zeros_(self.layer.weight)
            nn.init.constant_(self.layer.bias, 3.0)

        def forward(self, x):
            maps = self.layer(x[:, None]).relu()
            return torch.stack([maps[:, :, 1, 2].sum(dim=1), maps[:, 0, 0, 0] - maps[:, 1, 0, 1]], dim=1)

    found = parse("fullgrad").attribute(
        ToyClassifier(OnePlace().eval(), classes_of(2)), segments(1, 8, 8), [[Target(0), Target(1)]]
    )
    expected = np.zeros((2, 8, 8))
    expected[0, 2:4, 4:6] = 6.0 / 4  # two channels' biases over the four cells that the place covers
    expected[1, :2, :2], expected[1, :2, 2:4] = 3.0 / 4, -3.0 / 4
    for one, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.values, wanted, atol=1e-6)


@pytest.mark.parametrize("backbone", ["compact", "vggish"])
def test_our_networks_add_up(backbone):
    line = BACKBONES[backbone]
    network = line.build(3).eval()
    initialise_he(network, 0)
    with torch.no_grad():
        network.standardise.set(-2.0, 1.5)
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d) and module.bias is not None:
                module.bias.fill_(0.05)
    excerpt = segments(1, 96, 64)
    (found,) = parse("fullgrad").attribute(ToyClassifier(network.double(), classes_of(3)), excerpt, [[Target(1)]])
    assert abs(found.score) > 1e-3
    assert abs(found.diagnostics["gap"]) < 1e-4 * np.abs(found.values).sum()  # dense biases are 0
    assert found.values.sum(dtype=float) == pytest.approx(found.score, abs=1e-4 * float(np.abs(found.values).sum()))


def test_other_activations_are_flagged():
    network = nn.Sequential(
        nn.Unflatten(1, (1, 12)), nn.Conv2d(1, 4, 3), nn.Hardswish(), nn.Flatten(), nn.Linear(240, 2)
    )
    classifier = ToyClassifier(network.eval(), classes_of(2))
    (found,) = parse("fullgrad").attribute(classifier, segments(1, 12, 8), [[Target(0)]])
    assert NOT_CONVERGED in found.flags
