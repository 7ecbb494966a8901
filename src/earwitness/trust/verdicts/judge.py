"""The verdict: whether an attribution may be believed, with the measured reasons.

From the signs (:mod:`earwitness.trust.verdicts.indicators`) follows the chance that the map is right, by a logistic
regression that was fitted on maps whose truth is known (mixtures of the scoreboard, never those that a figure in the
documentation was measured on). Two limits on that chance, as it is printed, part *reliable* from *weak* from *not
reliable*; they are fitted as well. A map of silence, a map without positive cells and a method that ignores the
network's weights are *not reliable* whatever else was measured; a map for a class that is hardly predicted is *weak* at
best. The chance of such a map is lowered to what its level allows, so that the same number never stands on two levels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from earwitness.core.arrays import Float64Array
from earwitness.core.errors import EarwitnessError
from earwitness.trust.verdicts.indicators import Signs
from earwitness.trust.verdicts.resource import stored
from earwitness.trust.verdicts.verdict import IGNORES, NOT_RELIABLE, RELIABLE, WEAK, Reason, Verdict, percent

MOST_REASONS = 4
# Maps of a class that the classifier hardly predicts were not among those that the judge was fitted on.
LEAST_PROBABILITY = 0.2
LEAST_SHIFT = 0.1  # log-odds by which a sign must move the chance to be named


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A fitted judge: logistic regression over standardised signs, and two limits.

    Parameters
    ----------
    names
        Of the signs that it uses.
    means, scales
        Of each sign among the maps that it was fitted on; a sign that was not measured counts as the mean.
    weights, intercept
        Of the log-odds that the map is right.
    reliable, weak
        Least chance of each level, as fitted; in force in whole per cent (:meth:`limit`).
    fitted_on
        In words: which cases, methods and classifiers, how many, and what counts as right.
    """

    names: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    reliable: float
    weak: float
    fitted_on: str

    def log_odds(self, signs: Signs) -> Float64Array:
        """Return what each sign adds to the log-odds, shape (names,), the intercept apart."""
        return np.asarray(self.standardised(signs) * np.array(self.weights))

    def standardised(self, signs: Signs) -> Float64Array:
        """Return the signs as multiples of their spread from their mean, shape (names,)."""
        found = signs.numbers()
        values = [found.get(name, mean) for name, mean in zip(self.names, self.means, strict=True)]
        return np.clip((np.array(values) - np.array(self.means)) / np.array(self.scales), -4.0, 4.0)

    def chance(self, signs: Signs) -> float:
        """Return the chance that a map is right, 0 to 1."""
        return float(1.0 / (1.0 + math.exp(-(self.intercept + self.log_odds(signs).sum()))))

    def limit(self, level: str) -> int:
        """Return from which whole per cent on a map is *reliable* or *weak*: the fitted limit, rounded up.

        Where both limits round to one number, no map is *weak*. At 0 % every map is *not reliable*.
        """
        fitted_limit = max(self.reliable, self.weak) if level == RELIABLE else self.weak
        return max(1, math.ceil(100 * fitted_limit - 1e-9))

    def level(self, chance: float) -> str:
        """Return the level of a chance, by its printed per cent: the same number is always the same level."""
        printed = percent(chance)
        return next((level for level in (RELIABLE, WEAK) if printed >= self.limit(level)), NOT_RELIABLE)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Judge:
        """Return a judge from JSON types.

        Raises
        ------
        EarwitnessError
            It is damaged.
        """
        try:
            lists = {key: tuple(stored[key]) for key in ("names", "means", "scales", "weights")}
            return cls(**{**stored, **lists})
        except (KeyError, TypeError) as error:
            raise EarwitnessError(f"the judge of verdicts is damaged ({error}); install earwitness again") from error


@cache
def fitted() -> Judge:
    """Return the judge that comes with earwitness."""
    return Judge.from_dict(stored()["judge"])


