"""What the live page is told, by the functions that any run is asked by; over HTTP, but for the guard in front."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

import earwitness as ew
import tiny_run
from earwitness.audio.extraction import log_mel_of
from earwitness.core.files import read_csv
from earwitness.explainers.attribution import Attribution
from earwitness.inspection.files import score_file
from earwitness.models.prediction import score_recording
from earwitness.sonify.edits import Edit
from earwitness.sonify.masks import Box
from earwitness.web import asking, collection, glance, review_exports, shapes
from earwitness.web import studio as studio_module
from earwitness.web.app import make_app
from earwitness.web.arrays import columns_of
from earwitness.web.shown import unseen
from earwitness.web.studio import open_studio
from earwitness.web.table import ENDPOINTS, openapi
from earwitness.workflows import audit, inquire
from earwitness.workflows.what_if import hold

HELD = "click/0.wav"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    made = tiny_run.make(tmp_path_factory.mktemp("web"))
    inquire.inquire(made, segments=[f"{HELD}@0.00"], methods=["gradcam"], verdicts=False, progress=False)
    return made


@pytest.fixture(scope="module")
def studio(run):
    made = open_studio([run], device="cpu")
    yield made
    made.close()


@pytest.fixture(scope="module")
def page(studio):
    with TestClient(make_app(studio), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def base(page):
    (one,) = page.get("/api/session").json()["collections"]
    return f"/api/collections/{one['id']}"


def rows(page, base, **query):
    found = page.get(f"{base}/recordings", params=query)
    assert found.status_code == 200, found.text
    return found.json()["items"]


def place(page, base, name: str) -> str:
    (row,) = [row for row in rows(page, base) if row["name"] == name]
    return f"{base}/recordings/{row['id']}"


def array(response) -> np.ndarray:
    assert response.status_code == 200, response.text
    shape = [int(each) for each in response.headers["x-shape"].split(",")]
    return np.frombuffer(response.content, "<f4").reshape(shape)


def made(page, where: str, **question) -> dict:
    """Return a map, waiting for it."""
    answer = page.post(f"{where}/maps", json=question)
    assert answer.status_code in (200, 202), answer.text
    if answer.status_code == 200:
        return answer.json()["map"]
    told = page.get(f"/api/jobs/{answer.json()['job']['id']}/events").text
    last = json.loads([line for line in told.splitlines() if line.startswith("data: ")][-1][6:])
    assert last["state"] == "done", last
    return last["result"]["map"]


# ---- a collection -------------------------------------------------------------------------------------------------


def test_a_collection_is_what_the_run_is(page, studio, run):
    (one,) = page.get("/api/session").json()["collections"]
    classifier = ew.load_model(run, device="cpu").classifier
    assert one["classes"] == list(classifier.classes)
    assert one["recordings"] == 13
    clock = classifier.front_end.clock
    np.testing.assert_allclose(one["grid"]["band_centres_hz"], clock.band_centre_hz(np.arange(64)))
    assert len(one["grid"]["band_edges_hz"]) == 65
    assert {each["name"] for each in one["methods"] if each["default"]} == {"gradcam", "lime", "occlusion"}
    again = open_studio([run.parent], device="cpu")
    again.close()
    assert again.collections.keys() == studio.collections.keys()


def test_the_overview_holds_the_run_s_own_numbers(page, base, run):
    told = page.get(f"{base}/overview").json()
    metrics = json.loads((run / "metrics.json").read_text())
    assert told["accuracy"]["file"]["value"] == metrics["file_accuracy"]
    assert [told["accuracy"]["file"][end] for end in ("low", "high")] == list(metrics["intervals"]["file_accuracy"])
    assert told["confusion"] == metrics["confusion"]
    assert told["headline"].startswith(f"{round(metrics['file_accuracy'] * 13)} of 13")
    assert told["history"]["train_loss"][0] == 3.0
    assert told["history"]["validation_iteration"] == [20, 40]
    assert [each["kind"] for each in told["figures"]] == ["segments"]
    assert page.get(f"/api/figures/{told['figures'][0]['id']}").content.startswith(b"\x89PNG")
    assert told["warnings"] == ["The split cuts 2 <sources>."]


def test_the_overview_says_what_an_audit_found(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    studio = open_studio([copy], device="cpu")
    try:
        with TestClient(make_app(studio)) as page:
            place = f"/api/collections/{page.get('/api/session').json()['collections'][0]['id']}/overview"
            assert page.get(place).json()["audit"] is None
            found = audit.audit(copy, progress=False).audit.summary()
            assert page.get(place).json()["audit"] == found
    finally:
        studio.close()


def test_lists_are_filtered_sorted_and_cut(page, base, run):
    everything = rows(page, base)
    stored = {row["file"]: row for row in read_csv(run / "files.csv")}
    assert {row["name"]: row["predicted"] for row in everything} == {n: r["predicted"] for n, r in stored.items()}
    for row in everything:
        assert row["right"] == (row["label"] == row["predicted"])
        assert row["score"] == pytest.approx(float(stored[row["name"]]["mean_score"]), abs=1e-6)
    wrong = rows(page, base, show="wrong")
    assert [row["name"] for row in wrong] == [row["name"] for row in everything if not row["right"]]
    assert tiny_run.FAKE in [row["name"] for row in wrong]
    right = rows(page, base, show="right")
    assert [row["name"] for row in right] == [row["name"] for row in everything if row["right"]]
    assert len(right) == page.get(f"{base}/overview").json()["right"]
    assert rows(page, base, show="wrong", sort="surest-wrong")[0]["score"] == max(row["score"] for row in wrong)
    by_margin = [row["margin"] for row in rows(page, base, sort="margin", descending=1)]
    assert by_margin == sorted(by_margin, reverse=True)
    assert rows(page, base, offset=3, limit=2) == everything[3:5]
    assert {row["label"] for row in rows(page, base, label=tiny_run.CLASSES[1])} == {tiny_run.CLASSES[1]}
    assert [row["name"] for row in rows(page, base, text="SCRIPT")] == [tiny_run.EVIL]
    assert rows(page, base, show="not-reliable") == []
    assert [row["maps"] for row in everything if row["name"] == HELD] == [1]


def test_a_class_shows_its_typical_segments_and_those_that_contradict(page, base):
    told = page.get(f"{base}/classes/1").json()
    assert told["name"] == tiny_run.CLASSES[1]
    for each in told["typical"]:
        assert each["label"] == each["predicted"] == tiny_run.CLASSES[1]
    assert told["typical"] == sorted(told["typical"], key=lambda each: -each["score"])
    assert tiny_run.FAKE in [each["name"] for each in told["contradictory"]]
    for each in told["contradictory"]:
        assert each["label"] != each["predicted"]
        assert each["score"] > 1 / len(tiny_run.CLASSES)  # that of the class it is predicted as
    confused = page.get(f"{base}/classes/2", params={"predicted": tiny_run.CLASSES[1]}).json()["contradictory"]
    assert tiny_run.FAKE in [each["name"] for each in confused]
    assert {(each["label"], each["predicted"]) for each in confused} == {(tiny_run.CLASSES[2], tiny_run.CLASSES[1])}
    assert page.get(f"{base}/classes/2", params={"predicted": "elephant"}).status_code == 400
    for wrong in ("3", "-1", "one", "1e0", "\N{SUPERSCRIPT TWO}"):
        assert page.get(f"{base}/classes/{wrong}").status_code == 404


# ---- a recording --------------------------------------------------------------------------------------------------


def test_a_recording_is_what_the_model_says_of_the_file(page, base, run):
    model = ew.load_model(run, device="cpu")
    for name in (HELD, tiny_run.EVIL, tiny_run.SHORT):
        where, path = place(page, base, name), run.parent / "data" / name
        told, scored = page.get(where).json(), score_file(model.classifier, path, tail=False)
        assert (told["name"], told["seconds"], told["frames"]) == (name, scored.seconds, scored.real_frames)
        assert [each["class"] for each in told["scores"]] == [scored.classes[index] for index in scored.best(3)]
        np.testing.assert_allclose(array(page.get(f"{where}/scores")), scored.scores, atol=1e-5)
        drawn = array(page.get(f"{where}/log-mel", params={"columns": 8000}))
        np.testing.assert_allclose(drawn, log_mel_of(path, model.classifier.front_end), atol=1e-5)
        assert told["segments"]["count"] == len(scored.scores)
    assert told["next"] is None or told["previous"] is None or told["next"] != told["previous"]


@pytest.mark.parametrize(("frames", "told"), [(96, []), (97, []), (98, ["0.02 s"]), (143, ["0.47 s"]), (144, [])])
def test_the_end_that_no_segment_reaches_is_told_unless_it_is_a_single_frame(run, frames, told):
    model = ew.load_model(run, device="cpu")
    scored = score_recording(model.classifier, np.zeros((frames, 64), np.float32), tail=False)
    assert [each.split("its last ")[1].split(",")[0] for each in unseen(scored)] == told


def test_a_planted_tone_is_drawn_at_its_hertz_and_second(page, base, run):
    """Of the low tones the loudest band is that which holds their pitch, at every zoom."""
    where = place(page, base, "low/2@home.wav")
    grid = page.get("/api/session").json()["collections"][0]["grid"]
    for start, end, columns in ((0, 2, 500), (0.5, 1.0, 500), (0, 2, 7)):
        answer = page.get(f"{where}/log-mel", params={"start": start, "end": end, "columns": columns})
        band = int(array(answer).mean(axis=0).argmax())
        assert grid["band_edges_hz"][band] <= 260 <= grid["band_edges_hz"][band + 1]
        assert float(answer.headers["x-start-seconds"]) <= max(start, 0.01)
        assert float(answer.headers["x-end-seconds"]) >= end - 0.03


def test_a_sound_can_be_played_from_any_place(page, base, run):
    where = place(page, base, HELD)
    whole = page.get(f"{where}/sound")
    assert whole.headers["content-type"] == "audio/wav"
    part = page.get(f"{where}/sound", headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, whole.content[1000:2000])
    (run.parent / "played.wav").write_bytes(whole.content)
    played, rate = soundfile.read(run.parent / "played.wav")
    original, own = soundfile.read(run.parent / "data" / HELD)
    assert rate == own
    np.testing.assert_allclose(played, original, atol=1e-4)
    assert page.get(f"{where}/sound", headers={"Range": "bytes=99999999-"}).status_code == 416


def test_a_recording_that_has_gone_is_said(page, base, run):
    where = place(page, base, "hiss/2.wav")
    path = run.parent / "data" / "hiss" / "2.wav"
    aside = path.rename(path.with_suffix(".aside"))
    try:
        answer = page.get(f"{where}/thumbnail")
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("hiss/2.wav: has gone missing")
    finally:
        aside.rename(path)
    assert array(page.get(f"{where}/thumbnail")).shape[1] == 32


def test_a_recording_that_takes_long_is_there_while_it_is_scored(page, base, studio, monkeypatch):
    where, (one,) = place(page, base, "hiss/2.wav"), [each for each in studio.shown if each.kind == "run"]
    monkeypatch.setattr(collection, "AT_ONCE_SECONDS", 1.0)
    monkeypatch.setattr(collection, "HELD_SECONDS", 1.0)
    on = threading.Event()

    def busy(progress):
        with progress.task("Busy", None) as advance:
            while not on.wait(0.005):
                advance(0)

    one.worker.submit("busy", busy)
    try:
        told = page.get(where).json()
        job = told["scoring"]
        assert (job["state"], told["scores"], told["segments"]["count"]) == ("queued", [], 0)
        (row,) = [row for row in rows(page, base) if row["name"] == "hiss/2.wav"]
        assert told["predicted"] == row["predicted"]  # the run says it already
        assert page.get(where).json()["scoring"]["id"] == job["id"]
        refused = page.get(f"{where}/scores")
        assert (refused.status_code, refused.json()["error"].partition(":")[0]) == (503, "hiss/2.wav")
        early = page.get(f"{where}/log-mel", params={"columns": 50})
        assert array(page.get(f"{where}/waveform", params={"columns": 50})).shape == (50, 2)
        assert page.delete(f"/api/jobs/{job['id']}").json()["state"] == "cancelled"
        again = page.get(where).json()["scoring"]
        assert again["id"] != job["id"]
        studio.job(again["id"])[1].stop = True  # cancelled where it runs, it has not ended yet
        before, again = again, page.get(where).json()["scoring"]
        assert again["id"] != before["id"]
    finally:
        on.set()
    told = page.get(f"/api/jobs/{again['id']}/events").text
    assert '"state":"done"' in told
    scored = page.get(where).json()
    assert (scored["scoring"], scored["predicted"]) == (None, row["predicted"])
    late = page.get(f"{where}/log-mel", params={"columns": 50})
    assert early.headers["x-end-seconds"] == late.headers["x-end-seconds"]
    np.testing.assert_array_equal(array(early), array(late))
    assert array(page.get(f"{where}/scores")).shape[0] == scored["segments"]["count"] > 1


# ---- maps and sounds ----------------------------------------------------------------------------------------------


def test_a_map_that_the_run_holds_is_not_made_again(page, base, run, studio):
    where = place(page, base, HELD)
    (held,) = page.get(where).json()["maps"]
    (path,) = (run / "attributions").glob("*gradcam*.npz")
    stored = Attribution.load(path)
    np.testing.assert_array_equal(array(page.get(f"/api/maps/{held['id']}/values")), stored.native)
    np.testing.assert_allclose(held["time_edges"], stored.time_edges)
    answer = page.post(f"{where}/maps", json={"method": held["method"], "target": held["class"], "at": 0.48})
    assert (answer.status_code, answer.json()["map"]) == (200, held)
    assert (
        f"Evidence for {held['class']}" in held["text"]
        or "Nothing stands out" in held["text"]
        or "scattered" in held["text"]
    )


def test_a_recording_opens_with_the_segment_that_explain_takes(page, base, run):
    name = "click/2.wav"
    where, model = place(page, base, name), ew.load_model(run, device="cpu")
    taken = ew.explain(run.parent / "data" / name, model, methods="gradcam", verdicts=False, progress=False)[
        "gradcam"
    ].start_seconds
    told = page.get(where).json()
    assert told["surest"] == pytest.approx(taken, abs=1e-3)
    starts, half = told["segments"]["start_seconds"], told["segments"]["length_seconds"] / 2
    others = [start for start in starts if abs(start - taken) > 1e-3]
    for start in [*others, taken]:
        made(page, where, method="gradcam", target=told["predicted"], at=start + half)
    kept = page.get(where).json()["maps"]
    assert kept[0]["start_seconds"] == pytest.approx(taken, abs=0.05)
    assert len(kept) == len(starts) > 1


def test_a_map_is_that_of_the_library_and_is_kept_with_its_verdict(page, base, run):
    where, name = place(page, base, "hiss/1.wav"), "hiss/1.wav"
    found = made(page, where, method="lime:samples=64", target=tiny_run.CLASSES[1], at=0.9)
    assert found["verdict"] is None
    explained = ew.explain(
        run.parent / "data" / name,
        ew.load_model(run, device="cpu"),
        methods="lime:samples=64",
        classes=tiny_run.CLASSES[1],
        at=0.9,
        verdicts=False,
        progress=False,
    )["lime"]
    values = array(page.get(f"/api/maps/{found['id']}/values"))
    np.testing.assert_allclose(values, explained.native, atol=1e-4 * float(np.abs(explained.native).max()))
    judged = made(page, where, method="lime:samples=64", target=tiny_run.CLASSES[1], at=0.9, verdict=True)
    assert judged["id"] == found["id"]
    assert judged["verdict"]["level"] in ("reliable", "weak", "not reliable")
    np.testing.assert_array_equal(array(page.get(f"/api/maps/{found['id']}/values")), values)
    (row,) = [row for row in rows(page, base) if row["name"] == name]
    assert row["verdict"] == judged["verdict"]["level"]
    assert any(Attribution.load(path).verdict for path in (run / "attributions").glob("*.npz"))


def test_a_list_tells_the_verdict_of_the_map_that_a_recording_opens_with(page, base, run, studio):
    where, name = place(page, base, "low/1@home.wav"), "low/1@home.wav"
    told = page.get(where).json()
    half = told["segments"]["length_seconds"] / 2
    (shown,) = studio.shown
    question = {"method": "gradcam", "target": told["predicted"]}
    judged = made(page, where, **question, at=told["surest"] + half, verdict=True)
    verdict = Attribution.load(shown.shelf.named(judged["id"]).path).verdict
    for start in told["segments"]["start_seconds"]:
        found = made(page, where, **question, at=start + half)
        level = "weak" if found["id"] == judged["id"] else "not reliable" if start else "reliable"
        stored = Attribution.load(shown.shelf.named(found["id"]).path)
        shown.shelf.put(replace(stored, verdict={**verdict, "level": level}), "gradcam")
    (first, *others) = page.get(where).json()["maps"]
    assert first["verdict"]["level"] == "weak"
    assert {each["verdict"]["level"] for each in others} == {"reliable", "not reliable"}
    (row,) = [row for row in rows(page, base) if row["name"] == name]
    assert (row["verdict"], row["maps"]) == ("weak", 1 + len(others))
    assert name not in [row["name"] for row in rows(page, base, show="not-reliable")]


def test_advice_is_in_the_words_of_the_page(page, base):
    """A command's options help nobody here, but where settings are meant, which the page does not take."""
    advice = []
    for name in ("hiss/0.wav", HELD, "low/0@home.wav"):
        for method in ("lime:samples=64", "gradcam", "saliency"):
            judged = made(page, place(page, base, name), method=method, target=tiny_run.CLASSES[0], verdict=True)
            advice.append(judged["verdict"]["advice"])
    assert any(advice)
    for each in advice:
        assert not re.search("(?<!earwitness explain )--", each), each
        assert each.count("`") in (0, 2), each


