"""Questions put to a run, answered, drawn and kept in its folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from earwitness.core.arguments import listed
from earwitness.core.brief import brief
from earwitness.core.device import choose_device
from earwitness.core.errors import UsageError
from earwitness.core.locks import folder_held
from earwitness.core.progress import Progress, shown
from earwitness.core.run_folder import RunFolder
from earwitness.explainers.attribution import Attribution
from earwitness.explainers.findings import Inquiry
from earwitness.explainers.method import Explainer
from earwitness.explainers.parameters import spec
from earwitness.explainers.registry import DEFAULT_METHODS, parse
from earwitness.inspection import questions
from earwitness.inspection.answers import answer
from earwitness.inspection.exports import PICTURES, check_formats, export, region_table
from earwitness.inspection.notes import with_notes
from earwitness.inspection.questions import Question
from earwitness.inspection.run import open_run
from earwitness.models.prediction import Predictions
from earwitness.plots import gallery
from earwitness.plots.maps import MapStyle
from earwitness.plots.medium import medium_named
from earwitness.trust.verdicts.summary import believed, check_least
from earwitness.workflows.explain import fitting_defaults
from earwitness.workflows.players import write_players


@dataclass(frozen=True)
class Answer:
    """A question's answer, and its picture (None where there was nothing to show). A notebook shows the picture.

    Examples
    --------
    >>> import earwitness as ew
    >>> answers = ew.inquire("runs/demo", methods="gradcam", verdicts=False)  # without a question, all of the report's
    >>> [answer.inquiry.kind for answer in answers][:5]  # and one for each misclassified recording
    ['recordings', 'samples', 'segments', 'class', 'confusion']
    """

    inquiry: Inquiry
    picture: Path | None

    __repr__ = brief

    @property
    def title(self) -> str:
        """A few words on what was asked."""
        return self.inquiry.title

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a reader must know."""
        return self.inquiry.notes

    @property
    def attributions(self) -> list[Attribution]:
        """All maps: segment by segment, class by class, method by method."""
        return [each for finding in self.inquiry.findings for listed in finding.attributions for each in listed]

    def _repr_png_(self) -> bytes | None:
        return None if self.picture is None else self.picture.read_bytes()


