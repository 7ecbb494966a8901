"""MP4 and MOV (ISO 14496-12), Matroska and WebM (RFC 8794, RFC 9559) and WMA (ASF): whether their boxes are all there.

These hold video, too. Boxes lie one after the other and say how long they are; a file that was cut ends within one.
Live writers (browsers, recorders) leave the length of the whole open and write blocks or fragments, each with its own
length: such a file is whole where it ends with one of these.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator

from earwitness.audio.layout import COPY_AGAIN, FaultError, Link, cut_short, instead

ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
EBML = b"\x1a\x45\xdf\xa3"
# Types that an MP4 or MOV file starts with
MP4 = (b"ftyp", b"moov", b"mdat", b"wide")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_SEGMENT, _CLUSTER, _INFO = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75", b"\x15\x49\xa9\x66"
_SCALE, _DURATION = b"\x2a\xd7\xb1", b"\x44\x89"
_ELEMENTS = {
    *(EBML, _SEGMENT, _CLUSTER, _INFO, b"\xec", b"\xbf", b"\x11\x4d\x9b\x74", b"\x16\x54\xae\x6b"),
    *(b"\x1c\x53\xbb\x6b", b"\x12\x54\xc3\x67", b"\x19\x41\xa4\x69", b"\x10\x43\xa7\x70"),
    # In a cluster of open length: time, blocks, their group, position, size of the one before, silent tracks
    *(b"\xe7", b"\xa3", b"\xa0", b"\xa7", b"\xab", b"\xaf", b"\x58\x54"),
}
_MOST_BOXES = 5_000_000  # a day of Opus, a box for each packet


# ---- MP4 ---------------------------------------------------------------------------------------------------------


def mp4_links(data: mmap.mmap) -> tuple[Link, ...]:
    """Return the parts of an MP4 or MOV file, one for each that was joined to it; raise FaultError if it is cut."""
    found: list[Link] = []
    begin, seen, seconds = 0, b"", None
    for name, first, end in _mp4_boxes(data, 0, len(data)):
        if name == b"ftyp" and b"moov" in seen:
            found.append(_mp4_link(begin, first - 8, seen, seconds))
            begin, seen, seconds = first - 8, b"", None
        seen += name
        if name == b"moov":
            seconds = _fragment_seconds(data, first, end)
        elif name == b"sidx":
            promised = end + _referenced(data, first, end)
            if promised > len(data):
                raise cut_short(f"{promised:,} bytes", f"{len(data):,}")
    return (*found, _mp4_link(begin, len(data), seen, seconds))


def _mp4_link(begin: int, end: int, seen: bytes, seconds: float | None) -> Link:
    if seen.count(b"moov") > 1:
        raise FaultError(f"holds {seen.count(b'moov')} recordings, one after the other; {instead()}")
    if b"moov" not in seen:
        raise FaultError(f"is truncated: its index (moov) is missing, {end - begin:,} bytes are there; {COPY_AGAIN}")
    if seen.rfind(b"moof") > seen.rfind(b"mdat"):
        raise FaultError(f"is truncated: the sound of its last fragment is missing; {COPY_AGAIN}, or, {instead()}")
    return Link(first=begin, end=end, seconds=seconds)


def _mp4_boxes(data: mmap.mmap, position: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, first byte after its header, end) of the boxes between two bytes."""
    for _ in range(_MOST_BOXES):
        if position >= stop:
            return
        size, name = int.from_bytes(data[position : position + 4], "big"), bytes(data[position + 4 : position + 8])
        head = 8
        if size == 1:
            size, head = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        elif size == 0:
            size = stop - position
        if len(name) < 4 or position + size > stop:
            raise cut_short(f"{position + size:,} bytes", f"{stop:,}")
        if size < head or not all(32 <= byte < 127 or byte == 0xA9 for byte in name):
            raise _damaged(len(data) - position)
        yield name, position + head, position + size
        position += size
    raise _damaged(len(data) - position)


def _fragment_seconds(data: mmap.mmap, first: int, end: int) -> float | None:
    """Return the seconds that an index promises of fragments that follow it (mehd), None where it promises none."""
    scale = 0
    for name, at, stop in _mp4_boxes(data, first, end):
        if name == b"mvhd":
            scale = int.from_bytes(data[at + 12 : at + 16] if not data[at] else data[at + 20 : at + 24], "big")
        elif name == b"mvex":
            for inner, place, _ in _mp4_boxes(data, at, stop):
                if inner == b"mehd":
                    length = int.from_bytes(data[place + 4 : place + (12 if data[place] else 8)], "big")
                    return length / scale if scale else None
    return None


def _referenced(data: mmap.mmap, first: int, end: int) -> int:
    """Return the bytes that must follow a segment index (sidx)."""
    place = first + (20 if not data[first] else 28)
    width = 4 if not data[first] else 8
    count = int.from_bytes(data[place + 2 : place + 4], "big")
    sizes = data[place + 4 : min(end, place + 4 + 12 * count)]
    return int.from_bytes(data[place - width : place], "big") + sum(
        int.from_bytes(sizes[at : at + 4], "big") & 0x7FFFFFFF for at in range(0, len(sizes), 12)
    )


# ---- Matroska ----------------------------------------------------------------------------------------------------


