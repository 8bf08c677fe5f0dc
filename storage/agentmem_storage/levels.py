"""Embeddings as int8 levels, the form in which they are stored; their norm is implied.

Axes: n embeddings, K dims of one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TOP = 127.0
# Embeddings converted at once: what is computed of so many stays in a processor's cache.
_ROWS = 256


def to_levels(vectors: NDArray[np.floating]) -> NDArray[np.int8]:
    """Quantize vectors, the largest component of each to ±127.

    Args:
        vectors: Floats of shape (n, K), none of them zero.

    Returns:
        int8 of shape (n, K). Of what `from_levels` made of levels with a component of ±127, these
        very levels.
    """
    levels = np.empty(vectors.shape, dtype=np.int8)
    for first in range(0, len(vectors), _ROWS):
        wide = vectors[first : first + _ROWS].astype(np.float64)
        wide *= _TOP / np.abs(wide).max(axis=1, keepdims=True)
        levels[first : first + _ROWS] = np.rint(wide, out=wide)
    return levels


def from_levels(levels: NDArray[np.int8]) -> NDArray[np.float32]:
    """The unit vectors of levels, float32 of shape (n, K), identical on every machine."""
    vectors = np.empty(levels.shape, dtype=np.float32)
    for first in range(0, len(levels), _ROWS):
        wide = levels[first : first + _ROWS].astype(np.float64)
        # Sums of small integers are exact in float64, so all machines compute the same norm.
        wide /= np.sqrt((wide * wide).sum(axis=1, keepdims=True))
        vectors[first : first + _ROWS] = wide
    return vectors
