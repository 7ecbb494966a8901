"""Audits: a classifier that leans on a trace is found out, one that does not is not accused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from earwitness.artefacts import ARTEFACTS
from earwitness.counterfactuals import COUNTERFACTUALS
from earwitness.errors import EarwitnessError
from earwitness.logmel import VGGISH
from earwitness.trust.audit import Audit, Sounding, audit, giveaways

CLASSES = ("quiet", "loud", "marked")
RATE = VGGISH.sample_rate


@dataclass(frozen=True)
class Rule:
    """A classifier that answers by a rule on log-mel segments (n, frames, bands)."""

    rule: object
    front_end: object = VGGISH
    classes: tuple[str, ...] = CLASSES
    segment_frames: int = 96
    overlap: float = 0.0
    segment_seconds: float = 0.96

    def probabilities(self, values):
        answers = np.asarray(self.rule(values), dtype=np.int64)
        return torch.from_numpy(np.where(np.eye(3)[answers] > 0, 0.9, 0.05)).float()


def sounds(artefact: str | None = None, seconds: float = 2.0) -> list[Sounding]:
    """Eight recordings a class; those of the last class carry a trace."""
    listed = []
    for number in range(24):
        label = number % 3
        samples = np.random.default_rng(number).normal(0.0, 0.05, round(RATE * seconds)).astype(np.float32)
        if label == 2 and artefact:
            samples = ARTEFACTS[artefact].put_in(samples, RATE)
        listed.append(Sounding(f"{CLASSES[label]}/{number}.wav", label, samples))
    return listed


def audited(rule, recordings, **options) -> Audit:
    return audit(Rule(rule), recordings, len(recordings), seconds=60.0, **options)


def effect(found: Audit, name: str):
    return next(each for each in found.effects if each.name == name)


def test_a_classifier_that_hears_a_tone_leans_on_steady_tones_and_on_nothing_else():
    recordings = sounds("tone")
    band = int(VGGISH.clock.hz_to_band(6000.0))

    def rule(values):
        above = values[:, :, band - 1 : band + 2].mean(axis=(1, 2)) - values[:, :, 45:53].mean(axis=(1, 2))
        return np.where(above > 0.5, 2, 0)

    found = audited(rule, recordings)
    tones = effect(found, "steady tones")
    assert tones.leaning == ("marked",)
    assert tones.found
    assert tones.touched == 8
    worst = next(each for each in tones.classes if each.name == "marked")
    assert worst.before >= 0.8
    assert worst.after == 0.0
    assert [each.label for each in tones.recordings] == ["marked"] * 5
    assert f"marked falls from {worst.before:.0%} to 0%" in tones.sentence()
    assert not effect(found, "edges").found
    assert not effect(found, "level").found
    assert effect(found, "silence").sentence() == "No recording has any: nothing to test."


def test_a_classifier_that_hears_the_level_leans_on_the_level():
    recordings = sounds("level")
    found = audited(lambda values: np.where(values.mean(axis=(1, 2)) > 0.5, 2, 0), recordings)
    # At one level for all, everything is heard alike: some class that the level told apart must fall.
    assert effect(found, "level").leaning
    assert not effect(found, "edges").found


def test_a_classifier_that_hears_the_click_leans_on_the_edges():
    recordings = sounds("click", 1.0)
    found = audited(
        lambda values: np.where(values[:, :2].mean(axis=(1, 2)) > values.mean(axis=(1, 2)) + 0.5, 2, 0), recordings
    )
    assert effect(found, "edges").leaning == ("marked",)


def test_a_classifier_that_answers_by_the_sound_is_not_accused():
    recordings = sounds()
    found = audited(lambda values: np.zeros(len(values)), recordings)
    assert not any(each.found for each in found.effects)
    edges = effect(found, "edges")
    assert edges.change == 0.0
    # 24 recordings of which none changed: 1 - 0.05 ** (1 / 24) is 11.7 %.
    assert edges.sentence() == "No effect found; a loss of more than 11.7% is ruled out."


def test_an_audit_comes_back_from_json_and_is_the_same_again():
    recordings = sounds("tone")[:9]
    rule = lambda values: np.where(values.mean(axis=(1, 2)) > 0, 1, 0)  # noqa: E731
    found = audited(rule, recordings, formats={"rate": [(each.label, "8 Hz") for each in recordings]})
    assert Audit.from_dict(found.as_dict()) == found
    assert audited(rule, recordings, formats={"rate": [(each.label, "8 Hz") for each in recordings]}) == found
    with pytest.raises(EarwitnessError, match="audit the run again"):
        Audit.from_dict({"version": 1})
    with pytest.raises(EarwitnessError, match="audit the run again"):
        Audit.from_dict({**found.as_dict(), "version": 99})


def test_nothing_to_hear_is_said():
    with pytest.raises(EarwitnessError, match="no recording to hear"):
        audit(Rule(lambda values: np.zeros(len(values))), [], 0, seconds=60.0)


def test_a_format_that_one_class_alone_has_gives_it_away():
    values = [(0, "8000 Hz")] * 4 + [(1, "44100 Hz")] * 4 + [(2, "44100 Hz")] * 4
    assert list(giveaways("sample rate", values, CLASSES)) == [
        "100% of quiet and no other class have the sample rate 8000 Hz: it gives them away."
    ]
    assert list(giveaways("sample rate", [(label, "8000 Hz") for label in (0, 1, 2) * 4], CLASSES)) == []


def test_every_counterfactual_asks_in_words():
    for name, each in COUNTERFACTUALS.items():
        assert each.name == name
        assert each.question.endswith("?")
        assert each.taken
