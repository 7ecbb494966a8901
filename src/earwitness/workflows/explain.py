"""Questions asked of a run or of sound files, with everything that answers them written where the user wants it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from earwitness.core.download import home_folder
from earwitness.core.errors import BadRecordingError, UsageError, printable
from earwitness.core.progress import Progress, Silent
from earwitness.core.run_folder import RunFolder, check_writable, open_finished
from earwitness.data.recordings import Unusable
from earwitness.explainers.explanations import Inquiry
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.parameters import spec
from earwitness.explainers.registry import Explainer, parse
from earwitness.inspection import questions as inquiry
from earwitness.inspection.files import Heard, hear
from earwitness.inspection.notes import remarked
from earwitness.inspection.run import Investigation, open_run, safe_name
from earwitness.models.classifier import Classifier, load, ready
from earwitness.models.pretrained import tagger_named
from earwitness.models.registry import backbone_named
from earwitness.plots import evidence, gallery, style
from earwitness.training.loop import choose_device
from earwitness.trust.verdicts.summary import believed, check_least, counted_verdicts, verdict_block

A = TypeVar("A")

METHODS = ("gradcam", "lime", "occlusion")  # the example's


@dataclass(frozen=True)
class Answer:
    """A question's answer: the inquiry, and its picture (None where there was nothing to show)."""

    inquiry: Inquiry
    picture: Path | None

    def text(self) -> str:
        """Return the answer's lines for a terminal."""
        where = "nothing to show" if self.picture is None else printable(self.picture)
        lines = [f"{self.inquiry.title}: {where}", *(f"  {note}" for note in self.inquiry.notes)]
        verdicts = [f"  {line}" for line in counted_verdicts(self.inquiry)]
        return "\n".join(lines + verdicts + ["  (the report tells why)"] * bool(verdicts))


def check_methods(methods: Sequence[str], backbone: str) -> None:
    """Refuse methods that are wrong, or that the backbone has no place for, before long work and not after it.

    Raises
    ------
    UsageError
        Naming what is wrong.
    """
    network = backbone_named(backbone).build(2)
    for explainer in (parse(method) for method in methods):
        refuse = getattr(explainer, "refuse", None)
        if refuse is not None:
            refuse(network)


