"""Nested classes: AudioSet's table, and which of the leading classes is the most specific."""

from __future__ import annotations

import numpy as np
import pytest

from earwitness.audio.frontend import VGGISH
from earwitness.models import classifier as classifiers
from earwitness.models.classifier import Classifier
from earwitness.models.hierarchy import audioset_parents, most_specific
from earwitness.models.registry import BACKBONES
from earwitness.models.weights import audioset_labels

LABELS = audioset_labels()

# 0 animal holds 1 dog (in it 2 bark, 3 growl) and 4 cat (in it 3 growl and 5 pet, in that 6 miaow); 7 rain is alone.
PARENTS = ((), (0,), (1,), (1, 4), (0,), (4,), (5,), ())


def names_above(name: str) -> set[str]:
    return {LABELS[index] for index in audioset_parents()[LABELS.index(name)]}


# ---- AudioSet's table ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "above"),
    [
        ("Bark", {"Dog"}),
        ("Dog", {"Domestic animals, pets"}),
        ("Domestic animals, pets", {"Animal"}),
        ("Animal", set()),
        ("Crowing, cock-a-doodle-doo", {"Chicken, rooster"}),
        ("Chicken, rooster", {"Fowl"}),
        ("Fowl", {"Livestock, farm animals, working animals"}),
        ("Helicopter", {"Aircraft"}),
        ("Hiss", {"Cat", "Snake", "Steam"}),
        ("Police car (siren)", {"Emergency vehicle", "Siren"}),
        ("Bicycle", {"Vehicle"}),  # by way of Non-motorized land vehicle, which is none of the 527
        ("Jazz", {"Music"}),  # by way of Music genre
        ("Mains hum", {"Noise"}),  # by way of Background noise
        ("Sneeze", set()),  # Respiratory sounds and Human sounds are none of the 527
    ],
)
def test_a_class_is_nested_in_the_nearest_of_the_527(name, above):
    assert names_above(name) == above


def test_the_table_has_a_row_a_class_and_no_circle():
    parents = audioset_parents()
    assert len(parents) == 527
    placed: set[int] = set()
    while fresh := {row for row, above in enumerate(parents) if row not in placed and placed.issuperset(above)}:
        placed |= fresh
    assert len(placed) == 527
    assert all(len(set(above)) == len(above) for above in parents)


# ---- the most specific --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "chain"),
    [
        ({0: 0.9, 1: 0.8, 2: 0.7}, [0, 1, 2]),
        ({0: 0.9, 1: 0.8, 2: 0.45}, [0, 1, 2]),  # half of the best score
        ({0: 0.9, 1: 0.8, 2: 0.44}, [0, 1]),
        ({0: 0.9, 1: 0.2, 2: 0.7}, [0, 2]),  # what lies between need not lead
        ({1: 0.9, 0: 0.8, 2: 0.1}, [1]),  # what the best one is nested in is less specific
        ({0: 0.9, 2: 0.6, 3: 0.7, 1: 0.8, 4: 0.5}, [0, 1, 4, 3]),  # of two in one, the higher; by both its parents
        ({0: 0.9, 1: 0.8, 2: 0.7, 4: 0.6, 5: 0.55, 6: 0.5}, [0, 1, 2]),  # not the deepest branch but the higher one
        ({0: 0.9, 7: 0.8}, [0]),  # what is not nested does not count
        ({7: 0.9, 0: 0.8, 1: 0.8}, [7]),
    ],
)
def test_the_way_down_goes_by_the_scores(scores, chain):
    made = np.zeros(len(PARENTS))
    made[list(scores)] = list(scores.values())
    assert most_specific(made, PARENTS) == chain


def test_without_nested_classes_it_is_the_best():
    assert most_specific(np.array([0.2, 0.7, 0.7]), ()) == [1]


# ---- the classifier's own -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("parents", [(), ((), (0,), (0, 1))])
def test_a_classifier_keeps_what_its_classes_are_nested_in(parents, tmp_path):
    made = Classifier(
        network=BACKBONES["compact"].build(3),
        front_end=VGGISH,
        classes=("animal", "dog", "bark"),
        backbone="compact",
        segment_frames=VGGISH.segment_frames,
        overlap=0.0,
        parents=parents,
    )
    made.save(tmp_path / "made.safetensors")
    assert classifiers.load(tmp_path / "made.safetensors").parents == parents


def test_the_best_class_leads_where_all_answers_are_below_0():
    assert most_specific(np.array([-3.0, -1.0, -2.0]), ((), (), (1,))) == [1]
