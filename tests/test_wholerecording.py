"""A whole recording's cells are hidden, and only the segments that contain them are heard again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.errors import EarwitnessError, UsageError
from earwitness.explain.attribution import Target
from earwitness.explain.occlusion import Occlusion
from earwitness.explain.wholerecording import explain_recording
from earwitness.segments import Segments
from explain_toys import SILENCE, convolutional, linear

CUT = {"segment_frames": 12, "overlap": 75.0}


def recording(frames=40, bands=8, seed=0):
    return np.random.default_rng(seed).standard_normal((frames, bands)).astype(np.float32)


def mean_score(classifier, log_mel, target, score, hop=3):
    windows = np.stack([log_mel[start : start + 12] for start in range(0, len(log_mel) - 11, hop)])
    with torch.inference_mode():
        logits = classifier.network(torch.tensor(windows)).double()
    scores = logits.softmax(-1) if score == "probability" else logits
    return float(scores[:, target.index].mean() - (0 if target.against is None else scores[:, target.against].mean()))


@settings(max_examples=12, deadline=None)
@given(
    st.integers(12, 45),
    st.tuples(st.integers(1, 6), st.integers(1, 8)),
    st.sampled_from(["clip", "whole", "cover"]),
    st.sampled_from(["logit", "probability"]),
    st.integers(0, 10**6),
)
def test_equals_hearing_every_segment_again(frames, mask, edges, score, seed):
    classifier, log_mel = convolutional(), recording(frames, seed=seed)
    explainer = Occlusion(mask=mask, stride=mask, edges=edges, score=score)
    targets = [Target(1), Target(2, against=0)]
    found = explain_recording(classifier, log_mel, targets, explainer, **CUT)
    masks = explainer.masks(frames, 8)
    hidden = masks.hidden(0, 0, masks.count).numpy()
    for one in found:
        scores = [
            mean_score(
                classifier,
                np.where(each, log_mel.mean(dtype=np.float64).astype(np.float32), log_mel),
                one.target,
                score,
            )
            for each in hidden
        ]
        np.testing.assert_allclose(one.native.ravel(), scores[0] - np.array(scores[1:]), atol=2e-6)
        assert one.score == pytest.approx(scores[0], abs=1e-6)
        assert one.values.shape == log_mel.shape


def test_fewer_segments_are_heard_than_by_brute_force():
    classifier = linear()
    explainer = Occlusion(mask=(4, 8), stride=(4, 8), edges="whole")
    (found,) = explain_recording(classifier, recording(48), [Target(0)], explainer, **CUT)
    starts = np.arange(0, 37, 3)
    touched = sum(int(((starts < first + 4) & (starts + 12 > first)).sum()) for first in range(0, 45, 4))
    assert found.forwards == classifier.network.seen == len(starts) + touched
    assert found.diagnostics["brute_forwards"] == len(starts) * (1 + 12)
    assert found.forwards < found.diagnostics["brute_forwards"] / 2


def test_one_segment_is_plain_occlusion():
    classifier, log_mel = convolutional(), recording(12)
    excerpt = Segments(log_mel[None], np.zeros(1, int), np.array([12]), ("one.wav",))
    for explainer in (Occlusion(), Occlusion(fill="neighbours", soft=1, mask=(5, 3), stride=(2, 2), along="time")):
        (plain,) = explainer.attribute(classifier, excerpt, [[Target(2)]])
        (whole,) = explain_recording(classifier, log_mel, [Target(2)], explainer, **CUT, file="one.wav")
        np.testing.assert_allclose(whole.values, plain.values, atol=1e-6)
        assert whole.parameters == plain.parameters
        assert (whole.file, whole.start_seconds) == ("one.wav", plain.start_seconds)


def test_frames_that_nobody_hears_are_no_evidence():
    (found,) = explain_recording(
        convolutional(), recording(14), [Target(0)], Occlusion(mask=(1, 8), stride=(1, 8), edges="whole"), **CUT
    )
    assert not found.values[12:].any()
    assert found.values[:12].any()


def test_short_and_silent_recordings_are_flagged():
    (short,) = explain_recording(convolutional(), recording(7), [Target(0)], **CUT)
    assert short.flags == ("padded",)
    assert short.values.shape == (12, 8)
    assert not short.values[7:].any()
    quiet = np.full((30, 8), SILENCE, np.float32)
    (silent,) = explain_recording(convolutional(), quiet, [Target(0)], **CUT)
    assert set(silent.flags) == {"silent", "constant"}
    assert silent.forwards == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segment_frames": None}, "does not say how recordings are cut"),
        ({"overlap": 100.0}, "overlap=100 do not do"),
        ({"targets": [Target(9)]}, "target 9 is out of range"),
        ({"log_mel": np.zeros((0, 8), np.float32)}, "not empty"),
        ({"explainer": Occlusion(fill2="noise")}, "fill2 is for segments"),
        ({"explainer": Occlusion(mask=(13, 2), stride=(1, 1))}, "mask=13x2 is larger than the segment of 12x8"),
    ],
)
def test_what_cannot_be_explained(change, message):
    given = {"log_mel": recording(), "targets": [Target(0)], "explainer": None, **CUT} | change
    with pytest.raises(UsageError, match=message):
        explain_recording(convolutional(), **given)


def test_nan_score_names_the_segment():
    classifier = convolutional()
    log_mel = recording(40)
    log_mel[36] = np.nan
    with pytest.raises(EarwitnessError, match=r"long.wav at 0.27 s: .* NaN"):
        explain_recording(classifier, log_mel, [Target(0)], **CUT, file="long.wav")
