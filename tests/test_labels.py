"""Labels and file names that a reader takes for one."""

from __future__ import annotations

import html
import json
import shutil
from collections import Counter
from pathlib import Path
from unicodedata import normalize

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from command import earwitness, write_sounds
from earwitness.core.errors import UsageError
from earwitness.data.labels import label_warnings, lookalikes, merge, plain, told_apart
from earwitness.data.loading import load
from earwitness.data.recordings import Recording

ALIKE = [
    ("Dog", "dog"),
    ("dog", "dog "),
    ("M\u00f6nch", "Mo\u0308nch"),
    ("Great Tit", "Great\u00a0Tit"),
    ("Great Tit", "Great  Tit"),
    ("Stra\u00dfe", "STRASSE"),
    ("\uff24og", "Dog"),
    ("\uac00", "\u1100\u1161"),
]
DIFFERENT = [("dog", "dogs"), ("great_tit", "great tit"), ("Mönch", "Monch"), ("a1", "a2")]
names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=6)


def listed(*labels: str) -> list[Recording]:
    return [Recording(path=Path(f"{n}.wav"), name=f"{n}.wav", label=label) for n, label in enumerate(labels)]


@pytest.mark.parametrize("pair", ALIKE)
def test_what_looks_alike_is_one_warning_that_shows_a_difference(pair):
    assert lookalikes([*pair, "cat"]) == (tuple(sorted(pair)),)
    (warning,) = label_warnings(Counter({pair[0]: 3, pair[1]: 1, "cat": 2}))
    shown = told_apart(sorted(pair))
    assert all(each in warning for each in shown)
    assert len({normalize("NFKC", each) for each in shown}) == 2
    assert "cat" not in warning
    assert "--merge-labels" in warning


@pytest.mark.parametrize("pair", DIFFERENT)
def test_other_names_are_different(pair):
    assert lookalikes(pair) == ()
    assert label_warnings(Counter(pair)) == []


@given(name=names)
def test_no_writing_of_a_name_makes_another_of_it(name):
    for writing in ("NFC", "NFD", "NFKC", "NFKD"):
        assert plain(normalize(writing, name)) == plain(name)
    assert plain(f"  {name}\u00a0") == plain(name)


@given(group=st.lists(names, min_size=2, max_size=4, unique=True))
def test_different_names_are_shown_differently(group):
    shown = told_apart(group)
    assert len({normalize("NFKC", each) for each in shown}) == len(group)


@given(labels=st.lists(st.sampled_from(["Dog", "dog", "DOG", "cat", "Cat ", "bird"]), min_size=1, max_size=20))
def test_merged_classes_have_the_name_of_the_most_recordings(labels):
    merged, notes = merge(listed(*labels))
    assert lookalikes(each.label for each in merged) == ()
    assert [plain(each.label) for each in merged] == [plain(label) for label in labels]
    counts = Counter(labels)
    for label in {each.label for each in merged}:
        alike = [each for each in counts if plain(each) == plain(label)]
        assert label == min(alike, key=lambda each: (-counts[each], each))
    assert len(notes) == len(lookalikes(labels))


