"""The run folder: atomic writes, reading back, what may be overwritten."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from earwitness.core import run_folder
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.core.files import (
    atomic_write,
    read_csv,
    read_json,
    remove_leftovers,
    versions,
    write_csv,
    write_json,
    write_tensors,
    write_text,
)
from earwitness.core.run_folder import CONTRACT, KEPT, RunFolder, create, open_finished

PROJECT = Path(__file__).resolve().parents[1]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- atomic writes -----------------------------------------------------------------------------------------------


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path):
    target = tmp_path / "new" / "a.txt"
    with atomic_write(target) as temporary:
        temporary.write_text("half")
        assert temporary.parent == target.parent
        assert temporary.suffix == ".txt"
        assert not target.exists()
    assert target.read_text() == "half"
    assert names(target.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write():
        with atomic_write(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_is_one_line(tmp_path):
    def write():
        with atomic_write(tmp_path / "a.txt"):
            raise OSError(28, "No space left on device")

    with pytest.raises(EarwitnessError, match=r"a\.txt: could not be written \(No space left on device\)"):
        write()
    assert names(tmp_path) == []


def test_a_target_that_is_a_folder_is_one_line(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(EarwitnessError, match=r"a\.txt: could not be written"):
        write_text(tmp_path / "a.txt", "x")
    assert names(tmp_path) == ["a.txt"]


def test_files_are_readable_as_the_user_wishes(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        assert os.umask(before) == 0o027
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_the_umask_of_the_process_is_not_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", lambda _mask: pytest.fail("another thread's files would be open to everybody"))
    write_text(tmp_path / "a.txt", "x")
    assert names(tmp_path) == ["a.txt"]


def test_a_links_target_is_not_written_through(tmp_path):
    (tmp_path / "original").write_text("keep")
    (tmp_path / "a.txt").symlink_to("original")
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "original").read_text() == "keep"
    assert (tmp_path / "a.txt").read_text() == "new"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files can be counted under Linux only")
def test_many_writes_leave_no_file_open(tmp_path):
    before = len(names(Path("/proc/self/fd")))
    for number in range(50):
        write_text(tmp_path / "a.txt", str(number))
    assert len(names(Path("/proc/self/fd"))) <= before


# ---- JSON, CSV, tensors ------------------------------------------------------------------------------------------


@given(VALUES)
def test_json_comes_back(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "a.json"
    write_json(path, value)
    assert read_json(path) == value
    assert path.read_bytes().endswith(b"\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_has_no_number_that_is_none(tmp_path, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": value})
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1,]"])
def test_damaged_json_is_one_line(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(EarwitnessError, match=r"a\.json: is not valid JSON") as caught:
        read_json(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


def test_missing_files_are_one_line(tmp_path):
    for read in (read_json, read_csv):
        with pytest.raises(EarwitnessError, match=r"could not be read .No such file"):
            read(tmp_path / "none")
        with pytest.raises(EarwitnessError, match="could not be read"):
            read(tmp_path)


@given(st.lists(st.lists(TEXT, min_size=2, max_size=2), max_size=5))
def test_csv_comes_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    write_csv(path, ["one", 'two, "2"'], rows)
    assert [list(row.values()) for row in read_csv(path)] == rows
    assert path.read_bytes().startswith(b'one,"two, ""2"""\n')


def test_csv_marks_of_byte_order_are_passed_over(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbffile,label\r\na,b\r\n\r\n")
    assert read_csv(tmp_path / "a.csv") == [{"file": "a", "label": "b"}]


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"a,b\n1,2,3\n", "line 2 has 3 fields, the header 2"), (b"a,b\n1,2\n\xff,1\n", "is not a UTF-8 CSV")],
)
def test_damaged_csv_is_one_line(tmp_path, content, line):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(EarwitnessError, match=line):
        read_csv(tmp_path / "a.csv")


def test_an_empty_csv_has_no_rows(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"")
    assert read_csv(tmp_path / "a.csv") == []


def test_tensors_come_back_whatever_their_layout(tmp_path):
    from safetensors.torch import load_file

    kept = {"a": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last), "b": torch.arange(3)}
    write_tensors(tmp_path / "a.safetensors", kept, {"k": "v"})
    for name, value in load_file(tmp_path / "a.safetensors").items():
        assert torch.equal(value, kept[name])


# ---- the folder --------------------------------------------------------------------------------------------------


MARKS = ("model.safetensors", "model.json")  # of ours, and of a model of others; a run has one of them


def finished_run(path: Path, mark: str = MARKS[0]) -> Path:
    path.mkdir(parents=True)
    for name in CONTRACT:
        if name in MARKS and name != mark:
            continue
        if "." in name:
            (path / name).write_text("old")
        else:
            (path / name).mkdir()
            (path / name / "inside").write_text("old")
    write_json(path / "run.json", {"backbone": "compact", "split": {}})
    return path


