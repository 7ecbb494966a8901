"""From a folder or a CSV file to a data set: which recordings there are, with their labels, groups and folds.

Which files count. In a folder of class folders, every visible entry of a class folder counts as a recording if its
name ends like a sound file's; any other visible entry is listed as unusable, so that an ``.m4a`` or a stray folder is
not lost without a word. Passed over are hidden files, what operating systems leave behind, and texts *about* the data
(README, LICENSE, ATTRIBUTION ... with any ending that is not a sound's). Beside the class folders, only sound files
and broken links are listed as unusable; everything else there is passed over.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from earwitness.audio.containers import SOUND_SUFFIXES, check_name
from earwitness.core.errors import BadRecordingError, UsageError, printable
from earwitness.data.recordings import DataSet, Recording, Unusable, check_enough, sorted_unusable, told_by_names

COLUMNS = ("file", "label", "group", "fold")
LITTER = frozenset({"thumbs.db", "desktop.ini", "__macosx", "__pycache__"})
TEXTS_ABOUT_DATA = frozenset({"readme", "license", "licence", "copying", "attribution", "citation", "changelog"})


def load(path: Path | str, classes: Sequence[str] | None = None, *, for_training: bool = True) -> DataSet:
    """Find the labelled recordings of a data set; none is opened yet (see :func:`earwitness.data.checks.check`).

    Parameters
    ----------
    path
        A folder that holds one folder a class, or a CSV file with the columns ``file,label[,group][,fold]``, whose
        files are relative to the CSV file.
    classes
        The classes that may occur, in the order of their numbers. None takes what is there, sorted.
    for_training
        Whether to insist on two classes and on two recordings in each.

    Raises
    ------
    UsageError
        The data set cannot be used as a whole: the message says which folder, line or value, and what to do.
    """
    place = Path(path)
    _check_printable(place)
    if place.is_dir():
        found, unusable = _from_folders(place)
        root = place
    elif place.is_file():
        if place.suffix.lower() != ".csv":
            raise UsageError(
                f"{printable(place)}: is neither a folder of class folders nor a .csv file; name one of these"
            )
        found, unusable = _from_csv(place)
        root = place.parent
    else:
        raise UsageError(f"{printable(place)}: no such data; name a folder of class folders or a .csv file")
    return _assemble(root, found, unusable, classes, for_training=for_training)


def _assemble(
    root: Path,
    found: list[Recording],
    unusable: list[Unusable],
    classes: Sequence[str] | None,
    *,
    for_training: bool,
) -> DataSet:
    labels = {recording.label for recording in found}
    for label in sorted(labels):
        if printable(label) != label:
            raise UsageError(f"{printable(root)}: class '{printable(label)}' has a control character; rename it")
    if classes is not None:
        if len(set(classes)) != len(classes):
            raise UsageError(f"a class is named twice in {', '.join(classes)}; name each once")
        for recording in found:
            if recording.label not in classes:
                raise UsageError(
                    f"{recording.name}: its label '{recording.label}' is none of the known classes "
                    f"({', '.join(classes)}); correct it"
                )
    # With classes given, those that do not occur here are no fault of the data.
    names = tuple(classes) if classes is not None else tuple(sorted(labels))
    if for_training or not found:
        check_enough(found, sorted(labels), unusable, root)
    place = {name: number for number, name in enumerate(names)}
    ordered = sorted(found, key=lambda recording: (place[recording.label], recording.name))
    return DataSet(
        root=root, recordings=tuple(told_by_names(ordered)), classes=names, unusable=tuple(sorted_unusable(unusable))
    )


def _check_printable(path: Path) -> None:
    try:
        check_name(path)
    except BadRecordingError as error:
        raise UsageError(str(error)) from None


def _from_folders(root: Path) -> tuple[list[Recording], list[Unusable]]:
    found: list[Recording] = []
    unusable: list[Unusable] = []
    class_folders = 0
    for entry in _entries(root):
        if entry.is_dir():
            _check_printable(entry)
            class_folders += 1
            recordings, others = _from_class_folder(entry)
            found += recordings
            unusable += others
        elif entry.suffix.lower() in SOUND_SUFFIXES:
            unusable.append(Unusable(printable(entry.name), "lies beside the class folders; move it into its class"))
        elif entry.is_symlink() and not entry.exists():
            unusable.append(Unusable(printable(entry.name), "is a link to nothing; mend or remove it"))
    if class_folders == 0:
        raise UsageError(
            f"{printable(root)}: has no class folders; put each class's recordings into a folder of its own"
        )
    return found, unusable


def _from_class_folder(folder: Path) -> tuple[list[Recording], list[Unusable]]:
    found: list[Recording] = []
    unusable: list[Unusable] = []
    for entry in _entries(folder):
        name = printable(f"{folder.name}/{entry.name}")
        try:
            check_name(entry)
        except BadRecordingError as error:
            unusable.append(Unusable(name, error.reason))
            continue
        if entry.is_dir():
            unusable.append(Unusable(name, "is a folder; put its recordings straight into the class folder"))
        elif entry.suffix.lower() in SOUND_SUFFIXES:
            found.append(Recording(path=entry, name=name, label=folder.name))
        elif entry.stem.lower() not in TEXTS_ABOUT_DATA:
            endings = " ".join(sorted(SOUND_SUFFIXES))
            unusable.append(Unusable(name, f"has no sound file's name ({endings}); convert, rename or remove it"))
    if not found and not unusable:
        raise UsageError(f"{printable(folder)}: is an empty class folder; put recordings into it or remove it")
    if not found:
        raise UsageError(
            f"{printable(folder)}: is a class folder without a recording ({unusable[0].file}: {unusable[0].reason}); "
            "put recordings into it or remove it"
        )
    return found, unusable


def _entries(folder: Path) -> list[Path]:
    """Return what is visible in a folder, sorted."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UsageError(f"{printable(folder)}: cannot be listed ({error.strerror}); change its permissions") from None
    return [entry for entry in entries if not entry.name.startswith(".") and entry.name.lower() not in LITTER]


