"""Draw the pictures of ``README.md`` and ``docs/methods.md`` from runs on ESC-10, and name their sounds.

``python tools/pictures.py RUN DATA`` (or ``make pictures RUN=... DATA=...``) writes README's into ``docs/images``,
small enough for a repository; ``python tools/pictures.py RUN DATA methods.png`` the one of ``docs/methods.md``, some
minutes' work. The run is asked in a copy, so that its own folder stays as it is.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from earwitness.core import files, run_folder
from earwitness.core.device import choose_device
from earwitness.core.progress import for_terminal
from earwitness.data import esc10
from earwitness.explainers.attribution import Attribution
from earwitness.explainers.findings import Finding, Inquiry
from earwitness.explainers.method import FAMILIES
from earwitness.explainers.registry import catalogue, parse, without_attention
from earwitness.inspection import questions
from earwitness.inspection.answers import answer
from earwitness.inspection.run import open_run
from earwitness.plots import gallery, style
from earwitness.plots.maps import evidence, evidence_limit
from earwitness.plots.medium import SCREEN
from earwitness.plots.style import sound_limits, spectrogram, styled
from earwitness.workflows.explain import explain
from earwitness.workflows.inquire import inquire

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
MOST_BYTES = 150_000
MOST_BYTES_OF_METHODS = 250_000  # single cells of gradients, and every method
METHODS = ("gradcam", "lime", "occlusion")
ACROSS = 6
TAGGED = "dog/1-100032-A.ogg"
EVERY_METHODS_CLIP = "rooster/5-194930-B.ogg"  # harmonics, then near silence, and no digital silence
# Of the live page, with misclassified clips, and those of a class's page.
PAGE = (
    *("overview", "queue", "recording", "listen", "what-if", "class"),
    *("overview-dark", "queue-dark", "recording-dark"),
)
HEAD = """# Pictures of README.md and of the pages beside it

Made by `make pictures RUN=RUN DATA=DATA` from a run on ESC-10 (`earwitness run DATA --backbone mn04 --out RUN`), but
`methods.png` from one with longer segments (`earwitness train DATA --backbone mn04 --recipe best --fold 5 --out RUN`):

| picture | command |
|---|---|
"""
COMMANDS = {
    "explain.png": f"earwitness explain DATA/{TAGGED} --backbone mn04",
    "whole.png": f"earwitness explain DATA/{TAGGED} --run RUN --whole",
    "recordings.png": "earwitness inquire RUN",
    "training.png": "earwitness report RUN",
    "confusion.png": "earwitness report RUN",
    "class.png": "earwitness inquire RUN --class helicopter --count 3",
    "misclassified.png": "earwitness inquire RUN --true TRUE --predicted PREDICTED --count 3",
    "methods.png": "python tools/pictures.py RUN DATA methods.png",
    "calibration.png": "python tools/verdict.py fit SIGNS",
    "audit.png": "earwitness audit RUN",
    **{f"page-{name}.png": "python tools/page.py RUN --pictures docs/images" for name in PAGE},
}
CREDIT = """
The clips are from ESC-10 (K. J. Piczak, *ESC: Dataset for Environmental Sound Classification*, ACM Multimedia 2015,
CC BY 3.0). Cut, turned into spectrograms and drawn over by us. Each clip's own author and licence:

| clip | title | author | licence | source |
|---|---|---|---|---|
"""


def shrink(source: Path, target: Path, most: int = MOST_BYTES) -> None:
    """Write a picture with as many colours and pixels as fit into so many bytes."""
    with Image.open(source) as opened:
        whole = Image.new("RGB", opened.size, "white")
        whole.paste(opened, mask=opened.getchannel("A") if "A" in opened.getbands() else None)
    for share in (1.0, 0.85, 0.75, 0.65, 0.55, 0.45):
        size = (round(whole.width * share), round(whole.height * share))
        for colours in (256, 128):
            # Few cells of a map are strong: the palette must hold the rare colours too, not the frequent ones alone.
            small = whole.resize(size, Image.Resampling.LANCZOS).quantize(
                colours, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE
            )
            stream = io.BytesIO()
            small.save(stream, "PNG", optimize=True)
            if stream.tell() <= most:
                target.write_bytes(stream.getvalue())
                print(f"wrote {target.name}: {size[0]} x {size[1]}, {colours} colours, {stream.tell() // 1000} kB")
                return
    raise SystemExit(f"{source}: cannot be made smaller than {most} bytes")


@styled
def side_by_side(answer: Inquiry) -> Figure:
    """Draw one segment's map by every method, family by family, each map with its own colour scale.

    Parameters
    ----------
    answer
        With one finding and one target.
    """
    finding, kinds = answer.findings[0], {each.name: each for each in catalogue()}
    rows: list[tuple[str, list[Attribution | None]]] = []  # None: the log-mel
    for family in FAMILIES:
        found: list[Attribution | None] = [
            each for each in finding.attributions[0] if kinds[each.method].family == family
        ]
        found = [None, *found] if len(found) % ACROSS else found  # where it leaves a row's place free
        rows += [(family, found[start : start + ACROSS]) for start in range(0, len(found), ACROSS)]
    figure = Figure(figsize=(1.72 * ACROSS + 0.3, 1.5 * len(rows) + 0.2), layout="constrained")
    grid = figure.add_gridspec(len(rows), ACROSS)
    norm = sound_limits([finding.log_mel], answer.silence)
    for number, (family, row) in enumerate(rows):
        for column, shown in enumerate(row):
            axes = figure.add_subplot(grid[number, column])
            if shown is None:
                spectrogram(axes, finding.log_mel, answer.clock, finding.start_frame, finding.real_frames, norm)
                axes.set_title("log-mel (what was heard)", pad=9.0)
            else:
                evidence(axes, shown, answer.clock, finding.start_frame, _own_limit(shown))
                axes.set_title(kinds[shown.method].title.partition(" (")[0], pad=9.0)
            axes.tick_params(labelleft=column == 0, labelbottom=number + 1 == len(rows))
            if column == 0:
                axes.set_ylabel(f"{family}\nHz")
            if number + 1 == len(rows):
                axes.set_xlabel("seconds")
        if len(row) <= ACROSS - 3:
            _key(figure.add_subplot(grid[number, -3:]), finding)
    return figure


def _own_limit(attribution: Attribution) -> float:
    """Return a colour limit that a few cells of thousands pass, so that the others can be seen."""
    return float(np.quantile(np.abs(attribution.native), 0.995)) or evidence_limit([attribution])


def _key(axes: Axes, finding: Finding) -> None:
    axes.set_axis_off()
    words = f"""Every method asked about the same {finding.end_seconds - finding.start_seconds:.2f} s,
