"""How verdicts come to attributions, and what an inquiry makes of them: counted, in words, as a filter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from earwitness.core.errors import UsageError
from earwitness.explainers.attribution import Attribution, Target
from earwitness.explainers.findings import Finding, Inquiry
from earwitness.explainers.registry import parse
from earwitness.trust.metrics.randomisation import randomisation
from earwitness.trust.verdicts.assess import judged, rows_to_test
from earwitness.trust.verdicts.summary import believed, check_least, counted_verdicts, verdict_block, verdict_lines
from earwitness.trust.verdicts.verdict import LEVELS, verdict_of
from explain_toys import SILENCE, ToyFrontEnd, convolutional, segments

CLASSIFIER = convolutional()
SEGMENTS = segments(3, frames=24, bands=16)
METHOD = parse("gradcam")


def maps() -> list[Attribution]:
    return METHOD.attribute(CLASSIFIER, SEGMENTS, [[Target(1)]] * 3)


def inquiry(levels: list[list[str]]) -> Inquiry:
    """One segment a row, one method a column."""
    found = maps()

    def marked(level: str) -> Attribution:
        dummy = {
            "level": level,
            "chance": 0.5,
            "reasons": [{"text": "a reason (deletion 0.20)", "good": True}],
            "signs": {},
        }
        return replace(found[0], verdict=dummy if level else None)

    findings = tuple(
        Finding(
            row=row,
            file=f"f{row}.wav",
            start_seconds=0.0,
            end_seconds=1.0,
            label="a",
            predicted="a",
            score=0.9,
            scores=(0.9,),
            log_mel=SEGMENTS.values[0],
            start_frame=0,
            real_frames=24,
            silent=False,
            attributions=(tuple(marked(level) for level in listed),),
        )
        for row, listed in enumerate(levels)
    )
    methods = tuple(f"Method {number}" for number in range(len(levels[0])))
    return Inquiry(
        kind="segments",
        name="x",
        title="t",
        question="q",
        clock=ToyFrontEnd().clock,
        classes=CLASSIFIER.classes,
        silence=SILENCE,
        methods=methods,
        targets=("predicted",),
        findings=findings,
    )


def test_every_map_gets_a_verdict_and_nothing_else_is_changed():
    before = maps()
    tested = randomisation(CLASSIFIER, METHOD, SEGMENTS, [Target(1)] * 3, alone=False)
    logits = CLASSIFIER.network(torch.from_numpy(SEGMENTS.values)).detach()
    chances = dict(zip(SEGMENTS.files, logits.softmax(1)[:, 1], strict=True))
    after = judged(CLASSIFIER, METHOD, SEGMENTS, before, tested)
    for one, other in zip(before, after, strict=True):
        found = verdict_of(other)
        assert found is not None
        assert found.level in LEVELS
        assert found.signs["kept"] == tested.kept
        assert found.signs["probability"] == pytest.approx(float(chances[one.file]), abs=1e-5)
        assert replace(other, verdict=None).method == one.method
        np.testing.assert_array_equal(other.values, one.values)
    assert verdict_of(before[0]) is None
    again = judged(CLASSIFIER, METHOD, SEGMENTS, before, tested)
    assert [one.verdict for one in again] == [one.verdict for one in after]


def test_a_batch_of_verdicts_equals_single_ones():
    together = judged(CLASSIFIER, METHOD, SEGMENTS, maps(), None)
    for row, one in enumerate(together):
        alone = judged(CLASSIFIER, METHOD, SEGMENTS.take([row]), maps()[row : row + 1], None)[0]
        assert alone.verdict is not None
        assert one.verdict is not None
        assert alone.verdict["chance"] == pytest.approx(one.verdict["chance"], abs=1e-4)


def test_a_verdict_survives_the_file(tmp_path):
    one = judged(CLASSIFIER, METHOD, SEGMENTS, maps(), None)[0]
    one.save(tmp_path / "a.npz")
    assert Attribution.load(tmp_path / "a.npz").verdict == one.verdict


def test_a_silent_segment_is_not_reliable():
    silent = replace(SEGMENTS, values=np.full_like(SEGMENTS.values, SILENCE))
    found = METHOD.attribute(CLASSIFIER, silent, [[Target(0)]] * 3)
    for one in judged(CLASSIFIER, METHOD, silent, found, None):
        assert one.verdict is not None
        assert one.verdict["level"] == "not reliable"
        assert one.verdict["reasons"][0]["text"] == "there is no sound in the segment"


def test_methods_are_tested_on_sounding_segments():
    some = segments(9, frames=24, bands=16)
    some.values[[0, 3]] = SILENCE
    rows = rows_to_test(CLASSIFIER, some)
    assert len(rows) == 3
    assert not {0, 3} & set(rows)
    assert rows_to_test(CLASSIFIER, some.take([0, 3])) == [0]


def test_verdicts_are_counted_by_method_from_the_best():
    asked = inquiry([["reliable", "weak"], ["not reliable", "weak"], ["reliable", ""]])
    assert counted_verdicts(asked) == ["Method 0: 2 reliable, 1 not reliable", "Method 1: 2 weak"]
    assert counted_verdicts(inquiry([[""]])) == []


def test_lines_name_segment_method_target_and_reason():
    lines = verdict_lines(inquiry([["weak"], ["reliable"]]))
    assert lines[0] == "f0.wav at 0.00 s, Method 0 for class1: weak (50%); for it: a reason (deletion 0.20)"
    assert verdict_lines(inquiry([["weak"]])) == ["Method 0 for class1: weak (50%); for it: a reason (deletion 0.20)"]


def test_a_terminal_gets_a_line_a_reason():
    assert verdict_block(inquiry([["weak"]])) == ["Method 0 for class1: weak (50%)", "  + a reason (deletion 0.20)"]


def test_a_filter_keeps_segments_with_a_map_that_is_good_enough_and_counts_the_others():
    asked = inquiry([["reliable", "weak"], ["not reliable", "weak"], ["not reliable", "not reliable"]])
    assert [each.row for each in believed(asked, "reliable").findings] == [0]
    weak = believed(asked, "weak")
    assert [each.row for each in weak.findings] == [0, 1]
    assert weak.notes == ("Left out: 1 segment of which no map by Method 0, Method 1 is weak or better.",)
    assert (weak.name, weak.title) == ("x-weak", "t, weak or better")
    assert believed(weak, "weak") == weak
    without_maps = replace(asked, methods=())
    assert believed(without_maps, "reliable") == without_maps


def test_a_filter_that_is_none_is_refused():
    check_least(None, verdicts=False)
    check_least("weak", verdicts=True)
    with pytest.raises(UsageError, match="--least sure: choose one of reliable, weak"):
        check_least("sure", verdicts=True)
    with pytest.raises(UsageError, match="leave out --no-verdicts"):
        check_least("weak", verdicts=False)
