"""Sound from maps: masks, levels, the sounds and their files, and the measures of how well they hold."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from earwitness.audio import decoding
from earwitness.audio.extraction import log_mel_of_blocks
from earwitness.audio.frontend import EFFICIENTAT, VGGISH
from earwitness.audio.loudness import Meter
from earwitness.audio.stft import Stft, apply_gains
from earwitness.core.errors import BadRecordingError, UsageError
from earwitness.core.files import read_json
from earwitness.data.synthetic.scenes import make
from earwitness.sonify import fidelity, levels, patches
from earwitness.sonify.fidelity import Row, advantages, fidelities
from earwitness.sonify.listening import SOUNDS, Listening
from earwitness.sonify.masks import Box, gains, smooth, strongest, triangles
from earwitness.sonify.writing import check_format, write_sound


def noise(frames: int, channels: int = 1, height: float = 0.1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, height, (frames, channels)).astype(np.float32)


def written(path, samples: np.ndarray, rate: int):
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


# ---- shares -------------------------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 999),
    share=st.floats(0.01, 1.0),
    shape=st.tuples(st.integers(1, 30), st.integers(1, 20)),
    cells=st.integers(1, 12),
    by=st.sampled_from(["area", "mass"]),
)
def test_a_share_is_met_exactly_and_holds_the_strongest(seed, share, shape, cells, by):
    random = np.random.default_rng(seed)
    values = random.choice(random.standard_normal(cells), shape).astype(np.float32)  # many are equal, as in coarse maps
    kept = strongest(values, share, by)
    positive = np.maximum(values, 0)
    total, got = (values.size, kept.sum()) if by == "area" else (positive.sum(), (kept * positive).sum())
    most = (values > 0).sum() if by == "area" else positive.sum()
    assert got == pytest.approx(min(share * total, most), rel=1e-4, abs=1e-4)
    assert (kept[values <= 0] == 0).all()
    order = np.argsort(values, axis=None)
    assert (np.diff(kept.ravel()[order]) >= 0).all()
    assert len(np.unique(kept[(kept > 0) & (kept < 1)])) <= 1


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1])
def test_no_share_is_refused(share):
    with pytest.raises(UsageError, match="cannot be kept"):
        strongest(np.ones((2, 2), dtype=np.float32), share)
    with pytest.raises(UsageError, match="by area or by mass"):
        strongest(np.ones((2, 2), dtype=np.float32), 0.5, "volume")


@pytest.mark.parametrize("front_end", [VGGISH, EFFICIENTAT])
@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_triangles_are_the_front_end_s_and_add_up(front_end, rate):
    clock = front_end.clock
    weights = triangles(clock, Stft.of(rate).frequencies)
    hertz = Stft.of(rate).frequencies
    low, high = clock.band_centre_hz([0, clock.bands - 1])
    np.testing.assert_allclose(weights.sum(axis=0)[(hertz >= low) & (hertz <= high)], 1.0, atol=1e-5)
    assert (weights[:, (hertz < clock.low_hz) | (hertz > clock.high_hz)] == 0).all()
    np.testing.assert_allclose(np.diag(triangles(clock, clock.band_centre_hz(np.arange(clock.bands)))), 1.0, atol=1e-5)


@pytest.mark.parametrize("front_end", [VGGISH, EFFICIENTAT])
@pytest.mark.parametrize("rate", [22_050, 48_000])
def test_what_is_kept_lies_where_the_mask_says_in_the_front_end_s_own_picture(front_end, rate):
    """The file's own rate on one side, the network's log-mel on the other."""
    clock = front_end.clock
    frames = clock.seconds_to_frame_count(2.0)
    first, last, low, high = frames // 3, frames // 2, clock.bands // 3, clock.bands // 2
    cells = np.zeros((frames, clock.bands), dtype=np.float32)
    cells[first:last, low:high] = 1.0
    mask = smooth(cells, clock.frame_centre_seconds(np.arange(frames)), clock, "a patch")
    assert mask.area == pytest.approx(cells.mean())
    grid, samples = Stft.of(rate), noise(2 * rate)
    kept = np.concatenate([part for _, part in apply_gains(grid, [samples], gains(mask, grid))])

    def seen(sound):
        at_rate = decoding.resample(sound[:, 0], rate, front_end.sample_rate)
        values = log_mel_of_blocks(iter([at_rate]), front_end)
        return np.exp(values / front_end.scale - front_end.shift) - front_end.offset

    whole, left = seen(samples), seen(kept)
    inside = np.s_[first + 3 : last - 3, low + 3 : high - 3]
    assert left[inside].sum() / whole[inside].sum() == pytest.approx(1.0, abs=0.02)
    outside = np.ones(left.shape, dtype=bool)
    outside[first - 5 : last + 5, low - 4 : high + 4] = False
    assert left[outside].sum() < 1e-3 * whole[outside].sum()


@pytest.mark.parametrize("label", ["dog", "rooster", "clock_tick"])
def test_the_true_mask_parts_a_known_event_from_its_background(label):
    """Signal-to-distortion ratios within the front end's bands, of an event that is no louder than the background."""
    scene, front_end = make(label, seed=5, snr_db=5.0), VGGISH

    def seen(sound):
        return np.exp(log_mel_of_blocks(iter([decoding.resample(sound, scene.sample_rate, 16_000)]), front_end))

    cells = (seen(scene.event) > seen(scene.background)).astype(np.float32)
    times = front_end.clock.frame_centre_seconds(np.arange(len(cells)))
    true, everything = (smooth(each, times, front_end.clock, "") for each in (cells, np.ones_like(cells)))
    event, background, whole = (
        fidelity.keep_of(each[:, None], scene.sample_rate, everything, 0.0)
        for each in (scene.event, scene.background, scene.samples)
    )
    kept = fidelity.keep_of(scene.samples[:, None], scene.sample_rate, true, 0.0)

    def sdr(truth, estimate):
        return 10 * np.log10(np.square(truth).sum() / np.square(truth - estimate).sum())

    assert sdr(event, kept) > sdr(event, whole) + 2
    assert sdr(background, whole - kept) > sdr(background, whole) + 3


