"""A server on 127.0.0.1 that can misbehave in every way we have a word for, and what tests of downloads share."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from earwitness.core import download
from earwitness.core.errors import EarwitnessError

HASTY = download.Patience(attempts=3, connect_seconds=5.0, stall_seconds=10.0, pause_seconds=0.001)
BODY = bytes(np.random.default_rng(0).integers(0, 256, 50_000, dtype=np.uint8))
LIMIT = 1 << 20


class Handler(BaseHTTPRequestHandler):
    """One request: do what stands first in the script, else serve the body properly."""

    server: Site

    def do_GET(self) -> None:
        self.server.log.append((self.path, dict(self.headers.items())))
        act = self.server.script.pop(0) if self.server.script else serve
        with contextlib.suppress(ConnectionError):
            act(self, self.server.bodies.get(self.path.partition("?")[0], b""))

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


Act = Callable[[Handler, bytes], None]


class Site(ThreadingHTTPServer):
    """The server, its bodies, its script and its log of requests."""

    daemon_threads = False  # so that closing waits for the threads and no socket is left

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.closing = threading.Event()
        self.reset()

    def reset(self) -> None:
        self.bodies: dict[str, bytes] = {"/file": BODY}
        self.script: list[Act] = []
        self.log: list[tuple[str, dict[str, str]]] = []

    def url(self, path: str = "/file") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    @property
    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.log]


@cache
def etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def serve(handler: Handler, body: bytes, stop: int | None = None) -> None:
    """Serve as a good server does, ranges included; ``stop`` cuts the connection after so many bytes."""
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    start = int(asked[1]) if asked and handler.headers.get("If-Range", etag(body)) == etag(body) else 0
    if start and start >= len(body):
        return handler.head(416, Content_Range=f"bytes */{len(body)}", Content_Length=0)
    rest = body[start:]
    if start:
        span = f"bytes {start}-{len(body) - 1}/{len(body)}"
        handler.head(206, Content_Length=len(rest), Content_Range=span, ETag=etag(body))
    else:
        handler.head(200, Content_Length=len(rest), ETag=etag(body))
    handler.wfile.write(rest[:stop])
    return None


def cut(after: int) -> Act:
    return lambda handler, body: serve(handler, body, after)


def without_ranges(handler: Handler, body: bytes) -> None:
    handler.head(200, Content_Length=len(body))
    handler.wfile.write(body)


def chunked(handler: Handler, body: bytes, last: bytes = b"0\r\n\r\n") -> None:
    handler.protocol_version = "HTTP/1.1"
    handler.close_connection = True
    handler.head(200, Transfer_Encoding="chunked", ETag='W/"weak"', Connection="close")
    for start in range(0, len(body), 9000):
        block = body[start : start + 9000]
        handler.wfile.write(f"{len(block):x}\r\n".encode() + block + b"\r\n")
    handler.wfile.write(last)


def stall(after: int) -> Act:
    def act(handler: Handler, body: bytes) -> None:
        serve(handler, body, after)
        handler.server.closing.wait(1.0)

    return act


def slowly(handler: Handler, body: bytes) -> None:
    """Take longer in all than the stall limit, but never pause for so long."""
    handler.head(200, Content_Length=len(body))
    for start in range(0, len(body), 8000):
        handler.wfile.write(body[start : start + 8000])
        time.sleep(0.08)


def answer(status: int) -> Act:
    return lambda handler, body: handler.head(status, Content_Length=0)


def redirect(to: str) -> Act:
    return lambda handler, body: handler.head(302, Location=to, Content_Length=0)


@pytest.fixture(name="_site", scope="module")
def running_site_fixture() -> Iterator[Site]:
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        site.closing.set()
        site.shutdown()
        thread.join()


@pytest.fixture(name="site")
def site_fixture(_site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    _site.reset()
    return _site


@pytest.fixture(name="home")
def home_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no shared folder, and a working directory whose parent has none."""
    work = tmp_path / "work" / "here"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    monkeypatch.delenv("EARWITNESS_SHARED", raising=False)
    monkeypatch.setenv("EARWITNESS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def one_line(caught: pytest.ExceptionInfo[EarwitnessError]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    return message


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
