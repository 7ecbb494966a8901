"""Compare what earwitness reads with FFmpeg's command line, over every container and codec that it writes and we read.

Tones and noise of known length are written by the ``ffmpeg`` on PATH (Debian: ``apt install ffmpeg``), read by both,
cut at random places and joined. A row of what is printed is one way of writing: how many files were read by both, what
was refused although FFmpeg reads it, the largest difference in length from FFmpeg's (in samples, and in frames of the
codec) and from the sound that was written (in samples, positive where we have more), the largest difference of a sample
(full scale is 1), how many cuts were refused and how many gave the beginning (nothing in these files tells their
length), and how many files joined end to end were read whole or refused. A fault is named in a line of its own; then
the exit is 1.

    python tools/second_decoder.py                     every rate and number of channels: about 40 min on a core
    python tools/second_decoder.py --share 0.05        a random twentieth of them
    python tools/second_decoder.py --only mp3 --seed 2 the ways whose name holds "mp3", with other sounds and cuts
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from earwitness.audio import decoding
from earwitness.core.errors import BadRecordingError

RATES = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000, 384_000)
CHANNELS = range(1, 9)
CUTS = 20
EXACT = 1e-4  # two decoders of one stream differ by rounding: 16 bits are 3e-5


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way of writing.

    Parameters
    ----------
    name
        What it is called, ending in the file's ending.
    options
        Of ffmpeg, between its input and its output.
    frame
        Samples in a frame of the codec: as much may lengths differ.
    tells
        Whether a file tells its length, so that each cut must be refused.
    error
        Most that a sample may differ (full scale is 1).
    picture
        Whether a picture is put into it, as music players do.
    """

    name: str
    options: tuple[str, ...]
    frame: int = 1
    tells: bool = True
    error: float = EXACT
    picture: bool = False

    @property
    def ending(self) -> str:
        """The file name's ending."""
        return self.name[self.name.rindex(".") :]


@dataclass
class Found:
    """What a way's files showed."""

    files: int = 0
    unwritten: int = 0
    refused: int = 0
    samples: int = 0
    frames: float = 0.0
    truth: tuple[int, int] = (0, 0)
    content: float = 0.0
    cuts_refused: int = 0
    cuts_begun: int = 0
    joined_whole: int = 0
    joined_refused: int = 0
    faults: list[str] = field(default_factory=list)


def _ways() -> Iterator[Way]:
    for coder in ("u8", "s16le", "s24le", "s32le", "f32le", "f64le", "alaw", "mulaw"):
        yield Way(name=f"pcm_{coder}.wav", options=("-c:a", f"pcm_{coder}"))
        yield Way(name=f"pcm_{coder}.w64", options=("-c:a", f"pcm_{coder}"), frame=8)  # padded to eight bytes
    for coder in ("adpcm_ms", "adpcm_ima_wav", "libgsm_ms"):
        error = 0.002 if coder == "adpcm_ima_wav" else EXACT  # versions of FFmpeg round it differently
        yield Way(name=f"{coder}.wav", options=("-c:a", coder), frame=4096, error=error)
    yield Way(name="rf64.wav", options=("-rf64", "always"))
    yield Way(name="mp3.wav", options=("-c:a", "libmp3lame"), frame=1152)
    yield Way(name="pipe.wav", options=("-f", "wav", "pipe:1"), tells=False)
    yield Way(name="pipe.w64", options=("-f", "w64", "pipe:1"), frame=8, tells=False)
    for coder in ("s8", "s16be", "s24be", "s32be", "f32be", "f64be", "alaw", "mulaw"):
        yield Way(name=f"pcm_{coder}.aiff", options=("-c:a", f"pcm_{coder}", "-f", "aiff"))
    for coder in ("pcm_s8", "pcm_s16be", "pcm_s24le", "pcm_s32be", "pcm_f32be", "pcm_f64le", "pcm_alaw", "pcm_mulaw"):
        yield Way(name=f"{coder}.caf", options=("-c:a", coder))
    yield Way(name="pipe.caf", options=("-f", "caf", "pipe:1"), tells=False)
    for coder, frame in (("alac", 4096), ("libopus", 960), ("adpcm_ima_qt", 64), ("ac3", 1536)):
        yield Way(name=f"{coder}.caf", options=("-c:a", coder), frame=frame)
    yield Way(name="s16.flac", options=("-sample_fmt", "s16"))
    yield Way(name="s24.flac", options=("-sample_fmt", "s32", "-compression_level", "8"))
    yield Way(name="flac.oga", options=("-c:a", "flac", "-f", "ogg"))
    for quality in ("1", "8"):
        yield Way(name=f"q{quality}.ogg", options=("-c:a", "libvorbis", "-q:a", quality), frame=1024)
    for name, options in (("vbr", ("-vbr", "on")), ("cbr", ("-vbr", "off", "-frame_duration", "60"))):
        yield Way(name=f"{name}.opus", options=("-c:a", "libopus", *options), frame=2880)
    yield from _mpeg_ways()
    yield from _mp4_ways()
    yield from _matroska_ways()
    for coder in ("wmav1", "wmav2"):
        yield Way(name=f"{coder}.wma", options=("-c:a", coder), frame=4096)
    yield Way(name="live.wma", options=("-c:a", "wmav2", "-f", "asf", "pipe:1"), frame=4096, tells=False)
    for coder, frame in (("libmp3lame", 1152), ("aac", 1024), ("pcm_s16le", 1), ("ac3", 1536)):
        yield Way(name=f"{coder}.asf", options=("-c:a", coder), frame=frame)


