"""What a page has made: maps, sounds, edits, decisions; functions from what is asked to what is answered."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import numpy as np
from starlette.responses import Response

from earwitness.audio.timefreq import segment_hop
from earwitness.core.errors import UsageError
from earwitness.core.progress import Progress
from earwitness.explainers.attribution import Attribution, Target
from earwitness.explainers.method import Explainer
from earwitness.explainers.parameters import in_force, spec
from earwitness.explainers.registry import parse
from earwitness.inspection.files import nearest_segment, surest_segment
from earwitness.models.hierarchy import most_specific
from earwitness.models.prediction import ScoredRecording
from earwitness.sonify.edits import Edit, Outline
from earwitness.sonify.listening import SOUNDS, Listening
from earwitness.sonify.masks import Box, mask_of
from earwitness.web import mapped, shapes, shown
from earwitness.web.arrays import Drawn
from earwitness.web.asked import BoxEdit, LassoEdit, MapQuestion
from earwitness.web.collection import Collection
from earwitness.web.endpoint import Given
from earwitness.web.looking import array
from earwitness.web.shelf import WHOLE, HeldMap
from earwitness.web.studio import NotThereError, Studio
from earwitness.workflows.maps import Shown
from earwitness.workflows.what_if import WhatIf

MOST_OF_A_SETTING = 10_000  # samples, steps, cells of a grid: several times of what any method needs
MOST_EDITED_SECONDS = 60.0  # of a longer recording the surroundings of the edits are scored
AROUND_SECONDS = 10.0


# ---- maps ---------------------------------------------------------------------------------------------------------


def make_map(studio: Studio, given: Given) -> Any:
    """Return a map that is held, or the job that makes it."""
    (collection, name), asked = studio.recording(given.ids["c"], given.ids["r"]), given.body
    scored, whole = collection.scored(name), asked.method == WHOLE
    target = _target(collection, scored, asked)
    row = 0 if whole else _segment(scored, asked.at, target)
    start = 0.0 if whole else float(scored.clock.frame_start_seconds(scored.start_frames[row]))
    explainer = None if whole else _bounded(asked.method)
    method = WHOLE if explainer is None else spec(explainer)
    held = _held(collection, name, start, target, method, whole=whole)
    if held is not None and (whole or not asked.verdict or held.level is not None):
        return shapes.MapAnswer(map=mapped.map_shape(collection, held))
    with collection.reading(name) as path:
        about = Shown(collection.model, path, scored)

    def work(progress: Progress) -> dict[str, Any]:
        if explainer is None:
            found = about.whole_map(collection.model.classes[target.index], progress)
        else:
            known = _held(collection, name, start, target, method, whole=False)
            found = about.map_of(row, explainer, target, progress) if known is None else Attribution.load(known.path)
            if asked.verdict and found.verdict is None:
                found = about.judged(row, explainer, found, progress)
        kept = collection.shelf.put(replace(found, file=name), method, whole=whole)
        return {"map": msgspec.to_builtins(mapped.map_shape(collection, kept))}

    job = collection.worker.submit(f"{asked.method}: {collection.title_of(name)}", work)
    return 202, shapes.MapAnswer(job=shown.job_shape(collection.worker, job))


def _held(
    collection: Collection, name: str, start: float, target: Target, method: str, *, whole: bool
) -> HeldMap | None:
    label = target.label(collection.model.classes)
    return collection.shelf.find(name, start, label, method, whole=whole)


def _target(collection: Collection, scored: ScoredRecording, asked: MapQuestion) -> Target:
    """Return what is to be explained: where nobody names a class, the one of the highest mean score."""
    classifier = collection.model.classifier
    best = most_specific(scored.mean, classifier.parents)[-1]
    index = best if asked.target is None else classifier.class_index(asked.target)
    return Target(index, None if asked.against is None else classifier.class_index(asked.against))


def _bounded(asked: str) -> Explainer:
    """Return the method that is asked for, unless it would take all memory before it could be stopped."""
    explainer = parse(asked)
    for name, value in in_force(explainer).items():
        numbers = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, int)]
        if name != "seed" and math.prod(numbers) > MOST_OF_A_SETTING:
            raise UsageError(
                f"{asked}: {name} is too much for the page, {MOST_OF_A_SETTING:,} at most; ask `earwitness explain`"
            )
    return explainer


def _segment(scored: ScoredRecording, at: float | None, target: Target) -> int:
    """Return the segment around a moment; where none is named, the surest one with sound for the target."""
    if at is None:
        return surest_segment(scored, target.index)
    if at > scored.seconds:
        raise UsageError(f"{at:g} s: {scored.file} lasts {scored.seconds:.2f} s; name a moment within it")
    return nearest_segment(scored, at)


def map_values(studio: Studio, given: Given) -> Response:
    """Return a map's cells."""
    _, held = _map(studio, given.ids["m"])
    return array(Drawn(mapped.cells(Attribution.load(held.path)), 0.0, 0.0))


