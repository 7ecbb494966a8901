"""The noun: a verdict on an attribution, with its reasons."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from earwitness.core.errors import EarwitnessError
from earwitness.explainers.attribution import Attribution


def verdict_of(attribution: Attribution) -> Verdict | None:
    """Return the verdict that an attribution carries, or None."""
    return None if attribution.verdict is None else Verdict.from_dict(attribution.verdict)


RELIABLE, WEAK, NOT_RELIABLE = "reliable", "weak", "not reliable"


LEVELS = (RELIABLE, WEAK, NOT_RELIABLE)


@dataclass(frozen=True)
class Reason:
    """One reason: a plain sentence with its number, and whether it speaks for the map."""

    text: str
    good: bool


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
    """

    level: str
    chance: float
    reasons: tuple[Reason, ...]
    signs: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON types, for an attribution's metadata."""
        return asdict(self) | {"reasons": [asdict(reason) for reason in self.reasons]}

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
