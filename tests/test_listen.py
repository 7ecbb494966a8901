"""Listening to explanations: from a file and a model to sounds, their scores, and a run's measures; and the command."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import tiny_run
from command import earwitness
from earwitness.audio import decoding
from earwitness.cli.sounds import sounds_lines
from earwitness.core.errors import UsageError
from earwitness.core.files import read_csv, read_json
from earwitness.inspection.files import score_file
from earwitness.inspection.model import load_model
from earwitness.sonify.listening import SOUNDS
from earwitness.sonify.masks import kept_regions, mask_of
from earwitness.workflows.explain import explain
from earwitness.workflows.listen import listen, listen_to_run, write_sounds

METHODS = ["gradcam", "occlusion:mask=30%,stride=30%"]
CLICK = tiny_run.CLASSES[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return tiny_run.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def stereo(run) -> Path:
    """Clicks on the left, and on the right faint noise, at a rate that is not the front end's."""
    mono = decoding.read(run.parent / "data" / "click" / "0.wav", 44_100).samples
    beside = 0.05 * np.random.default_rng(0).standard_normal(len(mono))
    path = run.parent / "stereo.wav"
    soundfile.write(path, np.stack([mono, beside], axis=1), 44_100, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def explanation(run, stereo):
    return explain(stereo, run, methods=METHODS, verdicts=False, progress=False)


def test_what_is_explained_is_what_one_hears(explanation, stereo):
    listening = explanation.listen()
    assert (listening.sample_rate, listening.channels) == (44_100, 2)
    assert (listening.start_seconds, listening.target) == (explanation.start_seconds, explanation.classes[0])
    whole, _ = soundfile.read(stereo, dtype="float32")
    first, last = (round(44_100 * moment) for moment in (explanation.start_seconds, explanation.end_seconds))
    np.testing.assert_array_equal(listening.original, whole[first:last])
    np.testing.assert_allclose(listening.kept + listening.removed, listening.original, atol=1e-6)


def test_what_is_kept_is_the_map_s_strongest_part(explanation):
    """The gains of the STFT, measured at its cells, follow the map: strong cells are let through, weak ones are not."""
    listening, found = explanation.listen("gradcam", keep=0.3), explanation["gradcam"]
    shares = listening.keep.values
    assert listening.keep.described()["area"] == pytest.approx(0.3, abs=1e-3)
    order = np.argsort(found.values[: len(shares)], axis=None)
    strong, weak = shares.ravel()[order[-len(order) // 10 :]], shares.ravel()[order[: len(order) // 2]]
    assert strong.mean() > 0.8
    assert weak.mean() < 0.1
    more = explanation.listen("gradcam", keep=0.9)
    assert np.square(more.kept).sum() > np.square(listening.kept).sum()


def test_by_mass_is_another_share(explanation):
    by_mass = explanation.listen("gradcam", keep=0.5, by="mass").keep.described()
    assert "by mass" in by_mass["mask"]
    assert 0 < by_mass["area"] < 0.5  # the strongest cells hold more than their share


def test_scores_are_those_that_the_files_get(explanation, run, tmp_path):
    written = explanation.listen("gradcam").write(tmp_path, level="own")
    classifier = load_model(run).classifier
    for place, (name, path) in enumerate(zip(SOUNDS, written.files, strict=True)):
        scored = score_file(classifier, path)
        expected = {label: float(score) for label, score in zip(scored.classes, scored.mean, strict=True)}
        assert written.file_scores[place] == pytest.approx(expected, abs=1e-6)
        assert list(written.listening.scores[name]) == sorted(expected, key=lambda each: -expected[each])
        sheet = read_json(written.sheet)["sounds"][name]
        assert sheet["scores"][explanation.classes[0]] == written.listening.scores[name][explanation.classes[0]]
        assert sheet["scores_of_file"][explanation.classes[0]] == written.file_scores[place][explanation.classes[0]]


def test_why_less_is_kept_than_was_asked_for_is_said(explanation, tmp_path):
    found = explanation["gradcam"]
    few = np.where(np.arange(found.values.size).reshape(found.values.shape) % 10 == 0, 1.0, -1.0).astype(np.float32)
    made = replace(explanation, attributions={("gradcam", found.target_label): replace(found, values=few)})
    why = "of all cells, for no more speak for the class\n"
    assert why in sounds_lines(made.listen().write(tmp_path / "few"))
    assert why not in sounds_lines(explanation.listen("gradcam", keep=0.05).write(tmp_path / "plain"))


def test_everything_kept_scores_as_the_original_and_nothing_is_left(explanation, run):
    found = explanation["gradcam"]
    everything = replace(found, values=np.ones_like(found.values))
    listening = replace(explanation, attributions={("gradcam", found.target_label): everything}).listen(keep=1.0)
    scores = listening.scores
    assert scores["kept"] == pytest.approx(scores["original"], abs=0.02)


def test_a_map_without_evidence_is_said(explanation, tmp_path):
    found = explanation["gradcam"]
    against = replace(found, values=-np.abs(found.values))
    mute = replace(explanation, attributions={("gradcam", found.target_label): against})
    with pytest.raises(UsageError, match="nothing in its map speaks for"):
        mute.listen()
    written, said = write_sounds(mute, tmp_path, progress=False)
    assert written == []
    assert len(said) == 1
    with pytest.raises(UsageError, match="nobody said where it lies"):
        replace(explanation, path=None).listen()


def test_a_whole_recording_is_heard_to_its_end(run, stereo):
    whole = explain(stereo, run, methods="occlusion:mask=50%,stride=50%", whole=True, progress=False)
    samples, _ = soundfile.read(stereo, dtype="float32")
    assert len(whole.listen().original) == len(samples)


def test_an_overview_of_a_long_recording_is_heard(run, tmp_path):
    click = decoding.read(run.parent / "data" / "click" / "0.wav", 16_000).samples
    path = tmp_path / "long.wav"
    decoding.write_wav(path, np.tile(click, 62), 16_000)  # longer than two minutes
    found = explain(path, run, methods="occlusion:mask=50%,stride=50%", whole=True, progress=False)
    listening = found.listen(keep=0.2)
    assert len(listening.kept) == 62 * len(click)
    assert 0 < np.square(listening.kept).sum() < 0.9 * np.square(listening.original).sum()


def test_silence_in_a_file_has_no_score(run, tmp_path):
    """A box that holds nothing but digital silence: the sound in memory is scored, the file is no recording."""
    path = run.parent / "data" / tiny_run.SILENT_END
    found = listen(path, run, tmp_path, box="1.2-1.8,100-4000", level="own", progress=False).written[0]
    assert found.file_scores[1] is None
    assert read_json(found.sheet)["sounds"]["kept"]["scores_of_file"] is None
    assert sum(found.listening.scores["kept"].values()) == pytest.approx(1.0, abs=1e-6)
    assert found.file_scores[2] is not None


# ---- a run --------------------------------------------------------------------------------------------------------


def test_a_run_s_measures_are_written_and_repeat(run, tmp_path):
    found = listen_to_run(run, tmp_path / "a", methods=METHODS, seed=3, progress=False)
    sheet = read_json(found.sheet)
    assert [(each["method"], each["against"]) for each in sheet["measures"]][:4] == [
        ("gradcam", against) for against in ("", "random patch", "loudest patch", "band-pass")
    ]
    with found.table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(found.rows)
    # Every patch keeps what the map in its place keeps.
    areas = {}
    for each in found.rows:
        areas.setdefault((each.recording, each.method), set()).add(round(each.area, 3))
    assert all(len(each) == 1 for each in areas.values())
    again = listen_to_run(run, tmp_path / "b", methods=METHODS, seed=3, progress=False)
    assert again.sheet.read_bytes() == found.sheet.read_bytes()
    assert again.table.read_bytes() == found.table.read_bytes()


# ---- the command --------------------------------------------------------------------------------------------------


def test_the_command_writes_and_says(run, stereo, tmp_path):
    left = earwitness("listen", stereo, "--run", run, "--method", "gradcam", "--keep", "20%", "--out", tmp_path / "o")
    assert left.code == 0, left.err
    assert "strongest 20 % of gradcam by area" in left.out
    assert left.out.splitlines()[-1].startswith("Next: play ")
    assert len(list((tmp_path / "o").glob("*.wav"))) == 3


def test_explain_writes_sounds_beside_pictures(run, stereo, tmp_path):
    out = tmp_path / "o"
    left = earwitness("explain", stereo, "--run", run, "--method", "gradcam", "--no-verdicts", "--listen", "--out", out)
    assert left.code == 0, left.err
    assert {path.suffix for path in out.iterdir() if path.is_file()} >= {".png", ".npz", ".wav", ".json"}
    assert "removed" in left.out


def test_a_box_needs_no_model(stereo, tmp_path):
    left = earwitness("listen", stereo, "--box", "0.2-0.8,500-2000", "--format", "flac", "--out", tmp_path)
    assert left.code == 0, left.err
    assert {path.suffix for path in tmp_path.iterdir() if path.is_file()} == {".flac", ".json"}


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of pandas, in crowsetta
def test_what_is_kept_is_read_by_another_parser(run, stereo, tmp_path):
    crowsetta = pytest.importorskip("crowsetta", reason="crowsetta is not installed: an independent parser of Raven's")
    options = ("--export", "raven", "--export", "csv", "--export", "audacity", "--out", tmp_path)
    left = earwitness("listen", stereo, "--run", run, "--method", "gradcam", "--keep", "20%", *options)
    assert left.code == 0, left.err
    (sheet,) = tmp_path.glob("*.json")
    start, end = read_json(sheet)["seconds"]
    table = crowsetta.formats.bbox.Raven.from_file(sheet.with_suffix(".selections.txt"), annot_col="Annotation").df
    rows = read_csv(tmp_path / f"{sheet.stem}-regions.csv")
    assert len(table) == len(rows) > 0
    assert set(table["annotation"]) == {CLICK} == {row["label"] for row in rows}
    assert (table["begin_time_s"] >= start - 0.01).all()
    assert (table["end_time_s"] <= end + 1e-6).all()
    assert (table["low_freq_hz"] < table["high_freq_hz"]).all()
    # The map's strongest cell is in the first.
    found = explain(stereo, run, methods="gradcam", verdicts=False, progress=False)["gradcam"]
    frame, band = np.unravel_index(found.values.argmax(), found.values.shape)
    inside = (table["begin_time_s"] <= found.times[frame]) & (found.times[frame] <= table["end_time_s"])
    inside &= (table["low_freq_hz"] <= found.frequencies[band]) & (found.frequencies[band] <= table["high_freq_hz"])
    assert inside.any()
    assert 0.5 < sum(float(row["share"]) for row in rows) <= 1.0


def test_a_box_is_a_selection(stereo, tmp_path):
    asked = ("listen", stereo, "--box", "0.2-99,500-90000", "--out", tmp_path)
    left = earwitness(*asked, "--export", "audacity")
    assert left.code == 0, left.err
    (path,) = tmp_path.glob("*.labels.txt")
    assert f"\n  exported:  {path}\n" in left.out
    seconds = soundfile.info(stereo).duration
    assert path.read_text() == f"0.200000\t{seconds:.6f}\tbox (kept)\n\\\t500.000000\t22050.000000\n"
    wrong = earwitness(*asked, "--export", "svg")
    assert (wrong.code, wrong.err) == (2, "earwitness: --export svg: use csv, raven, audacity\n")


def test_a_box_beyond_the_recording_is_no_selection(stereo, tmp_path):
    written = listen(stereo, out=tmp_path, box="90-99,500-900", exports=["csv"], progress=False).written
    assert read_csv(tmp_path / f"{written[0].sheet.stem}-regions.csv") == []


def test_every_kept_cell_of_a_mask_is_in_a_region(explanation):
    for method in explanation.methods:
        mask = mask_of(explanation[method], explanation.answer.clock, 0.3)
        regions = kept_regions(mask)
        shares = [share for _, share in regions]
        assert shares == sorted(shares, reverse=True)
        middles = explanation[method].frequencies
        for frame, band in np.argwhere(mask.values >= 0.5):
            at, hertz = mask.times[frame], middles[band]
            assert any(
                box.start_seconds <= at <= box.end_seconds and box.low_hz <= hertz <= box.high_hz for box, _ in regions
            )


def test_a_run_without_a_file_is_measured(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    # Both maps keep the same area, so that one patch stands in the place of either.
    both = ("--method", "gradcam", "--method", "gradcam:relu=true")
    left = earwitness("listen", "--run", copy, *both, "--data", run.parent / "data")
    assert left.code == 0, left.err
    for words in ("random patch", "L-MAC", "listening.json", "Next: "):
        assert words in left.out
    assert left.out.count("random patch") == 4  # in two tables, and in the comparison
    assert (copy / "trust" / "listening.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--keep", "0%"], "is no share"),
        (["--keep", "lots"], "is no share"),
        (["--by", "volume"], "area, mass"),
        (["--level", "loud"], "matched, own"),
        (["--format", "mp3"], "wav, flac"),
        (["--box", "1-2"], "is no box"),
        (["--box", "0-1,100-200", "--method", "lime"], "a box is kept as it is"),
        (["--box", "0-1,100-200", "--keep", "20%"], "a box is kept as it is"),
        (["--seed", "3"], "is for all of a run"),
        (["--at", "99"], "name a moment"),
    ],
)
def test_a_wrong_request_is_one_line(run, stereo, tmp_path, arguments, says):
    left = earwitness("listen", stereo, "--run", run, "--out", tmp_path / "o", *arguments)
    assert left.code == 2
    (line,) = left.lines
    assert says in line
    assert not (tmp_path / "o").exists()


def test_moved_recordings_of_a_run_are_asked_for_as_inquire_does(run, tmp_path):
    left = earwitness("listen", "--run", str(run), "--data", str(tmp_path))
    assert left.code == 1
    assert "has gone missing since the run; put it back, or name the data's new place with --data" in left.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name a sound file, or --run RUN"),
        (["nowhere.wav", "--run", "RUN"], "does not exist"),
        (["--run", "RUN", "--at", "1"], "is for sound files"),
        (["--run", "RUN", "--format", "flac"], "is for sound files"),
    ],
)
def test_what_is_asked_of_nothing_is_refused(run, arguments, says):
    left = earwitness("listen", *[str(run) if each == "RUN" else each for each in arguments])
    assert left.code == 2
    assert says in left.err
