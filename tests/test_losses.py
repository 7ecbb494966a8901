"""What a model cannot use of a recording is measured, and said where it is most of it."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

import earwitness as ew
import tiny_run
from command import earwitness
from earwitness.audio import decoding
from earwitness.audio.losses import Losses, percent
from earwitness.core.files import read_json
from earwitness.models.registry import BACKBONES, highest_frequencies

RATE = 192_000


def tone(hertz: float, rate: int = RATE, seconds: float = 1.0, level: float = 0.25) -> np.ndarray:
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def lost(samples, rate: int, *edges: float, block: int = 10_000) -> Losses:
    losses = Losses(edges)
    samples = np.asarray(samples, dtype=np.float32).reshape(len(samples), -1)
    for start in range(0, len(samples), block):
        part = samples[start : start + block]
        losses.see(part, part.mean(axis=1), rate)
    return losses


# ---- above -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000, 192_000, 256_000, 384_000])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.75, 1.0])
def test_the_share_of_two_tones_is_known(rate, share):
    low, high = tone(3_000, rate), tone(18_000, rate)
    found = dict(lost(np.sqrt(1 - share) * low + np.sqrt(share) * high, rate, 7_500.0, 15_000.0, 21_000.0).above)
    assert found[7_500.0] == pytest.approx(share, abs=5e-3)
    assert found[15_000.0] == pytest.approx(share, abs=5e-3)
    assert found[21_000.0] == pytest.approx(0.0, abs=5e-3)


@pytest.mark.parametrize("block", [700, 1024, 4_321, 10**6])
def test_white_noise_has_its_energy_everywhere(block):
    noise = np.random.default_rng(0).normal(0, 0.1, RATE)
    assert dict(lost(noise, RATE, 15_000.0, block=block).above)[15_000.0] == pytest.approx(1 - 15 / 96, abs=0.02)


def test_a_short_click_is_seen_wherever_it_lies():
    for start in (0, 500, 1_000, RATE - 300):
        samples = np.zeros(RATE)
        samples[start : start + 200] = (np.hanning(200) * tone(47_000)[:200])[: RATE - start]
        samples += tone(1_000, level=1e-5)
        assert lost(samples, RATE, 15_000.0).above[0][1] > 0.99


def test_an_offset_is_no_sound():
    assert lost(tone(40_000, level=0.01) + 0.5, RATE, 15_000.0, block=RATE).above[0][1] > 0.999
    assert lost(tone(400, level=0.01) + 0.5, RATE, 15_000.0, block=RATE).above[0][1] < 0.001


def test_nothing_lies_above_half_the_rate():
    assert lost(tone(9_000, 20_000), 20_000, 15_000.0).above == ((15_000.0, 0.0),)


def test_a_share_that_is_not_the_whole_never_reads_so():
    assert [percent(share) for share in (0.5, 0.99999, 1.0)] == ["50.00 %", "99.99 %", "100.00 %"]


def test_facts_and_stream_measure_the_same(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(40_000, seconds=25) + tone(1_000, seconds=25, level=0.1), RATE)
    facts = decoding.inspect(tmp_path / "a.wav", (15_000.0,))
    losses = Losses((15_000.0,))
    for _ in decoding.stream(tmp_path / "a.wav", 32_000, losses=losses):
        pass
    assert facts.above == losses.above
    assert facts.above[0][1] == pytest.approx(0.0625 / 0.0725, abs=1e-3)


# ---- channels that cancel ----------------------------------------------------------------------------------------


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, 44_100)


@pytest.mark.parametrize(
    ("channels", "share"),
    [
        ([noise(1), -noise(1)], 1.0),
        ([noise(1), -0.9 * noise(1)], 0.99724),
        ([noise(1), 0.1 * noise(2) - noise(1)], 0.9975),
        ([noise(1), -noise(1), noise(2), -noise(2)], 1.0),
        ([noise(1), noise(1)], 0.0),
        ([noise(1), noise(2)], 0.0),
        ([noise(1), 0 * noise(1)], 0.0),
        ([noise(number) for number in range(8)], 0.0),
        ([noise(1), *[0 * noise(1)] * 7], 0.0),
        ([noise(1) + 0.3, noise(1) - 0.3], 0.0),  # offsets cancel, the sound does not
        ([0.3 + noise(1), 0.3 - noise(1)], 1.0),
        ([noise(1)], 0.0),
    ],
)
@pytest.mark.parametrize("block", [1_000, 10**6])
def test_channels_that_cancel(channels, share, block):
    assert lost(np.stack(channels, axis=1), 44_100, block=block).cancelled == pytest.approx(share, abs=2e-4)


# ---- said --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bats(tmp_path_factory):
    place = tmp_path_factory.mktemp("bats")
    for label, hertz in (("noctule", 22e3), ("pipistrelle", 47e3)):
        (place / label).mkdir()
        for number in range(4):
            call = tone(hertz + 100 * number) + tone(1_000, level=0.001 * (number + 1))
            soundfile.write(place / label / f"{number}.wav", call, RATE)
    left, right = noise(5), noise(6)
    (place / "wind").mkdir()
    soundfile.write(place / "wind" / "0.wav", np.stack([left, 0.05 * right - left], axis=1) * 0.5, 44_100)
    soundfile.write(place / "wind" / "1.wav", tone(500, 44_100), 44_100)
    return place


def test_data_names_the_worst_and_the_models(bats):
    left = earwitness("data", bats)
    lines = [line for line in left.out.splitlines() if line.startswith("warning: ")]
    assert left.code == 0
    assert lines == [
        "warning: 8 of 10 recordings hold most of their energy above 15 kHz, lost to mn04: noctule/0.wav "
        "(99.99 %), noctule/1.wav (99.99 %), pipistrelle/0.wav (99.99 %), and 5 more; slow the sound down first "
        "(tenfold, frequencies are a tenth), or use another model",
        "warning: 9 of 10 recordings hold most of their energy above 7.5 kHz, lost to vggish and compact: "
        + lines[1].partition("compact: ")[2],
        "warning: 1 of 10 recordings lose most of their energy in the mean of their channels, which cancel: wind/0.wav "
        "(99.93 %); keep one channel only",
    ]


def test_training_evaluating_and_explaining_say_it(bats, tmp_path):
    run = tmp_path / "run"
    trained = earwitness("train", bats, "--backbone", "compact", "--epochs", 1, "--out", run)
    line = "9 of 10 recordings hold most of their energy above 7.5 kHz, lost to compact: "
    assert f"earwitness: warning: {line}" in trained.err
    assert any(each.startswith(line) for each in read_json(run / "run.json")["split"]["warnings"])
    measured = earwitness("evaluate", run, "--overlap", 0, "--out", tmp_path / "again")
    assert "earwitness: warning: 2 of 3 recordings hold most of their energy above 7.5 kHz" in measured.err
    for whole in ((), ("--whole",)):
        quick = ("--no-verdicts", "--method", "occlusion:mask=50%,stride=50%")
        words = ("--run", run, "--out", tmp_path / "out", *quick, *whole)
        explained = earwitness("explain", bats / "noctule" / "0.wav", bats / "wind" / "1.wav", *words)
        said = [each for each in explained.err.splitlines() if "warning" in each and "trained on" not in each]
        assert said == [
            f"earwitness: warning: {bats}/noctule/0.wav: 99.99 % of its energy lies above 7.5 kHz, lost to the "
            "model; slow the sound down first (tenfold, frequencies are a tenth), or use another model"
        ]


def test_explanations_carry_it(bats, tmp_path):
    tiny_run.make(tmp_path)
    model = ew.load_model(tmp_path / "run")
    explain = {"methods": "gradcam", "verdicts": False, "progress": False}
    (note,) = ew.explain(bats / "noctule" / "1.wav", model, **explain).notes
    assert note.startswith("99.99 % of its energy lies above 7.5 kHz")
    assert ew.explain(bats / "wind" / "1.wav", model, **explain).notes == ()
    cancelled = ew.explain(bats / "wind" / "0.wav", model, **explain).notes[-1]
    assert cancelled == "its channels cancel: 99.93 % of the energy is lost in their mean; keep one channel only"


def test_the_edges_are_those_of_the_backbones():
    assert highest_frequencies() == {15_000.0: "mn04", 7_500.0: "vggish and compact"}
    assert set(highest_frequencies()) == {each.front_end.high_hz for each in BACKBONES.values()}
