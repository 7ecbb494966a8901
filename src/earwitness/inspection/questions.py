"""The questions that are put to a run: which of its segments are looked at, and under which classes.

A question is made from predictions alone and costs nothing; :func:`earwitness.inspection.answers.answer` then reads the
recordings that it needs and no others.

>>> from earwitness.inspection import answers, questions
>>> from earwitness.inspection.run import open_run
>>> run = open_run("runs/demo")
>>> question = questions.of_class(run.predictions, "dog", count=2)
>>> question.title
'The class dog'
>>> inquiry = answers.answer(run, question, methods=[])
>>> [finding.predicted for finding in inquiry.findings]
['dog', 'dog']
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earwitness.core.errors import UsageError
from earwitness.core.files import safe_name
from earwitness.explainers.findings import MOST_SHOWN
from earwitness.inspection.places import checked_row, place_of, row_at
from earwitness.models.class_names import class_index
from earwitness.models.prediction import Predictions
from earwitness.training.metrics import confusion_matrix

SAMPLES = 12
SEGMENTS_OF_A_CLASS = 5
SEGMENTS_OF_A_CONFUSION = 4
MOST_RECORDINGS = 10
MOST_ABSENT = 3  # classes without recordings that are named one by one


@dataclass(frozen=True)
class Candidates:
    """Segments of which some are to be shown.

    Parameters
    ----------
    rows
        Of ``predictions.csv``, counted from 0; those wanted most first.
    count
        How many to show, of as many recordings as can be.
    silent
        What becomes of segments without sound: ``"shown"``, ``"left out"``, or ``"last"`` (shown only where there are
        no others; those left out are counted in a note).
    none
        What is noted where none is left.
    """

    rows: tuple[int, ...]
    count: int
    silent: str = "left out"
    none: str = ""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a run.

    Parameters
    ----------
    kind, name, title, question, notes
        As for an :class:`~earwitness.explainers.findings.Inquiry`.
    candidates
        Groups of segments; what is chosen of each is shown one group after the other.
    roles
        Under which classes each segment is explained: ``"predicted"``, ``"true"``.
    recordings
        Names of whole recordings to show.
    """

    kind: str
    name: str
    title: str
    question: str
    candidates: tuple[Candidates, ...] = ()
    roles: tuple[str, ...] = ()
    recordings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


# ---- the questions ------------------------------------------------------------------------------------------------


def recordings(predictions: Predictions, *, seed: int = 0) -> Question:
    """Show one recording a class, drawn at random from those that the run was measured on.

    Parameters
    ----------
    predictions
        The run's.
    seed
        Of the draw.
    """
    random = np.random.default_rng(seed)
    notes: list[str] = []
    classes = _some_classes(predictions, random, notes)
    names = [predictions.files[random.choice(np.flatnonzero(predictions.labels == index))] for index in classes]
    return Question(
        kind="recordings",
        name="recordings",
        title="Data samples",
        question="What do the recordings look like, one of each class?",
        recordings=tuple(names),
        notes=tuple(notes),
    )


def samples(predictions: Predictions, *, count: int = SAMPLES, seed: int = 0) -> Question:
    """Show segments drawn at random, each from another recording, with their true and predicted classes.

    Parameters
    ----------
    predictions
        The run's.
    count
        How many; fewer where the run has fewer recordings.
    seed
        Of the draw.
    """
    _check_count(count)
    random = np.random.default_rng(seed)
    files = random.permutation(len(predictions.files))[:count]
    rows = tuple(int(random.choice(np.flatnonzero(predictions.recording == file))) for file in files)
    return Question(
        kind="samples",
        name="samples",
        title="Predicted and true classes",
        question="What was predicted for segments drawn at random?",
        candidates=(Candidates(rows, len(rows), "shown"),),
    )


