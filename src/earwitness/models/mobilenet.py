"""mn04: EfficientAT's MobileNetV3 of width 0.4.

Schmid, Koutini & Widmer, *Efficient Large-Scale Audio Tagging via Transformer-to-CNN Knowledge Distillation*, ICASSP
2023; the blocks are those of Howard et al., *Searching for MobileNetV3*, ICCV 2019, table 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from earwitness.models.network import Network, Standardise

WIDTH = 0.4
LAST_HIDDEN = 1280
DROPOUT = 0.2
STRIDE = 32  # frames, and bands, to a cell of the last map
LONGEST_REPEATED = 128  # frames
NORM_EPSILON, NORM_MOMENTUM = 1e-3, 0.01


@dataclass(frozen=True, kw_only=True)
class Block:
    """One inverted residual at width 1 (Howard et al., table 1)."""

    kernel: int
    expanded: int
    out: int
    squeeze: bool
    hard_swish: bool
    stride: int


LARGE = (
    Block(kernel=3, expanded=16, out=16, squeeze=False, hard_swish=False, stride=1),
    Block(kernel=3, expanded=64, out=24, squeeze=False, hard_swish=False, stride=2),
    Block(kernel=3, expanded=72, out=24, squeeze=False, hard_swish=False, stride=1),
    Block(kernel=5, expanded=72, out=40, squeeze=True, hard_swish=False, stride=2),
    Block(kernel=5, expanded=120, out=40, squeeze=True, hard_swish=False, stride=1),
    Block(kernel=5, expanded=120, out=40, squeeze=True, hard_swish=False, stride=1),
    Block(kernel=3, expanded=240, out=80, squeeze=False, hard_swish=True, stride=2),
    Block(kernel=3, expanded=200, out=80, squeeze=False, hard_swish=True, stride=1),
    Block(kernel=3, expanded=184, out=80, squeeze=False, hard_swish=True, stride=1),
    Block(kernel=3, expanded=184, out=80, squeeze=False, hard_swish=True, stride=1),
    Block(kernel=3, expanded=480, out=112, squeeze=True, hard_swish=True, stride=1),
    Block(kernel=3, expanded=672, out=112, squeeze=True, hard_swish=True, stride=1),
    Block(kernel=5, expanded=672, out=160, squeeze=True, hard_swish=True, stride=2),
    Block(kernel=5, expanded=960, out=160, squeeze=True, hard_swish=True, stride=1),
    Block(kernel=5, expanded=960, out=160, squeeze=True, hard_swish=True, stride=1),
)


def round_channels(channels: float) -> int:
    """Round to a multiple of 8, never down by more than 10 %."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class MobileNet(Network):
    """mn04 with its published head (527 classes) or a new last layer ``FCFinal``.

    Module names are those of the published state dict except the last layer's, so that transfer learning and tagging
    are told apart by name.
    """

    # The picture enters as (bands, frames), as published; the map of the last activation keeps that order.
    feature_layer: ClassVar[str] = "features.16"
    map_axes: ClassVar[tuple[str, str]] = ("frequency", "time")

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.standardise = Standardise()
        self.register_buffer("repeats", torch.tensor(1))
        self.repeats: Tensor
        channels = round_channels(16 * WIDTH)
        layers: list[nn.Module] = [_convolution(1, channels, 3, 2, activation=nn.Hardswish)]
        for block in LARGE:
            layers.append(InvertedResidual(channels, block))
            channels = round_channels(block.out * WIDTH)
        layers.append(_convolution(channels, 6 * channels, 1, 1, activation=nn.Hardswish))
        self.features = nn.Sequential(*layers)
        hidden = round_channels(LAST_HIDDEN * WIDTH)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(1),
            nn.Linear(6 * channels, hidden),
            nn.Hardswish(),
            nn.Dropout(DROPOUT),
        )
        self.FCFinal = nn.Linear(hidden, classes)

    def copies(self, frames: int) -> int:
        """Return ``repeats`` for a short segment whose copies fall on whole cells of the last map, else 1.

        The network learned from clips of 10 s. In a segment of a second every third cell of its last map lies at the
        padded edge; seen several times in a row, fewer do.
        """
        return int(self.repeats) if frames <= LONGEST_REPEATED and frames % STRIDE == 0 else 1

    def embed(self, segments: Tensor) -> Tensor:
        """Return the pooled features (n, 384) of segments (n, frames, 128), any number of frames."""
        whole = self.standardise(segments).repeat(1, self.copies(segments.shape[1]), 1)
        maps = self.features(whole.transpose(1, 2).unsqueeze(1))
        return torch.as_tensor(self.classifier[:2](maps))

    def head(self, embeddings: Tensor) -> Tensor:
        """Return logits (n, classes)."""
        return torch.as_tensor(self.FCFinal(self.classifier[2:](embeddings)))

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters from the pooled features on: the published hidden layer and FCFinal."""
        return [*self.classifier.parameters(), *self.FCFinal.parameters()]


class InvertedResidual(nn.Module):
    """Expand, convolve each channel, squeeze and excite, project; with a shortcut where the shapes agree."""

    def __init__(self, inputs: int, block: Block) -> None:
        super().__init__()
        expanded, outputs = round_channels(block.expanded * WIDTH), round_channels(block.out * WIDTH)
        activation = nn.Hardswish if block.hard_swish else nn.ReLU
        layers: list[nn.Module] = []
        if expanded != inputs:
            layers.append(_convolution(inputs, expanded, 1, 1, activation=activation))
        layers.append(_convolution(expanded, expanded, block.kernel, block.stride, expanded, activation=activation))
        if block.squeeze:
            layers.append(ConcurrentSqueeze(expanded))
        layers.append(_convolution(expanded, outputs, 1, 1, activation=None))
        self.block = nn.Sequential(*layers)
        self.shortcut = block.stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        """Return the block's maps."""
        result: Tensor = self.block(maps)
        return maps + result if self.shortcut else result


class ConcurrentSqueeze(nn.Module):
    """Squeeze and excitation over channels; the published name leaves room for other axes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conc_se_layers = nn.ModuleList([Squeeze(channels)])

    def forward(self, maps: Tensor) -> Tensor:
        """Return the maps, each channel weighted."""
        weights: Tensor = self.conc_se_layers[0](maps)
        return maps * weights


class Squeeze(nn.Module):
    """A weight between 0 and 1 for each channel, from the channels' means.

    Its activations are modules, because explanation methods that change how gradients pass an activation find modules
    only.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = round_channels(channels / 4)
        self.fc1 = nn.Linear(channels, squeezed)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(squeezed, channels)
        self.sigmoid = nn.Sigmoid()

    def forward(self, maps: Tensor) -> Tensor:
        """Return weights, shape (n, channels, 1, 1)."""
        weights: Tensor = self.sigmoid(self.fc2(self.relu(self.fc1(maps.mean(dim=(2, 3))))))
        return weights[:, :, None, None]


def _convolution(
    inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1, *, activation: type[nn.Module] | None
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=NORM_EPSILON, momentum=NORM_MOMENTUM),
    ]
    if activation is not None:
        layers.append(activation())
    return nn.Sequential(*layers)
