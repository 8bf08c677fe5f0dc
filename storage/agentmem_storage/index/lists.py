"""Vectors as int8 levels in the inverted lists of a FAISS index, which are their only copy.

FAISS ranks what is in its lists by the inner product with its codes, and levels are no unit
vectors: that of the levels l is l / |l|. So each code has the norm |l|, too, as some more
components, and a query q asks for <q, l> - t |l|. That is (cosine - t) |l|: above 0 exactly where
the cosine is above the threshold t. With the k-th best cosine as t, it is above 0 for the k best.

All components of a code have one scale: with one for each, a scan takes nearly twice as long. So
those of the norm are scaled in the query.
"""

from __future__ import annotations

import math
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

# FAISS scans codes of so many bytes, or a multiple, a fourth faster than others.
_WIDTH = 16
_NORM_BYTES = 3
# The byte of a component that is 0, and three of them as a number; the least component is -128.
_SIGN = 0x80
_ZERO = int.from_bytes([_SIGN] * _NORM_BYTES)
# The least component and the width of them all: a byte b is (b + 0.5) / 255 of it.
_SCALE = np.array((-_SIGN - 0.5, 255), dtype=np.float32)
# Vectors converted at once: what is computed of so many stays in a processor's cache.
_ROWS = 1024


class Lists:
    """Lists of codes, each with the place of its vector; places are any numbers.

    K is the number of dims of a vector. A vector is found again by its list and its offset there,
    which changes if others are removed from the list.

    Args:
        centroids: float32 of shape (lists, K): a search scans the lists of those nearest to it.
    """

    def __init__(self, centroids: NDArray[np.float32]) -> None:
        count, dims = centroids.shape
        self._dims = int(dims)
        self._width = -(-(self._dims + _NORM_BYTES) // _WIDTH) * _WIDTH
        # What 1 stands for in each component of the norm; the greatest norm is 127 in all of them.
        places = 256.0 ** np.arange(_NORM_BYTES)[::-1]
        self._steps = math.sqrt(self._dims) / places.sum() * places
        self._quantizer = faiss.IndexFlatIP(self._width)
        self._quantizer.add(self._padded(centroids))
        # Not `QT_8bit_direct_signed`, for which FAISS has code that rounds the query, too.
        kind = faiss.ScalarQuantizer.QT_8bit_uniform
        # The quantizer must outlive the index: FAISS keeps only a pointer to it.
        self._index: Any = faiss.IndexIVFScalarQuantizer(
            self._quantizer, self._width, count, kind, faiss.METRIC_INNER_PRODUCT, False
        )
        faiss.copy_array_to_vector(_SCALE, self._index.sq.trained)
        self._index.is_trained = True
        self._inverted: Any = self._index.invlists
        # Views of the codes of lists, which are no longer valid once a list has changed.
        self._views: list[NDArray[np.uint8] | None] = [None] * count

    def __len__(self) -> int:
        """Number of lists."""
        return len(self._views)

    def move(self, centroids: NDArray[np.float32]) -> None:
        """Replace the centroids; what is in the lists stays there."""
        self._quantizer.reset()
        self._quantizer.add(self._padded(centroids))

    def nearest(self, levels: NDArray[np.int8]) -> NDArray[np.int32]:
        """The lists whose centroids are nearest to vectors (n, K), int32 of shape (n,)."""
        found = self._quantizer.search(self._padded(levels), 1)[1][:, 0]
        nearest: NDArray[np.int32] = found.astype(np.int32)
        return nearest

    def reserve(self, lists: NDArray[np.int32]) -> None:
        """Make room for vectors of these lists, int32 of shape (n,), while all are empty."""
        sizes = np.bincount(lists, minlength=len(self)).tolist()
        for number, size in enumerate(sizes):
            self._inverted.resize(number, size)
            self._inverted.resize(number, 0)

    def add(
        self,
        lists: NDArray[np.int32],
        places: NDArray[np.int64],
        levels: NDArray[np.int8],
        norms: NDArray[np.float32],
    ) -> NDArray[np.int32]:
        """Append vectors to lists.

        Args:
            lists: int32 of shape (n,).
            places: int64 of shape (n,).
            levels: int8 of shape (n, K).
            norms: Of these, as `norms_of` gives them.

        Returns:
            The offset of each in its list, int32 of shape (n,).
        """
        offsets = np.empty(lists.size, dtype=np.int32)
        order = np.argsort(lists, kind="stable")
        codes, places = self._encoded(levels, norms)[order], np.ascontiguousarray(places[order])
        for number, first, last in _runs(lists[order]):
            offsets[order[first:last]] = self._append(number, places[first:last], codes[first:last])
        self._index.ntotal += lists.size
        return offsets

    def remove(self, number: int, offsets: NDArray[np.int32]) -> NDArray[np.int64]:
        """Take vectors out of a list.

        Returns:
            The places of those that are left, in the order of their offsets from now on.
        """
        codes = self.codes(number)
        places = faiss.rev_swig_ptr(self._inverted.get_ids(number), len(codes))
        kept = np.ones(len(codes), dtype=np.bool_)
        kept[offsets] = False
        left: NDArray[np.int64] = places[kept]
        codes = codes[kept]
        self._index.ntotal -= len(kept) - len(left)
        self._inverted.resize(number, 0)
        self._append(number, left, codes)
        return left

    def codes(self, number: int) -> NDArray[np.uint8]:
        """The codes of a list, uint8 of shape (n, width); valid until the list changes."""
        view = self._views[number]
        if view is None:
            size = self._inverted.list_size(number)
            shape = (size, self._width)
            view = np.empty(shape, dtype=np.uint8)
            if size:
                pointer = self._inverted.get_codes(number)
                view = faiss.rev_swig_ptr(pointer, size * self._width).reshape(shape)
            self._views[number] = view
        return view

    def members(self, number: int) -> NDArray[np.int8]:
        """The levels of a list, int8 of shape (n, K)."""
        return self._decoded(self.codes(number))

    def levels(self, lists: NDArray[np.int32], offsets: NDArray[np.int32]) -> NDArray[np.int8]:
        """The levels of vectors, by their lists and offsets of shape (n,), int8 of shape (n, K)."""
        order = np.argsort(lists, kind="stable")
        sorted_offsets = offsets[order]
        codes = np.empty((lists.size, self._width), dtype=np.uint8)
        for number, first, last in _runs(lists[order]):
            part = slice(first, last)
            self.codes(number).take(sorted_offsets[part], 0, codes[part], "clip")
        back = np.empty_like(order)
        back[order] = np.arange(order.size)
        codes = codes[back]
        return self._decoded(codes)

    def search(
        self,
        query: NDArray[np.float32],
        k: int,
        *,
        above: float,
        probes: int,
        selector: faiss.IDSelector | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find vectors of the nearest lists by (cosine - above) times the norms of their levels.

        Args:
            query: float32 of shape (K,), unit norm.
            k: The most vectors.
            above: The threshold of cosines: those above it come first, whatever the norms are.
            probes: How many lists are scanned.
            selector: The places to consider; None for all.

        Returns:
            Places, best first, and by what they were ranked: below 0 if the cosine is below the
            threshold.
        """
        asked = np.zeros((1, self._width), dtype=np.float32)
        asked[0, : self._dims] = query
        asked[0, self._dims : self._dims + _NORM_BYTES] = -above * self._steps
        options: Any = faiss.SearchParametersIVF()
        options.nprobe, options.sel = probes, selector
        scores, places = self._index.search(asked, k, params=options)
        found = places[0] >= 0
        return places[0][found], scores[0][found]

    def _append(
        self, number: int, places: NDArray[np.int64], codes: NDArray[np.uint8]
    ) -> NDArray[np.int32]:
        size = self._inverted.list_size(number)
        if len(places):
            pointers = (faiss.swig_ptr(one) for one in (places, codes))
            self._inverted.add_entries(number, len(places), *pointers)
        self._views[number] = None
        return np.arange(size, size + len(places), dtype=np.int32)

    def _encoded(self, levels: NDArray[np.int8], norms: NDArray[np.float32]) -> NDArray[np.uint8]:
        codes = np.zeros((len(levels), self._width), dtype=np.uint8)
        np.bitwise_xor(levels.view(np.uint8), _SIGN, out=codes[:, : self._dims])
        units = np.rint(norms.astype(np.float64) / self._steps[-1]).astype(np.int64)
        units = np.minimum(units + _ZERO, 256**_NORM_BYTES - 1)
        for place in range(_NORM_BYTES):
            codes[:, self._dims + place] = units >> 8 * (_NORM_BYTES - 1 - place) & 0xFF
        return codes

    def _decoded(self, codes: NDArray[np.uint8]) -> NDArray[np.int8]:
        return (codes[:, : self._dims] ^ np.uint8(_SIGN)).view(np.int8)

    def _padded(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """As vectors of the index: unit rows of levels, or centroids as they are."""
        padded = np.zeros((len(rows), self._width), dtype=np.float32)
        own = padded[:, : self._dims]
        own[:] = rows
        if rows.dtype == np.int8:
            own /= np.sqrt(np.einsum("nk,nk->n", own, own))[:, None]
        return padded


def norms_of(levels: NDArray[np.int8]) -> NDArray[np.float32]:
    """The norms of levels (n, K), float32 of shape (n,)."""
    squares = np.empty(len(levels), dtype=np.float32)
    for first in range(0, len(levels), _ROWS):
        wide = levels[first : first + _ROWS].astype(np.float32)
        np.einsum("nk,nk->n", wide, wide, out=squares[first : first + _ROWS])
    return np.sqrt(squares)


def _runs(lists: NDArray[np.int32]) -> list[tuple[int, int, int]]:
    """The numbers in an ascending array, each with where it begins and ends."""
    edges = np.flatnonzero(np.diff(lists, prepend=-1, append=-1))
    bounds = edges.tolist()
    return list(zip(lists[edges[:-1]].tolist(), bounds[:-1], bounds[1:], strict=True))
