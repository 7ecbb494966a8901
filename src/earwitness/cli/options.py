"""What the commands take: arguments and options that several of them share, each declared once."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from earwitness.core.errors import UsageError
from earwitness.models.registry import BACKBONES, backbone_named

# Typer's words for types, which differ between its versions, and what a reader of --help wants to see.
PLACEHOLDERS = {
    "str": "TEXT",
    "int": "N",
    "int range": "N",
    "integer": "N",
    "integer range": "N",
    "float": "NUMBER",
    "float range": "NUMBER",
    "path": "PATH",
}

MOST_SEED = 2**32 - 1


def known_backbone(name: str | None) -> str | None:
    """Return a backbone's name, or refuse one that there is none by, seconds before torch would be there to do it.

    Raises
    ------
    UsageError
        There is no such backbone.
    """
    return None if name is None else backbone_named(name).name


def trained_backbone(name: str) -> str:
    """Return a backbone's name as :func:`known_backbone` does, or what looks like a model of others, unchecked."""
    return name if Path(name).suffix or ":" in name or Path(name).is_dir() else backbone_named(name).name


Data = Annotated[
    Path, typer.Argument(metavar="DATA", help="Folder with one folder a class, or a CSV: file,label[,group][,fold].")
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of a finished training.")]
Out = Annotated[Path, typer.Option("--out", help="Run folder to make.")]
Backbone = Annotated[
    str,
    typer.Option(
        callback=trained_backbone,
        help=", ".join(BACKBONES) + ", or a model of others that answers an embedding: model.onnx, file.py:function.",
    ),
]
BackboneDescription = Annotated[
    Path | None,
    typer.Option(
        "--description", metavar="FILE", help="TOML or YAML: what such a --backbone takes. [default: beside it]"
    ),
]
Weights = Annotated[str | None, typer.Option(help="File of weights, or none for random ones. [default: published]")]
RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="example, best, scratch, compact, head; auto: example, for random weights the backbone's own, for a head "
        "over a model of others head.",
    ),
]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training segments. [default: the recipe's]")]
BatchSize = Annotated[int | None, typer.Option("--batch", help="Segments in a mini-batch. [default: the recipe's]")]
Rate = Annotated[float | None, typer.Option(help="Learning rate. [default: the recipe's]")]
Precision = Annotated[
    str | None, typer.Option(help="float32, bfloat16 or auto (bfloat16 where native). [default: the recipe's]")
]
Tf32 = Annotated[
    bool | None,
    typer.Option(
        "--tf32/--no-tf32",
        help="On CUDA, train in float32 by products of TF32: faster, rougher. [default: the recipe's, else as PyTorch]",
    ),
]
SplitKind = Annotated[
    str | None, typer.Option("--split", help="order, fold, group or random. [default: fold, group or order, as known]")
]
Fold = Annotated[str | None, typer.Option(help="Fold to hold out. [default: the last]")]
Fraction = Annotated[float, typer.Option(help="Share of each class to train on (not for --split fold).")]
Seed = Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Random seed.")]
Segment = Annotated[float | None, typer.Option(help="Segment length in seconds. [default: 0.96]")]
Overlap = Annotated[float, typer.Option(help="Overlap of consecutive segments in percent.")]
Freeze = Annotated[bool, typer.Option("--freeze", help="Train the head alone, on embeddings computed once.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in the folder.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an unfinished training.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first recording that cannot be used.")]
MergeLabels = Annotated[
    bool, typer.Option("--merge-labels", help="Make one class of labels that differ in case, spaces or composition.")
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method", metavar="METHOD", help="gradcam, lime, occlusion, or lime:samples=512,grid=8x8; repeatable."
    ),
]
# Of what explains or listens to sound files.
ModelRun = Annotated[Path | None, typer.Option("--run", help="Run folder whose classifier is asked.")]
ModelBackbone = Annotated[
    str | None, typer.Option(callback=known_backbone, help="Without training: mn04 with AudioSet's 527 classes.")
]
ModelSpec = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="SPEC",
        help="A model of others: model.onnx, model.pt2, TorchScript, file.py:function, or a folder of Transformers.",
    ),
]
DescriptionFile = Annotated[
    Path | None,
    typer.Option(
        "--description", metavar="FILE", help="TOML or YAML: what --model takes. [default: the one beside it]"
    ),
]
ClassFile = Annotated[
    Path | None,
    typer.Option("--classes", metavar="FILE", help="Class names of --model, one a line. [default: the file's own]"),
]
Classes = Annotated[
    list[str] | None,
    typer.Option("--class", metavar="NAME", help="Class to explain, by its name or a word of it; repeatable."),
]
At = Annotated[
    float | None,
    typer.Option(help="Moment of the segment to explain, in seconds. [default: the surest with sound]"),
]
Whole = Annotated[bool, typer.Option("--whole", help="Explain whole recordings, over time, and not single segments.")]
MovedData = Annotated[
    Path | None, typer.Option("--data", help="Where the recordings are now, if they were moved since the run.")
]
Verdicts = Annotated[bool, typer.Option("--verdicts/--no-verdicts", help="Measure how far each map may be believed.")]
Upsampling = Annotated[str, typer.Option(help="How maps are enlarged: nearest (their own cells) or bicubic.")]
Exports = Annotated[
    list[str] | None,
    typer.Option(
        "--export",
        metavar="FORMAT",
        help="Write regions and detections as csv, raven or audacity, the picture as svg or pdf; repeatable.",
    ),
]
Style = Annotated[str, typer.Option(help="screen, or paper: a column's width, 7 to 8 points, safe in grey.")]
Overlay = Annotated[bool, typer.Option("--overlay", help="Lay maps over the spectrogram.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads. [default: all cores]")]
CheckpointEvery = Annotated[float, typer.Option(min=0.0, help="Seconds between checkpoints at least.")]


class PlainCommand(TyperCommand):
    """A command that takes each option once, and whose help shows what one types.

    That is ``RUN`` and ``--seed N``, not ``{RUN}`` and ``<int range>``.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; of an option that is given twice, none would be the silent winner.

        Raises
        ------
        UsageError
            An option that takes one value, or none, is given twice.
        """
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        single = [each for each in order if each.param_type_name == "option" and not each.multiple]
        for option, times in Counter(single).items():
            if times > 1 and not option.is_eager:  # --help
                raise UsageError(
                    f"{'/'.join([*option.opts, *option.secondary_opts])}: given {times} times; once will do"
                )
        return list(super().parse_args(ctx, args))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line; what is required stands without brackets."""
        return [re.sub(r"\{(\w+)\}", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the tables of arguments and options."""
        write = formatter.write_dl
        formatter.write_dl = lambda rows, *args, **kwargs: write(
            [(_plain(name), text) for name, text in rows], *args, **kwargs
        )
        try:
            super().format_options(ctx, formatter)
        finally:
            formatter.write_dl = write


def _plain(name: str) -> str:
    """Return an option or argument with its type as one types it: an argument's name says enough."""
    option = name.startswith("-")
    return re.sub(
        r" ?<([a-z ]+)(?:\[\w+\])?>", lambda found: f" {PLACEHOLDERS.get(found[1], 'TEXT')}" if option else "", name
    )
