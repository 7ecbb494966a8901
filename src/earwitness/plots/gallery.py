"""The run's pictures: drawn from inquiries and measures, kept in ``figures/``, each with words for its reader.

``figures/index.json`` holds a list, a picture an entry: name, kind, title, question, file (null where there was nothing
to draw), reading (one sentence on how to read it), alt (what it shows, for those who cannot see it), notes, verdicts
(a line a map: method, target, verdict, reasons), counts (a line a method: how many maps got which verdict), regions (a
row a region), panels (where in the picture which segment and map is shown), sounds (what the report plays) and maps
(what tells each map from others: :attr:`earwitness.explainers.findings.Inquiry.maps`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from earwitness.core.errors import EarwitnessError, printable
from earwitness.core.files import read_csv, read_json, write_json
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.core.run_folder import RunFolder
from earwitness.explainers.findings import JUDGED, Finding, Inquiry, region_rows, region_words, shown_score
from earwitness.plots import evidence, paper, style, training
from earwitness.plots.audit import audit_chart
from earwitness.plots.maps import PLAIN, MapStyle
from earwitness.plots.panels import Panel, panels_of
from earwitness.sonify.clips import Played, PlayedMap
from earwitness.training import metrics
from earwitness.trust.audit import store
from earwitness.trust.audit.effects import Audit
from earwitness.trust.verdicts.summary import advice_lines, counted_verdicts, verdict_lines

INDEX = "index.json"
# The order of a report.
KINDS = (
    "confusion",
    "misclassified",
    "class",
    "segments",
    "samples",
    "audit",
    "classes",
    "segment_confusions",
    "file_confusions",
    "recordings",
    "training",
)
DRAW = {"recordings": evidence.recordings, "samples": evidence.samples}
EVIDENCE = (
    "Red cells spoke for the class named above their column, blue ones against it, and white ones made no difference; "
    "colours reach to the number above each map, because segments and methods have evidence of different size, and a "
    "segment whose evidence is much weaker than the strongest by that method in the picture stays pale"
)
READING = {
    "training": (
        "The lines should rise (accuracy) and fall (loss) and level out; where validation falls far behind training, "
        "the network learns its recordings by heart."
    ),
    "segment_confusions": (
        "Rows are true classes, columns predicted ones: blue is right, orange wrong, deeper is a larger share of the "
        "row; the margins say how much of each class was found, and how far each answer can be trusted."
    ),
    "file_confusions": "Read like the one by segment; each recording counts once, by the vote of its segments.",
    "classes": (
        "F1 is 100 % when every sound of a class was found and nothing else was taken for it; the weakest stand "
        "at the bottom."
    ),
    "recordings": (
        "Above is the waveform, below the log-mel spectrogram that the maps lie on: time to the right, "
        "low frequencies at the bottom, brighter is louder."
    ),
    "samples": (
        "Each panel is what the classifier judged at once; a cross, bold words and a dashed frame mark wrong answers, "
        "and the score is the probability that it gave to its answer."
    ),
    "audit": (
        "Each row takes one thing out of the recordings that have it: a mark left of the line means that more segments "
        "were misclassified without it, filled orange that the loss is large and beyond chance over all recordings; a "
        "ring, wherever it stands, means that a class alone loses so, grey that too few recordings had it. The table "
        "says by class how many points change, bold where a loss or gain is large and beyond chance."
    ),
    "segments": f"{EVIDENCE}.",
    "class": (f"{EVIDENCE}; what is red in every row, in maps that may be believed, is what the classifier relies on."),
    "confusion": (
        f"{EVIDENCE}; red cells in the group of the predicted class are what misled the classifier, as far as the maps "
        "may be believed."
    ),
    "misclassified": (
        "Read like the picture of misclassified segments; red cells under the predicted class are what misled the "
        "classifier, as far as the maps may be believed."
    ),
}
BELIEVE = (
    " The mark over each map says how far it may be believed (a full circle: reliable; a half one: weak, a hint to be "
    "confirmed; an empty one: not reliable, draw no conclusion), with the chance that its reddest cells are the "
    "evidence; the reasons fold out below."
)
MOST_DESCRIBED = 12


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A picture with its words; see the module's head."""

    name: str
    kind: str
    title: str
    question: str
    file: str | None
    reading: str
    alt: str
    notes: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    regions: tuple[tuple[str, ...], ...] = ()
    panels: tuple[Panel, ...] = ()
    sounds: tuple[Played, ...] = ()
    maps: tuple[str, ...] = ()

    def stays_beside(self, new: Inquiry, *, sounds: bool) -> bool:
        """Say whether an answer of the same name would lose maps, verdicts or sounds of this one in its place.

        A map without a verdict is in the same map with one. What an earlier version drew tells of no maps and stays.
        """
        if self.file is None or self.kind in DRAW:
            return False
        if (self.sounds and not sounds) or not self.maps:
            return True
        return not set(self.maps) <= {*new.maps, *(each.removesuffix(JUDGED) for each in new.maps)}


