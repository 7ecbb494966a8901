from __future__ import annotations

import os
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from earwitness.audio import decoding
from earwitness.core.errors import BadRecordingError, UsageError
from earwitness.data import checks
from earwitness.data import splits as dataset
from earwitness.data.loading import load
from earwitness.data.recordings import TELLING_NAME, DataSet, Recording, Unusable, told_by_names
from earwitness.data.splits import Split, default_split

RATE = 8_000


def sound(path: Path, seed: int = 0, seconds: float = 0.1, rate: int = RATE) -> Path:
    """Write a little noise, different for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * rate)), rate)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a folder of two classes with three recordings each, all different."""
    root = tmp_path / "data"
    for number, name in enumerate(["cat/c.wav", "cat/a.wav", "cat/b.flac", "dog/x.wav", "dog/z.ogg", "dog/y.aiff"]):
        sound(root / name, seed=number)
    return root


def table(root: Path, text: str, encoding: str = "utf-8") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "list.csv").write_bytes(text.encode(encoding))
    return root / "list.csv"


def usage(path: Path | str, **options: object) -> str:
    with pytest.raises(UsageError) as error:
        load(path, **options)
    message = str(error.value)
    assert "\n" not in message
    assert message.encode("utf-8")
    return message


def made(*recordings: tuple[str, str | None, str | None]) -> DataSet:
    """Return a data set of (label, group, fold) without files; the names are in the order given."""
    items = tuple(
        Recording(
            path=Path(f"{label}/{index:04}.wav"), name=f"{label}/{index:04}.wav", label=label, group=group, fold=fold
        )
        for index, (label, group, fold) in enumerate(sorted(recordings, key=lambda item: item[0]))
    )
    return DataSet(root=Path("made"), recordings=items, classes=tuple(sorted({item.label for item in items})))


# ---- loading a folder --------------------------------------------------------------------------------------------


def test_folder_of_class_folders(tree):
    data = load(tree)
    assert data.classes == ("cat", "dog")
    assert [recording.name for recording in data.recordings] == [
        "cat/a.wav", "cat/b.flac", "cat/c.wav", "dog/x.wav", "dog/y.aiff", "dog/z.ogg",
    ]  # fmt: skip
    assert data.class_numbers() == [0, 0, 0, 1, 1, 1]
    assert {recording.group for recording in data.recordings} == {None}
    assert data.unusable == ()
    assert data.root == tree
    assert load(str(tree)) == data


def test_what_is_passed_over_and_what_is_not(tree):
    for name in [
        ".DS_Store", "README.md", "ATTRIBUTION.csv", "notes.txt", "cat/.hidden.wav", "cat/._a.wav", "cat/Thumbs.db",
        "cat/README.txt", "cat/LICENSE", "dog/desktop.ini", ".git/x.wav",
    ]:  # fmt: skip
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_bytes(b"x")
    (tree / "__MACOSX").mkdir()
    plain = load(tree)
    assert len(plain.recordings) == 6
    assert plain.unusable == ()
    for name in ["cat/film.ape", "cat/labels.odd", "dog/nothing", "loose.wav"]:
        (tree / name).write_bytes(b"x")
    (tree / "dog" / "more").mkdir()
    (tree / "gone").symlink_to("nowhere")
    listed = load(tree)
    assert listed.recordings == plain.recordings
    reasons = {entry.file: entry.reason for entry in listed.unusable}
    assert list(reasons) == sorted(reasons)
    assert set(reasons) == {"cat/film.ape", "cat/labels.odd", "dog/nothing", "loose.wav", "dog/more", "gone"}
    assert "has no sound file's name" in reasons["cat/film.ape"]
    assert "is a folder" in reasons["dog/more"]
    assert "beside the class folders" in reasons["loose.wav"]
    assert "link to nothing" in reasons["gone"]


def test_capital_endings_are_sounds(tree):
    (tree / "cat" / "a.wav").rename(tree / "cat" / "A.WAV")
    assert "cat/A.WAV" in [recording.name for recording in load(tree).recordings]


def test_missing_data(tmp_path):
    assert "no such data" in usage(tmp_path / "nowhere")


def test_a_sound_is_no_data_set(tree):
    assert "neither a folder of class folders nor a .csv file" in usage(tree / "cat" / "a.wav")


def test_no_class_folders(tree):
    assert "has no class folders" in usage(tree / "cat")


COMPANIONS = [
    "Table.1.selections.txt", "selections.tsv", "BirdNET.results.csv", "BirdNET.odd", "TextGrid", "wav.odd", "txt",
    "aup", "aup3", "pkf", "sesx", "wav.reapeaks", "RPP", "json", "csv", "xml", "cue", "srt", "png", "JPEG",
]  # fmt: skip
LITTER = [
    "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found", ".Spotlight-V100", ".Trashes", ".fseventsd",
]  # fmt: skip


