"""A series of passes over one segment: orders in which its cells are hidden or shown, and masks that hide in part."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from earwitness.audio.segments import Segments
from earwitness.core.arrays import Float32Array, Float64Array, Int64Array

# The first two passes: all is shown; all real cells are hidden.
WHOLE, NOTHING = 0, 1


@dataclass(kw_only=True)
class Series:
    """What is hidden in one segment, pass by pass; a :class:`~earwitness.explainers.perturbation.scoring.Hiding`.

    Orders come first, then masks: whoever scores them does so in two stretches, because the one hides cells wholly and
    the other in part.

    Parameters
    ----------
    one
        The segment, alone.
    steps
        Shares in which cells are dealt.
    device
        Where the network is.
    """

    one: Segments
    steps: int
    device: torch.device | str
    orders: list[Tensor] = field(default_factory=list)
    rows: list[tuple[int, int, bool]] = field(default_factory=list)
    masks: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._order(np.ones((int(self.one.real_frames[0]), self.one.values.shape[2]), dtype=np.int64))
        self.rows += [(0, 0, False), (0, self.steps, False)]

    @property
    def curves(self) -> int:
        """How many passes hide cells wholly."""
        return len(self.rows)

    @property
    def count(self) -> int:
        """How many passes there are."""
        return len(self.rows) + len(self.masks)

    def deletion(self, turns: Int64Array) -> list[int]:
        """Add the passes that hide cells as their turns come, shape (real frames, bands); return the curve's passes.

        The curve's two ends are the same passes for every order.
        """
        return [WHOLE, *self._between(turns, shown=False), NOTHING]

    def insertion(self, turns: Int64Array) -> list[int]:
        """Add the passes that show cells as their turns come; return the curve's passes."""
        return [NOTHING, *self._between(turns, shown=True), WHOLE]

    def mask(self, hidden: Float64Array) -> int:
        """Add a pass that hides each real cell by a share, shape (real frames, bands); return the mask's number."""
        self.masks.append(self._laid(hidden.astype(np.float32)))
        return len(self.masks) - 1

    def hidden(self, segment: int, start: int, stop: int) -> Tensor:  # noqa: ARG002
        """Return what passes hide: bool for orders, shares for masks; never some of both."""
        if start >= self.curves:
            return torch.stack(self.masks[start - self.curves : stop - self.curves])
        which, steps, shown = (
            torch.tensor(each, device=self.device) for each in zip(*self.rows[start:stop], strict=True)
        )
        orders = torch.stack([self.orders[number] for number in which.tolist()])
        return (orders <= steps[:, None, None]) != shown[:, None, None]

    def _between(self, turns: Int64Array, *, shown: bool) -> list[int]:
        number, first = self._order(turns), len(self.rows)
        self.rows += [(number, step, shown) for step in range(1, self.steps)]
        return list(range(first, len(self.rows)))

    def _order(self, turns: Int64Array) -> int:
        self.orders.append(self._laid(turns.astype(np.int16)))
        return len(self.orders) - 1

    def _laid(self, cells: npt.NDArray[np.int16] | Float32Array) -> Tensor:
        """Return real cells on the segment's grid; what stands in the padding is never looked at."""
        whole = np.zeros(self.one.values.shape[1:], dtype=cells.dtype)
        whole[: len(cells)] = cells
        return torch.as_tensor(whole, device=self.device)
