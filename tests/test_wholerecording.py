"""A whole recording's cells are hidden, and only the segments that contain them are heard again."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio.segments import Segments
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.explainers import fills
from earwitness.explainers.attribution import Target
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.perturbation import recording as wholerecording
from earwitness.explainers.perturbation.occlusion import Occlusion
from earwitness.explainers.perturbation.recording import explain_recording
from earwitness.explainers.perturbation.scoring import Piece, Sheet
from explain_toys import SILENCE, convolutional, linear
from rounding import rounding

CUT = {"segment_frames": 12, "overlap": 75.0}


def recording(frames=40, bands=8, seed=0):
    return np.random.default_rng(seed).standard_normal((frames, bands)).astype(np.float32)


def mean_score(classifier, log_mel, target, score, hop=3):
    starts = sorted({*range(0, len(log_mel) - 11, hop), len(log_mel) - 12})  # the last ends flush with the recording
    windows = np.stack([log_mel[start : start + 12] for start in starts])
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
        np.testing.assert_allclose(one.native.ravel(), scores[0] - np.array(scores[1:]), atol=rounding(1.0))
        assert one.score == pytest.approx(scores[0], abs=rounding(1.0))
        assert one.values.shape == log_mel.shape


@pytest.mark.parametrize("soft", [0, 1, 3])
@pytest.mark.parametrize("fill", [*sorted(fills.FILLS), -1.0])
@pytest.mark.parametrize("along", ["both", "time", "bands"])
def test_hiding_in_a_stretch_equals_hiding_in_the_whole_recording(fill, soft, along, monkeypatch):
    monkeypatch.setattr(wholerecording, "TOGETHER", 3)
    classifier, log_mel = convolutional(), recording(77)  # the last segment lies nearer to the one before it
    explainer = Occlusion(mask=(5, 4), stride=(4, 3), along=along, fill=fill, soft=soft, seed=4, score="logit")
    (found,) = explain_recording(classifier, log_mel, [Target(1)], explainer, **CUT)
    whole = Segments(log_mel[None], np.zeros(1, int), np.array([77]), ("long.wav",))
    masks = explainer.masks(77, 8)
    # What one sheet of the whole recording hides, each copy cut and heard from end to end.
    copies, _ = Sheet(Prepared(classifier), whole, fill, 4, soft).perturbed(Piece(0, 0, masks.count), masks)
    assert len(copies) == masks.count
    scores = np.array([mean_score(classifier, copy.numpy(), Target(1), "logit") for copy in copies])
    np.testing.assert_allclose(found.native.ravel(), scores[0] - scores[1:], atol=rounding(1.0))
    assert np.abs(found.native).max() > 2e-4


def test_a_second_fill_is_compared():
    classifier, log_mel = convolutional(), recording(40)
    first, second = (Occlusion(mask=(4, 4), stride=(4, 4), fill=fill) for fill in ("mean", "noise"))
    alone, other = (explain_recording(classifier, log_mel, [Target(1)], each, **CUT)[0] for each in (first, second))
    both = dataclasses.replace(first, fill2="noise")
    (found,) = explain_recording(classifier, log_mel, [Target(1)], both, **CUT)
    np.testing.assert_array_equal(found.values, alone.values)
    assert found.diagnostics == alone.diagnostics | fills.disagreement(alone, other)
    assert found.forwards == alone.forwards + other.forwards
    assert found.parameters["fill2"] == "noise"


def test_no_more_is_copied_at_once_than_a_long_recording_allows(monkeypatch):
    log_mel = recording(2000)
    seen = []
    plain = Sheet.perturbed

    def watched(self, piece, hiding):
        copies, taken = plain(self, piece, hiding)
        seen.append(copies.shape)
        return copies, taken

    monkeypatch.setattr(Sheet, "perturbed", watched)
    for along, cells in (("both", 2**25), ("bands", 3 * log_mel.size)):
        monkeypatch.setattr(wholerecording, "CELLS_TOGETHER", cells)
        seen.clear()
        explain_recording(
            convolutional(), log_mel, [Target(1)], Occlusion(mask=(4, 2), stride=(4, 1), along=along), **CUT
        )
        assert max(np.prod(shape) for shape in seen) <= cells
        if along == "both":  # a mask is seen by few segments, and only these are copied
            assert max(shape[1] for shape in seen) < 60


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
        np.testing.assert_allclose(whole.values, plain.values, atol=rounding(1.0))
        assert whole.parameters == plain.parameters
        assert (whole.file, whole.start_seconds) == ("one.wav", plain.start_seconds)


def test_every_frame_is_seen_unless_the_tail_is_left_out():
    explainer = Occlusion(mask=(1, 8), stride=(1, 8), edges="whole")
    (seen,) = explain_recording(convolutional(), recording(14), [Target(0)], explainer, **CUT)
    (cut,) = explain_recording(convolutional(), recording(14), [Target(0)], explainer, **CUT, tail=False)
    assert seen.values[12:].any(axis=1).all()
    assert not cut.values[12:].any()
    assert cut.values[:12].any()


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
