"""The noun that one listens to: a stretch of a recording, only the evidence in it, and it without the evidence."""

from __future__ import annotations

import glob
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio import decoding
from earwitness.audio.loudness import Meter
from earwitness.audio.stft import Stft, apply_gains
from earwitness.core.arrays import Float32Array
from earwitness.core.brief import brief
from earwitness.core.errors import BadRecordingError, UsageError, printable
from earwitness.core.files import file_name, read_json, safe_name, write_json
from earwitness.core.progress import NO_PROGRESS, Advance, Progress
from earwitness.core.version import VERSION
from earwitness.models.classifier import Classifier
from earwitness.sonify.clips import blocks_between
from earwitness.sonify.levels import FADE_SECONDS, LEVELS, MATCHED, Levels, finished
from earwitness.sonify.masks import FLOOR, Box, Keep, gains
from earwitness.sonify.scoring import score_sound
from earwitness.sonify.writing import check_format, write_sound

TOP = 5  # classes whose scores are written down
SOUNDS = ("original", "kept", "removed")


@dataclass(frozen=True, kw_only=True)
class Listening:
    """A stretch of a recording parted in two: what is kept, and the rest; they add up to it.

    Nothing is held in memory but what is asked for as an array; the file is decoded anew for each question, unless its
    samples are at hand.

    Parameters
    ----------
    path
        The recording.
    sample_rate, channels
        Its own.
    start_seconds, end_seconds
        The stretch; None for the recording's end.
    keep
        What is kept.
    floor
        Amplitude that is left of what is hidden.
    classifier
        What scores it; None where nobody asked.
    target
        The class that the evidence is for, or ``""``.
    about
        What else is known of how it was made, as JSON types: method, parameters, model.
    decoded
        The stretch's samples, shape (n, channels), where they are at hand.

    Examples
    --------
    >>> import earwitness as ew
    >>> explanation = ew.explain("some.wav", "runs/demo", methods="gradcam", verdicts=False)
    >>> listening = explanation.listen("gradcam", keep=0.3)
    >>> bool(abs(listening.kept + listening.removed - listening.original).max() < 1e-6)
    True
    >>> sorted(listening.scores), sorted(listening.scores["kept"])
    (['kept', 'original', 'removed'], ['dog', 'helicopter', 'rain'])
    >>> [path.name for path in listening.write("listened").files]
    ['some-dog-gradcam-original.wav', 'some-dog-gradcam-kept.wav', 'some-dog-gradcam-removed.wav']
    """

    path: Path
    sample_rate: int
    channels: int
    start_seconds: float
    end_seconds: float | None
    keep: Keep
    floor: float = FLOOR
    classifier: Classifier | None = None
    target: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    decoded: Float32Array | None = field(default=None, repr=False, compare=False)

    __repr__ = brief

    @classmethod
    def of(
        cls,
        path: Path | str,
        keep: Keep,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        **known: Any,
    ) -> Listening:
        """Return what is kept of a stretch of a recording, of which only the beginning is decoded now.

        Raises
        ------
        BadRecordingError
            It cannot be used.
        """
        _, _, sample_rate, channels = decoding.header(path)
        return cls(
            path=Path(path),
            sample_rate=sample_rate,
            channels=channels,
            start_seconds=start_seconds,
            end_seconds=end_seconds,
            keep=keep,
            **known,
        )

    def blocks(self) -> Iterator[tuple[Float32Array, Float32Array]]:
        """Yield the original and what is kept of it, block by block, each of shape (k, channels), float32.

        Raises
        ------
        BadRecordingError
            The recording cannot be used.
        UsageError
            The stretch holds no sample.
        """
        yield from self._blocks() if self.decoded is None else self._held

    def _blocks(self) -> Iterator[tuple[Float32Array, Float32Array]]:
        grid = Stft.of(self.sample_rate)
        return apply_gains(grid, self._stretch(), gains(self.keep, grid, self.start_seconds, self.floor))

    @cached_property
    def _held(self) -> list[tuple[Float32Array, Float32Array]]:
        """Both sounds of samples that are at hand anyway."""
        return list(self._blocks())

    def _stretch(self) -> Iterator[Float32Array]:
        if self.decoded is not None:
            yield self.decoded
            return
        first = round(self.start_seconds * self.sample_rate)
        end = None if self.end_seconds is None else round(self.end_seconds * self.sample_rate)
        count = 0
        for block in blocks_between(self.path, first, end):
            yield block
            count += len(block)
        if not count:
            raise UsageError(f"{printable(self.path)}: ends before {self.start_seconds:g} s; name a moment within it")

    def sound(self, name: str) -> Iterator[Float32Array]:
        """Yield one of the three sounds, ``"original"``, ``"kept"`` or ``"removed"``, in blocks, as it is."""
        if name == "original":
            yield from self._stretch()
            return
        for original, kept in self.blocks():
            yield kept if name == "kept" else original - kept

    @cached_property
    def levels(self) -> Levels:
        """Their levels, for which all of the stretch is decoded once."""
        meters = Meter(self.sample_rate), Meter(self.sample_rate), Meter(self.sample_rate)
        for original, kept in self.blocks():
            for meter, block in zip(meters, (original, kept, original - kept), strict=True):
                meter.see(block)
        return Levels(frames=meters[0].frames, meters=meters)

    @property
    def seconds(self) -> float:
        """How long each sound is."""
        return self.levels.frames / self.sample_rate

    def finished(self, name: str, level: str = MATCHED) -> Iterator[Float32Array]:
        """Yield one of the sounds as it is written: at its level, limited where that is matched, with faded ends.

        Parameters
        ----------
        name
            ``"original"``, ``"kept"`` or ``"removed"``.
        level
            ``"matched"`` brings all three to one loudness; ``"own"`` keeps them as they are, or makes all three quieter
            alike where one would clip, so that kept and removed add up to the original.
        """
        if level not in LEVELS:
            raise UsageError(f"{level!r}: is no level; name one of {', '.join(LEVELS)}")
        gain = self.levels.gains_db(level)[SOUNDS.index(name)]
        return finished(self.sound(name), self.levels.frames, self.sample_rate, gain, limit=level == MATCHED)

    def samples(self, name: str, level: str = MATCHED) -> Float32Array:
        """Return one of the sounds as it is written, shape (n, channels); parameters as for :meth:`finished`."""
        return np.concatenate(list(self.finished(name, level)))

    @property
    def original(self) -> Float32Array:
        """The stretch as it is in the recording, shape (n, channels)."""
        return np.concatenate(list(self.sound("original")))

    @property
    def kept(self) -> Float32Array:
        """Only the evidence, shape (n, channels); with :attr:`removed` it adds up to :attr:`original`."""
        return np.concatenate(list(self.sound("kept")))

    @property
    def removed(self) -> Float32Array:
        """The stretch without the evidence, shape (n, channels)."""
        return np.concatenate(list(self.sound("removed")))

    @cached_property
    def scores(self) -> dict[str, dict[str, float]]:
        """Each sound's class scores, best first, as it is: neither matched in level nor faded, nor written.

        It goes from the mean of its channels through resampling, front end and classifier, as a file does.

        Raises
        ------
        UsageError
            There is no classifier.
        """
        return {name: self.score(name) for name in SOUNDS}

    def score(self, name: str) -> dict[str, float]:
        """Return the class scores of one of the three sounds, as :attr:`scores` holds those of all."""
        return self._ranked(self.sound(name))

    def score_of_file(self, path: Path) -> dict[str, float]:
        """Return the class scores of a sound that was written, which is decoded for them; best first.

        Raises
        ------
        BadRecordingError
            It is silent.
        """
        return self._ranked(decoding.stream_channels(path))

    def _ranked(self, blocks: Iterator[Float32Array]) -> dict[str, float]:
        if self.classifier is None:
            raise UsageError("there is no classifier to score the sounds with; explain with a model")
        found = score_sound(self.classifier, blocks, self.sample_rate, self.seconds)
        order = np.argsort(-found, kind="stable")
        return {self.classifier.classes[index]: float(found[index]) for index in order}

    @property
    def name(self) -> str:
        """What its files are called: the recording, the class, the method."""
        told = [safe_name(part) for part in (self.target, self.about.get("method", "")) if part]
        return "-".join([file_name(self.path), *(told or ["box"])])

    def write(
        self,
        folder: Path | str = "listened",
        *,
        name: str | None = None,
        kind: str = "wav",
        level: str = MATCHED,
        progress: Progress = NO_PROGRESS,
    ) -> Written:
        """Write the three sounds, and beside them how they were made and what they score.

        Parameters
        ----------
        folder
            Made where it is missing.
        name
            ``NAME-original.wav``, ``NAME-kept.wav``, ``NAME-removed.wav`` and ``NAME.json``, which are replaced. None
            takes :attr:`name`, with the next number where sounds of another recording, model or box have it.
        kind
            ``"wav"`` or ``"flac"``, both of 24 bits.
        level
            As for :meth:`finished`.
        progress
            Told a step a block of samples.

        Raises
        ------
        UsageError
            The format cannot hold the sound, or there is no such format or level.
        """
        frames, stem = self.levels.frames, name or self._free_name(Path(folder))
        check_format(kind, self.sample_rate, self.channels, frames)
        provenance = self.provenance(level)
        files = [Path(folder) / f"{stem}-{each}.{kind}" for each in SOUNDS]
        with progress.task("Writing sounds", None) as advance:
            for each, path in zip(SOUNDS, files, strict=True):
                inside = {"title": f"{self.path.stem}: {each}", "sound": each} | provenance
                blocks = _counted(self.finished(each, level), advance)
                write_sound(path, blocks, self.sample_rate, self.channels, inside)
        written = Written(listening=self, level=level, files=tuple(files), sheet=Path(folder) / f"{stem}.json")
        write_json(written.sheet, written.as_dict())
        return written

    @cached_property
    def _source(self) -> dict[str, Any]:
        """What tells these sounds from others of the same name."""
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        box = self.keep.described() if isinstance(self.keep, Box) else {}
        known = {key: value for key, value in self.about.items() if key != "parameters"}
        return {"recording": printable(self.path.name), "sha256": digest, "class": self.target, **known, **box}

    def _free_name(self, folder: Path) -> str:
        number, name = 1, self.name
        while True:
            sheet = folder / f"{name}.json"
            if not sheet.exists() and not any(folder.glob(f"{glob.escape(name)}-original.*")):
                return name
            if sheet.exists() and self._source.items() <= read_json(sheet).items():
                return name
            number += 1
            name = f"{self.name}-{number}"

    def provenance(self, level: str) -> dict[str, Any]:
        """Return how the sounds were made, as JSON types."""
        return {
            **self._source,
            "seconds": [self.start_seconds, self.start_seconds + self.seconds],
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "parameters": self.about.get("parameters", {}),
            "keep": self.keep.described(),
            "floor": self.floor,
            "stft": {"window": Stft.of(self.sample_rate).window, "hop": Stft.of(self.sample_rate).hop},
            "level": level,
            "gains_db": dict(zip(SOUNDS, (round(gain, 3) for gain in self.levels.gains_db(level)), strict=True)),
            "faded_seconds": FADE_SECONDS,
            "earwitness": VERSION,
        }


