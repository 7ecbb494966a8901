"""Who is let in, what a request may hold, and what every answer says: the guard around a small application."""

from __future__ import annotations

import asyncio
import json
import select
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from earwitness.core.errors import UsageError
from earwitness.web import connection
from earwitness.web.connection import UVICORN
from earwitness.web.exchange import SECURITY_HEADERS
from earwitness.web.guard import Guard, Protection
from earwitness.web.serve import entrance

PROTECTION = Protection(port=8765, token="the-token-of-this-test")
OWN = "http://127.0.0.1:8765"
COOKIE = {"Cookie": f"{PROTECTION.cookie}={PROTECTION.token}"}
OURS = {**COOKIE, "Origin": OWN}
JSON = {"Content-Type": "application/json"}
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


async def echo(request: Request) -> Response:
    return JSONResponse({"bytes": len(await request.body()), "range": request.headers.get("range")})


async def fail(request: Request) -> Response:
    raise RuntimeError("a secret of the server")


async def fail_late(request: Request) -> Response:
    async def parts():
        yield b"one"
        raise RuntimeError("a secret of the server")

    return StreamingResponse(parts())


async def loose(request: Request) -> Response:
    headers = {"Access-Control-Allow-Origin": "*", "Content-Security-Policy": "x", "Server": "v1", "X-Powered-By": "y"}
    return PlainTextResponse("loose", headers={**headers, "Cache-Control": "public, max-age=9"})


async def refuse(request: Request) -> Response:
    return JSONResponse({"error": "nothing in the map speaks for its class"}, 409)


async def file(request: Request) -> Response:
    return FileResponse(__file__, media_type="text/x-python")


async def silent(scope, receive, send):
    """Answer nothing."""


APP = Starlette(
    routes=[
        Route("/", echo),
        Route("/page.js", echo),
        Route("/api/echo", echo, methods=["GET", "POST", "PUT", "DELETE"]),
        Route("/api/uploads", echo, methods=["POST"]),
        Route("/api/fail", fail),
        Route("/api/fail-late", fail_late),
        Route("/api/loose", loose),
        Route("/api/refuse", refuse),
        Route("/api/file", file),
    ]
)


def ask(
    path: str = "/api/echo",
    method: str = "GET",
    headers: dict[str, str] | list[tuple[str, str]] | None = None,
    content: object = None,
    protection: Protection = PROTECTION,
    app: object = APP,
    base: str = OWN,
) -> httpx.Response:
    """Send one request to the guarded application, without a network."""

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app=Guard(app, protection), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, headers=COOKIE if headers is None else headers, content=content)

    answer = asyncio.run(run())
    check_headers(answer)
    return answer


def check_headers(answer: httpx.Response) -> None:
    for name, value in SECURITY_HEADERS:
        assert answer.headers.get_list(name.decode()) == [value.decode()]
    assert answer.headers["cache-control"] in ("no-store", "no-cache")
    assert not {"server", "x-powered-by", "access-control-allow-origin"} & set(answer.headers)