@pytest.mark.parametrize("ending", COMPANIONS)
def test_what_lies_beside_a_recording_is_counted_and_no_fault(tree, ending):
    plain = load(tree)
    (tree / "cat" / f"a.{ending}").write_bytes(b"x")
    data = load(tree)
    assert (data.recordings, data.unusable) == (plain.recordings, ())
    assert data.notes == (f"1 file beside the recordings is no sound: 1 .{ending.split('.')[-1]}",)
    assert plain.notes == ()


def test_companions_are_one_note_with_the_most_frequent_first(tree):
    for name in ("cat/a.txt", "cat/b.TXT", "dog/x.TextGrid", "dog/x.txt", "dog/z.ogg.odd"):
        (tree / name).write_bytes(b"x")
    (note,) = load(tree).notes
    assert note == "5 files beside the recordings are no sound: 3 .txt, 1 .TextGrid, 1 .odd"


@pytest.mark.parametrize("name", LITTER)
def test_folders_that_systems_make_are_no_classes_and_no_recordings(tree, name):
    plain = load(tree)
    for place in (tree / name, tree / "cat" / name):
        sound(place / "x" / "a.wav")
    data = load(tree)
    assert (data.recordings, data.classes, data.unusable) == (plain.recordings, plain.classes, ())
    assert data.notes == (f"folders that systems make are passed over: 2 {name}",)


def test_noise_to_mix_in_is_no_class_and_said(tree):
    plain = load(tree)
    sound(tree / "_background_noise_" / "tap.wav")
    data = load(tree)
    assert (data.recordings, data.classes) == (plain.recordings, plain.classes)
    assert data.notes == ("the folder _background_noise_ is left out (1 sound file): it is no class, but noise",)
    of_a_run = load(tree, ["cat", "dog", "_background_noise_"], for_training=False)  # whose classes were made otherwise
    assert "_background_noise_/tap.wav" in of_a_run.names


def test_empty_class_folder(tree):
    plain = load(tree)
    (tree / "bird").mkdir()
    (tree / "bird" / ".keep").touch()
    data = load(tree)
    assert (data.recordings, data.classes) == (plain.recordings, plain.classes)
    assert data.notes == ("'bird' is a class folder without a recording: left out",)
    assert checks.check(data).notes == data.notes
    (tree / "bird" / "song.ape").write_bytes(b"x")
    assert "class folder without a recording (bird/song.ape" in usage(tree)


def test_class_with_one_file(tree):
    sound(tree / "bird" / "a.wav")
    assert "class 'bird' has one usable recording" in usage(tree)
    assert len(load(tree, for_training=False).recordings) == 7


def test_one_class_only(tmp_path):
    for name in "ab":
        sound(tmp_path / "cat" / f"{name}.wav")
    assert "has one class only ('cat')" in usage(tmp_path)


def test_known_classes(tree):
    data = load(tree, classes=["dog", "bird", "cat"])
    assert data.classes == ("dog", "bird", "cat")
    assert [recording.label for recording in data.recordings] == ["dog"] * 3 + ["cat"] * 3
    assert set(data.class_numbers()) == {0, 2}
    assert "its label 'dog' is none of the known classes (cat, bird)" in usage(tree, classes=["cat", "bird"])
    assert "named twice" in usage(tree, classes=["cat", "cat", "dog"])
    assert len(checks.check(data).recordings) == 6


def test_names_that_are_not_utf8(tree):
    os.rename(os.fsencode(tree / "cat/a.wav"), os.fsencode(tree) + b"/cat/a\xe9.wav")  # noqa: PTH104
    data = load(tree)
    assert data.unusable == (Unusable("cat/a\\xe9.wav", "has a name that is not valid UTF-8; rename it"),)
    assert len(data.recordings) == 5
    os.rename(os.fsencode(tree / "cat"), os.fsencode(tree) + b"/c\xe9t")  # noqa: PTH104
    assert "c\\xe9t: has a name that is not valid UTF-8" in usage(tree)
    os.rename(os.fsencode(tree), os.fsencode(tree) + b"\xff")  # noqa: PTH104
    assert "data\\xff: has a name that is not valid UTF-8" in usage(Path(os.fsdecode(os.fsencode(tree) + b"\xff")))


