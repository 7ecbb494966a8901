from __future__ import annotations

from dataclasses import replace

import pytest

from earwitness.explainers.attribution import SILENT, Attribution
from earwitness.explainers.findings import Inquiry
from earwitness.inspection.notes import with_notes
from test_figures import asked, attribution, finding


def heard(size: float, score: float, **changes: object) -> Attribution:
    probability = {"score": score, "score_kind": "probability", "parameters": {"score": "probability"}}
    return replace(attribution(0, size), **{**probability, "method": "occlusion", **changes})


def of(*maps: Attribution) -> Inquiry:
    rows = [finding(row, attributions=((each,),)) for row, each in enumerate(maps)]
    return asked("segments", rows, ("Occlusion sensitivity",), ("predicted",))


SURE = heard(1e-4, 0.9999)


def test_maps_that_are_empty_because_the_score_is_saturated_are_counted_and_a_way_out_is_named():
    (note,) = with_notes(of(SURE, SURE, SURE, heard(0.4, 0.7))).notes
    assert note.startswith("3 of 4 maps by Occlusion sensitivity show almost nothing")
    assert "--method occlusion:score=log-odds" in note


@pytest.mark.parametrize(
    "maps",
    [
        [heard(0.3, 0.9999)] * 4,
        [SURE, SURE],
        [SURE, heard(0.4, 0.7), heard(0.3, 0.7), heard(0.3, 0.7)],
        [heard(1e-4, 0.5)] * 3 + [heard(0.4, 0.7)],
        [heard(1e-4, 9.0, score_kind="logit", parameters={"score": "logit"})] * 3 + [heard(0.4, 0.7)],
        [replace(SURE, flags=(SILENT,))] * 3 + [heard(0.4, 0.7)],
        [],
    ],
    ids=["moved", "few", "minority", "unsure", "logit", "silent", "none"],
)
def test_nothing_is_said_where_there_is_no_such_reason(maps):
    assert with_notes(of(*maps)).notes == ()


def test_maps_that_are_all_alike_say_next_to_nothing_where_no_cell_moves_the_score():
    (note,) = with_notes(of(SURE, SURE, SURE)).notes
    assert note.startswith("3 of 3 maps by Occlusion sensitivity show almost nothing")


def test_notes_that_were_there_stay():
    asked_before = replace(of(SURE, SURE, SURE, heard(0.4, 0.7)), notes=("There.",))
    assert with_notes(asked_before).notes[0] == "There."
    assert with_notes(replace(asked_before, methods=(), findings=())).notes == ("There.",)
