"""What commands print of sounds: each sound's scores, and how well a run's explanations hold as sound."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earwitness.cli.output import progress_bar, show, table, warn
from earwitness.core.errors import printable

if TYPE_CHECKING:
    from earwitness.sonify.fidelity import Measure
    from earwitness.sonify.listening import Written
    from earwitness.workflows.explanation import Explanation
    from earwitness.workflows.listen import ListenedRun


def write_and_show(explanation: Explanation, out: Path) -> None:
    """Write the sounds of an explanation, and print their scores."""
    from earwitness.workflows.listen import write_sounds

    written, mute = write_sounds(explanation, out, progress=progress_bar())
    for each in written:
        show("\n" + sounds_lines(each))
    for sentence in mute:
        warn(f"warning: {sentence}")


def sounds_lines(written: Written) -> str:
    """Return what is printed of a set of sounds: where it comes from, and each sound's scores."""
    from earwitness.sonify.listening import SOUNDS

    heard = written.listening
    end = heard.start_seconds + heard.seconds
    told = heard.keep.described()
    if "mask" in told:
        what = f"{heard.target}, the {told['mask']}: {100 * told['area']:.1f} % of all cells"
        what += ", for no more speak for the class" if getattr(heard.keep, "everything", False) else ""
    else:
        (low, high), (first, last) = told["box"]["hertz"], told["box"]["seconds"]
        what = f"from {first:g} to {last:g} s, {low:g} to {high:g} Hz"
    gains = heard.levels.gains_db(written.level)
    scored = heard.classifier is not None
    rows = []
    for place, (name, path) in enumerate(zip(SOUNDS, written.files, strict=True)):
        row: list[Any] = [name, f"{gains[place]:+.1f} dB"]
        if scored:
            row += _scores(heard.scores[name], written.file_scores[place], heard.target)
        rows.append([*row, printable(path)])
    score = f"score for {heard.target}" if heard.target else "best score"
    columns = ["sound", "gain", *([score, "of the file", "predicted"] if scored else []), "file"]
    silent = "removed: silent there (explain's 'without it' hides it by the segment's mean level)"
    head = f"{printable(heard.path)}, {heard.start_seconds:.2f} to {end:.2f} s\nkept: {what}\n{silent}\n"
    return head + table(columns, rows)


def _scores(own: dict[str, float], of_file: dict[str, float] | None, target: str) -> list[Any]:
    """Return the score as it is, that of the file (None of silence), and the class predicted."""
    best = next(iter(own))
    name = target or best
    return [own[name], None if of_file is None else of_file[name], best]


def fidelity_lines(outcome: ListenedRun) -> str:
    """Return what is printed of a run's measures: each method and the patches in its place, then the differences."""
    from earwitness.sonify.fidelity import PUBLISHED

    kept, changed = [], []
    said: dict[tuple[Any, ...], str] = {}
    for each in sorted(outcome.fidelities, key=lambda each: bool(each.against)):
        measures_of = (each.against, *astuple(each)[2:])
        if each.against and measures_of in said:  # the patch of a map of the same area
            continue
        name = each.against or each.method
        said[measures_of] = name = f"{name} for {each.method}" if name in said.values() else name
        share = f"{100 * each.area:.1f} %"
        measures = [_percent(each.kept), _percent(each.removed), _plain(each.faithfulness), _plain(each.input_fidelity)]
        kept.append([name, share, each.recordings, *measures])
        changed.append([name, *map(_percent, (each.increase, each.drop, each.gain))])
    told = [f"{100 * PUBLISHED[name]:.1f} %" for name in ("increase", "drop", "gain")]
    changed.append([LMAC, *told])
    kept.append([LMAC, "-", "-", "-", "-", *(f"{PUBLISHED[name]:.2f}" for name in ("faithfulness", "input_fidelity"))])
    better = [
        [each.method, each.against, *(_plain(one, sign="+") for one in (each.kept, each.removed, each.faithfulness))]
        for each in outcome.advantages
    ]
    columns = ["evidence by", "area", "files", "kept as class", "removed as class", "faithfulness", "input fidelity"]
    return "\n\n".join(
        [
            table(columns, kept),
            table(["evidence by", "average increase", "average drop", "average gain"], changed),
            WORDS,
            table(["method", "better than", "kept as class", "removed not as class", "faithfulness"], better),
            f"{printable(outcome.sheet)}, {printable(outcome.table)}",
        ]
    )


LMAC = "L-MAC on ESC-50, published"


# What differs from the published numbers, and what the words mean.
WORDS = """\
In brackets: intervals of 95 %. kept, removed: how often only the evidence, and all without it, is predicted as the
class. increase, drop, gain: how the score changes when only the evidence is left. faithfulness: what it loses without
the evidence. input fidelity: how often the evidence alone is predicted as all is. L-MAC's numbers are of other data
(mixtures of two ESC-50 recordings, 50 classes), another network (CNN14) and a decoder trained to explain it, whose soft
masks have any area and act on spectrograms; here a share of the cells is kept, and sound is scored, from its channels'
mean on. Compare maps with the patches in their place rather than with L-MAC."""


def _percent(measure: Measure) -> str:
    return f"{100 * measure.value:.1f} % ({100 * measure.low:.1f} to {100 * measure.high:.1f})"


def _plain(measure: Measure, sign: str = "") -> str:
    return f"{measure.value:{sign}.2f} ({measure.low:{sign}.2f} to {measure.high:{sign}.2f})"
