"""Tokens of a transformer: where each of them lies on the segment, and from tokens to a map and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from earwitness.core.arrays import Float64Array
from earwitness.core.errors import UsageError

FREQUENCY, TIME = "frequency", "time"
ORDERS = ((FREQUENCY, TIME), (TIME, FREQUENCY), (TIME,))


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Where the tokens of a transformer's blocks lie.

    Parameters
    ----------
    axes
        ``("frequency", "time")`` where all moments of the lowest band come first, ``("time", "frequency")`` where all
        bands of the first moment do, ``("time",)`` where a token is a moment.
    first
        Tokens before these that lie nowhere: class and distillation tokens.
    across
        Tokens along frequency; 1 where a token is a moment.
    patch, stride
        Frames and bands of a token, and from one to the next; empty where moments are spread evenly.
    width
        Numbers in a token, by which tokens are told from other outputs; 0 where they are not.
    attention
        Dotted names, within the network, of the modules that answer with their output and its attention weights, shape
        (n, heads, tokens, tokens), in the order in which they run.
    """

    axes: tuple[str, ...]
    first: int = 0
    across: int = 1
    patch: tuple[int, int] | tuple[()] = ()
    stride: tuple[int, int] | tuple[()] = ()
    width: int = 0
    attention: tuple[str, ...] = ()

    def are(self, values: Tensor) -> bool:
        """Return whether a layer's output, of any shape, is one row a token."""
        return values.ndim == 3 and self.width in (0, values.shape[2]) and values.shape[1] > self.first

    def laid(self, tokens: Tensor) -> Tensor:
        """Return tokens, shape (n, tokens, channels), as maps, shape (n, channels, time, frequency).

        Raises
        ------
        UsageError
            They do not fill a grid.
        """
        count = tokens.shape[1] - self.first
        if count < 1 or count % self.across:
            raise UsageError(
                f"{tokens.shape[1]} tokens, {self.first} of them before the grid, do not fill {self.across} rows of "
                "frequency; check class_tokens, patch and stride"
            )
        along = count // self.across
        time_first = self.axes[0] == TIME
        shape = (along, self.across) if time_first else (self.across, along)
        grid = tokens[:, self.first :].reshape(len(tokens), *shape, -1)
        return grid.permute(0, 3, 1, 2) if time_first else grid.permute(0, 3, 2, 1)

    def unlaid(self, maps: Tensor, tokens: Tensor) -> Tensor:
        """Return maps, shape (n, channels, time, frequency), as tokens, with the first ones of ``tokens``."""
        turned = maps if self.axes[0] == TIME else maps.transpose(2, 3)
        grid = turned.flatten(2).transpose(1, 2)
        return torch.cat([tokens[:, : self.first], grid], dim=1)

    def read(self, flow: Tensor) -> Tensor:
        """Return what the answer takes from each token, shape (n, tokens): the class tokens' rows, or the mean of all.

        Parameters
        ----------
        flow
            Shape (n, tokens, tokens): what each row's token takes from each column's.
        """
        return flow[:, : self.first or None].mean(dim=1)

    def middles(self, along: int) -> tuple[Float64Array, Float64Array] | None:
        """Return the middles of a grid's rows, in frames, and of its columns, in bands; None where they are even.

        Parameters
        ----------
        along
            Tokens along time.
        """
        if not self.patch or not self.stride:
            return None
        (frames, bands), (frame_step, band_step) = self.patch, self.stride
        along_time = np.arange(along, dtype=np.float64) * frame_step + frames / 2
        return along_time, np.arange(self.across, dtype=np.float64) * band_step + bands / 2


def tokens_of(network: object) -> Tokens | None:
    """Return where a network's tokens lie, whether or not it is bound to a segment's sound; None where it has none."""
    found: Tokens | None = getattr(getattr(network, "coat", network), "tokens", None)
    return found
