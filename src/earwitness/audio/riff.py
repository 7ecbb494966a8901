"""WAV (RIFF, RIFX, RF64 and BW64, EBU Tech 3306) and AIFF: where their sound is, whatever their sizes say.

Sizes of 32 bits wrap beyond 4 GiB, stay 0 or all ones where a writer could not go back, and go stale where a recorder
died. They are compared with the file's real length and with what follows the sound.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Literal

from earwitness.audio.layout import COPY_AGAIN, FaultError, Link, cut_short, instead
from earwitness.audio.mpeg import tag_length

Order = Literal["little", "big"]
WAVES = (b"RIFF", b"RIFX", b"RF64", b"BW64")
# A writer that cannot go back to its header (a pipe) leaves one of these sizes; it means "until the end of the file".
_UNKNOWN_SIZES = (range(0x7FFFF000, 0x80000001), range(0xFFFFF000, 0x100000000))
_WRAP = 1 << 32
_EXTENSIBLE = 0xFFFE
_PLAIN = (
    1,
    3,
    6,
    7,
    _EXTENSIBLE + 1,
    _EXTENSIBLE + 3,
    _EXTENSIBLE + 6,
    _EXTENSIBLE + 7,
)  # formats whose samples have a fixed number of bytes
_SNDFILE = (*_PLAIN, 2, 0x31, 0x40, 0x45, 0x64)  # those that libsndfile reads right
_MOST_CHUNKS = 10_000  # a file of zeros would otherwise be walked eight bytes at a time
_COMMON = (b"data", b"fmt ", b"LIST", b"fact", b"bext", b"JUNK", b"cue ", b"smpl", b"id3 ", b"iXML")
_BEFORE_SOUND = f"is truncated: it ends before its sound begins; {COPY_AGAIN}"


def wav_links(data: mmap.mmap, start: int) -> tuple[Link, ...]:
    """Return where the sound of a WAV file is, part by part if some were joined; nothing where libsndfile finds it.

    Raises
    ------
    FaultError
        The file is cut short, or holds more than its header says and the real size cannot be told.
    """
    parts: list[Link] = []
    position: int | None = start
    while position is not None:
        link, position, strange = _wav(data, position)
        if position is None and not parts and not strange:
            return ()
        if data[start : start + 4] == b"RIFX":
            raise FaultError(f"has sizes in its header that are wrong; {instead('-ignore_length 1 ')}")
        parts.append(link)
    return tuple(parts)


def _wav(data: mmap.mmap, start: int) -> tuple[Link, int | None, bool]:
    """Return the sound of a WAV file in a file, where the next begins, and whether libsndfile would not find it."""
    order: Order = "big" if data[start : start + 4] == b"RIFX" else "little"
    long_size, form, strange = None, b"", data[start : start + 4] == b"BW64"
    expected = start + 12
    for name, first, size in _chunks(data, start, order):
        strange = strange or first - 8 != expected
        expected = first + size + (size & 1)
        if name == b"ds64":
            long_size = int.from_bytes(data[first + 8 : first + 16], "little")
            strange = strange or not long_size  # from a pipe
        elif name == b"fmt ":
            form = data[first : first + size]
            strange = strange or _format(form, order) not in _SNDFILE
        elif name == b"data":
            size = long_size or size if size == _WRAP - 1 else size
            there = _sound_size(data, first, size, form, order)
            return mended(form, first, there), _next_wave(data, first + there, order), strange or there > size
    raise FaultError(_BEFORE_SOUND)


def _next_wave(data: mmap.mmap, position: int, order: Order) -> int | None:
    """Return where a WAV file that was joined begins, None if only chunks follow a position."""
    for _ in range(_MOST_CHUNKS):
        if position + 12 > len(data):
            return None
        for place in (position, position + 1):  # an odd size is padded, or not
            if data[place : place + 4] in WAVES and data[place + 8 : place + 12] == b"WAVE":
                return place
        size = int.from_bytes(data[position + 4 : position + 8], order)
        position += 8 + size + (size & 1)
    return None


def check_aiff(data: mmap.mmap, start: int) -> None:
    """Raise FaultError for an AIFF file that is cut short."""
    frames = None
    for name, first, size in _chunks(data, start, "big"):
        if name == b"COMM":
            frames = int.from_bytes(data[first + 2 : first + 6], "big")
        if name == b"SSND":
            there = len(data) - first
            # The first eight bytes of this chunk are an offset and a block size, not sound.
            if there < size:
                raise cut_short(f"{max(size - 8, 0):,} bytes of sound", f"{max(there - 8, 0):,}")
            return
    # A file of no samples may leave its sound chunk out; decoding then finds that there are none.
    if frames != 0:
        raise FaultError(_BEFORE_SOUND)


def _chunks(data: mmap.mmap, start: int, order: Order) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, first byte, size as the header says) of each chunk of a RIFF or IFF file."""
    position = start + 12
    for _ in range(_MOST_CHUNKS):
        if position + 8 > len(data):
            return
        size = int.from_bytes(data[position + 4 : position + 8], order)
        yield data[position : position + 4], position + 8, size
        position += 8 + size
        if size & 1 and data[position : position + 4] not in _COMMON:  # some writers leave the pad byte out
            position += 1


