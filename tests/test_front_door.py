"""What a notebook user types: the examples of all public names run, and what they return is flat."""

from __future__ import annotations

import doctest
import inspect
import shutil
from pathlib import Path

import pytest

import earwitness as ew
from earwitness.data.synthetic.corpus import write_dataset
from earwitness.inspection import questions
from earwitness.trust.scoreboard import collect
from earwitness.workflows import inquire

CLASSES = ("dog", "helicopter", "rain")
DOCUMENTED = {name: getattr(ew, name) for name in ew.__all__} | {"Answer": inquire.Answer}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with labelled sounds, a run, and two files."""
    place = tmp_path_factory.mktemp("notebook")
    made = write_dataset(place / "made", 6)
    for name in CLASSES:
        shutil.copytree(made / name, place / "sounds" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        ew.train(ew.Request(data="sounds", out="runs/demo", backbone="compact", changes={"epochs": 8}))
    for name, label in (("some.wav", "dog"), ("other.wav", "rain")):
        shutil.copy(sorted((place / "sounds" / label).glob("*.wav"))[0], place / name)
    return place


@pytest.fixture
def here(place, monkeypatch) -> Path:
    monkeypatch.chdir(place)
    return place


@pytest.mark.parametrize("name", [*DOCUMENTED, "questions"])
def test_examples_run(name, here, monkeypatch):
    # Planted shortcuts train small networks of their own, for a minute.
    monkeypatch.setattr(collect, "plant", lambda **_: [])
    thing = DOCUMENTED.get(name, questions)
    (test,) = [
        each
        for each in doctest.DocTestFinder(recurse=False).find(thing, name, module=False, globs={"__name__": "__main__"})
        if each.examples
    ]
    assert not any(doctest.SKIP in example.options for example in test.examples)
    shutil.rmtree("runs/first", ignore_errors=True)
    said: list[str] = []
    result = doctest.DocTestRunner().run(test, out=said.append)
    assert result.failed == 0, "".join(said)
    assert result.attempted


def test_every_public_name_says_what_it_is():
    for name, thing in DOCUMENTED.items():
        assert len(inspect.getdoc(thing) or "") > 100, name
