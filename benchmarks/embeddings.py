"""Many embeddings with the clusters of few real ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.levels import to_levels

_NEAREST, _BATCH = 20, 16_384
# How far from the line between two neighbors, as a part of the way between any two embeddings.
_ASIDE = 0.25


def among(
    vectors: NDArray[np.float32],
    count: int,
    random: np.random.Generator,
    out: NDArray[np.int8] | None = None,
) -> NDArray[np.int8]:
    """Embeddings that lie between near neighbors, and a little aside; the first are the given ones.

    Args:
        vectors: float32 of shape (n, K), unit rows.
        count: How many, n or fewer included.
        random: Chooses them.
        out: Where they go, int8 of shape (count, K), such as a file that is mapped; None: memory.

    Returns:
        Their levels, int8 of shape (count, K).
    """
    nearest = _nearest(vectors)
    made = np.empty((count, vectors.shape[1]), dtype=np.int8) if out is None else out
    own = min(count, len(vectors))
    made[:own] = to_levels(vectors[:own])
    for first in range(own, count, _BATCH):
        size = min(_BATCH, count - first)
        one, here, there = random.integers(0, len(vectors), (3, size))
        other = nearest[one, random.integers(0, nearest.shape[1], size)]
        part = random.uniform(0.2, 0.8, (size, 1)).astype(np.float32)
        aside = (_ASIDE * random.uniform(0.5, 1.5, (size, 1))).astype(np.float32)
        rows = vectors[one] * (1 - part) + vectors[other] * part
        made[first : first + size] = to_levels(rows + aside * (vectors[here] - vectors[there]))
    return made


def _nearest(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """The nearest neighbors of each, as row numbers."""
    found = []
    for first in range(0, len(vectors), 1024):
        scores = vectors[first : first + 1024] @ vectors.T
        scores[np.arange(len(scores)), first + np.arange(len(scores))] = -2.0
        wanted = min(_NEAREST, len(vectors) - 1)
        found.append(np.argpartition(-scores, wanted - 1, axis=1)[:, :wanted])
    return np.concatenate(found)
