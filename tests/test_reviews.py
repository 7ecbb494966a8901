"""What a person decided is kept: through kills, crowds and damage; and other programs can read it."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import zipfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.core.files import write_json
from earwitness.core.run_folder import KEPT, create
from earwitness.web import review_exports
from earwitness.web.review_exports import COLUMNS, attachment
from earwitness.web.reviews import DECISIONS, Review, Reviews, SavedFinding

FILE = "reviews.sqlite"
BOX = {"shape": "box", "start": 0.5, "end": 1.25, "low": 100.0, "high": 900.0, "action": "hide"}
LASSO = {"shape": "lasso", "points": [[0.0, 50.0], [2.0, 400.0], [1.0, 8000.0]], "action": "keep"}
SCORES = [{"class": "dog", "score": 0.75}, {"class": "cat", "score": 0.25}]
ODD = [
    "<script>alert(1)</script>",
    "a'; DROP TABLE decisions; --.wav",
    "\N{RIGHT-TO-LEFT OVERRIDE}vaw.exe",
    "two\nlines\ttab\x1b[31m",
    "\x00nul",
    "caf\udce9.wav",  # a name that is not UTF-8
    "\ud800",
    "=cmd|' /C calc'!A0",
    "",
]


def refused(call, kind: type[EarwitnessError] = EarwitnessError) -> str:
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).isprintable()
    return str(error.value)


def decisions(reviews: Reviews) -> dict[str, str]:
    return {name: review.decision for name, review in reviews.all().items()}


# ---- decisions and findings ------------------------------------------------------------------------------------------


def test_undoing_steps_back(tmp_path):
    reviews = Reviews(tmp_path, run="abc")
    assert reviews.get("a.wav") is None
    assert reviews.delete("a.wav") is None
    assert (reviews.all(), reviews.findings()) == ({}, [])
    assert list(tmp_path.iterdir()) == []  # looking writes nothing
    made = [reviews.put("a.wav", decision, f"note {decision}") for decision in DECISIONS]
    other = reviews.put("b.wav", "unsure")
    for expected in reversed(made):
        assert reviews.get("a.wav") == expected == reviews.all()["a.wav"]
        reviews.delete("a.wav")
    assert reviews.get("a.wav") is None
    assert reviews.delete("a.wav") is None
    assert reviews.all() == {"b.wav": other}
    again = reviews.put("a.wav", "correct")
    assert reviews.delete("a.wav") is None  # not what was undone before
    assert (again.run, again.decision) == ("abc", "correct")
    with closing(sqlite3.connect(tmp_path / FILE)) as database:  # nothing that was decided is gone
        assert database.execute("SELECT count(*), count(undone) FROM decisions").fetchone() == (7, 6)


def test_findings_are_kept(tmp_path):
    reviews = Reviews(tmp_path, run="abc")
    first = reviews.add_finding(
        "a.wav", title="hum", note="50 Hz", edits=[BOX], map="0f", before=SCORES, after=SCORES[:1]
    )
    second = reviews.add_finding("b.wav", title="bark", edits=[LASSO])
    assert (first.edits, first.before, first.map, first.run) == ([BOX], SCORES, "0f", "abc")
    assert first.id != second.id
    assert Reviews(tmp_path).findings() == [first, second]
    assert reviews.findings("b.wav") == [second]
    assert reviews.remove_finding("f" * 16) is None
    assert reviews.remove_finding("\ud800") is None
    assert reviews.remove_finding(first.id) == first
    assert reviews.remove_finding(first.id) is None
    assert reviews.findings() == [second]
    assert reviews.findings("a.wav") == []


@pytest.mark.parametrize("text", ODD)
def test_any_text_comes_back(tmp_path, text):
    reviews = Reviews(tmp_path)
    review = reviews.put(text, "", text)
    finding = reviews.add_finding(text, title=text, note=text, map=text, edits=[{text: text}])
    assert (review.recording, review.note) == (text, text)
    assert reviews.get(text) == review
    assert reviews.findings(text) == [finding] == reviews.findings()
    assert finding.edits == [{text: text}]
    assert reviews.delete(text) is None


def test_what_is_no_decision_is_refused(tmp_path):
    reviews = Reviews(tmp_path)
    assert "did you mean correct" in refused(lambda: reviews.put("a", "Correct"), UsageError)
    assert "note: has 10,001 characters" in refused(lambda: reviews.put("a", "", "x" * 10_001), UsageError)
    assert "title" in refused(lambda: reviews.add_finding("a", title="x" * 201), UsageError)
    assert "recording" in refused(lambda: reviews.put("x" * 5000, ""), UsageError)
    deep: list = []
    for _ in range(10**5):
        deep = [deep]
    for edits in ([{"start": float("nan")}], [{"end": float("inf")}], [{"low": object()}], deep):
        assert "finite" in refused(lambda edits=edits: reviews.add_finding("a", title="", edits=edits), UsageError)
    assert list(tmp_path.iterdir()) == []


# ---- kills and crowds ------------------------------------------------------------------------------------------------

WRITE = """
import sys
from earwitness.web.reviews import Reviews
reviews = Reviews(sys.argv[1])
print("ready", flush=True)
for number in range(10**6):
    reviews.put(f"{number % 50}.wav", "unsure", str(number))
    print(number, flush=True)
