"""Classes by what a person calls them: "rooster" is "Chicken, rooster"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from unicodedata import normalize

from earwitness.core.errors import UsageError

MOST_LISTED = 12


def numbered(count: int) -> tuple[str, ...]:
    """Return the names of classes that nobody named."""
    return tuple(f"class {number}" for number in range(count))


def class_index(classes: Sequence[str], name: str) -> int:
    """Return the position of the class that a name means, as :func:`classes_called` finds it.

    Raises
    ------
    UsageError
        There is no such class, or several.
    """
    called = classes_called(classes, name)
    if len(called) > 1:
        fitting = _listed([classes[index] for index in called], "; ")
        raise UsageError(f"{name!r}: fits several classes: {fitting}; give the whole name of one")
    if not called:
        near = _nearest(classes, name)
        meant = f" (did you mean {near}?)" if near else ""
        raise UsageError(f"{name!r}: the classifier has no such class{meant}; it knows {_listed(classes, ', ')}")
    return called[0]


def classes_meant(classes: Sequence[str], labels: Iterable[str]) -> dict[str, str]:
    """Return the class that each label of a data set means, as :func:`classes_called` finds it.

    >>> classes_meant(("Dog", "Chicken, rooster", "Rain"), ["dog", "rooster"])
    {'dog': 'Dog', 'rooster': 'Chicken, rooster'}

    Raises
    ------
    UsageError
        Some label means no class, or several; all such labels are named, with the nearest classes.
    """
    found: dict[str, str] = {}
    wrong = []
    for label in labels:
        called = classes_called(classes, label)
        if len(called) == 1:
            found[label] = classes[called[0]]
        elif called:
            wrong.append(f"{label!r} (fits {_listed([classes[index] for index in called], '; ')})")
        else:
            near = _nearest(classes, label)
            wrong.append(f"{label!r} (nearest: {near})" if near else f"{label!r}")
    if wrong:
        more = f" and {len(wrong) - MOST_LISTED} more" if len(wrong) > MOST_LISTED else ""
        which = "is no class" if len(wrong) == 1 else "are no classes"
        remedy = "rename these labels, or leave them out"
        if tuple(classes) == numbered(len(classes)):
            remedy = "its classes have no names; name them with --classes FILE, or as classes in its description"
        raise UsageError(f"{', '.join(wrong[:MOST_LISTED])}{more} {which} of the model; {remedy}")
    return found


def _nearest(classes: Sequence[str], name: str) -> str | None:
    parts = {_plain(part): each for each in classes for part in (each, *each.split(","))}
    near = get_close_matches(_plain(name), parts, n=1)
    return parts[near[0]] if near else None


def classes_called(classes: Sequence[str], name: str) -> list[int]:
    """Return the positions of the classes that a name fits, by the first of these that any fits.

    The name itself; the name in another case or composition of letters; whole words of it, one after the other, such as
    a part between commas.

    >>> classes_called(("Dog", "Hot dog", "Chicken, rooster"), "dog")
    [0]
    >>> classes_called(("Dog", "Hot dog", "Chicken, rooster"), "rooster")
    [2]
    """
    if name in classes:
        return [classes.index(name)]
    wanted, words = _plain(name), _words(name)
    same = [index for index, each in enumerate(classes) if _plain(each) == wanted]
    if same or not words.strip():  # a name of commas alone would fit every class
        return same
    return [index for index, each in enumerate(classes) if words in _words(each)]


def _plain(name: str) -> str:
    return " ".join(normalize("NFKC", normalize("NFKC", name).casefold()).split())


def _words(name: str) -> str:
    """Return a name's words with a space before and after each."""
    return " ".join(["", *re.findall(r"[^\W_]+", _plain(name)), ""])


def _listed(names: Sequence[str], between: str) -> str:
    more = " ... (earwitness explain --list-classes lists all)" if len(names) > MOST_LISTED else ""
    return between.join(names[:MOST_LISTED]) + more
