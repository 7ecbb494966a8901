"""Detections in words for a terminal: what was detected where, which of it is explained, and how to get the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from earwitness.cli.output import table
from earwitness.core.errors import printable
from earwitness.explainers.findings import (
    REGION_HEAD,
    WITHOUT,
    DetectedExplanation,
    Finding,
    duration,
    region_rows,
    shown_score,
)
from earwitness.models.detections import Detection, in_order_of_importance
from earwitness.trust.verdicts.summary import verdict_heads
from earwitness.workflows.explanation import Explanation

MOST_LISTED = 12


def picture_line(name: str, picture: Path, replaced: bool) -> str:
    """Return where the picture is, and what became of one that has its name."""
    taken = "" if picture.stem == name else f" ({name}.png is of another file, class or run)"
    return f"  picture:   {printable(picture)}{' (replaced)' if replaced else taken}"


def detections_lines(
    detections: Sequence[Detection], segments: int, numbers: dict[Detection, int] | None = None
) -> list[str]:
    """Return what was detected in a file, the most important of it in order of time; nothing where it is one segment.

    Parameters
    ----------
    detections
        All of it.
    segments
        How many segments the file has.
    numbers
        Of what was explained.
    """
    if segments == 1:
        return []
    if not detections:
        return ["  detected: nothing, for no class is sure at any moment"]
    numbers = numbers or {}
    shown = sorted(_listed(detections, numbers), key=detections.index)
    rows = [
        [
            each.class_name,
            duration(each.start_seconds),
            duration(each.end_seconds),
            shown_score(each.highest),
            shown_score(each.mean),
            each.segments,
            *([str(numbers.get(each, ""))] if numbers else []),
        ]
        for each in shown
    ]
    header = ["detected", "from", "to", "highest", "mean score", "segments", *(["explained"] if numbers else [])]
    lines = [f"  {line}" for line in table(header, rows).splitlines()]
    if left := len(detections) - len(shown):
        lines.append(f"  and {left} more, which --table FILE.csv lists")
    return lines


def _listed(detections: Sequence[Detection], numbers: dict[Detection, int]) -> list[Detection]:
    """Return what was explained, and the most important of the rest."""
    explained = [each for each in detections if each in numbers]
    others = [each for each in in_order_of_importance(detections) if each not in numbers]
    return [*explained, *others[: max(0, MOST_LISTED - len(explained))]]


def _strongest(answer: DetectedExplanation, finding: Finding) -> list[str]:
    """Return where the strongest evidence of each map lies, as a table."""
    told = list(zip(answer.inquiry.methods, finding.attributions[0], strict=True))
    lines = table(REGION_HEAD, [region_rows(title, found)[0] for title, found in told]).splitlines()
    return [*lines, *([f"({WITHOUT})"] if any(found.regions for _, found in told) else [])]


def detected_explanation(found: Explanation, picture: Path, top: int, *, replaced: bool = False) -> str:
    """Return what was detected in a file, and what of it was explained.

    Parameters
    ----------
    found
        With an answer of several detections.
    picture
        Where it is kept.
    top
        Classes to list.
    replaced
        Whether the picture took the place of an earlier one.
    """
    answer = found.answer
    assert isinstance(answer, DetectedExplanation)
    segments = f"{len(answer.scores)} segments of {answer.segment_frames * answer.clock.frame_seconds:.2f} s"
    numbers = {each: number for number, each, _ in answer.by_time}
    lines = [f"{found.file} ({duration(found.seconds)}, {segments})"]
    lines += detections_lines(answer.detections, found.segments, numbers)
    left = sum(each not in answer.explained for each in answer.detections)
    rest = f", {left} not: --detections {len(answer.detections)} explains more" if left else ""
    lines.append(f"  explained: {len(answer.explained)}, the best of each class first{rest}")
    lines.append(f"  mean score of all segments, the highest {min(top, len(found.scores))} classes:")
    lines += [f"  {score:6.1%}  {name}" for name, score in islice(found.scores.items(), top)]
    for number, each, finding in answer.by_time:
        where = f"{duration(finding.start_seconds)} to {duration(finding.end_seconds)}"
        score = finding.scores[answer.classes.index(each.class_name)]
        known = "" if each in answer.detections else "not detected; where it scores highest: "
        flags = sorted({flag for maps in finding.attributions for one in maps for flag in one.flags})
        about = f" ({', '.join(flags)})" if flags else ""
        lines.append(f"  {number}  {known}{each.class_name}, segment {where}, score {shown_score(score)}{about}")
        lines += [f"     {line}" for line in _strongest(answer, finding)]
    lines.append(picture_line(answer.name, picture, replaced))
    return "\n".join(lines)


def detected_verdicts(answer: DetectedExplanation) -> list[str]:
    """Return a line a detection with the verdicts on its maps, without reasons, and how to get these."""
    lines = [
        f"{number}  {each.class_name}: " + ", ".join(verdict_heads(replace(answer.inquiry, findings=(finding,))))
        for number, each, finding in answer.by_time
    ]
    return [*lines, "(--at SECONDS explains one alone, with the reasons of its verdicts)"]