# ---- boxes --------------------------------------------------------------------------------------------------------


def test_a_box_keeps_the_tone_in_it():
    rate = 32_000
    moments = np.arange(2 * rate) / rate
    tones = {hertz: 0.2 * np.sin(2 * np.pi * hertz * moments) for hertz in (300, 2_000, 9_000)}
    samples = sum(tones.values()).astype(np.float32)[:, None]
    grid = Stft.of(rate)
    kept = np.concatenate(
        [part for _, part in apply_gains(grid, [samples], gains(Box.parse("0.5-1.5,1000-4000"), grid))]
    )
    middle = slice(round(0.7 * rate), round(1.3 * rate))
    np.testing.assert_allclose(kept[middle, 0], tones[2_000][middle], atol=2e-3)
    assert np.abs(kept[: round(0.4 * rate)]).max() < 1e-5


@pytest.mark.parametrize("text", ["", "1-2", "2-1,3-4", "1-2,4-3", "a-b,c-d", "1-2,3-4,5-6", "1-2-3,4-5"])
def test_what_is_no_box_is_said(text):
    with pytest.raises(UsageError, match="box"):
        Box.parse(text)


# ---- levels -------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 99), height=st.floats(0.01, 5.0), sizes=st.lists(st.integers(1, 3_000), max_size=4))
def test_nothing_is_louder_than_the_ceiling(seed, height, sizes):
    samples = noise(4_000, 2, height, seed)
    cuts = np.cumsum(sizes)
    blocks = np.split(samples, cuts[cuts < len(samples)])
    held = np.concatenate(list(levels.limited(blocks, 8_000, 0.5)))
    assert held.shape == samples.shape
    assert np.abs(held).max() <= 0.5 + 1e-6
    np.testing.assert_allclose(held, np.concatenate(list(levels.limited([samples], 8_000, 0.5))), atol=1e-6)
    if np.abs(samples).max() <= 0.5:
        np.testing.assert_array_equal(held, samples)