def test_unlisted_folder(tree, monkeypatch):
    def refuse(_self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert "cannot be listed (Permission denied)" in usage(tree)


# ---- what names tell ---------------------------------------------------------------------------------------------


def test_names_tell_fold_and_source(tmp_path):
    for label in ("cat", "dog"):
        for name in ("1-100-A", "1-100-B", "2-7-A"):
            sound(tmp_path / label / f"{name}.wav")
    data = load(tmp_path)
    assert [(recording.fold, recording.group) for recording in data.recordings[:3]] == [
        ("1", "100"), ("1", "100"), ("2", "7"),
    ]  # fmt: skip
    assert dataset.default_kind(data) == "fold"


def named(*names: str, labels: str = "ab") -> DataSet:
    """Return a data set without files, each class of recordings of these names."""
    items = tuple(
        Recording(path=Path(f"{label}/{name}.wav"), name=f"{label}/{name}.wav", label=label)
        for label in labels
        for name in sorted(names)
    )
    return told_by_names(DataSet(root=Path("made"), recordings=items, classes=tuple(labels)))


DATES = {
    "date and time": ["20240501-050000-A", "20240501-060000-A", "20240502-050000-B"],
    "year and month": ["2023-05-A", "2024-05-A"],
    "month, day and half": [f"{month}-{day}-{half}" for month in (5, 6) for day in (1, 8) for half in ("AM", "PM")],
    "month, day and recorder": [f"{month}-{day}-{place}" for month in (3, 4) for day in (1, 8, 15) for place in "AB"],
    "one fold": ["1-100-A", "1-101-A"],
    "more folds than 20": [f"{fold}-{fold + 100}-A" for fold in range(1, 22)],
}


@pytest.mark.parametrize("names", DATES.values(), ids=DATES)
def test_names_that_only_look_so_are_no_folds(names):
    data = named(*names)
    assert data.from_names == ()
    assert {(each.group, each.fold) for each in data.recordings} == {(None, None)}
    split = default_split(data)
    assert (split.kind, split.warnings) == ("order", ())
    (said,) = dataset.guesses(data, split)
    assert said.startswith("names are not read as FOLD-SOURCE-TAKE, though they look so: ")


def test_a_fold_of_few_classes_is_none():
    items = [
        Recording(path=Path(f"{label}/{name}.wav"), name=f"{label}/{name}.wav", label=label)
        for label, names in (("a", ("1-1-A", "2-2-A", "3-3-A")), ("b", ("1-4-A", "2-5-A")), ("c", ("1-6-A", "2-7-A")))
        for name in names
    ]
    data = DataSet(root=Path("made"), recordings=tuple(items), classes=("a", "b", "c"))
    read = told_by_names(data)
    assert read.from_names == ("group",)  # which still keeps sources together
    split = default_split(read)
    assert split.kind == "group"
    assert dataset.guesses(read, split)[0].startswith("names read as FOLD-SOURCE-TAKE; ")
    assert dataset.guesses(read, split, asked=True) == ("names read as FOLD-SOURCE-TAKE",)
    fewer = replace(data, recordings=data.recordings[:2] + data.recordings[3:])
    assert told_by_names(fewer).from_names == ("fold", "group")


@given(
    folds=st.integers(2, 20),
    sources=st.integers(1, 3),
    takes=st.integers(1, 3),
    labels=st.sampled_from(["ab", "abc"]),
    chance=st.randoms(use_true_random=False),
)
def test_names_as_esc_has_them_are_read_and_said(folds, sources, takes, labels, chance):
    names = [
        f"{fold}-{100 * fold + source}-{'ABC'[take]}"
        for fold in range(1, folds + 1)
        for source in range(sources)
        for take in range(takes)
    ]
    chance.shuffle(names)
    data = named(*names, labels=labels)
    assert data.from_names == ("fold", "group")
    split = default_split(data)
    (said,) = dataset.guesses(data, split)
    assert said.startswith(f"names read as FOLD-SOURCE-TAKE: held out fold {folds};")
    assert groups_cut(data, split) == set()
    assert dataset.guesses(data, dataset.split(data, "order")) == ()


def test_what_a_table_says_is_no_guess():
    data = made(*FOLDED)
    assert dataset.guesses(data, default_split(data)) == ()


def test_names_tell_nothing_unless_all_do_and_a_split_says_so(tmp_path):
    for label in ("cat", "dog"):
        for name in ("1-100-A", "1-100-B", "2-7-A"):
            sound(tmp_path / label / f"{name}.wav")
    sound(tmp_path / "dog" / "other.wav")
    data = load(tmp_path)
    assert {recording.group for recording in data.recordings} == {None}
    split = default_split(data)
    assert split.kind == "order"
    assert "1 of 7 names do not read FOLD-SOURCE-TAKE" in split.warnings[0]


def test_a_broken_file_does_not_hide_what_the_other_names_tell(tmp_path):
    for label in ("cat", "dog"):
        for number, name in enumerate(("1-100-A", "1-100-B", "2-7-A")):
            sound(tmp_path / label / f"{name}.wav", seed=number + ord(label[0]))
    (tmp_path / "dog" / "broken.wav").touch()
    data = checks.check(load(tmp_path))
    assert [entry.file for entry in data.unusable] == ["dog/broken.wav"]
    assert dataset.fold_names(data) == ("1", "2")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("1-116765-A", True), ("5-9032-A", True), ("1-100032-A-0", True), ("2023-01-05", False), ("a-b-C", False),
        ("1-1-a", False), ("1-1", False), ("1-2-A-x", False),
    ],
)  # fmt: skip
def test_which_names_tell(name, told):
    assert (TELLING_NAME.fullmatch(name) is not None) is told


# ---- loading a CSV -----------------------------------------------------------------------------------------------

