"""Time the live page as a person waits for it, and draw the pictures of ``docs/live-page.md``; both in Chromium.

``python tools/page.py RUN ...`` prints for each run, over some boxes that are drawn by mouse on a recording, how long
it takes from mouse-up until the scores stand there, and how long until the overview and the queue are painted.
``python tools/page.py RUN --pictures docs/images`` draws the pictures instead, of the misclassified recording that the
run is surest of. The run is shown from a copy, so that its own folder stays as it is.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from earwitness.core.processor import features
from live_page import Served, Visit, chromium

BOXES = 20
COLOURS = 160
WIDE, NARROW = (1440, 900), (390, 844)
# Notes when the mouse goes up, and when a number of the table of changes is drawn for the last time after it.
WATCH = """() => {
  window.waited = { up: NaN, drawn: NaN };
  addEventListener('pointerup', () => { waited.up = performance.now(); waited.drawn = NaN; }, true);
  new MutationObserver(found => {
    if (found.some(each => each.target.closest?.('.changes') || each.target.parentElement?.closest('.changes')
        || [...each.addedNodes].some(node => node.querySelector?.('.changes') || node.matches?.('.changes')))) {
      requestAnimationFrame(() => { waited.drawn = performance.now(); });
    }
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def main(arguments: Sequence[str] | None = None) -> None:
    """Time, or draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    wanted = parser.parse_args(arguments)
    if not wanted.pictures:
        print(f"{os.cpu_count()} cores, {', '.join(features()) or 'no vector features known'}")
        print(f"{'run':24} {'what if: median':>16} {'longest':>8} {'overview':>9} {'queue':>7}   (ms)")
    with chromium() as browser, tempfile.TemporaryDirectory() as folder:
        for run in wanted.runs:
            served = Served(Path(shutil.copytree(run, Path(folder) / run.name)))
            try:
                if wanted.pictures:
                    draw(browser, served, wanted.pictures)
                else:
                    print(f"{run.name:24} {times(browser, served)}", flush=True)
            finally:
                served.kill()


def times(browser: Any, served: Served) -> str:
    """Return a run's figures, as a line of the table."""
    visit = Visit(browser, served)
    page, collection = visit.page, visit.collection()["id"]
    painted = []
    for place in ("", "/q"):
        visit.go(f"#/c/{collection}{place}")
        page.wait_for_selector("table.confusion" if not place else ".row a")
        painted.append(page.evaluate(PAINTED))
    visit.open(collection, visit.recordings(collection)[0]["id"], "?tab=what-if")
    page.evaluate(WATCH)
    waited = []
    for number in range(BOXES + 1):
        left, top = 0.1 + 0.6 * number / BOXES, 0.2 + 0.5 * (number % 5) / 5
        drag(page, left, top, left + 0.15, top + 0.2)
        visit.until("waited.drawn > waited.up")
        page.wait_for_timeout(500)  # what was asked while the mouse moved may have been shown first
        found = page.evaluate("[waited.up, waited.drawn]")
        waited.append(found[1] - found[0])
        page.get_by_role("button", name="Reset", exact=True).click()
    visit.close()
    waited = waited[1:]  # the first one reads the recording
    return f"{statistics.median(waited):16.0f} {max(waited):8.0f} {painted[0]:9.0f} {painted[1]:7.0f}"


def draw(browser: Any, served: Served, folder: Path) -> None:
    """Draw each view, wide and light, and those that one opens first narrow and dark."""
    for name in ("wide", "narrow"):
        size = WIDE if name == "wide" else NARROW
        scheme = "light" if name == "wide" else "dark"
        window = {"width": size[0], "height": size[1]}
        visit = Visit(browser, served, viewport=window, color_scheme=scheme)
        for view, address in views(visit, all_of_them=name == "wide").items():
            visit.go(address)
            visit.page.wait_for_load_state("networkidle")
            visit.page.wait_for_timeout(1500)
            if view == "what-if":
                drag(visit.page, 0.7, 0.25, 0.84, 0.6)  # within the explained segment
                visit.page.wait_for_timeout(1500)
            keep(visit.page.screenshot(), folder / f"page-{view}{'' if name == 'wide' else '-dark'}.png")
        visit.close()


def views(visit: Visit, *, all_of_them: bool) -> dict[str, str]:
    """Return the addresses of the views, of the misclassified recording that the run is surest of."""
    collection = visit.collection()["id"]
    wrong = visit.recordings(collection, show="wrong", sort="surest-wrong")[0]["id"]
    first = {
        "overview": f"#/c/{collection}",
        "queue": f"#/c/{collection}/q?show=wrong",
        "recording": f"#/c/{collection}/r/{wrong}",
    }
    more = {
        "listen": f"#/c/{collection}/r/{wrong}?tab=listen",
        "what-if": f"#/c/{collection}/r/{wrong}?tab=what-if",
        "class": f"#/c/{collection}/k/0",
    }
    return first | (more if all_of_them else {})


def drag(page: Any, left: float, top: float, right: float, bottom: float) -> None:
    """Draw a box on the log-mel by mouse; where, in shares of its width and height."""
    box = page.locator(".picture").bounding_box()
    page.mouse.move(box["x"] + left * box["width"], box["y"] + top * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + right * box["width"], box["y"] + bottom * box["height"], steps=6)
    page.mouse.up()


def keep(picture: bytes, path: Path) -> None:
    """Write a picture in few colours, small enough for a repository."""
    few = Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()