def test_one_class_rather_than_another_and_all_of_a_recording(page, base):
    where = place(page, base, HELD)
    first, second = tiny_run.CLASSES[:2]
    found = made(page, where, method="saliency", target=first, against=second)
    assert (found["target"], found["class"], found["against"]) == (f"{first} rather than {second}", first, second)
    whole = made(page, where, method="whole")
    assert whole["whole"]
    assert whole["end_seconds"] - whole["start_seconds"] == pytest.approx(2.0, abs=0.05)
    assert made(page, where, method="whole")["id"] == whole["id"]


@pytest.mark.parametrize(
    ("question", "status", "words"),
    [
        ({"method": "no such"}, 400, "no such method"),
        ({"method": "lime:samples=-1"}, 400, "samples"),
        ({"method": "lime", "target": "elephant"}, 400, "no such class"),
        ({"method": "lime", "at": 99.0}, 400, "lasts 2.00 s"),
        ({"method": "lime", "at": -1.0}, 400, "does not fit"),
        ({"method": "lime", "surprise": 1}, 400, "surprise"),
        ({"method": 7}, 400, "does not fit"),
        ({}, 400, "method"),
    ],
)
def test_a_question_that_is_wrong_is_one_line(page, base, question, status, words):
    answer = page.post(f"{place(page, base, HELD)}/maps", json=question)
    assert (answer.status_code, answer.json().keys()) == (status, {"error"})
    assert words in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_what_is_heard_of_a_map_is_what_the_library_keeps(page, base, run):
    where = place(page, base, HELD)
    found = made(page, where, method="occlusion:fill=floor", target=tiny_run.CLASSES[0], at=0.5)
    told = page.post(f"{where}/listen", json={"map": found["id"], "keep": 0.25}).json()
    assert told["area"] == pytest.approx(0.25, abs=0.01)
    explained = ew.explain(
        run.parent / "data" / HELD,
        ew.load_model(run, device="cpu"),
        methods="occlusion:fill=floor",
        classes=tiny_run.CLASSES[0],
        at=0.5,
        verdicts=False,
        progress=False,
    )
    scores = explained.listen("occlusion:fill=floor", keep=0.25).scores
    for name in ("original", "kept", "removed"):
        for each in told["scores"][name]:
            assert each["score"] == pytest.approx(scores[name][each["class"]], abs=2e-3)
        assert page.get(told["sounds"][name]).content[:4] == b"RIFF"
    assert page.post(f"{where}/listen", json={"map": "0" * 16}).status_code == 404


