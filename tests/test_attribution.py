from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio.timefreq import cell_edges, nearest_cells
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.explainers.attribution import Attribution, Grid, Target, is_constant, is_silent
from earwitness.explainers.cam.grad_cam import GradCam
from earwitness.explainers.fills import FILLS
from earwitness.explainers.inference.scoring import LOG_ODDS, activated
from earwitness.explainers.method import FAMILIES, Need, check_needs
from earwitness.explainers.parameters import spec
from earwitness.explainers.perturbation.kernel_shap import KernelShap
from earwitness.explainers.perturbation.lime import Lime
from earwitness.explainers.perturbation.occlusion import Occlusion
from earwitness.explainers.perturbation.rise import Rise
from earwitness.explainers.perturbation.scoring import batches
from earwitness.explainers.perturbation.shapley import Shapley
from earwitness.explainers.registry import METHODS, catalogue, parse
from explain_toys import SILENCE, fitting, linear, scores_of, segments
from rounding import rounding

# Each method as it stands, or with parameters that make it quick on a segment of 12 x 8 cells.
SMALL = {name: name for name in METHODS} | {
    "lime": "lime:grid=3x3,samples=32",
    "integratedgradients": "integratedgradients:steps=256",
}


def one(method="lime", **changes):
    (found,) = parse(SMALL.get(method, method)).attribute(
        fitting(method), segments(1, real_frames=[9]), [[Target(1, against=0)]]
    )
    return dataclasses.replace(found, **changes)


def same(a, b):
    for item in dataclasses.fields(Attribution):
        first, second = getattr(a, item.name), getattr(b, item.name)
        if isinstance(first, np.ndarray):
            np.testing.assert_array_equal(first, second)
            assert first.dtype == second.dtype
        else:
            assert first == second, item.name


# ---- on disk ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", sorted(METHODS))
def test_saved_and_loaded_is_the_same(method, tmp_path):
    found = one(method)
    found.save(tmp_path / "map.npz")
    same(Attribution.load(tmp_path / "map.npz"), found)


def test_standard_error_and_odd_names_survive(tmp_path):
    found = one(standard_error=np.ones((3, 3), np.float32), file="b\udcffd/ü.wav", flags=())
    found.save(tmp_path / "map.npz")
    same(Attribution.load(tmp_path / "map.npz"), found)


def test_numpy_alone_reads_the_file(tmp_path):
    found = one()
    found.save(tmp_path / "map.npz")
    with np.load(tmp_path / "map.npz", allow_pickle=False) as archive:
        metadata = json.loads(str(archive["metadata"]))
        arrays = {"values", "native", "frame_edges", "band_edges", "standard_error"}
        axes = {"times", "frequencies", "time_edges", "frequency_edges"}
        assert set(archive.files) == {"metadata", "features", "importances"} | arrays | axes
        np.testing.assert_array_equal(archive["values"], found.values)
    assert metadata["method"] == "lime"
    assert metadata["target"] == {"index": 1, "against": 0}
    assert metadata["target_label"] == "class1 rather than class0"
    assert metadata["parameters"]["grid"] == [3, 3]
    assert metadata["flags"] == ["padded"]
    assert metadata["diagnostics"]["r2"] == found.diagnostics["r2"]


def test_the_same_attribution_gives_the_same_bytes(tmp_path):
    found = one()
    found.save(tmp_path / "a.npz")
    found.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_failed_save_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        one(score=float("nan")).save(tmp_path / "map.npz")
    assert list(tmp_path.iterdir()) == []


