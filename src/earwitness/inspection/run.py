"""A run opened for questions: its classifier, its predictions, and its recordings, read again when needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earwitness.audio import decoding, extraction
from earwitness.audio.logmel import log_mel
from earwitness.audio.segments import Segments
from earwitness.audio.timefreq import Clock
from earwitness.core import run_folder
from earwitness.core.arrays import Float32Array, LogMel, Samples
from earwitness.core.device import to_numpy
from earwitness.core.errors import BadRecordingError, EarwitnessError, on_disk, printable
from earwitness.core.files import read_json
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.core.run_folder import RunFolder
from earwitness.explainers.attribution import Attribution, is_silent, saved_name
from earwitness.explainers.findings import ShownRecording
from earwitness.explainers.inference.prepared import Prepared
from earwitness.inspection.model import Model
from earwitness.models.classifier import WAVEFORM, Classifier
from earwitness.models.foreign.sound import levels_of
from earwitness.models.loading import load_run
from earwitness.models.prediction import Predictions, segmented
from earwitness.training import prediction_files

# Scores of the same segment may differ this much between devices and number formats (bfloat16 has 8 bits). More, and
# the recording or the model is not the one that was measured.
SCORE_TOLERANCE = 0.05
# Log-mels held at once: questions walk through segments by confidence and come back to the same recordings.
REMEMBERED = 16
# What is shown of a recording that lasts for hours.
SHOWN_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class OpenRun:
    """A finished run, ready for questions.

    Parameters
    ----------
    folder
        The folder.
    settings
        The content of ``run.json``.
    classifier
        What was trained.
    predictions
        What it said of the recordings that it was measured on.
    root
        The folder that the recordings' names are relative to.
    """

    folder: RunFolder
    settings: dict[str, Any]
    classifier: Classifier
    predictions: Predictions
    root: Path
    _remembered: dict[str, tuple[LogMel, Samples | None]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def model(self) -> Model:
        """The classifier as files are explained with it."""
        return Model(name=printable(self.folder.path), classifier=self.classifier, cache=self.folder.trust)

    @property
    def prepared(self) -> Prepared:
        """The classifier prepared for explaining, for all questions together."""
        return self.model.prepared

    @property
    def clock(self) -> Clock:
        """The grid of time and frequency."""
        return self.classifier.front_end.clock

    # ---- reading ------------------------------------------------------------------------------------------------

    def segments(self, rows: Sequence[int], progress: Progress = NO_PROGRESS) -> Segments:
        """Return segments; only their recordings are read again.

        Parameters
        ----------
        rows
            Rows of ``predictions.csv``, counted from 0.
        progress
            Told a step a segment.

        Raises
        ------
        EarwitnessError
            A recording is missing, cannot be used any more, or is no longer the one that was measured.
        """
        with progress.task("Reading segments", len(rows)) as advance:
            parts = []
            for row in rows:
                parts.append(self._segment(row))
                advance(1)
        segments = Segments(
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.start_frames for part in parts]),
            np.concatenate([part.real_frames for part in parts]),
            tuple(part.files[0] for part in parts),
            np.concatenate([part.samples for part in parts if part.samples is not None])
            if self.classifier.takes == WAVEFORM
            else None,
        )
        self._check_scores(rows, segments)
        return segments

    def recordings(self, names: Sequence[str], progress: Progress = NO_PROGRESS) -> Iterator[ShownRecording]:
        """Yield recordings by name, the first half minute of long ones; raises as :meth:`segments` does."""
        front_end = self.classifier.front_end
        label_of = dict(zip(self.predictions.files, self.predictions.labels, strict=True))
        with progress.task("Reading recordings", len(names)) as advance:
            for name in names:
                with self._same_recording(name):
                    samples, whole = _beginning(self.path_of(name), front_end.sample_rate, SHOWN_SECONDS)
                values = self._heard(name)[0] if whole else to_numpy(log_mel(front_end, torch.from_numpy(samples)))
                label = self.predictions.classes[int(label_of[name])]
                yield ShownRecording(
                    file=name,
                    label=label,
                    samples=samples,
                    sample_rate=front_end.sample_rate,
                    log_mel=values,
                    whole=whole,
                )
                advance(1)

    def samples(self, name: str, seconds: float) -> Float32Array:
        """Return a recording's first samples (n,), at the front end's rate; raises as :meth:`segments` does."""
        with self._same_recording(name):
            return _beginning(self.path_of(name), self.classifier.front_end.sample_rate, seconds)[0]

    def silent(self, row: int) -> bool:
        """Tell whether a segment holds no sound."""
        segment = self._segment(row)
        return is_silent(segment.values[0], int(segment.real_frames[0]), self.classifier.front_end.silence)

    def path_of(self, name: str) -> Path:
        r"""Return a recording's path; a name whose bytes were shown as ``\xNN`` is turned back into them."""
        return on_disk(self.root / name)

    def _segment(self, row: int) -> Segments:
        predictions = self.predictions
        recording = int(predictions.recording[row])
        name = predictions.files[recording]
        log_mel, samples = self._heard(name)
        data = segmented(self.classifier, [log_mel], [name], None if samples is None else [samples])
        mine = np.flatnonzero(predictions.recording == recording)
        starts = self.clock.frame_start_seconds(data.start_frames)
        if len(starts) != len(mine) or not np.allclose(starts, predictions.start_seconds[mine], atol=1e-5):
            raise EarwitnessError(
                f"{printable(self.path_of(name))}: now gives {len(starts)} segments, the run measured {len(mine)}; "
                "put the old recording back, or evaluate the run again"
            )
        return data.take([int(np.searchsorted(mine, row))])

    def _heard(self, name: str) -> tuple[LogMel, Samples | None]:
        """Return a recording's log-mel, and its samples where the classifier is one over waveforms."""
        if name not in self._remembered:
            front_end, path = self.classifier.front_end, self.path_of(name)
            with self._same_recording(name):
                if self.classifier.takes == WAVEFORM:
                    samples = np.concatenate(list(decoding.stream(path, front_end.sample_rate)))
                    found: tuple[LogMel, Samples | None] = levels_of(front_end, samples), samples
                else:
                    found = extraction.log_mel_of(path, front_end), None
            while len(self._remembered) >= REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[name] = found
        return self._remembered[name]

    def check_there(self, name: str) -> None:
        """Find out whether a recording lies where the run's data is.

        Raises
        ------
        EarwitnessError
            It does not.
        """
        path = self.path_of(name)
        if not path.exists():
            where = "" if self.root.is_dir() else f" (its folder {printable(self.root)} is gone, too)"
            raise EarwitnessError(
                f"{printable(path)}: has gone missing since the run{where}; "
                "put it back, or name the data's new place with --data"
            )

    @contextmanager
    def _same_recording(self, name: str) -> Iterator[None]:
        self.check_there(name)
        try:
            yield
        except BadRecordingError as error:
            raise EarwitnessError(f"{error}; it could be used when the run was measured: put it back") from error

    def _check_scores(self, rows: Sequence[int], segments: Segments) -> None:
        now = to_numpy(self.classifier.probabilities(segments.inputs))
        then = self.predictions.scores[np.asarray(rows)]
        apart = np.abs(now - then).max(axis=1)
        worst = int(np.argmax(apart))
        if not apart[worst] <= SCORE_TOLERANCE:
            best = int(self.predictions.predicted[rows[worst]])
            raise EarwitnessError(
                f"{printable(self.path_of(segments.files[worst]))}: is no longer what the run measured "
                f"({self.predictions.classes[best]} scored {then[worst, best]:.2f} then, {now[worst, best]:.2f} now); "
                "put the old recording back, or evaluate the run again"
            )

    def attribution_path(self, attribution: Attribution, method: str) -> Path:
        """Return where an attribution is kept (:func:`earwitness.explainers.attribution.saved_name`)."""
        return self.folder.attributions / f"{saved_name(attribution, method)}.npz"


