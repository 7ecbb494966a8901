"""Sound files explained: what a model predicts for them, and what that relies on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from earwitness.core.arguments import listed
from earwitness.core.errors import BadRecordingError, UsageError, printable
from earwitness.core.files import check_writable
from earwitness.core.locks import folder_held
from earwitness.core.progress import Progress, shown
from earwitness.data.folders import sound_files
from earwitness.data.recordings import Unusable
from earwitness.explainers.attribution import Attribution
from earwitness.explainers.findings import Inquiry, LongExplanation, WholeExplanation
from earwitness.explainers.method import Explainer
from earwitness.explainers.parameters import spec
from earwitness.explainers.perturbation.occlusion import Occlusion
from earwitness.explainers.registry import DEFAULT_METHODS, parse
from earwitness.inspection.files import explain_segment, score_file
from earwitness.inspection.model import Model, load_model
from earwitness.inspection.recordings import METHODS as WHOLE_METHODS
from earwitness.inspection.recordings import along_time, explain_whole, explainers
from earwitness.models.prediction import ScoredRecording
from earwitness.workflows.explanation import Explanation


def explain(
    file: Path | str,
    model: Model | Path | str,
    *,
    methods: Sequence[str] | str | None = None,
    classes: Sequence[str] | str = (),
    at: float | None = None,
    whole: bool = False,
    verdicts: bool = True,
    progress: Progress | bool = True,
) -> Explanation:
    """Explain what a model predicts for a sound file.

    Parameters
    ----------
    file
        The file.
    model
        From :func:`earwitness.load_model`; or a run folder or a name, which is then loaded for this call.
    methods
        Such as ``"gradcam"`` or ``"lime:samples=512"``; None takes the example's three, or occlusion for ``whole``.
    classes
        Classes to explain; none takes the one of the highest score.
    at
        A moment in seconds: the segment around it is explained. None takes the one that scores highest for the first
        class.
    whole
        Explain the mean score of the whole recording, from its beginning to its end; there are no verdicts on this.
    verdicts
        Whether to measure how far each map may be believed.
    progress
        Told how far it is.

    Raises
    ------
    BadRecordingError
        The file cannot be used.
    UsageError
        The request is wrong: a name, a moment, a method that cannot explain whole recordings.
    EarwitnessError
        The model is damaged.

    Examples
    --------
    >>> import earwitness as ew
    >>> model = ew.load_model("runs/demo")
    >>> explanation = ew.explain("some.wav", model, methods=["gradcam", "lime:samples=64"], verdicts=False)
    >>> explanation.predicted, round(sum(explanation.scores.values()), 6)
    ('dog', 1.0)
    >>> lime = explanation["lime"]
    >>> lime.values.shape == (len(lime.times), len(lime.frequencies))
    True
    """
    if Path(file).is_dir():
        raise UsageError(f"{printable(file)}: is a folder; explain_all explains the sound files in it")
    (explanation,) = explain_all(
        [file], model, methods=methods, classes=classes, at=at, whole=whole, verdicts=verdicts, progress=progress
    )
    return explanation


def explain_all(
    files: Sequence[Path | str] | Path | str,
    model: Model | Path | str,
    *,
    methods: Sequence[str] | str | None = None,
    classes: Sequence[str] | str = (),
    at: float | None = None,
    whole: bool = False,
    verdicts: bool = True,
    on_unusable: Callable[[Unusable], None] | None = None,
    progress: Progress | bool = True,
) -> Iterator[Explanation]:
    """Explain several files, one after the other, as :func:`explain` does; each is held only as long as you hold it.

    Parameters
    ----------
    files
        Paths, or one of them. A folder stands for the sound files in it and below it, in the order of their names.
    model, methods, classes, at, whole, verdicts, progress
        As for :func:`explain`.
    on_unusable
        Told of each file that cannot be used, which is then passed over; None raises at the first.

    Yields
    ------
    An explanation a file.

    Raises
    ------
    BadRecordingError
        A file cannot be used, and there is no ``on_unusable``.
    UsageError, EarwitnessError
        As for :func:`explain`; what can be found out without a file is raised at once, not at the first file.

    Examples
    --------
    >>> import earwitness as ew
    >>> found = ew.explain_all(["some.wav", "other.wav"], "runs/demo", methods="gradcam", verdicts=False)
    >>> [row["predicted"] for row in (each.as_row() for each in found)]
    ['dog', 'rain']
    """
    progress = shown(progress)
    if whole and at is not None:
        raise UsageError(f"--at {at:g}: names one segment, and --whole explains all of a recording; leave out one")
    chosen = listed(methods if methods is not None else WHOLE_METHODS if whole else DEFAULT_METHODS)
    explain_one = _whole(explainers(chosen)) if whole else _segment([parse(each) for each in chosen], at, verdicts)
    loaded, names = load_model(model), listed(classes)
    for name in names:
        loaded.classifier.class_index(name)
    paths = _with_folders_opened([Path(file) for file in listed(files)], progress)

    def explained() -> Iterator[Explanation]:
        for number, path in enumerate(paths, 1):
            if len(paths) > 1:
                progress.say(f"Explaining: {number} of {len(paths)}, {printable(path)}")
            try:
                yield explain_one(loaded, path, names, progress)
            except BadRecordingError as error:
                if on_unusable is None:
                    raise
                on_unusable(Unusable(str(error).removesuffix(f": {error.reason}"), error.reason))

    return explained()


def _with_folders_opened(paths: Sequence[Path], progress: Progress) -> list[Path]:
    """Return files, with each folder replaced by the sound files in it, and say how many these are."""
    opened = {path: sound_files(path) for path in paths if path.is_dir()}
    if opened and not any(opened.values()) and len(opened) == len(paths):
        raise UsageError(f"{printable(paths[0])}: holds no sound file; name another folder, or sound files")
    for folder, found in opened.items():
        progress.say(f"earwitness: note: {printable(folder)}: {len(found)} sound file{'' if len(found) == 1 else 's'}")
    return [file for path in paths for file in opened.get(path, [path])]


ExplainOne = Callable[[Model, Path, Sequence[str], Progress], Explanation]


def _segment(methods: Sequence[Explainer], at: float | None, verdicts: bool) -> ExplainOne:
    def one(model: Model, path: Path, classes: Sequence[str], progress: Progress) -> Explanation:
        scored = score_file(model.classifier, path, progress)
        answer = explain_segment(
            model, path, scored, methods, classes=classes, at=at, verdicts=verdicts, progress=progress
        )
        (finding,) = answer.findings
        maps = {
            (spec(method), found.target_label): found
            for per_target in finding.attributions
            for method, found in zip(methods, per_target, strict=True)
        }
        between = finding.start_seconds, finding.end_seconds
        return _explanation(model, path, scored, between, maps, answer)

    return one


def _whole(methods: Sequence[Occlusion]) -> ExplainOne:
    def one(model: Model, path: Path, classes: Sequence[str], progress: Progress) -> Explanation:
        scored = score_file(model.classifier, path, progress)
        answer = explain_whole(model, path, scored, methods, classes=classes, progress=progress)
        maps: dict[tuple[str, str], Attribution] = {}
        moments: dict[tuple[str, str], tuple[Attribution, ...]] = {}
        if isinstance(answer, LongExplanation):
            for line in (line for per_target in answer.timelines for line in per_target):
                key = spec(line.method), line.overall.target_label
                maps[key], moments[key] = line.overall, tuple(moment.map for moment in line.moments)
        else:
            for each in (each for per_target in answer.maps for each in per_target):
                maps[spec(each.method), each.map.target_label] = each.map
                maps[spec(along_time(each.method)), each.map.target_label] = each.profile
        return _explanation(model, path, scored, (0.0, scored.seconds), maps, answer, moments)

    return one


def _explanation(
    model: Model,
    path: Path,
    scored: ScoredRecording,
    between: tuple[float, float],
    maps: dict[tuple[str, str], Attribution],
    answer: Inquiry | WholeExplanation | LongExplanation,
    moments: dict[tuple[str, str], tuple[Attribution, ...]] | None = None,
) -> Explanation:
    ranked = scored.best(len(scored.classes))
    return Explanation(
        file=scored.file,
        seconds=scored.seconds,
        scores={scored.classes[index]: float(scored.mean[index]) for index in ranked},
        start_seconds=between[0],
        end_seconds=between[1],
        attributions=maps,
        moments=moments or {},
        answer=answer,
        notes=scored.notes,
        source=_source(model, path, [label for _, label in maps]),
        path=path,
        model=model,
    )


def _source(model: Model, path: Path, classes: Sequence[str]) -> str:
    """Return what tells a file's place, a model and classes from others: a hash, for maps are passed on."""
    run = Path(model.name)
    parts = [str(path.resolve()), str(run.resolve() if run.exists() else run), *sorted(set(classes))]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


