"""How results print: on one line, without what fills screens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.core.errors import printable

MOST_ITEMS = 4
MOST_LETTERS = 80


def brief(result: Any) -> str:
    """Return a dataclass's fields on one line; made a class's ``__repr__``, it takes the place of the whole content.

    Arrays are told by type and shape, long collections by how many they hold, and objects by their class: ``print`` of
    a result would else write all of its arrays and the network. What is empty is left out.
    """
    values = {each.name: getattr(result, each.name) for each in fields(result) if each.repr}
    told = [f"{name}={_told(value)}" for name, value in values.items() if not _is_empty(value)]
    return f"{type(result).__name__}({', '.join(told)})"


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | Sequence | Mapping) and not value)


def _told(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    if isinstance(value, Path):
        return repr(printable(value))
    if isinstance(value, str):
        return repr(value if len(value) <= MOST_LETTERS else f"{value[: MOST_LETTERS - 3]}...")
    if isinstance(value, bool | int | float):
        return f"{value:.6g}" if isinstance(value, float) else repr(value)
    if isinstance(value, Mapping | Sequence):
        plain = list(value.items()) if isinstance(value, Mapping) else [(None, each) for each in value]
        if len(plain) > MOST_ITEMS or not all(isinstance(each, str | int | float | Path) for _, each in plain):
            return f"{len(plain)} items" if len(plain) > 1 else "1 item"
        told = [_told(each) if key is None else f"{key!r}: {_told(each)}" for key, each in plain]
        return "{" + ", ".join(told) + "}" if isinstance(value, Mapping) else "[" + ", ".join(told) + "]"
    return type(value).__name__
