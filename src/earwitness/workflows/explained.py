"""Explanations in a folder: pictures and maps of files, first as they are, then with their verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earwitness.core.errors import BadRecordingError, UsageError, printable
from earwitness.core.files import check_writable, write_csv
from earwitness.core.locks import folder_held
from earwitness.core.progress import Progress, shown
from earwitness.data.recordings import Unusable
from earwitness.inspection.exports import check_formats, detection_rows
from earwitness.inspection.model import Model
from earwitness.models.detections import COLUMNS
from earwitness.workflows.drawing import map_style
from earwitness.workflows.explain import explain_all
from earwitness.workflows.explanation import Explanation

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
    detections: int | None = None,
    whole: bool = False,
    verdicts: bool = True,
    upsampling: str = "nearest",
    overlay: bool = False,
    style: str = "screen",
    exports: Sequence[str] = (),
    table: Path | str | None = None,
    on_maps: Callable[[Explanation, Path, bool], None] | None = None,
    on_exports: Callable[[Sequence[Path]], None] | None = None,
    on_verdicts: Callable[[Explanation], None] | None = None,
    progress: Progress | bool = True,
) -> Explained:
    """Explain files and write each explanation's picture and maps, as :meth:`Explanation.save` does.

    Picture and maps are written as soon as there are maps, and again once these have verdicts; interrupted in between,
    those without stay.

    Parameters
    ----------
    files, model, methods, classes, at, detections, whole, verdicts, progress
        As for :func:`explain_all`.
    out
        Folder for ``NAME.png`` and ``NAME-CLASS-METHOD.npz``. A name that another file, class or model has there gets
        the next number; an earlier explanation of the same is replaced.
    upsampling, overlay, style
        How maps are drawn, as for :meth:`Explanation.plot`.
    exports
        What else is written of each, as by :meth:`Explanation.export`.
    table
        A CSV to write: a row a detection, of all files, with the file and the columns of
        :meth:`~earwitness.models.detections.Detection.as_row`. None writes none.
    on_maps
        Told of each explanation when its picture and maps are written, without verdicts; with the picture's path, and
        whether it took the place of an earlier one.
    on_exports
        Told then which files ``exports`` asked for were written.
    on_verdicts
        Told of each explanation when its verdicts are measured, and written, too.

    Raises
    ------
    UsageError
        The request is wrong, or the folder cannot be written to.
    EarwitnessError
        The model is damaged, or the disk refuses.
    """
    progress = shown(progress)
    map_style(upsampling, overlay, style, whole=whole)
    look: dict[str, Any] = {"upsampling": upsampling, "overlay": overlay, "style": style}
    check_formats(exports)
    _check_places(out, table)
    unusable: list[Unusable] = []
    names: set[str] = set()
    saved: list[tuple[Explanation, Path]] = []
    replaced: set[Path] = set()
    for each in explain_all(
        files,
        model,
        methods=methods,
        classes=classes,
        at=at,
        detections=detections,
        whole=whole,
        verdicts=False,
        on_unusable=unusable.append,
        progress=progress,
    ):
        # Names are chosen by what is there: of two that explain into one folder, each waits while the other draws.
        with progress.task("Drawing", 1) as advance, folder_held(out, patience=DRAWING_SECONDS):
            name, again = each.name_in(Path(out), names)
            names.add(name.casefold())
            picture = each.save(out, name, **look)
            beside = each.export(out, name, exports, **look)
            if again:
                replaced.add(picture)
            advance(1)
        saved.append((each, picture))
        if table is not None:  # as far as it goes: verdicts of hours may follow
            _write_table(table, saved)
        if on_maps is not None:
            on_maps(each, picture, again)
        if on_exports is not None:
            on_exports(beside)
        judged = _judged(each, picture, unusable, progress) if verdicts else each
        if judged is not each:
            with folder_held(out, patience=DRAWING_SECONDS):
                judged.save(out, name, **look, formats=exports)
            if on_verdicts is not None:
                on_verdicts(judged)
        saved[-1] = judged, picture
    if table is not None and not saved:
        _write_table(table, saved)
    return Explained(tuple(saved), tuple(unusable), frozenset(replaced))


def _check_places(out: Path | str, table: Path | str | None) -> None:
    """Refuse what cannot be written."""
    check_writable(Path(out))
    if table is not None:
        if Path(table).suffix.lower() != ".csv":  # it replaces what is there: never a recording
            what = "is a CSV; name a file that ends in .csv (--export raven or audacity: a file a recording)"
            raise UsageError(f"--table {printable(table)}: {what}")
        check_writable(Path(table).parent)


def _write_table(table: Path | str, saved: Sequence[tuple[Explanation, Path]]) -> None:
    """Write a row a detection, its seconds and scores to digits that mean something."""
    rows = [row for each, _ in saved for row in detection_rows(each.file, each.detections)]
    write_csv(table, ("file", *COLUMNS), rows)


def _judged(each: Explanation, picture: Path, unusable: list[Unusable], progress: Progress) -> Explanation:
    """Return an explanation with verdicts, or as it is where its file has become unreadable, and note that."""
    try:
        return each.judged(progress)
    except BadRecordingError as error:
        unusable.append(Unusable.of(error))
        return each
    except KeyboardInterrupt:
        progress.say(f"earwitness: {printable(picture)} stays, without verdicts")
        raise
