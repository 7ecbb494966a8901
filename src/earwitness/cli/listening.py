"""The command that makes sound of explanations: parses, calls one function, prints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from earwitness.cli.exit import leave
from earwitness.cli.options import (
    At,
    Classes,
    ClassFile,
    DescriptionFile,
    Device,
    Methods,
    ModelBackbone,
    ModelRun,
    ModelSpec,
    MovedData,
    PlainCommand,
    Seed,
    Weights,
    Whole,
)
from earwitness.cli.output import MOST_NAMED, next_step, progress_bar, show, show_exported, typed, warn
from earwitness.cli.sounds import fidelity_lines, sounds_lines
from earwitness.core.errors import UsageError, printable


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(cls=PlainCommand)(listen)


def listen(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="Sound files, or folders of them. [default: a run's held-out recordings]"),
    ] = None,
    run: ModelRun = None,
    backbone: ModelBackbone = None,
    weights: Weights = None,
    model: ModelSpec = None,
    description: DescriptionFile = None,
    names: ClassFile = None,
    method: Methods = None,
    target: Classes = None,
    at: At = None,
    whole: Whole = False,
    keep: Annotated[
        str | None, typer.Option("--keep", metavar="SHARE", help="Share of a map that is evidence. [default: 30%]")
    ] = None,
    by: Annotated[
        str, typer.Option(help="Share of what: area, or mass (the sum of what speaks for the class).")
    ] = "area",
    box: Annotated[
        str | None,
        typer.Option(
            metavar="BOX", help="Keep a box, needs no model: START-END,LOW-HIGH in s and Hz; 0.5-1.2,300-4000."
        ),
    ] = None,
    level: Annotated[str, typer.Option(help="matched: one loudness; own: kept and removed add up.")] = "matched",
    kind: Annotated[str, typer.Option("--format", help="wav or flac.")] = "wav",
    exports: Annotated[
        list[str] | None,
        typer.Option("--export", metavar="FORMAT", help="Write what is kept as csv, raven or audacity; repeatable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the sounds. [default: listened; of a run: RUN/trust]")
    ] = None,
    data: MovedData = None,
    device: Device = "auto",
    seed: Seed = 0,
) -> None:
    """Make explanations audible. Only the evidence, and all without it, scored again; of a run, how well that holds."""
    share = share_of(keep)
    if not files:
        others: dict[str, Any] = {"--class": target, "--at": at, "--whole": whole, "--box": box, "--backbone": backbone}
        others |= {"--model": model, "--description": description, "--classes": names, "--weights": weights}
        others |= {"--export": exports, "--level own": level != "matched", "--format flac": kind != "wav"}
        _refuse(others, "is for sound files; name one, or leave it out for all of a run")
        _run(run, method, share, by, out, data, device, seed)
        return
    if len(files) == 1 and not os.path.lexists(files[0]):
        raise UsageError(f"{printable(files[0])}: does not exist; name a sound file")
    _refuse({"--data": data, "--seed": seed}, "is for all of a run; leave it out, or the sound files")
    from earwitness.cli.explaining import model_named
    from earwitness.inspection.exports import kept_paths
    from earwitness.workflows.listen import listen as work

    if box is not None:
        _refuse({"--keep": keep, "--by": by != "area"}, "a box is kept as it is; leave one of them out")
    needed = box is None or any(each is not None for each in (run, backbone, weights, model))
    outcome = work(
        files,
        model_named(run, backbone, weights, device, model, description, names) if needed else None,
        out or Path("listened"),
        methods=method or None,
        classes=target or (),
        at=at,
        whole=whole,
        keep=share,
        by=by,
        box=box,
        level=level,
        kind=kind,
        exports=tuple(exports or ()),
        progress=progress_bar(),
    )
    for number, each in enumerate(outcome.written):
        show("\n" * bool(number) + sounds_lines(each))
        show_exported(kept_paths(each.sheet.parent, each.sheet.stem, exports or ()))
    for sentence in outcome.mute:
        warn(f"warning: {sentence}")
    if outcome.written:
        next_step(f"play {typed(outcome.written[0].files[1])}")
    leave(outcome.unusable, every=not outcome.written and not outcome.mute)


def _refuse(options: dict[str, Any], why: str) -> None:
    """Refuse options that would do nothing."""
    for name, given in options.items():
        if given is not None and given is not False and given != 0 and given != []:
            raise UsageError(f"{name}: {why}")


def share_of(text: str | None) -> float:
    """Return a share that is written as ``20%`` or ``0.2``.

    Raises
    ------
    UsageError
        It is none.
    """
    from earwitness.sonify.masks import SHARE

    if text is None:
        return SHARE
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0.0 < share <= 1.0:
        raise UsageError(f"--keep {text}: is no share; write 20% or 0.2, more than 0 and at most all")
    return share


def _run(
    run: Path | None,
    method: list[str] | None,
    share: float,
    by: str,
    out: Path | None,
    data: Path | None,
    device: str,
    seed: int,
) -> None:
    if run is None:
        raise UsageError("name a sound file, or --run RUN for all of a run's held-out recordings")
    from earwitness.workflows.listen import listen_to_run

    outcome = listen_to_run(
        run,
        out,
        methods=method or None,
        keep=share,
        by=by,
        data=data,
        device=device,
        seed=seed,
        progress=progress_bar(),
    )
    show(fidelity_lines(outcome))
    for sentence in outcome.mute[:MOST_NAMED]:
        warn(f"warning: {sentence}")
    if len(outcome.mute) > MOST_NAMED:
        warn(f"warning: {len(outcome.mute)} maps in all without evidence, which are not counted; see the JSON file")
    next_step(f"earwitness listen FILE --run {typed(run)}")
    leave(outcome.unusable)