def test_a_map_without_evidence_has_no_sound(page, base):
    where = place(page, base, tiny_run.SILENT_END)
    silent = made(page, where, method="gradcam", target=tiny_run.CLASSES[0], at=1.6)
    assert silent["flags"] == ["silent"]
    answer = page.post(f"{where}/listen", json={"map": silent["id"]})
    assert answer.status_code == 409
    assert "holds no sound" in answer.json()["error"]


# ---- what if ------------------------------------------------------------------------------------------------------


def test_an_edit_gives_the_library_s_scores_and_its_sound(page, base, run):
    where = place(page, base, "low/0@home.wav")
    edit = {"shape": "box", "start": 0.5, "end": 1.5, "low": 0, "high": 600}
    told = page.post(f"{where}/what-if", json={"edits": [edit], "sound": True}).json()
    held = hold(run.parent / "data/low/0@home.wav", ew.load_model(run, device="cpu"), tail=False)  # as the run cuts it
    wanted = held.what_if([Edit(Box.parse("0.5-1.5,0-600"))])
    assert {each["class"]: each["score"] for each in told["after"]} == pytest.approx(wanted.scores, abs=1e-5)
    assert {each["class"]: each["score"] for each in told["before"]} == pytest.approx(wanted.scores_before, abs=1e-5)
    (run.parent / "edited.wav").write_bytes(page.get(told["sound"]).content)
    heard, _ = soundfile.read(run.parent / "edited.wav")
    np.testing.assert_allclose(heard, wanted.samples[:, 0], atol=1e-4)
    lasso = {"shape": "lasso", "points": [[0.5, 0], [1.5, 0], [1.5, 600], [0.5, 600]], "action": "keep"}
    assert page.post(f"{where}/what-if", json={"edits": [lasso]}).status_code == 200


