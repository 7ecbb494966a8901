"""The command line: a command parses, calls one function, prints. ``--help`` imports nothing heavy."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from earwitness.cli import checking, exit, explaining, listening, serving, trusting
from earwitness.cli.exit import leave
from earwitness.cli.options import (
    Backbone,
    BackboneDescription,
    BatchSize,
    CheckpointEvery,
    ClassFile,
    Data,
    DescriptionFile,
    Device,
    Epochs,
    Fold,
    Fraction,
    Freeze,
    MergeLabels,
    Methods,
    ModelSpec,
    Out,
    Overlap,
    Overwrite,
    PlainCommand,
    Precision,
    Rate,
    RecipeName,
    Resume,
    Seed,
    Segment,
    SplitKind,
    Strict,
    Tf32,
    Threads,
    Weights,
)
from earwitness.cli.output import (
    VERBOSE,
    data_lines,
    download_progress,
    folds_lines,
    metrics_lines,
    next_step,
    progress_bar,
    show,
    training_rows,
    typed,
    warn,
)
from earwitness.core.errors import UsageError, printable
from earwitness.core.version import VERSION
from earwitness.models.registry import BACKBONES

app = typer.Typer(
    name="earwitness",
    help="What did the classifier hear, and can you believe that? Train, measure and investigate sound classifiers.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

# Made sounds are told apart so surely that probabilities stand still at 1; logits do not. The example's 2,048 samples
# would double the demo's time.
DEMO_METHODS = ("gradcam", "lime:samples=512,score=logit", "occlusion:score=logit")


def _tell_version(wanted: bool) -> None:
    if wanted:
        show(f"earwitness {VERSION}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[  # noqa: ARG001 (its callback does it)
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Print the version, and end.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Without a terminal, tell of every step.")] = False,
) -> None:
    """Take what stands before the command."""
    VERBOSE.set(verbose)


@app.command(cls=PlainCommand)
def data(
    path: Data,
    strict: Strict = False,
    merge_labels: MergeLabels = False,
    split: SplitKind = None,
    fold: Fold = None,
    fraction: Fraction = 0.8,
    seed: Seed = 0,
) -> None:
    """Check a data set before training. Counts, lengths, silence, duplicates, and the split it would get."""
    from earwitness.data import checks, loading, splits
    from earwitness.models.registry import highest_frequencies

    found = loading.load(path, merge_labels=merge_labels)
    checked = checks.check(found, strict=strict, progress=progress_bar(), edges=tuple(highest_frequencies()))
    show(data_lines(checked, splits.split(checked, split, fold=fold, fraction=fraction, seed=seed)))
    next_step(f"earwitness run {typed(path)} --backbone mn04 --out runs/first")
    leave(checked.unusable)


@app.command(cls=PlainCommand)
def download(
    name: Annotated[str, typer.Argument(metavar="NAME", help="vggish, mn04 or esc10.")],
    url: Annotated[str | None, typer.Option(help="A mirror's address; what comes from it must be the same.")] = None,
) -> None:
    """Fetch published weights or ESC-10. They are checked and kept in the cache: EARWITNESS_HOME, or the user's."""
    from earwitness.core.download import Patience
    from earwitness.workflows import download as weights

    with download_progress(name) as report:
        path = weights.download(name, progress=report, source_url=url, patience=Patience(tell=warn))
    show(f"{name}: {printable(path)}")
    backbone = "mn04" if name == weights.ESC10 else name
    place = typed(path) if name == weights.ESC10 else "DATA"
    next_step(f"earwitness run {place} --backbone {backbone} --out runs/first")


@app.command(cls=PlainCommand)
def train(
    path: Data,
    out: Out,
    backbone: Backbone = "vggish",
    description: BackboneDescription = None,
    weights: Weights = None,
    recipe: RecipeName = "auto",
    epochs: Epochs = None,
    batch: BatchSize = None,
    learning_rate: Rate = None,
    precision: Precision = None,
    tf32: Tf32 = None,
    split: SplitKind = None,
    fold: Fold = None,
    fraction: Fraction = 0.8,
    folds: Annotated[
        int | None, typer.Option(help="Cross-validate with so many folds; 0: the data's own.", min=0)
    ] = None,
    seed: Seed = 0,
    segment: Segment = None,
    overlap: Overlap = 75.0,
    freeze: Freeze = False,
    device: Device = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    strict: Strict = False,
    merge_labels: MergeLabels = False,
    checkpoint_every: CheckpointEvery = 30.0,
) -> None:
    """Train a classifier and measure it on held-out recordings."""
    options = dict(locals())
    folds = options.pop("folds")
    request = _request(options)
    if folds is not None:
        _cross_validate(request, folds or None, overwrite)
    else:
        _train(request, options)


@app.command(cls=PlainCommand)
def evaluate(
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="Run folder; or name a --model.")] = None,
    model: ModelSpec = None,
    description: DescriptionFile = None,
    names: ClassFile = None,
    other: Annotated[Path | None, typer.Option("--data", help="Other labelled recordings.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the results; of a --model, the run folder to make.")
    ] = None,
    segment: Segment = None,
    overlap: Annotated[float | None, typer.Option(help="Another overlap in percent.")] = None,
    leave_out_trained: Annotated[
        bool, typer.Option("--leave-out-trained", help="Leave out of --data what the run was trained on.")
    ] = False,
    overwrite: Overwrite = False,
    device: Device = "auto",
    strict: Strict = False,
) -> None:
    """Measure a classifier. A run's again, on its held-out recordings or others; or a model of others, as a new run."""
    from earwitness.workflows.evaluate import evaluate as measure

    outcome = measure(
        run,
        model=model,
        description=description,
        classes=names,
        data=other,
        out=out,
        segment_seconds=segment,
        overlap=overlap,
        leave_out_trained=leave_out_trained,
        overwrite=overwrite,
        device=device,
        strict=strict,
        progress=progress_bar(),
    )
    show(metrics_lines(outcome.metrics))
    for line in outcome.warnings:
        warn(f"warning: {line}")
    next_step(f"earwitness inquire {typed(outcome.run.path if run is None else run)}")
    leave(outcome.unusable)


