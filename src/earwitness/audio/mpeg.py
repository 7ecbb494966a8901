"""MPEG audio (ISO 11172-3, layers II and III): where its frames lie, and how many samples they hold.

A decoder that is given an MP3 file guesses its length, from the first frames or from a Xing header that may be stale;
only a walk over all frames tells it. Files that were joined end to end have several Xing headers, each with the delay
and padding of its own part.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

from earwitness.audio.layout import COPY_AGAIN, FaultError, Link, cut_short, instead

# kbit/s by bitrate index for layer III (MPEG-1; MPEG-2 and 2.5) and layer II (MPEG-1; MPEG-2 and 2.5).
_KBITS = {
    ("III", 1): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    ("III", 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    ("II", 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    ("II", 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44100, 48000, 32000)
_STRAY = 4096  # bytes; more that are neither frame nor tag are damage, fewer are what editors and radios leave
_PADDING = 1 << 20  # zeros that may follow the tag at the beginning
_ALIKE = 4  # frames in a row that begin a sound after stray bytes; random bytes look like one frame now and then
_DECODER_DELAY = 529  # samples, of every layer III decoder
_VERSIONS = {0: 4, 2: 2, 3: 1}  # 4 stands for MPEG-2.5
_LAYERS = {1: "III", 2: "II"}


def frame_length(data: mmap.mmap | bytes, position: int) -> int | None:
    """Return the bytes of the MPEG layer II or III frame at a position, or None if there is no frame header."""
    head = data[position : position + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = _VERSIONS.get(head[1] >> 3 & 3), _LAYERS.get(head[1] >> 1 & 3)
    bitrate_index, rate_index = head[2] >> 4, head[2] >> 2 & 3
    if version is None or layer is None or bitrate_index in (0, 15) or rate_index == 3:
        return None
    kbits = _KBITS[layer, min(version, 2)][bitrate_index]
    bytes_a_frame = 72 if layer == "III" and version > 1 else 144
    padding = head[2] >> 1 & 1
    return bytes_a_frame * kbits * 1000 // (_RATES[rate_index] // version) + padding


def codec(data: mmap.mmap | bytes, position: int) -> str:
    """Return FFmpeg's name of the decoder for the frame at a position."""
    return {"III": "mp3float", "II": "mp2float"}[_LAYERS[data[position + 1] >> 1 & 3]]


def frames_at(data: mmap.mmap | bytes, first: int, end: int) -> Iterator[bytes]:
    """Yield the frames between two bytes, which must all be frames."""
    while first < end:
        length = frame_length(data, first) or end - first
        yield bytes(data[first : first + length])
        first += length


def first_frame(data: mmap.mmap | bytes, start: int) -> int | None:
    """Return where the sound begins after tags and a few stray bytes, or None if this is no MPEG audio."""
    while gap := tag_length(data, start) or _zeros(data, start, _PADDING):
        start += gap
    if start >= len(data):
        return None
    length = frame_length(data, start)
    if length is not None and (start + length + 4 > len(data) or frame_length(data, start + length) is not None):
        return start  # one frame alone occurs by chance, for example in UTF-16 text
    return None if data[:3] == b"ID3" else _next_sound(data, start + 1, start + _STRAY)


def links(data: mmap.mmap | bytes, start: int) -> tuple[Link, ...]:
    """Return the parts of an MP3 file whose first frame is at ``start``.

    Raises
    ------
    FaultError
        The file is cut short, or damaged within.
    """
    if start < len(data) and frame_length(data, start) is None:
        raise FaultError(f"is damaged: no MPEG sound follows its ID3 tag; {COPY_AGAIN}, or, {instead()}")
    found: list[Link] = []
    begin = position = start
    head = data[start : start + 4]
    info: int | None = None
    count = 0
    while position < len(data):
        length = frame_length(data, position)
        if length is None or data[position + 1] | 1 != head[1] | 1:
            gap = tag_length(data, position)
            _close(found, data, begin, position, info, count, spare=1 if gap else 0)
            gap = gap or _stray(data, position, found, head)
            begin, info, count = position + gap, None, 0
            position = begin
            if position > len(data):
                raise _cut(_seconds(found, head))
            continue
        if position + length > len(data):
            raise _cut(_seconds(found, head) + count * _samples(head) / _rate(head))
        tag = _info_tag(data, position, length)
        if tag is not None:
            _close(found, data, begin, position, info, count)
            begin, info, count = position, tag, 0
        else:
            count += 1
        position += length
    _close(found, data, begin, position, info, count)
    return tuple(found)


def tag_length(data: mmap.mmap | bytes, position: int) -> int:
    """Return the bytes of the tag at a position (ID3, APE, Lyrics3, zeros after a tag), or 0."""
    head = data[position : position + 32]
    if head[:3] == b"ID3" and len(head) >= 10:
        size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        return 10 + size + (10 if head[5] & 0x10 else 0)
    if head[:8] == b"APETAGEX" and len(head) == 32:
        # Its header and its footer look alike but for a bit; the size leaves the header out.
        return 32 + (int.from_bytes(head[12:16], "little") if head[23] & 0x20 else 0)
    if head[:3] == b"TAG":
        return min(128, len(data) - position)
    if head[:11] == b"LYRICSBEGIN":
        end = max(data.find(b"LYRICS200", position, position + 1_000_000), data.find(b"LYRICSEND", position))
        return end + 9 - position if end > 0 else 0
    return _zeros(data, position, _STRAY)


