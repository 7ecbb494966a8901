"""Downloads: resumed, checked, never half-written, and one clear line for whatever goes wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earwitness.core import download
from earwitness.core.errors import EarwitnessError, UsageError
from local_site import (
    BODY,
    HASTY,
    LIMIT,
    Handler,
    Site,
    answer,
    chunked,
    cut,
    etag,
    home_fixture,
    left,
    one_line,
    redirect,
    running_site_fixture,
    serve,
    site_fixture,
    slowly,
    stall,
    without_ranges,
)

__all__ = ["home_fixture", "running_site_fixture", "site_fixture"]

IMPATIENT = dataclasses.replace(HASTY, stall_seconds=0.4)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "BLOCK_BYTES", 1024)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "file.bin"


def get(site: Site, target: Path, limit: int = LIMIT, **more: Any) -> Path:
    check = download.sha256_check(hashlib.sha256(BODY).hexdigest())
    return download.fetch(site.url(), target, check, limit=limit, **{"patience": HASTY, **more})


# ---- fetch: what goes well -----------------------------------------------------------------------------------------


def test_brings_the_file_and_leaves_nothing_else(site: Site, target: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    assert get(site, target, progress=lambda done, total: seen.append((done, total))) == target
    assert target.read_bytes() == BODY
    assert left(target.parent) == {target.name}
    assert seen[0] == (0, len(BODY))
    assert seen[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_goes_on_after_a_cut_within_one_call(site: Site, target: Path) -> None:
    site.script = [cut(20_480), cut(10_240)]
    get(site, target)
    assert target.read_bytes() == BODY
    assert site.ranges == [None, "bytes=20480-", "bytes=30720-"]
    assert site.log[1][1]["If-Range"] == etag(BODY)


def test_goes_on_in_a_later_call_and_counts_what_was_there(site: Site, target: Path) -> None:
    site.script = [cut(20_480), cut(0), cut(0)]
    with pytest.raises(EarwitnessError, match="cut") as caught:
        get(site, target)
    assert "20,480 bytes are kept: run the same command again" in one_line(caught)
    assert not target.exists()
    seen: list[int] = []
    get(site, target, progress=lambda done, _: seen.append(done))
    assert target.read_bytes() == BODY
    assert seen[0] == 20_480


@given(stops=st.lists(st.integers(0, 9000), max_size=6), size=st.integers(0, 30_000))
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_cuts_give_the_same_bytes(site: Site, tmp_path: Path, stops: list[int], size: int) -> None:
    body = BODY[:size]
    site.reset()
    site.bodies["/file"] = body
    site.script = [cut(stop) for stop in stops]
    check = download.sha256_check(hashlib.sha256(body).hexdigest())
    target = tmp_path / "file"
    patience = dataclasses.replace(HASTY, attempts=8, pause_seconds=0.0)
    download.fetch(site.url(), target, check, limit=LIMIT, patience=patience)
    assert target.read_bytes() == body
    assert left(tmp_path) == {"file"}


def test_server_that_ignores_ranges_starts_over(site: Site, target: Path) -> None:
    site.script = [cut(20_480), without_ranges]
    get(site, target)
    assert target.read_bytes() == BODY
    assert site.ranges == [None, "bytes=20480-"]


def test_file_that_changed_on_the_server_starts_over(site: Site, target: Path) -> None:
    """If-Range makes the server send the whole new file instead of a piece that does not fit."""

    def cut_and_change(handler: Handler, body: bytes) -> None:
        handler.server.bodies["/file"] = BODY
        serve(handler, body, 20_480)

    site.bodies["/file"] = BODY[::-1]
    site.script = [cut_and_change]
    get(site, target)
    assert target.read_bytes() == BODY
    assert len(site.log) == 2


def test_pieces_of_two_versions_are_noticed_and_fetched_anew(site: Site, target: Path) -> None:
    """A server without versions sends the rest of another file; only the hash can tell."""
    target.parent.mkdir()
    target.with_name("file.bin.part").write_bytes(b"x" * 20_480)
    get(site, target)
    assert target.read_bytes() == BODY
    assert site.ranges == ["bytes=20480-", None]


@pytest.mark.parametrize(("size", "requests"), [(len(BODY), 1), (len(BODY) + 1, 2), (LIMIT + 1, 2)])
def test_part_that_is_complete_or_too_long(site: Site, target: Path, size: int, requests: int) -> None:
    target.parent.mkdir()
    target.with_name("file.bin.part").write_bytes((BODY + bytes(LIMIT))[:size])
    get(site, target)
    assert target.read_bytes() == BODY
    assert left(target.parent) == {target.name}
    assert len(site.log) == requests


def test_answer_that_begins_elsewhere_than_asked_is_not_appended(site: Site, target: Path) -> None:
    def elsewhere(handler: Handler, body: bytes) -> None:
        handler.head(206, Content_Length=10, Content_Range=f"bytes 0-9/{len(body)}")
        handler.wfile.write(body[:10])

    site.script = [cut(20_480), elsewhere]
    get(site, target)
    assert target.read_bytes() == BODY
    assert site.ranges == [None, "bytes=20480-", None]


def test_cut_that_the_web_library_does_not_notice(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some versions of urllib3 take a short answer for a whole one."""

    class Short:
        status_code = 200
        headers = {"content-length": "100"}  # noqa: RUF012

        def iter_content(self, _: int) -> list[bytes]:
            return [b"x" * 60]

    monkeypatch.setattr(download, "_open", lambda *_: contextlib.nullcontext(Short()))
    with pytest.raises(EarwitnessError, match="cut after 60 of 100 bytes"):
        download.fetch("http://127.0.0.1/", target, lambda _: None, limit=LIMIT, patience=HASTY)


