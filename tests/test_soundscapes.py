"""Made sounds: the truth about them agrees with what is heard, they are reproducible, and they are not trivial."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio import decoding
from earwitness.audio.frontend import EFFICIENTAT, VGGISH, FrontEnd
from earwitness.audio.logmel import log_mel
from earwitness.audio.timefreq import segment_starts
from earwitness.core.errors import BadRecordingError, EarwitnessError, UsageError
from earwitness.data import loading
from earwitness.data.synthetic import corpus, events
from earwitness.data.synthetic.corpus import evidence_mask, write_dataset
from earwitness.data.synthetic.events import SAMPLE_RATE
from earwitness.data.synthetic.scenes import CLASSES, Scene, make

FRONT_ENDS = [VGGISH, EFFICIENTAT]


def spectrogram(samples: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """Return what the front end gives for samples at the made sounds' rate."""
    resampled = decoding.resample(samples, SAMPLE_RATE, front_end.sample_rate)
    return log_mel(front_end, torch.from_numpy(np.asarray(resampled, dtype=np.float32))).numpy()


def scene_of(event: np.ndarray, background: np.ndarray) -> Scene:
    event, background = event.astype(np.float32), background.astype(np.float32)
    return Scene(
        samples=event + background,
        sample_rate=SAMPLE_RATE,
        label="dog",
        event=event,
        background=background,
        events=(),
        snr_db=0.0,
        seed=0,
    )


def tone_burst(start: float, end: float, hertz: float, length: float = 2.0) -> np.ndarray:
    moment = np.arange(round(length * SAMPLE_RATE)) / SAMPLE_RATE
    return np.where((moment >= start) & (moment < end), 0.1 * np.sin(2 * np.pi * hertz * moment), 0.0)


def hiss(size: int, level: float, seed: int = 0) -> np.ndarray:
    return level * np.random.default_rng(seed).standard_normal(size)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("made") / "sounds", clips_per_class=2, seed=3)


# ---- one clip ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", CLASSES)
def test_scene_is_sound(label):
    scene = make(label, seed=11)
    assert scene.samples.dtype == scene.event.dtype == scene.background.dtype == np.float32
    assert np.array_equal(scene.samples, scene.event + scene.background)
    assert 0.05 < np.abs(scene.samples).max() < 1.0
    assert 2.0 <= scene.samples.size / scene.sample_rate <= 3.0
    assert scene.label == label
    assert 5.0 <= scene.snr_db <= 20.0
    # In steps of a 16-bit file, so that writing loses nothing.
    assert np.array_equal(scene.event * 32768, np.rint(scene.event * 32768))


@pytest.mark.parametrize("label", CLASSES)
def test_event_sounds_in_its_spans_and_in_its_band(label):
    scene = make(label, seed=5)
    inside = np.zeros(scene.samples.size, dtype=bool)
    for event in scene.events:
        assert 0.0 <= event.start_seconds < event.end_seconds <= scene.samples.size / SAMPLE_RATE
        assert 0.0 <= event.low_hz < event.high_hz <= SAMPLE_RATE / 2
        inside[round(event.start_seconds * SAMPLE_RATE) : round(event.end_seconds * SAMPLE_RATE)] = True
    energy = scene.event.astype(np.float64) ** 2
    share = 0.4 if label == "crackling_fire" else 0.9  # its parts are the crackles; the roar goes on between them
    assert energy[inside].sum() > share * energy.sum()
    assert scene.background[~inside].any() or inside.all()


@pytest.mark.parametrize("label", ["dog", "clock_tick", "crying_baby", "rooster", "sneezing"])
def test_event_rests_between_its_parts(label):
    scene = make(label, seed=5)
    assert len(scene.events) > 1
    for before, after in zip(scene.events[:-1], scene.events[1:], strict=True):
        assert after.start_seconds > before.start_seconds
        middle = round((before.end_seconds + after.start_seconds) / 2 * SAMPLE_RATE)
        if after.start_seconds - before.end_seconds > 0.02:
            assert np.abs(scene.event[middle - 50 : middle + 50]).max() < 0.02 * np.abs(scene.event).max()


