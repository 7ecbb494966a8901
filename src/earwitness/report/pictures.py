"""Pictures inside the page, as data, within a budget."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from earwitness.core.errors import EarwitnessError, printable
from earwitness.core.run_folder import RunFolder
from earwitness.plots.gallery import Entry

# Bytes of pictures in the page, before base64 adds a third: the page stays under 10 MB with its text.
BUDGET = 6_500_000
WEBP_QUALITY = 85


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An entry of the album with its picture.

    Parameters
    ----------
    entry
        Words.
    source
        A ``data:`` URI, or empty where there is no picture to show.
    width, height
        Pixels.
    absence
        Why a picture that should be there is not, in words.
    """

    entry: Entry
    source: str = ""
    width: int = 0
    height: int = 0
    absence: str = ""


def embed(run: RunFolder, entries: Sequence[Entry], budget: int = BUDGET) -> list[Picture]:
    """Return the entries' pictures as data.

    They go in as they are where all fit the budget, otherwise as WebP, a third to a fifth of the size; what does not
    fit even then is named instead.

    Parameters
    ----------
    run
        Whose ``figures/`` holds them.
    entries
        In the order of the page.
    budget
        Bytes.
    """
    stored = {entry.name: _stored(run.figures / entry.file) for entry in entries if entry.file is not None}
    as_they_are = sum(len(data or b"") for data in stored.values()) <= budget
    pictures, spent = [], 0
    for entry in entries:
        data = stored.get(entry.name)
        if entry.file is None:
            pictures.append(Picture(entry=entry))
        elif data is None:
            pictures.append(
                Picture(entry=entry, absence=f"The picture figures/{entry.file} is missing; inquire again.")
            )
        else:
            kind, encoded, size = _encoded(data, as_they_are, run.figures / entry.file)
            spent += len(encoded)
            if spent > budget:
                spent -= len(encoded)
                pictures.append(Picture(entry=entry, absence=f"To keep this page small, see figures/{entry.file}."))
            else:
                source = f"data:image/{kind};base64,{base64.b64encode(encoded).decode('ascii')}"
                pictures.append(Picture(entry=entry, source=source, width=size[0], height=size[1]))
    return pictures


def _stored(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EarwitnessError(f"{printable(path)}: could not be read ({error.strerror or error})") from error


def _encoded(data: bytes, as_it_is: bool, path: Path) -> tuple[str, bytes, tuple[int, int]]:
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            picture.load()
            if as_it_is:
                return "png", data, picture.size
            stream = io.BytesIO()
            picture.convert("RGB").save(stream, "WEBP", quality=WEBP_QUALITY, method=4)
            return "webp", stream.getvalue(), picture.size
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise EarwitnessError(
            f"{printable(path)}: is not a readable PNG ({error}); remove it and inquire again"
        ) from error
