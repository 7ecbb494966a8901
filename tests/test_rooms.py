"""The house plan in docs/design.md holds: who may import whom, and every module is on the map."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
SOURCE = PROJECT / "src" / "earwitness"
DESIGN = (PROJECT / "docs" / "design.md").read_text(encoding="utf-8")
FLOORS = ("bottom", "hear", "judge", "why", "doubt", "ask", "top")
# Only the top floor may draw, parse a command line or write pages.
TOP_ONLY = {"matplotlib", "typer", "jinja2", "PIL"}
MODULES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if path.name != "__init__.py")
PACKAGES = sorted(path.parent.relative_to(SOURCE) for path in SOURCE.glob("*/__init__.py"))


def floors() -> dict[str, str]:
    """Return the floor of every room that the map names: modules, and packages as a whole."""
    drawing = DESIGN.split("## 3. Rooms")[1].split("```")[1]
    found: dict[str, str] = {}
    floor = ""
    for line in drawing.splitlines():
        if line and not line[0].isspace():
            floor = line.split()[0]
        for name in re.findall(r"\b(\w+)(?:\.py\b|/)", line):
            found.setdefault(name, floor)
    return found


def room(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Return the full names of everything that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((SOURCE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_map_names_every_floor():
    assert set(floors().values()) == set(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_module_is_on_the_map(path):
    assert room(path) in floors()
    if len(path.parts) > 1:
        assert path.stem in re.findall(r"\w+", DESIGN.split("## 3. Rooms")[1].split("## 4.")[0])


@pytest.mark.parametrize("name", sorted(floors()))
def test_room_on_the_map_exists(name):
    assert (SOURCE / f"{name}.py").exists() or (SOURCE / name).is_dir() or list(SOURCE.glob(f"*/{name}.py"))


@pytest.mark.parametrize("path", sorted({*MODULES, *(package / "__init__.py" for package in PACKAGES)}), ids=str)
def test_nothing_is_imported_from_above(path):
    level = FLOORS.index(floors()[room(path)])
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "earwitness":
            assert FLOORS.index(floors().get(parts[1], "bottom")) <= level, f"{path} imports {name}"
        elif parts[0] in TOP_ONLY:
            assert FLOORS[level] == "top", f"{path} imports {name}"
