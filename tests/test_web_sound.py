"""What the live page plays and draws, held to what sounds: cursor, loops, boxes, switches, and each cell's place."""

from __future__ import annotations

import numpy as np
import pytest

import tiny_run
from live_page import (
    CHIRP_LOW,
    CHIRP_SECONDS,
    CHIRP_SLOPE,
    CURSOR,
    PLACED_HZ,
    Served,
    Visit,
    chirp,
    highest,
    placed_tone,
)

# The samples that are heard now, the position that is drawn now, and how long sound takes to the ear.
NOW = f"""() => new Promise(done => requestAnimationFrame(() => {{
  const samples = new Float32Array(heard.fftSize);
  heard.getFloatTimeDomainData(samples);
  done([[...samples], ({CURSOR})(), sounding.sampleRate, sounding.outputLatency || 0]);
}}))"""


PLAYING = "window.heard && document.querySelector('.play').textContent.includes('Pause')"


@pytest.fixture(scope="module")
def served(browser, tmp_path_factory):
    started = Served(tiny_run.make(tmp_path_factory.mktemp("live")))
    yield started
    started.kill()


@pytest.fixture(scope="module")
def rising(browser, served, tmp_path_factory):
    """The address of an uploaded chirp."""
    visit = Visit(browser, served)
    found = visit.upload(chirp(tmp_path_factory.mktemp("sounds") / "chirp.wav"))
    visit.close()
    return found


@pytest.fixture(scope="module")
def placed(browser, served, tmp_path_factory):
    """The address of an uploaded tone of 1 kHz at 2 s."""
    visit = Visit(browser, served)
    found = visit.upload(placed_tone(tmp_path_factory.mktemp("sounds") / "placed.wav"))
    visit.close()
    return found


def heard_and_drawn(visit: Visit, seconds: float = CHIRP_SECONDS) -> tuple[float, float]:
    """Return the second of the chirp that is heard, and the one at which the cursor is drawn."""
    samples, share, rate, latency = visit.page.evaluate(NOW)
    middle = len(samples) / 2 / rate  # the samples end now: their middle sounded a little before
    return (highest(samples, rate) - CHIRP_LOW) / CHIRP_SLOPE + middle - latency, share * seconds


# ---- the cursor ---------------------------------------------------------------------------------------------------


def test_the_cursor_is_where_the_sound_is(visit, rising):
    visit.open(*rising)
    visit.page.keyboard.press("Space")
    visit.until(PLAYING)
    visit.page.wait_for_timeout(300)
    apart = []
    for _ in range(25):
        heard, drawn = heard_and_drawn(visit)
        apart.append(drawn - heard)
        visit.page.wait_for_timeout(200)
        if heard > 7:
            break
    assert heard > 4.5  # seconds that were followed
    assert np.abs(np.median(apart)) < 0.03, apart
    # A frame that the machine holds up shows an old place: nearly all are in step.
    assert np.mean(np.abs(apart) < 0.03) > 0.8, apart


def test_a_click_seeks_and_the_sound_follows(visit, rising):
    visit.open(*rising)
    box = visit.page.locator(".picture").bounding_box()
    visit.page.mouse.click(box["x"] + box["width"] * 5 / CHIRP_SECONDS, box["y"] + 40)
    visit.page.keyboard.press("Space")
    visit.until(PLAYING)
    visit.page.wait_for_timeout(300)
    heard, drawn = heard_and_drawn(visit)
    assert 5 < heard < 7
    assert drawn == pytest.approx(heard, abs=0.06)
    visit.page.locator(".stage").focus()
    visit.page.keyboard.press("Home")
    visit.page.wait_for_timeout(400)
    heard, drawn = heard_and_drawn(visit)
    assert 0 < heard < 2


def test_play_and_pause_by_mouse(visit, rising):
    visit.open(*rising)
    play = visit.page.locator(".transport .play")
    for _ in range(2):
        play.click()
        visit.until(PLAYING)
        play.click()
        visit.until(f"!({PLAYING})")


def test_what_is_heard_in_the_queue_is_what_is_shown(visit):
    page = visit.page
    page.add_init_script(
        "const { play } = HTMLMediaElement.prototype;"
        "HTMLMediaElement.prototype.play = function () { window.player = this; return play.call(this); };"
    )
    visit.go(f"#/c/{visit.collection()['id']}/q")
    page.wait_for_selector(".row a")
    page.keyboard.press("p")
    visit.until("window.player && !player.paused && document.querySelector('.play').textContent.includes('Stop')")
    page.keyboard.press("j")
    visit.until("player.paused && !player.ended && document.querySelector('.play').textContent.includes('Play')")


