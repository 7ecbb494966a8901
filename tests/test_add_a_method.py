"""The code of docs/add-a-method.md works: it is run, registered, and held to what every method is held to."""

from __future__ import annotations

import re
import sys
import textwrap
import types
from pathlib import Path

import pytest
import torch

import test_attribution
import test_cams
import test_foreign
from earwitness.explainers import parameters, registry

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "add-a-method.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FILES = {named[1]: block for block in BLOCKS if (named := re.match(r"# (\S+\.py)\n", block))}
LINES = [block for block in BLOCKS if not block.startswith("# ")]


def run(path, monkeypatch):
    """Run a block as the file that its first line names, so that what follows can import it."""
    name = path.removeprefix("src/").removesuffix(".py").replace("/", ".")
    module = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(FILES[path], path, "exec"), module.__dict__)
    return module


@pytest.fixture
def inout(monkeypatch):
    """Register the page's first method by the page's own two lines."""
    run("src/earwitness/explainers/perturbation/inout.py", monkeypatch)
    (lines,) = [block for block in LINES if "InOut" in block]
    imported, entry = lines.split("\n\n")
    known = {}
    exec(imported, known)
    for name, method in eval(f"{{{entry.strip()}}}", known).items():
        monkeypatch.setitem(registry.METHODS, name, method)


def test_the_page_shows_files_and_lines():
    assert sorted(FILES) == [
        "src/earwitness/explainers/cam/strongest_cam.py",
        "src/earwitness/explainers/perturbation/inout.py",
        "tests/test_inout.py",
    ]
    assert len(LINES) == 2


@pytest.mark.usefixtures("inout")
def test_the_method_passes_what_every_method_gets(tmp_path):
    test_attribution.test_what_every_method_keeps("inout")
    test_attribution.test_saved_and_loaded_is_the_same("inout", tmp_path)
    test_attribution.test_catalogue_says_what_a_reader_needs()
    test_foreign.test_every_method_explains_a_foreign_network("inout")


@pytest.mark.usefixtures("inout")
def test_the_page_s_own_test_passes(monkeypatch):
    module = run("tests/test_inout.py", monkeypatch)
    (function,) = [each for name, each in vars(module).items() if name.startswith("test_")]
    (mark,) = function.pytestmark
    for fill in mark.args[1]:
        function(fill)


@pytest.mark.usefixtures("inout")
def test_the_page_s_command_parses():
    (spec,) = re.findall(r"--method (inout\S+)", PAGE)
    assert parameters.spec(registry.parse(spec)) == spec


def test_the_activation_map_equals_the_page_s_loops(monkeypatch):
    module = run("src/earwitness/explainers/cam/strongest_cam.py", monkeypatch)
    monkeypatch.setitem(registry.METHODS, "strongestcam", module.StrongestCam)
    test_attribution.test_what_every_method_keeps("strongestcam")
    (loops,) = [block for block in LINES if "strongestcam" in block]
    maps, gradient = torch.randn(2, 1, 5, 4, 3, generator=torch.Generator().manual_seed(0))
    cam = torch.zeros(4, 3).numpy()
    exec(
        textwrap.dedent(loops),
        {"np": test_cams.np, "method": "strongestcam", "cam": cam, "a": maps[0], "g": gradient[0]},
    )
    torch.testing.assert_close(module.StrongestCam.combine(maps, gradient)[0], torch.tensor(cam))
    assert cam.any()
