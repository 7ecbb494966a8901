"""What a sound file is, and whether all of it is there, told from its bytes before anything is decoded.

Decoders are forgiving: a WAV file cut in half plays for half its time, an Ogg stream without its end is simply
shorter. For a data set that is a silent fault, so each container is examined here by its own rules, and a file that
is cut short is refused with the reason. Sources: RIFF and RF64 (EBU Tech 3306), AIFF (Apple, 1989), FLAC (RFC 9639),
Ogg (RFC 3533), Opus (RFC 7845), MPEG audio (ISO 11172-3) and the Xing/LAME header.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from earwitness.core.errors import BadRecordingError, printable

# Kind of sound -> the name endings that fit it, the usual one first.
SUFFIXES: dict[str, tuple[str, ...]] = {
    "WAV": (".wav", ".wave", ".rf64"),
    "FLAC": (".flac",),
    "Ogg Vorbis": (".ogg", ".oga"),
    "Ogg Opus": (".opus", ".ogg", ".oga"),
    "Ogg FLAC": (".oga", ".ogg"),
    "MP3": (".mp3",),
    "AIFF": (".aiff", ".aif", ".aifc"),
}
SOUND_SUFFIXES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)

# First bytes of what people mistake for a sound file that can be read here: (offset, bytes, name).
FOREIGN = (
    (4, b"ftyp", "MP4/M4A"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska/WebM"),
    (0, b"caff", "CAF"),
    (0, b".snd", "AU"),
    (0, b"riff\x2e\x91\xcf\x11", "Wave64"),
    (0, b"#!AMR", "AMR"),
    (0, b"MThd", "MIDI"),
    (0, b"\xff\xf1", "AAC"),
    (0, b"\xff\xf9", "AAC"),
)
OGG_CODECS = (
    (b"\x01vorbis", "Ogg Vorbis"),
    (b"OpusHead", "Ogg Opus"),
    (b"\x7fFLAC", "Ogg FLAC"),
)

NOT_SOUND = "is not a sound file that can be read; use WAV, FLAC, Ogg Vorbis, Opus, MP3 or AIFF"
COPY_AGAIN = "copy or download it again"

# A writer that cannot go back to its header (a pipe) leaves one of these sizes; it means "until the end of the file".
_UNKNOWN_SIZES = (range(0x7FFFF000, 0x80000001), range(0xFFFFF000, 0x100000000))
_MOST_CHUNKS = 10_000  # a file of zeros would otherwise be walked eight bytes at a time
_OGG_HEADER = 27
_LARGEST_OGG_PAGE = _OGG_HEADER + 255 + 255 * 255

# kbit/s by bitrate index for layer III (MPEG-1; MPEG-2 and 2.5) and layer II (MPEG-1; MPEG-2 and 2.5).
_KBITS = {
    ("III", 1): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    ("III", 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    ("II", 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    ("II", 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG1_RATES = (44100, 48000, 32000)


def examine(path: Path) -> str:
    """Return the kind of sound in a file (a key of :data:`SUFFIXES`) after checking that the file is whole.

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
            fault = _FAULT_FINDERS[kind](data, start)
    except OSError as error:
        raise BadRecordingError(path, f"cannot be read ({error.strerror or error}); check the disk") from None
    finally:
        os.close(descriptor)
    if fault is not None:
        raise BadRecordingError(path, fault)
    return kind


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
    """Return the kind (or '' if it is none of ours) and where it starts, which is after any ID3 tag."""
    start = 0
    while data[start : start + 3] == b"ID3" and start + 10 <= len(data):
        size = sum(
            (byte & 0x7F) << shift for byte, shift in zip(data[start + 6 : start + 10], (21, 14, 7, 0), strict=True)
        )
        start += 10 + size + (10 if data[start + 5] & 0x10 else 0)
    head = data[start : start + 64]
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "WAV", start
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "AIFF", start
    if head[:4] == b"fLaC":
        return "FLAC", start
    if head[:4] == b"OggS" and len(head) > _OGG_HEADER:
        packet = head[_OGG_HEADER + head[26] :]
        return next((kind for magic, kind in OGG_CODECS if packet.startswith(magic)), ""), start
    first = _first_mpeg_frame(data, start)
    if first is not None:
        return "MP3", first
    # A tag that reaches to the end of the file was followed by sound once; nothing but MP3 commonly starts with one.
    return ("MP3", len(data)) if start >= len(data) else ("", 0)


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


