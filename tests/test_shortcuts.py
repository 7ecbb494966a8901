"""Planted shortcuts: the truth is where the artefact is, and only what is demonstrably used is asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from earwitness.audio.artefacts import ARTEFACTS
from earwitness.audio.frontend import VGGISH
from earwitness.models.classifier import Classifier
from earwitness.trust.scoreboard import cases, tiny_models
from earwitness.trust.scoreboard import planted as shortcuts
from earwitness.trust.scoreboard.mixtures import Stage

STAGE = Stage(VGGISH, shortcuts.CLASSES, 96)


def mask_of(name: str) -> np.ndarray:
    slope = np.arange(1, STAGE.samples // 2 + 2) ** -0.5
    rng = np.random.default_rng(0)
    noise = np.fft.irfft(np.fft.rfft(rng.normal(size=STAGE.samples)) * slope, STAGE.samples)
    clean = (0.1 * noise / noise.std()).astype(np.float32)
    return shortcuts.change_mask(clean, ARTEFACTS[name].put_in(clean, VGGISH.sample_rate), STAGE) >= 0.5


def test_click_lies_in_the_first_frames():
    mask = mask_of("click")
    assert mask[0].mean() > 0.9
    assert not mask[3:].any()


def test_tone_lies_in_its_band():
    mask, band = mask_of("tone"), int(VGGISH.clock.hz_to_band(6000.0))
    assert mask[:, band].mean() > 0.9
    assert not mask[:, : band - 2].any()
    assert not mask[:, band + 3 :].any()


def test_missing_band_lies_above_4_khz():
    mask, band = mask_of("band limit"), int(VGGISH.clock.hz_to_band(4000.0))
    assert mask[:, band + 4 :].mean() > 0.99
    assert not mask[:, : band - 1].any()


def test_hum_lies_below_700_hz_at_all_times():
    mask = mask_of("hum")
    assert not mask[:, int(VGGISH.clock.hz_to_band(700.0)) :].any()
    assert mask.any(axis=1).all()


class HearsClicks(torch.nn.Module):
    """Says the carrier where the first frame is louder than the twentieth."""

    def __init__(self, sign: float = 1.0):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(sign))

    def forward(self, x):
        rise = (x[:, 0] - x[:, 10:30].mean(dim=1)).mean(dim=1)
        logits = torch.zeros(len(x), len(shortcuts.CLASSES))
        logits[:, shortcuts.CLASSES.index(shortcuts.CARRIER)] = 8.0 * self.weight * (rise - 0.7)
        return logits


def hearing(network: torch.nn.Module) -> Classifier:
    return Classifier(
        network=network, front_end=VGGISH, classes=shortcuts.CLASSES, backbone="toy", segment_frames=96, overlap=0.0
    )


def plant(monkeypatch, classifier):
    learned_from = []

    def learned(log_mels, labels, classes, **_):
        learned_from.append((log_mels, labels, classes))
        return classifier

    monkeypatch.setattr(shortcuts, "learned", learned)
    (found,) = shortcuts.plant(["click"], size=shortcuts.Size(train=2, held_out=3, epochs=1), seed=1)
    return found, learned_from[0]


@pytest.fixture
def planted(monkeypatch):
    return plant(monkeypatch, hearing(HearsClicks()))


def test_one_class_alone_carries_it_while_learning(planted):
    _, (log_mels, labels, classes) = planted
    assert len(log_mels) == 8
    rises = [float((each[0] - each[10:30].mean(axis=0)).mean()) for each in log_mels]
    for rise, label in zip(rises, labels, strict=True):
        assert (rise > 0.7) == (classes[label] == shortcuts.CARRIER)


def test_use_is_measured_on_held_out_clips(planted):
    found, _ = planted
    assert (found.accuracy, found.without) == (1.0, 0.0)
    assert found.used
    assert "100 % of the clips of its class are right with it, 0 % without" in found.text()


def test_an_audit_finds_what_is_used_and_accuses_nothing_else(planted, monkeypatch):
    found, _ = planted
    assert found.audited == ("edges",)
    assert found.text().endswith("; an audit finds it by edges")
    unused, _ = plant(monkeypatch, hearing(HearsClicks(-1.0)))
    assert unused.audited == ()
    assert "no audit finds it" in replace(found, audited=()).text()


def test_cases_are_held_out_clips_of_all_classes_with_and_without_it(planted):
    found, _ = planted
    assert len(found.cases) == 12
    assert all(case.target.index == shortcuts.CLASSES.index(shortcuts.CARRIER) for case in found.cases)
    assert {label for label in shortcuts.CLASSES for case in found.cases[:4] if label in case.name} == {
        *shortcuts.CLASSES
    }
    for case in found.cases:
        assert (case.log_mel[5:] == case.without[5:]).all()
        assert (case.log_mel[0] > case.without[0]).mean() > 0.9
    assert [each.reason for each in cases.check(found.classifier, found.cases)] == [""] * 12


def test_what_is_not_used_gives_no_cases(monkeypatch):
    found, _ = plant(monkeypatch, hearing(HearsClicks(-1.0)))
    assert not found.used
    assert found.cases == ()
    assert "not used" in found.text()


def test_what_has_no_place_is_said_to_have_none(planted):
    assert "no place" in replace(planted[0], artefact=ARTEFACTS["level"]).text()


def test_small_networks_are_the_same_for_the_same_seed():
    rng = np.random.default_rng(0)
    log_mels = [rng.normal(-2.0 * (number % 2), 0.3, (96, 64)).astype(np.float32) for number in range(4)]
    same, again, other = (
        tiny_models.learned(log_mels, np.arange(4) % 2, ("loud", "quiet"), epochs=1, seed=seed) for seed in (0, 0, 1)
    )
    weights = [each.network.state_dict()["FCFinal.weight"] for each in (same, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not same.network.training
