"""The live page as people use it, in a real browser: each way by mouse, and by keyboard alone."""

from __future__ import annotations

import json
import re
import shutil
from urllib.parse import quote

import numpy as np
import pytest

import live_page
import tiny_run
from live_page import Served, Visit, told

CLICK, HISS, LOW = tiny_run.CLASSES


@pytest.fixture(scope="module")
def run(browser, tmp_path_factory):
    return tiny_run.make(tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def served(run):
    started = Served(run)
    yield started
    started.kill()


@pytest.fixture
def own(browser, run, tmp_path):
    """A server of a run of its own, which a test may kill."""
    started = Served(shutil.copytree(run, tmp_path / "run"))
    yield started
    started.kill()


# Scrolls fast through a list, some times over, and returns each time's longest task (milliseconds).
SCROLLED = """async () => {
  const list = document.querySelector('.virtual'), longest = [];
  new PerformanceObserver(found => found.getEntries().forEach(
    each => { longest[longest.length - 1] = Math.max(longest.at(-1), each.duration); }
  )).observe({ entryTypes: ['longtask'] });
  for (let time = 0; time < 8; time += 1) {
    longest.push(0);
    for (let step = 0; step < 15; step += 1) {
      list.scrollTop += 2100;
      await new Promise(done => requestAnimationFrame(done));
    }
    await new Promise(done => setTimeout(done, 200));
  }
  return longest;
}"""


def first(visit: Visit, **query: str) -> tuple[str, str]:
    collection = visit.collection()["id"]
    return collection, visit.recordings(collection, **query)[0]["id"]


def said(url: str) -> tuple[str, frozenset[str]]:
    """Return what an address says; in which order it says it does not matter."""
    place, _, query = url.partition("?")
    return place, frozenset(query.split("&"))


def pick(visit: Visit, label: str, value: str) -> None:
    visit.page.get_by_label(label, exact=True).select_option(value)


# ---- overview and queue -------------------------------------------------------------------------------------------


def test_one_run_opens_at_its_overview_and_a_cell_leads_to_its_recordings(visit):
    page = visit.page
    page.wait_for_selector("table.confusion")
    assert page.locator("h1").inner_text() == "run"
    assert "by recording" in page.locator("table.classes caption").inner_text()
    cell = page.get_by_role("link", name=re.compile("predicted as")).first
    count = int(cell.inner_text())
    cell.click()
    page.wait_for_selector(".row a")
    assert page.locator("[role=grid]").get_attribute("aria-rowcount") == str(count)
    assert page.locator(".row .outcome.wrong").count() == count


def test_the_overview_s_numbers_lead_to_what_they_count(visit):
    page = visit.page
    told = visit.get(f"collections/{visit.collection()['id']}/overview")
    right, wrong = told["right"], told["recordings"] - told["right"]
    for name, count in (
        (f"{right} of {told['recordings']} recordings", right),
        (f"{right} right", right),
        (f"{wrong} misclassified", wrong),
    ):
        page.get_by_role("link", name=name, exact=True).click()
        page.wait_for_selector(".row a")
        assert page.locator("[role=grid]").get_attribute("aria-rowcount") == str(count)
        page.go_back()


def test_the_curves_of_the_training_are_the_history_s_own_numbers(visit):
    page, collection = visit.page, visit.collection()["id"]
    told = visit.get(f"collections/{collection}/overview")
    count = 120  # of which neighbours differ
    accuracy, loss = [0.25 + 0.5 * (place % 2) for place in range(count)], [1.25] + [0.5] * (count - 1)
    told["history"] |= {"iteration": list(range(count)), "train_accuracy": accuracy, "train_loss": loss}
    told["history"] |= {"validation_iteration": [], "validation_accuracy": [], "validation_loss": []}
    page.route("**/overview", lambda route: route.fulfill(json=told))
    visit.go(f"#/c/{collection}")
    page.locator(".chart").nth(1).wait_for()
    code = """place => {
      const chart = document.querySelectorAll('.chart')[place];
      const path = chart.querySelector('path.training').getAttribute('d');
      const lines = [...chart.querySelectorAll('line')].map(each => Number(each.getAttribute('y1')));
      const labels = [...chart.querySelectorAll('text')].slice(0, lines.length).map(each => each.textContent);
      return [labels, lines, [...path.matchAll(/[ML][0-9.]+ ([0-9.]+)/g)].map(each => Number(each[1]))];
    }"""
    for place, wanted in enumerate((accuracy, loss)):
        labels, lines, drawn = page.evaluate(code, place)
        ticks = [float(each.removesuffix(" %")) / (100 if each.endswith("%") else 1) for each in labels]
        values = np.interp(drawn, lines[::-1], ticks[::-1])  # as one reads them off the ticks
        np.testing.assert_allclose(values, wanted, atol=0.005)


def test_of_hundreds_of_classes_the_commonest_confusions_are_named(visit):
    names, counts = [f"kind {number}" for number in range(70)], [[0] * 70 for _ in range(70)]
    counts[3][5], counts[5][3], counts[7][7] = 4, 9, 90

    def answer(route):
        found = route.fetch().json()
        route.fulfill(json={**found, "confusion": {"classes": names, "files": counts, "segments": counts}})

    visit.page.route("**/overview", answer)
    visit.go(f"#/c/{visit.collection()['id']}")
    listed = visit.page.locator(".plain-list li")
    listed.first.wait_for()
    assert listed.all_inner_texts() == ["kind 5 \N{RIGHTWARDS ARROW} kind 3 9", "kind 3 \N{RIGHTWARDS ARROW} kind 5 4"]


def test_names_are_text_and_nothing_else(visit):
    visit.go(f"#/c/{visit.collection()['id']}/q")
    visit.page.wait_for_selector(".row a")
    assert tiny_run.EVIL in visit.page.locator(".cell-name").all_inner_texts()
    assert visit.page.locator("main script, main b:not([class]):has-text('>')").count() == 0
    visit.page.locator(".cell-name a", has_text="alert(1)").click()
    visit.ready()
    assert visit.page.locator("h1").inner_text() == tiny_run.EVIL
    assert visit.page.evaluate("document.scripts.length") == 1


def test_a_long_name_keeps_its_end_in_the_queue(visit):
    names = [f"crackling_fire/crackling_fire of the second session take-{number}.wav" for number in range(13)]

    def answer(route):
        found = route.fetch().json()
        for row, name in zip(found["items"], names, strict=True):
            row["name"] = name
        route.fulfill(json=found)

    visit.page.set_viewport_size({"width": 1280, "height": 800})
    visit.page.route("**/recordings?*", answer)
    visit.go(f"#/c/{visit.collection()['id']}/q")
    link = visit.page.get_by_role("link", name=names[3]).first
    link.wait_for()
    code = """link => {
      const cell = link.closest('.cell-name').getBoundingClientRect(), text = link.querySelector('bdi').lastChild;
      const range = document.createRange();
      range.selectNodeContents(text);
      const end = range.getBoundingClientRect();
      return [text.textContent, end.left > cell.left && end.right <= cell.right && end.bottom <= cell.bottom + 1];
    }"""
    end, seen = link.evaluate(code)
    assert seen
    assert names[3].endswith(end)
    assert "take-3.wav" in end
    assert link.inner_text() == names[3]


def test_decisions_by_keyboard_alone(browser, own):
    visit = Visit(browser, own)
    page = visit.page
    collection = visit.collection()["id"]
    visit.go(f"#/c/{collection}/q")
    page.wait_for_selector(".row a")
    names = page.locator(".cell-name").all_inner_texts()
    page.keyboard.press("2")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("4")
    page.keyboard.press("1")
    page.keyboard.press("u")  # takes the last one back, and returns to it
    page.keyboard.press("s")
    page.keyboard.press("3")
    visit.reviewed(collection, {names[0]: "wrong label", names[2]: "interesting", names[4]: "unsure"})
    page.keyboard.press("Space")  # hears it
    page.locator(".preview .play", has_text="Stop").wait_for()
    page.locator(".preview .play", has_text="Play").wait_for()  # two seconds later it has ended
    page.keyboard.press("/")
    page.keyboard.type("hiss/1")
    page.keyboard.press("Enter")
    visit.until("document.querySelectorAll('.row a').length === 1")
    page.keyboard.press("Enter")
    visit.ready()
    assert page.locator("h1").inner_text() == "hiss/1.wav"
    page.keyboard.press("q")
    page.wait_for_selector(".row a")
    assert "text=hiss" in page.url
    visit.close()


def test_decisions_by_mouse(browser, own):
    visit = Visit(browser, own)
    page = visit.page
    collection = visit.collection()["id"]
    visit.go(f"#/c/{collection}/q?show=wrong")
    page.wait_for_selector(".row a")
    page.locator(".row").nth(0).click(position={"x": 40, "y": 20})
    wanted = page.locator(".preview h2").inner_text()
    page.locator(".preview").get_by_role("button", name="Interesting").click()
    page.locator(".row .decided").wait_for()
    page.get_by_role("link", name=wanted).first.click()
    visit.ready()
    pressed = page.locator(".decision[aria-pressed=true]")
    assert "Interesting" in pressed.inner_text()
    page.get_by_label("Your note").fill("heard twice, <b>really</b>")
    page.get_by_label("Your note").press("Enter")
    visit.reviewed(collection, {wanted: "heard twice, <b>really</b>"}, "note")
    assert "heard twice, <b>really</b>" in told(own, visit)
    visit.close()


def test_tabs_agree_without_a_reload_and_leave_what_is_typed(visit):
    page, other = visit.page, visit.context.new_page()
    collection, recording = first(visit)
    # The server keeps nothing: other tests begin with a run that nobody decided about.
    found = {"id": "1", "title": "a hum", "note": "", "edits": [], "map": None, "before": [], "after": [], "at": ""}
    visit.context.route("**/review", lambda route: route.fulfill(json={}))
    visit.context.route(re.compile("/findings(/|$)"), lambda route: route.fulfill(json=found))
    for each in (page, other):
        each.goto(f"{visit.served.base}/#/c/{collection}/r/{recording}?tab=what-if")
    note, title = other.get_by_label("Your note"), other.get_by_label("Title")
    note.fill("half a sen")
    title.fill("also half")
    page.locator(".stage").focus()
    page.keyboard.press("1")
    page.keyboard.press("3")
    other.locator(".decision[aria-pressed=true]", has_text="Unsure").wait_for()
    page.get_by_label("Title").fill("a hum")
    page.get_by_label("Title").press("Enter")
    other.locator(".findings li", has_text="a hum").wait_for()
    assert (note.input_value(), title.input_value()) == ("half a sen", "also half")
    other.get_by_role("button", name="Interesting").click()
    page.locator(".decision[aria-pressed=true]", has_text="Interesting").wait_for()
    page.locator(".stage").focus()
    page.keyboard.press("u")  # what was decided here is no longer the last
    page.get_by_role("button", name="Delete finding").click()
    other.locator(".findings li").wait_for(state="detached")
    assert "Interesting" in page.locator(".decision[aria-pressed=true]").inner_text()
    other.close()


def test_a_decision_is_of_one_run_alone(visit):
    """Two runs of the same recordings call these the same."""
    visit.page.route("**/review", lambda route: route.fulfill(json={"decision": "unsure", "note": "", "at": ""}))
    code = """() => import('./reviews.js').then(({ review, reviewOf }) => {
      review('first', { id: 'r', name: 'n' }, 'unsure');
      return ['first', 'second'].map(each => reviewOf(each, { id: 'r' })?.decision ?? null);
    })"""
    assert visit.page.evaluate(code) == ["unsure", None]
    visit.until("localStorage['earwitness.outbox'] === '[]'")


def test_going_through_the_unreviewed_leaves_none_out(browser, own):
    visit = Visit(browser, own)
    page = visit.page
    collection = visit.collection()["id"]
    total = len(visit.recordings(collection))
    visit.go(f"#/c/{collection}/q?show=unreviewed")
    page.wait_for_selector(".row a")
    page.keyboard.press("Enter")
    seen = []
    for _ in range(total):
        visit.ready()
        seen.append(page.locator("h1").inner_text())
        page.keyboard.press("1")
        if len(seen) < total:
            visit.until(f"document.querySelector('h1')?.textContent !== {json.dumps(seen[-1])}")
    assert len(set(seen)) == total
    visit.until("localStorage['earwitness.outbox'] === '[]'")
    assert not visit.recordings(collection, show="unreviewed")
    visit.close()


def test_a_reload_among_the_unreviewed_leaves_none_out(browser, own):
    """The list is shorter by what was decided: the place in it is another."""
    visit = Visit(browser, own)
    page = visit.page
    collection = visit.collection()["id"]
    names = [row["name"] for row in visit.recordings(collection)]
    visit.go(f"#/c/{collection}/q?show=unreviewed")
    page.wait_for_selector(".row a")
    for key in "123":
        page.keyboard.press(key)
        page.wait_for_timeout(100)
    visit.reviewed(collection, dict(zip(names, ("correct", "wrong label", "unsure"), strict=False)))
    page.wait_for_timeout(500)
    page.reload()
    page.wait_for_selector(".row a")
    page.locator(".preview h2", has_text=names[3]).wait_for()
    page.keyboard.press("Enter")
    visit.ready()
    assert page.locator("h1").inner_text() == names[3]
    page.keyboard.press("1")
    page.locator("h1", has_text=names[4]).wait_for()
    page.reload()
    visit.ready()
    page.keyboard.press("j")
    page.locator("h1", has_text=names[5]).wait_for()
    page.keyboard.press("k")
    page.locator("h1", has_text=names[4]).wait_for()
    page.keyboard.press("1")
    page.locator("h1", has_text=names[5]).wait_for()
    page.keyboard.press("q")
    page.locator(".preview h2", has_text=names[5]).wait_for()
    visit.close()


def test_what_was_decided_moves_no_other_recording(visit):
    """The server's list of the unreviewed becomes shorter while its later parts are not fetched yet."""
    page = visit.page
    collection = visit.collection()["id"]
    row = visit.recordings(collection)[0]
    everything = [{**row, "id": f"{place:016x}", "name": f"night/{place:03d}.wav"} for place in range(260)]
    decided = set()

    def answer(route):
        query = dict(re.findall(r"[?&](\w+)=([^&]*)", route.request.url))
        left = [each for each in everything if each["id"] not in decided]
        start = int(query["offset"])
        route.fulfill(json={"total": len(left), "offset": start, "items": left[start : start + 200]})

    def decide(route):
        decided.add(route.request.url.split("/")[-2])
        route.fulfill(json={"decision": "unsure", "note": "", "at": "2026-01-01T00:00:00Z"})

    page.route("**/recordings?*", answer)
    page.route("**/review", decide)
    page.route("**/thumbnail*", lambda route: route.continue_(url=re.sub("[0-9a-f]{16}", row["id"], route.request.url)))
    visit.go(f"#/c/{collection}/q?show=unreviewed")
    page.wait_for_selector(".row a")
    for place in range(5):
        page.keyboard.press("3")
        page.locator(".preview h2", has_text=f"{place + 1:03d}").wait_for()
    for _ in range(100):
        page.wait_for_timeout(50)
        if len(decided) == 5:
            break
    page.evaluate("document.querySelector('.virtual').scrollTop = 198 * 52")
    page.get_by_role("link", name="night/203.wav").wait_for()
    names = page.locator(".cell-name").all_inner_texts()
    first = int(names[0][6:9])
    assert sorted(names) == [f"night/{first + place:03d}.wav" for place in range(len(names))]
    assert "260 of" in page.locator("[role=status]").first.inner_text()


def test_five_thousand_recordings_stay_smooth(visit):
    page = visit.page
    collection = visit.collection()["id"]
    row = visit.recordings(collection)[0]

    def answer(route):
        query = dict(re.findall(r"[?&](\w+)=([^&]*)", route.request.url))
        start = int(query["offset"])
        items = [{**row, "name": f"night/{place:05d}.wav"} for place in range(start, min(5000, start + 200))]
        route.fulfill(json={"total": 5000, "offset": start, "items": items})

    page.route("**/recordings?*", answer)
    visit.go(f"#/c/{collection}/q")
    page.wait_for_selector(".row a")
    assert page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") < 1000
    # What others do on this machine holds a page up as well, but not each time.
    assert min(page.evaluate(SCROLLED)) < 100
    assert page.locator(".row").count() < 60
    page.locator(".virtual").focus()
    page.keyboard.press("End")
    page.get_by_role("link", name="night/04999.wav").first.wait_for()
    assert page.locator(".row[aria-selected=true]").get_attribute("aria-rowindex") == "5000"


@pytest.fixture
def folder(browser, run):
    """A server of recordings that nobody has scored yet."""
    started = Served("--model", run, run.parent / "data")
    yield started
    started.kill()


def test_a_folder_is_scored_while_its_page_is_looked_at(browser, folder):
    visit = Visit(browser, folder)
    total = len(visit.recordings(visit.collection()["id"]))
    visit.page.locator(".lead", has_text=re.compile(rf": {total}; scored by .*: {total}\.")).wait_for()
    assert visit.page.locator("table.classes th[scope=col]").all_inner_texts() == ["Class\n\u25b2", "Predicted"]
    visit.close()


@pytest.mark.parametrize("labelled", [True, False])
def test_without_labels_nothing_about_right_and_wrong_is_offered(visit, labelled):
    collection = visit.collection()
    assert collection["labelled"]

    def answer(route):
        route.fulfill(json={"version": "0", "collections": [{**collection, "labelled": labelled}]})

    visit.page.route("**/api/session", answer)
    visit.go(f"#/c/{collection['id']}/q?show=wrong&label={quote(LOW)}&sort=surest-wrong")
    visit.page.wait_for_selector(".row a")
    offered = visit.page.locator(".filters option").all_inner_texts() + visit.page.locator(".heads").all_inner_texts()
    for words in ("Misclassified", "Predicted right", "Surest and wrong", "Label"):
        assert any(words in each for each in offered) == labelled
    assert (visit.page.get_by_label("Label", exact=True).count() == 1) == labelled
    total = len(visit.recordings(collection["id"]))
    assert (visit.page.locator("[role=grid]").get_attribute("aria-rowcount") == str(total)) != labelled


@pytest.mark.parametrize("end", ["done", "cancelled"])
def test_a_recording_that_takes_long_is_looked_at_while_it_is_scored(visit, end):
    collection, recording = first(visit)
    page, job = visit.page, {"id": "0" * 16, "title": "Scoring", "doing": "Scoring segments", "done": 1200, "ahead": 0}
    job |= {"total": 4800, "state": "running", "result": None, "error": None}

    def answer(route):
        found = route.fetch().json()
        none = {"count": 0, "start_seconds": [], "length_seconds": found["segments"]["length_seconds"]}
        asked = {"seconds": None, "scores": [], "maps": [], "segments": none, "scoring": job}
        route.fulfill(json={**found, **asked} if job["state"] == "running" else found)

    def cancel(route):
        job["state"] = "cancelled" if route.request.method == "DELETE" else job["state"]
        route.fulfill(json=job)

    page.route(re.compile(f"/recordings/{recording}$"), answer)
    page.route("**/api/jobs/*", cancel)
    page.route("**/api/jobs/*/events", lambda route: route.fulfill(body="", content_type="text/event-stream"))
    page.goto(f"{visit.served.base}/#/c/{collection}/r/{recording}")
    visit.ready()
    assert "1,200 of 4,800" in page.locator(".scoring").inner_text()
    assert page.locator(".curve-lane, [role=tab]").first.is_hidden()
    assert page.locator(".time").inner_text() == "0.00 s / 2.00 s"
    if end == "cancelled":
        page.locator(".scoring").get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Score it").click()
    job["state"] = "done"
    page.get_by_role("tab", name="Evidence").wait_for()
    visit.ready()
    assert page.locator(".curve-lane").is_visible()
    assert page.locator(".stage").count() == 1


# ---- one recording ------------------------------------------------------------------------------------------------


def test_why_was_it_misclassified_by_mouse(visit):
    collection, recording = first(visit, show="wrong")
    visit.open(collection, recording)
    page = visit.page
    page.get_by_role("button", name=re.compile("Explain with")).click()
    page.locator(".verdict-card").wait_for()
    assert page.locator(".map-text").inner_text().startswith(("Evidence", "The evidence", "Nothing"))
    assert page.locator(".picture").get_attribute("aria-describedby") == page.locator(".map-text").get_attribute("id")
    label = next(row["label"] for row in visit.recordings(collection) if row["id"] == recording)
    pick(visit, "rather than", label)
    page.locator(".map-head", has_text="rather than").wait_for()
    assert page.locator(".track").count() == 2
    found = visit.get(f"collections/{collection}/recordings/{recording}")
    assert {each["against"] for each in found["maps"]} == {None, label}


def test_why_was_it_misclassified_by_keyboard(visit):
    collection, recording = first(visit, show="wrong")
    visit.open(collection, recording)
    page = visit.page
    page.keyboard.press("e")
    assert page.evaluate("document.activeElement.textContent") == "Evidence"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.labels[0].textContent") == "Method"
    page.keyboard.type("Occlusion")
    page.locator(".map-head", has_text="Occlusion").wait_for()
    curve = page.get_by_role("slider", name=re.compile("Segment"))
    curve.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert curve.get_attribute("aria-valuenow") == "2"
    page.get_by_role("button", name="Explain this segment").focus()
    page.keyboard.press("Enter")
    visit.until("!document.querySelector('.state button')")
    start = visit.get(f"collections/{collection}/recordings/{recording}")["segments"]["start_seconds"][1]
    assert page.locator(".facts dd").first.inner_text().startswith(f"{start:.2f}"[:3])


def test_what_is_drawn_changes_the_scores(visit):
    collection, recording = first(visit, text="low/0")
    visit.open(collection, recording, "?tab=what-if")
    page = visit.page
    box = page.locator(".picture").bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 0.55 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.99 * box["width"], box["y"] + 0.99 * box["height"], steps=12)
    page.wait_for_selector(".changes tbody tr")  # while it is drawn
    page.mouse.up()
    page.get_by_text("Now predicted").wait_for()
    page.wait_for_url("**edits=box_**")
    (whole,) = page.locator(".changes caption").all_inner_texts()
    assert whole.startswith("All of the recording")
    page.get_by_role("slider", name=re.compile("Segment")).focus()
    page.keyboard.press("Home")  # a segment is chosen: then its scores are told beside the recording's
    page.locator(".changes caption", has_text="The chosen segment, 0.00").wait_for()
    assert page.locator(".changes caption").count() == 2
    page.get_by_role("button", name="Undo", exact=True).click()
    visit.until("!document.querySelector('.changes tbody')")
    page.get_by_role("button", name="Redo", exact=True).click()
    page.get_by_text("Now predicted").wait_for()
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + 300, box["y"] + 60)
    page.mouse.down()
    for x, y in ((400, 60), (400, 160), (300, 160), (300, 70)):
        page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    page.locator(".edits li", has_text="lasso").wait_for()