def _beginning(path: Path, sample_rate: int, seconds: float) -> tuple[Float32Array, bool]:
    """Return a recording's first samples, and whether they are all of it."""
    most = round(seconds * sample_rate)
    blocks, count = [], 0
    for block in decoding.stream(path, sample_rate):
        blocks.append(block)
        count += len(block)
        if count > most:
            break
    return np.concatenate(blocks)[:most], count <= most


def open_run(
    path: Path | str,
    device: torch.device | str = "cpu",
    data: Path | str | None = None,
) -> OpenRun:
    """Open a finished run for questions.

    Parameters
    ----------
    path
        The run folder.
    device
        Where the network is to work.
    data
        Where the recordings are, if not where they were at the time of the run.

    Raises
    ------
    UsageError
        It is not a finished run.
    EarwitnessError
        Something in the folder is damaged, or two of its files do not belong together.
    """
    run = run_folder.open_finished(path)
    settings = read_json(run.run_json)
    loaded = load_run(run, device)
    predictions = prediction_files.read(run)
    if predictions.classes != loaded.classes:
        raise EarwitnessError(f"{printable(run.predictions)}: has other classes than the model; evaluate the run again")
    try:
        where = Path(data) if data is not None else on_disk(Path(settings["data"]["path"]))
    except (KeyError, TypeError) as error:
        raise EarwitnessError(
            f"{printable(run.run_json)}: does not say where the data is; name it with --data"
        ) from error
    # A data set in a CSV names its recordings from the folder that the CSV is in.
    is_table = where.is_file() or (where.suffix.lower() == ".csv" and not where.is_dir())
    root = where.parent if is_table else where
    return OpenRun(folder=run, settings=settings, classifier=loaded, predictions=predictions, root=root)
