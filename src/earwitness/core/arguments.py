"""What callers may give in more than one form."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T", str, Path, str | Path)


def listed(given: Iterable[T] | T) -> list[T]:
    """Return several names or paths as a list; one alone is a list of one, and not its letters.

    >>> listed("lime"), listed(("lime", "rise"))
    (['lime'], ['lime', 'rise'])
    """
    return [given] if isinstance(given, str | Path) else list(given)
