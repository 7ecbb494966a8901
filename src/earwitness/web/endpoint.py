"""What a question of the page is: a line of the table of all of them, and what a request brings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from earwitness.web.studio import Studio

JSON, BINARY, WAV, PNG = "application/json", "application/octet-stream", "audio/wav", "image/png"
TEXT, EVENTS = "text/plain; charset=utf-8", "text/event-stream"


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a request brings.

    Parameters
    ----------
    ids
        Of its path.
    query, body
        What is asked, as the endpoint's types say.
    name
        Of a file that is sent.
    file
        That file.
    """

    ids: dict[str, str]
    query: Any = None
    body: Any = None
    name: str = ""
    file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A line of the table.

    Parameters
    ----------
    method, path
        Of the request; ``{c}`` is a collection, ``{r}`` a recording.
    answer
        Answers it: a shape, a response, or a status and a shape.
    query, body
        Types of what is asked.
    gives
        A shape, or a media type.
    """

    method: str
    path: str
    answer: Callable[[Studio, Given], Any]
    gives: Any
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    upload: bool = False
