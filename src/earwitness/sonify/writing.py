"""Sound files with their provenance inside and beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import soundfile

from earwitness.core.arrays import Float32Array
from earwitness.core.errors import UsageError
from earwitness.core.files import atomic_write
from earwitness.core.version import VERSION

FORMATS = ("wav", "flac")
SUBTYPE = "PCM_24"
MOST_FLAC_CHANNELS = 8
MOST_FLAC_RATE = 655_350
MOST_WAV_BYTES = (1 << 32) - (1 << 16)


def check_format(kind: str, sample_rate: int, channels: int, frames: int = 0) -> None:
    """Refuse what a format cannot hold, before the work.

    Raises
    ------
    UsageError
        It is no format that is written, or not one for this sound.
    """
    if kind not in FORMATS:
        raise UsageError(f"--format {kind}: sounds are written as {' or '.join(FORMATS)}")
    if kind == "flac" and (channels > MOST_FLAC_CHANNELS or sample_rate > MOST_FLAC_RATE):
        raise UsageError(
            f"--format flac: holds at most {MOST_FLAC_CHANNELS} channels and {MOST_FLAC_RATE:,} Hz, and the recording "
            f"has {channels} and {sample_rate:,} Hz; write wav"
        )
    if kind == "wav" and frames * channels * 3 > MOST_WAV_BYTES:
        raise UsageError("--format wav: holds at most 4 GiB, and each sound would take more; write flac")


def write_sound(
    path: Path, blocks: Iterator[Float32Array], sample_rate: int, channels: int, provenance: dict[str, Any]
) -> None:
    """Write a sound that comes in blocks, 24 bits, whole or not at all.

    Parameters
    ----------
    path
        Its ending, ``.wav`` or ``.flac``, tells the format.
    blocks
        Of shape (k, channels); what lies beyond full scale is cut off.
    sample_rate, channels
        Hz, and how many.
    provenance
        Kept as JSON in the file's comment; ``title`` is also its title.
    """
    with atomic_write(path) as temporary:
        kind = path.suffix[1:].upper()
        with soundfile.SoundFile(temporary, "w", sample_rate, channels, subtype=SUBTYPE, format=kind) as file:
            # RIFF's strings hold ASCII for sure.
            file.title = str(provenance.get("title", path.stem)).encode("ascii", "backslashreplace").decode()
            file.software = f"earwitness {VERSION}"
            file.comment = json.dumps(provenance, ensure_ascii=True, allow_nan=False)
            for block in blocks:
                file.write(block)
