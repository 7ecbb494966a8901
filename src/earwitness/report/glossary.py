"""What the methods and the kinds of score that a page shows are, in a sentence each."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from earwitness.core.run_folder import RunFolder
from earwitness.explainers.attribution import saved_kind
from earwitness.explainers.registry import METHODS
from earwitness.plots.gallery import Entry

FAMILIES = {
    "activation maps": "What a layer of the network responds to, added up by what speaks for the class",
    "attention": "What a transformer's tokens have passed on to each other on the way to the answer",
    "perturbation": "Parts of the sound are hidden and it is scored again",
    "gradients": "How the score would change with each cell of the log-mel",
}
SCORES = {
    "probability": (
        "The score beside each segment: how sure the classifier is of a class, 0 to 1; those of all classes add up to "
        "1. It need not be how often the classifier is right."
    ),
    "logit": (
        "What the network gives each class before it becomes a probability: one more makes the class 2.7 times as "
        "likely beside any other; there is no highest one."
    ),
    "log-odds": (
        "The logarithm of how much likelier the class is than all others together: 0 is even, 2.2 a probability of "
        "0.9, 4.6 one of 0.99. It does not level out near 1."
    ),
}


# Of classes that are scored each by itself, or finally by the network.
ALONE = {
    "probability": (
        "The score beside each segment: how sure the classifier is of a class, 0 to 1, whatever it says of the others. "
        "It need not be how often the classifier is right."
    ),
    "log-odds": (
        "The logarithm of how much likelier the class is than not: 0 is even, 2.2 a probability of 0.9, 4.6 one of "
        "0.99. It does not level out near 1."
    ),
}


def words_of(run: RunFolder, entries: Sequence[Entry], activation: str = "softmax") -> list[tuple[str, str]]:
    """Return the methods whose maps a page shows, and the kinds of score that they are in, each with what it is.

    Parameters
    ----------
    run
        Whose ``attributions/`` holds the maps.
    entries
        The page's pictures, whose words name the methods.
    activation
        What turns the network's answers into probabilities.
    """
    saved = {found for path in run.attributions.glob("*.npz") if (found := saved_kind(path)) is not None}
    told = " ".join(entry.alt for entry in entries)
    explained = {name for name, _ in saved}
    shown = {name: method for name, method in METHODS.items() if name in explained and method.title in told}
    kinds = {kind for name, kind in saved if name in shown}
    methods = [(method.title, f"{FAMILIES[method.family]}: {_described(method)}") for method in shown.values()]
    if not methods:
        return []
    scores = SCORES if activation == "softmax" else SCORES | ALONE
    return methods + [(kind, words) for kind, words in scores.items() if kind in kinds | {"probability"}]


def _described(method: type) -> str:
    """Return what a method's own first line says of it, after its title."""
    return (inspect.getdoc(method) or "").partition("\n")[0].partition(": ")[2]