def test_far_from_a_peak_nothing_changes():
    samples = noise(8_000, 1, 0.01)
    samples[4_000] = 3.0
    held = np.concatenate(list(levels.limited([samples], 8_000, 0.5)))
    np.testing.assert_array_equal(held[:3_900], samples[:3_900])
    np.testing.assert_array_equal(held[4_100:], samples[4_100:])


def test_ends_are_faded_in_any_blocks():
    samples = np.ones((1_000, 1), dtype=np.float32)
    whole = np.concatenate(list(levels.finished([samples], 1_000, 8_000, 0.0, limit=False)))
    parts = np.concatenate(list(levels.finished(np.split(samples, 10), 1_000, 8_000, 0.0, limit=False)))
    np.testing.assert_array_equal(whole, parts)
    assert whole[0] < 0.01
    assert (np.diff(whole[:80, 0]) > 0).all()
    np.testing.assert_array_equal(whole, whole[::-1])
    assert (whole[100:900] == 1.0).all()
    assert len(np.concatenate(list(levels.finished([samples[:1]], 1, 8_000, 0.0)))) == 1


def test_what_was_hidden_is_not_made_loud_again():
    original, almost_nothing, silence = Meter(8_000), Meter(8_000), Meter(8_000)
    original.see(noise(8_000))
    almost_nothing.see(noise(8_000, height=1e-5))
    silence.see(np.zeros((8_000, 1), dtype=np.float32))
    first, second, third = levels.matching_gains(original, [almost_nothing, silence])
    assert first == pytest.approx(levels.TARGET_LUFS - original.lufs)
    assert second == pytest.approx(first + levels.MOST_OVER_DB)
    assert third == 0.0


# ---- a listening --------------------------------------------------------------------------------------------------

BOX = Box(start_seconds=0.4, end_seconds=0.9, low_hz=200.0, high_hz=3_000.0)


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (44_100, 2), (96_000, 6)])
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_kept_and_removed_add_up_to_the_original_in_files(tmp_path, rate, channels, kind):
    samples = noise(rate + 7, channels, 0.1)
    listening = Listening.of(written(tmp_path / "some.wav", samples, rate), BOX)
    np.testing.assert_array_equal(listening.original, samples)
    np.testing.assert_allclose(listening.kept + listening.removed, samples, atol=1e-6)
    files = listening.write(tmp_path / "out", kind=kind, level="own").files
    sounds = [soundfile.read(path, dtype="float32", always_2d=True) for path in files]
    assert {each[1] for each in sounds} == {rate}
    original, kept, removed = (each[0] for each in sounds)
    assert original.shape == samples.shape
    np.testing.assert_allclose(kept + removed, original, atol=1e-6)
    inner = slice(rate // 50, -rate // 50)
    np.testing.assert_allclose(original[inner], samples[inner], atol=1e-6)
    assert np.sqrt((kept**2).mean()) > 0.01


def test_a_clipped_recording_adds_up_without_being_clipped_again(tmp_path):
    samples = np.clip(noise(16_000, 1, 3.0), -1, 1)
    listening = Listening.of(written(tmp_path / "loud.wav", samples, 16_000), BOX)
    assert np.abs(listening.removed).max() > 1  # taking a part out of what is clipped raises peaks
    original, kept, removed = (
        soundfile.read(path, always_2d=True)[0] for path in listening.write(tmp_path, level="own").files
    )
    np.testing.assert_allclose(kept + removed, original, atol=1e-6)


def test_matched_sounds_are_as_loud_and_none_is_clipped(tmp_path):
    samples = noise(2 * 16_000, 2, 0.3)
    listening = Listening.of(written(tmp_path / "some.wav", samples, 16_000), BOX)
    loudness = []
    for name in SOUNDS:
        meter = Meter(16_000)
        meter.see(listening.samples(name))
        loudness.append(meter.lufs)
        assert meter.peak <= levels.CEILING + 1e-6
    np.testing.assert_allclose(loudness, levels.TARGET_LUFS, atol=0.6)


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_how_it_was_made_stands_in_the_file_and_beside_it(tmp_path, kind):
    path = written(tmp_path / "some \N{GREEK SMALL LETTER ALPHA}.wav", noise(8_000), 8_000)
    out = Listening.of(path, BOX).write(tmp_path / "out", kind=kind)
    sheet = read_json(out.sheet)
    assert sheet["recording"] == path.name
    assert sheet["keep"]["box"] == {"seconds": [0.4, 0.9], "hertz": [200.0, 3_000.0]}
    assert [sheet["sounds"][name]["file"] for name in SOUNDS] == [each.name for each in out.files]
    for name, each in zip(SOUNDS, out.files, strict=True):
        with soundfile.SoundFile(each) as file:
            inside = json.loads(file.comment)
            assert file.subtype == "PCM_24"
        assert inside["sound"] == name
        assert {key: inside[key] for key in ("sha256", "keep", "gains_db")} == {
            key: sheet[key] for key in ("sha256", "keep", "gains_db")
        }


def test_a_name_that_another_recording_has_gets_the_next_number(tmp_path):
    for folder, seed in (("a", 0), ("b", 1)):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder / "some.wav", noise(8_000, seed=seed), 8_000)
    stems = []
    for folder in ("a", "b", "a"):
        out = Listening.of(tmp_path / folder / "some.wav", BOX).write(tmp_path / "out")
        stems.append(out.sheet.stem)
    other = Box(start_seconds=0.0, end_seconds=0.5, low_hz=0.0, high_hz=100.0)
    stems.append(Listening.of(tmp_path / "a" / "some.wav", other).write(tmp_path / "out").sheet.stem)
    assert stems == ["some-box", "some-box-2", "some-box", "some-box-3"]


