"""AAC in ADTS frames (ISO 14496-3, 1.A.3) and AMR (RFC 4867, section 5): frames one after the other, without an index.

Each frame tells its length and nothing tells their number: a file is whole where it ends with a whole frame.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator

from earwitness.audio.layout import COPY_AGAIN, NO_SAMPLES, FaultError, Link, instead
from earwitness.audio.mpeg import tag_length

AMR = ((b"#!AMR-WB\n", "amrwb"), (b"#!AMR\n", "amrnb"))  # FFmpeg's names of the decoders
# Bytes of a frame by its mode, with the byte that tells it; 0 where no frame has that mode.
_AMR_BYTES = {
    "amrnb": (13, 14, 16, 18, 20, 21, 27, 32, 6, 0, 0, 0, 0, 0, 0, 1),
    "amrwb": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 0, 0, 0, 0, 1, 1),
}
_AAC_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)
_AAC_SAMPLES = 1024  # a block
_ALIKE = 4  # frames in a row that are AAC; two bytes look like the beginning of one now and then


def is_aac(data: mmap.mmap | bytes, position: int) -> bool:
    """Say whether ADTS frames begin at a position."""
    for _ in range(_ALIKE):
        length = _aac_length(data, position)
        if not length:
            return False
        position += length
        if position >= len(data):
            return True
    return True


def aac_links(data: mmap.mmap | bytes, start: int) -> tuple[Link, ...]:
    """Return the parts of a file of ADTS frames, between its tags; raise FaultError if it is cut or damaged."""
    rate = _AAC_RATES[data[start + 2] >> 2 & 15]
    found: list[Link] = []
    begin = position = start
    blocks = done = 0
    while position < len(data):
        length = _aac_length(data, position)
        if length and position + length <= len(data):
            blocks += (data[position + 6] & 3) + 1
            position += length
            continue
        seconds = (done + blocks) * _AAC_SAMPLES / rate
        gap = tag_length(data, position)
        if not gap or position + gap > len(data):
            _refuse(data, position, seconds, cut=bool(length) or len(data) - position < 7)
        if blocks:
            found.append(Link(first=begin, end=position, packed=blocks * _AAC_SAMPLES))
        begin = position = position + gap
        done, blocks = done + blocks, 0
    if blocks:
        found.append(Link(first=begin, end=position, packed=blocks * _AAC_SAMPLES))
    return tuple(found)


def amr_links(data: mmap.mmap | bytes) -> tuple[Link, ...]:
    """Return the one part of an AMR file; raise FaultError if it is cut or damaged."""
    magic, codec = next(row for row in AMR if data[: len(row[0])] == row[0])
    position, frames = len(magic), 0
    while position < len(data):
        length = _AMR_BYTES[codec][data[position] >> 3 & 15]
        if not length or data[position] & 0x83 or position + length > len(data):
            _refuse(data, position, frames / 50, cut=bool(length) and not data[position] & 0x83)
        position += length
        frames += 1
    if not frames:
        raise FaultError(NO_SAMPLES)
    return (Link(first=len(magic), end=position, packed=frames * (320 if codec == "amrwb" else 160)),)


def amr_codec(data: mmap.mmap | bytes) -> str:
    """Return FFmpeg's name of an AMR file's decoder."""
    return next(codec for magic, codec in AMR if data[: len(magic)] == magic)


def frames_at(data: mmap.mmap | bytes, link: Link, kind: str) -> Iterator[bytes]:
    """Yield the frames of a part."""
    lengths = _AMR_BYTES[amr_codec(data)] if kind == "AMR" else ()
    length_at: Callable[[int], int] = (
        (lambda place: lengths[data[place] >> 3 & 15]) if lengths else (lambda place: _aac_length(data, place))
    )
    position = link.first
    while position < link.end:
        length = length_at(position) or link.end - position
        yield bytes(data[position : position + length])
        position += length


def _aac_length(data: mmap.mmap | bytes, position: int) -> int:
    """Return the bytes of the ADTS frame at a position, 0 if there is none."""
    head = data[position : position + 7]
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 >= len(_AAC_RATES):
        return 0
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return length if length > 7 else 0


def _refuse(data: mmap.mmap | bytes, position: int, seconds: float, *, cut: bool) -> None:
    if cut:
        raise FaultError(
            f"is truncated in the middle of its last frame; {seconds:.1f} s are there; {COPY_AGAIN}, or, {instead()}"
        )
    raise FaultError(
        f"is damaged {seconds:.1f} s in: bytes that are no frame of sound follow, and "
        f"{len(data) - position:,} bytes are left; {COPY_AGAIN}, or, {instead()}"
    )
