"""Brute-force vector index in numpy: no extra dependency, and the reference for other backends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.index.base import (
    check_among,
    check_dims,
    check_ids,
    check_k,
    check_new,
    check_query,
    locate,
    margin,
    rank,
    require_known,
)
from agentmem_storage.levels import to_levels
from agentmem_storage.records import Ranked

_FIRST_CAPACITY = 64
# Of fewer values, BLAS computes products hardly faster than a plain loop, and its threads, which
# wait by spinning, would take a second core for them.
_BLAS_FROM = 4_000_000


class ExactIndex:
    """Keeps vectors in one float32 array of shape (capacity, K), rows by ascending id.

    Adding takes time proportional to the number of new vectors as long as their ids are higher
    than all others, as in a database; a lower id moves all rows after it. Removing copies the
    array once per call, so remove many ids at a time.

    Args:
        dims: K, the dims of a vector.
    """

    def __init__(self, dims: int) -> None:
        self._dims = check_dims(dims)
        self._size = 0
        self._all_ids = np.empty(0, dtype=np.int64)
        self._all_vectors = np.empty((0, dims), dtype=np.float32)

    @property
    def dims(self) -> int:
        """K, the dims of a vector."""
        return self._dims

    def __len__(self) -> int:
        return self._size

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add or replace vectors (n, K); see `VectorIndex.add`."""
        ids, vectors = check_new(ids, vectors, self._dims)
        found, known = locate(self._ids, ids)
        self._vectors[found[known]] = vectors[known]
        self._append(ids[~known], vectors[~known])

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove vectors; see `VectorIndex.remove`."""
        found, known = locate(self._ids, check_ids(ids))
        if known.any():
            keep = np.ones(self._size, dtype=np.bool_)
            keep[found[known]] = False
            self._replace_all(self._ids[keep], self._vectors[keep])

    def search(
        self, query: NDArray[np.float32], k: int, *, among: NDArray[np.int64] | None = None
    ) -> Ranked:
        """Find the k best; see `VectorIndex.search`."""
        query, k = check_query(query, self._dims), check_k(k)
        rows = np.arange(self._size)
        if among is not None:
            found, known = locate(self._ids, check_among(among))
            rows = found[known]
        # Gathering rows costs more than scoring them: above a quarter of the rows, score all.
        few = rows.size * 4 < self._size
        if few:
            scores = _products(self._vectors[rows], query)
        else:
            scores = _products(self._vectors, query)[rows]
        if k < rows.size:
            kth = np.partition(scores, rows.size - k)[rows.size - k]
            rows = rows[scores >= kth - margin(self._dims)]
        return rank(self._ids[rows], self._vectors[rows], query, k)

    def ids(self) -> NDArray[np.int64]:
        """All ids, ascending, shape (n,)."""
        return self._ids.copy()

    def vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors of these ids, shape (n, K); see `VectorIndex.vectors`."""
        found, known = locate(self._ids, check_ids(ids))
        require_known(ids, known)
        return self._vectors[found]

    def levels(self, ids: NDArray[np.int64]) -> NDArray[np.int8]:
        """Levels of these ids, shape (n, K); see `VectorIndex.levels`."""
        return to_levels(self.vectors(ids))

    @property
    def _ids(self) -> NDArray[np.int64]:
        return self._all_ids[: self._size]

    @property
    def _vectors(self) -> NDArray[np.float32]:
        return self._all_vectors[: self._size]

    def _append(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Insert new ids, ascending, in order."""
        if not ids.size:
            return
        if self._size and ids[0] < self._ids[-1]:
            merged = np.concatenate((self._ids, ids))
            order = np.argsort(merged, kind="stable")
            self._replace_all(merged[order], np.concatenate((self._vectors, vectors))[order])
            return
        size = self._size + ids.size
        if size > self._all_ids.size:
            capacity = max(size, 2 * self._all_ids.size, _FIRST_CAPACITY)
            grown_ids = np.empty(capacity, dtype=np.int64)
            grown_vectors = np.empty((capacity, self._dims), dtype=np.float32)
            grown_ids[: self._size], grown_vectors[: self._size] = self._ids, self._vectors
            self._all_ids, self._all_vectors = grown_ids, grown_vectors
        self._all_ids[self._size : size], self._all_vectors[self._size : size] = ids, vectors
        self._size = size

    def _replace_all(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        self._all_ids, self._all_vectors, self._size = ids, vectors, ids.size


def _products(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """The inner products of vectors (n, K) and a query (K,), shape (n,)."""
    if vectors.size >= _BLAS_FROM:
        return vectors @ query
    products: NDArray[np.float32] = np.einsum("nk,k->n", vectors, query)
    return products