@pytest.mark.parametrize("note", [b"\xff\n\x00", b"", b"  "])
def test_unreadable_note_beside_the_part_does_not_matter(site: Site, target: Path, note: bytes) -> None:
    target.parent.mkdir()
    target.with_name("file.bin.part").write_bytes(BODY[:100])
    target.with_name("file.bin.part.version").write_bytes(note)
    get(site, target)
    assert target.read_bytes() == BODY


def test_length_that_is_not_told(site: Site, target: Path) -> None:
    site.script = [chunked]
    seen: list[int | None] = []
    get(site, target, progress=lambda _, total: seen.append(total))
    assert target.read_bytes() == BODY
    assert set(seen) == {None}


def test_cut_is_noticed_where_the_length_is_not_told(site: Site, target: Path) -> None:
    site.script = [lambda handler, body: chunked(handler, body[:27_000], b"")]
    get(site, target)
    assert target.read_bytes() == BODY
    assert len(site.log) == 2


def test_slow_server_is_waited_for(site: Site, target: Path) -> None:
    site.script = [slowly]
    start = time.monotonic()
    get(site, target, patience=IMPATIENT)
    assert target.read_bytes() == BODY
    assert len(site.log) == 1
    assert time.monotonic() - start > IMPATIENT.stall_seconds


def test_stalled_server_is_left_and_asked_for_the_rest(site: Site, target: Path) -> None:
    site.script = [stall(8192)]
    get(site, target, patience=IMPATIENT)
    assert target.read_bytes() == BODY
    assert site.ranges == [None, "bytes=8192-"]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_passing_refusal_is_tried_again(site: Site, target: Path, status: int) -> None:
    site.script = [answer(status)]
    get(site, target)
    assert target.read_bytes() == BODY


def test_redirects_are_followed_and_the_range_goes_along(site: Site, target: Path) -> None:
    site.bodies["/there"] = BODY
    site.script = [redirect("/there"), cut(20_480), redirect("/there")]
    get(site, target)
    assert target.read_bytes() == BODY
    assert [path for path, _ in site.log] == ["/file", "/there", "/file", "/there"]
    assert site.ranges[-1] == "bytes=20480-"


