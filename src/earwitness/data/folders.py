"""What lies in folders of recordings: sound files, what programs lay beside them, and what systems leave behind.

Annotations, caches and pictures beside a recording are no recordings that failed, so they are counted, not set aside.
What is named like a sound stays a matter for the one who reads it, whether it can be read or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from earwitness.audio.containers import SOUND_SUFFIXES
from earwitness.core.errors import UsageError, printable

# What operating systems, NAS and memory cards put everywhere; nobody can remove some of it.
LITTER_FILES = frozenset({"thumbs.db", "desktop.ini"})
LITTER_FOLDERS = frozenset(
    {
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        ".spotlight-v100",
        ".trashes",
        ".fseventsd",
        "__macosx",
        "__pycache__",
    }
)
# Speech Commands' noise to mix in: sound, but of no class.
NO_CLASSES = frozenset({"_background_noise_"})
TEXTS_ABOUT_DATA = frozenset({"readme", "license", "licence", "copying", "attribution", "citation", "changelog"})

# Raven, BirdNET, Kaleidoscope, Praat, ELAN, Sonic Visualiser, Audacity, Audition, Reaper, Ableton; tables, texts,
# pictures. Of these no ending is ever a sound's.
COMPANIONS = frozenset(
    {
        ".txt", ".tsv", ".csv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".log", ".md", ".html", ".pdf", ".xls",
        ".xlsx", ".ods", ".r", ".cue", ".srt", ".vtt", ".lrc", ".lab", ".ann", ".textgrid", ".eaf", ".pfsx", ".svl",
        ".sv", ".aup", ".aup3", ".pkf", ".sesx", ".ses", ".reapeaks", ".rpp", ".rpp-bak", ".asd", ".pek", ".cfa",
        ".sfk", ".m3u", ".m3u8", ".md5", ".sha1", ".sha256", ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".svg", ".tif",
        ".tiff", ".webp", ".heic", ".npy", ".npz"
    }
)  # fmt: skip
# Sounds, also where they cannot be read: they are named, for somebody thinks that they are in the data.
SOUNDS_OF_ANY_KIND = SOUND_SUFFIXES | frozenset(
    {
        ".m4a", ".m4b", ".mp4", ".aac", ".wma", ".amr", ".caf", ".au", ".snd", ".w64", ".bwf", ".webm", ".mka", ".mkv",
        ".3gp", ".ac3", ".ape", ".wv", ".tta", ".ra", ".dsf", ".dff", ".mpc", ".spx", ".mp2", ".mid", ".midi", ".wac",
        ".gsm", ".voc", ".sph"
    }
)  # fmt: skip


def is_sound_name(path: Path) -> bool:
    """Tell whether a file is named like a sound that can be read."""
    return path.suffix.lower() in SOUND_SUFFIXES


def is_companion(path: Path) -> bool:
    """Tell whether a file is named like what lies beside recordings."""
    return path.suffix.lower() in COMPANIONS or ".birdnet." in path.name.lower()


def is_litter(path: Path) -> bool:
    """Tell whether a folder is one that a system makes for itself."""
    return path.name.lower() in LITTER_FOLDERS and path.is_dir()


def visible(folder: Path, passed: Counter[str]) -> list[Path]:
    """Return what is visible in a folder, sorted, without litter, whose folders are counted in ``passed``.

    Raises
    ------
    UsageError
        The folder cannot be listed.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UsageError(f"{printable(folder)}: cannot be listed ({error.strerror}); change its permissions") from None
    kept = []
    for entry in entries:
        if is_litter(entry):
            passed[entry.name] += 1
        elif not entry.name.startswith(".") and entry.name.lower() not in LITTER_FILES:
            kept.append(entry)
    return kept


def sound_files(folder: Path) -> list[Path]:
    """Return the files in a folder, and in those below it, that are named like sounds, readable or not; sorted.

    Hidden files and litter are passed over, links to folders are not followed.

    Raises
    ------
    UsageError
        A folder cannot be listed.
    """
    found = []
    for entry in visible(folder, Counter()):
        if entry.is_dir() and not entry.is_symlink():
            found += sound_files(entry)
        elif not entry.is_dir() and entry.suffix.lower() in SOUNDS_OF_ANY_KIND:
            found.append(entry)
    return found


def endings(paths: Iterable[Path]) -> Counter[str]:
    """Count files by ending, each ending as it is written first."""
    counts: Counter[str] = Counter()
    spelling: dict[str, str] = {}
    for path in paths:
        counts[spelling.setdefault(path.suffix.lower(), path.suffix)] += 1
    return counts


def companions_note(companions: Iterable[Path], litter: Counter[str]) -> tuple[str, ...]:
    """Return one sentence on what was passed over, or none where nothing was."""
    counts = endings(companions)
    words = []
    if counts:
        number = sum(counts.values())
        beside = "1 file beside the recordings is" if number == 1 else f"{number} files beside the recordings are"
        words.append(f"{beside} no sound: " + ", ".join(f"{count} {ending}" for ending, count in counts.most_common()))
    if litter:
        named = ", ".join(f"{count} {printable(name)}" for name, count in litter.most_common())
        words.append(f"folders that systems make are passed over: {named}")
    return ("; ".join(words),) if words else ()