def _map(studio: Studio, name: str) -> tuple[Collection, HeldMap]:
    for collection in studio.shown:
        if (held := collection.shelf.named(name)) is not None:
            return collection, held
    raise NotThereError("no such map; ask for it again")


# ---- jobs ---------------------------------------------------------------------------------------------------------


def job(studio: Studio, given: Given) -> shapes.JobShape:
    """Return a job as it is now."""
    return shown.job_shape(*studio.job(given.ids["j"]))


def cancel(studio: Studio, given: Given) -> shapes.JobShape:
    """End a job."""
    worker, found = studio.job(given.ids["j"])
    worker.cancel(found)
    return shown.job_shape(worker, found)


# ---- listening ----------------------------------------------------------------------------------------------------


def listen(studio: Studio, given: Given) -> shapes.Listened:
    """Return a map as sound: original, kept and removed, at one loudness, with the scores of each."""
    (collection, name), asked = studio.recording(given.ids["c"], given.ids["r"]), given.body
    held = collection.shelf.named(asked.map)
    if held is None or held.recording != name:
        raise NotThereError("no such map of this recording; ask for it again")
    found, classifier = Attribution.load(held.path), collection.model.classifier
    mask = mask_of(found, classifier.front_end.clock, asked.keep, asked.by)
    stretch = collection.held_sound(name, *_explained(collection, held, found))
    listening = Listening(
        path=collection.paths[name],
        sample_rate=stretch.sample_rate,
        channels=1,
        start_seconds=stretch.start_seconds,
        end_seconds=stretch.end_seconds,
        keep=mask,
        classifier=classifier,
        target=collection.model.classes[found.target.index],
        decoded=stretch.samples,
    )
    key = f"{collection.id}\n{name}\n{held.id}\n{held.path.stat().st_mtime_ns}\n{asked.keep:.6f}\n{asked.by}"
    made = {each: studio.sounds.put("\n".join((key, each)), partial(_of_listening, listening, each)) for each in SOUNDS}
    told = {each: shown.scored_list(collection.worker.now(partial(listening.score, each))) for each in SOUNDS}
    return shapes.Listened(
        id=held.id,
        start_seconds=stretch.start_seconds,
        end_seconds=stretch.end_seconds,
        area=mask.area,
        sounds=shapes.Sounds(**{each: f"/api/sounds/{name}" for each, name in made.items()}),
        scores=shapes.SoundScores(**told),
    )


def _explained(collection: Collection, held: HeldMap, found: Attribution) -> tuple[float, float | None]:
    """Return the seconds that a map explains; None for the end where it reaches to the recording's, a frame apart."""
    frame = collection.model.classifier.front_end.clock.frame_seconds
    end = found.start_seconds + len(found.values) * frame
    known = collection.known.get(held.recording)
    whole = held.whole or (known is not None and end + frame > known.seconds)
    return (0.0 if held.whole else found.start_seconds), None if whole else end


def _of_listening(listening: Listening, name: str) -> tuple[Any, int]:
    return (block[:, 0] for block in listening.finished(name)), listening.sample_rate


# ---- what if ------------------------------------------------------------------------------------------------------


def what_if(studio: Studio, given: Given) -> shapes.WhatIfAnswer:
    """Return the scores of a recording before and after some edits, and its sound."""
    (collection, name), asked = studio.recording(given.ids["c"], given.ids["r"]), given.body
    began = time.perf_counter()
    edits = [_edit(each) for each in asked.edits]
    stretch = collection.held_sound(name, *_stretch(collection, name, edits, asked.start, asked.end))
    found = collection.worker.now(lambda: stretch.what_if(edits))
    best = found.before.voted
    starts = stretch.start_seconds + found.before.clock.frame_start_seconds(found.before.start_frames)
    key = f"{collection.id}\n{name}\n{stretch.start_seconds}\n{msgspec.json.encode(asked.edits).decode()}"
    url = None
    if asked.sound:
        made = studio.sounds.put(key, lambda: (iter([found.samples[:, 0]]), stretch.sample_rate))
        url = f"/api/sounds/{made}"
    return shapes.WhatIfAnswer(
        id=given.ids["r"],
        start_seconds=stretch.start_seconds,
        end_seconds=stretch.end_seconds,
        predicted_before=found.before.classes[best],
        predicted_after=found.after.classes[found.after.voted],
        before=shown.scored_list(found.scores_before),
        after=shown.scored_list(found.scores),
        segments=shapes.SegmentScores(
            start_seconds=starts.tolist(),
            before=found.before.scores[:, best].tolist(),
            after=found.after.scores[:, best].tolist(),
        ),
        segment=None if asked.segment is None else _edited_segment(collection, name, found, asked.segment),
        milliseconds=1000 * (time.perf_counter() - began),
        sound=url,
    )


