"""Approximate vector index in FAISS, for many vectors: inverted lists (IVF) of 8-bit codes.

The vectors are parted among lists by the nearest of some centroids. A search scans the lists whose
centroids are nearest to the query; what comes out best is scored exactly, by the vectors as they
are stored. A search among few vectors scores them all, and one among some, all lists: both miss
nothing.

A vector has a place, which stays its own until it is removed; FAISS knows vectors by their places,
so that a selection is a bitmap as long as there are places.

A centroid is written to the cache file, and of a list with few vectors tells much about each. So
what is removed is taken out of it.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from agentmem_storage.index.base import (
    Partition,
    check_among,
    check_ids,
    check_k,
    check_new,
    check_query,
    locate,
    margin,
    rank,
    require_known,
)
from agentmem_storage.levels import from_levels, to_levels
from agentmem_storage.records import Ranked

# Lists scanned by a search among all: recall of the 64 nearest is above .99 from 50,000 to a
# million embeddings of conversations (benchmarks/results/scale.json).
PROBES = 128
# A search among at most this many scores each; among at most so many, it scans all lists.
_SCORED, _SCANNED = 2048, 20_000
# Candidates that are scored exactly beyond k: 8-bit codes confuse only near neighbors.
_SPARE = 32
_BATCH = 16_384
_GONE = -1


class IvfIndex:
    """Keeps vectors as int8 levels, and 8-bit codes of them in the lists of a FAISS index.

    Embeddings of a store are such levels, and lose nothing; other vectors are rounded to them.
    Scores are exact for whatever is found. What is not found by a search among more than 20,000
    vectors may have belonged to the k best.

    Args:
        partition: What places the vectors in lists; see `agentmem_storage.index.building`.
    """

    def __init__(self, partition: Partition) -> None:
        lists, dims = partition.centroids.shape
        self._dims = int(dims)
        # Of its own, because it changes.
        self._partition = Partition(partition.centroids.copy(), partition.ranges)
        self._quantizer = faiss.IndexFlatIP(self._dims)
        self._quantizer.add(partition.centroids)
        kind = faiss.ScalarQuantizer.QT_8bit
        # The quantizer must outlive the index: FAISS keeps only a pointer to it.
        self._lists: Any = faiss.IndexIVFScalarQuantizer(
            self._quantizer, self._dims, lists, kind, faiss.METRIC_INNER_PRODUCT, False
        )
        faiss.copy_array_to_vector(partition.ranges, self._lists.sq.trained)
        self._lists.is_trained = True
        self._ids = np.empty(0, dtype=np.int64)  # ascending
        self._places = np.empty(0, dtype=np.int64)  # of these
        # By place, of which `_used` have been taken.
        self._used = 0
        self._id_at = np.empty(0, dtype=np.int64)
        self._list_at = np.empty(0, dtype=np.int32)
        self._levels = np.empty((0, self._dims), dtype=np.int8)

    @property
    def dims(self) -> int:
        """K, the dims of a vector."""
        return self._dims

    @property
    def partition(self) -> Partition:
        """What places vectors in lists."""
        return self._partition

    @property
    def places(self) -> int:
        """How many places have been taken, those of removed vectors included."""
        return self._used

    def __len__(self) -> int:
        return int(self._ids.size)

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add or replace vectors (n, K); see `VectorIndex.add`."""
        ids, vectors = check_new(ids, vectors, self._dims)
        self.add_levels(ids, to_levels(vectors))

    def add_levels(
        self,
        ids: NDArray[np.int64],
        levels: NDArray[np.int8],
        lists: NDArray[np.int32] | None = None,
    ) -> None:
        """Add or replace vectors by their levels.

        Args:
            ids: int64 of shape (n,), ascending.
            levels: int8 of shape (n, K).
            lists: The list of each, int32 of shape (n,), if it is known.
        """
        if self._ids.size and ids.size and ids[0] <= self._ids[-1]:
            self.remove(ids)
        first = self._used
        self._grow(first + ids.size)
        places = np.arange(first, first + ids.size)
        self._id_at[first : self._used] = ids
        self._levels[first : self._used] = levels
        for start in range(0, ids.size, _BATCH):
            part = slice(start, start + _BATCH)
            rows = _unit(levels[part])
            if lists is None:
                nearest = self._quantizer.search(rows, 1)[1][:, 0]
            else:
                nearest = lists[part].astype(np.int64)
            self._list_at[first : self._used][part] = nearest
            self._append(rows, places[part], nearest)
        self._ids = np.concatenate((self._ids, ids))
        self._places = np.concatenate((self._places, places))
        if self._ids.size > ids.size and ids.size and ids[0] < self._ids[-1 - ids.size]:
            order = np.argsort(self._ids, kind="stable")
            self._ids, self._places = self._ids[order], self._places[order]

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove vectors; see `VectorIndex.remove`."""
        rows, known = locate(self._ids, check_ids(ids))
        if not known.any():
            return
        rows = np.unique(rows[known])
        places = self._places[rows]
        self._lists.remove_ids(faiss.IDSelectorBatch(places))
        self._ids, self._places = np.delete(self._ids, rows), np.delete(self._places, rows)
        touched = np.unique(self._list_at[places])
        self._list_at[places] = _GONE
        self.center(touched)

    def center(self, lists: NDArray[np.int32]) -> None:
        """Move the centroids of some lists to the means of what is in them; zero of an empty one.

        Args:
            lists: int32 of shape (n,).
        """
        for one in lists.tolist():
            members = np.flatnonzero(self._list_at[: self._used] == one)
            mean = _unit(self._levels[members]).sum(axis=0, dtype=np.float64)
            norm = float(np.sqrt((mean * mean).sum()))
            self._partition.centroids[one] = mean / norm if norm else 0.0
        self._quantizer.reset()
        self._quantizer.add(self._partition.centroids)

    def search(
        self, query: NDArray[np.float32], k: int, *, among: NDArray[np.int64] | None = None
    ) -> Ranked:
        """Find the k best, or nearly; see `VectorIndex.search`."""
        query, k = check_query(query, self._dims), check_k(k)
        places = self._places
        if among is not None:
            rows, known = locate(self._ids, check_among(among))
            places = places[rows[known]]
        if places.size <= max(_SCORED, k):
            places = self._best(query, k, places)
        else:
            places = self._scan(query, k, places, everywhere=among is None)
        return rank(self._id_at[places], from_levels(self._levels[places]), query, k)

    def ids(self) -> NDArray[np.int64]:
        """All ids, ascending, shape (n,)."""
        return self._ids.copy()

    def vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors of these ids, shape (n, K); see `VectorIndex.vectors`."""
        return from_levels(self.levels(ids))

    def levels(self, ids: NDArray[np.int64]) -> NDArray[np.int8]:
        """Levels of these ids, shape (n, K); see `VectorIndex.levels`."""
        return self._levels[self._places_of(ids)]

    def lists(self, ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """The list of each of these ids, shape (n,); see `Parted.lists`."""
        return self._list_at[self._places_of(ids)]

    def _places_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        rows, known = locate(self._ids, check_ids(ids))
        require_known(ids, known)
        return self._places[rows]

    def _best(
        self, query: NDArray[np.float32], k: int, places: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Of some places, those of the k best, and of all that may tie with the last of them."""
        if k >= places.size:
            return places
        scores = np.einsum("nk,k->n", _unit(self._levels[places]), query)
        kth = np.partition(scores, places.size - k)[places.size - k]
        best: NDArray[np.int64] = places[scores >= kth - margin(self._dims)]
        return best

    def _scan(
        self, query: NDArray[np.float32], k: int, places: NDArray[np.int64], *, everywhere: bool
    ) -> NDArray[np.int64]:
        """Places of the best of many, by their codes."""
        options: Any = faiss.SearchParametersIVF()
        options.nprobe = self._probes(k, places.size)
        if not everywhere:
            chosen = np.zeros(self._used, dtype=np.bool_)
            chosen[places] = True
            bits = np.packbits(chosen, bitorder="little")
            # Bitmap and selector must outlive the search: FAISS keeps only pointers to them.
            selector = faiss.IDSelectorBitmap(self._used, faiss.swig_ptr(bits))
            options.sel = selector
        wanted = min(k + _SPARE, places.size)
        _, found = self._lists.search(query[None, :], wanted, params=options)
        if found[0, k - 1] < 0:  # The nearest lists have too few.
            options.nprobe = self._lists.nlist
            _, found = self._lists.search(query[None, :], wanted, params=options)
        best: NDArray[np.int64] = found[0]
        return best[best >= 0]

    def _probes(self, k: int, among: int) -> int:
        """How many lists to scan; all for a small part, whose best may be in any of them."""
        lists = int(self._lists.nlist)
        if among <= _SCANNED:
            return lists
        # A part of the vectors has its best farther away, as has a longer result.
        share = max(len(self) / among, k / 64, 1.0)
        return min(lists, int(PROBES * share**0.5))

    def _grow(self, used: int) -> None:
        if used > self._id_at.size:
            capacity = max(used, self._id_at.size * 5 // 4)
            for name in ("_id_at", "_list_at", "_levels"):
                old = getattr(self, name)
                grown = np.empty((capacity, *old.shape[1:]), dtype=old.dtype)
                grown[: self._used] = old[: self._used]
                setattr(self, name, grown)
        self._used = used

    def _append(
        self,
        rows: NDArray[np.float32],
        places: NDArray[np.int64],
        lists: NDArray[np.int64],
    ) -> None:
        lists = np.ascontiguousarray(lists)
        pointers = (faiss.swig_ptr(one) for one in (rows, places, lists))
        self._lists.add_core(len(rows), *pointers)


def _unit(levels: NDArray[np.int8]) -> NDArray[np.float32]:
    """Unit vectors of levels in float32, several times as fast as `from_levels`, less exact."""
    rows = levels.astype(np.float32)
    rows /= np.sqrt(np.einsum("nk,nk->n", rows, rows))[:, None]
    return rows
