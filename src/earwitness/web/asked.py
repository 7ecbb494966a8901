"""What is asked over the wire, typed: what does not fit is refused, as are members that nobody knows."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from earwitness.web.shapes import Decision

Second = Annotated[float, Meta(ge=0.0, le=1e7)]
Hertz = Annotated[float, Meta(ge=0.0, le=1e7)]
Name = Annotated[str, Meta(max_length=300)]
Note = Annotated[str, Meta(max_length=10_000)]


class Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked: a member that is none of the fields is refused."""


class ListQuery(Asked, frozen=True, kw_only=True):
    """Which recordings, in which order."""

    show: Literal["all", "right", "wrong", "low-margin", "not-reliable", "unreviewed"] = "all"
    label: Name = ""
    predicted: Name = ""
    text: Name = ""
    sort: Literal["name", "score", "margin", "seconds", "surest-wrong"] = "name"
    descending: bool = False
    offset: Annotated[int, Meta(ge=0, le=10**9)] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200


class ClassQuery(Asked, frozen=True, kw_only=True):
    """As what the contradictory segments are predicted: as any class where none is named."""

    predicted: Name = ""


class Span(Asked, frozen=True, kw_only=True):
    """A stretch in so many columns at most."""

    start: Second = 0.0
    end: Second | None = None
    columns: Annotated[int, Meta(ge=1, le=8192)] = 1024


class MapQuestion(Asked, frozen=True, kw_only=True):
    """Which map."""

    method: Annotated[str, Meta(min_length=1, max_length=200)]
    target: Name | None = None
    against: Name | None = None
    at: Second | None = None
    verdict: bool = False


class ListenQuestion(Asked, frozen=True, kw_only=True):
    """Which map as sound, and how much of it."""

    map: Annotated[str, Meta(max_length=40)]
    keep: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.3
    by: Literal["area", "mass"] = "area"


class BoxEdit(Asked, frozen=True, kw_only=True, tag="box", tag_field="shape"):
    """A box of time and frequency."""

    start: Second
    end: Second
    low: Hertz
    high: Hertz
    action: Literal["hide", "keep", "attenuate"] = "hide"
    decibels: Annotated[float, Meta(ge=-80.0, le=0.0)] = -20.0


class LassoEdit(Asked, frozen=True, kw_only=True, tag="lasso", tag_field="shape"):
    """A place with an outline: seconds and hertz."""

    points: Annotated[list[tuple[Second, Hertz]], Meta(min_length=3, max_length=2000)]
    action: Literal["hide", "keep", "attenuate"] = "hide"
    decibels: Annotated[float, Meta(ge=-80.0, le=0.0)] = -20.0


Edits = Annotated[list[BoxEdit | LassoEdit], Meta(max_length=50)]


class WhatIfQuestion(Asked, frozen=True, kw_only=True):
    """What is done to which stretch (None: all of a short recording, the edits' surroundings in a long one).

    ``segment`` is where the segment begins whose own scores are wanted, too.
    """

    edits: Edits
    start: Second | None = None
    end: Second | None = None
    segment: Second | None = None
    sound: bool = False


class FindingQuestion(Asked, frozen=True, kw_only=True):
    """An edit to keep, with words."""

    title: Annotated[str, Meta(min_length=1, max_length=200)]
    note: Note = ""
    edits: Edits = []
    map: Annotated[str, Meta(max_length=40)] | None = None


class ReviewQuestion(Asked, frozen=True, kw_only=True):
    """A decision."""

    decision: Decision
    note: Note = ""


class ExportQuery(Asked, frozen=True, kw_only=True):
    """In which format."""

    format: Literal["csv", "raven", "audacity"] = "csv"


class UploadQuery(Asked, frozen=True, kw_only=True):
    """Whose model is asked."""

    collection: Annotated[str, Meta(max_length=40)] = ""
