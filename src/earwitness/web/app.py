"""The server as an ASGI application: routes, the page's own files, and what becomes of errors."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from earwitness.core.errors import BadRecordingError, EarwitnessError, UsageError, first_line
from earwitness.sonify.masks import NoEvidenceError
from earwitness.web import shown
from earwitness.web.endpoint import EVENTS, JSON, Endpoint, Given
from earwitness.web.studio import NotThereError, Studio
from earwitness.web.table import ENDPOINTS, EVENTS_PATH, openapi
from earwitness.web.worker import UNFORESEEN, BusyError, TooManyJobsError

FILE_NAME = "X-File-Name"
EVENT_SECONDS = 0.1  # between two looks at a job
STATUS = (  # the first that fits
    (NotThereError, 404),
    (NoEvidenceError, 409),
    (TooManyJobsError, 429),
    (BusyError, 503),
    (BadRecordingError, 422),
    (UsageError, 400),
    (EarwitnessError, 422),
)
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
_ENCODER = msgspec.json.Encoder()

Answerer = Callable[[Request], Awaitable[Response]]


def make_app(studio: Studio) -> Starlette:
    """Return the application that shows a studio; whoever serves it puts a guard in front."""
    described = _ENCODER.encode(openapi())

    async def description(_request: Request) -> Response:
        return Response(described, media_type=JSON)

    routes = [Route(one.path, _answerer(studio, one), methods=[one.method]) for one in _by_length()]
    routes.append(Route(EVENTS_PATH, _events(studio), methods=["GET"]))
    routes.append(Route("/api/openapi.json", description, methods=["GET"]))
    routes += [Route(path, _file(content, kind), methods=["GET"]) for path, content, kind in page_files()]
    return Starlette(routes=routes, exception_handlers={HTTPException: _http_error, Exception: _error})


def _by_length() -> list[Endpoint]:
    return sorted(ENDPOINTS, key=lambda one: one.path, reverse=True)


def page_files() -> list[tuple[str, bytes, str]]:
    """Return the page's own files: path, content, media type. Nothing else is served."""
    folder = resources.files("earwitness.web").joinpath("page")
    found = []
    for each in sorted(folder.iterdir(), key=lambda one: one.name):
        kind = TYPES.get(Path(each.name).suffix) or mimetypes.guess_type(each.name)[0]
        if each.is_file() and kind is not None and not each.name.startswith("."):
            path = "/" if each.name == "index.html" else f"/{each.name}"
            found.append((path, each.read_bytes(), kind))
    return found


def _file(content: bytes, kind: str) -> Answerer:
    tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    # Asked for again each time, and sent only where it is another: a newer server is never shown by an older page.
    head = {"Cache-Control": "no-cache", "ETag": tag}

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=head)
        return Response(content, media_type=kind, headers=head)

    return answer


def _answerer(studio: Studio, one: Endpoint) -> Answerer:
    body_type = None if one.body is None else msgspec.json.Decoder(one.body)

    async def answer(request: Request) -> Response:
        try:
            query = None if one.query is None else _query(request, one.query)
            body = None if body_type is None else body_type.decode(await request.body())
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as wrong:
            return _told(f"the request does not fit: {first_line(wrong, 200)}", 400)
        given = Given(ids=request.path_params, query=query, body=body, name=request.headers.get(FILE_NAME, ""))
        if one.upload:
            return await _upload(studio, one, given, request)
        return await _answered(studio, one, given)

    return answer


def _query(request: Request, kind: type[msgspec.Struct]) -> Any:
    asked: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in asked:
            raise msgspec.ValidationError(f"{name} is given twice")
        asked[name] = value
    return msgspec.convert(asked, kind, strict=False)


async def _upload(studio: Studio, one: Endpoint, given: Given, request: Request) -> Response:
    """Receive a file piece by piece, and answer about it."""
    with tempfile.NamedTemporaryFile(dir=studio.upload_folder, delete=False) as file:
        path = Path(file.name)
        try:
            async for piece in request.stream():
                await run_in_threadpool(file.write, piece)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    try:
        return await _answered(studio, one, replace(given, file=path))
    finally:
        path.unlink(missing_ok=True)


async def _answered(studio: Studio, one: Endpoint, given: Given) -> Response:
    try:
        found = await run_in_threadpool(one.answer, studio, given)
    except EarwitnessError as error:
        return _told(str(error), next(status for kind, status in STATUS if isinstance(error, kind)))
    status, content = found if isinstance(found, tuple) else (200, found)
    if isinstance(content, Response):
        return content
    return Response(_ENCODER.encode(content), status_code=status, media_type=JSON)


def _told(line: str, status: int) -> Response:
    return Response(_ENCODER.encode({"error": line}), status_code=status, media_type=JSON)


async def _http_error(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    words = {404: "there is nothing at this address", 405: "this cannot be done at this address"}
    return _told(words.get(status, "the request cannot be answered"), status)


async def _error(_request: Request, error: Exception) -> Response:
    return _told(f"{UNFORESEEN} ({type(error).__name__}: {first_line(error, 200)})", 500)


def _events(studio: Studio) -> Answerer:
    async def answer(request: Request) -> Response:
        try:
            worker, job = studio.job(request.path_params["j"])
        except NotThereError as error:
            return _told(str(error), 404)

        async def told() -> AsyncIterator[bytes]:
            before = b""
            while not await request.is_disconnected():
                ended = job.ended  # before it is told, so that the last one told is the last state
                now = _ENCODER.encode(shown.job_shape(worker, job))
                if now != before:
                    yield b"data: " + now + b"\n\n"
                    before = now
                if ended:
                    return
                await asyncio.sleep(EVENT_SECONDS)

        return StreamingResponse(told(), media_type=EVENTS)

    return answer
