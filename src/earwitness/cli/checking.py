"""The command that shows what was understood of a model. It parses, calls one function, prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness.cli.options import ClassFile, DescriptionFile, Device, PlainCommand, Weights
from earwitness.cli.output import next_step, progress_bar, show, table, typed, warn

if TYPE_CHECKING:
    from earwitness.inspection.check import ModelCheck

MOST_CLASSES = 8


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(cls=PlainCommand)(check_model)


def check_model(
    spec: Annotated[
        str,
        typer.Argument(
            metavar="SPEC",
            help="model.onnx, model.pt2, TorchScript, file.py:function, a run folder, one of Transformers, or mn04.",
        ),
    ],
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="A sound file to predict as well.")] = None,
    description: DescriptionFile = None,
    names: ClassFile = None,
    weights: Weights = None,
    device: Device = "auto",
) -> None:
    """Show what was understood of a model. What it takes, its answers to tones, its speed, methods that can ask it."""
    from earwitness.inspection.check import check_model as check
    from earwitness.inspection.files import score_file
    from earwitness.inspection.model import load_model

    model = load_model(spec, weights=weights, description=description, classes=names, device=device)
    found = check(model, progress_bar())
    show("\n\n".join((_takes(found), _tones(found), _methods(found))))
    if file is not None:
        scored = score_file(model.classifier, file, progress_bar())
        rows = [[scored.classes[index], f"{scored.mean[index]:.3f}"] for index in scored.best(5)]
        show("\n" + table([f"{file.name} predicted as", "mean score"], rows))
    for sentence in found.warnings:
        warn(f"warning: {sentence}")
    option = "--run" if (Path(spec) / "run.json").exists() else "--backbone" if spec == "mn04" else "--model"
    given = {"--description": description, "--classes": names, "--weights": weights}
    more = "".join(f" {name} {typed(Path(path))}" for name, path in given.items() if path is not None)
    next_step(f"earwitness explain {typed(file or Path('some.wav'))} {option} {typed(Path(spec))}{more}")


def _takes(found: ModelCheck) -> str:
    classifier = found.model.classifier
    front_end = classifier.front_end
    names = ", ".join(found.model.classes[:MOST_CLASSES])
    more = f" and {len(found.model.classes) - MOST_CLASSES} more" if len(found.model.classes) > MOST_CLASSES else ""
    clock = front_end.clock
    low, high = clock.band_centre_hz([0, clock.bands - 1])
    rows = [
        ["classes", f"{len(found.model.classes)}: {names}{more}"],
        ["takes", f"{classifier.takes}s"],
        ["sound", f"{front_end.sample_rate} Hz, segments of {classifier.segment_seconds:.2f} s"],
        ["frames", f"{classifier.segment_frames}, one every {1000 * clock.frame_seconds:.1f} ms"],
        ["bands", f"{clock.bands}, {low:.0f} to {high:.0f} Hz, scale {clock.mel_scale}"],
        ["silence", f"{front_end.silence:.4g}"],
        ["answers", f"{found.lowest:.3g} to {found.highest:.3g} for tones, then {classifier.activation}"],
        ["speed", f"{found.segments_a_second:.0f} segments a second"],
    ]
    return table([found.model.name, ""], rows)


def _tones(found: ModelCheck) -> str:
    rows = [
        [f"{one.hertz:.0f} Hz", f"{one.loudest_hertz:.0f} Hz", one.predicted, f"{one.score:.3f}"] for one in found.tones
    ]
    return table(["tone", "loudest at", "predicted as", "score"], rows)


def _methods(found: ModelCheck) -> str:
    good = [name for name, why in found.methods.items() if not why]
    reasons: dict[str, list[str]] = {}
    for name, why in found.methods.items():
        if why:
            reasons.setdefault(why.replace(f"{name}: ", "").replace(f"{name} needs", "needs"), []).append(name)
    lines = [f"Methods that it can be asked by: {', '.join(good) or 'none'}."]
    lines += [f"Not by {', '.join(names)}: {why}." for why, names in reasons.items()]
    return "\n".join(lines)
