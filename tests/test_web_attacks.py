"""Attacks on the live page: the real server, as `earwitness serve` starts it, over a real socket."""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import soundfile

import tiny_run
from earwitness.core.files import write_json
from earwitness.plots.gallery import INDEX, KINDS, Entry
from earwitness.web.exchange import SECURITY_HEADERS
from earwitness.web.table import ENDPOINTS, EVENTS_PATH

HELD = "click/0.wav"
JSON = {"Content-Type": "application/json"}
SECRET = "root of all evil"  # what lies in the file that nobody may get at
EDIT = {"shape": "box", "start": 0.2, "end": 0.6, "low": 100, "high": 3000}


@dataclass
class Server:
    """A running server, its temporary folder, and a client that is let in."""

    process: subprocess.Popen
    port: int
    token: str
    folder: Path
    client: httpx.Client

    @property
    def cookie(self) -> str:
        return f"earwitness-{self.port}={self.token}"

    def head(self, line: str, *more: str, cookie: bool = True) -> bytes:
        own = [f"Host: 127.0.0.1:{self.port}", f"Origin: http://127.0.0.1:{self.port}"]
        own += [f"Cookie: {self.cookie}"] if cookie else []
        return "\r\n".join([line, *own, *more, "", ""]).encode("utf-8")

    def say(self, data: bytes) -> bytes:
        """Send bytes as they are, and return all that comes until the connection ends."""
        said = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as stream:
            try:
                stream.sendall(data)
                while piece := stream.recv(1 << 16):
                    said += piece
            except (ConnectionResetError, BrokenPipeError):
                pass
        return said

    def collection(self) -> str:
        return self.client.get("/api/session").json()["collections"][0]["id"]

    def recording(self, name: str) -> str:
        """Return the address of a recording."""
        base = f"/api/collections/{self.collection()}/recordings"
        (row,) = [row for row in self.client.get(base).json()["items"] if row["name"] == name]
        return f"{base}/{row['id']}"

    def facts(self) -> dict[str, int]:
        """Return how many threads and files the process has, and how many MB it takes."""
        if not Path("/proc/self/status").exists():
            pytest.skip("this system does not tell what a process takes")
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        numbers = {name: int(re.search(rf"{name}:\s*(\d+)", status)[1]) for name in ("Threads", "VmRSS", "VmHWM")}
        files = len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))
        return {
            "threads": numbers["Threads"],
            "files": files,
            "mb": numbers["VmRSS"] // 1024,
            "peak": numbers["VmHWM"] // 1024,
        }


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Server]:
    """Start the server as a user does; in the end interrupt it as a user does."""
    (temporary := folder / "tmp").mkdir(exist_ok=True)
    own = {"TMPDIR": str(temporary), "EARWITNESS_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    place = {**os.environ, **own}
    command = [sys.executable, "-m", "earwitness", "serve", *arguments, "--no-open", "--device", "cpu"]
    with (folder / "terminal.txt").open("w") as terminal:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal, text=True, env=place)
    try:
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", line):
                break
        else:
            raise AssertionError((folder / "terminal.txt").read_text())
        port, token = int(found[1]), found[2]
        own = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=own, headers={"Origin": own}, timeout=60) as client:
            assert client.get("/", params={"token": token}).status_code == 303
            yield Server(process, port, token, temporary, client)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
            assert "interrupted" not in (folder / "terminal.txt").read_text()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return tiny_run.make(tmp_path_factory.mktemp("attacked"))


@pytest.fixture(scope="module")
def start(run) -> Iterator[Callable[[], Server]]:
    with ExitStack() as stack:
        yield lambda: stack.enter_context(serving(run.parent, str(run)))


@pytest.fixture(scope="module")
def started() -> list[Server]:
    return []


@pytest.fixture
def server(start, started) -> Server:
    """The one server of these tests; another where one was killed."""
    if not started or started[-1].process.poll() is not None:
        started.append(start())
    return started[-1]


def line_of(answer: httpx.Response, *statuses: int) -> str:
    """Return the line of a refusal, which is all of it, with the headers of every answer."""
    assert answer.status_code in statuses, (answer.status_code, answer.text)
    for name, value in SECURITY_HEADERS:
        assert answer.headers[name.decode()] == value.decode()
    assert answer.headers["content-type"] == "application/json"
    assert "server" not in answer.headers
    body = answer.json()
    assert list(body) == ["error"]
    assert "\n" not in body["error"]
    for leak in ("Traceback", "site-packages", SECRET, "this should not have happened"):
        assert leak not in answer.text
    return body["error"]


