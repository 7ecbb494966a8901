"""Parameters of explainers: how they are declared, checked, read from the command line and written back.

An explainer is a frozen dataclass; each field is made by :func:`parameter`, which carries one sentence of help and the
function that reads and checks a value. The same function reads ``"8x8"`` from the command line and ``(8, 8)`` from
Python, so both roads meet the same checks and the same messages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import Field, field, fields
from difflib import get_close_matches
from typing import Any, TypeVar

from earwitness.core.errors import UsageError, no_such

Reader = Callable[[Any], Any]
T = TypeVar("T")

# Several parameters by one name, such as lime:preset=fast; parameters given beside it come before it.
PRESET = "preset"


class UnreadableError(ValueError):
    """A value that a reader refuses; its message says what would do."""


def parameter(default: Any, reader: Reader, text: str) -> Any:
    """Declare a parameter of an explainer.

    Parameters
    ----------
    default
        The value when none is given.
    reader
        Turns text or a Python value into the checked value; raises :class:`UnreadableError` saying what would do.
    text
        One sentence of help.
    """
    return field(default=default, metadata={"reader": reader, "help": text})


def check(explainer: Any) -> None:
    """Read every parameter of a new explainer through its reader; called from ``__post_init__``.

    Raises
    ------
    UsageError
        Naming the method, the parameter, the value and what would do.
    """
    for item in fields(explainer):
        object.__setattr__(explainer, item.name, _read(explainer.name, item, getattr(explainer, item.name)))


def _read(method: str, item: Field[Any], value: Any) -> Any:
    try:
        return item.metadata["reader"](value)
    except UnreadableError as problem:
        raise UsageError(f"{method}: {item.name}={_shown(value)} does not do; {problem}") from None


def parse(spec: str, methods: Mapping[str, type[T]]) -> T:
    """Make an explainer from text such as ``"lime:samples=512,grid=8x8"``.

    Raises
    ------
    UsageError
        Naming the unknown method, parameter or value, and the valid ones.
    """
    name, _, rest = spec.strip().partition(":")
    if name not in methods:
        raise UsageError(no_such(name, "method", sorted(methods)))
    method: Any = methods[name]
    known = [item.name for item in fields(method)] + [PRESET] * bool(method.presets)
    given: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in rest.split(","))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key not in known or not equals:
            near = [] if key in known else get_close_matches(key, known, n=1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            listed = ", ".join(known)
            raise UsageError(f"{name}: unknown parameter '{part}'{meant}; write name=value with one of {listed}")
        if key in given:
            raise UsageError(f"{name}: {key} is given twice; give it once")
        given[key] = value
    made: T = method(**_preset(name, method, given.pop(PRESET, None)) | given)
    return made


def _preset(name: str, method: Any, preset: str | None) -> dict[str, Any]:
    """Return the parameters that a method's class attribute ``presets`` keeps under a name."""
    if preset is None:
        return {}
    if preset not in method.presets:
        raise UsageError(f"{name}: {PRESET}={preset} does not do; use one of {', '.join(method.presets)}")
    return dict(method.presets[preset])


def spec(explainer: Any) -> str:
    """Return the text that :func:`parse` reads back to the same explainer; defaults are left out."""
    changed = [item for item in fields(explainer) if getattr(explainer, item.name) != item.default]
    listed = ",".join(f"{item.name}={_shown(getattr(explainer, item.name))}" for item in changed)
    return f"{explainer.name}:{listed}" if listed else str(explainer.name)


def in_force(explainer: Any) -> dict[str, Any]:
    """Return every parameter and its value as JSON types."""
    listed = {item.name: getattr(explainer, item.name) for item in fields(explainer)}
    return {name: _as_json(value) for name, value in listed.items()}


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def described(method: type[Any]) -> list[tuple[str, str, str]]:
    """Return name, default (as text) and help of each parameter of a method."""
    listed = [(item.name, _shown(item.default), str(item.metadata["help"])) for item in fields(method)]
    if method.presets:
        words = [
            f"{name} ({', '.join(f'{key}={_shown(value)}' for key, value in kept.items())})"
            for name, kept in method.presets.items()
        ]
        listed.append((PRESET, "", f"several parameters by one name: {'; '.join(words)}"))
    return listed


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, tuple):
        return "x".join(_shown(part) for part in value)
    return repr(value) if isinstance(value, float) else str(value)


# ---- readers ------------------------------------------------------------------------------------------------------


def text(value: Any) -> str:
    """Read any text."""
    return str(value)


def choice(*options: str) -> Reader:
    """Return a reader of one of some words."""

    def read(value: Any) -> str:
        if value not in options:
            raise UnreadableError(f"use one of {', '.join(options)}")
        return str(value)

    return read


def truth(value: Any) -> bool:
    """Read true or false."""
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() not in words:
        raise UnreadableError("use true or false")
    return words[str(value).lower()]


def integer(lowest: int) -> Reader:
    """Return a reader of whole numbers from ``lowest`` up."""

    def read(value: Any) -> int:
        number = _whole(value)
        if number is None or number < lowest:
            raise UnreadableError(f"use a whole number, {lowest} or more")
        return number

    return read


def number_from(lowest: float, *, above: bool = False) -> Reader:
    """Return a reader of finite numbers from ``lowest`` up (or only above it)."""

    def read(value: Any) -> float:
        number = _number(value)
        if number is None or number < lowest or (above and number == lowest):
            raise UnreadableError(f"use a number {'above' if above else 'from'} {lowest:g}{'' if above else ' up'}")
        return number

    return read


def pair(value: Any) -> tuple[int, int]:
    """Read ``7x7``, ``(7, 7)`` or ``7`` as two whole numbers from 1 up: along time, then along frequency."""
    parts = _pair(value)
    if parts is None:
        raise UnreadableError("use two whole numbers from 1 up, time first, such as 7x7")
    return parts


def size(value: Any) -> float | tuple[int, int]:
    """Read a share of each side (0.2 or 20%), or cells along time and frequency (19x13)."""
    if isinstance(value, tuple | list) or (isinstance(value, str) and "x" in value):
        parts = _pair(value)
        if parts is not None:
            return parts
    else:
        percent = isinstance(value, str) and value.endswith("%")
        share = _number(value[:-1] if percent else value)
        share = share / 100 if share is not None and percent else share
        if share is not None and 0 < share <= 1:
            return share
    raise UnreadableError("use a share of each side above 0 and up to 1 (0.2 or 20%), or cells such as 19x13")


def _pair(value: Any) -> tuple[int, int] | None:
    parts = value.split("x") if isinstance(value, str) else value
    parts = list(parts) if isinstance(parts, tuple | list) else [parts]
    numbers = [number for number in (_whole(part) for part in parts) if number is not None and number >= 1]
    if len(numbers) != len(parts) or len(numbers) not in (1, 2):
        return None
    return numbers[0], numbers[-1]


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if isinstance(value, str) or number == value else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
