"""The live page in a real browser: a served run, sounds whose content tells the time, and what a test reads off."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from earwitness.audio import decoding

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
)
RATE = 16_000
PLACED_HZ, PLACED_SECONDS, PLACED_LENGTH = 1000.0, 2.0, 0.2
CHIRP_LOW, CHIRP_SLOPE, CHIRP_SECONDS = 500.0, 500.0, 9.0  # hertz, hertz a second
# All that sounds goes through an analyser first, so that a test sees the very samples that are played.
HEARD = """
const Native = window.AudioContext;
window.AudioContext = class extends Native {
  constructor(...given) {
    super(...given);
    window.sounding = this;
    window.heard = new AnalyserNode(this, { fftSize: 2048 });
    window.heard.connect(super.destination);
  }
  get destination() { return window.heard ?? super.destination; }
};
"""


class Served:
    """A server in a process of its own, and the address that it printed."""

    def __init__(self, *places: Path | str, port: int = 0) -> None:
        command = [sys.executable, "-m", "earwitness", "serve", *map(str, places), "--no-open", "--port", str(port)]
        self.home = tempfile.TemporaryDirectory(prefix="earwitness-home-")  # what is kept of sounds that are sent
        environment = {**os.environ, "EARWITNESS_HOME": self.home.name}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        said: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said.append(line)
            found = re.search(r"http://\S+", line)
            if found:
                self.address = found[0]
                break
        else:
            raise AssertionError("".join(said))
        self.base = self.address.partition("/?")[0]
        self.port = int(self.base.rpartition(":")[2])

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.home.cleanup()


@contextmanager
def chromium() -> Iterator[Any]:
    """Start the system's Chromium, or skip saying why not."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: no page is tried")
    if BROWSER is None:
        pytest.skip("no Chromium here: no page is tried")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=FLAGS, env={**os.environ})
        yield browser
        browser.close()


class Visit:
    """One window on the page: what it shows, and what went wrong in it."""

    def __init__(self, browser: Any, served: Served, **settings: Any) -> None:
        self.served = served
        self.context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **settings})
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)
        self.page.on("dialog", lambda dialog: (self.faults.append(dialog.message), dialog.dismiss()))
        self.page.add_init_script(HEARD)
        self.page.goto(served.address)
        self.page.wait_for_selector("main h1")

    def get(self, path: str) -> Any:
        """Return what the server says under ``/api/``."""
        return self.page.evaluate("path => fetch('/api/' + path).then(answer => answer.json())", path)

    def array(self, path: str) -> tuple[np.ndarray, float, float]:
        """Return a binary array with the edges of its time."""
        code = """async path => {
          const answer = await fetch('/api/' + path), head = key => answer.headers.get(key);
          const shape = head('X-Shape').split(',').map(Number);
          return [shape, [...new Float32Array(await answer.arrayBuffer())],
            Number(head('X-Start-Seconds')), Number(head('X-End-Seconds'))];
        }"""
        shape, values, start, end = self.page.evaluate(code, path)
        return np.array(values, np.float32).reshape(shape), start, end

    def collection(self, place: int = 0) -> dict[str, Any]:
        """Return one of the collections that are open."""
        return self.get("session")["collections"][place]

    def recordings(self, collection: str, **query: str) -> list[dict[str, Any]]:
        """Return rows of a queue."""
        asked = "&".join(f"{key}={value}" for key, value in query.items())
        return self.get(f"collections/{collection}/recordings?{asked}")["items"]

    def reviewed(self, collection: str, wanted: dict[str, str], what: str = "decision") -> None:
        """Wait until these are the decisions (or notes) that the server has: it answers when they are on the disk."""
        for _ in range(200):
            found = {row["name"]: row["review"][what] for row in self.recordings(collection) if row["review"]}
            if found == wanted:
                return
            self.page.wait_for_timeout(50)
        assert found == wanted

    def go(self, address: str) -> None:
        """Open an address of the page anew, as a copied link does."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.served.base}/{address}")

    def open(self, collection: str, recording: str, query: str = "") -> None:
        """Open a recording and wait until its log-mel is drawn."""
        self.go(f"#/c/{collection}/r/{recording}{query}")
        self.ready()

    def ready(self) -> None:
        """Wait until the log-mel is drawn, at the fineness of the view."""
        self.page.wait_for_selector(".stage.ready")
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_timeout(150)

    def upload(self, path: Path) -> tuple[str, str]:
        """Hand the page a file, and return the collection and the recording that it became."""
        before = self.page.url
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Ask of a file").click()
        chooser.value.set_files(path)
        self.page.wait_for_url(lambda url: url != before and "/r/" in url)
        self.ready()
        found = re.search(r"#/c/([^/]+)/r/([^?]+)", self.page.url)
        assert found is not None
        return found[1], found[2]

    def until(self, code: str) -> None:
        """Wait until an expression holds (the page's policy forbids Playwright's own way of asking for it)."""
        for _ in range(200):
            if self.page.evaluate(code):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never: {code}")

    def span(self) -> tuple[float, float]:
        """Return the seconds in sight, from the address; all of it is (0, nan)."""
        self.page.wait_for_timeout(500)  # the address follows when the view has come to rest
        given = dict(re.findall(r"[?&](t0|t1)=([\d.]+)", self.page.url))
        return float(given.get("t0", 0.0)), float(given.get("t1", "nan"))

    def pixels(self, canvas: str) -> np.ndarray:
        """Return a canvas (rows from above, columns, RGBA)."""
        code = """selector => {
          const canvas = document.querySelector(selector);
          const image = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          let text = '';
          for (let at = 0; at < image.data.length; at += 30000)
            text += String.fromCharCode(...image.data.subarray(at, at + 30000));
          return [canvas.height, canvas.width, btoa(text)];
        }"""
        height, width, text = self.page.evaluate(code, canvas)
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)

    def cursor(self) -> float:
        """Return where the cursor is drawn, as a share of the lanes' width."""
        return self.page.evaluate(CURSOR)

    def close(self) -> None:
        """Close the window, and fail where anything went wrong in it."""
        self.context.close()
        assert not self.faults, self.faults


