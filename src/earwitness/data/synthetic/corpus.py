"""Made sounds whose evidence is known: ten classes, each an event over background noise, with the two kept apart.

Because the event and the background of every clip are known separately, so is the truth about any explanation of it:
the share of each time-frequency cell's energy that is the event's (:func:`evidence_mask`), on any front end's grid.

A data set is one folder a class of WAVs named as ESC-50 names its clips (``FOLD-SOURCE-TAKE.wav``: takes of one source
share its voice and place, and stay in one fold). The evidence lies in the hidden folder ``.evidence`` inside the data
set's folder, one ``.npz`` a clip under the same class and name: ``event`` (int16 samples in the WAV's units; the
background is the WAV less the event), ``spans`` (events, 4: start s, end s, low Hz, high Hz), ``sample_rate``,
``label``, ``snr_db``, ``seed`` and ``take``.
"""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from earwitness.audio import decoding
from earwitness.audio.timefreq import Clock
from earwitness.core.arrays import Float64Array, Samples
from earwitness.core.errors import BadRecordingError, EarwitnessError, UsageError, printable
from earwitness.core.files import atomic_write, read_json, write_json
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.data.synthetic.events import SAMPLE_RATE
from earwitness.data.synthetic.scenes import CLASSES, FULL_SCALE, Event, Scene, make

__all__ = [
    "CLASSES",
    "SAMPLE_RATE",
    "Event",
    "Scene",
    "evidence_mask",
    "evidence_path",
    "load",
    "make",
    "mel_energy",
    "ratio_mask",
    "steps_energy",
    "write_dataset",
]

FOLDS = 5
MOST_CLIPS = 10_000
SOURCES = 1_000_000  # a data set's source numbers have six digits, a tenth of them for each class
EVIDENCE_FOLDER = ".evidence"
MANIFEST = "soundscapes.json"
MADE_BY = "earwitness.data.synthetic.corpus"
VERSION = 1  # raised whenever the same seed gives other sounds
WINDOW_SECONDS = 0.025  # both front ends' analysis window


# ---- the truth on a front end's grid ----------------------------------------------------------------------------


def evidence_mask(source: Scene | Path | str, clock: Clock, frames: int) -> Samples:
    """Return the ideal ratio mask: the share of each cell's energy that is the event's.

    Parameters
    ----------
    source
        A scene, or the WAV of a written data set.
    clock
        The grid of the front end.
    frames
        Frames wanted, from the start of the clip. Those beyond its end are 0.

    Returns
    -------
    float32 (frames, bands) in 0..1: event / (event + background), of mel energies in windows of 25 ms. Noise of one
    step of a 16-bit file counts as background, so that the ratio of two silences is 0 and not chance.

    Raises
    ------
    BadRecordingError
        If ``source`` is a file without readable evidence.

    Notes
    -----
    Source: Srinivasan, Roman and Wang 2006, *Binary and ratio time-frequency masks for robust speech recognition*.
    """
    scene = source if isinstance(source, Scene) else load(source)
    return ratio_mask(scene.event, scene.background, scene.sample_rate, clock, frames)


def ratio_mask(event: Samples, rest: Samples, sample_rate: int, clock: Clock, frames: int) -> Samples:
    """Return the ideal ratio mask of two stems (n,) that sound together, as :func:`evidence_mask` does of a scene."""
    wanted, other = (mel_energy(stem, sample_rate, clock, frames) for stem in (event, rest))
    other += steps_energy(sample_rate, clock)
    return (wanted / (wanted + other)).astype(np.float32)


def mel_energy(samples: Samples, sample_rate: int, clock: Clock, frames: int) -> Float64Array:
    """Return the energy of each cell of a front end's grid, (frames, bands), at the samples' own rate."""
    window, hertz = _window(sample_rate)
    centres = np.rint(clock.frame_centre_seconds(np.arange(frames)) * sample_rate).astype(np.int64)
    index = centres[:, None] - window.size // 2 + np.arange(window.size)
    inside = (index >= 0) & (index < samples.size)
    windows = np.where(inside, samples[np.clip(index, 0, max(samples.size - 1, 0))], 0.0)
    spectrum = fft.rfft(windows * window, 2 * (hertz.size - 1), axis=1)
    return np.asarray((spectrum.real**2 + spectrum.imag**2) @ _mel_filters(clock, hertz))