def _edited_segment(collection: Collection, name: str, found: WhatIf, start: float) -> shapes.EditedSegment:
    """Return the scores of the segment that begins at a moment; where the stretch does not hold it, it is cut alone."""
    before, clock = found.before, found.before.clock
    starts = found.sound.start_seconds + clock.frame_start_seconds(before.start_frames)
    row = int(np.abs(starts - start).argmin())
    if abs(starts[row] - start) > clock.frame_seconds / 2:
        end = start + (before.segment_frames + 1) * clock.frame_seconds
        alone = collection.held_sound(name, start, end)
        found, row = collection.worker.now(lambda: alone.what_if(found.edits)), 0
    named = shown.ranked(found.before.classes, found.before.scores[row])
    after = {each: found.after.scores[row, found.after.classes.index(each)] for each in named}
    return shapes.EditedSegment(
        start_seconds=start,
        end_seconds=min(start + before.segment_frames * clock.frame_seconds, found.sound.end_seconds),
        before=shown.scored_list(named),
        after=shown.scored_list(after),
    )


def _edit(asked: BoxEdit | LassoEdit) -> Edit:
    if isinstance(asked, LassoEdit):
        return Edit(Outline(tuple(asked.points)), asked.action, asked.decibels)
    box = Box(start_seconds=asked.start, end_seconds=asked.end, low_hz=asked.low, high_hz=asked.high)
    return Edit(box, asked.action, asked.decibels)


def _stretch(
    collection: Collection, name: str, edits: list[Edit], start: float | None, end: float | None
) -> tuple[float, float | None]:
    """Return the stretch to score: as asked, or all of a short recording, or what is around the edits."""
    known = collection.known.get(name)
    seconds = known.seconds if known is not None else collection.scored(name).seconds
    if start is not None or end is not None or seconds <= MOST_EDITED_SECONDS or not edits:
        first, last = start or 0.0, seconds if end is None else end
        if last <= first:
            raise UsageError(f"from {first:g} to {last:g} s is no stretch; name the earlier moment first")
        if last - first > MOST_EDITED_SECONDS * 2:
            raise UsageError(f"{last - first:g} s are too many to edit at once; name {MOST_EDITED_SECONDS:g} s or less")
        return first, end
    first = max(0.0, min(each.shape.start_seconds for each in edits) - AROUND_SECONDS)
    last = max(each.shape.end_seconds for each in edits) + AROUND_SECONDS
    classifier = collection.model.classifier  # from where a segment begins, so that its segments are the recording's
    step = segment_hop(classifier.segment_frames, classifier.overlap) * classifier.front_end.clock.frame_seconds
    return _stretch(collection, name, edits, first // step * step, float(int(last) + 1))


# ---- what a person decides ----------------------------------------------------------------------------------------


def review(studio: Studio, given: Given) -> shapes.ReviewShape:
    """Keep a decision."""
    collection, name = studio.recording(given.ids["c"], given.ids["r"])
    return shown.review(studio.reviews(collection).put(name, given.body.decision, given.body.note))


def undo(studio: Studio, given: Given) -> shapes.Reviewed:
    """Take the last decision back."""
    collection, name = studio.recording(given.ids["c"], given.ids["r"])
    found = studio.reviews(collection).delete(name)
    return shapes.Reviewed(review=None if found is None else shown.review(found))


def finding(studio: Studio, given: Given) -> shapes.FindingShape:
    """Keep an edit with its scores."""
    (collection, name), asked = studio.recording(given.ids["c"], given.ids["r"]), given.body
    before: list[shapes.Scored] = []
    after: list[shapes.Scored] = []
    if asked.edits:
        edits = [_edit(each) for each in asked.edits]
        stretch = collection.held_sound(name, *_stretch(collection, name, edits, None, None))
        found = collection.worker.now(lambda: stretch.what_if(edits))
        before, after = shown.scored_list(found.scores_before), shown.scored_list(found.scores)
    kept = studio.reviews(collection).add_finding(
        name,
        title=asked.title,
        note=asked.note,
        edits=msgspec.to_builtins(asked.edits),
        map=asked.map,
        before=msgspec.to_builtins(before),
        after=msgspec.to_builtins(after),
    )
    return shown.finding(kept)


def remove_finding(studio: Studio, given: Given) -> shapes.Removed:
    """Remove a finding."""
    for collection in studio.shown:
        if studio.reviews(collection).remove_finding(given.ids["f"]):
            return shapes.Removed(removed=given.ids["f"])
    raise NotThereError("no such finding; it may have been removed already")


def upload(studio: Studio, given: Given) -> shapes.Uploaded:
    """Take in a file that was sent."""
    assert given.file is not None
    collection, recording = studio.receive(given.query.collection, given.name, given.file)
    return shapes.Uploaded(collection=collection.id, recording=recording)