def add(
    run: RunFolder,
    inquiry: Inquiry,
    look: MapStyle = PLAIN,
    sounds: tuple[Played, ...] = (),
    formats: Sequence[str] = (),
    beyond: Collection[str] = (),
) -> Path | None:
    """Draw an inquiry's answer into the run folder; the same question replaces its earlier picture.

    Parameters
    ----------
    run
        The folder.
    inquiry
        The answer.
    look
        How its maps are drawn.
    sounds
        What the report plays of it.
    formats
        In which else the picture is kept, beside the PNG: ``"svg"`` or ``"pdf"``.
    beyond
        Methods that the model cannot be asked by, which no advice names.

    Returns
    -------
    The PNG's path, or None where the answer is that there is none.
    """
    verdicts = tuple(verdict_lines(inquiry))
    reading = READING[inquiry.kind] + (BELIEVE if verdicts and inquiry.kind != "misclassified" else "")
    entry = Entry(
        name=inquiry.name,
        kind=inquiry.kind,
        title=inquiry.title,
        question=inquiry.question,
        file=f"{inquiry.name}.png" if inquiry.findings or inquiry.recordings else None,
        reading=f"{reading} {look.medium.key}".rstrip(),
        alt=_alt(inquiry),
        notes=inquiry.notes,
        verdicts=verdicts,
        advice=tuple(advice_lines(inquiry, beyond=beyond)),
        counts=tuple(counted_verdicts(inquiry)),
        regions=tuple(_regions(inquiry)),
        sounds=sounds,
        maps=inquiry.maps,
    )
    if entry.file is None:
        for ending in ("png", *formats):
            (run.figures / f"{inquiry.name}.{ending}").unlink(missing_ok=True)
        _put(run, [entry])
        return None
    for ending in formats:  # drawn anew, for writing settles a figure's layout
        style.save(_drawn(inquiry, look), run.figures / f"{inquiry.name}.{ending}", look.medium)
    figure = _drawn(inquiry, look)
    style.save(figure, run.figures / entry.file, look.medium)
    _put(run, [replace(entry, panels=panels_of(figure))])
    return run.figures / entry.file


def _drawn(inquiry: Inquiry, look: MapStyle) -> Figure:
    if inquiry.kind in DRAW:
        return DRAW[inquiry.kind](inquiry, look.medium)
    return (paper if look.medium.marks_only else evidence).maps(inquiry, look)


def add_all(
    run: RunFolder,
    inquiries: Sequence[Inquiry],
    progress: Progress = NO_PROGRESS,
    look: MapStyle = PLAIN,
    sounds: Mapping[str, tuple[Played, ...]] = MappingProxyType({}),
    formats: Sequence[str] = (),
    beyond: Collection[str] = (),
) -> list[Path | None]:
    """Draw several inquiries' answers, as :func:`add` does, and say how far it is and what was replaced.

    Parameters
    ----------
    run
        The folder.
    inquiries
        The answers.
    progress
        Told a step a picture, and which pictures of earlier answers are gone because other ones took their names.
    look
        How maps are drawn.
    sounds
        What the report plays of each, by the inquiry's name.
    formats, beyond
        As for :func:`add`.
    """
    told = progress
    before = {path: path.read_bytes() for path in run.figures.glob("*.png")} if run.figures.is_dir() else {}
    paths = []
    with told.task("Drawing", len(inquiries)) as advance:
        for inquiry in inquiries:
            paths.append(add(run, inquiry, look, sounds.get(inquiry.name, ()), formats, beyond))
            advance(1)
    for path in paths:
        if path in before and path.read_bytes() != before[path]:
            told.say(f"note: {printable(path)} took the place of an earlier answer to the same question")
    return paths


def add_measures(run: RunFolder) -> list[Path]:
    """Draw the training curves, the confusions by segment and by file, and the classes' F1, as far as the run has them.

    Raises
    ------
    EarwitnessError
        A file of the run is damaged.
    """
    entries: list[Entry] = []
    history = read_csv(run.history) if run.history.exists() else []
    if history:
        style.save(training.training_curves(history), run.figures / "chart-training.png")
        alt = f"Accuracy and loss over {history[-1]['iteration']} iterations, training and validation."
        entries.append(_measure("training", "chart-training", "Training", "How did the training go?", alt))
    if run.metrics.exists():
        measured = metrics.read(run)
        per_class, confusion = measured.shown(training.MOST_NUMBERED_CLASSES)
        for unit, counts in (("segments", confusion.segments), ("files", confusion.files)):
            chart = training.confusion_chart(np.array(counts), confusion.classes, unit)
            style.save(chart, run.figures / f"chart-confusion-{unit}.png")
            alt = f"Table of true against predicted classes, counted in {unit}; the same numbers follow as text."
            word = unit.removesuffix("s")
            title = f"By {word}"
            entries.append(
                _measure(f"{word}_confusions", f"chart-confusion-{unit}", title, "What is taken for what?", alt)
            )
        style.save(training.class_scores(per_class), run.figures / "chart-classes.png")
        alt = "F1 of each class by segment and by file; the same numbers stand in the table."
        entries.append(
            _measure("classes", "chart-classes", "Classes", "Which classes are recognised best and worst?", alt)
        )
    _put(run, entries)
    audit = store.read(run)
    if audit is not None:
        add_audit(run, audit)
    return [run.figures / str(entry.file) for entry in entries]