def test_a_loop_stays_within_its_stretch(visit, rising):
    visit.open(*rising, "?t0=3&t1=4")
    visit.page.get_by_role("button", name="Loop").click()
    visit.page.keyboard.press("Space")
    visit.until(PLAYING)
    visit.page.wait_for_timeout(300)
    heard = []
    for _ in range(25):
        samples, share, rate, _ = visit.page.evaluate(NOW)
        heard.append((highest(samples, rate) - CHIRP_LOW) / CHIRP_SLOPE)
        assert -0.05 <= share <= 1.05
        visit.page.wait_for_timeout(100)
    assert 2.95 < min(heard) < 3.4
    assert 3.6 < max(heard) < 4.05
    assert (np.diff(heard) < -0.3).any()  # it began again


def test_what_plays_out_of_sight_is_followed(visit, rising):
    visit.open(*rising, "?t0=1&t1=1.8")
    visit.page.keyboard.press("Space")
    visit.until(PLAYING)
    visit.page.wait_for_timeout(2200)
    start, end = visit.span()
    assert end - start == pytest.approx(0.8, abs=0.01)
    samples, share, rate, _ = visit.page.evaluate(NOW)
    heard = (highest(samples, rate) - CHIRP_LOW) / CHIRP_SLOPE
    assert 2 < heard < 6
    assert 0 <= share <= 1


# ---- boxes and switches -------------------------------------------------------------------------------------------


def test_only_a_box_is_played(visit, rising):
    """Of a chirp a box from 0 to 9 s and 1.5 to 2.5 kHz holds what sounds from 2 to 4 s."""
    visit.open(*rising, "?edits=box_0_9_1500_2500_hide&tab=what-if&p=0.5")
    loud = []
    visit.page.get_by_role("button", name="Play only box 1").click()
    visit.until(PLAYING)
    for _ in range(200):
        samples, share, _, _ = visit.page.evaluate(NOW)
        loud.append((share * CHIRP_SECONDS, float(np.sqrt(np.mean(np.square(samples))))))
        if share * CHIRP_SECONDS > 5.5:
            break
        visit.page.wait_for_timeout(60)
    levels = np.array(loud)
    inside = levels[(levels[:, 0] > 2.4) & (levels[:, 0] < 3.6), 1]
    outside = levels[((levels[:, 0] > 0.2) & (levels[:, 0] < 1.5)) | ((levels[:, 0] > 4.6) & (levels[:, 0] < 5.5)), 1]
    assert len(inside) > 3
    assert len(outside) > 3
    assert np.median(inside) > 20 * np.median(outside)


def test_switching_what_is_heard_leaves_no_gap(visit, tmp_path):
    """Three sounds that say their second by how high they are: a switch goes on at the same one, never silent."""
    collection = visit.collection()["id"]
    recording = visit.recordings(collection, text="hiss/0")[0]["id"]
    page = visit.page
    scores = {name: [{"class": tiny_run.CLASSES[1], "score": 0.5}] for name in ("original", "kept", "removed")}
    sounds = {name: f"/api/sounds/test{name}" for name in scores}
    answer = {"id": "a", "start_seconds": 0, "end_seconds": 2, "area": 0.3, "sounds": sounds, "scores": scores}
    page.route("**/listen", lambda route: route.fulfill(json=answer))
    content = chirp(tmp_path / "chirp.wav").read_bytes()
    page.route("**/api/sounds/test*", lambda route: route.fulfill(body=content, content_type="audio/wav"))
    visit.open(collection, recording)
    page.get_by_role("button", name="Explain with").click()
    page.locator(".verdict-card").wait_for()
    page.keyboard.press("l")
    page.get_by_label("Original").wait_for()
    assert page.locator(".sound-choice .own").all_inner_texts() == ["0.50"] * 3
    page.keyboard.press("ArrowDown")  # the keys do what is written there: they switch, and Space plays
    assert page.locator("[data-sound=kept]").is_checked()
    visit.until(PLAYING)
    page.keyboard.press("Space")
    visit.until(f"!({PLAYING})")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")  # past the slider, to the tabs, whose own keys are left
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.textContent") == "What if"
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.textContent") == "Listen"
    page.get_by_role("button", name="Play or pause").click()
    visit.until(PLAYING)
    watch = """names => new Promise(done => {
      const seen = [], samples = new Float32Array(1024), end = performance.now() + 2300;
      const step = () => {
        heard.getFloatTimeDomainData(samples);
        seen.push([...samples]);
        if (performance.now() < end) setTimeout(step, 15); else done([seen, sounding.sampleRate]);
      };
      names.forEach((name, place) => setTimeout(() => document.querySelector(`[data-sound=${name}]`).click(),
        500 + 500 * place));
      setTimeout(step, 200);
    })"""
    seen, rate = page.evaluate(watch, ["kept", "original", "removed"])
    levels = np.sqrt(np.mean(np.square(seen), axis=1))
    assert levels.min() > 0.7 * np.median(levels)
    places = np.array([highest(samples, rate) for samples in seen])
    assert (np.diff(places) > -20).all()  # it goes on, and never back
    assert page.locator("[data-sound=removed]").is_checked()
    assert "Pause" in page.locator(".transport .play").inner_text()
    page.locator("[data-sound=removed]").focus()
    page.keyboard.press("ArrowUp")  # the same by keyboard
    assert page.locator("[data-sound=kept]").is_checked()
    page.keyboard.press("Space")
    page.locator(".transport .play", has_text="Play").wait_for()