def test_clock_ticks_evenly_and_fire_does_not():
    def unevenness(label: str, seed: int) -> float:
        gaps = np.diff([e.start_seconds for e in make(label, seed, seconds=3.0).events])
        return float(np.std(gaps) / np.mean(gaps))

    assert max(unevenness("clock_tick", seed) for seed in range(8)) < 0.02
    assert min(unevenness("crackling_fire", seed) for seed in range(8)) > 0.4


@pytest.mark.parametrize("label", CLASSES)
def test_same_seed_same_sound_and_other_seed_other_sound(label):
    first, again = make(label, seed=4, take=1), make(label, seed=4, take=1)
    assert first.samples.tobytes() == again.samples.tobytes()
    assert first.events == again.events
    assert first.samples.tobytes() != make(label, seed=5, take=1).samples.tobytes()
    assert first.samples.tobytes() != make(label, seed=4, take=2).samples.tobytes()


def test_takes_share_the_source_and_sources_differ():
    def period(seed: int, take: int) -> float:
        starts = [e.start_seconds for e in make("clock_tick", seed, take).events]
        return float(np.median(np.diff(starts)))

    assert period(1, 0) == pytest.approx(period(1, 1), rel=0.01)
    assert len({round(period(seed, 0), 3) for seed in range(6)}) == 6


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(CLASSES), st.integers(0, 2**40), st.floats(1.0, 4.0), st.floats(-10.0, 30.0), st.integers(0, 3))
def test_any_length_and_level_is_kept(label, seed, seconds, snr_db, take):
    scene = make(label, seed, take, seconds=seconds, snr_db=snr_db)
    assert scene.samples.size == round(seconds * SAMPLE_RATE)
    assert scene.snr_db == snr_db
    assert scene.events
    assert np.isfinite(scene.samples).all()
    assert 0.0 < np.abs(scene.samples).max() < 1.0