def test_known_classes_decide_what_a_label_becomes():
    merged, notes = merge(listed("dog ", "cat", "Bird"), ["Dog", "CAT", "cat", "BIRD"])
    assert [each.label for each in merged] == ["Dog", "cat", "BIRD"]
    assert len(notes) == 2
    undecided, _ = merge(listed("DOG"), ["Dog", "dog"])
    assert [each.label for each in undecided] == ["DOG"]


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Return class folders of which two differ in spaces only; the smaller one has one recording."""
    root = write_sounds(tmp_path / "sounds", ("big dog", "cat"), clips=4)
    write_sounds(tmp_path / "more", ("big  dog",), clips=1)
    (tmp_path / "more" / "big  dog").rename(root / "big  dog")
    return root


def test_a_class_that_is_too_small_may_be_another_one_written_otherwise(folders):
    said = r"class 'big  dog' has one usable recording.* 'big  dog' \(1\) and 'big dog' \(4\) are different"
    with pytest.raises(UsageError, match=said):
        load(folders)
    assert load(folders, merge_labels=True).classes == ("big dog", "cat")


def test_a_run_of_merged_labels_is_evaluated_with_them(folders, tmp_path):
    words = ["--out", tmp_path / "run", "--backbone", "compact", "--epochs", 1, "--merge-labels"]
    trained = earwitness("train", folders, *words)
    assert trained.code == 0, trained.err
    assert "earwitness: note: 'big  dog' (1 recording) became 'big dog'" in trained.lines
    asked = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert asked["data"]["classes"] == {"big dog": 5, "cat": 4}
    before = (tmp_path / "run" / "files.csv").read_bytes()
    assert earwitness("evaluate", tmp_path / "run").code == 0
    assert (tmp_path / "run" / "files.csv").read_bytes() == before
    other = earwitness("evaluate", tmp_path / "run", "--data", folders, "--out", tmp_path / "again")
    assert other.code == 0, other.err


def test_a_label_that_is_no_class_may_be_meant_as_one(folders):
    with pytest.raises(UsageError, match=r"its label 'big  dog' is none of .*; is 'big dog' meant\?"):
        load(folders, ["big dog", "cat"])


def test_one_sound_under_two_labels_is_said_before_training_and_in_the_report(tmp_path):
    root = write_sounds(tmp_path / "sounds", ("cat", "dog"), clips=4)
    values, rate = soundfile.read(root / "cat" / "take0.wav", dtype="int16")
    soundfile.write(root / "dog" / "same.flac", values, rate)
    shutil.copy(root / "cat" / "take1.wav", root / "cat" / "copy.wav")
    trained = earwitness("train", root, "--out", tmp_path / "run", "--backbone", "compact", "--epochs", 1)
    assert trained.code == 0, trained.err
    said = "cat/take0.wav = dog/same.flac (the same sound), under different labels (cat, dog): correct one"
    warnings = [line for line in trained.lines if line.startswith("earwitness: warning: ")]
    assert warnings[0].startswith(f"earwitness: warning: {said}")  # before what is no fault of the labels
    assert len(warnings) == 2
    assert trained.err.index(said) < trained.err.index("Epoch")
    assert earwitness("report", tmp_path / "run").code == 0
    assert said in html.unescape((tmp_path / "run" / "report.html").read_text(encoding="utf-8"))
    again = earwitness("train", root, "--out", tmp_path / "run", "--backbone", "compact", "--epochs", 1, "--resume")
    assert again.code == 0, again.err


# ---- names of files ----------------------------------------------------------------------------------------------


@pytest.fixture
def exact(tmp_path: Path) -> Path:
    """Return a folder on a disk that tells apart what differs in case or composition."""
    touched(tmp_path, "probe", "probe-o\u0308")
    if (tmp_path / "PROBE").exists() or (tmp_path / "probe-\u00f6").exists():
        pytest.skip("this disk finds names however they are written")
    return tmp_path


def table(root: Path, *files: str) -> Path:
    (root / "list.csv").write_text("file,label\n" + "".join(f"{name},x\n" for name in files), encoding="utf-8")
    return root / "list.csv"


def touched(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()


def test_a_file_is_found_however_its_name_is_composed(exact):
    touched(exact, "Zaunko\u0308nig/Mu\u0308ller.wav", "here.wav")
    data = load(table(exact, "Zaunk\u00f6nig/M\u00fcller.wav", "here.wav"), for_training=False)
    assert data.unusable == ()
    assert all(recording.path.is_file() for recording in data.recordings)
    assert "Zaunko\u0308nig/Mu\u0308ller.wav" in data.names  # as it is on the disk, where it is looked for later
    assert data.notes == (
        "1 file was found under a name that list.csv writes otherwise (case, spaces, composition): "
        "Zaunko\u0308nig/Mu\u0308ller.wav",
    )


def test_a_file_is_meant_only_if_no_other_could_be(exact):
    touched(exact, "a.WAV", "A.wav", "b.WAV", "o\u0308.wav", "O\u0308.wav")
    data = load(table(exact, "a.wav", "b.wav", "\u00f6.wav"), for_training=False)
    assert [entry.file for entry in data.unusable] == ["a.wav"]
    assert data.names == ["b.WAV", "o\u0308.wav"]


def test_two_writings_of_one_file_are_two_lines(exact):
    touched(exact, "o\u0308.wav")
    with pytest.raises(UsageError, match="has two lines"):
        load(table(exact, "o\u0308.wav", "\u00f6.wav"))
