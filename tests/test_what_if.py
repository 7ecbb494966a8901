"""Recordings edited by hand: boxes and outlines, what they leave, and the scores before and after."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import earwitness as ew
from earwitness.audio.stft import Stft
from earwitness.core.errors import UsageError
from earwitness.sonify.edits import Edit, Edited, Outline
from earwitness.sonify.listening import Listening
from earwitness.sonify.masks import Box
from earwitness.workflows.what_if import hold
from rounding import DEEP, rounding
from tiny_run import make

GRID = Stft.of(16_000)
CORNERS = ((0.5, 500.0), (1.0, 500.0), (1.0, 3000.0), (0.5, 3000.0))
BOX = Box(start_seconds=0.5, end_seconds=1.0, low_hz=500.0, high_hz=3000.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make(tmp_path_factory.mktemp("what_if"))


@pytest.fixture(scope="module")
def sound(run):
    file = sorted((run.parent / "data").glob("*/*.wav"), key=lambda path: -path.stat().st_size)[0]
    return hold(file, ew.load_model(run))


# ---- shapes -------------------------------------------------------------------------------------------------------


def test_an_outline_of_a_box_is_the_box_but_for_its_edges():
    seconds = GRID.seconds(0, 200)
    drawn, box = Outline(CORNERS).shares(GRID, seconds), BOX.shares(GRID, seconds)
    assert ((drawn > 0.999) == (box > 0.999)).mean() > 0.98
    assert (drawn[box > 0.9999] > 0.9).all()
    assert (drawn[box == 0] < 0.1).all()
    assert drawn.min() >= 0
    assert drawn.max() <= 1 + 1e-6


def test_an_outline_does_not_mind_where_it_begins_and_which_way_it_goes():
    seconds = GRID.seconds(0, 200)
    one = Outline(CORNERS).shares(GRID, seconds)
    np.testing.assert_array_equal(one, Outline(CORNERS[2:] + CORNERS[:2]).shares(GRID, seconds))
    np.testing.assert_array_equal(one, Outline(CORNERS[::-1]).shares(GRID, seconds))


def test_what_an_outline_encloses_twice_is_outside():
    inner = ((0.6, 800.0), (0.9, 800.0), (0.9, 2500.0), (0.6, 2500.0), (0.6, 800.0))
    ring = Outline((*CORNERS, CORNERS[0], *inner))
    moment, hole, rim = np.array([0.75]), 1500.0, 620.0
    share = ring.shares(GRID, moment)[0]
    assert share[np.abs(GRID.frequencies - hole).argmin()] == 0
    assert share[np.abs(GRID.frequencies - rim).argmin()] > 0.9


@given(shape=st.sampled_from([BOX, Outline(CORNERS)]), decibels=st.floats(-80, 0))
def test_hidden_and_kept_add_up_and_attenuated_lies_between(shape, decibels):
    seconds = GRID.seconds(0, 100)
    hidden, kept, quieter = (
        Edited((Edit(shape, action, decibels),)).shares(GRID, seconds) for action in ("hide", "keep", "attenuate")
    )
    np.testing.assert_allclose(hidden + kept, 1.0, atol=1e-6)
    np.testing.assert_allclose(quieter, 1 - (1 - 10 ** (decibels / 20)) * kept, atol=1e-6)


def test_several_kept_places_are_kept_and_what_is_hidden_in_them_is_not():
    seconds = GRID.seconds(0, 200)
    other = Box(start_seconds=1.2, end_seconds=1.4, low_hz=0.0, high_hz=8000.0)
    inside = Box(start_seconds=0.6, end_seconds=0.8, low_hz=0.0, high_hz=8000.0)
    left = Edited((Edit(inside, "hide"), Edit(BOX, "keep"), Edit(other, "keep"))).shares(GRID, seconds)
    bin_at = np.abs(GRID.frequencies - 1500).argmin()

    def at(second: float) -> float:
        return float(left[np.abs(seconds - second).argmin(), bin_at])

    assert at(0.55) == pytest.approx(1)
    assert at(1.3) == pytest.approx(1)
    assert at(0.7) == 0
    assert at(1.1) == 0


@pytest.mark.parametrize(
    "points",
    [((0, 0), (1, 1)), ((0, 100), (1, 100), (2, 100)), ((0, 0), (1, float("nan")), (1, 1)), ((0, -5), (1, 1), (2, 0))],
)
def test_an_outline_of_nothing_is_refused(points):
    with pytest.raises(UsageError, match="outline"):
        Outline(points)


def test_an_edit_that_is_none_is_refused():
    with pytest.raises(UsageError, match="hide, keep, attenuate"):
        Edit(BOX, "louder")
    with pytest.raises(UsageError, match="-80 to 0 dB"):
        Edit(BOX, "attenuate", 6.0)
    with pytest.raises(UsageError, match="-80 to 0 dB"):
        Edit(BOX, "attenuate", float("nan"))


# ---- recordings ---------------------------------------------------------------------------------------------------


def test_an_edited_sound_is_what_listening_leaves(sound):
    for edits in ([Edit(BOX)], [Edit(BOX, "keep")], [Edit(Outline(CORNERS), "attenuate", -12.0)]):
        listened = Listening.of(sound.file, Edited(tuple(edits)), classifier=sound.model.classifier)
        np.testing.assert_allclose(sound.edited(edits), listened.kept, atol=1e-6)
        scores = sound.what_if(edits).scores
        for name, score in listened.score("kept").items():
            assert scores[name] == pytest.approx(score, abs=1e-4)


def test_segments_that_an_edit_does_not_reach_keep_their_scores_and_the_others_are_those_of_the_new_sound(sound):
    edits = [Edit(Box(start_seconds=0.0, end_seconds=0.2, low_hz=0.0, high_hz=8000.0))]
    found = sound.what_if(edits)
    anew = hold(sound.file, sound.model)
    anew = type(anew)(**{**vars(anew), "samples": found.samples}).scored
    np.testing.assert_allclose(found.after.scores, anew.scores, atol=rounding(1.0, units=DEEP))
    assert (found.after.scores[-1] == found.before.scores[-1]).all()
    assert (found.after.scores[0] != found.before.scores[0]).any()


def test_nothing_edited_changes_nothing(sound):
    found = sound.what_if([])
    assert found.samples is sound.samples
    assert found.scores == found.scores_before
    beyond = sound.end_seconds + 5
    far = sound.what_if([Edit(Box(start_seconds=beyond, end_seconds=beyond + 1, low_hz=0.0, high_hz=100.0))])
    np.testing.assert_array_equal(far.samples, sound.samples)


def test_a_stretch_is_edited_as_the_whole_recording_is(sound):
    start, end = 0.32, 1.5  # on the grid of the STFT
    part = hold(sound.file, sound.model, start=start, end=end)
    first, last = round(start * sound.sample_rate), round(end * sound.sample_rate)
    inner = slice(GRID.window, -GRID.window)
    np.testing.assert_allclose(part.edited([Edit(BOX)])[inner], sound.edited([Edit(BOX)])[first:last][inner], atol=1e-5)
    with pytest.raises(UsageError, match="ends before"):
        hold(sound.file, sound.model, start=1e6)


def test_the_front_door_takes_boxes_as_words(sound):
    found = ew.what_if(sound.file, sound.model, ["0.5-1.0,500-3000", BOX])
    assert found.edits == (Edit(BOX), Edit(BOX))
    assert list(found.scores) == list(found.scores_before)
    with pytest.raises(UsageError, match="no box"):
        ew.what_if(sound.file, sound.model, "half a second")
