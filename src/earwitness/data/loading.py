"""From a folder or a CSV file to a data set: which recordings there are, with their labels, groups and folds.

Which files count. In a folder of class folders, every visible file of a class folder counts as a recording if its name
ends like a sound file's. Known companions of recordings (annotations, tables, pictures; see
:mod:`earwitness.data.folders`) are counted in a note, any other visible entry is listed as unusable, so that an
``.ape`` or a stray folder is not lost without a word. Passed over are hidden files, what operating systems leave
behind, and texts *about* the data (README, LICENSE, ATTRIBUTION ... with any ending that is not a sound's). Beside the
class folders, only sound files and broken links are listed as unusable; everything else there is passed over.
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from earwitness.audio.containers import SOUND_SUFFIXES, check_name
from earwitness.core.errors import BadRecordingError, UsageError, printable
from earwitness.data.folders import (
    NO_CLASSES,
    TEXTS_ABOUT_DATA,
    companions_note,
    is_companion,
    is_sound_name,
    sound_files,
    visible,
)
from earwitness.data.labels import Disk, label_warnings, merge, plain, told_apart
from earwitness.data.recordings import DataSet, Recording, Unusable, check_enough, sorted_unusable, told_by_names

COLUMNS = ("file", "label", "group", "fold")
Meaning = Callable[[Sequence[str]], Mapping[str, str]]  # from labels to the classes that they mean


def load(
    path: Path | str,
    classes: Sequence[str] | None = None,
    *,
    for_training: bool = True,
    merge_labels: bool = False,
    meaning: Meaning | None = None,
) -> DataSet:
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
    merge_labels
        Make one class of labels that differ in case, spaces or composition of letters only.
    meaning
        Tells which of the classes each label means, where labels are written otherwise. None takes them as they are.

    Raises
    ------
    UsageError
        The data set cannot be used as a whole: the message says which folder, line or value, and what to do.
    """
    place = Path(path)
    _check_printable(place)
    if place.is_dir():
        listed = _from_folders(place, NO_CLASSES - set(classes or ()))
        return _assemble(place, _as_meant(place, listed, meaning), classes, for_training, merge_labels)
    if place.is_file():
        if place.suffix.lower() != ".csv":
            raise UsageError(
                f"{printable(place)}: is neither a folder of class folders nor a .csv file; name one of these"
            )
        listed = _as_meant(place, _from_csv(place), meaning)
        return _assemble(place.parent, listed, classes, for_training, merge_labels)
    raise UsageError(f"{printable(place)}: no such data; name a folder of class folders or a .csv file")


@dataclass(frozen=True)
class _Found:
    """What a folder or a CSV lists, while it is read."""

    recordings: list[Recording] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _as_meant(place: Path, listed: _Found, meaning: Meaning | None) -> _Found:
    """Return what is listed with the classes that its labels mean, and a note of those that are written otherwise."""
    if meaning is None:
        return listed
    try:
        meant = meaning(sorted({recording.label for recording in listed.recordings}))
    except UsageError as error:
        raise UsageError(f"{printable(place)}: {printable(str(error))}") from error
    others = [f"{label} means {name}" for label, name in meant.items() if label != name]
    recordings = [replace(each, label=meant[each.label]) for each in listed.recordings]
    notes = [*listed.notes, *(["of the labels, " + "; ".join(others)] if others else [])]
    return replace(listed, recordings=recordings, notes=notes)


def _assemble(
    root: Path,
    listed: _Found,
    classes: Sequence[str] | None,
    for_training: bool,
    merge_labels: bool,
) -> DataSet:
    found, merged = merge(listed.recordings, classes) if merge_labels else (listed.recordings, [])
    labels = {recording.label for recording in found}
    for label in sorted(labels):
        if printable(label) != label:
            raise UsageError(f"{printable(root)}: class '{printable(label)}' has a control character; rename it")
    if classes is not None:
        if len(set(classes)) != len(classes):
            raise UsageError(f"a class is named twice in {', '.join(classes)}; name each once")
        for recording in found:
            if recording.label not in classes:
                raise UsageError(_unknown(recording, classes))
    # With classes given, those that do not occur here are no fault of the data.
    names = tuple(classes) if classes is not None else tuple(sorted(labels))
    warnings = label_warnings(Counter(recording.label for recording in found))
    if for_training or not found:
        check_enough(found, sorted(labels), listed.unusable, root, (*listed.notes, *warnings))
    place = {name: number for number, name in enumerate(names)}
    ordered = sorted(found, key=lambda recording: (place[recording.label], recording.name))
    return told_by_names(
        DataSet(
            root=root,
            recordings=tuple(ordered),
            classes=names,
            unusable=tuple(sorted_unusable(listed.unusable)),
            notes=(*listed.notes, *merged),
            warnings=tuple(warnings),
        )
    )


def _unknown(recording: Recording, classes: Sequence[str]) -> str:
    near = [name for name in classes if plain(name) == plain(recording.label)]
    written, *others = told_apart([recording.label, *near]) if near else (f"'{recording.label}'",)
    meant = f"; is {' or '.join(others)} meant?" if others else ""
    known = ", ".join(classes)
    return f"{recording.name}: its label {written} is none of the known classes ({known}){meant}; correct it"


