"""What comes with earwitness about verdicts: the fitted judge, and how methods did on maps whose truth is known."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

ADVISED = 4  # methods that the page on verdicts advises
FITTED, UNSEEN = "backbone: ", "unseen network: "  # of groups of maps: networks fitted on, and not


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


def unseen_shares(tested: dict[str, Any] | None = None) -> tuple[float, float]:
    """Return the shares of reliable maps that were right on networks beyond a judge's fit: the least and the greatest.

    Parameters
    ----------
    tested
        As for :func:`right_most_often`; a network's own group is ``"unseen network: NAME"``.
    """
    figures = stored()["tested"] if tested is None else tested
    networks = [each for name, each in figures.items() if name.startswith(UNSEEN) and "," not in name]
    shares = [right / count for right, count in (each["levels"]["reliable"] for each in networks) if count]
    return min(shares), max(shares)


def beyond_the_fit(backbone: str) -> str:
    """Return what a reader must know of verdicts on a network that they were not fitted on; of others nothing."""
    fitted = sorted(name.removeprefix(FITTED) for name in stored()["tested"] if name.startswith(FITTED))
    if backbone in fitted:
        return ""
    low, high = (f"{share:.0%}" for share in unseen_shares())
    return (
        f"Verdicts were fitted on maps of {' and '.join(fitted)}. Of the reliable maps of other networks, "
        f"{low} to {high} were right; ask a second method."
    )