def test_a_change_is_that_of_the_shown_numbers(visit):
    """0.126 is shown as 0.13 and 0.134 as 0.13; by itself their difference would be 0.01."""
    code = "pairs => import('./format.js').then(({ change }) => pairs.map(each => change(...each)))"
    pairs = [[0.126, 0.134], [0.124, 0.126], [0.999, 0.504], [0.5, 0.4949], [0.3, 0.001]]
    wanted = ["\u00b1 0.00", "+0.01", "\u22120.50", "\u22120.01", "\u22120.30"]
    assert visit.page.evaluate(code, pairs) == wanted


def test_a_box_by_its_numbers_is_kept_as_a_finding(browser, own):
    visit = Visit(browser, own)
    collection, recording = first(visit, text="low/0")
    visit.open(collection, recording)
    page = visit.page
    page.keyboard.press("w")
    for label, value in (("Start (s)", "0"), ("End (s)", "2"), ("Low (Hz)", "125"), ("High (Hz)", "1500")):
        page.get_by_label(label).focus()
        page.keyboard.press("Control+a")
        page.keyboard.type(value)
    page.keyboard.press("Enter")
    page.get_by_text("Now predicted").wait_for()
    page.get_by_label("Title").focus()
    page.keyboard.type("It needs the <low> tone")
    page.keyboard.press("Enter")
    page.locator(".findings li", has_text="It needs the <low> tone").wait_for()
    page.wait_for_url("**edits=box_0_2_125_1500_hide**")
    page.reload()
    visit.ready()
    page.get_by_text("Now predicted").wait_for()  # the address restores the edit
    assert page.locator(".findings li").count() == 1
    assert "It needs the <low> tone" in told(own, visit)
    visit.close()


