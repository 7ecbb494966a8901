"""What the report plays: the clips, where pictures show them, and the page's player."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

import live_page
import tiny_run
from earwitness.audio.loudness import Meter
from earwitness.core.errors import EarwitnessError
from earwitness.core.files import read_json, write_json
from earwitness.core.run_folder import RunFolder
from earwitness.explainers.attribution import Attribution
from earwitness.inspection.run import open_run
from earwitness.plots import gallery, style
from earwitness.plots.panels import mark, panels_of
from earwitness.report.page import build_report
from earwitness.report.players import embed_sounds
from earwitness.sonify.clips import at_one_loudness, read_clip, read_stretch, write_clip
from earwitness.sonify.levels import CEILING, TARGET_LUFS
from earwitness.sonify.listening import Listening
from earwitness.sonify.masks import mask_of
from earwitness.workflows.inquire import inquire

CLICK, HISS, LOW = tiny_run.CLASSES


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> Path:
    """A run that was asked one question by each kind of picture that has sounds."""
    path = tiny_run.make(tmp_path_factory.mktemp("asked"))
    inquire(path, methods=["gradcam", "saliency"], verdicts=False, progress=False)
    build_report(path)
    return path


@pytest.fixture
def run(asked, tmp_path) -> Path:
    return Path(shutil.copytree(asked, tmp_path / "run"))


def players(page: str) -> list[dict]:
    return [json.loads(text) for text in re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)]


def decoded(text: str) -> tuple[np.ndarray, int]:
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(text)), dtype="float32", always_2d=True)
    return samples, rate


# ---- clips --------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(rate=st.integers(4_000, 400_000), count=st.integers(1, 6_000), seed=st.integers(0, 9))
def test_a_clip_of_any_rate_and_length_is_as_long_as_its_sound(tmp_path_factory, rate, count, seed):
    path = tmp_path_factory.mktemp("clip") / "a.mp3"
    noise = 0.1 * np.random.default_rng(seed).standard_normal((count, 1)).astype(np.float32)
    write_clip(path, noise, rate)
    with soundfile.SoundFile(io.BytesIO(read_clip(path))) as file:
        assert file.format == "MP3"
        assert file.channels == 1
        assert abs(file.frames - count * file.samplerate / rate) <= 1
        assert file.samplerate >= min(rate, 48_000)


def test_a_clip_sounds_like_its_sound_at_the_same_time(tmp_path):
    rate = 44_100
    seconds = np.arange(rate) / rate
    sound = np.where(seconds < 0.5, 0.0, 0.4 * np.sin(2 * np.pi * 700 * seconds)).astype(np.float32)[:, None]
    write_clip(tmp_path / "a.mp3", sound, rate)
    heard, _ = soundfile.read(tmp_path / "a.mp3", dtype="float32", always_2d=True)
    assert np.corrcoef(heard[:, 0], sound[:, 0])[0, 1] > 0.999
    assert np.abs(heard[: rate // 2 - 1200]).max() < 1e-3


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_a_stretch_is_the_mean_of_the_channels_between_two_moments(tmp_path, channels):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (20_000, channels)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    found, rate = read_stretch(tmp_path / "a.wav", 0.25, 1.0)
    assert rate == 16_000
    np.testing.assert_allclose(found, samples[4_000:16_000].mean(axis=1, keepdims=True), atol=1e-6)
    to_end, _ = read_stretch(tmp_path / "a.wav", 1.0, 99.0)
    assert to_end.shape == (4_000, 1)


@pytest.mark.parametrize("amplitude", [1e-3, 0.05, 0.9])
def test_all_that_is_played_has_one_loudness(amplitude):
    rate = 22_050
    noise = amplitude * np.random.default_rng(1).uniform(-1, 1, (2 * rate, 1)).astype(np.float32)
    meter = Meter(rate)
    meter.see(at_one_loudness(noise, rate))
    assert meter.lufs == pytest.approx(TARGET_LUFS, abs=0.3)
    assert meter.peak <= CEILING + 1e-6


def test_silence_is_played_as_silence(tmp_path):
    silence = np.zeros((8_000, 1), np.float32)
    write_clip(tmp_path / "a.mp3", at_one_loudness(silence, 8_000), 8_000)
    assert np.abs(soundfile.read(tmp_path / "a.mp3")[0]).max() < 1e-4


def test_what_is_no_clip_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.mp3", np.zeros(99), 8_000, format="WAV")
    (tmp_path / "b.mp3").write_bytes(b"nothing")
    for name in ("a.mp3", "b.mp3", "c.mp3"):
        with pytest.raises(EarwitnessError, match=rf"{name}: .*inquire again"):
            read_clip(tmp_path / name)


# ---- where pictures show what -------------------------------------------------------------------------------------


def test_a_panel_is_where_the_picture_has_its_axes(tmp_path):
    figure = Figure(figsize=(4, 3), layout="constrained")
    for number, axes in enumerate(figure.subplots(2, 2).ravel()):
        axes.set_title("a title that takes room")
        axes.set_xlim(2.0, 3.5)
        axes.set_facecolor((1.0, 0.0, number / 10))
        if number != 1:
            mark(axes, number, None if number == 0 else number)
    style.save(figure, tmp_path / "a.png")
    panels = panels_of(figure)
    assert [(each.row, each.place) for each in panels] == [(0, None), (2, 2), (3, 3)]
    assert {(each.start_seconds, each.end_seconds) for each in panels} == {(2.0, 3.5)}
    from PIL import Image

    with Image.open(tmp_path / "a.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    height, width = pixels.shape[:2]
    for each in panels:
        colour = np.array([255, 0, round(25.5 * each.row)])
        rows, columns = np.nonzero(np.abs(pixels - colour).max(axis=2) < 9)
        assert columns.min() == pytest.approx(each.left * width, abs=3)
        assert columns.max() == pytest.approx((each.left + each.width) * width, abs=3)
        assert rows.min() == pytest.approx(each.top * height, abs=3)
        assert rows.max() == pytest.approx((each.top + each.height) * height, abs=3)


def test_every_segment_and_map_of_a_picture_is_marked(asked):
    entries = {entry.name: entry for entry in gallery.read(RunFolder(asked))}
    for entry in entries.values():
        rows = {panel.row for panel in entry.panels}
        shown = {played.row for played in entry.sounds if played.row is not None}
        assert rows == shown
        for played in entry.sounds:
            mine = {panel.place for panel in entry.panels if panel.row == played.row}
            assert {each.place for each in played.maps} <= mine
            if played.row is not None:
                (panel, *_) = (each for each in entry.panels if each.row == played.row)
                # The cursor starts at the panel's edge: a frame's cell begins before its window's middle.
                assert panel.start_seconds == pytest.approx(played.start_seconds, abs=0.03)
    assert {entry.kind for entry in entries.values() if entry.sounds} >= {"recordings", "samples", "segments", "class"}


# ---- an inquiry's sounds ------------------------------------------------------------------------------------------


def test_the_scores_are_those_of_listening(asked):
    (entry,) = (each for each in gallery.read(RunFolder(asked)) if each.kind == "segments")
    played = next(each for each in entry.sounds if each.maps)
    mine = played.maps[0]
    opened = open_run(asked)
    (found,) = (
        each
        for each in map(Attribution.load, (asked / "attributions").glob("*.npz"))
        if (each.target_label, each.method) == (mine.target, "gradcam")
        and each.start_seconds == pytest.approx(played.start_seconds)
        and played.title.startswith(each.file)
    )
    mask = mask_of(found, opened.clock)
    path = opened.path_of(found.file)
    listening = Listening.of(path, mask, played.start_seconds, played.end_seconds, classifier=opened.classifier)
    expected = [listening.scores[sound][mine.target] for sound in ("original", "kept", "removed")]
    np.testing.assert_allclose(mine.scores, expected, atol=1e-4)


def test_a_misclassified_recording_is_played_whole_too(asked):
    (entry,) = (each for each in gallery.read(RunFolder(asked)) if each.kind == "misclassified")
    whole, segment = entry.sounds
    assert whole.row is None
    assert whole.maps == ()
    assert whole.end_seconds == pytest.approx(2.0, abs=1e-3)
    assert segment.row == 0
    assert {each.target for each in segment.maps} == {HISS, LOW}


def test_a_question_asked_again_leaves_no_old_sounds(run):
    shutil.copytree(run.parent / "run" / "sounds", run.parent / "before")
    inquire(run, of_class=HISS, count=1, methods="gradcam", verdicts=False, data=_data(run), progress=False)
    (entry,) = (each for each in gallery.read(RunFolder(run)) if each.kind == "class" and HISS in each.title)
    (played,) = entry.sounds
    left = {path.name for path in (run / "sounds" / Path(played.original).parent).iterdir()}
    named = [played.original, *(name for each in played.maps for name in (each.kept, each.removed))]
    assert left == {Path(name).name for name in named}


ASKED = {"methods": ["gradcam", "saliency"], "count": 2}


@pytest.mark.parametrize(
    "poorer",
    [
        {"count": 1},
        {"methods": "gradcam"},
        {"methods": ["gradcam:relu=true", "saliency"]},
        {"sounds": False},
        {"judged": True},
    ],
)
def test_a_poorer_answer_is_kept_beside_the_earlier_one_and_a_richer_one_replaces_it(poorer, run, capsys):
    folder, asked = RunFolder(run), {"of_class": CLICK, "verdicts": False, "data": _data(run)}
    (name,) = (found.inquiry.name for found in inquire(run, **ASKED, **asked))
    if poorer == {"judged": True}:  # as if the earlier maps had verdicts
        entries = read_json(folder.figures / gallery.INDEX)
        judged = [{**each, "maps": [f"{one}, judged" for one in each["maps"]]} for each in entries]
        write_json(folder.figures / gallery.INDEX, judged)
    first, picture = (
        {each.name: each for each in gallery.read(folder)}[name],
        (folder.figures / f"{name}.png").read_bytes(),
    )
    (found,) = inquire(run, **ASKED | ({} if "judged" in poorer else poorer), **asked)
    assert found.inquiry.name == f"{name}-2"
    assert f"{name} holds maps, verdicts or sounds that this answer lacks" in capsys.readouterr().err
    entries = {each.name: each for each in gallery.read(folder)}
    assert entries[name] == first
    assert (folder.figures / f"{name}.png").read_bytes() == picture
    assert all((run / "sounds" / each.original).exists() for each in first.sounds)
    assert entries[f"{name}-2"].title == f"{first.title} (2)"
    if "count" in poorer:
        (found,) = inquire(run, **ASKED | {"count": 3}, **asked)
        assert found.inquiry.name == name


def test_without_sounds_nothing_is_written(run):
    shutil.rmtree(run / "sounds")
    inquire(
        run, of_class=HISS, count=1, methods="gradcam", verdicts=False, sounds=False, data=_data(run), progress=False
    )
    assert not (run / "sounds").exists()


def _data(run: Path) -> Path:
    return Path(json.loads((run / "run.json").read_text(encoding="utf-8"))["data"]["path"])


# ---- the page -----------------------------------------------------------------------------------------------------


def test_the_page_runs_its_own_script_and_no_other(asked):
    page = (asked / "report.html").read_text(encoding="utf-8")
    scripts = re.findall(r"<script(?: type=\"application/json\")?>(.*?)</script>", page, re.DOTALL)
    (code,) = (text for text in scripts if '"use strict"' in text)
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy.replace("style-src 'unsafe-inline'", "")
    assert "alert(1)" not in code


def test_the_page_holds_every_sound_at_its_length(asked):
    page = (asked / "report.html").read_text(encoding="utf-8")
    found = players(page)
    assert len(found) == len([entry for entry in gallery.read(RunFolder(asked)) if entry.sounds])
    for content in found:
        for stretch in content["stretches"]:
            for text in (
                stretch["original"],
                *(each[name] for each in stretch["maps"] for name in ("kept", "removed")),
            ):
                samples, rate = decoded(text)
                assert len(samples) / rate == pytest.approx(stretch["seconds"], abs=2 / rate)


def test_an_older_run_has_a_page_without_script(run):
    index = json.loads((run / "figures" / "index.json").read_text(encoding="utf-8"))
    for entry in index:
        del entry["sounds"], entry["panels"]
    (run / "figures" / "index.json").write_text(json.dumps(index), encoding="utf-8")
    build_report(run)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "script-src" not in page


def test_sounds_beyond_the_budget_are_named(asked):
    folder, entries = RunFolder(asked), gallery.read(RunFolder(asked))
    sizes = {
        entry.name: sum(len(read_clip(folder.sounds / name)) for played in entry.sounds for name in _files(played))
        for entry in entries
    }
    some = [name for name in sizes if sizes[name]]
    found = embed_sounds(folder, entries, budget=sizes[some[0]])
    assert found[some[0]].stretches
    for name in some[1:]:
        assert re.search(r"To keep this page small, its sounds lie in sounds/", found[name].absence)
        assert not found[name].stretches


def _files(played):
    return [played.original, *(name for each in played.maps for name in (each.kept, each.removed))]


def test_missing_sounds_are_said(run):
    shutil.rmtree(run / "sounds")
    build_report(run)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "are missing; inquire again" in page
    assert not players(page)


@pytest.mark.parametrize("name", ["../run.json", "a/../b.mp3", "/etc/passwd", "one.mp3", "a/b/c.mp3", "a/b.wav"])
def test_an_index_from_elsewhere_reads_nothing_outside(asked, name):
    entries = gallery.read(RunFolder(asked))
    entry = next(entry for entry in entries if entry.sounds)
    wrong = replace(entry, sounds=(replace(entry.sounds[0], original=name), *entry.sounds[1:]))
    with pytest.raises(EarwitnessError, match="names no sound of the run"):
        embed_sounds(RunFolder(asked), [wrong])


# ---- in a browser -------------------------------------------------------------------------------------------------


@pytest.fixture
def page(asked):
    """The report in a browser, or skip where there is none."""
    with live_page.chromium() as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.goto((asked / "report.html").as_uri())
        yield page
    assert faults == []


def test_a_person_plays_switches_and_sees_the_cursor(page):
    player = page.locator(".player", has=page.locator(".mapping:not([hidden])")).last
    play, clock = player.locator(".play"), player.locator(".time")
    player.locator(".repeat").check()
    play.click()
    page.wait_for_function("element => element.textContent.includes('Stop')", arg=play.element_handle())
    before = clock.inner_text()
    page.wait_for_function("([one, text]) => one.textContent !== text", arg=[clock.element_handle(), before])
    player.locator("input[value=kept]").check()
    assert "Stop" in play.inner_text()
    assert player.locator(".target").inner_text() in tiny_run.CLASSES
    assert all(re.fullmatch(r"[<>] 0\.\d\d|[01]\.\d\d", text) for text in player.locator(".score").all_inner_texts())
    figure = player.locator("xpath=ancestor::figure")
    assert figure.locator(".panel.chosen").count() == 1
    assert figure.locator(".cursor:not([hidden])").count() >= 2
    player.locator("input[value=kept]").press("3")
    assert player.locator("input[value=removed]").is_checked()
    play.click()
    assert "Play" in play.inner_text()


def test_a_click_into_a_map_plays_its_evidence_from_there(page):
    figure = page.locator("figure", has=page.locator(".player .mapping:not([hidden])")).last
    player = figure.locator(".player")
    player.locator(".repeat").check()
    panel = figure.locator(".panel").last
    box = panel.bounding_box()
    panel.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    page.wait_for_function(
        "element => element.textContent.includes('Stop')", arg=player.locator(".play").element_handle()
    )
    assert player.locator("input[value=kept]").is_checked()
    assert "chosen" in panel.get_attribute("class")
    assert panel.locator(".cursor").is_visible()
    player.locator(".play").click()


def test_one_player_sounds_at_a_time(page):
    first, second = page.locator(".player").nth(0), page.locator(".player").nth(1)
    for each in (first, second):
        each.locator(".repeat").check()
        each.locator(".play").click()
        page.wait_for_function(
            "element => element.textContent.includes('Stop')", arg=each.locator(".play").element_handle()
        )
    assert "Play" in first.locator(".play").inner_text()
    second.locator(".play").click()


def test_a_small_screen_cuts_nothing_off(page):
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
