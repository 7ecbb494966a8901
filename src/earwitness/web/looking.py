"""What a page asks about collections and recordings: functions from what is asked to what is answered."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import msgspec
import numpy as np
from starlette.responses import FileResponse, Response

from earwitness.audio import decoding
from earwitness.core.errors import UsageError
from earwitness.core.files import safe_name
from earwitness.core.run_folder import RunFolder
from earwitness.core.version import VERSION
from earwitness.web import glance, listing, mapped, shapes, shown
from earwitness.web.arrays import Drawn, little_endian
from earwitness.web.asked import Span
from earwitness.web.collection import Collection, recording_id
from earwitness.web.endpoint import BINARY, PNG, WAV, Given
from earwitness.web.review_exports import MapWords, attachment
from earwitness.web.sounds import playable
from earwitness.web.studio import NotThereError, Studio

# ---- collections --------------------------------------------------------------------------------------------------


def session(studio: Studio, given: Given) -> shapes.Session:
    """Return what the server shows."""
    del given
    return shapes.Session(version=VERSION, collections=[shown.collection_shape(each) for each in studio.shown])


def overview(studio: Studio, given: Given) -> glance.Overview:
    """Return a collection at a glance; its recordings are scored if they are not."""
    collection = studio.collection(given.ids["c"])
    job = studio.score(collection)
    return shown.overview(collection, None if job is None else job.id)


def recordings(studio: Studio, given: Given) -> shapes.Rows:
    """Return a part of a list of recordings."""
    collection = studio.collection(given.ids["c"])
    reviews = {name: shown.review(each) for name, each in studio.reviews(collection).all().items()}
    return listing.rows(collection, given.query, reviews)


def class_page(studio: Studio, given: Given) -> glance.ClassPage:
    """Return what is known of a class."""
    collection, number = studio.collection(given.ids["c"]), given.ids["index"]
    if not number.isascii() or not number.isdigit() or int(number) >= len(collection.model.classes):
        raise NotThereError("no such class; classes are counted from 0")
    return shown.class_page(collection, int(number), given.query.predicted)


def report(studio: Studio, given: Given) -> Response:
    """Return the run's report, to be kept."""
    run = studio.collection(given.ids["c"]).run
    if run is None or not _lies_in(run.folder.report, run.folder):
        raise NotThereError("there is no report yet; `earwitness report RUN` makes one")
    name = f"{run.folder.path.resolve().name}-report.html"
    return FileResponse(run.folder.report, filename=name, media_type=BINARY)


def figure(studio: Studio, given: Given) -> Response:
    """Return a picture of a run."""
    for collection in studio.shown:
        path = shown.figure_path(collection, given.ids["f"])
        if path is not None and collection.run is not None and _lies_in(path, collection.run.folder):
            return FileResponse(path, media_type=PNG)
    raise NotThereError("no such figure; inquire again, or reload the page")


def _lies_in(path: Path, folder: RunFolder) -> bool:
    """Tell whether a file is there and is the run's own: links in a run from elsewhere may lead anywhere."""
    return path.is_file() and path.resolve().is_relative_to(folder.path.resolve())


def export(studio: Studio, given: Given) -> Response:
    """Return decisions and findings as a file."""
    collection = studio.collection(given.ids["c"])
    reviews, clock = studio.reviews(collection), collection.model.classifier.front_end.clock

    def extent(name: str) -> tuple[float, float, float, float]:
        known = collection.known.get(name)
        return 0.0, 0.0 if known is None else known.seconds, max(0.0, clock.low_hz), clock.high_hz

    held = {each.id: each for each in collection.shelf.all()}

    def about(wanted: str) -> MapWords | None:
        return mapped.for_readers(collection, held[wanted]) if wanted in held else None

    name = safe_name(collection.title)
    made = attachment(given.query.format, name, reviews.all().values(), reviews.findings(), extent, about)
    head = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(made.name)}"}
    return Response(made.body, media_type=made.media_type, headers=head)


# ---- a recording --------------------------------------------------------------------------------------------------


