"""The benchmark runs whole with tiny sizes, keeps what it did not measure anew, and its page shows what it wrote."""

from __future__ import annotations

import importlib
import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tiny_sounds import write_sounds

PROJECT = Path(__file__).resolve().parents[1]
MODULES = {"run": "benchmarks", "measuring": "benchmarks", "explaining": "benchmarks", "speed": "tools"}
PEERS = ("librosa", "lime", "torchcam")


@pytest.fixture
def tool(monkeypatch):
    """A module of benchmarks/ or tools/, by name."""

    def found(name):
        monkeypatch.syspath_prepend(PROJECT / MODULES[name])
        return importlib.import_module(name)

    return found


@pytest.fixture
def bench(tool, tmp_path):
    """Run the benchmark with some arguments; return what it wrote."""

    def ran(*arguments):
        out = tmp_path / "results.json"
        always = ["--quick", "--threads", "1", "--runs", str(tmp_path / "none"), "--out", str(out)]
        before = torch.get_num_threads()
        try:
            assert tool("run").main([*always, *arguments]) == 0
        finally:
            torch.set_num_threads(before)
        return json.loads(out.read_text(encoding="utf-8"))

    return ran


def test_everything_is_measured_and_shown(bench, tool, tmp_path, capsys):
    for name in PEERS:
        pytest.importorskip(name)
    sounds = write_sounds(tmp_path / "sounds", clips=2)
    kept = bench("--data", str(sounds))
    assert list(kept["parts"]) == list(tool("run").PARTS)
    page = tool("speed").page(kept)
    assert page.count(tool("speed").QUICK) == len(kept["parts"])
    table = capsys.readouterr().out
    for part in kept["parts"].values():
        assert part["quick"]
        assert part["results"], part["notes"]
        assert part["title"].rstrip(".") in page
        for result in part["results"]:
            assert min(result["seconds"]) > 0
            assert result["median"] == pytest.approx(float(np.median(result["seconds"])))
            assert f"{result['name']}" in page
            assert result["name"] in table
    ways = {result["name"] for part in kept["parts"].values() for result in part["results"]}
    assert {"Captum, default", "Captum, best batch", "lime", "torchcam", "whole network"} <= ways
    ratios = [each for part in kept["parts"].values() for each in part["results"] if each["times_as_fast_as"]]
    assert {"occlusion", "lime", "gradcam"} <= set(kept["parts"])
    for ours in ratios:
        siblings = [other for part in kept["parts"].values() for other in part["results"] if other["of"] == ours["of"]]
        medians = {other["name"]: other["median"] for other in siblings}
        for name, times in ours["times_as_fast_as"].items():
            assert times == pytest.approx(medians[name] / ours["median"], rel=0.02, abs=1e-3)


def test_a_part_leaves_the_others_as_they_were(bench, tmp_path):
    (tmp_path / "results.json").write_text(
        json.dumps({"format": 2, "parts": {"files": {"results": ["old"]}, "ablationcam": {"results": ["old"]}}}),
        encoding="utf-8",
    )
    kept = bench("--only", "ablationcam", "--only", "files", "--data", str(tmp_path / "nowhere"))
    assert kept["parts"]["files"] == {"results": ["old"]}
    (loop, ours) = [each for each in kept["parts"]["ablationcam"]["results"] if "bfloat16" not in each["name"]]
    assert loop["name"] == "whole network"
    assert ours["facts"]["largest_difference"] <= 1e-4


def test_ways_take_turns_and_slow_ones_run_less_often(tool):
    order = []

    def way(name, seconds):
        def once():
            order.append(name)
            time.sleep(seconds)

        return once

    ways = [way("a", 0.0), way("b", 0.06), way("c", 0.15)]
    measured = tool("measuring").measure(ways, 4, few=(1, 1, 2), patience=0.1, warm=0.05)
    # a warms up and has four turns, b's first turn counts, c is long.
    assert "".join(order) == "abcabcababa"
    assert [len(each) for each in measured] == [4, 4, 2]
    assert min(measured[2]) >= 0.15


def test_different_maps_are_no_comparison(tool):
    measuring, explaining = tool("measuring"), tool("explaining")
    first = np.arange(6.0).reshape(1, 2, 3)

    def ways(*others):
        listed = [explaining.Way("theirs", lambda _: first)]
        listed += [explaining.Way("ours", lambda _, one=one: one, True, exact=exact) for one, exact in others]
        for way in listed:
            way()
        return listed

    setting = measuring.Setting(None, {}, measuring.QUICK, torch.device("cpu"), (1,))
    near, turned = ways((first + 1e-6, True)), ways((-first, False))
    assert explaining.same(setting, "it", near, 1e-5, relative=False)
    assert near[1].facts["largest_difference"] == 1e-6
    assert explaining.same(setting, "it", turned, 1e-5, relative=False)
    assert turned[1].facts["rank_correlation"] == -1.0
    assert not setting.notes
    assert not explaining.same(setting, "it", ways((first + 1e-4, True)), 1e-5, relative=False)
    assert "ours: maps differ by 0.0001" in setting.notes[0]
    assert explaining.same(setting, "it", ways((first + 1e-4, True)), 1e-4, relative=True)


def test_best_batch_is_the_quickest(tool):
    assert tool("explaining").best(lambda batch: lambda: time.sleep(0.01 * abs(batch - 8)), (4, 8, 16)) == 8


def test_page_shows_the_results_that_are_kept(tool):
    kept = json.loads((PROJECT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    assert tool("speed").page(kept) in (PROJECT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert not any(part["quick"] for part in kept["parts"].values())
    with pytest.raises(ValueError, match="run make bench"):
        tool("speed").page(kept | {"format": 1})
