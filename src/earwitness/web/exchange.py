"""One request and its answer: bodies are counted and timed, answers get headers that all have, errors are one line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

RawHeaders = Sequence[tuple[bytes, bytes]]

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PERMISSIONS_POLICY = "camera=(), display-capture=(), geolocation=(), microphone=(), midi=(), payment=(), usb=()"
# On every answer, whatever the application set.
SECURITY_HEADERS: RawHeaders = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", PERMISSIONS_POLICY.encode()),
)
# An application behind the guard sets none of these.
_OURS = {*dict(SECURITY_HEADERS), b"cache-control", b"server", b"x-powered-by"}
_FOR_OTHERS = b"access-control-"
NO_STORE = (b"cache-control", b"no-store")
# What errors say where the application's own words are no JSON.
LINES = {
    400: "the request cannot be understood",
    404: "no such page",
    405: "not possible here: another method is needed",
    416: "Range: not a part of what is there",
    500: "this should not have happened; the request was not answered",
}
_NOBODY: Message = {"type": "http.disconnect"}
_LINGER_SECONDS, _PAUSE_SECONDS = 2.0, 0.3


@dataclass(frozen=True)
class Reply:
    """An answer that is not the application's: its status, body and headers, without those of every answer."""

    status: int
    body: bytes
    headers: RawHeaders


def error(status: int, line: str, headers: RawHeaders = ()) -> Reply:
    """Return the answer that says in one line, as JSON, why a request is not answered."""
    body = json.dumps({"error": line}, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
    return Reply(status, body, ((b"content-type", b"application/json"), NO_STORE, *headers))


@dataclass(frozen=True)
class BodyLimits:
    """The longest body, and the seconds to wait for its next piece and for all of it."""

    most_bytes: int
    chunk_seconds: float
    seconds: float


class Exchange:
    """One request and its answer.

    Parameters
    ----------
    scope, receive, send
        Those of ASGI.
    limits
        Of the request's body.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: BodyLimits) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._limits = limits
        self._headers = Headers(scope=scope)
        self._bytes = 0
        self._waited = 0.0
        self._whole = False  # all of the body has come, or nobody is there any more
        self._started = False
        self._over = False  # what the application still says is for nobody
        self._cut = False  # the rest of the body is not read

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Let an application answer.

        Its exceptions are answered by one line, and raised again for whoever sits at the server's terminal.
        """
        length = self._headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 18 or int(length) > self._limits.most_bytes:
            await self._refuse_length()
            return
        try:
            await app(scope, self._next, self._pass_on)
        except Exception:
            if self._cut:  # it was told that nobody is there any more, and says so
                return
            await self.tell(error(500, LINES[500]))
            raise
        if not self._started:
            await self.tell(error(500, LINES[500]))

    async def tell(self, reply: Reply, *, linger: bool = False) -> None:
        """Answer in place of the application; an answer of its own that has begun stays incomplete.

        With ``linger`` the rest of the request is read for a moment, because a browser that is cut off while it sends
        never shows the answer.
        """
        self._over = True
        if self._started:
            return
        self._started = True
        headers = self._complete([*reply.headers, (b"content-length", str(len(reply.body)).encode())])
        await self._send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": reply.body, "more_body": linger})
        if linger:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LINGER_SECONDS):
                    while (await asyncio.wait_for(self._receive(), _PAUSE_SECONDS)).get("more_body"):
                        pass
            await self._send({"type": "http.response.body", "body": b""})

    async def _next(self) -> Message:
        """Return the next piece of the body, or say that nobody is there."""
        if self._cut:
            return _NOBODY
        if self._whole:  # what an application waits for now is the end of the connection
            return await self._receive()
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout(min(self._limits.chunk_seconds, self._limits.seconds - self._waited)):
                message = await self._receive()
        except TimeoutError:
            self._cut = True
            await self.tell(error(408, "the request came too slowly"))
            return _NOBODY
        self._waited += clock() - began
        self._bytes += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._bytes > self._limits.most_bytes:
            self._cut = True
            await self._refuse_length()
            return _NOBODY
        return message

    async def _pass_on(self, message: Message) -> None:
        """Hand on what the application answers, with the headers that every answer has, and errors as JSON alone."""
        if self._over:
            return
        if message["type"] != "http.response.start":
            await self._send(message)
            return
        status = message["status"]
        headers = [(bytes(name).lower(), bytes(value)) for name, value in message.get("headers", ())]
        if status >= 400 and not dict(headers).get(b"content-type", b"").startswith(b"application/json"):
            kept = [(name, value) for name, value in headers if name in (b"allow", b"content-range")]
            await self.tell(error(status, LINES.get(status, HTTPStatus(status).phrase.lower()), kept))
            return
        self._started = True
        await self._send({**message, "headers": self._complete(headers)})

    async def _refuse_length(self) -> None:
        line = f"too large: at most {self._limits.most_bytes / 1e6:g} MB are taken here"
        await self.tell(error(413, line), linger=not self._whole)

    def _complete(self, headers: RawHeaders) -> RawHeaders:
        """Return an answer's headers with those that every answer has, and without any that open it to others."""
        api = self._scope["path"].startswith("/api")
        caching = NO_STORE if api or NO_STORE in headers else (b"cache-control", b"no-cache")
        kept = [pair for pair in headers if pair[0] not in _OURS and not pair[0].startswith(_FOR_OTHERS)]
        unread = not self._whole and (
            self._headers.get("content-length", "0") != "0" or "transfer-encoding" in self._headers
        )
        closing = [(b"connection", b"close")] if unread else []  # else the rest would be read for as long as it comes
        return [*kept, *SECURITY_HEADERS, caching, *closing]
