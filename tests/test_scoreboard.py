"""The scoreboard: intervals, pairing with energy, choosing cases, running methods, tables and the figure."""

from __future__ import annotations

import csv
import importlib
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from torch import nn

import tiny_run
from earwitness.audio.frontend import VGGISH
from earwitness.cli import exit, text
from earwitness.cli.app import app
from earwitness.core.errors import UsageError
from earwitness.core.progress import Silent
from earwitness.models.classifier import Classifier
from earwitness.models.registry import backbone_named
from earwitness.plots import scoreboard, style
from earwitness.trust.metrics.localisation import TruthScores
from earwitness.trust.scoreboard import analytic, collect
from earwitness.trust.scoreboard.board import explainers, measure, run_scoreboard, verdicts
from earwitness.trust.scoreboard.collect import KNOWN, Gathered, choose
from earwitness.trust.scoreboard.ranking import ALL, SCORES, Record, standings
from earwitness.workflows import scoreboard as scorebook

PROJECT = Path(__file__).resolve().parents[1]
METHODS = ["layercam", "eigencam", "occlusion"]


def record(method: str, case: str, value: float, *, target: str = "a", kind: str = "k") -> Record:
    scores = TruthScores(**dict.fromkeys(SCORES, value))
    return Record(
        method=method,
        settings=method,
        family="f",
        kind=kind,
        case=case,
        target=target,
        level_db=math.nan,
        share=0.1,
        probability=0.9,
        without=0.1,
        flags=(),
        seconds=0.1,
        forwards=1,
        scores=scores,
    )


def only(found, **asked):
    (one,) = [each for each in found if all(getattr(each, name) == value for name, value in asked.items())]
    return one


# ---- standings ----------------------------------------------------------------------------------------------------


def test_difference_to_energy_is_paired():
    rng = np.random.default_rng(0)
    hardness = rng.uniform(0.2, 0.8, 30)
    records = [record("energy", str(n), h) for n, h in enumerate(hardness)]
    records += [record("better", str(n), h + 0.05) for n, h in enumerate(hardness)]
    found = standings(records)
    better = only(found, method="better", family=ALL, score="auroc")
    # The cases differ far more than the methods do: unpaired, the intervals overlap.
    assert better.low < only(found, method="energy", family=ALL, score="auroc").high
    assert better.over_energy == pytest.approx(0.05)
    assert better.beats_energy
    assert better.over_low == pytest.approx(0.05)


def test_interval_is_that_of_normal_theory_where_cases_are_many_and_normal():
    values = np.random.default_rng(3).normal(0.5, 0.1, 100)
    one = only(standings([record("m", str(n), v) for n, v in enumerate(values)]), family=ALL, score="mass")
    reach = 1.96 * values.std() / 10
    assert one.mean == pytest.approx(values.mean())
    assert (one.low, one.high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.1 * reach)


def test_targets_of_one_segment_are_drawn_together():
    values = np.random.default_rng(0).uniform(size=20)
    single = standings([record("m", str(n), v) for n, v in enumerate(values)])
    double = standings([record("m", str(n), v, target=t) for n, v in enumerate(values) for t in "ab"])
    first, second = (only(each, family=ALL, score="rank") for each in (single, double))
    assert (second.cases, second.segments, first.cases) == (40, 20, 20)
    assert (first.low, first.high) == pytest.approx((second.low, second.high))


def test_scores_that_are_none_do_not_count():
    records = [record("m", str(n), 0.5 if n < 10 else math.nan) for n in range(20)]
    assert only(standings(records), family=ALL, score="auroc").cases == 10
    assert standings([record("m", "1", math.nan)]) == []


def test_few_cases_have_no_interval_and_beat_nothing():
    records = [record(method, str(n), value) for n in range(4) for method, value in (("m", 1.0), ("energy", 0.0))]
    few = only(standings(records), method="m", family=ALL, score="auroc")
    assert math.isnan(few.low)
    assert not few.beats_energy
    assert few.row()["beats_energy"] == few.row()["low"] == ""


# ---- choosing cases -----------------------------------------------------------------------------------------------


def test_cases_are_taken_until_there_are_enough_and_counted():
    known = analytic.build("matched filter", cases=8)
    silent = [replace(case, log_mel=case.without) for case in known.cases[:3]]
    bench, tallies = choose(known.classifier, iter([[case] for case in [*silent, *known.cases]]), KNOWN, 4)
    assert [case.name for case, _, _ in bench.cases] == [case.name for case in known.cases[:4]]
    assert (tallies[0].judged, tallies[0].not_predicted) == (4, 3)
    assert "3 not predicted" in tallies[0].text()


