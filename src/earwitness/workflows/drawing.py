"""How an explanation is drawn and exported: what one may ask for, and the figure that suits what was explained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earwitness.core.errors import UsageError
from earwitness.explainers.findings import DetectedExplanation, Inquiry, LongExplanation, WholeExplanation
from earwitness.inspection.exports import PICTURES, export, export_detections, region_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from earwitness.plots.maps import MapStyle
    from earwitness.workflows.explanation import Explanation

Answer = Inquiry | WholeExplanation | LongExplanation | DetectedExplanation


def drawn(answer: Answer, upsampling: str, overlay: bool, style: str) -> Figure:
    """Return the figure of an answer about a sound file; parameters as for :meth:`earwitness.Explanation.plot`."""
    from earwitness.plots import detections, evidence, paper, recording, timeline

    look = map_style(upsampling, overlay, style, whole=isinstance(answer, WholeExplanation | LongExplanation))
    if isinstance(answer, DetectedExplanation):
        return detections.detections(answer, look)
    if isinstance(answer, WholeExplanation):
        return recording.whole_recording(answer, look.medium)
    if isinstance(answer, LongExplanation):
        return timeline.long_recording(answer, look.medium)
    return (paper if look.medium.marks_only else evidence).maps(answer, look)


def draw(answer: Answer, path: Path, look: dict[str, Any]) -> Path:
    """Write the figure of an answer, as a PNG, SVG or PDF by its name; ``look`` is what :func:`drawn` takes."""
    from earwitness.plots.medium import medium_named
    from earwitness.plots.style import save

    save(drawn(answer, **look), path, medium_named(look["style"]))
    return path


def exported(
    explanation: Explanation, folder: Path, name: str, formats: Sequence[str], look: dict[str, Any]
) -> list[Path]:
    """Write an explanation's regions, detections and picture, as :meth:`earwitness.Explanation.export` says."""
    written, answer = [], explanation.answer
    if isinstance(answer, Inquiry | DetectedExplanation):
        maps = [
            (method, each)
            for (method, label), found in explanation.attributions.items()
            for each in (found, *explanation.moments.get((method, label), ()))
        ]
        written += export(region_table(maps), folder, name, formats)
    low, high = answer.clock.band_edge_hz([0, answer.clock.bands]).tolist()
    between = max(0.0, low), high
    written += export_detections(explanation.file, explanation.detections, between, folder, name, formats)
    return written + [draw(answer, folder / f"{name}.{each}", look) for each in PICTURES if each in formats]


def map_style(upsampling: str, overlay: bool, style: str = "screen", *, whole: bool) -> MapStyle:
    """Return how maps are drawn, or refuse what cannot be.

    Raises
    ------
    UsageError
        There is no such upsampling or style, or all of a recording is explained.
    """
    from earwitness.plots.maps import PLAIN, MapStyle
    from earwitness.plots.medium import medium_named

    look = MapStyle(upsampling, overlay, medium=medium_named(style))
    if whole and (look.upsampling, look.overlay) != (PLAIN.upsampling, PLAIN.overlay):
        raise UsageError("--upsampling and --overlay are for segments; leave them out with --whole")
    return look
