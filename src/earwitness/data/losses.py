"""Recordings that lose most of their sound on the way to a front end, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import floor

from earwitness.audio.losses import MOSTLY, ONE, SLOWER, percent
from earwitness.data.recordings import DataSet

MOST_NAMED = 3


def warnings(dataset: DataSet, edges: Mapping[float, str]) -> tuple[str, ...]:
    """Return a sentence on recordings of which most is lost to a model, and one on those whose channels cancel.

    Parameters
    ----------
    dataset
        Decoded (:func:`earwitness.data.checks.check`), and measured at these edges.
    edges
        Highest frequencies (Hz) that models use, the highest first, and the names of these models.
    """
    above: dict[float, list[tuple[float, str]]] = {edge: [] for edge in edges}
    cancelled = []
    for recording, facts in zip(dataset.recordings, dataset.facts, strict=True):
        for edge, share in facts.above:
            if share > MOSTLY:
                above[edge].append((share, recording.name))
        if facts.cancelled:
            cancelled.append((facts.cancelled, recording.name))
    total, told, sentences = len(dataset.facts), 0, []
    for edge, found in above.items():
        if len(found) > told:  # otherwise a higher edge has named them already
            told = len(found)
            sentences.append(
                f"{told} of {total} recordings hold most of their energy above {edge / 1000:g} kHz, lost to "
                f"{edges[edge]}: {_worst(found)}; {SLOWER}"
            )
    if cancelled:
        sentences.append(
            f"{len(cancelled)} of {total} recordings lose most of their energy in the mean of their channels, which "
            f"cancel: {_worst(cancelled)}; {ONE}"
        )
    return tuple(sentences)


def _worst(found: Iterable[tuple[float, str]]) -> str:
    ranked = sorted(found, key=lambda each: (-floor(10_000 * each[0]), each[1]))  # as shown, then by name
    named = ", ".join(f"{name} ({percent(share)})" for share, name in ranked[:MOST_NAMED])
    return named + (f", and {len(ranked) - MOST_NAMED} more" if len(ranked) > MOST_NAMED else "")