def test_a_stretch_is_cut_out_to_the_sample(tmp_path):
    samples = noise(20_000, 2)
    listening = Listening.of(written(tmp_path / "some.wav", samples, 8_000), BOX, 0.25, 1.5)
    np.testing.assert_array_equal(listening.original, samples[2_000:12_000])
    assert listening.seconds == pytest.approx(1.25)
    with pytest.raises(UsageError, match="ends before 9 s"):
        _ = Listening.of(tmp_path / "some.wav", BOX, 9.0, 10.0).kept


def test_channels_come_as_they_are(tmp_path):
    samples = noise(30_000, 3)
    path = written(tmp_path / "some.wav", samples, 8_000)
    blocks = list(decoding.stream_channels(path, 1.0))
    np.testing.assert_array_equal(np.concatenate(blocks), samples)
    assert len(blocks) > 1
    written(tmp_path / "silent.wav", np.zeros((800, 2), dtype=np.float32), 8_000)
    with pytest.raises(BadRecordingError, match="silent"):
        list(decoding.stream_channels(tmp_path / "silent.wav"))


def test_hours_are_written_in_bounded_memory(tmp_path):
    import tracemalloc

    rate = 8_000

    def peak(minutes: int) -> int:
        path = tmp_path / f"{minutes}.wav"
        with soundfile.SoundFile(path, "w", rate, 1) as file:
            for minute in range(minutes):
                file.write(noise(60 * rate, seed=minute))
        listening = Listening.of(path, BOX)
        tracemalloc.start()
        listening.write(tmp_path / "out")
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert soundfile.info(tmp_path / "out" / f"{minutes}-box-kept.wav").frames == minutes * 60 * rate
        return size

    assert peak(12) < 1.3 * peak(2)


