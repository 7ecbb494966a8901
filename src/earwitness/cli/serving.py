"""The command that opens the live page: parses, opens what is shown, serves it until somebody interrupts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from earwitness.cli.options import (
    ClassFile,
    DescriptionFile,
    Device,
    ModelBackbone,
    ModelSpec,
    MovedData,
    PlainCommand,
    Weights,
)
from earwitness.cli.output import show, warn
from earwitness.core.errors import UsageError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(cls=PlainCommand)(serve)


def serve(
    places: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="Run folders, or folders of runs; with a model, folders of recordings."),
    ],
    model: ModelSpec = None,
    backbone: ModelBackbone = None,
    weights: Weights = None,
    description: DescriptionFile = None,
    names: ClassFile = None,
    data: MovedData = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at. Others than this machine's own let strangers in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port. [default: one that is free]")] = 0,
    browse: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    device: Device = "auto",
) -> None:
    """Open a page to look, listen, ask what if, and decide."""
    if model is not None and backbone is not None:
        raise UsageError("--model and --backbone: name one")
    if (model or backbone) is None and (description or names) is not None:
        raise UsageError("--description and --classes are of a --model; name it, or leave them out")
    if weights is not None and backbone is None:
        raise UsageError(f"--weights {weights}: are of a --backbone; name it, or leave them out")
    from earwitness.inspection.model import load_model
    from earwitness.web.serve import serve as run_server
    from earwitness.web.studio import open_studio

    spec = model or backbone
    loaded = (
        None
        if spec is None
        else load_model(spec, weights=weights, description=description, classes=names, device=device)
    )
    studio = open_studio(places, loaded, device=device, data=data)
    if host not in LOOPBACK:
        warn(f"warning: --host {host}: whoever reaches this machine and has the address sees all recordings")
    recordings = sum(len(each.names) for each in studio.collections.values())

    def ready(address: str) -> None:
        show(f"{recordings} recordings\nOpen {address}\nEnd with Ctrl-C.")

    run_server(studio, host=host, port=port, browse=browse, on_ready=ready)