def test_what_lacks_is_said(monkeypatch):
    monkeypatch.setattr(collect, "plant", lambda **_: [])
    monkeypatch.setattr(collect.analytic, "NETWORKS", {})
    deaf = Classifier(
        network=backbone_named("compact").build(2).eval(),
        front_end=VGGISH,
        classes=("cow", "pig"),
        backbone="compact",
        segment_frames=96,
        overlap=0.0,
    )
    found = collect.gather(deaf)
    assert found.benches == ()
    assert [note.split(":")[0] for note in found.notes] == [f"no {collect.MADE}", f"no {collect.RECORDED}"]
    assert "not those of the made sounds" in found.notes[0]
    assert "no recordings" in found.notes[1]


# ---- the whole way, on a network built by hand ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def board():
    benches, tallies = [], []
    for name in ("matched filter", "xor of two bands"):
        known = analytic.build(name, cases=5)
        bench, found = choose(known.classifier, iter([[case] for case in known.cases]), KNOWN, 5)
        benches.append(bench)
        tallies += found
    return measure(Gathered(tuple(benches), tuple(tallies), ("planted click: a note",)), METHODS)


def test_every_method_and_baseline_is_scored_on_every_case(board):
    assert len(board.records) == (len(METHODS) + 4) * 10
    assert len({(each.method, each.case) for each in board.records}) == len(board.records)


def test_method_that_is_right_beats_energy_and_one_that_follows_loudness_does_not(board):
    beat, rest = verdicts(board)
    assert "layercam" in beat
    assert "eigencam" in rest
    assert board.of()[0].method == "layercam"
    assert board.of(score="pointing")[0].mean == 1.0


def test_chance_scores_half(board):
    assert only(board.of(), method="random").mean == pytest.approx(0.5, abs=0.1)


def test_kept_maps_are_those_that_were_scored():
    known = analytic.build("matched filter", cases=2)
    kept = []
    records = run_scoreboard(
        known.classifier,
        [(case, 1.0, 0.0) for case in known.cases],
        explainers(["layercam"])[:1],
        keep=lambda case, attribution: kept.append((case.name, attribution.method)),
    )
    assert (
        kept
        == [(each.case, each.method) for each in records]
        == [("matched filter 0", "layercam"), ("matched filter 1", "layercam")]
    )


def test_words_say_who_does_not_beat_energy(board):
    said = text.scoreboard(board)
    assert "planted click: a note" in said
    assert "5 of 5 cases can be judged" in said
    assert "beat energy: layercam" in said
    assert "do not: eigencam" in said.replace("occlusion, eigencam", "eigencam")
    assert "energy (baseline)" in said


def test_written_tables_and_figure(board, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(PROJECT / "tools"))
    page_table = importlib.import_module("scoreboard").page_table
    scorebook.write(board, tmp_path / "out", {"run": None, "preset": "quick", "seed": 0})
    with (tmp_path / "out" / "cases.csv").open(encoding="utf-8", newline="") as stream:
        cases = list(csv.DictReader(stream))
    assert len(cases) == len(board.records)
    assert float(cases[0]["auroc"]) == pytest.approx(board.records[0].scores.auroc, abs=1e-6)
    page = page_table(tmp_path / "out" / "scoreboard.csv")
    assert page.splitlines()[0].startswith("| method | all (10) | known networks (10) |")
    assert "*energy* (baseline)" in page
    assert len({line.count("|") for line in page.splitlines()[2:]}) == 1
    first = (tmp_path / "out" / "scoreboard.png").read_bytes()
    style.save(scoreboard.scoreboard_chart(board), tmp_path / "again.png")
    assert first == (tmp_path / "again.png").read_bytes()


def test_figure_names_every_method_once(board):
    figure = scoreboard.scoreboard_chart(board, "pointing")
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert sorted(names) == sorted(
        [*METHODS, *(f"{name} (baseline)" for name in ("random", "energy", "centre", "edge"))]
    )
    assert len(figure.axes) == 2


# ---- what cannot be asked -----------------------------------------------------------------------------------------


def test_method_named_twice_is_refused():
    with pytest.raises(UsageError, match="named twice"):
        explainers(["lime", "lime:samples=64"])