ROWS = "cat/a.wav,cat\ncat/b.flac,cat\ndog/x.wav,dog\ndog/z.ogg,dog\n"


def test_csv(tree):
    data = load(table(tree, "file,label\n" + ROWS))
    assert [recording.name for recording in data.recordings] == ["cat/a.wav", "cat/b.flac", "dog/x.wav", "dog/z.ogg"]
    assert data.recordings[0].path.is_file()
    assert data.root == tree


def test_csv_with_group_and_fold_in_any_column_order(tree):
    text = (
        'fold,label,group,file\n1,cat,g1,cat/a.wav\n10,"cat",,cat/b.flac\n2, dog ,g2,./dog/x.wav\n1,dog,g2,dog/z.ogg\n'
    )
    data = load(table(tree, text))
    assert [(item.label, item.group, item.fold) for item in data.recordings] == [
        ("cat", "g1", "1"), ("cat", None, "10"), ("dog", "g2", "2"), ("dog", "g2", "1"),
    ]  # fmt: skip
    assert data.recordings[2].name == "dog/x.wav"
    assert dataset.fold_names(data) == ("1", "2", "10")


SPREADSHEETS = {
    "mark": "\ufefffile,label\n" + ROWS,
    "returns": ("file,label\n" + ROWS).replace("\n", "\r\n"),
    "capitals": "\nFile,LABEL\n\n" + ROWS,
}


@pytest.mark.parametrize("text", SPREADSHEETS.values(), ids=SPREADSHEETS)
def test_csv_as_spreadsheets_write_it(tree, text):
    assert len(load(table(tree, text)).recordings) == 4


def test_csv_of_files_elsewhere(tree, tmp_path):
    lines = [f"../data/{row}" for row in ROWS.splitlines()[:3]] + [f"{tree}/dog/z.ogg,dog"]
    data = load(table(tmp_path / "lists", "file,label\n" + "\n".join(lines)))
    assert [item.name for item in data.recordings][:2] == ["../data/cat/a.wav", "../data/cat/b.flac"]
    assert data.recordings[3].name == f"{tree}/dog/z.ogg"
    assert len(checks.check(data).recordings) == 4


def test_csv_row_without_a_file_is_unusable(tree):
    data = load(table(tree, "file,label\n" + ROWS + "cat/gone.wav,cat\n"))
    assert data.unusable == (Unusable("cat/gone.wav", "does not exist; correct line 6 of list.csv"),)
    assert len(data.recordings) == 4


def test_csv_row_with_an_impossible_file_is_unusable(tree):
    data = checks.check(load(table(tree, "file,label\n" + ROWS + "y" * 300 + ".wav,cat\ncat,cat\n")))
    assert [entry.reason.split("(")[0].split(",")[0] for entry in data.unusable] == ["is a folder", "cannot be opened "]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty; its first line must be file,label"),
        ("\n\n", "is empty"),
        ("file,label\n", "lists no recording"),
        ("path,label\na,b\n", "has no column 'file' but path, label"),
        ("file\na\n", "has no column 'label'"),
        ("file;label\na;b\n", "has no column 'file' but file;label"),
        ("file,label,split\n", "unknown column 'split'"),
        ("file,label,label\n", "column 'label' twice"),
        ("file,label\ncat/a.wav,\n", "line 2: empty label"),
        ("file,label\n,cat\n", "line 2: empty file"),
        ("file,label,fold\ncat/a.wav,cat,\n", "line 2: empty fold"),
        ("file,label\ncat/a.wav\n", "line 2: has 1 values for 2 columns"),
        ("file,label\na,b.wav,cat\n", "line 2: has 3 values for 2 columns"),
        ("file,label\n" + ROWS + "cat/a.wav,dog\n", "cat/a.wav has two labels, 'cat' and 'dog' (first on line 2)"),
        ("file,label\n" + ROWS + "cat/../cat/a.wav,dog\n", "has two labels, 'cat' and 'dog'"),
        ("file,label\n" + ROWS + "dog/x.wav,dog\n", "dog/x.wav has two lines (first on line 4)"),
        ("file,label\n" + ROWS + "dog/y.aiff,bird\n", "class 'bird' has one usable recording"),
        ("file,label\ncat/a.wav,cat\ncat/b.flac,cat\n", "one class only"),
        ("file,label\nno.wav,cat\nnor.wav,dog\n", "has no usable recording; unusable: no.wav: does not exist"),
        ("file,label\nca\0t.wav,dog\n", "line 2"),
    ],
)  # fmt: skip
def test_faults_of_a_csv(tree, text, expected):
    assert expected in usage(table(tree, text))


def test_csv_with_an_unknown_label(tree):
    path = table(tree, "file,label\n" + ROWS)
    assert "dog/x.wav: its label 'dog' is none of the known classes (cat)" in usage(path, classes=["cat"])


def test_csv_that_is_not_utf8(tree):
    path = table(tree, "file,label\ncat/a.wav,cät\n", encoding="latin-1")
    assert "list.csv, line 2: is not UTF-8" in usage(path)


