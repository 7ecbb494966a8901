from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earwitness.audio import containers, decoding, mpeg
from earwitness.core.errors import BadRecordingError, EarwitnessError

RATE = 16_000
# Name, format, subtype, largest error of coding a signal of peak 0.5 (None: lossy, only the level is compared).
FORMATS = [
    ("a.wav", "WAV", "PCM_U8", 1 / 127),
    ("a.wav", "WAV", "PCM_16", 2**-15),
    ("a.wav", "WAV", "PCM_24", 2**-23),
    ("a.wav", "WAV", "PCM_32", 2**-23),
    ("a.wav", "WAV", "FLOAT", 0.0),
    ("a.wav", "WAV", "DOUBLE", 0.0),
    ("a.WAV", "WAVEX", "PCM_16", 2**-15),
    ("a.wav", "RF64", "PCM_16", 2**-15),
    ("a.flac", "FLAC", "PCM_16", 2**-15),
    ("a.flac", "FLAC", "PCM_24", 2**-23),
    ("a.ogg", "OGG", "VORBIS", None),
    ("a.opus", "OGG", "OPUS", None),
    ("a.ogg", "OGG", "OPUS", None),
    ("a.mp3", "MP3", "MPEG_LAYER_III", None),
    ("a.aiff", "AIFF", "PCM_16", 2**-15),
    ("a.aif", "AIFF", "FLOAT", 0.0),
]
FORMAT_IDS = [f"{name}-{container}-{subtype}" for name, container, subtype, _ in FORMATS]


def tone(seconds: float = 0.5, rate: int = RATE, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Return a tone with noise, peak near 0.5, shape (n,) or (n, channels) with channels that differ."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal((len(time), channels)) * 0.03
    values = 0.4 * np.sin(2 * np.pi * 440 * time)[:, None] * (1 - 0.2 * np.arange(channels)) + noise
    return values.astype(np.float32)[:, 0] if channels == 1 else values.astype(np.float32)


def make(path: Path, samples: np.ndarray | None = None, rate: int = RATE, **how: str) -> Path:
    soundfile.write(path, tone() if samples is None else samples, rate, **how)
    return path


def refusal(path: Path | str) -> str:
    """Return the reason why a file is refused, after checking what holds for every refusal."""
    with pytest.raises(BadRecordingError) as read_error:
        decoding.read(path, 8000)
    with pytest.raises(BadRecordingError) as stream_error:
        list(decoding.stream(path, 8000))
    with pytest.raises(BadRecordingError) as inspect_error:
        decoding.inspect(path)
    reason = read_error.value.reason
    assert stream_error.value.reason == inspect_error.value.reason == reason
    message = str(read_error.value)
    assert "\n" not in message
    assert message.encode("utf-8")
    return reason


# ---- what must be read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "container", "subtype", "error"), FORMATS, ids=FORMAT_IDS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_gives_its_samples(tmp_path, name, container, subtype, error, channels):
    rate = 48_000 if subtype == "OPUS" else 44_100
    samples = tone(0.4, rate, channels)
    path = make(tmp_path / name, samples, rate, format=container, subtype=subtype)
    clip = decoding.read(path)
    mono = samples if channels == 1 else samples.mean(axis=1)
    assert clip.sample_rate == rate
    assert clip.samples.dtype == np.float32
    assert clip.samples.shape == mono.shape
    assert clip.seconds == pytest.approx(0.4)
    if error is None:
        assert np.corrcoef(clip.samples, mono)[0, 1] > 0.98
    else:
        assert np.abs(clip.samples - mono).max() <= error + 1e-7


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_a_tone_keeps_its_frequency_and_level_at_any_rate(tmp_path, rate):
    path = make(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate), rate, subtype="FLOAT")
    samples = decoding.read(path, RATE).samples
    assert len(samples) == RATE
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    middle = slice(2000, -2000)  # the filter rings at the ends
    assert np.abs(samples[middle] - expected[middle]).max() < 1e-3


def test_frames_of_many_channels_are_averaged(tmp_path):
    channels = np.random.default_rng(1).uniform(-0.5, 0.5, (3000, 7)).astype(np.float32)
    path = make(tmp_path / "a.wav", channels, subtype="FLOAT")
    np.testing.assert_allclose(decoding.read(path).samples, channels.mean(axis=1), atol=1e-7)
    assert decoding.inspect(path).channels == 7