def matroska_links(data: mmap.mmap) -> tuple[Link, ...]:
    """Return the parts of a Matroska or WebM file, one for each joined to it; raise FaultError if it is cut short."""
    found: list[Link] = []
    begin, segments, seconds = 0, 0, None
    for name, start, first, size in _elements(data):
        if name == EBML and segments:
            found.append(Link(first=begin, end=start, seconds=seconds))
            begin, segments, seconds = start, 0, None
        elif name == _SEGMENT:
            segments += 1
        elif name == _INFO:
            seconds = _matroska_seconds(data[first : first + size])
    if segments != 1:
        raise FaultError(f"is truncated or damaged: it holds {segments} segments of sound; {COPY_AGAIN}")
    return (*found, Link(first=begin, end=len(data), seconds=seconds))


def _elements(data: mmap.mmap | bytes) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield (name, start, first byte after its header, size) of EBML elements, and those in segments and open clusters.

    The size of an element of open length is 0.
    """
    position = 0
    for _ in range(_MOST_BOXES):
        if position >= len(data):
            return
        width = 9 - data[position].bit_length()
        name = bytes(data[position : position + width])
        if name not in _ELEMENTS or position + width >= len(data):
            raise _damaged(len(data) - position)
        first, size = _element_size(data, position + width)
        if first > len(data) or (size is None and name not in (_SEGMENT, _CLUSTER)):
            raise _damaged(len(data) - position)
        if first + (size or 0) > len(data):
            raise cut_short(f"{first + (size or 0):,} bytes", f"{len(data):,}")
        yield name, position, first, size or 0
        position = first if size is None or name == _SEGMENT else first + size
    raise _damaged(len(data) - position)


def _element_size(data: mmap.mmap | bytes, place: int) -> tuple[int, int | None]:
    """Return the byte after a size of EBML, and the size; None where it is left open."""
    width = 9 - data[place].bit_length()
    size = int.from_bytes(data[place : place + width], "big") & ((1 << 7 * width) - 1)
    return place + width, None if size == (1 << 7 * width) - 1 else size


def _matroska_seconds(info: bytes) -> float | None:
    """Return the seconds that the header of a segment promises of its longest track, None where it promises none."""
    scale, duration, place = 1_000_000, None, 0
    while place < len(info):
        width = 9 - info[place].bit_length()
        if place + width >= len(info):
            break
        name = info[place : place + width]
        first, size = _element_size(info, place + width)
        value, place = info[first : first + (size or 0)], first + (size or 0)
        if name == _SCALE:
            scale = int.from_bytes(value, "big")
        elif name == _DURATION and len(value) in (4, 8):
            (duration,) = struct.unpack(">f" if len(value) == 4 else ">d", value)
    return duration * scale / 1e9 if duration is not None and 0 < duration < 1e15 else None


# ---- ASF ---------------------------------------------------------------------------------------------------------


def asf_links(data: mmap.mmap) -> tuple[Link, ...]:
    """Return the one part of a WMA file; raise FaultError if it is cut short."""
    header = int.from_bytes(data[16:24], "little")
    place = data.find(_ASF_FILE, 30, min(header, len(data)))
    if place < 0 or data[header : header + 16] != _ASF_DATA:
        raise FaultError(f"is truncated or damaged: it ends before its sound begins; {COPY_AGAIN}")
    size = max(1, int.from_bytes(data[place + 92 : place + 96], "little"))
    there, rest = divmod(len(data) - header - 50, size)
    if data[place + 88] & 1:  # a broadcast, which ends with one of its packets, or with a chunk that says so
        if rest and data[len(data) - rest : len(data) - rest + 2] != b"$E":
            raise cut_short(f"{there + 1:,} packets of sound or more", f"{there:,} and a part of one")
        _check_packets(data, header + 50, size, there)
        return (Link(first=0, end=len(data)),)
    packets = int.from_bytes(data[header + 40 : header + 48], "little")
    if there < packets:
        raise cut_short(f"{packets:,} packets of sound", f"{there:,}")
    end = header + int.from_bytes(data[header + 16 : header + 24], "little")
    if end > len(data):
        raise cut_short(f"{end:,} bytes", f"{len(data):,}")
    if ASF in (data[at : at + 16] for at in _asf_objects(data, end)):
        raise FaultError(f"holds more than one recording, one after the other; {instead()}")
    _check_packets(data, header + 50, size, packets)
    lasts = int.from_bytes(data[place + 64 : place + 72], "little") / 1e7
    before = int.from_bytes(data[place + 80 : place + 88], "little") / 1e3  # filled before it plays
    return (Link(first=0, end=len(data), seconds=max(0.0, lasts - before)),)


def _check_packets(data: mmap.mmap, first: int, size: int, count: int) -> None:
    """Raise FaultError if packets of ASF do not all begin alike: with the length of their error correction."""
    beginnings = data[first : first + size * count : size]
    if len(set(beginnings)) > 1:
        number = next(index for index, byte in enumerate(beginnings) if byte != beginnings[0])
        raise _damaged(len(data) - first - size * number)


def _asf_objects(data: mmap.mmap, position: int) -> Iterator[int]:
    """Yield where the objects after the sound begin."""
    for _ in range(_MOST_BOXES):
        if position + 24 > len(data):
            return
        yield position
        position += max(24, int.from_bytes(data[position + 16 : position + 24], "little"))


def _damaged(rest: int) -> FaultError:
    return FaultError(f"is truncated or damaged {rest:,} bytes before its end; {COPY_AGAIN}, or, {instead()}")
