"""Classes by what a person calls them."""

from __future__ import annotations

import re
from unicodedata import normalize

import pytest

from earwitness.core.errors import UsageError
from earwitness.models.class_names import class_index
from earwitness.models.weights import audioset_labels

LABELS = audioset_labels()


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("Chicken, rooster", "Chicken, rooster"),
        ("chicken, rooster", "Chicken, rooster"),
        ("rooster", "Chicken, rooster"),
        (" Rooster ", "Chicken, rooster"),
        ("dog", "Dog"),  # and not "Whimper (dog)"
        ("infant cry", "Baby cry, infant cry"),
        ("doodle", "Crowing, cock-a-doodle-doo"),
        ("FIRE TRUCK", "Fire engine, fire truck (siren)"),
        ("rain on", "Rain on surface"),
    ],
)
def test_a_name_means_the_class_that_it_fits(name, means):
    assert LABELS[class_index(LABELS, name)] == means


@pytest.mark.parametrize("written", [str.lower, str.upper, str])
def test_every_class_goes_by_its_name_in_any_case(written):
    assert [class_index(LABELS, written(name)) for name in LABELS] == list(range(527))


def test_names_of_folders_are_words_too():
    assert class_index(("sea_waves", "crackling_fire"), "fire") == 1
    assert class_index(("sea_waves", "crackling_fire"), "Sea Waves") == 0
    assert class_index(("Café", "Tür"), normalize("NFD", "tür")) == 1


def test_the_name_itself_goes_before_one_in_another_case():
    assert class_index(("Dog", "dog", "DOG"), "dog") == 1


@pytest.mark.parametrize(
    ("classes", "name", "fitting"),
    [
        (LABELS, "cry", "Battle cry; Baby cry, infant cry"),
        (LABELS, "Horn", "French horn; Vehicle horn, car horn, honking; Air horn, truck horn; Train horn"),
        (("Dog", "DOG"), "dog", "Dog; DOG"),
    ],
)
def test_what_fits_several_is_refused_with_their_names(classes, name, fitting):
    with pytest.raises(UsageError, match=f"^'{name}': fits several classes: {re.escape(fitting)}; give the whole name"):
        class_index(classes, name)


def test_a_long_list_is_cut():
    with pytest.raises(
        UsageError, match=r"fits several classes: a 0; .*; a 11 \.\.\. \(.*--list-classes lists all\); give"
    ):
        class_index([f"a {number}" for number in range(13)], "a")


@pytest.mark.parametrize("name", ["ooster", "Chicken rooster hen", "", " ", ", ", "rooster chicken"])
def test_what_fits_none_is_refused(name):
    with pytest.raises(UsageError, match="the classifier has no such class"):
        class_index(LABELS, name)


@pytest.mark.parametrize(("slip", "meant"), [("helicoptr", "Helicopter"), ("roster", "Chicken, rooster")])
def test_a_slip_is_asked_back(slip, meant):
    with pytest.raises(UsageError, match=rf"'{slip}': the classifier has no such class \(did you mean {meant}\?\)"):
        class_index(LABELS, slip)
