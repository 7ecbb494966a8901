"""The commands that test: which methods can be believed, and what a classifier relies on.

Each parses, calls one function, prints.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from earwitness.cli.options import Device, Methods, MovedData, PlainCommand, Run, Seed
from earwitness.cli.output import next_step, progress_bar, show, typed


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(cls=PlainCommand)(scoreboard)
    app.command(cls=PlainCommand)(audit)


def scoreboard(
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="Run folder. [default: a small classifier of made sounds]")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the tables and the figure.")] = Path("scoreboard"),
    data: MovedData = None,
    preset: Annotated[str, typer.Option(help="quick (minutes) or full (hours).")] = "quick",
    mixtures: Annotated[
        int | None, typer.Option(min=2, help="Mixtures of each source. [default: the preset's, 6 or 60]")
    ] = None,
    method: Methods = None,
    device: Device = "auto",
    seed: Seed = 0,
) -> None:
    """Score the explanation methods where the evidence is known. Mixed sounds, planted shortcuts, networks by hand."""
    from earwitness.cli import text
    from earwitness.workflows.scoreboard import scoreboard as score

    outcome = score(
        run,
        out=out,
        data=data,
        preset=preset,
        mixtures=mixtures,
        methods=tuple(method or ()),
        device=device,
        seed=seed,
        progress=progress_bar(),
    )
    show(text.scoreboard(outcome.board))
    next_step(f"open {typed(outcome.folder / 'scoreboard.png')}")


def audit(
    run: Run,
    data: MovedData = None,
    device: Device = "auto",
    seed: Seed = 0,
) -> None:
    """Test what a run relies on. Edges, silence, hum, a band limit, level and the like are taken out, one at a time."""
    from earwitness.cli import text
    from earwitness.workflows.audit import audit as audited

    outcome = audited(run, data=data, device=device, seed=seed, progress=progress_bar())
    show(text.audit(outcome))
    next_step(f"open {typed(outcome.picture)}")
