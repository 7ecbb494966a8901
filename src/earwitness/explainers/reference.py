"""The segment without evidence that some methods compare a segment with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from earwitness.audio.segments import Segments
from earwitness.explainers.fills import FILLS, Ground, fill, filled
from earwitness.explainers.parameters import parameter
from earwitness.explainers.protocol_ import Explainable, as_input


def reference_parameter() -> Any:
    """Declare ``fill``: what the whole segment is compared with. Silence is the absence of sound; 0 is not."""
    return parameter("floor", fill, f"what the segment is compared with: {', '.join(FILLS)}, or a number")


def reference(name: str | float, classifier: Explainable, segments: Segments, index: int) -> Tensor:
    """Return a segment whose real cells are all filled, shape (frames, bands), as the network takes it.

    Padding stays what it is: it is not evidence, and so it differs in nothing from the segment's.
    """
    values, real = segments.values[index], int(segments.real_frames[index])
    segment = as_input(classifier, values)
    hidden = torch.zeros((1, *segment.shape), dtype=torch.bool, device=segment.device)
    hidden[:, :real] = True
    ground = Ground(values, segment, real, classifier.front_end.silence)
    return torch.where(hidden, filled(name, ground, hidden), segment)[0]
