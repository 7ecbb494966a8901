"""From attributions to attributions with verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from earwitness.audio.segments import Segments
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers.attribution import Attribution, Target, is_silent
from earwitness.explainers.inference.prepared import prepare
from earwitness.explainers.method import Explainer
from earwitness.models.protocols import Explainable
from earwitness.trust.metrics.consensus import Panel
from earwitness.trust.metrics.randomisation import Randomisation, kept_randomisation
from earwitness.trust.metrics.reinitialise import can_be_random
from earwitness.trust.verdicts.indicators import signs
from earwitness.trust.verdicts.judge import Judge, verdict

# Segments on which a method is tested with random weights, and blocks of layers: enough for a mean, as cheap as a few
# maps.
TESTED_ON, BLOCKS = 3, 5


def judged(
    classifier: Explainable,
    explainer: Explainer,
    segments: Segments,
    attributions: Sequence[Attribution],
    tested: Randomisation | None,
    *,
    panel: Panel | None = None,
    judge: Judge | None = None,
    seed: int = 0,
    progress: Progress = NO_PROGRESS,
) -> list[Attribution]:
    """Return one method's attributions with their verdicts.

    Parameters
    ----------
    classifier, explainer
        What made them.
    segments
        One segment per attribution.
    attributions
        The maps.
    tested
        What random weights do to the method's maps of this classifier; None leaves that sign out.
    panel
        Of these segments and targets, where several methods are held against the same maps; None makes one.
    judge
        None takes the one that comes with earwitness.
    seed
        Of random orders and noises.
    progress
        Told how far the work has come.
    """
    measured = signs(classifier, explainer, segments, attributions, tested, panel=panel, seed=seed, progress=progress)
    return [
        replace(one, verdict=verdict(found, judge).as_dict()) for one, found in zip(attributions, measured, strict=True)
    ]


def all_judged(
    cache: Path,
    classifier: Explainable,
    methods: Sequence[Explainer],
    segments: Segments,
    found: Sequence[Sequence[Attribution]],
    to_test: tuple[Segments, list[Target]] | None,
    progress: Progress = NO_PROGRESS,
) -> list[list[Attribution]]:
    """Return several methods' attributions of the same segments and targets with their verdicts.

    Parameters
    ----------
    cache
        Folder in which tests with random weights are kept.
    classifier, methods
        What made the maps.
    segments
        One segment per attribution of a method.
    found
        A method's maps each.
    to_test
        The segments and targets that methods are tested on with random weights; None leaves that sign out, and so does
        a network that has no weights to redraw.
    progress
        Told how far the work has come.
    """
    if not found:
        return []
    prepared = prepare(classifier)
    panel = Panel(prepared, segments, found[0], progress)
    if not can_be_random(prepared.classifier.network):
        to_test = None
    all_of_them = []
    for method, maps in zip(methods, found, strict=True):
        tested = None if to_test is None else randomised_once(cache, prepared, method, *to_test, progress)
        all_of_them.append(judged(prepared, method, segments, maps, tested, panel=panel, progress=progress))
    return all_of_them


def randomised_once(
    cache: Path,
    classifier: Explainable,
    explainer: Explainer,
    segments: Segments,
    targets: Sequence[Target],
    progress: Progress = NO_PROGRESS,
) -> Randomisation:
    """Return what random weights do to a method, measured the first time and kept in the folder."""
    return kept_randomisation(
        cache, classifier, explainer, segments, targets, blocks=BLOCKS, alone=False, progress=progress
    )


def rows_to_test(classifier: Explainable, segments: Segments) -> list[int]:
    """Return the rows of a few sounding segments, evenly spread, on which methods are tested with random weights.

    Where nothing sounds, the first segment must do.
    """
    silence = float(classifier.front_end.silence)
    sounding = [
        row
        for row, (values, real) in enumerate(zip(segments.values, segments.real_frames, strict=True))
        if not is_silent(values, int(real), silence)
    ]
    count = min(TESTED_ON, len(sounding))
    return [sounding[at * len(sounding) // count] for at in range(count)] or [0]