# ---- one fault finder for each container; each returns the reason, or None when the file is whole ----------------


def _cut_short(promised: int, there: int) -> str:
    return f"is truncated: its header promises {promised:,} bytes of sound, {there:,} are there; {COPY_AGAIN}"


def _chunks(data: mmap.mmap, start: int, byte_order: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, first byte, size as the header says) of each chunk of a RIFF or IFF file."""
    position = start + 12
    for _ in range(_MOST_CHUNKS):
        if position + 8 > len(data):
            return
        size = int.from_bytes(data[position + 4 : position + 8], "little" if byte_order == "<" else "big")
        yield data[position : position + 4], position + 8, size
        position += 8 + size + (size & 1)


def _wav_fault(data: mmap.mmap, start: int) -> str | None:
    long_size: int | None = None
    for name, first, size in _chunks(data, start, "<"):
        if name == b"ds64":
            long_size = int.from_bytes(data[first + 8 : first + 16], "little")
        if name == b"data":
            there = len(data) - first
            if long_size is not None and size == 0xFFFFFFFF:
                size = long_size
            elif there < size and any(size in sizes for sizes in _UNKNOWN_SIZES):
                size = there
            return _cut_short(size, there) if there < size else None
    return f"is truncated: it ends before its sound begins; {COPY_AGAIN}"


def _aiff_fault(data: mmap.mmap, start: int) -> str | None:
    frames = None
    for name, first, size in _chunks(data, start, ">"):
        if name == b"COMM":
            frames = int.from_bytes(data[first + 2 : first + 6], "big")
        if name == b"SSND":
            there = len(data) - first
            # The first eight bytes of this chunk are an offset and a block size, not sound.
            return _cut_short(max(size - 8, 0), max(there - 8, 0)) if there < size else None
    # A file of no samples may leave its sound chunk out; decoding then finds that there are none.
    return None if frames == 0 else f"is truncated: it ends before its sound begins; {COPY_AGAIN}"


def _flac_fault(data: mmap.mmap, start: int) -> str | None:
    """Find only what decoding cannot say clearly: the decoder itself notices a cut after the metadata."""
    position, last = start + 4, False
    while not last:
        if position + 4 > len(data):
            return f"is truncated: it ends before its sound begins; {COPY_AGAIN}"
        last = bool(data[position] & 0x80)
        position += 4 + int.from_bytes(data[position + 1 : position + 4], "big")
    if position >= len(data):
        # Samples in the stream: 36 bits that start 13.5 bytes into STREAMINFO.
        total = int.from_bytes(data[start + 21 : start + 26], "big") & 0xFFFFFFFFF
        return "holds no samples; record it again" if total == 0 else _cut_frames(total)
    return None


def _cut_frames(total: int) -> str:
    return f"is truncated: its header promises {total:,} samples, none are there; {COPY_AGAIN}"


def _ogg_fault(data: mmap.mmap, start: int) -> str | None:
    """Look at the last page: it must be complete, and it must end the stream."""
    position = len(data)
    while (position := data.rfind(b"OggS", max(start, len(data) - 2 * _LARGEST_OGG_PAGE), position)) >= 0:
        end = _ogg_page_end(data, position)
        # "OggS" may also stand by chance in a packet; a page starts with version 0 and flags in three bits.
        if data[position + 4 : position + 5] == b"\0" and (end is None or data[position + 5] < 8):
            break
    if position < 0 or end is None or end > len(data):
        return f"is truncated in the middle of a page; {COPY_AGAIN}"
    granule = int.from_bytes(data[position + 6 : position + 14], "little", signed=True)
    first = start + _OGG_HEADER + data[start + 26]
    opus = data[first : first + 8] == b"OpusHead"
    lead_in = int.from_bytes(data[first + 10 : first + 12], "little") if opus else 0
    if 0 <= granule <= lead_in:
        return "holds no samples; record it again"
    if not data[position + 5] & 0x04:
        return f"is truncated: the page that ends the stream is missing; {COPY_AGAIN}"
    return None


def _ogg_page_end(data: mmap.mmap, position: int) -> int | None:
    """Return the byte after a page, or None where even the page's header is cut."""
    if position + _OGG_HEADER > len(data):
        return None
    segments = data[position + 26]
    table = data[position + _OGG_HEADER : position + _OGG_HEADER + segments]
    return position + _OGG_HEADER + segments + sum(table) if len(table) == segments else None