def test_nothing_heard_is_said():
    with pytest.raises(UsageError, match="predicts none"):
        measure(Gathered((), ()))


@pytest.mark.parametrize("asked", [{"preset": "slow"}, {"methods": ("nonesuch",)}, {"mixtures": 1}])
def test_wrong_questions_are_refused_before_any_work(asked, tmp_path):
    with pytest.raises(UsageError, match=r"slow|nonesuch|--mixtures 1: two kinds take turns"):
        scorebook.scoreboard(out=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


def test_so_many_mixtures_are_gathered_as_are_asked_for(monkeypatch, tmp_path):
    class Asked(Exception):  # noqa: N818
        pass

    def gather(_classifier, _recordings, *, preset, **_others):
        raise Asked(preset.mixtures, preset.planted)

    monkeypatch.setattr(scorebook, "classifier_and_recordings", lambda *_: (SimpleNamespace(network=nn.Identity()), []))
    monkeypatch.setattr(scorebook, "gather", gather)
    quick = collect.PRESETS["quick"]
    for mixtures, expected in ((None, quick.mixtures), (24, 24)):
        with pytest.raises(Asked) as found:
            scorebook.scoreboard(out=tmp_path / "out", mixtures=mixtures)
        assert found.value.args == (expected, quick.planted)


def test_data_needs_a_run(tmp_path):
    with pytest.raises(UsageError, match="--data"):
        scorebook.scoreboard(out=tmp_path / "out", data=tmp_path)


def test_presets_name_every_method_with_settings_that_exist():
    for preset in collect.PRESETS.values():
        assert len(explainers(preset.methods())) == len(preset.methods()) + 4


# ---- the page and the command -------------------------------------------------------------------------------------


def test_page_keeps_what_stands_around_a_section(board, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(PROJECT / "tools"))
    tool = importlib.import_module("scoreboard")
    monkeypatch.setattr(tool, "PAGE", tmp_path / "page.md")
    (tmp_path / "page.md").write_text("# Title\n\nBefore.\n", encoding="utf-8")
    scorebook.write(board, tmp_path / "out", {"run": None, "preset": "quick", "mixtures": 24, "seed": 0})
    assert tool.main(["mn04", str(tmp_path / "out")]) == 0
    once = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert once.startswith("# Title\n\nBefore.\n\n<!-- begin mn04;")
    assert "- planted click: a note" in once
    assert "Preset `quick`, 24 mixtures of each source, seed 0." in once
    (tmp_path / "page.md").write_text(once + "After.\n", encoding="utf-8")
    assert tool.main(["mn04", str(tmp_path / "out")]) == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == once + "After.\n"
    assert tool.main([]) == 2


def test_command_prints_the_table_and_what_is_next(board, monkeypatch, tmp_path, capsys):
    asked = {}

    def score(run, **options):
        asked.update(options, run=run)
        return scorebook.ScoreboardResult(board, options["out"])

    monkeypatch.setattr(scorebook, "scoreboard", score)
    assert exit.run(app, ["scoreboard", "--out", str(tmp_path), "--method", "lime", "--preset", "full"]) == 0
    printed = capsys.readouterr().out
    assert "energy (baseline)" in printed
    assert printed.rstrip().endswith(f"Next: open {tmp_path / 'scoreboard.png'}")
    assert (asked["run"], asked["methods"], asked["preset"]) == (None, ("lime",), "full")


def test_run_whose_recordings_are_gone_is_told_so(tmp_path):
    run = tiny_run.make(tmp_path)
    said = []

    class Says(Silent):
        def say(self, line):
            said.append(line)

    (tmp_path / "data").rename(tmp_path / "moved")
    classifier, recordings = scorebook.classifier_and_recordings(run, None, "cpu", 0, Says())
    assert (classifier.classes, recordings) == (tiny_run.CLASSES, [])
    assert "--data" in said[0]
    with pytest.raises(UsageError, match=r"none of the run's recordings, such as click/0\.wav"):
        scorebook.classifier_and_recordings(run, tmp_path / "empty", "cpu", 0, Says())
    _, recordings = scorebook.classifier_and_recordings(run, tmp_path / "moved", "cpu", 0, Says())
    assert {each.name: each.label for each in recordings}[tiny_run.EVIL] == tiny_run.CLASSES[1]
    assert all(each.path.is_file() for each in recordings)