def test_golden_waveforms(shared):
    golden = np.load(shared / "golden" / "mn04.npz")
    for name in ("dog", "helicopter"):
        clip = decoding.read(shared / "data" / "esc10" / str(golden[f"{name}_file"]), 32_000)
        assert clip.samples.shape == golden[f"{name}_waveform"].shape
        np.testing.assert_allclose(clip.samples, golden[f"{name}_waveform"], atol=1e-6)


def test_every_real_clip_is_whole(shared):
    clips = sorted((shared / "data" / "esc10").glob("*/*.ogg"))
    assert len(clips) == 398
    assert {containers.examine(clip).kind for clip in clips} == {"Ogg Vorbis"}


def test_frames_are_counted_by_decoding(tmp_path):
    path = make(tmp_path / "a.flac", tone(1.0))
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # a FLAC stream whose header leaves its length open, as pipes write it
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert len(decoding.read(path).samples) == RATE
    assert decoding.inspect(path).frames == RATE


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFF000])
def test_a_wav_from_a_pipe_with_its_size_left_open_is_whole(tmp_path, size):
    path = make(tmp_path / "a.wav")
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", size)
    path.write_bytes(data)
    assert len(decoding.read(path).samples) == len(tone())


def test_chunks_after_the_sound_do_no_harm(tmp_path):
    path = make(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert len(decoding.read(path).samples) == len(tone())


def id3v2(size: int) -> bytes:
    return b"ID3\x04\0\0" + bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("rate", [44_100, 22_050, 8_000])
@pytest.mark.parametrize("tags", ["none", "before", "after", "both"])
def test_mp3_of_all_rates_with_tags_is_whole(tmp_path, mode, rate, tags):
    path = make(tmp_path / "a.mp3", tone(1.0, rate), rate, bitrate_mode=mode)
    before = id3v2(300) if tags in ("before", "both") else b""
    after = b"TAG" + bytes(125) if tags in ("after", "both") else b""
    path.write_bytes(before + path.read_bytes() + after)
    assert containers.examine(path).kind == "MP3"
    assert len(decoding.read(path).samples) == rate


def test_mp3_without_a_header_frame_is_whole_and_its_cut_is_found(tmp_path):
    path = make(tmp_path / "a.mp3", tone(1.0, 44_100), 44_100, bitrate_mode="CONSTANT")
    data = path.read_bytes()
    first = mpeg.frame_length(data, 0)
    path.write_bytes(data[first:])
    assert containers.examine(path).kind == "MP3"
    path.write_bytes(data[first:-10])
    assert "truncated in the middle of its last frame" in refusal(path)


@pytest.mark.parametrize(
    "name", ["ünï cödé.wav", "日本語.wav", "with space.wav", "-dash.wav", "100%.wav", "a.b.c.wav", "nothing"]
)
def test_unusual_names_are_read(tmp_path, name):
    path = make(tmp_path / name, format="WAV")
    assert len(decoding.read(path, RATE).samples) == len(tone())


def test_a_link_to_a_recording_is_read(tmp_path):
    make(tmp_path / "a.wav")
    (tmp_path / "b.wav").symlink_to(tmp_path / "a.wav")
    assert np.array_equal(decoding.read(tmp_path / "b.wav").samples, decoding.read(tmp_path / "a.wav").samples)


def test_values_beyond_full_scale_are_kept(tmp_path):
    path = make(tmp_path / "a.wav", 3 * tone(), subtype="FLOAT")
    assert decoding.read(path).samples.max() == pytest.approx(3 * tone().max())


def test_a_quiet_recording_is_not_called_silent(tmp_path):
    path = make(tmp_path / "a.wav", tone() * 1e-4, subtype="PCM_24")
    assert 0 < np.abs(decoding.read(path).samples).max() < 1e-4


def test_one_sample_that_differs_is_enough_not_to_be_constant(tmp_path):
    samples = np.full(1000, 0.25)
    samples[500] = 0.5
    assert len(decoding.read(make(tmp_path / "a.wav", samples)).samples) == 1000


# ---- stream equals read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "container", "subtype", "error"), FORMATS, ids=FORMAT_IDS)
def test_stream_equals_read_in_every_format(tmp_path, name, container, subtype, error):
    rate = 48_000 if subtype == "OPUS" else 44_100
    path = make(tmp_path / name, tone(0.7, rate, 2), rate, format=container, subtype=subtype)
    for to_rate in (None, RATE):
        blocks = list(decoding.stream(path, to_rate, block_seconds=0.05))
        assert len(blocks) > 3
        assert np.array_equal(np.concatenate(blocks), decoding.read(path, to_rate).samples)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.integers(2, 60_000),
    rates=st.sampled_from([(44_100, 16_000), (16_000, 16_000), (8_000, 32_000), (11_025, 16_000), (192_000, 16_000)]),
    block_seconds=st.floats(1e-4, 3.0),
    channels=st.integers(1, 3),
)
def test_stream_equals_read_for_any_block(tmp_path, frames, rates, block_seconds, channels):
    samples = np.random.default_rng(frames).uniform(-0.9, 0.9, (frames, channels)).astype(np.float32)
    path = make(tmp_path / "a.wav", samples, rates[0], subtype="FLOAT")
    block_seconds = max(block_seconds, frames / rates[0] / 200)  # at most 200 blocks, for time's sake
    streamed = np.concatenate([np.zeros(0, np.float32), *decoding.stream(path, rates[1], block_seconds)])
    assert np.array_equal(streamed, decoding.read(path, rates[1]).samples)


