"""Classes that are nested in others, as AudioSet's are, and the most specific of those that lead."""

from __future__ import annotations

import csv
from importlib.resources import files

from earwitness.core.arrays import Float64Array

Parents = tuple[tuple[int, ...], ...]

LEADING = 0.5  # share of the highest score from which on a class nested in the best one leads, too


def audioset_parents() -> Parents:
    """Return for each of AudioSet's 527 classes the nearest ones that it is nested in, of which some have several.

    From AudioSet's ontology, CC BY-SA 4.0 (``resources/README.md``).
    """
    text = files("earwitness").joinpath("resources/audioset_parents.csv").read_text("utf-8")
    return tuple(tuple(map(int, row["parents"].split())) for row in csv.DictReader(text.splitlines()))


def most_specific(scores: Float64Array, parents: Parents) -> list[int]:
    """Return the leading classes from the one of the highest score down to the most specific: Animal, Dog, Bark.

    A tagger often gives the highest score to a class that holds others, which says least. A class leads if it is nested
    in the best one and has at least ``LEADING`` times its score. Where several branches lead, the way down goes to the
    higher score each time, not to the deepest class: a bark under Dog is not given up for a faint miaow under Cat.

    Parameters
    ----------
    scores
        Shape (classes,).
    parents
        The classes that each is nested in; empty where none is.

    Returns
    -------
    The best class first, each of the others nested in it; the last one holds no other that leads. One class where none
    is nested in the best.
    """
    best = last = int(scores.argmax())
    # The best one leads in any case: another's final answers may all be below 0.
    leading = [index for index in _below(best, parents) if index == best or scores[index] >= LEADING * scores[best]]
    while inner := [index for index in _below(last, parents) if index in leading and index != last]:
        last = max(inner, key=lambda index: scores[index])
    return [index for index in leading if last in _below(index, parents)]


def _below(top: int, parents: Parents) -> list[int]:
    """Return a class and those nested in it, each after all that it is nested in."""
    steps, layer = {top: 0}, {top}
    while layer := {index for index, above in enumerate(parents) if layer.intersection(above)}:
        steps |= dict.fromkeys(layer, max(steps.values()) + 1)
    return sorted(steps, key=lambda index: steps[index])
