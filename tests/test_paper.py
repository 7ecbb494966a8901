"""Figures for papers: their widths, letters and colours, and files that a typesetter can take."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

import earwitness as ew
import tiny_run
from command import earwitness
from earwitness.core.errors import UsageError
from earwitness.core.run_folder import RunFolder
from earwitness.plots import gallery
from earwitness.plots.medium import COLUMN, MEDIA, PAGE, PAPER, SCREEN
from earwitness.plots.style import save

METHODS = {2: ["gradcam"], 4: ["gradcam", "saliency", "eigencam"]}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return tiny_run.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def sound(made) -> Path:
    return made.parent / "data" / "click" / "0.wav"


@pytest.fixture(scope="module")
def explanations(made, sound) -> dict[str, ew.Explanation]:
    """One of one method, one of two classes by three, one of all of a recording."""
    model = ew.load_model(made)
    return {
        "few": ew.explain(sound, model, methods="gradcam", progress=False),
        "many": ew.explain(sound, model, methods=METHODS[4], classes=model.classes[:2], verdicts=False, progress=False),
        "whole": ew.explain(sound, model, whole=True, progress=False),
        "detections": ew.explain(sound, model, methods="gradcam", detections=2, progress=False),
    }


def words(figure) -> list[Text]:
    return [each for each in figure.findobj(Text) if each.get_text().strip() and each.get_visible()]


@pytest.mark.parametrize(("name", "width"), [("few", COLUMN), ("many", PAGE), ("whole", PAGE), ("detections", PAGE)])
def test_a_paper_s_widths_and_letters(explanations, name, width):
    figure = explanations[name].plot(style="paper")
    assert figure.get_figwidth() == width
    assert {7.0, 8.0} <= {each.get_fontsize() for each in words(figure)} <= {7.0, 7.5, 8.0}


def test_no_titles_lie_outside_or_on_others(explanations):
    figure = explanations["many"].plot(style="paper")
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    titles = [axes.title.get_window_extent(renderer) for axes in figure.axes if axes.title.get_text()]
    assert len(titles) == 6
    assert not any(one.overlaps(other) for place, one in enumerate(titles) for other in titles[:place])
    assert all(one.x0 >= 0 and one.x1 <= figure.bbox.x1 for one in titles)


def test_verdicts_are_marks_alone(explanations):
    (judged,) = {each.verdict["level"] for each in explanations["few"].attributions.values()}
    screen, paper = ([each.get_text() for each in words(explanations["few"].plot(style=name))] for name in MEDIA)
    assert any(judged in text for text in screen)
    assert any(text.startswith("Verdicts:") for text in screen)
    assert not any(judged in text or text.startswith("Verdicts:") for text in paper)
    assert {"●", "◐", "○"} & set(paper)


def lightness(colours: np.ndarray) -> np.ndarray:
    """Return CIE L* of sRGB colours, shape (n, 3)."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    return 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16


# What a dichromat sees of linear RGB (Viénot, Brettel and Mollon 1999).
DICHROMATS = {
    "protan": [[0.1124, 0.8876, 0.0], [0.1124, 0.8876, 0.0], [0.004, -0.004, 1.0]],
    "deutan": [[0.2928, 0.7072, 0.0], [0.2928, 0.7072, 0.0], [-0.0223, 0.0223, 1.0]],
}


def seen(colours: np.ndarray, eye: str) -> np.ndarray:
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.array(DICHROMATS[eye]).T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("eye", ["", *DICHROMATS])
def test_lightness_alone_tells_for_from_against_in_print(eye):
    colours = matplotlib.colormaps[PAPER.evidence](np.linspace(0, 1, 256))[:, :3]
    order = lightness(seen(colours, eye) if eye else colours)
    assert (np.diff(order[::4]) > 0).all()
    assert order[-1] - order[128] > 25 < order[128] - order[0]
    screen = lightness(matplotlib.colormaps[SCREEN.evidence](np.linspace(0, 1, 256))[:, :3])
    assert abs(screen[-1] - screen[0]) < 10  # which is why there is another map for print


def test_png_of_print_has_its_dots(explanations, tmp_path):
    for style, least, most in (("paper", 300, 600), ("screen", 119, 121)):
        path = explanations["few"].save(tmp_path / style, style=style)
        with Image.open(path) as image:
            assert least <= image.info["dpi"][0] <= most
            assert image.width == pytest.approx(
                explanations["few"].plot(style=style).get_figwidth() * MEDIA[style].dpi, abs=1
            )


