"""Where weights come from, and how they are checked before a network gets them.

Published files are identified by their SHA-256, opened without running any code they may hold, and compared with what
the network expects, entry by entry.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from earwitness.core.errors import EarwitnessError, UsageError, printable
from earwitness.core.home import HOME_VARIABLE, home_folder

if TYPE_CHECKING:
    import torch

SHARED_VARIABLE = "EARWITNESS_SHARED"
NO_WEIGHTS = "none"
OUR_LAST_LAYER = "FCFinal"
OUR_OWN = ("standardise.", "repeats", f"{OUR_LAST_LAYER}.")  # what our networks have and no published file


@dataclass(frozen=True, kw_only=True)
class Published:
    """A file of weights that somebody published.

    Parameters
    ----------
    file
        Its name.
    url
        Where it is fetched from.
    sha256
        Its SHA-256, or the first digits of it where the publisher gives no more.
    most_bytes
        A download larger than this cannot be it.
    last_layer
        Name of the dense layer that stands where ours is called ``FCFinal``, or "" if the file ends in the embedding.
    classes
        Outputs of that layer.
    """

    file: str
    url: str
    sha256: str
    most_bytes: int
    last_layer: str = ""
    classes: int = 0


PUBLISHED = {
    "vggish": Published(
        file="vggish-10086976.pth",
        url="https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",
        sha256="10086976",  # its publisher puts the first eight digits into the name
        most_bytes=400 << 20,
    ),
    "mn04": Published(
        file="mn04_as_mAP_432.pt",
        url="https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/mn04_as_mAP_432.pt",
        sha256="899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c",
        most_bytes=20 << 20,
        last_layer="classifier.5",
        classes=527,
    ),
}


@dataclass(frozen=True)
class Resolved:
    """A file of weights that was chosen, and read once: what is checked is what a network gets.

    Parameters
    ----------
    path
        The file.
    sha256
        Its whole SHA-256.
    published
        Whether that is the published one. If not, the file is the user's own and only its structure can be checked.
    content
        Its bytes, opened by :func:`fill`.
    """

    path: Path
    sha256: str
    published: bool
    content: bytes = field(repr=False, compare=False)

    def __str__(self) -> str:
        """Return one line for the user: the file and how far it was checked."""
        how = "SHA-256 as published" if self.published else "not a published file: only its structure is checked"
        return f"{printable(self.path)} ({how})"


def resolve(
    name: str, weights: str | Path | None = None, home: str | Path | None = None, *, random: bool = True
) -> Resolved | None:
    """Choose the file of weights for a backbone; nothing is fetched.

    Parameters
    ----------
    name
        The backbone. One without published weights starts from random ones unless a file is given.
    weights
        A file, ``"none"`` for random weights (a file of this name is ``./none``), or None for the published weights:
        looked for in the cache, then in the ``weights`` of the folder that ``EARWITNESS_SHARED`` names, then in
        ``../shared/weights``.
    home
        Cache folder, as in :func:`download`.
    random
        Whether random weights would do; if not, nobody is advised to take them.

    Returns
    -------
    Resolved or None
        The file, with its SHA-256 checked if it is (or bears the name of) the published one; None for random weights.

    Raises
    ------
    UsageError
        There is no such file.
    EarwitnessError
        The first file found is not the published one.
    """
    published = PUBLISHED.get(name)
    if weights is not None:
        if str(weights) == NO_WEIGHTS:
            return None
        path = Path(weights).expanduser()
        if not path.is_file():
            what = "is not a file" if path.exists() else "there is no such file"
            raise UsageError(
                f"{printable(path)}: {what}; give --weights a file of weights" + (f" or {NO_WEIGHTS}" if random else "")
            )
        if published is not None and path.name == published.file:
            return checked(path, published)
        content, digest = _read(path)
        return Resolved(path, digest, published is not None and digest.startswith(published.sha256), content)
    if published is None:
        return None
    folders = [home_folder(home) / "weights"]
    if os.environ.get(SHARED_VARIABLE):
        folders.append(Path(os.environ[SHARED_VARIABLE]) / "weights")
    folders.append(Path("..") / "shared" / "weights")
    for path in (folder / published.file for folder in folders):
        if path.is_file():
            return checked(path, published)
    raise UsageError(
        f"{name}: its published weights are not in {printable(folders[0])}; fetch them with 'earwitness download "
        f"{name}', or give a file with --weights FILE"
        + (f", or start from random ones with --weights {NO_WEIGHTS}" if random else "")
    )


def checked(path: Path, published: Published) -> Resolved:
    """Return a file that bears a published name if it is the published one."""
    content, digest = _read(path)
    if not digest.startswith(published.sha256):
        raise EarwitnessError(
            f"{printable(path)}: its SHA-256 begins {digest[:16]}, expected {published.sha256[:16]}: it is damaged or "
            "another file; move it away and download it again, or rename it if it is your own"
        )
    return Resolved(path, digest, True, content)


def _read(path: Path) -> tuple[bytes, str]:
    """Return a file's bytes and their SHA-256."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EarwitnessError(
            f"{printable(path)}: cannot be read ({error.strerror or error}); check the file and its permissions, or "
            f"choose another cache with {HOME_VARIABLE}"
        ) from error
    return content, hashlib.sha256(content).hexdigest()