def _zeros(data: mmap.mmap | bytes, position: int, most: int) -> int:
    """Return how many zeros lie at a position, none if they are more than padding would be."""
    run = data[position : position + most + 1]
    zeros = len(run) - len(run.lstrip(b"\0"))
    return zeros if zeros <= most else 0


def _next_sound(data: mmap.mmap | bytes, start: int, stop: int) -> int | None:
    position = data.find(b"\xff", start, stop)
    while position >= 0:
        place: int = position
        for _ in range(_ALIKE):
            length = frame_length(data, place)
            if length is None or data[place + 1] != data[position + 1]:
                break
            place += length
        else:
            return position
        position = data.find(b"\xff", position + 1, stop)
    return None


def _stray(data: mmap.mmap | bytes, position: int, found: list[Link], head: bytes) -> int:
    """Return how many bytes at a position are neither frame nor tag, if they are few, at the end, and hold no frame."""
    rest, seconds = len(data) - position, _seconds(found, head)
    if frame_length(data, position) is not None and _next_sound(data, position, position + 1) is not None:
        raise FaultError(
            f"changes its sample rate or coding {seconds:.1f} s in: it is joined from MP3s of different kinds; "
            + instead()
        )
    if rest < 4 and data[position] == 0xFF:
        raise _cut(seconds)
    place = position
    while rest <= _STRAY and frame_length(data, place) is None:
        place = data.find(head[:2], place + 1)
        if place < 0:
            return rest
    raise FaultError(
        f"is damaged {seconds:.1f} s in: bytes that are no MPEG sound follow, and {rest:,} bytes are left; "
        f"{COPY_AGAIN}, or, {instead()}"
    )


def _cut(seconds: float) -> FaultError:
    return FaultError(f"is truncated in the middle of its last frame; {seconds:.1f} s are there; {COPY_AGAIN}")


def _rate(head: bytes) -> int:
    return _RATES[head[2] >> 2 & 3] // _VERSIONS[head[1] >> 3 & 3]


def _samples(head: bytes) -> int:
    return 576 if head[1] >> 3 & 3 != 3 and head[1] >> 1 & 3 == 1 else 1152


def _seconds(found: list[Link], head: bytes) -> float:
    return sum(link.packed or 0 for link in found) / _rate(head)


def _info_tag(data: mmap.mmap | bytes, position: int, length: int) -> int | None:
    """Return where the Xing, Info or VBRI tag of a frame without sound is, or None if it has none."""
    head = bytes(data[position : position + min(length, 64)])
    for tag in (b"Xing", b"Info", b"VBRI"):
        place = head.find(tag, 4)
        if place >= 13 and (tag == b"VBRI" or not any(head[6:place])):
            return position + place
    return None


def _close(
    found: list[Link], data: mmap.mmap | bytes, begin: int, end: int, info: int | None, count: int, *, spare: int = 1
) -> None:
    """End a part of ``count`` frames of sound; its header must not promise more of them, but for ``spare``."""
    if begin == end:
        return
    head, first, skip, padding = bytes(data[begin : begin + 4]), begin, 0, 0
    if info is not None:
        first += frame_length(data, begin) or 0
        promised, size, skip, padding = _promise(data, info)
        # Some writers count the frame of the header, too: one to spare, unless something unknown follows the last,
        # or bytes are missing, too.
        if promised is not None and count < promised - (0 if end - begin < size else spare):
            lasts = _samples(head) / _rate(head)
            raise cut_short(
                f"{promised * lasts:.1f} s of sound ({promised:,} frames)",
                f"{count * lasts:.1f} s ({count:,} frames)",
            )
        if promised not in (count, count + 1):
            padding = 0  # a header of another file's length knows nothing about the end of this one
    packed = count * _samples(head)
    skip = min(skip, packed)
    found.append(Link(first=first, end=end, skip=skip, frames=max(0, packed - skip - padding), packed=packed))


def _promise(data: mmap.mmap | bytes, tag: int) -> tuple[int | None, int, int, int]:
    """Return the frames and bytes that a header promises, and the samples to drop before and after the sound."""
    if data[tag : tag + 4] == b"VBRI":
        return int.from_bytes(data[tag + 14 : tag + 18], "big") or None, 0, 0, 0
    flags = int.from_bytes(data[tag + 4 : tag + 8], "big")
    promised = int.from_bytes(data[tag + 8 : tag + 12], "big") if flags & 1 else None
    size = int.from_bytes(data[tag + 12 : tag + 16], "big") if flags & 3 == 3 else 0
    place = tag + 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    if data[place : place + 4] not in (b"LAME", b"Lavf", b"Lavc"):
        return promised, size, 0, 0
    gaps = int.from_bytes(data[place + 21 : place + 24], "big")
    delay, padding = gaps >> 12, gaps & 0xFFF
    return promised, size, delay + _DECODER_DELAY, max(0, padding - _DECODER_DELAY)
