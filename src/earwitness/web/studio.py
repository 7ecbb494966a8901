"""What one server shows: its collections, their sounds, and what was made for those who look at them."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count
from pathlib import Path
from urllib.parse import unquote

from earwitness.audio import decoding
from earwitness.core.errors import BadRecordingError, EarwitnessError, UsageError, printable
from earwitness.core.run_folder import IDENTITY, RunFolder
from earwitness.inspection.files import score_file
from earwitness.inspection.model import Model
from earwitness.web.collection import AT_ONCE_SECONDS, FOLDER, UPLOADS, Collection, recording_id
from earwitness.web.opening import of_folder, of_run, of_uploads
from earwitness.web.reviews import Reviews
from earwitness.web.sounds import Sounds
from earwitness.web.worker import Job, Worker

MOST_UPLOADS = 100
CONTENT_DIGITS = 16  # of the SHA-256 of what was sent, that its name holds
MOST_UPLOAD_SECONDS = 600.0
MOST_UPLOAD_SAMPLES = 120_000_000  # of all channels: ten minutes of studio sound; 600 kB of FLAC may hold billions


class NotThereError(EarwitnessError):
    """There is nothing of that id."""


@dataclass(frozen=True)
class Studio:
    """All that a server shows.

    Parameters
    ----------
    collections
        By id; what is sent to a model becomes a collection of its own.
    sounds
        What is played.
    """

    collections: dict[str, Collection]
    sounds: Sounds = field(default_factory=Sounds)
    _scoring: dict[str, Job] = field(default_factory=dict)
    _reviews: dict[str, Reviews] = field(default_factory=dict)
    _taking: threading.Lock = field(default_factory=threading.Lock)
    _uploads: tempfile.TemporaryDirectory[str] = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="earwitness-uploads-")
    )

    def collection(self, name: str) -> Collection:
        """Return a collection by its id.

        Raises
        ------
        NotThereError
            There is none.
        """
        if name not in self.collections:
            raise NotThereError("no such collection; go back to the beginning")
        return self.collections[name]

    def recording(self, collection: str, recording: str) -> tuple[Collection, str]:
        """Return a collection and the name of a recording in it, by their ids; raises as :meth:`collection` does."""
        found = self.collection(collection)
        name = found.name_of(recording)
        if name is None:
            raise NotThereError("no such recording in this collection; go back to the list")
        return found, name

    @property
    def shown(self) -> list[Collection]:
        """The collections as they are now: another thread may add one."""
        return list(self.collections.values())

    @property
    def workers(self) -> list[Worker]:
        """Each once."""
        return list({id(each.worker): each.worker for each in self.shown}.values())

    def job(self, name: str) -> tuple[Worker, Job]:
        """Return a job by its id, with its worker; raises as :meth:`collection` does."""
        for worker in self.workers:
            if (job := worker.job(name)) is not None:
                return worker, job
        raise NotThereError("no such job; it may have ended long ago")

    def reviews(self, collection: Collection) -> Reviews:
        """Return what a person decided about a collection's recordings."""
        if collection.id not in self._reviews:
            run = "" if collection.run is None else str(collection.run.settings.get(IDENTITY) or "")
            self._reviews[collection.id] = Reviews(collection.home, run)
        return self._reviews[collection.id]

    def score(self, collection: Collection) -> Job | None:
        """Have a folder's recordings scored, once; None where all are scored or it is a run's."""
        if collection.kind != FOLDER:
            return None
        job = self._scoring.get(collection.id)
        if job is None:
            job = collection.worker.submit(f"Scoring {collection.title}", collection.score_all, background=True)
            self._scoring[collection.id] = job
        return None if job.ended else job

    def scoring(self, collection: Collection, name: str) -> Job | None:
        """Return the job that scores a recording which takes long; None where nobody has to wait for it.

        One that failed or is cancelled is begun anew.
        """
        if not collection.takes_long(name):
            return None
        with self._taking:
            job = self._scoring.get(f"{collection.id}\n{name}")
            if job is None or job.ended or job.stop:
                title = f"Scoring {collection.title_of(name)}"
                job = collection.worker.submit(title, partial(collection.score_long, name))
                self._scoring[f"{collection.id}\n{name}"] = job
        return job

    def receive(self, beside: str, file_name: str, data: Path) -> tuple[Collection, str]:
        """Take in a file that was sent, and score it.

        Parameters
        ----------
        beside
            The collection whose model is asked; ``""`` for the first.
        file_name
            What the sender calls it, percent-encoded; it is shown, and never used as a path.
        data
            The file, which is moved.

        Raises
        ------
        BadRecordingError
            It is no sound that can be used.
        UsageError
            It is too long, or too many were sent.
        """
        base = self.collection(beside) if beside else next(iter(self.collections.values()))
        uploads = self._uploads_of(base)
        shown = printable(Path(unquote(file_name, errors="replace")).name)[:200] or "sound"
        name = self._name_of(uploads, shown, data)
        if name not in uploads.paths:
            self._take(uploads, name, shown, data)
        with self._taking:
            taken = {title for each, title in uploads.titles.items() if each != name}
            others = (f"{number}-{shown}" for number in count(2))
            uploads.titles[name] = next(each for each in chain([shown], others) if each not in taken)
        return uploads, recording_id(name)

    def _name_of(self, uploads: Collection, shown: str, data: Path) -> str:
        """Return the name of a sound that was sent: it says its content, so that what was decided is found again.

        Sent again under another name, it keeps the one under which its decisions are.
        """
        with data.open("rb") as stream:
            content = f" [{hashlib.file_digest(stream, 'sha256').hexdigest()[:CONTENT_DIGITS]}]"
        reviews = self.reviews(uploads)
        found = [each.recording for each in reviews.findings()]
        kept = [*uploads.names, *reviews.all(), *found, *(each.recording for each in uploads.shelf.all())]
        return next((each for each in kept if each.endswith(content)), f"{shown}{content}")

    def _take(self, uploads: Collection, name: str, shown: str, data: Path) -> None:
        """Score a file that was sent, and keep it as long as the server runs."""
        if len(uploads.names) >= MOST_UPLOADS:
            raise UsageError(f"{MOST_UPLOADS} sounds were sent already; start the server again to send others")
        # Of the sender's name its ending alone, which tells what sound it is.
        ending = Path(shown).suffix
        path = data.with_name(f"sound-{data.name}{ending if ending[1:].isalnum() and ending.isascii() else ''}")
        data.rename(path)
        try:
            seconds = _check_length(path, shown)
            scored = None  # what takes long is scored when it is opened, by a job
            if seconds <= AT_ONCE_SECONDS:
                scored = uploads.worker.now(lambda: score_file(uploads.model.classifier, path, tail=uploads.tail))
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, BadRecordingError):
                raise BadRecordingError(shown, error.reason.replace(path.stem, Path(shown).stem)) from error
            raise
        with self._taking:
            uploads.add(name, path)
            if scored is not None:
                uploads.hold(name, scored)

    def _uploads_of(self, base: Collection) -> Collection:
        with self._taking:
            for each in self.collections.values():
                if each.kind == UPLOADS and each.worker is base.worker:
                    return each
            found = of_uploads(base)
            self.collections[found.id] = found
            return found

    @property
    def upload_folder(self) -> Path:
        """Where files lie that are being sent."""
        return Path(self._uploads.name)

    def close(self) -> None:
        """End all work, and remove what was made for this server alone."""
        for worker in self.workers:
            worker.close()
        self.sounds.close()
        self._uploads.cleanup()


