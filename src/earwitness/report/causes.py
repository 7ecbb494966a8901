"""Why recordings were misclassified: one sentence each of the likeliest cause that was measured.

Kinds of cause are asked in order, those that explain most first; the first that holds is told, and where none does,
that none was found. Numbers are measured; what is concluded from them says "likely" or "may".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from earwitness.core.arrays import BoolArray, Float64Array, Int64Array
from earwitness.models.prediction import Predictions, majority
from earwitness.trust.audit.effects import Affected, Audit

HALF_SILENT = 0.5  # share of a segment without sound from which on there is little in it to recognise
CLOSE = 0.1  # of the segments: so few votes or fewer between two classes are a close vote
CONSISTENT = 0.9  # of the segments predicted alike
LARGE_RISE = 0.3  # of the class's mean score without a thing: less may be chance
LEAST_DROP = 0.2  # of the score, when a place alone is hidden: such a place is named
MOST_NAMED = 3  # classes in a sentence
UNKNOWN = "No single cause was found"
FEWEST_SILENT = 5  # silent segments of a run that say what it takes silence for

Regions = Sequence[tuple[str, ...]]  # rows of a figure, as in figures/index.json


@dataclass(frozen=True, kw_only=True)
class Misclassified:
    """A misclassified recording, as the run's files tell of it.

    Parameters
    ----------
    file
        Its name.
    classes
        All names.
    true, predicted
        Its class, and the one that its segments voted for.
    votes, means
        Shape (classes,): segments that chose each class, and the mean of their scores.
    chosen
        Shape (n,): the class of each segment.
    silent
        Shape (n,): the share of each segment without sound; None where that is not known.
    silence
        Which class the run takes digital silence for, with how many of how many such segments; None where unknown.
    """

    file: str
    classes: tuple[str, ...]
    true: int
    predicted: int
    votes: Int64Array
    means: Float64Array
    chosen: Int64Array
    silent: Float64Array | None
    silence: tuple[int, int, int] | None

    @property
    def label(self) -> str:
        """The true class's name."""
        return self.classes[self.true]

    @property
    def answer(self) -> str:
        """The predicted class's name."""
        return self.classes[self.predicted]


def likely_causes(
    predictions: Predictions,
    files: Iterable[str],
    audit: Audit | None = None,
    regions: Mapping[str, Regions] | None = None,
) -> dict[str, str]:
    """Return a sentence on each of some misclassified recordings, by their names; those predicted right have none.

    Parameters
    ----------
    predictions
        The run's.
    files
        Names of recordings.
    audit
        The run's, if there was one.
    regions
        By recording, where the evidence of its figure lies.
    """
    position = {file: row for row, file in enumerate(predictions.files)}
    voted, told = predictions.file_predicted, {}
    silence = _taken_for_silence(predictions)
    for file in files:
        row = position.get(file)
        if row is None or voted[row] == predictions.labels[row]:
            continue
        mine = predictions.recording == row
        found = Misclassified(
            file=file,
            classes=predictions.classes,
            true=int(predictions.labels[row]),
            predicted=int(voted[row]),
            votes=predictions.votes[row],
            means=predictions.mean_scores[row],
            chosen=predictions.predicted[mine],
            silent=None if predictions.silent is None else predictions.silent[mine],
            silence=silence,
        )
        told[file] = _sentence(found, audit, (regions or {}).get(file, ()))
    return told


def _taken_for_silence(predictions: Predictions) -> tuple[int, int, int] | None:
    if predictions.silent is None:
        return None
    counts = np.bincount(predictions.predicted[predictions.silent == 1.0], minlength=len(predictions.classes))
    total, best = int(counts.sum()), int(counts.argmax())
    return (best, int(counts[best]), total) if total >= FEWEST_SILENT and 2 * counts[best] > total else None


def _sentence(found: Misclassified, audit: Audit | None, regions: Regions) -> str:
    corrected = _corrected(found, audit)
    cause = next(filter(None, (kind(found) for kind in KINDS[:2])), "")
    if cause:
        more = next((words for name, words in corrected if name == "silence"), "")
    elif corrected:
        cause, more = corrected[0][1], _place(found, regions)
    else:
        cause = next(filter(None, (kind(found) for kind in KINDS[2:])), "")
        more = _place(found, regions) or _in_general(found, audit)
        votes = "" if cause else next(filter(None, (kind(found) for kind in VOTES)))
        if votes and not more:
            return f"{UNKNOWN}: {votes}; compare its evidence for {found.answer} with that for {found.label}."
        cause = cause or votes
    told = f"{cause}; {more}." if more else f"{cause}."
    return told[0].upper() + told[1:]


