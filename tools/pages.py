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
from earwitness.cli.app import app
from earwitness.explainers.method import FAMILIES
from earwitness.explainers.registry import Summary, catalogue

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
METHODS_HEAD = """# Explanation methods

Name a method with `--method gradcam`, with other parameters as `--method lime:samples=512,grid=8x8`; in Python,
`earwitness.explainers.registry.parse("lime:samples=512")`. `earwitness explain --list` prints the names and costs, with
a name all about that method. [add-a-method.md](add-a-method.md) tells how to add one, [benchmarks.md](benchmarks.md)
how fast they are.

A *forward* is one pass of the network over one segment, a *backward* the way back through it for gradients. What an
explanation really took stands in it: `forwards`, `backwards`, `seconds`.

## Which one?

| you want to know | ask | because |
|---|---|---|
| where it looks, roughly, in many segments | `gradcam`, `hirescam` | a single pass; the cells are coarse |
| what the score relies on | `occlusion` | each cell is a drop of the score that was really measured |
| when, or at which frequencies | `occlusion:along=time`, `along=bands` | a profile over seconds, over hertz |
| each part's fair share | `shapley`, `kernelshap` | shares add up to the score, and come with their standard errors |
| each part's share in fewer passes | `lime:preset=fast` | a balanced design; `r2` says how well the fit does |
| single harmonics or clicks | `integratedgradients` | a value for each frame and band, which add up to the score |
| where a transformer's tokens look | `attentionrelevance`, `rollout` | a single pass; for the class, for all of them |
| what speaks against the class | any but `gradcampp`, `layercam`, `scorecam`, `eigencam`, attention | never negative |
| why this class rather than that | any but `eigencam`, `rollout` | asked for the difference of two scores |
| something of a network without gradients | any of the perturbation family | they need scores alone |

Two methods of different families that agree say more than one; `earwitness inquire` writes a verdict over every map,
and `earwitness scoreboard RUN` measures on sounds with known evidence which methods find it with *your* classifier.

## The same segment by all of them

![A rooster's call: its log-mel, and its map by every method, family by family](images/methods.png)

Every method at its defaults, for mn04's prediction of a rooster. Drawn by
`python tools/pictures.py RUN DATA methods.png` from a run whose segments last 4.96 s ([the run, the clip and its
author](images/README.md)). Each map has its own colour scale, since units differ: compare places, not depths of colour.
What to see here:

- **Most agree on when**: the first two and a half seconds, while it crows. They differ in how finely they say so:
  16 x 4 cells of mn04's layer, 7 x 7 parts or 10 x 10 masks, single frames and bands.
- **Grad-CAM, HiResCAM and XGrad-CAM are one map here.** mn04 averages over the layer's cells, so that a channel's
  gradient is the same in all of them; on a network that goes on with dense layers, as VGGish does, they differ.
- **Blue need not be evidence against.** Grad-CAM++, LayerCAM and Score-CAM give no channel a negative weight: their
  blue cells are activations below zero, which mn04's hard-swish has and a ReLU has not.
- **Occlusion marks the quiet part, too**, since its fill, the segment's mean, is louder than what it hides there. With
  `occlusion:fill=floor` the quiet part falls silent: ask with a second fill (`fill2`) before you believe such cells.
- **Saliency and input x gradient are full of the quiet background**, where a small change would matter. Integrated
  gradients and DeepLIFT measure from silence and draw the harmonics."""
FAMILY_WORDS = {
    "activation maps": """\
A layer's channels are added up, each with a weight; the methods differ in the weights. The map is as coarse as the
layer (`layer` takes another one). Most cost one pass, Ablation-CAM and Score-CAM one a channel. The map tells what the
layer did, not what the score would be without a sound.""",
    "attention": """\
What a transformer's tokens attend to is followed from the answer down to the segment's patches or moments. Networks
without attention, all of ours among them, cannot be asked. The map tells where the network looks, not what the score
would be without a sound.""",
    "perturbation": """\
Parts of the segment are hidden and it is scored again. Nothing but scores is needed, and what the map says was
measured. It depends on what stands in for hidden cells (`fill`; `fill2` tells how much), and takes many passes, which
all targets share.""",
    "gradients": """\
The score's derivative at each cell of the log-mel, at one point or at many: the finest maps, and the grainiest. A
derivative tells of small changes; those multiplied by the way from silence tell of the sound itself.""",
}


def command_line() -> str:
    """Return the page of all commands, options and defaults."""
    functions = [command.callback for command in app.registered_commands if command.callback is not None]
    lines = [MADE, "# The command line\n", f"{app.info.help}\n"]
    lines += [f"- [`earwitness {_word(each)}`](#earwitness-{_word(each)}): {_sentence(each)}" for each in functions]
    for function in functions:
        rows = list(_rows(function))
        arguments = [name for name, argument, _, _ in rows if argument]
        usage = " ".join(["earwitness", _word(function), *arguments, "[OPTIONS]"])
        lines += [f"\n## earwitness {_word(function)}\n", f"{_sentence(function)}\n", f"    {usage}\n"]
        lines += ["| | meaning | default |", "|---|---|---|"]
        lines += [f"| `{name}` | {_cell(text)} | {default} |" for name, _, text, default in rows]
    return "\n".join(lines) + "\n" + EXIT_CODES


def _word(function: Callable[..., Any]) -> str:
    """Return a command as it is typed."""
    return function.__name__.replace("_", "-")


def _sentence(function: Callable[..., Any]) -> str:
    return str(function.__doc__).splitlines()[0]


def _rows(function: Callable[..., Any]) -> Iterator[tuple[str, bool, str, str]]:
    """Yield each parameter as it is typed, whether it is an argument, its help, its default in Markdown."""
    # Names are those of the command that Typer builds: its versions differ in where a declaration keeps them.
    group: Any = typer.main.get_command(app)
    built = {each.name: each for each in group.commands[_word(function)].params}
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
    """Return the page of the explanation methods: how to choose, the picture, and a section a method by families."""
    lines = [MADE, METHODS_HEAD]
    for family in FAMILIES:
        lines += [f"\n## {family.capitalize()}\n", FAMILY_WORDS[family]]
        for method in catalogue():
            if method.family == family:
                lines += _method(method)
    return "\n".join(lines) + "\n"


def _method(method: Summary) -> Iterator[str]:
    yield f"\n### {method.name}\n"
    yield f"{method.title}. {method.paper}.\n"
    yield f"- **Needs** {' and '.join(method.needs)}."
    yield f"- **Assumes** that {method.assumes}."
    yield f"- **Costs** {method.cost}."
    yield f"- **Misses** {method.misses}.\n"
    yield "| parameter | default | meaning |\n|---|---|---|"
    for name, default, text in method.parameters:
        yield f"| `{name}` | {_code(default)} | {_cell(text)} |"


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