# ---- checking ----------------------------------------------------------------------------------------------------


def spoil(tree: Path) -> None:
    """Add one recording of each fault that matters here to class cat."""
    (tree / "cat" / "m-empty.wav").touch()
    (tree / "cat" / "n-words.mp3").write_bytes(b"words " * 100)
    soundfile.write(tree / "cat" / "o-silent.wav", np.zeros(500), RATE)
    (tree / "cat" / "p-link.wav").symlink_to("gone")
    data = (tree / "cat" / "c.wav").read_bytes()
    (tree / "cat" / "q-cut.wav").write_bytes(data[:-20])


@pytest.mark.parametrize("workers", [1, 4, None])
def test_check_sets_aside_what_cannot_be_used(tree, workers):
    spoil(tree)
    before = load(tree)
    assert len(before.recordings) == 11
    data = checks.check(before, workers=workers)
    assert [item.name for item in data.recordings] == [
        "cat/a.wav", "cat/b.flac", "cat/c.wav", "dog/x.wav", "dog/y.aiff", "dog/z.ogg",
    ]  # fmt: skip
    assert [entry.file.split("/")[1][2:].split(".")[0] for entry in data.unusable] == [
        "empty", "words", "silent", "link", "cut",
    ]  # fmt: skip
    assert data.facts == tuple(decoding.inspect(item.path) for item in data.recordings)
    assert len(before.recordings) == 11


def test_strict_stops_at_the_first(tree):
    spoil(tree)
    with pytest.raises(BadRecordingError, match=r"m-empty\.wav: is empty"):
        checks.check(load(tree), strict=True)
    (tree / "cat" / "film.ape").write_bytes(b"x")
    with pytest.raises(BadRecordingError, match=r"film\.ape: has no sound file's name"):
        checks.check(load(tree), strict=True)


def test_too_little_left_is_said_with_the_reason(tree):
    (tree / "dog" / "x.wav").write_bytes(b"")
    (tree / "dog" / "y.aiff").write_bytes(b"")
    with pytest.raises(UsageError, match=r"class 'dog' has one usable .*dog/x\.wav: is empty .*and 1 more"):
        checks.check(load(tree))
    (tree / "dog" / "z.ogg").write_bytes(b"")
    with pytest.raises(UsageError, match=r"class 'dog' has no usable recording"):
        checks.check(load(tree))
    assert len(checks.check(load(tree), for_training=False).recordings) == 3