"""
WRITE_SOME = """
import sys
from earwitness.web.reviews import Reviews
sys.stdin.readline()
reviews = Reviews(sys.argv[1])
for number in range(20):
    reviews.put(f"{sys.argv[2]}-{number}.wav", "correct")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nobody is killed there")
def test_what_was_acknowledged_survives_a_kill(tmp_path):
    chance = random.Random(1)
    for _ in range(5):
        before = Reviews(tmp_path).all()
        with subprocess.Popen([sys.executable, "-c", WRITE, tmp_path], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            said = [process.stdout.readline() for _ in range(chance.randrange(1, 40))]
            process.send_signal(signal.SIGKILL)
            said += process.stdout.readlines()
        last = int([line for line in said if line.endswith("\n")][-1])
        kept = Reviews(tmp_path).all()
        for number in range(max(0, last - 49), last + 1):  # the next one may have been written and not said any more
            assert int(kept[f"{number % 50}.wav"].note) in (number, number + 50)
        assert before.keys() <= kept.keys()
        Reviews(tmp_path).put("after.wav", "correct")  # what it left stands in nobody's way
    assert {path.name for path in tmp_path.iterdir()} <= set(KEPT)


def test_processes_and_threads_write_at_once(tmp_path):
    """From the first moment on, when there is no file yet."""
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITE_SOME, tmp_path, str(number)], stdin=subprocess.PIPE)
        for number in range(3)
    ]
    failed = []

    def write(name: str) -> None:
        try:
            reviews = Reviews(tmp_path)
            for number in range(20):
                reviews.put(f"{name}-{number}.wav", "correct")
                reviews.all()
        except EarwitnessError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(f"thread {number}",)) for number in range(3)]
    for process in processes:
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in processes:
        process.stdin.close()
        assert process.wait(60) == 0
    assert failed == []
    names = [*(f"thread {number}" for number in range(3)), "0", "1", "2"]
    assert set(Reviews(tmp_path).all()) == {f"{name}-{number}.wav" for name in names for number in range(20)}


# ---- damage ----------------------------------------------------------------------------------------------------------


def calls(folder: Path) -> list:
    """Everything that reads and writes, of an object that was made while all was well."""
    reviews = Reviews(folder.parent / "elsewhere")
    reviews._file.path = folder / FILE
    return [
        lambda: Reviews(folder),
        lambda: reviews.get("1.wav"),
        reviews.all,
        reviews.findings,
        lambda: reviews.put("1.wav", "correct"),
        lambda: reviews.delete("1.wav"),
        lambda: reviews.add_finding("1.wav", title="x"),
        lambda: reviews.remove_finding("0" * 16),
    ]


def filled(folder: Path) -> bytes:
    reviews = Reviews(folder)
    for number in range(10):
        reviews.put(f"{number}.wav", "unsure", "x" * 10_000)
    return (folder / FILE).read_bytes()