def _mpeg_ways() -> Iterator[Way]:
    for name, rates in {
        "cbr": ("-b:a", "64k"),
        "vbr": ("-q:a", "5"),
        "abr": ("-b:a", "80k", "-abr", "1"),
        "id3v1": ("-write_id3v1", "1", "-metadata", "title=A long title of this sound"),
        "no-tag": ("-id3v2_version", "0"),
        "reservoir-less": ("-reservoir", "0"),
    }.items():
        yield Way(name=f"{name}.mp3", options=("-c:a", "libmp3lame", *rates), frame=1152)
    yield Way(name="picture.mp3", options=("-c:a", "libmp3lame", "-id3v2_version", "3"), frame=1152, picture=True)
    for name in ("vbr", "abr"):
        rates = ("-q:a", "5") if name == "vbr" else ("-b:a", "80k", "-abr", "1")
        headless = ("-c:a", "libmp3lame", *rates, "-write_xing", "0")
        yield Way(name=f"{name}-no-xing.mp3", options=headless, frame=1152, tells=False)
    yield Way(name="pipe.mp3", options=("-c:a", "libmp3lame", "-f", "mp3", "pipe:1"), frame=1152, tells=False)
    for coder in ("mp2", "libtwolame"):
        yield Way(name=f"{coder}.mp2", options=("-c:a", coder), frame=1152, tells=False)
    yield Way(name="aac.aac", options=("-c:a", "aac"), frame=1024, tells=False)


def _mp4_ways() -> Iterator[Way]:
    for coder, frame in (("aac", 1024), ("alac", 4096)):
        yield Way(name=f"{coder}.m4a", options=("-c:a", coder), frame=frame)
    yield Way(name="picture.m4a", options=("-c:a", "aac", "-c:v", "mjpeg"), frame=1024, picture=True)
    yield Way(name="first.m4a", options=("-c:a", "aac", "-movflags", "+faststart"), frame=1024)
    for coder, frame in (("libmp3lame", 1152), ("ac3", 1536), ("eac3", 1536), ("libopus", 960), ("flac", 4608)):
        options = ("-c:a", coder, "-strict", "-2", "-f", "mp4")
        yield Way(name=f"{coder}.mp4", options=options, frame=frame)
    for name, flags in {
        "fragments": "empty_moov+default_base_moof",
        "safari": "empty_moov+default_base_moof+skip_trailer",
        "dash": "dash+global_sidx+delay_moov",
    }.items():
        # The delay of the coder is in an edit list of these, which old versions of FFmpeg do not apply.
        fragments = ("-c:a", "aac", "-movflags", flags, "-frag_duration", "100000")
        yield Way(name=f"{name}.mp4", options=fragments, frame=1024 if name != "dash" else 2048, tells=name == "dash")
    for coder in ("pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s32be", "pcm_f32le", "pcm_f64be", "pcm_alaw"):
        yield Way(name=f"{coder}.mov", options=("-c:a", coder))
    yield Way(name="adpcm_ima_qt.mov", options=("-c:a", "adpcm_ima_qt"), frame=64)


def _matroska_ways() -> Iterator[Way]:
    for coder, frame in {
        "libopus": 960, "libvorbis": 1024, "aac": 1024, "libmp3lame": 1152, "mp2": 1152, "flac": 4608, "alac": 4096,
        "ac3": 1536, "eac3": 1536, "tta": 1, "wavpack": 1, "pcm_u8": 1, "pcm_s16le": 1, "pcm_s24le": 1, "pcm_f32le": 1,
        "pcm_f64le": 1,
    }.items():  # fmt: skip
        yield Way(name=f"{coder}.mka", options=("-c:a", coder, "-f", "matroska"), frame=frame)
    for coder, frame in (("libopus", 960), ("libvorbis", 1024)):
        options = ("-c:a", coder, "-cluster_time_limit", "100")
        yield Way(name=f"{coder}.webm", options=options, frame=frame)
        live = (*options, "-f", "webm", "pipe:1")
        yield Way(name=f"live-{coder}.webm", options=live, frame=frame, tells=False)


