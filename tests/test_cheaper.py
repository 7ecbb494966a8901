"""Cheaper settings of methods: for checks that apply one dozens of times, for scoreboards of hundreds of segments."""

from __future__ import annotations

import pytest

import explain_toys as toys
from earwitness.explainers.attribution import Target
from earwitness.explainers.baselines import BASELINES
from earwitness.explainers.parameters import spec
from earwitness.explainers.registry import METHODS, parse, without_attention
from earwitness.trust.scoreboard.collect import PRESETS

QUICK = {
    "gradcam": "gradcam",
    "ablationcam": "ablationcam",
    "eigencam": "eigencam",
    "eigengradcam": "eigengradcam",
    "gradcampp": "gradcampp",
    "hirescam": "hirescam",
    "layercam": "layercam",
    "scorecam": "scorecam",
    "xgradcam": "xgradcam",
    "rollout": "rollout",
    "attentionrelevance": "attentionrelevance",
    "saliency": "saliency",
    "inputxgradient": "inputxgradient",
    "integratedgradients": "integratedgradients:steps=16",
    "smoothgrad": "smoothgrad:samples=12",
    "deeplift": "deeplift",
    "guidedbackprop": "guidedbackprop",
    "fullgrad": "fullgrad",
    "lime": "lime:samples=257,design=hadamard",
    "occlusion": "occlusion",
    "rise": "rise:samples=513,design=hadamard",
    "shapley": "shapley:samples=290",
    "kernelshap": "kernelshap:samples=290",
    "lime:samples=60": "lime:samples=60",
    "lime:samples=258": "lime:samples=257,design=hadamard",
    "lime:samples=257": "lime:samples=257",
    "lime:grid=10x10": "lime:grid=10x10,samples=525,design=hadamard",
    "lime:grid=5x5": "lime:grid=5x5,samples=257,design=hadamard",
    "lime:parts=superpixels,features=100": "lime:parts=superpixels,features=100,samples=525,design=hadamard",
    "lime:parts=time,grid=10x10": "lime:parts=time,grid=10x10,samples=525,design=hadamard",
    "lime:fill2=floor,samples=100": "lime:samples=100",
    "lime:fill2=floor": "lime:samples=257,design=hadamard",
    "lime:preset=fast": "lime:samples=257,design=hadamard",
    "rise:keep=0.3": "rise:samples=513,keep=0.3",
    "rise:grid=14x14,samples=2000,fill2=noise": "rise:grid=14x14,samples=2000",
    "rise:grid=14x14": "rise:grid=14x14,samples=2052,design=hadamard",
    "rise:preset=fast": "rise:samples=513,design=hadamard",
    "shapley:grid=9x9": "shapley:grid=9x9,samples=480",
    "shapley:samples=200": "shapley:samples=200",
    "shapley:tolerance=0.1,fill2=floor": "shapley:samples=290,tolerance=0.1",
    "kernelshap:sizes=even,grid=8x10": "kernelshap:grid=8x10,samples=474,sizes=even",
    "kernelshap:parts=bands": "kernelshap:parts=bands,samples=290",
    "smoothgrad:samples=12": "smoothgrad:samples=12",
    "smoothgrad:samples=13,noise=0.2": "smoothgrad:samples=12,noise=0.2",
    "integratedgradients:steps=16": "integratedgradients:steps=16",
    "integratedgradients:steps=128,fill=mean": "integratedgradients:steps=16,fill=mean",
    "occlusion:fill2=floor": "occlusion",
    "occlusion:fill2=noise,mask=0.3": "occlusion:mask=0.3",
    "scorecam:weights=increase": "scorecam:weights=increase",
}
# What scoreboards have in place of a method's own settings.
SCOREBOARD = {
    "quick": {
        "integratedgradients": "integratedgradients:steps=16",
        "smoothgrad": "smoothgrad:samples=16",
        "lime": "lime:samples=128",
        "rise": "rise:samples=128",
        "shapley": "shapley:samples=128",
        "kernelshap": "kernelshap:samples=128",
    },
    "full": {"rise": "rise:samples=2048"},
}


def test_every_method_is_here():
    assert set(METHODS) <= set(QUICK)


@pytest.mark.parametrize(("method", "cheap"), QUICK.items())
def test_costly_methods_are_made_cheaper(method, cheap):
    assert spec(parse(method).quick()) == cheap


@pytest.mark.parametrize(("method", "cheap"), QUICK.items())
def test_what_is_cheap_stays_as_it_is(method, cheap):
    assert parse(cheap).quick() == parse(cheap)
    assert parse(cheap).quick().name == parse(method).name


@pytest.mark.parametrize("baseline", BASELINES.values())
def test_baselines_cost_next_to_nothing(baseline):
    assert baseline().quick() == baseline().at_most(1) == baseline()


@pytest.mark.parametrize(
    "method", ["lime", "rise", "shapley", "kernelshap", "lime:grid=10x10", "lime:parts=superpixels"]
)
def test_cheaper_methods_work(method):
    assert len(parse(method).quick().attribute(toys.linear(40, 40), toys.segments(1, 40, 40), [[Target(0)]])) == 1


@pytest.mark.parametrize("preset", PRESETS)
def test_scoreboards_take_every_method_with_a_bounded_cost(preset):
    assert PRESETS[preset].methods() == tuple(SCOREBOARD[preset].get(name, name) for name in without_attention())
    assert set(METHODS) - set(without_attention()) == {"rollout", "attentionrelevance"}


@pytest.mark.parametrize("method", ["lime", "rise", "shapley:grid=3x3", "kernelshap:grid=3x3", "occlusion"])
def test_a_bound_on_passes_is_kept_by_what_draws_samples(method):
    explainer = parse(method)
    bounded = explainer.at_most(100)
    (found,) = bounded.attribute(toys.linear(), toys.segments(1), [[Target(0)]])
    assert found.forwards <= 100 or bounded == explainer == parse("occlusion")
    assert explainer.at_most(10**6) == explainer