def write(path, damage):
    if damage == "missing":
        return
    if damage == "text":
        path.write_text("not an archive")
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "other arrays":
        np.savez(path, values=np.zeros(3))
    elif damage == "pickle":
        np.savez(path, metadata=np.array({"a": 1}, dtype=object))
    elif damage == "single array":
        with path.open("wb") as stream:
            np.save(stream, np.zeros(3))
    else:
        one().save(path)
        whole = path.read_bytes()
        if damage == "cut":
            path.write_bytes(whole[: len(whole) // 2])
        elif damage == "flipped":
            middle = len(whole) // 4
            path.write_bytes(
                whole[:middle] + bytes(255 - byte for byte in whole[middle : middle + 40]) + whole[middle + 40 :]
            )
        elif damage == "version":
            with np.load(path) as archive:
                stored = dict(archive)
            stored["metadata"] = np.array(str(stored["metadata"]).replace('"version": 2', '"version": 99'))
            np.savez(path, **stored)


@pytest.mark.parametrize(
    "damage",
    ["missing", "text", "empty", "other arrays", "pickle", "single array", "cut", "flipped", "version"],
)
def test_what_is_not_an_attribution_is_refused(damage, tmp_path):
    path = tmp_path / "map.npz"
    write(path, damage)
    with pytest.raises(EarwitnessError, match=r"map.npz: not a readable attribution .*; explain the recording again"):
        Attribution.load(path)


# ---- grids --------------------------------------------------------------------------------------------------------

SIDES = st.integers(1, 60).flatmap(lambda length: st.tuples(st.just(length), st.integers(1, length)))


@given(SIDES, SIDES)
def test_even_grid_is_the_clock_s(time, frequency):
    grid = Grid.even(time[0], frequency[0], time[1], frequency[1])
    np.testing.assert_array_equal(grid.frame_cells, nearest_cells(*time))
    np.testing.assert_array_equal(grid.band_edges, cell_edges(*frequency))
    assert grid.shape == (time[1], frequency[1])


@given(SIDES, SIDES)
def test_whole_grid_has_edges_between_cells(time, frequency):
    grid = Grid.whole(time[0], frequency[0], time[1], frequency[1])
    for edges, cells, (length, count) in (
        (grid.frame_edges, grid.frame_cells, time),
        (grid.band_edges, grid.band_cells, frequency),
    ):
        sizes = np.diff(edges)
        assert edges[0] == 0
        assert edges[-1] == length
        assert sizes.min() >= 1
        assert sizes.max() - sizes.min() <= 1
        np.testing.assert_array_equal(cells, np.repeat(np.arange(count), sizes.astype(int)))


@given(SIDES, SIDES)
def test_spreading_draws_each_native_cell(time, frequency):
    native = np.arange(time[1] * frequency[1], dtype=np.float32).reshape(time[1], frequency[1])
    grid = Grid.whole(time[0], frequency[0], time[1], frequency[1])
    spread = grid.spread(native)
    sizes = np.diff(grid.frame_edges).astype(int), np.diff(grid.band_edges).astype(int)
    np.testing.assert_array_equal(spread, native.repeat(sizes[0], axis=0).repeat(sizes[1], axis=1))


def test_rows_beyond_the_recording():
    grid = Grid.even(12, 8, 4, 2)
    assert grid.beyond(12).tolist() == [False] * 4
    assert grid.beyond(7).tolist() == [False, False, False, True]
    assert grid.beyond(6).tolist() == [False, False, True, True]


# ---- flags --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "real", "silent"),
    [(0.0, 10, True), (5e-4, 10, True), (0.5, 10, False), (0.5, 3, True), (0.5, 0, True)],
)
def test_silence(change, real, silent):
    segment = np.full((10, 4), SILENCE, np.float32)
    segment[5, 2] += change
    assert is_silent(segment, real, SILENCE) is silent


def test_a_constant_tone_is_silent_of_evidence():
    assert is_silent(np.full((10, 4), 1.5, np.float32), 10, SILENCE)


@pytest.mark.parametrize(
    ("values", "score", "constant"),
    [
        ([0, 0], 0.0, True),
        ([0, 1e-9], 1.0, True),
        ([0, 1e-9], 1e-9, False),
        ([5, 5.000001], 0.1, True),
        ([1, 2], 9, False),
    ],
)
def test_constant_maps(values, score, constant):
    assert is_constant(np.array([values], np.float32), 1, score) is constant


# ---- batches ------------------------------------------------------------------------------------------------------


@given(st.integers(0, 9), st.integers(1, 40), st.integers(1, 25))
def test_batches_hold_everything_once_and_are_never_too_large(count, each, size):
    seen = []
    for batch in batches(count, each, size):
        assert 0 < sum(piece.stop - piece.start for piece in batch) <= size
        seen += [(piece.segment, row) for piece in batch for row in range(piece.start, piece.stop)]
    assert seen == [(segment, row) for segment in range(count) for row in range(each)]


# ---- by name ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gradcam", GradCam()),
        ("gradcam:layer=features.0,score=probability,relu=true", GradCam("features.0", "probability", True)),
        ("lime:samples=512,grid=8x8", Lime(samples=512, grid=(8, 8))),
        (" lime: grid = 5 , seed=3 ", Lime(grid=(5, 5), seed=3)),
        ("lime:surrogate=tree,fill=-4.6,kernel=0.5", Lime(surrogate="tree", fill=-4.6, kernel=0.5)),
        ("occlusion:mask=20%,stride=10%", Occlusion()),
        ("occlusion:mask=19x13,stride=10x6,edges=whole", Occlusion(mask=(19, 13), stride=(10, 6), edges="whole")),
        ("occlusion:", Occlusion()),
        ("lime:preset=example", Lime(score="probability")),
        ("lime:preset=fast", Lime(samples=513, design="hadamard")),
        ("rise:preset=fast,grid=5", Rise(samples=1025, design="hadamard", grid=(5, 5))),
        ("kernelshap:sizes=kernel,preset=fast", KernelShap(samples=1024)),
        ("lime:seed=2,preset=fast,samples=361", Lime(samples=361, design="hadamard", seed=2)),
    ],
)
def test_parse(text, expected):
    assert parse(text) == expected
    assert parse(spec(expected)) == expected


