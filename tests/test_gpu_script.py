"""The script that measures on a GPU runs whole, on a pretended one, and says where there is none."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from command import earwitness

TOOLS = Path(__file__).resolve().parents[1] / "tools"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_so(script, capsys):
    assert script.main([]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [script.NO_GPU]


def test_maps_are_held_against_the_processor_s(script, gpu, capsys):
    assert script.main(["--quick", "--only", "maps", "--method", "gradcam", "--method", "smoothgrad"]) == 0
    told = capsys.readouterr().out
    assert [line.split()[:2] for line in told.splitlines() if line.startswith(("gradcam", "smoothgrad"))] == [
        ["gradcam", "1.000000"],
        ["smoothgrad", "1.000000"],
    ]
    assert "the peak and less: all" in told
    assert gpu.moved
    assert not gpu.tf32


def test_a_map_that_lies_apart_is_named(script, gpu, capsys, monkeypatch):
    there = script.map_of
    monkeypatch.setattr(
        script,
        "map_of",
        lambda question, method, prepared: there(question, method, prepared) + (prepared.device.type == "cuda"),
    )
    assert script.main(["--quick", "--only", "maps", "--method", "gradcam"]) == 0
    assert "the peak and less: not gradcam on compact" in capsys.readouterr().out


def test_captum_is_measured_on_the_same_device(script, gpu, capsys):
    assert script.main(["--quick", "--only", "peers"]) == 0
    told = capsys.readouterr().out
    assert told.count("times as fast as Captum") >= len(script.PEERS)
    assert "no comparison" not in told
    assert not gpu.tf32


def test_first_and_later_calls_are_told(script, capsys):
    arguments = ["--device", "cpu", "--quick", "--only", "methods", "--method", "gradcam", "--method", "lime"]
    assert script.main(arguments) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("gradcam", "lime"))]
    assert [row.split()[0] for row in rows] == ["gradcam", "lime"]
    assert all(row.count("s") >= 2 for row in rows)


def test_both_layouts_of_weights_are_told(script, capsys):
    assert script.main(["--device", "cpu", "--quick", "--only", "layouts", "--method", "gradcam"]) == 0
    told = capsys.readouterr().out
    (row,) = [line for line in told.splitlines() if line.startswith("gradcam")]
    assert row.count("s") >= 4
    assert all(layout in told for layout in script.LAYOUTS)


def test_commands_are_run_from_start_to_report(script, gpu, capsys, monkeypatch):
    asked = []

    def run(words, **_options):
        assert words[:3] == [sys.executable, "-m", "earwitness"]
        asked.append(words[3:])
        left = earwitness(*words[3:])
        return SimpleNamespace(returncode=left.code, stdout=left.out + left.err)

    # In this process, which has a pretended GPU.
    monkeypatch.setattr(script, "subprocess", SimpleNamespace(run=run, PIPE=None, STDOUT=None))
    assert script.main(["--quick", "--only", "commands"]) == 0
    assert [words[0] for words in asked] == ["run", *["evaluate"] * 2, *["explain"] * 2, *["inquire"] * 2]
    assert [words[-1] for words in asked] == ["cuda", *["cuda", "cpu"] * 3]
    assert "inquire --class" in capsys.readouterr().out
    assert gpu.moved


def test_a_command_that_fails_ends_the_script_with_what_it_said(script, tmp_path):
    job = script.Job("cpu", True, tmp_path, None, (), tmp_path)
    with pytest.raises(RuntimeError, match="no such run folder"):
        script.timed_command(job, ["evaluate", tmp_path / "none"])