CURSOR = """() => {
  const cursor = document.querySelector('.cursor').getBoundingClientRect();
  const picture = document.querySelector('.picture').getBoundingClientRect();
  return ((cursor.left + cursor.right) / 2 - picture.left) / picture.width;
}"""


def placed_tone(path: Path) -> Path:
    """Write five seconds of faint noise with a tone of 1 kHz from 2.0 to 2.2 s."""
    seconds = np.arange(5 * RATE) / RATE
    noise = 1e-3 * np.random.default_rng(0).standard_normal(len(seconds))
    sounds = (seconds >= PLACED_SECONDS) & (seconds < PLACED_SECONDS + PLACED_LENGTH)
    decoding.write_wav(path, (noise + 0.4 * sounds * np.sin(2 * np.pi * PLACED_HZ * seconds)).astype(np.float32), RATE)
    return path


def chirp(path: Path) -> Path:
    """Write a tone that rises evenly: how high it is says when it sounds."""
    seconds = np.arange(int(CHIRP_SECONDS * RATE)) / RATE
    phase = 2 * np.pi * (CHIRP_LOW * seconds + CHIRP_SLOPE * seconds**2 / 2)
    decoding.write_wav(path, (0.4 * np.sin(phase)).astype(np.float32), RATE)
    return path


def highest(samples: list[float], rate: float) -> float:
    """Return the frequency (Hz) at which sound that was heard is strongest."""
    windowed = np.array(samples) * np.hanning(len(samples))
    power = np.abs(np.fft.rfft(windowed, 16 * len(samples)))
    return float(power.argmax() * rate / (16 * len(samples)))


def told(served: Served, visit: Visit) -> str:
    """Return decisions and findings as the server exports them."""
    path = f"/api/collections/{visit.collection()['id']}/export?format=csv"
    return json.loads(visit.page.evaluate("path => fetch(path).then(a => a.text()).then(JSON.stringify)", path))
