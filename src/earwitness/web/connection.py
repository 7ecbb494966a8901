"""uvicorn's connection, which waits for headers only so long and answers what is no HTTP as the guard would."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from earwitness.web.exchange import SECURITY_HEADERS, error

HEADER_SECONDS = 10.0
MOST_CONNECTIONS = 100


class Connection(H11Protocol):
    """One connection of a browser."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request, unless there are too many that do."""
        super().connection_made(transport)  # type: ignore[arg-type]
        if len(self.connections) > MOST_CONNECTIONS:
            transport.close()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what came; of a request that has not all its headers yet, the rest must follow in time."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._no_more_waiting()
        elif self._deadline is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._no_more_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or has too long headers."""
        reply = error(400, msg[:1].lower() + msg[1:].rstrip("."))
        headers = [*reply.headers, *SECURITY_HEADERS, (b"connection", b"close")]
        with suppress(h11.LocalProtocolError):  # an answer has begun: it stays incomplete
            for event in (
                h11.Response(status_code=400, headers=headers),
                h11.Data(data=reply.body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _no_more_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


# What uvicorn is to be started with, beside the application.
UVICORN: dict[str, Any] = {
    "http": Connection,
    "ws": "none",
    "lifespan": "off",
    "server_header": False,
    "date_header": False,
    "proxy_headers": False,
    "access_log": False,
    "log_level": "critical",
    "h11_max_incomplete_event_size": 32_768,
    "timeout_keep_alive": 30,
    "timeout_graceful_shutdown": 2,
}
