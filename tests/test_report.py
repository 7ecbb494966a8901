from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tiny_run
from earwitness.core import files
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.core.progress import Plain
from earwitness.core.run_folder import RunFolder
from earwitness.explainers.registry import METHODS, parse
from earwitness.inspection import questions
from earwitness.inspection.answers import answer
from earwitness.inspection.run import open_run
from earwitness.plots import gallery
from earwitness.report import contents, pictures
from earwitness.report import glossary as words
from earwitness.report.page import build_report
from earwitness.training import metrics
from earwitness.training.metrics import ClassMetrics, ClassScores, Confusion, Intervals, Metrics, Tie
from earwitness.workflows.audit import audit

CLICK, HISS, LOW = tiny_run.CLASSES


class Page(HTMLParser):
    """What a browser would find: pictures, links, resources, tags, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> Path:
    """A run with every kind of inquiry made."""
    path = tiny_run.make(tmp_path_factory.mktemp("asked"))
    opened = open_run(path)
    methods = [parse("gradcam"), parse("occlusion:mask=50%,stride=50%")]
    for question in (
        questions.recordings(opened.predictions),
        questions.samples(opened.predictions, count=99),
        questions.surest(opened.predictions),
        questions.of_class(opened.predictions, HISS, count=2),
        questions.confusion(opened.predictions, true=LOW, predicted=HISS, count=1),
        questions.confusion(opened.predictions, true=HISS, predicted=LOW),
        *questions.misclassified(opened.predictions).values(),
    ):
        gallery.add(opened.folder, answer(opened, question, methods, verdicts=False))
    build_report(path)
    return path


@pytest.fixture
def run(asked, tmp_path) -> Path:
    shutil.copytree(asked, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def text(asked) -> str:
    return (asked / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


# ---- one page that needs nothing ----------------------------------------------------------------------------------


def test_nothing_is_fetched_and_nothing_is_run(page, text):
    resources = [
        value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "srcset")
    ]
    assert resources
    assert all(value.startswith("data:image/") for value in resources)
    assert all(attributes["href"].startswith("#") for attributes in page.of("a"))
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert "@import" not in text
    (policy,) = [each["content"] for each in page.of("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy


def test_it_fits_a_phone(page, text):
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.of("meta")
    assert "prefers-color-scheme: dark" in text
    # Every table scrolls in a box of its own.
    assert len(page.of("table")) == sum(each.get("class") == "scroll" for each in page.of("div"))


def test_the_page_is_well_formed(text):
    assert text.startswith("<!DOCTYPE html>\n<html lang=")
    assert text.endswith("</html>\n")
    for tag in ("section", "figure", "table", "thead", "tbody", "tr", "th", "td", "div", "p", "h2", "h3", "details"):
        assert len(re.findall(rf"<{tag}[ >]", text)) == text.count(f"</{tag}>"), tag


def test_links_lead_somewhere(page):
    targets = {attributes["id"] for _, attributes in page.tags if attributes.get("id")}
    links = [attributes["href"].removeprefix("#") for attributes in page.of("a")]
    assert "evidence" in links
    assert set(links) <= targets
    assert len(targets) == len([1 for _, attributes in page.tags if attributes.get("id")])


def test_it_is_small(asked):
    assert (asked / "report.html").stat().st_size < 10_000_000


def test_the_same_folder_gives_the_same_bytes(run):
    before = (run / "report.html").read_bytes()
    figures = {path.name: path.read_bytes() for path in (run / "figures").iterdir()}
    build_report(run)
    assert (run / "report.html").read_bytes() == before
    assert {path.name: path.read_bytes() for path in (run / "figures").iterdir()} == figures


# ---- what it says -------------------------------------------------------------------------------------------------


def test_an_audit_is_shown_where_there_is_one_and_asked_for_where_there_is_none(page, asked, tmp_path):
    assert "Not tested yet: earwitness audit" in " ".join(page.text.split())
    copy = tmp_path / "copy"
    shutil.copytree(asked, copy)
    found = audit(copy).audit
    text = build_report(copy).read_text(encoding="utf-8")
    assert "Not tested yet" not in text
    said = " ".join(Page(text).text.split())
    assert found.summary() in section(text, "result")
    for each in found.effects:
        assert each.question in said
        assert each.sentence() in said
    assert "audit" in {entry.kind for entry in gallery.read(RunFolder(copy)) if entry.file}
    assert text.count("<img") == len([entry for entry in gallery.read(RunFolder(copy)) if entry.file])


def test_every_picture_is_there_with_words(page, asked):
    entries = gallery.read(RunFolder(asked))
    drawn = [entry for entry in entries if entry.file]
    assert {entry.kind for entry in drawn} == set(gallery.KINDS) - {"audit"}
    shown = page.of("img")
    assert [each["alt"] for each in shown] == sorted((each.alt for each in drawn), key=[e["alt"] for e in shown].index)
    assert len(shown) == len(drawn)
    for entry in drawn:
        assert entry.alt
        assert entry.reading in page.text
        with Image.open(asked / "figures" / entry.file) as picture:
            assert any(
                (each["alt"], each["width"], each["height"]) == (entry.alt, str(picture.width), str(picture.height))
                for each in shown
            )


def test_an_answer_of_none_is_told(page):
    assert f"There is none: no segment of {HISS} was predicted as {LOW}." in page.text


def test_the_recipes_numbers_are_folded_away_and_complete(page, text, asked):
    recipe = files.read_json(asked / "run.json")["recipe"]
    for name in recipe:
        assert contents.in_words(name) in page.text
        assert (
            contents.in_words(name) not in text[text.index('<section id="settings"') : text.index('<section id="run"')]
        )


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        ({"label_smoothing": 0.1, "augmentation": {"shift": True}}, "(label smoothing) and its segments"),
        ({"label_smoothing": 0.0, "augmentation": {"shift": False, "gain_db": 0.0}}, ""),
        ({}, ""),
    ],
)
def test_a_training_loss_that_is_no_match_for_the_validations_is_explained(recipe, why):
    row = {"iteration": "9", "epoch": "2", "seconds": "3", "validation_accuracy": "0.9", "validation_loss": "0.3"}
    told = contents.training_words([row], recipe)
    assert (why in told) if why else "cannot be held" not in told


def test_names_are_text_and_never_markup(page, text):
    assert "<script" not in text.lower()
    assert "<b>" not in re.sub(r"<b>\d", "", text)
    assert "<i>" not in text
    for name in (
        CLICK,
        HISS,
        LOW,
        "low/<i>broken.wav",
        "is not audio & more",
        "my <data>",
        "The split cuts 2 <sources>.",
    ):
        assert name in page.text
    assert any(tiny_run.EVIL in (each["alt"] or "") for each in page.of("img"))


def test_the_numbers_are_those_of_the_run(page, asked):
    metrics = files.read_json(asked / "metrics.json")
    assert f"{100 * metrics['segment_accuracy']:.1f}\N{NARROW NO-BREAK SPACE}%" in page.text
    right = round(metrics["file_accuracy"] * metrics["files"])
    assert (
        f"Of {metrics['files']} recordings that were kept out of the training, {right} were predicted right"
        in page.text
    )
    low, high = metrics["intervals"]["file_accuracy"]
    assert f"between {contents.percent(low)} and {contents.percent(high)}" in page.text
    assert f"{LOW} is taken for {HISS}" in page.text
    assert tiny_run.FAKE in page.text


def test_the_headline_of_a_perfect_run_finds_no_confusion():
    def by_segment(f1, support=3):
        return ClassMetrics(ClassScores(None, None, f1, support), ClassScores(None, None, f1, support))

    measured = Metrics(
        files=4,
        segments=9,
        segment_accuracy=1.0,
        file_accuracy=1.0,
        file_accuracy_mean_score=1.0,
        confidence=0.95,
        intervals=Intervals((0.5, 1.0), (0.5, 1.0)),
        per_class={"a": by_segment(None), "b": by_segment(1.0)},
        confusion=Confusion(("a", "b"), ((5, 0), (0, 4)), ((2, 0), (0, 2))),
        ties=(Tie("x", "a"),),
    )
    told = contents.headline(measured)
    sentences = told["sentences"]
    assert told["lead"] == "4 of 4 recordings are predicted right. No segment was misclassified."
    assert told["others"] == []
    per_class = {"a": by_segment(1.0), "b": by_segment(0.4), "c": by_segment(1.0), "d": by_segment(0.0, support=0)}
    told = contents.headline(replace(measured, per_class=per_class))["sentences"]
    assert any(line.startswith("It recognises a and 1 other best (F1 100.0") and "and b worst" in line for line in told)
    assert "1 vote ended in a tie, which the higher mean score decided." in sentences
    assert not any("worst" in sentence for sentence in sentences)


def section(text: str, name: str) -> str:
    """The words of one section of the page."""
    found = re.search(rf'<section id="{name}">.*?</section>', text, re.DOTALL)
    assert found
    return " ".join(Page(found[0]).text.split())


def test_the_answer_comes_first_and_numbers_last(text, page):
    order = ["result", "evidence", "audit", "classes", "confusions", "data", "training", "settings", "run"]
    assert re.findall(r'<section id="(\w+)">', text) == order
    assert [each["href"] for each in page.of("a")][: len(order)] == [f"#{name}" for name in order]


def test_the_answer_tells_how_many_of_the_misclassified_segments_are_silent(run):
    rows = files.read_csv(run / "predictions.csv")
    wrong = [row for row in rows if row["label"] != row["predicted"]]
    (most, count), *_ = Counter((row["label"], row["predicted"]) for row in wrong).most_common()
    confused = [row for row in wrong if (row["label"], row["predicted"]) == most]
    assert count > 2

    def told(*shares: str) -> str:
        for row in rows:
            row["silent"] = "0"
        for row, share in zip(confused, shares, strict=False):
            row["silent"] = share
        files.write_csv(run / "predictions.csv", list(rows[0]), [list(row.values()) for row in rows])
        return section(build_report(run).read_text(encoding="utf-8"), "result")

    files_of = len({row["file"] for row in confused})
    start = f"{most[0]} is taken for {most[1]}: {count} segments of {files_of} recording{'s' * (files_of > 1)}"
    both = told("1", "0.5", "0.4999")
    assert f"Most often, {start}; of these segments, 1 is digital silence and 1 more is at least half silent." in both
    assert f"Of all {len(wrong)} misclassified segments, 1 is digital silence and 1 more" in both
    assert f"{start}; of these segments, 2 are at least half silent." in told("0.9", "0.5")
    total = f"Of all {len(rows)} segments, 1 is digital silence and 1 more is at least half silent; "
    assert f"{total}predicted right of these: 0 of 2." in both
    twice = told("1", "1")
    assert "2 are digital silence; predicted right of these: 0 of 2; of the 2 without any sound, 2 were" in twice
    none = told()
    assert f"{start}." in none
    assert f"All {len(rows)} segments hold sound: none is so much as half silent." in none
    assert "misclassified segments" not in none
    next(row for row in rows if row["label"] == row["predicted"])["silent"] = "0.7"
    files.write_csv(run / "predictions.csv", list(rows[0]), [list(row.values()) for row in rows])
    one = section(build_report(run).read_text(encoding="utf-8"), "result")
    assert f"Of all {len(rows)} segments, 1 is at least half silent; predicted right of these: 1 of 1." in one
    assert "None of the misclassified segments is so much as half silent." in one
    for row in rows:
        del row["silent"]
    files.write_csv(run / "predictions.csv", list(rows[0]), [list(row.values()) for row in rows])
    older = section(build_report(run).read_text(encoding="utf-8"), "result")
    assert f"{start}." in older
    assert "silent" not in older


@pytest.mark.parametrize(
    ("share", "text"), [(None, "\N{EN DASH}"), (0.0, "0.0 %"), (0.8603, "86.0 %"), (1.0, "100.0 %")]
)
def test_percent(share, text):
    assert contents.percent(share) == text.replace(" ", "\N{NARROW NO-BREAK SPACE}")


@pytest.mark.parametrize("root", ["/home/somebody/sounds", "C:\\Users\\somebody\\sounds"])
def test_absolute_paths_are_told_only_when_asked(run, root):
    separator = root[-7]
    settings = files.read_json(run / "run.json")
    weights, out = (f"{root}{separator}{name}" for name in ("tagger.pt", "first run"))
    settings["command"] = ["earwitness", "run", root, f"--weights={weights}", "--out", out, "--data", "../relative"]
    settings["data"]["path"] = root
    settings["weights"]["source"] = weights
    settings["split"]["warnings"] = [f"{root}{separator}list.csv: names a file twice"]
    files.write_json(run / "run.json", settings)
    files.write_csv(run / "quarantine.csv", ["file", "reason"], [["a.wav", f"is a copy of {root}{separator}b.wav"]])
    text = Page(build_report(run).read_text(encoding="utf-8")).text
    assert "somebody" not in text
    assert str(run) not in text
    assert "earwitness run sounds --weights=tagger.pt --out 'first run' --data ../relative" in text
    assert f"is a copy of sounds{separator}b.wav" in text
    assert f"sounds{separator}list.csv: names a file twice" in text
    full = Page(build_report(run, paths=True).read_text(encoding="utf-8")).text
    assert f"{root} (13 recordings" in full
    assert all(each in full for each in (weights, out, f"is a copy of {root}"))


def test_the_row_of_a_misclassified_recording_leads_to_its_picture(page, asked, run):
    wrong = {row["file"] for row in files.read_csv(asked / "files.csv") if row["label"] != row["predicted"]}
    assert tiny_run.FAKE in wrong
    entries = [each for each in gallery.read(RunFolder(asked)) if each.kind == "misclassified"]
    assert len(entries) == len(wrong)
    links = {each["href"].removeprefix("#") for each in page.of("a")}
    assert {each.name for each in entries} <= links
    assert all(any(each.title.startswith(f"{file}: ") for each in entries) for file in wrong)
    # Those without a picture are named all the same, and what would explain them.
    files.write_json(
        run / "figures" / "index.json",
        [each for each in files.read_json(run / "figures" / "index.json") if each["name"] != entries[0].name],
    )
    fewer = build_report(run).read_text(encoding="utf-8")
    assert f'href="#{entries[0].name}"' not in fewer
    assert tiny_run.FAKE in section(fewer, "confusions")
    assert ("earwitness inquire RUN --segment FILE" in section(fewer, "confusions")) == (len(entries) > 1)


def test_the_likely_cause_stands_in_the_row_and_over_the_figure(page, text, asked, run):
    told = page.of("p").count({"class": "cause"})
    entries = [each for each in gallery.read(RunFolder(asked)) if each.kind == "misclassified"]
    assert told == len(entries) > 0
    sentence = next(iter(re.findall(r'<p class="cause">(.*?)</p>', text)))
    assert text.count(f'<td data-head="likely cause">{sentence}</td>') == 1
    assert len(re.findall(r'data-head="likely cause">[^<]+\.</td>', text)) == len(entries)
    # A recording that another evaluation predicts right keeps its figure, which says nothing of a cause.
    rows = files.read_csv(run / "files.csv")
    for row in rows:
        row["predicted"] = row["label"]
    files.write_csv(run / "files.csv", list(rows[0]), [list(row.values()) for row in rows])
    assert 'class="cause"' not in build_report(run).read_text(encoding="utf-8")


def test_without_predictions_no_cause_is_made_up(run):
    (run / "predictions.csv").unlink()
    built = build_report(run).read_text(encoding="utf-8")
    assert "likely cause" not in built
    assert 'class="cause"' not in built
    assert tiny_run.FAKE in section(built, "confusions")


def test_every_class_has_an_interval_of_its_recall_by_recording(text, asked, run):
    measured = metrics.read(RunFolder(asked))
    shown = re.findall(r'data-head="95 % interval" class="n">([^<]*)<', text)
    assert len(shown) == len(measured.per_class)
    for cell, each in zip(shown, measured.per_class.values(), strict=True):
        low, high = (float(end.rstrip("\N{NARROW NO-BREAK SPACE}%")) / 100 for end in cell.split(" to "))
        assert low - 0.01 <= each.files.recall <= high + 0.01
        assert high - low > 0.2  # a handful of recordings
    stored = files.read_json(run / "metrics.json")
    stored["per_class"][CLICK]["files"] = {"precision": None, "recall": None, "f1": None, "support": 0}
    files.write_json(run / "metrics.json", stored)
    none = build_report(run).read_text(encoding="utf-8")
    assert re.findall(r'data-head="95 % interval" class="n">([^<]*)<', none) == [contents.DASH, *shown[1:]]


def test_what_was_held_out_chose_nothing(text, asked):
    said = section(text, "result")
    measured = metrics.read(RunFolder(asked))
    assert f"Of 13 recordings, {measured.files} were held out (the first part of each class" in said
    assert "They chose nothing in this training" in said
    assert "recipe best" not in said
    settings = files.read_json(asked / "run.json") | {"recipe_name": "best"}
    assert contents.held_out_words(settings, measured).endswith("folds 3 and 4 of ESC-10.")


def glossary(page: str) -> list[str]:
    found = re.search(r"<summary>What the words mean</summary>.*?</details>", page, re.DOTALL)
    return re.findall(r'<th scope="row">([^<]*)</th><td>[^<]{50,250}</td>', found[0]) if found else []


def test_the_methods_and_scores_of_the_page_are_explained_and_no_others(text, run):
    assert glossary(text) == ["Grad-CAM", "Occlusion sensitivity", "probability", "logit", "log-odds"]
    (run / "attributions" / "damaged.npz").write_bytes(b"PK")
    opened = open_run(run)
    asked_for = questions.of_class(opened.predictions, HISS, count=1)
    gallery.add(opened.folder, answer(opened, asked_for, [parse("saliency:score=probability")], verdicts=False))
    more = ["Grad-CAM", "Saliency", "Occlusion sensitivity", "probability", "logit", "log-odds"]
    assert glossary(build_report(run).read_text(encoding="utf-8")) == more
    # What is no longer shown is not explained, though its maps are still there.
    index = run / "figures" / "index.json"
    files.write_json(index, [each for each in files.read_json(index) if each["kind"] == "class"])
    assert glossary(build_report(run).read_text(encoding="utf-8")) == ["Saliency", "probability"]
    files.write_json(index, [])
    assert glossary(build_report(run).read_text(encoding="utf-8")) == []


def test_every_method_and_kind_of_score_has_its_words():
    assert {method.family for method in METHODS.values()} == set(words.FAMILIES)
    assert set(words.SCORES) == {parse(name).score for name in METHODS} | {"probability"}


# ---- what may be missing ------------------------------------------------------------------------------------------


def test_a_run_without_inquiries_has_a_report(run):
    shutil.rmtree(run / "figures")
    (run / "quarantine.csv").unlink()
    (run / "history.csv").unlink()
    page = Page(build_report(run).read_text(encoding="utf-8"))
    assert len(page.of("img")) == 3
    assert "What it listened to" not in page.text
    assert "None: every file could be used." in page.text
    assert "holds no training history" in page.text


def test_an_unfinished_run_has_none(run):
    (run / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="unfinished"):
        build_report(run)


@pytest.mark.parametrize("name", ["run.json", "metrics.json", "files.csv"])
def test_what_is_missing_is_named(run, name):
    (run / name).unlink()
    before = (run / "report.html").read_bytes()
    with pytest.raises(EarwitnessError, match=name):
        build_report(run)
    assert (run / "report.html").read_bytes() == before


def test_a_run_of_another_version_is_said_to_be_so(run):
    files.write_json(run / "run.json", {"backbone": "compact"})
    with pytest.raises(EarwitnessError, match=r"do not fit this version \(\w+ is missing\)"):
        build_report(run)


def test_a_missing_picture_is_told_on_the_page(run):
    (run / "figures" / "samples.png").unlink()
    page = Page(build_report(run).read_text(encoding="utf-8"))
    assert "The picture figures/samples.png is missing" in page.text


def test_a_picture_that_is_none_is_an_error(run):
    (run / "figures" / "samples.png").write_bytes(b"<svg onload=alert(1)>")
    with pytest.raises(EarwitnessError, match=r"samples\.png: is not a readable PNG"):
        build_report(run)


def test_drawing_counts_its_pictures_and_says_what_it_replaced(run, capsys):
    opened = open_run(run)
    methods = [parse("gradcam"), parse("occlusion:mask=50%,stride=50%")]
    same = answer(opened, questions.of_class(opened.predictions, HISS, count=2), methods, verdicts=False)
    other = replace(same, methods=("Grad-CAM", "Another"))
    assert gallery.add_all(RunFolder(run), [same], Plain(verbose=True)) == [run / "figures" / f"{same.name}.png"]
    assert "took the place" not in capsys.readouterr().err
    gallery.add_all(RunFolder(run), [other], Plain(verbose=True))
    said = capsys.readouterr().err
    assert said.startswith("Drawing: 1 done in ")
    assert f"{same.name}.png took the place of an earlier answer" in said


def test_verdicts_fold_out_under_their_picture(run):
    reason = {"text": "hiding its <cells> breaks nothing", "good": False}
    found = {"level": "weak", "chance": 0.42, "reasons": [reason], "signs": {}}
    opened = open_run(run)
    told = answer(opened, questions.of_class(opened.predictions, HISS, count=2), [parse("gradcam")], verdicts=False)
    findings = tuple(
        replace(
            each, attributions=tuple(tuple(replace(one, verdict=found) for one in row) for row in each.attributions)
        )
        for each in told.findings
    )
    gallery.add(RunFolder(run), replace(told, findings=findings))
    build_report(run)
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    assert "Can these maps be believed? Grad-CAM: 2 weak." in page.text
    assert page.text.count("says how far it may be believed") == 1
    lines = [line for line in page.text.splitlines() if f"Grad-CAM for {HISS}: weak" in line]
    assert len(lines) == 2
    assert all(line.endswith("hiding its <cells> breaks nothing") for line in lines)
    assert page.text.count("Grad-CAM: ask another method and compare: --method ") == 1
    index = run / "figures" / "index.json"
    older = [
        {k: v for k, v in entry.items() if k not in ("verdicts", "advice", "counts")}
        for entry in files.read_json(index)
    ]
    files.write_json(index, older)
    assert all(not entry.verdicts and not entry.advice for entry in gallery.read(RunFolder(run)))


@pytest.mark.parametrize(
    "index", ["[{}]", "{", '[{"name": 1}]', "OUTSIDE", "UNKNOWN"], ids=["empty", "cut", "part", "outside", "unknown"]
)
def test_a_damaged_index_is_named_and_nothing_outside_is_read(run, index):
    path = run / "figures" / "index.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    if index in ("OUTSIDE", "UNKNOWN"):
        stored[0] |= {"file": "../run.json"} if index == "OUTSIDE" else {"kind": "poem"}
        index = json.dumps(stored)
    path.write_text(index, encoding="utf-8")
    with pytest.raises(EarwitnessError, match=r"index\.json"):
        build_report(run)


def test_long_lists_are_cut_and_say_where_the_rest_is(run):
    files.write_csv(run / "quarantine.csv", ["file", "reason"], [[f"{number}.wav", "empty"] for number in range(250)])
    page = Page(build_report(run).read_text(encoding="utf-8"))
    assert "99.wav" in page.text
    assert "100.wav" not in page.text
    assert "150 more stand in quarantine.csv." in " ".join(page.text.split())


# ---- the budget of pictures ---------------------------------------------------------------------------------------


def noise(run: RunFolder, count: int) -> list[gallery.Entry]:
    run.figures.mkdir(parents=True)
    random = np.random.default_rng(0)
    entries = []
    for number in range(count):
        values = random.integers(0, 255, (100, 100, 3)).astype(np.uint8)
        Image.fromarray(values).save(run.figures / f"{number}.png")
        entries.append(
            gallery.Entry(
                name=str(number), kind="samples", title="t", question="q", file=f"{number}.png", reading="r", alt="a"
            )
        )
    return entries


def test_within_the_budget_pictures_stay_as_they_are(tmp_path):
    run = RunFolder(tmp_path)
    entries = noise(run, 2)
    shown = pictures.embed(run, entries)
    assert all(each.source.startswith("data:image/png") for each in shown)
    assert (shown[0].width, shown[0].height) == (100, 100)


def test_beyond_the_budget_they_shrink_and_then_are_named(tmp_path):
    run = RunFolder(tmp_path)
    entries = noise(run, 6)
    budget = (run.figures / "0.png").stat().st_size // 2
    shown = pictures.embed(run, entries, budget)
    inside = [each for each in shown if each.source]
    assert 0 < len(inside) < 6
    assert all(each.source.startswith("data:image/webp") for each in inside)
    assert sum(len(each.source) * 3 // 4 for each in inside) < budget + 200
    assert [each.absence for each in shown if not each.source][-1].endswith("see figures/5.png.")


# ---- the album ----------------------------------------------------------------------------------------------------


def test_the_same_question_replaces_its_picture(run):
    opened = open_run(run)
    before = gallery.read(opened.folder)
    gallery.add(opened.folder, answer(opened, questions.samples(opened.predictions, count=1)))
    after = gallery.read(opened.folder)
    assert [entry.name for entry in after] == [entry.name for entry in before]
    assert before != after


def test_an_answer_that_became_none_takes_its_picture_away(run):
    opened = open_run(run)
    one = answer(opened, questions.samples(opened.predictions, count=1))
    assert gallery.add(opened.folder, one) == opened.folder.figures / "samples.png"
    assert gallery.add(opened.folder, replace(one, findings=(), notes=("There is none.",))) is None
    assert not (opened.folder.figures / "samples.png").exists()
    (entry,) = [entry for entry in gallery.read(opened.folder) if entry.name == "samples"]
    assert entry.file is None
    assert entry.notes == ("There is none.",)


def test_the_words_for_those_who_cannot_see_tell_what_is_there(asked):
    entries = {entry.name: entry for entry in gallery.read(RunFolder(asked))}
    (confusion,) = [entry for entry in entries.values() if entry.kind == "confusion" and entry.file]
    assert "maps by Grad-CAM and Occlusion sensitivity of 1 segment:" in confusion.alt
    assert f"{LOW} predicted as {HISS} with score" in confusion.alt
    assert entries["samples"].alt.endswith("and more.")
