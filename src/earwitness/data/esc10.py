"""ESC-10: fetched from its author's repository, each clip checked, one folder a class.

Of the 400 clips, two roosters stand under CC Sampling+, which is not a free licence; they are left out. The other 398
are listed in ``resources/esc10_manifest.csv``, which is also their attribution and is put beside them.
"""

from __future__ import annotations

import csv
import hashlib
import lzma
import os
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePosixPath

from earwitness.core.download import OnBytes, Patience, fetch, sha256_of
from earwitness.core.errors import EarwitnessError, printable

COMMIT = "553c8f1743b9dba6b282e1323c3ca8fa76923448"
URL = f"https://codeload.github.com/karolpiczak/ESC-10/zip/{COMMIT}"

# The real archive has about 41 MB in 400 clips of at most 173 kB, and two pictures and tables.
MOST_ARCHIVE_BYTES = 200 << 20
MOST_ENTRY_BYTES = 16 << 20
MOST_ENTRIES = 5_000
MOST_CLIP_BYTES = 1 << 20

README = f"""# ESC-10, {{count}} clips

Ten classes of environmental sound, one folder a class. By K. J. Piczak, *ESC: Dataset for Environmental Sound
Classification*, ACM Multimedia 2015, doi 10.1145/2733373.2806390, CC BY 3.0
(<https://creativecommons.org/licenses/by/3.0/>). Title, source, author and licence of each clip stand in
`ATTRIBUTION.csv`. From <https://github.com/karolpiczak/ESC-10> at {COMMIT};
the folders are renamed, and the clips under CC Sampling+ (two roosters) are left out.
"""

# What zipfile and zlib raise over a damaged, cut, packed otherwise or encrypted archive.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    OverflowError,
)


@dataclass(frozen=True, kw_only=True)
class ManifestEntry:
    """One clip of the manifest: ``file`` is ``CLASS/FOLD-SOURCE-TAKE.ogg``; the rest is its check and attribution."""

    file: str
    sha256: str
    title: str
    source_url: str
    author: str
    licence: str


@cache
def manifest() -> tuple[ManifestEntry, ...]:
    """Return the 398 clips in the order of their names."""
    text = files("earwitness").joinpath("resources/esc10_manifest.csv").read_text("utf-8")
    return tuple(ManifestEntry(**row) for row in csv.DictReader(text.splitlines()))


def download(
    folder: Path,
    *,
    url: str | None = None,
    progress: OnBytes | None = None,
    patience: Patience | None = None,
) -> Path:
    """Fetch ESC-10 and unpack it into ``folder``, or find that it is there already.

    Parameters
    ----------
    folder
        The folder to make. If it exists it must hold every clip unchanged (further files do not matter).
    url
        Address of a zip of the repository; the author's own by default.
    progress, patience
        See :func:`earwitness.core.download.fetch`.

    Returns
    -------
    Path
        ``folder``.

    Raises
    ------
    EarwitnessError
        The folder holds a damaged copy (which is left alone), or the archive cannot be fetched, is unsafe, or lacks
        a clip.
    """
    if folder.exists():
        wrong = wrong_clips(folder)
        if wrong:
            raise EarwitnessError(
                f"{printable(folder)}: {len(wrong)} of {len(manifest())} clips are missing or changed (first: "
                f"{wrong[0]}); move this folder away and download again"
            )
        return folder
    archive = folder.with_name(folder.name + ".zip")
    fetch(url or URL, archive, archive_error, limit=MOST_ARCHIVE_BYTES, progress=progress, patience=patience)
    try:
        unpack(archive, folder)
    finally:
        archive.unlink(missing_ok=True)
    return folder


def wrong_clips(folder: Path) -> list[str]:
    """Return the manifest's files that are missing from a folder or differ from their SHA-256."""

    def is_right(clip: ManifestEntry) -> bool:
        try:
            return sha256_of(folder / clip.file) == clip.sha256
        except OSError:
            return False

    return [clip.file for clip in manifest() if not is_right(clip)]


def unpack(archive: Path, folder: Path) -> None:
    """Write the manifest's clips from a zip of the repository into a new folder; all of them, or no folder.

    Names and places come from the manifest, never from the archive: nothing can land outside.

    Raises
    ------
    EarwitnessError
        The archive is damaged, unsafe or incomplete, the folder exists, or the disk does not take it.
    """
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            for clip, content in _clips(archive):
                write_file(work / clip.file, content)
            write_file(
                work / "ATTRIBUTION.csv", files("earwitness").joinpath("resources/esc10_manifest.csv").read_bytes()
            )
            write_file(work / "README.md", README.format(count=len(manifest())).encode())
            work.chmod(0o755)  # mkdtemp makes it private
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except ZIP_ERRORS as error:
        raise EarwitnessError(f"{printable(archive)}: {_reason(error)}; download it again") from error
    except OSError as error:
        what = error.strerror or str(error)
        raise EarwitnessError(
            f"{printable(folder)}: cannot be written ({what}); check its folder and the space"
        ) from error


def archive_error(archive: Path) -> str | None:
    """Say what is wrong with an archive; the check that the download calls."""
    try:
        for _ in _clips(archive):
            pass
    except (*ZIP_ERRORS, OSError) as error:  # an offset that leads nowhere is an OSError
        return _reason(error)
    return None


class _UnsafeError(ValueError):
    """An archive that must not be unpacked, or that is not ESC-10; the message is a clause."""


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, _UnsafeError) else "it is not a readable zip archive"


def _clips(archive: Path) -> Iterator[tuple[ManifestEntry, bytes]]:
    """Yield each clip of the manifest with its checked content, in the manifest's order."""
    with zipfile.ZipFile(archive) as box:
        entries = box.infolist()
        require_safe(entries)
        # The repository's folders have other names ("001 - Dog bark"); the names of the clips are unique.
        by_name = {PurePosixPath(entry.filename).name: entry for entry in entries if not entry.is_dir()}
        for clip in manifest():
            entry = by_name.get(PurePosixPath(clip.file).name)
            if entry is None:
                raise _UnsafeError(f"the archive lacks {PurePosixPath(clip.file).name} ({clip.file})")
            with box.open(entry) as stream:
                content = stream.read(MOST_CLIP_BYTES + 1)
            if hashlib.sha256(content).hexdigest() != clip.sha256:
                raise _UnsafeError(f"{printable(entry.filename)} in the archive is not the published clip (SHA-256)")
            yield clip, content


def require_safe(entries: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive that reaches outside, links, or swells; a good one never does."""
    if len(entries) > MOST_ENTRIES:
        raise _UnsafeError(f"the archive has {len(entries):,} entries, at most {MOST_ENTRIES:,} are expected; refused")
    for entry in entries:
        name = entry.orig_filename
        shown = printable(name.replace("\0", "\\0"))
        if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name):
            raise _UnsafeError(f"the archive has an entry that points outside ({shown}); refused")
        if "\0" in name or "\\" in name:
            raise _UnsafeError(f"the archive has an entry with an unsafe name ({shown}); refused")
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _UnsafeError(f"the archive has an entry that is a link or a device ({shown}); refused")
        if entry.file_size > MOST_ENTRY_BYTES:
            raise _UnsafeError(f"the archive has an entry of {entry.file_size:,} bytes ({shown}); refused")
    total = sum(entry.file_size for entry in entries)
    if total > MOST_ARCHIVE_BYTES:
        raise _UnsafeError(
            f"the archive unpacks to {total:,} bytes, at most {MOST_ARCHIVE_BYTES:,} are expected; refused"
        )


def write_file(path: Path, content: bytes) -> None:
    """Write a file and its folder, flushed to the disk."""
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
