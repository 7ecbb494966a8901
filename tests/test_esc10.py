"""ESC-10: unpacked from a zip that nobody need trust."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earwitness.core.errors import EarwitnessError
from earwitness.data import esc10
from earwitness.workflows import download
from local_site import (
    HASTY,
    Site,
    chunked,
    cut,
    home_fixture,
    left,
    one_line,
    running_site_fixture,
    site_fixture,
)

__all__ = ["home_fixture", "running_site_fixture", "site_fixture"]

# ---- ESC-10 --------------------------------------------------------------------------------------------------------

CLIPS = {"dog/1-1-A.ogg": b"wow" * 50, "dog/1-1-B.ogg": b"wuff" * 50, "rain/5-2-A.ogg": bytes(range(200))}
PLACES = {"dog": "001 - Dog bark", "rain": "002 - Rain"}


@pytest.fixture
def _three_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = tuple(
        esc10.ManifestEntry(
            file=file, sha256=hashlib.sha256(content).hexdigest(), title="", source_url="", author="", licence="CC0"
        )
        for file, content in CLIPS.items()
    )
    monkeypatch.setattr(esc10, "manifest", lambda: clips)


def archive(**more: bytes) -> dict[str, bytes]:
    """Return the entries of a good archive in its repository's layout, and more."""
    root = f"ESC-10-{esc10.COMMIT}"
    entries = {f"{root}/README.md": b"about", f"{root}/009 - Rooster/1-9-A.ogg": b"sampling plus"}
    for file, content in CLIPS.items():
        label, name = file.split("/")
        entries[f"{root}/{PLACES[label]}/{name}"] = content
    return entries | more


def zipped(entries: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] | None = None) -> bytes:
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if change is not None:
                change(info)
            file.writestr(info, content)
    return box.getvalue()


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("_three_clips")
def test_esc10_is_unpacked_checked_and_attributed(site: Site, home: Path) -> None:
    site.bodies["/zip"] = zipped(archive())
    folder = download.download("esc10", source_url=site.url("/zip"), patience=HASTY)
    assert folder == home / "data" / "esc10"
    found = files_in(folder)
    assert {name: found[name] for name in CLIPS} == CLIPS
    assert set(found) - set(CLIPS) == {"ATTRIBUTION.csv", "README.md"}
    assert b"Piczak" in found["README.md"]
    assert left(folder.parent) == {"esc10"}
    (folder / "dog" / "mine.wav").write_bytes(b"more of the user's own")
    assert download.download("esc10", source_url=site.url("/zip")) == folder
    assert len(site.log) == 1


@pytest.mark.usefixtures("_three_clips")
def test_esc10_without_ranges_and_length_after_a_cut(site: Site, home: Path) -> None:
    """This is how the author's host sends archives made on demand."""
    site.bodies["/zip"] = zipped(archive())
    site.script = [lambda handler, body: chunked(handler, body[:300], b""), chunked]
    folder = download.download("esc10", source_url=site.url("/zip"), patience=HASTY)
    assert esc10.wrong_clips(folder) == []


@pytest.mark.usefixtures("_three_clips")
def test_esc10_folder_that_was_changed_is_named_and_left_alone(site: Site, home: Path) -> None:
    site.bodies["/zip"] = zipped(archive())
    folder = download.download("esc10", source_url=site.url("/zip"), patience=HASTY)
    (folder / "dog" / "1-1-B.ogg").write_bytes(b"meow")
    (folder / "rain" / "5-2-A.ogg").unlink()
    with pytest.raises(
        EarwitnessError, match=r"2 of 3 clips are missing or changed \(first: dog/1-1-B.ogg\)"
    ) as caught:
        download.download("esc10", source_url=site.url("/zip"))
    one_line(caught)
    assert (folder / "dog" / "1-1-B.ogg").read_bytes() == b"meow"


def as_link(info: zipfile.ZipInfo) -> None:
    info.external_attr = (stat.S_IFLNK | 0o777) << 16


BAD_ARCHIVES: dict[str, tuple[bytes, str]] = {
    "up": (zipped(archive(**{"../../evil": b"x"})), r"points outside \(\.\./\.\./evil\)"),
    "up inside": (zipped(archive(**{"ESC-10/../../../evil": b"x"})), "points outside"),
    "up, backslashes": (zipped(archive(**{"a\\..\\..\\evil": b"x"})), "points outside"),
    "absolute": (zipped(archive(**{"/tmp/evil": b"x"})), r"points outside \(/tmp/evil\)"),
    "drive": (zipped(archive(**{"C:\\evil": b"x"})), "points outside"),
    "clip by another way": (zipped({"../" + name: content for name, content in archive().items()}), "points outside"),
    "backslash": (zipped(archive(**{"a\\b": b"x"})), r"unsafe name \(a\\b\)"),
    "link": (zipped(archive(), as_link), "is a link or a device"),
    "swollen": (zipped(archive(big=bytes(esc10.MOST_ENTRY_BYTES + 1))), "entry of 16,777,217 bytes"),
    "many": (zipped(archive(**{f"{i}": b"" for i in range(esc10.MOST_ENTRIES)})), "5,005 entries"),
    "not a zip": (b"<html>Not found</html>", "not a readable zip"),
    "empty": (b"", "not a readable zip"),
    "cut": (zipped(archive())[:-30], "not a readable zip"),
    "clip missing": (zipped({n: c for n, c in archive().items() if "1-1-B" not in n}), r"lacks 1-1-B\.ogg"),
    "clip changed": (
        zipped({name: content[:-1] if "5-2" in name else content for name, content in archive().items()}),
        r"002 - Rain/5-2-A\.ogg in the archive is not the published clip",
    ),
}