def _sound_size(data: mmap.mmap, first: int, size: int, form: bytes, order: Order) -> int:
    """Return the bytes of sound that are there, from what a data chunk's size says and from what follows it."""
    there = len(data) - first
    unknown = any(size in sizes for sizes in _UNKNOWN_SIZES)
    if unknown or size == 0:
        joined = data.find(b"WAVEfmt ", first) - 8
        there = joined - first if joined > first and data[joined : joined + 4] in WAVES else there
    if there < size:
        if unknown:
            return there
        raise cut_short(f"{size:,} bytes of sound", f"{there:,}")
    if _only_chunks(data, first + size, order):
        return size
    if size == 0 or unknown:
        return there
    for longer in range(size + _WRAP, there + 1, _WRAP):
        if _only_chunks(data, first + longer, order):
            return longer
    pace = int.from_bytes(form[8:12], order)
    seconds = f" ({size / pace:,.1f} of {there / pace:,.1f} s)" if pace else ""
    raise FaultError(
        f"holds more than its header says: it promises {size:,} bytes of sound, {there:,} are there{seconds}; its "
        f"writer left a size of before; {instead('-ignore_length 1 ')}"
    )


def _only_chunks(data: mmap.mmap, position: int, order: Order) -> bool:
    """Say whether nothing but whole chunks and tags lies between a position and the file's end."""
    for _ in range(_MOST_CHUNKS):
        if position + 8 > len(data):
            return True
        name = data[position : position + 4]
        size = int.from_bytes(data[position + 4 : position + 8], order)
        length = tag_length(data, position)
        if not length and all(32 <= byte < 127 for byte in name):
            length = 8 + size
        elif not length and data[position] == 0 and all(32 <= byte < 127 for byte in data[position + 1 : position + 5]):
            length = 1  # the pad byte of an odd size
        if not length or position + length > len(data) + 1:
            return False
        position += length
    return False


def _format(form: bytes, order: Order) -> int:
    """Return the number of a coding (wFormatTag); of an extensible one its own behind a number that says so."""
    tag = int.from_bytes(form[:2], order)
    return _EXTENSIBLE + int.from_bytes(form[24:26], order) if tag == _EXTENSIBLE else tag


def mended(form: bytes, first: int, size: int) -> Link:
    """Return a part with a plain header in place of the file's own."""
    align = int.from_bytes(form[12:14], "little") or 1
    head = b"RIFF\xff\xff\xff\xffWAVEfmt " + len(form).to_bytes(4, "little") + form + b"data\xff\xff\xff\xff"
    plain = _format(form, "little") in _PLAIN
    if not plain:
        return Link(first=first, end=first + size, head=head)
    return Link(first=first, end=first + size // align * align, head=head, frames=size // align)
