"""Results in words for a terminal: one function a kind of result. Imported when there is something to show."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from earwitness.audio.timefreq import Clock
from earwitness.cli.detections import detected_explanation, detected_verdicts, detections_lines, picture_line
from earwitness.cli.output import table
from earwitness.core.errors import printable
from earwitness.explainers.attribution import CONSTANT, SILENT, Attribution
from earwitness.explainers.baselines import BASELINES
from earwitness.explainers.findings import (
    REGION_HEAD,
    WITHOUT,
    DetectedExplanation,
    Finding,
    Inquiry,
    LongExplanation,
    RecordingExplanation,
    WholeExplanation,
    WholeMap,
    duration,
    region_rows,
    score_name,
    score_words,
    shown_score,
)
from earwitness.explainers.parameters import spec
from earwitness.explainers.timeline import Moment, Timeline
from earwitness.inspection.notes import SATURATED
from earwitness.inspection.recordings import METHODS as WHOLE_METHODS
from earwitness.trust.scoreboard.board import Scoreboard, verdicts
from earwitness.trust.scoreboard.ranking import ALL, ENERGY, Standing
from earwitness.trust.verdicts.resource import beyond_the_fit
from earwitness.trust.verdicts.summary import advice_lines, counted_verdicts, verdict_block
from earwitness.workflows.audit import AuditResult
from earwitness.workflows.explanation import Explanation
from earwitness.workflows.inquire import Answer

SMALL = 0.02  # fall of the score, as share of it, under which hardly anything hangs on any one moment


def answer(found: Answer) -> str:
    """Return a question's answer."""
    where = "nothing to show" if found.picture is None else printable(found.picture)
    lines = [f"{found.inquiry.title}: {where}", *(f"  {note}" for note in found.inquiry.notes)]
    verdicts = [f"  {line}" for line in counted_verdicts(found.inquiry)]
    return "\n".join(lines + verdicts + ["  (the report tells why, and what to do next)"] * bool(verdicts))


def explained(found: Explanation, picture: Path, top: int, *, verdicts: bool, replaced: bool = False) -> str:
    """Return what was found in a file, of whatever kind the answer is; ``top`` classes are listed."""
    if isinstance(found.answer, WholeExplanation):
        return whole_explanation(found.answer, picture, top, verdicts=verdicts, replaced=replaced)
    if isinstance(found.answer, LongExplanation):
        return long_explanation(found.answer, picture, top, verdicts=verdicts, replaced=replaced)
    if isinstance(found.answer, DetectedExplanation):
        return detected_explanation(found, picture, top, replaced=replaced)
    return explanation(found, picture, top, replaced=replaced)


def judged(found: Explanation) -> str:
    """Return the verdicts on an explanation's maps, and what to do about those that are not reliable."""
    if isinstance(found.answer, DetectedExplanation):
        inquiry, lines = found.answer.inquiry, detected_verdicts(found.answer)
    else:
        assert isinstance(found.answer, Inquiry)
        inquiry, lines = found.answer, verdict_block(found.answer)
    beyond = () if found.model is None else found.model.beyond
    advice = advice_lines(inquiry, alone=found.segments == 1, beyond=beyond)
    lines = ["verdicts (in the picture, too):", *lines, *(f"advice:    {line}" for line in advice)]
    if found.model is not None and (unseen := beyond_the_fit(found.model.classifier.backbone)):
        lines.append(f"note:      {unseen}")
    return "\n".join(f"  {line}" for line in lines)


def explanation(found: Explanation, picture: Path, top: int, *, replaced: bool = False) -> str:
    """Return what was found in one segment of a file; ``top`` classes are listed."""
    assert isinstance(found.answer, Inquiry)
    (finding,) = found.answer.findings
    several = found.segments > 1
    lines = [f"{found.file} ({found.seconds:.2f} s{', mean scores of its segments' if several else ''})"]
    lines += detections_lines(found.detections, found.segments)
    lines += [f"  {score:6.1%}  {name}" for name, score in islice(found.scores.items(), top)]
    lines += _nested(found.answer.nested)
    flags = sorted({flag for each in found.attributions.values() for flag in each.flags})
    about = f"  explained: {found.start_seconds:.2f} to {found.end_seconds:.2f} s"
    scores = dict(zip(found.answer.classes, finding.scores, strict=True))
    there = ", ".join(f"{name} {shown_score(scores[name])}" for name in found.classes)
    lines.append(f"{about}, score there: {there}" + (f" ({', '.join(flags)})" if flags else ""))
    lines += _evidence(found.answer, finding)
    lines.append(picture_line(found.answer.name, picture, replaced))
    return "\n".join(lines)