def _mp3_fault(data: mmap.mmap, start: int) -> str | None:
    """Walk the frames: the last must be whole, and there must be as many as the Xing header says, if there is one."""
    promised = _xing_frames(data, start)
    position, frames = start, 0
    while position < len(data):
        length = mpeg_frame_length(data, position)
        if length is None:
            break  # a tag or padding at the end, or damage that the decoder steps over
        if position + length > len(data):
            return f"is truncated in the middle of its last frame; {COPY_AGAIN}"
        position += length
        frames += 1
    if frames == 0:
        return "holds no samples; record it again"
    if len(data) - 4 < position < len(data) and data[position] == 0xFF:
        return f"is truncated in the middle of its last frame; {COPY_AGAIN}"
    # The frame of the Xing header is not counted by most writers and counted by some.
    if promised is not None and position + 4 > len(data) and frames < promised:
        return f"is truncated: its header promises {promised:,} frames, {frames:,} are there; {COPY_AGAIN}"
    return None


def _xing_frames(data: mmap.mmap, start: int) -> int | None:
    head = data[start : start + 4 + 32 + 2 + 12]
    for tag in (b"Xing", b"Info"):
        place = head.find(tag, 4)
        if place >= 0 and len(head) >= place + 12 and head[place + 7] & 1:
            return int.from_bytes(head[place + 8 : place + 12], "big")
    return None


def _first_mpeg_frame(data: mmap.mmap, start: int) -> int | None:
    """Return where the first frame starts, if it starts here (zeros after a tag allowed) and a second one follows."""
    while start < len(data) and start > 0 and data[start] == 0:
        start += 1
    length = mpeg_frame_length(data, start)
    if length is None:
        return None
    if start + length + 4 <= len(data) and mpeg_frame_length(data, start + length) is None:
        return None  # two bytes that look like a frame occur by chance, for example in UTF-16 text
    return start


def mpeg_frame_length(data: mmap.mmap, position: int) -> int | None:
    """Return the bytes of the MPEG layer II or III frame at a position, or None if there is no frame header."""
    head = data[position : position + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version = {0: 4, 2: 2, 3: 1}.get(head[1] >> 3 & 3)  # 4 stands for MPEG-2.5
    layer = {1: "III", 2: "II"}.get(head[1] >> 1 & 3)
    bitrate_index, rate_index = head[2] >> 4, head[2] >> 2 & 3
    if version is None or layer is None or bitrate_index in (0, 15) or rate_index == 3:
        return None
    kbits = _KBITS[layer, min(version, 2)][bitrate_index]
    bytes_a_frame = 72 if layer == "III" and version > 1 else 144
    padding = head[2] >> 1 & 1
    return bytes_a_frame * kbits * 1000 // (_MPEG1_RATES[rate_index] // version) + padding


_FAULT_FINDERS = {
    "WAV": _wav_fault,
    "AIFF": _aiff_fault,
    "FLAC": _flac_fault,
    "Ogg Vorbis": _ogg_fault,
    "Ogg Opus": _ogg_fault,
    "Ogg FLAC": _ogg_fault,
    "MP3": _mp3_fault,
}