def _window(sample_rate: int) -> tuple[Float64Array, Float64Array]:
    """Return the Hann window and the frequencies of its bins: close enough for the narrowest mel filter to hold one."""
    window = np.hanning(round(WINDOW_SECONDS * sample_rate))
    return window, fft.rfftfreq(2 * fft.next_fast_len(window.size, real=True), 1 / sample_rate)


def steps_energy(sample_rate: int, clock: Clock) -> Float64Array:
    """Return the energy of white noise of one step of a 16-bit file in each band, (bands,)."""
    window, hertz = _window(sample_rate)
    return np.asarray(np.sum(window**2) / FULL_SCALE**2 * _mel_filters(clock, hertz).sum(axis=0))


def _mel_filters(clock: Clock, hertz: Float64Array) -> Float64Array:
    """Return triangles on the clock's mel scale, (bins, bands): each rises from one corner to the next and falls."""
    corners = clock.to_scale(clock.filter_edges_hz())
    mel = clock.to_scale(hertz)[:, None]
    low, peak, high = corners[:-2], corners[1:-1], corners[2:]
    return np.maximum(0.0, np.minimum((mel - low) / (peak - low), (high - mel) / (high - peak)))


# ---- data sets ------------------------------------------------------------------------------------------------


def write_dataset(
    folder: Path | str, clips_per_class: int = 48, seed: int = 0, progress: Progress = NO_PROGRESS
) -> Path:
    """Write a data set of made sounds, with the evidence of each clip.

    Parameters
    ----------
    folder
        Where to. It appears only when it is whole. If it holds this very data set already, it is left as it is; if it
        holds another one of ours, it is replaced.
    clips_per_class
        Clips in each of the ten classes. About one source in three has two takes, the others have one; sources are
        dealt to five folds, as evenly as that allows.
    seed
        The same seed gives the same bytes. 0 to 2**32 - 1.
    progress
        Told about each clip; silent by default.

    Returns
    -------
    The folder.

    Raises
    ------
    UsageError
        If the folder holds anything else, or a number is out of its range.
    EarwitnessError
        If the disk refuses.
    """
    if not 1 <= clips_per_class <= MOST_CLIPS:
        raise UsageError(f"made clips per class must be from 1 to {MOST_CLIPS}, not {clips_per_class}")
    if not 0 <= seed < 2**32:
        raise UsageError(f"the seed of made sounds must be from 0 to {2**32 - 1}, not {seed}")
    target = Path(folder).resolve()
    asked = {"made_by": MADE_BY, "version": VERSION, "seed": seed, "clips_per_class": clips_per_class}
    if _holds(target, asked):
        return Path(folder)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as workshop:
            new = Path(workshop, "new")
            new.mkdir()
            _write_clips(new, clips_per_class, seed, progress)
            write_json(new / EVIDENCE_FOLDER / MANIFEST, {**asked, "files": _hashes(new)})
            if target.exists():
                target.rename(Path(workshop, "old"))
            new.rename(target)
    except OSError as error:
        raise EarwitnessError(f"{printable(folder)}: could not be written ({error.strerror or error})") from error
    return Path(folder)


