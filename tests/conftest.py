"""What all test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, and no deadline: a busy machine is no fault of the code.
settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of shared material (recordings, weights, golden values), or skip where there is none."""
    folder = Path(os.environ.get("EARWITNESS_SHARED", PROJECT.parent / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip(f"no shared material at {folder}; set EARWITNESS_SHARED to the folder that holds golden/ and data/")
    return folder