def _counted(blocks: Iterator[Float32Array], advance: Advance) -> Iterator[Float32Array]:
    for block in blocks:
        yield block
        advance(1)


@dataclass(frozen=True, kw_only=True)
class Written:
    """Three sounds as files.

    Parameters
    ----------
    listening
        What they are.
    level
        Whether they are matched.
    files
        Original, kept, removed.
    sheet
        How they were made, and what they score, as JSON.
    """

    listening: Listening
    level: str
    files: tuple[Path, ...]
    sheet: Path

    __repr__ = brief

    @cached_property
    def file_scores(self) -> tuple[dict[str, float] | None, ...]:
        """The class scores of each file as it was written, decoded again; None of one that is silent."""
        return tuple(self._score(path) for path in self.files)

    def _score(self, path: Path) -> dict[str, float] | None:
        try:
            return self.listening.score_of_file(path)
        except BadRecordingError:  # it is our own: only silence makes it one
            return None

    def as_dict(self) -> dict[str, Any]:
        """Return how they were made, and of each its loudness, and its scores as it is and as it was written."""
        sounds: dict[str, dict[str, Any]] = {}
        scored = self.listening.classifier is not None
        for place, (name, path) in enumerate(zip(SOUNDS, self.files, strict=True)):
            meter = self.listening.levels.meters[place]
            sounds[name] = {
                "file": path.name,
                "lufs": round(meter.lufs, 2) if math.isfinite(meter.lufs) else None,
                "peak": meter.peak,
            }
            if scored:
                of_file = self.file_scores[place]
                sounds[name]["scores"] = self._shown(self.listening.scores[name])
                sounds[name]["scores_of_file"] = None if of_file is None else self._shown(of_file)
        return {**self.listening.provenance(self.level), "sounds": sounds}

    def _shown(self, scores: dict[str, float]) -> dict[str, float]:
        return {
            name: score
            for place, (name, score) in enumerate(scores.items())
            if place < TOP or name == self.listening.target
        }
