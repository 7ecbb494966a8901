"""Two minutes with three calls at known times: every one is found within a segment, and none is explained elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

import earwitness as ew
import tiny_run
from earwitness.audio import decoding
from earwitness.audio.artefacts import rms
from earwitness.explainers.findings import LongExplanation
from earwitness.inspection.detections import MOST_EXPLAINED, wanted
from earwitness.inspection.files import score_file
from earwitness.inspection.model import Model
from earwitness.models.detections import Detection, detect
from earwitness.trust.scoreboard.mixtures import loudest

SECONDS, APART = 120.0, 10.0
CALL_SECONDS = 2.0
RECORDINGS = 10
Call = tuple[str, float, float]


def two_minutes(path: Path, calls: Sequence[tuple[str, np.ndarray]], noise: np.ndarray, rate: int, seed: int):
    """Write calls at times drawn anew into noise, far apart; return each with its first and last second."""
    random = np.random.default_rng(seed)
    room = SECONDS - APART * len(calls)
    starts = np.sort(random.uniform(0.0, room, len(calls))) + APART * np.arange(len(calls)) + 2.0
    placed: list[Call] = []
    for start, (name, samples) in zip(starts, calls, strict=True):
        first = round(start * rate)
        noise[first : first + len(samples)] += samples
        placed.append((name, start, start + len(samples) / rate))
    decoding.write_wav(path, noise / max(1.0, float(np.abs(noise).max())), rate)
    return placed


def found_and_explained(model: Model, path: Path) -> tuple[tuple[Detection, ...], list[tuple[Detection, float, float]]]:
    """Return what was detected, and what of it is explained, with its segment's first and last second."""
    scored = score_file(model.classifier, path)
    found = detect(scored, model.classifier.activation)
    chosen = wanted(scored, found, (), MOST_EXPLAINED)
    starts = scored.clock.frame_start_seconds(scored.start_frames)
    return found, [(each, float(starts[each.row]), float(starts[each.row]) + model.segment_seconds) for each in chosen]


def check(model: Model, path: Path, calls: Sequence[Call], names: Callable[[str], set[str]], others: set[str]) -> None:
    """Check that each call is found within a segment, and that its class is explained at such a call alone.

    Parameters
    ----------
    names
        From a call's name to the classes that are right for it.
    others
        Classes that may be explained anywhere: what the noise is predicted as.
    """
    found, explained = found_and_explained(model, path)
    length = model.segment_seconds
    for name, first, end in calls:
        mine = [each for each in found if each.class_name in names(name)]
        assert any(abs(each.start_seconds - first) <= length and abs(each.end_seconds - end) <= length for each in mine)
        assert any(
            each.class_name in names(name) and start < end and stop > first for each, start, stop in explained
        ), f"{name} at {first:.1f} s is not explained"
    for each, start, stop in explained:
        at = {kind for name, first, end in calls if start < end and stop > first for kind in names(name)}
        assert each.class_name in at | others, f"{each.class_name} at {start:.1f} s"


# ---- made sounds, a small network ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return tiny_run.make(tmp_path_factory.mktemp("made"))


CLICK, HISS, LOW = tiny_run.CLASSES


def made(run: Path, path: Path, seed: int) -> list[Call]:
    """Write two minutes of a low tone with clicks and two hisses in it."""

    def read(name: str, seconds: float):
        samples = decoding.read(run.parent / "data" / name, tiny_run.RATE).samples
        return np.resize(samples, round(seconds * tiny_run.RATE)).astype(np.float64)

    random = np.random.default_rng([seed, 1])
    names = random.permutation([CLICK, HISS, HISS])
    files = {CLICK: "click/0.wav", HISS: "hiss/0.wav"}
    calls = [(str(name), 2 * read(files[str(name)], random.uniform(1.5, CALL_SECONDS))) for name in names]
    return two_minutes(path, calls, read("low/0@home.wav", SECONDS + 3.0) / 4, tiny_run.RATE, seed)


