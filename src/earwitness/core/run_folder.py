"""The run folder: its names, and what may become of a folder when a training begins."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from earwitness.core import locks
from earwitness.core.errors import EarwitnessError, UsageError, printable
from earwitness.core.files import check_writable, read_json, remove_leftovers


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
    def reference(self) -> Path:
        """What takes the place of the weights where others trained the model: what it is, and where it lies."""
        return self.path / "model.json"

    @property
    def mark(self) -> Path:
        """What is written last: the model, or the reference to one of others."""
        return self.reference if self.reference.exists() and not self.model.exists() else self.model

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
    def recordings(self) -> Path:
        """A row a recording that was trained on or held out, with the hash of its sound."""
        return self.path / "recordings.csv"

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
    def sounds(self) -> Path:
        """Folder of the sounds that the report plays, a folder a picture."""
        return self.path / "sounds"

    @property
    def trust(self) -> Path:
        """Folder of what was measured once about the methods."""
        return self.path / "trust"

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"

    @property
    def reviews(self) -> Path:
        """What a person decided about the recordings."""
        return self.path / "reviews.sqlite"

    @property
    def checkpoints(self) -> Path:
        """Folder that exists only while training is unfinished."""
        return self.path / "checkpoints"

    @property
    def started(self) -> bool:
        """Whether a training, or the evaluation of a model of others, was begun here."""
        return self.run_json.exists()

    @property
    def finished(self) -> bool:
        """Whether it ended here."""
        return self.mark.exists()


# What run.json, and the JSON in the model's metadata, call the hash that tells one training from others.
IDENTITY = "identity"
# What a folder of Transformers holds beside its weights.
OF_TRANSFORMERS = ("config.json", "preprocessor_config.json")
# Under what run.json says of a model that others trained where it comes from; runs of ours do not have it.
MODEL = "model"
METADATA = "earwitness"  # one key: safetensors writes several in no certain order

# Everything that a run may write into its folder: an overwrite removes these and nothing else, in this order. Were it
# killed on the way, the folder must not look finished (so the model goes first) nor like no run's (run.json goes last).
CONTRACT = (
    "model.safetensors",
    "model.json",
    "history.csv",
    "metrics.json",
    "predictions.csv",
    "files.csv",
    "quarantine.csv",
    "recordings.csv",
    "attributions",
    "figures",
    "sounds",
    "trust",
    "report.html",
    "checkpoints",
    "run.json",
)

# What a person wrote there, and what SQLite keeps beside it: an overwrite leaves it, for a decision about a recording
# outlives a training, and a folder that holds nothing else is free.
KEPT = ("reviews.sqlite", "reviews.sqlite-wal", "reviews.sqlite-shm")


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
    folder.path.mkdir(parents=True, exist_ok=True)
    return folder


def check_free(path: Path | str, *, overwrite: bool = False, resume: bool = False) -> RunFolder:
    """Return a folder that a training may have, before the work of it begins; nothing of an earlier run is removed.

    Parameters and errors are those of :func:`create`.
    """
    folder = RunFolder(Path(path))
    _check_place(folder.path)
    remove_leftovers(folder.path, CONTRACT)
    if overwrite:
        # What an overwrite removes has common names, such as figures: it must be certain that they are a run's.
        if _holds_something(folder) and not _written_by_us(folder):
            raise UsageError(f"{printable(path)}: is not empty and holds no run; empty it, or name another --out")
        return folder
    if folder.finished and not resume:
        raise UsageError(f"{printable(path)}: holds a finished run; name another --out, or --overwrite to replace it")
    if folder.started and not resume:
        raise UsageError(
            f"{printable(path)}: holds an unfinished run; --resume goes on with it, --overwrite begins anew"
        )
    if not folder.started and _holds_something(folder):
        raise UsageError(f"{printable(path)}: is not empty and holds no run; name a new folder with --out")
    return folder


@contextmanager
def held(path: Path | str) -> Iterator[None]:
    """Keep a folder to one training, as :func:`earwitness.core.locks.folder_held` does.

    Raises
    ------
    UsageError
        Another process is at work there, or the folder cannot be made or written to.
    """
    _check_place(Path(path))
    with locks.folder_held(path):
        yield


def _check_place(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{printable(folder)}: is a file; name a folder for the run with --out")
    check_writable(folder)


def _holds_something(folder: RunFolder) -> bool:
    return folder.path.is_dir() and any(path.name not in KEPT for path in locks.contents(folder.path))


def _written_by_us(folder: RunFolder) -> bool:
    try:
        settings = read_json(folder.run_json)
    except EarwitnessError:
        return False
    return isinstance(settings, dict) and {"backbone", "split"} <= settings.keys()


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
        There is no such folder, it is no run's, or its training is unfinished.
    EarwitnessError
        Its model is another run's.
    """
    folder = RunFolder(Path(path))
    if not folder.path.is_dir():
        raise UsageError(f"{printable(path)}: no such run folder; `earwitness train` makes one")
    if folder.finished:
        if not folder.started and folder.mark == folder.model and _identity_of_model(folder) is None:
            raise UsageError(no_model_folder(path))
        check_identity(folder)
        return folder
    if folder.started and (of := read_json(folder.run_json).get("evaluation_of")):
        raise UsageError(f"{printable(path)}: holds an evaluation and no classifier; name its run, {of}")
    if folder.started and MODEL in read_json(folder.run_json):
        raise UsageError(f"{printable(path)}: its evaluation is unfinished; evaluate the model again with --overwrite")
    if folder.started:
        raise UsageError(f"{printable(path)}: its training is unfinished; go on with `{_going_on(folder)}`")
    raise UsageError(f"{printable(path)}: is not a run folder (it holds no model.safetensors)")