def test_stream_of_a_long_recording_stays_in_bounded_memory(tmp_path):
    path = tmp_path / "long.flac"
    seconds, block = 240, tone(10.0, 44_100, 2)
    with soundfile.SoundFile(path, "w", 44_100, 2, format="FLAC") as file:
        for _ in range(seconds // 10):
            file.write(block)
    tracemalloc.start()
    count = sum(len(values) for values in decoding.stream(path, RATE))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == seconds * RATE
    assert count * 4 > 15e6  # what all samples would take
    assert peak < 9e6


def test_blocks_are_the_callers_own(tmp_path):
    path = make(tmp_path / "a.wav", tone(1.0), subtype="FLOAT")
    kept = []
    for block in decoding.stream(path, None, block_seconds=0.1):
        kept.append(block.copy())
        block[:] = 0.0
    assert np.array_equal(np.concatenate(kept), tone(1.0))


# ---- resample and write ------------------------------------------------------------------------------------------


def test_resample_is_soxr_hq():
    samples = tone(0.3, 44_100)
    assert np.array_equal(decoding.resample(samples, 44_100, RATE), soxr.resample(samples, 44_100, RATE, quality="HQ"))
    assert np.array_equal(decoding.resample(samples, RATE, RATE), samples)
    assert decoding.resample(samples.astype(np.float64), 44_100, RATE).dtype == np.float32


@pytest.mark.parametrize("channels", [1, 2])
def test_write_wav_and_read_back(tmp_path, channels):
    samples = tone(0.2, RATE, channels)
    decoding.write_wav(tmp_path / "new" / "a.wav", samples, RATE, subtype="FLOAT")
    back = decoding.read(tmp_path / "new" / "a.wav").samples
    np.testing.assert_allclose(back, samples if channels == 1 else samples.mean(axis=1), atol=1e-7)
    decoding.write_wav(tmp_path / "new" / "a.wav", samples, RATE)
    assert soundfile.info(tmp_path / "new" / "a.wav").subtype == "PCM_16"
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["a.wav"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.wav"
    decoding.write_wav(path, tone(), RATE)
    before = path.read_bytes()
    with pytest.raises((EarwitnessError, ValueError)):
        decoding.write_wav(path, tone(), RATE, subtype="NO_SUCH")
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.wav"]


def test_integer_formats_clip_instead_of_wrapping(tmp_path):
    decoding.write_wav(tmp_path / "a.wav", np.array([0.0, 1.5, -1.5, 0.5]), RATE)
    np.testing.assert_allclose(decoding.read(tmp_path / "a.wav").samples, [0.0, 1.0, -1.0, 0.5], atol=1e-4)


# ---- facts -------------------------------------------------------------------------------------------------------


def test_facts_of_a_recording(tmp_path):
    samples = np.concatenate([tone(0.5), np.zeros(RATE // 4, np.float32)])
    path = make(tmp_path / "a.wav", samples, subtype="PCM_24")
    facts = decoding.inspect(path)
    assert (facts.kind, facts.subtype, facts.sample_rate, facts.channels) == ("WAV", "PCM_24", RATE, 1)
    assert facts.frames == len(samples)
    assert facts.seconds == 0.75
    assert facts.peak == pytest.approx(np.abs(samples).max(), abs=1e-6)
    assert facts.trailing_silence == pytest.approx(0.25, abs=1e-9)
    blocks, same = decoding.follow(path, 8000, list)
    assert same == facts
    assert np.array_equal(np.concatenate(blocks), decoding.read(path, 8000).samples)
    assert decoding.follow(path, 8000, lambda _blocks: "deaf") == ("deaf", facts)


@given(
    sound=st.integers(1, 30_000),
    silence=st.integers(0, 30_000),
)
@settings(max_examples=30)
def test_trailing_silence_is_found_wherever_it_starts(sound, silence):
    mono = np.concatenate([np.full(sound, 0.1), np.zeros(silence)]).astype(np.float32)
    assert decoding.last_sound(mono) == sound - 1
    assert decoding.last_sound(np.zeros(silence, np.float32)) == -1


def test_trailing_silence_over_many_blocks(tmp_path):
    path = make(tmp_path / "a.flac", np.concatenate([tone(1.0), np.zeros(25 * RATE, np.float32)]))
    assert decoding.inspect(path).trailing_silence == pytest.approx(25.0, abs=1e-3)


def test_equal_sound_has_equal_hashes_whatever_the_container(tmp_path):
    values = np.round(tone() * 20_000).astype(np.int16)
    one = decoding.inspect(make(tmp_path / "a.wav", values))
    two = decoding.inspect(make(tmp_path / "b.flac", values))
    twice = decoding.inspect(make(tmp_path / "c.wav", np.stack([values, values], axis=1)))
    slower = decoding.inspect(make(tmp_path / "d.wav", values, rate=8000))
    other = decoding.inspect(make(tmp_path / "e.wav", values[::-1]))
    assert one.sound_sha256 == two.sound_sha256 == twice.sound_sha256
    assert len({one.sound_sha256, slower.sound_sha256, other.sound_sha256}) == 3
    assert len({one.file_sha256, two.file_sha256, twice.file_sha256}) == 3


# ---- what must be refused ----------------------------------------------------------------------------------------


def test_missing(tmp_path):
    assert refusal(tmp_path / "a.wav") == "does not exist; check the path"


def test_empty(tmp_path):
    (tmp_path / "a.wav").touch()
    assert "is empty (0 bytes)" in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.wav", {"subtype": "PCM_16"}),
        ("a.wav", {"subtype": "FLOAT"}),
        ("a.aiff", {}),
        ("a.ogg", {"subtype": "VORBIS"}),
        ("a.opus", {"format": "OGG", "subtype": "OPUS"}),
    ],
)
def test_zero_samples(tmp_path, name, how):
    rate = 48_000 if name == "a.opus" else RATE
    assert "holds no samples" in refusal(make(tmp_path / name, np.zeros(0), rate, **how))


def test_zero_samples_in_flac(tmp_path):
    data = bytearray(make(tmp_path / "a.flac").read_bytes())
    data[4] |= 0x80  # the first metadata block becomes the last
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(data[:42])
    assert "holds no samples" in refusal(tmp_path / "a.flac")


def test_zero_samples_in_mp3(tmp_path):
    (tmp_path / "a.mp3").write_bytes(id3v2(500))
    assert "holds no samples" in refusal(tmp_path / "a.mp3")


@pytest.mark.parametrize(("name", "container", "subtype", "error"), FORMATS, ids=FORMAT_IDS)
def test_truncated_anywhere(tmp_path, name, container, subtype, error):
    rate = 48_000 if subtype == "OPUS" else 44_100
    path = make(tmp_path / name, tone(0.6, rate), rate, format=container, subtype=subtype)
    data = path.read_bytes()
    places = np.random.default_rng(0).integers(len(data) // 10, len(data) - 4, 25).tolist()
    for length in [*places, len(data) - 1, len(data) - 2, len(data) - 3]:
        path.write_bytes(data[:length])
        assert "truncated" in refusal(path)


def test_truncation_names_both_sizes(tmp_path):
    path = make(tmp_path / "a.wav", tone(1.0), subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-2000])
    assert refusal(path) == (
        "is truncated: its header promises 32,000 bytes of sound, 30,000 are there; copy or download it again"
    )


def test_truncated_between_ogg_pages(tmp_path):
    path = make(tmp_path / "a.ogg", np.random.default_rng(0).uniform(-0.5, 0.5, RATE * 4))
    data = path.read_bytes()
    path.write_bytes(data[: data.rfind(b"OggS")])
    assert "the page that ends the stream is missing" in refusal(path)


def test_truncated_between_mp3_frames(tmp_path):
    path = make(tmp_path / "a.mp3", tone(1.0, 44_100), 44_100)
    data, position = path.read_bytes(), 0
    for _ in range(10):
        position += mpeg.frame_length(data, position)
    path.write_bytes(data[:position])
    assert "its header promises" in refusal(path)


def test_truncated_between_flac_frames(tmp_path):
    path = make(tmp_path / "a.flac", tone(2.0))
    data = bytearray(path.read_bytes())
    data[22:26] = struct.pack(">I", 10 * RATE)  # a header that promises more than the frames hold
    path.write_bytes(data)
    assert refusal(path).startswith("is truncated: its header promises 160,000 samples, 32,000 are there")


def test_damaged_flac(tmp_path):
    path = make(tmp_path / "a.flac", tone(2.0))
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 2, len(data) // 2 + 40):
        data[place] ^= 0xFF
    path.write_bytes(data)
    assert "damaged" in refusal(path)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"These are words, not sound.\n" * 50, "is not a sound file"),
        (bytes(5000), "is not a sound file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "is not a sound file"),
        ("Zwei Zeilen\nText".encode("utf-16"), "is not a sound file"),
        (np.random.default_rng(0).bytes(20_000), "is not a sound file"),
        (b"R", "is not a sound file"),
        (b"RIFF\x24\0\0\0AVI LIST" + bytes(100), "is not a sound file"),
        (b".snd" + bytes(500), "is AU, which is not read here; convert it"),
        (b"MThd\0\0\0\6" + bytes(500), "is MIDI"),
        (b"OggS\0\2" + bytes(20) + b"\1\x10Speex   " + bytes(100), "is Ogg without Vorbis"),
    ],
)
def test_not_audio(tmp_path, data, expected):
    (tmp_path / "a.wav").write_bytes(data)
    assert expected in refusal(tmp_path / "a.wav")


HEADS = [b"", b"RIFF0000WAVE", b"OggS\0", b"fLaC", b"ID3", b"\xff\xfb\x90\x64", b"FORM0000AIFF"]
HEADS += [b"RIFF0000WAVEfmt \x10\0\0\0", b"RF64\xff\xff\xff\xffWAVEds64", b"OggS\0\2" + bytes(20) + b"\1\x13OpusHead"]


@given(data=st.binary(min_size=1, max_size=300), head=st.sampled_from(HEADS))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_crash_the_examination(tmp_path, data, head):
    path = tmp_path / "a.bin"
    path.write_bytes(head + data)
    with pytest.raises(BadRecordingError) as error:
        containers.examine(path)
    assert error.value.reason


@pytest.mark.parametrize(
    ("name", "container", "subtype", "kind", "right"),
    [
        ("a.wav", "FLAC", "PCM_16", "FLAC", "a.flac"),
        ("a.flac", "WAV", "PCM_16", "WAV", "a.wav"),
        ("a.mp3", "OGG", "VORBIS", "Ogg Vorbis", "a.ogg"),
        ("a.wav", "MP3", "MPEG_LAYER_III", "MP3", "a.mp3"),
        ("a.ogg", "AIFF", "PCM_16", "AIFF", "a.aiff"),
        ("a.opus", "OGG", "VORBIS", "Ogg Vorbis", "a.ogg"),
        ("a.txt", "WAV", "PCM_16", "WAV", "a.wav"),
    ],
)
def test_wrong_extension(tmp_path, name, container, subtype, kind, right):
    path = make(tmp_path / name, format=container, subtype=subtype)
    assert refusal(path) == f"holds {kind} sound although its name ends in {path.suffix}; rename it to {right}"
    path.rename(tmp_path / right)
    assert len(decoding.read(tmp_path / right).samples) == len(tone())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 2])
