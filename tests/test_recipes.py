"""Recipes: the example's numbers, names, ranges."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.core.errors import UsageError
from earwitness.models.registry import BACKBONES
from earwitness.training.recipes import EXAMPLE, RECIPES, Augmentation, Recipe, check, recipe_named


def test_the_defaults_are_the_examples():
    assert recipe_named("example") == EXAMPLE == Recipe()
    assert (EXAMPLE.epochs, EXAMPLE.batch, EXAMPLE.learning_rate) == (5, 128, 1e-3)
    assert (EXAMPLE.schedule, EXAMPLE.drop, EXAMPLE.drop_every) == ("step", 0.5, 2)
    assert EXAMPLE.validate_every == 50
    # Plain Adam on all layers, nothing changed in the segments.
    assert (EXAMPLE.weight_decay, EXAMPLE.backbone_rate, EXAMPLE.label_smoothing) == (0.0, 1.0, 0.0)
    assert not EXAMPLE.augmentation.any
    assert not EXAMPLE.standardise
    assert not EXAMPLE.keep_norms
    assert EXAMPLE.head_epochs == 0


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_in_range_and_is_json(name):
    check(RECIPES[name])
    again = json.loads(json.dumps(RECIPES[name].as_dict()))
    assert again.keys() == {entry.name for entry in fields(Recipe)} - {"tf32"}  # which is left to PyTorch
    assert Recipe(**{**again, "augmentation": Augmentation(**again["augmentation"])}) == RECIPES[name]


@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=BACKBONES)
def test_every_backbone_names_a_recipe_for_random_weights(backbone):
    assert recipe_named(backbone.scratch).standardise


def test_changes_change_and_none_leaves():
    recipe = recipe_named("best", epochs=3, batch=None, learning_rate=0.5)
    assert (recipe.epochs, recipe.batch, recipe.learning_rate) == (3, RECIPES["best"].batch, 0.5)
    assert RECIPES["best"].epochs != 3


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"epochs": 0}, "--epochs 0: must be at least 1"),
        ({"epochs": -2}, "--epochs -2"),
        ({"batch": 0}, "--batch 0"),
        ({"drop_every": 0}, "--drop-every 0"),
        ({"validate_every": 0}, "--validate-every 0"),
        ({"learning_rate": 0.0}, "--learning-rate 0"),
        ({"learning_rate": -1e-3}, "--learning-rate"),
        ({"learning_rate": 11.0}, "--learning-rate 11"),
        ({"learning_rate": float("nan")}, "--learning-rate nan"),
        ({"learning_rate": float("inf")}, "--learning-rate inf"),
        ({"label_smoothing": 1.0}, "--label-smoothing 1"),
        ({"label_smoothing": -0.1}, "--label-smoothing"),
        ({"schedule": "stairs"}, "--schedule stairs: choose one of step, cosine"),
        ({"precision": "half"}, "--precision half: choose one of float32, bfloat16, auto"),
        ({"weight_decay": -1.0}, "weight_decay -1"),
        ({"backbone_rate": float("nan")}, "backbone_rate nan"),
        ({"drop": -0.5}, "drop -0.5"),
        ({"epoch": 3}, "epoch: a recipe has no such number"),
    ],
)
def test_numbers_out_of_range_are_named(changes, line):
    with pytest.raises(UsageError, match=line):
        recipe_named("example", **changes)


def test_an_unknown_recipe_names_the_known_ones():
    with pytest.raises(UsageError, match="--recipe cake: no such recipe; choose one of example, scratch"):
        recipe_named("cake")


@given(
    st.builds(
        Augmentation,
        shift=st.booleans(),
        gain_db=st.sampled_from([0.0, 6.0]),
        masks=st.sampled_from([0, 2]),
        equalise_db=st.sampled_from([0.0, 3.0]),
    )
)
def test_any_tells_whether_anything_is_changed(augmentation):
    parts = (augmentation.shift, augmentation.gain_db, augmentation.equalise_db, augmentation.masks)
    assert augmentation.any == any(parts)
