"""The command line: a command parses, calls one function, prints. ``--help`` imports nothing heavy."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from earwitness import __version__, doubts, endings
from earwitness.errors import EXIT_FAILED, EXIT_SOME_UNUSABLE, UsageError, printable
from earwitness.options import (
    Backbone,
    BatchSize,
    CheckpointEvery,
    Data,
    Device,
    Epochs,
    Fold,
    Fraction,
    Freeze,
    Methods,
    Out,
    Overlap,
    Overwrite,
    PlainCommand,
    Precision,
    Rate,
    RecipeName,
    Resume,
    Run,
    Seed,
    Segment,
    SplitKind,
    Strict,
    Threads,
    Verdicts,
    Weights,
    known_backbone,
)
from earwitness.progress import for_terminal
from earwitness.terminal import (
    data_lines,
    download_progress,
    folds_lines,
    methods_lines,
    metrics_lines,
    next_step,
    show,
    training_rows,
    typed,
    warn,
)

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
        show(f"earwitness {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Print the version, and end.")
    ] = False,
) -> None:
    """Take what stands before the command."""


@app.command(cls=PlainCommand)
def data(
    path: Data,
    strict: Strict = False,
    split: SplitKind = None,
    fold: Fold = None,
    fraction: Fraction = 0.8,
    seed: Seed = 0,
) -> None:
    """Check a data set before training. Counts, lengths, silence, duplicates, and the split it would get."""
    from earwitness import dataset

    checked = dataset.check(dataset.load(path), strict=strict, progress=for_terminal())
    show(data_lines(checked, dataset.split(checked, split, fold=fold, fraction=fraction, seed=seed)))
    next_step(f"earwitness run {typed(path)} --backbone mn04 --out runs/first")
    _leave(checked.unusable)


@app.command(cls=PlainCommand)
def download(
    name: Annotated[str, typer.Argument(metavar="NAME", help="vggish, mn04 or esc10.")],
    url: Annotated[str | None, typer.Option(help="A mirror's address; what comes from it must be the same.")] = None,
) -> None:
    """Fetch published weights or ESC-10. They are checked and kept in the cache: EARWITNESS_HOME, or the user's."""
    from earwitness.backbones import weights
    from earwitness.fetch import Patience

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
    run: Run,
    other: Annotated[Path | None, typer.Option("--data", help="Other labelled recordings.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the results of another evaluation.")] = None,
    segment: Segment = None,
    overlap: Annotated[float | None, typer.Option(help="Another overlap in percent.")] = None,
    device: Device = "auto",
    strict: Strict = False,
) -> None:
    """Measure a run's classifier again. On its held-out recordings, on others, or with other segments."""
    from earwitness.study import evaluate_run

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
    next_step(f"earwitness inquire {typed(run)}")
    _leave(outcome.unusable)


@app.command(cls=PlainCommand)
def explain(
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE", help="Sound files.")] = None,
    run: Annotated[Path | None, typer.Option("--run", help="Run folder whose classifier is asked.")] = None,
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
    listed: Annotated[
        bool, typer.Option("--list", help="List the methods, or all about those that are named: --list lime.")
    ] = False,
) -> None:
    """Say what is heard in sound files, and on what that is based."""
    if listed:
        show(methods_lines(files or ()))
        return
    if not files:
        raise UsageError("name a sound file, or --list for the methods")
    if len(files) == 1 and not os.path.lexists(files[0]):  # of several, those that are there are explained
        raise UsageError(f"{printable(files[0])}: does not exist; name a sound file")
    options: dict[str, Any] = {"run": run, "backbone": backbone, "weights": weights, "targets": tuple(target or ())}
    options |= {"top": top, "out": out, "verdicts": verdicts, "device": device, "progress": for_terminal()}
    outcome = _explain_whole(files, method, at, options) if whole else _explain_segments(files, method, at, options)
    for heard in outcome.heard:
        show(heard.text())
    if outcome.heard:
        next_step(f"open {typed(outcome.heard[0].picture)}")
    _leave(outcome.unusable, every=not outcome.heard)