def test_nan_and_infinity(tmp_path, value, channels):
    samples = np.stack([tone(), tone(seed=1)], axis=1)[:, :channels]
    samples[4000, 0] = value
    path = make(tmp_path / "a.wav", samples, subtype="FLOAT")
    assert refusal(path) == "holds NaN or infinite samples, the first 0.250 s in; export it again"


def test_doubles_beyond_float32(tmp_path):
    path = make(tmp_path / "a.wav", tone().astype(np.float64) * 1e200, subtype="DOUBLE")
    assert "infinite samples" in refusal(path)
    assert "as large as" in refusal(make(tmp_path / "b.wav", tone() * 1e20, subtype="FLOAT"))


@pytest.mark.parametrize(
    ("name", "how"),
    [("a.wav", {}), ("a.wav", {"subtype": "PCM_U8"}), ("a.flac", {}), ("a.ogg", {}), ("a.mp3", {}), ("a.aiff", {})],
)
def test_silent(tmp_path, name, how):
    assert "is silent from start to end" in refusal(make(tmp_path / name, np.zeros(RATE), **how))


def test_channels_that_cancel(tmp_path):
    path = make(tmp_path / "a.wav", np.stack([tone(), -tone()], axis=1), subtype="FLOAT")
    assert "cancel each other" in refusal(path)


