"""The likely cause of each misclassification, on made-up tables of scores."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.core.run_folder import RunFolder
from earwitness.models.prediction import Predictions
from earwitness.report.causes import likely_causes
from earwitness.trust.audit.effects import Affected, Audit, ClassEffect, Effect
from earwitness.web.shown import why

CLASSES = ("dog", "rain", "rooster", "sneezing")


def made(*recordings: tuple[str, str, tuple[float, ...]], silent: bool = True) -> Predictions:
    """Return predictions of recordings: true class, predicted classes by first letters and score, silent shares.

    A letter a segment (d, r for rain, R for rooster, s): that class has ``0.7``, the true class what is left.
    """
    letters = {"d": 0, "r": 1, "R": 2, "s": 3}
    scores, recording, shares, labels = [], [], [], []
    for number, (true, segments, quiet) in enumerate(recordings):
        labels.append(CLASSES.index(true))
        for letter, share in zip(segments, quiet or (0.0,) * len(segments), strict=True):
            row = np.full(4, 0.02)
            row[labels[-1]] = 0.26
            row[letters[letter]] = 0.7
            scores.append(row)
            recording.append(number)
            shares.append(share)
    return Predictions(
        classes=CLASSES,
        files=tuple(f"{number}.wav" for number in range(len(recordings))),
        labels=np.array(labels),
        recording=np.array(recording),
        start_seconds=np.arange(len(recording)) * 0.5,
        end_seconds=np.arange(len(recording)) * 0.5 + 1.0,
        scores=np.array(scores),
        silent=np.array(shares) if silent else None,
    )


def cause(predictions: Predictions, audit: Audit | None = None, regions=()) -> str:
    return likely_causes(predictions, ["0.wav"], audit, {"0.wav": regions})["0.wav"]


def effect(name: str = "silence", taken: str = "silence is cut out", **changes) -> Effect:
    plain = Effect(
        name=name,
        question="Does it?",
        taken=taken,
        files=8,
        touched=8,
        before=0.5,
        after=0.5,
        low=0.0,
        high=0.0,
        score_change=0.0,
        classes=(),
        recordings=(),
    )
    return replace(plain, **changes)


def audited(*effects: Effect) -> Audit:
    return Audit(effects=effects, classes=CLASSES, files=8, seconds=60.0)


def corrected(after: float, file: str = "0.wav", label: str = "dog") -> tuple[Affected, ...]:
    return (Affected(file=file, label=label, before=0.2, after=after, predicted_as=label),)


MISLED = ClassEffect(name="dog", files=4, touched=4, before=0.4, after=0.8, low=0.2, high=0.6)
REGIONS = (
    ("0.wav at 0.50 s", "Grad-CAM for rain", "0.60 to 0.80 s", "200 to 800 Hz", "50 %", "> 0.99", "0.70"),
    ("", "", "1.20 to 1.44 s", "300 to 900 Hz", "20 %", "> 0.99", "< 0.01"),
    ("", "LIME for dog", "0.10 to 0.20 s", "100 to 300 Hz", "50 %", "0.99", "0.00"),
    ("", "Occlusion sensitivity for rain", "scattered: no place holds a tenth of it", "", "", "", ""),
)


# ---- the kinds ----------------------------------------------------------------------------------------------------


def test_silence_is_named_where_without_it_the_vote_is_another():
    told = cause(made(("dog", "sssssdds", (1, 1, 1, 1, 0.6, 0.4, 0, 0))))
    assert told == (
        "5 of its 8 segments are at least half silent (4 of them digital silence), and 5 of these were predicted as "
        "sneezing; the 3 others alone vote for dog, so the silence likely decided."
    )
    # What the run takes silence for, over all recordings, is told where there is enough of it.
    many = made(("dog", "sss" + "d", (1, 1, 1, 0)), ("dog", "ssrd", (1, 1, 1, 0)))
    assert "predicted as sneezing, as 5 of the run's 6 silent segments are; the other one alone votes for dog" in cause(
        many
    )
    assert cause(made(("dog", "ss", (1, 1)))) == (
        "All 2 of its segments are digital silence, in which there is nothing to recognise."
    )
    assert "there is little in it to recognise" in cause(made(("dog", "ssd", (0.9, 1, 0.8))))
    # Silence is not named where the segments that sound vote alike, nor where nobody knows.
    assert "silen" not in cause(made(("dog", "ssss", (1, 1, 0, 0))))
    assert "silen" not in cause(made(("dog", "sssd", ()), silent=False))


def test_what_it_is_predicted_right_without_comes_before_what_votes_tell():
    predictions = made(("dog", "rrrr", ()))
    weaker, stronger = (
        effect("edges", corrected=corrected(0.5)),
        effect("level", "all are as loud", corrected=corrected(0.9)),
    )
    assert cause(predictions, audited(weaker, stronger)) == (
        "In the audit, where all are as loud, the mean score of dog rises from 0.20 to 0.90 and is the highest: "
        "loudness likely misled the classifier here, though over all recordings no effect beyond chance was found."
    )
    for other in (corrected(0.9, file="1.wav"), corrected(0.9, label="rooster")):
        assert "audit" not in cause(predictions, audited(effect(corrected=other)))
    silent = made(("dog", "sssd", (1, 1, 1, 0)))
    assert re.search(
        r"so the silence likely decided; in the audit, where silence is cut out, .*rises from 0\.20 to 0\.90",
        cause(silent, audited(stronger, effect(corrected=corrected(0.9)))),
    )


def test_votes_and_means_tell_the_other_kinds_apart():
    surely = made(("dog", "rrrd", ()))
    mean = replace(surely, scores=np.where(surely.scores == 0.7, [[0.4], [0.4], [0.4], [0.97]], surely.scores))
    assert cause(mean) == (
        "Only the vote is against it: 3 of its 4 segments were predicted as rain, but the mean score is highest for "
        "dog (0.44 against 0.31)."
    )
    close = made(("dog", "rrrrrdddd", ()))
    close = replace(close, scores=np.where((close.scores == 0.7) & (np.arange(4) == 1), 0.97, close.scores))
    assert cause(close) == (
        "The vote was close: 5 of its 9 segments for rain, 4 for dog (mean scores 0.55 against 0.46)."
    )
    tie = made(("dog", "rrdd", ()))
    tie = replace(tie, scores=np.where(tie.scores == 0.7, [[0.9], [0.9], [0.4], [0.4]], tie.scores))
    assert cause(tie).startswith("The vote between rain and dog was a tie, 2 to 2, and the higher mean score decided (")
    compare = "compare its evidence for rain with that for dog."
    assert cause(made(("dog", "rrrr", ()))) == (
        f"No single cause was found: all 4 segments were predicted as rain, with mean score 0.70 (dog: 0.26); {compare}"
    )
    assert cause(made(("dog", "r", ()))) == (
        f"No single cause was found: its only segment was predicted as rain with score 0.70 (dog: 0.26); {compare}"
    )
    sure = replace(made(("dog", "rrrr", ())), scores=np.tile([0.02, 0.95, 0.02, 0.01], (4, 1)))
    assert "its label may be wrong" in cause(sure)
    assert cause(made(("dog", "rrRs", ()))) == (
        "Its segments were predicted as different classes, 2 as rain, 1 as rooster, 1 as sneezing, and none of them is "
        "dog: the classifier is likely not sure of any."
    )
    assert cause(made(("dog", "rrrrrdd", ()))) == (
        "No single cause was found: its 7 segments were predicted so: 5 as rain, 2 as dog (mean score 0.51, of dog "
        f"0.39); {compare}"
    )


def test_the_live_page_calls_a_cause_what_is_one(tmp_path):
    def told(predictions: Predictions) -> str | None:
        return why(SimpleNamespace(run=SimpleNamespace(predictions=predictions, folder=RunFolder(tmp_path))), "0.wav")

    assert told(made(("dog", "ss", (1, 1)))).startswith("Likely cause: All 2 of its segments are digital silence")
    assert told(made(("dog", "rrrr", ()))).startswith("No single cause was found: ")
    assert told(made(("rain", "rrrr", ()))) is None


def test_the_place_that_takes_most_of_the_predicted_score_is_named():
    predictions = made(("dog", "rrrr", ()))
    assert cause(predictions, None, REGIONS).endswith(
        "; in its segment at 0.50 s, hiding 1.20 to 1.44 s at 300 to 900 Hz (where Grad-CAM points) takes the score "
        "of rain from over 0.99 to under 0.01, as was measured."
    )
    weak = [(*row[:-1], "0.90" if row[-1] else "") for row in REGIONS]
    assert "hiding" not in cause(predictions, None, weak)
    assert "hiding" not in cause(made(("dog", "ssss", ())), None, REGIONS)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (effect("level", classes=(MISLED,)), True),
        (effect("level", classes=(replace(MISLED, touched=3),)), False),
        (effect("silence", classes=(replace(MISLED, touched=3),)), True),
        (effect("level", classes=(replace(MISLED, low=-0.1),)), False),
        (effect("level", classes=(replace(MISLED, name="rain"),)), False),
    ],
)
def test_what_misleads_the_class_as_a_whole_may_be_part_of_it(found, said):
    told = cause(made(("dog", "rrrr", (0.3, 0, 0, 0))), audited(found))
    shares = "40% of dog's segments are right with it, 80% without"
    assert (f"may be part of it: in the audit, {shares}" in told) == said


# ---- what holds of all --------------------------------------------------------------------------------------------

segments = st.lists(st.tuples(st.sampled_from("drRs"), st.sampled_from([0.0, 0.3, 0.5, 1.0])), min_size=1, max_size=12)
tables = st.lists(st.tuples(st.sampled_from(CLASSES), segments), min_size=1, max_size=5)


@given(tables)
def test_every_misclassified_recording_has_one_sentence_of_true_numbers(table):
    predictions = made(
        *((true, "".join(each for each, _ in listed), tuple(share for _, share in listed)) for true, listed in table)
    )
    told = likely_causes(predictions, [*predictions.files, "elsewhere.wav"])
    wrong = predictions.file_predicted != predictions.labels
    assert set(told) == {file for file, each in zip(predictions.files, wrong, strict=True) if each}
    for row, file in enumerate(predictions.files):
        if file not in told:
            continue
        sentence, mine = told[file], predictions.recording == row
        true, answer = int(predictions.labels[row]), int(predictions.file_predicted[row])
        votes, quiet = predictions.votes[row], predictions.silent[mine] >= 0.5
        assert re.fullmatch(r"[A-Z0-9][^.]*(\.\d[^.]*)*\.", sentence)
        assert CLASSES[answer] in sentence or "nothing to recognise" in sentence
        # Counts of votes are those of the table.
        for count, name in re.findall(r"(\d+) as (\w+)", sentence):
            if name in CLASSES:
                assert int(count) == votes[CLASSES.index(name)]
        for count, total in re.findall(r"(\d+) of its (\d+) segments? (?:was|were) predicted", sentence):
            assert (int(count), int(total)) == (votes[answer], mine.sum())
        # Silence decides if and only if the others alone vote otherwise.
        alone = np.bincount(predictions.predicted[mine][~quiet], minlength=4)
        if "likely decided" in sentence:
            assert alone[answer] <= alone.max() > 0
            assert np.argmax(np.where(alone == alone.max(), predictions.mean_scores[row], -1)) != answer
        elif "silen" not in sentence and (predictions.predicted[mine][quiet] == answer).any():
            assert np.argmax(np.where(alone == alone.max(), predictions.mean_scores[row], -1)) == answer
        if "only the vote" in sentence.lower():
            assert predictions.file_predicted_by_mean[row] == true
        if "close" in sentence:
            assert 0 < votes[answer] - votes[true] <= max(1, 0.1 * mine.sum())


def test_a_small_rise_may_be_chance():
    small = effect("level", "all are as loud", corrected=corrected(0.4))
    assert "loudness may have misled the classifier here" in cause(made(("dog", "rrrr", ())), audited(small))
