"""Whole sound files explained, with their pictures and maps written where the user wants them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earwitness.core.errors import printable
from earwitness.core.progress import Progress, Silent
from earwitness.core.run_folder import check_writable
from earwitness.data.recordings import Unusable
from earwitness.explainers.attribution import CONSTANT, SILENT, Attribution
from earwitness.explainers.explanations import shown_score
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.parameters import spec
from earwitness.inspection.notes import SATURATED
from earwitness.inspection.recordings import METHODS, HeardWhole, WholeMap, along_time, explainers, hear_whole
from earwitness.inspection.run import safe_name
from earwitness.plots import style
from earwitness.plots.recording import whole_recording
from earwitness.workflows.explain import each_file, load_classifier, unused_name

__all__ = ["METHODS", "WholeAnswer", "WholeOutcome", "explain_whole"]

SMALL = 0.02  # fall of the score, as share of it, under which hardly anything hangs on any one moment


@dataclass(frozen=True)
class WholeAnswer:
    """What was heard in a whole file, where its picture is, and whether verdicts had been hoped for."""

    heard: HeardWhole
    picture: Path
    verdicts: bool

    def text(self) -> str:
        """Return the answer's lines for a terminal."""
        heard = self.heard
        segments = f"{len(heard.scores)} segment{'s' if len(heard.scores) > 1 else ''}"
        lines = [f"{heard.file} ({heard.seconds:.2f} s, {segments})"]
        width = max(len(heard.classes[index]) for index in heard.best(heard.top))
        lines += [
            f"  {heard.mean[index]:6.1%}  {heard.classes[index]:{width}}  {heard.votes[index]:3d} of {segments}"
            for index in heard.best(heard.top)
        ]
        if heard.voted != heard.best(1)[0]:
            lines.append(f"  by vote:   {heard.classes[heard.voted]}")
        flags = sorted({flag for listed in heard.maps for each in listed for flag in each.map.flags})
        end = min(heard.heard_frames, heard.real_frames) * heard.clock.frame_seconds
        lines.append(f"  explained: 0.00 to {end:.2f} s" + (f" ({', '.join(flags)})" if flags else ""))
        if heard.heard_frames < heard.real_frames:
            lines.append(f"  not heard: {end:.2f} to {heard.seconds:.2f} s, which fill no segment")
        for listed in heard.maps:
            for each in listed:
                lines += [f"  {line}" for line in _found(heard, each)]
        if self.verdicts:
            first = heard.maps[0][0].profile
            at = _moment(heard, first, _strongest(heard, first)[0])
            lines.append(
                f"  verdict:   none, for they are for single segments: --at {at:.2f} instead of --whole gives one"
            )
        lines.append(f"  picture:   {printable(self.picture)}")
        return "\n".join(lines)


@dataclass(frozen=True)
class WholeOutcome:
    """The answers for the files that could be heard, and the files that could not."""

    heard: tuple[WholeAnswer, ...]
    unusable: tuple[Unusable, ...]


def explain_whole(
    files: Sequence[str],
    *,
    run: Path | str | None = None,
    backbone: str | None = None,
    weights: str | None = None,
    methods: Sequence[str] = METHODS,
    targets: Sequence[str] = (),
    top: int = 5,
    out: Path | str = "explained",
    verdicts: bool = True,
    device: str = "auto",
    progress: Progress | None = None,
) -> WholeOutcome:
    """Ask a classifier what it hears in sound files from their beginning to their end, and draw that.

    Parameters
    ----------
    files
        Paths.
    run, backbone, weights
        A trained run, or a backbone with its published classes.
    methods, targets, top
        As for :func:`earwitness.inspection.recordings.hear_whole`.
    out
        Folder for ``NAME-whole.png`` and ``NAME-whole-CLASS-METHOD.npz``; files of those names are replaced.
    verdicts
        Whether to say that there are none.
    device, progress
        As everywhere.

    Raises
    ------
    UsageError
        The request is wrong: a name, a method that cannot explain whole recordings, a folder that cannot be written to.
    EarwitnessError
        The run is damaged, or the disk refuses.
    """
    asked = explainers(methods)
    check_writable(Path(out))
    classifier = load_classifier(run, backbone=backbone, weights=weights, device=device)
    prepared, names = Prepared(classifier), set[str]()

    def answer(path: Path) -> WholeAnswer:
        heard = hear_whole(classifier, path, asked, targets=targets, top=top, prepared=prepared, progress=progress)
        return WholeAnswer(heard, _write(heard, Path(out), unused_name(heard.name, names), progress), verdicts)

    return WholeOutcome(*each_file(files, answer, progress))


