"""The folder that downloads are kept in."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

HOME_VARIABLE = "EARWITNESS_HOME"


def home_folder(home: str | Path | None = None) -> Path:
    """Return the folder that downloads are kept in.

    Parameters
    ----------
    home
        The folder itself; by default what ``EARWITNESS_HOME`` says, else the user's cache folder.
    """
    if home is None:
        home = os.environ.get(HOME_VARIABLE) or platformdirs.user_cache_path("earwitness", appauthor=False)
    return Path(home).expanduser()
