"""A user's own code that makes a model: ``package.module:function`` or ``file.py:function``."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from earwitness.core.errors import EarwitnessError, UsageError, printable
from earwitness.models.foreign.description import Description
from earwitness.models.foreign.reading import described
from earwitness.models.foreign.runtimes import Outside

SPEC = re.compile(r"(?P<place>.+\.py|[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*)")


def is_factory(spec: str) -> bool:
    """Return whether a name is one of a user's code, as ``file.py:function`` is."""
    return SPEC.fullmatch(spec) is not None


def parts_of(spec: str) -> tuple[str, str]:
    """Return the file or module of a user's code, and the function in it."""
    match = SPEC.fullmatch(spec)
    assert match is not None
    return match["place"], match["name"]


def made(spec: str) -> tuple[nn.Module, Description]:
    """Call a user's function, which returns a network and a description (a dictionary will do).

    The network is a torch module, or a function from an array (n, ...) to an array (n, classes).

    Raises
    ------
    UsageError
        There is no such file, module or function, or it returns something else.
    EarwitnessError
        The user's code fails.
    """
    place, name = parts_of(spec)
    with importable(Path(place).parent if place.endswith(".py") else Path.cwd()):
        function = getattr(_module(place), name, None)
        if not callable(function):
            raise UsageError(f"{printable(place)}: has no function {name}")
        try:
            found = function()
        except EarwitnessError:
            raise
        except Exception as error:
            raise EarwitnessError(f"{printable(spec)}: fails ({type(error).__name__}: {error})") from error
    return _network(spec, found)


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Let the user's code import what lies beside it, as Python does for a script; afterwards all is as it was."""
    before = list(sys.path)
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path[:] = before


def _module(place: str) -> Any:
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        path = Path(place)
        if not path.is_file():
            raise UsageError(f"{printable(path)}: no such file")
        found = importlib.util.spec_from_file_location(f"_earwitness_{path.stem}", path)
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
    except EarwitnessError:
        raise
    except Exception as error:
        raise UsageError(f"{printable(place)}: cannot be imported ({type(error).__name__}: {error})") from error
    return module


def _network(spec: str, found: Any) -> tuple[nn.Module, Description]:
    if not isinstance(found, tuple) or len(found) != 2:
        raise UsageError(f"{printable(spec)}: returns {type(found).__name__}; return a network and a description")
    network, description = found
    if not callable(network):
        raise UsageError(
            f"{printable(spec)}: returns {type(network).__name__} as the network; return a torch.nn.Module, with its "
            "weights loaded, or a function"
        )
    try:
        known = described(description) if isinstance(description, Mapping) else description
    except UsageError as error:
        raise UsageError(f"{printable(spec)}: {error}") from error
    if not isinstance(known, Description):
        raise UsageError(f"{printable(spec)}: its description is no dictionary; return a network and a dictionary")
    return network if isinstance(network, nn.Module) else Outside(network), known
