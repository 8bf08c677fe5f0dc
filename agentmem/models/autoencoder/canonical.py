"""Canonical codes of many contexts, written and read: shorter codes first, then by symbol.

Behind the number of its context (bits 32 and up) a left-aligned code is a place on one long line
of codes. Codes of one context and one length are a run of that line, equally far from each other,
so a search among a few thousand runs and a shift give the symbol: of many bit strings at once.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

# A code is at most so long.
MAX_LENGTH = 32
# Fewer bit strings than this are read faster one after the other than together.
_FEW = 8


def canonical_codes(lengths: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """The codes (S,) of one context, left-aligned in 32 bits, from their lengths (S,)."""
    order = _order(lengths)
    spans = np.uint64(1) << (np.uint64(MAX_LENGTH) - lengths[order].astype(np.uint64))
    codes = np.empty(len(lengths), dtype=np.uint32)
    codes[order] = np.cumsum(spans) - spans
    return codes


def bit_windows(data: bytes) -> NDArray[np.int64]:
    """The 32 bits from each bit of some bytes on, zeros behind the end, (8 bytes,)."""
    words = np.ndarray(len(data), ">u8", data + bytes(7), strides=(1,)).astype(np.uint64)
    windows = words[:, None] << np.arange(8, dtype=np.uint64)
    windows >>= np.uint64(64 - MAX_LENGTH)
    return windows.reshape(-1).view(np.int64)


class CodeReader:
    """Reads bit strings whose symbols (S of them) each say the context (K) of the next."""

    def __init__(self, lengths: NDArray[np.uint8], contexts: NDArray[np.int64]) -> None:
        """Lay out the codes.

        Args:
            lengths: uint8 (K, S): bits of each code, 1 to 32; each row fills its code space
                exactly. S is at most 65,536.
            contexts: int64 (S,): the context behind a symbol; the first has the last context.
        """
        order = np.empty(lengths.shape, dtype=np.uint16)
        sizes = np.empty((len(lengths), MAX_LENGTH + 1), dtype=np.int64)
        for context, row in enumerate(lengths):  # all at once would take eight bytes for each code
            order[context] = _order(row)
            sizes[context] = np.bincount(row, minlength=MAX_LENGTH + 1)
        runs = np.nonzero(sizes)
        size, length = sizes[runs], runs[1]
        shifts = MAX_LENGTH - length
        starts = np.cumsum(size << shifts) - (size << shifts)
        self._order = order.reshape(-1)  # symbols in the order of their codes
        self._starts = starts[1:]  # every code is at or behind the first
        self._lengths = length
        self._shifts = shifts
        self._offsets = np.cumsum(size) - size - (starts >> shifts)
        self._behind = contexts << MAX_LENGTH
        self._first = (len(lengths) - 1) << MAX_LENGTH

    def read(
        self, windows: NDArray[np.int64], places: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        """Symbols of N bit strings; what stands behind a string's end may be read as its own.

        Args:
            windows: What `bit_windows` makes of the bytes that hold them all.
            places: int64 (N,): the bit that each begins with.
            counts: int64 (N,): symbols of each, falling, at least 1.

        Returns:
            uint16 (T, N), zero behind a string's last symbol, and int64 (N,), the bit behind it.
        """
        found = np.zeros((int(counts.max(initial=0)), len(counts)), dtype=np.uint16)
        together = int(counts[_FEW - 1]) if len(counts) >= _FEW else 0
        going = np.searchsorted(-counts, -np.arange(together))  # strings with a symbol left
        keys = np.full(len(counts), self._first)
        places = places.copy()
        for step, rows in enumerate(going.tolist()):
            here = places[:rows]
            codes = keys[:rows] | windows.take(here, mode="clip")
            run = self._starts.searchsorted(codes, side="right")
            symbols = self._order.take((codes >> self._shifts.take(run)) + self._offsets.take(run))
            found[step, :rows] = symbols
            keys = self._behind.take(symbols)
            here += self._lengths.take(run)
        for row in range(min(_FEW - 1, len(counts))):
            rest = int(counts[row]) - together
            if rest:
                found[together : int(counts[row]), row], places[row] = self._walk(
                    windows, int(places[row]), int(keys[row]), rest
                )
        return found, places

    def _walk(
        self, windows: NDArray[np.int64], place: int, key: int, count: int
    ) -> tuple[list[int], int]:
        """The same for one string, from a place and the context there; plain integers."""
        bits, order, starts = windows.data, self._order.data, self._starts.data
        lengths, offsets, behind = self._lengths.data, self._offsets.data, self._behind.data
        last = len(windows) - 1
        symbols = []
        for _ in range(count):
            code = key | bits[min(place, last)]
            run = bisect_right(starts, code)
            length = lengths[run]
            symbol = order[(code >> (MAX_LENGTH - length)) + offsets[run]]
            symbols.append(symbol)
            key = behind[symbol]
            place += length
        return symbols, place


def _order(lengths: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.argsort(lengths, kind="stable")
