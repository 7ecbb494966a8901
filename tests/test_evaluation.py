"""Measures: votes and ties by hand, the rest against scikit-learn and published numbers."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import sklearn.metrics as oracle
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from earwitness.core.errors import EarwitnessError
from earwitness.core.files import read_csv, read_json
from earwitness.core.run_folder import RunFolder
from earwitness.models import prediction
from earwitness.models.prediction import Predictions
from earwitness.training import evaluation
from earwitness.training.evaluation import class_metrics, confusion_matrix, measure, wilson_interval
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
    assert metrics["file_accuracy"] == 1.0
    assert metrics["file_accuracy_mean_score"] == 0.0
    assert metrics["segment_accuracy"] == pytest.approx(2 / 3)
    assert metrics["ties"] == []


def test_a_tie_goes_to_the_higher_mean_score_and_is_said():
    tie = made([[[0.6, 0.4, 0.0], [0.1, 0.9, 0.0]], [[0.8, 0.2, 0.0], [0.3, 0.7, 0.0]]], [1, 1])
    assert tie.tied.tolist() == [True, True]
    assert tie.file_predicted.tolist() == [1, 0]  # means 0.35 : 0.65 and 0.55 : 0.45
    assert measure(tie)["ties"] == [{"file": "0.wav", "decided": "b"}, {"file": "1.wav", "decided": "a"}]


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
        values = [np.nan if row[key] is None else row[key] for key in ("precision", "recall", "f1", "support")]
        np.testing.assert_allclose(values, [column[place] for column in expected])


@given(predictions())
def test_accuracies_are_scikit_learns(made_):
    metrics = measure(made_)
    assert metrics["segment_accuracy"] == pytest.approx(oracle.accuracy_score(made_.segment_labels, made_.predicted))
    assert metrics["file_accuracy"] == pytest.approx(oracle.accuracy_score(made_.labels, made_.file_predicted))
    by_mean = oracle.accuracy_score(made_.labels, made_.file_predicted_by_mean)
    assert metrics["file_accuracy_mean_score"] == pytest.approx(by_mean)
    assert np.sum(metrics["confusion"]["files"]) == metrics["files"] == len(made_.files)
    assert np.sum(metrics["confusion"]["segments"]) == metrics["segments"] == len(made_.recording)
    assert list(metrics["per_class"]) == list(made_.classes) == metrics["confusion"]["classes"]
    json.dumps(metrics, allow_nan=False)


def test_a_row_is_a_true_class_and_a_column_a_predicted_one():
    assert confusion_matrix(np.array([0, 0]), np.array([1, 1]), 2).tolist() == [[0, 2], [0, 0]]


def test_what_is_nothing_over_nothing_is_none():
    rows = class_metrics(np.array([[1, 0, 0], [0, 0, 0], [1, 0, 0]]))
    assert rows[0] == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1}
    assert rows[1] == {"precision": None, "recall": None, "f1": None, "support": 0}
    assert rows[2] == {"precision": None, "recall": 0.0, "f1": 0.0, "support": 1}


# ---- intervals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17, 1998, p. 857: table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_intervals_are_the_published_ones(right, total, low, high):
    assert wilson_interval(right, total) == pytest.approx((low, high), abs=5.1e-5)


@given(st.integers(1, 3000), st.data(), st.floats(0.5, 0.999))
def test_an_interval_ends_where_the_score_test_does(total, data, confidence):
    from statistics import NormalDist

    right = data.draw(st.integers(0, total))
    low, high = wilson_interval(right, total, confidence)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = right / total
    assert 0.0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1.0
    for end in (low, high):
        if 1e-9 < end < 1 - 1e-9:  # solves |share - p| = z sqrt(p (1 - p) / n)
            assert abs(share - end) == pytest.approx(z * np.sqrt(end * (1 - end) / total), rel=1e-6)


@given(st.integers(0, 200), st.integers(1, 200))
def test_intervals_mirror(right, more):
    total = right + more
    low, high = wilson_interval(right, total)
    assert wilson_interval(total - right, total) == pytest.approx((1 - high, 1 - low))


def test_no_trials_say_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_all_right_is_not_certain():
    low, high = wilson_interval(80, 80)
    assert high == 1.0
    assert low == pytest.approx(80 / (80 + 1.959964**2), abs=1e-6)


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
    evaluation.write(made([[[0.5, float(lead), 0.0]]], [1]), RunFolder(tmp_path))
    assert evaluation.read(RunFolder(tmp_path)).predicted.tolist() == [1]


# ---- files -------------------------------------------------------------------------------------------------------


@given(predictions())
def test_what_is_written_is_read(tmp_path_factory, made_):
    run = RunFolder(tmp_path_factory.mktemp("run"))
    metrics = evaluation.write(made_, run)
    back = evaluation.read(run)
    assert (back.classes, back.files) == (made_.classes, made_.files)
    np.testing.assert_array_equal(back.labels, made_.labels)
    np.testing.assert_array_equal(back.recording, made_.recording)
    np.testing.assert_array_equal(back.predicted, made_.predicted)
    np.testing.assert_array_equal(back.scores, made_.scores)
    np.testing.assert_allclose(back.start_seconds, made_.start_seconds, atol=1e-6)
    np.testing.assert_allclose(back.end_seconds, made_.end_seconds, atol=1e-6)
    assert measure(back) == metrics == read_json(run.metrics)


def test_the_tables_have_the_contracts_columns(tmp_path):
    run = RunFolder(tmp_path)
    evaluation.write(made([[[0.6, 0.4, 0.0], [0.1, 0.9, 0.0]]], [1]), run)
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
        evaluation.read(run)


def test_a_missing_table_is_said(tmp_path):
    with pytest.raises(EarwitnessError, match=r"predictions\.csv: could not be read"):
        evaluation.read(RunFolder(tmp_path))
