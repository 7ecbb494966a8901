"""Convolutions with fewer products make the same maps; which convolutions take them, and on which processors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from earwitness.explainers.attribution import Target
from earwitness.explainers.inference import fused
from earwitness.explainers.inference.optimised import Swift, swift
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.inference.winograd import FEWEST_SEGMENTS, spare_products
from earwitness.explainers.perturbation import precision
from earwitness.explainers.perturbation.occlusion import Occlusion
from explain_toys import real, real_segments
from rounding import DEEP, rounding


def drawn(seed, count, height, width, **options):
    generator = torch.Generator().manual_seed(seed)
    conv = nn.Conv2d(128, 130, 3, **{"padding": 1, **options})
    with torch.no_grad():
        for each in conv.parameters():
            each.copy_(torch.randn(each.shape, generator=generator))
    return conv, torch.randn(count, 128, height, width, generator=generator)


@given(st.integers(4, 6), st.integers(1, 11), st.integers(1, 11), st.booleans(), st.integers(0, 9))
def test_fewer_products_give_the_same_convolution(count, height, width, bias, seed):
    conv, x = drawn(seed, count, height, width, bias=bias)
    with torch.no_grad():
        exact, plain = conv.double()(x.double()), conv.float()(x)
        network = nn.Sequential(conv)
        assert spare_products(network) == 1
        found = network(x)
    assert not torch.equal(found, plain) or found.numel() < 200  # another order of sums
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=rounding(exact, units=DEEP))


@given(st.integers(1, 9), st.integers(1, 9), st.booleans(), st.integers(0, 9))
def test_fewer_products_in_bfloat16_are_as_rough_as_they_are_said_to_be(height, width, bias, seed):
    conv, x = drawn(seed, 4, height, width, bias=bias)
    x = x.bfloat16()
    with torch.no_grad():
        exact = conv.double()(x.double())
        network = nn.Sequential(conv.float())
        assert spare_products(network, torch.bfloat16) == 1
        found = network(x)
    assert found.dtype == torch.bfloat16
    assert 0.001 < float((found - exact).norm() / exact.norm()) < 0.02  # 0.027 with the paper's points


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(128, 128, 3),
        nn.Conv2d(128, 128, 3, padding=1, stride=2),
        nn.Conv2d(128, 128, 3, padding=1, groups=2),
        nn.Conv2d(128, 128, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(128, 128, 5, padding=1),
        nn.Conv2d(64, 128, 3, padding=1),
        nn.Conv2d(128, 128, 3, padding=1).double(),
    ],
)
def test_other_convolutions_stay_as_they_are(conv):
    assert spare_products(nn.Sequential(conv)) == 0
    assert type(conv) is nn.Conv2d


def test_few_segments_and_gradients_take_the_plain_way():
    conv, x = drawn(0, FEWEST_SEGMENTS, 8, 8)
    network = nn.Sequential(conv)
    with torch.no_grad():
        expected = conv(x)
    spare_products(network)
    with torch.no_grad():
        torch.testing.assert_close(network(x[:1]), expected[:1], rtol=0, atol=rounding(expected))
    torch.testing.assert_close(network(x.requires_grad_()), expected, rtol=0, atol=rounding(expected))


# What processors have, and what VGGish's copy then does in float32 and in bfloat16: fewer products, packed weights.
PROCESSORS = {
    (): ((True, False), (True, False)),
    ("AVX2",): ((True, False), (True, False)),
    ("AVX2", "AVX-512", "bfloat16"): ((True, True), (True, True)),
    ("AVX2", "AVX-512", "bfloat16", "AMX"): ((True, True), (False, True)),
}


@pytest.mark.parametrize("has", PROCESSORS, ids=lambda has: has[-1] if has else "none")
def test_each_processor_takes_the_way_that_is_its_fastest(has, monkeypatch):
    packed = []
    monkeypatch.setattr(fused, "features", lambda: has)
    # What the processor at hand does not know how to pack is laid otherwise: what is asked for counts.
    monkeypatch.setattr(fused, "pack_convolutions", lambda network, dtype: packed.append(dtype) or False)
    for number, (spares, packs) in zip(("float32", "bfloat16"), PROCESSORS[has], strict=True):
        packed.clear()
        ready = swift(Prepared(real("vggish")), real_segments("vggish", 1), number)
        assert (ready.sparing, bool(packed), ready.precision) == (spares, packs, number)


def test_where_fewer_products_are_too_rough_plain_ones_are_tried(monkeypatch):
    classifier, excerpt = Prepared(real("vggish")), real_segments("vggish", 1)
    asked = []

    def judged(*arguments):
        asked.append(arguments[-1].sparing)
        return 0.98 if arguments[-1].sparing else 0.995

    monkeypatch.setattr(precision, "agreement", judged)
    monkeypatch.setattr(fused, "features", lambda: ())
    heard, logits_of = [], Swift.logits
    monkeypatch.setattr(Swift, "logits", lambda self, x: heard.append(self.sparing) or logits_of(self, x))
    explainer = Occlusion(mask=0.5, stride=0.5, precision="bfloat16", score="logit")
    (found,) = explainer.attribute(classifier, excerpt, [[Target(0)]])
    assert asked == [True, False]
    assert (found.precision, found.diagnostics["precision_agreement"]) == ("bfloat16", 0.995)
    assert heard[-1] is False  # trials are heard before
