"""Sounds as a browser plays them: WAV files of one channel in a folder that goes when the server ends."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import soundfile

from earwitness.audio import decoding
from earwitness.core.arrays import Float32Array
from earwitness.core.errors import EarwitnessError
from earwitness.core.files import atomic_write

MOST_RATE = 96_000  # Hz that browsers play
OTHER_RATE = 48_000
MOST_BYTES = 4 << 30  # of all sounds together; those asked for longest ago are removed
MOST_SECONDS = 6 * 3600.0


class Sounds:
    """Sounds by opaque ids; several threads may ask.

    Parameters
    ----------
    most_bytes
        What all of them may take on the disk.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="earwitness-sounds-")
        self._most = most_bytes
        self._lock = threading.Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict()

    def put(self, key: str, make: Callable[[], tuple[Iterator[Float32Array], int]]) -> str:
        """Write a sound, unless it is there, and return its id.

        Parameters
        ----------
        key
            What tells it from others.
        make
            Returns its samples, in blocks of shape (k,), and their rate.

        Raises
        ------
        BadRecordingError
            A recording cannot be used.
        """
        name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:24]
        if self.path(name) is not None:
            return name
        blocks, rate = make()
        path = Path(self._folder.name) / f"{name}.wav"
        try:
            with (
                atomic_write(path) as temporary,
                soundfile.SoundFile(temporary, "w", rate, 1, subtype="PCM_16", format="WAV") as file,
            ):
                for block in blocks:
                    file.write(block)
        except OSError as error:
            raise EarwitnessError(
                f"the sound cannot be written ({error.strerror}); free the temporary folder"
            ) from error
        with self._lock:
            self._sizes[name] = path.stat().st_size
            while sum(self._sizes.values()) > self._most and len(self._sizes) > 1:
                old, _ = self._sizes.popitem(last=False)
                (Path(self._folder.name) / f"{old}.wav").unlink(missing_ok=True)
        return name

    def path(self, name: str) -> Path | None:
        """Return where a sound lies; None where there is none of this id."""
        with self._lock:
            if name not in self._sizes:
                return None
            self._sizes.move_to_end(name)
        return Path(self._folder.name) / f"{name}.wav"

    def close(self) -> None:
        """Remove all of them."""
        self._folder.cleanup()


def playable(path: Path) -> tuple[Iterator[Float32Array], int]:
    """Return a recording's mono samples, in blocks, at a rate that browsers play.

    Raises
    ------
    BadRecordingError
        It cannot be used.
    """
    _, _, own, _ = decoding.header(path)
    rate = own if own <= MOST_RATE else OTHER_RATE
    return decoding.stream(path, rate), rate
