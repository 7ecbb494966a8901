"""What to do about a map that is weak or not reliable: a few words, with the option of the command that does it."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from earwitness.core.errors import UsageError
from earwitness.explainers.attribution import SILENT, Attribution
from earwitness.explainers.inference.scoring import LOG_ODDS, PROBABILITY
from earwitness.explainers.parameters import spec
from earwitness.explainers.registry import METHODS
from earwitness.trust.verdicts.resource import right_most_often

if TYPE_CHECKING:
    from earwitness.trust.verdicts.verdict import Verdict

SATURATED = 0.99  # a probability above this hardly moves, whatever is hidden
MORE = 2  # times the samples
MOST_NAMED = 2  # methods to ask

FILLS = 0.9  # of a segment's length: evidence that is as long has no place in it

WHOLE = "look at all of the recording: explain --whole"
NOTHING_MORE = "draw no conclusion where the maps differ"


@dataclass(frozen=True)
class Known:
    """What is known beside a map.

    Parameters
    ----------
    asked
        Methods whose maps of the same segment there are, and those that the model cannot be asked by.
    predicted
        What the segment was predicted as; the map's class where no other is to be advised, empty where nobody knows.
    alone
        Whether the segment is all of the recording.
    """

    asked: frozenset[str] = frozenset()
    predicted: str = ""
    alone: bool = False


NOTHING_KNOWN = Known()


def advice(found: Verdict, attribution: Attribution, known: Known) -> str:
    """Return what to do about a map that is weak or not reliable, by what speaks most against it.

    Parameters
    ----------
    found
        Its verdict.
    attribution
        The map.
    known
        What else is known.
    """
    if SILENT in attribution.flags:
        return "there is nothing to point at: nothing sounds in this segment"
    saturated = attribution.parameters.get("score") == PROBABILITY and attribution.score > SATURATED
    if attribution.fill and saturated and (other := _with(attribution, score=LOG_ODDS)):
        return f"explain the log-odds, which move where the probability cannot: --method {other}"
    if not float(attribution.values.max(initial=0.0)) > 0:
        return f"there is nothing to point at: no cell speaks for {attribution.target_label}"
    if _fills(attribution) and not known.alone:
        return f"the evidence fills its segment; {WHOLE}"
    against = [reason.sign for reason in found.reasons if not reason.good]
    return next(filter(None, (_about(sign, attribution, known) for sign in [*against, "agrees"])), NOTHING_MORE)


def _about(sign: str, attribution: Attribution, known: Known) -> str:
    """Return what to do about one sign that speaks against a map; empty where there is nothing of its own to do."""
    another = _another({attribution.method, *known.asked})
    whole = "" if known.alone else WHOLE
    if sign == "probability" and known.predicted != attribution.target_label:
        return f"explain {known.predicted or 'the class that is predicted'}: without --class"
    if sign == "seeds" and (steadier := _steadier(attribution)):
        return f"draw more samples: --method {steadier}"
    if sign == "kept" and another:
        return f"ask a method whose maps depend more on what the network learned: {another}"
    if sign == "agrees":
        return f"ask another method and compare: {another}" if another else whole
    # A map that is spread out, or another one a frame later though the method is good, has its evidence beside it.
    beside = sign == "sparse" or (sign == "shift" and attribution.method in right_most_often())
    return whole if beside else ""


def _fills(attribution: Attribution) -> bool:
    """Tell whether a region of the evidence is about as long as the segment."""
    edges = attribution.time_edges
    seconds = float(edges[-1] - edges[0]) if edges.size else math.inf
    return any(each.end_seconds - each.start_seconds >= FILLS * seconds for each in attribution.regions)


def _another(asked: Collection[str]) -> str:
    """Return the methods to ask that were right most often, as options; empty where all of them were asked."""
    names = [name for name in right_most_often() if name not in asked][:MOST_NAMED]
    return " ".join(f"--method {name}" for name in names)


def _steadier(attribution: Attribution) -> str:
    """Return a map's method with more samples; empty where it draws none."""
    samples = attribution.parameters.get("samples")
    return _with(attribution, samples=MORE * samples) if isinstance(samples, int) else ""


def _with(attribution: Attribution, **changes: Any) -> str:
    """Return a map's method with its settings, some of them changed; empty where this version cannot make it."""
    try:
        return spec(replace(METHODS[attribution.method](**attribution.parameters), **changes))
    except (KeyError, TypeError, UsageError):  # another's method, or a setting of another version
        return ""