@pytest.mark.usefixtures("_three_clips")
@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_esc10_bad_archives_are_refused_and_leave_nothing(site: Site, home: Path, tmp_path: Path, case: str) -> None:
    content, words = BAD_ARCHIVES[case]
    site.bodies["/zip"] = content
    with pytest.raises(EarwitnessError, match=words) as caught:
        download.download("esc10", source_url=site.url("/zip"), patience=HASTY)
    assert "nothing was kept" in one_line(caught)
    assert files_in(tmp_path) == {}
    assert left(home / "data") == set()


def test_esc10_names_and_sizes_are_judged_as_they_stand_in_the_archive() -> None:
    with pytest.raises(ValueError, match=r"unsafe name \(good\\0/evil\)"):
        esc10.require_safe([zipfile.ZipInfo("good\0/evil")])
    entries = [zipfile.ZipInfo(f"{i}") for i in range(13)]
    for entry in entries:
        entry.file_size = esc10.MOST_ENTRY_BYTES
    esc10.require_safe(entries[:12])
    with pytest.raises(ValueError, match="unpacks to 218,103,808 bytes"):
        esc10.require_safe(entries)


@pytest.mark.usefixtures("_three_clips")
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255))
@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_esc10_any_damage_is_refused_or_harmless(tmp_path: Path, at: int, byte: int) -> None:
    good = zipped(archive())
    at %= len(good)
    path = tmp_path / "x.zip"
    path.write_bytes(good[:at] + bytes([byte]) + good[at + 1 :])
    reason = esc10.archive_error(path)
    assert reason is None or "\n" not in reason


@pytest.mark.usefixtures("_three_clips")
def test_esc10_disk_full_while_unpacking_leaves_nothing(
    site: Site, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, content: bytes) -> None:
        if path.name == "5-2-A.ogg":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        plain(path, content)

    plain = esc10.write_file
    monkeypatch.setattr(esc10, "write_file", write)
    site.bodies["/zip"] = zipped(archive())
    with pytest.raises(EarwitnessError, match="No space left on device") as caught:
        download.download("esc10", source_url=site.url("/zip"), patience=HASTY)
    one_line(caught)
    assert left(home / "data") == set()


def test_manifest_names_398_clips_with_their_attribution() -> None:
    clips = esc10.manifest()
    labels = [clip.file.split("/")[0] for clip in clips]
    assert {label: labels.count(label) for label in set(labels)} == {
        **dict.fromkeys(
            [
                "chainsaw",
                "clock_tick",
                "crackling_fire",
                "crying_baby",
                "dog",
                "helicopter",
                "rain",
                "sea_waves",
                "sneezing",
            ],
            40,
        ),
        "rooster": 38,
    }
    assert {clip.licence for clip in clips} == {"CC0", "CC-BY"}
    assert all(clip.author and clip.source_url and clip.title for clip in clips)
    assert len({clip.sha256 for clip in clips}) == len({Path(clip.file).name for clip in clips}) == 398
    assert all(re.fullmatch(r"[a-z_]+/[1-5]-\d+-[A-Z]\.ogg", clip.file) for clip in clips)


def test_real_esc10_comes_through_a_download_unchanged(shared: Path, site: Site, home: Path) -> None:
    """The whole archive in the repository's layout (here uncompressed), with the clips that are left out."""
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w") as file:
        file.writestr("ESC-10/009 - Rooster/1-1-Z.ogg", b"a clip that is not in the manifest")
        for clip in esc10.manifest():
            label, name = clip.file.split("/")
            file.write(shared / "data" / "esc10" / clip.file, f"ESC-10/001 - {label}/{name}")
    site.bodies["/zip"] = box.getvalue()
    site.script = [cut(20_480_000)]
    folder = download.download("esc10", source_url=site.url("/zip"), patience=HASTY)
    assert esc10.wrong_clips(folder) == []
    assert len([name for name in files_in(folder) if name.endswith(".ogg")]) == 398
    assert site.ranges[-1] == "bytes=20480000-"
