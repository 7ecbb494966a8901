"""MP4 and MOV (ISO 14496-12), Matroska and WebM (RFC 8794, RFC 9559) and WMA (ASF): whether their boxes are all there.

These hold video, too. Boxes lie one after the other and say how long they are; a file that was cut ends within one.
What a writer left open (a live stream, a recorder that was stopped) is refused, as nothing tells where it should end.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

from earwitness.audio.layout import COPY_AGAIN, FaultError, Link, cut_short, instead

ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
EBML = b"\x1a\x45\xdf\xa3"
# Types that an MP4 or MOV file starts with
MP4 = (b"ftyp", b"moov", b"mdat", b"wide")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_SEGMENT, _CLUSTER = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
_IN_SEGMENT = {
    *(b"\xec", b"\xbf", _CLUSTER, b"\x11\x4d\x9b\x74", b"\x15\x49\xa9\x66", b"\x16\x54\xae\x6b"),
    *(b"\x1c\x53\xbb\x6b", b"\x12\x54\xc3\x67", b"\x19\x41\xa4\x69", b"\x10\x43\xa7\x70"),
}
_MOST_BOXES = 1_000_000
_OPEN = "leaves its length open, as live streams do, so that nobody can tell whether it is whole"


def mp4_links(data: mmap.mmap) -> tuple[Link, ...]:
    """Return the one part of an MP4 or MOV file; raise FaultError if it is cut short or written in fragments."""
    seen = set()
    position = 0
    for _ in range(_MOST_BOXES):
        if position >= len(data):
            break
        size, name = int.from_bytes(data[position : position + 4], "big"), bytes(data[position + 4 : position + 8])
        if size == 1:
            size = int.from_bytes(data[position + 8 : position + 16], "big")
        elif size == 0:
            size = len(data) - position
        if len(name) < 4 or position + size > len(data):
            raise cut_short(f"{position + size:,} bytes", f"{len(data):,}")
        if size < 8 or not all(32 <= byte < 127 or byte == 0xA9 for byte in name):
            raise _damaged(len(data) - position)
        seen.add(name)
        position += size
    if b"moof" in seen and b"mfra" not in seen:
        raise FaultError(f"{_OPEN} (MP4 in fragments); {instead()}")
    if b"moov" not in seen:
        raise FaultError(f"is truncated: its index (moov) is missing, {len(data):,} bytes are there; {COPY_AGAIN}")
    return (Link(first=0, end=len(data)),)


def matroska_links(data: mmap.mmap) -> tuple[Link, ...]:
    """Return the one part of a Matroska or WebM file; raise FaultError if it is cut short or its length is open."""
    segments = 0
    for name, first, size in _elements(data, 0, len(data)):
        if name != _SEGMENT:
            continue
        segments += 1
        if size is None:
            raise FaultError(f"{_OPEN} (as browsers record); {len(data) - first:,} bytes are there; {instead()}")
        for inner, at, length in _elements(data, first, first + size):
            if inner not in _IN_SEGMENT:
                raise _damaged(len(data) - at)
            if length is None:
                break
    if segments != 1:
        raise FaultError(f"holds {segments} recordings, one after the other; {instead()}")
    return (Link(first=0, end=len(data)),)


def asf_links(data: mmap.mmap) -> tuple[Link, ...]:
    """Return the one part of a WMA file; raise FaultError if it is cut short or its length is open."""
    header = int.from_bytes(data[16:24], "little")
    place = data.find(_ASF_FILE, 30, min(header, len(data)))
    if place < 0 or data[header : header + 16] != _ASF_DATA:
        raise FaultError(f"is truncated or damaged: it ends before its sound begins; {COPY_AGAIN}")
    if data[place + 88] & 1:
        raise FaultError(f"{_OPEN} (a broadcast); {instead()}")
    packets = int.from_bytes(data[header + 40 : header + 48], "little")
    size = int.from_bytes(data[place + 92 : place + 96], "little")
    there = (len(data) - header - 50) // max(1, size)
    if there < packets:
        raise cut_short(f"{packets:,} packets of sound", f"{there:,}")
    end = header + int.from_bytes(data[header + 16 : header + 24], "little")
    if end > len(data):
        raise cut_short(f"{end:,} bytes", f"{len(data):,}")
    return (Link(first=0, end=len(data)),)


def _elements(data: mmap.mmap, position: int, end: int) -> Iterator[tuple[bytes, int, int | None]]:
    """Yield (name, first byte, size; None where it is open) of the EBML elements between two bytes."""
    if end > len(data):
        raise cut_short(f"{end:,} bytes", f"{len(data):,}")
    for _ in range(_MOST_BOXES):
        if position >= end:
            return
        width = 9 - data[position].bit_length()
        place = position + width
        if width > 4 or place >= end:
            raise _damaged(len(data) - position)
        sizes = 9 - data[place].bit_length()
        size: int | None = int.from_bytes(data[place : place + sizes], "big") & ((1 << 7 * sizes) - 1)
        if sizes > 8 or place + sizes > end:
            raise _damaged(len(data) - position)
        if size == (1 << 7 * sizes) - 1:
            size = None
        first = place + sizes
        yield bytes(data[position:place]), first, size
        position = end if size is None else first + size
        if position > end:
            raise cut_short(f"{position:,} bytes", f"{end:,}")


def _damaged(rest: int) -> FaultError:
    return FaultError(f"is truncated or damaged {rest:,} bytes before its end; {COPY_AGAIN}, or, {instead()}")
