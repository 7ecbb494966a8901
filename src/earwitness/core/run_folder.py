"""The run folder: its names, atomic writes, reading back."""

from __future__ import annotations

import csv
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earwitness.core.errors import EarwitnessError, UsageError, printable

if TYPE_CHECKING:
    from torch import Tensor

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


@dataclass(frozen=True)
class RunFolder:
    """The paths of everything that one training produced (the contract in ``docs/design.md``, section 4)."""

    path: Path

    @property
    def run_json(self) -> Path:
        """What was asked."""
        return self.path / "run.json"

    @property
    def model(self) -> Path:
        """Weights and what the classifier is."""
        return self.path / "model.safetensors"

    @property
    def history(self) -> Path:
        """Training, a row an iteration."""
        return self.path / "history.csv"

    @property
    def metrics(self) -> Path:
        """Accuracies, intervals, confusion."""
        return self.path / "metrics.json"

    @property
    def predictions(self) -> Path:
        """A row a segment."""
        return self.path / "predictions.csv"

    @property
    def files(self) -> Path:
        """A row a file."""
        return self.path / "files.csv"

    @property
    def quarantine(self) -> Path:
        """Files that could not be used, and why."""
        return self.path / "quarantine.csv"

    @property
    def attributions(self) -> Path:
        """Folder of attributions."""
        return self.path / "attributions"

    @property
    def figures(self) -> Path:
        """Folder of pictures."""
        return self.path / "figures"

    @property
    def trust(self) -> Path:
        """Folder of what was measured once about the methods."""
        return self.path / "trust"

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"

    @property
    def checkpoints(self) -> Path:
        """Folder that exists only while training is unfinished."""
        return self.path / "checkpoints"

    @property
    def started(self) -> bool:
        """Whether a training was begun here."""
        return self.run_json.exists()

    @property
    def finished(self) -> bool:
        """Whether a training ended here."""
        return self.model.exists()


# Everything that a run may write into its folder: an overwrite removes these and nothing else, in this order. Were it
# killed on the way, the folder must not look finished (so the model goes first) nor like no run's (run.json goes last).
CONTRACT = (
    "model.safetensors",
    "history.csv",
    "metrics.json",
    "predictions.csv",
    "files.csv",
    "quarantine.csv",
    "attributions",
    "figures",
    "trust",
    "report.html",
    "checkpoints",
    "run.json",
)


def create(path: Path | str, *, overwrite: bool = False, resume: bool = False) -> RunFolder:
    """Make a run folder ready for a training.

    Parameters
    ----------
    path
        The folder; made where it is missing.
    overwrite
        Remove what an earlier run left there (its own files only).
    resume
        Accept a folder whose training is unfinished, or finished already.

    Raises
    ------
    UsageError
        The folder holds a run already, or things that are no run's.
    """
    folder = check_free(path, overwrite=overwrite, resume=resume)
    if overwrite and folder.path.is_dir():
        _remove_run(folder.path)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{printable(path)}: the folder cannot be made ({error.strerror or error})") from error
    return folder


def check_free(path: Path | str, *, overwrite: bool = False, resume: bool = False) -> RunFolder:
    """Return a folder that a training may have, before the work of it begins; nothing of an earlier run is removed.

    Parameters and errors are those of :func:`create`.
    """
    folder = RunFolder(Path(path))
    if folder.path.exists() and not folder.path.is_dir():
        raise UsageError(f"{printable(path)}: is a file; name a folder for the run with --out")
    check_writable(folder.path)
    remove_leftovers(folder.path, CONTRACT)
    if overwrite:
        # What an overwrite removes has common names, such as figures: it must be certain that they are a run's.
        if folder.path.is_dir() and any(folder.path.iterdir()) and not _written_by_us(folder):
            raise UsageError(f"{printable(path)}: is not empty and holds no run; empty it, or name another --out")
        return folder
    if folder.finished and not resume:
        raise UsageError(f"{printable(path)}: holds a finished run; name another --out, or --overwrite to replace it")
    if folder.started and not resume:
        raise UsageError(
            f"{printable(path)}: holds an unfinished run; --resume goes on with it, --overwrite begins anew"
        )
    if folder.path.is_dir() and not folder.started and any(folder.path.iterdir()):
        raise UsageError(f"{printable(path)}: is not empty and holds no run; name a new folder with --out")
    return folder


def check_writable(path: Path) -> None:
    """Find out before long work, not after it, that nothing can be written to a folder, made already or not.

    Raises
    ------
    UsageError
        It, or the nearest folder above it that is there, is a file or refuses.
    """
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise UsageError(f"{printable(path)}: {printable(there)} is a file; name another folder with --out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(
            f"{printable(path)}: nothing can be written to {printable(there)}; change its permissions, or name "
            "another folder with --out"
        )


def _written_by_us(folder: RunFolder) -> bool:
    try:
        asked = read_json(folder.run_json)
    except EarwitnessError:
        return False
    return isinstance(asked, dict) and {"backbone", "split"} <= asked.keys()


def _remove_run(path: Path) -> None:
    for name in CONTRACT:
        entry = path / name
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def open_finished(path: Path | str) -> RunFolder:
    """Return the folder of a finished run.

    Raises
    ------
    UsageError
        There is no such folder, or its training is unfinished.
    """
    folder = RunFolder(Path(path))
    if not folder.path.is_dir():
        raise UsageError(f"{printable(path)}: no such run folder; `earwitness train` makes one")
    if folder.finished:
        return folder
    if folder.started:
        raise UsageError(f"{printable(path)}: its training is unfinished; go on with `earwitness train --resume`")
    raise UsageError(f"{printable(path)}: is not a run folder (it holds no model.safetensors)")


def versions() -> Mapping[str, str]:
    """Return the versions that a result may depend on."""
    import platform
    from importlib.metadata import version

    import soundfile

    from earwitness import __version__

    names = ("torch", "numpy", "scipy", "soxr", "scikit-learn")
    return {
        "python": platform.python_version(),
        "earwitness": __version__,  # a source tree that nobody installed has no metadata to ask
        **{name: version(name) for name in names},
        "libsndfile": soundfile.__libsndfile_version__,
    }
