"""What the documents promise is there: commands parse, Python calls fit, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

import earwitness
from command import earwitness as earwitness_command
from earwitness.cli.app import app

PROJECT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*PROJECT.glob("*.md"), *(PROJECT / "docs").glob("*.md"), *(PROJECT / "docs" / "images").glob("*.md")],
)
README = (PROJECT / "README.md").read_text(encoding="utf-8")
WORDS = sorted(str(command.callback.__name__).replace("_", "-") for command in app.registered_commands)
COMMANDS = re.findall(r"^    (earwitness [a-z].*)$", README, re.MULTILINE)


def test_readme_shows_every_command():
    named = {shlex.split(line, comments=True)[1] for line in COMMANDS} | {"demo"}
    assert named == set(WORDS)


@pytest.mark.parametrize("line", COMMANDS)
def test_command_in_readme_parses(line):
    name, *arguments = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app).commands[name]
    # Nothing is called: options and arguments are read and checked.
    with command.make_context(name, arguments) as context:
        assert context.params


@pytest.mark.parametrize("name", WORDS)
def test_the_page_of_the_command_line_names_the_options_that_there_are(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    page = (PROJECT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## earwitness {name}\n")[2].partition("\n## ")[0]
    documented = {option for row in section.splitlines() for option in re.findall(r"(?<=`)--[a-z-]+", row)}
    helped = re.findall(r"(?:^  |(?<= / ))(--[a-z-]+)", earwitness_command(name, "--help").out, re.MULTILINE)
    assert documented == set(helped) - {"--help"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("picture", sorted((PROJECT / "docs" / "images").glob("*.png")), ids=lambda path: path.name)
def test_pictures_are_small_and_shown_and_credited(picture):
    assert picture.stat().st_size <= (250_000 if picture.name == "methods.png" else 150_000)
    pages = [path.read_text(encoding="utf-8") for path in (PROJECT / "docs").glob("*.md")]
    assert f"docs/images/{picture.name})" in README or any(f"](images/{picture.name})" in text for text in pages)
    assert picture.name in (PROJECT / "docs" / "images" / "README.md").read_text(encoding="utf-8")


def test_the_version_is_one():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == earwitness.__version__
    assert f"[{earwitness.__version__}]" in (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_workflow_actions_are_pinned_by_commit():
    text = (PROJECT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action)
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment)
