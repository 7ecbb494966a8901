"""What tells a model of others from others: the hash of its file, that of its weights, the words that describe it."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import nn

from earwitness.core.download import sha256_of
from earwitness.core.errors import UsageError, printable
from earwitness.models.foreign.description import CELLS, NAMES, OF_WAVEFORMS, Description
from earwitness.models.foreign.factory import importable, is_factory, made, parts_of
from earwitness.models.foreign.runtimes import is_opaque
from earwitness.models.network import weights_sha256
from earwitness.models.origin import Origin


def origin_of(spec: str, network: nn.Module, description: Description) -> Origin:
    """Return where a model that was loaded comes from."""
    place = place_of(spec)
    own = is_factory(spec) and not is_opaque(network)
    return Origin(
        spec=_absolute(spec),
        path="" if place is None else str(place),
        sha256=hash_of(place),
        weights_sha256=weights_sha256(network) if own else "",
        description=words_of(description),
    )


def place_of(spec: str) -> Path | None:
    """Return the file or folder of a model, absolute; None for code that lies in none."""
    if not is_factory(spec):
        return Path(spec).resolve()
    module, _ = parts_of(spec)
    if module.endswith(".py"):
        return Path(module).resolve()
    with importable(Path.cwd()):
        try:
            found = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            return None
    return Path(found.origin).resolve() if found is not None and found.origin and found.has_location else None


def _absolute(spec: str) -> str:
    if not is_factory(spec):
        return str(Path(spec).resolve())
    module, name = parts_of(spec)
    return f"{Path(module).resolve()}:{name}" if module.endswith(".py") else spec


def hash_of(place: Path | None) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all files in a folder; of nothing ``""``."""
    if place is None or not place.is_dir():
        return "" if place is None else sha256_of(place)
    listed = sorted(path for path in place.rglob("*") if path.is_file())
    told = [f"{path.relative_to(place).as_posix()} {sha256_of(path)}" for path in listed]
    return hashlib.sha256("\n".join(told).encode("utf-8", "surrogateescape")).hexdigest()


def check_steady(origin: Origin) -> None:
    """Refuse code that gives other weights each time that it is called: a run has to find the same model again.

    Raises
    ------
    UsageError
        It does.
    """
    if not origin.weights_sha256:
        return
    network, _ = made(origin.spec)
    if weights_sha256(network) != origin.weights_sha256:
        raise UsageError(
            f"{printable(origin.spec)}: gives other weights each time; let it load them, or draw them by a seed of its "
            "own, for a run has to find the same model again"
        )


def words_of(description: Description) -> dict[str, Any]:
    """Return a description as JSON types, without names of classes; its own reader makes the same of it."""
    waves = description.takes_waveforms
    kept = {"layout", "activation", *(CELLS if waves else ())}
    default = {each.name: each.default for each in fields(description)}
    names = [name for name in (OF_WAVEFORMS if waves else NAMES) if name not in ("like", "classes")]
    said = {name: getattr(description, name) for name in names}
    words = {name: value for name, value in said.items() if name in kept or value != default[name]}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in words.items()}
