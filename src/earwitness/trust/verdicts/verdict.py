"""The noun: a verdict on an attribution, with its reasons."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, replace
from typing import Any

from earwitness.core.errors import EarwitnessError
from earwitness.explainers.attribution import Attribution
from earwitness.trust.verdicts.advice import NOTHING_KNOWN, Known, advice


def verdict_of(attribution: Attribution, known: Known = NOTHING_KNOWN) -> Verdict | None:
    """Return the verdict that an attribution carries, with advice, or None.

    Parameters
    ----------
    attribution
        The map.
    known
        What is known beside it, for the advice.
    """
    if attribution.verdict is None:
        return None
    found = Verdict.from_dict(attribution.verdict)
    return found if found.level == RELIABLE else replace(found, advice=advice(found, attribution, known))


RELIABLE, WEAK, NOT_RELIABLE = "reliable", "weak", "not reliable"


LEVELS = (RELIABLE, WEAK, NOT_RELIABLE)
IGNORES = "the method's maps hardly change when the network is made random"


@dataclass(frozen=True)
class Reason:
    """One reason: a plain sentence with its number, and whether it speaks for the map."""

    text: str
    good: bool

    @property
    def sign(self) -> str:
        """The sign that it speaks of, whose name and number end the sentence; empty where there is none."""
        if self.text.startswith(IGNORES):
            return "kept"
        found = re.search(r"\(([a-z]+) [^()]*\)$", self.text)
        return found[1] if found else ""


@dataclass(frozen=True)
class Verdict:
    """Whether one attribution may be believed.

    Parameters
    ----------
    level
        ``"reliable"``, ``"weak"`` or ``"not reliable"``.
    chance
        That the map is right, 0 to 1, as fitted.
    reasons
        Those that moved the chance most, the strongest first.
    signs
        The measured figures.
    advice
        What to do about the map, in a few words with an option of the command; empty where it is reliable. It follows
        from the map and the rest, and is not kept with them.
    """

    level: str
    chance: float
    reasons: tuple[Reason, ...]
    signs: dict[str, float]
    advice: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON types, for an attribution's metadata."""
        kept = asdict(self) | {"reasons": [asdict(reason) for reason in self.reasons]}
        del kept["advice"]
        return kept

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Verdict:
        """Return a verdict from :meth:`as_dict`.

        Raises
        ------
        EarwitnessError
            It is damaged.
        """
        try:
            return cls(**{**stored, "reasons": tuple(Reason(**each) for each in stored["reasons"])})
        except (KeyError, TypeError) as error:
            raise EarwitnessError(f"a verdict is damaged ({error}); explain the segment again") from error

    def lines(self) -> list[str]:
        """Return the verdict, then a line a reason: ``+`` speaks for the map, ``-`` against it."""
        marks = [f"  {'+' if reason.good else '-'} {reason.text}" for reason in self.reasons]
        return [f"{self.level} ({percent(self.chance)}%)", *marks]

    def text(self) -> str:
        """Return the verdict and its reasons, for and against, in one line."""
        sides = [
            f"{side}: " + "; ".join(reason.text for reason in self.reasons if reason.good == good)
            for side, good in (("for it", True), ("against it", False))
            if any(reason.good == good for reason in self.reasons)
        ]
        return f"{self.level} ({percent(self.chance)}%); " + "; ".join(sides)


def percent(chance: float) -> int:
    """Return a chance as whole per cent, rounded down: no map shows a limit that it missed."""
    return math.floor(100 * chance + 1e-9)
