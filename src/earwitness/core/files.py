"""Files: written whole or not at all, named so that any file system can hold them, read back with a reason."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earwitness.core.errors import EarwitnessError, UsageError, printable
from earwitness.core.version import VERSION

if TYPE_CHECKING:
    from torch import Tensor

# Names that every file system keeps as they are.
PLAIN_NAME = re.compile(r"\w[\w.-]{0,99}", re.ASCII)


def file_name(path: Path) -> str:
    """Return what a file's pictures are called: safe in any file system."""
    return path.stem if PLAIN_NAME.fullmatch(path.stem) else safe_name(path.stem)


NAME_LENGTH = 48


def safe_name(text: str) -> str:
    """Return a name that any file system can hold, different for different texts.

    Only ``a-z``, ``0-9``, ``.``, ``-`` and ``_`` remain; where that changed the text, a piece of its hash follows, for
    ``a/b``, ``a b`` and ``A b`` must not meet in one file.
    """
    plain = re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-.")[:NAME_LENGTH].strip("-.")
    if plain == text != "":
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{plain}-{digest}" if plain else digest


# What `atomic_write` calls its temporary files: a kill leaves them behind.
TEMPORARY = re.compile(r"\.(?P<stem>.+)-[a-z0-9_]{8}(?P<suffix>\.[a-z]+)")


@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Write a file beside its target and give it its name only when it is whole.

    Yields
    ------
    A temporary path in the same folder, with the target's ending. When the block ends it is flushed to the disk and
    renamed over the target; when the block raises, it is removed and the target stays as it was.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        name = target.parent / f".{target.stem}-{secrets.token_hex(4)}{target.suffix}"
        # Not by tempfile, whose files nobody else may read: as with any new file, the system takes the umask away.
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        temporary = name
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(target)
    except OSError as error:
        reason = error.strerror or error
        advice = "check its folder and the room on the disk"
        raise EarwitnessError(f"{printable(target)}: could not be written ({reason}); {advice}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON atomically, keys in the order given; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_tensors(path: Path | str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file atomically, from tensors of any device and layout.

    Raises
    ------
    EarwitnessError
        The disk is full, or the like.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with atomic_write(path) as temporary:
            save_file(plain, temporary, metadata=dict(metadata))
    except SafetensorError as error:
        raise EarwitnessError(f"{printable(path)}: could not be written ({error})") from error


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove the temporary files that killed processes left behind while they wrote the named files."""
    known = set(names)
    for path in folder.iterdir() if folder.is_dir() else ():
        match = TEMPORARY.fullmatch(path.name)
        if match and match["stem"] + match["suffix"] in known:
            path.unlink(missing_ok=True)


def read_json(path: Path | str) -> Any:
    """Read JSON.

    Raises
    ------
    EarwitnessError
        The file is missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise EarwitnessError(f"{printable(path)}: could not be read ({error.strerror or error})") from error
    except ValueError as error:
        raise EarwitnessError(f"{printable(path)}: is not valid JSON ({error})") from error


def write_csv(path: Path | str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV atomically: UTF-8, a header, Unix line ends."""
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def read_csv(path: Path | str) -> list[dict[str, str]]:
    """Read a CSV with a header, a dictionary a row.

    Raises
    ------
    EarwitnessError
        The file is missing, not UTF-8, or a row has another number of fields than the header.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.reader(stream))
    except OSError as error:
        raise EarwitnessError(f"{printable(path)}: could not be read ({error.strerror or error})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise EarwitnessError(f"{printable(path)}: is not a UTF-8 CSV file ({error})") from error
    if not rows:
        return []
    header = rows[0]
    for number, row in enumerate(rows[1:], start=2):
        if row and len(row) != len(header):
            raise EarwitnessError(
                f"{printable(path)}: line {number} has {len(row)} fields, the header {len(header)}: correct that line"
            )
    return [dict(zip(header, row, strict=True)) for row in rows[1:] if row]


def check_writable(path: Path) -> None:
    """Find out before long work, not after it, that nothing can be written to a folder, made already or not.

    Raises
    ------
    UsageError
        It, or the nearest folder above it that is there, is a file or refuses.
    """
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not there.is_dir():
        where = "" if there == path else f"{printable(there)} "
        raise UsageError(f"{printable(path)}: {where}is a file; name another folder with --out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(
            f"{printable(path)}: nothing can be written to {printable(there)}; change its permissions, or name "
            "another folder with --out"
        )


def versions() -> Mapping[str, str]:
    """Return the versions that a result may depend on."""
    import platform
    from importlib.metadata import version

    import av
    import soundfile

    names = ("torch", "numpy", "scipy", "soxr", "av", "scikit-learn")
    return {
        "python": platform.python_version(),
        "earwitness": VERSION,
        **{name: version(name) for name in names},
        "libsndfile": soundfile.__libsndfile_version__,
        "ffmpeg": av.ffmpeg_version_info,
    }
