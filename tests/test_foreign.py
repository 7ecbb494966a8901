"""Every method on a network that earwitness has never seen, with a front end of its own, through the thin adapter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from earwitness.audio.segments import Segments
from earwitness.audio.timefreq import Clock
from earwitness.core.errors import UsageError
from earwitness.explainers.attribution import Target
from earwitness.explainers.registry import METHODS, parse
from earwitness.models.adapter import Adapter, ForeignFrontEnd
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


@pytest.mark.parametrize("method", sorted(METHODS))
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
    assert found.parameters["layer"] == "inner.4"


def test_a_layer_is_named_as_in_the_foreign_network_or_chosen_by_its_full_name():
    (own,) = parse("gradcam").attribute(adapted(), decibels().take([1]), [[Target(0)]])
    (named,) = parse("gradcam:layer=inner.4").attribute(adapted(), decibels().take([1]), [[Target(0)]])
    np.testing.assert_array_equal(own.values, named.values)
    with pytest.raises(UsageError, match=r"gradcam: layer 'inner.9' is unknown; these would do: inner.0"):
        parse("gradcam:layer=inner.9").attribute(adapted(), decibels(), [[Target(0)]] * 2)
    with pytest.raises(UsageError, match=r"the network names no feature_layer; these would do: inner.0"):
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
    with pytest.raises(UsageError, match="activation 'tanh' does not do; use softmax or sigmoid"):
        adapted(activation="tanh")