# ---- vector graphics ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["few", "whole"])
def test_an_svg_is_text_and_pictures_without_seams(explanations, tmp_path, name):
    save(explanations[name].plot(), tmp_path / "a.svg")
    root = ET.parse(tmp_path / "a.svg").getroot()  # it is our own
    told = {"".join(each.itertext()) for each in root.iter(f"{SVG}text")}
    assert told >= {
        each.get_text() for each in words(explanations[name].plot()) if each.get_text() in ("Hz", "log-mel")
    }
    assert "Hz" in told
    assert len(list(root.iter(f"{SVG}image"))) >= 2  # cells, which viewers would part as shapes
    assert len(list(root.iter(f"{SVG}path"))) < 400
    assert all("sans-serif" in each.get("style", "") for each in root.iter(f"{SVG}text"))
    width = float(root.get("width", "").removesuffix("pt"))
    assert width == pytest.approx(72 * explanations[name].plot().get_figwidth())


def test_a_pdf_embeds_its_fonts(explanations, tmp_path):
    save(explanations["few"].plot(style="paper"), tmp_path / "a.pdf", PAPER)
    content = (tmp_path / "a.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert b"/FontFile2" in content  # TrueType, not Type 3
    assert b"/Type3" not in content
    (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) [\d.]+ \]", content)
    assert float(box) == pytest.approx(72 * COLUMN)


@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_bytes_repeat_and_name_nobody(explanations, tmp_path, monkeypatch, ending):
    written = []
    for number in range(2):
        monkeypatch.setenv("USER", f"somebody{number}")
        path = tmp_path / str(number) / f"a.{ending}"
        save(explanations["few"].plot(), path)
        written.append(path.read_bytes())
    assert written[0] == written[1]
    assert not re.search(rb"CreationDate|dc:date|Matplotlib|Creator|Producer|somebody", written[0])


# ---- as one asks for it -------------------------------------------------------------------------------------------


def test_explain_writes_them_beside_the_png(made, sound, tmp_path):
    options = ("--run", made, "--method", "gradcam", "--no-verdicts", "--out", tmp_path / "o")
    left = earwitness("explain", sound, *options, "--export", "svg", "--export", "pdf", "--style", "paper")
    assert left.code == 0, left.err
    assert {path.suffix for path in (tmp_path / "o").iterdir() if path.is_file()} >= {".svg", ".pdf", ".png", ".npz"}
    assert 'width="252pt"' in (tmp_path / "o" / "0.svg").read_text()
    wrong = earwitness("explain", sound, *options, "--style", "poster")
    assert (wrong.code, wrong.err) == (2, "earwitness: --style poster: use screen or paper\n")


@pytest.mark.parametrize("ending", [".svg", ".pdf", ".selections.txt", "-detections.csv"])
def test_what_somebody_else_made_stays(explanations, tmp_path, ending):
    mine = tmp_path / f"0{ending}"
    mine.write_text("mine")
    formats = ("svg", "pdf", "raven", "csv")
    assert explanations["few"].save(tmp_path, formats=formats).name == "0-2.png"
    assert explanations["few"].save(tmp_path, formats=formats).name == "0-2.png"  # replaces its own
    assert mine.read_text() == "mine"
    assert (tmp_path / f"0-2{ending}").stat().st_size > 0


def test_export_alone_writes_the_same_bytes(explanations, tmp_path):
    explanations["whole"].save(tmp_path, "one", formats=["svg"], style="paper")
    (path,) = explanations["whole"].export(tmp_path, "two", ["svg"], style="paper")
    assert path.read_bytes() == (tmp_path / "one.svg").read_bytes()
    with pytest.raises(UsageError, match="--style poster"):
        explanations["few"].export(tmp_path, "three", ["svg"], style="poster")
    with pytest.raises(UsageError, match="--export eps: use csv, raven, audacity, svg, pdf"):
        explanations["few"].save(tmp_path / "new", formats=["eps"])
    assert not (tmp_path / "new").exists()


def test_inquire_writes_them_beside_the_png(made, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(made, run)
    data = made.parent / "data"
    asked = {"methods": "gradcam", "verdicts": False, "sounds": False, "data": data, "progress": False}
    answers = [
        *ew.inquire(run, true=tiny_run.CLASSES[2], exports=["svg", "pdf"], style="paper", count=1, **asked),
        *ew.inquire(run, segments=["0"], exports=["svg", "pdf"], style="paper", **asked),
    ]
    for each in answers:
        if each.picture is not None:
            assert all(each.picture.with_suffix(ending).exists() for ending in (".svg", ".pdf"))
            with Image.open(each.picture) as image:
                assert image.width in (round(COLUMN * PAPER.dpi), round(PAGE * PAPER.dpi))
    answered = {each.inquiry.name for each in answers}
    entries = [each for each in gallery.read(RunFolder(run)) if each.name in answered]
    assert entries
    assert all("yellow" in each.reading for each in entries)  # the report says which colours these are