def _check_length(path: Path, name: str) -> float:
    """Decode a file that was sent, block by block, and refuse it as soon as it is too long, in time or in samples.

    Returns
    -------
    Its seconds.
    """
    _, _, rate, channels = decoding.header(path)
    frames = 0
    for block in decoding.stream(path):
        frames += len(block)
        if frames > MOST_UPLOAD_SECONDS * rate:
            much = f"is longer than {MOST_UPLOAD_SECONDS / 60:g} minutes"
        elif frames * channels > MOST_UPLOAD_SAMPLES:
            much = f"holds more than {MOST_UPLOAD_SAMPLES / 1e6:g} million samples"
        else:
            continue
        raise UsageError(f"{name}: {much}; put it into a folder and serve that")
    return frames / rate


def open_studio(
    places: Sequence[Path], model: Model | None = None, *, device: str = "auto", data: Path | None = None
) -> Studio:
    """Open what a server is to show.

    Parameters
    ----------
    places
        Runs, and folders of runs; with a model, folders of recordings.
    model
        Asked about the folders' recordings; None where they are runs.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` ...
    data
        Where the run's recordings are now, if they were moved; for one run alone.

    Raises
    ------
    UsageError, EarwitnessError
        There is nothing to show at a place, or a run is damaged.
    """
    if not places:
        raise UsageError("name a run folder, a folder of runs, or --model SPEC with a folder of recordings")
    if model is not None:
        collections = [of_folder(model, place) for place in places]
    else:
        runs = [run for place in places for run in _runs_in(place)]
        if data is not None and len(runs) > 1:
            raise UsageError(f"--data {printable(data)}: is for one run, and there are {len(runs)}; name one")
        collections = [of_run(run, device, data) for run in runs]
    return Studio({each.id: each for each in collections})


def _runs_in(place: Path) -> list[Path]:
    if not place.is_dir():
        raise UsageError(f"{printable(place)}: no such folder; `earwitness train` makes a run")
    if RunFolder(place).started or RunFolder(place).finished:
        return [place]
    found = [each for each in sorted(place.iterdir()) if RunFolder(each).finished]
    if not found:
        raise UsageError(
            f"{printable(place)}: holds no finished run; name a run folder, or a folder of runs; for recordings name a "
            "model, too: --model SPEC"
        )
    return found
