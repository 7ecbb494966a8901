"""Array types, each named by what it holds, and by what it is where the shape follows from that."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

Samples = Float32Array  # shape (n,): a waveform, -1 to 1
LogMel = Float32Array  # shape (frames, bands)
