"""The sounds behind a run's pictures: recordings, segments, and each map's evidence, for the report to play."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from earwitness.core.arrays import Float32Array
from earwitness.core.files import safe_name
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers.attribution import Attribution
from earwitness.explainers.findings import Finding, Inquiry, duration
from earwitness.inspection.run import OpenRun
from earwitness.sonify.clips import ENDING, Played, PlayedMap, at_one_loudness, read_stretch, write_clip
from earwitness.sonify.listening import SOUNDS, Listening
from earwitness.sonify.masks import NoEvidenceError, mask_of

MOST_SECONDS = 15.0  # of a recording


def write_players(run: OpenRun, inquiry: Inquiry, progress: Progress = NO_PROGRESS) -> tuple[Played, ...]:
    """Write the sounds of an inquiry's recordings or segments into the run's folder, in place of its earlier ones.

    Of each segment the original and, of each map, only the evidence and all without it; of a misclassified recording
    all of it, too, or the 15 s around the segment.

    Parameters
    ----------
    run
        The run that was asked.
    inquiry
        The answer.
    progress
        Told a step a recording or segment.

    Returns
    -------
    What the report plays, in the order of the picture; files are named from the run's folder of sounds.
    """
    folder = run.folder.sounds / safe_name(inquiry.name)
    shutil.rmtree(folder, ignore_errors=True)
    written = []
    with progress.task("Writing sounds", len(inquiry.recordings) + len(inquiry.findings)) as advance:
        for each in _all(run, inquiry, folder):
            written.append(each)
            advance(1)
    return tuple(written)


def _all(run: OpenRun, inquiry: Inquiry, folder: Path) -> Iterator[Played]:
    for row, shown in enumerate(inquiry.recordings):
        path, seconds = run.path_of(shown.file), len(shown.samples) / shown.sample_rate
        yield _recording(path, f"{shown.label}: {shown.file}", 0.0, seconds, row, folder / f"{row + 1}{ENDING}")
    for row, finding in enumerate(inquiry.findings):
        path = run.path_of(finding.file)
        if inquiry.kind == "misclassified":
            middle = (finding.start_seconds + finding.end_seconds) / 2
            start = max(0.0, middle - MOST_SECONDS / 2)
            yield _recording(path, finding.file, start, start + MOST_SECONDS, None, folder / f"{row + 1}-all{ENDING}")
        yield _segment(run, inquiry, path, finding, row, folder)


def _recording(path: Path, title: str, start: float, end: float, row: int | None, target: Path) -> Played:
    samples, rate = read_stretch(path, start, min(end, start + MOST_SECONDS))
    write_clip(target, at_one_loudness(samples, rate), rate)
    end = start + len(samples) / rate
    return Played(
        title=f"{title}, {duration(start)} to {duration(end)}",
        start_seconds=start,
        end_seconds=end,
        row=row,
        original=_named(target),
    )


def _segment(run: OpenRun, inquiry: Inquiry, path: Path, finding: Finding, row: int, folder: Path) -> Played:
    start = finding.start_seconds
    samples, rate = read_stretch(path, start, finding.end_seconds)
    original = folder / f"{row + 1}-original{ENDING}"
    write_clip(original, at_one_loudness(samples, rate), rate)
    maps: list[PlayedMap] = []
    of_original: dict[str, float] = {}
    for target, listed in enumerate(finding.attributions):
        for method, found in enumerate(listed):
            place = target * len(listed) + method
            listening = _listening(run, path, finding, found, samples, rate)
            if listening is not None:
                of_original = of_original or listening.score(SOUNDS[0])
                title = f"{inquiry.methods[method]} for {found.target_label}"
                name = f"{row + 1}-{place + 1}-{found.method}-{safe_name(found.target_label)}"
                maps.append(_map(listening, title, place, folder / name, of_original[found.target_label]))
    return Played(
        title=f"{finding.file}, {duration(start)} to {duration(finding.end_seconds)}",
        start_seconds=start,
        end_seconds=start + len(samples) / rate,
        row=row,
        original=_named(original),
        maps=tuple(maps),
    )


def _listening(
    run: OpenRun, path: Path, finding: Finding, found: Attribution, samples: Float32Array, rate: int
) -> Listening | None:
    try:
        keep = mask_of(found, run.clock)
    except NoEvidenceError:
        return None
    return Listening(
        path=path,
        sample_rate=rate,
        channels=1,
        start_seconds=finding.start_seconds,
        end_seconds=finding.end_seconds,
        keep=keep,
        classifier=run.classifier,
        target=found.target_label,
        decoded=samples,
    )


def _map(listening: Listening, title: str, place: int, stem: Path, score: float) -> PlayedMap:
    files = {name: stem.with_name(f"{stem.name}-{name}{ENDING}") for name in SOUNDS[1:]}
    for name, path in files.items():
        write_clip(path, listening.samples(name), listening.sample_rate)
    kept, removed = (listening.score(name)[listening.target] for name in files)
    return PlayedMap(
        title=title,
        target=listening.target,
        place=place,
        kept=_named(files["kept"]),
        removed=_named(files["removed"]),
        scores=(score, kept, removed),
    )


def _named(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
