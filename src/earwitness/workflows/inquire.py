"""Questions put to a run, answered, drawn and kept in its folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from earwitness.core.device import choose_device
from earwitness.core.errors import UsageError
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers.explanations import Inquiry
from earwitness.explainers.method import Explainer
from earwitness.explainers.registry import DEFAULT_METHODS, parse
from earwitness.inspection import questions as inquiry
from earwitness.inspection.notes import remarked
from earwitness.inspection.run import Investigation, open_run
from earwitness.plots import gallery
from earwitness.trust.verdicts.summary import believed, check_least


@dataclass(frozen=True)
class Answer:
    """A question's answer: the inquiry, and its picture (None where there was nothing to show)."""

    inquiry: Inquiry
    picture: Path | None


def inquire(
    run: Path | str,
    *,
    methods: Sequence[str] = DEFAULT_METHODS,
    of_class: str | None = None,
    true: str | None = None,
    predicted: str | None = None,
    segments: Sequence[str] = (),
    count: int | None = None,
    data: Path | str | None = None,
    verdicts: bool = True,
    least: str | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress = NO_PROGRESS,
) -> list[Answer]:
    """Put one question to a run, or, without any, all those that the report shows.

    Parameters
    ----------
    run
        Run folder of a finished training.
    methods
        Explanation methods, such as ``"gradcam"`` or ``"lime:samples=512"``.
    of_class
        What is this class recognised by?
    true, predicted
        Why was the one heard as the other?
    segments
        ``FILE@SECONDS``, or rows of ``predictions.csv``.
    count
        Segments to show of a class or a confusion.
    data
        Where the recordings are now, if not where they were at the time of the run.
    verdicts
        Whether to measure how far each map may be believed.
    least
        ``"weak"`` or ``"reliable"``: segments are left out of which no map gets so good a verdict.
    device, seed, progress
        As everywhere.

    Raises
    ------
    UsageError
        The request is wrong, for instance two questions at once.
    EarwitnessError
        The run or one of its recordings cannot be used.
    """
    explainers = [parse(method) for method in methods]
    if sum((of_class is not None, true is not None or predicted is not None, bool(segments))) > 1:
        raise UsageError("--class, --true/--predicted and --segment are three questions: ask one at a time")
    if count is not None and of_class is None and true is None and predicted is None:
        raise UsageError(f"--count {count}: goes with --class or --true/--predicted; leave it out")
    check_least(least, verdicts=verdicts)
    investigation = open_run(run, choose_device(device), data, judging=verdicts)
    some = {} if count is None else {"count": count}
    if of_class is not None:
        asked = [inquiry.of_class(investigation, of_class, explainers, progress=progress, **some)]
    elif true is not None or predicted is not None:
        asked = [
            inquiry.confusion(investigation, explainers, true=true, predicted=predicted, progress=progress, **some)
        ]
    elif segments:
        rows = [int(place) for place in segments if place.isdecimal()]
        places = [place for place in segments if not place.isdecimal()]
        asked = [inquiry.chosen(investigation, explainers, rows=rows, places=places, progress=progress)]
    else:
        asked = _everything(investigation, explainers, seed, progress)
    if least is not None:
        asked = [believed(each, least) for each in asked]
    asked = [remarked(each) for each in asked]
    pictures = gallery.add_all(investigation.run, asked, progress)
    return [Answer(*each) for each in zip(asked, pictures, strict=True)]


def _everything(
    investigation: Investigation, explainers: Sequence[Explainer], seed: int, progress: Progress
) -> list[Inquiry]:
    """Ask what the report shows: the data, the answers, and the evidence for right ones, a class and a confusion."""
    predictions = investigation.predictions
    recall = {
        name: float((predictions.predicted[predictions.segment_labels == index] == index).mean())
        for index, name in enumerate(predictions.classes)
        if (predictions.segment_labels == index).any()
    }
    # The class that is found least often is the one that its owner most wants to understand.
    weakest = min(recall, key=lambda name: recall[name])
    questions: dict[str, Callable[[], Inquiry]] = {
        "what the recordings look like": lambda: inquiry.recordings(investigation, seed=seed, progress=progress),
        "what was heard in segments drawn at random": lambda: inquiry.samples(
            investigation, seed=seed, progress=progress
        ),
        "what made the surest right decisions": lambda: inquiry.chosen(investigation, explainers, progress=progress),
        f"what {weakest} is recognised by": lambda: inquiry.of_class(
            investigation, weakest, explainers, progress=progress
        ),
        "why segments were misheard": lambda: inquiry.confusion(investigation, explainers, progress=progress),
    }
    answers = []
    for number, (words, question) in enumerate(questions.items(), 1):
        progress.say(f"{number} of {len(questions)}: {words}")
        answers.append(question())
    return answers