@pytest.mark.parametrize(
    ("kind", "rate", "channels", "frames", "says"),
    [
        ("mp3", 8_000, 1, 0, "wav or flac"),
        ("flac", 8_000, 9, 0, "at most 8 channels"),
        ("flac", 700_000, 1, 0, "655,350 Hz"),
        ("wav", 96_000, 6, 96_000 * 3_600, "4 GiB"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_before_the_work(kind, rate, channels, frames, says):
    with pytest.raises(UsageError, match=says):
        check_format(kind, rate, channels, frames)


def test_a_sound_is_written_whole_or_not_at_all(tmp_path):
    def broken():
        yield noise(100)
        raise BadRecordingError("x", "stops")

    with pytest.raises(BadRecordingError):
        write_sound(tmp_path / "a.wav", broken(), 8_000, 1, {})
    assert list(tmp_path.iterdir()) == []


# ---- patches ------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 99), area=st.floats(0.01, 1.0), shape=st.tuples(st.integers(4, 60), st.integers(4, 60)))
def test_patches_are_boxes_of_the_area(seed, area, shape):
    energy = np.random.default_rng(seed).exponential(size=shape)
    made = patches.random_patch(shape, area, seed), patches.loudest_patch(energy, area), patches.band_pass(energy, area)
    for patch in made:
        assert patch.mean() == pytest.approx(area, rel=1e-3)
        rows, columns = np.flatnonzero(patch.any(axis=1)), np.flatnonzero(patch.any(axis=0))
        box = patch[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (box == box[0, 0]).all()
    assert made[2].any(axis=1).all()


def test_the_loudest_patch_lies_on_the_loudest_sound():
    energy = np.full((50, 40), 0.01)
    energy[10:20, 5:13] = 1.0  # 80 of 2,000 cells, nearly a square
    patch = patches.loudest_patch(energy, 0.04)
    assert (patch * energy).sum() > 0.8 * 80
    band = patches.band_pass(energy, 8 / 40)
    np.testing.assert_array_equal(np.flatnonzero(band.any(axis=0)), np.arange(5, 13))
    places = {tuple(np.argwhere(patches.random_patch((50, 40), 0.1, seed))[0]) for seed in range(20)}
    assert len(places) > 10


# ---- measures -----------------------------------------------------------------------------------------------------


def row(recording: str, against: str, scores: tuple[float, float, float], best: tuple[str, str, str]) -> Row:
    original, kept, removed = scores
    return Row(
        recording=recording,
        start_seconds=0.0,
        label="dog",
        target="dog",
        method="lime",
        against=against,
        area=0.3,
        original=original,
        kept=kept,
        removed=removed,
        predicted=best[0],
        kept_predicted=best[1],
        removed_predicted=best[2],
    )


ROWS = [
    row("a", "", (0.8, 0.9, 0.1), ("dog", "dog", "rain")),
    row("b", "", (0.5, 0.25, 0.5), ("rain", "rain", "dog")),
    row("a", "random patch", (0.8, 0.4, 0.7), ("dog", "rain", "dog")),
    row("b", "random patch", (0.5, 0.5, 0.5), ("rain", "dog", "dog")),
]


def test_measures_are_those_of_the_papers():
    own, patch = fidelities(ROWS)
    assert (own.method, own.against, own.recordings) == ("lime", "", 2)
    assert own.kept.value == own.removed.value == 0.5
    assert own.increase.value == 0.5
    assert own.drop.value == pytest.approx((0 + 0.5) / 2)
    assert own.gain.value == pytest.approx((0.1 / 0.2 + 0) / 2)
    assert own.faithfulness.value == pytest.approx((0.7 + 0.0) / 2)
    assert own.input_fidelity.value == 1.0
    assert patch.input_fidelity.value == 0.0
    for measure in fidelity.MEASURES:
        found = getattr(own, measure)
        assert found.low <= found.value + 1e-9
        assert found.value <= found.high + 1e-9
        assert math.isfinite(found.low)


def test_advantages_are_paired_by_recording():
    (found,) = advantages(ROWS)
    assert (found.method, found.against) == ("lime", "random patch")
    assert found.kept.value == pytest.approx((1 - 1) / 2)
    assert found.removed.value == pytest.approx((1 + 0) / 2)
    assert found.faithfulness.value == pytest.approx((0.6 + 0.0) / 2)
