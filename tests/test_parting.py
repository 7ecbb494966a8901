"""Data sets in several parts, class by class: shares, counts, some classes alone."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import earwitness as ew
from earwitness.core.errors import UsageError
from earwitness.data import splits
from earwitness.data.loading import load
from earwitness.data.recordings import DataSet, Recording


def made(sizes: dict[str, int], group=lambda number: None) -> DataSet:
    """Return a data set without files."""
    recordings = tuple(
        Recording(
            path=Path(f"{label}/{number:03}.wav"), name=f"{label}/{number:03}.wav", label=label, group=group(number)
        )
        for label, size in sizes.items()
        for number in range(size)
    )
    return DataSet(root=Path("made"), recordings=recordings, classes=tuple(sizes))


def counted(part: DataSet) -> dict[str, int]:
    return dict(Counter(each.label for each in part.recordings))


def test_shares_and_what_is_left():
    parts = ew.split_each_label(made({"cat": 10, "dog": 20}), 0.6, 0.3)
    assert [counted(part) for part in parts] == [{"cat": 6, "dog": 12}, {"cat": 3, "dog": 6}, {"cat": 1, "dog": 2}]
    assert [each.name for each in parts[1].recordings][:3] == ["cat/006.wav", "cat/007.wav", "cat/008.wav"]
    assert len(ew.split_each_label(made({"cat": 10, "dog": 20}), 0.7, 0.2, 0.1)) == 3


def test_counts_are_exact_and_classes_are_chosen():
    data = made({"cat": 5, "dog": 9, "owl": 2})
    first, rest = ew.split_each_label(data, 4, exclude=["owl"])
    assert (counted(first), counted(rest)) == ({"cat": 4, "dog": 4}, {"cat": 1, "dog": 5})
    assert first.classes == rest.classes == ("cat", "dog")
    (only, other) = ew.split_each_label(data, 1, include=["owl"])
    assert counted(only) == counted(other) == {"owl": 1}
    assert [counted(part) for part in ew.split_each_label(data, 5, include=["cat"])] == [{"cat": 5}]


@given(
    sizes=st.dictionaries(st.sampled_from("abcd"), st.integers(8, 40), min_size=1),
    shares=st.lists(st.sampled_from([0.15, 0.2, 0.25, 0.3]), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_parts_are_whole_disjoint_near_their_share_and_repeatable(sizes, shares, seed):
    data = made(sizes)
    parts = ew.split_each_label(data, *shares, seed=seed)
    assert parts == ew.split_each_label(data, *shares, seed=seed)
    names = [each.name for part in parts for each in part.recordings]
    assert sorted(names) == sorted(data.names)
    for part, share in zip(parts, shares, strict=False):
        for label, size in sizes.items():
            assert abs(counted(part)[label] - share * size) <= 1.0


def test_a_seed_draws():
    data = made({"cat": 30})
    drawn = [ew.split_each_label(data, 10, seed=seed)[0].names for seed in (0, 1)]
    assert drawn[0] != drawn[1] != data.names[:10]


def test_the_table_goes_into_a_training(tmp_path, monkeypatch):
    for label in ("cat", "dog"):
        for number in range(5):
            path = tmp_path / "sounds" / label / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"RIFF")
    monkeypatch.chdir(tmp_path)
    parts = ew.split_each_label("sounds", 3, 1, out=tmp_path / "lists" / "parts.csv")
    again = load(tmp_path / "lists" / "parts.csv")
    assert sorted(os.path.realpath(each.path) for each in again.recordings) == sorted(
        os.path.realpath(each.path) for part in parts for each in part.recordings
    )
    held = splits.split(again, "fold", fold=2)
    assert sorted(again.recordings[row].path.name for row in held.validation) == ["3.wav", "3.wav"]


def test_cut_sources_are_counted():
    (part, *_) = ew.split_each_label(made({"cat": 6}, group=lambda number: str(number // 2)), 3)
    assert "1 of 3 sources (1) are cut" in part.warnings[-1]
    (part, *_) = ew.split_each_label(made({"cat": 6}, group=lambda number: str(number // 2)), 4)
    assert part.warnings == ()


@pytest.mark.parametrize(
    ("sizes", "more", "words"),
    [
        ((), {}, "sizes none: give shares"),
        ((0.5, 2), {}, "sizes 0.5, 2: give shares .* or counts"),
        ((1.5,), {}, "sizes 1.5: give shares"),
        ((0.8, 0.4), {}, "shares 0.8, 0.4 are 1.2 together"),
        ((4, 3), {}, "class 'cat' has 6 recordings, which are too few for parts of 4, 3"),
        ((0.01,), {}, "class 'cat' has 6 recordings, which are too few"),
        ((2,), {"include": ["dgo"]}, "dgo.*did you mean.*dog|dog"),
        ((2,), {"include": ["dog"], "exclude": ["cat"]}, "not both"),
        ((2,), {"exclude": ["dog", "cat"]}, "no class is left"),
    ],
)
def test_what_does_not_fit_is_one_line(sizes, more, words):
    with pytest.raises(UsageError, match=words):
        ew.split_each_label(made({"cat": 6, "dog": 9}), *sizes, **more)