@app.command(cls=PlainCommand)
def inquire(
    run: Run,
    method: Methods = None,
    of_class: Annotated[str | None, typer.Option("--class", help="What is this class recognised by?")] = None,
    true: Annotated[
        str | None, typer.Option(help="Why was this class misheard: as --predicted, else as what it mostly is.")
    ] = None,
    predicted: Annotated[
        str | None, typer.Option(help="Why was --true, or what mostly is, misheard as this class?")
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
    """Investigate a run's decisions. Without a question, everything that the report shows is asked."""
    from earwitness.investigate import METHODS, ask

    pictures = ask(
        run,
        methods=tuple(method or METHODS),
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
        progress=for_terminal(),
    )
    for picture in pictures:
        show(picture.text())
    next_step(f"earwitness report {typed(run)}")


@app.command(cls=PlainCommand)
def report(run: Run) -> None:
    """Write RUN/report.html. One page holds everything, and it needs no network."""
    from earwitness.report import build

    path = build(run)
    show(f"{printable(path)}: {path.stat().st_size / 1e6:.1f} MB")
    next_step(f"open {typed(path)}")


@app.command(cls=PlainCommand)
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
    checkpoint_every: CheckpointEvery = 30.0,
) -> None:
    """Do the whole job: train, evaluate, investigate, report."""
    options = dict(locals())
    from earwitness.investigate import METHODS, check_methods

    methods = tuple(options.pop("method") or METHODS)
    check_methods(methods, backbone)
    unusable = _train(_request(options), options, last=False)
    _investigate_and_report(out, methods, device, seed)
    _leave(unusable)


@app.command(cls=PlainCommand)
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the sounds and the run.")] = Path("demo"),
    clips: Annotated[int, typer.Option(min=5, help="Sounds to make of each class.")] = 40,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Make ten classes of sounds, and do the whole job on them."""
    from earwitness.soundscapes import write_dataset

    sounds = out / "sounds"
    write_dataset(sounds, clips, seed, progress=for_terminal())
    options: dict[str, Any] = {"path": sounds, "out": out / "run", "backbone": "compact", "seed": seed}
    options["overwrite"] = overwrite
    _train(_request(options), options, last=False)
    _investigate_and_report(out / "run", DEMO_METHODS, "auto", seed)


doubts.register(app)


def _explain_segments(files: list[str], methods: list[str] | None, at: float | None, options: dict[str, Any]) -> Any:
    from earwitness.investigate import METHODS, explain_files

    return explain_files(files, methods=tuple(methods or METHODS), at=at, **options)


def _explain_whole(files: list[str], methods: list[str] | None, at: float | None, options: dict[str, Any]) -> Any:
    if at is not None:
        raise UsageError(f"--at {at:g}: names one segment, and --whole explains all of a recording; leave out one")
    from earwitness.wholefiles import METHODS, explain_whole

    return explain_whole(files, methods=tuple(methods or METHODS), **options)


def _request(options: dict[str, Any]) -> Any:
    """Return the request that a command's options make."""
    from earwitness.study import Request

    if (threads := options.get("threads")) is not None:
        cores = os.cpu_count() or 1
        if threads > cores:  # they would wait for each other almost all the time
            raise UsageError(f"--threads {threads}: the processor has {cores} cores; ask for at most as many")
        import torch

        torch.set_num_threads(threads)
    changes = {key: options.get(key) for key in ("epochs", "batch", "learning_rate", "precision")}
    names = ("out", "backbone", "weights", "recipe", "split", "fold", "fraction", "seed", "overlap", "freeze", "device")
    given = {key: options[key] for key in (*names, "strict") if key in options}
    return Request(
        data=options["path"],
        segment_seconds=options.get("segment"),
        changes=changes,
        command=("earwitness", *map(printable, sys.argv[1:])),
        **given,
    )


def _train(request: Any, options: dict[str, Any], *, last: bool = True) -> Any:
    from earwitness.study import train_run

    progress = for_terminal()
    outcome = train_run(
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
        _leave(outcome.unusable)
    return outcome.unusable


def _cross_validate(request: Any, folds: int | None, overwrite: bool) -> None:
    from earwitness.dataset import Unusable
    from earwitness.study import cross_validate

    progress = for_terminal()
    result = cross_validate(request, folds, overwrite=overwrite, progress=progress, on_row=training_rows(progress))
    show(folds_lines(result))
    next_step(f"earwitness inquire {typed(request.out / 'fold-1')}")
    _leave(tuple(Unusable(*entry) for entry in result["unusable"]))


def _investigate_and_report(run: Path, methods: tuple[str, ...], device: str, seed: int) -> None:
    from earwitness.investigate import ask
    from earwitness.report import build

    ask(run, methods=methods, device=device, seed=seed, progress=for_terminal())
    path = build(run)
    show(f"\nReport: {printable(path)} ({path.stat().st_size / 1e6:.1f} MB)")
    next_step(f"open {typed(path)}, or ask more: earwitness inquire {typed(run)} --class NAME")


def _leave(unusable: tuple[Any, ...], *, every: bool = False) -> None:
    """Name the files that could not be used, and end with the code that says so."""
    for entry in unusable:
        warn(f"{entry.file}: {entry.reason}")
    if unusable:
        if not every:
            warn(f"finished, but {len(unusable)} file(s) could not be used")
        raise typer.Exit(EXIT_FAILED if every else EXIT_SOME_UNUSABLE)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every failure is one line and an exit code."""
    # Threads that spin while they wait for each other stop everything on a busy machine; sleeping ones cost little.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(endings.run(app, arguments))
