"""A map as what goes over the wire: where it lies, how strong it is, what it says in words, and its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from earwitness.core.arrays import Float64Array
from earwitness.explainers.attribution import CONSTANT, SILENT, Attribution, saved_metadata
from earwitness.explainers.findings import region_words
from earwitness.explainers.registry import METHODS
from earwitness.trust.verdicts.advice import WHOLE as WHOLE_ADVICE
from earwitness.trust.verdicts.advice import Known
from earwitness.trust.verdicts.resource import beyond_the_fit
from earwitness.trust.verdicts.verdict import NOT_RELIABLE, RELIABLE, WEAK, verdict_of
from earwitness.web import shapes
from earwitness.web.collection import Collection
from earwitness.web.review_exports import MapWords
from earwitness.web.shelf import WHOLE as WHOLE_METHOD
from earwitness.web.shelf import HeldMap

RANK = (RELIABLE, WEAK, None, NOT_RELIABLE)  # of verdicts, the one to show first first


def best_first(collection: Collection, name: str, maps: Sequence[HeldMap]) -> list[HeldMap]:
    """Return a recording's maps, the one first that it opens with.

    Maps of the predicted class come before others, maps of its most confident segment (which `explain` and the report
    take, too) before those of other segments, and those with the better verdict before the worse.
    """
    known, frame = collection.known.get(name), collection.model.classifier.front_end.clock.frame_seconds

    def order(each: HeldMap) -> tuple[bool, bool, int]:
        elsewhere = known is None or each.whole or abs(each.start_seconds - known.surest) > frame / 2
        level = each.level if each.level in RANK else None  # another version's
        return known is None or each.target != known.predicted, elsewhere, RANK.index(level)

    return sorted(maps, key=order)


def map_shape(collection: Collection, held: HeldMap) -> shapes.Map:
    """Return a map without its cells."""
    found = Attribution.load(held.path)
    rows, columns = cells(found).shape
    times, hertz = edges(collection, found)
    classes = collection.model.classes
    against = found.target.against
    return shapes.Map(
        id=held.id,
        method=WHOLE_METHOD if held.whole else held.method,
        title=title_of(found.method),
        target=found.target_label,
        name=classes[found.target.index],
        against=None if against is None else classes[against],
        score=found.score,
        score_kind=found.score_kind,
        start_seconds=max(0.0, float(times[0])),
        end_seconds=float(times[-1]),
        whole=held.whole,
        rows=rows,
        columns=columns,
        time_edges=times.tolist(),
        frequency_edges=hertz.tolist(),
        strongest=float(np.abs(found.values).max(initial=0.0)),
        flags=list(found.flags),
        regions=[
            shapes.RegionShape(**{name: getattr(each, name) for name in shapes.RegionShape.__struct_fields__})
            for each in found.regions
        ],
        text=in_words(found),
        verdict=_verdict(collection, held, found),
    )


def for_readers(collection: Collection, held: HeldMap) -> MapWords:
    """Return what a map is in the words of a table."""
    metadata = saved_metadata(held.path) or {}
    known = collection.known.get(held.recording)
    length = collection.model.classifier.segment_seconds
    if held.whole:
        end = float(edges(collection, Attribution.load(held.path))[0][-1])
    else:
        end = held.start_seconds + length if known is None else min(held.start_seconds + length, known.seconds)
    method = str(metadata.get("method", held.method))
    settings = metadata.get("parameters", {}).items()
    return MapWords(
        method=title_of(method) + (" (all of the recording)" if held.whole else ""),
        target_class=held.target,
        segment_start_seconds=round(held.start_seconds, 3),
        segment_end_seconds=round(end, 3),
        settings="; ".join(f"{name} = {_setting(value)}" for name, value in settings),
    )


def title_of(method: str) -> str:
    """Return a method's name in words; that of another version's stays as it is."""
    return METHODS[method].title if method in METHODS else method


def _setting(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return " x ".join(map(str, value)) if isinstance(value, list) else str(value)


def cells(found: Attribution) -> Any:
    """Return a map's own cells, shape (rows, columns); those of all frames and bands where it has no grid."""
    return found.native


def edges(collection: Collection, found: Attribution) -> tuple[Float64Array, Float64Array]:
    """Return the edges of a map's cells in seconds and hertz; version 0.1.0 kept frames and bands alone."""
    if found.time_edges.size and found.frequency_edges.size:
        return found.time_edges, np.maximum(found.frequency_edges, 0.0)
    clock, (rows, columns) = collection.model.classifier.front_end.clock, found.native.shape
    frames = found.frame_edges if found.frame_edges.size else np.arange(rows + 1)
    bands = found.band_edges if found.band_edges.size else np.arange(columns + 1)
    first = float(clock.seconds_to_frame(found.start_seconds))
    return clock.frame_edge_seconds(first + frames), np.maximum(clock.band_edge_hz(bands), 0.0)


def in_words(found: Attribution) -> str:
    """Return where a map's evidence lies, for those who cannot see it."""
    target = found.target_label
    if {SILENT, CONSTANT} & set(found.flags):
        what = "the segment holds no sound" if SILENT in found.flags else "all cells are alike"
        return f"Nothing stands out: {what}."
    if not found.regions:
        return f"The evidence for {target} is scattered: no place holds a tenth of it."
    told = []
    for region in found.regions:
        seconds, hertz, share, score, without = region_words(region)
        told.append(f"{share} of it at {seconds}, {hertz}; hiding that alone takes the score from {score} to {without}")
    return f"Evidence for {target}: " + ". ".join(told) + "."


def _verdict(collection: Collection, held: HeldMap, found: Attribution) -> shapes.VerdictShape | None:
    known = collection.known.get(held.recording)
    alone = known is not None and known.segments == 1
    there = {each.method.partition(":")[0] for each in collection.shelf.of(held.recording) if not each.whole}
    predicted = known.predicted if known else ""
    verdict = verdict_of(found, Known(asked=collection.model.beyond | there, predicted=predicted, alone=alone))
    if verdict is None:
        return None
    return shapes.VerdictShape(
        level=verdict.level,  # type: ignore[arg-type]  # one of LEVELS
        chance=verdict.chance,
        reasons=[shapes.ReasonShape(good=each.good, text=each.text) for each in verdict.reasons],
        advice=_on_the_page(verdict.advice),
        beyond=beyond_the_fit(collection.model.classifier.backbone),
    )


def _on_the_page(advice: str) -> str:
    """Return advice that names a command's options in the words of the page; settings are a command's alone."""
    advice = advice.replace(WHOLE_ADVICE, 'choose the method "All of the recording"').replace(": without --class", "")
    options = advice.partition("--method ")[2]
    if ":" in options:
        return advice.replace("--method", "`earwitness explain --method", 1) + "`"
    titles = " or ".join(METHODS[each].title for each in options.split(" --method ") if each)
    return advice.replace(f"--method {options}", titles)
