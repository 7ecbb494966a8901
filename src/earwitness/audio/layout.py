"""Where the sound lies in a file, and the words for a file that is not whole."""

from __future__ import annotations

from dataclasses import dataclass

COPY_AGAIN = "copy or download it again"
NO_SAMPLES = f"holds no samples: it is empty, or truncated after its header; {COPY_AGAIN}, or record it again"


class FaultError(Exception):
    """What is wrong with a file's bytes; :mod:`earwitness.audio.containers` adds the file's name to it."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """A part of a file that is decoded by itself; a joined MP3 or a chained Ogg file has several.

    Parameters
    ----------
    first, end
        Its first byte, and the byte after its last.
    head
        Bytes to put before it: a header in place of one that is wrong.
    skip
        Samples that the coder put before the sound (its delay), which are dropped.
    frames
        Samples (per channel) that the container promises after those; None where it promises nothing.
    packed
        Samples that its packets hold, skipped ones included; None where they are not counted beforehand.
    seconds
        Length that the container promises of its longest track, where it says so apart from its packets.
    """

    first: int
    end: int
    head: bytes = b""
    skip: int = 0
    frames: int | None = None
    packed: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Layout:
    """A whole file, as its bytes describe it.

    Parameters
    ----------
    kind
        A key of :data:`earwitness.audio.containers.SUFFIXES`.
    links
        Its parts in their order; none where libsndfile reads the file as it is.
    """

    kind: str
    links: tuple[Link, ...] = ()


def instead(options: str = "") -> str:
    """Return the words for a conversion that keeps all sound there is."""
    return f"if you want what is there: ffmpeg {options}-i FILE -c:a flac OUT.flac"


def cut_short(promised: str, there: str) -> FaultError:
    """Return the fault of a file that holds less than it promises."""
    return FaultError(f"is truncated: its header promises {promised}, {there} are there; {COPY_AGAIN}")
