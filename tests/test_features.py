"""From recordings to log-mels: what is heard is what the file holds."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from earwitness.audio import decoding, extraction
from earwitness.audio.extraction import log_mel_of, one_thread
from earwitness.audio.frontend import FRONT_ENDS, VGGISH
from earwitness.audio.logmel import log_mel
from earwitness.core.errors import BadRecordingError, UsageError
from earwitness.data import loading
from earwitness.data.extraction import extract_log_mels
from tiny_sounds import LABELS, RATE, write_sounds

front_ends = pytest.mark.parametrize("front_end", FRONT_ENDS.values(), ids=FRONT_ENDS)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return write_sounds(tmp_path_factory.mktemp("sounds"), clips=3)


class Count:
    """A progress that counts."""

    def __init__(self) -> None:
        self.done = self.total = 0

    def task(self, description, total):
        from contextlib import contextmanager

        @contextmanager
        def counting():
            self.total += total
            yield self.advance

        return counting()

    def advance(self, steps: int) -> None:
        self.done += steps

    def say(self, line: str) -> None:
        raise AssertionError(line)


@front_ends
def test_a_files_log_mel_is_the_log_mel_of_its_samples(sounds, front_end):
    path = sounds / "high" / "take1.wav"
    clip = decoding.read(path, front_end.sample_rate)
    found = log_mel_of(path, front_end)
    expected = log_mel(front_end, torch.from_numpy(clip.samples)).numpy()
    assert found.dtype == np.float32
    assert found.shape == (front_end.frames(len(clip.samples)), front_end.bands)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@front_ends
@pytest.mark.parametrize("samples", [2, 100, 399, 400, 401, 559, 560, 2000])
def test_the_shortest_recordings_have_a_frame(tmp_path, front_end, samples):
    noise = 0.1 * np.random.default_rng(samples).standard_normal(samples).astype(np.float32)
    decoding.write_wav(tmp_path / "short.wav", noise, front_end.sample_rate)
    found = log_mel_of(tmp_path / "short.wav", front_end)
    assert found.shape == (max(front_end.frames(samples), front_end.frames(front_end.least_samples)), front_end.bands)
    read = decoding.read(tmp_path / "short.wav", front_end.sample_rate).samples
    padded = np.pad(read, (0, max(0, front_end.least_samples - samples)))
    np.testing.assert_allclose(found, log_mel(front_end, torch.from_numpy(padded)).numpy(), atol=1e-4)


@pytest.mark.parametrize("block", [0.011, 0.05, 0.3])
def test_the_length_of_blocks_does_not_matter(tmp_path, monkeypatch, block):
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    decoding.write_wav(tmp_path / "a.wav", noise, RATE)
    expected = log_mel_of(tmp_path / "a.wav", VGGISH)
    step = round(block * RATE)
    blocks = iter([noise[start : start + step] for start in range(0, RATE, step)])
    np.testing.assert_allclose(extraction.log_mel_of_blocks(blocks, VGGISH), expected, atol=1e-2)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_data_set_is_heard_in_its_order(sounds, workers):
    data = loading.load(sounds)
    heard, log_mels = extract_log_mels(data, VGGISH, workers=workers)
    assert [entry.name for entry in heard.recordings] == [entry.name for entry in data.recordings]
    assert len(log_mels) == 3 * len(LABELS)
    for recording, values in zip(heard.recordings, log_mels, strict=True):
        np.testing.assert_array_equal(values, log_mel_of(recording.path, VGGISH))


def test_bad_recordings_are_set_aside_and_the_rest_keeps_its_place(tmp_path):
    folder = write_sounds(tmp_path, clips=3)
    (folder / "high" / "take1.wav").write_bytes(b"nothing to hear")
    heard, log_mels = extract_log_mels(loading.load(folder), VGGISH)
    assert [entry.file for entry in heard.unusable] == ["high/take1.wav"]
    assert len(log_mels) == len(heard.recordings) == 8
    for recording, values in zip(heard.recordings, log_mels, strict=True):
        np.testing.assert_array_equal(values, log_mel_of(recording.path, VGGISH))
    with pytest.raises(BadRecordingError, match=r"take1\.wav"):
        extract_log_mels(loading.load(folder), VGGISH, strict=True)


def test_too_little_left_is_an_error_only_for_training(tmp_path):
    folder = write_sounds(tmp_path, clips=2)
    (folder / "high" / "take1.wav").write_bytes(b"nothing to hear")
    with pytest.raises(UsageError, match="one usable recording"):
        extract_log_mels(loading.load(folder), VGGISH)
    heard, log_mels = extract_log_mels(loading.load(folder), VGGISH, for_training=False)
    assert len(log_mels) == len(heard.recordings) == 5


def test_progress_counts_every_recording(sounds):
    count = Count()
    extract_log_mels(loading.load(sounds), VGGISH, progress=count)
    assert count.done == count.total == 9


def test_threads_are_given_back_even_after_a_failure():
    before = torch.get_num_threads()

    def fail():
        with one_thread():
            assert torch.get_num_threads() == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.get_num_threads() == before


def test_other_threads_keep_their_threads(sounds, monkeypatch):
    def refused(_number):
        raise AssertionError("the whole process would be changed")

    monkeypatch.setattr(torch, "set_num_threads", refused)
    before, seen = torch.get_num_threads(), []
    begun, over = threading.Event(), threading.Event()

    def work():
        with one_thread():
            begun.set()
            seen.append(torch.get_num_threads())
            over.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(60)
    assert torch.get_num_threads() == before
    over.set()
    thread.join()
    assert seen == [1]
    extract_log_mels(loading.load(sounds), VGGISH)
    assert torch.get_num_threads() == before


def test_missing_files_are_said(tmp_path):
    with pytest.raises(BadRecordingError):
        log_mel_of(tmp_path / "none.wav", VGGISH)