@pytest.mark.parametrize("value", [0.5, -0.25])
def test_constant(tmp_path, value):
    path = make(tmp_path / "a.wav", np.full(30 * RATE, value))
    assert refusal(path).startswith(f"is constant ({value:g} throughout)")


def wav_with_rate(path: Path, rate: int) -> Path:
    data = bytearray(make(path).read_bytes())
    data[24:28] = struct.pack("<I", rate)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("rate", [0, 1, 99, 768_001, 2_000_000_000, 4_000_000_000])
def test_absurd_sample_rates(tmp_path, rate):
    reason = refusal(wav_with_rate(tmp_path / "a.wav", rate))
    assert "sample rate" in reason
    assert "possible: 100 to 768,000 Hz" in reason


@pytest.mark.parametrize("rate", [100, 768_000])
def test_the_outermost_sample_rates(tmp_path, rate):
    assert decoding.inspect(wav_with_rate(tmp_path / "a.wav", rate)).sample_rate == rate


def test_header_without_channels(tmp_path):
    data = bytearray(make(tmp_path / "a.wav").read_bytes())
    data[22:24] = bytes(2)
    (tmp_path / "a.wav").write_bytes(data)
    assert "cannot be decoded as WAV" in refusal(tmp_path / "a.wav")


def become_ordinary_user() -> None:
    """Drop root's right to read everything."""
    if os.geteuid() == 0:
        os.seteuid(65534)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX permissions")