def test_every_path_of_the_contract_is_one_of_the_folders():
    folder = RunFolder(Path("r"))
    properties = [name for name, value in vars(RunFolder).items() if isinstance(value, property)]
    paths = [getattr(folder, name) for name in properties if name not in ("started", "finished")]
    assert {path.name for path in paths} == {*CONTRACT, KEPT[0]}


def test_a_new_folder_is_made(tmp_path):
    folder = create(tmp_path / "a" / "b")
    assert folder.path.is_dir()
    assert not folder.started
    assert not folder.finished
    create(tmp_path / "a" / "b")  # an empty folder is a new one


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_something_else_is_left_alone(tmp_path, resume):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty and holds no run"):
        create(tmp_path, resume=resume)
    assert names(tmp_path) == ["thesis.txt"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "a").write_text("x")
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(UsageError):
            create(path)


@pytest.mark.parametrize("mark", MARKS)
def test_a_finished_run_is_refused_accepted_or_replaced(tmp_path, mark):
    run = finished_run(tmp_path / "run", mark)
    (run / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds a finished run; name another --out, or --overwrite"):
        create(run)
    assert create(run, resume=True).finished
    assert set(names(run)) == {*CONTRACT, "notes.txt"} - ({*MARKS} - {mark})
    create(run, overwrite=True)
    assert mark not in names(run)
    assert "run.json" not in names(run)
    assert (run / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("mark", MARKS)
def test_an_unfinished_run_is_refused_or_resumed(tmp_path, mark):
    run = finished_run(tmp_path / "run", mark)
    (run / mark).unlink()
    with pytest.raises(UsageError, match="holds an unfinished run; --resume goes on"):
        create(run)
    folder = create(run, resume=True)
    assert folder.started
    assert not folder.finished


@pytest.mark.parametrize("mark", MARKS)
def test_an_overwrite_that_is_killed_never_looks_finished_nor_foreign(tmp_path, monkeypatch, mark):
    for kill_at in range(len(CONTRACT)):
        run = finished_run(tmp_path / f"run{kill_at}", mark)
        whole = names(run)
        left = iter(range(kill_at + 1))
        unlink, rmtree = Path.unlink, run_folder.shutil.rmtree

        def dying(remove, left=left):
            def removed(path, *arguments, **options):
                if next(left, None) is None:
                    raise KeyboardInterrupt
                remove(path, *arguments, **options)

            return removed

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", dying(unlink))
            patch.setattr(run_folder.shutil, "rmtree", dying(rmtree))
            if kill_at < len(CONTRACT) - 1:
                with pytest.raises(KeyboardInterrupt):
                    create(run, overwrite=True)
        folder = RunFolder(run)
        assert not folder.finished or names(run) == whole
        create(run, resume=True)
        create(run, overwrite=True)


def test_what_kills_left_half_written_is_cleared_away(tmp_path):
    for overwrite in (False, True):
        (tmp_path / ".run-abcd_123.json").write_text("{")
        assert names(create(tmp_path, overwrite=overwrite).path) == []
    (tmp_path / "run.json").write_text("{}")
    for name in (".model-abcdefgh.safetensors", ".history-zzzzzzzz.csv", ".mine-abcdefgh.txt", ".run-short.json"):
        (tmp_path / name).write_text("half")
    create(tmp_path, resume=True)
    assert names(tmp_path) == [".mine-abcdefgh.txt", ".run-short.json", "run.json"]


def test_leftovers_are_what_an_atomic_write_is_called(tmp_path):
    # The names are Python's own choice; were they to change, nothing would be cleared away any more.
    for name in CONTRACT:
        if "." in name:
            with atomic_write(tmp_path / name) as temporary:
                left = tmp_path / temporary.name
            left.write_text("as a kill leaves it")
            (tmp_path / name).unlink()
    assert len(names(tmp_path)) == 10
    remove_leftovers(tmp_path, CONTRACT)
    assert names(tmp_path) == []


def test_only_finished_runs_are_opened(tmp_path):
    with pytest.raises(UsageError, match="no such run folder"):
        open_finished(tmp_path / "none")
    with pytest.raises(UsageError, match="is not a run folder"):
        open_finished(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UsageError, match="its training is unfinished"):
        open_finished(tmp_path)
    (tmp_path / "model.safetensors").write_text("")
    assert open_finished(tmp_path).path == tmp_path


def test_versions_name_what_results_depend_on():
    found = versions()
    assert {"python", "earwitness", "torch", "numpy", "soxr", "libsndfile"} <= found.keys()
    assert all(isinstance(value, str) and value for value in found.values())


def test_a_source_tree_that_nobody_installed_knows_its_version():
    code = """
import importlib.metadata as metadata
whole = metadata.distribution
def hidden(name):
    if name == "earwitness":
        raise metadata.PackageNotFoundError(name)
    return whole(name)
metadata.distribution = hidden
from earwitness.core import files
print(files.versions()["earwitness"])
"""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    # and it is the version that an installed one has
    assert done.stdout.strip() == tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
