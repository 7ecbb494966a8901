"""Measure maps whose truth is known, fit the judge of verdicts on some, and test it on the others.

    python tools/verdict.py measure RUN --data DATA --out signs.csv     # for each classifier; --append adds to a file
    python tools/verdict.py fit signs.csv ...                           # writes resources/verdict.json and its figure

Maps come from mixtures of made sounds and, where the run's classes are in DATA, of recordings that the run did not
learn from. Half of the mixtures, and half of the recordings, are for fitting; the other half is only ever tested on.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.core import files
from earwitness.core.progress import for_terminal
from earwitness.core.statistics import area_under_roc
from earwitness.data.recordings import Recording
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.method import Explainer
from earwitness.explainers.parameters import spec
from earwitness.explainers.registry import parse
from earwitness.inspection.run import open_run
from earwitness.models.classifier import Classifier
from earwitness.plots import audit
from earwitness.plots.style import save
from earwitness.trust.metrics.consensus import Panel
from earwitness.trust.metrics.localisation import scores
from earwitness.trust.metrics.randomisation import randomisation
from earwitness.trust.scoreboard import collect, mixtures
from earwitness.trust.scoreboard.cases import segments_of
from earwitness.trust.verdicts.calibration import calibration
from earwitness.trust.verdicts.fit import Known, fit
from earwitness.trust.verdicts.indicators import Signs, signs
from earwitness.trust.verdicts.judge import Judge, verdict
from earwitness.trust.verdicts.resource import UNSEEN, right_most_often, unseen_shares
from earwitness.trust.verdicts.verdict import LEVELS, RELIABLE, WEAK

PROJECT = Path(__file__).resolve().parents[1]
RESOURCE = PROJECT / "src" / "earwitness" / "resources" / "verdict.json"
FIGURE = PROJECT / "docs" / "images" / "calibration.png"
PAGE = PROJECT / "docs" / "verdicts.md"
TEXT = """# Verdicts: may a map be believed?

Over each map stands *reliable*, *weak* or *not reliable*, and a percentage: the chance that the map's reddest cells
are the evidence. The evidence is the sound without which the classifier does not hear the class; where that is known,
a map counts as right if in {right_share} of all pairs and more a cell of the evidence ranks above another cell. Blue
cells are not judged.

## What to do with it

- *Reliable* maps were right in {reliable_right} tests on maps that nothing was fitted on, *weak* ones in
  {weak_right}, *not reliable* ones in {not_right}. Use a reliable map; take a weak one as a hint, and look for a
  second method that shows the same; draw no conclusion from one that is not reliable. The other methods may do better
  on the same segment.
- `explain` and the report say what to do about a map that is weak or not reliable, by what speaks against it: go by
  another method's map that is reliable, draw more samples, ask a second method, explain all of the recording. From
  Python: `earwitness.trust.verdicts.verdict.verdict_of(explanation["lime"]).advice`.
- A probability that stands above 0.99 moves little whatever is hidden: asked for with `score=probability`, perturbation
  methods tell little there. Their own default is the log-odds.
- Ask the methods that were right most often on these tests: {best}.
- On a network of your own, nothing was fitted: of the maps called *reliable*, {unseen_right} were right on networks
  that the judge did not know. Ask a second method there, too.
- Explain longer segments, or all of the recording (`earwitness explain FILE --run RUN --whole`, which has no
  verdicts).
- A sound that fills its segment, such as a helicopter or rain, has no place to point at: in no test did the evidence
  cover more than half of the cells. For such sounds a verdict says little, mostly whether methods agree.

## What it rests on

A map's verdict follows from measured signs: does the score fall sooner than chance when its cells are hidden, and rise
sooner when only they are shown; does it beat the order of loudness; does it stay the same when the segment moves by a
frame, under noise 40 dB below it, with other random draws and another fill; does the mean map of other methods show the
same; and does it change when the network's weights are made random. A logistic regression turns the signs into the
chance that the map is right. It was fitted on {fitted_on}.