def _evidence(inquiry: Inquiry, finding: Finding) -> list[str]:
    """Return where the evidence of each map lies, and how far the score falls without it, as a table."""
    rows = []
    for per_target in finding.attributions:
        for title, found in zip(inquiry.methods, per_target, strict=True):
            name = title if len(finding.attributions) == 1 else f"{title} for {found.target_label}"
            rows += region_rows(name, found)
    regions = any(found.regions for per_target in finding.attributions for found in per_target)
    return [*table(REGION_HEAD, rows, "  ").splitlines(), *([f"  ({WITHOUT})"] if regions else [])]


def whole_explanation(
    whole: WholeExplanation, picture: Path, top: int, *, verdicts: bool, replaced: bool = False
) -> str:
    """Return what was found in a whole file; ``top`` classes are listed. Were verdicts hoped for, it says why not."""
    lines = _scores(whole, top, f"{whole.seconds:.2f} s")
    flags = sorted({flag for listed in whole.maps for each in listed for flag in each.map.flags})
    lines.append(f"  explained: 0.00 to {whole.seconds:.2f} s" + (f" ({', '.join(flags)})" if flags else ""))
    for listed in whole.maps:
        for each in listed:
            lines += [f"  {line}" for line in _found(whole, each)]
    if verdicts:
        first = whole.maps[0][0].profile
        at = _moment(whole, first, _strongest(whole, first)[0])
        lines.append(f"  verdict:   none, for they are for single segments: --at {at:.2f} instead of --whole gives one")
    lines.append(picture_line(whole.name, picture, replaced))
    return "\n".join(lines)


def long_explanation(whole: LongExplanation, picture: Path, top: int, *, verdicts: bool, replaced: bool = False) -> str:
    """Return what was found in a long file, as :func:`whole_explanation` does for a short one."""
    lines = _scores(whole, top, duration(whole.seconds))
    lines.append("  explained: all of it, and the moments below in detail")
    for line in (line for listed in whole.timelines for line in listed):
        lines += [f"  {words}" for words in _timeline(whole, line)]
    moments = [moment for listed in whole.timelines for line in listed for moment in line.moments]
    if verdicts and moments:
        at = float(whole.clock.frame_edge_seconds(moments[0].middle_frame))
        lines.append(f"  verdict:   none, for they are for single segments: --at {at:.2f} instead of --whole gives one")
    lines.append(picture_line(whole.name, picture, replaced))
    return "\n".join(lines)


def _scores(whole: RecordingExplanation, top: int, length: str) -> list[str]:
    """Return a file's length, its classes of the highest mean score with their votes, and the vote where it differs."""
    segments = f"{len(whole.scores)} segment{'s' if len(whole.scores) > 1 else ''}"
    lines = [f"{whole.file} ({length}, {segments})", *detections_lines(whole.detections, len(whole.scores))]
    width = max(len(whole.classes[index]) for index in whole.best(top))
    lines += [
        f"  {whole.mean[index]:6.1%}  {whole.classes[index]:{width}}  {whole.votes[index]:3d} of {segments}"
        for index in whole.best(top)
    ]
    if whole.voted != whole.best(1)[0]:
        lines.append(f"  by vote:   {whole.classes[whole.voted]}")
    return lines + _nested(whole.nested)


def _nested(classes: Sequence[str]) -> list[str]:
    """Return which class is explained where it is not the best one but nested in it."""
    return [f"  class:     {classes[-1]}, the most specific of {' > '.join(classes)}"] if len(classes) > 1 else []