@pytest.mark.parametrize("label", ["chainsaw", "sea_waves", "rain"])
@pytest.mark.parametrize("snr_db", [0.0, 15.0])
def test_snr_is_what_was_asked(label, snr_db):
    scene = make(label, seed=2, snr_db=snr_db)  # these sound from end to end, so no span matters

    def octaves(samples: np.ndarray) -> float:
        hertz = np.fft.rfftfreq(samples.size, 1 / SAMPLE_RATE)
        power = np.abs(np.fft.rfft(samples.astype(np.float64))) ** 2
        soft_edges = 1.0 / (1.0 + (125.0 / np.maximum(hertz, 1.0)) ** 4) / (1.0 + (hertz / 7500.0) ** 4)
        return float((power * np.maximum(hertz, 20.0) * soft_edges).sum())

    assert 10 * np.log10(octaves(scene.event) / octaves(scene.background)) == pytest.approx(snr_db, abs=0.2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"label": "cat", "seed": 0}, "'cat'"),
        ({"label": "dog", "seed": -1}, "-1"),
        ({"label": "dog", "seed": 0, "take": -2}, "-2"),
        ({"label": "dog", "seed": 0, "seconds": 0.5}, "0.5"),
        ({"label": "dog", "seed": 0, "seconds": float("nan")}, "nan"),
        ({"label": "dog", "seed": 0, "snr_db": float("inf")}, "inf"),
    ],
)
def test_wrong_requests_are_refused(arguments, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        make(**arguments)


def test_buzz_is_a_sum_of_equal_harmonics():
    pitch = np.full(SAMPLE_RATE // 4, 1000.0)
    phase = np.cumsum(pitch) / SAMPLE_RATE
    expected = sum(2.0 * np.cos(2 * np.pi * k * phase) for k in range(1, 15)) / np.sqrt(28.0)
    assert events.buzz(pitch) == pytest.approx(expected, abs=1e-6)


# ---- the truth on a grid -----------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(FRONT_ENDS), st.floats(0.1, 1.2), st.floats(0.1, 0.5), st.floats(300.0, 6000.0))
def test_tone_burst_lies_in_its_cells(front_end, start, length, hertz):
    clock = front_end.clock
    event = tone_burst(start, start + length, hertz)
    # The hiss lies well above the Hann window's side lobes of the tone, also where it happens to dip.
    mask = evidence_mask(scene_of(event, hiss(event.size, 5e-2)), clock, 196)
    assert mask.shape == (196, clock.bands)
    band = int(clock.hz_to_band(hertz))
    first, last = (int(f) for f in clock.seconds_to_frame([start, start + length]))
    assert mask[first + 2 : last - 1, band].min() > 0.9  # a window inside the burst
    assert mask[: first - 1].max() < 0.1  # a window (2.5 frames) outside it
    assert mask[last + 3 :].max(initial=0.0) < 0.1
    # Beyond the bands that its 25 ms window leaks into (ten of its bins of 40 Hz), only background.
    far = np.abs(clock.band_centre_hz(np.arange(clock.bands)) - hertz) > 0.25 * hertz + 400.0
    assert mask[first + 3 : last - 2, far].max() < 0.2


@pytest.mark.parametrize("front_end", FRONT_ENDS, ids=lambda f: f.name)
@pytest.mark.parametrize("label", CLASSES)
def test_mask_equals_the_front_ends_own_ratio(front_end, label):
    """The mask from the stems at 32 kHz is the ratio of what the front end itself makes of each stem."""
    scene = make(label, seed=8)
    # At full level and without the offset in the logarithm, so that quiet cells count too.
    exact = dataclasses.replace(front_end, offset=1e-12)
    powers = [
        np.exp(spectrogram(stem, exact).astype(np.float64) / front_end.scale - front_end.shift) ** (2 / front_end.power)
        for stem in (scene.event, scene.background)
    ]
    expected = powers[0] / (powers[0] + powers[1])
    mask = evidence_mask(scene, front_end.clock, len(expected))
    audible = powers[0] > 1e-4 * powers[0].max()
    audible[:3] = audible[-3:] = False  # one front end mirrors the clip's ends, evidence does not
    assert audible.mean() > 0.02
    difference = np.abs(mask - expected)[audible]
    assert difference.mean() < 0.08  # the most where a sum of magnitudes over a comb differs from a sum of powers
    assert np.corrcoef(mask[audible], expected[audible])[0, 1] > 0.95


def test_mask_of_known_ratios():
    silence = np.zeros(SAMPLE_RATE)
    noise = hiss(SAMPLE_RATE, 0.05)
    half = evidence_mask(scene_of(noise, noise), VGGISH.clock, 90)
    assert half[2:-2] == pytest.approx(np.full((86, 64), 0.5), abs=0.01)
    quarter = evidence_mask(scene_of(noise, np.sqrt(3.0) * noise), VGGISH.clock, 90)
    assert quarter[2:-2] == pytest.approx(np.full((86, 64), 0.25), abs=0.01)
    assert evidence_mask(scene_of(noise, silence), VGGISH.clock, 90)[2:-2].min() > 0.9
    assert not evidence_mask(scene_of(silence, noise), VGGISH.clock, 90).any()
    assert not evidence_mask(scene_of(silence, silence), VGGISH.clock, 90).any()


def test_mask_beyond_the_end_is_empty_and_the_start_does_not_depend_on_it():
    scene = make("rain", seed=1, seconds=1.0)
    long, short = (evidence_mask(scene, VGGISH.clock, frames) for frames in (150, 60))
    assert not long[102:].any()
    assert long[:60] == pytest.approx(short, abs=1e-3)


@pytest.mark.parametrize("label", CLASSES)
def test_most_segments_hold_evidence(label):
    held = []
    for seed in range(6):
        scene = make(label, seed)
        frames = VGGISH.frames(scene.samples.size // 2)
        mask = evidence_mask(scene, VGGISH.clock, frames)
        held += [(mask[s : s + 96] > 0.5).mean() > 0.005 for s in segment_starts(frames, 96, 75.0)]
    assert np.mean(held) > 0.7


# ---- data sets ---------------------------------------------------------------------------------------------------


def test_data_set_is_read_with_folds_and_groups(written, tmp_path):
    found = loading.load(written)
    assert found.classes == tuple(sorted(CLASSES))
    assert len(found.recordings) == 2 * len(CLASSES)
    assert all(recording.group for recording in found.recordings)
    # Two clips a class are too few for each fold to hold most classes.
    more = loading.load(write_dataset(tmp_path / "more", clips_per_class=8, seed=3))
    assert all(recording.group and recording.fold for recording in more.recordings)
    assert not found.unusable


def test_names_tell_fold_source_and_take(tmp_path):
    takes = list(corpus.takes(40, seed=0, number=2))
    assert len(takes) == len(set(takes)) == 40
    folds = {source: {f for f, s, _ in takes if s == source} for _, source, _ in takes}
    assert all(len(f) == 1 for f in folds.values())
    assert set(np.bincount([f for f, _, _ in takes])[1:]) <= {7, 8, 9}
    assert any(take == 1 for _, _, take in takes)
    others = {source for _, source, _ in corpus.takes(40, seed=0, number=3)}
    assert not others & set(folds)


@pytest.mark.parametrize("label", CLASSES)
def test_a_written_clip_is_read_back_as_it_was_made(written, label):
    for wav in sorted((written / label).iterdir()):
        assert re.fullmatch(r"[1-5]-\d{6}-[AB]\.wav", wav.name)
        scene = corpus.load(wav)
        made = make(label, scene.seed, scene.take)
        assert np.array_equal(scene.samples, made.samples)
        assert np.array_equal(scene.event, made.event)
        assert np.array_equal(scene.background, made.background)
        assert (scene.events, scene.snr_db, scene.label) == (made.events, made.snr_db, label)
        masks = [evidence_mask(source, VGGISH.clock, 96) for source in (wav, made)]
        assert np.array_equal(*masks)


def test_same_seed_same_bytes(written, tmp_path):
    again = write_dataset(tmp_path / "again", clips_per_class=2, seed=3)
    files = {p.relative_to(written): p.read_bytes() for p in written.rglob("*") if p.is_file()}
    assert len(files) == 2 * 2 * len(CLASSES) + 1
    assert files == {p.relative_to(again): p.read_bytes() for p in again.rglob("*") if p.is_file()}
    assert [p.name for p in tmp_path.iterdir()] == ["again"]


class Tally:
    """Progress that counts."""

    def __init__(self):
        self.steps, self.totals = 0, []

    def task(self, description, total):
        self.totals.append(total)
        return self

    def __enter__(self):
        return self.advance

    def __exit__(self, *_):
        return None

    def advance(self, steps):
        self.steps += steps

    def say(self, line):
        raise AssertionError(line)


@pytest.fixture
def small(tmp_path, monkeypatch) -> Path:
    """A data set of two classes and two clips, cheap to write again."""
    monkeypatch.setattr(corpus, "CLASSES", ("clock_tick", "dog"))
    return write_dataset(tmp_path / "small", clips_per_class=1, seed=0)


def test_a_whole_data_set_is_left_as_it_is(small):
    (small / "dog" / ".DS_Store").write_bytes(b"left by a file browser")
    before = {p: p.stat().st_mtime_ns for p in small.rglob("*.wav")}
    tally = Tally()
    assert write_dataset(small, clips_per_class=1, seed=0, progress=tally) == small
    assert tally.totals == []
    assert before == {p: p.stat().st_mtime_ns for p in small.rglob("*.wav")}


def test_another_or_damaged_data_set_of_ours_is_replaced(small):
    tally = Tally()
    write_dataset(small, clips_per_class=2, seed=0, progress=tally)
    assert (tally.totals, tally.steps) == ([4], 4)
    assert len(list(small.rglob("*.wav"))) == 4
    victim = min(small.rglob("*.wav"))
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-100])
    write_dataset(small, clips_per_class=2, seed=0)
    assert victim.read_bytes() == whole
    assert [p.name for p in small.parent.iterdir()] == ["small"]


def test_an_empty_folder_is_filled(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "CLASSES", ("dog",))
    (tmp_path / "empty").mkdir()
    assert len(list(write_dataset(tmp_path / "empty", clips_per_class=1).rglob("*.wav"))) == 1


@pytest.mark.parametrize("kind", ["files", "file", "other manifest", "own sound among ours"])
def test_what_is_not_ours_is_not_touched(small, tmp_path, kind):
    folder = tmp_path / "mine"
    if kind == "files":
        folder.mkdir()
        (folder / "thesis.txt").write_text("years of work")
    elif kind == "file":
        folder.write_text("years of work")
    elif kind == "other manifest":
        (folder / ".evidence").mkdir(parents=True)
        (folder / ".evidence" / "soundscapes.json").write_text(json.dumps({"made_by": "someone else"}))
    else:
        folder = small
        (small / "dog" / "mine.wav").write_bytes(b"years of work")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(UsageError, match="name a new folder"):
        write_dataset(folder, clips_per_class=1, seed=9)
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}


