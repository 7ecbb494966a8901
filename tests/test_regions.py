"""Where the evidence of a map lies, in words, and what the score is without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

import earwitness as ew
from earwitness.cli.text import explanation
from earwitness.explainers import regions
from earwitness.explainers.attribution import CONSTANT, SILENT, Attribution, Region, Target
from earwitness.explainers.findings import REGION_HEAD, region_rows
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.registry import parse
from earwitness.inspection import files as inspected
from explain_toys import convolutional, segments
from rounding import rounding
from tiny_sounds import new_classifier

FRAMES, BANDS = 12, 8


def explained(method: str = "occlusion:mask=3x2,stride=3x2,edges=whole", real: int = FRAMES) -> Attribution:
    excerpt = segments(1, real_frames=[real])
    (found,) = parse(method).attribute(convolutional(), excerpt, [[Target(1)]])
    return found


def drawn(cells: np.ndarray, **changes: object) -> Attribution:
    """Return an attribution with this map, coarse enough not to be blurred."""
    values = np.asarray(cells, dtype=np.float32)
    return replace(explained(), values=values, native=values[::2, ::2].copy(), flags=(), **changes)


def test_the_strongest_cells_that_touch_are_a_region():
    cells = np.full((FRAMES, BANDS), -5.0)
    cells[0:2, 0:3] = 4.0  # 24 of 40
    cells[6:8, 5:7] = 3.0  # 12
    cells[10, 0:4] = 1.0
    ((inside, share),) = regions.strongest(drawn(cells))  # half of the evidence is reached by the first alone
    np.testing.assert_array_equal(inside, cells == 4.0)
    assert share == pytest.approx(24 / 40)


def test_what_holds_half_of_the_evidence_together_is_told_apart():
    cells = np.zeros((FRAMES, BANDS))
    cells[0:2, 0:2] = cells[5:7, 4:6] = cells[10:12, 0:2] = 2.0
    cells[0:2, 6:8] = 1.0
    found = regions.strongest(drawn(cells))
    assert [share for _, share in found] == pytest.approx([8 / 28] * 3)
    assert sum(inside for inside, _ in found).max() == 1  # no cell in two


def test_scattered_evidence_has_no_region():
    cells = np.indices((FRAMES, BANDS)).sum(axis=0) % 2  # a chessboard: no two touch at a side
    assert regions.strongest(drawn(cells)) == []
    assert region_rows("LIME", drawn(cells)) == [("LIME", "scattered: no place holds a tenth of it", "", "", "", "")]


@pytest.mark.parametrize("flag", [SILENT, CONSTANT])
def test_a_map_that_shows_nothing_has_none(flag):
    found = replace(drawn(np.eye(FRAMES, BANDS)), flags=(flag,))
    assert regions.strongest(found) == []
    assert region_rows("LIME", found)[0][1] == "nothing stands out"
    assert regions.strongest(drawn(-np.ones((FRAMES, BANDS)))) == []


@given(st.integers(0, 10**6), st.integers(3, FRAMES))
def test_regions_are_positive_apart_and_ordered(seed, real):
    cells = np.random.default_rng(seed).standard_normal((FRAMES, BANDS)).round(1)
    cells[real:] = 0
    found = regions.strongest(drawn(cells, real_frames=real))
    shares = [share for _, share in found]
    assert shares == sorted(shares, reverse=True)
    assert len(found) <= regions.MOST
    assert sum(shares) <= 1 + 1e-9
    for inside, share in found:
        assert share >= regions.LEAST
        assert (cells[inside] > 0).all()
        assert not inside[real:].any()
        assert share == pytest.approx(cells[inside].sum() / np.maximum(cells, 0).sum())


@pytest.mark.parametrize("real", [FRAMES, 9])
def test_the_score_without_a_region_is_that_of_the_network(real):
    classifier, excerpt = convolutional(), segments(2, real_frames=[FRAMES, real])
    targets = [[Target(0), Target(2, against=1)]] * 2
    found = [parse(each).attribute(classifier, excerpt, targets) for each in ("gradcam", "lime:samples=60,grid=3x2")]
    marked = regions.with_regions(Prepared(classifier), excerpt, found)
    assert [len(listed) for listed in marked] == [4, 4]
    told = 0
    for before, listed in zip(found, marked, strict=True):
        for place, (one, each) in enumerate(zip(before, listed, strict=True)):
            np.testing.assert_array_equal(one.values, each.values)
            values = excerpt.values[place // 2]
            limit = int(excerpt.real_frames[place // 2])
            mean = values[:limit].mean()
            for region, (inside, share) in zip(each.regions, regions.strongest(one), strict=True):
                hidden = np.where(inside, mean, values).astype(np.float32)
                with torch.no_grad():
                    both = classifier.network(torch.tensor(np.stack([values, hidden]))).softmax(-1).double().numpy()
                target = one.target
                scores = both[:, target.index] - (0 if target.against is None else both[:, target.against])
                assert (region.score, region.without) == pytest.approx(tuple(scores), abs=rounding(1.0))
                assert region.share == share
                rows = np.flatnonzero(inside.any(axis=1))
                start = excerpt.start_frames[place // 2]
                edges = classifier.front_end.clock.frame_edge_seconds(np.array([rows[0], rows[-1] + 1]) + start)
                assert (region.start_seconds, region.end_seconds) == pytest.approx(tuple(np.maximum(edges, 0)))
                told += 1
    assert told >= 4


def test_regions_are_kept_with_the_map(tmp_path):
    region = Region(
        start_seconds=0.5, end_seconds=1.25, low_hz=833.4, high_hz=6468.0, share=0.59, score=0.998, without=0.002
    )
    found = replace(explained(), regions=(region,))
    found.save(tmp_path / "map.npz")
    assert Attribution.load(tmp_path / "map.npz").regions == (region,)
    (row,) = region_rows("Grad-CAM", found)
    assert row == ("Grad-CAM", "0.50 to 1.25 s", "833 to 6470 Hz", "59 %", "> 0.99", "< 0.01")
    assert len(row) == len(REGION_HEAD)


def test_a_map_of_points_is_blurred_before_regions_are_drawn():
    points = np.zeros((96, 64), np.float32)
    points[20:40:2, 10:20:2] = 1.0
    ((inside, share),) = regions.strongest(replace(explained(), values=points, native=points, real_frames=96, flags=()))
    assert inside[24:36, 12:17].all()
    assert inside.sum() < 30 * 20
    assert share > 0.5


# ---- in words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.4, 0.501, 1.203])
def test_lengths_are_the_recordings_and_what_without_it_means_is_said(tmp_path, seconds):
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "some.wav", 0.1 * rng.standard_normal(round(seconds * 8_000)), 8_000)
    model = ew.Model(name="tiny", classifier=new_classifier(length=48), cache=tmp_path)
    found = ew.explain(tmp_path / "some.wav", model, methods="gradcam", verdicts=False, progress=False)
    assert found.seconds == pytest.approx(seconds, abs=1e-3)
    assert found.end_seconds <= found.seconds
    assert all(each.end_seconds <= found.seconds for each in found.detections)
    told = explanation(found, Path("some.png"), 3).splitlines()
    assert told[0].startswith(f"{found.file} ({seconds:.2f} s")
    assert ("mean scores of its segments" in told[0]) == (found.segments > 1)
    assert found["gradcam"].regions
    assert "  (without it: hidden by the segment's mean level; listen removes it to silence)" in told


def test_streamed_recordings_are_as_long_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(inspected, "HELD_SECONDS", 1.0)
    soundfile.write(tmp_path / "long.wav", 0.1 * np.random.default_rng(0).standard_normal(20_010), 8_000)
    scored = inspected.score_file(new_classifier(length=48), tmp_path / "long.wav")
    assert scored.seconds == pytest.approx(20_010 / 8_000, abs=1e-6)