class Counting:
    """A progress that counts."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.total = 0

    def task(self, _description: str, total: int) -> Counting:
        self.total = total
        return self

    def __enter__(self):
        return self.told.append

    def __exit__(self, *_error: object) -> None:
        return None

    def say(self, line: str) -> None:
        raise AssertionError(line)


def test_progress_counts_every_file(tree):
    spoil(tree)
    progress = Counting()
    checks.check(load(tree), progress=progress)
    assert sum(progress.told) == progress.total == 11


def test_for_each_recording_decodes_once_and_keeps_order(tree, monkeypatch):
    spoil(tree)
    decoded: list[Path] = []
    inner = decoding.mono_blocks

    def counted(path, *rest):
        decoded.append(path)
        return inner(path, *rest)

    monkeypatch.setattr(decoding, "mono_blocks", counted)
    before = load(tree)
    data, results = checks.for_each_recording(
        before, 4000, lambda item, blocks: (item.path, sum(map(len, blocks))), workers=3
    )
    assert sorted(decoded) == sorted(item.path for item in before.recordings)
    assert results == [(item.path, 400) for item in data.recordings]
    assert data == checks.check(before)


def test_for_each_recording_runs_in_threads(tree):
    meeting = threading.Barrier(2, timeout=20)  # two clips must be in the function at once
    checks.for_each_recording(load(tree), None, lambda *_: meeting.wait(), workers=2)


def test_a_function_may_set_a_recording_aside_and_other_errors_are_raised(tree):
    def picky(recording, _blocks):
        if recording.path.name == "b.flac":
            raise BadRecordingError(recording.path, "does not please")
        return recording.path.name

    data, results = checks.for_each_recording(load(tree), None, picky)
    assert data.unusable == (Unusable("cat/b.flac", "does not please"),)
    assert results == ["a.wav", "c.wav", "x.wav", "y.aiff", "z.ogg"]
    with pytest.raises(ZeroDivisionError):
        checks.for_each_recording(load(tree), None, lambda *_: 1 // 0)


def test_workers_must_be_a_count(tree):
    with pytest.raises(UsageError, match="at least 1, not 0"):
        checks.check(load(tree), workers=0)


# ---- what the data holds -----------------------------------------------------------------------------------------


def test_count_table(tmp_path):
    for number, name in enumerate(["1-5-A", "1-5-B", "2-6-A"]):
        sound(tmp_path / "cat" / f"{name}.wav", seed=number, seconds=0.1 * (number + 1))
        sound(tmp_path / "dog" / f"{name}.wav", seed=number + 9)
    unchecked = checks.count_table(load(tmp_path))
    assert [(row.label, row.files, row.seconds, row.longest) for row in unchecked] == [
        ("cat", 3, None, None), ("dog", 3, None, None),
    ]  # fmt: skip
    cat, _ = checks.count_table(checks.check(load(tmp_path)))
    assert cat.seconds == pytest.approx(0.6)
    assert (cat.shortest, cat.longest) == (0.1, pytest.approx(0.3))
    assert cat.folds == (("1", 2), ("2", 1))
    assert cat.sources == 2


def test_findings(tree):
    sound(tree / "cat" / "long.wav", seed=50, seconds=0.5)
    soundfile.write(tree / "cat" / "tail.wav", np.concatenate([np.full(400, 0.1), np.zeros(400)]), RATE)
    soundfile.write(tree / "cat" / "stereo.wav", np.random.default_rng(3).uniform(-1, 1, (1600, 2)), 2 * RATE)
    data = checks.check(load(tree))
    assert checks.findings(load(tree)) == ()
    assert checks.findings(data) == (
        "1 of 9 recordings are not 0.10 s long (0.10 to 0.50 s)",
        "1 of 9 recordings end in digital silence (0.05 to 0.05 s of it)",
        "different sample rates: 8,000 Hz (8), 16,000 Hz (1); all are brought to one",
        "different channels: 1 (8), 2 (1); all are brought to one",
    )


def test_duplicates(tree):
    (tree / "dog" / "copy.wav").write_bytes((tree / "cat" / "a.wav").read_bytes())
    values, rate = soundfile.read(tree / "dog" / "x.wav", dtype="int16")
    soundfile.write(tree / "dog" / "x2.flac", values, rate)
    data = checks.check(load(tree))
    names = [
        ({data.recordings[index].name for index in group.indices}, group.same, group.labels)
        for group in checks.duplicates(data)
    ]
    assert names == [
        ({"cat/a.wav", "dog/copy.wav"}, "bytes", ("cat", "dog")),
        ({"dog/x.wav", "dog/x2.flac"}, "sound", ("dog",)),
    ]
    bytes_line, sound_line = checks.duplicate_warnings(data)
    assert bytes_line == "cat/a.wav = dog/copy.wav (the same file), under different labels (cat, dog): correct one"
    assert sound_line == "dog/x.wav = dog/x2.flac (the same sound)"
    indices = {item.name: index for index, item in enumerate(data.recordings)}
    held = (indices["dog/x2.flac"],)
    parts = Split(train=tuple(set(indices.values()) - set(held)), validation=held, kind="order")
    assert checks.duplicate_warnings(data, parts)[1].endswith("on both sides of the split: the score will be too good")
    assert "both sides" not in checks.duplicate_warnings(data, parts)[0]


# ---- splits ------------------------------------------------------------------------------------------------------


def whole(data: DataSet, split: Split) -> bool:
    """Say whether a split holds every recording once, in order."""
    both = split.train + split.validation
    ascending = list(split.train) == sorted(split.train) and list(split.validation) == sorted(split.validation)
    return sorted(both) == list(range(len(data.recordings))) and ascending


def labels_of(data: DataSet, indices: tuple[int, ...]) -> Counter[str]:
    return Counter(data.recordings[index].label for index in indices)


def groups_cut(data: DataSet, split: Split) -> set[str]:
    sides = [{data.recordings[index].group for index in side} - {None} for side in (split.train, split.validation)]
    return sides[0] & sides[1]


class_sizes = st.lists(st.integers(2, 30), min_size=2, max_size=5)
seeds = st.integers(0, 2**31)


def ungrouped(sizes: list[int]) -> DataSet:
    return made(*[(f"c{number}", None, None) for number, size in enumerate(sizes) for _ in range(size)])


@given(sizes=class_sizes, fraction=st.floats(0.05, 0.95), seed=seeds, kind=st.sampled_from(["order", "random"]))
def test_ungrouped_splits_are_whole_stratified_and_repeatable(sizes, fraction, seed, kind):
    data = ungrouped(sizes)
    split = dataset.split(data, kind, fraction=fraction, seed=seed)
    assert split == dataset.split(data, kind, fraction=fraction, seed=seed)
    assert whole(data, split)
    learnt, held = labels_of(data, split.train), labels_of(data, split.validation)
    for number, size in enumerate(sizes):
        assert abs(learnt[f"c{number}"] - fraction * size) <= 1.0
        assert learnt[f"c{number}"] >= 1
        assert held[f"c{number}"] >= 1


@given(sizes=class_sizes)
def test_order_takes_the_first_files_of_each_class(sizes):
    data = ungrouped(sizes)
    split = dataset.split(data, "order")
    for label in data.classes:
        learnt = [data.recordings[index].name for index in split.train if data.recordings[index].label == label]
        held = [data.recordings[index].name for index in split.validation if data.recordings[index].label == label]
        assert max(learnt) < min(held)


def test_order_rounds_class_by_class():
    data = ungrouped([40, 38, 5, 2])
    assert labels_of(data, dataset.split(data, "order").train) == {"c0": 32, "c1": 30, "c2": 4, "c3": 1}


def test_random_depends_on_the_seed_only():
    data = ungrouped([20, 20])
    assert len({dataset.split(data, "random", seed=seed).validation for seed in range(20)}) > 15


one_class_groups = st.lists(  # classes, each a list of group sizes
    st.lists(st.integers(1, 6), min_size=2, max_size=12), min_size=2, max_size=4
)


def grouped(classes: list[list[int]]) -> DataSet:
    return made(
        *[
            (f"c{number}", f"g{number}-{group}", None)
            for number, sizes in enumerate(classes)
            for group, size in enumerate(sizes)
            for _ in range(size)
        ]
    )


@given(classes=one_class_groups, fraction=st.floats(0.3, 0.9), seed=seeds)
def test_group_splits_cut_nothing_and_are_near_their_share(classes, fraction, seed):
    data = grouped(classes)
    assert dataset.default_kind(data) == "group"
    split = dataset.split(data, "group", fraction=fraction, seed=seed)
    assert split == dataset.split(data, "group", fraction=fraction, seed=seed)
    assert whole(data, split)
    assert groups_cut(data, split) == set()
    assert split.warnings == ()
    learnt, held = labels_of(data, split.train), labels_of(data, split.validation)
    for number, sizes in enumerate(classes):
        # Within the largest group; where even the smallest is more than the share, that one is held out.
        assert abs(learnt[f"c{number}"] - fraction * sum(sizes)) <= max(sizes)
        assert learnt[f"c{number}"] > 0
        assert held[f"c{number}"] > 0


@given(
    members=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), min_size=12, max_size=80),
    seed=seeds,
)
def test_groups_over_several_classes_are_not_cut_either(members, seed):
    data = made(*[(f"c{label}", f"g{group}", None) for label, group in members])
    try:
        split = dataset.split(data, "group", seed=seed)
    except UsageError as error:
        assert "no recording to learn from" in str(error)  # noqa: PT017
        return
    assert whole(data, split)
    assert groups_cut(data, split) == set()


def test_a_recording_without_group_is_a_group_by_itself():
    data = made(*[("a", "g", None)] * 5, *[("b", None, None)] * 10)
    split = dataset.split(data, "group")
    assert labels_of(data, split.validation) == {"b": 2}
    assert split.warnings == ("class 'a' has no recording to test with; its score cannot be measured",)


def test_a_split_that_cuts_groups_says_how_many():
    data = made(*[(label, f"{label}{number // 4}", None) for label in "ab" for number in range(10)])
    split = dataset.split(data, "order")
    # 8 of 10 are learnt from, and the cut falls between the second group and the third.
    assert split.warnings == ()
    split = dataset.split(data, "order", fraction=0.6)
    assert groups_cut(data, split) == {"a1", "b1"}
    assert split.warnings[0].startswith("this split cuts 2 of 6 sources (a1, b1)")
    for seed in range(5):
        split = dataset.split(data, "random", seed=seed)
        number = len(groups_cut(data, split))
        assert f"cuts {number} of 6 sources" in split.warnings[0]


FOLDED = [(label, f"{fold}{label}{take // 2}", str(fold)) for label in "ab" for fold in (1, 2, 10) for take in range(4)]


def test_fold_split():
    data = made(*FOLDED)
    assert dataset.default_kind(data) == "fold"
    split = dataset.default_split(data)
    assert (split.kind, split.held_out) == ("fold", "10")
    assert {data.recordings[index].fold for index in split.validation} == {"10"}
    assert whole(data, split)
    assert dataset.split(data, fold=2).held_out == "2"
    assert dataset.split(data, "fold", fold="1").held_out == "1"
    assert groups_cut(data, split) == set()


def test_fold_split_that_cuts_groups_warns():
    data = made(*[(label, "same", str(fold)) for label in "ab" for fold in (1, 2) for _ in range(3)])
    (warning,) = dataset.split(data, "fold").warnings
    assert "cuts 1 of 1 sources" in warning
    # Not the split that was taken: that would be no way out.
    assert warning.endswith(
        "use the split 'group', or correct the column 'fold': it puts parts of one source into several folds"
    )


@pytest.mark.parametrize(
    ("data", "options", "expected"),
    [
        (made(*FOLDED), {"kind": "best"}, "unknown split 'best'; choose one of order, fold, group, random"),
        (made(*FOLDED), {"fold": "7"}, "no fold '7'; there are 1, 2, 10"),
        (made(*FOLDED), {"kind": "order", "fold": 1}, "goes with the split 'fold', not with 'order'"),
        (made(*FOLDED), {"kind": "random", "fraction": 1.0}, "--fraction 1: the part to learn from must lie"),
        (ungrouped([3, 3]), {"kind": "fold"}, "folds are not known"),
        (ungrouped([3, 3]), {"kind": "group"}, "groups are not known"),
        (made(("a", None, "1"), ("a", None, "1"), ("b", None, "1"), ("b", None, "2")), {"fold": 1},
         "class 'a' has no recording to learn from (fold 1 held out)"),
    ],
)  # fmt: skip
def test_splits_that_cannot_be(data, options, expected):
    with pytest.raises(UsageError) as error:
        dataset.split(data, **options)
    assert expected in str(error.value)


# ---- cross-validation --------------------------------------------------------------------------------------------


@given(sizes=st.lists(st.integers(6, 25), min_size=2, max_size=4), k=st.integers(2, 6), seed=seeds)
def test_made_folds_without_groups_are_even(sizes, k, seed):
    data = ungrouped(sizes)
    splits = dataset.folds(data, k, seed=seed)
    assert splits == dataset.folds(data, k, seed=seed)
    assert [split.held_out for split in splits] == [str(number + 1) for number in range(k)]
    assert sorted(index for split in splits for index in split.validation) == list(range(len(data.recordings)))
    for split in splits:
        assert whole(data, split)
        for number, size in enumerate(sizes):
            assert abs(labels_of(data, split.validation)[f"c{number}"] - size / k) < 1.0


@given(
    classes=st.lists(st.lists(st.integers(1, 5), min_size=5, max_size=12), min_size=2, max_size=4),
    k=st.integers(2, 5),
    seed=seeds,
)
def test_made_folds_keep_groups_whole(classes, k, seed):
    data = grouped(classes)
    splits = dataset.folds(data, k, seed=seed)
    assert sorted(index for split in splits for index in split.validation) == list(range(len(data.recordings)))
    for split in splits:
        assert whole(data, split)
        assert groups_cut(data, split) == set()
        assert split.warnings == ()
        for number, sizes in enumerate(classes):
            assert 0 < labels_of(data, split.validation)[f"c{number}"] <= sum(sizes) / k + max(sizes)


def test_own_folds_are_preferred():
    data = made(*FOLDED)
    for k in (None, 3):
        splits = dataset.folds(data, k)
        assert [(split.kind, split.held_out) for split in splits] == [("fold", "1"), ("fold", "2"), ("fold", "10")]
    assert [split.kind for split in dataset.folds(data, 2)] == ["group", "group"]
    assert len(dataset.folds(ungrouped([8, 9]))) == 5


@pytest.mark.parametrize(
    ("data", "k", "expected"),
    [
        (ungrouped([8, 4]), 5, "5 folds are too many: class 'c1' has 4 recordings; ask for at most 4"),
        (grouped([[5, 5, 5], [1] * 9]), 4, "class 'c0' has 3 sources; ask for at most 3"),
        (ungrouped([8, 8]), 1, "needs at least 2 folds, not 1"),
        (ungrouped([8, 8]), -3, "needs at least 2 folds, not -3"),
    ],
)
def test_folds_that_cannot_be(data, k, expected):
    with pytest.raises(UsageError) as error:
        dataset.folds(data, k)
    assert expected in str(error.value)


# ---- the real data -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def esc10(shared: Path) -> DataSet:
    """Return the real data set, decoded once for all tests of this file."""
    return checks.check(load(shared / "data" / "esc10"))


def test_the_real_data_set_is_whole(esc10):
    assert len(esc10.recordings) == len(esc10.facts) == 398
    assert esc10.unusable == ()
    rows = checks.count_table(esc10)
    assert [row.files for row in rows] == [40, 40, 40, 40, 40, 40, 40, 38, 40, 40]
    assert rows[7].label == "rooster"
    assert rows[0].folds == tuple((str(fold), 8) for fold in range(1, 6))
    assert checks.duplicates(esc10) == ()


def test_what_is_said_of_the_real_data_set(esc10):
    lengths, silence = checks.findings(esc10)
    assert lengths == "20 of 398 recordings are not 5.00 s long (3.64 to 7.24 s)"
    assert silence.startswith("80 of 398 recordings end in digital silence")


def test_the_real_data_sets_attribution_agrees(esc10, shared):
    lines = (shared / "data" / "esc10" / "ATTRIBUTION.csv").read_text(encoding="utf-8")
    assert all(facts.file_sha256 in lines for facts in esc10.facts)


def test_splits_of_the_real_data_set(esc10):
    order = dataset.split(esc10, "order")
    assert (len(order.train), len(order.validation)) == (318, 80)
    fold = dataset.default_split(esc10)
    assert (fold.kind, fold.held_out, len(fold.validation)) == ("fold", "5", 80)
    assert fold.warnings == ()
    random = dataset.split(esc10, "random")
    assert f"cuts {len(groups_cut(esc10, random))} of 302 sources" in random.warnings[0]
    for split in (*dataset.folds(esc10), *dataset.folds(esc10, 4), dataset.split(esc10, "group")):
        assert groups_cut(esc10, split) == set()
        assert split.warnings == ()