def ask(
    run: Path | str,
    *,
    methods: Sequence[str] = METHODS,
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
    progress: Progress | None = None,
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
    investigation: Investigation, explainers: Sequence[Explainer], seed: int, progress: Progress | None
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
        (progress or Silent()).say(f"{number} of {len(questions)}: {words}")
        answers.append(question())
    return answers


@dataclass(frozen=True)
class FileAnswer:
    """What was heard in a file, and where its picture and attributions are."""

    heard: Heard
    picture: Path

    def text(self) -> str:
        """Return the answer's lines for a terminal."""
        finding = self.heard.inquiry.findings[0]
        lines = [f"{self.heard.file} ({self.heard.seconds:.2f} s)"]
        lines += [f"  {score:6.1%}  {name}" for name, score in self.heard.ranking]
        flags = sorted({flag for maps in finding.attributions for each in maps for flag in each.flags})
        about = f"  explained: {finding.start_seconds:.2f} to {finding.end_seconds:.2f} s"
        lines.append(about + (f" ({', '.join(flags)})" if flags else ""))
        lines += [f"  {line}" for line in verdict_block(self.heard.inquiry)]
        lines.append(f"  picture:   {printable(self.picture)}")
        return "\n".join(lines)


@dataclass(frozen=True)
class FilesOutcome:
    """The answers for the files that could be heard, and the files that could not."""

    heard: tuple[FileAnswer, ...]
    unusable: tuple[Unusable, ...]


def explain_files(
    files: Sequence[str],
    *,
    run: Path | str | None = None,
    backbone: str | None = None,
    weights: str | None = None,
    methods: Sequence[str] = METHODS,
    targets: Sequence[str] = (),
    at: float | None = None,
    top: int = 5,
    out: Path | str = "explained",
    verdicts: bool = True,
    device: str = "auto",
    progress: Progress | None = None,
) -> FilesOutcome:
    """Ask a classifier what it hears in sound files, and draw what each answer is based on.

    Parameters
    ----------
    files
        Paths.
    run, backbone, weights
        A trained run, or a backbone with its published classes.
    methods, targets, at, top
        As for :func:`earwitness.inspection.files.hear`.
    out
        Folder for ``NAME.png`` and ``NAME-CLASS-METHOD.npz``; files of those names are replaced.
    verdicts
        Whether to measure how far each map may be believed.
    device, progress
        As everywhere.

    Raises
    ------
    UsageError
        The request is wrong: a name, a moment, or a folder that cannot be written to.
    EarwitnessError
        The run is damaged, or the disk refuses.
    """
    explainers = [parse(method) for method in methods]
    check_writable(Path(out))
    classifier = load_classifier(run, backbone=backbone, weights=weights, device=device)
    # What random weights do to a method is measured once, and kept with the run or beside the published weights.
    folder = RunFolder(Path(run) if run is not None else home_folder() / str(backbone)) if verdicts else None
    names: set[str] = set()
    prepared = Prepared(classifier)

    def answer(path: Path) -> FileAnswer:
        heard = hear(
            classifier,
            path,
            explainers,
            targets=targets,
            at=at,
            top=top,
            judging=folder,
            prepared=prepared,
            progress=progress,
        )
        return _write(heard, explainers, Path(out), unused_name(heard.inquiry.name, names), progress)

    return FilesOutcome(*each_file(files, answer, progress))


def each_file(
    files: Sequence[str], answer: Callable[[Path], A], progress: Progress | None = None
) -> tuple[tuple[A, ...], tuple[Unusable, ...]]:
    """Return the answer for each file that can be used, and the files that cannot.

    Parameters
    ----------
    files
        Paths.
    answer
        Called with each.
    progress
        Told which of several files it is.
    """
    told = progress or Silent()
    answers: list[A] = []
    unusable: list[Unusable] = []
    for number, file in enumerate(files, 1):
        if len(files) > 1:
            told.say(f"Explaining: {number} of {len(files)}, {printable(file)}")
        try:
            answers.append(answer(Path(file)))
        except BadRecordingError as error:
            unusable.append(Unusable(str(error).removesuffix(f": {error.reason}"), error.reason))
    return tuple(answers), tuple(unusable)


def load_classifier(
    run: Path | str | None = None, *, backbone: str | None = None, weights: str | None = None, device: str = "auto"
) -> Classifier:
    """Return a classifier that is ready to be asked.

    Parameters
    ----------
    run
        Folder of a finished training.
    backbone, weights
        Instead of a run: ``"mn04"`` with AudioSet's 527 classes, and the file of its weights (None: the published
        ones, where they were downloaded to).
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` ...

    Raises
    ------
    UsageError
        Neither or both are named, or there is none by that name.
    EarwitnessError
        A file is damaged.
    """
    if (run is None) == (backbone is None):
        raise UsageError("name either --run RUN, a trained run, or --backbone mn04, for AudioSet's 527 classes")
    if run is not None:
        if weights is not None:
            raise UsageError(f"--weights {weights}: a run has its own weights; leave out --weights or --run")
        return load(open_finished(run).model, choose_device(device))
    assert backbone is not None
    return ready(tagger_named(backbone, weights), choose_device(device))


def unused_name(name: str, names: set[str]) -> str:
    """Return a name that no other file of this call has: two folders may hold the same one."""
    number, unused = 1, name
    while unused.casefold() in names:
        number += 1
        unused = f"{name}-{number}"
    names.add(unused.casefold())
    return unused


def _write(heard: Heard, methods: Sequence[Explainer], out: Path, name: str, progress: Progress | None) -> FileAnswer:
    picture = out / f"{name}.png"
    with (progress or Silent()).task("Drawing", 1) as advance:
        style.save(evidence.maps(heard.inquiry), picture)
        advance(1)
    for attributions in heard.inquiry.findings[0].attributions:
        for method, each in zip(methods, attributions, strict=True):
            each.save(out / f"{name}-{safe_name(each.target_label)}-{safe_name(spec(method))}.npz")
    return FileAnswer(heard, picture)