def add_audit(run: RunFolder, audit: Audit) -> Path:
    """Draw what an audit found."""
    tested = [each for each in audit.effects if each.touched]
    found = [
        f"{each.name} (by {', '.join(each.relying)})" if each.relying else each.name for each in tested if each.found
    ]
    alt = f"What changes without each of {len(tested)} things, over all recordings and by class; "
    alt += f"it relies on {', '.join(found)}." if found else "it relies on none, as far as can be told."
    style.save(audit_chart(audit), run.figures / "chart-audit.png")
    question = "Does it rely on what is not the sound?"
    _put(run, [_measure("audit", "chart-audit", "Audit", question, alt)])
    return run.figures / "chart-audit.png"


def read(run: RunFolder) -> list[Entry]:
    """Return the run's pictures in the order of a report; none where none were made.

    Raises
    ------
    EarwitnessError
        The index is damaged.
    """
    path = run.figures / INDEX
    if not path.exists():
        return []
    stored = read_json(path)
    try:
        entries = [_entry(item) for item in stored]
        # The index may come with a run from elsewhere: nothing outside its folder is read.
        if any(entry.file is not None and Path(entry.file).name != entry.file for entry in entries):
            raise ValueError("a file outside the folder")
        return sorted(entries, key=lambda entry: (KINDS.index(entry.kind), entry.name))
    except (TypeError, KeyError, ValueError) as error:
        raise EarwitnessError(f"{printable(path)}: is damaged ({error}); remove it and inquire again") from error


def _entry(item: dict[str, Any]) -> Entry:
    """Return an entry of the index; what came later is missing in older ones."""
    plain = {name: tuple(item.get(name, ())) for name in ("notes", "verdicts", "advice", "counts", "maps")}
    regions = tuple(tuple(row) for row in item.get("regions", ()))
    panels = tuple(Panel(**each) for each in item.get("panels", ()))
    sounds = tuple(
        Played(**{**each, "maps": tuple(PlayedMap(**{**one, "scores": tuple(one["scores"])}) for one in each["maps"])})
        for each in item.get("sounds", ())
    )
    return Entry(**{**item, **plain, "regions": regions, "panels": panels, "sounds": sounds})


def _put(run: RunFolder, new: Sequence[Entry]) -> None:
    replaced = {entry.name for entry in new}
    entries = [*(entry for entry in read(run) if entry.name not in replaced), *new]
    entries.sort(key=lambda entry: (KINDS.index(entry.kind), entry.name))
    write_json(run.figures / INDEX, [asdict(entry) for entry in entries])


def _measure(kind: str, name: str, title: str, question: str, alt: str) -> Entry:
    return Entry(
        name=name, kind=kind, title=title, question=question, file=f"{name}.png", reading=READING[kind], alt=alt
    )


def _alt(inquiry: Inquiry) -> str:
    """Say in words what the picture shows."""
    if inquiry.recordings:
        names = ", ".join(f"{each.label} ({each.file})" for each in inquiry.recordings[:MOST_DESCRIBED])
        return f"Waveforms and log-mel spectrograms of {len(inquiry.recordings)} recordings: {names}."
    if not inquiry.findings:
        return "Nothing to show."
    what = "Log-mel spectrograms"
    if inquiry.methods:
        what += " and maps by " + " and ".join(filter(None, [", ".join(inquiry.methods[:-1]), inquiry.methods[-1]]))
    described = "; ".join(_in_words(each) for each in inquiry.findings[:MOST_DESCRIBED])
    more = "" if len(inquiry.findings) <= MOST_DESCRIBED else "; and more"
    count = len(inquiry.findings)
    return f"{what} of {count} {'segment' if count == 1 else 'segments'}: {described}{more}."


def _regions(inquiry: Inquiry) -> Iterator[tuple[str, ...]]:
    """Yield a row a region: where the segment is, the map, and what :func:`region_rows` says."""
    for finding in inquiry.findings:
        where = f"{finding.file} at {finding.start_seconds:.2f} s"
        for per_target in finding.attributions:
            for title, found in zip(inquiry.methods, per_target, strict=True):
                for row in region_rows(f"{title} for {found.target_label}", found):
                    yield (where, *row)
                    where = ""


def _in_words(each: Finding) -> str:
    silent = ", silent" if each.silent else ""
    where = f"{each.file} at {each.start_seconds:.2f} s"
    what = f"{each.label or 'a sound'} predicted as {each.predicted}"
    regions = [region for listed in each.attributions[:1] for found in listed for region in found.regions]
    needed = sorted(regions, key=lambda region: region.without - region.score)[:1]
    words = ", needs most what is at {} and {} (score {x} without it)"
    evidence = "".join(words.format(*region_words(region), x=region_words(region)[-1]) for region in needed)
    return f"{what} with score {shown_score(each.score)} ({where}{silent}{evidence})"