def _from_csv(path: Path) -> tuple[list[Recording], list[Unusable]]:
    found: list[Recording] = []
    unusable: list[Unusable] = []
    seen: dict[str, tuple[int, str]] = {}
    for line, row in _rows(path):
        for column in ("file", "label", "fold"):
            if row.get(column) == "":
                raise UsageError(f"{printable(path)}, line {line}: empty {column}; fill it in or remove the line")
        file = path.parent / row["file"]
        key = os.path.normpath(file)
        if key in seen:
            first, label = seen[key]
            what = f"two labels, '{label}' and '{row['label']}'" if label != row["label"] else "two lines"
            raise UsageError(
                f"{printable(path)}, line {line}: {row['file']} has {what} (first on line {first}); keep one"
            )
        seen[key] = line, row["label"]
        name = _name(row["file"], path.parent)
        try:
            there = file.exists() or file.is_symlink()
        except (OSError, ValueError) as error:  # a name that is too long, or with a NUL in it
            unusable.append(Unusable(name, f"cannot be opened ({getattr(error, 'strerror', None) or error})"))
            continue
        if there:
            found.append(
                Recording(
                    path=file, name=name, label=row["label"], group=row.get("group") or None, fold=row.get("fold")
                )
            )
        else:
            unusable.append(Unusable(name, f"does not exist; correct line {line} of {path.name}"))
    if not seen:
        raise UsageError(f"{printable(path)}: lists no recording; add lines under its header")
    return found, unusable


def _name(given: str, root: Path) -> str:
    """Return a CSV's file relative to the root, or as given where that is absolute and lies elsewhere."""
    try:
        relative = os.path.relpath(os.path.normpath(root / given), root)
    except ValueError:  # another drive
        return printable(given)
    absolute = Path(given).is_absolute() and relative.startswith("..")
    return printable(given if absolute else Path(relative).as_posix())


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return (line number, column -> value) of each line, after checking that the columns are the known ones."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(f"{printable(path)}, line {line}: is not UTF-8; save the file with UTF-8 encoding") from None
    except OSError as error:
        raise UsageError(f"{printable(path)}: cannot be read ({error.strerror}); change its permissions") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    rows: list[tuple[int, dict[str, str]]] = []
    columns: list[str] = []
    try:
        for values in reader:
            stripped = [value.strip() for value in values]
            if not any(stripped):
                continue
            if not columns:
                columns = _columns(path, stripped)
                continue
            if len(stripped) != len(columns):
                raise UsageError(
                    f"{printable(path)}, line {reader.line_num}: has {len(stripped)} values for {len(columns)} "
                    "columns; correct it, with quotes around values that hold a comma"
                )
            rows.append((reader.line_num, dict(zip(columns, stripped, strict=True))))
    except csv.Error as error:
        raise UsageError(f"{printable(path)}, line {reader.line_num}: is no CSV ({error}); correct it") from None
    if not columns:
        raise UsageError(f"{printable(path)}: is empty; its first line must be file,label and may add group,fold")
    return rows


def _columns(path: Path, header: list[str]) -> list[str]:
    names = [name.lower() for name in header]
    allowed = "file,label and may add group,fold"
    for column in ("file", "label"):
        if column not in names:
            raise UsageError(
                f"{printable(path)}: has no column '{column}' but {', '.join(names)}; its header must be {allowed}"
            )
    for name in names:
        if name not in COLUMNS:
            raise UsageError(f"{printable(path)}: has an unknown column '{name}'; its header must be {allowed}")
        if names.count(name) > 1:
            raise UsageError(f"{printable(path)}: has the column '{name}' twice; keep one")
    return names
