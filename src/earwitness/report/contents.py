"""What the report says: the run folder's numbers, put into plain words and tables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from earwitness.core.errors import EarwitnessError, printable, said
from earwitness.core.files import read_csv, read_json
from earwitness.core.run_folder import MODEL, RunFolder
from earwitness.core.statistics import wilson_interval
from earwitness.inspection.questions import name_of_misclassified
from earwitness.models.prediction import Predictions
from earwitness.models.registry import BACKBONES
from earwitness.plots import gallery
from earwitness.plots.gallery import Entry
from earwitness.report.causes import likely_causes
from earwitness.report.glossary import words_of
from earwitness.report.headline import DASH, headline, percent, ranked_pairs
from earwitness.report.paths import shortened
from earwitness.training import metrics, prediction_files
from earwitness.training.metrics import ClassScores, Confusion, Metrics
from earwitness.trust.audit import store
from earwitness.trust.audit.effects import Audit
from earwitness.trust.verdicts.resource import beyond_the_fit

# Longer lists are cut in the page and stand in full in the run folder's files.
MOST_ROWS = 100
MOST_CLASSES_IN_TABLE = 30
MOST_PAIRS = 15
MOST_WARNINGS = 30
# Entries of run.json that are shown with the recipe's own numbers, where they are there.
WORDS = {
    "segment_frames": "Frames in a segment",
    "overlap": "Overlap of segments (%)",
    "freeze": "Backbone frozen",
}
SPLITS = {
    "order": "the first part of each class, in file order, for training and the rest for measuring",
    "fold": "one fold of the data set held out for measuring",
    "group": "whole groups of recordings held out for measuring, so that no source stands on both sides",
    "random": "drawn at random within each class",
}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of text.

    Parameters
    ----------
    head, rows
        Column names and cells; the first cell of a row names it, and numbers are right-aligned.
    left_out, more
        How many rows are left out, and what they are.
    source
        The file in the run folder that holds all of them.
    numbers_from
        First column that holds numbers.
    groups
        Names over several columns, each with how many; empty for none.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0
    more: str = "more"
    source: str = ""
    numbers_from: int = 1
    groups: tuple[tuple[str, int], ...] = ()


def gather(run: RunFolder, *, paths: bool = False) -> dict[str, Any]:
    """Return everything that the template shows, apart from pictures.

    Parameters
    ----------
    run
        The run folder.
    paths
        Whether absolute paths are given in full, and not by their last part.

    Raises
    ------
    EarwitnessError
        ``run.json`` or ``metrics.json`` is missing or damaged, or a table is.
    """
    settings = read_json(run.run_json)
    measured = metrics.read(run)
    files = read_csv(run.files)
    quarantine = read_csv(run.quarantine) if run.quarantine.exists() else []
    history = read_csv(run.history) if run.history.exists() else []
    predictions = prediction_files.read(run) if run.predictions.exists() else None
    found = store.read(run)
    entries = gallery.read(run)
    try:
        wrong = [row for row in files if row["label"] != row["predicted"]]
        why = _why(wrong, predictions, found, entries)
        others, trained = settings.get(MODEL), MODEL not in settings
        told = str if paths else shortened(settings, str(run.path.resolve()))
        return {
            "name": run.path.resolve().name,
            "backbone": str(settings["backbone"]),
            "beyond_the_fit": beyond_the_fit(str(settings["backbone"])),
            "command": shlex.join(told(str(word)) for word in settings["command"]),
            "headline": headline(measured, predictions, found, trained=trained),
            "trained": trained,
            "held_out": held_out_words(settings, measured) if trained else others_words(settings, measured),
            "segment": segment_words(settings),
            "settings": [(name, told(value)) for name, value in _settings(settings, measured)],
            "recipe": _recipe(settings) if trained else _described(others),
            "warnings": [told(each) for each in _warnings(settings["split"].get("warnings", []))],
            "data": _data(settings, measured),
            "quarantine": _cut(
                ("file", "why"), [(row["file"], told(row["reason"])) for row in quarantine], "quarantine.csv", 2
            ),
            "training": training_words(history, settings.get("recipe", {})),
            "per_class": _per_class(measured),
            "confusion": _confusion(measured.shown(MOST_CLASSES_IN_TABLE)[1]),
            "pairs": _pairs(measured.confusion),
            "wrong": _wrong(wrong, why),
            "causes": {name_of_misclassified(file): sentence for file, sentence in why.items()},
            "glossary": words_of(run, entries, str(settings.get("activation", "softmax"))),
            "audit": _audit(found),
            "versions": _pairs_of(settings.get("versions", {})),
        }
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise EarwitnessError(
            f"{printable(run.path)}: its files do not fit this version ({said(error)}); run again"
        ) from error


def _warnings(sentences: Sequence[Any]) -> list[str]:
    """Return what was said before the training; of very many, the first."""
    left_out = len(sentences) - MOST_WARNINGS
    return [
        *map(str, sentences[:MOST_WARNINGS]),
        *([f"and {left_out} more, which stand in run.json"] if left_out > 0 else []),
    ]


def _audit(found: Audit | None) -> dict[str, Any] | None:
    """Return what an audit asked and found, or None where there was none."""
    if found is None:
        return None
    return {
        "files": found.files,
        "answers": _cut(
            ("taken out", "what was done", "what was found"),
            [(each.name, each.taken, f"{each.question} {each.told()}") for each in found.effects],
            "trust/audit.json",
            3,
        ),
        "formats": list(found.formats),
    }


def _settings(settings: Mapping[str, Any], measured: Metrics) -> list[tuple[str, str]]:
    split, weights, data = settings["split"], settings["weights"], settings["data"]
    source = f"{weights['source']}" + (f", SHA-256 {weights['sha256']}" if weights.get("sha256") else "")
    kind = str(split["kind"])
    recordings = ("Data", f"{data['path']} ({data['recordings']} recordings, {len(data['classes'])} classes)")
    if MODEL in settings:
        return [
            ("Model", f"{settings['backbone']}, not trained here ({len(measured.per_class)} classes)"),
            ("Its file", source),
            recordings,
            ("Measured on", f"{measured.files} recordings, {measured.segments} segments"),
        ]
    return [
        ("Backbone", str(settings["backbone"])),
        ("Starting weights", source),
        recordings,
        ("Split", f"{kind}: {SPLITS[kind]}" if kind in SPLITS else kind),
        ("Trained on", f"{len(split['train'])} recordings"),
        ("Measured on", f"{measured.files} recordings, {measured.segments} segments"),
        ("Recipe", str(settings.get("recipe_name", DASH))),
    ]


def _recipe(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return every other number of the training."""
    return [
        *((WORDS[key], _value(settings[key])) for key in WORDS if key in settings),
        *((in_words(name), _value(value)) for name, value in settings.get("recipe", {}).items()),
        ("Seed", str(settings.get("seed", DASH))),
        ("Device", f"{settings.get('device', DASH)}, {settings.get('precision', DASH)}"),
    ]


