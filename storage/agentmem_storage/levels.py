"""Embeddings as int8 levels, the form in which they are stored; their norm is implied.

Axes: n embeddings, K dims of one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TOP = 127.0


def to_levels(vectors: NDArray[np.floating]) -> NDArray[np.int8]:
    """Quantize vectors, the largest component of each to ±127.

    Args:
        vectors: Floats of shape (n, K), none of them zero.

    Returns:
        int8 of shape (n, K). Of what `from_levels` made of levels with a component of ±127, these
        very levels.
    """
    wide = vectors.astype(np.float64)
    tops = np.abs(wide).max(axis=1, keepdims=True)
    levels: NDArray[np.int8] = np.rint(wide * (_TOP / tops)).astype(np.int8)
    return levels


def from_levels(levels: NDArray[np.int8]) -> NDArray[np.float32]:
    """The unit vectors of levels, float32 of shape (n, K), identical on every machine."""
    wide = levels.astype(np.float64)
    # Sums of small integers are exact in float64, so all machines compute the same norm.
    norms = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    vectors: NDArray[np.float32] = (wide / norms).astype(np.float32)
    return vectors