def refusal(answer: httpx.Response, status: int) -> str:
    """Return the line of an error, which is all of the answer."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.count("\n") == 1
    body = answer.json()
    assert list(body) == ["error"]
    assert "Traceback" not in answer.text
    assert "secret" not in answer.text
    return body["error"]


# ---- who is let in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "[::1]:8765", "LOCALHOST:8765"])
def test_the_servers_own_names_are_hosts(host):
    assert ask(headers=[*COOKIE.items(), ("Host", host)]).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1:8765.evil.example",
        "localhost.evil.example:8765",
        "127.0.0.1:87650",
        "localhost.:8765",
        "user@127.0.0.1:8765",
        "127.0.0.2:8765",
        "0.0.0.0:8765",
        "2130706433:8765",
        "::1:8765",
        "",
    ],
)
def test_a_foreign_host_is_refused(host):
    """Also with the right token: a name that leads here (DNS rebinding) is no reason to answer."""
    assert "Host" in refusal(ask(headers=[*COOKIE.items(), ("Host", host)]), 403)
    assert "Host" in refusal(ask(f"/?token={PROTECTION.token}", headers=[("Host", host)]), 403)


def test_two_hosts_are_refused():
    both = [*COOKIE.items(), ("Host", "127.0.0.1:8765"), ("Host", "127.0.0.1:8765")]
    assert "Host" in refusal(ask(headers=both), 403)


def test_another_binding_names_its_hosts():
    wider = replace(PROTECTION, hosts=("Mybox.local", "fe80::1"))
    for name in ("mybox.local:8765", "[fe80::1]:8765", "127.0.0.1:8765"):
        assert ask(headers=[*COOKIE.items(), ("Host", name)], protection=wider).status_code == 200
    assert ask(headers=[*COOKIE.items(), ("Host", "otherbox:8765")], protection=wider).status_code == 403
    usual = Protection(port=80, token=PROTECTION.token)  # a browser leaves this port out
    cookie = {"Cookie": f"{usual.cookie}={usual.token}"}
    assert ask(headers=[*cookie.items(), ("Host", "localhost")], protection=usual).status_code == 200


def test_a_server_that_listens_everywhere_is_reached_by_any_address_and_by_no_others_name():
    wider = replace(PROTECTION, hosts=("mybox",), everywhere=True)
    for name in ("10.0.0.7:8765", "[2001:db8::7]:8765", "127.0.0.1:8765", "mybox:8765"):
        assert ask(headers=[*COOKIE.items(), ("Host", name)], protection=wider).status_code == 200
    foreign = ["10.0.0.7", "10.0.0.7:80", "10.0.0:8765", "2130706433:8765", "10.0.0.7.evil.example:8765"]
    for name in (*foreign, "[10.0.0.7]:8765", "otherbox:8765"):
        assert ask(headers=[*COOKIE.items(), ("Host", name)], protection=wider).status_code == 403
    assert ask(headers=[*COOKIE.items(), ("Host", "10.0.0.7:8765")]).status_code == 403
    assert replace(PROTECTION, port=80, everywhere=True).is_address("10.0.0.7")


def test_the_address_to_open_is_one_that_is_served():
    addresses = {
        "127.0.0.1": "127.0.0.1",
        "localhost": "127.0.0.1",
        "::1": "[::1]",
        "fe80::7": "[fe80::7]",
        "box": "box",
    }
    for host, shown in (addresses | {"box": "box"}).items():
        protection, address = entrance(host, 8765)
        assert address == f"http://{shown}:8765/?token={protection.token}"
        assert f"{shown}:8765" in protection.authorities
        assert not protection.everywhere
    for host in ("", "0.0.0.0", "::"):
        protection, address = entrance(host, 8765)
        named = address.removeprefix("http://").partition("/")[0]
        assert protection.is_address(named) or named in protection.authorities
        assert not named.startswith("0.0.0.0")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "https://127.0.0.1:8765",
        "http://127.0.0.1",
        "http://127.0.0.1:8766",
        "http://localhost:8765",  # the page of 127.0.0.1 is another than that of localhost
        "http://127.0.0.1:8765.evil.example",
        "file://",
        "",
    ],
)
def test_a_foreign_origin_is_refused(method, origin):
    headers = {**COOKIE, **JSON, "Origin": origin}
    assert "Origin" in refusal(ask(method=method, headers=headers, content=b"{}"), 403)


def test_two_origins_are_refused():
    assert "Origin" in refusal(ask(headers=[*COOKIE.items(), ("Origin", OWN), ("Origin", "http://evil.example")]), 403)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "nonsense"])
def test_what_another_page_asks_is_refused(site):
    says = {"Sec-Fetch-Site": site}
    assert refusal(ask(method="DELETE", headers={**COOKIE, **says}), 403)
    assert refusal(ask(method="PUT", headers={**OURS, **JSON, **says}, content=b"{}"), 403)
    if site != "none":  # what somebody types into the address line comes from no page
        assert refusal(ask(headers={**COOKIE, **says}), 403)
        assert refusal(ask(headers={**COOKIE, **LINK, **says}), 403)  # a link leads to the page alone


def test_what_changes_something_says_which_page_asks():
    assert "missing" in refusal(ask(method="POST", headers={**COOKIE, **JSON}, content=b"{}"), 403)
    for says in ({"Origin": OWN}, {"Sec-Fetch-Site": "same-origin"}):
        assert ask(method="POST", headers={**COOKIE, **JSON, **says}, content=b"{}").json()["bytes"] == 2
        assert ask(method="DELETE", headers={**COOKIE, **says}).status_code == 200
    assert ask(headers=COOKIE).status_code == 200


def test_an_origins_preflight_is_refused():
    asks = {"Origin": "http://evil.example", "Access-Control-Request-Method": "PUT"}
    assert refusal(ask(method="OPTIONS", headers=asks), 403)
    answer = ask(method="OPTIONS", headers=OURS)
    assert refusal(answer, 405)
    assert answer.headers["allow"] == "GET, HEAD, POST, PUT, DELETE"


@pytest.mark.parametrize(
    "cookie",
    [
        None,
        "",
        PROTECTION.token,
        f"{PROTECTION.cookie}=",
        f"{PROTECTION.cookie}={PROTECTION.token[:-1]}",
        f"{PROTECTION.cookie}={PROTECTION.token}x",
        f"{PROTECTION.cookie}={PROTECTION.token.upper()}",
        f'{PROTECTION.cookie}="{PROTECTION.token}"',
        f"earwitness-8766={PROTECTION.token}",
        f"{PROTECTION.cookie}=\xe9\xff",
    ],
)
def test_without_the_token_nothing_is_told(cookie):
    headers = [] if cookie is None else [(b"Cookie", cookie.encode("latin-1"))]
    for path in ("/", "/page.js", "/api/echo", "/api/nothing", f"/api/echo?token={PROTECTION.token}", "/%2e%2e/x"):
        assert "open the address" in refusal(ask(path, headers=headers), 401)


@pytest.mark.parametrize("token", ["", "wrong", "the-token-of-this-tesT", "%00", "%ff", "\N{SNOWMAN}", "x" * 5000])
def test_a_wrong_token_is_refused(token):
    answer = ask(f"/?token={token}", headers=COOKIE)
    assert refusal(answer, 401)
    assert "set-cookie" not in answer.headers
    assert refusal(ask("/?token=" + PROTECTION.token, method="POST", headers={**JSON, "Origin": OWN}), 401)


def test_the_token_becomes_a_strict_cookie():
    answer = ask(PROTECTION.address.removeprefix(OWN), headers={})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    assert answer.headers["cache-control"] == "no-store"
    cookie = answer.headers["set-cookie"]
    assert cookie == "earwitness-8765=the-token-of-this-test; Path=/; HttpOnly; SameSite=Strict"
    assert ask("/", headers={"Cookie": f"of-another=1; {cookie.partition(';')[0]}"}).status_code == 200


def test_two_servers_share_a_browser():
    """It keeps the cookies of all ports of a host together, and sends all of them to each."""
    other = Protection(port=9876, token="the-token-of-another-server")
    jar = httpx.Cookies()
    for each in (PROTECTION, other):
        base = f"http://127.0.0.1:{each.port}"
        entered = ask(f"/?token={each.token}", headers={}, protection=each, base=base)
        jar.extract_cookies(entered)
    both = {"Cookie": "; ".join(f"{each.name}={each.value}" for each in jar.jar)}
    for each in (PROTECTION, other):
        assert ask(headers=both, protection=each, base=f"http://127.0.0.1:{each.port}").status_code == 200
    stolen = {"Cookie": f"{other.cookie}={PROTECTION.token}"}
    assert refusal(ask(headers=stolen, protection=other, base="http://127.0.0.1:9876"), 401)


def test_a_link_elsewhere_leads_to_the_page():
    """A browser keeps a strict cookie back where a link elsewhere led, redirects included, so a page goes on."""
    entered = ask(f"/?token={PROTECTION.token}", headers=LINK)
    assert entered.status_code == 200
    assert "set-cookie" in entered.headers
    followed = ask("/", headers=LINK)
    assert followed.status_code == 200
    assert "set-cookie" not in followed.headers
    assert 'content="2; url=/"' in entered.text == followed.text
    assert '<script src="/onward.js">' in entered.text
    script = ask("/onward.js", headers={"Sec-Fetch-Site": "same-origin"})
    assert (script.status_code, script.headers["content-type"]) == (200, "text/javascript")
    assert PROTECTION.token not in script.text + entered.text
    assert refusal(ask("/onward.js", headers={"Sec-Fetch-Site": "cross-site"}), 403)
    assert ask("/", headers={**LINK, **COOKIE}).json()["bytes"] == 0
    assert refusal(ask("/", headers={**LINK, "Sec-Fetch-Dest": "iframe"}), 403)


def test_tokens_are_drawn_and_checked():
    one, other = Protection(port=1), Protection(port=1)
    assert one.token != other.token
    assert len(one.token) > 40
    assert one.token not in repr(one)
    for token in ("", "short", "no; cookie holds this one", "nor=this/kind?of&token"):
        with pytest.raises(UsageError, match="the token: must be"):
            Protection(port=1, token=token)


# ---- what a request may hold -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp"],
)
def test_a_form_is_no_json(kind):
    headers = OURS if kind is None else {**OURS, "Content-Type": kind}
    for method in ("POST", "PUT"):
        assert "application/json" in refusal(ask(method=method, headers=headers, content=b"{}"), 415)
    assert ask("/api/uploads", "POST", headers, b"sound").json()["bytes"] == 5
    assert refusal(ask("/api/uploads", "PUT", headers, b"sound"), 415)
    assert ask(method="POST", headers={**OURS, "Content-Type": "Application/JSON; charset=utf-8"}).status_code == 200


@pytest.mark.parametrize("told", [True, False])
def test_bodies_are_bounded(told):
    small = replace(PROTECTION, json_bytes=1000, upload_bytes=5000)

    def send(path: str, size: int) -> httpx.Response:
        async def parts():
            for start in range(0, size, 100):
                yield bytes(min(100, size - start))

        return ask(path, "POST", {**OURS, **JSON}, bytes(size) if told else parts(), small)

    assert send("/api/echo", 1000).json()["bytes"] == 1000
    assert "0.001 MB" in refusal(send("/api/echo", 1001), 413)
    assert send("/api/uploads", 5000).json()["bytes"] == 5000
    assert refusal(send("/api/uploads", 5001), 413)


def test_a_length_that_is_none_is_refused():
    for length in ("-1", "1e3", "9" * 400, "+2"):
        assert refusal(ask(headers={**COOKIE, "Content-Length": length}), 413)


@pytest.mark.parametrize(
    "path",
    [
        "/../etc/passwd",
        "/api/../../etc/passwd",
        "/%2e%2e/etc/passwd",
        "/%252e%252e/etc/passwd",
        "/..%2fetc/passwd",
        "/..%5cetc",
        "/..\\etc",
        "//etc/passwd",
        "/api//echo",
        "/%2fetc%2fpasswd",
        "/page.js%00",
        "/%c0%ae%c0%ae/etc",
        "/.git/config",
        "/api/.hidden",
        "/file:///etc/passwd",
        "/C:/x",
        "/api/echo;x",
        "/\N{FULLWIDTH FULL STOP}\N{FULLWIDTH FULL STOP}/etc",
    ],
)
def test_paths_are_plain(path):
    async def run() -> list:
        sent = []
        raw = path.encode("utf-8")
        headers = [(name.lower().encode(), value.encode()) for name, value in COOKIE.items()]
        scope = {"type": "http", "method": "GET", "scheme": "http", "path": path, "raw_path": raw, "query_string": b""}
        scope["headers"] = [*headers, (b"host", b"127.0.0.1:8765")]

        async def send(message):
            sent.append(message)

        await Guard(echo, PROTECTION)(scope, None, send)  # would fail if it were asked
        return sent

    assert asyncio.run(run())[0]["status"] == 404


@pytest.mark.parametrize("asked", ["bytes=0-9", "bytes=5-", "bytes=-5", "Bytes = 0-9"])
def test_a_range_is_handed_on(asked):
    assert ask(headers={**COOKIE, "Range": asked}).json()["range"] == asked


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "0-9",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=9-5",
        "bytes=1",
        "lines=1-2",
        "bytes=0-" + "9" * 99,
        "bytes=--1",
        "bytes=1e3-",
        "bytes=0x1-2",
        "bytes=\N{ARABIC-INDIC DIGIT ONE}-",
    ],
)
def test_a_range_that_is_none_is_passed_over(asked):
    headers = [(b"Range", asked.encode("utf-8")), *((name.encode(), value.encode()) for name, value in COOKIE.items())]
    assert ask(headers=headers).json()["range"] is None
    assert ask("/api/file", headers=headers).status_code == 200


def test_a_bomb_of_ranges_is_refused():
    for asked in ("bytes=0-9,5-", "bytes=" + ",".join(f"{n}-" for n in range(5000)), "bytes=" + " " * 500 + "0-9"):
        assert "Range" in refusal(ask("/api/file", headers={**COOKIE, "Range": asked}), 416)
    assert ask(headers=[*COOKIE.items(), ("Range", "bytes=0-1"), ("Range", "bytes=0-2")]).json()["range"] is None
    more = replace(PROTECTION, ranges=2)
    assert ask(headers={**COOKIE, "Range": "bytes=0-1, 3-4"}, protection=more).json()["range"] == "bytes=0-1, 3-4"
    assert ask("/api/file", headers={**COOKIE, "Range": "bytes=1-3"}).text == Path(__file__).read_text()[1:4]
    assert "Range" in refusal(ask("/api/file", headers={**COOKIE, "Range": "bytes=9999999-"}), 416)


# ---- what answers say ------------------------------------------------------------------------------------------------


def test_no_answer_is_open_to_others():
    answer = ask("/api/loose")
    assert answer.text == "loose"
    assert answer.headers["cache-control"] == "no-store"
    assert ask("/page.js").headers["cache-control"] == "no-cache"
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_errors_are_one_line():
    assert refusal(ask("/api/nothing"), 404) == "no such page"
    answer = ask("/api/loose", "DELETE", OURS)
    assert refusal(answer, 405)
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert refusal(ask("/api/fail"), 500) == "this should not have happened; the request was not answered"
    assert refusal(ask(app=silent), 500)
    own = ask("/api/refuse")  # the application's own line stays
    assert (own.status_code, own.json()) == (409, {"error": "nothing in the map speaks for its class"})


def test_the_terminal_is_told_what_failed():
    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=Guard(APP, PROTECTION)), base_url=OWN) as client:
            await client.get("/api/fail", headers=COOKIE)

    with pytest.raises(RuntimeError, match="a secret of the server"):
        asyncio.run(run())


def test_what_fails_late_is_cut():
    answer = ask("/api/fail-late")
    assert answer.text == "one"


def test_so_many_at_once():
    few = replace(PROTECTION, requests=2)
    began = asyncio.Event()

    async def wait(scope, receive, send):
        await began.wait()
        await Response("done")(scope, receive, send)

    async def run() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=Guard(wait, few)), base_url=OWN) as client:
            asked = [asyncio.create_task(client.get("/api/x", headers=COOKIE)) for _ in range(3)]
            await asyncio.sleep(0.05)
            began.set()
            statuses = sorted([answer.status_code for answer in await asyncio.gather(*asked)])
            return [*statuses, (await client.get("/api/x", headers=COOKIE)).status_code]

    assert asyncio.run(run()) == [200, 200, 503, 200]


def test_other_scopes():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    async def run() -> list:
        sent = []

        async def send(message):
            sent.append(message)

        guard = Guard(app, PROTECTION)
        await guard({"type": "lifespan"}, None, send)
        await guard({"type": "websocket", "path": "/", "headers": []}, None, send)
        return sent

    assert asyncio.run(run()) == [{"type": "websocket.close", "code": 1008}]
    assert seen == ["lifespan"]


# ---- over a socket ---------------------------------------------------------------------------------------------------


@contextmanager
def serving(**limits):
    """Run the guarded application in a thread; yield its port and its protection."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        protection = Protection(port=listener.getsockname()[1], **limits)
        server = uvicorn.Server(uvicorn.Config(Guard(APP, protection), **UVICORN))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield protection
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


