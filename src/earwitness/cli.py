"""The command line: a command parses, calls one function, prints. ``--help`` imports nothing heavy."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from earwitness.errors import EXIT_FAILED, EXIT_SOME_UNUSABLE, EXIT_USAGE, EarwitnessError, UsageError

app = typer.Typer(
    name="earwitness",
    help="What did the classifier hear, and can you believe that? Train, measure and investigate sound classifiers.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

INTERRUPTED = 130
DEBUG_VARIABLE = "EARWITNESS_DEBUG"

Data = Annotated[Path, typer.Argument(help="Folder with one folder a class, or a CSV: file,label[,group][,fold].")]
Run = Annotated[Path, typer.Argument(help="Run folder of a finished training.")]
Out = Annotated[Path, typer.Option("--out", help="Run folder to make.")]
Backbone = Annotated[str, typer.Option(help="vggish, mn04 or compact.")]
Weights = Annotated[str | None, typer.Option(help="File of weights, or none for random ones. [default: published]")]
RecipeName = Annotated[
    str, typer.Option("--recipe", help="example, scratch, best; auto: example, or scratch for random weights.")
]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training segments. [default: the recipe's]")]
BatchSize = Annotated[int | None, typer.Option("--batch", help="Segments in a mini-batch. [default: the recipe's]")]
Rate = Annotated[float | None, typer.Option(help="Learning rate. [default: the recipe's]")]
Precision = Annotated[
    str | None, typer.Option(help="float32, bfloat16 or auto (bfloat16 where native). [default: the recipe's]")
]
SplitKind = Annotated[
    str | None, typer.Option("--split", help="order, fold, group or random. [default: fold, group or order, as known]")
]
Fold = Annotated[str | None, typer.Option(help="Fold to hold out. [default: the last]")]
Fraction = Annotated[float, typer.Option(help="Share of each class to train on (not for --split fold).")]
Seed = Annotated[int, typer.Option(min=0, help="Of every draw of chance.")]
Segment = Annotated[float | None, typer.Option(help="Segment length in seconds. [default: 0.96]")]
Overlap = Annotated[float, typer.Option(help="Overlap of consecutive segments in percent.")]
Freeze = Annotated[bool, typer.Option("--freeze", help="Train the head alone, on embeddings computed once.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in the folder.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an unfinished training.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first recording that cannot be used.")]
Methods = Annotated[
    list[str] | None,
    typer.Option("--method", help="gradcam, lime, occlusion, or lime:samples=512,grid=8x8; repeatable."),
]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads. [default: all cores]")]

DEFAULT_METHODS = ("gradcam", "lime", "occlusion")


@app.command()
def data(
    path: Data,
    strict: Strict = False,
    split: SplitKind = None,
    fold: Fold = None,
    fraction: Fraction = 0.8,
    seed: Seed = 0,
) -> None:
    """Check a data set: count table, lengths, silence, duplicates, the split it would get."""
    from earwitness import dataset
    from earwitness.progress import for_terminal
    from earwitness.terminal import data_lines, next_step, show

    checked = dataset.check(dataset.load(path), strict=strict, progress=for_terminal())
    show(data_lines(checked, dataset.split(checked, split, fold=fold, fraction=fraction, seed=seed)))
    next_step(f"earwitness run {path} --out runs/first")
    _leave(checked.unusable)


@app.command()
def download(
    name: Annotated[str, typer.Argument(help="vggish, mn04 or esc10.")],
    url: Annotated[str | None, typer.Option(help="A mirror's address; what comes from it must be the same.")] = None,
) -> None:
    """Fetch published weights or ESC-10, checked, into the cache (EARWITNESS_HOME, else the user's)."""
    from earwitness.backbones import weights
    from earwitness.terminal import download_progress, next_step, show

    with download_progress(name) as report:
        path = weights.download(name, progress=report, source_url=url)
    show(f"{name}: {path}")
    next_step(f"earwitness run {path} --out runs/first" if name == weights.ESC10 else "earwitness run DATA --out RUN")


@app.command()
def train(
    path: Data,
    out: Out,
    backbone: Backbone = "vggish",
    weights: Weights = None,
    recipe: RecipeName = "auto",
    epochs: Epochs = None,
    batch: BatchSize = None,
    learning_rate: Rate = None,
    precision: Precision = None,
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
    checkpoint_every: Annotated[float, typer.Option(help="Seconds between checkpoints at least.")] = 30.0,
) -> None:
    """Train a classifier and measure it on the recordings held out."""
    options = dict(locals())
    folds = options.pop("folds")
    request = _request(options)
    if folds is not None:
        _cross_validate(request, folds or None, overwrite)
    else:
        _train(request, options)


@app.command()
def evaluate(
    run: Run,
    other: Annotated[Path | None, typer.Option("--data", help="Other labelled recordings.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the results of another evaluation.")] = None,
    segment: Segment = None,
    overlap: Annotated[float | None, typer.Option(help="Another overlap in percent.")] = None,
    device: Device = "auto",
    strict: Strict = False,
) -> None:
    """Measure a run's classifier again: on its held-out recordings, on others, with other segments."""
    from earwitness.progress import for_terminal
    from earwitness.study import evaluate_run
    from earwitness.terminal import metrics_lines, next_step, show

    outcome = evaluate_run(
        run,
        data=other,
        out=out,
        segment_seconds=segment,
        overlap=overlap,
        device=device,
        strict=strict,
        progress=for_terminal(),
    )
    show(metrics_lines(outcome.metrics))
    next_step(f"earwitness inquire {run}")
    _leave(outcome.unusable)


@app.command()
def explain(
    files: Annotated[list[str] | None, typer.Argument(help="Sound files.")] = None,
    run: Annotated[Path | None, typer.Option("--run", help="Run folder whose classifier is asked.")] = None,
    backbone: Annotated[str | None, typer.Option(help="Without training: mn04 with AudioSet's 527 classes.")] = None,
    weights: Weights = None,
    method: Methods = None,
    target: Annotated[list[str] | None, typer.Option("--class", help="Class to explain; repeatable.")] = None,
    at: Annotated[float | None, typer.Option(help="Moment of the segment to explain, in seconds.")] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes to list.")] = 5,
    out: Annotated[Path, typer.Option("--out", help="Folder for pictures and attributions.")] = Path("explained"),
    device: Device = "auto",
    listed: Annotated[bool, typer.Option("--list", help="List the methods and their parameters, and end.")] = False,
) -> None:
    """Ask what a classifier hears in sound files, and on what it bases that."""
    from earwitness.terminal import methods_lines, next_step, show

    if listed:
        show(methods_lines())
        return
    if not files:
        raise UsageError("name a sound file, or --list for the methods")
    from earwitness.investigate import explain_files
    from earwitness.progress import for_terminal

    outcome = explain_files(
        files,
        run=run,
        backbone=backbone,
        weights=weights,
        methods=tuple(method or DEFAULT_METHODS),
        targets=tuple(target or ()),
        at=at,
        top=top,
        out=out,
        device=device,
        progress=for_terminal(),
    )
    for heard in outcome.heard:
        show(heard.text())
    if outcome.heard:
        next_step(f"open {outcome.heard[0].picture}")
    _leave(outcome.unusable, every=not outcome.heard)


@app.command()
def inquire(
    run: Run,
    method: Methods = None,
    of_class: Annotated[str | None, typer.Option("--class", help="What is this class recognised by?")] = None,
    true: Annotated[str | None, typer.Option(help="With --predicted: why was this class heard as that one?")] = None,
    predicted: Annotated[str | None, typer.Option(help="See --true.")] = None,
    segment: Annotated[
        list[str] | None, typer.Option("--segment", help="FILE@SECONDS, or a row of predictions.csv; repeatable.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Segments to show.")] = None,
    device: Device = "auto",
    seed: Seed = 0,
) -> None:
    """Investigate a run's decisions; without options, everything that the report shows."""
    from earwitness.investigate import ask
    from earwitness.progress import for_terminal
    from earwitness.terminal import next_step, show

    pictures = ask(
        run,
        methods=tuple(method or DEFAULT_METHODS),
        of_class=of_class,
        true=true,
        predicted=predicted,
        segments=tuple(segment or ()),
        count=count,
        device=device,
        seed=seed,
        progress=for_terminal(),
    )
    for picture in pictures:
        show(picture.text())
    next_step(f"earwitness report {run}")


@app.command()
def report(run: Run) -> None:
    """Write RUN/report.html: one page with everything, that needs no network."""
    from earwitness.report import build
    from earwitness.terminal import next_step, show

    path = build(run)
    show(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    next_step(f"open {path}")


@app.command()
def run(
    path: Data,
    out: Out,
    backbone: Backbone = "vggish",
    weights: Weights = None,
    recipe: RecipeName = "auto",
    epochs: Epochs = None,
    batch: BatchSize = None,
    learning_rate: Rate = None,
    precision: Precision = None,
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
    checkpoint_every: Annotated[float, typer.Option(help="Seconds between checkpoints at least.")] = 30.0,
) -> None:
    """Do the whole job: train, evaluate, investigate, report."""
    options = dict(locals())
    methods = tuple(options.pop("method") or DEFAULT_METHODS)
    from earwitness.explain import parse

    for name in methods:
        parse(name)  # a wrong method must not be found out after the training
    unusable = _train(_request(options), options, last=False)
    _investigate_and_report(out, methods, device, seed)
    _leave(unusable)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the sounds and the run.")] = Path("demo"),
    clips: Annotated[int, typer.Option(min=5, help="Sounds to make of each class.")] = 40,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Make ten classes of sounds, and do the whole job on them."""
    from earwitness.progress import for_terminal
    from earwitness.soundscapes import write_dataset

    sounds = out / "sounds"
    write_dataset(sounds, clips, seed, progress=for_terminal())
    options: dict[str, Any] = {"path": sounds, "out": out / "run", "backbone": "compact", "seed": seed}
    options["overwrite"] = overwrite
    _train(_request(options), options, last=False)
    _investigate_and_report(out / "run", DEFAULT_METHODS, "auto", seed)


def _request(options: dict[str, Any]) -> Any:
    """Return the request that a command's options make."""
    from earwitness.study import Request

    if options.get("threads") is not None:
        import torch

        torch.set_num_threads(options["threads"])
    changes = {key: options.get(key) for key in ("epochs", "batch", "learning_rate", "precision")}
    names = ("out", "backbone", "weights", "recipe", "split", "fold", "fraction", "seed", "overlap", "freeze", "device")
    given = {key: options[key] for key in (*names, "strict") if key in options}
    return Request(
        data=options["path"],
        segment_seconds=options.get("segment"),
        changes=changes,
        command=("earwitness", *sys.argv[1:]),
        **given,
    )


def _train(request: Any, options: dict[str, Any], *, last: bool = True) -> Any:
    from earwitness.progress import for_terminal
    from earwitness.study import train_run
    from earwitness.terminal import metrics_lines, next_step, show, training_rows, warn

    progress = for_terminal()
    outcome = train_run(
        request,
        overwrite=options.get("overwrite", False),
        resume=options.get("resume", False),
        checkpoint_seconds=options.get("checkpoint_every", 30.0),
        progress=progress,
        on_row=training_rows(progress),
    )
    for line in outcome.warnings:
        warn(line)
    show(metrics_lines(outcome.metrics))
    if last:
        next_step(f"earwitness inquire {request.out}")
        _leave(outcome.unusable)
    return outcome.unusable


def _cross_validate(request: Any, folds: int | None, overwrite: bool) -> None:
    from earwitness.dataset import Unusable
    from earwitness.progress import for_terminal
    from earwitness.study import cross_validate
    from earwitness.terminal import folds_lines, next_step, show, training_rows

    progress = for_terminal()
    result = cross_validate(request, folds, overwrite=overwrite, progress=progress, on_row=training_rows(progress))
    show(folds_lines(result))
    next_step(f"earwitness inquire {request.out / 'fold-1'}")
    _leave(tuple(Unusable(*entry) for entry in result["unusable"]))


def _investigate_and_report(run: Path, methods: tuple[str, ...], device: str, seed: int) -> None:
    from earwitness.investigate import ask
    from earwitness.progress import for_terminal
    from earwitness.report import build
    from earwitness.terminal import next_step, show

    ask(run, methods=methods, device=device, seed=seed, progress=for_terminal())
    path = build(run)
    show(f"\nReport: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    next_step(f"open {path}, or ask more: earwitness inquire {run} --class NAME")


def _leave(unusable: tuple[Any, ...], *, every: bool = False) -> None:
    """Name the files that could not be used, and end with the code that says so."""
    from earwitness.terminal import warn

    for entry in unusable:
        warn(f"{entry.file}: {entry.reason}")
    if unusable:
        if not every:
            warn(f"finished, but {len(unusable)} file(s) could not be used")
        raise typer.Exit(EXIT_FAILED if every else EXIT_SOME_UNUSABLE)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every failure is one line and an exit code."""
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        code = app(args=arguments, standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except EarwitnessError as error:
        return _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted; a training goes on with --resume", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own: an unknown option, a value that is no number
            return _fail(f"{error.format_message()} (see earwitness --help)", EXIT_USAGE)
        if os.environ.get(DEBUG_VARIABLE):
            raise
        if isinstance(error, MemoryError | OSError):
            return _fail(f"{error}", EXIT_FAILED)
        return _fail(
            f"this should not have happened ({type(error).__name__}: {error}); "
            f"please report it with what {DEBUG_VARIABLE}=1 prints",
            EXIT_FAILED,
        )


def _fail(message: str, code: int) -> int:
    sys.stderr.write("earwitness: " + " ".join(message.split()) + "\n")
    return code