predicted as {finding.predicted} (score {finding.score:.2f}).
Activation maps and gradients explain the logit, perturbation
the probability. Each map has its own colours: compare where,
not how much. A small number is a map's largest cell."""
    axes.text(0.03, 0.98, words, transform=axes.transAxes, va="top", fontsize=8, linespacing=1.35)
    bar = axes.inset_axes((0.03, 0.1, 0.9, 0.1))
    bar.imshow(np.linspace(-1, 1, 201)[np.newaxis], aspect="auto", cmap=SCREEN.evidence)
    bar.set_yticks([])
    bar.set_xticks([0, 100, 200], ["against", "nothing", "for the class"])


def copy_of(run: Path, folder: Path) -> run_folder.RunFolder:
    """Return a copy of a finished run without its pictures and attributions."""
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("figures", "attributions", "report.html"))
    return run_folder.open_finished(folder)


def draw_methods(run: Path, data: Path) -> None:
    """Draw one segment's maps by every method."""
    with tempfile.TemporaryDirectory() as folder:
        opened = open_run(copy_of(run, Path(folder, "run")).path, choose_device("auto"), data)
        explainers = [parse(name) for name in without_attention()]
        question = questions.chosen(opened.predictions, [EVERY_METHODS_CLIP])
        found = answer(opened, question, explainers, verdicts=False, progress=for_terminal())
        whole = Path(folder, "whole.png")
        style.save(side_by_side(found), whole)
        shrink(whole, IMAGES / "methods.png", MOST_BYTES_OF_METHODS)


def credits_of(clips: Iterable[str]) -> str:
    """Return the table of the clips' authors, by name below the data set's folder."""
    known = {PurePosixPath(clip.file).name: clip for clip in esc10.manifest()}
    rows = []
    for name in sorted({PurePosixPath(each).name for each in clips}):
        clip = known[name]
        title = clip.title.replace("|", "\\|")
        rows.append(f"| `{clip.file}` | {title} | {clip.author} | {clip.licence} | <{clip.source_url}> |")
    return "\n".join(rows) + "\n"


def main(run: Path, data: Path) -> None:
    """Ask, draw, shrink, credit."""
    shown = {TAGGED, EVERY_METHODS_CLIP}
    progress = for_terminal()
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of(run, Path(folder, "run"))
        explained = Path(folder, "explained")
        tagged = explain(data / TAGGED, "mn04", methods=METHODS, progress=progress)
        shrink(tagged.save(explained), IMAGES / "explain.png")
        whole = explain(data / TAGGED, copy.path, whole=True, progress=progress)
        shrink(whole.save(explained), IMAGES / "whole.png")
        gallery.add_measures(copy)
        shrink(copy.figures / "chart-training.png", IMAGES / "training.png")
        shrink(copy.figures / "chart-confusion-segments.png", IMAGES / "confusion.png")
        shown |= {row["file"] for row in files.read_csv(copy.files)}  # the live page shows any of them, small
        everything = inquire(copy.path, methods=("gradcam",), sounds=False, progress=progress)
        asked: dict[str, Any] = {"methods": METHODS, "count": 3, "sounds": False, "progress": progress}
        of_class = inquire(copy.path, of_class="helicopter", **asked)
        true, predicted = _confused(next(each.inquiry.name for each in everything if each.inquiry.kind == "confusion"))
        misclassified = inquire(copy.path, true=true, predicted=predicted, **asked)
        for name, answer in (
            ("recordings", everything[0]),
            ("class", of_class[0]),
            ("misclassified", misclassified[0]),
        ):
            if answer.picture is None:
                raise SystemExit(f"{run}: has nothing to show for {name}.png: {'; '.join(answer.inquiry.notes)}")
            shrink(answer.picture, IMAGES / f"{name}.png")
            shown |= {each.file for each in answer.inquiry.findings}
            shown |= {each.file for each in answer.inquiry.recordings}
    commands = {**COMMANDS}
    commands["misclassified.png"] = commands["misclassified.png"].replace("TRUE", true).replace("PREDICTED", predicted)
    table = "".join(f"| `{name}` | `{command}` |\n" for name, command in commands.items())
    files.write_text(IMAGES / "README.md", HEAD + table + CREDIT + credits_of(shown))


def _confused(name: str) -> tuple[str, str]:
    """Return the two classes of the inquiry ``confusion-TRUE-as-PREDICTED``."""
    _, _, classes = name.partition("-")
    true, found, predicted = classes.partition("-as-")
    if not found:
        raise SystemExit("the run misclassified nothing: there is no picture of that to draw")
    return true, predicted


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[3:] not in ([], ["methods.png"]):
        raise SystemExit("usage: python tools/pictures.py RUN DATA [methods.png]")
    (draw_methods if sys.argv[3:] else main)(Path(sys.argv[1]), Path(sys.argv[2]))
