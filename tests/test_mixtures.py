"""Mixtures: the truth is the event's, what is left without it is the rest, events are the loudest stretch."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio import decoding
from earwitness.audio.artefacts import rms
from earwitness.audio.frontend import EFFICIENTAT, VGGISH
from earwitness.data.recordings import Recording
from earwitness.data.synthetic import scenes
from earwitness.explainers.attribution import Target
from earwitness.trust.scoreboard import mixtures
from earwitness.trust.scoreboard.cases import ELSEWHERE, NO_PLACE, NOT_PREDICTED, Case, check
from explain_toys import ToyClassifier

RATE = VGGISH.sample_rate
STAGE = mixtures.Stage(VGGISH, scenes.CLASSES, 96)


def burst(seconds: float, at: float, level: float = 0.3, total: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.001, round(total * RATE)).astype(np.float32)
    first, last = round(at * RATE), round((at + seconds) * RATE)
    samples[first:last] = rng.normal(0, level, last - first)
    return samples


@settings(max_examples=20)
@given(st.floats(0.12, 0.39), st.floats(0.0, 2.5))
def test_event_is_the_loudest_stretch_without_its_faint_ends(seconds, at):
    found = mixtures.loudest(burst(seconds, at), RATE, round(0.4 * RATE))
    assert len(found) / RATE == pytest.approx(seconds, abs=0.021)
    assert rms(found) > 0.2


def test_silence_has_no_event():
    assert mixtures.loudest(np.zeros(RATE, np.float32), RATE, 4000).size == 0
    assert mixtures.loudest(np.zeros(0, np.float32), RATE, 4000).size == 0


def test_looped_sound_has_no_step_where_it_begins_anew():
    slope = np.linspace(0, 1, 100, dtype=np.float32)
    assert np.abs(np.diff(mixtures.looped(slope, 450))).max() < 0.011
    assert (mixtures.looped(slope, 50) == slope[:50]).all()


@pytest.mark.parametrize("front_end", [VGGISH, EFFICIENTAT], ids=lambda each: each.name)
@pytest.mark.parametrize("frames", [96, 200])
def test_made_mixtures_hold_the_truth(front_end, frames):
    stage = mixtures.Stage(front_end, scenes.CLASSES, frames)
    for case in (case for group in islice(mixtures.made(stage), 2) for case in group):
        assert case.log_mel.shape == case.truth.shape == case.without.shape == (frames, front_end.bands)
        # Where the event has no share, taking it away changes nothing; where it has all, it changes much.
        change = np.abs(case.log_mel - case.without) / front_end.scale / front_end.power
        assert change[case.truth < 1e-4].max() < 0.1
        assert np.median(change[case.truth > 0.9]) > 1.0
        assert 0.0 < case.share < 0.5


def test_an_event_in_silence_has_nothing_beside_it_and_its_evidence_is_where_it_sounds():
    silence = VGGISH.silence
    groups = list(islice(mixtures.made(STAGE, silence=True), 4))
    assert len({group[0].target for group in groups}) == 4
    for (case,) in groups:
        assert case.kind == mixtures.ALONE
        np.testing.assert_allclose(case.without, silence, atol=1e-4)
        sounds = case.log_mel > silence + 1e-3
        assert 0.05 < sounds.mean() < 0.95
        # Only what sounds is evidence, and what is evidence is louder than what is not.
        assert case.truth[~sounds].max() < 1e-3
        assert np.median(case.log_mel[case.truth > 0.9]) > np.median(case.log_mel[sounds & (case.truth < 0.1)])
        assert 0.0 < case.share < 0.5


def test_two_events_are_each_others_rest_and_apart_in_time():
    groups = [group for group in islice(mixtures.made(STAGE), 4) if len(group) == 2]
    for first, second in groups:
        assert first.kind == second.kind == mixtures.TWO_EVENTS
        assert (first.log_mel == second.log_mel).all()
        assert first.target != second.target
        assert (first.truth + second.truth).max() <= 1.0 + 1e-6
        middles = [(case.truth.sum(axis=1) * np.arange(96)).sum() / case.truth.sum() for case in (first, second)]
        assert min(middles) < 48 < max(middles)
        assert first.level_db == -second.level_db


def test_kinds_and_classes_take_turns_and_the_seed_decides():
    first, same, other = (list(islice(mixtures.made(STAGE, seed=seed), 4)) for seed in (0, 0, 1))
    assert [len(group) for group in first] == [1, 2] * 2
    assert len({group[0].target for group in first}) == 2
    assert all((a[0].log_mel == b[0].log_mel).all() for a, b in zip(first, same, strict=True))
    assert (first[0][0].log_mel != other[0][0].log_mel).any()


def test_level_is_the_events_over_the_rest():
    stem = mixtures.made_stem("dog", STAGE, 3)
    found = [mixtures.over(stem, stem.beside, level, "k", STAGE, np.random.default_rng(0)) for level in (0.0, 20.0)]
    assert found[0].share < found[1].share
    assert found[0].target == Target(scenes.CLASSES.index("dog"))


def test_recordings_are_mixed_by_class_and_unknown_classes_passed_over(tmp_path):
    recordings = []
    for number, label in enumerate(("dog", "rain", "cow")):
        path = tmp_path / f"{label}.wav"
        decoding.write_wav(path, burst(0.3, 0.5 + number), RATE)
        recordings.append(Recording(path=path, name=path.name, label=label))
    groups = list(islice(mixtures.recorded(STAGE, recordings), 6))
    kinds = {case.kind for group in groups for case in group}
    assert kinds == {mixtures.OVER_SOUND, mixtures.TWO_EVENTS}
    assert {STAGE.classes[case.target.index] for group in groups for case in group} == {"dog", "rain"}
    assert list(mixtures.recorded(STAGE, recordings[:1])) == []


def test_cases_that_are_not_heard_in_their_evidence_cannot_be_judged():
    import torch

    class Sum(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, x):
            loud = x.mean(dim=(1, 2)) * self.weight
            return torch.stack([loud, -loud, 0 * loud - 50], dim=1)

    classifier = ToyClassifier(Sum(), ("a", "b", "c"))
    loud, quiet = np.full((96, 64), 3.0, np.float32), np.full((96, 64), -3.0, np.float32)
    box, nowhere = np.zeros((96, 64), np.float32), np.zeros((96, 64), np.float32)
    box[10:30] = 1.0
    cases = [
        Case(name="1", kind="k", log_mel=loud, real_frames=96, target=Target(0), truth=box, without=quiet),
        Case(name="2", kind="k", log_mel=loud, real_frames=96, target=Target(0), truth=box, without=loud),
        Case(name="3", kind="k", log_mel=loud, real_frames=96, target=Target(1), truth=box, without=quiet),
        Case(name="4", kind="k", log_mel=loud, real_frames=96, target=Target(0), truth=nowhere, without=quiet),
    ]
    assert [each.reason for each in check(classifier, cases)] == ["", ELSEWHERE, NOT_PREDICTED, NO_PLACE]
    assert check(classifier, []) == []
