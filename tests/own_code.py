"""A user's own code that makes a model, as a file that names classes of a test's module."""

from __future__ import annotations

from pathlib import Path


def spec_of(folder: Path, module: str, made: str, description: dict, name: str = "mine") -> str:
    """Write a file whose ``make`` returns a network and a description, and return what one types for it.

    Parameters
    ----------
    folder, name
        Where, and what the file is called.
    module
        Name of the test's module.
    made
        An expression that makes the network from what the module holds.
    description
        The words.
    """
    (folder / f"{name}.py").write_text(
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"from {module} import *\ndef make():\n    return {made}, {description!r}\n"
    )
    return f"{folder / name}.py:make"