def _check_printable(path: Path) -> None:
    try:
        check_name(path)
    except BadRecordingError as error:
        raise UsageError(str(error)) from None


def _from_folders(root: Path, no_classes: Set[str]) -> _Found:
    found = _Found()
    litter: Counter[str] = Counter()
    companions: list[Path] = []
    empty: list[str] = []
    class_folders = 0
    for entry in visible(root, litter):
        if entry.is_dir() and entry.name in no_classes:
            number = len(sound_files(entry))
            sounds = "1 sound file" if number == 1 else f"{number} sound files"
            found.notes.append(f"the folder {entry.name} is left out ({sounds}): it is no class, but noise")
        elif entry.is_dir():
            _check_printable(entry)
            class_folders += 1
            if not _from_class_folder(entry, found, companions, litter):
                empty.append(entry.name)
        elif is_sound_name(entry):
            found.unusable.append(
                Unusable(printable(entry.name), "lies beside the class folders; move it into its class")
            )
        elif entry.is_symlink() and not entry.exists():
            found.unusable.append(Unusable(printable(entry.name), "is a link to nothing; mend or remove it"))
    if class_folders == 0:
        raise UsageError(
            f"{printable(root)}: has no class folders; put each class's recordings into a folder of its own"
        )
    found.notes.extend(companions_note(companions, litter))
    if empty:
        what = "is a class folder" if len(empty) == 1 else "are class folders"
        found.notes.append(f"{', '.join(map(repr, map(printable, empty)))} {what} without a recording: left out")
    return found


def _from_class_folder(folder: Path, found: _Found, companions: list[Path], litter: Counter[str]) -> bool:
    """Add what a class folder holds, and tell whether anything in it claims to be a recording."""
    recordings: list[Recording] = []
    unusable: list[Unusable] = []
    entries = visible(folder, litter)
    sounds = {entry.name for entry in entries if is_sound_name(entry)}
    for entry in entries:
        name = printable(f"{folder.name}/{entry.name}")
        try:
            check_name(entry)
        except BadRecordingError as error:
            unusable.append(Unusable(name, error.reason))
            continue
        if entry.is_dir():
            unusable.append(Unusable(name, "is a folder; put its recordings straight into the class folder"))
        elif is_sound_name(entry):
            recordings.append(Recording(path=entry, name=name, label=folder.name))
        elif entry.stem.lower() in TEXTS_ABOUT_DATA:
            continue
        elif is_companion(entry) or entry.stem in sounds:  # such as take.wav.reapeaks
            companions.append(entry)
        else:
            endings = " ".join(sorted(SOUND_SUFFIXES))
            unusable.append(Unusable(name, f"has no sound file's name ({endings}); convert, rename or remove it"))
    if unusable and not recordings:
        raise UsageError(
            f"{printable(folder)}: is a class folder without a recording ({unusable[0].file}: {unusable[0].reason}); "
            "put recordings into it or remove it"
        )
    found.recordings.extend(recordings)
    found.unusable.extend(unusable)
    return bool(recordings)


def _from_csv(path: Path) -> _Found:
    found = _Found()
    seen: dict[str, tuple[int, str]] = {}
    disk = Disk()
    otherwise: list[str] = []
    for line, row in _rows(path):
        for column in ("file", "label", "fold"):
            if row.get(column) == "":
                raise UsageError(f"{printable(path)}, line {line}: empty {column}; fill it in or remove the line")
        given, problem = row["file"], f"does not exist; correct line {line} of {path.name}"
        try:
            meant = _meant(path.parent, given, disk)
        except (OSError, ValueError) as error:  # a name that is too long, or with a NUL in it
            meant, problem = None, f"cannot be opened ({getattr(error, 'strerror', None) or error})"
        file = path.parent / (given if meant is None else meant)
        key = os.path.normpath(file)
        if key in seen:
            first, label = seen[key]
            what = f"two labels, '{label}' and '{row['label']}'" if label != row["label"] else "two lines"
            raise UsageError(f"{printable(path)}, line {line}: {given} has {what} (first on line {first}); keep one")
        seen[key] = line, row["label"]
        name = _name(given if meant is None else meant, path.parent)
        if meant is None:
            found.unusable.append(Unusable(name, problem))
            continue
        if meant != given:
            otherwise.append(name)
        found.recordings.append(
            Recording(path=file, name=name, label=row["label"], group=row.get("group") or None, fold=row.get("fold"))
        )
    if not seen:
        raise UsageError(f"{printable(path)}: lists no recording; add lines under its header")
    if otherwise:
        number = "1 file was" if len(otherwise) == 1 else f"{len(otherwise)} files were"
        found.notes.append(
            f"{number} found under a name that {path.name} writes otherwise (case, spaces, composition): {otherwise[0]}"
            + (", ..." if len(otherwise) > 1 else "")
        )
    return found


def _meant(root: Path, given: str, disk: Disk) -> str | None:
    """Return a CSV's file as the disk has it, or None where no file is meant."""
    file = root / given
    if file.exists() or file.is_symlink():
        return given
    found = disk.find(Path(os.path.normpath(file)))
    if found is None:
        return None
    return str(found) if Path(given).is_absolute() else os.path.relpath(found, root)


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