def test_spec_leaves_defaults_out():
    assert spec(Lime()) == "lime"
    assert spec(Lime(grid=(8, 8), fill=0.5)) == "lime:grid=8x8,fill=0.5"
    assert spec(GradCam(relu=True)) == "gradcam:relu=true"


FILL = st.one_of(st.sampled_from(sorted(FILLS)), st.floats(-10, 10))
SIZE = st.one_of(st.floats(0.01, 1.0), st.tuples(st.integers(1, 99), st.integers(1, 99)))
EXPLAINERS = st.one_of(
    st.builds(GradCam, relu=st.booleans(), score=st.sampled_from(["logit", "probability"])),
    st.builds(Lime, samples=st.integers(2, 10**6), seed=st.integers(0, 2**40), ridge=st.floats(0, 10), fill=FILL),
    st.builds(Occlusion, mask=SIZE, stride=SIZE, fill=FILL, edges=st.sampled_from(["clip", "whole", "cover"])),
    st.builds(Rise, keep=st.floats(0.01, 0.99), fill=FILL, fill2=st.one_of(st.just("none"), FILL)),
    st.builds(KernelShap, sizes=st.sampled_from(["kernel", "even"]), soft=st.just(0), tolerance=st.floats(0, 1)),
    st.builds(Shapley, parts=st.sampled_from(["grid", "time", "bands"]), soft=st.integers(0, 9)),
)


@given(EXPLAINERS)
def test_spec_and_parse_are_inverse(explainer):
    assert parse(spec(explainer)) == explainer


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"'': no such method; choose one of {', '.join(sorted(METHODS))}"),
        ("shap", f"'shap': no such method (did you mean shapley?); choose one of {', '.join(sorted(METHODS))}"),
        (
            "lime:sample=5",
            "lime: unknown parameter 'sample=5' (did you mean samples?); write name=value with one of parts, grid",
        ),
        ("lime:samples", "lime: unknown parameter 'samples'"),
        ("lime:seed=1,seed=2", "lime: seed is given twice"),
        ("lime:samples=0", "lime: samples=0 does not do; use a whole number, 2 or more"),
        ("lime:samples=2.5", "samples=2.5 does not do"),
        ("lime:samples=many", "samples=many does not do"),
        ("lime:grid=0x7", "grid=0x7 does not do; use two whole numbers from 1 up"),
        ("lime:grid=1x2x3", "grid=1x2x3 does not do"),
        ("lime:kernel=0", "kernel=0 does not do; use a number above 0"),
        ("lime:ridge=-1", "ridge=-1 does not do; use a number from 0 up"),
        ("lime:ridge=nan", "ridge=nan does not do"),
        ("lime:surrogate=forest", "surrogate=forest does not do; use one of linear, lasso, tree"),
        ("lime:fill=loud", "lime: fill=loud does not do; use mean, band-mean, floor, noise, neighbours, or a number"),
        ("lime:fill=inf", "fill=inf does not do"),
        ("occlusion:mask=0", "mask=0 does not do; use a share of each side"),
        ("occlusion:mask=1.5", "mask=1.5 does not do"),
        ("occlusion:stride=120%", "stride=120% does not do"),
        ("occlusion:mask=3x", "mask=3x does not do"),
        ("occlusion:edges=wrap", "edges=wrap does not do; use one of clip, whole, cover"),
        ("lime:preset=slow", "lime: preset=slow does not do; use one of example, fast"),
        ("lime:design=random", "design=random does not do; use one of bernoulli, hadamard"),
        ("lime:tolerance=-1", "tolerance=-1 does not do; use a number from 0 up"),
        ("lime:tolerance=0.1,surrogate=tree", "needs the standard error, which surrogate=tree does not have"),
        ("lime:soft=-1", "soft=-1 does not do"),
        ("lime:fill2=loud", "fill2=loud does not do"),
        ("occlusion:preset=fast", "occlusion: preset=fast does not do; use one of example"),
        ("gradcam:relu=maybe", "relu=maybe does not do; use true or false"),
        ("gradcam:score=loss", "score=loss does not do; use one of logit, log-odds, probability"),
    ],
)
def test_wrong_specs(text, message):
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [lambda: Lime(samples=True), lambda: Lime(grid=(2.5, 3)), lambda: Occlusion(mask=None), lambda: Lime(fill=True)],
)
def test_wrong_python_values(make):
    with pytest.raises(UsageError, match="does not do"):
        make()


