"""How each view of the live page looks and is read out: WCAG AA by axe, light and dark, from a telephone to 4K."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import tiny_run
from live_page import Served, Visit

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SIZES = {"wide": (1440, 900), "narrow": (360, 740)}
# Each view by its address; C is a collection, R a recording with a map, I and J classes.
VIEWS = {
    "start": "#/",
    "overview": "#/c/C",
    "queue": "#/c/C/q",
    "evidence": "#/c/C/r/R",
    "listen": "#/c/C/r/R?tab=listen",
    "what-if": "#/c/C/r/R?tab=what-if&edits=box_0.2_0.6_500_2000_hide~box_1_1.5_300_900_attenuate20",
    "facts": "#/c/C/r/R?tab=facts",
    "class": "#/c/C/k/1",
    "confusion": "#/c/C/x/2/1",
    "compare": "#/compare?a=C/R",
    "nowhere": "#/c/C/nothing",
}


# Controls that the tab key stops at; of radio buttons that belong together it stops at one.
STOPS = """[...document.querySelectorAll('a[href], button, select, input, textarea, summary, [tabindex="0"]')]
  .filter(each => each.checkVisibility() && !each.disabled && each.tabIndex >= 0)"""
NAMED = "each => (each.getAttribute('aria-label') ?? each.textContent).slice(0, 40)"
CONTROLS = f"""() => {{
  const all = {STOPS}, named = {NAMED};
  return all.map((each, place) => [place, named(each), each])
    .filter(([, , each]) => each.id !== 'skip' && (each.type !== 'radio' || each.checked))
    .map(([place, name]) => [place, name]);
}}"""
# Which of them has the focus, and whether an outline says so, its own or that of the box around it.
FOCUSED = f"""() => {{
  const it = document.activeElement, place = ({STOPS}).indexOf(it), named = {NAMED};
  const outlined = [it, it.closest('.listing, .sound-choice')].some(
    each => each && getComputedStyle(each).outlineStyle !== 'none');
  return [named(it), place < 0 ? null : place, outlined];
}}"""


@pytest.fixture(scope="module")
def axe() -> str:
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("axe-playwright-python is not installed: nobody looks for barriers")
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def served(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    run = tiny_run.make(folder)
    started = Served(run)
    visit = Visit(browser, started)
    collection = visit.collection()["id"]
    started.place = (collection, visit.recordings(collection, show="wrong")[0]["id"])
    visit.open(*started.place)
    visit.page.get_by_role("button", name="Explain with").click()
    visit.page.locator(".verdict-card").wait_for()
    visit.close()
    yield started
    started.kill()


def shown(visit: Visit, view: str) -> None:
    collection, recording = visit.served.place
    visit.go(VIEWS[view].replace("C", collection).replace("R", recording))
    visit.page.wait_for_selector("main h1")
    visit.page.wait_for_load_state("networkidle")
    visit.page.wait_for_timeout(250)


@pytest.mark.parametrize(("scheme", "size"), [("light", "wide"), ("dark", "narrow")])
def test_no_view_has_barriers_or_runs_over(browser, served, axe, scheme, size):
    width, height = SIZES[size]
    visit = Visit(browser, served, color_scheme=scheme, viewport={"width": width, "height": height}, bypass_csp=True)
    found = {}
    for view in VIEWS:
        shown(visit, view)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width, view
        visit.page.evaluate(axe)
        code = (
            "rules => axe.run(document, { runOnly: rules }).then(found => found.violations.map("
            "each => [each.id, each.nodes[0].target[0], each.nodes[0].failureSummary]))"
        )
        if broken := visit.page.evaluate(code, RULES):
            found[view] = broken
    assert not found
    visit.close()


def test_the_keys_are_shown_and_the_focus_comes_back(browser, served):
    visit = Visit(browser, served)
    shown(visit, "queue")
    visit.page.keyboard.press("?")
    dialog = visit.page.get_by_role("dialog")
    assert "next recording" in dialog.inner_text()
    assert dialog.locator("h3").all_inner_texts() == ["Queue", "Everywhere", "Recording", "Compare"]
    assert "evidence, listen, what if, facts" in dialog.inner_text()  # all keys, those of the view first
    visit.page.keyboard.press("j")  # keys do not reach through the dialog
    assert visit.page.locator(".row[aria-selected=true]").get_attribute("aria-rowindex") == "1"
    visit.page.keyboard.press("Escape")
    visit.page.keyboard.press("j")
    assert visit.page.locator(".row[aria-selected=true]").get_attribute("aria-rowindex") == "2"
    visit.close()


@pytest.mark.parametrize("view", ["overview", "queue", "evidence", "what-if", "compare"])
def test_every_control_is_reached_by_tab_and_shows_its_focus(browser, served, view):
    visit = Visit(browser, served)
    shown(visit, view)
    visit.page.evaluate("document.getElementById('skip').focus()")
    reached = set()
    for _ in range(150):
        visit.page.keyboard.press("Tab")
        name, place, seen = visit.page.evaluate(FOCUSED)
        if place is None or place in reached:
            break
        assert seen, name
        reached.add(place)
    wanted = visit.page.evaluate(CONTROLS)
    assert len(wanted) > 10
    assert not [name for place, name in wanted if place not in reached]
    visit.close()


def test_the_theme_is_chosen_and_kept(browser, served):
    visit = Visit(browser, served, color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = visit.page.evaluate(ground)
    for _ in range(2):
        visit.page.get_by_role("button", name="Theme").click()
    dark = visit.page.evaluate(ground)
    assert dark != light
    visit.page.reload()
    visit.page.wait_for_selector("main h1")
    assert visit.page.evaluate(ground) == dark
    visit.close()