def chosen(predictions: Predictions, places: Sequence[str | int]) -> Question:
    """Explain chosen segments under the class that each was predicted as.

    Parameters
    ----------
    predictions
        The run's.
    places
        Rows of ``predictions.csv``, counted from 0; or segments as ``FILE@SECONDS`` (the one that starts nearest), or
        ``FILE`` for its most confident one.

    Raises
    ------
    UsageError
        There is no such row or place.
    """
    rows = [
        checked_row(predictions, place) if isinstance(place, int) else row_at(predictions, place) for place in places
    ]
    rows = list(dict.fromkeys(rows))
    return Question(
        kind="segments",
        name=safe_name("segments-" + "-".join(place_of(predictions, row) for row in rows)),
        title="Chosen segments",
        question="Which moments and which frequencies made these decisions?",
        candidates=(Candidates(tuple(rows), len(rows), "shown"),),
        roles=("predicted",),
    )


def surest(predictions: Predictions) -> Question:
    """Explain the most confident right segment of each class that holds sound.

    Parameters
    ----------
    predictions
        The run's.
    """
    notes: list[str] = []
    return Question(
        kind="segments",
        name="segments",
        title="The most confident right segment of each class",
        question="Which moments and which frequencies made these decisions?",
        candidates=tuple(
            Candidates(
                _predicted_as(predictions, index, index),
                1,
                none=f"No segment of {predictions.classes[index]} with sound in it was predicted right.",
            )
            for index in _some_classes(predictions, np.random.default_rng(0), notes)
        ),
        roles=("predicted",),
        notes=tuple(notes),
    )


def of_class(predictions: Predictions, name: str, *, count: int = SEGMENTS_OF_A_CLASS) -> Question:
    """Explain the most confident right segments of one class, from as many recordings as can be.

    Parameters
    ----------
    predictions
        The run's.
    name
        The class.
    count
        How many segments.

    Raises
    ------
    UsageError
        The classifier has no such class.
    """
    _check_count(count)
    name = _full_name(predictions, name)
    index = predictions.classes.index(name)
    none = f"There is none: no segment of {name} with sound in it was predicted right."
    return Question(
        kind="class",
        name=f"class-{safe_name(name)}",
        title=f"The class {name}",
        question=f"What does the classifier rely on when it rightly predicts {name}?",
        candidates=(Candidates(_predicted_as(predictions, index, index), count, none=none),),
        roles=("predicted",),
    )


def confusion(
    predictions: Predictions,
    *,
    true: str | None = None,
    predicted: str | None = None,
    count: int = SEGMENTS_OF_A_CONFUSION,
) -> Question:
    """Explain segments of one class that were predicted as another, under both classes, the most confident first.

    Segments without any sound are shown only where there are no others.

    Parameters
    ----------
    predictions
        The run's.
    true, predicted
        The two classes. One alone takes its most frequent partner; none takes the most frequent confusion of all.
    count
        How many segments, from as many recordings as can be.

    Raises
    ------
    UsageError
        The classifier has no such class, or both are the same.
    """
    _check_count(count)
    true, predicted = (None if name is None else _full_name(predictions, name) for name in (true, predicted))
    pair = _confused_pair(predictions, true, predicted)
    if pair is None:
        about = f" of {true}" if true else f" as {predicted}" if predicted else ""
        return Question(
            kind="confusion",
            name="-".join(["confusion", *(safe_name(part) for part in (true, predicted) if part)]),
            title="Misclassified segments",
            question="Why were segments predicted as what they are not?",
            notes=(f"There is none: no segment{about} was misclassified.",),
        )
    a, b = (predictions.classes[position] for position in pair)
    ranked = _predicted_as(predictions, *pair)
    return Question(
        kind="confusion",
        name=f"confusion-{safe_name(a)}-as-{safe_name(b)}",
        title=f"{a} predicted as {b}",
        question=f"Why was {a} predicted as {b}: what spoke for the one, and what for the other?",
        candidates=(Candidates(ranked, count, "last", f"There is none: no segment of {a} was predicted as {b}."),),
        roles=("predicted", "true"),
    )


