"""From words and values, of a TOML or YAML file or of a dictionary, to a description of a foreign model."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_type_hints

from earwitness.core.errors import UsageError, printable
from earwitness.models.classifier import WAVEFORM
from earwitness.models.foreign.description import CELLS, LIKE, NAMES, Description

ENDINGS = (".toml", ".yaml", ".yml")

# What librosa and torchaudio call what a description names otherwise.
LIBROSA = {
    "sr": "sample_rate",
    "n_fft": "fft",
    "hop_length": "hop",
    "win_length": "window",
    "n_mels": "bands",
    "fmin": "low_hz",
    "fmax": "high_hz",
    "f_min": "low_hz",
    "f_max": "high_hz",
    "center": "centred",
    "pad_mode": "padding",
    "amin": "floor",
    "ref": "reference",
}


def described(given: Mapping[str, Any]) -> Description:
    """Return a description of what a file or a user's code says.

    Raises
    ------
    UsageError
        A word is unknown, or a value does not do.
    """
    unknown = next((name for name in given if name not in NAMES), None)
    if unknown is not None:
        near = get_close_matches(str(unknown), NAMES, n=1)
        near = [LIBROSA[unknown]] if unknown in LIBROSA else near
        raise UsageError(f"{unknown}: is no word of a description{f' (did you mean {near[0]}?)' if near else ''}")
    waves = given.get("input") == WAVEFORM
    missing = [name for name in ("sample_rate", "hop")[: 1 if waves else 2] if name not in given]
    if missing:
        raise UsageError(f"a description names {' and '.join(missing)}, too")
    like = given.get("like", "")
    defaults = LIKE.get(like, {}) if isinstance(like, str) else {}
    if not given.get("bands"):
        defaults = {name: value for name, value in defaults.items() if name not in ("scale", "triangles", "norm")}
    if {"floor", "offset"} & set(given):
        defaults = {name: value for name, value in defaults.items() if name not in ("floor", "offset")}
    if waves:
        defaults = {**CELLS, **defaults}
    hints = get_type_hints(Description)
    values = {name: _typed(name, value, hints[name]) for name, value in {**defaults, **given}.items()}
    return Description(**values)


def _typed(name: str, value: Any, hint: Any) -> Any:
    """Return a value of a field's type; whole numbers do for others, lists for tuples."""
    kinds = get_args(hint) if not hasattr(hint, "__origin__") and get_args(hint) else (hint,)
    for kind in kinds:
        if getattr(kind, "__origin__", None) is Mapping and isinstance(value, Mapping):
            return dict(value)
        if getattr(kind, "__origin__", None) is tuple:
            of = get_args(kind)[0]
            if isinstance(value, list | tuple) and all(_is(each, of) for each in value):
                return tuple(of(each) for each in value)
        elif _is(value, kind):
            return kind(value) if kind is float else value
    raise UsageError(f"{name} {value!r}: has the wrong type for a description")


def _is(value: Any, kind: Any) -> bool:
    if kind in (int, float):
        return isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    return isinstance(value, kind) if isinstance(kind, type) else value is None


def read_description(path: Path) -> Description:
    """Read a description; a file of classes that it names lies beside it.

    Raises
    ------
    UsageError
        It cannot be read, or something in it does not do; the message names the file.
    """
    words = read_words(path)
    try:
        return described(words)
    except UsageError as error:
        raise UsageError(f"{printable(path)}: {error}") from error


def read_words(path: Path) -> dict[str, Any]:
    """Read the words of a description with their values; the class names of a file that it names are theirs.

    Raises
    ------
    UsageError
        It cannot be read; the message names the file.
    """
    try:
        given = _parsed(path)
        if not isinstance(given, Mapping):
            raise UsageError("holds no description, a word and its value a line")
        named = given.get("classes")
        return dict(given) | ({"classes": read_classes(path.parent / named)} if isinstance(named, str) else {})
    except UsageError as error:
        raise UsageError(f"{printable(path)}: {error}") from error


def _parsed(path: Path) -> Any:
    try:
        if path.suffix == ".toml":
            return tomllib.loads(path.read_text(encoding="utf-8"))
        import yaml
    except ImportError as error:
        raise UsageError("YAML needs PyYAML (pip install pyyaml), or write TOML") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"cannot be read ({error})") from error
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"cannot be read ({' '.join(str(error).split())})") from error


def read_classes(path: Path) -> tuple[str, ...]:
    """Return the class names of a text file, one a line.

    Raises
    ------
    UsageError
        It cannot be read, or names none.
    """
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"classes {printable(path)}: cannot be read ({error})") from error
    if not names:
        raise UsageError(f"classes {printable(path)}: is empty; write one name a line")
    return names
