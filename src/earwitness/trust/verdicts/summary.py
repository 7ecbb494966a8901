"""Verdicts over an inquiry: in words, counted, and as a filter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace

from earwitness.core.errors import UsageError
from earwitness.explainers.attribution import Attribution
from earwitness.explainers.findings import Finding, Inquiry
from earwitness.trust.verdicts.advice import Known
from earwitness.trust.verdicts.verdict import LEVELS, NOT_RELIABLE, RELIABLE, verdict_of

FILTERS = tuple(level for level in LEVELS if level != NOT_RELIABLE)


def check_least(least: str | None, *, verdicts: bool) -> None:
    """Refuse a filter that is none.

    Raises
    ------
    UsageError
        It is no level to filter by, or no verdicts are asked for.
    """
    if least is None:
        return
    if least not in FILTERS:
        raise UsageError(f"--least {least}: choose one of {', '.join(FILTERS)}")
    if not verdicts:
        raise UsageError(f"--least {least}: goes by verdicts; leave out --no-verdicts")


def believed(inquiry: Inquiry, least: str) -> Inquiry:
    """Return an inquiry without the segments of which no map gets at least this verdict, and a note that counts them.

    Inquiries without maps are left as they are.
    """
    if not inquiry.methods:
        return inquiry
    enough = LEVELS[: LEVELS.index(least) + 1]
    kept = tuple(each for each in inquiry.findings if any(_level(one) in enough for one in _maps(each)))
    left_out = len(inquiry.findings) - len(kept)
    if not left_out:
        return inquiry
    better = "" if least == LEVELS[0] else " or better"
    word = "segment" if left_out == 1 else "segments"
    methods = ", ".join(inquiry.methods)
    note = f"Left out: {left_out} {word} of which no map by {methods} is {least}{better}."
    # A name of its own: the picture of all segments stays.
    name = f"{inquiry.name}-{least}"
    return replace(
        inquiry, name=name, title=f"{inquiry.title}, {least}{better}", findings=kept, notes=(*inquiry.notes, note)
    )


def counted_verdicts(inquiry: Inquiry) -> list[str]:
    """Return a line a method: how many of its maps got which verdict; nothing where there are no verdicts."""
    counts: dict[str, Counter[str]] = {}
    for finding in inquiry.findings:
        for per_target in finding.attributions:
            for title, attribution in zip(inquiry.methods, per_target, strict=True):
                if level := _level(attribution):
                    counts.setdefault(title, Counter())[level] += 1
    return [
        f"{title}: " + ", ".join(f"{count[level]} {level}" for level in LEVELS if count[level])
        for title, count in counts.items()
    ]


def verdict_lines(inquiry: Inquiry) -> list[str]:
    """Return a line for each map with a verdict: method, target, verdict, reasons."""
    lines = []
    for finding in inquiry.findings:
        where = f"{finding.file} at {finding.start_seconds:.2f} s, " if len(inquiry.findings) > 1 else ""
        for per_target in finding.attributions:
            for title, attribution in zip(inquiry.methods, per_target, strict=True):
                found = verdict_of(attribution)
                if found is not None:
                    lines.append(f"{where}{title} for {attribution.target_label}: {found.text()}")
    return lines


def verdict_heads(inquiry: Inquiry) -> list[str]:
    """Return a few words for each map with a verdict: method and verdict, without target and reasons."""
    judged = (
        (title, verdict_of(attribution))
        for finding in inquiry.findings
        for per_target in finding.attributions
        for title, attribution in zip(inquiry.methods, per_target, strict=True)
    )
    return [f"{title} {found.lines()[0]}" for title, found in judged if found is not None]


def verdict_block(inquiry: Inquiry) -> list[str]:
    """Return what a terminal shows of each map with a verdict: method and target, then a line a reason."""
    lines = []
    for finding in inquiry.findings:
        for per_target in finding.attributions:
            for title, attribution in zip(inquiry.methods, per_target, strict=True):
                found = verdict_of(attribution)
                if found is not None:
                    first, *reasons = found.lines()
                    lines += [f"{title} for {attribution.target_label}: {first}", *reasons]
    return lines


def advice_lines(inquiry: Inquiry, *, alone: bool = False, beyond: Collection[str] = ()) -> list[str]:
    """Return what to do about maps that are weak or not reliable, a line for each thing to do, with the maps' names.

    Where another method's map of the same segment and class is reliable, it is the one to go by.

    Parameters
    ----------
    inquiry
        Any.
    alone
        Whether its segment is all of the recording.
    beyond
        Methods that the model cannot be asked by.
    """
    named: dict[str, dict[str, dict[str, None]]] = {}  # what to do, for which methods' maps of which classes
    classes = set()
    for finding in inquiry.findings:
        labels = [per_target[0].target_label for per_target in finding.attributions if per_target]
        predicted = "" if finding.predicted in labels else finding.predicted
        for per_target in finding.attributions:
            asked = frozenset(each.method for each in per_target) | frozenset(beyond)
            maps = list(zip(inquiry.methods, per_target, strict=True))
            reliable = next((title for title, each in maps if _level(each) == RELIABLE), "")
            for title, each in maps:
                found = verdict_of(each, Known(asked, predicted or each.target_label, alone))
                classes.add(each.target_label)
                if found is not None and found.level != RELIABLE:
                    words = f"go by {reliable}, whose map is reliable" if reliable else found.advice
                    named.setdefault(words, {}).setdefault(title, {})[each.target_label] = None
    return [
        ", ".join(title if len(classes) == 1 else f"{title} for {', '.join(of)}" for title, of in maps.items())
        + f": {words}"
        for words, maps in named.items()
        if words
    ]


def _maps(finding: Finding) -> Iterator[Attribution]:
    return (attribution for per_target in finding.attributions for attribution in per_target)


def _level(attribution: Attribution) -> str:
    return "" if attribution.verdict is None else str(attribution.verdict["level"])
