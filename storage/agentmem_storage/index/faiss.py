"""Vector index in FAISS: an exact inner-product index behind an id map.

A flat FAISS index shifts the rows above a removed one, hence the `IndexIDMap2`. FAISS pads missing
results with id -1, which is dropped; valid ids are never negative.
"""

from __future__ import annotations

from typing import Any

import faiss
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

# Up to this many candidates, fetching and scoring each is faster than a scan of the index with a
# selector (measured at 100,000 vectors of 256 dims: 1,000 take 0.1 ms against 0.4 ms).
_SCAN_BELOW = 2048

# Candidates requested beyond k, so that ties at the end are nearly always seen in one scan.
_SPARE = 32


class FaissIndex:
    """Keeps vectors in a FAISS `IndexFlatIP` of K dims; results are bit-identical to `ExactIndex`.

    Args:
        dims: K, the dims of a vector.
    """

    def __init__(self, dims: int) -> None:
        self._dims = check_dims(dims)
        self._index: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(dims))
        self._highest = -1  # The highest id ever added.
        self._sorted_ids: NDArray[np.int64] | None = None

    @property
    def dims(self) -> int:
        """K, the dims of a vector."""
        return self._dims

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add or replace vectors (n, K); see `VectorIndex.add`."""
        ids, vectors = check_new(ids, vectors, self._dims)
        if not ids.size:
            return
        # Database ids only grow, and then the index need not be scanned for them.
        if ids[0] <= self._highest:
            self.remove(ids)
        self._index.add_with_ids(vectors, ids)
        self._highest = max(self._highest, int(ids[-1]))
        self._sorted_ids = None

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove vectors; see `VectorIndex.remove`."""
        _, known = locate(self._ids, check_ids(ids))
        if known.any():
            self._index.remove_ids(np.unique(ids[known]))
            self._sorted_ids = None

    def search(
        self, query: NDArray[np.float32], k: int, *, among: NDArray[np.int64] | None = None
    ) -> Ranked:
        """Find the k best; see `VectorIndex.search`."""
        query, k = check_query(query, self._dims), check_k(k)
        if among is None:
            found = self._candidates(query, k, None, len(self))
        else:
            _, known = locate(self._ids, check_among(among))
            found = among[known]
            if found.size > max(_SCAN_BELOW, k):
                found = self._candidates(query, k, found, found.size)
        return rank(found, self.vectors(found), query, k)

    def ids(self) -> NDArray[np.int64]:
        """All ids, ascending, shape (n,)."""
        return self._ids.copy()

    def vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors of these ids, shape (n, K); see `VectorIndex.vectors`."""
        _, known = locate(self._ids, check_ids(ids))
        require_known(ids, known)
        vectors: NDArray[np.float32] = np.empty((ids.size, self._dims), dtype=np.float32)
        if ids.size:
            self._index.reconstruct_batch(ids, x=vectors)
        return vectors

    def levels(self, ids: NDArray[np.int64]) -> NDArray[np.int8]:
        """Levels of these ids, shape (n, K); see `VectorIndex.levels`."""
        return to_levels(self.vectors(ids))

    @property
    def _ids(self) -> NDArray[np.int64]:
        if self._sorted_ids is None:
            # A stable sort takes linear time if the ids already ascend.
            self._sorted_ids = np.sort(faiss.vector_to_array(self._index.id_map), kind="stable")
        return self._sorted_ids

    def _candidates(
        self,
        query: NDArray[np.float32],
        k: int,
        among: NDArray[np.int64] | None,
        total: int,
    ) -> NDArray[np.int64]:
        """Ids that include the k best of ``total``, and all that tie with the last of them."""
        if k >= total:
            return self._ids if among is None else among
        params = None
        if among is not None:
            # The selector must outlive the search: FAISS keeps only a pointer to it.
            selector = faiss.IDSelectorBatch(among)
            params = faiss.SearchParameters()
            params.sel = selector
        scores, ids = self._index.search(query[None, :], min(k + _SPARE, total), params=params)
        lowest = float(scores[0, k - 1]) - margin(self._dims)
        if ids.shape[1] < total and scores[0, -1] >= lowest:
            _, _, ids = self._index.range_search(query[None, :], lowest, params=params)
        found: NDArray[np.int64] = ids.reshape(-1)
        return found[found >= 0]