WAYS = tuple(_ways())


def sound(seconds: float, rate: int, channels: int, seed: int) -> np.ndarray:
    """Return two gliding tones and noise, which no shift leaves alike, float32, shape (n, channels)."""
    random = np.random.default_rng(seed)
    at = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(300 + 200 * np.sin(2 * np.pi * at * random.uniform(1, 3))) / rate
    mono = 0.2 * np.sin(phase) + 0.1 * np.sin(3.7 * phase) + 0.02 * random.standard_normal(len(at))
    gains = 1 - 0.1 * np.arange(channels)
    return (mono[:, None] * gains + 0.005 * random.standard_normal((len(at), channels))).astype(np.float32)


def write(way: Way, path: Path, samples: np.ndarray, rate: int) -> bool:
    """Write samples of shape (n, channels) at a rate (Hz); say whether ffmpeg can."""
    channels = samples.shape[1]
    source = ["-f", "f32le", "-ar", str(rate), "-ac", str(channels), "-i", "pipe:0"]
    if way.picture:
        art = [
            "-f",
            "lavfi",
            "-i",
            "testsrc=size=300x300:duration=0.04",
            "-map",
            "0:a",
            "-map",
            "1:v",
            "-frames:v",
            "1",
        ]
        source += [*art, "-disposition:v", "attached_pic"]
    output = [] if "pipe:1" in way.options else [str(path)]
    done = _ffmpeg(*source, *way.options, *output, send=samples.tobytes())
    if output == [] and done.returncode == 0:
        path.write_bytes(done.stdout)
    return done.returncode == 0 and path.stat().st_size > 0


