"""Paths of the machine that a run was made on, which a page that is passed on need not tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any


def shortened(settings: Mapping[str, Any], *others: str) -> Callable[[str], str]:
    """Return a function that writes absolute paths by their last part, wherever they stand in a text.

    Parameters
    ----------
    settings
        The content of ``run.json``: of the paths that its command, data and weights name.
    others
        More paths.
    """
    words = [str(word).partition("=")[2] or str(word) for word in settings["command"]]
    named = [*words, str(settings["data"]["path"]), str(settings["weights"]["source"]), *others]
    paths = {word: path.name for word in named if (path := _absolute(word)) is not None and path.name}
    if not paths:
        return str
    # The longest first: a folder's path is the beginning of its files' paths.
    pattern = re.compile("|".join(re.escape(path) for path in sorted(paths, key=len, reverse=True)))
    return lambda text: pattern.sub(lambda found: paths[found[0]], text)


def _absolute(word: str) -> PurePath | None:
    """Return a word as the absolute path that it is here or, as pages are built elsewhere, too, on another system."""
    return next((path for path in (PurePosixPath(word), PureWindowsPath(word)) if path.is_absolute()), None)