@pytest.mark.parametrize("seed", range(RECORDINGS))
def test_made_calls_are_found_and_explained_where_they_are(run, tmp_path, seed):
    calls = made(run, tmp_path / "a.wav", seed)
    check(ew.load_model(run, overlap=75.0), tmp_path / "a.wav", calls, lambda name: {name}, {LOW})


def test_a_mask_as_long_as_a_call_takes_it_out_of_the_mean_of_two_minutes(run, tmp_path):
    calls = made(run, tmp_path / "a.wav", 0)
    found = ew.explain(tmp_path / "a.wav", run, whole=True, classes=[HISS], verdicts=False, progress=False)
    assert isinstance(found.answer, LongExplanation)
    ((line,),) = found.answer.timelines
    hidden = [found.answer.clock.frame_start_seconds(each.hidden).tolist() for each in line.moments]
    for name, first, end in calls:
        mine = [moment for moment, (low, high) in zip(line.moments, hidden, strict=True) if low < end and high > first]
        assert len(mine) == (name == HISS)  # a line that names a call, and no line that names another
        for moment in mine:
            assert moment.score > 0.6
            assert moment.without < 0.3
            falls = [float(each.lost.max()) for each in moment.pieces]
            assert len(falls) > 1
            assert falls[0] > 2 * falls[-1]  # what a small mask cannot do


# ---- real recordings, AudioSet's tagger ---------------------------------------------------------------------------

TAGS = {
    "dog": {"Dog", "Bark", "Yip", "Howl", "Bow-wow", "Growling", "Whimper (dog)"},
    "rooster": {"Chicken, rooster", "Crowing, cock-a-doodle-doo", "Fowl", "Cluck"},
}
WIDER = {"Animal", "Domestic animals, pets", "Livestock, farm animals, working animals", "Bird"}
RATE = 32_000
NOISE, LOUD = 0.003, 0.1


def noise_of(seconds: float, seed: int):
    return NOISE * np.random.default_rng([seed, 2]).standard_normal(round(seconds * RATE))


@pytest.fixture(scope="module")
def tagger(shared) -> Model:
    weights = shared / "weights" / "mn04_as_mAP_432.pt"
    if not weights.is_file():
        pytest.skip("no weights of the tagger")
    return ew.load_model("mn04", weights=weights, segment_seconds=5.0, overlap=50.0)


@pytest.fixture(scope="module")
def calls(shared, tagger, tmp_path_factory) -> dict[str, list[np.ndarray]]:
    """Calls of the held-out fold that the tagger names when it gets each alone in five seconds of the same noise."""
    folder, alone = shared / "data" / "esc10", tmp_path_factory.mktemp("calls") / "alone.wav"
    if not folder.is_dir():
        pytest.skip("no ESC-10")
    found: dict[str, list[np.ndarray]] = {}
    for name in TAGS:
        for path in sorted((folder / name).glob("5-*.ogg")):
            call = loudest(decoding.read(path, RATE).samples, RATE, round(CALL_SECONDS * RATE)).astype(np.float64)
            call *= LOUD / rms(call)
            samples = noise_of(5.0, 0)
            samples[RATE : RATE + len(call)] += call
            decoding.write_wav(alone, samples / max(1.0, float(np.abs(samples).max())), RATE)
            scored = score_file(tagger.classifier, alone)
            if max(scored.scores[0, scored.classes.index(tag)] for tag in TAGS[name] if tag in scored.classes) > 0.5:
                found.setdefault(name, []).append(call)
    assert min(len(each) for each in found.values()) >= 3
    return found


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(RECORDINGS))
def test_real_calls_are_found_and_explained_where_they_are(tagger, calls, tmp_path, seed):
    random = np.random.default_rng([seed, 3])
    names = [str(name) for name in random.permutation(["rooster", "dog", "dog"])]
    drawn = {name: list(random.permutation(len(calls[name]))) for name in TAGS}
    mine = [(name, calls[name][drawn[name].pop()]) for name in names]
    placed = two_minutes(tmp_path / "a.wav", mine, noise_of(SECONDS, seed), RATE, seed)
    check(tagger, tmp_path / "a.wav", placed, lambda name: TAGS[name] | WIDER, {"Silence", "White noise", "Static"})
