"""What a sound file is, and whether all of it is there, told from its bytes before anything is decoded.

Decoders are forgiving: a WAV file cut in half plays for half its time, an Ogg stream without its end is simply
shorter. For a data set that is a silent fault, so each container is examined by its own rules (modules
beside this one; FLAC, RFC 9639, here), and a file that is cut short is refused with the reason.
"""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path

from earwitness.audio import boxes, longchunks, mpeg, ogg, rawframes, riff
from earwitness.audio.layout import COPY_AGAIN, NO_SAMPLES, FaultError, Layout, Link, cut_short
from earwitness.core.errors import BadRecordingError, printable

# Kind of sound -> the name endings that fit it, the usual one first.
SUFFIXES: dict[str, tuple[str, ...]] = {
    "WAV": (".wav", ".wave", ".bwf", ".rf64"),
    "FLAC": (".flac",),
    "Ogg Vorbis": (".ogg", ".oga"),
    "Ogg Opus": (".opus", ".ogg", ".oga"),
    "Ogg FLAC": (".oga", ".ogg"),
    "MP3": (".mp3", ".mp2"),
    "AIFF": (".aiff", ".aif", ".aifc"),
    "MP4": (".m4a", ".mp4", ".m4b", ".m4v", ".mov", ".3gp"),
    "Matroska": (".webm", ".mkv", ".mka"),
    "WMA": (".wma", ".asf", ".wmv"),
    "AAC": (".aac", ".adts"),
    "AMR": (".amr", ".awb"),
    "CAF": (".caf",),
    "Wave64": (".w64",),
}
SOUND_SUFFIXES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)

