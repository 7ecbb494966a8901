"""The page of speeds, docs/benchmarks.md, made from what ``make bench`` measured."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

FORMAT = 2
QUICK = "**A trial with tiny sizes; these numbers mean nothing.**"
INTRODUCTION = """# Speed

Measured by `make bench` (`benchmarks/run.py`) in one process a run. Things that are compared take turns; a time is the
median of as many repetitions as are said. What takes less than 2 s is done once before, to warm up; what takes more
than 10 s is repeated less often. Numbers of two machines cannot be compared; ratios with care.

Where the same maps can be asked for, a row stands here only if they are the same: probabilities within 1e-5, maps of
gradients within 1e-4 and Ablation-CAM within 1e-3 of their largest cell; the last column says what was found. bfloat16
is not exact, so its rank correlation with the first row's map is told instead. The one segment of a row is the one
whose winner has the probability nearest to 0.75: where a network is sure, maps of probabilities are rounding errors.
"""
# Facts that readers are told, and how; what is not here stays in the JSON.
TOLD = {
    "batch": "{} at once",
    "forwards": "{} pass{}",
    "largest_difference": "maps differ by {:.1g}",
    "rank_correlation": "rank correlation {:.4f}",
    "seeds_correlate": "two seeds {:.3f}",
    "precision": "ran in {}",
}


def page(kept: dict[str, Any]) -> str:
    """Return the page in Markdown.

    Parameters
    ----------
    kept
        ``benchmarks/results.json``.

    Raises
    ------
    ValueError
        If it has another format.
    """
    if kept.get("format") != FORMAT:
        raise ValueError(f"benchmarks/results.json: format {kept.get('format')} is not {FORMAT}; run make bench")
    parts = kept["parts"]
    machines = list(dict.fromkeys(_machine(part["machine"]) for part in parts.values()))
    lines = [INTRODUCTION, *(f"- Machine {number}: {words}" for number, words in enumerate(machines, 1))]
    for name, part in parts.items():
        lines += ["", *_part(name, part, machines.index(_machine(part["machine"])) + 1)]
    return "\n".join(lines) + "\n"


def _machine(machine: dict[str, Any]) -> str:
    accelerator = f", {machine['accelerator']}" if machine.get("accelerator") else ""
    named = ", ".join(machine["features"])
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items() if number)
    return (
        f"{machine['processor']} ({named}), {machine['cores']} cores{accelerator}; "
        f"{machine['system']}; Python {machine['python']}; {versions}."
    )


def _part(name: str, part: dict[str, Any], machine: int) -> Iterator[str]:
    yield f"## {part['title'].rstrip('.')}\n"
    if part["quick"]:
        yield f"{QUICK}\n"
    yield f'{part["about"]} `make bench ARGS="--only {name}"`, machine {machine}.'.strip() + "\n"
    yield "| what | way | median | repetitions | times as fast as | |"
    yield "|---|---|---|---|---|---|"
    for _, group in groupby(part["results"], key=lambda result: str(result["of"])):
        for number, result in enumerate(group):
            yield _row(result, first=number == 0)
    yield from (f"\n{note[0].upper()}{note[1:]}." for note in part["notes"])


def _row(result: dict[str, Any], *, first: bool) -> str:
    ratios = "; ".join(f"{times:.2f} {name}" for name, times in result["times_as_fast_as"].items())
    way = f"**{result['name']}**" if ratios else result["name"]
    facts = result.get("facts", {})
    # A method says itself in which precision it ran; that is told only where it is not the one of its row's name.
    told = [
        words.format(facts[fact], "" if facts[fact] == 1 else "es")
        for fact, words in TOLD.items()
        if fact in facts and not (fact == "precision" and str(facts[fact]) in result["name"])
    ]
    cells = [result["of"] if first else "", way, _seconds(result["median"]), str(len(result["seconds"])), ratios]
    return f"| {' | '.join([*cells, ', '.join(told)])} |"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