# ---- kinds, those that explain most first -------------------------------------------------------------------------


def _only_silence(found: Misclassified) -> str:
    if found.silent is None or not (found.silent == 1.0).all():
        return ""
    count = len(found.silent)
    which = f"all {count} of its segments are" if count > 1 else "its only segment is"
    return f"{which} digital silence, in which there is nothing to recognise{_as_elsewhere(found)}"


def _silence(found: Misclassified) -> str:
    """Silence decides where the other segments alone would not have voted so."""
    if found.silent is None:
        return ""
    mostly, wholly = found.silent >= HALF_SILENT, int((found.silent == 1.0).sum())
    others = _votes(found, ~mostly)
    wrong = int((found.chosen[mostly] == found.predicted).sum())
    winner = int(majority(others, found.means))
    if not wrong or (others.sum() and winner == found.predicted):
        return ""
    count, all_of_it = int(mostly.sum()), wholly == int(mostly.sum())
    what = "digital silence" if all_of_it else "at least half silent"
    what += f" ({wholly} of them digital silence)" if wholly and not all_of_it else ""
    told = f"{count} of its {_segments(found)} {_are(count)} {what}, and {wrong} of these {_were(wrong)} predicted as "
    told += f"{found.answer}{_as_elsewhere(found)}"
    left = int(others.sum())
    if not left:
        return f"{told}: there is little in it to recognise"
    alone = "the other one alone votes" if left == 1 else f"the {left} others alone vote"
    return f"{told}; {alone} for {found.classes[winner]}, so the silence likely decided"


def _mean(found: Misclassified) -> str:
    if int(found.means.argmax()) != found.true:
        return ""
    return (
        f"only the vote is against it: {_of_all(found)} predicted as {found.answer}, but the mean score is highest for "
        f"{found.label} ({found.means[found.true]:.2f} against {found.means[found.predicted]:.2f})"
    )


def _close(found: Misclassified) -> str:
    most, right = int(found.votes[found.predicted]), int(found.votes[found.true])
    means = f"{found.means[found.predicted]:.2f} against {found.means[found.true]:.2f}"
    if most == right:
        tie = f"the vote between {found.answer} and {found.label} was a tie, {most} to {right}"
        return f"{tie}, and the higher mean score decided ({means})"
    if not right or most - right > max(1, CLOSE * len(found.chosen)):
        return ""
    return (
        f"the vote was close: {most} of its {_segments(found)} for {found.answer}, {right} for {found.label} "
        f"(mean scores {means})"
    )


def _sure(found: Misclassified) -> str:
    return _alike(found, sure=True)


def _unsure(found: Misclassified) -> str:
    return _alike(found, sure=False)


def _alike(found: Misclassified, *, sure: bool) -> str:
    """Say that nearly all segments were predicted alike, with a high mean score or without."""
    count, total = int(found.votes[found.predicted]), len(found.chosen)
    if count < CONSISTENT * total or sure != (found.means[found.predicted] >= CONSISTENT):
        return ""
    score, own = found.means[found.predicted], found.means[found.true]
    if total == 1:
        told = f"its only segment was predicted as {found.answer} with score {score:.2f} ({found.label}: {own:.2f})"
    else:
        told = f"{_of_all(found)} predicted as {found.answer}, with mean score {score:.2f} ({found.label}: {own:.2f})"
    return f"{told}: it may sound like that class, or its label may be wrong" if sure else told


def _scattered(found: Misclassified) -> str:
    if 2 * int(found.votes[found.predicted]) > len(found.chosen):
        return ""
    none = "" if found.votes[found.true] else f", and none of them is {found.label}"
    told = f"its segments were predicted as different classes, {_counted(found)}{none}"
    return f"{told}: the classifier is likely not sure of any"


def _most(found: Misclassified) -> str:
    own = "" if found.votes[found.true] else f", and none as {found.label}"
    means = f"mean score {found.means[found.predicted]:.2f}, of {found.label} {found.means[found.true]:.2f}"
    return f"its {_segments(found)} were predicted so: {_counted(found)}{own} ({means})"


KINDS: tuple[Callable[[Misclassified], str], ...] = (
    _only_silence,
    _silence,
    _mean,
    _close,
    _sure,
    _scattered,
)
# How the votes fell, where none of these tells why.
VOTES = (_unsure, _most)


