"""Names that a reader takes for one: labels and file names that differ in case, spaces or composition of letters."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

from earwitness.data.recordings import Recording


def plain(name: str) -> str:
    """Return what two names have in common that differ in case, in spaces or in how Unicode writes their letters."""
    folded = normalize("NFKC", normalize("NFKC", name).casefold())
    return " ".join(folded.split())


def lookalikes(names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Return the groups of two or more different names that are the same to :func:`plain`, each sorted."""
    groups: dict[str, set[str]] = defaultdict(set)
    for name in names:
        groups[plain(name)].add(name)
    return tuple(sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1))


def told_apart(names: Sequence[str]) -> list[str]:
    """Return different names in quotes so that a reader sees the difference, with codes where it is invisible."""
    quoted = [repr(name) for name in names]
    same_to_the_eye = len({normalize("NFKC", text) for text in quoted}) < len(quoted)
    return [ascii(name) for name in names] if same_to_the_eye else quoted


def label_warnings(labels: Counter[str]) -> list[str]:
    """Return a sentence for each group of labels that look alike; the counts are of recordings."""
    return [
        " and ".join(f"{shown} ({labels[name]})" for shown, name in zip(told_apart(group), group, strict=True))
        + " are different classes, though their names differ in case, spaces or composition only; correct them, or "
        "--merge-labels makes them one"
        for group in lookalikes(labels)
    ]


def merge(recordings: Sequence[Recording], classes: Sequence[str] | None = None) -> tuple[list[Recording], list[str]]:
    """Give recordings whose labels look alike one label, and say in a sentence a class what became of which.

    Parameters
    ----------
    recordings
        As they were found.
    classes
        The classes that may occur: a label that is none of them becomes the one that it looks like, if it is one only.
        None takes the spelling of the most recordings, of equals the first.
    """
    labels = Counter(recording.label for recording in recordings)
    becomes: dict[str, str] = {}
    if classes is None:
        for group in lookalikes(labels):
            name = min(group, key=lambda each: (-labels[each], each))
            becomes |= {each: name for each in group if each != name}
    else:
        known: dict[str, list[str]] = defaultdict(list)
        for name in classes:
            known[plain(name)].append(name)
        for label in sorted(labels.keys() - set(classes)):
            if len(fitting := known[plain(label)]) == 1:
                becomes[label] = fitting[0]
    notes = []
    for name in sorted(set(becomes.values())):
        old = [label for label in becomes if becomes[label] == name]
        *others, kept = told_apart([*sorted(old), name])
        number = sum(labels[label] for label in old)
        count = "1 recording" if number == 1 else f"{number} recordings"
        notes.append(f"{', '.join(others)} ({count}) became {kept}")
    return [replace(each, label=becomes.get(each.label, each.label)) for each in recordings], notes


class Disk:
    """Finds files whose names are written otherwise than on the disk, as macOS and other systems write them.

    Folders are listed once; hold it as long as a table is read.
    """

    def __init__(self) -> None:
        self._listed: dict[Path, tuple[dict[str, list[str]], ...]] = {}

    def find(self, path: Path) -> Path | None:
        """Return the file that a path means: itself, or the only one whose every part is the same but for writing.

        Of several, the only one with canonically equal letters is meant (NFC); else None, as where there is none.
        """
        found = Path(path.anchor)
        for part in path.parts[len(found.parts) :]:
            there = found / part
            if part != ".." and not there.exists() and not there.is_symlink():
                name = self._meant(found, part)
                if name is None:
                    return None
                there = found / name
            found = there
        return found

    def _meant(self, folder: Path, name: str) -> str | None:
        if folder not in self._listed:
            try:
                names = sorted(entry.name for entry in folder.iterdir())
            except OSError:
                names = []
            self._listed[folder] = tuple(_by_writing(names, writing) for writing in WRITINGS)
        for listed, writing in zip(self._listed[folder], WRITINGS, strict=True):
            fitting = listed.get(writing(name), [])
            if fitting:
                return fitting[0] if len(fitting) == 1 else None
        return None


def _composed(name: str) -> str:
    return normalize("NFC", name)


WRITINGS = (_composed, plain)


def _by_writing(names: Sequence[str], writing: Callable[[str], str]) -> dict[str, list[str]]:
    listed: dict[str, list[str]] = defaultdict(list)
    for name in names:
        listed[writing(name)].append(name)
    return dict(listed)
