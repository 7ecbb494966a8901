"""Regions of evidence as files for other programs, read back by parsers that are not ours."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.core.errors import UsageError
from earwitness.inspection import exports
from earwitness.inspection.exports import RegionRow, export, export_detections
from earwitness.models.detections import Detection


def row(number: int = 0, file: str = "a b.wav", **changes: object) -> RegionRow:
    place = {"start_seconds": 0.48 + number, "end_seconds": 1.4 + number, "low_hz": 833.4, "high_hz": 6468.0}
    return RegionRow(
        **{"file": file, "label": "Chicken, rooster", "method": "lime:samples=64", "share": 0.5}
        | place
        | {"score": 0.98, "without": 0.25}
        | changes
    )


def test_a_table_is_read_back(tmp_path):
    rows = [row(), row(1, "c.wav", label='quo"te\nline')]
    (path,) = export(rows, tmp_path, "all", ["csv"])
    with path.open(encoding="utf-8", newline="") as stream:
        read = list(csv.DictReader(stream))
    assert [
        RegionRow(**{name: type(getattr(rows[0], name))(text) for name, text in each.items()}) for each in read
    ] == rows


def test_a_file_a_recording_for_programs_that_know_one(tmp_path):
    paths = export([row(), row(1, "c/d.wav"), row(2)], tmp_path, "all", ["raven", "audacity", "raven"])
    expected = ["all-a-b.wav-*.selections.txt", "all-c-d.wav-*.selections.txt"]
    expected += ["all-a-b.wav-*.labels.txt", "all-c-d.wav-*.labels.txt"]
    assert all(path.match(pattern) for path, pattern in zip(paths, expected, strict=True))
    assert len(paths[0].read_text().splitlines()) == 3
    assert [path.read_text() for path in export([], tmp_path, "none", ["audacity"])] == [""]


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(1e-3, 1e3), st.floats(0, 9e3), st.text(max_size=9)), max_size=4))
def test_audacity_has_two_lines_a_label(regions):
    rows = [
        row(start_seconds=start, end_seconds=start + length, low_hz=low, high_hz=low + 10, label=label)
        for start, length, low, label in regions
    ]
    lines = exports.audacity([each.selection for each in rows]).split("\n")[:-1]
    assert len(lines) == 2 * len(rows)
    for first, second, each in zip(lines[::2], lines[1::2], rows, strict=True):
        start, end, name = first.split("\t")
        mark, low, high = second.split("\t")
        assert mark == "\\"
        assert name.endswith("(lime:samples=64)")
        numbers = [float(text) for text in (start, end, low, high)]
        assert numbers == pytest.approx([each.start_seconds, each.end_seconds, each.low_hz, each.high_hz], abs=1e-5)


def parser():
    return pytest.importorskip("crowsetta", reason="crowsetta is not installed: an independent parser of tables")


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of pandas, in crowsetta
def test_raven_is_read_by_another_parser(tmp_path):
    crowsetta = parser()
    rows = [row(), row(1), row(2)]
    (path,) = export(rows, tmp_path, "all", ["raven"])
    read = crowsetta.formats.bbox.Raven.from_file(path, annot_col="Annotation")
    assert list(read.df["annotation"]) == [each.label for each in rows]
    for name, column in (
        ("start_seconds", "begin_time_s"),
        ("end_seconds", "end_time_s"),
        ("low_hz", "low_freq_hz"),
        ("high_hz", "high_freq_hz"),
    ):
        np.testing.assert_allclose(read.df[column], [getattr(each, name) for each in rows], atol=1e-3)


def test_raven_has_its_columns():
    head, *lines = exports.raven([row().selection, row(1).selection], ["Share"]).splitlines()
    assert head.split("\t") == [*exports.RAVEN, "Share"]
    assert [line.split("\t")[0] for line in lines] == ["1", "2"]
    assert all(len(line.split("\t")) == len(exports.RAVEN) + 1 for line in lines)


def found(number: int = 0, **changes: object) -> Detection:
    given = {"start_seconds": 3.0 * number, "end_seconds": 3.0 * number + 2.4, "highest": 0.9, "mean": 0.75}
    return Detection(**{"class_name": "Chicken, rooster", "segments": 9, "row": number} | given | changes)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of pandas, in crowsetta
def test_detections_are_read_by_another_parser(tmp_path):
    crowsetta = parser()
    told = [found(), found(1, class_name="dog\tor cat"), found(2, highest=0.999999)]
    raven, audacity = export_detections("a b.wav", told, (60.0, 7600.0), tmp_path, "a-b", ["raven", "audacity"])
    assert (raven.name, audacity.name) == ("a-b-detections.selections.txt", "a-b-detections.labels.txt")
    read = crowsetta.formats.bbox.Raven.from_file(raven, annot_col="Annotation")
    assert list(read.df["annotation"]) == ["Chicken, rooster", "dog or cat", "Chicken, rooster"]
    np.testing.assert_allclose(read.df["begin_time_s"], [0.0, 3.0, 6.0])
    np.testing.assert_allclose(read.df["end_time_s"], [2.4, 5.4, 8.4])
    assert set(read.df["low_freq_hz"]) == {60.0}
    assert set(read.df["high_freq_hz"]) == {7600.0}
    labels = crowsetta.formats.seq.AudSeq.from_file(audacity)
    np.testing.assert_allclose(labels.start_times, [0.0, 3.0, 6.0])
    np.testing.assert_allclose(labels.end_times, [2.4, 5.4, 8.4])
    assert list(labels.labels) == ["Chicken, rooster (0.90)", "dog or cat (0.90)", "Chicken, rooster (> 0.99)"]
    with raven.open(encoding="utf-8", newline="") as stream:
        scores = [
            (each["Score"], each["Mean Score"], each["Segments"]) for each in csv.DictReader(stream, delimiter="\t")
        ]
    assert scores == [("0.900000", "0.750000", "9")] * 2 + [("0.999999", "0.750000", "9")]


def test_no_detections_are_empty_tables(tmp_path):
    paths = export_detections("a.wav", [], (0.0, 8000.0), tmp_path, "a", ["csv", "raven", "audacity", "svg", "csv"])
    assert [path.name.partition("-detections")[2] for path in paths] == [".csv", ".selections.txt", ".labels.txt"]
    assert [len(path.read_text().splitlines()) for path in paths] == [1, 1, 0]


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(UsageError, match=re.escape("--export xml: use csv, raven, audacity, svg, pdf")):
        export([row()], tmp_path, "all", ["csv", "xml"])
    assert not list(tmp_path.iterdir())
