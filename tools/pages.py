"""Write the pages of ``docs/`` that are made: the command line, the explanation methods, the measured speeds.

``python tools/pages.py`` writes them, ``python tools/pages.py --check`` fails where one is out of date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from inspect import Parameter, signature
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo

import speed
from earwitness.cli import app
from earwitness.explain import catalogue

PROJECT = Path(__file__).resolve().parents[1]
DOCS = PROJECT / "docs"
SPEEDS = PROJECT / "benchmarks" / "results.json"
MADE = "<!-- Made from the code by `make docs`; change the code, not this page. -->\n"
MEASURED = "<!-- Made from benchmarks/results.json by `make docs`; measure anew with `make bench`. -->\n"
EXIT_CODES = """
## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | failed; one line on standard error says what, where, and what to do |
| 2 | the request itself is wrong: an unknown option or name, a value out of range, a missing folder |
| 3 | done, but some recordings could not be used; each is named, and `quarantine.csv` lists them |
| 130 | interrupted from the keyboard |

Results go to standard output, progress and warnings to standard error. `EARWITNESS_DEBUG=1` shows the traceback of an
error that earwitness did not expect. `EARWITNESS_HOME` names the cache folder for downloads.
"""


def command_line() -> str:
    """Return the page of all commands, options and defaults."""
    functions = [command.callback for command in app.registered_commands if command.callback is not None]
    lines = [MADE, "# The command line\n", f"{app.info.help}\n"]
    lines += [f"- [`earwitness {each.__name__}`](#earwitness-{each.__name__}): {_sentence(each)}" for each in functions]
    for function in functions:
        rows = list(_rows(function))
        arguments = [name for name, argument, _, _ in rows if argument]
        usage = " ".join(["earwitness", function.__name__, *arguments, "[OPTIONS]"])
        lines += [f"\n## earwitness {function.__name__}\n", f"{_sentence(function)}\n", f"    {usage}\n"]
        lines += ["| | meaning | default |", "|---|---|---|"]
        lines += [f"| `{name}` | {_cell(text)} | {default} |" for name, _, text, default in rows]
    return "\n".join(lines) + "\n" + EXIT_CODES


def _sentence(function: Callable[..., Any]) -> str:
    return str(function.__doc__).splitlines()[0]


def _rows(function: Callable[..., Any]) -> Iterator[tuple[str, bool, str, str]]:
    """Yield each parameter as it is typed, whether it is an argument, its help, its default in Markdown."""
    # Names are those of the command that Typer builds: its versions differ in where a declaration keeps them.
    group: Any = typer.main.get_command(app)
    built = {each.name: each for each in group.commands[function.__name__].params}
    for name, hint in get_type_hints(function, include_extras=True).items():
        if name == "return":
            continue
        kind, declared = get_args(hint)
        meaning = declared.help or ""
        default = signature(function).parameters[name].default
        kinds = [each for each in get_args(kind) if each is not NoneType] or [kind]
        many = get_origin(kinds[0]) is list
        value = (get_args(kinds[0]) if many else kinds)[0].__name__.upper().replace("STR", "TEXT")
        if isinstance(declared, ArgumentInfo):
            yield _argument(declared.metavar or name.upper(), many, default is Parameter.empty), True, meaning, ""
            continue
        option = "`, `".join([*built[name].opts, *built[name].secondary_opts])
        typed = option if value == "BOOL" else f"{option} {declared.metavar or value}"
        # Where a default depends on something else, the help says so itself.
        text, _, words = meaning.removesuffix("]").partition(" [default: ")
        shown = (
            words if default is None or default is False else f"`{built[name].opts[0] if default is True else default}`"
        )
        yield typed, False, text, "required" if default is Parameter.empty else shown


def _argument(name: str, many: bool, required: bool) -> str:
    typed = name + ("..." if many else "")
    return typed if required else f"[{typed}]"


def methods() -> str:
    """Return the page of the explanation methods and their parameters."""
    lines = [MADE, "# Explanation methods\n"]
    lines.append(
        "Name a method with `--method gradcam`, with other parameters as `--method lime:samples=512,grid=8x8`; in "
        'Python, `earwitness.explain.parse("lime:samples=512")`. `earwitness explain --list` prints this page.'
    )
    for method in catalogue():
        lines += [f"\n## {method.name}\n", f"{method.title}. {method.paper}.\n", f"Cost: {method.cost}.\n"]
        lines += ["| parameter | default | meaning |", "|---|---|---|"]
        lines += [f"| `{name}` | {_code(default)} | {_cell(text)} |" for name, default, text in method.parameters]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


def pages() -> Iterator[tuple[Path, str]]:
    """Yield every page that is made: its path and its text."""
    yield DOCS / "cli.md", command_line()
    yield DOCS / "methods.md", methods()
    yield DOCS / "benchmarks.md", f"{MEASURED}\n{speed.page(json.loads(SPEEDS.read_text(encoding='utf-8')))}"


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` name those that are out of date."""
    stale = [path for path, text in pages() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in arguments:
        for path in stale:
            sys.stderr.write(f"docs/{path.name}: out of date; run make docs and commit it\n")
        return 1 if stale else 0
    for path, text in pages():
        if path in stale:
            path.write_text(text, encoding="utf-8", newline="\n")
            print(f"wrote docs/{path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
