"""What a verdict says to do next: fit for what speaks against the map, and only what the command can carry out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from earwitness.cli.app import app
from earwitness.explainers.attribution import CONSTANT, SILENT, Attribution, Region, Target
from earwitness.explainers.findings import Finding, Inquiry
from earwitness.explainers.parameters import in_force
from earwitness.explainers.registry import METHODS, parse
from earwitness.trust.verdicts.advice import Known
from earwitness.trust.verdicts.indicators import Signs
from earwitness.trust.verdicts.judge import WORDS, Judge, verdict
from earwitness.trust.verdicts.resource import beyond_the_fit, right_most_often, unseen_shares
from earwitness.trust.verdicts.summary import advice_lines
from earwitness.trust.verdicts.verdict import LEVELS, NOT_RELIABLE, RELIABLE, WEAK, Reason, Verdict, verdict_of
from explain_toys import SILENCE, ToyFrontEnd, attributed, convolutional, segments

CLASSIFIER = convolutional()
SEGMENTS = segments(1, frames=24, bands=16)
MIDDLING = Signs(**dict.fromkeys(WORDS, 0.5), explains=True, empty="")


def a_map(text: str = "gradcam", *, against: tuple[str, ...] = (), level: str = WEAK, **changes) -> Attribution:
    """A map by a method, with a verdict that some signs speak against."""
    made = attributed(CLASSIFIER, SEGMENTS, 0, Target(1), SEGMENTS.values[0] - SEGMENTS.values[0].min() + 1)
    method = parse(text)
    reasons = tuple(Reason(f"something ({sign} 0.12)", good=False) for sign in against)
    found = Verdict(level, 0.5, (Reason("it is the same (shift 0.90)", good=True), *reasons), {})
    return replace(made, method=method.name, parameters=in_force(method), verdict=found.as_dict(), **changes)


def advised(attribution: Attribution, **known) -> str:
    found = verdict_of(attribution, Known(**known))
    assert found is not None
    return found.advice


def options(words: str) -> list[str]:
    return re.findall(r"--[a-z-]+", words)


def named(words: str) -> list[str]:
    return re.findall(r"--method (\S+)", words)


def inquiry(*findings: list[list[Attribution]], predicted: str = "class1") -> Inquiry:
    """A finding each, a list a target, a map a method."""
    titles = tuple(METHODS[each.method].title for each in findings[0][0])
    return Inquiry(
        kind="segments",
        name="x",
        title="t",
        question="q",
        clock=ToyFrontEnd().clock,
        classes=CLASSIFIER.classes,
        silence=SILENCE,
        methods=titles,
        targets=("best",),
        findings=tuple(
            Finding(
                row=row,
                file="f.wav",
                start_seconds=0.0,
                end_seconds=1.0,
                label=None,
                predicted=predicted,
                score=0.9,
                scores=(0.9,),
                log_mel=SEGMENTS.values[0],
                start_frame=0,
                real_frames=24,
                silent=False,
                attributions=tuple(map(tuple, targets)),
            )
            for row, targets in enumerate(findings)
        ),
    )


def test_draws_that_differ_get_more_samples_and_keep_their_other_settings():
    words = advised(a_map("lime:grid=8x8,score=probability", against=("seeds", "agrees"), score=0.6))
    assert words == "draw more samples: --method lime:grid=8x8,samples=4096,score=probability"
    assert named(advised(a_map("rise", against=("seeds",)))) == ["rise:samples=8000"]
    # A method that draws nothing has no more to draw.
    assert "samples" not in advised(a_map("gradcam", against=("seeds",)))


@pytest.mark.parametrize("sign", ["kept", "agrees", "energy"])
def test_other_methods_are_those_that_were_right_most_often_and_were_not_asked(sign):
    best = list(right_most_often())
    words = advised(a_map(best[0], against=(sign,)), asked=frozenset(best[1:2]))
    assert named(words) == best[2:4]
    assert named(advised(a_map("saliency", against=(sign,)))) == best[:2]
    assert (
        advised(a_map(best[0], against=(sign,)), asked=frozenset(best))
        == "look at all of the recording: explain --whole"
    )


def test_the_page_names_the_same_methods():
    page = (Path(__file__).resolve().parents[1] / "docs" / "verdicts.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if "right most often on these tests" in line]
    assert re.findall(r"`(\w+)`", line) == list(right_most_often())
    assert set(right_most_often()) <= METHODS.keys()


def test_verdicts_on_a_network_that_they_were_not_fitted_on_say_so():
    page = (Path(__file__).resolve().parents[1] / "docs" / "verdicts.md").read_text(encoding="utf-8")
    counts = re.findall(r"^- \w+: (\d+) of (\d+) reliable maps right", page, re.MULTILINE)
    shares = sorted(int(right) / int(count) for right, count in counts)
    assert len(shares) == 3
    assert unseen_shares() == pytest.approx((shares[0], shares[-1]))
    assert not beyond_the_fit("mn04")
    assert not beyond_the_fit("compact")
    said = beyond_the_fit("model.onnx")
    assert said == beyond_the_fit("vggish")
    assert "fitted on maps of compact and mn04" in said
    assert f"{shares[0]:.0%} to {shares[-1]:.0%} were right" in said


def test_the_strongest_reason_that_something_can_be_done_about_decides():
    assert "samples" in advised(a_map("lime", against=("deletion", "seeds", "agrees")))
    assert "compare" in advised(a_map("lime", against=("agrees", "seeds")))


def test_evidence_that_fills_its_segment_is_looked_for_in_all_of_the_recording():
    assert options(advised(a_map("lime", against=("sparse",)))) == ["--whole"]
    lime = a_map("lime", against=("seeds",))
    start, end = lime.time_edges[[0, -1]]
    region = Region(start_seconds=start, end_seconds=end, low_hz=0, high_hz=9, share=0.5, score=0.9, without=0.1)
    long, short = (replace(lime, regions=(replace(region, end_seconds=each),)) for each in (end, (start + end) / 2))
    assert advised(long) == "the evidence fills its segment; look at all of the recording: explain --whole"
    assert "samples" in advised(short)
    # Where the segment is all of it, there is no more to look at.
    assert "samples" in advised(long, alone=True)
    assert advice_lines(inquiry([[long]])) != advice_lines(inquiry([[long]]), alone=True)
    every = frozenset(right_most_often())
    assert advised(a_map("lime", against=("sparse",)), asked=every, alone=True) == (
        "draw no conclusion where the maps differ"
    )


def test_a_class_that_hardly_scores_gives_way_to_the_one_that_is_predicted():
    unlikely = a_map(against=("probability",))
    assert advised(unlikely, predicted="class2") == "explain class2: without --class"
    assert advised(unlikely) == "explain the class that is predicted: without --class"
    # It is predicted itself, whatever its score.
    assert "--class" not in advised(unlikely, predicted="class1")
    assert advice_lines(inquiry([[unlikely]], predicted="class2")) == ["Grad-CAM: explain class2: without --class"]
    # Both classes of a misclassified segment are explained: there is none to turn to.
    both = [[unlikely], [replace(unlikely, target_label="class2")]]
    assert not any("--class" in line for line in advice_lines(inquiry(both, predicted="class2")))


def test_where_there_is_nothing_to_point_at_no_method_is_asked():
    zeros = SEGMENTS.values[0] * 0
    for flags, why in (((SILENT,), "nothing sounds in this segment"), ((CONSTANT,), "no cell speaks for class1")):
        words = advised(a_map(values=zeros, flags=flags, level=NOT_RELIABLE))
        assert words == f"there is nothing to point at: {why}"
    # A layer has positive answers to silence, too.
    silent = a_map("gradcam", against=("agrees",), flags=(SILENT,), level=NOT_RELIABLE)
    assert advised(silent) == "there is nothing to point at: nothing sounds in this segment"


def test_a_probability_that_cannot_move_gives_way_to_log_odds():
    lime = a_map("lime:score=probability,samples=64", against=("agrees",), score=0.999, fill="mean")
    assert named(advised(lime)) == ["lime:samples=64"]
    assert "log-odds" not in advised(replace(lime, score=0.9))
    # A gradient of the log-odds is the probability's, scaled.
    assert "log-odds" not in advised(a_map("gradcam:score=probability", against=("agrees",), score=0.999))


@pytest.mark.parametrize("name", METHODS)
def test_all_that_is_advised_can_be_done(name):
    from typer.main import get_command

    explain = get_command(app).commands["explain"]
    known = {option for parameter in explain.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for sign in (*WORDS, "", "unheard-of"):
        for score in (0.5, 0.999):
            words = advised(a_map(name, against=(sign,), score=score))
            assert words
            assert "\n" not in words
            assert set(options(words)) <= known
            assert options(words)
            for each in named(words):
                assert parse(each) != parse(name)


def test_a_map_of_another_version_or_a_method_of_ones_own_is_advised_too():
    other = replace(a_map("lime", against=("seeds",)), parameters={"samples": 64, "gone": 1})
    assert named(advised(other)) == list(right_most_often())[:2]
    assert named(advised(replace(other, method="mine"))) == list(right_most_often())[:2]


def test_a_reliable_map_needs_nothing_and_is_the_one_to_go_by():
    good = a_map("gradcam", level=RELIABLE)
    assert advised(good) == ""
    maps = [good, a_map("lime", against=("seeds",)), a_map("occlusion", against=("agrees",), level=NOT_RELIABLE)]
    assert advice_lines(inquiry([maps])) == [
        "LIME, Occlusion sensitivity: go by Grad-CAM, whose map is reliable",
    ]
    assert advice_lines(inquiry([[good]])) == []
    unjudged = replace(good, verdict=None)
    assert advice_lines(inquiry([[unjudged]])) == []


def test_the_same_advice_is_said_once_with_the_maps_that_it_is_for():
    def findings(label: str) -> list[list[Attribution]]:
        return [[replace(a_map(each, against=("agrees",)), target_label=label) for each in ("gradcam", "lime")]]

    ask = " ".join(f"--method {name}" for name in right_most_often() if name not in ("gradcam", "lime"))
    said = f"ask another method and compare: {' '.join(ask.split()[:4])}"
    assert advice_lines(inquiry(findings("dog"), findings("dog"))) == [f"Grad-CAM, LIME: {said}"]
    assert advice_lines(inquiry(findings("dog"), findings("rain"))) == [
        f"Grad-CAM for dog, rain, LIME for dog, rain: {said}"
    ]


def test_a_verdict_is_kept_as_before_and_advice_follows_from_it():
    one = a_map("lime", against=("seeds",))
    found = verdict_of(one)
    assert found is not None
    assert found.advice
    assert set(found.as_dict()) == {"level", "chance", "reasons", "signs"}
    assert found.as_dict() == one.verdict
    assert replace(Verdict.from_dict(found.as_dict()), advice=found.advice) == found


def test_reasons_tell_the_sign_that_they_speak_of():
    for name in WORDS:
        judge = Judge(
            names=(name,),
            means=(0.0,),
            scales=(0.1,),
            weights=(1.0,),
            intercept=0.0,
            reliable=0.8,
            weak=0.5,
            fitted_on="one sign",
        )
        for signs in (MIDDLING, replace(MIDDLING, **{name: 15.0}), replace(MIDDLING, probability=0.1)):
            found = verdict(replace(signs, others="A (b) and C"), judge)
            assert found.level in LEVELS
            expected = {name, "probability"} if signs.probability < 0.2 else {name}
            assert {reason.sign for reason in found.reasons} <= {*expected, ""}
            assert name in {reason.sign for reason in found.reasons}
    ignores = verdict(replace(MIDDLING, explains=False))
    assert ignores.reasons[0].sign == "kept"
    assert verdict(replace(MIDDLING, empty="there is no sound in the segment")).reasons[0].sign == ""
