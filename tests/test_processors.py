"""The tool that runs tests as other processors would, and each worker's share of the cores."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(PROJECT / "tools")
    return importlib.import_module("processors")


@pytest.mark.parametrize(
    ("output", "counts"),
    [
        ("..\n3 passed in 2.24s\n", (3, 0, 0)),
        ("FAILED a - 2 in 1s\n1 failed, 35 passed, 4 skipped, 2 deselected in 71.24s (0:01:11)\n", (35, 1, 4)),
        ("==== 2 failed, 1 passed, 3 errors in 0.40s ====\n", (1, 5, 0)),
        ("no tests ran in 0.01s\n", (0, 0, 0)),
        ("Segmentation fault\n", (0, 0, 0)),
    ],
)
def test_tests_are_counted(tool, output, counts):
    assert tuple(tool.counts_of(output).values()) == counts


def test_every_setting_holds_back_what_libraries_read(tool):
    for setting in tool.SETTINGS:
        assert set(setting.switches) <= set(tool.SWITCHES)
    assert {name for name, _ in tool.SHORT} <= {setting.name for setting in tool.SETTINGS}


def test_what_the_short_form_leaves_out_is_there(tool):
    """A name that nothing has any more would leave out nothing, and nobody would see."""
    sources = {path.name: path.read_text(encoding="utf-8") for path in (PROJECT / "tests").glob("test_*.py")}
    assert {f"test_{name}.py" for name in tool.WHOLE_JOBS} <= sources.keys()
    named = [word for each in tool.APART for word in each.replace(" and not ", " ").split()]
    everything = " ".join([*sources, *(text for name, text in sources.items() if name != "test_processors.py")])
    assert [word for word in named if word not in everything] == []


def test_what_a_machine_cannot_show_is_said_and_the_rest_is_run(tool, monkeypatch, capsys):
    asked = []

    def run(setting, threads, arguments):
        asked.append((setting.name, threads))
        code = int(setting.name == "least")
        return tool.Ran(setting.name, threads, {"passed": 7, "failed": code, "skipped": 0}, 1.5, code)

    monkeypatch.setattr(tool, "run", run)
    monkeypatch.setattr(tool, "features", lambda: frozenset({"avx2", "fma"}))
    assert tool.main([]) == 1
    assert asked == [("AVX2", 1), ("AVX2", 2), ("all it has", 1), ("all it has", 2), ("least", 1), ("least", 2)]
    out = capsys.readouterr().out
    assert "AVX-512: not shown, this processor" in out
    assert "lacks avx512_bf16, avx512bw" in out
    assert "AMX: not shown" in out
    assert out.count("      7") == len(asked)
    assert tool.main(["--only", "all it has"]) == 0


def test_a_setting_reaches_the_tests(tool, monkeypatch, tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import os\nimport pytest\n\n\n@pytest.mark.computes\ndef test_it():\n"
        "    assert os.environ['ATEN_CPU_CAPABILITY'] == 'avx2'\n    assert os.environ['OMP_NUM_THREADS'] == '2'\n"
        "    assert 'MKL_CBWR' not in os.environ\n"
    )
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    setting = next(each for each in tool.SETTINGS if each.name == "AVX2")
    ran = tool.run(setting, 2, ["-n", "0", str(tmp_path / "test_it.py")])
    assert (ran.code, ran.counts["passed"], ran.counts["failed"]) == (0, 1, 0)


@pytest.mark.parametrize(("workers", "given", "threads"), [("1", None, None), ("1000", None, "1"), ("1000", "3", "3")])
def test_each_worker_has_its_share_of_the_cores(workers, given, threads):
    code = "import os, conftest; print(os.environ.get('OMP_NUM_THREADS'))"
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment = {**kept, "PYTEST_XDIST_WORKER_COUNT": workers, "PYTHONPATH": str(PROJECT / "tests")}
    if given is not None:
        environment["OMP_NUM_THREADS"] = given
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == str(threads)