@pytest.mark.parametrize("kind", ["garbage", "head", "short"])
def test_a_damaged_file_is_named_and_left_alone(tmp_path, kind):
    (folder := tmp_path / "run").mkdir()
    data = filled(folder)
    damaged = {"garbage": b"no database" * 99, "head": bytes(100) + data[100:], "short": data[: len(data) // 2]}[kind]
    path = folder / FILE
    path.write_bytes(damaged)
    for call in calls(folder):
        line = refused(call)
        assert line.startswith(f"{path}: is damaged (")
        assert line.endswith("nothing in it was changed: put back a copy, or move it elsewhere to begin anew")
        assert path.read_bytes() == damaged
    assert [each.name for each in folder.iterdir()] == [FILE]


def test_damage_inside_is_found_when_it_is_opened(tmp_path):
    data = filled(tmp_path)
    damaged = data[:4096] + b"\xff" * 8192 + data[12_288:]
    (tmp_path / FILE).write_bytes(damaged)
    assert "is damaged (" in refused(lambda: Reviews(tmp_path))
    assert (tmp_path / FILE).read_bytes() == damaged


def test_another_programs_file_is_left_alone(tmp_path):
    (folder := tmp_path / "run").mkdir()
    path = folder / FILE
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE decisions (x)")
    before = path.read_bytes()
    for call in calls(folder):
        assert refused(call) == f"{path}: is another program's file; move it elsewhere"
    path.unlink()
    Reviews(folder).put("1.wav", "correct")
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 7")
    for call in calls(folder):
        assert refused(call) == f"{path}: is of a newer earwitness (7); update this one"
    assert path.read_bytes() != before
    path.rename(tmp_path / "real")
    path.symlink_to(tmp_path / "real")
    for call in calls(folder):
        assert refused(call) == f"{path}: is a link; put the file itself there"
    path.unlink()
    path.symlink_to(tmp_path / "made by nobody")
    for call in calls(folder):
        assert "is a link" in refused(call)
    assert not (tmp_path / "made by nobody").exists()
    path.unlink()
    path.mkdir()
    for call in calls(folder):
        assert refused(call).startswith(f"{path}: could not be ")


def test_a_folder_is_made_where_it_is_missing(tmp_path):
    reviews = Reviews(tmp_path / "not" / "there")
    assert reviews.all() == {}
    assert not (tmp_path / "not").exists()
    assert reviews.put("a", "correct") == Reviews(tmp_path / "not" / "there").get("a")
    (tmp_path / "file").write_text("x")
    below = Reviews(tmp_path / "file" / "folder")
    assert "could not be written (" in refused(lambda: below.put("a", "correct"))


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX permissions")
@pytest.mark.parametrize("killed", [False, True])
def test_a_folder_that_can_only_be_read(open_folder, killed):
    """Also one where a kill left decisions in the log beside the file."""
    if killed:
        with subprocess.Popen([sys.executable, "-c", WRITE, open_folder], stdout=subprocess.PIPE, text=True) as process:
            said = [process.stdout.readline() for _ in range(4)]
            with closing(sqlite3.connect(open_folder / FILE)) as held:  # so that nobody tidies up
                held.execute("SELECT count(*) FROM decisions").fetchone()
                process.stdout.readline()
                process.send_signal(signal.SIGKILL)
                process.wait()
                for path in open_folder.iterdir():
                    (open_folder / f"copy of {path.name}").write_bytes(path.read_bytes())
            for path in open_folder.glob("copy of *"):
                path.rename(open_folder / path.name.removeprefix("copy of "))
        (open_folder / f"{FILE}-shm").unlink()
        assert said[-1] == "2\n"
        assert (open_folder / f"{FILE}-wal").stat().st_size > 0
    else:
        Reviews(open_folder).put("2.wav", "unsure", "2")
    before = {path.name: path.read_bytes() for path in open_folder.iterdir()}
    for path in open_folder.iterdir():
        path.chmod(0o444)
    open_folder.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)
    reviews = Reviews(open_folder)
    assert reviews.all()["2.wav"] == reviews.get("2.wav")
    assert reviews.get("2.wav").note == "2"
    for call in (lambda: reviews.put("2.wav", "correct"), lambda: reviews.delete("2.wav")):
        line = refused(call)
        assert line.startswith(f"{open_folder / FILE}: could not be written (")
        assert line.endswith("check its permissions, its folder's and the room on the disk")
    assert {path.name: path.read_bytes() for path in open_folder.iterdir()} == before


def test_an_overwrite_keeps_what_a_person_decided(tmp_path):
    (run := tmp_path / "run").mkdir()
    write_json(run / "run.json", {"backbone": "compact", "split": {}})
    review = Reviews(run, run="first").put("a.wav", "wrong label", "a cat")
    with pytest.raises(UsageError):
        create(run)
    for _ in range(2):  # as after a kill between the removal and the new run.json
        create(run, overwrite=True)
        assert [path.name for path in run.iterdir()] == [FILE]
        create(run)
        create(run, resume=True)
    later = Reviews(run, run="second")
    assert later.get("a.wav") == review
    assert later.put("b.wav", "correct").run == "second"
    (run / "thesis.txt").write_text("mine")
    for options in ({}, {"overwrite": True}):
        with pytest.raises(UsageError, match="is not empty and holds no run"):
            create(run, **options)


# ---- for other programs ----------------------------------------------------------------------------------------------

REVIEW = Review(recording="a.wav", decision="wrong label", note="a cat", at="2026-01-02T03:04:05.000+00:00", run="r")
FINDING = SavedFinding(
    id="0" * 16,
    recording="b.wav",
    title="hum",
    note="",
    edits=[BOX, LASSO],
    map=None,
    before=SCORES,
    after=SCORES,
    at=REVIEW.at,
    run="r",
)


def whole(recording: str) -> tuple[float, float, float, float]:
    return {"a.wav": (0.0, 5.0, 0.0, 22050.0), "b.wav": (0.0, 9.0, 0.0, 8000.0)}[recording]


def test_a_table_of_everything():
    made = attachment("csv", "run", [REVIEW], [FINDING], whole)
    assert (made.name, made.media_type) == ("run-reviews.csv", "text/csv; charset=utf-8")
    review, finding = review_exports.read(made.body.decode())
    assert tuple(review) == COLUMNS
    assert COLUMNS[-1] == "map"  # an id is for programs: it comes last
    assert {name: review[name] for name in ("kind", "start_seconds", "map")} == {
        "kind": "review",
        "start_seconds": "",
        "map": "",
    }
    assert Review(**{name: review[name] for name in vars(REVIEW)}) == REVIEW
    assert [float(finding[name]) for name in ("start_seconds", "end_seconds", "low_hz", "high_hz")] == [0, 2, 50, 8000]
    assert json.loads(finding["edits"]) == FINDING.edits
    assert json.loads(finding["after"]) == SCORES


@given(st.text(st.characters(max_codepoint=0x2FF), max_size=9), st.text("='+-@\t\r\n \";,|\uff1d\uff20a", max_size=6))
def test_no_cell_is_a_formula_and_every_cell_comes_back(some, odd):
    review = replace(REVIEW, recording=some, note=odd)
    text = attachment("csv", "run", [review], [], whole).body.decode()
    for separator in ",;\t":  # whichever a spreadsheet takes
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            assert not any(cell.startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20")) for cell in row)
    (back,) = review_exports.read(text)
    assert (back["recording"], back["note"]) == (some, odd)


def test_a_table_a_recording_for_programs_that_know_one():
    raven = attachment("raven", "run", [REVIEW], [], whole)
    assert (raven.name, raven.media_type) == ("run-a.wav.selections.txt", "text/plain; charset=utf-8")
    head, row = [line.split("\t") for line in raven.body.decode().splitlines()]
    told = dict(zip(head, row, strict=True))
    assert [told[f"{name} (s)"] for name in ("Begin Time", "End Time")] == ["0.000000", "5.000000"]
    assert told["High Freq (Hz)"] == "22050.000"
    assert [told[name] for name in ("Annotation", "Note", "Kind")] == ["wrong label", "a cat", "review"]
    labels = attachment("audacity", "run", [], [FINDING], whole)
    assert labels.name == "run-b.wav.labels.txt"
    assert labels.body.decode().splitlines() == [
        "0.500000\t1.250000\thum (finding)",
        "\\\t100.000000\t900.000000",
        "0.000000\t2.000000\thum (finding)",
        "\\\t50.000000\t8000.000000",
    ]
    both = attachment("audacity", "run", [REVIEW], [FINDING, replace(FINDING, edits=[])], whole)
    assert (both.name, both.media_type) == ("run-audacity.zip", "application/zip")
    with zipfile.ZipFile(io.BytesIO(both.body)) as archive:
        assert archive.namelist() == ["run-a.wav.labels.txt", "run-b.wav.labels.txt"]
        assert archive.read("run-b.wav.labels.txt").startswith(labels.body)
        assert b"9.000000\thum" in archive.read("run-b.wav.labels.txt")  # without edits it is about all of it
    assert attachment("raven", "run", [], [], whole).body.count(b"\n") == 1
    assert attachment("audacity", "run", [], [], whole).body == b""


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("kind", ["csv", "raven", "audacity"])
def test_odd_names_stay_in_their_cells(kind, text):
    reviews = [replace(REVIEW, recording=text, note=text)]
    findings = [replace(FINDING, recording=text, title=text, note=text)]
    made = attachment(kind, "run", reviews, findings, lambda _: (0.0, 1.0, 0.0, 2.0))
    assert made.name.isascii()
    assert not {"/", "\\", "\0"} & set(made.name)
    shown = made.body.decode()
    if kind == "csv":
        assert len(list(csv.reader(io.StringIO(shown, newline="")))) == 3
        return
    assert all(line.isprintable() for line in shown.replace("\t", "").split("\n"))
    assert len(shown.splitlines()) == (4 if kind == "raven" else 6)
    assert {line.count("\t") for line in shown.splitlines()} <= ({10} if kind == "raven" else {2})
    assert not any(cell.startswith(("=", "+", "@")) for line in shown.splitlines() for cell in line.split("\t"))


def test_what_cannot_be_exported():
    assert "no such format" in refused(lambda: attachment("xlsx", "run", [], [], whole))
    for edits in ([{}], [{"shape": "lasso", "points": []}], [{**BOX, "low": "x"}], [{"shape": "lasso", "points": [1]}]):
        broken = replace(FINDING, edits=edits)
        for kind in ("csv", "raven"):
            line = refused(lambda broken=broken, kind=kind: attachment(kind, "run", [], [broken], whole))
            assert "its edits cannot be read" in line