def test_killed_process_leaves_a_part_that_the_next_one_uses(site: Site, target: Path) -> None:
    site.script = [stall(20_480)]
    code = (
        "import sys; from pathlib import Path; from earwitness.core import download\n"
        "download.BLOCK_BYTES = 1024; patience = download.Patience(attempts=1)\n"
        "download.fetch(sys.argv[1], Path(sys.argv[2]), lambda path: None, limit=10**6, patience=patience)"
    )
    part = target.with_name("file.bin.part")
    with subprocess.Popen([sys.executable, "-c", code, site.url(), str(target)]) as process:
        deadline = time.monotonic() + 10
        while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
    have = part.stat().st_size
    assert have > 0
    get(site, target)
    assert target.read_bytes() == BODY
    assert site.ranges[-1] == f"bytes={have}-"
    assert left(target.parent) == {target.name}


# ---- fetch: what goes wrong, one line each -------------------------------------------------------------------------


def test_wrong_hash_keeps_nothing(site: Site, target: Path) -> None:
    site.bodies["/file"] = BODY[:-1]
    with pytest.raises(EarwitnessError, match="SHA-256") as caught:
        get(site, target)
    assert "nothing was kept" in one_line(caught)
    assert left(target.parent) == set()
    assert len(site.log) == 1


def test_wrong_hash_after_pieces_is_tried_once_more_only(site: Site, target: Path) -> None:
    site.bodies["/file"] = BODY[:-1]
    site.script = [cut(20_480)]
    with pytest.raises(EarwitnessError, match="SHA-256"):
        get(site, target)
    assert site.ranges == [None, "bytes=20480-", None]
    assert left(target.parent) == set()


@pytest.mark.parametrize("status", [204, 304, 400, 401, 403, 404, 410, 501])
def test_refusal_is_said_at_once(site: Site, target: Path, status: int) -> None:
    site.script = [answer(status)]
    with pytest.raises(EarwitnessError, match=f"the server answers {status}") as caught:
        get(site, target)
    assert site.url() in one_line(caught)
    assert len(site.log) == 1


def test_refusal_that_does_not_pass(site: Site, target: Path) -> None:
    site.script = [answer(503)] * 3
    with pytest.raises(EarwitnessError, match=r"answers 503 .* \(tried 3 times\)") as caught:
        get(site, target)
    one_line(caught)


def test_every_further_attempt_is_told_and_the_end_names_a_way_out(site: Site, target: Path) -> None:
    site.script = [answer(503)] * 3
    told: list[str] = []
    with pytest.raises(EarwitnessError, match=r"; name a mirror with --url, or fetch it by other means$"):
        get(site, target, patience=dataclasses.replace(HASTY, attempts=3, tell=told.append))
    assert [line.partition("; trying again ")[2] for line in told] == ["(2 of 3)", "(3 of 3)"]
    assert all("answers 503" in line for line in told)


def test_stall_that_does_not_pass(site: Site, target: Path) -> None:
    site.script = [stall(4096)] * 3
    with pytest.raises(EarwitnessError, match=r"sent nothing for 0\.4 s") as caught:
        get(site, target, patience=IMPATIENT)
    assert "bytes are kept" in one_line(caught)


def test_nobody_listens(target: Path) -> None:
    with Site() as closed:
        url = closed.url()
    with pytest.raises(EarwitnessError, match=r"no connection to 127\.0\.0\.1") as caught:
        download.fetch(url, target, lambda _: None, limit=LIMIT, patience=HASTY)
    one_line(caught)


def test_answer_that_is_not_http(site: Site, target: Path) -> None:
    site.script = [lambda handler, body: (handler.wfile.write(b"SSH-2.0-hello\r\n\r\n"), None)[1]] * 3
    with pytest.raises(EarwitnessError, match="tried 3 times") as caught:
        get(site, target)
    one_line(caught)


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_redirect_to_another_scheme_is_refused(site: Site, target: Path, to: str) -> None:
    site.script = [redirect(to)]
    with pytest.raises(EarwitnessError, match=r"sends us on from http: to .* refused") as caught:
        get(site, target)
    one_line(caught)
    assert left(target.parent) == set()


