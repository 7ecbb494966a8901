"""Draw the pictures of ``README.md`` from a run on ESC-10, small enough for a repository, and name their sounds.

``python tools/pictures.py RUN DATA`` (or ``make pictures RUN=... DATA=...``) writes ``docs/images``. The run is asked
in a copy, so that its own folder stays as it is.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from PIL import Image

from earwitness import album, esc10, runs
from earwitness.investigate import ask, explain_files
from earwitness.progress import for_terminal

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
MOST_BYTES = 150_000
METHODS = ("gradcam", "lime", "occlusion")
TAGGED = "dog/1-100032-A.ogg"
HEAD = """# Pictures of README.md

Made by `make pictures RUN=RUN DATA=DATA` from a run on ESC-10 (`earwitness run DATA --backbone mn04 --out RUN`):

| picture | command |
|---|---|
"""
COMMANDS = {
    "explain.png": f"earwitness explain DATA/{TAGGED} --backbone mn04",
    "recordings.png": "earwitness inquire RUN",
    "training.png": "earwitness report RUN",
    "confusion.png": "earwitness report RUN",
    "class.png": "earwitness inquire RUN --class helicopter --count 3",
    "misheard.png": "earwitness inquire RUN --true TRUE --predicted PREDICTED --count 3",
}
CREDIT = """
The clips are from ESC-10 (K. J. Piczak, *ESC: Dataset for Environmental Sound Classification*, ACM Multimedia 2015,
CC BY 3.0). Cut, turned into spectrograms and drawn over by us. Each clip's own author and licence:

| clip | title | author | licence | source |
|---|---|---|---|---|
"""


def shrink(source: Path, target: Path) -> None:
    """Write a picture with as many colours and pixels as fit into :data:`MOST_BYTES`."""
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
            if stream.tell() <= MOST_BYTES:
                target.write_bytes(stream.getvalue())
                print(f"wrote {target.name}: {size[0]} x {size[1]}, {colours} colours, {stream.tell() // 1000} kB")
                return
    raise SystemExit(f"{source}: cannot be made smaller than {MOST_BYTES} bytes")


def copy_of(run: Path, folder: Path) -> runs.RunFolder:
    """Return a copy of a finished run without its pictures and attributions."""
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("figures", "attributions", "report.html"))
    return runs.open_finished(folder)


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
    shown = {TAGGED}
    progress = for_terminal()
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of(run, Path(folder, "run"))
        told = explain_files(
            [str(data / TAGGED)], backbone="mn04", methods=METHODS, out=Path(folder, "explained"), progress=progress
        )
        shrink(told.heard[0].picture, IMAGES / "explain.png")
        album.add_measures(copy)
        shrink(copy.figures / "chart-training.png", IMAGES / "training.png")
        shrink(copy.figures / "chart-confusion-segments.png", IMAGES / "confusion.png")
        everything = ask(copy.path, methods=("gradcam",), progress=progress)
        of_class = ask(copy.path, methods=METHODS, of_class="helicopter", count=3, progress=progress)
        true, predicted = _most_misheard(everything[-1].inquiry.name)
        misheard = ask(copy.path, methods=METHODS, true=true, predicted=predicted, count=3, progress=progress)
        for name, answer in (("recordings", everything[0]), ("class", of_class[0]), ("misheard", misheard[0])):
            if answer.picture is None:
                raise SystemExit(f"{run}: has nothing to show for {name}.png: {'; '.join(answer.inquiry.notes)}")
            shrink(answer.picture, IMAGES / f"{name}.png")
            shown |= {each.file for each in answer.inquiry.findings}
            shown |= {each.file for each in answer.inquiry.recordings}
    commands = {**COMMANDS}
    commands["misheard.png"] = commands["misheard.png"].replace("TRUE", true).replace("PREDICTED", predicted)
    table = "".join(f"| `{name}` | `{command}` |\n" for name, command in commands.items())
    runs.write_text(IMAGES / "README.md", HEAD + table + CREDIT + credits_of(shown))


def _most_misheard(name: str) -> tuple[str, str]:
    """Return the two classes of the inquiry ``confusion-TRUE-as-PREDICTED``."""
    _, _, classes = name.partition("-")
    true, found, predicted = classes.partition("-as-")
    if not found:
        raise SystemExit("the run misheard nothing: there is no picture of that to draw")
    return true, predicted


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: python tools/pictures.py RUN DATA")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