def test_nothing_is_left_when_writing_fails(small, monkeypatch):
    before = {p: p.read_bytes() for p in small.parent.rglob("*") if p.is_file()}

    def full(*_arguments, **_keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoding.soundfile, "write", full)
    with pytest.raises(EarwitnessError, match="No space left"):
        write_dataset(small, clips_per_class=2, seed=0)
    assert before == {p: p.read_bytes() for p in small.parent.rglob("*") if p.is_file()}


@pytest.mark.parametrize(("clips", "seed"), [(0, 0), (10_001, 0), (1, -1), (1, 2**32)])
def test_wrong_numbers_are_refused(tmp_path, clips, seed):
    with pytest.raises(UsageError, match="must be from"):
        write_dataset(tmp_path / "x", clips_per_class=clips, seed=seed)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["missing", "cut", "text", "foreign", "pickle"])
def test_damaged_evidence_is_named(small, damage):
    wav = min((small / "dog").iterdir())
    evidence = corpus.evidence_path(wav)
    if damage == "missing":
        evidence.unlink()
    elif damage == "cut":
        evidence.write_bytes(evidence.read_bytes()[:3000])
    elif damage == "text":
        evidence.write_text("not a zip")
    elif damage == "pickle":
        np.savez(evidence, event=np.array([{}], dtype=object))
    else:
        soundfile.write(wav, np.full(SAMPLE_RATE, 0.1) * np.sin(np.arange(SAMPLE_RATE)), SAMPLE_RATE)
    with pytest.raises(BadRecordingError, match="evidence"):
        evidence_mask(wav, VGGISH.clock, 96)


# ---- difficulty --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_average_spectra_tell_something_but_not_enough():
    """A nearest-mean classifier on average log-mel spectra: above chance (10 %), well under 75 % of files."""
    learnt, heard = (
        np.array([[spectrogram(make(label, s).samples, VGGISH).mean(axis=0) for s in seeds] for label in CLASSES])
        for seeds in (range(100, 120), range(200, 210))
    )
    spread = learnt.reshape(-1, 64).std(axis=0)
    means = learnt.mean(axis=1)
    distance = (((heard[:, :, None] - means) / spread) ** 2).sum(axis=-1)  # (classes, clips, classes)
    accuracy = float((distance.argmin(axis=-1) == np.arange(len(CLASSES))[:, None]).mean())
    assert 0.2 < accuracy < 0.75
