"""Approximate vector index in FAISS, for many vectors: inverted lists (IVF) of int8 levels.

The vectors are parted among lists by the nearest of some centroids. A search scans the lists whose
centroids are nearest to the query, and finds what is best there. A search among few vectors scores
them all, and one among some, all lists: both miss nothing.

A vector has a place, which stays its own until it is removed; lists know vectors by their places,
so that a selection is a bitmap as long as there are places.

A centroid is written to the cache file, and of a list with few vectors tells much about each. So
what is removed is taken out of it.
"""

from __future__ import annotations

from typing import TypeVar

import faiss
import numpy as np
from numpy.typing import NDArray

from agentmem_storage.index.base import (
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
from agentmem_storage.index.lists import Lists, norms_of
from agentmem_storage.levels import from_levels, to_levels
from agentmem_storage.records import Ranked

# Lists scanned by a search among all: recall of the 64 nearest is above .99 from 50,000 to a
# million embeddings of conversations (benchmarks/results/scale.json).
PROBES = 128
# Those of them that are scanned first, to learn how near the best are, and what is taken to be so
# until then.
_NEAREST, _USUAL = 16, 0.5
# A search among at most this many scores each; among at most so many, it scans all lists.
_SCORED, _SCANNED = 2048, 20_000
# Candidates beyond k: those above a threshold that is a little too low.
_SPARE = 192
# What cosines by the codes may be off by.
_SLACK = 1e-4
_BATCH = 16_384
_GONE = -1

T = TypeVar("T", np.int64, np.int32, np.float32)


class IvfIndex:
    """Keeps vectors as int8 levels in lists.

    Embeddings of a store are such levels, and lose nothing; other vectors are rounded to them.
    Scores are exact for whatever is found. What is not found by a search among more than 20,000
    vectors may have belonged to the k best.

    Args:
        centroids: What places vectors in lists, float32 of shape (lists, K); see
            `agentmem_storage.index.building`.
    """

    def __init__(self, centroids: NDArray[np.float32]) -> None:
        # Of its own, because it changes.
        self._centroids = centroids.copy()
        self._lists = Lists(centroids)
        # Ascending, and the place of each: the first `_size`.
        self._size = 0
        self._all_ids = np.empty(0, dtype=np.int64)
        self._all_places = np.empty(0, dtype=np.int32)
        # By place, of which `_used` have been taken.
        self._used = 0
        self._id_at = np.empty(0, dtype=np.int64)
        self._list_at = np.empty(0, dtype=np.int32)
        self._offset_at = np.empty(0, dtype=np.int32)
        self._norm_at = np.empty(0, dtype=np.float32)  # of its levels
        self._norms = np.inf, 0.0  # the least and the greatest so far

    @property
    def dims(self) -> int:
        """K, the dims of a vector."""
        return int(self._centroids.shape[1])

    @property
    def centroids(self) -> NDArray[np.float32]:
        """What places vectors in lists; see `Parted.centroids`."""
        return self._centroids

    @property
    def places(self) -> int:
        """How many places have been taken, those of removed vectors included."""
        return self._used

    def __len__(self) -> int:
        return self._size

    def reserve(self, lists: NDArray[np.int32]) -> None:
        """Make room for vectors that are about to be added, by the list of each, shape (n,)."""
        self._lists.reserve(lists)
        self._room(lists.size)

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add or replace vectors (n, K); see `VectorIndex.add`."""
        ids, vectors = check_new(ids, vectors, self.dims)
        self.add_levels(ids, to_levels(vectors))

    def add_levels(
        self,
        ids: NDArray[np.int64],
        levels: NDArray[np.int8],
        lists: NDArray[np.int32] | None = None,
    ) -> None:
        """Add or replace vectors by their levels (n, K); see `Parted.add_levels`."""
        ascends = not self._size or not ids.size or bool(ids[0] > self._ids[-1])
        if not ascends:
            self.remove(ids)
        for start in range(0, ids.size, _BATCH):
            part = slice(start, start + _BATCH)
            nearest = self._lists.nearest(levels[part]) if lists is None else lists[part]
            self._append(ids[part], levels[part], nearest)
        if not ascends:
            order = np.argsort(self._ids, kind="stable")
            self._ids[:], self._places[:] = self._ids[order], self._places[order]

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove vectors; see `VectorIndex.remove`."""
        rows, known = locate(self._ids, check_ids(ids))
        if not known.any():
            return
        rows = np.unique(rows[known])
        places = self._places[rows]
        self._all_ids, self._all_places = np.delete(self._ids, rows), np.delete(self._places, rows)
        self._size -= rows.size
        lists = self._list_at[places]
        touched = np.unique(lists)
        for number in touched.tolist():
            left = self._lists.remove(number, self._offset_at[places[lists == number]])
            self._offset_at[left] = np.arange(left.size)
        self._list_at[places] = _GONE
        self.center(touched)

    def center(self, lists: NDArray[np.int32]) -> None:
        """Move the centroids of some lists to the means of what is in them; zero of an empty one.

        Args:
            lists: int32 of shape (n,).
        """
        for number in lists.tolist():
            mean = _unit(self._lists.members(number)).sum(axis=0, dtype=np.float64)
            norm = float(np.sqrt((mean * mean).sum()))
            self._centroids[number] = mean / norm if norm else 0.0
        self._lists.move(self._centroids)

    def search(
        self, query: NDArray[np.float32], k: int, *, among: NDArray[np.int64] | None = None
    ) -> Ranked:
        """Find the k best, or nearly; see `VectorIndex.search`."""
        query, k = check_query(query, self.dims), check_k(k)
        places = self._places
        if among is not None:
            rows, known = locate(self._ids, check_among(among))
            places = places[rows[known]]
        if places.size > max(_SCORED, k):
            places = self._scan(query, k, places, everywhere=among is None)
        levels = self._levels_at(places)
        if k < places.size:
            scores = _cosines(levels, query)
            # All that may tie with the last of the k best.
            best = scores >= _kth(scores, k) - margin(self.dims)
            places, levels = places[best], levels[best]
        return rank(self._id_at[places], from_levels(levels), query, k)

    def ids(self) -> NDArray[np.int64]:
        """All ids, ascending, shape (n,)."""
        return self._ids.copy()

    def vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors of these ids, shape (n, K); see `VectorIndex.vectors`."""
        return from_levels(self.levels(ids))

    def levels(self, ids: NDArray[np.int64]) -> NDArray[np.int8]:
        """Levels of these ids, shape (n, K); see `VectorIndex.levels`."""
        return self._levels_at(self._places_of(ids))

    def lists(self, ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """The list of each of these ids, shape (n,); see `Parted.lists`."""
        return self._list_at[self._places_of(ids)]

    @property
    def _ids(self) -> NDArray[np.int64]:
        return self._all_ids[: self._size]

    @property
    def _places(self) -> NDArray[np.int32]:
        return self._all_places[: self._size]

    def _places_of(self, ids: NDArray[np.int64]) -> NDArray[np.int32]:
        rows, known = locate(self._ids, check_ids(ids))
        require_known(ids, known)
        return self._places[rows]

    def _levels_at(self, places: NDArray[np.integer]) -> NDArray[np.int8]:
        return self._lists.levels(self._list_at[places], self._offset_at[places])

    def _scan(
        self, query: NDArray[np.float32], k: int, places: NDArray[np.int32], *, everywhere: bool
    ) -> NDArray[np.int32]:
        """Places that include the k best of many, as far as the lists have them that are scanned.

        First some lists are scanned. The k-th best cosine there is at most that of all lists, so
        it serves as a threshold: whatever is better is above it, and there is little else. If there
        is more than is asked for, the k-th best of that is a higher one.
        """
        selector = None
        if not everywhere:
            chosen = np.zeros(self._used, dtype=np.bool_)
            chosen[places] = True
            bits = np.packbits(chosen, bitorder="little")
            # Bitmap and selector must outlive the search: FAISS keeps only pointers to them.
            selector = faiss.IDSelectorBitmap(self._used, faiss.swig_ptr(bits))
        probes = self._probes(k, places.size)
        wanted = min(k + _SPARE, places.size)
        threshold, reached = _USUAL, -2.0
        for scanned in (min(_NEAREST, probes), probes, len(self._lists)):
            found, above = self._lists.search(
                query, wanted, above=threshold, probes=scanned, selector=selector
            )
            if found.size >= k:
                break
        probes = max(probes, scanned)
        while True:
            cosines = threshold + above / self._norm_at[found]
            kth = _kth(cosines, k)
            # Whatever was left out comes after the last, whose cosine is at most this.
            last = threshold + float(above[-1]) / self._norms[0 if above[-1] > 0 else 1]
            complete = scanned == probes and (found.size < wanted or last <= kth)
            if complete or kth <= reached:
                return found[cosines >= kth - 2 * _SLACK].astype(np.int32)
            reached, threshold, scanned = kth, kth - _SLACK, probes
            found, above = self._lists.search(
                query, wanted, above=threshold, probes=probes, selector=selector
            )

    def _probes(self, k: int, among: int) -> int:
        """How many lists to scan; all for a small part, whose best may be in any of them."""
        if among <= _SCANNED:
            return len(self._lists)
        # A part of the vectors has its best farther away, as has a longer result.
        share = max(len(self) / among, k / 64, 1.0)
        return min(len(self._lists), int(PROBES * share**0.5))

    def _append(
        self, ids: NDArray[np.int64], levels: NDArray[np.int8], lists: NDArray[np.int32]
    ) -> None:
        self._room(ids.size)
        own = slice(self._used, self._used + ids.size)
        listed = slice(self._size, self._size + ids.size)
        self._used, self._size = own.stop, listed.stop
        places = np.arange(own.start, own.stop, dtype=np.int64)
        norms = norms_of(levels)
        if norms.size:
            least, greatest = self._norms
            self._norms = min(least, float(norms.min())), max(greatest, float(norms.max()))
        self._id_at[own], self._list_at[own], self._norm_at[own] = ids, lists, norms
        self._offset_at[own] = self._lists.add(lists, places, levels, norms)
        self._all_ids[listed], self._all_places[listed] = ids, places

    def _room(self, more: int) -> None:
        """Make room for more vectors in the arrays."""
        self._id_at = _grown(self._id_at, self._used, more)
        self._list_at = _grown(self._list_at, self._used, more)
        self._offset_at = _grown(self._offset_at, self._used, more)
        self._norm_at = _grown(self._norm_at, self._used, more)
        self._all_ids = _grown(self._all_ids, self._size, more)
        self._all_places = _grown(self._all_places, self._size, more)


def _grown(array: NDArray[T], used: int, more: int) -> NDArray[T]:
    """An array with room for more behind those that are used."""
    if used + more <= array.size:
        return array
    grown = np.empty(max(used + more, array.size * 5 // 4), dtype=array.dtype)
    grown[:used] = array[:used]
    return grown


def _unit(levels: NDArray[np.int8]) -> NDArray[np.float32]:
    """Unit vectors of levels in float32, several times as fast as `from_levels`, less exact."""
    rows = levels.astype(np.float32)
    rows /= np.sqrt(np.einsum("nk,nk->n", rows, rows))[:, None]
    return rows


def _cosines(levels: NDArray[np.int8], query: NDArray[np.float32]) -> NDArray[np.float32]:
    scores: NDArray[np.float32] = np.einsum("nk,k->n", _unit(levels), query)
    return scores


def _kth(scores: NDArray[np.float32], k: int) -> float:
    """The k-th best score of at least k."""
    at = scores.size - k
    return float(np.partition(scores, at)[at])