explaining.register(app)
listening.register(app)


@app.command(cls=PlainCommand)
def run(
    path: Data,
    out: Out,
    backbone: Backbone = "vggish",
    description: BackboneDescription = None,
    weights: Weights = None,
    recipe: RecipeName = "auto",
    epochs: Epochs = None,
    batch: BatchSize = None,
    learning_rate: Rate = None,
    precision: Precision = None,
    tf32: Tf32 = None,
    split: SplitKind = None,
    fold: Fold = None,
    fraction: Fraction = 0.8,
    seed: Seed = 0,
    segment: Segment = None,
    overlap: Overlap = 75.0,
    freeze: Freeze = False,
    method: Methods = None,
    device: Device = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    strict: Strict = False,
    merge_labels: MergeLabels = False,
    checkpoint_every: CheckpointEvery = 30.0,
) -> None:
    """Do the whole job: train, evaluate, inquire, audit, report."""
    options = dict(locals())
    from earwitness.explainers.registry import DEFAULT_METHODS, check_methods

    methods = tuple(options.pop("method") or ())
    check_methods(methods or DEFAULT_METHODS, backbone if backbone in BACKBONES else None)
    unusable = _train(_request(options), options, last=False)
    investigate_and_report(out, methods, device, seed)
    leave(unusable)


@app.command(cls=PlainCommand)
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the sounds and the run.")] = Path("demo"),
    clips: Annotated[int, typer.Option(min=5, help="Sounds to make of each class.")] = 40,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Make ten classes of sounds, and do the whole job on them."""
    from earwitness.data.loading import load
    from earwitness.data.splits import default_kind
    from earwitness.data.synthetic.corpus import write_dataset

    sounds = out / "sounds"
    write_dataset(sounds, clips, seed, progress=progress_bar())
    options: dict[str, Any] = {"path": sounds, "out": out / "run", "backbone": "compact", "seed": seed}
    options["split"] = default_kind(load(sounds))  # named here, so that nobody must be told how names are read
    options["overwrite"] = overwrite
    _train(_request(options), options, last=False)
    investigate_and_report(out / "run", DEMO_METHODS, "auto", seed)


trusting.register(app)
checking.register(app)
serving.register(app)


def _request(options: dict[str, Any]) -> Any:
    """Return the request that a command's options make."""
    from earwitness.training.request import Request

    if (threads := options.get("threads")) is not None:
        cores = os.cpu_count() or 1
        if threads > cores:  # they would wait for each other almost all the time
            raise UsageError(f"--threads {threads}: the processor has {cores} cores; ask for at most as many")
        import torch

        torch.set_num_threads(threads)
    changes = {key: options.get(key) for key in ("epochs", "batch", "learning_rate", "precision", "tf32")}
    names = ["out", "backbone", "description", "weights", "recipe", "split", "fold", "fraction", "seed", "overlap"]
    names += ["freeze", "device", "strict", "merge_labels"]
    given = {key: options[key] for key in names if key in options}
    return Request(
        data=options["path"],
        segment_seconds=options.get("segment"),
        changes=changes,
        command=("earwitness", *map(printable, sys.argv[1:])),
        **given,
    )


def _train(request: Any, options: dict[str, Any], *, last: bool = True) -> Any:
    from earwitness.workflows.train import train as work

    progress = progress_bar()
    outcome = work(
        request,
        overwrite=options.get("overwrite", False),
        resume=options.get("resume", False),
        checkpoint_seconds=options.get("checkpoint_every", 30.0),
        progress=progress,
        on_row=training_rows(progress),
    )
    show(metrics_lines(outcome.metrics))
    if last:
        next_step(f"earwitness inquire {typed(request.out)}")
        leave(outcome.unusable)
    return outcome.unusable


def _cross_validate(request: Any, folds: int | None, overwrite: bool) -> None:
    from earwitness.workflows.train import cross_validate

    progress = progress_bar()
    result = cross_validate(request, folds, overwrite=overwrite, progress=progress, on_row=training_rows(progress))
    show(folds_lines(result))
    next_step(f"earwitness inquire {typed(request.out / 'fold-1')}")
    leave(result.unusable)


def investigate_and_report(run: Path, methods: tuple[str, ...], device: str, seed: int) -> None:
    """Put the report's questions to a run, audit it, and build the report."""
    from earwitness.report.page import build_report
    from earwitness.workflows.audit import audit
    from earwitness.workflows.inquire import inquire

    inquire(run, methods=methods or None, device=device, seed=seed, progress=progress_bar())
    found = audit(run, device=device, seed=seed, progress=progress_bar())
    show(f"\n{found.audit.summary()}")
    path = build_report(run)
    show(f"\nReport: {printable(path)} ({path.stat().st_size / 1e6:.1f} MB)")
    next_step(f"open {typed(path)}, or look and listen yourself: earwitness serve {typed(run)}")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every failure is one line and an exit code."""
    # Threads that spin while they wait for each other stop everything on a busy machine; sleeping ones cost little.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(exit.run(app, arguments))
