"""What a page shows: a run's recordings, or a folder of recordings with a model; and what is known of each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from earwitness.audio import decoding
from earwitness.audio.extraction import LogMelSource, StreamedLogMel, log_mel_of, stretches
from earwitness.audio.timefreq import segment_starts
from earwitness.core.arrays import Float32Array, LogMel, Samples
from earwitness.core.errors import BadRecordingError, EarwitnessError, printable
from earwitness.core.progress import Advance, Progress
from earwitness.inspection.files import HELD_SECONDS, score_file, surest_segment
from earwitness.inspection.model import Model
from earwitness.inspection.run import OpenRun
from earwitness.models.classifier import WAVEFORM
from earwitness.models.foreign.sound import levels_of
from earwitness.models.prediction import Predictions, ScoredRecording
from earwitness.web.arrays import Drawn, columns_of, extremes_of, frames_between, smaller
from earwitness.web.cache import Remembered
from earwitness.web.shelf import Shelf
from earwitness.web.worker import BusyError, Worker
from earwitness.workflows.what_if import HeldSound, hold

RUN, FOLDER, UPLOADS = "run", "folder", "uploads"
THUMBNAIL = (96, 32)  # columns and bands
AT_ONCE_SECONDS = 120.0  # a longer recording is scored by a job, which can be watched and cancelled
DRAWN_RATE = 4000  # Hz at which a long recording is drawn: its peaks come out a little lower, and memory stays small
OVERVIEW_COLUMNS = 8192  # that are held of a recording whose log-mel is not
NOT_THERE = "has gone missing; put it back, or name the data's new place with --data"


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a model predicted for a recording.

    Parameters
    ----------
    predicted
        The class, by the vote of the segments.
    score, margin
        The mean score of that class, and how far it is above the next.
    segments
        How many.
    silent
        Whether no segment holds sound.
    seconds
        Where the last segment ends.
    surest
        Where the segment begins that scores highest for the class among those with sound, as
        :func:`earwitness.inspection.files.surest_segment` finds it: the one to explain first.
    """

    predicted: str
    score: float
    margin: float
    segments: int
    silent: bool
    seconds: float
    surest: float


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Recordings with the model that is asked about them.

    Parameters
    ----------
    id, title, kind
        Opaque and the same each time; in words; ``"run"``, ``"folder"`` or ``"uploads"``.
    model
        Asked by the worker's thread alone.
    worker
        That thread.
    names, paths
        The recordings' names, and where they are.
    labels
        Their true classes, where these are known.
    shelf
        Maps that are kept.
    home
        Folder for what a person decides.
    run
        The run; None of other kinds.
    tail
        Whether a last segment ends where a recording does: of a run as it was measured, or numbers would differ.
    known, unusable
        What was predicted for a recording; why it could not be.
    titles
        What a recording is called on the page, where that is not its name.
    """

    id: str
    title: str
    kind: str
    model: Model
    worker: Worker
    names: list[str]
    paths: dict[str, Path]
    labels: dict[str, str]
    shelf: Shelf
    home: Path
    run: OpenRun | None = None
    tail: bool = True
    known: dict[str, Known] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    _by_id: dict[str, str] = field(default_factory=dict, repr=False)
    _scored: Remembered[ScoredRecording] = field(default_factory=lambda: Remembered(12), repr=False)
    _log_mels: Remembered[LogMel] = field(default_factory=lambda: Remembered(24), repr=False)
    _samples: Remembered[tuple[Samples, int]] = field(default_factory=lambda: Remembered(6), repr=False)
    _overviews: Remembered[Float32Array] = field(default_factory=lambda: Remembered(24), repr=False)
    _thumbnails: Remembered[Drawn] = field(default_factory=lambda: Remembered(6000), repr=False)
    _long: Remembered[bool] = field(default_factory=lambda: Remembered(10_000), repr=False)
    _held: Remembered[HeldSound] = field(default_factory=lambda: Remembered(6), repr=False)

    # ---- names ----------------------------------------------------------------------------------------------------

    def add(self, name: str, path: Path, label: str | None = None) -> str:
        """Add a recording, and return its id."""
        recording = recording_id(name)
        if name not in self.paths:
            self.names.append(name)
        self.paths[name], self._by_id[recording] = path, name
        if label is not None:
            self.labels[name] = label
        return recording

    def title_of(self, name: str) -> str:
        """Return what a recording is called on the page."""
        return self.titles.get(name, name)

    def name_of(self, recording: str) -> str | None:
        """Return the name of a recording; None where there is none of this id."""
        return self._by_id.get(recording)

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """Give a recording's path, and say what is wrong where it cannot be read.

        Raises
        ------
        BadRecordingError
            It is gone, or damaged.
        """
        path = self.paths[name]
        if not path.is_file():
            raise BadRecordingError(printable(self.title_of(name)), NOT_THERE)
        yield path

    # ---- sound and spectrogram, which need no model -----------------------------------------------------------------

    def log_mel(self, name: str) -> LogMel | None:
        """Return a recording's log-mel, shape (frames, bands); None of one that is too long to be held."""
        front_end = self.model.classifier.front_end

        def make() -> LogMel:
            with self.reading(name) as path:
                if self.model.classifier.takes == WAVEFORM:
                    return levels_of(front_end, self.samples(name, front_end.sample_rate)[0])
                return log_mel_of(path, front_end)

        return None if self.is_long(name) else self._log_mels.get(name, make)

    def is_long(self, name: str) -> bool:
        """Tell whether a recording is too long for its log-mel and its samples to be held in memory."""
        return self._lasts(name, HELD_SECONDS)

    def takes_long(self, name: str) -> bool:
        """Tell whether a recording has yet to be scored, and nobody would wait for it."""
        return not self._scored.holds(name) and self._lasts(name, AT_ONCE_SECONDS)

    def _lasts(self, name: str, seconds: float) -> bool:
        """Tell whether a recording lasts longer than that."""

        def make() -> bool:
            # No header can be trusted: of a recording that nobody has scored yet, the first minutes are decoded.
            with self.reading(name) as path:
                rate, count = decoding.header(path)[2], 0
                for block in decoding.stream(path):
                    count += len(block)
                    if count > seconds * rate:
                        return True
            return False

        known = self.known.get(name)
        return self._long.get((name, seconds), make) if known is None else known.seconds > seconds

    def length(self, name: str) -> float | None:
        """Return how many seconds a recording lasts that was scored, or read to be; None of others."""
        if self._scored.holds(name):
            return self.scored(name).seconds
        if self._samples.holds((name, DRAWN_RATE)):
            samples, rate = self.samples(name, DRAWN_RATE)
            return len(samples) / rate
        known = self.known.get(name)
        return None if known is None else known.seconds

    def _frames(self, name: str) -> int:
        """Return the frames of a recording that is too long to be held; before it is scored, by its length."""
        if not self.takes_long(name):
            return self.scored(name).real_frames
        samples, rate = self.samples(name, DRAWN_RATE)
        front_end = self.model.classifier.front_end
        return max(1, front_end.frames(len(samples) * front_end.sample_rate // rate))

    def drawn(self, name: str, start: float, end: float | None, columns: int) -> Drawn:
        """Return a stretch of a recording's log-mel as :func:`earwitness.web.arrays.columns_of` does."""
        clock = self.model.classifier.front_end.clock
        held = self.log_mel(name)
        if held is not None:
            return columns_of(held, clock, start, end, columns)
        with self.reading(name) as path:
            source = StreamedLogMel(path, self.model.classifier.front_end)
        frames = self._frames(name)
        first, stop = frames_between(clock, start, end, frames)
        if stop - first > frames // 4:  # most of it: kept, since it takes seconds to read
            key = (name, first, stop, columns)
            found = self._overviews.get(key, lambda: _pooled(source, first, stop, columns))
            edges = clock.frame_edge_seconds(np.array([first, stop]))
            return Drawn(found, float(edges[0]), float(edges[1]))
        (part,) = stretches(source, [(first, stop)])
        return columns_of(part, clock, start, end, columns, first)

    def thumbnail(self, name: str) -> Drawn:
        """Return a small picture of a recording's log-mel, (columns, bands)."""

        def make() -> Drawn:
            drawn = self.drawn(name, 0.0, None, THUMBNAIL[0])
            return replace(drawn, values=smaller(drawn.values, *THUMBNAIL))

        return self._thumbnails.get(name, make)

    def samples(self, name: str, sample_rate: int | None = None) -> tuple[Samples, int]:
        """Return a recording's mono samples, shape (n,), and their rate: the recording's own unless one is named."""

        def make() -> tuple[Samples, int]:
            with self.reading(name) as path:
                rate = sample_rate or decoding.header(path)[2]
                return np.concatenate(list(decoding.stream(path, rate))), rate

        return self._samples.get((name, sample_rate), make)

    def waveform(self, name: str, start: float, end: float | None, columns: int) -> Drawn:
        """Return the least and the greatest sample of each column of a stretch, shape (columns, 2)."""
        samples, rate = self.samples(name, DRAWN_RATE if self.is_long(name) else None)
        return extremes_of(samples, rate, start, end, columns)

    # ---- what the model says ----------------------------------------------------------------------------------------

    def scored(self, name: str) -> ScoredRecording:
        """Return a recording's segments with their scores; asked of the model if it was not lately.

        Raises
        ------
        BusyError
            It takes long, and has to be scored by a job first.
        """
        if self.takes_long(name):
            raise BusyError(f"{printable(self.title_of(name))}: is not scored yet; open it, and wait for its job")

        def make() -> ScoredRecording:
            with self.reading(name) as path:
                return replace(
                    self.worker.now(lambda: score_file(self.model.classifier, path, tail=self.tail)), file=name
                )

        return self._scored.get(name, make)

    def score_long(self, name: str, progress: Progress) -> dict[str, int]:
        """Score a recording that takes long, in the worker's thread; its waveform can be drawn before."""
        with self.reading(name) as path:
            known = self.known.get(name)
            with progress.task("Reading seconds", None if known is None else int(known.seconds)) as advance:
                samples, rate = self._samples.get((name, DRAWN_RATE), lambda: _read(path, DRAWN_RATE, advance))
            classifier = self.model.classifier
            frames = classifier.front_end.frames(len(samples) * classifier.front_end.sample_rate // rate)
            segments = segment_starts(frames, classifier.segment_frames, classifier.overlap, tail=self.tail)
            scored = score_file(classifier, path, _Counted(progress, len(segments)), tail=self.tail)
        self.hold(name, scored)
        return {"segments": len(scored.scores)}

    def hold(self, name: str, scored: ScoredRecording) -> None:
        """Keep a recording's scores, and what is predicted for it where the run does not say that."""
        self._scored.get(name, lambda: replace(scored, file=name))
        if name not in self.known:
            self.note(name, scored)

    def held_sound(self, name: str, start: float, end: float | None) -> HeldSound:
        """Return a stretch of a recording that can be edited and scored."""

        def make() -> HeldSound:
            with self.reading(name) as path:
                return hold(path, self.model, start=start, end=end, tail=self.tail)

        return self._held.get((name, start, end), make)

    def score_all(self, progress: Progress) -> dict[str, int]:
        """Score the recordings that nobody has scored yet, in the worker's thread."""
        missing = [name for name in self.names if name not in self.known and name not in self.unusable]
        with progress.task("Scoring recordings", len(missing)) as advance:
            for name in missing:
                try:
                    path, steps = self.paths[name], _Beneath(advance)
                    self.note(name, score_file(self.model.classifier, path, steps, tail=self.tail))
                except EarwitnessError as error:
                    self.unusable[name] = str(error)
                advance(1)
        return {"scored": len(self.known), "unusable": len(self.unusable)}

    def note(self, name: str, scored: ScoredRecording) -> Known:
        """Remember what was predicted for a recording."""
        best = scored.voted
        others = np.delete(scored.mean, best)
        self.known[name] = Known(
            predicted=scored.classes[best],
            score=float(scored.mean[best]),
            margin=float(scored.mean[best] - others.max(initial=0.0)),
            segments=len(scored.scores),
            silent=False,
            seconds=scored.seconds,
            surest=float(scored.clock.frame_start_seconds(scored.start_frames[surest_segment(scored, best)])),
        )
        return self.known[name]

    @cached_property
    def predictions(self) -> Predictions | None:
        """What the run was measured by."""
        return None if self.run is None else self.run.predictions


def recording_id(name: str) -> str:
    """Return a recording's opaque id: the same each time that it is shown."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _pooled(source: LogMelSource, first: int, stop: int, columns: int) -> Float32Array:
    """Return frames of a long log-mel as columns, each the mean of as many frames, in one pass."""
    size = max(1, -(-(stop - first) // columns))
    spans = [(at, min(stop, at + size)) for at in range(first, stop, size)]
    return np.stack([part.mean(axis=0) for part in stretches(source, spans)]).astype(np.float32)


def _read(path: Path, rate: int, advance: Advance) -> tuple[Samples, int]:
    """Return a recording's mono samples at a rate, and tell each second."""
    blocks, told = [], 0
    for block in decoding.stream(path, rate):
        blocks.append(block)
        told += len(block)
        advance(told // rate)
        told %= rate
    return np.concatenate(blocks), rate


@dataclass(frozen=True)
class _Beneath:
    """Progress within a step of other work: counts nothing, and lets that be cancelled, and others come between."""

    advance: Advance

    @contextmanager
    def task(self, description: str, total: int | None) -> Iterator[Advance]:
        del description, total
        yield lambda _steps: self.advance(0)

    def say(self, line: str) -> None:
        del line


@dataclass(frozen=True)
class _Counted:
    """Progress of work that does not know by itself of how many steps it is."""

    told: Progress
    total: int

    def task(self, description: str, total: int | None) -> AbstractContextManager[Advance]:
        return self.told.task(description, self.total if total is None else total)

    def say(self, line: str) -> None:
        self.told.say(line)
