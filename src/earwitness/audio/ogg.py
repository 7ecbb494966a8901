"""Ogg (RFC 3533) with Vorbis, Opus (RFC 7845) or FLAC sound: its pages, its streams one after the other.

Each page has a checksum and a number, and counts the samples up to its end; the last page of a stream says that it is
the last. So a cut, a hole and damage can all be told.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from dataclasses import dataclass, field

from earwitness.audio.layout import COPY_AGAIN, NO_SAMPLES, FaultError, Link, instead
from earwitness.audio.mpeg import tag_length

CODECS = ((b"\x01vorbis", "Ogg Vorbis"), (b"OpusHead", "Ogg Opus"), (b"\x7fFLAC", "Ogg FLAC"))
OPUS_RATE = 48_000  # Hz, whatever rate its header says that the recording had before
_HEADER = 27
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass
class _Stream:
    """A logical stream of one link, as its pages go by."""

    kind: str
    first: int
    lead_in: int
    rate: int
    pages: int = 0
    granule: int = -1
    ended: bool = field(default=False)

    @property
    def there(self) -> str:
        return f"{max(0, self.granule - self.lead_in) / max(1, self.rate):.1f} s are there"


def kind_of(data: mmap.mmap | bytes, start: int) -> str:
    """Return the kind of the stream whose first page is at a position, or ''."""
    packet = data[start + _HEADER + data[start + 26] :][:8] if start + _HEADER < len(data) else b""
    return next((kind for magic, kind in CODECS if packet.startswith(magic)), "")


def links(data: mmap.mmap | bytes, start: int) -> tuple[Link, ...]:
    """Return the parts of an Ogg file, one for each stream of sound.

    Raises
    ------
    FaultError
        A page is cut, damaged or missing, a stream has no end, or several sounds run side by side.
    """
    found: list[Link] = []
    streams: dict[int, _Stream] = {}
    position, in_heads = start, False
    while position < len(data):
        head = data[position : position + 5]
        if head != b"OggS\0"[: len(head)]:
            gap = tag_length(data, position)
            if not gap or position + gap < len(data):
                raise FaultError(f"is damaged: no Ogg page where one must be, {len(data) - position:,} bytes before "
                                 f"its end; {_there(streams)}; {COPY_AGAIN}, or, {instead()}")  # fmt: skip
            break
        end = _page_end(data, position)
        if end is None or end > len(data):
            raise FaultError(f"is truncated in the middle of a page; {_there(streams)}; {COPY_AGAIN}")
        page = bytes(data[position:end])
        flags, granule, serial, number = struct.unpack_from("<BqII", page, 5)
        if flags & 2:
            if not in_heads:
                _close(found, streams, position)
                streams, in_heads = {}, True
            streams[serial] = _begin(data, position)
        else:
            in_heads = False
        stream = streams.get(serial)
        if stream is None or number != stream.pages or checksum(page) != page[22:26]:
            raise FaultError(f"is damaged: an Ogg page is missing or wrong; up to there {_there(streams)}; "
                             f"{COPY_AGAIN}, or, {instead()}")  # fmt: skip
        stream.pages += 1
        stream.granule = max(stream.granule, granule)
        stream.ended = stream.ended or bool(flags & 4)
        position = end
    _close(found, streams, position)
    if not any(link.frames for link in found):
        raise FaultError(NO_SAMPLES)
    return tuple(link for link in found if link.frames)


def checksum(page: bytes) -> bytes:
    """Return the four bytes of a page's checksum; Ogg's CRC is zlib's with all bits in the other order."""
    plain = page[:22] + bytes(4) + page[26:]
    value = zlib.crc32(plain.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return value.to_bytes(4, "big").translate(_REVERSED)


def _page_end(data: mmap.mmap | bytes, position: int) -> int | None:
    """Return the byte after a page, or None where even the page's header is cut."""
    if position + _HEADER > len(data):
        return None
    segments = data[position + 26]
    table = data[position + _HEADER : position + _HEADER + segments]
    return position + _HEADER + segments + sum(table) if len(table) == segments else None


def _begin(data: mmap.mmap | bytes, position: int) -> _Stream:
    kind = kind_of(data, position)
    packet = position + _HEADER + data[position + 26]
    lead_in, rate = 0, 1
    if kind == "Ogg Opus":
        lead_in, rate = int.from_bytes(data[packet + 10 : packet + 12], "little"), OPUS_RATE
    elif kind == "Ogg Vorbis":
        rate = int.from_bytes(data[packet + 12 : packet + 16], "little")
    elif kind == "Ogg FLAC":
        rate = int.from_bytes(data[packet + 27 : packet + 30], "big") >> 4
    return _Stream(kind, position, lead_in, rate)


def _there(streams: dict[int, _Stream]) -> str:
    return next((stream.there for stream in streams.values() if stream.kind), "0.0 s are there")


def _close(found: list[Link], streams: dict[int, _Stream], end: int) -> None:
    """End a link; it must have one stream of sound, and that must have its end."""
    if not streams:
        return
    sounds = [stream for stream in streams.values() if stream.kind]
    if len(sounds) != 1:
        raise FaultError(f"holds {len(sounds)} sounds at once in its Ogg streams; {instead()}")
    (sound,) = sounds
    frames = max(0, sound.granule - sound.lead_in)
    if not sound.ended and not 0 <= sound.granule <= sound.lead_in:  # some writers do not end a stream without sound
        raise FaultError(
            "is truncated, or its writer (a live stream) set no end: the page that ends the stream is missing; "
            f"{sound.there}; {COPY_AGAIN}, or, {instead()}"
        )
    found.append(Link(first=sound.first, end=end, skip=sound.lead_in, frames=frames))
