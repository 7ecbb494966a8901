"""Occlusion of a recording of any length: coarse over all of it, in detail at the moments that matter most.

To hide every cell of an hour would take hours, and nobody could see so many cells. So a mask about as long as a segment
moves over the whole recording and hides all bands. Then each detection of the class is hidden, as long as it is, its
halves, its quarters (:mod:`~earwitness.explainers.perturbation.pieces`), and small masks that follow its length move
over it. Where the class was not detected, the method's own masks move where the mean score changes most.
Time grows with the length of the recording, memory does not: the log-mel comes in parts, and each part is explained
together with the segments beside it that its masks reach.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from earwitness.audio.segments import SegmentedLogMels, Segments, cut
from earwitness.audio.timefreq import segment_hop
from earwitness.core.arrays import Float64Array, Int64Array, LogMel
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers.attribution import CONSTANT, Attribution, Grid, Target, is_constant
from earwitness.explainers.fills import NONE, Level
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.perturbation.moments import MOMENT_SEGMENTS, Peak, Place, detected, strongest
from earwitness.explainers.perturbation.occlusion import Occlusion
from earwitness.explainers.perturbation.pieces import lost_without_pieces
from earwitness.explainers.perturbation.recording import explain_excerpt
from earwitness.explainers.timeline import Moment, Pieces, Timeline
from earwitness.models.prediction import ScoredRecording

MOMENT_SECONDS = 12.0  # of a longer detection, the part around its best segment is shown
HIDDEN_SECONDS = 300.0  # and of a much longer one, so much of it is hidden at once
SHARE = 0.2  # a mask of a moment, of its detection's length
# A part is at least so long, so that what is read beside it is little.
PART_SECONDS, PART_SEGMENTS = 60.0, 20


def explain_timeline(
    prepared: Prepared,
    scored: ScoredRecording,
    overlap: float,
    targets: Sequence[Target],
    explainer: Occlusion,
    level: Level,
    places: Sequence[Sequence[Place]] = (),
    progress: Progress = NO_PROGRESS,
) -> list[Timeline]:
    """Explain the mean score of a recording that is much longer than a segment.

    Parameters
    ----------
    prepared
        What made the decision.
    scored
        The recording with its scores.
    overlap
        Of its segments, in percent.
    targets
        What to explain.
    explainer
        Its masks are used at the moments that matter most; ``along="bands"`` has one answer for all the time, and no
        moments. ``fill2`` is used for the moments alone.
    level
        Of the recording, for the fills.
    places
        A list a target: where its class was detected, the most important first. A target without has its moments where
        the score changes most; so has every target where there are no lists.
    progress
        Told a step a part and a moment.

    Returns
    -------
    A timeline a target.

    Raises
    ------
    UsageError
        A mask does not fit, or a target is out of range.
    EarwitnessError
        The network's score is not a number, or the file is no longer what was scored.
    """
    work = _Work(
        prepared=prepared,
        scored=scored,
        overlap=overlap,
        hop=segment_hop(scored.segment_frames, overlap),
        targets=tuple(targets),
        explainer=explainer,
        level=level,
        places=tuple(tuple(each) for each in places) or ((),) * len(targets),
    )
    explainer.masks(scored.segment_frames, scored.clock.bands)  # raises before hours are spent, not after
    if explainer.along == "bands":
        return [Timeline(explainer, overall, ()) for overall in work.over_bands(progress)]
    overall, parts = work.over_time(progress)
    return [Timeline(explainer, *each) for each in zip(overall, work.moments(overall, parts, progress), strict=True)]


@dataclass(frozen=True, kw_only=True)
class _Work:
    """A request, and how its recording is taken apart; all lengths in frames."""

    prepared: Prepared
    scored: ScoredRecording
    overlap: float
    hop: int
    targets: tuple[Target, ...]
    explainer: Occlusion
    level: Level
    places: tuple[tuple[Place, ...], ...]

    def over_time(self, progress: Progress) -> tuple[list[Attribution], list[_Part]]:
        """Return what is lost without each moment, for each target, and the parts that this is from."""
        coarse, (mask, stride) = self._coarse()
        parts, real = self._parts(stride), self.scored.real_frames
        reach = _rounded_up(mask + self.scored.segment_frames + 2 * coarse.soft + 1, stride)
        spans = [(max(0, first - reach), min(real, end + reach)) for first, end in parts]
        explained = []
        with progress.task("Occlusion of the whole recording", len(parts)) as advance:
            for (first, end), (begin, _), log_mel in zip(parts, spans, self.scored.excerpts(spans), strict=True):
                part = self._explained(coarse, self.targets, begin, log_mel)
                middles = begin + mask // 2 + np.array(coarse.masks(*log_mel.shape).frame_starts)
                explained.append(part.between(first, end if end < real else sys.maxsize, middles))
                advance(1)
        bands = self.scored.clock.bands
        middles = np.concatenate([part.middles for part in explained])
        lost = np.concatenate([part.lost for part in explained])
        return self._put_together(lost, Grid.around(middles, np.array([bands / 2]), real, bands), explained), explained

    def over_bands(self, progress: Progress) -> list[Attribution]:
        """Return what is lost without some bands of all the time, for each target."""
        parts, frames = self._parts(self.hop), self.scored.segment_frames
        ends = [end if end == self.scored.real_frames else end - self.hop + frames for _, end in parts]
        spans = [(first, end) for (first, _), end in zip(parts, ends, strict=True)]
        explained = []
        with progress.task("Occlusion of the whole recording", len(parts)) as advance:
            for (first, _), log_mel in zip(spans, self.scored.excerpts(spans), strict=True):
                explained.append(
                    self._explained(replace(self.explainer, fill2=NONE), self.targets, first, log_mel).bare()
                )
                advance(1)
        grid = self.explainer.masks(frames, self.scored.clock.bands).grid
        whole = replace(grid, frame_edges=np.array([0.0, self.scored.real_frames]))
        return self._put_together(np.sum([part.lost for part in explained], axis=0), whole, explained)

    def moments(
        self, overall: Sequence[Attribution], parts: Sequence[_Part], progress: Progress
    ) -> list[tuple[Moment, ...]]:
        """Return what is lost without each cell around the moments that matter most to each target.

        Parameters
        ----------
        overall, parts
            From :meth:`over_time`.
        progress
            Told a step a moment.
        """
        scored = self.scored
        middles = np.concatenate([part.middles for part in parts])
        base, starts = (np.concatenate([getattr(part, name) for part in parts]) for name in ("base", "starts"))
        peaks = (peak for number, each in enumerate(overall) for peak in self._wanted(each, middles, number))
        wanted = sorted(peaks, key=self._read_around)
        spans = [self._read_around(peak) for peak in wanted]
        found: list[list[Moment]] = [[] for _ in overall]
        with progress.task("Occlusion of the moments that matter most", len(wanted)) as advance:
            for peak, (begin, _), log_mel in zip(wanted, spans, scored.excerpts(spans), strict=True):
                target, own = peak.target, slice(peak.first - begin, peak.end - begin)
                part = self._explained(self._fine(peak), self.targets[target : target + 1], begin, log_mel)
                cropped = _cropped(part.found[0], own, len(part.base) / len(base))
                low, high = peak.hidden
                touched = (starts < high) & (starts + scored.segment_frames > low)
                score = float(base[touched, target].mean())
                pieces = self._pieces(peak, begin, log_mel, len(base)) if peak.detected else ()
                lost = float(pieces[0].lost[0] if pieces else overall[target].native[peak.row, 0])
                found[target].append(
                    Moment(
                        start_frame=peak.first,
                        log_mel=log_mel[own].copy(),
                        map=self._placed(replace(cropped, score=overall[target].score), peak.first),
                        hidden=peak.hidden,
                        score=score,
                        without=score - lost * len(base) / int(touched.sum()),
                        pieces=pieces,
                    )
                )
                advance(1)
        return [tuple(sorted(each, key=lambda moment: moment.hidden)) for each in found]

    def _wanted(self, overall: Attribution, middles: Float64Array, target: int) -> list[Peak]:
        """Return a target's moments: its detections, or where the score changes most."""
        clock, frames = self.scored.clock, self.scored.segment_frames
        if not self.places[target]:
            return strongest(overall, middles, MOMENT_SEGMENTS * frames, target)
        longest = round(MOMENT_SECONDS / clock.frame_seconds), round(HIDDEN_SECONDS / clock.frame_seconds)
        return detected(self.places[target], frames, self.scored.real_frames, longest, target)

    def _read_around(self, peak: Peak) -> tuple[int, int]:
        """Return which frames are read for a moment: it, what is hidden, and the segments that masks reach."""
        reach = self.explainer.masks(self.scored.segment_frames, self.scored.clock.bands).mask[0]
        reach = max(reach, self._fine(peak).masks(self.scored.segment_frames, self.scored.clock.bands).mask[0])
        reach += self.scored.segment_frames + 2 * self.explainer.soft + 1
        low, high = (peak.first, peak.end)
        if peak.detected:
            low, high = min(low, int(peak.hidden[0])), max(high, int(peak.hidden[1]))
        return max(0, low - reach) // self.hop * self.hop, min(self.scored.real_frames, high + reach)

    def _fine(self, peak: Peak) -> Occlusion:
        """Return the method for a moment; its mask follows the length of a detection, and fits a segment."""
        if not peak.detected:
            return self.explainer
        frames, bands = self.scored.segment_frames, self.scored.clock.bands
        own = self.explainer.masks(frames, bands)
        shown = min(peak.hidden[1], peak.end) - max(peak.hidden[0], peak.first)
        mask = int(np.clip(round(SHARE * shown), own.mask[0], frames))
        stride = max(own.stride[0], mask * own.stride[0] // own.mask[0])
        return replace(self.explainer, mask=(mask, own.mask[1]), stride=(stride, own.stride[1]))

    def _pieces(self, peak: Peak, first: int, log_mel: LogMel, segments: int) -> tuple[Pieces, ...]:
        """Return what the recording of so many segments loses without a detection and without its pieces."""
        whole, data = self._cut(first, log_mel)
        targets, (low, high) = self.targets[peak.target : peak.target + 1], (int(edge) - first for edge in peak.hidden)
        found = lost_without_pieces(self.prepared, whole, data, targets, self.explainer, (low, high), level=self.level)
        return tuple(Pieces(first + edges, lost[:, 0] / segments) for edges, lost in found)

    def _coarse(self) -> tuple[Occlusion, tuple[int, int]]:
        """Return the mask that moves over all of the recording, with its length and its step, which is whole hops."""
        length, bands = self.scored.segment_frames, self.scored.clock.bands
        stride = self.hop * max(1, round(length / 2 / self.hop))
        mask = min(2 * stride, length)
        coarse = replace(
            self.explainer,
            mask=(mask, bands),
            stride=(stride, bands),
            along="time",
            edges="clip",
            spread="nearest",
            fill2=NONE,
        )
        return coarse, (mask, stride)

    def _parts(self, stride: int) -> list[tuple[int, int]]:
        """Return first frames and ends of parts of whole strides; the last one takes what is left."""
        seconds = PART_SECONDS / self.scored.clock.frame_seconds
        step = _rounded_up(max(seconds, PART_SEGMENTS * self.scored.segment_frames), stride)
        starts = range(0, max(1, self.scored.real_frames - step + 1), step)
        return list(pairwise([*starts, self.scored.real_frames]))

    def _explained(self, explainer: Occlusion, targets: Sequence[Target], first: int, log_mel: LogMel) -> _Part:
        """Explain an excerpt, given its first frame; a last segment ends where the recording does."""
        whole, data = self._cut(first, log_mel)
        found, base = explain_excerpt(self.prepared, whole, data, targets, explainer, level=self.level)
        lost = np.stack([each.native for each in found], axis=2).astype(np.float64) * len(base)
        return _Part(found=tuple(found), lost=lost, base=base, starts=first + data.start_frames, middles=np.zeros(0))

    def _cut(self, first: int, log_mel: LogMel) -> tuple[Segments, SegmentedLogMels]:
        """Return an excerpt as one long segment, and its segments; the last one is the recording's own."""
        scored, files = self.scored, (self.scored.file,)
        flush = scored.start_frames[-1] + scored.segment_frames >= scored.real_frames
        tail = bool(flush) and first + len(log_mel) == scored.real_frames
        data = cut([log_mel], files, scored.padding_value, scored.segment_frames, self.overlap, tail=tail)
        return Segments(log_mel[np.newaxis], np.array([first]), np.array([len(log_mel)]), files), data

    def _put_together(self, lost: Float64Array, grid: Grid, parts: Sequence[_Part]) -> list[Attribution]:
        """Return the attributions of the whole recording.

        Parameters
        ----------
        lost
            Shape (rows, columns, targets): what the scores of all segments lose together.
        grid
            The cells.
        parts
            What they are from.
        """
        base = np.concatenate([part.base for part in parts])
        made = []
        for number, first in enumerate(parts[0].found):
            native = (lost[..., number] / len(base)).astype(np.float32)
            score = float(base[:, number].mean())
            every = [part.found[number] for part in parts]
            each = replace(
                first,
                values=native,
                native=native,
                frame_edges=grid.frame_edges,
                band_edges=grid.band_edges,
                score=score,
                forwards=sum(one.forwards for one in every),
                seconds=sum(one.seconds for one in every),
                diagnostics={"segments": float(len(base)), "brute_forwards": float(len(base) * (1 + native.size))},
                # Against what the segments beside a mask lose: their share of a day's mean is small, and no rounding.
                flags=(CONSTANT,) if is_constant(lost[..., number].astype(np.float32), len(native), score) else (),
                real_frames=self.scored.real_frames,
            )
            made.append(self._placed(each, 0))
        return made

    def _placed(self, found: Attribution, first: int) -> Attribution:
        """Return an attribution that begins at a frame of the recording, with its seconds and hertz."""
        clock, (rows, columns) = self.scored.clock, found.values.shape
        frames, bands = np.arange(float(rows)), np.arange(float(columns))
        if found.values is found.native:
            frames, bands = (_middles(edges) - 0.5 for edges in (found.frame_edges, found.band_edges))
        return replace(
            found,
            start_seconds=float(clock.frame_start_seconds(first)),
            times=clock.frame_centre_seconds(first + frames),
            frequencies=clock.band_centre_hz(bands),
            time_edges=clock.frame_edge_seconds(first + found.frame_edges),
            frequency_edges=clock.band_edge_hz(found.band_edges),
        )


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What was found in an excerpt.

    Parameters
    ----------
    found
        An attribution a target.
    lost
        Shape (rows, columns, targets): what the scores of its segments lose together.
    base, starts
        Its segments' scores, shape (segments, targets), and first frames in the recording.
    middles
        Of the rows, in frames of the recording.
    """

    found: tuple[Attribution, ...]
    lost: Float64Array
    base: Float64Array
    starts: Int64Array
    middles: Float64Array

    def between(self, first: int, end: int, middles: Int64Array) -> _Part:
        """Return the rows and the segments that belong to a part, and not to those beside it."""
        rows = (middles >= first) & (middles < end)
        own = (self.starts >= first) & (self.starts < end)
        kept = middles[rows].astype(np.float64)
        return replace(self, lost=self.lost[rows], base=self.base[own], starts=self.starts[own], middles=kept).bare()

    def bare(self) -> _Part:
        """Return the same without the maps' every frame, which would add up."""
        return replace(self, found=tuple(replace(each, values=each.native) for each in self.found))


def _cropped(found: Attribution, own: slice, share: float) -> Attribution:
    """Return some frames of a map, which tells of a share of the recording's segments, in the recording's unit."""
    rows = (found.frame_edges[1:] > own.start) & (found.frame_edges[:-1] < own.stop)
    edges = np.clip(
        found.frame_edges[np.flatnonzero(np.append(rows, False) | np.append(False, rows))], own.start, own.stop
    )
    values = found.values[own]
    return replace(
        found,
        values=values * np.float32(share),
        native=found.native[rows] * np.float32(share),
        frame_edges=edges - own.start,
        real_frames=len(values),
        flags=(CONSTANT,) if is_constant(values, len(values), found.score) else (),
    )


def _middles(edges: Float64Array) -> Float64Array:
    return np.asarray((edges[1:] + edges[:-1]) / 2)


def _rounded_up(length: float, step: int) -> int:
    return step * math.ceil(length / step)
