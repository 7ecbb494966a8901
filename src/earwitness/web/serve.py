"""A server on this machine: its socket, its address, and its end."""

from __future__ import annotations

import socket
import webbrowser
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from earwitness.core.errors import UsageError
from earwitness.web.app import make_app
from earwitness.web.connection import UVICORN
from earwitness.web.guard import Guard, Protection
from earwitness.web.studio import Studio

HOST = "127.0.0.1"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
EVERYWHERE = ("", "0.0.0.0", "::")


def serve(
    studio: Studio,
    *,
    host: str = HOST,
    port: int = 0,
    browse: bool = True,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a studio until somebody interrupts it.

    Parameters
    ----------
    studio
        What is shown; closed in the end.
    host, port
        Where to listen; 0 takes a port that is free.
    browse
        Whether to open the page in the user's browser.
    on_ready
        Told the address to open, with its token.

    Raises
    ------
    UsageError
        There can be no server at this address.
    """
    try:
        with _listening(host, port) as listening:
            protection, address = entrance(host, listening.getsockname()[1])
            server = uvicorn.Server(uvicorn.Config(Guard(make_app(studio), protection), **UVICORN))
            if on_ready is not None:
                on_ready(address)
            if browse:
                webbrowser.open(address)
            with suppress(KeyboardInterrupt):  # the way to end it, which uvicorn raises once more when it has ended
                server.run(sockets=[listening])
    finally:
        studio.close()


def entrance(host: str, port: int) -> tuple[Protection, str]:
    """Return what requests to a server at an address must name, and the address to open, with its token."""
    if host in EVERYWHERE:
        protection = Protection(port=port, hosts=(socket.gethostname(),), everywhere=True)
        shown = _own_address()
    else:
        protection = Protection(port=port, hosts=() if host in LOOPBACK else (host,))
        shown = HOST if host == "localhost" else host
    return protection, protection.address.replace(HOST, f"[{shown}]" if ":" in shown else shown, 1)


def _own_address() -> str:
    """Return the address at which others reach this machine, or else its name."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            asked.connect(("192.0.2.1", 9))  # sends nothing: it asks the system for the way there
            return str(asked.getsockname()[0])
    except OSError:
        return socket.gethostname()


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, for asyncio lets small answers go at once (TCP_NODELAY) on such sockets alone.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(128)
    except OSError as error:
        found.close()
        reason = error.strerror or error
        raise UsageError(f"{host}:{port}: cannot be listened at ({reason}); name another --port") from error
    return found