def test_an_empty_box_is_refused_in_words(visit):
    collection, recording = first(visit)
    visit.open(collection, recording, "?tab=what-if")
    visit.page.get_by_label("End (s)").fill("0")
    visit.page.get_by_role("button", name="Add box").click()
    assert "the end lies after the start" in visit.page.locator(".what-if [role=alert]").first.inner_text()
    assert visit.page.locator(".edits li").count() == 0


def test_a_reload_restores_the_view(visit):
    collection, recording = first(visit, show="wrong")
    visit.open(collection, recording)
    page = visit.page
    pick(visit, "Method", "occlusion")
    page.locator(".verdict-card").wait_for()
    box = page.locator(".picture").bounding_box()
    page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 50)
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 50)
    page.mouse.wheel(0, -700)
    page.get_by_role("tab", name="Facts").click()
    span, place, address = visit.span(), page.locator(".time").inner_text(), said(page.url)
    assert 0 < span[0] < span[1] < 2
    page.reload()
    visit.ready()
    page.wait_for_timeout(500)
    assert said(page.url) == address
    assert (visit.span(), page.locator(".time").inner_text()) == (span, place)
    assert page.get_by_role("tab", name="Facts").get_attribute("aria-selected") == "true"
    page.get_by_role("tab", name="Evidence").click()
    assert "Occlusion" in page.locator(".map-head").inner_text()


