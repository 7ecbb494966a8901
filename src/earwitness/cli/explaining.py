"""The commands that explain: files, a run's decisions, all of it in one page.

Each parses, calls one function, prints.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness.cli.exit import leave
from earwitness.cli.options import (
    At,
    Classes,
    ClassFile,
    DescriptionFile,
    Device,
    Exports,
    Methods,
    ModelBackbone,
    ModelRun,
    ModelSpec,
    MovedData,
    Overlay,
    PlainCommand,
    Run,
    Seed,
    Style,
    Upsampling,
    Verdicts,
    Weights,
    Whole,
)
from earwitness.cli.output import methods_lines, next_step, progress_bar, show, show_exported, typed, warn
from earwitness.core.errors import UsageError, printable

if TYPE_CHECKING:
    from earwitness.inspection.model import Model
    from earwitness.workflows.explanation import Explanation


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(cls=PlainCommand)(explain)
    app.command(cls=PlainCommand)(inquire)
    app.command(cls=PlainCommand)(report)


def explain(
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE", help="Sound files, or folders of them.")] = None,
    run: ModelRun = None,
    backbone: ModelBackbone = None,
    weights: Weights = None,
    model: ModelSpec = None,
    description: DescriptionFile = None,
    names: ClassFile = None,
    method: Methods = None,
    target: Classes = None,
    at: At = None,
    detections: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Detections to explain at most. [default: 6; of less than 20 s, the best segment]"
        ),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="CSV to write, with a row a detection.")
    ] = None,
    whole: Whole = False,
    segment: Annotated[
        float | None,
        typer.Option(help="Another segment length in seconds. [default: as trained; the tagger's is 10]"),
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option(help="Another overlap of segments in percent. [default: as trained; the tagger's is 0]"),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes to list.")] = 5,
    out: Annotated[Path, typer.Option("--out", help="Folder for pictures and attributions.")] = Path("explained"),
    device: Device = "auto",
    verdicts: Verdicts = True,
    upsampling: Upsampling = "nearest",
    overlay: Overlay = False,
    style: Style = "screen",
    exports: Exports = None,
    listen: Annotated[
        bool, typer.Option("--listen", help="Write sounds, too: only the evidence, and all without it.")
    ] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="List the methods, or all about those that are named: --list lime.")
    ] = False,
    list_classes: Annotated[
        bool, typer.Option("--list-classes", help="List the classes that --run or --backbone knows, one a line.")
    ] = False,
) -> None:
    """Say what sound files are predicted as, and why."""
    if list_classes:
        other = "--list" if listed else files[0] if files else None
        _list_classes(other, run, backbone, model, description, names)
        return
    if listed:
        show(methods_lines(files or ()))
        return
    if not files:
        raise UsageError("name a sound file, --list for the methods, or --list-classes for the classes")
    if len(files) == 1 and not os.path.lexists(files[0]):  # of several, those that are there are explained
        raise UsageError(f"{printable(files[0])}: does not exist; name a sound file")
    from earwitness.cli import text
    from earwitness.cli.sounds import write_and_show
    from earwitness.workflows.explained import explain_to_folder

    def show_maps(found: Explanation, picture: Path, replaced: bool) -> None:
        for note in found.notes:
            warn(f"warning: {found.file}: {note}")
        show(text.explained(found, picture, top, verdicts=verdicts, replaced=replaced))
        if listen:
            write_and_show(found, out)

    outcome = explain_to_folder(
        files,
        model_named(run, backbone, weights, device, model, description, names).with_segments(segment, overlap),
        out,
        methods=method or None,
        classes=target or (),
        at=at,
        detections=detections,
        table=table,
        whole=whole,
        verdicts=verdicts,
        upsampling=upsampling,
        overlay=overlay,
        style=style,
        exports=tuple(exports or ()),
        on_maps=show_maps,
        on_exports=show_exported,
        on_verdicts=lambda found: show(text.judged(found)),
        progress=progress_bar(),
    )
    if table is not None:
        show(f"{printable(table)}: {sum(len(found.detections) for found, _ in outcome.explanations)} detections")
    if outcome.explanations:
        next_step(f"open {typed(outcome.explanations[0][1])}")
    leave(outcome.unusable, every=not outcome.explanations)


def model_named(
    run: Path | None,
    backbone: str | None,
    weights: str | None,
    device: str,
    spec: str | None = None,
    description: Path | None = None,
    classes: Path | None = None,
) -> Model:
    """Return the model that the options name."""
    from earwitness.inspection.model import model_of_backbone, model_of_others, model_of_run

    _check_one(run, backbone, spec)
    if weights is not None and backbone is None:
        which, option = ("a run", "--run") if run is not None else ("such a model", "--model")
        raise UsageError(f"--weights {weights}: {which} has its own weights; leave out --weights or {option}")
    if spec is None and (description is not None or classes is not None):
        option, value = ("--description", description) if description is not None else ("--classes", classes)
        raise UsageError(f"{option} {printable(str(value))}: goes with --model; leave it out")
    if spec is not None:
        return model_of_others(spec, description=description, classes=classes, device=device)
    if run is not None:
        return model_of_run(run, device=device)
    return model_of_backbone(str(backbone), weights=weights, device=device)


def _check_one(run: Path | None, backbone: str | None, spec: str | None) -> None:
    if (run is not None) + (backbone is not None) + (spec is not None) != 1:
        raise UsageError(
            "name one of --run RUN, a trained run, --backbone mn04, for AudioSet's 527 classes, and --model SPEC, a "
            "model of others"
        )


def _list_classes(
    other: str | None,
    run: Path | None,
    backbone: str | None,
    spec: str | None,
    description: Path | None,
    classes: Path | None,
) -> None:
    """Print the classes of a run, a backbone or a model of others, if nothing else was asked for."""
    from earwitness.models.loading import class_names

    if other is not None:
        raise UsageError(f"{printable(other)}: --list-classes lists classes and nothing else; leave out one of them")
    _check_one(run, backbone, spec)
    if spec is None:
        found = class_names(run, backbone=backbone)
    else:
        found = model_named(run, backbone, None, "cpu", spec, description, classes).classes
    for name in found:
        show(printable(name))


def inquire(
    run: Run,
    method: Methods = None,
    of_class: Annotated[
        str | None, typer.Option("--class", help="What does the classifier rely on for this class?")
    ] = None,
    true: Annotated[
        str | None, typer.Option(help="Why was this class misclassified: as --predicted, else as what it mostly is.")
    ] = None,
    predicted: Annotated[
        str | None, typer.Option(help="Why was --true, or what mostly is, misclassified as this class?")
    ] = None,
    segment: Annotated[
        list[str] | None,
        typer.Option("--segment", metavar="PLACE", help="FILE@SECONDS, or a row of predictions.csv; repeatable."),
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Segments to show.")] = None,
    recordings: MovedData = None,
    verdicts: Verdicts = True,
    least: Annotated[
        str | None, typer.Option(help="Show segments of which a map is at least: weak, reliable. [default: all]")
    ] = None,
    upsampling: Upsampling = "nearest",
    overlay: Overlay = False,
    style: Style = "screen",
    exports: Exports = None,
    common: Annotated[
        bool, typer.Option("--common-scale", help="Give all maps of a method one colour scale, to compare segments.")
    ] = False,
    sounds: Annotated[
        bool, typer.Option("--sounds/--no-sounds", help="Write what the report plays: segments and their evidence.")
    ] = True,
    device: Device = "auto",
    seed: Seed = 0,
) -> None:
    """Investigate a run's decisions. Without a question, everything that the report shows.

    An answer with fewer maps, verdicts or sounds than an earlier one to the same question is kept beside it.
    """
    from earwitness.cli import text
    from earwitness.workflows.inquire import inquire as answer

    answers = answer(
        run,
        methods=tuple(method) if method else None,
        of_class=of_class,
        true=true,
        predicted=predicted,
        segments=tuple(segment or ()),
        count=count,
        data=recordings,
        verdicts=verdicts,
        least=least,
        upsampling=upsampling,
        overlay=overlay,
        style=style,
        exports=tuple(exports or ()),
        common_scale=common,
        sounds=sounds,
        device=device,
        seed=seed,
        progress=progress_bar(),
    )
    for each in answers:
        show(text.answer(each))
    next_step(f"earwitness report {typed(run)}")


def report(
    run: Run,
    paths: Annotated[
        bool, typer.Option("--paths", help="Give absolute paths in full. [default: their last part]")
    ] = False,
) -> None:
    """Write RUN/report.html. One page holds everything, and it needs no network."""
    from earwitness.report.page import build_report

    path = build_report(run, paths=paths)
    show(f"{printable(path)}: {path.stat().st_size / 1e6:.1f} MB")
    next_step(f"open {typed(path)}")
