"""Networks built by hand, whose evidence is exactly known: a matched filter, an onset detector, an XOR of two bands.

Each answers two classes, the thing and anything else, and is made of convolutions, ReLUs and sums only, so every
explanation method can ask it. Its segments hold, over faint noise, the evidence and a louder distractor that the
network does not see; so a map that follows loudness is wrong. The truth follows from the construction: the cells of
the evidence (of an onset, its first frames), which alone reach the answer through an open ReLU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from earwitness.audio.frontend import VGGISH
from earwitness.core.arrays import Float32Array, Float64Array
from earwitness.explainers.attribution import Target
from earwitness.models.adapter import Adapter, ForeignFrontEnd
from earwitness.trust.scoreboard.cases import Case

FRAMES, BANDS = VGGISH.segment_frames, VGGISH.bands
NOISE_SPREAD = 0.15
QUIET = 0.5  # of the noise, above silence
LOUD, LOUDER = 3.0, 4.5  # of the evidence and of the distractor, above silence
THRESHOLD = 1.5  # above silence; between the noise and the evidence
STEEPNESS = 8.0  # logits between nothing and the usual evidence, half of them on either side of 0

TONE_BANDS = (20, 24)
LOW_BANDS, HIGH_BANDS = (8, 14), (44, 50)
ONSET_FRAMES, ONSET_BANDS = 3, 24
TONE_FRAMES = (16, 28)


@dataclass(frozen=True)
class KnownNetwork:
    """A classifier of two classes whose evidence is known, and cases for it.

    Parameters
    ----------
    name
        In words.
    classifier
        Class 0 is the thing, class 1 anything else.
    cases
        All have class 0 as their target.
    """

    name: str
    classifier: Adapter
    cases: tuple[Case, ...]


class Readout(nn.Module):
    """Weighted sums of feature maps as two logits: the thing, and 0 for anything else.

    Parameters
    ----------
    weights
        Shape (channels, frames, bands).
    scale, offset
        The logit is ``scale * sum - offset``.
    """

    def __init__(self, weights: Tensor, scale: float, offset: float) -> None:
        super().__init__()
        self.whole = nn.Flatten()
        self.sum = nn.Linear(weights.numel(), 2)
        with torch.no_grad():
            self.sum.weight.zero_()
            self.sum.weight[0] = scale * weights.flatten()
            self.sum.bias.copy_(torch.tensor([-offset, 0.0]))

    def forward(self, maps: Tensor) -> Tensor:
        """Return logits (n, 2) of feature maps (n, channels, frames, bands)."""
        logits: Tensor = self.sum(self.whole(maps))
        return logits


class MatchedFilter(nn.Module):
    """Loudness over a threshold in one band of the segment, summed over time."""

    feature_layer = "features.1"

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(_above(THRESHOLD), nn.ReLU())
        weights = torch.zeros(1, FRAMES, BANDS)
        weights[..., slice(*TONE_BANDS)] = 1.0
        usual = (LOUD - THRESHOLD) * (TONE_BANDS[1] - TONE_BANDS[0]) * sum(TONE_FRAMES) / 2
        self.readout = Readout(weights, STEEPNESS / usual, STEEPNESS / 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, 2) of segments (n, 1, frames, bands)."""
        return torch.as_tensor(self.readout(self.features(x)))


