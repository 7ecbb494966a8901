"""Questions asked of a run or of sound files, with everything that answers them written where the user wants it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from earwitness.core.download import home_folder
from earwitness.core.errors import BadRecordingError, printable
from earwitness.core.files import check_writable, safe_name, unused_name
from earwitness.core.progress import Progress, Silent
from earwitness.core.run_folder import RunFolder
from earwitness.data.recordings import Unusable
from earwitness.explainers.explanations import HeardWhole
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.method import Explainer
from earwitness.explainers.parameters import spec
from earwitness.explainers.registry import DEFAULT_METHODS, parse
from earwitness.inspection.files import Heard, hear
from earwitness.inspection.recordings import METHODS as WHOLE_METHODS
from earwitness.inspection.recordings import along_time, explainers, hear_whole
from earwitness.models.loading import load_classifier
from earwitness.plots import evidence, style
from earwitness.plots.recording import whole_recording

A = TypeVar("A")


@dataclass(frozen=True)
class FileAnswer:
    """What was heard in a file, and where its picture and attributions are."""

    heard: Heard
    picture: Path


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
    methods: Sequence[str] = DEFAULT_METHODS,
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


def _write(heard: Heard, methods: Sequence[Explainer], out: Path, name: str, progress: Progress | None) -> FileAnswer:
    picture = out / f"{name}.png"
    with (progress or Silent()).task("Drawing", 1) as advance:
        style.save(evidence.maps(heard.inquiry), picture)
        advance(1)
    for attributions in heard.inquiry.findings[0].attributions:
        for method, each in zip(methods, attributions, strict=True):
            each.save(out / f"{name}-{safe_name(each.target_label)}-{safe_name(spec(method))}.npz")
    return FileAnswer(heard, picture)


@dataclass(frozen=True)
class WholeAnswer:
    """What was heard in a whole file, where its picture is, and whether verdicts had been hoped for."""

    heard: HeardWhole
    picture: Path
    verdicts: bool


@dataclass(frozen=True)
class WholeOutcome:
    """The answers for the files that could be heard, and the files that could not."""

    heard: tuple[WholeAnswer, ...]
    unusable: tuple[Unusable, ...]


def explain_whole(
    files: Sequence[str],
    *,
    run: Path | str | None = None,
    backbone: str | None = None,
    weights: str | None = None,
    methods: Sequence[str] = WHOLE_METHODS,
    targets: Sequence[str] = (),
    top: int = 5,
    out: Path | str = "explained",
    verdicts: bool = True,
    device: str = "auto",
    progress: Progress | None = None,
) -> WholeOutcome:
    """Ask a classifier what it hears in sound files from their beginning to their end, and draw that.

    Parameters
    ----------
    files
        Paths.
    run, backbone, weights
        A trained run, or a backbone with its published classes.
    methods, targets, top
        As for :func:`earwitness.inspection.recordings.hear_whole`.
    out
        Folder for ``NAME-whole.png`` and ``NAME-whole-CLASS-METHOD.npz``; files of those names are replaced.
    verdicts
        Whether to say that there are none.
    device, progress
        As everywhere.

    Raises
    ------
    UsageError
        The request is wrong: a name, a method that cannot explain whole recordings, a folder that cannot be written to.
    EarwitnessError
        The run is damaged, or the disk refuses.
    """
    asked = explainers(methods)
    check_writable(Path(out))
    classifier = load_classifier(run, backbone=backbone, weights=weights, device=device)
    prepared, names = Prepared(classifier), set[str]()

    def answer(path: Path) -> WholeAnswer:
        heard = hear_whole(classifier, path, asked, targets=targets, top=top, prepared=prepared, progress=progress)
        return WholeAnswer(heard, _write_whole(heard, Path(out), unused_name(heard.name, names), progress), verdicts)

    return WholeOutcome(*each_file(files, answer, progress))


def _write_whole(heard: HeardWhole, out: Path, name: str, progress: Progress | None) -> Path:
    picture = out / f"{name}.png"
    with (progress or Silent()).task("Drawing", 1) as advance:
        style.save(whole_recording(heard), picture)
        advance(1)
    for listed in heard.maps:
        for each in listed:
            for method, found in ((each.method, each.map), (along_time(each.method), each.profile)):
                found.save(out / f"{name}-{safe_name(found.target_label)}-{safe_name(spec(method))}.npz")
    return picture