def open_state_dict(
    resolved: Resolved, expected: Mapping[str, tuple[tuple[int, ...], torch.dtype]]
) -> dict[str, torch.Tensor]:
    """Open a PyTorch file of weights that may come from anybody.

    No code in the file is run (``weights_only=True``), and the result holds exactly what the network expects.

    Parameters
    ----------
    resolved
        The file, as :func:`resolve` chose it.
    expected
        Shape and dtype of each entry, by name, as in the network's own ``state_dict()``.

    Returns
    -------
    dict
        Contiguous tensors on the CPU, in the order of ``expected``.

    Raises
    ------
    EarwitnessError
        It is not a file of weights, holds code, or differs from what is expected; the first difference is named.
    """
    shown = printable(resolved.path)
    content = _load(resolved)
    if not isinstance(content, dict):
        raise EarwitnessError(
            f"{shown}: holds a {type(content).__name__}, not the weights by name; save a state_dict() instead"
        )
    difference = _first_difference(content, expected)
    if difference is not None:
        raise EarwitnessError(f"{shown}: {difference}; give weights of this very network")
    return {name: content[name].detach().contiguous() for name in expected}


def _load(resolved: Resolved) -> object:
    """Unpickle without running code; whatever goes wrong becomes one line."""
    import torch  # slow to import; choosing and fetching files do without

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols, of no use to the reader
            return torch.load(io.BytesIO(resolved.content), map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file can raise anything from within pickle, zip and torch
        if "unsupported global" in str(error).lower():
            reason = "holds Python objects other than tensors, which could run code; save only a state_dict()"
        else:
            reason = "is not a readable PyTorch file of weights (damaged, cut short or something else); get it again"
        raise EarwitnessError(f"{printable(resolved.path)}: {reason}") from error


def _first_difference(
    content: Mapping[object, object], expected: Mapping[str, tuple[tuple[int, ...], torch.dtype]]
) -> str | None:
    """Compare in the network's order, so that the first difference is the one nearest to the input."""
    import torch

    for name, (shape, dtype) in expected.items():
        if name not in content:
            return f"{name!r} is missing (the file has {len(content)} entries, {len(expected)} are expected)"
        value = content[name]
        if not isinstance(value, torch.Tensor):
            return f"{name!r} is a {type(value).__name__}, expected a tensor"
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            return f"{name!r} is not a plain dense tensor"
        if tuple(value.shape) != shape:
            return f"{name!r} has shape {tuple(value.shape)}, expected {shape}"
        if value.dtype != dtype:
            return f"{name!r} has dtype {value.dtype}, expected {dtype}"
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            return f"{name!r} holds NaN or infinite values"
    unexpected = next((name for name in content if name not in expected), None)
    return None if unexpected is None else f"has an entry too many, {str(unexpected)[:80]!a}"


def fill(network: torch.nn.Module, name: str, resolved: Resolved, *, last_layer: bool = False) -> None:
    """Put a file of weights into a network.

    Parameters
    ----------
    network
        A network of the registry; changed in place. Its standardisation stays as it is.
    name
        The backbone's name in the registry.
    resolved
        The file, as :func:`resolve` chose it.
    last_layer
        Whether the file's last layer is wanted too (for use without training). If not, ``FCFinal`` stays as it is.

    Raises
    ------
    UsageError
        The last layer is wanted, but the file has none, or the network has another number of classes.
    EarwitnessError
        As :func:`open_state_dict`; the network is then unchanged.
    """
    own = network.state_dict()
    expected = {key: (tuple(v.shape), v.dtype) for key, v in own.items() if not key.startswith(OUR_OWN)}
    published = PUBLISHED.get(name)
    theirs: dict[str, str] = {}
    if published is not None and published.last_layer:
        theirs = {f"{published.last_layer}.{part}": f"{OUR_LAST_LAYER}.{part}" for part in ("weight", "bias")}
        for key, ours in theirs.items():
            expected[key] = ((published.classes, *own[ours].shape[1:]), own[ours].dtype)
    fits = bool(theirs) and all(expected[key][0] == own[ours].shape for key, ours in theirs.items())
    if last_layer and not fits:
        raise UsageError(f"{name}: its weights have no last layer for these classes; train one, or use mn04")
    state = open_state_dict(resolved, expected)
    kept = {theirs.get(key, key): value for key, value in state.items() if last_layer or key not in theirs}
    network.load_state_dict({**own, **kept})


@cache
def audioset_labels() -> tuple[str, ...]:
    """Return the display names of AudioSet's 527 classes, in the order of the networks trained on it.

    From AudioSet's ``class_labels_indices.csv``, CC BY 4.0.
    """
    text = files("earwitness").joinpath("resources/audioset_labels.csv").read_text("utf-8")
    return tuple(row["display_name"] for row in csv.DictReader(text.splitlines()))
