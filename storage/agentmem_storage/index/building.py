"""Builds an `IvfIndex` of vectors that are read bit by bit, so that others can go on meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from agentmem_storage.index.base import Read
from agentmem_storage.index.ivf import IvfIndex
from agentmem_storage.levels import from_levels

# Of each list, so many vectors are looked at to find its centroid, so many times.
_SAMPLED, _ROUNDS = 40, 10
_STEPS = 16
_SEED = 0
_BATCH = 8192


def lists_for(count: int) -> int:
    """How many lists part so many vectors: a power of two near the square root."""
    return 1 << round(math.log2(max(count, 1)) / 2)


def build(
    ids: NDArray[np.int64], read: Read, stopped: Callable[[], bool] = lambda: False
) -> IvfIndex | None:
    """Build an index; of the same vectors, the same.

    Args:
        ids: Ids of the vectors, ascending, int64 of shape (n,).
        read: Returns those of some of the ids that are still there, with their levels, int8 of
            shape (n, K).
        stopped: Asked between steps of less than a second, whether to give up.

    Returns:
        The index; None if it was stopped, or no vector is there any more.
    """
    # Of this thread alone, and not one that waits for others by spinning.
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        centroids = _centroids(ids, read, stopped)
        if centroids is None:
            return None
        index = IvfIndex(centroids)
        for first in range(0, ids.size, _BATCH):
            if stopped():
                return None
            index.add_levels(*read(ids[first : first + _BATCH]))
        # So that what is removed later can be taken out of its centroid, it must be in no other.
        for some in np.array_split(np.arange(len(centroids), dtype=np.int32), _STEPS):
            if stopped():
                return None
            index.center(some)
        return index
    finally:
        faiss.omp_set_num_threads(threads)


def _centroids(
    ids: NDArray[np.int64], read: Read, stopped: Callable[[], bool]
) -> NDArray[np.float32] | None:
    """Centroids by k-means over a sample, on the sphere."""
    random = np.random.default_rng(_SEED)
    count = min(ids.size, _SAMPLED * lists_for(ids.size))
    _, levels = read(np.sort(random.choice(ids, count, replace=False)))
    if not len(levels):
        return None
    rows = from_levels(levels)
    # From there on, no more lists than rows, if many have been removed in the meantime.
    lists = min(lists_for(ids.size), len(rows))
    centroids: NDArray[np.float32] = rows[np.sort(random.choice(len(rows), lists, replace=False))]
    for _ in range(_ROUNDS):
        if stopped():
            return None
        kmeans: Any = faiss.Kmeans(
            rows.shape[1],
            lists,
            niter=1,
            spherical=True,
            seed=_SEED,
            min_points_per_centroid=1,
            max_points_per_centroid=len(rows),
        )
        kmeans.train(rows, init_centroids=centroids)
        centroids = kmeans.centroids
    return centroids
