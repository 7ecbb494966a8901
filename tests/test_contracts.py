"""Who may import whom: each contract of pyproject.toml holds, and fails where an import is put in the wrong place."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
SETTINGS = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
# A contract's name, a module, and an import that must not stand in it.
WRONG = [
    ("A package imports only from floors below", "models/classifier.py", "from earwitness.training import loop"),
    ("A package imports only from floors below", "models/loading.py", "from earwitness.data import splits"),
    ("A package imports only from floors below", "elsewhere/__init__.py", ""),
    ("No circles", "core/errors.py", "from earwitness.core import files"),
    (
        "The families of methods do not know each other",
        "explainers/cam/base.py",
        "import earwitness.explainers.perturbation.lime",
    ),
    ("Metrics and verdicts never train", "trust/verdicts/judge.py", "from earwitness.training import recipes"),
    ("Plots never explain or judge", "plots/style.py", "from earwitness.explainers import registry"),
    ("Only plots import matplotlib", "inspection/notes.py", "import matplotlib"),
    ("Only cli imports typer and rich", "workflows/audit.py", "import typer"),
    ("A package imports only from floors below", "report/page.py", "from earwitness.web import guard"),
    ("Only web imports starlette, uvicorn and msgspec", "cli/text.py", "import starlette"),
    ("Only one file imports transformers", "models/foreign/loading.py", "import transformers"),
]


def contracts(source: Path) -> str:
    """Return what import-linter says of a tree, by this project's contracts."""
    program = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--config", str(PROJECT / "pyproject.toml"), "--no-cache", "--no-logo"],
        capture_output=True,
        text=True,
        check=False,
        cwd=source,
        env={**os.environ, "PYTHONPATH": str(source)},
    )
    assert "Contracts: " in done.stdout, done.stdout + done.stderr
    return done.stdout


def test_every_contract_is_shown_to_fail():
    assert {each["name"] for each in SETTINGS["contracts"]} == {name for name, _, _ in WRONG}


@pytest.mark.parametrize(("contract", "module", "line"), WRONG, ids=[module for _, module, _ in WRONG])
def test_an_import_in_the_wrong_place_is_found(contract, module, line, tmp_path):
    shutil.copytree(PROJECT / "src", tmp_path / "src")
    path = tmp_path / "src" / "earwitness" / module
    path.parent.mkdir(exist_ok=True)
    before = path.read_text(encoding="utf-8") if path.exists() else '"""Nothing."""\n'
    path.write_text(f"{before}\n{line}\n", encoding="utf-8")
    assert f"{contract} BROKEN" in contracts(tmp_path / "src")


def test_all_hold(tmp_path):
    assert "0 broken" in contracts(PROJECT / "src")


def test_no_module_is_long():
    lengths = {
        str(path.relative_to(PROJECT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in (PROJECT / "src").rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_every_package_says_in_three_lines_what_lives_there():
    for path in (PROJECT / "src" / "earwitness").rglob("*/__init__.py"):
        lines = path.read_text(encoding="utf-8").strip().strip('"').strip().splitlines()
        assert len([line for line in lines if line]) == 3, path


def test_the_picture_of_the_house_shows_every_module():
    design = (PROJECT / "docs" / "design.md").read_text(encoding="utf-8")
    picture = design.split("## 3. The house")[1].split("```")[1]
    source = PROJECT / "src" / "earwitness"
    shown = set(picture.replace("/", " ").replace(";", " ").replace("·", " ").split())
    for package in source.iterdir():
        if (package / "__init__.py").exists():
            assert package.name in shown
            inside = [path for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
            assert {path.stem for path in inside} - {"__init__"} <= shown
