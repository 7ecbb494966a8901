"""Other segments than a model's own: which ones `explain` takes, and which it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import earwitness as ew
import tiny_run
from earwitness.audio import decoding
from earwitness.core.errors import UsageError
from earwitness.inspection.files import finding_of, score_file, silence_explained
from earwitness.inspection.model import Model
from earwitness.models.classifier import Classifier
from earwitness.models.registry import BACKBONES


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return tiny_run.make(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "a.wav"
    decoding.write_wav(path, np.random.default_rng(0).normal(0, 0.1, 6 * 16000), 16000)
    return path


def test_other_segments_are_scored_and_explained(run, sound):
    own = ew.load_model(run)
    assert (own.segment_seconds, own.classifier.overlap) == (0.96, 50.0)
    other = ew.load_model(run, segment_seconds=2.0, overlap=0.0)
    found = ew.explain(sound, other, methods="gradcam", verdicts=False, progress=False, at=1.0)
    assert found.end_seconds - found.start_seconds == pytest.approx(2.0)
    assert other.classifier.network is not None
    assert own.with_segments() is own
    assert own.with_segments(overlap=75.0).segment_seconds == own.segment_seconds


def test_what_was_measured_on_segments_of_one_length_is_not_taken_for_others(run):
    own = ew.load_model(run)
    assert own.with_segments(overlap=10.0).cache == own.cache
    assert own.with_segments(2.0).cache != own.cache
    assert own.with_segments(2.0).cache != own.with_segments(3.0).cache


@pytest.mark.parametrize(
    ("seconds", "overlap", "words"),
    [
        (2.0, None, "--segment 2: vggish takes segments of 0.96 s only"),
        (None, 100.0, "--overlap 100: must be at least 0 and under 100 percent"),
        (0.0, None, "--segment 0: must be over 0"),
    ],
)
def test_segments_that_a_network_cannot_take_are_refused(tmp_path, seconds, overlap, words):
    backbone = BACKBONES["vggish"]
    classifier = Classifier(
        network=backbone.build(2).eval(),
        front_end=backbone.front_end,
        classes=("a", "b"),
        backbone="vggish",
        segment_frames=backbone.front_end.segment_frames,
        overlap=75.0,
    )
    model = Model(name="run", classifier=classifier, cache=tmp_path)
    with pytest.raises(UsageError, match=words):
        ew.load_model(model, segment_seconds=seconds, overlap=overlap)


@pytest.fixture(scope="module")
def half_silent(tmp_path_factory) -> Path:
    """A second of noise, then three of digital silence."""
    path = tmp_path_factory.mktemp("half") / "half.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, 16000)
    decoding.write_wav(path, np.concatenate([noise, np.zeros(3 * 16000)]).astype(np.float32), 16000)
    return path


def class_of_silence(run: Path, path: Path) -> str:
    """Return the class whose surest segment is without sound."""
    model = ew.load_model(run)
    scored = score_file(model.classifier, path)
    surest = scored.start_frames[scored.scores.argmax(axis=0)] * scored.clock.frame_seconds
    return next(name for name, start in zip(model.classes, surest, strict=True) if start > 1.0)


def test_the_surest_segment_with_sound_is_explained_and_a_surer_silent_one_named(run, half_silent):
    name = class_of_silence(run, half_silent)
    found = ew.explain(half_silent, run, methods="gradcam", classes=name, verdicts=False, progress=False)
    assert found.start_seconds < 1.0
    assert "silent" not in found["gradcam"].flags
    (note,) = [each for each in found.notes if "silent" in each]
    assert note.startswith("the segment at ")
    at = float(note.partition("--at ")[2].partition(" ")[0])
    named = ew.explain(half_silent, run, methods="gradcam", classes=name, at=at, verdicts=False, progress=False)
    assert "silent" in named["gradcam"].flags
    assert not [each for each in named.notes if "silent" in each]


def test_a_detection_explained_by_a_silent_segment_is_said_to_be_so(run, half_silent):
    model = ew.load_model(run)
    scored = score_file(model.classifier, half_silent)
    findings = [finding_of(half_silent, scored, row, scored.take([row]), ()) for row in (0, 5, 6)]
    (note,) = silence_explained(findings)
    assert "at 2.40 s, 2.88 s hold no sound; --at" in note
    assert silence_explained(findings[:1]) == ()
