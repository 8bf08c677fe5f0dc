"""Latent codes rounded to whole numbers, and where float32 is too coarse to say to which.

Two machines, or two libraries on one, compute a code in float32 to within 0.0001 steps of each
other (measured: 0.00013 at most). Of a code that lies halfway between two steps one would store
the one, the other the other. Codes that close are computed again in float64, which settles it: the
stored bytes depend on the text alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem.models.autoencoder.configuration import LEVELS, VALUES_PER_DIM

Floats = NDArray[np.floating[Any]]

# In steps.
_CLOSE = 2.5e-4


def quantize(codes: Floats, step: float) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Round codes as `MemoryAutoencoder.quantize` does.

    Args:
        codes: Each number in [-1, 1], any shape.
        step: The quantization's step, in int8 steps.

    Returns:
        int8 codes, and where another machine might have rounded to the other side; same shapes.
    """
    scaled = codes * codes.dtype.type(LEVELS / step)
    rounded = np.rint(scaled)
    is_close = np.abs(scaled - rounded) > 0.5 - _CLOSE
    limit = LEVELS // step  # steps on either side of zero
    steps = np.clip(rounded, -limit, limit).astype(np.float64)
    return np.rint(steps * step).astype(np.int8), is_close


def code_indices(codes: NDArray[np.int8]) -> NDArray[np.int64]:
    """Codes (..., s) to their indices among all codes that a slot can hold, (...)."""
    indices = np.zeros(codes.shape[:-1], dtype=np.int64)
    for dim in range(codes.shape[-1]):
        indices = indices * VALUES_PER_DIM + codes[..., dim] + LEVELS
    return indices
