"""Fetch published weights or ESC-10 into the cache."""

from __future__ import annotations

import os
from pathlib import Path

from earwitness.core.download import ELSEWHERE, OnBytes, Patience, fetch, sha256_check
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.core.home import home_folder
from earwitness.data import esc10
from earwitness.models.weights import PUBLISHED, checked

ESC10 = "esc10"


DOWNLOADS = (*PUBLISHED, ESC10)


def download(
    name: str,
    home: str | Path | None = None,
    progress: OnBytes | None = None,
    source_url: str | None = None,
    patience: Patience | None = None,
) -> Path:
    """Fetch published weights or ESC-10 into the user's cache, or find that they are there already.

    Parameters
    ----------
    name
        ``"vggish"``, ``"mn04"`` or ``"esc10"``.
    home
        Cache folder; by default what ``EARWITNESS_HOME`` says, else the user's cache folder. Weights are kept in its
        ``weights``, ESC-10 in its ``data/esc10``.
    progress
        Called with the bytes that are there and the bytes in all (None where the server does not say). Not called
        where nothing need be fetched.
    source_url
        A mirror's address; what comes from it must be the same.
    patience
        Time limits and number of attempts.

    Returns
    -------
    Path
        The weights' file, or ESC-10's folder.

    Raises
    ------
    UsageError
        The name is unknown, or the address is not http or https.
    EarwitnessError
        There is a damaged copy (it is left alone), or the download fails.
    """
    if name not in DOWNLOADS:
        raise UsageError(f"{name!r}: nothing to download by this name; choose one of {', '.join(DOWNLOADS)}")
    folder = home_folder(home)
    if name == ESC10:
        return esc10.download(folder / "data" / ESC10, url=source_url, progress=progress, patience=patience)
    published = PUBLISHED[name]
    target = folder / "weights" / published.file
    if os.path.lexists(target):
        return checked(target, published).path
    try:
        return fetch(
            source_url or published.url,
            target,
            sha256_check(published.sha256),
            limit=published.most_bytes,
            progress=progress,
            patience=patience,
        )
    except EarwitnessError as error:
        if not str(error).endswith(ELSEWHERE):
            raise
        raise EarwitnessError(f"{error} and give it with --weights FILE") from error
