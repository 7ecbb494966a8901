"""Decoders: libsndfile for WAV, AIFF and FLAC, FFmpeg (PyAV) for what is coded with loss.

FFmpeg decodes what is left of a file without a word, so it decides nothing here: which demuxer reads a file is told
from the file's own bytes, it sees only the part of the file that was examined, can open nothing else, and the samples
it gives are counted against what the container promises.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import av
import numpy as np
import soundfile
from av.audio.plane import AudioPlane
from av.stream import Discard

from earwitness.audio import mpeg, rawframes
from earwitness.audio.layout import COPY_AGAIN, NO_SAMPLES, FaultError, Layout, Link, cut_short, instead
from earwitness.core.arrays import Float32Array
from earwitness.core.errors import BadRecordingError

LOWEST_RATE, HIGHEST_RATE = 100, 768_000  # Hz
_POSSIBLE_RATES = f"possible: {LOWEST_RATE:,} to {HIGHEST_RATE:,} Hz"
_MOST_BLOCK_VALUES = 1 << 20  # frames times channels in one block, 4 MiB: 1,024 channels must not take 2 GB
_SLACK = 8192  # samples: the longest block of Vorbis, and more than any of Opus
_DEMUXERS = {
    "WAV": "wav",
    "Ogg Vorbis": "ogg",
    "Ogg Opus": "ogg",
    "Ogg FLAC": "ogg",
    "MP4": "mov",
    "Matroska": "matroska",
    "WMA": "asf",
    "CAF": "caf",
    "Wave64": "wav",  # under a plain header
}
_RAW = ("MP3", "AAC", "AMR")  # frames that were counted need no demuxer, which would guess their number
_PADDING = 0.3  # seconds that a coder may put around the sound of an MP4
# Containers that tell when each packet plays -> seconds between two packets that are more than inexact times.
_HOLES = {"MP4": 0.05, "Matroska": 0.05, "WMA": 0.2}
_LOST = 0.1  # seconds that decoders of WMA may begin late
_NAMES = {"mp3float": "MPEG_LAYER_III", "mp2float": "MPEG_LAYER_II"}
_SOUND_CODERS = "aac,alac,mp3float,mp2float,opus,vorbis,flac,ac3,eac3,wmav1,wmav2,wmapro,wmalossless"
_OPTIONS = {"protocol_whitelist": "none", "ignore_length": "1"}
# FFmpeg's formats of samples -> how NumPy reads them, and full scale; 0 where it is 1.
_FORMATS: dict[str, tuple[type[np.generic], int]] = {
    "u8": (np.uint8, 1 << 7),
    "s16": (np.int16, 1 << 15),
    "s32": (np.int32, 1 << 31),
    "s64": (np.int64, 1 << 63),
    "flt": (np.float32, 0),
    "dbl": (np.float64, 0),
}

av.logging.set_level(None)  # FFmpeg's libraries would print to the terminal


@dataclass(frozen=True)
class Sound:
    """An open recording.

    Parameters
    ----------
    sample_rate, channels
        Hz, and how many.
    subtype
        Its coding, for example ``"PCM_16"`` or ``"VORBIS"``.
    blocks
        Takes frames a block and yields float32, shape (k, channels), full scale is 1. A block may be overwritten by
        the next.
    """

    sample_rate: int
    channels: int
    subtype: str
    blocks: Callable[[int], Iterator[Float32Array]]


@contextmanager
def open_sound(path: Path, layout: Layout) -> Iterator[Sound]:
    """Open a recording that was examined.

    Parameters
    ----------
    path, layout
        The file, and what :func:`earwitness.audio.containers.examine` found in it.

    Raises
    ------
    BadRecordingError
        It cannot be decoded, or not to its end; while its blocks are taken, too.
    """
    try:
        with ExitStack() as stack:
            sound = _with_ffmpeg(path, layout, stack) if layout.links else _with_libsndfile(path, layout, stack)
            if not LOWEST_RATE <= sound.sample_rate <= HIGHEST_RATE:
                raise FaultError(
                    f"claims a sample rate of {sound.sample_rate:,} Hz ({_POSSIBLE_RATES}); correct its header"
                )
            yield sound
    except FaultError as fault:
        raise BadRecordingError(path, str(fault)) from None
    except OSError as error:
        if isinstance(error, av.FFmpegError):
            raise BadRecordingError(path, _damaged(_detail(error))) from None
        raise BadRecordingError(path, f"cannot be read ({error.strerror or error}); check the disk") from None
    except (av.FFmpegError, soundfile.SoundFileError, ValueError) as error:  # PyAV's checks raise plain ValueError
        raise BadRecordingError(path, _damaged(_detail(error))) from None


# ---- libsndfile --------------------------------------------------------------------------------------------------


class _Forward(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no type hints
    """A sound file that is only read forward.

    soundfile seeks after each read of a seekable file, and stops where the header says. Both fail on FLAC streams
    whose header leaves the length open.
    """

    def seekable(self) -> bool:
        return False


def _with_libsndfile(path: Path, layout: Layout, stack: ExitStack) -> Sound:
    try:
        file = stack.enter_context(_Forward(path))
    except (soundfile.SoundFileError, TypeError) as error:
        if "SF_INFO struct incomplete" in str(error):  # libsndfile's words for a rate of 0 or beyond 31 bits
            raise FaultError(f"claims an impossible sample rate ({_POSSIBLE_RATES}); correct its header") from None
        raise FaultError(
            f"cannot be decoded as {layout.kind} ({_detail(error)}): it is damaged; {COPY_AGAIN}"
        ) from None
    promised = int(file.frames)

    def blocks(frames: int) -> Iterator[Float32Array]:
        buffer = np.empty((_block(frames, file.channels), file.channels), dtype=np.float32)
        there = 0
        while len(block := file.read(out=buffer)):
            there += len(block)
            yield block
        # FLAC says how many frames it has; other containers were counted by their bytes before.
        if layout.kind == "FLAC" and there < promised < 1 << 36:
            raise cut_short(f"{promised:,} samples", f"{there:,}")

    return Sound(int(file.samplerate), int(file.channels), str(file.subtype), blocks)


# ---- FFmpeg ------------------------------------------------------------------------------------------------------


class _Part:
    """A part of an open file, with a header of its own, for a demuxer that reads and seeks."""

    def __init__(self, file: BinaryIO, link: Link) -> None:
        self._file, self._head, self._first = file, link.head, link.first
        self._size = len(link.head) + link.end - link.first
        self._position = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most ``size``."""
        size = min(size, self._size - self._position)
        if size <= 0:
            return b""
        if self._position < len(self._head):
            data = self._head[self._position : self._position + size]
        else:
            self._file.seek(self._first + self._position - len(self._head))
            data = self._file.read(size)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move as files do."""
        self._position = max(0, offset + (0, self._position, self._size)[whence])
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position


@dataclass
class _Coded:
    """Decoded frames of FFmpeg, put together from its parts; what must be the same in all parts."""

    layout: Layout
    subtype: str = ""
    sample_rate: int = 0
    channels: int = 0

    def pieces(self, file: BinaryIO) -> Iterator[Float32Array]:
        """Yield each part's samples, without what its coder put around them, shape (k, channels)."""
        seconds = 0.0
        for link in self.layout.links:
            decode = (_raw if self.layout.kind in _RAW else _demuxed)(file, link, self.layout.kind)
            decoded = 0  # with what is skipped
            last = None if link.frames is None else link.skip + link.frames
            for name, sample_rate, values in decode:
                self._check(name, sample_rate, values.shape[1], seconds + decoded / sample_rate)
                begin = max(0, link.skip - decoded)
                decoded += len(values)
                end = len(values) if last is None else len(values) - max(0, decoded - last)
                if begin < end:
                    yield values[begin:end]
            self._count(link, decoded)
            seconds += decoded / max(1, self.sample_rate)

    def _check(self, name: str, sample_rate: int, channels: int, seconds: float) -> None:
        if not self.sample_rate:
            self.subtype, self.sample_rate, self.channels = name, sample_rate, channels
        if (sample_rate, channels) != (self.sample_rate, self.channels):
            raise FaultError(
                f"changes from {self.sample_rate:,} Hz and {self.channels} channels to {sample_rate:,} Hz and "
                f"{channels} {seconds:.1f} s in; {instead()}"
            )

    def _count(self, link: Link, decoded: int) -> None:
        if self.layout.kind in _HOLES:
            return  # counted by its own times
        promised = link.packed if link.packed is not None else link.skip + (link.frames or 0)
        if decoded < promised - (0 if link.packed is not None or self.layout.kind in ("WAV", "Wave64") else _SLACK):
            rate = max(1, self.sample_rate)
            raise FaultError(
                f"is damaged: its container promises {promised / rate:.1f} s, {decoded / rate:.1f} s of them could be "
                f"decoded; {COPY_AGAIN}, or, {instead()}"
            )


