"""What pictures and maps of explained files are called: nothing is lost to another file of the same name."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import earwitness as ew
import tiny_run
from command import Left, earwitness
from earwitness.core import files
from earwitness.explainers.attribution import saved_source
from earwitness.workflows.explained import explain_to_folder
from earwitness.workflows.explanation import Explanation

METHOD = "gradcam"
NAME = "20240501_050000"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with two runs, and two sites whose recorders name their files by the time."""
    place = tmp_path_factory.mktemp("sites")
    tiny_run.make(place)
    shutil.copytree(place / "run", place / "other-run")
    for site, name in (("siteA", "click/0.wav"), ("siteB", "hiss/1.wav")):
        (place / site).mkdir()
        shutil.copy(place / "data" / name, place / site / f"{NAME}.wav")
    return place


@pytest.fixture
def here(made, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(made)
    return tmp_path / "out"


def explain(site: str, out: Path, *options: str, run: str = "run") -> Left:
    file = f"{site}/{NAME}.wav"
    left = earwitness("explain", file, "--run", run, "--out", out, "--method", METHOD, "--no-verdicts", *options)
    assert left.code == 0, left.err
    return left


def picture(left: Left) -> str:
    (line,) = [line for line in left.out.splitlines() if line.startswith("  picture:")]
    return line.partition("out/")[2]


def content(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


ANOTHER = {
    "file": ("siteB", (), "run"),
    "class": ("siteA", ("--class", "hiss <b>"), "run"),
    "run": ("siteA", (), "other-run"),
    "classes": ("siteA", ("--class", "hiss <b>", "--class", "click $5 & $6"), "run"),
}


@pytest.mark.parametrize("another", ANOTHER.values(), ids=ANOTHER)
def test_what_another_explanation_wrote_stays_and_the_new_name_is_said(here, another):
    site, options, run = another
    assert picture(explain("siteA", here)) == f"{NAME}.png"
    before = content(here)
    said = picture(explain(site, here, *options, run=run))
    assert said == f"{NAME}-2.png ({NAME}.png is of another file, class or run)"
    after = content(here)
    assert {name: after[name] for name in before} == before
    assert f"{NAME}-2.png" in after.keys() - before.keys()
    # Each goes on to replace its own.
    assert picture(explain(site, here, *options, run=run)) == f"{NAME}-2.png (replaced)"
    assert picture(explain("siteA", here)) == f"{NAME}.png (replaced)"
    assert content(here).keys() == after.keys()


def test_the_place_decides_and_not_how_it_is_written(here, made, monkeypatch):
    explain("siteA", here)
    left = explain(str(made / "siteB" / ".." / "siteA"), here, run=str(made / "run"))
    assert picture(left) == f"{NAME}.png (replaced)"
    monkeypatch.chdir(made / "siteB")
    left = earwitness("explain", f"{NAME}.wav", "--run", "../run", "--out", here, "--method", METHOD, "--no-verdicts")
    assert picture(left).startswith(f"{NAME}-2.png")


@pytest.mark.parametrize("kept", ["png", "npz"])
def test_a_file_of_nobody_known_is_not_replaced(here, kept):
    explain("siteA", here)
    for path in list(here.iterdir()):
        if path.suffix == f".{kept}":
            path.write_bytes(b"mine")
        else:
            path.unlink()
    before = content(here)
    assert picture(explain("siteA", here)).startswith(f"{NAME}-2.png")
    assert before.items() <= content(here).items()


def test_one_call_replaces_nothing_of_its_own_and_repeats_its_names(here):
    files = [f"siteA/{NAME}.wav", f"siteB/{NAME}.wav", f"siteA/{NAME}.wav"]
    for again in (False, True):
        outcome = explain_to_folder(files, "run", here, methods=METHOD, verdicts=False)
        pictures = [path.name for _, path in outcome.explanations]
        assert pictures == [f"{NAME}.png", f"{NAME}-2.png", f"{NAME}-3.png"]
        assert {path.name for path in outcome.replaced} == (set(pictures) if again else set())


def test_two_at_once_into_one_folder_keep_both(here, monkeypatch):
    def slowly(self, *arguments):
        chosen = choose(self, *arguments)
        time.sleep(0.5)  # the other one would choose now
        return chosen

    def explain_one(site: str) -> Path:
        ((_, path),) = explain_to_folder(
            [f"{site}/{NAME}.wav"], "run", here, methods=METHOD, verdicts=False, progress=False
        ).explanations
        return path

    choose = Explanation.name_in
    monkeypatch.setattr(Explanation, "name_in", slowly)
    with ThreadPoolExecutor() as pool:
        assert sorted(path.name for path in pool.map(explain_one, ("siteA", "siteB"))) == [
            f"{NAME}-2.png",
            f"{NAME}.png",
        ]
    assert all(name.endswith((".png", ".npz")) for name in content(here))


def test_a_notebook_keeps_both_too(here):
    model = ew.load_model("run")
    for _ in range(2):
        for number, site in enumerate(("siteA", "siteB")):
            explanation = ew.explain(f"{site}/{NAME}.wav", model, methods=METHOD, verdicts=False)
            assert explanation.save(here).name == (f"{NAME}-2.png" if number else f"{NAME}.png")
    kept = {ew.Attribution.load(path).file for path in here.glob("*.npz")}
    assert kept == {f"siteA/{NAME}.wav", f"siteB/{NAME}.wav"}


def test_what_is_no_map_has_no_source(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"mine")
    assert saved_source(tmp_path / "a.npz") is None
    assert saved_source(tmp_path / "b.npz") is None


def test_regions_are_written_beside_the_picture(here):
    explain("siteA", here, "--export", "csv", "--export", "raven", "--export", "audacity")
    (saved,) = here.glob("*.npz")
    regions = ew.Attribution.load(saved).regions
    assert regions
    rows = files.read_csv(here / f"{NAME}-regions.csv")
    assert [float(row["share"]) for row in rows] == [region.share for region in regions]
    assert {row["file"] for row in rows} == {f"siteA/{NAME}.wav"}
    assert len((here / f"{NAME}.selections.txt").read_text().splitlines()) == 1 + len(regions)
    assert len((here / f"{NAME}.labels.txt").read_text().splitlines()) == 2 * len(regions)
    wrong = earwitness("explain", f"siteA/{NAME}.wav", "--run", "run", "--out", here / "x", "--export", "xml")
    assert (wrong.code, wrong.err) == (2, "earwitness: --export xml: use csv, raven, audacity, svg, pdf\n")
    assert not (here / "x").exists()


def test_detections_are_written_beside_the_picture(here):
    explain("siteA", here, "--export", "csv", "--export", "raven")
    model = ew.load_model("run")
    found = ew.explain(f"siteA/{NAME}.wav", model, methods=METHOD, verdicts=False).detections
    assert found
    rows = files.read_csv(here / f"{NAME}-detections.csv")
    assert [(row["class"], float(row["start_second"])) for row in rows] == [
        (each.class_name, round(each.start_seconds, 4)) for each in found
    ]
    head, *lines = (here / f"{NAME}-detections.selections.txt").read_text().splitlines()
    assert [dict(zip(head.split("\t"), line.split("\t"), strict=True))["Annotation"] for line in lines] == [
        each.class_name for each in found
    ]


def test_of_a_whole_recording_detections_are_written(here):
    left = earwitness("explain", f"siteA/{NAME}.wav", "--run", "run", "--out", here, "--whole", "--export", "raven")
    assert left.code == 0, left.err
    (path,) = here.glob("*.txt")
    assert path.name == f"{NAME}-whole-detections.selections.txt"
    assert f"\n  exported:  {path}\n" in left.out