@pytest.mark.parametrize("to", ["http://[::1", "http://127.0.0.1:notaport/", "http://\\x"])
def test_redirect_to_an_unreadable_address(site: Site, target: Path, to: str) -> None:
    site.script = [redirect(to)]
    with pytest.raises(EarwitnessError) as caught:
        get(site, target)
    one_line(caught)


def test_redirect_from_https_to_http_is_refused() -> None:
    class Response:
        is_redirect = True
        headers = {"location": "http://example.org/x"}  # noqa: RUF012

        def close(self) -> None:
            pass

    class Session:
        def get(self, *_: object, **__: object) -> Response:
            return Response()

    with pytest.raises(EarwitnessError, match="from https: to http:, which is refused"):
        download._open(Session(), "https://example.org/x", {}, HASTY)  # type: ignore[arg-type]


def test_redirects_without_end(site: Site, target: Path) -> None:
    site.script = [redirect("/file")] * 50
    with pytest.raises(EarwitnessError, match="redirected more than 8 times"):
        get(site, target)
    assert len(site.log) == 9


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "/etc/passwd", "ftp://x/y", "", "http://", "https:", "http://[x"]
)
def test_address_that_is_not_of_the_web(target: Path, url: str) -> None:
    with pytest.raises(UsageError, match="https://"):
        download.fetch(url, target, lambda _: None, limit=LIMIT)
    assert not target.parent.exists()


def test_secrets_in_an_address_are_not_shown(site: Site, target: Path) -> None:
    site.script = [answer(404)]
    url = site.url("/file?token=hush").replace("http://", "http://me:hush@")
    with pytest.raises(EarwitnessError) as caught:
        download.fetch(url, target, lambda _: None, limit=LIMIT, patience=HASTY)
    assert "hush" not in str(caught.value)


def test_file_that_is_announced_too_large(site: Site, target: Path) -> None:
    with pytest.raises(EarwitnessError, match="offers 50,000 bytes, at most 40,000 are expected"):
        get(site, target, limit=40_000)
    assert left(target.parent) == set()


def test_file_that_grows_too_large(site: Site, target: Path) -> None:
    site.script = [chunked]
    with pytest.raises(EarwitnessError, match="sends more than the 40,000 bytes expected"):
        get(site, target, limit=40_000)
    assert not target.exists()


def test_disk_that_fills_up_and_is_cleared(site: Site, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def append(file: BinaryIO, block: bytes) -> None:
        if file.tell() >= 12_288:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        file.write(block)

    with monkeypatch.context() as patch:
        patch.setattr(download, "_append", append)
        with pytest.raises(EarwitnessError, match="No space left on device") as caught:
            get(site, target)
    assert "free some space and run the same command again" in one_line(caught)
    assert not target.exists()
    get(site, target)
    assert target.read_bytes() == BODY
    assert site.ranges[-1] == "bytes=12288-"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_disk_that_the_kernel_calls_full(site: Site, target: Path) -> None:
    target.parent.mkdir()
    target.with_name("file.bin.part").symlink_to("/dev/full")
    with pytest.raises(EarwitnessError, match="No space left on device"):
        get(site, target)


def test_folder_that_cannot_be_made(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EarwitnessError, match="cannot be written") as caught:
        get(site, tmp_path / "file" / "x")
    assert "EARWITNESS_HOME" in one_line(caught)


def test_two_do_not_write_one_part(site: Site, target: Path) -> None:
    target.parent.mkdir()
    refused = []

    def another(_done: int, _total: int | None) -> None:
        if not refused:
            with pytest.raises(EarwitnessError, match=r"has been at work here since .*; wait$") as caught:
                get(site, target)
            refused.append(one_line(caught))

    get(site, target, progress=another)
    assert refused
    target.unlink()
    get(site, target)
    assert left(target.parent) == {target.name}