| sign | what it is | range | weight |
|---|---|---|---|
{weights}

The weight is what a sign adds to the log-odds when it is one standard deviation above its mean; 0: it adds nothing to
what the other signs tell. Maps are compared by the correlation of their values: cells in which nothing happens count
little, so that digital silence around a sound does not make its map look unstable. Maps of the panel (Grad-CAM,
LayerCAM, occlusion, LIME) are held against the mean of the other three.

A map is *reliable* from {reliable}% on, and *weak* from {weak}% on. Percentages are rounded down before they are
compared, so that the same number is always the same level. A map of silence, one without positive cells, and one of a
method whose maps ignore the network's weights are *not reliable* whatever else was measured; a map for a class with a
probability under 0.2 is *weak* at best, for none such was fitted on. The chance of these is lowered to what their level
allows.

## How well that works

On other mixtures, and on recordings, that nothing was fitted on. *Loudness alone* is the area under ROC if maps were
judged only by whether they beat the order of loudness.

| maps | count | right | area under ROC | loudness alone | reliable: right | weak: right | not reliable: right |
|---|---|---|---|---|---|---|---|
{rows}

![Share of maps that are right against the chance that verdicts gave them](images/calibration.png)

mn04's mixtures of recordings are ESC-10's own clips, those of the held-out fold; compact's are clips of the demo.
An event in silence is one sound alone in a segment that is digital silence otherwise.

*Unseen network* tells of a network that nothing was fitted on, as a network of yours is. mn04 and compact were each
left out of a judge fitted on the other; VGGish, trained from random weights, is in no judge and in no other row:

{unseen}

The area under ROC over maps of many methods is high partly because methods differ: cell-by-cell gradients never find
the evidence here, and are called *not reliable*. Within one method it is lower, as the rows by method show.

## How it was measured

This page and its figures are written by `python tools/verdict.py fit mn04.csv long.csv compact.csv --unseen
vggish.csv`, from maps whose truth is known. They were made by `python tools/verdict.py measure RUN --data DATA`, for

- mn04 (`--recipe best`, fold 5 of ESC-10 held out): `--frames 96 --out mn04.csv`
- the same with segments of 5 s: `--frames 500 --cases 6 --methods
  gradcam,layercam,ablationcam,saliency,guidedbackprop,lime,occlusion --out long.csv`