# ---- what an audit and maps add -----------------------------------------------------------------------------------


def _corrected(found: Misclassified, audit: Audit | None) -> list[tuple[str, str]]:
    """Return what the recording is predicted right without, by name and in words, the largest rise first."""
    hits = [
        (effect, one)
        for effect in (audit.effects if audit else ())
        for one in effect.corrected
        if one.file == found.file and one.label == found.label
    ]
    hits.sort(key=lambda hit: hit[1].before - hit[1].after)
    return [
        (
            effect.name,
            f"in the audit, where {effect.taken}, the mean score of {found.label} rises from {one.before:.2f} to "
            f"{one.after:.2f} and is the highest: {effect.thing} {_misled(one)} the classifier here"
            + ("" if effect.found else ", though over all recordings no effect beyond chance was found"),
        )
        for effect, one in hits
    ]


def _misled(one: Affected) -> str:
    """Say how surely a thing misled it, by how far the score rises without."""
    return "likely misled" if one.after - one.before >= LARGE_RISE else "may have misled"


def _place(found: Misclassified, regions: Regions) -> str:
    """Say which place, hidden alone, takes most of the predicted class's score, where it takes much."""
    best, words = LEAST_DROP, ""
    for where, method, seconds, hertz, score, without in _of_class(regions, found.answer):
        drop = _number(score) - _number(without)
        if drop >= best:
            best = drop
            words = (
                f"in its segment {where}, hiding {seconds} at {hertz} (where {method} points) takes the score of "
                f"{found.answer} from {_in_words(score)} to {_in_words(without)}, as was measured"
            )
    return words


def _of_class(regions: Regions, name: str) -> Iterator[tuple[str, ...]]:
    """Yield where, method, seconds, hertz, score, score without of regions of maps for a class; rows repeat no name."""
    where = title = ""
    for row in regions:
        where, title = row[0].rpartition(" at ")[2] or where, row[1] or title
        if title.partition(" for ")[2] == name and row[-1]:
            yield (f"at {where}", title.partition(" for ")[0], row[2], row[3], row[-2], row[-1])


def _number(score: str) -> float:
    return float(score.lstrip("<> "))


def _in_words(score: str) -> str:
    return score.replace("> ", "over ").replace("< ", "under ")


def _in_general(found: Misclassified, audit: Audit | None) -> str:
    """Name what misleads the recording's class as a whole, where this recording has it for certain."""
    for effect in audit.effects if audit else ():
        for each in effect.classes:
            silent = effect.name == "silence" and found.silent is not None and bool((found.silent > 0).any())
            if each.name == found.label and each.gains and (silent or each.touched == each.files):
                return (
                    f"{effect.thing} may be part of it: in the audit, {each.before:.0%} of {found.label}'s segments "
                    f"are right with {effect.it}, {each.after:.0%} without"
                )
    return ""


# ---- words --------------------------------------------------------------------------------------------------------


def _votes(found: Misclassified, which: BoolArray) -> Int64Array:
    return np.bincount(found.chosen[which], minlength=len(found.classes)).astype(np.int64)


def _as_elsewhere(found: Misclassified) -> str:
    """Say that the run takes silence for the predicted class in most of its segments."""
    if found.silence is None or found.silence[0] != found.predicted:
        return ""
    return f", as {found.silence[1]} of the run's {found.silence[2]} silent segments are"


def _counted(found: Misclassified) -> str:
    """Count the votes by class, most first, the true class among them where it has any."""
    order = [int(index) for index in np.argsort(-found.votes, kind="stable") if found.votes[index]]
    named = order[:MOST_NAMED]
    if found.votes[found.true] and found.true not in named:
        named[-1] = found.true
    rest = int(found.votes.sum() - found.votes[named].sum())
    counts = [f"{int(found.votes[index])} as {found.classes[index]}" for index in named]
    return ", ".join([*counts, *([f"{rest} as others"] if rest else [])])


def _of_all(found: Misclassified) -> str:
    count, total = int(found.votes[found.predicted]), len(found.chosen)
    if total == 1:
        return "its only segment was"
    return f"all {total} segments were" if count == total else f"{count} of its {total} segments {_were(count)}"


def _segments(found: Misclassified) -> str:
    return f"{len(found.chosen)} segment{'s' * (len(found.chosen) > 1)}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
