"""The nearest embeddings, by comparing all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.index import VectorIndex, make_index
from agentmem_storage.levels import from_levels

_BATCH = 16_384


def exact_index(levels: NDArray[np.int8]) -> VectorIndex:
    """An exact index of levels (n, K), whose ids are 1 to n."""
    index = make_index(levels.shape[1], "faiss")
    for first in range(0, len(levels), _BATCH):
        part = from_levels(levels[first : first + _BATCH])
        index.add(np.arange(first + 1, first + 1 + len(part), dtype=np.int64), part)
    return index


def nearest_of_all(
    levels: NDArray[np.int8],
    queries: NDArray[np.float32],
    scopes: Sequence[NDArray[np.int64] | None],
    k: int,
) -> list[NDArray[np.int64]]:
    """The same for more than fit in memory.

    Args:
        levels: int8 of shape (n, K), of ids 1 to n.
        queries: float32 of shape (q, K), unit rows.
        scopes: Ascending ids to consider; None for all.
        k: How many are wanted.

    Returns:
        For each scope, the ids of the nearest, best first, int64 of shape (q, k); -1 for none.
    """
    best = [_Best(len(queries), k) for _ in scopes]
    for first in range(0, len(levels), _BATCH):
        rows = from_levels(levels[first : first + _BATCH])
        scores = queries @ rows.T
        for one, among in zip(best, scopes, strict=True):
            if among is None:
                one.add(np.arange(first + 1, first + 1 + len(rows)), scores)
            else:
                bounds = np.searchsorted(among, (first + 1, first + 1 + len(rows)))
                own = among[slice(*bounds)]
                one.add(own, scores[:, own - first - 1])
    return [one.ids for one in best]


class _Best:
    """The best so far of each query, in descending order."""

    def __init__(self, queries: int, k: int) -> None:
        self._k = k
        self.ids = np.full((queries, k), -1, dtype=np.int64)
        self._scores = np.full((queries, k), -np.inf, dtype=np.float32)

    def add(self, ids: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
        """Consider more: ids of shape (n,), and scores of shape (q, n)."""
        listed = np.broadcast_to(ids, scores.shape)
        every = np.concatenate((self._scores, scores), axis=1)
        known = np.concatenate((self.ids, listed), axis=1)
        likely = np.argpartition(-every, self._k - 1, axis=1)[:, : self._k]
        order = np.argsort(-np.take_along_axis(every, likely, 1), axis=1, kind="stable")
        chosen = np.take_along_axis(likely, order, 1)
        self.ids = np.take_along_axis(known, chosen, 1)
        self._scores = np.take_along_axis(every, chosen, 1)
