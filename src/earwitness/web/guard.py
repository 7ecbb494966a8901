"""Keep strangers out of the server: a layer around any ASGI application, through which alone it is reached.

A page that the user opens elsewhere can send requests to this machine, and a name of its own can lead here (DNS
rebinding). So a request counts only if it names one of the server's own addresses (Host), comes from the server's own
page or from no page (Origin, Sec-Fetch-Site), and carries the token of the address that the server printed, which the
browser keeps as a cookie. What is not a plain GET or HEAD must say where it comes from. Bodies, ranges and requests at
once are bounded.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from earwitness.core.errors import UsageError
from earwitness.web.exchange import LINES, NO_STORE, BodyLimits, Exchange, Reply, error

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
_PLAIN = ("GET", "HEAD")
# Neither escapes nor backslashes, nor empty, hidden or upward parts: ids and the page's files need none.
_PATH = re.compile(r"/(?:[\w-][\w.-]*(?:/[\w-][\w.-]*)*/?)?", re.ASCII)
_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<four>[0-9.]+))(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_TOKEN = re.compile(r"[\w-]{16,200}", re.ASCII)
_JSON = re.compile(r'application/json\s*(;\s*charset="?utf-8"?\s*)?', re.IGNORECASE | re.ASCII)
_RANGES = re.compile(r"\s*bytes\s*=(.*)", re.IGNORECASE | re.ASCII)
_RANGE = re.compile(r"\s*(?:(?P<first>\d{1,15})-(?P<last>\d{0,15})|-\d{1,15})\s*", re.ASCII)
# A page that goes on by itself, for a browser keeps the cookie back where a link elsewhere led, redirects included. The
# script keeps the view that the link names (what is behind #); where no script runs, the page goes on without.
_SCRIPT_PATH = "/onward.js"
_ONWARD = (
    b'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="2; url=/"><title>earwitness</title>'
    b'<script src="/onward.js"></script><p><a href="/">Open the page</a>\n'
)
# To another address than its own, for else a browser takes it for a place on the same page and loads nothing.
_ONWARD_SCRIPT = b'location.replace((location.href.includes("?") ? "/" : "/?") + location.hash);\n'
_HTML = (b"content-type", b"text/html; charset=utf-8")
_SCRIPT = (b"content-type", b"text/javascript")


@dataclass(frozen=True, kw_only=True)
class Protection:
    """What a request must name and may ask.

    Parameters
    ----------
    port
        The server's port.
    token
        The secret of the opened address; drawn anew where it is not given.
    hosts
        Names and addresses by which the server is reached beside 127.0.0.1, localhost and ::1, without the port.
    everywhere
        Whether it listens at all addresses of this machine, which Host may then name: only names can be made to lead
        here by others.
    uploads
        The paths at which a POST may hold any file.
    json_bytes, upload_bytes
        The longest body, and that of an upload.
    chunk_seconds, body_seconds, upload_seconds
        How long the server waits for the next piece of a body, for all of it, and for all of an upload.
    headers, header_bytes
        How many headers a request may have, and how long they and the address may be together.
    ranges, range_bytes
        How many ranges may be asked for at once, and how long the header may be that does.
    requests
        How many requests are answered at once.

    Raises
    ------
    UsageError
        The token is too short, or holds what an address or a cookie cannot.
    """

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    hosts: tuple[str, ...] = ()
    everywhere: bool = False
    uploads: tuple[str, ...] = ("/api/uploads",)
    json_bytes: int = 1_000_000
    upload_bytes: int = 200_000_000
    chunk_seconds: float = 10.0
    body_seconds: float = 30.0
    upload_seconds: float = 600.0
    headers: int = 100
    header_bytes: int = 32_768
    ranges: int = 1
    range_bytes: int = 200
    requests: int = 64

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.token):
            raise UsageError("the token: must be 16 to 200 letters, digits, - and _")

    @property
    def address(self) -> str:
        """The address to open; it holds the token."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """The cookie's name, which holds the port: a browser keeps the cookies of all ports of a host together."""
        return f"earwitness-{self.port}"

    @property
    def authorities(self) -> frozenset[str]:
        """What Host may say."""
        given = [f"[{name}]" if ":" in name and not name.startswith("[") else name for name in self.hosts]
        names = [name.lower() for name in ("127.0.0.1", "localhost", "[::1]", *given)]
        return frozenset([f"{name}:{self.port}" for name in names] + (names if self.port == 80 else []))

    def is_address(self, host: str) -> bool:
        """Tell whether Host names one of this machine's addresses, where the server listens at all of them."""
        found = _ADDRESS.fullmatch(host)
        if found is None or not self.everywhere or int(found["port"] or 80) != self.port:
            return False
        try:
            return ip_address(found["six"] or found["four"]).version == (6 if found["six"] else 4)
        except ValueError:
            return False