def test_what_is_computed_can_be_cancelled(visit):
    collection, recording = first(visit, text="hiss/1")
    visit.open(collection, recording)
    page = visit.page
    pick(visit, "Method", "kernelshap")
    page.locator(".state progress").wait_for()
    page.locator(".state").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name=re.compile("Explain with Kernel")).wait_for()
    page.locator("#jobs").wait_for(state="hidden")
    assert not visit.get(f"collections/{collection}/recordings/{recording}")["maps"]


def test_two_fingers_zoom_and_one_moves(browser, served):
    visit = Visit(browser, served, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    collection, recording = first(visit)
    visit.open(collection, recording)
    visit.page.locator(".picture").scroll_into_view_if_needed()
    box = visit.page.locator(".picture").bounding_box()
    middle, y = box["x"] + box["width"] / 2, box["y"] + 60
    fingers = visit.context.new_cdp_session(visit.page)
    visit.page.get_by_role("button", name="What fingers do").click()  # nothing of keys and Shift is told here
    assert "two fingers" in visit.page.get_by_role("dialog").inner_text()
    assert "Space" not in visit.page.get_by_role("dialog").inner_text()
    visit.page.get_by_role("button", name="Close").click()
    assert visit.page.locator("kbd:visible").count() == 0

    def touch(kind: str, *places: float) -> None:
        points = [{"x": x, "y": y, "id": number} for number, x in enumerate(places)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", middle - 30)
    touch("touchStart", middle - 30, middle + 30)
    for apart in (40, 60, 80, 100):
        touch("touchMove", middle - apart, middle + apart)
    touch("touchEnd")
    start, end = visit.span()
    assert end - start == pytest.approx(2 * 30 / 100, rel=0.25)
    touch("touchStart", middle)
    for by in (20, 40, 60):
        touch("touchMove", middle - by)
    touch("touchEnd")
    assert visit.span()[0] > start
    visit.page.get_by_role("tab", name="What if").click()
    words = visit.page.locator(".what-if .quiet").first.inner_text()
    assert "finger" in words
    assert "shift" not in words.lower()
    visit.close()


# ---- classes, comparison, files of one's own ----------------------------------------------------------------------


def test_a_class_and_a_confusion_lead_to_their_segments(visit):
    collection = visit.collection()
    page = visit.page
    visit.go(f"#/c/{collection['id']}/k/2")
    page.wait_for_selector(".segments li")
    assert page.locator("h1").inner_text() == LOW
    segments = visit.get(f"collections/{collection['id']}/classes/2")["metrics"]["segments_right"]
    card = page.locator(".figure-card", has_text="Segments predicted right")
    assert card.locator("b").inner_text() == f"{100 * segments:.1f} %"
    page.get_by_role("button", name=re.compile("^Hear")).first.click()
    page.get_by_role("button", name=re.compile("^Hear")).first.wait_for()
    page.locator(".segments a").first.click()
    visit.ready()
    assert "at=" in page.url
    (row,) = visit.recordings(collection["id"], show="wrong")[:1]
    label, predicted = (collection["classes"].index(row[key]) for key in ("label", "predicted"))
    visit.go(f"#/c/{collection['id']}/x/{label}/{predicted}")
    page.wait_for_selector("h1 bdi")
    assert page.locator("h1").inner_text() == f"{row['label']} predicted as {row['predicted']}"
    assert row["name"] in page.locator(".segments a").all_inner_texts()


def test_a_cell_that_counts_segments_leads_to_segments(visit):
    """A recording that is predicted right may hold segments that are not."""
    collection = visit.collection()["id"]
    counted = visit.get(f"collections/{collection}/overview")["confusion"]
    label, predicted = next(
        (row, column)
        for row, counts in enumerate(counted["segments"])
        for column, count in enumerate(counts)
        if row != column and count
    )
    page, names = visit.page, counted["classes"]
    visit.go(f"#/c/{collection}")
    page.get_by_role("button", name="Which are misclassified?").click()
    assert page.get_by_label("segments", exact=True).is_checked()
    page.get_by_role("link", name=f"of {names[label]} predicted as {names[predicted]}").click()
    section = page.locator("section", has=page.get_by_role("heading", name="Segments, the surest of each recording"))
    told = section.locator("li").first.inner_text()
    assert f"\u2717 {names[label]} \u2192 {names[predicted]} at " in told
    assert f"{counted['segments'][label][predicted]} segment" in page.locator(".lead").inner_text()


def test_two_methods_beside_each_other_in_step(visit):
    collection, recording = first(visit, text="hiss/0")
    visit.go(f"#/compare?a={collection}/{recording}&b={collection}")
    page = visit.page
    page.locator(".side").nth(1).wait_for()
    page.keyboard.press("Space")
    page.wait_for_timeout(700)
    places = page.evaluate("[...document.querySelectorAll('.cursor')].map(each => each.style.transform)")
    assert len(places) == 2
    assert places[0] == places[1] != "translateX(0px)"
    page.keyboard.press("+")
    spans = page.evaluate("[...document.querySelectorAll('.times')].map(each => each.textContent)")
    assert spans[0] == spans[1]


def test_from_a_comparison_one_comes_back_to_where_one_was(visit):
    collection, recording = first(visit, show="wrong")
    visit.open(collection, recording, "?from=show%3Dwrong&i=0&tab=facts")
    page = visit.page
    box = page.locator(".picture").bounding_box()
    page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 50)
    page.wait_for_url("**p=*")
    before = said(page.url)
    page.get_by_role("link", name="Compare", exact=True).click()
    page.get_by_role("button", name="Swap").click()
    page.wait_for_load_state("networkidle")
    page.get_by_role("link", name="Back to the recording").click()
    visit.ready()
    assert said(page.url) == before
    visit.go(f"#/compare?a={collection}/{recording}&back=%2F%2Felsewhere.example")
    page.get_by_role("link", name="Back to the recording").click()
    page.wait_for_url(f"**/#/c/{collection}/r/{recording}*")


def test_two_methods_are_compared_on_one_class(visit):
    collection, recording = first(visit, text="hiss/0")
    visit.go(f"#/compare?a={collection}/{recording}&b={collection}&am=gradcam&at={quote(LOW, safe='')}")
    page = visit.page
    page.locator(".side").nth(0).locator(".map-head").wait_for()
    page.locator(".side").nth(1).locator(".map-head").wait_for()
    heads = page.locator(".map-head h2").all_inner_texts()
    assert len(set(heads)) == 2
    assert all(each.endswith(f"for {LOW}") for each in heads)
    # Two maps of different strengths have no one scale in numbers.
    visit.until("document.querySelector('.bar-numbers').textContent.includes('strongest')")


def test_a_file_that_is_dropped_is_asked_about(visit, tmp_path):
    path = live_page.placed_tone(tmp_path / "mine <1>.wav")
    collection, recording = visit.upload(path)
    found = visit.get(f"collections/{collection}/recordings/{recording}")
    assert visit.page.locator("h1").inner_text() == found["name"]
    assert found["label"] is None
    drop = """async () => {
      const bytes = await fetch('/api/collections/' + location.hash.split('/')[2] + '/recordings/'
        + location.hash.split('/')[4].split('?')[0] + '/sound').then(answer => answer.blob());
      const data = new DataTransfer();
      data.items.add(new File([bytes], 'dropped.wav'));
      for (const type of ['dragover', 'drop'])
        window.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    visit.page.evaluate(drop)
    visit.page.locator("h1", has_text="dropped.wav").wait_for()


def test_what_is_no_sound_is_refused_in_words(visit, tmp_path):
    path = tmp_path / "text.wav"
    path.write_text("no sound at all", encoding="utf-8")
    with visit.page.expect_file_chooser() as chooser:
        visit.page.get_by_role("button", name="Ask of a file").click()
    chooser.value.set_files(path)
    visit.page.locator("#drop .failure", has_text="text.wav").wait_for()
    visit.faults.clear()  # the browser itself notes the refusal


# ---- a server that is gone ----------------------------------------------------------------------------------------


def test_no_decision_is_lost_while_the_server_is_gone(browser, own, run):
    visit = Visit(browser, own)
    page = visit.page
    collection = visit.collection()["id"]
    visit.go(f"#/c/{collection}/q")
    page.wait_for_selector(".row a")
    page.wait_for_load_state("networkidle")
    names = page.locator(".cell-name").all_inner_texts()
    own.kill()
    page.keyboard.press("4")
    page.keyboard.press("2")
    page.locator("#banner", has_text="does not answer").wait_for()
    assert "2 decisions are kept" in page.locator("#banner").inner_text()
    again = Served(own.process.args[4], port=own.port)
    try:
        page.locator("#banner", has_text="was started again").wait_for()
        other = visit.context.new_page()
        other.goto(again.address)  # the address that it printed brings the new key
        page.locator("#banner").wait_for(state="hidden")
        visit.until("localStorage['earwitness.outbox'] === '[]'")
        visit.reviewed(collection, {names[0]: "interesting", names[1]: "wrong label"})
        page.keyboard.press("u")
        visit.reviewed(collection, {names[0]: "interesting"})
    finally:
        again.kill()
        visit.context.close()