def recording(studio: Studio, given: Given) -> shapes.Recording:
    """Return a recording; of one that takes long, what is known while it is being scored."""
    collection, name = studio.recording(given.ids["c"], given.ids["r"])
    with collection.reading(name) as path:
        _, _, sample_rate, channels = decoding.header(path)
    job = studio.scoring(collection, name)
    ordered = sorted(collection.names)
    place, reviews = ordered.index(name), studio.reviews(collection)
    review, length = reviews.get(name), collection.model.classifier.segment_seconds
    known, label = collection.known.get(name), collection.labels.get(name)
    unscored = shapes.Recording(
        id=given.ids["r"],
        name=collection.title_of(name),
        label=label,
        predicted=None if known is None else known.predicted,
        right=None if label is None or known is None else label == known.predicted,
        seconds=collection.length(name),
        sample_rate=sample_rate,
        channels=channels,
        frames=0,
        scores=[],
        segments=shapes.SegmentTimes(count=0, start_seconds=[], length_seconds=length),
        detections=[],
        maps=[],
        findings=[shown.finding(each) for each in reviews.findings(name)],
        review=None if review is None else shown.review(review),
        why=shown.why(collection, name),
        notes=[],
        next=_neighbour(ordered, place + 1),
        previous=_neighbour(ordered, place - 1),
        scoring=None if job is None else shown.job_shape(collection.worker, job),
    )
    return unscored if job is not None else _scored(collection, name, unscored)


def _scored(collection: Collection, name: str, unscored: shapes.Recording) -> shapes.Recording:
    """Return a recording with what the model says of it."""
    scored = collection.scored(name)
    known = collection.known.get(name) or collection.note(name, scored)
    maps = mapped.best_first(collection, name, collection.shelf.of(name))
    return msgspec.structs.replace(
        unscored,
        predicted=known.predicted,
        right=None if unscored.label is None else unscored.label == known.predicted,
        seconds=scored.seconds,
        frames=scored.real_frames,
        scores=shown.scored_list(shown.ranked(scored.classes, scored.mean)),
        segments=shown.segment_times(scored),
        detections=shown.detections(collection, scored),
        surest=known.surest,
        maps=[mapped.map_shape(collection, each) for each in maps],
        notes=[*scored.notes, *shown.unseen(scored)],
    )


def _neighbour(names: list[str], place: int) -> str | None:
    return recording_id(names[place]) if 0 <= place < len(names) else None


def scores(studio: Studio, given: Given) -> Response:
    """Return every segment's scores."""
    collection, name = studio.recording(given.ids["c"], given.ids["r"])
    return array(Drawn(collection.scored(name).scores.astype(np.float32), 0.0, 0.0))


def log_mel(studio: Studio, given: Given) -> Response:
    """Return a stretch of the log-mel that the network gets."""
    collection, name = studio.recording(given.ids["c"], given.ids["r"])
    return array(collection.drawn(name, *_between(given.query), given.query.columns))


def waveform(studio: Studio, given: Given) -> Response:
    """Return the least and the greatest sample of each column of a stretch."""
    collection, name = studio.recording(given.ids["c"], given.ids["r"])
    return array(collection.waveform(name, *_between(given.query), given.query.columns))


def thumbnail(studio: Studio, given: Given) -> Response:
    """Return a small picture of a log-mel."""
    collection, name = studio.recording(given.ids["c"], given.ids["r"])
    return array(collection.thumbnail(name))


def _between(query: Span) -> tuple[float, float | None]:
    if query.end is not None and query.end <= query.start:
        raise UsageError(f"from {query.start:g} to {query.end:g} s is no stretch; name the earlier moment first")
    return query.start, query.end


def array(found: Drawn) -> Response:
    """Return an array with its shape and its stretch."""
    rows, columns = found.values.shape
    head = {
        "X-Shape": f"{rows},{columns}",
        "X-Start-Seconds": f"{found.start_seconds:.6f}",
        "X-End-Seconds": f"{found.end_seconds:.6f}",
    }
    return Response(little_endian(found.values), media_type=BINARY, headers=head)


def sound(studio: Studio, given: Given) -> Response:
    """Return a recording as a browser plays it."""
    collection, name = studio.recording(given.ids["c"], given.ids["r"])
    with collection.reading(name) as path:
        status = path.stat()
        key = f"{collection.id}\n{name}\n{status.st_mtime_ns}\n{status.st_size}"
        return played(studio, studio.sounds.put(key, lambda: playable(path)))


def made_sound(studio: Studio, given: Given) -> Response:
    """Return a sound that was made."""
    return played(studio, given.ids["s"])


def played(studio: Studio, name: str) -> Response:
    """Return a sound by its id, any part of it."""
    path = studio.sounds.path(name)
    if path is None:
        raise NotThereError("this sound is no longer held; ask for it again")
    return FileResponse(path, media_type=WAV)