def scores(told) -> dict[str, float]:
    return {each["class"]: each["score"] for each in told}


@pytest.mark.parametrize("long", [False, True])
def test_an_edit_tells_the_scores_of_the_explained_segment_too(page, base, run, monkeypatch, long):
    name = "low/0@home.wav"
    where = place(page, base, name)
    starts = page.get(where).json()["segments"]["start_seconds"]
    edit = {"shape": "box", "start": 0.0, "end": starts[1], "low": 0, "high": 8000}
    if long:  # then the edit's surroundings alone are scored, which hold the segment or do not
        monkeypatch.setattr(asking, "MOST_EDITED_SECONDS", 1.9)
        monkeypatch.setattr(asking, "AROUND_SECONDS", 0.0)
    lane = array(page.get(f"{where}/scores"))
    classes = page.get("/api/session").json()["collections"][0]["classes"]
    for row, start in enumerate(starts):
        told = page.post(f"{where}/what-if", json={"edits": [edit], "segment": start}).json()["segment"]
        assert told["start_seconds"] == pytest.approx(start)
        assert scores(told["before"]) == pytest.approx(dict(zip(classes, lane[row], strict=True)), abs=2e-2)
        assert [each["class"] for each in told["before"]] == [each["class"] for each in told["after"]]
        if row == 0:
            assert told["before"] != told["after"]
        if start > edit["end"] + 0.3:
            assert told["before"] == told["after"]
    assert page.post(f"{where}/what-if", json={"edits": [edit]}).json()["segment"] is None


