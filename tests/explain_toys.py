"""Small classifiers whose explanations can be worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from torch import nn

from earwitness.audio.segments import Segments
from earwitness.audio.timefreq import Clock
from earwitness.explainers.attribution import Grid
from earwitness.explainers.baselines import RandomBaseline
from earwitness.explainers.method import Cost, Found, Need, attribution_of
from earwitness.explainers.registry import METHODS
from earwitness.models.classifier import Classifier
from earwitness.models.protocols import ExplainableFrontEnd
from earwitness.models.registry import backbone_named
from earwitness.models.tokens import Tokens
from earwitness.models.vggish import initialise_he

SILENCE = -4.6


@dataclass(frozen=True)
class ToyFrontEnd:
    silence: float = SILENCE
    clock: Clock = field(
        default_factory=lambda: Clock(sample_rate=16000, hop=160, centre=200.0, bands=64, low_hz=125.0, high_hz=7500.0)
    )


@dataclass(frozen=True)
class ToyClassifier:
    network: nn.Module
    classes: tuple[str, ...]
    activation: str = "softmax"
    front_end: ExplainableFrontEnd = field(default_factory=ToyFrontEnd)

    @property
    def device(self):
        return next(self.network.parameters()).device


class Count:
    """A number that copies of a network share."""

    def __init__(self):
        self.total = 0

    def __deepcopy__(self, memo):
        return self


class Linear(nn.Module):
    """score = weights . segment + bias, and a count of the segments that were put through it and its copies."""

    def __init__(self, frames, bands, classes, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weights = nn.Parameter(torch.randn(classes, frames, bands, generator=generator))
        self.bias = nn.Parameter(torch.randn(classes, generator=generator))
        self.count = Count()

    @property
    def seen(self):
        return self.count.total

    def forward(self, x):
        self.count.total += len(x)
        return torch.einsum("nfb,cfb->nc", x, self.weights) + self.bias


class Convolutional(nn.Module):
    """Two convolutions with pooling; ``turned`` works on the transposed picture, as mn04 does."""

    feature_layer = "features.4"

    def __init__(self, classes=4, turned=False, inplace=False, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.features = nn.Sequential(
                nn.Conv2d(1, 6, 3, padding=1),
                nn.BatchNorm2d(6),
                nn.ReLU(inplace=inplace),
                nn.Conv2d(6, 8, 3, stride=2, padding=1),
                nn.ReLU(inplace=inplace),
                nn.AvgPool2d(2),
                nn.Dropout(0.5),
            )
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.head = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, classes))
        self.turned = turned
        self.map_axes = ("frequency", "time") if turned else ("time", "frequency")

    def forward(self, x):
        x = x.transpose(1, 2) if self.turned else x
        maps = self.features(x.unsqueeze(1))
        return self.head(self.pool(maps * torch.linspace(0.5, 2, maps.shape[-1])).flatten(1))


class Attention(nn.Module):
    """Answers with its output and its weights, as transformers' do."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.query, self.key, self.value = heads, *(nn.Linear(width, width) for _ in range(3))

    def forward(self, x):
        query, key, value = (each(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for each in self.parts())
        weights = (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(dim=-1)
        return (weights @ value).transpose(1, 2).flatten(2), weights

    def parts(self):
        return self.query, self.key, self.value


class Transformer(nn.Module):
    """Patches of 3 frames and 2 bands, all moments of a band after another; a class token; two blocks."""

    feature_layer = "blocks.1.norm"
    map_axes = ("time", "frequency")

    def __init__(self, classes=4, bands=8, frames=12, seed=0):
        super().__init__()
        count, names = 1 + (frames // 3) * (bands // 2), ("blocks.0.attention", "blocks.1.attention")
        self.tokens = Tokens(
            axes=("frequency", "time"), first=1, across=bands // 2, patch=(3, 2), stride=(3, 2), attention=names
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.patches = nn.Conv2d(1, 8, (2, 3), stride=(2, 3))
            self.first, self.places = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, count, 8))
            made = ({"norm": nn.LayerNorm(8), "attention": Attention(8, 2), "dense": nn.Linear(8, 8)} for _ in names)
            self.blocks = nn.ModuleList([nn.ModuleDict(each) for each in made])
            self.head = nn.Linear(8, classes)

    def forward(self, x):
        patches = self.patches(x.transpose(1, 2).unsqueeze(1)).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(len(x), -1, -1), patches], dim=1) + self.places
        for block in self.blocks:
            x = x + block["attention"](block["norm"](x))[0]
            x = x + block["dense"](x).tanh()
        return self.head(x[:, 0])


def transformer(classes=4):
    return ToyClassifier(Transformer(classes).eval(), classes_of(classes))


def fitting(method):
    """A toy that has what a method needs."""
    return transformer() if Need.ATTENTION in METHODS[method].needs else convolutional()


def classes_of(count):
    return tuple(f"class{number}" for number in range(count))


def linear(frames=12, bands=8, classes=3, activation="softmax"):
    return ToyClassifier(Linear(frames, bands, classes), classes_of(classes), activation)


def convolutional(classes=4, **options):
    return ToyClassifier(Convolutional(classes, **options).eval(), classes_of(classes))


def segments(n=3, frames=12, bands=8, seed=0, real_frames=None):
    values = np.random.default_rng(seed).standard_normal((n, frames, bands)).astype(np.float32)
    real = np.full(n, frames) if real_frames is None else np.asarray(real_frames)
    for segment, end in zip(values, real, strict=True):
        segment[end:] = SILENCE
    return Segments(values, np.arange(n) * 24, real.astype(np.int64), tuple(f"file{i}.wav" for i in range(n)))


def attributed(classifier, excerpts, index, target, values, *, grid=None):
    """Any map (frames, bands) as an attribution of the segment ``index``; ``grid`` says at which cells it was made."""
    grid = grid or Grid.whole(*values.shape, *values.shape)
    starts = [np.unique(cells, return_index=True)[1] for cells in (grid.frame_cells, grid.band_cells)]
    found = Found(native=values[np.ix_(*starts)], values=values, grid=grid, score=0.0)
    return attribution_of(RandomBaseline(), classifier, excerpts, index, target, found, Cost(0, 0, 0.0))


def settle_norms(network, front_end):
    """Give batch norms the statistics of some noise, without which random weights make a network that hears nothing."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train().momentum = 1.0
    noise = np.random.default_rng(1).standard_normal((4, front_end.segment_frames, front_end.bands))
    with torch.no_grad():
        network(torch.tensor(noise, dtype=torch.float32))
    network.eval()


@cache
def real(backbone, classes=10):
    """A backbone with random weights behind its own front end."""
    line = backbone_named(backbone)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = line.build(classes).eval()
    initialise_he(network, 0)
    settle_norms(network, line.front_end)
    return Classifier(
        network=network,
        front_end=line.front_end,
        classes=classes_of(classes),
        backbone=backbone,
        segment_frames=line.front_end.segment_frames,
        overlap=75.0,
    )


def real_segments(backbone, n=2):
    front_end = backbone_named(backbone).front_end
    return segments(n, front_end.segment_frames, front_end.bands)


def scores_of(logits, kind):
    """Return softmax scores of a kind by their definitions, in float64; the log-odds are log p - log(1 - p)."""
    if kind == "logit":
        return logits
    chances = logits.double().softmax(-1)
    return chances if kind == "probability" else chances.log() - torch.log1p(-chances)