def read_with_ffmpeg(path: Path) -> tuple[np.ndarray, int] | None:
    """Return the mean of the channels and the rate (Hz) that ffmpeg decodes, None where it fails."""
    done = _ffmpeg("-i", str(path), "-map", "0:a:0", "-c:a", "pcm_f32le", "-f", "wav", "pipe:1")
    place = done.stdout.find(b"fmt ")
    if done.returncode or place < 0 or done.stdout.endswith(b"data\xff\xff\xff\xff"):
        return None
    channels, rate = struct.unpack_from("<HI", done.stdout, place + 10)
    values = np.frombuffer(done.stdout[done.stdout.find(b"data") + 8 :], dtype="<f4")
    return values[: len(values) // channels * channels].reshape(-1, channels).mean(axis=1), rate


def _ffmpeg(*arguments: str, send: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *arguments]
    return subprocess.run(command, input=send, capture_output=True, check=False)


def try_file(
    way: Way, folder: Path, rate: int, channels: int, seed: int, found: Found, seconds: float, cuts: int
) -> None:
    """Write one file, compare both decoders, cut it and join it; add to what was found."""
    path, samples = folder / f"a{way.ending}", sound(seconds, rate, channels, seed)
    path.unlink(missing_ok=True)
    if not write(way, path, samples, rate) or (other := read_with_ffmpeg(path)) is None:
        found.unwritten += 1
        return
    where = f"{way.name}, {rate} Hz, {channels} channels"
    try:
        clip = decoding.read(path)
    except BadRecordingError as error:
        found.refused += 1
        found.faults.append(f"{where}: refused: {error.reason}")
        return
    found.files += 1
    _compare(way, where, clip, other, found, round(len(samples) * other[1] / rate), rate)
    data = path.read_bytes()
    _cut(way, where, path, clip.samples, found, np.random.default_rng(seed), cuts)
    second = sound(1.5 * seconds, rate, channels, seed + 1)
    write(way, path, second, rate)
    try:
        other_length = len(decoding.read(path).samples)
    except BadRecordingError as error:
        found.faults.append(f"{where}, half as long again: refused: {error.reason}")
        return
    _join(way, where, path, data, (len(clip.samples), other_length), found)


def _compare(
    way: Way, where: str, clip: decoding.Clip, other: tuple[np.ndarray, int], found: Found, written: int, asked: int
) -> None:
    ours, (theirs, rate) = clip.samples, other
    if clip.sample_rate != rate:
        found.faults.append(f"{where}: {clip.sample_rate} instead of {rate} Hz")
        return
    difference = abs(len(ours) - len(theirs))
    found.samples = max(found.samples, difference)
    found.frames = max(found.frames, difference / way.frame)
    more = len(ours) - written
    found.truth = (min(found.truth[0], more), max(found.truth[1], more))
    error = min(_error(ours, theirs, shift) for shift in {0, len(theirs) - len(ours), *_shift(ours, theirs)})
    found.content = max(found.content, error)
    # FFmpeg's resampler, where the codec does not have the rate, is a little short at the end; lists of edits (MP4)
    # count in thousandths of a second.
    if (
        difference > way.frame
        or error > way.error
        or more < (-way.frame if rate != asked else -(rate // 500) if way.ending == ".mp4" else -1)
    ):
        found.faults.append(
            f"{where}: {len(ours)} samples, {len(theirs)} by ffmpeg, {written} written; differs by {error:.2g}"
        )


def _shift(ours: np.ndarray, theirs: np.ndarray) -> tuple[int]:
    """Return how many samples theirs is late, by correlation."""
    size = 1 << (len(ours) + len(theirs)).bit_length()
    product = np.fft.irfft(np.fft.rfft(theirs, size) * np.conj(np.fft.rfft(ours, size)))
    best = int(product.argmax())
    return (best if best < size // 2 else best - size,)


def _error(ours: np.ndarray, theirs: np.ndarray, shift: int) -> float:
    """Return the largest difference where both have samples, theirs being late by a shift."""
    theirs, ours = theirs[max(0, shift) :], ours[max(0, -shift) :]
    length = min(len(ours), len(theirs))
    return float(np.abs(ours[:length] - theirs[:length]).max()) if length > len(ours) // 2 else np.inf


def _cut(
    way: Way, where: str, path: Path, whole: np.ndarray, found: Found, random: np.random.Generator, cuts: int
) -> None:
    data = path.read_bytes()
    for length in random.integers(1, len(data), cuts):
        path.write_bytes(data[:length])
        try:
            part = decoding.read(path).samples
        except BadRecordingError:
            found.cuts_refused += 1
            continue
        found.cuts_begun += 1
        # The last frame of a part may lack what the next would add to it.
        sure = min(len(part), len(whole)) - way.frame
        if (
            (way.tells and len(part) != len(whole))
            or len(part) > len(whole)
            or not np.array_equal(part[: max(0, sure)], whole[: max(0, sure)])
        ):
            found.faults.append(
                f"{where}: cut to {length} of {len(data)} bytes gives {len(part)} of {len(whole)} samples"
            )


def _join(way: Way, where: str, path: Path, data: bytes, lengths: tuple[int, int], found: Found) -> None:
    path.write_bytes(data + path.read_bytes())
    try:
        length = len(decoding.read(path).samples)
    except BadRecordingError:
        found.joined_refused += 1
        return
    found.joined_whole += 1
    if abs(length - sum(lengths)) > 2 * way.frame + 2:
        found.faults.append(f"{where}: joined, {length} samples of {lengths[0]} + {lengths[1]}")


def _row(way: Way, found: Found) -> str:
    return (
        f"{way.name}, {found.files}, {found.refused}, {found.samples} ({found.frames:.2f}), {found.truth[0]:+} to "
        f"{found.truth[1]:+}, {found.content:.1e}, {found.cuts_refused} + {found.cuts_begun}, {found.joined_whole} + "
        f"{found.joined_refused}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the sweep; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the rates and channels to try, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of a way's name")
    chosen = parser.parse_args(arguments)
    if shutil.which("ffmpeg") is None:
        print("second_decoder: no ffmpeg on PATH; on Debian: apt install ffmpeg", file=sys.stderr)
        return 1
    random = np.random.default_rng(chosen.seed)
    print("way, files, refused, samples (frames) from ffmpeg, samples from what was written, largest difference, "
          "cuts refused + begun, joined whole + refused")  # fmt: skip
    faults, total = [], Found()
    with tempfile.TemporaryDirectory() as folder:
        for way in WAYS:
            if chosen.only not in way.name:
                continue
            found = Found()
            for rate, channels in itertools.product(RATES, CHANNELS):
                if random.random() < chosen.share:
                    seed = int(random.integers(1 << 30))
                    try_file(way, Path(folder), rate, channels, seed, found, 0.7, CUTS)
            print(_row(way, found), flush=True)
            faults += found.faults
            for name in ("files", "refused", "cuts_refused", "cuts_begun", "joined_whole", "joined_refused"):
                setattr(total, name, getattr(total, name) + getattr(found, name))
    print(f"in all: {total.files} files read by both, {total.refused} refused that ffmpeg reads; of {CUTS} cuts each, "
          f"{total.cuts_refused} refused and {total.cuts_begun} read to the cut; joined, {total.joined_whole} read "
          f"whole and {total.joined_refused} refused; {len(faults)} faults")  # fmt: skip
    print(*faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
