"""Measures: votes and ties by hand, the rest against scikit-learn and published numbers."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics as oracle
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from earwitness.core.errors import EarwitnessError
from earwitness.core.files import read_csv, read_json, write_json
from earwitness.core.run_folder import RunFolder
from earwitness.models import prediction
from earwitness.models.prediction import Predictions
from earwitness.training import prediction_files
from earwitness.training.metrics import ClassScores, Metrics, Tie, class_metrics, confusion_matrix, measure, read
from rounding import DEEP, rounding
from tiny_sounds import LABELS, made_data, new_classifier


def made(scores_of_files, labels, classes=("a", "b", "c")) -> Predictions:
    """Predictions from a list of score rows a file."""
    counts = [len(scores) for scores in scores_of_files]
    start = np.concatenate([0.24 * np.arange(count) for count in counts])
    return Predictions(
        classes=classes,
        files=tuple(f"{number}.wav" for number in range(len(counts))),
        labels=np.array(labels, dtype=np.int64),
        recording=np.repeat(np.arange(len(counts)), counts),
        start_seconds=start,
        end_seconds=start + 0.96,
        scores=np.concatenate([np.asarray(scores, dtype=np.float64) for scores in scores_of_files]),
    )


@st.composite
def predictions(draw):
    classes = draw(st.integers(2, 5))
    files = draw(st.integers(1, 6))
    counts = draw(st.lists(st.integers(1, 6), min_size=files, max_size=files))
    total = sum(counts)
    raw = draw(hnp.arrays(np.float32, (total, classes), elements=st.floats(0, 1, width=32)))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=files, max_size=files))
    scores = np.split(raw.astype(np.float64), np.cumsum(counts)[:-1])
    return made(scores, labels, tuple(f'class {n}, "{n}"' for n in range(classes)))


# ---- votes -------------------------------------------------------------------------------------------------------


def test_the_majority_decides_even_against_the_mean():
    votes_b = made([[[0.0, 0.51, 0.49], [0.0, 0.51, 0.49], [0.0, 0.01, 0.99]]], [1])
    assert votes_b.votes.tolist() == [[0, 2, 1]]
    assert votes_b.file_predicted.tolist() == [1]
    assert votes_b.file_predicted_by_mean.tolist() == [2]
    assert not votes_b.tied[0]
    metrics = measure(votes_b)
    assert metrics.file_accuracy == 1.0
    assert metrics.file_accuracy_mean_score == 0.0
    assert metrics.segment_accuracy == pytest.approx(2 / 3)
    assert metrics.ties == ()


def test_a_tie_goes_to_the_higher_mean_score_and_is_said():
    tie = made([[[0.6, 0.4, 0.0], [0.1, 0.9, 0.0]], [[0.8, 0.2, 0.0], [0.3, 0.7, 0.0]]], [1, 1])
    assert tie.tied.tolist() == [True, True]
    assert tie.file_predicted.tolist() == [1, 0]  # means 0.35 : 0.65 and 0.55 : 0.45
    assert measure(tie).ties == (Tie("0.wav", "b"), Tie("1.wav", "a"))


def test_a_class_without_votes_cannot_win_a_tie_by_its_mean():
    # c is second everywhere, so its mean is highest, but nobody voted for it.
    tie = made([[[0.52, 0.0, 0.48], [0.0, 0.51, 0.49]]], [0])
    assert tie.mean_scores[0].argmax() == 2
    assert tie.file_predicted.tolist() == [0]


def test_a_tie_with_equal_means_goes_to_the_first_class():
    assert made([[[0.7, 0.3, 0.0], [0.3, 0.7, 0.0]]], [1]).file_predicted.tolist() == [0]


def test_a_tie_for_the_second_place_is_no_tie():
    three = made([[[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]], [0])
    assert not three.tied[0]


@given(predictions())
def test_votes_and_means_are_those_counted_one_by_one(made_):
    for number in range(len(made_.files)):
        rows = made_.scores[made_.recording == number]
        votes = [sum(int(row.argmax()) == place for row in rows) for place in range(len(made_.classes))]
        assert made_.votes[number].tolist() == votes
        np.testing.assert_allclose(made_.mean_scores[number], rows.mean(axis=0))
        best = [place for place in range(len(votes)) if votes[place] == max(votes)]
        assert bool(made_.tied[number]) == (len(best) > 1)
        assert made_.file_predicted[number] in best
        chosen = made_.mean_scores[number][made_.file_predicted[number]]
        assert chosen == max(made_.mean_scores[number][place] for place in best)


# ---- measures against an oracle ----------------------------------------------------------------------------------


@given(st.integers(2, 6), st.data())
def test_confusion_precision_recall_and_f1_are_scikit_learns(classes, data):
    count = data.draw(st.integers(1, 40))
    true = np.array(data.draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)))
    predicted = np.array(data.draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)))
    matrix = confusion_matrix(true, predicted, classes)
    every = np.arange(classes)
    np.testing.assert_array_equal(matrix, oracle.confusion_matrix(true, predicted, labels=every))
    expected = oracle.precision_recall_fscore_support(true, predicted, labels=every, zero_division=np.nan)
    for place, row in enumerate(class_metrics(matrix)):
        values = [np.nan if value is None else value for value in (row.precision, row.recall, row.f1, row.support)]
        np.testing.assert_allclose(values, [column[place] for column in expected])


@given(predictions())
def test_accuracies_are_scikit_learns(made_):
    metrics = measure(made_)
    assert metrics.segment_accuracy == pytest.approx(oracle.accuracy_score(made_.segment_labels, made_.predicted))
    assert metrics.file_accuracy == pytest.approx(oracle.accuracy_score(made_.labels, made_.file_predicted))
    by_mean = oracle.accuracy_score(made_.labels, made_.file_predicted_by_mean)
    assert metrics.file_accuracy_mean_score == pytest.approx(by_mean)
    assert np.sum(metrics.confusion.files) == metrics.files == len(made_.files)
    assert np.sum(metrics.confusion.segments) == metrics.segments == len(made_.recording)
    assert tuple(metrics.per_class) == made_.classes == metrics.confusion.classes
    assert Metrics.from_dict(json.loads(json.dumps(metrics.as_dict(), allow_nan=False))) == metrics


def test_a_row_is_a_true_class_and_a_column_a_predicted_one():
    assert confusion_matrix(np.array([0, 0]), np.array([1, 1]), 2).tolist() == [[0, 2], [0, 0]]


def test_what_is_nothing_over_nothing_is_none():
    rows = class_metrics(np.array([[1, 0, 0], [0, 0, 0], [1, 0, 0]]))
    assert rows[0] == ClassScores(0.5, 1.0, pytest.approx(2 / 3), 1)
    assert rows[1] == ClassScores(None, None, None, 0)
    assert rows[2] == ClassScores(None, 0.0, 0.0, 1)


# ---- listening ---------------------------------------------------------------------------------------------------


def test_predictions_are_of_the_asked_recordings_in_their_order():
    data, classifier = made_data(), new_classifier()
    asked = np.array([7, 2, 5])
    found = prediction.predict(classifier, data.segments, data.labels, asked)
    assert found.files == tuple(data.segments.files[number] for number in asked)
    assert found.labels.tolist() == data.labels[asked].tolist()
    assert found.classes == LABELS
    for place, number in enumerate(asked):
        rows = data.segments.rows_of([number])
        mine = found.recording == place
        np.testing.assert_allclose(found.start_seconds[mine], data.segments.start_frames[rows] * 0.01)
        np.testing.assert_allclose(found.end_seconds[mine] - found.start_seconds[mine], 0.32)
        expected = classifier.probabilities(data.segments.values(rows)).numpy()
        np.testing.assert_allclose(found.scores[mine], expected, atol=rounding(1.0, units=DEEP))
    np.testing.assert_allclose(found.scores.sum(axis=1), 1.0, atol=rounding(1.0))


def test_long_recordings_are_heard_in_parts(monkeypatch):
    data, classifier = made_data(), new_classifier()
    whole = prediction.predict(classifier, data.segments, data.labels, np.arange(3))
    monkeypatch.setattr(prediction, "SEGMENTS_AT_ONCE", 2)
    parts = prediction.predict(classifier, data.segments, data.labels, np.arange(3))
    np.testing.assert_array_equal(parts.recording, whole.recording)
    np.testing.assert_allclose(parts.scores, whole.scores, atol=rounding(1.0, units=DEEP))


def test_a_small_lead_survives_the_file(tmp_path):
    lead = np.nextafter(np.float32(0.5), np.float32(1.0))
    prediction_files.write(made([[[0.5, float(lead), 0.0]]], [1]), RunFolder(tmp_path))
    assert prediction_files.read(RunFolder(tmp_path)).predicted.tolist() == [1]


# ---- metrics.json ------------------------------------------------------------------------------------------------

# What version 0.1.0 wrote of the predictions below, value by value and key by key.
WRITTEN = {
    "segment_accuracy": 0.6666666666666666,
    "file_accuracy": 0.75,
    "file_accuracy_mean_score": 0.75,
    "segments": 6,
    "files": 4,
    "confidence": 0.95,
    "intervals": {
        "file_accuracy": [0.3006418425824019, 0.9544127391902995],
        "file_accuracy_mean_score": [0.3006418425824019, 0.9544127391902995],
    },
    "ties": [{"file": "0.wav", "decided": "h\N{LATIN SMALL LETTER E WITH ACUTE}ron"}],
    "per_class": {
        "dog": {
            "segments": {"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "support": 3},
            "files": {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 2},
        },
        "h\N{LATIN SMALL LETTER E WITH ACUTE}ron": {
            "segments": {"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "support": 3},
            "files": {"precision": 2 / 3, "recall": 1.0, "f1": 0.8, "support": 2},
        },
        "c": {
            "segments": {"precision": None, "recall": None, "f1": None, "support": 0},
            "files": {"precision": None, "recall": None, "f1": None, "support": 0},
        },
    },
    "confusion": {
        "classes": ["dog", "h\N{LATIN SMALL LETTER E WITH ACUTE}ron", "c"],
        "segments": [[2, 1, 0], [1, 2, 0], [0, 0, 0]],
        "files": [[1, 1, 0], [0, 2, 0], [0, 0, 0]],
    },
}


def test_metrics_of_version_0_1_0_are_read_and_written_with_the_same_bytes(tmp_path):
    text = json.dumps(WRITTEN, indent=2, ensure_ascii=False) + "\n"
    run = RunFolder(tmp_path)
    run.metrics.write_text(text, encoding="utf-8")
    back = read(run)
    write_json(run.metrics, back.as_dict())
    assert run.metrics.read_text(encoding="utf-8") == text
    dog, heron = [0.6, 0.4, 0.0], [0.1, 0.9, 0.0]
    measured = measure(made([[dog, heron], [heron], [dog, dog], [heron]], [1, 1, 0, 0], back.confusion.classes))
    assert replace(measured, intervals=back.intervals) == back
    assert measured.intervals.file_accuracy == pytest.approx(back.intervals.file_accuracy)
    assert list(measured.as_dict()) == list(WRITTEN)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"file_accuracy": None}, "None is not a share"),
        ({"file_accuracy": 86.03}, "86.03 is not a share"),
        ({"segment_accuracy": float("nan")}, "nan is not a share"),
        ({"files": 4.5}, "4.5 is not a count"),
        ({"segments": True}, "True is not a count"),
        ({"intervals": {"file_accuracy": [0.1, 0.9]}}, "it has no 'file_accuracy_mean_score'"),
        ({"intervals": []}, "list indices"),
        ({"ties": [{"file": 1, "decided": "dog"}]}, "1 is not a name"),
        ({"per_class": {}}, "of other classes"),
        ({"per_class": None}, "NoneType"),
        ({"confusion": {**WRITTEN["confusion"], "files": [[1, 1, 0]]}}, "confusion by files"),
        ({"confusion": {**WRITTEN["confusion"], "files": "many"}}, "'many' is not a list"),
    ],
)
def test_damaged_metrics_are_said_to_be_so(tmp_path, change, line):
    run = RunFolder(tmp_path)
    run.metrics.write_text(json.dumps({**WRITTEN, **change}))
    with pytest.raises(
        EarwitnessError, match=rf"metrics\.json: the metrics are damaged \(.*{line}.*evaluate"
    ) as caught:
        read(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", WRITTEN)
def test_metrics_without_one_entry_are_damaged(key):
    with pytest.raises(EarwitnessError, match=f"it has no '{key}'"):
        Metrics.from_dict({name: value for name, value in WRITTEN.items() if name != key})


@pytest.mark.parametrize("stored", [[], None, "metrics", 3])
def test_what_is_no_object_is_no_metrics(stored):
    with pytest.raises(EarwitnessError, match="the metrics are damaged"):
        Metrics.from_dict(stored)


# ---- files -------------------------------------------------------------------------------------------------------


@given(predictions())
def test_what_is_written_is_read(tmp_path_factory, made_):
    run = RunFolder(tmp_path_factory.mktemp("run"))
    metrics = prediction_files.write(made_, run)
    back = prediction_files.read(run)
    assert (back.classes, back.files) == (made_.classes, made_.files)
    np.testing.assert_array_equal(back.labels, made_.labels)
    np.testing.assert_array_equal(back.recording, made_.recording)
    np.testing.assert_array_equal(back.predicted, made_.predicted)
    np.testing.assert_array_equal(back.scores, made_.scores)
    np.testing.assert_allclose(back.start_seconds, made_.start_seconds, atol=1e-6)
    np.testing.assert_allclose(back.end_seconds, made_.end_seconds, atol=1e-6)
    assert measure(back) == metrics == read(run)
    assert metrics.as_dict() == read_json(run.metrics)


def test_silent_shares_are_kept_where_they_are_known(tmp_path):
    run = RunFolder(tmp_path)
    found = made([[[0.6, 0.4, 0.0], [0.1, 0.9, 0.0]], [[0.2, 0.1, 0.7]]], [1, 2])
    prediction_files.write(found, run)
    assert prediction_files.read(run).silent is None
    prediction_files.write(replace(found, silent=np.array([0.0, 1.0, 0.5])), run)
    back = prediction_files.read(run)
    np.testing.assert_array_equal(back.silent, [0.0, 1.0, 0.5])
    assert back.classes == found.classes
    text = run.predictions.read_text(encoding="utf-8")
    run.predictions.write_text(text.replace(",0.5,", ",half,"), encoding="utf-8")
    with pytest.raises(EarwitnessError, match="half"):
        prediction_files.read(run)


def test_the_tables_have_the_contracts_columns(tmp_path):
    run = RunFolder(tmp_path)
    prediction_files.write(made([[[0.6, 0.4, 0.0], [0.1, 0.9, 0.0]]], [1]), run)
    with run.predictions.open(newline="") as stream:
        header, first, second = csv.reader(stream)
    assert header == ["file", "start_s", "end_s", "label", "predicted", "score", "score_a", "score_b", "score_c"]
    assert first[:5] == ["0.wav", "0.000000", "0.960000", "b", "a"]
    assert second[1:5] == ["0.240000", "1.200000", "b", "b"]
    assert float(first[5]) == float(first[6]) == pytest.approx(0.6)
    (row,) = read_csv(run.files)
    assert {key: row[key] for key in ("file", "label", "predicted", "votes", "segments", "tie")} == {
        "file": "0.wav",
        "label": "b",
        "predicted": "b",
        "votes": "1",
        "segments": "2",
        "tie": "yes",
    }
    assert float(row["mean_score"]) == pytest.approx(0.65)
    assert row["predicted_by_mean"] == "b"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "holds no predictions"),
        ("file,start_s,end_s,label,predicted,score,score_a\n", "holds no predictions"),
        ("file,start_s,end_s,label,predicted,score,score_a\nx,0,1,b,a,1,1\n", "is damaged"),
        ("file,start_s,end_s,label,predicted,score,score_a\nx,0,1,a,a,1,one\n", "is damaged"),
        ("file,start_s,label,predicted,score,score_a\nx,0,a,a,1,1\n", "is damaged"),
        ("file,start_s,end_s,label,predicted,score,score_a\nx,0\n", "line 2 has 2 fields"),
    ],
)
def test_damaged_tables_are_said_to_be_so(tmp_path, content, line):
    run = RunFolder(tmp_path)
    run.predictions.write_text(content)
    with pytest.raises(EarwitnessError, match=line):
        prediction_files.read(run)


def test_a_missing_table_is_said(tmp_path):
    with pytest.raises(EarwitnessError, match=r"predictions\.csv: could not be read"):
        prediction_files.read(RunFolder(tmp_path))