def _described(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a model of others takes and answers, in the words of its description."""
    return [(str(name).replace("_", " "), _value(value)) for name, value in model["description"].items()]


def in_words(name: str) -> str:
    """Return a field's name as words, such as ``Learning rate``."""
    return name.replace("_", " ").capitalize()


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{in_words(str(name)).lower()} {_value(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_value(part) for part in value)
    return DASH if value is None else str(value)


def _pairs_of(mapping: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(str(name), _value(value)) for name, value in mapping.items()]


def _cut(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], source: str, numbers_from: int = 1) -> Table:
    return Table(
        head=head,
        rows=tuple(rows[:MOST_ROWS]),
        left_out=max(0, len(rows) - MOST_ROWS),
        source=source,
        numbers_from=numbers_from,
    )


def _data(settings: Mapping[str, Any], measured: Metrics) -> Table:
    counts = settings["data"]["classes"]
    rows = []
    for name, count in counts.items():
        held = measured.per_class.get(name)
        rows.append((name, str(count), str(held.files.support) if held else DASH))
    total = ("all", str(sum(counts.values())), str(measured.files))
    table = _cut(("class", "recordings", "measured on"), rows, "run.json")
    return Table(head=table.head, rows=(*table.rows, total), left_out=table.left_out, source=table.source)


def training_words(history: list[dict[str, str]], recipe: Mapping[str, Any]) -> str:
    """Return how the training went, in sentences, from ``history.csv`` and the recipe."""
    if not history:
        return "The run folder holds no training history."
    last = history[-1]
    measured = [row for row in history if row["validation_accuracy"]]
    words = f"{last['iteration']} iterations in {last['epoch']} epochs, {float(last['seconds']):.0f} s."
    if measured:
        end = measured[-1]
        accuracy, loss = float(end["validation_accuracy"]), float(end["validation_loss"])
        words += f" At the last validation, {percent(accuracy)} of segments were right, at a loss of {loss:.3f}."
    harder = ["its targets are softened (label smoothing)"] if recipe.get("label_smoothing") else []
    if any((recipe.get("augmentation") or {}).get(name) for name in ("shift", "gain_db", "equalise_db", "masks")):
        harder.append("its segments are changed at random (augmentation)")
    if harder and measured:
        why = " and ".join(harder)
        words += f" The training's loss cannot be held against the validation's and is often higher: {why}."
    return words


def segment_words(settings: Mapping[str, Any]) -> str:
    """Return what a segment is, where the settings tell."""
    backbone = BACKBONES.get(str(settings["backbone"]))
    frames, overlap = settings.get("judge_frames") or settings.get("segment_frames"), settings.get("overlap")
    seconds = settings.get("segment_seconds")
    if seconds is None:
        if backbone is None or not frames:
            return ""
        seconds = frames * backbone.front_end.clock.frame_seconds
    told = f"A segment is what the classifier judges at once: {seconds:.2f} s"
    return told + ("." if overlap is None else f", each overlapping the next by {overlap:g} %.")


def held_out_words(settings: Mapping[str, Any], measured: Metrics) -> str:
    """Return what was kept out of the training, and what it had a say in: nothing, as the loop goes on to its end."""
    kind = str(settings["split"]["kind"])
    how = f" ({SPLITS[kind]})" if kind in SPLITS else ""
    words = (
        f"Of {settings['data']['recordings']} recordings, {measured.files} were held out{how}. They chose nothing in "
        "this training: it ran to its last iteration, whose weights are kept, without early stopping and without "
        "picking a checkpoint; validation on them only drew the curves. Whoever tries several settings and keeps those "
        "that score best here chooses by them all the same, and needs other recordings to measure on."
    )
    if settings.get("recipe_name") == "best":
        words += " The recipe best was itself chosen by looking at folds 3 and 4 of ESC-10."
    return words


def others_words(settings: Mapping[str, Any], measured: Metrics) -> str:
    """Return what a reader must know of a model that was not trained here."""
    words = (
        f"This model was not trained here: it was measured as it is, on {measured.files} recordings. Whether it has "
        "learned from these, or from copies of them, is not known; if so, it is worse on others than here. Its weights "
        "are not in the run folder, which names its file and refuses another."
    )
    if settings.get("activation") == "sigmoid":
        words += (
            " It scores each class by itself (sigmoid), so several may be right at once. Here every recording has one "
            "label, and what counts is whether that class scores highest."
        )
    return words


def _per_class(measured: Metrics) -> Table:
    rows = []
    shown, _ = measured.shown(MOST_CLASSES_IN_TABLE)
    for name, each in shown.items():
        segments, recordings = each.segments, each.files
        cells = [percent(segments.precision), percent(segments.recall), percent(segments.f1), str(segments.support)]
        cells += [percent(recordings.precision), percent(recordings.recall), _interval(recordings, measured.confidence)]
        cells += [percent(recordings.f1), str(recordings.support)]
        rows.append((name, *cells))
    kinds = ("precision", "recall", "F1", "count")
    with_interval = (*kinds[:2], f"{100 * measured.confidence:g} % interval", *kinds[2:])
    groups = (("", 1), ("by segment", len(kinds)), ("by recording", len(with_interval)))
    head = ("class", *kinds, *with_interval)
    left_out = len(measured.per_class) - len(shown)
    more = "classes without a recording"
    return Table(head=head, rows=tuple(rows), left_out=left_out, more=more, source="metrics.json", groups=groups)


def _interval(scores: ClassScores, confidence: float) -> str:
    """Return Wilson's interval of a class's recall by recording; a dash where it has no recording."""
    if scores.recall is None:
        return DASH
    low, high = wilson_interval(round(scores.recall * scores.support), scores.support, confidence)
    return f"{100 * low:.0f} to {100 * high:.0f}\N{NARROW NO-BREAK SPACE}%"


def _confusion(confusion: Confusion) -> dict[str, Any]:
    """Return the segments' confusion matrix, or nothing where it is too large to be read."""
    classes = confusion.classes
    if len(classes) > MOST_CLASSES_IN_TABLE:
        return {}
    counts = np.array(confusion.segments)
    right, rows, columns = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    return {
        "classes": classes,
        "rows": [
            (name, [int(count) for count in counts[number]], percent(_share(right[number], rows[number])))
            for number, name in enumerate(classes)
        ],
        "precision": [percent(_share(a, b)) for a, b in zip(right, columns, strict=True)],
    }


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _pairs(confusion: Confusion) -> Table:
    found = ranked_pairs(confusion)
    rows = tuple((true, predicted, str(count)) for count, true, predicted in found[:MOST_PAIRS])
    left_out = max(0, len(found) - MOST_PAIRS)
    return Table(
        head=("true class", "predicted as", "segments"),
        rows=rows,
        left_out=left_out,
        source="metrics.json",
        numbers_from=2,
    )


def _why(
    wrong: Sequence[Mapping[str, str]], predictions: Predictions | None, audit: Audit | None, entries: Sequence[Entry]
) -> dict[str, str]:
    """Return the likely cause, by file, of the misclassified recordings that the page shows."""
    if predictions is None:
        return {}
    shown = {entry.name: entry.regions for entry in entries if entry.kind == "misclassified"}
    names = {row["file"]: name_of_misclassified(row["file"]) for row in wrong}
    regions = {file: shown[name] for file, name in names.items() if name in shown}
    return likely_causes(predictions, dict.fromkeys([*list(names)[:MOST_ROWS], *regions]), audit, regions)


def _wrong(wrong: Sequence[Mapping[str, str]], why: Mapping[str, str]) -> Table:
    head = ("recording", "true class", "predicted as", "votes", *(("likely cause",) if why else ()))
    rows = [
        (
            row["file"],
            row["label"],
            row["predicted"],
            f"{row['votes']} of {row['segments']}",
            *((why.get(row["file"], DASH),) if why else ()),
        )
        for row in wrong
    ]
    return _cut(head, rows, "files.csv", len(head))