def misclassified(predictions: Predictions, *, most: int = MOST_RECORDINGS) -> dict[str, Question]:
    """Explain the most confident wrong segment of each misclassified recording, under its predicted and its true class.

    Parameters
    ----------
    predictions
        The run's.
    most
        How many recordings: those whose mean score of the wrong class is highest.

    Returns
    -------
    By the recordings' names.
    """
    voted = predictions.file_predicted
    wrong = np.flatnonzero(voted != predictions.labels)
    surest = wrong[np.argsort(-predictions.mean_scores[wrong, voted[wrong]], kind="stable")][:most]
    return {predictions.files[file]: _of_recording(predictions, int(file)) for file in surest}


def name_of_misclassified(file: str) -> str:
    """Return the name of the question of :func:`misclassified` on a recording."""
    return f"misclassified-{safe_name(file)}"


def _of_recording(predictions: Predictions, recording: int) -> Question:
    file, voted = predictions.files[recording], int(predictions.file_predicted[recording])
    true = int(predictions.labels[recording])
    rows = tuple(row for row in _predicted_as(predictions, true, voted) if predictions.recording[row] == recording)
    votes = f"{len(rows)} of its {int(predictions.votes[recording].sum())} segments"
    predicted, label = predictions.classes[voted], predictions.classes[true]
    return Question(
        kind="misclassified",
        name=name_of_misclassified(file),
        title=f"{file}: {label} predicted as {predicted}",
        question=f"Why was this recording predicted as {predicted}, by {votes}? The most confident of them is shown.",
        candidates=(Candidates(rows, 1, "last"),),
        roles=("predicted", "true"),
    )


# ---- choosing -----------------------------------------------------------------------------------------------------


def _check_count(count: int) -> None:
    if count < 1:
        raise UsageError(f"{count}: so many segments cannot be shown; ask for 1 or more")


def _full_name(predictions: Predictions, name: str) -> str:
    """Return the class that a name means."""
    return predictions.classes[class_index(predictions.classes, name)]


def _some_classes(predictions: Predictions, random: np.random.Generator, notes: list[str]) -> list[int]:
    """Return the classes that have recordings, or as many of them, drawn at random, as a picture holds.

    A note names those without, or counts them where they are many.
    """
    classes = predictions.classes
    there = np.bincount(predictions.labels, minlength=len(classes)) > 0
    absent = [name for name, known in zip(classes, there, strict=True) if not known]
    if len(absent) > MOST_ABSENT:
        notes.append(f"The run was not measured on any recording of {len(absent)} of its {len(classes)} classes.")
    else:
        notes += [f"The run was not measured on any recording of {name}." for name in absent]
    indices = np.flatnonzero(there)
    if len(indices) <= MOST_SHOWN:
        return [int(index) for index in indices]
    notes.append(f"Of {len(indices)} classes, {MOST_SHOWN} drawn at random are shown.")
    return sorted(random.permutation(indices)[:MOST_SHOWN].tolist())


def _predicted_as(predictions: Predictions, true: int, predicted: int) -> tuple[int, ...]:
    """Return the rows of a true class that were predicted as a class, the most confident first."""
    rows = np.flatnonzero((predictions.segment_labels == true) & (predictions.predicted == predicted))
    return tuple(int(row) for row in rows[np.argsort(-predictions.scores[rows, predicted], kind="stable")])


def _confused_pair(predictions: Predictions, true: str | None, predicted: str | None) -> tuple[int, int] | None:
    """Return the pair (true, predicted): as given, or the most frequent one that fits what is given."""
    wrong = confusion_matrix(predictions.segment_labels, predictions.predicted, len(predictions.classes))
    np.fill_diagonal(wrong, 0)
    row = None if true is None else predictions.classes.index(true)
    column = None if predicted is None else predictions.classes.index(predicted)
    if row is not None and row == column:
        raise UsageError(f"{true!r}: both classes are the same; name two, or ask for the class alone")
    if row is not None and column is not None:
        return row, column
    if row is not None:
        wrong[np.arange(len(wrong)) != row] = 0
    if column is not None:
        wrong[:, np.arange(len(wrong)) != column] = 0
    best = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    return (int(best[0]), int(best[1])) if wrong[best] else None
