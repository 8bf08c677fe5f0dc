"""Every key compared with the query, in numpy: needs nothing installed, and is the oracle."""

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
from agentmem_storage.records import Ranked

_FIRST_CAPACITY = 64


class ExactIndex:
    """Keeps keys in one float32 array of shape (capacity, K), rows by ascending id.

    Adding costs time in proportion to what is added as long as new ids are higher than all
    others, as the ids of a database are; an id between others moves all rows behind it.
    Removing copies once per call, so remove many ids at a time.

    Args:
        dims: K, the dims of a key.
    """

    def __init__(self, dims: int) -> None:
        self._dims = check_dims(dims)
        self._size = 0
        self._all_ids = np.empty(0, dtype=np.int64)
        self._all_keys = np.empty((0, dims), dtype=np.float32)

    @property
    def dims(self) -> int:
        """K, the dims of a key."""
        return self._dims

    def __len__(self) -> int:
        return self._size

    def add(self, ids: NDArray[np.int64], keys: NDArray[np.float32]) -> None:
        """Add or replace keys (n, K); see `KeyIndex.add`."""
        ids, keys = check_new(ids, keys, self._dims)
        places, known = locate(self._ids, ids)
        self._keys[places[known]] = keys[known]
        self._append(ids[~known], keys[~known])

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove keys; see `KeyIndex.remove`."""
        places, known = locate(self._ids, check_ids(ids))
        if known.any():
            keep = np.ones(self._size, dtype=np.bool_)
            keep[places[known]] = False
            self._replace_all(self._ids[keep], self._keys[keep])

    def search(
        self, query: NDArray[np.float32], k: int, *, among: NDArray[np.int64] | None = None
    ) -> Ranked:
        """Find the k best; see `KeyIndex.search`."""
        query, k = check_query(query, self._dims), check_k(k)
        rows = np.arange(self._size)
        if among is not None:
            places, known = locate(self._ids, check_among(among))
            rows = places[known]
        # Gathering rows costs more than scoring them, so beyond a share all are scored.
        few = rows.size * 4 < self._size
        scores = self._keys[rows] @ query if few else (self._keys @ query)[rows]
        if k < rows.size:
            kth = np.partition(scores, rows.size - k)[rows.size - k]
            rows = rows[scores >= kth - margin(self._dims)]
        return rank(self._ids[rows], self._keys[rows], query, k)

    def ids(self) -> NDArray[np.int64]:
        """All ids, ascending, shape (n,)."""
        return self._ids.copy()

    def keys(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Keys of these ids, shape (n, K); see `KeyIndex.keys`."""
        places, known = locate(self._ids, check_ids(ids))
        require_known(ids, known)
        return self._keys[places]

    @property
    def _ids(self) -> NDArray[np.int64]:
        return self._all_ids[: self._size]

    @property
    def _keys(self) -> NDArray[np.float32]:
        return self._all_keys[: self._size]

    def _append(self, ids: NDArray[np.int64], keys: NDArray[np.float32]) -> None:
        """Put new ids, ascending, where they belong."""
        if not ids.size:
            return
        if self._size and ids[0] < self._ids[-1]:
            merged = np.concatenate((self._ids, ids))
            order = np.argsort(merged, kind="stable")
            self._replace_all(merged[order], np.concatenate((self._keys, keys))[order])
            return
        size = self._size + ids.size
        if size > self._all_ids.size:
            capacity = max(size, 2 * self._all_ids.size, _FIRST_CAPACITY)
            grown_ids = np.empty(capacity, dtype=np.int64)
            grown_keys = np.empty((capacity, self._dims), dtype=np.float32)
            grown_ids[: self._size], grown_keys[: self._size] = self._ids, self._keys
            self._all_ids, self._all_keys = grown_ids, grown_keys
        self._all_ids[self._size : size], self._all_keys[self._size : size] = ids, keys
        self._size = size

    def _replace_all(self, ids: NDArray[np.int64], keys: NDArray[np.float32]) -> None:
        self._all_ids, self._all_keys, self._size = ids, keys, ids.size