def _write(heard: HeardWhole, out: Path, name: str, progress: Progress | None) -> Path:
    picture = out / f"{name}.png"
    with (progress or Silent()).task("Drawing", 1) as advance:
        style.save(whole_recording(heard), picture)
        advance(1)
    for listed in heard.maps:
        for each in listed:
            for method, found in ((each.method, each.map), (along_time(each.method), each.profile)):
                found.save(out / f"{name}-{safe_name(found.target_label)}-{safe_name(spec(method))}.npz")
    return picture


def _found(heard: HeardWhole, each: WholeMap) -> list[str]:
    """Return in words where the strongest evidence lies, and what a reader must know of it."""
    clock, found, profile = heard.clock, each.map, each.profile
    name = found.target_label + (f" by {spec(each.method)}" if spec(each.method) != METHODS[0] else "")
    if {SILENT, CONSTANT} & set(found.flags):
        return [f"{name}: nothing stands out"]
    unit = "score" if found.score_kind == "probability" else found.score_kind
    row, _ = _strongest(heard, profile)
    fall = float(profile.native[row, 0])
    seconds = min(profile.parameters["mask"][0], heard.real_frames) * clock.frame_seconds
    words = "which no one moment raises by much"
    if fall > 0 and _score(found, fall) != _score(found):
        words = f"{_score(found, fall)} without the {seconds:.2g} s around {_moment(heard, profile, row):.2f} s"
    lines = [f"{name}: mean {unit} {_score(found)}, {words}"]
    at, column = _strongest(heard, found)
    if found.native[at, column] > 0 and found is not profile:
        low, high = clock.band_edge_hz(found.band_edges[[column, column + 1]])
        moment = f"around {_moment(heard, found, at):.2f} s, " if len(found.native) > 1 else ""
        lines.append(f"  strongest evidence: {moment}{low:.0f} to {high:.0f} Hz")
    if found.score_kind == "probability" and found.score > SATURATED and fall < SMALL * found.score:
        lines.append(f"  above {SATURATED:g} the score hardly moves; --method occlusion:score=logit shows more")
    if "fill2_rank_correlation" in found.diagnostics:
        told = found.diagnostics
        where = float(clock.frame_centre_seconds(told["fill2_frame"]))
        hertz = float(clock.band_centre_hz(told["fill2_band"]))
        words = (
            f"rank correlation {told['fill2_rank_correlation']:.2f}, they differ most at {where:.2f} s, {hertz:.0f} Hz"
        )
        lines.append(f"  fills {found.fill} and {found.parameters['fill2']}: {words}")
    return lines


def _strongest(heard: HeardWhole, found: Attribution) -> tuple[int, int]:
    """Return the cell of a map that speaks most for the class, among those that a segment heard."""
    heard_rows = found.native[found.frame_edges[:-1] < min(heard.heard_frames, heard.real_frames)]
    row, column = np.unravel_index(int(heard_rows.argmax()), heard_rows.shape)
    return int(row), int(column)


def _moment(heard: HeardWhole, found: Attribution, row: int) -> float:
    """Return the middle of a map's row, in seconds of the recording."""
    middle = float(heard.clock.frame_edge_seconds(found.frame_edges[[row, row + 1]].mean()))
    return min(max(0.0, middle), heard.seconds)


def _score(found: Attribution, fall: float = 0.0) -> str:
    score = found.score - fall
    return f"{score:.2f}" if found.score_kind == "logit" else shown_score(score)
