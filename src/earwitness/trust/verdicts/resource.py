"""What comes with earwitness about verdicts: the fitted judge, and how methods did on maps whose truth is known."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

ADVISED = 4  # methods that the page on verdicts advises


@cache
def stored() -> dict[str, Any]:
    """Return the resource, as ``tools/verdict.py`` wrote it."""
    found: dict[str, Any] = json.loads(
        files("earwitness").joinpath("resources", "verdict.json").read_text(encoding="utf-8")
    )
    return found


def right_most_often(tested: dict[str, Any] | None = None) -> dict[str, float]:
    """Return the methods whose maps were right most often, best first, each with the share that was right.

    Parameters
    ----------
    tested
        Figures by group of maps, those of a method under ``"method: NAME"``; None takes those of the resource.
    """
    figures = stored()["tested"] if tested is None else tested
    shares = {name.partition(": ")[2]: each["right"] for name, each in figures.items() if name.startswith("method: ")}
    return {name: shares[name] for name in sorted(shares, key=lambda name: -shares[name])[:ADVISED]}