- the demo's network, without `--data`: `--cases 12 --methods
  gradcam,layercam,ablationcam,saliency,inputxgradient,guidedbackprop,lime,occlusion --out compact.csv`
- VGGish (`--weights none --epochs 3`, fold 5 of ESC-10 held out): `--cases 3 --methods
  gradcam,layercam,ablationcam,saliency,guidedbackprop,lime,occlusion --out vggish.csv`
"""
METHODS = "gradcam,layercam,ablationcam,saliency,inputxgradient,smoothgrad,guidedbackprop,lime,occlusion,rise"
RIGHT = 0.7  # area under ROC of the map's cells, which does not depend on how much of the segment is evidence
PARTS = {"fit": 0, "test": 1}
RANDOMISED_SEGMENTS = 4
SIGNS = {
    "probability": "the class's probability for the whole segment | 0 to 1",
    "depends": "how much of it is gone when all cells are hidden | -1 to 1",
    "deletion": "how much sooner it falls when the map's cells are hidden first than in random order | mostly -1 to 1",
    "insertion": "how much sooner it rises when they are shown first | mostly -1 to 1",
    "energy": "deletion and insertion against hiding and showing the loudest cells first | mostly -1 to 1",
    "correlation": "between the map's sum over hidden cells and the fall of the probability | -1 to 1",
    "shift": "correlation with the map of the segment one frame earlier and later | -1 to 1",
    "noise": "the same with noise 40 dB below the segment | -1 to 1",
    "seeds": "the same with other random draws, where the method draws | -1 to 1",
    "fills": "the same with another fill, where the method hides cells | -1 to 1",
    "kept": "what stays of the method's maps when the network's weights are made random; small is good | -1 to 1",
    "agrees": "correlation, on 8 x 8 cells, with the mean map of Grad-CAM, LayerCAM, occlusion and LIME | -1 to 1",
    "sparse": "Gini index of the map: 0 spread evenly, 1 all in one cell | 0 to 1",
}
COLUMNS = ("part", "backbone", "frames", "family", "kind", "case", "target", "method", "level_db", "share")
SCORES = ("pointing", "mass", "rank", "auroc", "auprc")


def measure(arguments: argparse.Namespace) -> None:
    """Explain cases by each method, and write the signs and the truth of every map."""
    opened = open_run(arguments.run, data=arguments.data)
    classifier = opened.classifier
    if arguments.frames:
        classifier = classifier.with_segments(arguments.frames, classifier.overlap)
    methods = [parse(text).quick() for text in arguments.methods.split(",")]
    out = Path(arguments.out)
    names = [*COLUMNS, *SCORES, *(item.name for item in fields(Signs)), "seconds"]
    with out.open("a" if arguments.append else "w", newline="") as stream:
        writer = csv.DictWriter(stream, names)
        if not arguments.append:
            writer.writeheader()
        for part, seed in PARTS.items():
            sources = _sources(classifier, _held_out(opened, seed), 40 + seed, arguments.cases)
            for row in _rows(part, classifier, sources, methods):
                writer.writerow(row)
                stream.flush()


def _held_out(opened: Any, seed: int) -> list[Recording]:
    """Return every other recording that the run was measured on."""
    predictions = opened.predictions
    listed = [
        Recording(path=opened.path_of(file), name=file, label=predictions.classes[label], group=None, fold=None)
        for file, label in zip(predictions.files, predictions.labels, strict=True)
    ]
    return listed[seed::2]


def _sources(
    classifier: Classifier, recordings: Sequence[Recording], seed: int, wanted: int
) -> Iterator[tuple[str, collect.Bench]]:
    """Yield mixtures and, half as many, events alone in silence: of made sounds, of recordings."""
    stage = mixtures.Stage(classifier.front_end, classifier.classes, classifier.segment_frames)
    for silence, count in ((False, wanted), (True, wanted // 2)):
        for family, source in (
            (collect.MADE, mixtures.made(stage, seed=seed, silence=silence)),
            (collect.RECORDED, mixtures.recorded(stage, recordings, seed=seed, silence=silence)),
        ):
            bench, _ = collect.choose(classifier, source, family, count)
            yield family, bench


def _rows(
    part: str,
    classifier: Classifier,
    sources: Iterator[tuple[str, collect.Bench]],
    methods: Sequence[Explainer],
) -> Iterator[dict[str, Any]]:
    progress, prepared = for_terminal(), Prepared(classifier)
    for family, bench in sources:
        cases = [case for case, _, _ in bench.cases]
        if not cases:
            print(f"{classifier.backbone}, {family}, {part}: no case is heard", file=sys.stderr)
            continue
        segments, targets = segments_of(cases), [case.target for case in cases]
        first = np.linspace(0, len(cases) - 1, min(RANDOMISED_SEGMENTS, len(cases))).astype(int)
        panel: Panel | None = None
        for method in methods:
            begun = time.perf_counter()
            tested = randomisation(
                prepared, method, segments.take(first), [targets[row] for row in first], blocks=6, alone=False
            )
            maps = method.attribute(prepared, segments, [[target] for target in targets], progress)
            panel = panel or Panel(prepared, segments, maps, progress)
            found = signs(prepared, method, segments, maps, tested, panel=panel, progress=progress)
            each = (time.perf_counter() - begun) / len(cases)
            for case, one, sign in zip(cases, maps, found, strict=True):
                truth = scores(one.values, case.truth, case.real_frames)
                of = (part, classifier.backbone, classifier.segment_frames, family)
                place = (*of, case.kind, case.name, one.target_label, spec(method))
                yield {
                    **dict(zip(COLUMNS, (*place, case.level_db, case.share), strict=True)),
                    **{name: getattr(truth, name) for name in SCORES},
                    **{name: "" if value is None else value for name, value in asdict(sign).items()},
                    "seconds": each,
                }
            mean = np.mean([scores(one.values, case.truth).auroc for case, one in zip(cases, maps, strict=True)])
            print(
                f"{classifier.backbone} {part} {family}: {method.name}, {len(cases)} maps, area {mean:.2f}, "
                f"{each:.1f} s each, kept {tested.kept:.2f}",
                flush=True,
            )


# ---- fitting ------------------------------------------------------------------------------------------------------


def fit_and_test(arguments: argparse.Namespace) -> None:
    """Fit on one part, print what the judge is worth on the other, and write both away."""
    rows = [row for path in arguments.signs for row in files.read_csv(path)]
    learned, held_out = ([row for row in rows if row["part"] == part] for part in PARTS)
    backbones, methods = (sorted({row[name].split(":")[0] for row in rows}) for name in ("backbone", "method"))
    judge = fit(
        [_known(row) for row in learned],
        f"{len(learned)} maps of {len({(row['backbone'], row['case']) for row in learned})} mixtures\nby "
        f"{', '.join(methods)}\n(classifiers {', '.join(backbones)}); right is a map if in "
        f"{RIGHT:.0%} of all pairs and more a cell of the\nevidence ranks above another cell",
    )
    for name, weight in zip(judge.names, judge.weights, strict=True):
        print(f"  {name:12s} {weight:+.2f}")
    print(f"reliable from {judge.limit(RELIABLE)} %, weak from {judge.limit(WEAK)} %")
    unseen = [row for path in arguments.unseen for row in files.read_csv(path)]
    table = _table(held_out, judge) | _unseen_table(learned, held_out, unseen, judge)
    rows_in_words = [_row(*each) for each in table.items()]
    print("\n".join(rows_in_words))
    known = [_known(row) for row in held_out]
    chances, right = [verdict(each.signs, judge).chance for each in known], [each.right for each in known]
    bins = calibration(chances, right)
    files.write_json(
        RESOURCE, {"judge": asdict(judge), "tested": table, "calibration": [asdict(each) for each in bins]}
    )
    save(audit.calibration_chart(bins, area_under_roc(chances, right)), FIGURE)
    weights = [
        f"| `{name}` | {SIGNS[name]} | {weight:+.2f} |" for name, weight in zip(judge.names, judge.weights, strict=True)
    ]
    files.write_text(
        PAGE,
        TEXT.format(
            **_in_words(table),
            fitted_on=judge.fitted_on,
            weights="\n".join(weights),
            reliable=judge.limit(RELIABLE),
            weak=judge.limit(WEAK),
            rows="\n".join(rows_in_words),
            **_unseen_in_words(table),
        ),
    )


def _in_words(table: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return how often levels and methods were right, in words."""
    levels = [f"{right} of {count}" for right, count in table["all"]["levels"].values()]
    listed = ", ".join(f"`{name}` ({share:.0%})" for name, share in right_most_often(table).items())
    names = ("reliable_right", "weak_right", "not_right")
    return {"right_share": f"{RIGHT:.0%}", "best": listed, **dict(zip(names, levels, strict=True))}


def _unseen_in_words(table: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return how judges did on networks that they were not fitted on, in words."""
    lines = []
    for name, figures in table.items():
        if name.startswith(UNSEEN) and "," not in name:
            right, count = figures["levels"][RELIABLE]
            area = f"area under ROC {figures['area']:.2f}"
            lines.append(f"- {name.removeprefix(UNSEEN)}: {right} of {count} reliable maps right, {area}")
    return {"unseen": "\n".join(lines), "unseen_right": " to ".join(f"{share:.0%}" for share in unseen_shares(table))}


def _known(row: dict[str, str]) -> Known:
    values: dict[str, Any] = {}
    for item in fields(Signs):
        text = row.get(item.name, "")
        if item.name == "explains":
            values[item.name] = text == "True"
        elif item.name in ("empty", "others"):
            values[item.name] = text
        else:
            values[item.name] = float(text) if text else None
    return Known(Signs(**values), float(row["auroc"]) >= RIGHT)


def _table(rows: Sequence[dict[str, str]], judge: Judge) -> dict[str, dict[str, Any]]:
    """Return figures on held-out maps: of all, by family, by backbone, by method."""
    groups: dict[str, list[dict[str, str]]] = {"all": list(rows)}
    for column in ("family", "kind", "backbone", "method"):
        for row in rows:
            groups.setdefault(f"{column}: {row[column].split(':')[0]}", []).append(row)
    for row in rows:
        groups.setdefault(f"{row['backbone']}, {row['frames']} frames, {row['family']}", []).append(row)
    return {name: _figures(listed, judge) for name, listed in groups.items()}


def _unseen_table(
    learned: Sequence[dict[str, str]], held_out: Sequence[dict[str, str]], more: Sequence[dict[str, str]], judge: Judge
) -> dict[str, dict[str, Any]]:
    """Return figures on networks that a judge was not fitted on: of each one left out, and of more, by method, too."""
    found = {}
    for network in sorted({row["backbone"] for row in learned}):
        others = fit([_known(row) for row in learned if row["backbone"] != network], "")
        found[f"{UNSEEN}{network}"] = _figures([row for row in held_out if row["backbone"] == network], others)
    groups: dict[str, list[dict[str, str]]] = {}
    for row in more:
        for part in ("", f", {row['family']}", f", {row['method'].split(':')[0]}"):
            groups.setdefault(f"{UNSEEN}{row['backbone']}{part}", []).append(row)
    return found | {name: _figures(groups[name], judge) for name in sorted(groups)}


def _figures(rows: Sequence[dict[str, str]], judge: Judge) -> dict[str, Any]:
    """Return how often maps are right, how well the judge tells which, and how often each of its levels is right."""
    known = [_known(row) for row in rows]
    judged = [verdict(each.signs, judge) for each in known]
    right = [each.right for each in known]
    return {
        "maps": len(rows),
        "right": float(np.mean(right)),
        "area": _number(area_under_roc([each.chance for each in judged], right)),
        "energy_area": _number(area_under_roc([each.signs.energy for each in known], right)),
        "levels": {
            level: [sum(marked), len(marked)]
            for level in LEVELS
            for marked in [[is_right for is_right, one in zip(right, judged, strict=True) if one.level == level]]
        },
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)


def _row(name: str, figures: dict[str, Any]) -> str:
    """Return one row of the page's table."""
    areas = ["-" if figures[key] is None else f"{figures[key]:.2f}" for key in ("area", "energy_area")]
    levels = [f"{right} of {count}" for right, count in figures["levels"].values()]
    return f"| {name} | {figures['maps']} | {figures['right']:.0%} | " + " | ".join([*areas, *levels]) + " |"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    first = commands.add_parser("measure")
    first.add_argument("run", type=Path)
    first.add_argument("--data", type=Path)
    first.add_argument("--out", default="signs.csv")
    first.add_argument("--methods", default=METHODS)
    first.add_argument("--cases", type=int, default=16, help="mixtures of each source and part")
    first.add_argument("--frames", type=int, help="segment length, where not the run's own")
    first.add_argument("--append", action="store_true")
    first.set_defaults(action=measure)
    second = commands.add_parser("fit")
    second.add_argument("signs", nargs="+")
    second.add_argument("--unseen", nargs="+", default=[], help="maps of networks that are only tested on")
    second.set_defaults(action=fit_and_test)
    arguments = parser.parse_args()
    arguments.action(arguments)


if __name__ == "__main__":
    main()
