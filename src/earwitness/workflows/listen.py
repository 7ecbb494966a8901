"""Sound files as one listens to them: only the evidence, and all without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.core.arguments import listed
from earwitness.core.brief import brief
from earwitness.core.device import choose_device
from earwitness.core.errors import BadRecordingError, EarwitnessError, UsageError, printable
from earwitness.core.files import check_writable, write_csv, write_json
from earwitness.core.locks import folder_held
from earwitness.core.progress import NO_PROGRESS, Progress, shown
from earwitness.data.recordings import Unusable
from earwitness.inspection.exports import check_formats
from earwitness.inspection.model import Model, load_model
from earwitness.inspection.run import open_run
from earwitness.sonify.fidelity import (
    PUBLISHED,
    Advantage,
    Fidelity,
    Row,
    Stretch,
    advantages,
    as_dicts,
    fidelities,
    measured,
    patch_masks,
)
from earwitness.sonify.levels import LEVELS, MATCHED
from earwitness.sonify.listening import Listening, Written
from earwitness.sonify.masks import BY, FLOOR, SHARE, Box, Mask, NoEvidenceError, mask_of
from earwitness.sonify.writing import FORMATS
from earwitness.workflows.explain import explain_all, fitting_defaults
from earwitness.workflows.explained import DRAWING_SECONDS
from earwitness.workflows.explanation import Explanation
from earwitness.workflows.kept import export_kept

# What perturbation methods hide is silent here, as it is in the sound; with their own fill, the segment's mean, quiet
# cells count as evidence, too, which nobody hears (docs/listening.md).
METHODS = ("gradcam", "lime:fill=floor", "occlusion:fill=floor")
WHOLE_METHODS = ("occlusion:fill=floor",)


@dataclass(frozen=True)
class Listened:
    """What `earwitness listen` came to: the sounds that were written, and what could not be.

    Parameters
    ----------
    written
        A set of sounds a file, class and method.
    unusable
        Files that cannot be used, and why.
    mute
        Maps in which nothing speaks for their class, a sentence each.
    """

    written: tuple[Written, ...]
    unusable: tuple[Unusable, ...] = ()
    mute: tuple[str, ...] = ()

    __repr__ = brief


def listen(
    files: Sequence[Path | str] | Path | str,
    model: Model | Path | str | None = None,
    out: Path | str = "listened",
    *,
    methods: Sequence[str] | str | None = None,
    classes: Sequence[str] | str = (),
    at: float | None = None,
    whole: bool = False,
    keep: float = SHARE,
    by: str = "area",
    box: Box | str | None = None,
    level: str = MATCHED,
    kind: str = "wav",
    exports: Sequence[str] = (),
    progress: Progress | bool = True,
) -> Listened:
    """Explain files, and write each explanation as sound: the original, only the evidence, and all without it.

    Parameters
    ----------
    files, classes, at, whole, progress
        As for :func:`earwitness.explain_all`. What is written is what is explained: one segment, or the whole
        recording.
    methods
        As there; None takes ``METHODS``, in which hidden cells are silent, or occlusion for ``whole``.
    model
        As there; None for a box alone, which no model is asked about.
    out
        Folder for ``NAME-CLASS-METHOD-original.wav``, ``-kept.wav``, ``-removed.wav``, and ``NAME-CLASS-METHOD.json``
        with how they were made and what they score. Those of the same recording and model are replaced, and a name
        that others have there gets the next number.
    keep, by
        How much of a map counts as evidence: over 0 to 1 of its area, or of its positive mass (``"mass"``).
    box
        A box of time and frequency, such as ``"0.5-1.2,300-4000"`` (s, Hz), that is kept in place of evidence.
    level
        ``"matched"`` brings the three to one loudness; with ``"own"`` kept and removed add up to the original.
    kind
        ``"wav"`` or ``"flac"``.
    exports
        ``"csv"``, ``"raven"`` and ``"audacity"`` write the box, or the regions that are kept, beside the sounds, in
        seconds of the recording.

    Raises
    ------
    UsageError
        The request is wrong.
    EarwitnessError
        The model is damaged, or the disk refuses.

    Examples
    --------
    >>> import earwitness as ew
    >>> found = ew.listen("some.wav", "runs/demo", methods="gradcam", keep=0.25)
    >>> [path.name for path in found.written[0].files]
    ['some-dog-gradcam-original.wav', 'some-dog-gradcam-kept.wav', 'some-dog-gradcam-removed.wav']
    >>> found.written[0].file_scores[1]["dog"] > 0
    True
    """
    progress = shown(progress)
    _check(keep, by, level, kind, Path(out))
    check_formats(exports, pictures=False)
    if box is not None and (methods or classes or at is not None or whole):
        raise UsageError("a box is kept as it is; leave it out, or what explains: --method, --class, --at, --whole")
    if box is not None:
        parsed = Box.parse(box) if isinstance(box, str) else box
        return _boxes(files, model, parsed, Path(out), level, kind, exports, progress)
    if model is None:
        raise UsageError("listening to evidence needs a model; name a run, or a box of time and frequency")
    written: list[Written] = []
    unusable: list[Unusable] = []
    mute: list[str] = []
    loaded = load_model(model)
    for each in explain_all(
        files,
        loaded,
        methods=methods or (WHOLE_METHODS if whole else fitting_defaults(loaded, METHODS, progress)),
        classes=classes,
        at=at,
        whole=whole,
        verdicts=False,
        on_unusable=unusable.append,
        progress=progress,
    ):
        done, silent = write_sounds(
            each, out, keep=keep, by=by, level=level, kind=kind, exports=exports, progress=progress
        )
        written += done
        mute += silent
    return Listened(tuple(written), tuple(unusable), tuple(mute))


def write_sounds(
    explanation: Explanation,
    out: Path | str,
    *,
    keep: float = SHARE,
    by: str = "area",
    level: str = MATCHED,
    kind: str = "wav",
    exports: Sequence[str] = (),
    progress: Progress | bool = True,
) -> tuple[list[Written], list[str]]:
    """Write the sounds of every map of an explanation; return them, and a sentence for each map that has none.

    Parameters are those of :func:`listen`.
    """
    written: list[Written] = []
    mute: list[str] = []
    progress = shown(progress)
    for key in explanation.attributions:
        try:
            listening = explanation.listen(key, keep=keep, by=by)
        except NoEvidenceError as error:
            mute.append(f"{explanation.file}: {error}")
        else:
            with folder_held(out, patience=DRAWING_SECONDS):
                written.append(listening.write(out, kind=kind, level=level, progress=progress))
                export_kept(written[-1], exports)
    return written, mute


def _check(keep: float, by: str, level: str, kind: str, out: Path) -> None:
    """Refuse what is wrong in a request before the work."""
    if not 0.0 < keep <= 1.0:
        raise UsageError(f"--keep {100 * keep:g}%: keep more than 0 and at most 100 %")
    for option, value, known in (("--by", by, BY), ("--level", level, LEVELS), ("--format", kind, FORMATS)):
        if value not in known:
            raise UsageError(f"{option} {value}: choose one of {', '.join(known)}")
    check_writable(out)


def _boxes(
    files: Sequence[Path | str] | Path | str,
    model: Model | Path | str | None,
    box: Box,
    out: Path,
    level: str,
    kind: str,
    exports: Sequence[str],
    progress: Progress,
) -> Listened:

    classifier = None if model is None else load_model(model).classifier
    written: list[Written] = []
    unusable: list[Unusable] = []
    for path in listed(files):
        try:
            listening = Listening.of(path, box, classifier=classifier)
            with folder_held(out, patience=DRAWING_SECONDS):
                written.append(listening.write(out, kind=kind, level=level, progress=progress))
                export_kept(written[-1], exports)
        except BadRecordingError as error:
            unusable.append(Unusable.of(error))
    return Listened(tuple(written), tuple(unusable))


# ---- all of a run -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ListenedRun:
    """How well a run's explanations hold when they are listened to.

    Parameters
    ----------
    fidelities, advantages
        Of each method and of each patch in its place; what the method has over the patch.
    rows
        A row a recording and mask.
    mute
        Maps in which nothing speaks for their class, a sentence each; they are in no row.
    unusable
        Recordings that cannot be used any more.
    sheet, table
        The measures as JSON, the rows as CSV.
    """

    fidelities: tuple[Fidelity, ...]
    advantages: tuple[Advantage, ...]
    rows: tuple[Row, ...]
    mute: tuple[str, ...]
    unusable: tuple[Unusable, ...]
    sheet: Path
    table: Path

    __repr__ = brief


def listen_to_run(
    run: Path | str,
    out: Path | str | None = None,
    *,
    methods: Sequence[str] | str | None = None,
    keep: float = SHARE,
    by: str = "area",
    data: Path | str | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress | bool = True,
) -> ListenedRun:
    """Explain all of a run's held-out recordings, and score the evidence and the rest as sound, against patches.

    Of each recording one segment is explained, the one with sound that scores highest for the class that is predicted.
    Only the evidence, and all without it, go through the mean of the channels, resampling, front end and classifier
    again, and so do what a random patch, the loudest patch and the loudest band-pass of the same area keep and leave.

    Parameters
    ----------
    run
        Run folder of a finished training.
    out
        Folder for ``listening.json`` and ``listening.csv``; None takes ``trust`` in the run.
    methods, keep, by
        As for :func:`listen`.
    data
        Where the recordings are now, if not where they were at the time of the run.
    device, seed, progress
        As everywhere; the seed is of the random patches.

    Raises
    ------
    UsageError
        It is no finished run, or nothing can be written.
    EarwitnessError
        The run is damaged, or none of its recordings can be used.
    """
    progress = shown(progress)
    opened = open_run(run, choose_device(device), data)
    folder = opened.folder.trust if out is None else Path(out)
    _check(keep, by, MATCHED, FORMATS[0], folder)
    model = opened.model
    label_of = {
        opened.path_of(name): (name, opened.predictions.classes[int(label)])
        for name, label in zip(opened.predictions.files, opened.predictions.labels, strict=True)
    }
    if not any(path.exists() for path in label_of):
        opened.check_there(opened.predictions.files[0])
    rows: list[Row] = []
    mute: list[str] = []
    unusable: list[Unusable] = []
    with folder_held(opened.folder.path if out is None else folder, instead=""):
        explained = explain_all(
            list(label_of),
            model,
            methods=methods or fitting_defaults(model, METHODS, progress),
            verdicts=False,
            on_unusable=unusable.append,
            progress=NO_PROGRESS,
        )
        with progress.task("Explaining and listening", len(label_of)) as advance:
            for number, each in enumerate(explained):
                name, label = label_of[each.path or Path()]
                found, none = _rows_of(each, model, keep, by, [seed, number], recording=name, label=label)
                rows += found
                mute += none
                advance(1)
        if not rows:
            why = [*mute, *(f"{each.file}: {each.reason}" for each in unusable)][0]
            raise EarwitnessError(f"{printable(run)}: no recording could be listened to ({why})")
        result = ListenedRun(
            fidelities=tuple(fidelities(rows, seed)),
            advantages=tuple(advantages(rows, seed)),
            rows=tuple(rows),
            mute=tuple(mute),
            unusable=tuple(unusable),
            sheet=folder / "listening.json",
            table=folder / "listening.csv",
        )
        _keep(result, {"run": printable(run), "keep": keep, "by": by, "seed": seed, "floor": FLOOR})
    return result


def _rows_of(
    explanation: Explanation, model: Model, keep: float, by: str, seed: Sequence[int], **known: str
) -> tuple[list[Row], list[str]]:
    masks: dict[tuple[str, str], Mask] = {}
    patches: dict[float, dict[str, Mask]] = {}
    mute = []
    stretch: Stretch | None = None
    for method, _ in explanation.attributions:
        try:
            listening = explanation.listen(method, keep=keep, by=by)
        except NoEvidenceError as error:
            mute.append(f"{explanation.file}: {error}")
            continue
        stretch = stretch or stretch_of(explanation, listening)
        mask = mask_of(explanation[method], explanation.answer.clock, keep, by)
        area = round(mask.area, 3)
        if area not in patches:
            patches[area] = patch_masks(model.classifier, stretch, max(area, 0.001), seed)
        masks |= {(method, ""): mask} | {(method, name): patch for name, patch in patches[area].items()}
    if stretch is None:
        return [], mute
    return measured(model.classifier, stretch, masks, target=explanation.classes[0], **known), mute


def stretch_of(explanation: Explanation, listening: Listening) -> Stretch:
    """Return the segment that was explained, as it is heard and as the model was shown it."""
    (finding,), clock = explanation.answer.findings, explanation.answer.clock  # type: ignore[union-attr]
    return Stretch(
        samples=listening.original,
        sample_rate=listening.sample_rate,
        start_seconds=listening.start_seconds,
        log_mel=finding.log_mel[: finding.real_frames],
        times=clock.frame_centre_seconds(finding.start_frame + np.arange(finding.real_frames)),
    )


def _keep(result: ListenedRun, asked: dict[str, Any]) -> None:
    """Write the measures and the rows."""
    content = {
        **asked,
        "measures": as_dicts(result.fidelities),
        "advantages": as_dicts(result.advantages),
        "published": {"L-MAC on ESC-50": PUBLISHED},
        "without_evidence": list(result.mute),
        "unusable": [[each.file, each.reason] for each in result.unusable],
    }
    write_json(result.sheet, content)
    columns = [field.name for field in fields(Row)]
    write_csv(result.table, columns, (astuple(row) for row in result.rows))