def _timeline(whole: LongExplanation, line: Timeline) -> list[str]:
    """Return in words which moments matter most to a class, what each takes from its score, and at which pitch."""
    overall, clock = line.overall, whole.clock
    name = overall.target_label + (f" by {spec(line.method)}" if spec(line.method) != WHOLE_METHODS[0] else "")
    unit = score_name(overall)
    lead = f"{name}: mean {unit} {_score(overall)}"
    if CONSTANT in overall.flags:
        return [f"{lead}; nothing stands out"]
    if not line.moments:
        low, high = _pitch(clock, overall)
        return [f"{lead}; strongest evidence: {low:.0f} to {high:.0f} Hz"]
    rows = []
    for number, moment in enumerate(line.moments, 1):
        first, end = (max(0.0, float(clock.frame_start_seconds(edge))) for edge in moment.hidden)
        low, high = _pitch(clock, moment.map, 1.0 if moment.score >= moment.without else -1.0)
        rows.append(
            [
                number,
                duration(first),
                duration(min(end, whole.seconds)),
                score_words(overall, moment.score),
                score_words(overall, moment.without),
                f"{low:.0f} to {high:.0f} Hz" if moment.map.native.shape[1] > 1 else "",
                *([_finest(clock, moment)] if moment.pieces else []),
            ]
        )
    detected = any(moment.pieces for moment in line.moments)
    header = ["moment", "from", "to", f"{unit} there", "without it", "most by", *(["most at"] if detected else [])]
    words = "; what its detections carry" if detected else "; it changes most without the sound around"
    lines = [f"{lead}{words}", *table(header, rows, "  ").splitlines()]
    if left := sum(each.class_name == overall.target_label for each in whole.detections) - len(rows) * detected:
        lines += [f"  and {left} more detections, which were not hidden"] * detected
    return lines


def _finest(clock: Clock, moment: Moment) -> str:
    """Return the seconds of the smallest piece of a detection without which the score falls most."""
    finest = moment.pieces[-1]
    place = int(finest.lost.argmax())
    first, end = clock.frame_start_seconds(finest.edges[[place, place + 1]]).tolist()
    return f"{duration(first)} to {duration(end)}"


def _pitch(clock: Clock, found: Attribution, sign: float = 1.0) -> list[float]:
    """Return the lowest and the highest hertz of the cell that speaks most for the class, or (-1) against it."""
    column = int((sign * found.native).max(axis=0).argmax())
    return clock.band_edge_hz(found.band_edges[[column, column + 1]]).tolist()


def _found(whole: WholeExplanation, each: WholeMap) -> list[str]:
    """Return in words where the strongest evidence lies, and what a reader must know of it."""
    clock, found, profile = whole.clock, each.map, each.profile
    name = found.target_label + (f" by {spec(each.method)}" if spec(each.method) != WHOLE_METHODS[0] else "")
    if {SILENT, CONSTANT} & set(found.flags):
        return [f"{name}: nothing stands out"]
    unit = score_name(found)
    row, _ = _strongest(whole, profile)
    fall = float(profile.native[row, 0])
    seconds = min(profile.parameters["mask"][0], whole.real_frames) * clock.frame_seconds
    words = "which no one moment raises by much"
    if fall > 0 and _score(found, fall) != _score(found):
        words = f"{_score(found, fall)} without the {seconds:.2g} s around {_moment(whole, profile, row):.2f} s"
    lines = [f"{name}: mean {unit} {_score(found)}, {words}"]
    at, column = _strongest(whole, found)
    if found.native[at, column] > 0 and found is not profile:
        low, high = clock.band_edge_hz(found.band_edges[[column, column + 1]])
        moment = f"around {_moment(whole, found, at):.2f} s, " if len(found.native) > 1 else ""
        lines.append(f"  strongest evidence: {moment}{low:.0f} to {high:.0f} Hz")
    if found.score_kind == "probability" and found.score > SATURATED and fall < SMALL * found.score:
        lines.append(f"  above {SATURATED:g} the score hardly moves; --method occlusion:score=log-odds shows more")
    if "fill2_rank_correlation" in found.diagnostics:
        told = found.diagnostics
        where = float(clock.frame_centre_seconds(told["fill2_frame"]))
        hertz = float(clock.band_centre_hz(told["fill2_band"]))
        words = (
            f"rank correlation {told['fill2_rank_correlation']:.2f}, they differ most at {where:.2f} s, {hertz:.0f} Hz"
        )
        lines.append(f"  fills {found.fill} and {found.parameters['fill2']}: {words}")
    return lines