def test_unreadable(open_folder):
    path = make(open_folder / "a.wav")
    path.chmod(0)
    become_ordinary_user()
    assert refusal(path) == "cannot be read: permission denied; change its permissions or owner"


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX permissions")
def test_in_a_closed_folder(open_folder):
    (open_folder / "closed").mkdir()
    path = make(open_folder / "closed" / "a.wav")
    path.parent.chmod(0)
    become_ordinary_user()
    assert "permission denied" in refusal(path)


def test_a_failing_disk(tmp_path, monkeypatch):
    path = make(tmp_path / "a.wav")

    def fail(*_args: object, **_more: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(containers.os, "open", fail)
    assert refusal(path) == "cannot be opened (Input/output error)"


def test_a_folder(tmp_path):
    (tmp_path / "a.wav").mkdir()
    assert refusal(tmp_path / "a.wav").startswith("is a folder")


def test_a_dangling_link(tmp_path):
    (tmp_path / "a.wav").symlink_to("gone.wav")
    assert refusal(tmp_path / "a.wav") == "is a link to 'gone.wav', which does not exist; mend or remove the link"


def test_links_in_a_circle(tmp_path):
    (tmp_path / "a.wav").symlink_to("b.wav")
    (tmp_path / "b.wav").symlink_to("a.wav")
    assert refusal(tmp_path / "a.wav").startswith("cannot be opened")


def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    assert refusal(tmp_path / "a.wav").startswith("is a pipe, socket or device")


def test_a_device():
    assert refusal("/dev/zero").startswith("is a pipe, socket or device")


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_a_name_that_is_not_utf8(tmp_path):
    source = make(tmp_path / "a.wav")
    name = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    os.rename(os.fsencode(source), name)  # noqa: PTH104
    path = Path(os.fsdecode(name))
    assert path.exists()
    assert refusal(path) == "has a name that is not valid UTF-8; rename it"
    with pytest.raises(BadRecordingError, match=r"caf\\xe9\.wav: has a name"):
        decoding.read(path)


def test_names_that_no_file_can_have(tmp_path):
    assert refusal(tmp_path / ("x" * 300 + ".wav")).startswith("cannot be opened")
    assert refusal(tmp_path / "a\0b.wav").startswith("cannot be opened")


def test_refused_files_are_closed(tmp_path):
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc")
    path = make(tmp_path / "a.wav", np.zeros(RATE))
    refusal(path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        refusal(path)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
