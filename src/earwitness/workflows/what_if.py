"""What if a part of a recording were not there? A stretch of it, edited by hand and scored again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from earwitness.audio.stft import OVERLAP, Stft, apply_gains
from earwitness.core.arrays import Float32Array, Float64Array
from earwitness.core.brief import brief
from earwitness.core.errors import UsageError, printable
from earwitness.inspection.model import Model, load_model
from earwitness.models.prediction import ScoredRecording
from earwitness.sonify.clips import read_stretch
from earwitness.sonify.edits import Edit, Edited
from earwitness.sonify.masks import Box, gains
from earwitness.sonify.scoring import scored_sound


@dataclass(frozen=True, kw_only=True)
class HeldSound:
    """A stretch of a recording in memory, to be edited and scored as often as somebody wants.

    Parameters
    ----------
    file
        The recording's path, printable.
    model
        What scores it.
    samples
        Shape (n, 1), float32: the mean of its channels.
    sample_rate
        Hz, the recording's own.
    start_seconds
        Where in the recording it begins.
    tail
        Whether a last segment ends where the stretch does.
    """

    file: str
    model: Model
    samples: Float32Array
    sample_rate: int
    start_seconds: float = 0.0
    tail: bool = True

    __repr__ = brief

    @property
    def end_seconds(self) -> float:
        """Where in the recording it ends."""
        return self.start_seconds + len(self.samples) / self.sample_rate

    @cached_property
    def scored(self) -> ScoredRecording:
        """Its segments with their scores, by the same steps that a file goes through."""
        return self._scored(self.samples)

    def _scored(self, samples: Float32Array, before: ScoredRecording | None = None) -> ScoredRecording:
        seconds = len(samples) / self.sample_rate
        return scored_sound(self.model.classifier, iter([samples]), self.sample_rate, seconds, before, tail=self.tail)

    def what_if(self, edits: Sequence[Edit]) -> WhatIf:
        """Return it under some edits, with the scores before and after."""
        edited = self.edited(edits)
        return WhatIf(
            sound=self, edits=tuple(edits), before=self.scored, after=self._scored(edited, self.scored), samples=edited
        )

    def edited(self, edits: Sequence[Edit]) -> Float32Array:
        """Return its samples under some edits, shape (n, 1); where nothing is edited, they are what they were."""
        keep, grid = Edited(tuple(edits)), Stft.of(self.sample_rate)
        first, end = 0, len(self.samples)
        if (extent := keep.extent) is not None:
            place = [round((second - self.start_seconds) * self.sample_rate) for second in extent]
            first = min(end, max(0, (place[0] - OVERLAP * grid.window) // grid.hop * grid.hop))
            end = min(end, max(first, place[1] + OVERLAP * grid.window))
        if first == end or not edits:
            return self.samples
        gain = gains(keep, grid, self.start_seconds + first / self.sample_rate)
        changed = [after for _, after in apply_gains(grid, [self.samples[first:end]], gain)]
        return np.concatenate([self.samples[:first], *changed, self.samples[end:]])


@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """A stretch of a recording, edited: its scores before and after, and its sound.

    Parameters
    ----------
    sound
        What was edited.
    edits
        How.
    before, after
        Its segments with their scores.
    samples
        Shape (n, 1), float32: the edited sound.
    """

    sound: HeldSound
    edits: tuple[Edit, ...]
    before: ScoredRecording
    after: ScoredRecording
    samples: Float32Array

    __repr__ = brief

    @property
    def scores_before(self) -> dict[str, float]:
        """Every class's score before the edits, best first: the mean of the segments' probabilities."""
        return self._named(self.before.mean)

    @property
    def scores(self) -> dict[str, float]:
        """Every class's score after the edits, in the order of :attr:`scores_before`."""
        return self._named(self.after.mean)

    def _named(self, means: Float64Array) -> dict[str, float]:
        order = np.argsort(-self.before.mean, kind="stable")
        return {self.before.classes[index]: float(means[index]) for index in order}


def hold(
    file: Path | str, model: Model | Path | str, *, start: float = 0.0, end: float | None = None, tail: bool = True
) -> HeldSound:
    """Read a stretch of a recording that is to be edited.

    Parameters
    ----------
    file
        The recording.
    model
        As for :func:`earwitness.explain`.
    start, end
        The stretch in seconds; None for the recording's end.
    tail
        As for :class:`HeldSound`.

    Raises
    ------
    BadRecordingError
        The file cannot be used.
    UsageError
        The stretch holds no sound of it.
    """
    samples, sample_rate = read_stretch(Path(file), start, end)
    if not len(samples):
        raise UsageError(f"{printable(file)}: ends before {start:g} s; name a moment within it")
    return HeldSound(
        file=printable(file),
        model=load_model(model),
        samples=samples,
        sample_rate=sample_rate,
        start_seconds=start,
        tail=tail,
    )


def what_if(
    file: Path | str,
    model: Model | Path | str,
    edits: Sequence[Edit | Box | str] | Edit | Box | str,
    *,
    start: float = 0.0,
    end: float | None = None,
) -> WhatIf:
    """Hide, keep or attenuate parts of a recording, and score it again.

    Parameters
    ----------
    file, model, start, end
        As for :func:`hold`.
    edits
        What is done: edits; boxes, or such as ``"0.5-1.2,300-4000"`` (s, Hz), are hidden.

    Raises
    ------
    BadRecordingError
        The file cannot be used.
    UsageError
        An edit is none.

    Examples
    --------
    >>> import earwitness as ew
    >>> found = ew.what_if("some.wav", "runs/demo", "0.2-0.6,0-8000")
    >>> sorted(found.scores) == sorted(found.scores_before)
    True
    >>> found.samples.shape == found.sound.samples.shape
    True
    """
    given = [edits] if isinstance(edits, Edit | Box | str) else list(edits)
    boxes = [Box.parse(each) if isinstance(each, str) else each for each in given]
    return hold(file, model, start=start, end=end).what_if(
        [each if isinstance(each, Edit) else Edit(each) for each in boxes]
    )