def verdict(signs: Signs, judge: Judge | None = None) -> Verdict:
    """Return the verdict on one attribution.

    Parameters
    ----------
    signs
        What was measured of it.
    judge
        None takes the one that comes with earwitness.
    """
    judge = judge or fitted()
    if signs.empty:
        return Verdict(NOT_RELIABLE, 0.0, (Reason(signs.empty, good=False),), signs.numbers())
    chance = judge.chance(signs)
    reasons = _reasons(judge, signs, judge.level(chance))
    if not signs.explains:
        chance = min(chance, judge.limit(WEAK) / 200)
        text = f"{IGNORES} ({signs.kept:.2f} of 1 stays)"
        reasons = [Reason(text, good=False), *reasons]
    if signs.probability < LEAST_PROBABILITY and judge.level(chance) != NOT_RELIABLE:
        chance = min(chance, (judge.limit(RELIABLE) - 1) / 100)
        text = (
            f"the class hardly scores, and verdicts were fitted on predicted ones (probability {signs.probability:.2f})"
        )
        reasons = [Reason(text, good=False), *reasons]
    return Verdict(judge.level(chance), chance, tuple(reasons[:MOST_REASONS]), signs.numbers())


# ---- reasons in words ---------------------------------------------------------------------------------------------

# Per sign: what is said where it speaks for the map, and where against; the figure stands behind.
WORDS = {
    "probability": ("the class scores high", "the class itself scores low"),
    "depends": ("the score rests on what sounds", "the score hardly needs the sound"),
    "deletion": (
        "hiding its cells first breaks the decision sooner than chance",
        "hiding its cells first breaks the decision hardly sooner than chance",
    ),
    "insertion": (
        "its cells alone restore the decision sooner than chance",
        "its cells alone restore the decision hardly sooner than chance",
    ),
    "energy": ("it beats simply taking the loudest cells", "it does not beat simply taking the loudest cells"),
    "correlation": (
        "the redder the hidden cells, the lower the score",
        "hiding its redder cells lowers the score hardly more than hiding others",
    ),
    "shift": ("it is the same one frame earlier or later", "it is another one frame earlier or later"),
    "noise": ("it stays under faint noise", "it changes under faint noise"),
    "seeds": ("it stays with other random draws", "it changes with other random draws"),
    "fills": ("it stays when hidden parts are filled otherwise", "it changes when hidden parts are filled otherwise"),
    "kept": ("it depends on what the network learned", "much of it stays when the network is made random"),
    "agrees": ("the mean of {others} shows the same", "the mean of {others} shows something else"),
    "sparse": ("it is concentrated", "it is spread out"),
}
# A correlation above this is neither the same nor something else.
PARTLY = ("agrees", 0.2, "the mean of {others} agrees only partly")
FAINT = Reason("nothing speaks against it, but what speaks for it is faint", good=False)


def _reasons(judge: Judge, signs: Signs, level: str) -> list[Reason]:
    """Return the reasons that moved the chance most; where the map is not reliable, one of them is against it."""
    moved = judge.log_odds(signs)
    measured = signs.numbers()
    order = [int(at) for at in np.argsort(-np.abs(moved), kind="stable") if judge.names[at] in measured]
    chosen = [at for at in order if abs(moved[at]) >= LEAST_SHIFT][:MOST_REASONS]
    others = signs.others or "other methods"
    against = [at for at in order if moved[at] < 0]
    if level != RELIABLE and not set(chosen) & set(against):
        chosen = [*chosen[: MOST_REASONS - 1], *against[:1]]
    found = [_reason(judge.names[at], measured[judge.names[at]], bool(moved[at] > 0), others) for at in chosen]
    return found if level == RELIABLE or against else [*found[: MOST_REASONS - 1], FAINT]


def _reason(name: str, value: float, good: bool, others: str) -> Reason:
    words = WORDS[name][0 if good else 1]
    if name == PARTLY[0] and not good and value > PARTLY[1]:
        words = PARTLY[2]
    # Where hiding everything changes little, shares of that change know no bounds and mean no more than "much".
    shown = f"{round(value, 2) + 0.0:.2f}" if abs(value) <= 1 else "over 1" if value > 0 else "under -1"
    return Reason(f"{words.format(others=others)} ({name} {shown})", good)