def _with_ffmpeg(path: Path, layout: Layout, stack: ExitStack) -> Sound:
    file = stack.enter_context(path.open("rb"))
    coded = _Coded(layout)
    pieces = coded.pieces(file)
    stack.callback(pieces.close)  # type: ignore[attr-defined]
    first = next(pieces, None)
    if first is None:
        raise FaultError(NO_SAMPLES)

    def blocks(frames: int) -> Iterator[Float32Array]:
        waiting, count, most = [first], len(first), _block(frames, coded.channels)
        for piece in pieces:
            waiting.append(piece)
            count += len(piece)
            if count >= most:
                yield np.concatenate(waiting)
                waiting, count = [], 0
        if waiting:
            yield np.concatenate(waiting)

    return Sound(coded.sample_rate, coded.channels, coded.subtype, blocks)


def _raw(file: BinaryIO, link: Link, kind: str) -> Iterator[tuple[str, int, Float32Array]]:
    """Decode the frames that were counted."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if link.first >= link.end:
            return
        if kind == "MP3":
            name, packets = mpeg.codec(data, link.first), mpeg.frames_at(data, link.first, link.end)
        else:
            name = rawframes.amr_codec(data) if kind == "AMR" else "aac"
            packets = rawframes.frames_at(data, link, kind)
        context = cast(av.AudioCodecContext, av.CodecContext.create(name, "r"))
        for packet in packets:
            for frame in context.decode(av.Packet(packet)):
                yield _NAMES.get(name, name.upper()), frame.sample_rate, _values(frame)


def _demuxed(file: BinaryIO, link: Link, kind: str) -> Iterator[tuple[str, int, Float32Array]]:
    with _container(_Part(file, link), kind) as container:
        stream = _only_sound(container)
        context = stream.codec_context
        _forget_places(context)
        if kind not in ("MP4", "Matroska"):  # whose edit lists and paddings FFmpeg applies; else the counts are ours
            context.options = {"flags2": "+skip_manual"}
        # The first block of these only serves to decode the second.
        whole = kind != "Ogg Vorbis" and context.name not in ("wmav1", "wmav2")
        promised = _promised(stream, link)
        decoded, ends, rate, times = 0, None, 0, [0.0]
        for packet in container.demux(stream):
            if kind in _HOLES:
                ends = _follows(packet, ends, _HOLES[kind])
                times[1:] = [float(packet.pts * packet.time_base)] if packet.pts and packet.time_base else times[1:]
            for frame in context.decode(packet):
                rate = frame.sample_rate
                if whole:
                    values = _values(frame)
                    last = round(promised * rate) if kind == "MP4" else decoded + len(values)
                    yield context.name.upper(), rate, values[: max(0, last - decoded)]
                    decoded += len(values)
                whole = True
    if kind in _HOLES:
        there = decoded / max(1, rate)
        # FFmpeg passes over what it cannot take for a packet of ASF, which shows in the time of the last alone.
        if there < max(promised - _HOLES[kind], times[-1] - _LOST if kind == "WMA" else 0):
            raise cut_short(f"{max(promised, times[-1]):.1f} s of sound", f"{there:.1f} s")
        if kind == "MP4":
            with _container(_Part(file, link), kind, ignore_editlist="1") as container:
                there = max(there, _promised(_only_sound(container), link))
            if there > promised + _PADDING:
                raise FaultError(
                    f"holds more than its index plays: {promised:.1f} of {there:.1f} s; for what it plays: "
                    "ffmpeg -i FILE -c:a flac OUT.flac"
                )


def _container(part: _Part, kind: str, **options: str) -> av.container.InputContainer:
    """Open a part with the one demuxer for its kind; no other file, protocol or coder of pictures can be reached."""
    options |= _OPTIONS | ({"codec_whitelist": _SOUND_CODERS} if kind in _HOLES else {})
    return av.open(part, "r", format=_DEMUXERS[kind], options=options, metadata_errors="replace")


def _only_sound(container: av.container.InputContainer) -> av.AudioStream:
    sounds = container.streams.audio
    if len(sounds) > 1:
        raise FaultError(
            f"holds {len(sounds)} sound tracks; take one out: ffmpeg -i FILE -map 0:a:0 -c:a flac OUT.flac"
        )
    if not sounds or sounds[0].codec_context is None:
        raise FaultError("holds no sound of a coding that can be read; leave it out, or convert its sound to FLAC")
    for other in container.streams:
        if other is not sounds[0]:
            other.discard = Discard.all
    return sounds[0]


def _forget_places(context: av.AudioCodecContext) -> None:
    """Keep the number of channels and forget where their loudspeakers are: PyAV (18.1) frees lists of them twice."""
    if context.name == "opus" and (context.extradata or b"")[18:19] in (b"\2", b"\3"):
        raise FaultError(f"holds Opus for ambisonics, which is not read here; {instead()}")  # whose decoder lists them
    if channels := context.channels:  # asked once: each answer frees the list
        context.layout = f"{channels} channels"


def _follows(packet: av.Packet[av.AudioStream], ends: float | None, hole: float) -> float | None:
    """Return when a packet ends (s); raise if it is damaged or does not follow the last, which ended at ``ends``."""
    if packet.is_corrupt:
        raise FaultError(_damaged(f"a damaged packet after {ends or 0:.1f} s"))
    if packet.pts is None or packet.time_base is None:
        return ends
    begins = float(packet.pts * packet.time_base)
    if ends is not None and begins > ends + hole:
        raise FaultError(
            f"has a hole: its sound stops at {ends:.1f} s and goes on at {begins:.1f} s; {COPY_AGAIN}, or, {instead()}"
        )
    return begins + float(packet.duration * packet.time_base) if packet.duration else None


def _promised(stream: av.AudioStream, link: Link) -> float:
    """Return the seconds that a container promises of its sound, 0 where it tells only those of its video."""
    promised = link.seconds if link.seconds is not None and len(stream.container.streams) == 1 else 0.0
    if stream.duration and stream.time_base and stream.container.format.name.startswith("mov"):
        return max(promised, float(stream.duration * stream.time_base))
    return promised


def _values(frame: av.AudioFrame) -> Float32Array:
    """Return a frame's samples, float32, shape (k, channels), full scale is 1.

    PyAV counts the planes of a frame past their end where it has eight or more (18.1), so it is told their number.
    """
    channels, planar = frame.layout.nb_channels, frame.format.is_planar
    dtype, full_scale = _FORMATS[frame.format.name.removesuffix("p")]
    count = frame.samples * (1 if planar else channels)
    planes = [
        np.frombuffer(memoryview(AudioPlane(frame, index)), dtype, count) for index in range(channels if planar else 1)
    ]
    whole = np.stack(planes, axis=1) if planar else planes[0].reshape(-1, channels)
    with np.errstate(over="ignore", invalid="ignore"):  # what 32 bits cannot hold is refused later
        values = whole.astype(np.float32)
    if full_scale:
        values -= 128 if dtype is np.uint8 else 0
        values /= full_scale
    return values


def _block(frames: int, channels: int) -> int:
    return max(1, min(frames, _MOST_BLOCK_VALUES // channels))


def _damaged(detail: str) -> str:
    return f"is truncated or damaged: decoding stopped ({detail}); {COPY_AGAIN}"


def _detail(error: Exception) -> str:
    """Return a library's own words, without the path and full stop around them, in one line."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(text.replace("Error : ", "").split()).rstrip(".")
