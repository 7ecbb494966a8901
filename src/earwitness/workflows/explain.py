"""Sound files explained: what a model predicts for them, and what that relies on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from earwitness.audio import decoding
from earwitness.core.arguments import listed
from earwitness.core.errors import BadRecordingError, UsageError, printable
from earwitness.core.progress import Progress, shown
from earwitness.data.folders import sound_files
from earwitness.data.recordings import Unusable
from earwitness.explainers.findings import (
    DetectedExplanation,
    Inquiry,
    LongExplanation,
    NamedMaps,
    NamedMoments,
    WholeExplanation,
    maps_by_name,
)
from earwitness.explainers.method import Explainer
from earwitness.explainers.parameters import spec
from earwitness.explainers.perturbation.occlusion import Occlusion
from earwitness.explainers.registry import DEFAULT_METHODS, parse
from earwitness.inspection.detections import MOST_EXPLAINED, explain_detections, wanted
from earwitness.inspection.files import explain_segment, score_file, silence_explained
from earwitness.inspection.model import Model, left_out, load_model
from earwitness.inspection.recordings import LONG_SECONDS, along_time, explain_whole, explainers
from earwitness.inspection.recordings import METHODS as WHOLE_METHODS
from earwitness.models.detections import Detection, detect
from earwitness.models.prediction import ScoredRecording
from earwitness.models.reduction import reduction_of
from earwitness.workflows.explanation import Explanation
from earwitness.workflows.sources import source_of


def explain(
    file: Path | str,
    model: Model | Path | str,
    *,
    methods: Sequence[str | Explainer] | str | None = None,
    classes: Sequence[str] | str = (),
    at: float | None = None,
    detections: int | None = None,
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
        Such as ``"gradcam"`` or ``"lime:samples=512"``, or made of their classes, as ``Lime(segmentation=array)`` is;
        None takes the example's three, or occlusion for ``whole``.
    classes
        Classes to explain; none takes the one of the highest score. Where classes are nested, as AudioSet's are, it is
        the most specific of those that lead (``explanation.answer.nested``): Bark, not Animal. A word of a name will
        do that no other class has: ``"rooster"`` for "Chicken, rooster".
    at
        A moment in seconds: the segment around it is explained.
    detections
        How many detections to explain at most, each by its best segment, the best of each class first. None takes six
        of a recording longer than 20 s; of a shorter one, or where nothing is detected, the segment with sound that
        scores highest for the first class. ``notes`` name a silent one that scores higher.
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
        [file],
        model,
        methods=methods,
        classes=classes,
        at=at,
        detections=detections,
        whole=whole,
        verdicts=verdicts,
        progress=progress,
    )
    return explanation


def explain_all(
    files: Sequence[Path | str] | Path | str,
    model: Model | Path | str,
    *,
    methods: Sequence[str | Explainer] | str | None = None,
    classes: Sequence[str] | str = (),
    at: float | None = None,
    detections: int | None = None,
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
    model, methods, classes, at, detections, whole, verdicts, progress
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
    _check_asked(at, detections, whole=whole)
    asked = methods if methods is not None else WHOLE_METHODS if whole else DEFAULT_METHODS
    chosen = [asked] if isinstance(asked, str) else list(asked)
    # A wrong name is told before a long load.
    explain_one = _whole(explainers(chosen)) if whole else _segments([parse(each) for each in chosen], at, detections)
    loaded = load_model(model)
    if methods is None and not whole:
        fitting = fitting_defaults(loaded, DEFAULT_METHODS, progress)
        explain_one = _segments([parse(each) for each in fitting], at, detections)
    named = dict.fromkeys(loaded.classifier.class_index(name) for name in listed(classes))
    names = [loaded.classes[index] for index in named]
    paths = _with_folders_opened([Path(file) for file in listed(files)], progress)

    def explained() -> Iterator[Explanation]:
        for number, path in enumerate(paths, 1):
            if len(paths) > 1:
                progress.say(f"Explaining: {number} of {len(paths)}, {printable(path)}")
            try:
                found = explain_one(loaded, path, names, progress)
                yield found.judged(progress) if verdicts else found
            except BadRecordingError as error:
                if on_unusable is None:
                    raise
                on_unusable(Unusable.of(error))

    return explained()


def fitting_defaults(model: Model, methods: Sequence[str], progress: Progress) -> tuple[str, ...]:
    """Return the methods that explain where nobody names any, and say which of them the model has no place for."""
    fitting = model.askable(methods)
    if note := left_out(methods, fitting, model.name, model.classifier.network):
        progress.say(f"earwitness: note: {note}")
    return fitting


def _check_asked(at: float | None, detections: int | None, *, whole: bool) -> None:
    """Refuse wishes that exclude each other."""
    if whole and at is not None:
        raise UsageError(f"--at {at:g}: names one segment, and --whole explains all of a recording; leave out one")
    if detections is not None and (whole or at is not None):
        other = "--whole explains all of a recording" if whole else f"--at {at:g} names one segment"
        raise UsageError(f"--detections {detections}: {other}; leave out one")
    if detections is not None and detections < 1:
        raise UsageError(f"--detections {detections}: must be 1 or more")


def _with_folders_opened(paths: Sequence[Path], progress: Progress) -> list[Path]:
    """Return files, with each folder replaced by the sound files in it, and say how many these are."""
    opened = {path: sound_files(path) for path in paths if path.is_dir()}
    if opened and not any(opened.values()) and len(opened) == len(paths):
        raise UsageError(f"{printable(paths[0])}: holds no sound file; name another folder, or sound files")
    for folder, found in opened.items():
        progress.say(f"earwitness: note: {printable(folder)}: {len(found)} sound file{'' if len(found) == 1 else 's'}")
    return [file for path in paths for file in opened.get(path, [path])]


ExplainOne = Callable[[Model, Path, Sequence[str], Progress], Explanation]


def _segments(methods: Sequence[Explainer], at: float | None, detections: int | None) -> ExplainOne:
    """Return what explains the detections of a recording, or one segment of it."""

    def one(model: Model, path: Path, classes: Sequence[str], progress: Progress) -> Explanation:
        scored = score_file(model.classifier, path, progress)
        # The highest of numbers that are no probabilities is not detected.
        found = () if reduction_of(model.classifier.network) else detect(scored, model.classifier.activation)
        chosen: tuple[Detection, ...] = ()
        if at is None and (detections is not None or scored.seconds > LONG_SECONDS):
            indices = [model.classifier.class_index(name) for name in classes]
            chosen = wanted(scored, found, indices, detections or MOST_EXPLAINED, model.classifier.parents)
        answer: Inquiry | DetectedExplanation
        if chosen:
            answer = explain_detections(model, path, scored, methods, found, chosen, progress=progress)
            inquiry = answer.inquiry
        else:
            inquiry = explain_segment(model, path, scored, methods, classes=classes, at=at, progress=progress)
            answer = inquiry
        first = inquiry.findings[0]
        maps, moments = maps_by_name(methods, inquiry)
        between = first.start_seconds, min(first.end_seconds, scored.seconds)
        made = _explanation(model, path, scored, between, maps, answer, found, moments)
        silent = silence_explained(inquiry.findings) if at is None else ()
        return replace(made, scored=scored, explainers=tuple(methods), notes=(*made.notes, *inquiry.notes, *silent))

    return one


def _whole(methods: Sequence[Occlusion]) -> ExplainOne:
    def one(model: Model, path: Path, classes: Sequence[str], progress: Progress) -> Explanation:
        scored = score_file(model.classifier, path, progress)
        answer = explain_whole(model, path, scored, methods, classes=classes, progress=progress)
        maps: NamedMaps = {}
        moments: NamedMoments = {}
        if isinstance(answer, LongExplanation):
            for line in (line for per_target in answer.timelines for line in per_target):
                key = spec(line.method), line.overall.target_label
                maps[key], moments[key] = line.overall, tuple(moment.map for moment in line.moments)
        else:
            for each in (each for per_target in answer.maps for each in per_target):
                maps[spec(each.method), each.map.target_label] = each.map
                maps[spec(along_time(each.method)), each.map.target_label] = each.profile
        return _explanation(model, path, scored, (0.0, scored.seconds), maps, answer, answer.detections, moments)

    return one


def _explanation(
    model: Model,
    path: Path,
    scored: ScoredRecording,
    between: tuple[float, float],
    maps: NamedMaps,
    answer: Inquiry | WholeExplanation | LongExplanation | DetectedExplanation,
    detections: tuple[Detection, ...],
    moments: NamedMoments,
) -> Explanation:
    ranked = scored.best(len(scored.classes))
    return Explanation(
        file=scored.file,
        seconds=scored.seconds,
        scores={scored.classes[index]: float(scored.mean[index]) for index in ranked},
        start_seconds=between[0],
        end_seconds=between[1],
        attributions=maps,
        segments=len(scored.scores),
        detections=detections,
        moments=moments,
        answer=answer,
        notes=scored.notes + _trained_on(model, path),
        source=source_of(model, path, [label for _, label in maps]),
        path=path,
        model=model,
    )


def _trained_on(model: Model, path: Path) -> tuple[str, ...]:
    """Say of a file that its model was trained on it, by its sound."""
    if not model.trained_on or decoding.inspect(path).sound_sha256 not in model.trained_on:
        return ()
    return (f"this file was trained on by {model.name}: its scores tell nothing of how good that is",)
