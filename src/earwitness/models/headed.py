"""A network of others under a new linear head, which learns the classes from its answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from earwitness.core.errors import EarwitnessError
from earwitness.models.adapter import Coat

# Of the root mean square of all: a number that hardly moves in training would be blown up where it moves later.
LEAST_SPREAD = 0.1


class Headed(Coat):
    """A network of others under a linear head over its answers, each brought to mean 0 and spread 1.

    Parameters
    ----------
    coat
        The network, from segments to embeddings, shape (n, embedding).
    embedding, classes
        How many numbers it answers, and how many classes there are.
    frozen
        Whether the head alone learns; then its weights alone are in :meth:`state_dict`.
    """

    def __init__(self, coat: Coat, embedding: int, classes: int, *, frozen: bool) -> None:
        super().__init__(
            coat.inner,
            coat.axes,
            batch=coat.batch,
            output=coat.output,
            pooled=coat.pooled,
            prepare=coat.prepare,
        )
        self.feature_layer, self.tokens = coat.feature_layer, coat.tokens
        self.frozen = frozen
        self.linear = nn.Linear(embedding, classes)
        self.mean: Tensor
        self.spread: Tensor
        self.register_buffer("mean", torch.zeros(embedding))
        self.register_buffer("spread", torch.ones(embedding))

    def embed(self, segments: Tensor) -> Tensor:
        """Return the embeddings, shape (n, embedding), of segments as the coat takes them."""
        return super().forward(segments)

    def head(self, embeddings: Tensor) -> Tensor:
        """Return the class scores (logits), shape (n, classes), of embeddings."""
        found: Tensor = self.linear((embeddings - self.mean) / self.spread)
        return found

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters from the embedding on."""
        return list(self.linear.parameters())

    def forward(self, x: Tensor) -> Tensor:
        """Return the class scores (logits), shape (n, classes)."""
        return self.head(self.embed(x))

    def suit(self, embeddings: Tensor) -> None:
        """Fix mean and spread of what the head gets, from the embeddings of training segments, shape (n, embedding).

        Raises
        ------
        EarwitnessError
            An embedding is not finite.
        """
        if not bool(embeddings.isfinite().all()):
            raise EarwitnessError("an embedding is not finite; check what the backbone takes (log, floor, mean)")
        self.mean.copy_(embeddings.mean(dim=0))
        spread = embeddings.std(dim=0, correction=0)
        least = LEAST_SPREAD * float(spread.square().mean().sqrt())
        self.spread.copy_(spread.clamp(min=least or 1.0))

    def state_dict(self, *args: Any, **options: Any) -> dict[str, Tensor]:  # type: ignore[override]
        """Return all weights; those of the head alone where the rest is kept as it is."""
        found: dict[str, Tensor] = super().state_dict(*args, **options)
        own = ("linear.", "mean", "spread")
        return {name: values for name, values in found.items() if name.startswith(own)} if self.frozen else found

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Take the weights that :meth:`state_dict` gives.

        Raises
        ------
        RuntimeError
            They are others.
        """
        wanted = self.state_dict().keys()
        if strict and (other := next(iter(wanted ^ state.keys()), None)) is not None:
            raise RuntimeError(f"{other}: is missing, or is not the network's")
        return super().load_state_dict(state, strict=False, assign=assign)
