"""CAF (Apple's Core Audio Format) and Wave64 (Sony): chunks that tell their sizes in 64 bits.

A recorder that died, or could not go back to its header, leaves the size of the sound open: it then lasts to the end.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

from earwitness.audio.layout import COPY_AGAIN, FaultError, Link, cut_short, instead
from earwitness.audio.riff import mended

WAVE64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_GUID = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # after the four letters of each chunk
_OPEN = 1 << 62  # sizes beyond it, -1 among them, mean "until the end of the file"
_CAF = b"caff\0\1\0\0desc"
_MOST_CHUNKS = 10_000


def wave64_links(data: mmap.mmap) -> tuple[Link, ...]:
    """Return where the sound of a Wave64 file is, part by part if some were joined; raise FaultError if it is cut."""
    form, parts = b"", list[Link]()
    for name, first, size in _chunks(data, 0, big=False):
        if name == b"fmt ":
            form = data[first : first + size]
        elif name == b"data":
            joined = data.find(WAVE64, first) if size >= _OPEN else -1
            there = (len(data) if joined < 0 else joined) - first
            if size > there and size < _OPEN:
                raise cut_short(f"{size:,} bytes of sound", f"{there:,}")
            parts.append(mended(form, first, min(size, there)))
    if not parts:
        raise FaultError(f"is truncated: it ends before its sound begins; {COPY_AGAIN}")
    return tuple(parts)


def caf_links(data: mmap.mmap) -> tuple[Link, ...]:
    """Return the one part of a CAF file; raise FaultError if it is cut short or damaged."""
    packet = samples = 0  # bytes, and samples that they hold; 0 where packets differ
    skip, frames, sound = 0, None, None
    for name, first, size in _chunks(data, 8, big=True):
        if name == b"data" and size >= _OPEN:
            size = len(data) - first
        if first + size > len(data):
            raise cut_short(f"{first + size:,} bytes", f"{len(data):,}")
        if name == b"desc":
            packet, samples = (int.from_bytes(data[first + at : first + at + 4], "big") for at in (16, 20))
        elif name == b"pakt":
            frames = int.from_bytes(data[first + 8 : first + 16], "big")
            skip = int.from_bytes(data[first + 16 : first + 20], "big")
        elif name == b"data":
            sound = size - 4  # after the number of its edits
    if sound is None:
        raise FaultError(f"is truncated: it ends before its sound begins; {COPY_AGAIN}")
    if packet and frames is None:
        frames = sound // packet * samples
    if frames is None:
        raise FaultError(f"is truncated: the table of its packets (pakt) is missing; {COPY_AGAIN}")
    # Of packets that differ the last may be short, although some writers count it as full.
    packed = skip + frames - (0 if packet else max(0, samples - 1))
    return (Link(first=0, end=len(data), skip=skip, frames=frames, packed=packed),)


def _chunks(data: mmap.mmap, position: int, *, big: bool) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, first byte, size) of the chunks of a CAF (big-endian) or Wave64 file."""
    head = 12 if big else 24
    if big and data.find(_CAF, len(_CAF)) >= 0:
        raise FaultError("holds more than one recording, one after the other; take them apart where 'caff' stands")
    for _ in range(_MOST_CHUNKS):
        if position >= len(data):
            return
        name, first = bytes(data[position : position + 4]), position + head
        if not big and data[position : position + 16] == WAVE64:  # its chunk holds all others
            position += 40
            continue
        if first > len(data) or (not big and data[position + 4 : position + 16] != _GUID) or not name.isascii():
            raise FaultError(f"is truncated or damaged {len(data) - position:,} bytes before its end; {COPY_AGAIN}, "
                             f"or, {instead()}")  # fmt: skip
        size = int.from_bytes(data[first - 8 : first], "big" if big else "little") - (0 if big else head)
        yield name, first, max(0, size)
        if size >= _OPEN:
            size = -1 if big else data.find(WAVE64, first) - first
            if size < 0:
                return
        position = first + max(0, size)
        position += 0 if big else -position % 8
