"""Audits: a classifier that relies on a trace is found out, one that does not is not accused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from earwitness.audio.artefacts import ARTEFACTS
from earwitness.audio.frontend import VGGISH
from earwitness.core.errors import EarwitnessError
from earwitness.core.statistics import RESAMPLES
from earwitness.inspection.audit import SECONDS, giveaways
from earwitness.plots.audit import MOST_CLASSES, audit_chart
from earwitness.plots.style import QUIET, RIGHT, WRONG
from earwitness.trust.audit.counterfactuals import COUNTERFACTUALS
from earwitness.trust.audit.effects import (
    CLASS_CONFIDENCE,
    CONFIDENCE,
    FEW_TOUCHED,
    LEAST_CLASS_LOSS,
    LEAST_FALL,
    LEAST_FILES,
    LEAST_LOSS,
    Affected,
    Audit,
    ClassEffect,
    Effect,
)
from earwitness.trust.audit.measure import Sounding, audit

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
    tail: bool = True
    takes: str = "spectrogram"

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
    assert tones.relying == ("marked",)
    assert tones.found
    assert tones.touched == 8
    worst = next(each for each in tones.classes if each.name == "marked")
    assert worst.before >= 0.8
    assert worst.after == 0.0
    assert [each.label for each in tones.recordings] == ["marked"] * 8
    with_them = f"{worst.before:.0%} of its segments are right with them, 0% without"
    assert tones.sentence() == f"Yes: marked needs them ({with_them})."
    assert found.summary() == f"Predictions depend on steady tones: marked needs them ({with_them})."
    assert not effect(found, "edges").found
    assert not effect(found, "level").found
    assert effect(found, "silence").sentence() == "No recording has any: nothing to test."


def test_a_classifier_that_hears_the_level_leans_on_the_level():
    recordings = sounds("level")
    found = audited(lambda values: np.where(values.mean(axis=(1, 2)) > 0.5, 2, 0), recordings)
    # At one level for all, everything is heard alike: some class that the level told apart must fall.
    assert effect(found, "level").relying
    assert not effect(found, "edges").found


def test_a_classifier_that_hears_the_click_leans_on_the_edges():
    recordings = sounds("click", 1.0)
    found = audited(
        lambda values: np.where(values[:, :2].mean(axis=(1, 2)) > values.mean(axis=(1, 2)) + 0.5, 2, 0), recordings
    )
    assert effect(found, "edges").relying == ("marked",)


def test_a_classifier_that_answers_by_the_sound_is_not_accused():
    recordings = sounds()
    found = audited(lambda values: np.zeros(len(values)), recordings)
    assert not any(each.found for each in found.effects)
    edges = effect(found, "edges")
    assert edges.change == 0.0
    # 24 recordings of which none changed: 1 - 0.05 ** (1 / 24) is 11.7 %.
    assert edges.sentence() == (
        "No effect found; for the 24 recordings that had it, together, a loss of more than 11.7 points is ruled out "
        "(a single class may lose more)."
    )
    assert edges.told() == edges.sentence()


def made(touched=24, low=0.0, high=0.0, change=0.0, classes=(), recordings=()) -> Effect:
    """Return an effect on 80 recordings, of which half of the segments were predicted right."""
    return Effect(
        name="hum",
        question="Does it rely on hum?",
        taken="hum is removed",
        files=80,
        touched=touched,
        before=0.5,
        after=0.5 + change,
        low=low,
        high=high,
        score_change=0.0,
        classes=tuple(classes),
        recordings=tuple(recordings),
    )


FALLEN = (
    Affected(file="a/1.wav", label="a", before=0.9, after=0.3, predicted_as="b"),
    Affected(file="b/1.wav", label="b", before=0.6, after=0.2, predicted_as="a"),
)
FALLS = ClassEffect(name="a", files=8, touched=8, before=0.84, after=0.69, low=-0.35, high=-0.03)
RISES = ClassEffect(name="c", files=8, touched=6, before=0.65, after=0.84, low=0.03, high=0.35)


@given(st.integers(10, 79), st.floats(-0.1, 0.0))
def test_what_is_ruled_out_is_of_the_recordings_that_had_it(touched, low):
    effect = made(touched, low)
    assert effect.ruled_out > made(80, low).ruled_out
    assert 1.0 >= effect.ruled_out >= min(1.0, -low * 80 / touched)
    # So large a share of hidden losses would show in one of the recordings at least 95 times in 100.
    assert (1.0 - effect.ruled_out) ** touched <= 0.05 + 1e-9
    assert f"{100 * effect.ruled_out:.1f} points" in effect.sentence()


def test_few_recordings_rule_nothing_out():
    assert made(3).sentence() == (
        "Only 3 recordings had it: too few to say more than that none lost 0.1 of its class's score."
    )
    assert made(1).sentence().startswith("Only 1 recording had it")
    assert made(3, recordings=FALLEN).told() == (
        "Only 3 recordings had it: too few to say more than which lost most. Most affected, by their class's score: "
        "a/1.wav (0.90 to 0.30), b/1.wav (0.60 to 0.20)."
    )
    assert "ruled out" in made(10).sentence()


def test_the_most_affected_are_named_of_the_classes_that_lean_or_of_all_where_none_does():
    slight = Affected(file="a/2.wav", label="a", before=0.9, after=0.85, predicted_as="a")
    assert made(recordings=(*FALLEN, slight)).affected == FALLEN
    assert "a/1.wav (0.90 to 0.30), b/1.wav" in made(recordings=FALLEN).told()
    relying = made(classes=[FALLS, RISES], recordings=FALLEN)
    assert relying.affected == FALLEN[:1]
    assert "b/1.wav" not in relying.told()


def test_one_story_tells_which_class_needs_it_and_which_it_misleads():
    both = made(classes=[FALLS, RISES])
    needs = "a needs it (84% of its segments are right with it, 69% without)"
    misleads = "it misleads c (65% of its segments are right with it, 84% without)"
    assert both.sentence() == f"Yes: {needs}, and {misleads}."
    alone = made(classes=[RISES])
    assert not alone.found
    assert alone.gaining == ("c",)
    assert alone.sentence().startswith(f"No loss found, but {misleads}; for the 24 recordings")
    assert made(3, classes=[RISES]).sentence().endswith(f"its class's score, but {misleads}.")
    together = made(change=0.1, low=0.05, high=0.2)
    shares = "(50.0% of segments are right with it, 60.0% without)"
    assert together.sentence().startswith(f"No loss found, but it misleads all classes together {shares};")
    assert made(change=-0.01, low=-0.015, high=-0.005).sentence().startswith("No loss of 2 points found;")
    lost = made(change=-0.1, low=-0.2, high=-0.05)
    assert lost.sentence() == "Yes: 50.0% of segments are right with it, 40.0% without."


def test_the_summary_tells_one_thing_after_the_other_and_what_was_not_found():
    def told(*effects: Effect) -> str:
        return Audit(effects=effects, classes=("a", "c"), files=80, seconds=60.0).summary()

    quiet, tones = replace(made(3), name="silence"), replace(made(0), name="steady tones")
    assert told(made(), quiet, tones) == (
        "1 of 3 things could be tested, and no dependence was found; too few recordings had silence, steady tones."
    )
    assert told(quiet, tones) == "None of 2 things could be tested; too few recordings had silence, steady tones."
    assert told(made(), made()) == "All 2 things could be tested, and no dependence was found."
    edges = replace(made(classes=[RISES]), name="edges")
    assert told(made(), edges, made(classes=[FALLS])) == (
        "Predictions depend on the clips' edges: "
        "they mislead c (65% of its segments are right with them, 84% without). "
        "Predictions depend on hum: a needs it (84% of its segments are right with it, 69% without)."
    )


@given(st.integers(0, 6), st.integers(0, 6))
def test_every_class_that_needs_or_is_misled_is_named_once(needing, misled):
    names = [f"<{number}>" for number in range(needing + misled)]
    classes = [replace(FALLS if place < needing else RISES, name=name) for place, name in enumerate(names)]
    story = made(classes=classes).story()
    assert bool(story) == bool(names)
    assert [story.count(name) for name in names] == [1] * len(names)
    assert ("misleads" in story) == (misled > 0)
    assert ("needs" in story) == (needing > 0)


def test_recordings_that_are_right_only_without_it_are_kept():
    recordings = sounds()
    for each in recordings:
        each.samples[RATE // 2 :] = 0.0
    # Silence is taken for the last class, all that sounds for the second one.
    found = audited(lambda values: np.where(values.mean(axis=(1, 2)) < -3, 2, 1), recordings)
    silence = effect(found, "silence")
    assert {each.file for each in silence.corrected} == {each.file for each in recordings if each.label == 1}
    for each in silence.corrected:
        assert each.predicted_as == each.label == "loud"
        assert each.before < 0.5 < each.after
    assert not any(each.corrected for each in found.effects if each.name != "silence")
    assert f"Predicted right only without it: {silence.corrected[0].file} (" in silence.told()
    older = found.as_dict()
    older["effects"] = [{k: v for k, v in each.items() if k != "corrected"} for each in older["effects"]]
    assert all(each.corrected == () for each in Audit.from_dict(older).effects)


def test_the_chart_tells_all_recordings_from_a_class_and_from_too_few():
    effects = (
        made(change=-0.1, low=-0.2, high=-0.05),
        made(low=-0.1, high=0.1, classes=[FALLS, RISES]),
        made(3),
        made(),
        made(0),
    )
    figure = audit_chart(Audit(effects=effects, classes=("a", "c"), files=80, seconds=60.0))
    left, right = figure.axes
    marks = [(each.get_color(), each.get_markerfacecolor()) for each in left.lines if each.get_marker() == "o"]
    assert marks == [(WRONG, WRONG), (WRONG, "white"), (QUIET, QUIET), (RIGHT, RIGHT)]
    assert [(each.get_text(), each.get_weight()) for each in right.texts] == [("-15", "bold"), ("+19", "bold")]


def test_a_chart_of_nothing_and_of_many_classes_can_be_drawn():
    audit_chart(Audit(effects=(made(0),), classes=("a",), files=80, seconds=60.0))
    many = tuple(f"class {number}" for number in range(40))
    classes = [
        ClassEffect(name=name, files=2, touched=2, before=0.5, after=0.5, low=0.0, high=0.0) for name in many[:-1]
    ]
    classes.append(ClassEffect(name=many[-1], files=8, touched=8, before=0.84, after=0.69, low=-0.35, high=-0.03))
    right = audit_chart(Audit(effects=(made(classes=classes),), classes=many, files=80, seconds=60.0)).axes[1]
    names = [each.get_text() for each in right.get_xticklabels()]
    assert len(names) == MOST_CLASSES
    assert many[-1] in names
    assert right.get_xlabel() == "30 of 40 classes: those that changed most"


def test_an_audit_comes_back_from_json_and_is_the_same_again():
    recordings = sounds("tone")[:9]
    rule = lambda values: np.where(values.mean(axis=(1, 2)) > 0, 1, 0)  # noqa: E731
    found = audited(rule, recordings, formats=["told"])
    assert found.formats == ("told",)
    assert Audit.from_dict(found.as_dict()) == found
    assert audited(rule, recordings, formats=["told"]) == found
    with pytest.raises(EarwitnessError, match="audit the run again"):
        Audit.from_dict({"version": 1})
    with pytest.raises(EarwitnessError, match="audit the run again"):
        Audit.from_dict({**found.as_dict(), "version": 99})


def test_nothing_to_hear_is_said():
    with pytest.raises(EarwitnessError, match="has no recording"):
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


def test_the_page_on_audits_says_what_the_constants_say():
    words = " ".join((Path(__file__).parents[1] / "docs" / "audit.md").read_text(encoding="utf-8").split())
    for said in (
        f"lose {100 * LEAST_LOSS:g} points or more, and the {100 * CONFIDENCE:g} % interval",
        f"A class** of {LEAST_FILES} recordings or more relies",
        f"if it loses {100 * LEAST_CLASS_LOSS:g} points or more",
        f"and the {100 * CLASS_CONFIDENCE:g} % interval",
        f"{RESAMPLES} draws",
        f"Fewer than {FEW_TOUCHED}** recordings",
        f"fell by {LEAST_FALL:g} or more",
        f"none changed, {100 * made(18).ruled_out:.1f} points",
        f"Of more than {MOST_CLASSES} classes",
        f"the first {SECONDS:g} s",
    ):
        assert said in words
    for name in COUNTERFACTUALS:
        assert f"| {name} |" in words