class Guard:
    """An ASGI application that hands on to another what may pass.

    Parameters
    ----------
    app
        The application behind it.
    protection
        What a request must name and may ask.
    """

    def __init__(self, app: ASGIApp, protection: Protection) -> None:
        self._app = app
        self._protection = protection
        self._authorities = protection.authorities
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application do it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})  # nothing here speaks WebSocket
            return
        headers = Headers(scope=scope)
        exchange = Exchange(scope, receive, send, self._limits(scope))
        if reply := self._reply(scope, headers):
            await exchange.tell(reply)
            return
        self._running += 1
        try:
            await exchange.run(self._app, _with_clear_ranges(scope, headers))
        finally:
            self._running -= 1

    def _limits(self, scope: Scope) -> BodyLimits:
        allowed = self._protection
        if self._is_upload(scope):
            return BodyLimits(allowed.upload_bytes, allowed.chunk_seconds, allowed.upload_seconds)
        return BodyLimits(allowed.json_bytes, allowed.chunk_seconds, allowed.body_seconds)

    def _is_upload(self, scope: Scope) -> bool:
        return scope["method"] == "POST" and scope["path"] in self._protection.uploads

    def _reply(self, scope: Scope, headers: Headers) -> Reply | None:
        """Return what is answered in place of the application, if anything is."""
        if refused := self._foreign(scope, headers) or self._long(scope):
            return refused
        if scope["path"] == _SCRIPT_PATH:
            return Reply(200, _ONWARD_SCRIPT, (_SCRIPT, NO_STORE))
        token = _asked_token(scope)
        if token is not None and scope["method"] in _PLAIN and self._is_ours(token):
            return self._entrance(headers)
        if token is not None or not self._has_cookie(headers):
            if token is None and _leads_here(scope, headers):
                return Reply(200, _ONWARD, (_HTML, NO_STORE))
            return error(401, "no valid token; open the address that `earwitness serve` printed")
        return self._odd(scope, headers)

    def _foreign(self, scope: Scope, headers: Headers) -> Reply | None:
        """Refuse what does not come from the server's own page, before anything else is looked at."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._is_own(hosts[0].lower()):
            return error(403, "Host: not an address of this server; open the one that `earwitness serve` printed")
        if origins and (len(origins) > 1 or origins[0].lower() != f"{scope['scheme']}://{hosts[0].lower()}"):
            return error(403, "Origin: another page asks, and only this server's own may")
        plain, site = scope["method"] in _PLAIN, headers.get("sec-fetch-site", "" if origins else "none")
        if site in ("", "same-origin") or (plain and (site == "none" or _leads_here(scope, headers))):
            return None
        if site == "none":
            return error(403, "Origin: missing; what is not a plain GET must say which page asks")
        return error(403, "Sec-Fetch-Site: another page asks, and only this server's own may")

    def _is_own(self, host: str) -> bool:
        return host in self._authorities or self._protection.is_address(host)

    def _long(self, scope: Scope) -> Reply | None:
        """Refuse too many or too long headers: uvicorn bounds them only where they come in pieces."""
        held = sum(len(name) + len(value) for name, value in scope["headers"])
        held += len(scope["path"]) + len(scope["query_string"])
        if held > self._protection.header_bytes or len(scope["headers"]) > self._protection.headers:
            return error(431, "the address or the headers are too long")
        return None

    def _entrance(self, headers: Headers) -> Reply:
        """Turn the token of the opened address into a cookie, and lead to the page without it."""
        cookie = f"{self._protection.cookie}={self._protection.token}; Path=/; HttpOnly; SameSite=Strict"
        given = ((b"set-cookie", cookie.encode()), NO_STORE)
        if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
            return Reply(303, b"", ((b"location", b"/"), *given))
        return Reply(200, _ONWARD, (_HTML, *given))

    def _has_cookie(self, headers: Headers) -> bool:
        pairs = (each.strip().partition("=") for line in headers.getlist("cookie") for each in line.split(";"))
        return any(name == self._protection.cookie and self._is_ours(value) for name, _, value in pairs)

    def _is_ours(self, token: str) -> bool:
        return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self._protection.token.encode())

    def _odd(self, scope: Scope, headers: Headers) -> Reply | None:
        """Refuse what no request of the page looks like."""
        method, asked = scope["method"], headers.get("range", "")
        if method not in _METHODS:
            return error(405, LINES[405], ((b"allow", ", ".join(_METHODS).encode()),))
        raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass")
        if not _PATH.fullmatch(raw.decode("latin-1")):
            return error(404, LINES[404])
        typed = _JSON.fullmatch(headers.get("content-type", ""))
        if method in ("POST", "PUT") and not typed and not self._is_upload(scope):
            return error(415, "Content-Type: must be application/json")
        if len(asked) > self._protection.range_bytes or asked.count(",") >= self._protection.ranges:
            return error(416, f"Range: at most {self._protection.ranges} at once")
        if self._running >= self._protection.requests:
            return error(503, "too many requests at once; try again in a moment")
        return None


def _asked_token(scope: Scope) -> str | None:
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return dict(query).get("token") if scope["path"] == "/" else None


def _leads_here(scope: Scope, headers: Headers) -> bool:
    """Tell whether a link elsewhere leads to the page itself, of which the other page sees nothing."""
    return (
        scope["method"] == "GET"
        and scope["path"] == "/"
        and headers.get("sec-fetch-site") in ("cross-site", "same-site")
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def _with_clear_ranges(scope: Scope, headers: Headers) -> Scope:
    """Return a request without a Range that cannot be understood, which HTTP says to pass over (RFC 9110, 14.2)."""
    asked = headers.getlist("range")
    if not asked or (len(asked) == 1 and _is_clear(asked[0])):
        return scope
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name.lower() != b"range"]}


def _is_clear(asked: str) -> bool:
    match = _RANGES.fullmatch(asked)
    ranges = [_RANGE.fullmatch(each) for each in match[1].split(",")] if match else [None]
    return all(each and (not each["last"] or int(each["first"]) <= int(each["last"])) for each in ranges)