# ---- into a folder ------------------------------------------------------------------------------------------------

DRAWING_SECONDS = 60.0  # more than any picture takes


@dataclass(frozen=True)
class Explained:
    """What `earwitness explain` came to: explanations with their pictures, and the files that could not be used.

    ``replaced`` holds the pictures that took the place of earlier ones of the same file, classes and model.
    """

    explanations: tuple[tuple[Explanation, Path], ...]
    unusable: tuple[Unusable, ...]
    replaced: frozenset[Path] = frozenset()


def explain_to_folder(
    files: Sequence[Path | str] | Path | str,
    model: Model | Path | str,
    out: Path | str = "explained",
    *,
    methods: Sequence[str] | str | None = None,
    classes: Sequence[str] | str = (),
    at: float | None = None,
    whole: bool = False,
    verdicts: bool = True,
    progress: Progress | bool = True,
) -> Explained:
    """Explain files and write each explanation's picture and maps, as :meth:`Explanation.save` does.

    Parameters
    ----------
    files, model, methods, classes, at, whole, verdicts, progress
        As for :func:`explain_all`.
    out
        Folder for ``NAME.png`` and ``NAME-CLASS-METHOD.npz``. A name that another file, class or model has there gets
        the next number; an earlier explanation of the same is replaced.

    Raises
    ------
    UsageError
        The request is wrong, or the folder cannot be written to.
    EarwitnessError
        The model is damaged, or the disk refuses.
    """
    progress = shown(progress)
    check_writable(Path(out))
    unusable: list[Unusable] = []
    names: set[str] = set()
    saved, replaced = [], set()
    for each in explain_all(
        files,
        model,
        methods=methods,
        classes=classes,
        at=at,
        whole=whole,
        verdicts=verdicts,
        on_unusable=unusable.append,
        progress=progress,
    ):
        # Names are chosen by what is there: of two that explain into one folder, each waits while the other draws.
        with progress.task("Drawing", 1) as advance, folder_held(out, patience=DRAWING_SECONDS):
            name, again = each.name_in(Path(out), names)
            names.add(name.casefold())
            saved.append((each, each.save(out, name)))
            if again:
                replaced.add(saved[-1][1])
            advance(1)
    return Explained(tuple(saved), tuple(unusable), frozenset(replaced))
