"""Where in a recording lies what is kept of it, as files for other programs."""

from __future__ import annotations

from collections.abc import Sequence

from earwitness.core.errors import printable
from earwitness.inspection import exports
from earwitness.sonify.listening import Written
from earwitness.sonify.masks import Box, Mask, kept_regions


def export_kept(written: Written, formats: Sequence[str]) -> None:
    """Write where in the recording lies what is kept, beside its sounds.

    Parameters
    ----------
    written
        The sounds.
    formats
        Of ``"csv"``, ``"raven"`` and ``"audacity"``.
    """
    kept, heard = written.listening.keep, written.listening
    if not formats:
        return
    assert isinstance(kept, Box | Mask)
    end, highest = heard.start_seconds + heard.seconds, heard.sample_rate / 2
    rows = [
        exports.KeptRow(
            file=printable(heard.path),
            label=heard.target,
            method=str(heard.about.get("method", "")),
            start_seconds=box.start_seconds,
            end_seconds=min(box.end_seconds, end),
            low_hz=box.low_hz,
            high_hz=min(box.high_hz, highest),
            share=share,
        )
        for box, share in ([(kept, 1.0)] if isinstance(kept, Box) else kept_regions(kept))
        if box.start_seconds < end and box.low_hz < highest  # a box may lie beyond the recording
    ]
    exports.export_kept(rows, written.sheet.parent, written.sheet.stem, formats)