class OnsetDetector(nn.Module):
    """Steep rises of loudness in any band, summed over the segment: what grows slowly does not count, however loud."""

    feature_layer = "features.3"

    def __init__(self) -> None:
        super().__init__()
        step = nn.Conv2d(1, 1, (2 * ONSET_FRAMES, 1))
        # Silence becomes 0 first, so that what is padded is silent. A unit lies at the first frame after the rise.
        padding = nn.ZeroPad2d((0, 0, ONSET_FRAMES, ONSET_FRAMES - 1))
        with torch.no_grad():
            step.weight[0, 0, :ONSET_FRAMES] = -1.0 / ONSET_FRAMES
            step.weight[0, 0, ONSET_FRAMES:] = 1.0 / ONSET_FRAMES
            # Only a rise that lies between the two halves of the filter is over this.
            torch.as_tensor(step.bias).fill_(-(LOUD - QUIET) * (1 - 0.5 / ONSET_FRAMES))
        self.features = nn.Sequential(_above(0.0), padding, step, nn.ReLU())
        usual = (LOUD - QUIET) * 0.5 / ONSET_FRAMES * ONSET_BANDS
        self.readout = Readout(torch.ones(1, FRAMES, BANDS), STEEPNESS / usual, STEEPNESS / 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, 2) of segments (n, 1, frames, bands)."""
        return torch.as_tensor(self.readout(self.features(x)))


class Xor(nn.Module):
    """Sound in one of two bands but not in both: the size of the difference of the two bands' loudness."""

    feature_layer = "features.1"

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(_above(THRESHOLD), nn.ReLU())
        self.whole = nn.Flatten()
        self.difference = nn.Linear(FRAMES * BANDS, 2)
        self.open = nn.ReLU()
        self.answer = nn.Linear(2, 2)
        bands = torch.zeros(FRAMES, BANDS)
        bands[:, slice(*LOW_BANDS)], bands[:, slice(*HIGH_BANDS)] = 1.0, -1.0
        usual = (LOUD - THRESHOLD) * (LOW_BANDS[1] - LOW_BANDS[0]) * sum(TONE_FRAMES) / 2
        with torch.no_grad():
            self.difference.weight.copy_(torch.stack([bands.flatten(), -bands.flatten()]) / usual)
            self.difference.bias.zero_()
            self.answer.weight.copy_(torch.tensor([[STEEPNESS, STEEPNESS], [0.0, 0.0]]))
            self.answer.bias.copy_(torch.tensor([-STEEPNESS / 2, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, 2) of segments (n, 1, frames, bands)."""
        return torch.as_tensor(self.answer(self.open(self.difference(self.whole(self.features(x))))))


def _above(loudness: float) -> nn.Conv2d:
    """Return a layer that tells how far each cell is above a loudness."""
    layer = nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        torch.as_tensor(layer.bias).fill_(-(VGGISH.silence + loudness))
    return layer


# ---- segments and truth -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Box:
    """A rectangle of sound: frames, bands, loudness above silence, and frames over which it grows to that."""

    frames: tuple[int, int]
    bands: tuple[int, int]
    loudness: float
    growing: int = 0


def _segment(boxes: Sequence[_Box], noise: Float64Array) -> Float32Array:
    above = noise.copy()
    for box in boxes:
        first, last = box.frames
        grown = np.minimum(1.0, (np.arange(last - first) + 1) / max(1, box.growing))[:, None]
        part = above[first:last, slice(*box.bands)]
        above[first:last, slice(*box.bands)] = np.maximum(part, box.loudness * grown + part - QUIET)
    return (VGGISH.silence + above).astype(np.float32)


def _span(rng: np.random.Generator, length: int, low: int, high: int) -> tuple[int, int]:
    start = int(rng.integers(low, high - length + 1))
    return start, start + length


def _tone(rng: np.random.Generator) -> tuple[_Box, list[_Box]]:
    evidence = _Box(_span(rng, int(rng.integers(*TONE_FRAMES)), 0, FRAMES), TONE_BANDS, LOUD)
    return evidence, [_Box(_span(rng, 30, 0, FRAMES), _span(rng, 10, 28, BANDS), LOUDER)]


def _onset(rng: np.random.Generator) -> tuple[_Box, list[_Box]]:
    start = int(rng.integers(10, 70))
    evidence = _Box((start, start + int(rng.integers(8, 20))), _span(rng, ONSET_BANDS, 0, 34), LOUD)
    return evidence, [_Box((10, 90), _span(rng, 16, 36, BANDS), LOUDER, growing=60)]


def _one_of_two(rng: np.random.Generator) -> tuple[_Box, list[_Box]]:
    bands = LOW_BANDS if rng.uniform() < 0.5 else HIGH_BANDS
    evidence = _Box(_span(rng, int(rng.integers(*TONE_FRAMES)), 0, FRAMES), bands, LOUD)
    return evidence, [_Box(_span(rng, 30, 0, FRAMES), _span(rng, 10, 20, 40), LOUDER)]


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[np.random.Generator], tuple[_Box, list[_Box]]]]] = {
    "matched filter": (MatchedFilter, _tone),
    "onset detector": (OnsetDetector, _onset),
    "xor of two bands": (Xor, _one_of_two),
}


def build(name: str, *, cases: int = 6, seed: int = 0, device: torch.device | str = "cpu") -> KnownNetwork:
    """Return one of the networks with cases for it.

    Parameters
    ----------
    name
        A key of ``NETWORKS``.
    cases
        How many.
    seed
        The same seed gives the same cases.
    device
        Where the network is asked.
    """
    make, draw = NETWORKS[name]
    network = make().to(device).eval()
    front_end = ForeignFrontEnd(VGGISH.silence, VGGISH.clock)
    layer = str(network.feature_layer)
    classifier = Adapter.around(network, (name, "anything else"), front_end, feature_layer=layer)
    number = list(NETWORKS).index(name)
    predicted = ONSET_FRAMES if isinstance(network, OnsetDetector) else FRAMES
    found = []
    for which in range(cases):
        rng = np.random.default_rng([seed, number, which])
        noise = QUIET + NOISE_SPREAD * rng.uniform(-1.0, 1.0, (FRAMES, BANDS))
        evidence, distractors = draw(rng)
        whole = _segment([*distractors, evidence], noise)
        bare = _segment(distractors, noise)
        truth = np.zeros((FRAMES, BANDS), dtype=np.float32)
        first, last = evidence.frames
        truth[first : min(last, first + predicted), slice(*evidence.bands)] = 1.0
        found.append(
            Case(
                name=f"{name} {which}",
                kind=name,
                log_mel=whole,
                real_frames=FRAMES,
                target=Target(0),
                truth=truth,
                without=bare,
            )
        )
    return KnownNetwork(name, classifier, tuple(found))
