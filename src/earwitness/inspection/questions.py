"""The questions that are put to a run: which segments, which targets, which methods, and what was found.

An inquiry listens again, to the recordings that it needs and no others, lets every method explain every target of every
segment in one call, and keeps the attributions in the run folder. Pictures are made from its answer elsewhere.

>>> from earwitness.inspection import questions
>>> from earwitness.explainers.registry import parse
>>> investigation = inquiry.open_run("runs/mn04")                       # doctest: +SKIP
>>> answer = inquiry.of_class(investigation, "helicopter", [parse("gradcam")])  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from earwitness.core.errors import UsageError
from earwitness.core.files import safe_name
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers import explanations
from earwitness.explainers.explanations import Finding, Inquiry
from earwitness.explainers.method import Explainer
from earwitness.inspection.answers import answer
from earwitness.inspection.run import SHOWN_SECONDS, Investigation, open_run
from earwitness.training.evaluation import confusion_matrix

__all__ = [
    "Finding",
    "Inquiry",
    "Investigation",
    "chosen",
    "confusion",
    "of_class",
    "open_run",
    "recordings",
    "samples",
]

SAMPLES = 12
SEGMENTS_OF_A_CLASS = 5
SEGMENTS_OF_A_CONFUSION = 4


# ---- the questions ------------------------------------------------------------------------------------------------


def recordings(investigation: Investigation, *, seed: int = 0, progress: Progress = NO_PROGRESS) -> Inquiry:
    """Show one recording a class, drawn at random from those that the run was measured on.

    Parameters
    ----------
    investigation
        The run.
    seed
        Of the draw.
    progress
        Told a step a recording.
    """
    predictions = investigation.predictions
    random = np.random.default_rng(seed)
    names: list[str] = []
    notes: list[str] = []
    for index in _some_classes(investigation, random, notes):
        name = predictions.classes[index]
        candidates = np.flatnonzero(predictions.labels == index)
        if len(candidates):
            names.append(predictions.files[random.choice(candidates)])
        else:
            notes.append(f"The run was not measured on any recording of {name}.")
    question = "What do the recordings look like to the classifier, one of each class?"
    shown = tuple(investigation.recordings(names, progress))
    if not all(each.whole for each in shown):
        notes.append(f"Of recordings longer than {SHOWN_SECONDS} s, the beginning is shown.")
    asked = _ask(investigation, "recordings", "recordings", "Data samples", question, notes)
    return replace(asked, recordings=shown)


def samples(
    investigation: Investigation, *, count: int = SAMPLES, seed: int = 0, progress: Progress = NO_PROGRESS
) -> Inquiry:
    """Show segments drawn at random, each from another recording, with their true and predicted classes.

    Parameters
    ----------
    investigation
        The run.
    count
        How many; fewer where the run has fewer recordings.
    seed
        Of the draw.
    progress
        Told a step a recording.
    """
    _check_count(count)
    predictions = investigation.predictions
    random = np.random.default_rng(seed)
    files = random.permutation(len(predictions.files))[:count]
    rows = [int(random.choice(np.flatnonzero(predictions.recording == file))) for file in files]
    question = "What was heard in segments drawn at random?"
    asked = _ask(investigation, "samples", "samples", "Predicted and true classes", question)
    return answer(investigation, asked, rows, (), (), progress)


def chosen(
    investigation: Investigation,
    methods: Sequence[Explainer],
    *,
    rows: Sequence[int] = (),
    places: Sequence[str] = (),
    progress: Progress = NO_PROGRESS,
) -> Inquiry:
    """Explain chosen segments under the class that each was heard as.

    Parameters
    ----------
    investigation
        The run.
    methods
        The explainers.
    rows
        Rows of ``predictions.csv``, counted from 0.
    places
        Segments as ``FILE@SECONDS`` (the one that starts nearest), or ``FILE`` for its most confident one. Without
        rows and places, the most confident right segment of each class that holds sound.
    progress
        Told how far the work has come.

    Raises
    ------
    UsageError
        There is no such row or place.
    """
    question = "Which moments and which frequencies made these decisions?"
    picked = [investigation.checked_row(row) for row in rows] + [investigation.row_at(place) for place in places]
    picked = list(dict.fromkeys(picked))
    if picked:
        name = safe_name("segments-" + "-".join(investigation.place(row) for row in picked))
        asked = _ask(investigation, "segments", name, "Chosen segments", question)
        return answer(investigation, asked, picked, methods, ("predicted",), progress)
    notes: list[str] = []
    for index in _some_classes(investigation, np.random.default_rng(0), notes):
        name = investigation.predictions.classes[index]
        row = next(_sounding(investigation, _heard_as(investigation, index, index)), None)
        if row is None:
            notes.append(f"No segment of {name} with sound in it was heard right.")
        else:
            picked.append(row)
    title = "The most confident right segment of each class"
    asked = _ask(investigation, "segments", "segments", title, question, notes)
    return answer(investigation, asked, picked, methods, ("predicted",), progress)


def of_class(
    investigation: Investigation,
    name: str,
    methods: Sequence[Explainer],
    *,
    count: int = SEGMENTS_OF_A_CLASS,
    progress: Progress = NO_PROGRESS,
) -> Inquiry:
    """Explain the most confident right segments of one class, from as many recordings as can be.

    Parameters
    ----------
    investigation
        The run.
    name
        The class.
    methods
        The explainers.
    count
        How many segments.
    progress
        Told how far the work has come.

    Raises
    ------
    UsageError
        The classifier has no such class.
    """
    _check_count(count)
    index = investigation.classifier.class_index(name)
    sounding = _sounding(investigation, _heard_as(investigation, index, index))
    rows = _pick(investigation, sounding, count)
    notes = [] if rows else [f"There is none: no segment of {name} with sound in it was heard right."]
    question = f"What does the classifier listen to when it rightly hears {name}?"
    asked = _ask(investigation, "class", f"class-{safe_name(name)}", f"The class {name}", question, notes)
    return answer(investigation, asked, rows, methods, ("predicted",), progress)


def confusion(
    investigation: Investigation,
    methods: Sequence[Explainer],
    *,
    true: str | None = None,
    predicted: str | None = None,
    count: int = SEGMENTS_OF_A_CONFUSION,
    progress: Progress = NO_PROGRESS,
) -> Inquiry:
    """Explain segments of one class that were heard as another, under both classes, the most confident first.

    Segments without any sound are shown only where there are no others.

    Parameters
    ----------
    investigation
        The run.
    methods
        The explainers.
    true, predicted
        The two classes. One alone takes its most frequent partner; none takes the most frequent confusion of all.
    count
        How many segments, from as many recordings as can be.
    progress
        Told how far the work has come.

    Raises
    ------
    UsageError
        The classifier has no such class, or both are the same.
    """
    _check_count(count)
    pair = _confused_pair(investigation, true, predicted)
    if pair is None:
        about = f" of {true}" if true else f" as {predicted}" if predicted else ""
        name = "-".join(["confusion", *(safe_name(part) for part in (true, predicted) if part)])
        question = "Why were segments heard as what they are not?"
        notes = [f"There is none: no segment{about} was misheard."]
        return _ask(investigation, "confusion", name, "Misheard segments", question, notes)
    a, b = (investigation.predictions.classes[position] for position in pair)
    ranked = _heard_as(investigation, *pair)
    notes = [] if ranked else [f"There is none: no segment of {a} was heard as {b}."]
    passed: list[int] = []
    rows = _pick(investigation, _sounding(investigation, ranked, passed), count)
    if passed and rows:
        notes.append(
            f"Left out: {_count(len(passed), 'such segment')} without any sound, where there is nothing to point at."
        )
    elif passed:
        rows = passed[:count]
        notes.append(f"No segment of {a} that was heard as {b} has any sound in it.")
    name = f"confusion-{safe_name(a)}-as-{safe_name(b)}"
    question = f"Why was {a} heard as {b}: what spoke for the one, and what for the other?"
    asked = _ask(investigation, "confusion", name, f"{a} heard as {b}", question, notes)
    return answer(investigation, asked, rows, methods, ("predicted", "true"), progress)


# ---- choosing -----------------------------------------------------------------------------------------------------


def _check_count(count: int) -> None:
    if count < 1:
        raise UsageError(f"{count}: so many segments cannot be shown; ask for 1 or more")


def _some_classes(investigation: Investigation, random: np.random.Generator, notes: list[str]) -> list[int]:
    """Return all classes, or as many of them, drawn at random, as a picture holds."""
    total = len(investigation.predictions.classes)
    if total <= explanations.MOST_SHOWN:
        return list(range(total))
    notes.append(f"Of {total} classes, {explanations.MOST_SHOWN} drawn at random are shown.")
    return sorted(random.permutation(total)[: explanations.MOST_SHOWN].tolist())


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _heard_as(investigation: Investigation, true: int, predicted: int) -> list[int]:
    """Return the rows of a true class that were heard as a class, the most confident first."""
    predictions = investigation.predictions
    rows = np.flatnonzero((predictions.segment_labels == true) & (predictions.predicted == predicted))
    return [int(row) for row in rows[np.argsort(-predictions.scores[rows, predicted], kind="stable")]]


def _sounding(investigation: Investigation, rows: Sequence[int], passed: list[int] | None = None) -> Iterator[int]:
    """Yield the rows that hold sound, adding the others to ``passed``.

    Listening costs time, so it goes no further than somebody asks for.
    """
    for row in rows:
        if not investigation.silent(row):
            yield row
        elif passed is not None:
            passed.append(row)


def _pick(investigation: Investigation, ranked: Iterator[int], count: int) -> list[int]:
    """Return ``count`` rows, from as many recordings as can be, the most confident first.

    Neighbouring segments overlap, so the most confident ones of all often show one moment several times.
    """
    scores, recording = investigation.predictions.scores, investigation.predictions.recording
    seen: set[int] = set()
    later: list[int] = []

    def first_of_each_recording() -> Iterator[int]:
        for row in ranked:
            if int(recording[row]) in seen:
                later.append(row)
            else:
                seen.add(int(recording[row]))
                yield row

    picked = list(islice(first_of_each_recording(), count))
    picked += later[: count - len(picked)]
    return sorted(picked, key=lambda row: -float(scores[row].max()))


def _confused_pair(investigation: Investigation, true: str | None, predicted: str | None) -> tuple[int, int] | None:
    """Return the pair (true, predicted): as given, or the most frequent one that fits what is given."""
    predictions = investigation.predictions
    index = investigation.classifier.class_index
    wrong = confusion_matrix(predictions.segment_labels, predictions.predicted, len(predictions.classes))
    np.fill_diagonal(wrong, 0)
    row = None if true is None else index(true)
    column = None if predicted is None else index(predicted)
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


# ---- answering ----------------------------------------------------------------------------------------------------


def _ask(
    investigation: Investigation, kind: str, name: str, title: str, question: str, notes: Sequence[str] = ()
) -> Inquiry:
    front_end = investigation.classifier.front_end
    classes = investigation.classifier.classes
    return Inquiry(
        kind=kind,
        name=name,
        title=title,
        question=question,
        clock=front_end.clock,
        classes=classes,
        silence=front_end.silence,
        notes=tuple(notes),
    )