@pytest.mark.parametrize(
    "text",
    [
        '{"edits":[{"shape":"box","start":1,"end":0,"low":0,"high":9}]}',
        '{"edits":[{"shape":"box","start":NaN,"end":1,"low":0,"high":9}]}',
        '{"edits":[{"shape":"box","start":0,"end":1e999,"low":0,"high":9}]}',
        '{"edits":[{"shape":"box","start":"0","end":1,"low":0,"high":9}]}',
        '{"edits":[{"shape":"star"}]}',
        '{"edits":[{"shape":"lasso","points":[[0,0],[1,1]]}]}',
        '{"edits":[{"shape":"box","start":0,"end":1,"low":0,"high":9,"decibels":6}]}',
        '{"edits":[],"start":2,"end":1}',
        '{"edits":',
        "[]",
        "",
        "\xff",
    ],
)
def test_an_edit_that_is_none_is_refused(page, base, text):
    where = place(page, base, HELD)
    answer = page.post(f"{where}/what-if", content=text.encode("latin-1"), headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json().keys() == {"error"}


# ---- decisions ----------------------------------------------------------------------------------------------------


def test_decisions_and_findings_are_kept_and_can_be_undone(page, base, run, studio):
    where, name = place(page, base, "click/1.wav"), "click/1.wav"
    assert page.put(f"{where}/review", json={"decision": "unsure", "note": "a <b>note</b>"}).status_code == 200
    assert page.put(f"{where}/review", json={"decision": "wrong label"}).status_code == 200
    assert name not in [row["name"] for row in rows(page, base, show="unreviewed")]
    assert page.delete(f"{where}/review").json()["review"]["decision"] == "unsure"
    edit = {"shape": "box", "start": 0.0, "end": 1.0, "low": 0.0, "high": 8000.0}
    kept = page.post(f"{where}/findings", json={"title": "without the first second", "edits": [edit]}).json()
    assert kept["edits"][0]["end"] == 1.0
    assert [each["class"] for each in kept["before"]] == [each["class"] for each in kept["after"]]
    again = open_studio([run], device="cpu")  # as after the server was started anew
    try:
        with TestClient(make_app(again)) as other:
            told = other.get(where).json()
    finally:
        again.close()
    assert (told["review"]["decision"], told["review"]["note"]) == ("unsure", "a <b>note</b>")
    assert [each["id"] for each in told["findings"]] == [kept["id"]]
    saved = page.get(f"{base}/export", params={"format": "csv"})
    assert "reviews.csv" in saved.headers["content-disposition"]
    assert "without the first second" in saved.text
    assert page.get(f"{base}/export", params={"format": "raven"}).content
    assert page.delete(f"/api/findings/{kept['id']}").json() == {"removed": kept["id"]}
    assert page.delete(f"/api/findings/{kept['id']}").status_code == 404
    assert page.put(f"{where}/review", json={"decision": "perhaps"}).status_code == 400


def test_a_finding_s_map_is_told_in_words(page, base, run):
    where = place(page, base, HELD)
    found = made(page, where, method="lime:samples=64", target=tiny_run.CLASSES[0], against=tiny_run.CLASSES[2], at=0.9)
    whole = made(page, where, method="whole")
    starts = page.get(where).json()["segments"]
    kept = [
        page.post(f"{where}/findings", json={"title": str(number), "map": each}).json()["id"]
        for number, each in enumerate((found["id"], whole["id"], "0" * 16))
    ]
    told = review_exports.read(page.get(f"{base}/export", params={"format": "csv"}).text)
    part, all_of_it, gone = (row for row in told if row["kind"] == "finding")
    assert (part["method"], part["target_class"]) == ("LIME", found["target"])
    start, end = float(part["segment_start_seconds"]), float(part["segment_end_seconds"])
    assert start == pytest.approx(starts["start_seconds"][1], abs=1e-3)
    assert end - start == pytest.approx(starts["length_seconds"], abs=2e-3)
    assert "samples = 64; " in part["settings"]
    assert "grid = 7 x 7; " in part["settings"]
    assert all_of_it["method"] == "Occlusion sensitivity (all of the recording)"
    assert float(all_of_it["segment_end_seconds"]) == pytest.approx(2.0, abs=0.05)
    assert (gone["method"], gone["settings"]) == ("no longer kept", "")
    assert [row["map"] for row in (part, all_of_it, gone)] == [found["id"], whole["id"], "0" * 16]
    for each in kept:
        page.delete(f"/api/findings/{each}")


# ---- files that are sent, folders -----------------------------------------------------------------------------------


def test_a_file_that_is_sent_is_asked_about_like_any_other(page, base, run, monkeypatch, tmp_path):
    monkeypatch.setenv("EARWITNESS_HOME", str(tmp_path))
    data = (run.parent / "data" / HELD).read_bytes()
    answer = page.post("/api/uploads", content=data, headers={"X-File-Name": "..%2F..%2Fmy%20%3Cb%3Eclick.wav"})
    assert answer.status_code == 200, answer.text
    where = f"/api/collections/{answer.json()['collection']}/recordings/{answer.json()['recording']}"
    labelled = {each["id"]: each["labelled"] for each in page.get("/api/session").json()["collections"]}
    assert labelled == {base.rpartition("/")[2]: True, answer.json()["collection"]: False}
    told = page.get(where).json()
    assert (told["name"], told["label"]) == ("my <b>click.wav", None)
    original = page.get(place(page, base, HELD)).json()
    assert [each["score"] for each in told["scores"]] == pytest.approx([each["score"] for each in original["scores"]])
    assert made(page, where, method="gradcam")["class"] == original["predicted"]
    for content, words in ((b"", "is empty"), (b"RIFF nothing", "not a sound file"), (data[:3000], "my.wav: ")):
        refused = page.post("/api/uploads", content=content, headers={"X-File-Name": "my.wav"})
        assert refused.status_code == 422, refused.text
        assert words in refused.json()["error"]
        assert "/tmp" not in refused.json()["error"]


def sent(page, name: str, content: bytes) -> str:
    answer = page.post("/api/uploads", content=content, headers={"X-File-Name": name})
    assert answer.status_code == 200, answer.text
    return f"/api/collections/{answer.json()['collection']}/recordings/{answer.json()['recording']}"


def test_a_long_sound_that_is_sent_is_scored_when_it_is_opened(page, run, monkeypatch, tmp_path):
    monkeypatch.setenv("EARWITNESS_HOME", str(tmp_path))
    for module in (collection, studio_module):
        monkeypatch.setattr(module, "AT_ONCE_SECONDS", 1.0)
    where = sent(page, "long.wav", (run.parent / "data" / "hiss" / "1.wav").read_bytes())
    (row,) = [row for row in rows(page, where.partition("/recordings")[0]) if row["name"] == "long.wav"]
    assert (row["predicted"], row["segments"]) == (None, None)
    job = page.get(where).json()["scoring"]
    if job is not None:  # else it has been scored by now
        assert '"state":"done"' in page.get(f"/api/jobs/{job['id']}/events").text
    told = page.get(where).json()
    assert told["predicted"] in tiny_run.CLASSES
    assert told["scoring"] is None


def test_what_was_decided_about_a_sound_is_found_by_its_content(run, monkeypatch, tmp_path):
    monkeypatch.setenv("EARWITNESS_HOME", str(tmp_path))
    first, second = ((run.parent / "data" / name).read_bytes() for name in (HELD, "hiss/0.wav"))
    studios = []

    def opened():
        studios.append(open_studio([run], device="cpu"))
        return TestClient(make_app(studios[-1]))

    try:
        with opened() as page:
            where = sent(page, "mine.wav", first)
            assert not list(tmp_path.iterdir())  # nothing is kept of what nobody decided about
            page.put(f"{where}/review", json={"decision": "unsure", "note": "a tick?"})
            page.post(f"{where}/findings", json={"title": "it ticks"})
            kept = made(page, where, method="gradcam")
        with opened() as page:  # as after the server was started anew
            other = page.get(sent(page, "mine.wav", second)).json()
            assert (other["review"], other["findings"], other["maps"]) == (None, [], [])
            assert other["name"] == "mine.wav"
            again = sent(page, "another name.wav", first)
            told = page.get(again).json()
            assert (told["name"], told["review"]["note"]) == ("another name.wav", "a tick?")
            assert [each["title"] for each in told["findings"]] == ["it ticks"]
            assert told["maps"] == [kept]
            assert sent(page, "once more.wav", first) == again
            assert page.get(again).json()["name"] == "once more.wav"
            listed = rows(page, again.partition("/recordings")[0], sort="score")
            assert sorted(each["name"] for each in listed) == ["mine.wav", "once more.wav"]
    finally:
        for each in studios:
            each.close()


def test_a_folder_with_a_model_is_scored_and_shown(run, monkeypatch, tmp_path):
    monkeypatch.setenv("EARWITNESS_HOME", str(tmp_path))
    broken = run.parent / "data" / "hiss" / "broken.wav"
    broken.write_bytes(b"no sound")
    studio = open_studio([run.parent / "data"], ew.load_model(run, device="cpu"))
    try:
        with TestClient(make_app(studio)) as page:
            (one,) = page.get("/api/session").json()["collections"]
            where = f"/api/collections/{one['id']}"
            assert one["kind"] == "folder"
            until = time.monotonic() + 60
            while page.get(f"{where}/overview").json()["scoring"] is not None:
                assert time.monotonic() < until
                time.sleep(0.02)
            found = {row["name"]: row for row in rows(page, where)}
            assert found[HELD]["predicted"] == tiny_run.CLASSES[0]
            assert found["hiss/broken.wav"]["predicted"] is None
            told = page.get(f"{where}/overview").json()
            assert told["accuracy"] is None
            assert any("hiss/broken.wav" in line for line in told["warnings"])
            assert made(page, f"{where}/recordings/{found[HELD]['id']}", method="gradcam")["held"]
            assert list(tmp_path.rglob("*gradcam*.npz"))
    finally:
        studio.close()
        broken.unlink()


def test_a_recording_too_long_to_be_held_is_drawn_as_a_short_one_is(run, monkeypatch, tmp_path):
    monkeypatch.setenv("EARWITNESS_HOME", str(tmp_path))
    path, model = run.parent / "data" / HELD, ew.load_model(run, device="cpu")
    monkeypatch.setattr(collection, "HELD_SECONDS", 1.0)
    studio = open_studio([run.parent / "data"], model)
    try:
        (one,) = studio.collections.values()
        assert (one.is_long(HELD), one.is_long(tiny_run.SHORT)) == (True, False)
        assert one.log_mel(HELD) is None
        whole, clock = log_mel_of(path, model.classifier.front_end), model.classifier.front_end.clock
        for start, end, columns in ((0.0, None, 9), (0.0, None, 5000), (0.9, 1.1, 500)):
            drawn, wanted = one.drawn(HELD, start, end, columns), columns_of(whole, clock, start, end, columns)
            np.testing.assert_allclose(drawn.values, wanted.values, atol=1e-4)
            assert drawn.start_seconds == pytest.approx(wanted.start_seconds)
            assert drawn.end_seconds == pytest.approx(wanted.end_seconds)
        assert one.thumbnail(HELD).values.shape[1] == 32
        assert one.thumbnail(HELD).end_seconds == pytest.approx(float(clock.frame_edge_seconds(len(whole))))
        assert len(one.waveform(HELD, 0.0, None, 50).values) == 50
    finally:
        studio.close()


@pytest.mark.parametrize("wrong", ["nowhere", ""])
def test_what_is_not_there_is_said_before_anything_is_served(tmp_path, wrong):
    with pytest.raises(ew.UsageError, match=r"no such folder|holds no finished run"):
        open_studio([tmp_path / wrong], device="cpu")


# ---- the table ----------------------------------------------------------------------------------------------------


def test_every_answer_fits_its_description(page, base):
    where = place(page, base, HELD)
    for kind, path in (
        (shapes.Session, "/api/session"),
        (glance.Overview, f"{base}/overview"),
        (shapes.Rows, f"{base}/recordings"),
        (glance.ClassPage, f"{base}/classes/0"),
        (shapes.Recording, where),
    ):
        msgspec.json.decode(page.get(path).content, type=kind)
    described = page.get("/api/openapi.json").json()
    assert described == json.loads(json.dumps(openapi()))
    for one in ENDPOINTS:
        assert described["paths"][one.path][one.method.lower()]["summary"].endswith(".")
    names = set(described["components"]["schemas"])
    for reference in set(_references(described)):
        assert reference.rpartition("/")[2] in names


def _references(told):
    if isinstance(told, dict):
        for name, each in told.items():
            if name == "$ref":
                yield each
            else:
                yield from _references(each)
    elif isinstance(told, list):
        for each in told:
            yield from _references(each)


@pytest.mark.parametrize(
    "path", ["/api/nothing", "/api/collections/none/overview", "/etc/passwd", "/api/jobs/none/events"]
)
def test_what_is_not_there_is_one_line(page, path):
    answer = page.get(path)
    assert answer.status_code == 404
    assert answer.json().keys() == {"error"}