# ---- the picture --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("span", [None, (1.0, 3.5), (1.9, 2.3)])
def test_a_tone_is_drawn_where_it_sounds(visit, placed, span):
    """At three zoom levels the brightest pixels lie at 1 kHz, and from 2.0 to 2.2 s."""
    collection, recording = placed
    visit.open(collection, recording, "" if span is None else f"?t0={span[0]}&t1={span[1]}")
    drawn = visit.pixels("canvas.sound").astype(int)[..., :3].sum(axis=2)
    height, width = drawn.shape
    start, end = span or (0.0, visit.get(f"collections/{collection}/recordings/{recording}")["seconds"])
    edges = np.array(
        next(each for each in visit.get("session")["collections"] if each["id"] == collection)["grid"]["band_edges_hz"]
    )
    band = int(np.searchsorted(edges, PLACED_HZ)) - 1
    bands = len(edges) - 1
    top, bottom = height * (1 - (band + 1) / bands), height * (1 - band / bands)
    moment = drawn[:, int((2.1 - start) / (end - start) * width)]
    brightest = np.nonzero(moment == moment.max())[0]  # the loudest cells share the last colour
    assert brightest.min() <= (top + bottom) / 2 <= brightest.max()
    assert abs(brightest.mean() - (top + bottom) / 2) < 1.5 * height / bands
    assert len(brightest) < 4 * height / bands
    line = drawn[int((top + bottom) / 2)]
    bright = np.nonzero(line > line.min() + 0.7 * (line.max() - line.min()))[0]
    seconds = start + (np.array([bright.min(), bright.max() + 1]) / width) * (end - start)
    frame = 0.025  # seconds: a window sees this far
    assert seconds[0] == pytest.approx(2.0, abs=frame)
    assert seconds[1] == pytest.approx(2.2, abs=frame)


def test_every_cell_has_the_colour_of_its_number(visit, placed):
    collection, recording = placed
    visit.open(collection, recording, "?t0=1.9&t1=2.3")
    values, first, last = visit.array(
        f"collections/{collection}/recordings/{recording}/log-mel?start=1.8&end=2.4&columns=4000"
    )
    drawn = visit.pixels("canvas.sound").astype(int)[..., :3].sum(axis=2)
    height, width = drawn.shape
    rows, bands = values.shape
    times = first + (np.arange(rows) + 0.5) / rows * (last - first)
    seen = [row for row in range(rows) if 1.92 < times[row] < 2.28]
    cells = [
        (values[row, band], drawn[int(height * (1 - (band + 0.5) / bands)), int((times[row] - 1.9) / 0.4 * width)])
        for row in seen
        for band in range(bands)
    ]
    numbers, colours = np.array(cells).T
    assert len(cells) > 1000
    order = np.argsort(numbers)
    # Louder is brighter, cell by cell; a level of 256 may differ by one where numbers are all but equal.
    steps = np.diff(colours[order])
    assert (steps >= -6).all()
    assert np.ptp(colours) > 400


def test_evidence_is_drawn_with_its_sign(visit):
    collection = visit.collection()["id"]
    recording = visit.recordings(collection, text="low/2")[0]["id"]
    visit.open(collection, recording)
    visit.page.get_by_label("Method", exact=True).select_option("occlusion")
    visit.page.locator(".verdict-card").wait_for()
    visit.page.wait_for_timeout(200)
    found = visit.get(f"collections/{collection}/recordings/{recording}")
    (shown,) = [each for each in found["maps"] if each["method"].startswith("occlusion")]
    values, _, _ = visit.array(f"maps/{shown['id']}/values")
    drawn = visit.pixels("canvas.colours").astype(int)
    height, width = drawn.shape[:2]
    edges = np.array(visit.collection()["grid"]["band_edges_hz"])
    places = np.interp(shown["frequency_edges"], edges, np.arange(len(edges)) / (len(edges) - 1))
    checked = 0
    for row in range(shown["rows"]):
        for column in range(shown["columns"]):
            x = int(np.mean(shown["time_edges"][row : row + 2]) / found["seconds"] * width)
            y = int(height * (1 - np.mean(places[column : column + 2])))
            red, _, blue, alpha = drawn[min(y, height - 1), min(x, width - 1)]
            if abs(values[row, column]) > 0.1 * shown["strongest"]:
                checked += 1
                assert (red > blue) == (values[row, column] > 0)
                assert alpha == pytest.approx(235 * (abs(values[row, column]) / shown["strongest"]) ** 0.8, abs=4)
    assert checked > 5