def _strongest(whole: WholeExplanation, found: Attribution) -> tuple[int, int]:
    """Return the cell of a map that speaks most for the class, among those that lie in a segment."""
    scored_rows = found.native[found.frame_edges[:-1] < whole.real_frames]
    row, column = np.unravel_index(int(scored_rows.argmax()), scored_rows.shape)
    return int(row), int(column)


def _moment(whole: WholeExplanation, found: Attribution, row: int) -> float:
    """Return the middle of a map's row, in seconds of the recording."""
    middle = float(whole.clock.frame_edge_seconds(found.frame_edges[[row, row + 1]].mean()))
    return min(max(0.0, middle), whole.seconds)


def _score(found: Attribution, fall: float = 0.0) -> str:
    return score_words(found, found.score - fall)


def audit(outcome: AuditResult) -> str:
    """Return an audit's table and findings."""
    rows = [
        [
            each.name,
            each.touched,
            f"{100 * each.before:.1f} %",
            f"{100 * each.after:.1f} %",
            f"{100 * each.low:+.1f} to {100 * each.high:+.1f}",
            f"{each.score_change:+.3f}",
        ]
        for each in outcome.audit.effects
    ]
    head = [
        "taken out",
        "recordings that had it",
        "segments right with",
        "without",
        "95 % interval of the change (points)",
        "change of score",
    ]
    lines = [
        f"{outcome.audit.files} recordings scored with and without; shares and changes are means over all of them:",
        "",
        table(head, rows),
    ]
    for each in outcome.audit.effects:
        lines += ["", f"{each.name}: {each.taken}.", f"  {each.question} {each.told()}"]
    lines += ["", *(f"warning: {sentence}" for sentence in outcome.audit.formats)]
    return "\n".join([*lines, outcome.audit.summary(), f"kept in {printable(outcome.file)}"])


def scoreboard(board: Scoreboard) -> str:
    """Return a scoreboard in words: what was tried, what was planted, the table, and who beats energy."""
    kinds = board.kinds()
    legend = [
        f"  {number}  {family}: {kind} ({board.of(family, kind)[0].cases} cases)"
        for number, (family, kind) in enumerate(kinds, 1)
    ]
    header = [
        "method",
        "all",
        "95 % interval",
        "pointing",
        "mass",
        *(str(number) for number in range(1, len(kinds) + 1)),
    ]
    marks = {place: {each.method: each for each in board.of(*place)} for place in kinds}
    pointing, mass = ({each.method: each.mean for each in board.of(score=name)} for name in ("pointing", "mass"))
    rows = [
        [
            f"{each.method} (baseline)" if each.method in BASELINES else each.method,
            _marked(each),
            f"{each.low:.2f} to {each.high:.2f}",
            f"{pointing[each.method]:.2f}",
            f"{mass[each.method]:.2f}",
            *(_marked(marks[place].get(each.method)) for place in kinds),
        ]
        for each in board.of()
    ]
    lines = [
        *(each.text() for each in board.gathered.tallies),
        *board.gathered.notes,
        "",
        "Area under ROC of cells (0.5: chance, 1: right); * where the whole interval lies above energy's:",
        *legend,
        "",
        table(header, rows),
        "",
        *_beats_energy(board),
    ]
    return "\n".join(lines)


def _marked(each: Standing | None) -> str:
    if each is None:
        return ""
    return f"{each.mean:.2f}{'*' if each.beats_energy else ' '}"


def _beats_energy(board: Scoreboard) -> list[str]:
    families = [ALL, *dict.fromkeys(family for family, _ in board.kinds())]
    found = []
    for family in families:
        beat, rest = verdicts(board, family)
        where = "over all cases" if family == ALL else f"on {family}"
        if any(each.method == ENERGY for each in board.of(family)):
            found.append(f"{where}: beat energy: {', '.join(beat) or 'none'}; do not: {', '.join(rest) or 'none'}")
    return found