def head(protection: Protection, line: str, *more: str) -> bytes:
    cookie = f"Cookie: {protection.cookie}={protection.token}"
    host = f"127.0.0.1:{protection.port}"
    return "\r\n".join([line, f"Host: {host}", f"Origin: http://{host}", cookie, *more, "", ""]).encode("latin-1")


def say(protection: Protection, *parts: bytes, pause: float = 0.0) -> tuple[bytes, float]:
    """Send pieces over a socket; return all of the answer, and how long the connection lived."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", protection.port), timeout=8) as stream:
        said = b""
        try:
            for part in parts:
                if select.select([stream], [], [], pause)[0]:  # it answers already
                    break
                stream.sendall(part)
            while piece := stream.recv(65536):
                said += piece
        except (ConnectionResetError, BrokenPipeError):
            pass
    return said, time.monotonic() - began


def error_line(said: bytes) -> str:
    top, _, body = said.partition(b"\r\n\r\n")
    for name, value in SECURITY_HEADERS:
        assert b"\r\n%s: %s" % (name, value) in top
    assert b"\r\nserver:" not in top
    return json.loads(body)["error"]


POST = ("Content-Type: application/json", "Connection: close")


def test_a_slow_body_is_cut():
    with serving(chunk_seconds=0.3, body_seconds=0.6) as protection:
        asks = head(protection, "POST /api/echo HTTP/1.1", *POST, "Content-Length: 1000")
        said, seconds = say(protection, asks)
        assert said.startswith(b"HTTP/1.1 408 ")
        assert "slowly" in error_line(said)
        assert seconds < 3
        said, seconds = say(protection, asks, *[b"x"] * 12, pause=0.1)  # each in time, all of them not
        assert said.startswith(b"HTTP/1.1 408 ")
        said, _ = say(protection, asks, bytes(500), bytes(500), pause=0.1)
        assert said.startswith(b"HTTP/1.1 200 ")


def test_a_body_too_large_is_counted_as_it_comes():
    with serving(json_bytes=100_000) as protection:
        asks = head(protection, "POST /api/echo HTTP/1.1", *POST, "Transfer-Encoding: chunked")
        said, _ = say(protection, asks, *[b"10000\r\n" + bytes(0x10000) + b"\r\n"] * 8, b"0\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 413 ")
        assert "at most 0.1 MB" in error_line(said)
        asks = head(protection, "POST /api/echo HTTP/1.1", *POST, "Content-Length: 2000000")
        said, _ = say(protection, asks, bytes(2_000_000))  # is answered although more was sent
        assert said.startswith(b"HTTP/1.1 413 ")
        assert error_line(said)


def test_a_body_that_nobody_reads_ends_the_connection():
    with serving() as protection:
        said, seconds = say(protection, head(protection, "POST /api/nothing HTTP/1.1", POST[0], "Content-Length: 1000"))
        assert said.startswith(b"HTTP/1.1 404 ")
        assert seconds < 3


def test_headers_are_bounded():
    assert refusal(ask(headers={**COOKIE, "X": "y" * 40_000}), 431)
    assert refusal(ask("/api/echo?" + "y" * 40_000), 431)
    assert refusal(ask(headers={**COOKIE, **{f"X-{n}": "y" for n in range(200)}}), 431)
    assert ask("/api/echo?" + "y" * 20_000, headers={**COOKIE, "X": "y" * 9000}).status_code == 200


def test_what_is_no_http_is_answered_alike():
    with serving() as protection:
        for nonsense in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nno header\r\n\r\n",
            b"GET /" + b"y" * 600_000,
            b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(60_000)),
            head(protection, "POST /api/echo HTTP/1.1", *POST, "Content-Length: 1", "Content-Length: 2"),
        ):
            said, seconds = say(protection, nonsense)
            assert said.startswith(b"HTTP/1.1 400 ")
            assert error_line(said)
            assert seconds < 3
        for path in ("/%2e%2e/x", "/..", "http://127.0.0.1/", "*"):
            assert b" 404 " in say(protection, head(protection, f"GET {path} HTTP/1.1", "Connection: close"))[0]
        garbled = head(protection, "POST /api/echo HTTP/1.1", POST[0], "Transfer-Encoding: chunked")
        said, _ = say(protection, garbled, b"5\r\nabc", b"zz\r\nnonsense\r\n", pause=0.05)
        assert b"Traceback" not in said


def test_a_connection_that_says_nothing_is_closed(monkeypatch):
    monkeypatch.setattr(connection, "HEADER_SECONDS", 0.3)
    with serving() as protection:
        assert say(protection, b"")[1] < 3
        assert say(protection, *[b"GET / HTTP/1.1\r\n"] + [b"X: y\r\n"] * 9, pause=0.1)[1] < 3
        with httpx.Client(base_url=f"http://127.0.0.1:{protection.port}") as client:  # but not while it is used
            client.get("/", params={"token": protection.token})
            for _ in range(3):
                assert client.get("/api/echo").status_code == 200
                time.sleep(0.2)


def test_so_many_connections(monkeypatch):
    monkeypatch.setattr(connection, "MOST_CONNECTIONS", 5)
    with serving() as protection:
        held = [socket.create_connection(("127.0.0.1", protection.port)) for _ in range(5)]
        assert say(protection, head(protection, "GET / HTTP/1.1", "Connection: close"))[0] == b""
        for each in held:
            each.close()
        deadline = time.monotonic() + 5
        while not (said := say(protection, head(protection, "GET / HTTP/1.1", "Connection: close"))[0]):
            assert time.monotonic() < deadline
        assert said.startswith(b"HTTP/1.1 200 ")