def inquire(
    run: Path | str,
    *,
    methods: Sequence[str] | str | None = None,
    of_class: str | None = None,
    true: str | None = None,
    predicted: str | None = None,
    segments: Sequence[str | int] | str = (),
    count: int | None = None,
    data: Path | str | None = None,
    verdicts: bool = True,
    least: str | None = None,
    device: str = "auto",
    seed: int = 0,
    upsampling: str = "nearest",
    overlay: bool = False,
    common_scale: bool = False,
    style: str = "screen",
    exports: Sequence[str] = (),
    sounds: bool = True,
    progress: Progress | bool = True,
) -> list[Answer]:
    """Put one question to a run, or, without any, all those that the report shows.

    The same question replaces its earlier answer, unless that holds maps, verdicts or sounds that the new one lacks:
    then both are kept, the new one with the next number in its name.

    Parameters
    ----------
    run
        Run folder of a finished training.
    methods
        Explanation methods, such as ``"gradcam"`` or ``"lime:samples=512"``; None takes the example's three, as far as
        the network has a layer for them.
    of_class
        What does the classifier rely on for this class?
    true, predicted
        Why was the one predicted as the other?
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
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    seed
        Of what is drawn at random for the report.
    upsampling, overlay, common_scale
        How maps are drawn: see :class:`earwitness.plots.maps.MapStyle`.
    style
        ``"screen"``, or ``"paper"``, as for :meth:`earwitness.Explanation.plot`.
    exports
        What else is written beside the pictures: the regions of evidence as ``"csv"``, ``"raven"`` or ``"audacity"``,
        the pictures as ``"svg"`` or ``"pdf"``.
    sounds
        Whether to write the segments as sound, with only each map's evidence and without it, for the report to play.
    progress
        Told how far it is.

    Raises
    ------
    UsageError
        The request is wrong, for instance two questions at once.
    EarwitnessError
        The run or one of its recordings cannot be used.

    Examples
    --------
    >>> import earwitness as ew
    >>> (answer,) = ew.inquire("runs/demo", of_class="dog", count=2, methods="gradcam", verdicts=False)
    >>> answer.title, len(answer.attributions), answer.picture.name
    ('The class dog', 2, 'class-dog.png')
    """
    progress = shown(progress)
    look = MapStyle(upsampling, overlay, common_scale, medium_named(style))
    check_formats(exports)
    pictured = [each for each in PICTURES if each in exports]
    explainers = [parse(method) for method in listed(methods or DEFAULT_METHODS)]
    places = [segments] if isinstance(segments, str) else list(segments)
    if sum((of_class is not None, true is not None or predicted is not None, bool(places))) > 1:
        raise UsageError("--class, --true/--predicted and --segment are three questions: ask one at a time")
    if count is not None and of_class is None and true is None and predicted is None:
        raise UsageError(f"--count {count}: goes with --class or --true/--predicted; leave it out")
    check_least(least, verdicts=verdicts)
    opened = open_run(run, choose_device(device), data)
    if methods is None:
        explainers = [parse(each) for each in fitting_defaults(opened.model, DEFAULT_METHODS, progress)]
    predictions, some = opened.predictions, {} if count is None else {"count": count}
    if of_class is not None:
        asked = {"": questions.of_class(predictions, of_class, **some)}
    elif true is not None or predicted is not None:
        asked = {"": questions.confusion(predictions, true=true, predicted=predicted, **some)}
    elif places:
        asked = {"": questions.chosen(predictions, places)}
    else:
        asked = _everything(predictions, seed)
    answers = []
    with folder_held(opened.folder.path, instead=""):
        for number, (words, question) in enumerate(asked.items(), 1):
            if words:
                progress.say(f"{number} of {len(asked)}: {words}")
            found = answer(opened, question, explainers, verdicts=verdicts, progress=progress)
            answers.append(with_notes(found if least is None else believed(found, least)))
        answers = _beside_earlier(opened.folder, answers, sounds, progress)
        played = {each.name: write_players(opened, each, progress) for each in answers} if sounds else {}
        beyond = opened.model.beyond
        pictures = gallery.add_all(opened.folder, answers, progress, look, played, pictured, beyond)
        for found in (each for each in answers if each.methods):
            export(region_table(_maps(found, explainers)), opened.folder.figures, found.name, exports)
    return [Answer(*each) for each in zip(answers, pictures, strict=True)]


def _beside_earlier(run: RunFolder, answers: Sequence[Inquiry], sounds: bool, progress: Progress) -> list[Inquiry]:
    """Return the answers, those with the next free number in their names that would lose what an earlier one holds."""
    earlier, named = {each.name: each for each in gallery.read(run)}, []
    for each in answers:
        number, name = 1, each.name
        while name in earlier and earlier[name].stays_beside(each, sounds=sounds):
            number += 1
            name = f"{each.name}-{number}"
        if number > 1:
            progress.say(f"note: {each.name} holds maps, verdicts or sounds that this answer lacks; this one is {name}")
        named.append(each if number == 1 else replace(each, name=name, title=f"{each.title} ({number})"))
    return named


def _maps(found: Inquiry, methods: Sequence[Explainer]) -> Iterator[tuple[str, Attribution]]:
    """Yield every map of an answer with the method that one calls it by."""
    for finding in found.findings:
        for per_target in finding.attributions:
            yield from zip(map(spec, methods), per_target, strict=True)


def _everything(predictions: Predictions, seed: int) -> dict[str, Question]:
    """Return what the report shows: data, predictions, and the evidence for right ones, a class and wrong ones."""
    recall = {
        name: float((predictions.predicted[predictions.segment_labels == index] == index).mean())
        for index, name in enumerate(predictions.classes)
        if (predictions.segment_labels == index).any()
    }
    # The class that is found least often is the one that its owner most wants to understand.
    weakest = min(recall, key=lambda name: recall[name])
    return {
        "what the recordings look like": questions.recordings(predictions, seed=seed),
        "what was predicted for segments drawn at random": questions.samples(predictions, seed=seed),
        "what made the surest right decisions": questions.surest(predictions),
        f"what {weakest} is recognised by": questions.of_class(predictions, weakest),
        "why segments were misclassified": questions.confusion(predictions),
        **{
            f"why {file} was misclassified": question for file, question in questions.misclassified(predictions).items()
        },
    }
