"""Audits: does a classifier rely on something that is not the sound? Take it out, score again, count.

Every recording that a run was measured on is predicted as it is and without each of
:data:`earwitness.trust.audit.counterfactuals.COUNTERFACTUALS`. What is compared stays within one recording: the share
of its segments that are predicted right and the true class's mean score, before and after. Segments of a recording are
not independent, so recordings are what the intervals count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from earwitness.core.brief import brief
from earwitness.core.errors import EarwitnessError, printable

# What counts as relying: so large a loss, and so sure. Many classes are looked at, so they must be surer.
LEAST_LOSS, CONFIDENCE = 0.02, 0.95
LEAST_CLASS_LOSS, CLASS_CONFIDENCE = 0.10, 0.99
LEAST_FILES = 3
FEW_TOUCHED = 10  # recordings: fewer rule nothing out that is worth saying
LEAST_FALL = 0.1  # of the true class's score: such a recording is named
MOST_KEPT, MOST_NAMED = 10, 3  # recordings of a class; recordings or classes in a sentence
FORMAT_VERSION = 1
# What counterfactuals take out, in a sentence, where their names alone do not do, and those that are several.
THINGS = {
    "edges": "the clips' edges",
    "band limit": "the band limit",
    "inaudible": "what nobody can hear",
    "level": "loudness",
    "file format": "the file format",
}
SEVERAL = ("edges", "steady tones")


@dataclass(frozen=True, kw_only=True)
class ClassEffect:
    """What a counterfactual did to one class; shares of segments predicted right, mean over its recordings.

    Parameters
    ----------
    name
        The class.
    files, touched
        Its recordings, and how many of them the counterfactual changed at all.
    before, after
        Mean share of segments predicted right.
    low, high
        99 % interval of the change.
    """

    name: str
    files: int
    touched: int
    before: float
    after: float
    low: float
    high: float

    @property
    def change(self) -> float:
        """After less before."""
        return self.after - self.before

    @property
    def relies(self) -> bool:
        """Whether the class is predicted so much less often that chance does not explain it."""
        return self.files >= LEAST_FILES and self.change <= -LEAST_CLASS_LOSS and self.high < 0

    @property
    def gains(self) -> bool:
        """Whether the class is predicted so much more often without it that chance does not explain it."""
        return self.files >= LEAST_FILES and self.change >= LEAST_CLASS_LOSS and self.low > 0


@dataclass(frozen=True, kw_only=True)
class Affected:
    """A recording that a counterfactual changed: its class's mean score before and after, its prediction after."""

    file: str
    label: str
    before: float
    after: float
    predicted_as: str


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one counterfactual did.

    Parameters
    ----------
    name, question, taken
        Of the counterfactual.
    files, touched
        Recordings, and how many of them it changed at all.
    before, after
        Mean over recordings of the share of segments predicted right.
    low, high
        95 % interval of the change, by bootstrap over recordings.
    score_change
        Mean change of the true class's score (a probability).
    classes
        The same by class.
    recordings
        Those of each class whose true class's score fell most.
    corrected
        Those of each class that have another class's mean score highest as they are, and without it their own, which
        rises by 0.1 or more; the largest rise first. Empty in an audit of version 0.1.0.
    """

    name: str
    question: str
    taken: str
    files: int
    touched: int
    before: float
    after: float
    low: float
    high: float
    score_change: float
    classes: tuple[ClassEffect, ...]
    recordings: tuple[Affected, ...]
    corrected: tuple[Affected, ...] = ()

    @property
    def change(self) -> float:
        """After less before."""
        return self.after - self.before

    @property
    def thing(self) -> str:
        """What was taken out, as it stands in a sentence."""
        return THINGS.get(self.name, self.name)

    @property
    def it(self) -> str:
        """The pronoun that stands for the thing."""
        return "them" if self.name in SEVERAL else "it"

    @property
    def relying(self) -> tuple[str, ...]:
        """Classes that rely on it."""
        return tuple(each.name for each in self.classes if each.relies)

    @property
    def gaining(self) -> tuple[str, ...]:
        """Classes that are predicted better without it."""
        return tuple(each.name for each in self.classes if each.gains)

    @property
    def altogether(self) -> bool:
        """Whether all recordings together show that the classifier relies on it."""
        return self.change <= -LEAST_LOSS and self.high < 0

    @property
    def found(self) -> bool:
        """Whether the classifier relies on it, altogether or in a class."""
        return bool(self.relying) or self.altogether

    @property
    def few(self) -> bool:
        """Whether so few recordings had it that finding nothing says little."""
        return self.touched < FEW_TOUCHED

    @property
    def affected(self) -> tuple[Affected, ...]:
        """Recordings whose true class's score fell by 0.1 and more; where classes rely, those of these classes."""
        return tuple(
            each
            for each in self.recordings
            if each.before - each.after >= LEAST_FALL and (not self.relying or each.label in self.relying)
        )

    @property
    def ruled_out(self) -> float:
        """Least loss (share of segments right) that can be ruled out over the recordings that had it together."""
        # The others are the same with and without, and would hide a loss among those that had it. Where none of these
        # changed, the bootstrap knows no spread; so many would hardly have been missed.
        unseen = 1.0 - (1.0 - CONFIDENCE) ** (1.0 / self.touched)
        return min(1.0, max(unseen, -self.low * self.files / self.touched))

    def sentence(self) -> str:
        """Say what was found, or how large a loss can be ruled out."""
        if not self.touched:
            return "No recording has any: nothing to test."
        if self.found:
            return f"Yes: {self.story()}."
        if self.few:
            had = f"{self.touched} recording{'s' * (self.touched > 1)} had it: too few to say more than"
            what = "which lost most" if self.affected else f"that none lost {LEAST_FALL} of its class's score"
            return f"Only {had} {what}{self._but()}."
        nothing = "No loss found" if self._but() else "No effect found"
        if self.high < 0:
            nothing = f"No loss of {100 * LEAST_LOSS:g} points found"
        return (
            f"{nothing}{self._but()}; for the {self.touched} recordings that had it, together, a loss of more than "
            f"{100 * self.ruled_out:.1f} points is ruled out (a single class may lose more)."
        )

    def told(self) -> str:
        """Say what was found and name the recordings that lost most."""
        worst = [
            f"{printable(each.file)} ({each.before:.2f} to {each.after:.2f})" for each in self.affected[:MOST_NAMED]
        ]
        said = self.sentence() + (f" Most affected, by their class's score: {', '.join(worst)}." if worst else "")
        right = [
            f"{printable(each.file)} ({each.before:.2f} to {each.after:.2f})" for each in self.corrected[:MOST_NAMED]
        ]
        return said + (f" Predicted right only without {self.it}: {', '.join(right)}." if right else "")

    def story(self) -> str:
        """Say which classes need it and which it misleads, as one clause; empty where no class does, nor all together.

        A class needs what it loses by the removal of; what draws its recordings to other classes misleads it.
        """
        needs = sorted((each for each in self.classes if each.relies), key=lambda each: each.change)
        if needs:
            told = f"{needs[0].name} needs {self.it} ({self._shares(needs[0])})"
            for each in needs[1:MOST_NAMED]:
                told += f", {each.name}, too ({self._shares(each)})"
            if more := [each.name for each in needs[MOST_NAMED:]]:
                told += f", and so {'does' if len(more) == 1 else 'do'} {', '.join(more)}"
        elif self.altogether:
            told = f"{self.before:.1%} of segments are right with {self.it}, {self.after:.1%} without"
        else:
            return self._misled()
        return f"{told}, and {self._misled()}" if self._misled() else told

    def _misled(self) -> str:
        """Say whom it misleads, beyond chance."""
        misled = sorted((each for each in self.classes if each.gains), key=lambda each: -each.change)
        they = "they mislead" if self.it == "them" else "it misleads"
        if not misled:
            all_gain = self.change >= LEAST_LOSS and self.low > 0
            shares = f"{self.before:.1%} of segments are right with {self.it}, {self.after:.1%} without"
            return f"{they} all classes together ({shares})" if all_gain else ""
        named = [f"{each.name} ({self._shares(each)})" for each in misled[:MOST_NAMED]]
        return f"{they} {', '.join([*named, *(each.name for each in misled[MOST_NAMED:])])}"

    def _but(self) -> str:
        return f", but {self._misled()}" if self._misled() else ""

    def _shares(self, each: ClassEffect) -> str:
        return f"{each.before:.0%} of its segments are right with {self.it}, {each.after:.0%} without"


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What a classifier was tested for, what was found and what was not.

    Parameters
    ----------
    effects
        One a counterfactual.
    classes
        The classifier's.
    files, seconds
        How many recordings were scored, and how much of each at most.
    formats
        Sentences on file formats that give a class away.
    seed
        Of the bootstrap.
    """

    effects: tuple[Effect, ...]
    classes: tuple[str, ...]
    files: int
    seconds: float
    formats: tuple[str, ...] = ()
    seed: int = 0

    __repr__ = brief

    def summary(self) -> str:
        """Say on what predictions depend: which classes need it, and which it misleads."""
        said = [f"Predictions depend on {each.thing}: {each.story()}." for each in self.effects if each.story()]
        return " ".join(said) or self._nothing()

    def _nothing(self) -> str:
        """Say that nothing was found, and what could not be tested, of which nothing is known."""
        untested = [each.thing for each in self.effects if each.few]
        count = len(self.effects)
        if not untested:
            return f"All {count} things could be tested, and no dependence was found."
        tested = f"{count - len(untested)} of {count} things could be tested, and no dependence was found"
        if len(untested) == count:
            tested = f"None of {count} things could be tested"
        return f"{tested}; too few recordings had {', '.join(untested)}."

    def as_dict(self) -> dict[str, Any]:
        """Return the audit as JSON types."""
        return {"version": FORMAT_VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Audit:
        """Return an audit from :meth:`as_dict`.

        Raises
        ------
        EarwitnessError
            It is damaged or of another version.
        """
        try:
            entries = dict(stored)
            if entries.pop("version") != FORMAT_VERSION:
                raise ValueError("another version")
            effects = tuple(
                Effect(
                    **{
                        **each,
                        "classes": tuple(ClassEffect(**one) for one in each["classes"]),
                        "recordings": tuple(_affected(one) for one in each["recordings"]),
                        "corrected": tuple(_affected(one) for one in each.get("corrected", ())),
                    }
                )
                for each in entries.pop("effects")
            )
            entries |= {"effects": effects} | {key: tuple(entries[key]) for key in ("classes", "formats")}
            return cls(**entries)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EarwitnessError(f"the audit is damaged ({error}); audit the run again") from error


def _affected(stored: Mapping[str, Any]) -> Affected:
    """Return a recording from JSON types; what version 0.1.0 called ``heard_as`` has a plainer name now."""
    return Affected(**{"predicted_as" if name == "heard_as" else name: value for name, value in stored.items()})
