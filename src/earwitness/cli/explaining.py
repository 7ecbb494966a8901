"""The commands that explain: files, a run's decisions, all of it in one page.

Each parses, calls one function, prints.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness.cli.exit import leave
from earwitness.cli.options import Device, Methods, PlainCommand, Run, Seed, Verdicts, Weights, known_backbone
from earwitness.cli.output import methods_lines, next_step, progress_bar, show, typed, warn
from earwitness.core.errors import UsageError, printable

if TYPE_CHECKING:
    from earwitness.inspection.model import Model


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(cls=PlainCommand)(explain)
    app.command(cls=PlainCommand)(inquire)
    app.command(cls=PlainCommand)(report)


def explain(
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE", help="Sound files, or folders of them.")] = None,
    run: Annotated[Path | None, typer.Option("--run", help="Run folder whose classifier is explained.")] = None,
    backbone: Annotated[
        str | None, typer.Option(callback=known_backbone, help="Without training: mn04 with AudioSet's 527 classes.")
    ] = None,
    weights: Weights = None,
    method: Methods = None,
    target: Annotated[
        list[str] | None, typer.Option("--class", metavar="NAME", help="Class to explain; repeatable.")
    ] = None,
    at: Annotated[float | None, typer.Option(help="Moment of the segment to explain, in seconds.")] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Explain whole recordings, over time, and not the best segment alone.")
    ] = False,
    top: Annotated[int, typer.Option(min=1, help="Classes to list.")] = 5,
    out: Annotated[Path, typer.Option("--out", help="Folder for pictures and attributions.")] = Path("explained"),
    device: Device = "auto",
    verdicts: Verdicts = True,
    listen: Annotated[
        bool, typer.Option("--listen", help="Write sounds, too: only the evidence, and all without it.")
    ] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="List the methods, or all about those that are named: --list lime.")
    ] = False,
) -> None:
    """Say what sound files are predicted as, and why."""
    if listed:
        show(methods_lines(files or ()))
        return
    if not files:
        raise UsageError("name a sound file, or --list for the methods")
    if len(files) == 1 and not os.path.lexists(files[0]):  # of several, those that are there are explained
        raise UsageError(f"{printable(files[0])}: does not exist; name a sound file")
    from earwitness.cli import text
    from earwitness.cli.sounds import write_and_show
    from earwitness.explainers.findings import LongExplanation, WholeExplanation
    from earwitness.workflows.explain import explain_to_folder

    outcome = explain_to_folder(
        files,
        model_named(run, backbone, weights, device),
        out,
        methods=method or None,
        classes=target or (),
        at=at,
        whole=whole,
        verdicts=verdicts,
        progress=progress_bar(),
    )
    for found, picture in outcome.explanations:
        for note in found.notes:
            warn(f"warning: {found.file}: {note}")
        replaced = picture in outcome.replaced
        if isinstance(found.answer, WholeExplanation):
            show(text.whole_explanation(found.answer, picture, top, verdicts=verdicts, replaced=replaced))
        elif isinstance(found.answer, LongExplanation):
            show(text.long_explanation(found.answer, picture, top, verdicts=verdicts, replaced=replaced))
        else:
            show(text.explanation(found, picture, top, replaced=replaced))
        if listen:
            write_and_show(found, out)
    if outcome.explanations:
        next_step(f"open {typed(outcome.explanations[0][1])}")
    leave(outcome.unusable, every=not outcome.explanations)


def model_named(run: Path | None, backbone: str | None, weights: str | None, device: str) -> Model:
    """Return the model that the options name."""
    from earwitness.inspection.model import model_of_backbone, model_of_run

    if (run is None) == (backbone is None):
        raise UsageError("name either --run RUN, a trained run, or --backbone mn04, for AudioSet's 527 classes")
    if run is None:
        return model_of_backbone(str(backbone), weights=weights, device=device)
    if weights is not None:
        raise UsageError(f"--weights {weights}: a run has its own weights; leave out --weights or --run")
    return model_of_run(run, device=device)


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
    recordings: Annotated[
        Path | None, typer.Option("--data", help="Where the recordings are now, if they were moved since the run.")
    ] = None,
    verdicts: Verdicts = True,
    least: Annotated[
        str | None, typer.Option(help="Show segments of which a map is at least: weak, reliable. [default: all]")
    ] = None,
    device: Device = "auto",
    seed: Seed = 0,
) -> None:
    """Investigate a run's decisions. Without a question, everything that the report shows."""
    from earwitness.cli import text
    from earwitness.explainers.registry import DEFAULT_METHODS
    from earwitness.workflows.inquire import inquire as answer

    answers = answer(
        run,
        methods=tuple(method or DEFAULT_METHODS),
        of_class=of_class,
        true=true,
        predicted=predicted,
        segments=tuple(segment or ()),
        count=count,
        data=recordings,
        verdicts=verdicts,
        least=least,
        device=device,
        seed=seed,
        progress=progress_bar(),
    )
    for each in answers:
        show(text.answer(each))
    next_step(f"earwitness report {typed(run)}")


def report(run: Run) -> None:
    """Write RUN/report.html. One page holds everything, and it needs no network."""
    from earwitness.report.page import build_report

    path = build_report(run)
    show(f"{printable(path)}: {path.stat().st_size / 1e6:.1f} MB")
    next_step(f"open {typed(path)}")
