"""All questions of the page in one table, and the table as an OpenAPI description."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from earwitness.core.version import VERSION
from earwitness.web import asked, asking, glance, looking, shapes
from earwitness.web.endpoint import BINARY, EVENTS, JSON, PNG, TEXT, WAV, Endpoint

C, R = "/api/collections/{c}", "/api/collections/{c}/recordings/{r}"
EVENTS_PATH = "/api/jobs/{j}/events"

ENDPOINTS = (
    Endpoint(method="GET", path="/api/session", answer=looking.session, gives=shapes.Session),
    Endpoint(method="GET", path=f"{C}/overview", answer=looking.overview, gives=glance.Overview),
    Endpoint(
        method="GET",
        path=f"{C}/recordings",
        answer=looking.recordings,
        gives=shapes.Rows,
        query=asked.ListQuery,
    ),
    Endpoint(
        method="GET",
        path=f"{C}/classes/{{index}}",
        answer=looking.class_page,
        gives=glance.ClassPage,
        query=asked.ClassQuery,
    ),
    Endpoint(method="GET", path=f"{C}/report", answer=looking.report, gives=BINARY),
    Endpoint(method="GET", path=f"{C}/export", answer=looking.export, gives=TEXT, query=asked.ExportQuery),
    Endpoint(method="GET", path="/api/figures/{f}", answer=looking.figure, gives=PNG),
    Endpoint(method="GET", path=R, answer=looking.recording, gives=shapes.Recording),
    Endpoint(method="GET", path=f"{R}/scores", answer=looking.scores, gives=BINARY),
    Endpoint(method="GET", path=f"{R}/log-mel", answer=looking.log_mel, gives=BINARY, query=asked.Span),
    Endpoint(method="GET", path=f"{R}/waveform", answer=looking.waveform, gives=BINARY, query=asked.Span),
    Endpoint(method="GET", path=f"{R}/thumbnail", answer=looking.thumbnail, gives=BINARY),
    Endpoint(method="GET", path=f"{R}/sound", answer=looking.sound, gives=WAV),
    Endpoint(method="GET", path="/api/sounds/{s}", answer=looking.made_sound, gives=WAV),
    Endpoint(method="POST", path=f"{R}/maps", answer=asking.make_map, gives=shapes.MapAnswer, body=asked.MapQuestion),
    Endpoint(method="GET", path="/api/maps/{m}/values", answer=asking.map_values, gives=BINARY),
    Endpoint(method="GET", path="/api/jobs/{j}", answer=asking.job, gives=shapes.JobShape),
    Endpoint(method="DELETE", path="/api/jobs/{j}", answer=asking.cancel, gives=shapes.JobShape),
    Endpoint(method="POST", path=f"{R}/listen", answer=asking.listen, gives=shapes.Listened, body=asked.ListenQuestion),
    Endpoint(
        method="POST", path=f"{R}/what-if", answer=asking.what_if, gives=shapes.WhatIfAnswer, body=asked.WhatIfQuestion
    ),
    Endpoint(
        method="POST",
        path=f"{R}/findings",
        answer=asking.finding,
        gives=shapes.FindingShape,
        body=asked.FindingQuestion,
    ),
    Endpoint(method="DELETE", path="/api/findings/{f}", answer=asking.remove_finding, gives=shapes.Removed),
    Endpoint(
        method="PUT", path=f"{R}/review", answer=asking.review, gives=shapes.ReviewShape, body=asked.ReviewQuestion
    ),
    Endpoint(method="DELETE", path=f"{R}/review", answer=asking.undo, gives=shapes.Reviewed),
    Endpoint(
        method="POST",
        path="/api/uploads",
        answer=asking.upload,
        gives=shapes.Uploaded,
        query=asked.UploadQuery,
        upload=True,
    ),
)


def openapi() -> dict[str, Any]:
    """Return the table as OpenAPI 3.1 describes such things."""
    types = [each for one in ENDPOINTS for each in (one.gives, one.body) if isinstance(each, type)]
    types += [shapes.JobShape]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    of_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in ENDPOINTS:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, of_type)
    paths[EVENTS_PATH] = {
        "get": {
            "summary": "Tell each change of a job, until it has ended.",
            "parameters": _ids(EVENTS_PATH),
            "responses": {"200": {"description": "A job each.", "content": {EVENTS: {}}}},
        }
    }
    components = {**components, "Error": {"type": "object", "properties": {"error": {"type": "string"}}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "earwitness", "version": VERSION},
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(one: Endpoint, of_type: dict[type, Any]) -> dict[str, Any]:
    content = {JSON: {"schema": of_type[one.gives]}} if isinstance(one.gives, type) else {one.gives: {}}
    error = {"content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}
    told: dict[str, Any] = {
        "summary": (one.answer.__doc__ or "").strip(),
        "operationId": one.answer.__name__,
        "parameters": [*_ids(one.path), *_query(one)],
        "responses": {
            "200": {"description": "The answer.", "content": content},
            "4XX": {"description": "What is wrong, in one line.", **error},
        },
    }
    if one.answer is asking.make_map:
        told["responses"]["202"] = {"description": "The job that makes the map.", "content": content}
    if one.body is not None:
        told["requestBody"] = {"required": True, "content": {JSON: {"schema": of_type[one.body]}}}
    if one.upload:
        told["requestBody"] = {"required": True, "content": {BINARY: {}}}
    return told


def _ids(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]


def _query(one: Endpoint) -> list[dict[str, Any]]:
    if one.query is None:
        return []
    _, components = msgspec.json.schema_components([one.query])
    properties = components[one.query.__name__]["properties"]
    return [{"name": name, "in": "query", "required": False, "schema": each} for name, each in properties.items()]