def _going_on(folder: RunFolder) -> str:
    """Return the command that goes on with an unfinished training: the one that began it, with ``--resume``."""
    words = read_json(folder.run_json).get("command") or []
    if not words:  # begun from Python
        return f"earwitness train DATA --out {shlex.quote(printable(folder.path))} --resume"
    kept = [word for word in words if word not in ("--overwrite", "--resume")]
    in_folds = any(word.partition("=")[0] == "--folds" for word in kept)  # goes on by itself
    return shlex.join([*kept, *([] if in_folds else ["--resume"])])


def no_model_folder(path: Path | str) -> str:
    """Return what a folder lacks to be a run, and to be a model of Transformers, whose weights have the same name."""
    folder, where = RunFolder(Path(path)), printable(path)
    if (folder.path / OF_TRANSFORMERS[0]).is_file():
        return f"{where}: is a folder of Transformers and no run; name it with --model"
    if folder.started:
        return f"{where}: is a run folder and no model of others; commands take it as RUN or --run"
    lacks = f"neither run.json, as a run does, nor {' and '.join(OF_TRANSFORMERS)}, as a folder of Transformers does"
    return f"{where}: holds {f'{folder.mark.name}, but ' if folder.finished else ''}{lacks}; copy the whole folder"


def check_identity(folder: RunFolder) -> None:
    """Check that a run's settings and its model are of one training: both name it, or, before version 0.2, neither.

    Raises
    ------
    EarwitnessError
        They are of two.
    """
    if not folder.started:  # a model alone, which is no other's
        return
    settings = read_json(folder.run_json)
    asked = settings.get(IDENTITY) if isinstance(settings, dict) else None
    measured = _identity_of_model(folder)
    if measured is not None and asked != measured[0]:
        raise EarwitnessError(
            f"{printable(folder.path)}: {folder.mark.name} ({measured[0] or 'of an older version'}) and run.json "
            f"({asked or 'of an older version'}) are of two trainings; put back the right one, or train again with "
            "--overwrite"
        )


def _identity_of_model(folder: RunFolder) -> tuple[str | None] | None:
    """Return which run a model names; None where it is damaged, which is said where it is loaded."""
    try:
        if folder.mark == folder.reference:
            return (read_json(folder.reference).get(IDENTITY),)
        with safe_open(folder.model, framework="np") as stored:
            return (json.loads(stored.metadata()[METADATA]).get(IDENTITY),)
    except (SafetensorError, EarwitnessError, OSError, KeyError, TypeError, ValueError, AttributeError):
        return None
