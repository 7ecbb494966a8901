"""Lists of recordings: which of them, in which order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from earwitness.trust.verdicts.verdict import LEVELS, NOT_RELIABLE
from earwitness.web.asked import ListQuery
from earwitness.web.collection import Collection, Known, recording_id
from earwitness.web.mapped import best_first
from earwitness.web.shapes import ReviewShape, Row, Rows
from earwitness.web.shelf import HeldMap

LOW_MARGIN = 0.2  # of the mean scores of the best two classes


def rows(collection: Collection, query: ListQuery, reviews: Mapping[str, ReviewShape]) -> Rows:
    """Return a part of a list of recordings.

    Parameters
    ----------
    collection
        Whose.
    query
        Which of them, and in which order.
    reviews
        What was decided, by a recording's name.
    """
    maps = _of_maps(collection)
    found = [_row(collection, name, reviews.get(name), maps.get(name, [])) for name in collection.names]
    found = [row for row in found if _fits(row, query)]
    found = _sorted(collection, found, query)
    return Rows(total=len(found), offset=query.offset, items=found[query.offset : query.offset + query.limit])


def _of_maps(collection: Collection) -> dict[str, list[HeldMap]]:
    """Return the maps that are held of each recording, by name."""
    maps: dict[str, list[HeldMap]] = defaultdict(list)
    for each in collection.shelf.all():
        maps[each.recording].append(each)
    return maps


def _row(collection: Collection, name: str, review: ReviewShape | None, maps: Sequence[HeldMap]) -> Row:
    # The verdict of the map that the recording opens with, so that a list says what is then seen.
    level = next((each.level for each in best_first(collection, name, maps)), None)
    known, label = collection.known.get(name), collection.labels.get(name)
    return Row(
        id=recording_id(name),
        name=collection.title_of(name),
        label=label,
        predicted=None if known is None else known.predicted,
        score=None if known is None else known.score,
        margin=None if known is None else known.margin,
        right=None if known is None or label is None else known.predicted == label,
        segments=None if known is None else known.segments,
        silent=known is not None and known.silent,
        verdict=level if level in LEVELS else None,  # type: ignore[arg-type]  # one of LEVELS
        maps=len(maps),
        review=review,
    )


def _fits(row: Row, query: ListQuery) -> bool:
    shown = {
        "all": True,
        "right": row.right is True,
        "wrong": row.right is False,
        "low-margin": row.margin is not None and row.margin < LOW_MARGIN,
        "not-reliable": row.verdict == NOT_RELIABLE,
        "unreviewed": row.review is None,
    }[query.show]
    return (
        shown
        and query.label in ("", row.label)
        and query.predicted in ("", row.predicted)
        and query.text.casefold() in row.name.casefold()
    )


def _sorted(collection: Collection, found: list[Row], query: ListQuery) -> list[Row]:
    known_of = {recording_id(name): collection.known.get(name) for name in collection.names}

    def number(row: Row) -> float:
        known = known_of[row.id]
        return -1.0 if known is None else _number(known, row, query.sort)

    if query.sort == "name":
        return sorted(found, key=lambda row: row.name, reverse=query.descending)
    ordered = sorted(sorted(found, key=lambda row: row.name), key=number, reverse=query.descending)
    # The surest of the misclassified ones first, whichever way: nobody wants the others first.
    return ordered[::-1] if query.sort == "surest-wrong" and not query.descending else ordered


def _number(known: Known, row: Row, sort: str) -> float:
    if sort == "surest-wrong":
        return known.score if row.right is False else -1.0
    return {"score": known.score, "margin": known.margin, "seconds": known.seconds}[sort]