# ---- strangers -------------------------------------------------------------------------------------------------------

EVERY = [(each.method, each.path) for each in ENDPOINTS]
EVERY += [("GET", path) for path in (EVENTS_PATH, "/api/openapi.json", "/", "/main.js")]


def test_strangers_are_told_nothing_of_any_address(server):
    host = f"127.0.0.1:{server.port}"
    own = {"Host": host, "Cookie": server.cookie, "Origin": f"http://{host}", **JSON}
    wrong = {
        403: [
            {"Host": "evil.example"},
            {"Host": f"evil.example:{server.port}"},
            {"Host": "127.0.0.1"},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": f"http://localhost:{server.port}"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ],
        401: [{"Cookie": ""}, {"Cookie": f"earwitness-{server.port}=wrong"}, {"Cookie": "earwitness=" + server.token}],
    }
    with httpx.Client(base_url=f"http://{host}") as stranger:
        for method, path in EVERY:
            where = re.sub(r"{\w+}", "0123456789", path)
            for status, changes in wrong.items():
                for change in changes:
                    line_of(stranger.request(method, where, headers={**own, **change}), status)
        for token in ("", "wrong", server.token[:-1], server.token + "x"):
            line_of(stranger.get("/", params={"token": token}), 401)
        assert stranger.cookies == {}


def test_the_page_that_the_token_opens(server):
    entered = httpx.get(f"http://127.0.0.1:{server.port}/", params={"token": server.token})
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert entered.headers["set-cookie"].endswith("; Path=/; HttpOnly; SameSite=Strict")
    page = server.client.get("/")
    assert page.status_code == 200
    assert server.token not in page.text
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|javascript:", page.text)
    for name, value in SECURITY_HEADERS:
        assert page.headers[name.decode()] == value.decode()


def test_what_is_no_http_is_refused_like_all_else(server):
    for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", b"GET / HTTP/1.1\r\nno header\r\n\r\n"):
        said = server.say(nonsense)
        assert said.startswith(b"HTTP/1.1 400 ")
        assert b"\r\nx-content-type-options: nosniff\r\n" in said
        assert list(json.loads(said.partition(b"\r\n\r\n")[2])) == ["error"]
    upgrade = (
        "Connection: Upgrade, close",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: eA==",
    )
    assert not server.say(server.head("GET / HTTP/1.1", *upgrade)).startswith(b"HTTP/1.1 101")
    long = server.head("GET / HTTP/1.1", "X: " + "y" * 100_000, "Connection: close")
    assert server.say(long).split()[1] in (b"400", b"431")


# ---- paths -----------------------------------------------------------------------------------------------------------

SPELLINGS = [
    "../../../../../../etc/passwd",
    "..",
    ".",
    "%2e%2e/%2e%2e/etc/passwd",
    "%2E%2E%2Fetc%2Fpasswd",
    "..%2f..%2fetc%2fpasswd",
    "%252e%252e%252fetc%252fpasswd",
    "..%5c..%5cetc%5cpasswd",
    "..%00/etc/passwd",
    "%00",
    "x%00.png",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "//etc/passwd",
    "....//....//etc/passwd",
    "..;/etc/passwd",
    "%c0%ae%c0%ae/etc/passwd",
    "%uff0e%uff0e/etc/passwd",
    "%ef%bc%8e%ef%bc%8e/etc/passwd",
    "file:///etc/passwd",
    "C:%5cwindows%5cwin.ini",
    "~root/.bashrc",
    ".hidden",
    "guard.py",
    "index.html/../../guard.py",
    "__init__.py",
    "a" * 5000,
]


def test_no_spelling_leads_out(server):
    base = f"/api/collections/{server.collection()}"
    folders = ["/", "/page/", "/api/", "/api/figures/", "/api/sounds/", "/api/jobs/", f"{base}/", f"{base}/recordings/"]
    folders += [f"{base}/classes/", "/api/maps/"]
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as stream, stream.makefile("rb") as answers:
        for folder in folders:
            for spelling in SPELLINGS:
                stream.sendall(server.head(f"GET {folder}{spelling} HTTP/1.1"))
                status = int(answers.readline().split()[1])
                headers = dict(line.lower().split(b": ", 1) for line in iter(answers.readline, b"\r\n"))
                body = answers.read(int(headers[b"content-length"]))
                assert status in (404, 405), (folder, spelling, status, body)
                assert json.loads(body)["error"]
    for raw in ("/..\\..\\etc\\passwd", "/\x00", "/x y", "/caf\xe9"):
        assert server.say(server.head(f"GET {raw} HTTP/1.1", "Connection: close")).split()[1] in (b"400", b"404")
    for raw in ("http://127.0.0.1/etc/passwd", "*", "etc/passwd"):
        assert server.say(server.head(f"GET {raw} HTTP/1.1", "Connection: close")).split()[1] in (b"400", b"404")


def test_links_out_of_the_run_are_not_followed(server, run):
    (outside := run.parent / "outside.png").write_text(SECRET)
    (figures := run / "figures").mkdir(exist_ok=True)
    base = f"/api/collections/{server.collection()}"

    def refused(file: str) -> str:
        entry = Entry(name="x", kind=KINDS[0], title="x", question="x", file=file, reading="x", alt="x")
        write_json(figures / INDEX, [asdict(entry)])
        overview = server.client.get(f"{base}/overview")
        if overview.status_code != 200:
            return line_of(overview, 422)
        (figure,) = overview.json()["figures"]
        return line_of(server.client.get(f"/api/figures/{figure['id']}"), 404)

    try:
        (figures / "link.png").symlink_to(outside)
        (figures / "folder.png").mkdir()
        for file in ("link.png", "folder.png", "gone.png", ".."):
            assert refused(file).startswith("no such figure")
        for file in ("../../outside.png", str(outside)):
            assert "is damaged" in refused(file)
        (run / "report.html").symlink_to(outside)
        assert "no report" in line_of(server.client.get(f"{base}/report"), 404)
        (run / "attributions").mkdir(exist_ok=True)
        (run / "attributions" / "link.npz").symlink_to(outside)
        assert server.client.get(server.recording(HELD)).json()["maps"] == []
    finally:
        for path in (figures, run / "attributions"):
            shutil.rmtree(path, ignore_errors=True)
        (run / "report.html").unlink(missing_ok=True)


# ---- numbers ---------------------------------------------------------------------------------------------------------

NO_NUMBERS = ["NaN", "nan", "inf", "-inf", "Infinity", "1e999", "-1", "-1e-9", "0x10", "1_000", "\u0661", "9" * 400]
NO_NUMBERS += ["", " ", "1 ", "1,5", "true", "null", "[]", "{}", "1e", "--1", "1;2", "%00", "\ud7ff"]


def test_numbers_in_queries(server):
    where = server.recording(HELD)
    base = f"/api/collections/{server.collection()}"
    for text in NO_NUMBERS:
        for path, name in (
            (f"{where}/log-mel", "start"),
            (f"{where}/log-mel", "end"),
            (f"{where}/log-mel", "columns"),
            (f"{where}/waveform", "start"),
            (f"{where}/waveform", "columns"),
            (f"{base}/recordings", "offset"),
            (f"{base}/recordings", "limit"),
        ):
            answer = server.client.get(path, params={name: text})
            if (name, text) not in (("end", "null"),):  # which says: to the end
                assert line_of(answer, 400), (path, name, text)
    for path in (f"{where}/log-mel", f"{where}/waveform"):
        for query in ("start=5&end=1", "start=1&end=1", "columns=0", "columns=9999999", "start=1&start=2", "nothing=1"):
            assert line_of(server.client.get(f"{path}?{query}"), 400)
        for query in ("start=-0", "start=-0.0", "start=1e6", "start=1.999", "columns=1", "end=1e6", "start=1e-300"):
            assert server.client.get(f"{path}?{query}").status_code == 200, query
    for query in ("limit=0", "limit=1001", "offset=1.5", "show=everything", "sort=id", "text=" + "x" * 301):
        assert line_of(server.client.get(f"{base}/recordings?{query}"), 400)
    assert server.client.get(f"{base}/recordings?offset=999999999").json()["items"] == []


def test_bodies_that_do_not_fit(server):
    where = server.recording(HELD)
    numbers = [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1",
        '"1"',
        "true",
        "null",
        "[]",
        "{}",
        "1e",
        "01",
        "+1",
        "9" * 400,
    ]
    bodies = {
        "what-if": [
            *(f'{{"edits": [{{"shape": "box", "start": {n}, "end": 1, "low": 0, "high": 9}}]}}' for n in numbers),
            *(f'{{"edits": [{{"shape": "box", "start": 0, "end": 1, "low": 0, "high": {n}}}]}}' for n in numbers),
            *(f'{{"edits": [{{"shape": "lasso", "points": [[0, 1], [1, {n}], [1, 2]]}}]}}' for n in numbers),
            '{"edits": [{"shape": "box", "start": 0, "end": 1, "low": 0, "high": 9, "decibels": 99}]}',
            '{"edits": [{"shape": "circle"}]}',
            '{"edits": [{"shape": "lasso", "points": []}]}',
            '{"edits": [' + ", ".join([json.dumps(EDIT)] * 51) + "]}",
            '{"edits": [], "start": 5, "end": 1}',
            '{"edits": [], "sound": "yes"}',
        ],
        "maps": [
            '{"method": 1}',
            '{"method": ""}',
            '{"method": "nothing"}',
            '{"method": "lime:samples=1e999"}',
            '{"method": "lime:samples=-1"}',
            '{"method": "lime:samples=99999999999"}',
            '{"method": "lime:samples=30000000"}',
            '{"method": "lime:grid=4000x4000"}',
            '{"method": "smoothgrad:samples=1000000000"}',
            '{"method": "lime:__class__=1"}',
            '{"method": "../../etc/passwd"}',
            '{"method": "lime", "target": "no such class"}',
            '{"method": "lime", "at": 1e6}',
            '{"method": "lime", "at": -1}',
        ],
        "listen": ['{"map": "0000"}', '{"map": "../x"}', '{"map": "x", "keep": 0}', '{"map": "x", "keep": NaN}'],
        "findings": ['{"title": ""}', '{"title": "' + "x" * 301 + '"}', '{"title": "x", "edits": {}}'],
    }
    anything = ["", "{", "[]", "null", "1", '"x"', "\x00", '{"x": 1}', "[" * 50_000, '{"edits": ' + "[" * 50_000]
    for name, own in bodies.items():
        for body in (*own, *anything):
            answer = server.client.post(f"{where}/{name}", content=body.encode(), headers=JSON)
            assert line_of(answer, 400, 404), (name, body[:80])
    for body in (*anything, '{"decision": "maybe"}', '{"decision": 1}', '{"decision": "", "note": 1}'):
        assert line_of(server.client.put(f"{where}/review", content=body.encode(), headers=JSON), 400)
    for body in (b"\xff\xfe", b'{"decision": "\xff"}', b'{"decision": "\\ud800"}', b'\xef\xbb\xbf{"decision": ""}'):
        assert line_of(server.client.put(f"{where}/review", content=body, headers=JSON), 400)


def test_texts_come_back_as_they_are(server):
    where = server.recording(HELD)
    for note in (
        "<script>alert(1)</script>",
        "=cmd|' /C calc'!A0",
        "\u202etxt.exe",
        "\x00\x1b[31m",
        "'; DROP TABLE decisions",
    ):
        put = server.client.put(f"{where}/review", json={"decision": "unsure", "note": note})
        assert put.json()["note"] == note
        assert server.client.get(where).json()["review"]["note"] == note
        assert put.headers["content-type"] == "application/json"
        made = server.client.post(f"{where}/findings", json={"title": note, "note": note})
        assert made.json()["title"] == note
        assert server.client.delete(f"/api/findings/{made.json()['id']}").status_code == 200
        assert line_of(server.client.delete(f"/api/findings/{made.json()['id']}"), 404)
        server.client.delete(f"{where}/review")
    long = server.client.put(f"{where}/review", json={"decision": "", "note": "x" * 10_001})
    assert line_of(long, 400)


# ---- much at once ----------------------------------------------------------------------------------------------------


def test_ranges(server):
    where = f"{server.recording(HELD)}/sound"
    whole = server.client.get(where).content
    part = server.client.get(where, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole[100:200])
    for bomb in ("bytes=" + ",".join(f"{n}-" for n in range(2000)), "bytes=0-,0-,0-", "bytes=" + "0" * 9000 + "-"):
        assert line_of(server.client.get(where, headers={"Range": bomb}), 416)
    for odd in ("bytes=-", "bytes=9-1", "bytes=a-b", "lines=0-1", "bytes=0-" + "9" * 100):
        answer = server.client.get(where, headers={"Range": odd})
        assert (answer.status_code, len(answer.content)) == (200, len(whole)), odd
    assert line_of(server.client.get(where, headers={"Range": "bytes=99999999-"}), 416)
    assert server.client.get(where, headers={"Range": "bytes=-99999999"}).content == whole


def test_bodies_too_large(server):
    where = server.recording(HELD)
    big = json.dumps({"edits": [], "x": "y" * 1_100_000}).encode()
    assert "1 MB" in line_of(server.client.post(f"{where}/what-if", content=big, headers=JSON), 413)
    told = ("Content-Type: application/json", "Content-Length: 99999999999")
    assert b" 413 " in server.say(server.head(f"POST {where}/what-if HTTP/1.1", *told))
    assert b" 413 " in server.say(server.head("POST /api/uploads HTTP/1.1", "Content-Length: 200000001"))
    chunks = b"".join(b"%x\r\n%s\r\n" % (50_000, bytes(50_000)) for _ in range(40))
    chunked = server.head(f"POST {where}/what-if HTTP/1.1", told[0], "Transfer-Encoding: chunked")
    assert b" 413 " in server.say(chunked + chunks)
    both = server.head(
        "POST /api/uploads HTTP/1.1", "Content-Length: 5", "Transfer-Encoding: chunked", "Connection: close"
    )
    assert (
        server.say(both + b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n").count(b"HTTP/1.1 ") == 1
    )  # no second request hides in it
    assert list(server.folder.glob("earwitness-uploads-*/*")) == []


# ---- files that are sent ---------------------------------------------------------------------------------------------


def send(server: Server, name: str, data: bytes) -> httpx.Response:
    head = {"X-File-Name": quote(name, safe=""), "Content-Type": "application/octet-stream"}
    return server.client.post("/api/uploads", content=data, headers=head)


def sound(kind: str, seconds: float, rate: int = 16_000, noise: float = 0.1) -> bytes:
    stream = io.BytesIO()
    block = noise * np.random.default_rng(1).standard_normal(rate).astype("float32")
    with soundfile.SoundFile(stream, "w", rate, 1, format=kind) as file:
        for start in range(0, int(seconds * rate), rate):
            file.write(block[: int(seconds * rate) - start])
    return stream.getvalue()


def constant_flac(frames: int, rate: int, channels: int) -> bytes:
    """A FLAC of constant blocks, some 30 bytes each, however many channels and samples they hold."""

    def crc(data: bytes, bits: int, polynomial: int) -> bytes:
        value, top = 0, 1 << (bits - 1)
        for byte in data:
            value ^= byte << (bits - 8)
            for _ in range(8):
                value = ((value << 1) ^ (polynomial if value & top else 0)) & (2 * top - 1)
        return value.to_bytes(bits // 8, "big")

    size, blocks = 65_535, -(-frames // 65_535)
    facts = (rate << 44) | ((channels - 1) << 41) | (15 << 36) | (size * blocks)
    parts = [b"fLaC\x80\x00\x00\x22", struct.pack(">HH6xQ16x", size, size, facts)]
    for number in range(blocks):
        head = b"\xff\xf8\x70" + bytes([(channels - 1) << 4]) + chr(number).encode("utf-8", "surrogatepass")
        head += struct.pack(">H", size - 1)
        block = head + crc(head, 8, 0x07) + struct.pack(">BH", 0, 1000 + number % 2) * channels
        parts.append(block + crc(block, 16, 0x8005))
    return b"".join(parts)


def header_of_hours() -> bytes:
    """A WAV of 144 bytes whose header promises 4 GB."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16)
    body = form + struct.pack("<4sI", b"data", 0xFFFFFF00) + bytes(100)
    return struct.pack("<4sI4s", b"RIFF", 0xFFFFFFF0, b"WAVE") + body


def zip_bomb() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.wav", bytes(50_000_000))
    return stream.getvalue()


TOO_MUCH = {  # these are sounds, and are refused for their length alone
    "hours.flac": "longer than 10 minutes",
    "a second of billions.flac": "more than 120 million samples",
    "eleven minutes.ogg": "longer than 10 minutes",
}


def bombs() -> dict[str, bytes]:
    good = sound("WAV", 1.0)
    flac = sound("FLAC", 1.0)
    return {
        "hours in a header.wav": header_of_hours(),
        "zip.wav": zip_bomb(),
        "zip.zip": zip_bomb(),
        "hours.flac": constant_flac(7200 * 16_000, 16_000, 1),
        "a second of billions.flac": constant_flac(400_000_000, 655_350, 8),
        "eleven minutes.ogg": sound("OGG", 660, rate=8000, noise=0.0001),
        "half.flac": flac[: len(flac) // 2],
        "half.wav": good[: len(good) // 2],
        "huge rate.wav": good[:24] + struct.pack("<I", 0xFFFFFFFF) + good[28:],
        "no rate.wav": good[:24] + bytes(4) + good[28:],
        "many channels.wav": good[:22] + struct.pack("<H", 65535) + good[24:],
        "total samples.flac": flac[:21] + b"\x0f\xff\xff\xff\xff" + flac[26:],
        "page.html": b"<script>alert(1)</script>",
        "page.wav": b"<script>alert(1)</script>",
        "list.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "list.wav": b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:1/x.ts\n",
        "concat.mp3": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "image.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "empty.wav": b"",
        "one byte.mp3": b"\xff",
        "noise.mp3": random.Random(1).randbytes(100_000),
        "noise.ogg": b"OggS" + random.Random(2).randbytes(100_000),
        "noise.flac": b"fLaC" + random.Random(3).randbytes(100_000),
        "noise.m4a": b"\x00\x00\x00\x20ftypM4A " + random.Random(4).randbytes(100_000),
        "noise.webm": b"\x1a\x45\xdf\xa3" + random.Random(5).randbytes(100_000),
        "boxes.m4a": b"\x00\x00\x00\x10ftypM4A \x00\x00\x00\x00" + b"\x00\x00\x00\x08moov" * 20_000,
    }


def test_bombs_are_refused_in_time_and_memory(server):
    assert send(server, "good.wav", sound("WAV", 1.0)).status_code == 200
    before = server.facts()
    for name, data in bombs().items():
        began = time.monotonic()
        line = line_of(send(server, name, data), 400, 422)
        assert name in line or Path(name).stem in line, line
        assert TOO_MUCH.get(name, "") in line, line
        assert time.monotonic() - began < 30, name
    after = server.facts()
    assert after["peak"] - before["mb"] < 400, (before, after)
    assert len(list(server.folder.glob("earwitness-uploads-*/*"))) == 1  # the good one


ODD_NAMES = [
    "../../../../tmp/out.wav",
    "/etc/out.wav",
    "..\\..\\out.wav",
    "<img src=x onerror=alert(1)>.wav",
    "\u202evaw.exe.wav",
    "a\x00b.wav",
    "a\r\nSet-Cookie: x=1.wav",
    "x" * 5000 + ".wav",
    ".wav",
    "..",
    "caf\u00e9 \N{SNOWMAN}.wav",
    "con.wav",
    "$(touch out).wav",
    "-rf.wav",
]


def test_names_of_files_are_shown_and_nothing_else(server):
    data = sound("WAV", 0.5)
    before = {path for path in server.folder.parent.rglob("*") if "earwitness-" not in str(path)}
    for name in ODD_NAMES:
        answer = send(server, name, data)
        if answer.status_code != 200:
            line_of(answer, 400, 422)
            continue
        told = answer.json()
        shown = server.client.get(f"/api/collections/{told['collection']}/recordings/{told['recording']}")
        assert shown.status_code == 200
        assert shown.json()["name"].isprintable()
        assert len(shown.json()["name"]) < 250
        assert shown.headers["content-type"] == "application/json"
        assert "set-cookie" not in answer.headers
    for raw in (b"%", b"%zz", b"%ff%fe.wav", b"\xff\xfe.wav"):
        head = [(b"X-File-Name", raw), (b"Content-Type", b"audio/wav")]
        assert server.client.post("/api/uploads", content=data, headers=head).status_code in (200, 400, 422)
    assert {path for path in server.folder.parent.rglob("*") if "earwitness-" not in str(path)} == before


# ---- many requests ---------------------------------------------------------------------------------------------------


def flood(server: Server, requests: int, lines: list[str]) -> set[int]:
    """Send requests over one connection, many at a time without waiting; return the statuses of the answers."""
    statuses, batch = set(), 100
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as stream, stream.makefile("rb") as answers:
        for start in range(0, requests, batch):
            stream.sendall(b"".join(server.head(lines[n % len(lines)]) for n in range(start, start + batch)))
            for _ in range(batch):
                statuses.add(int(answers.readline().split()[1]))
                headers = dict(line.lower().split(b": ", 1) for line in iter(answers.readline, b"\r\n"))
                answers.read(int(headers[b"content-length"]))
    return statuses


def test_ten_thousand_requests_leave_nothing_behind(server):
    where = server.recording(HELD)
    server.client.get(f"{where}/thumbnail")
    server.client.get(f"{where}/sound")
    lines = [
        f"GET {where}/thumbnail HTTP/1.1",
        f"GET {where}/sound HTTP/1.1",
        "GET / HTTP/1.1",
        "GET /api/session HTTP/1.1",
        "GET /api/nothing HTTP/1.1",
        "GET /api/jobs/0000000000000000 HTTP/1.1",
        f"GET {where}/log-mel?start=nan HTTP/1.1",
        "DELETE /api/findings/0000000000000000 HTTP/1.1",
        "DELETE /api/session HTTP/1.1",
        "GET /%2e%2e HTTP/1.1",
    ]
    flood(server, 500, lines)
    before = server.facts()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: flood(server, 2500, lines), range(4)))
    assert set.union(*found) == {200, 400, 404, 405}
    after = server.facts()
    assert after["threads"] <= before["threads"] + 40, (before, after)  # those of the pool, which stays as large
    assert after["files"] <= before["files"] + 10, (before, after)
    assert after["mb"] <= before["mb"] + 60, (before, after)


def test_connections_that_do_nothing_do_no_harm(server):
    """Silent ones, half headers, half bodies, answers that nobody reads: the page goes on for others."""
    where = server.recording(HELD)
    before = server.facts()
    begun = [
        b"",
        b"GET / HT",
        server.head(f"GET {where}/sound HTTP/1.1")[:-2],
        server.head("POST /api/uploads HTTP/1.1", "Content-Length: 1000"),
        server.head(f"PUT {where}/review HTTP/1.1", "Content-Type: application/json", "Content-Length: 50"),
        server.head(f"GET {where}/sound HTTP/1.1") * 50,
    ]
    held = []
    for number in range(60):
        stream = socket.create_connection(("127.0.0.1", server.port))
        stream.sendall(begun[number % len(begun)])
        held.append(stream)
    began = time.monotonic()
    for _ in range(20):
        assert server.client.get("/api/session").status_code == 200
    assert time.monotonic() - began < 3
    for stream in held:
        stream.close()
    deadline = time.monotonic() + 10
    while server.facts()["files"] > before["files"] + 10:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert list(server.folder.glob("earwitness-uploads-*/tmp*")) == []


def test_sounds_that_are_sent_at_once_are_kept_apart(server):
    sounds = [sound("WAV", 0.5 + 0.05 * number) for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda data: send(server, "same.wav", data), sounds))
    told = [answer.json() for answer in answers]
    assert len({each["collection"] for each in told}) == 1
    for data, each in zip(sounds, told, strict=True):
        played = server.client.get(f"/api/collections/{each['collection']}/recordings/{each['recording']}/sound")
        assert len(played.content) == len(data)


def test_two_tabs_do_not_know_of_each_other(server):
    """Each gets the answers to its own questions, though both ask at once."""
    names = [HELD, "low/1@home.wav"]
    where = [server.recording(name) for name in names]
    edits = [[{**EDIT, "start": 0.1 * n, "end": 0.1 * n + 0.4}] for n in range(4)]

    def ask(tab: int, number: int) -> tuple:
        answer = server.client.post(f"{where[tab]}/what-if", json={"edits": edits[number % 4]})
        assert answer.status_code == 200, answer.text
        told = answer.json()
        return told["segments"]["after"], told["before"], server.client.get(f"{where[tab]}/log-mel?columns=50").content

    alone = {(tab, number): ask(tab, number) for tab in range(2) for number in range(4)}

    def tab(number: int) -> None:
        for question in range(12):
            after, before, picture = ask(number, question)
            expected = alone[number, question % 4]
            np.testing.assert_allclose(after, expected[0], atol=1e-5)
            assert [each["class"] for each in before] == [each["class"] for each in expected[1]]
            assert picture == expected[2]
            put = server.client.put(
                f"{where[number]}/review", json={"decision": "unsure", "note": f"{number} {question}"}
            )
            assert put.status_code == 200
            assert server.client.get(where[number]).json()["review"]["note"] == f"{number} {question}"

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(tab, range(2)))


def test_storms_of_jobs_and_cancels(server):
    where = server.recording(HELD)
    before = server.facts()

    def begin(number: int) -> str:
        answer = server.client.post(f"{where}/maps", json={"method": f"lime:samples=4000,seed={number}"})
        assert answer.status_code == 202, answer.text
        return answer.json()["job"]["id"]

    def end(job: str) -> dict:
        for _ in range(2):  # a second time is no fault
            answer = server.client.delete(f"/api/jobs/{job}")
            assert answer.status_code == 200, answer.text
        told = server.client.get(f"/api/jobs/{job}/events").text
        return json.loads([line for line in told.splitlines() if line.startswith("data: ")][-1].removeprefix("data: "))

    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(begin, range(150)))
        watched = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(10)]
        for stream, job in zip(watched, jobs[-10:], strict=True):
            stream.sendall(server.head(f"GET /api/jobs/{job}/events HTTP/1.1"))
        for stream in watched:
            assert stream.recv(12) == b"HTTP/1.1 200"
            stream.close()  # a tab that goes away
        assert server.client.get("/api/session").elapsed.total_seconds() < 2
        ended = list(pool.map(end, jobs))
    assert {each["state"] for each in ended} <= {"cancelled", "done"}
    assert sum(each["state"] == "cancelled" for each in ended) > 140
    after = server.facts()
    assert after["threads"] <= before["threads"] + 40
    assert after["files"] <= before["files"] + 12, (before, after)
    made = server.client.post(f"{where}/maps", json={"method": "gradcam"})
    for job in jobs:  # all of them are remembered
        assert server.client.get(f"/api/jobs/{job}").status_code == 200
    told = server.client.get(f"/api/jobs/{made.json()['job']['id']}/events").text  # the worker still works
    assert '"state":"done"' in told
    assert (server.folder.parent / "terminal.txt").read_text() == ""


# ---- kills, and a folder of others -----------------------------------------------------------------------------------


def test_a_server_that_is_killed_loses_no_decision(server, start, started):
    where = server.recording(HELD)
    for number in range(5):
        note = {"decision": "correct", "note": str(number)}
        assert server.client.put(f"{where}/review", json=note).status_code == 200
    server.process.kill()
    server.process.wait()
    started.append(start())
    assert started[-1].token != server.token
    assert started[-1].client.get(where).json()["review"]["note"] == "4"
    assert started[-1].client.delete(f"{where}/review").json()["review"]["note"] == "3"


def test_a_folder_of_others(run, tmp_path):
    """Names that break pages, files that are none, links that lead out."""
    good = run.parent / "data" / HELD
    (data := tmp_path / "data").mkdir()
    names = [
        "<img src=x onerror=alert(1)>.wav",
        "\u202evaw.exe.wav",
        "a\nb.wav",
        "\x1b[31mred.wav",
        "=1+1.wav",
        "%2e%2e.wav",
    ]
    for name in names:
        shutil.copy(good, data / f"{name}.wav")
    (tmp_path / "secret.txt").write_text(SECRET)
    (data / "secret.wav").symlink_to(tmp_path / "secret.txt")
    (data / "passwd.wav").symlink_to("/etc/passwd")
    (data / "loop.wav").symlink_to(data / "loop.wav")
    os.mkfifo(data / "pipe.wav")
    with serving(tmp_path, str(data), "--model", str(run)) as server:
        base = f"/api/collections/{server.collection()}"
        rows = server.client.get(f"{base}/recordings").json()["items"]
        assert all(row["name"].isprintable() for row in rows)
        for row in rows:
            answer = server.client.get(f"{base}/recordings/{row['id']}")
            played = server.client.get(f"{base}/recordings/{row['id']}/sound")
            if row["name"] in ("secret.wav", "passwd.wav", "loop.wav", "pipe.wav"):
                line_of(answer, 422)
                line_of(played, 422)
            else:
                assert (answer.status_code, played.status_code) == (200, 200), answer.text
            put = server.client.put(
                f"{base}/recordings/{row['id']}/review", json={"decision": "unsure", "note": row["name"]}
            )
            assert put.status_code == 200, put.text
        for kind in ("csv", "raven", "audacity"):
            exported = server.client.get(f"{base}/export?format={kind}")
            assert exported.status_code == 200, exported.text
            assert exported.headers["content-disposition"].startswith("attachment;")
        assert b"\n=1+1" not in server.client.get(f"{base}/export?format=csv").content