def test_catalogue_says_what_a_reader_needs():
    for summary in catalogue():
        assert METHODS[summary.name].name == summary.name
        assert summary.title
        assert any(character.isdigit() for character in summary.paper)
        assert "forward" in summary.cost
        assert summary.family in FAMILIES
        assert summary.needs == METHODS[summary.name].needs
        assert summary.needs
        for words in (summary.cost, summary.assumes, summary.misses):
            assert len(words.split()) > 5
            assert not words.endswith(".")
            assert words[0] == words[0].lower()
        assert all(name and text for name, _, text in summary.parameters)
    assert ("grid", "7x7", "parts along time and frequency") in {s.name: s.parameters for s in catalogue()}["lime"]


@pytest.mark.parametrize("method", sorted(METHODS))
def test_what_a_method_needs_is_asked_for_before_anything_is_computed(method):
    classifier, explainer = linear(), parse(SMALL.get(method, method))
    check_needs(explainer, fitting(method).network)
    if not {Need.FEATURE_LAYER, Need.ATTENTION} & set(explainer.needs):
        check_needs(explainer, classifier.network)
        assert len(explainer.attribute(classifier, segments(1), [[Target(0)]])) == 1
        return
    lacking = "the network names no feature_layer" if Need.FEATURE_LAYER in explainer.needs else "needs attention, "
    refused = f"^{method}: {lacking}"
    with pytest.raises(UsageError, match=refused):
        check_needs(explainer, classifier.network)
    assert classifier.network.seen == 0
    with pytest.raises(UsageError, match=refused):
        explainer.attribute(classifier, segments(1), [[Target(0)]])


@pytest.mark.parametrize("method", sorted(METHODS))
def test_what_every_method_keeps(method):
    """The shared suite: a new method in the registry is held to this without further words."""
    classifier, excerpt = fitting(method), segments(3, real_frames=[12, 8, 12])
    targets = [[Target(0)], [Target(1), Target(2, against=0)], [Target(3)]]
    found = parse(SMALL.get(method, method)).attribute(classifier, excerpt, targets)
    assert [one.target for one in found] == [Target(0), Target(1), Target(2, against=0), Target(3)]
    assert [one.file for one in found] == ["file0.wav", "file1.wav", "file1.wav", "file2.wav"]
    assert [one.start_seconds for one in found] == pytest.approx([0, 0.24, 0.24, 0.48])
    logits = classifier.network(torch.tensor(excerpt.values)).detach().double()
    for one, row in zip(found, [0, 1, 1, 2], strict=True):
        scores = scores_of(logits[row], one.score_kind)
        against = 0.0 if one.target.against is None else scores[one.target.against].item()
        assert one.score == pytest.approx(scores[one.target.index].item() - against, abs=rounding(1.0))
        assert one.values.shape == (12, 8)
        assert one.values.dtype == one.native.dtype == np.float32
        assert len(one.frame_edges) == one.native.shape[0] + 1
        assert len(one.band_edges) == one.native.shape[1] + 1
        flags = ("padded",) if row == 1 else ()
        # The network's tanh bends, so that FullGrad's map misses a part of the score, and says so.
        assert one.flags == (*flags, *(("not converged",) if method == "fullgrad" else ()))
        assert not one.values[one.real_frames :].any()
        assert one.values[: one.real_frames].any()
        assert one.forwards >= 1
        assert (one.backwards > 0) == (Need.GRADIENTS in METHODS[method].needs)
        assert one.seconds > 0
        assert one.precision == "float32"
        assert json.dumps(one.parameters)
        assert one.method == method
    with pytest.raises(UsageError, match="target 4 is out of range; the classifier's classes are 0 to 3"):
        parse(SMALL.get(method, method)).attribute(classifier, excerpt, [[Target(4)]] * 3)
    assert parse(SMALL.get(method, method)).attribute(classifier, segments(0), []) == []


# ---- scores -------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.floats(-700, 700), min_size=2, max_size=6))
def test_log_odds_of_a_softmax(row):
    logits = torch.tensor([row], dtype=torch.float64, requires_grad=True)
    found = activated(logits, LOG_ODDS, "softmax")
    for index in range(len(row)):
        others = logits[0, [each for each in range(len(row)) if each != index]]
        expected = logits[0, index] - others.logsumexp(-1)
        assert found[0, index].item() == pytest.approx(expected.item(), abs=1e-9, rel=1e-12)
    found.sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_log_odds_of_what_has_no_other_class_is_the_logit():
    assert activated(torch.tensor([[3.0]]), LOG_ODDS, "softmax").item() == 3.0
    assert activated(torch.tensor([[3.0, 4.0]]), LOG_ODDS, "sigmoid").tolist() == [[3.0, 4.0]]


def test_methods_whose_rules_do_not_know_the_log_odds_refuse_them():
    with pytest.raises(UsageError, match="deeplift: score=log-odds does not do; use one of logit, probability"):
        parse("deeplift:score=log-odds")