def load(wav: Path | str) -> Scene:
    """Read a clip of a written data set and its evidence; equal to the scene that was written.

    Raises
    ------
    BadRecordingError
        If the clip or its evidence is missing or damaged, or the one does not belong to the other.
    """
    clip = decoding.read(wav)
    evidence = evidence_path(wav)
    try:
        with evidence.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            event = (stored["event"] / FULL_SCALE).astype(np.float32)
            spans, rate = stored["spans"], int(stored["sample_rate"])
            label, snr_db = str(stored["label"]), float(stored["snr_db"])
            seed, take = int(stored["seed"]), int(stored["take"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadRecordingError(
            wav, f"its evidence {printable(evidence)} cannot be read ({error}); write the made sounds anew"
        ) from error
    if event.shape != clip.samples.shape or rate != clip.sample_rate:
        raise BadRecordingError(wav, f"its evidence {printable(evidence)} belongs to another clip; write both anew")
    events = tuple(Event(*(float(value) for value in span)) for span in spans)
    return Scene(
        samples=clip.samples,
        sample_rate=rate,
        label=label,
        event=event,
        background=clip.samples - event,
        events=events,
        snr_db=snr_db,
        seed=seed,
        take=take,
    )


def evidence_path(wav: Path | str) -> Path:
    """Return where the evidence of a clip of a written data set lies."""
    path = Path(wav)
    return path.parent.parent / EVIDENCE_FOLDER / path.parent.name / f"{path.stem}.npz"


def _write_clips(root: Path, clips_per_class: int, seed: int, progress: Progress) -> None:
    with progress.task("Making sounds", clips_per_class * len(CLASSES)) as advance:
        for number, label in enumerate(CLASSES):
            for fold, source, take in takes(clips_per_class, seed, number):
                scene = make(label, seed * SOURCES + source, take)
                wav = root / label / f"{fold}-{source:06d}-{chr(ord('A') + take)}.wav"
                decoding.write_wav(wav, _integers(scene.samples), scene.sample_rate)
                with atomic_write(evidence_path(wav)) as temporary:
                    np.savez(temporary, **_evidence(scene))
                advance(1)


def takes(clips: int, seed: int, number: int) -> Iterator[tuple[int, int, int]]:
    """Yield (fold, source, take) of each clip of class ``number``: one or two takes a source, even folds."""
    rng = np.random.default_rng([seed, number])
    filled = np.zeros(FOLDS, dtype=np.int64)
    source = 1 + number * (SOURCES // len(CLASSES))
    while filled.sum() < clips:
        fold = int(filled.argmin())
        takes = min(1 + int(rng.uniform() < 1 / 3), clips - int(filled.sum()))
        for take in range(takes):
            yield fold + 1, source, take
        filled[fold] += takes
        source += 1


def _evidence(scene: Scene) -> dict[str, Any]:
    spans = [(e.start_seconds, e.end_seconds, e.low_hz, e.high_hz) for e in scene.events]
    return {
        "event": _integers(scene.event),
        "spans": np.array(spans, dtype=np.float64).reshape(-1, 4),
        "sample_rate": np.int64(scene.sample_rate),
        "label": np.str_(scene.label),
        "snr_db": np.float64(scene.snr_db),
        "seed": np.int64(scene.seed),
        "take": np.int64(scene.take),
    }


def _integers(samples: Samples) -> npt.NDArray[np.int16]:
    return np.asarray(np.rint(samples * FULL_SCALE), dtype=np.int16)


def _hashes(root: Path) -> dict[str, str]:
    """Return the SHA-256 of a data set's files by their paths in it, but for the manifest and what systems hide."""
    paths = {p.relative_to(root).as_posix(): p for p in sorted(root.rglob("[!.]*")) if not p.is_dir()}
    paths.pop(f"{EVIDENCE_FOLDER}/{MANIFEST}", None)
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}


def _holds(target: Path, asked: dict[str, Any]) -> bool:
    """Return whether the folder holds what is asked for, whole; refuse one that holds what we did not write."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    manifest = target / EVIDENCE_FOLDER / MANIFEST
    if not manifest.is_file():
        raise UsageError(f"{printable(target)}: is not a folder of made sounds; name a new folder")
    found = read_json(manifest)
    if not isinstance(found, dict) or found.get("made_by") != MADE_BY or not isinstance(found.get("files"), dict):
        raise UsageError(f"{printable(manifest)}: was not written by earwitness; name a new folder")
    files = _hashes(target)
    foreign = sorted(files.keys() - found["files"].keys())
    if foreign:
        raise UsageError(f"{printable(target / foreign[0])}: is not a made sound; move it away or name a new folder")
    return found == {**asked, "files": files}