# First bytes of what people mistake for a sound file that can be read here: (offset, bytes, name).
FOREIGN = (
    (0, b".snd", "AU"),
    (0, b"MThd", "MIDI"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio"),
)
NOT_SOUND = "is not a sound file that can be read; use WAV, FLAC, MP3, Ogg, Opus, M4A, AAC, WMA, WebM, CAF or AIFF"


# Where a file of a kind has which bytes.
_BEGIN: tuple[tuple[int, tuple[bytes, ...], str], ...] = (
    (0, (b"fLaC",), "FLAC"),
    (0, (boxes.ASF,), "WMA"),
    (0, (boxes.EBML,), "Matroska"),
    (0, (b"caff",), "CAF"),
    (0, (longchunks.WAVE64,), "Wave64"),
    (0, tuple(magic for magic, _ in rawframes.AMR), "AMR"),
    (4, boxes.MP4, "MP4"),
    (8, (b"AIFF", b"AIFC"), "AIFF"),
)
_WHOLE = {  # kinds that begin with the file's first byte
    "MP4": boxes.mp4_links,
    "Matroska": boxes.matroska_links,
    "WMA": boxes.asf_links,
    "AMR": rawframes.amr_links,
    "CAF": longchunks.caf_links,
    "Wave64": longchunks.wave64_links,
}


def examine(path: Path) -> Layout:
    """Return where the sound of a file lies, after checking that the file is whole.

    Parameters
    ----------
    path
        The file. Its name, its place in the file system and its bytes are looked at; nothing is decoded.

    Raises
    ------
    BadRecordingError
        Name not UTF-8, missing, dangling link, folder, not a regular file, unreadable, empty, not a sound file,
        wrong name ending, truncated, or a header without samples. The message says which, and what to do.
    """
    check_name(path)
    descriptor = _open(path)
    try:
        if os.fstat(descriptor).st_size == 0:
            raise BadRecordingError(path, "is empty (0 bytes); record or copy it again")
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
            kind, start = _identify(data)
            _check_kind(path, kind, data)
            return Layout(kind, _links(data, kind, start))
    except FaultError as fault:
        raise BadRecordingError(path, str(fault)) from None
    except OSError as error:
        raise BadRecordingError(path, f"cannot be read ({error.strerror or error}); check the disk") from None
    finally:
        os.close(descriptor)


def check_name(path: Path) -> None:
    """Raise BadRecordingError for a path that is not valid UTF-8: no CSV or JSON file could name it."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise BadRecordingError(path, "has a name that is not valid UTF-8; rename it") from None


def _open(path: Path) -> int:
    """Return a descriptor of a regular file, or say why there is none."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise BadRecordingError(path, "is a folder, not a recording; name a sound file")
        if not stat.S_ISREG(mode):
            raise BadRecordingError(path, "is a pipe, socket or device, not a file; copy its sound into a file first")
        return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        if path.is_symlink():
            target = printable(path.readlink())
            reason = f"is a link to '{target}', which does not exist; mend or remove the link"
        else:
            reason = "does not exist; check the path"
        raise BadRecordingError(path, reason) from None
    except PermissionError:
        raise BadRecordingError(path, "cannot be read: permission denied; change its permissions or owner") from None
    except (OSError, ValueError) as error:  # a loop of links, a name too long, a NUL byte in the name, a failing disk
        raise BadRecordingError(path, f"cannot be opened ({getattr(error, 'strerror', None) or error})") from None


def _identify(data: mmap.mmap) -> tuple[str, int]:
    """Return the kind (or '' if it is none of ours) and where it starts, which is after any tag."""
    start = 0
    while data[start : start + 3] == b"ID3" and (length := mpeg.tag_length(data, start)):
        start += length
    head = data[start : start + 64]
    if head[:4] in riff.WAVES and head[8:12] == b"WAVE":
        return "WAV", start
    if head[:4] == b"OggS":
        return ogg.kind_of(data, start), start
    for offset, magics, kind in _BEGIN:
        if head.startswith(magics, offset):
            return kind, start
    if rawframes.is_aac(data, start):
        return "AAC", start
    first = mpeg.first_frame(data, start)
    if first is not None:
        return "MP3", first
    # Whatever was to follow the tag: nothing but MP3 commonly starts with one.
    return ("MP3", start) if start else ("", 0)


def _check_kind(path: Path, kind: str, data: mmap.mmap) -> None:
    """Raise if the bytes are no sound of ours, or if the name claims another kind."""
    if not kind:
        for offset, magic, name in FOREIGN:
            if data[offset : offset + len(magic)] == magic:
                raise BadRecordingError(path, f"is {name}, which is not read here; convert it to WAV or FLAC")
        if data[:4] == b"OggS":
            raise BadRecordingError(path, "is Ogg without Vorbis, Opus or FLAC sound; convert it to WAV or FLAC")
        raise BadRecordingError(path, NOT_SOUND)
    suffix = path.suffix
    if suffix and suffix.lower() not in SUFFIXES[kind]:
        right = path.with_suffix(SUFFIXES[kind][0]).name
        raise BadRecordingError(path, f"holds {kind} sound although its name ends in {suffix}; rename it to {right}")


def _links(data: mmap.mmap, kind: str, start: int) -> tuple[Link, ...]:
    """Return the parts that FFmpeg decodes, none where libsndfile reads the file as it is; raise FaultError."""
    if kind == "WAV":
        return riff.wav_links(data, start)
    if kind.startswith("Ogg"):
        return ogg.links(data, start)
    if kind == "MP3":
        if start > len(data):
            raise FaultError(f"is truncated: it ends before its sound begins; {COPY_AGAIN}")
        found = mpeg.links(data, start)
        if not any(link.frames for link in found):
            raise FaultError(NO_SAMPLES)
        return found
    if kind in _WHOLE:
        return _WHOLE[kind](data)
    if kind == "AAC":
        return rawframes.aac_links(data, start)
    if kind == "AIFF":
        riff.check_aiff(data, start)
    else:
        _check_flac(data, start)
    return ()


def _check_flac(data: mmap.mmap, start: int) -> None:
    """Find only what decoding cannot say clearly: the decoder itself notices a cut after the metadata."""
    position, last = start + 4, False
    while not last:
        if position + 4 > len(data):
            raise FaultError(f"is truncated: it ends before its sound begins; {COPY_AGAIN}")
        last = bool(data[position] & 0x80)
        position += 4 + int.from_bytes(data[position + 1 : position + 4], "big")
    if position >= len(data):
        # Samples in the stream: 36 bits that start 13.5 bytes into STREAMINFO.
        total = int.from_bytes(data[start + 21 : start + 26], "big") & 0xFFFFFFFFF
        raise FaultError("holds no samples; record it again") if total == 0 else cut_short(f"{total:,} samples", "none")
