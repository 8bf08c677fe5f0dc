"""Canonical prefix codes of many contexts, written and read: shorter codes first, then by symbol.

A left-aligned code with the number of its context above it (bits 32 and up) is a position on one
long line of codes. Codes of the same context and length form a run on that line with equal spacing,
so a binary search among a few thousand runs and a shift give the symbol, for many bit strings at
once.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

# Longest code, in bits.
MAX_LENGTH = 32
# Fewer bit strings than this are read faster one by one than together.
_FEW = 8


def canonical_codes(lengths: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """The codes (S,) of one context, left-aligned in 32 bits, from their lengths (S,)."""
    order = _order(lengths)
    spans = np.uint64(1) << (np.uint64(MAX_LENGTH) - lengths[order].astype(np.uint64))
    codes = np.empty(len(lengths), dtype=np.uint32)
    codes[order] = np.cumsum(spans) - spans
    return codes


def bit_windows(data: bytes) -> NDArray[np.int64]:
    """The 32 bits that start at each bit of some bytes, zeros past the end, (8 bytes,)."""
    words = np.ndarray(len(data), ">u8", data + bytes(7), strides=(1,)).astype(np.uint64)
    windows = words[:, None] << np.arange(8, dtype=np.uint64)
    windows >>= np.uint64(64 - MAX_LENGTH)
    return windows.reshape(-1).view(np.int64)


class CodeReader:
    """Reads bit strings in which each symbol (of S) determines the context (of K) of the next."""

    def __init__(self, lengths: NDArray[np.uint8], contexts: NDArray[np.int64]) -> None:
        """Lay out the codes.

        Args:
            lengths: uint8 (K, S): bits of each code, 1 to 32; each row is a complete prefix code.
                S is at most 65,536.
            contexts: int64 (S,): the context after a symbol; the first symbol has the last context.
        """
        order = np.empty(lengths.shape, dtype=np.uint16)
        sizes = np.empty((len(lengths), MAX_LENGTH + 1), dtype=np.int64)
        for context, row in enumerate(lengths):  # all at once would take eight bytes per code
            order[context] = _order(row)
            sizes[context] = np.bincount(row, minlength=MAX_LENGTH + 1)
        runs = np.nonzero(sizes)
        size, length = sizes[runs], runs[1]
        shifts = MAX_LENGTH - length
        starts = np.cumsum(size << shifts) - (size << shifts)
        self._order = order.reshape(-1)  # symbols in the order of their codes
        self._starts = starts[1:]  # no code lies before the first run
        self._lengths = length
        self._shifts = shifts
        self._offsets = np.cumsum(size) - size - (starts >> shifts)
        self._next = contexts << MAX_LENGTH
        self._first = (len(lengths) - 1) << MAX_LENGTH

    def read(
        self, windows: NDArray[np.int64], positions: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        """Symbols of N bit strings; reading does not stop at the end of a string.

        Args:
            windows: `bit_windows` of the bytes that hold them all.
            positions: int64 (N,): the first bit of each.
            counts: int64 (N,): number of symbols of each, descending, at least 1.

        Returns:
            uint16 (T, N), zero after a string's last symbol, and int64 (N,), the bit after it.
        """
        found = np.zeros((int(counts.max(initial=0)), len(counts)), dtype=np.uint16)
        together = int(counts[_FEW - 1]) if len(counts) >= _FEW else 0
        active = np.searchsorted(-counts, -np.arange(together))  # strings with symbols left
        prefixes = np.full(len(counts), self._first)
        positions = positions.copy()
        for step, rows in enumerate(active.tolist()):
            here = positions[:rows]
            codes = prefixes[:rows] | windows.take(here, mode="clip")
            run = self._starts.searchsorted(codes, side="right")
            symbols = self._order.take((codes >> self._shifts.take(run)) + self._offsets.take(run))
            found[step, :rows] = symbols
            prefixes = self._next.take(symbols)
            here += self._lengths.take(run)
        for row in range(min(_FEW - 1, len(counts))):
            rest = int(counts[row]) - together
            if rest:
                found[together : int(counts[row]), row], positions[row] = self._read_one(
                    windows, int(positions[row]), int(prefixes[row]), rest
                )
        return found, positions

    def _read_one(
        self, windows: NDArray[np.int64], position: int, prefix: int, count: int
    ) -> tuple[list[int], int]:
        """`read` for one string in plain integers, from a position and its context."""
        bits, order, starts = windows.data, self._order.data, self._starts.data
        lengths, offsets, following = self._lengths.data, self._offsets.data, self._next.data
        last = len(windows) - 1
        symbols = []
        for _ in range(count):
            code = prefix | bits[min(position, last)]
            run = bisect_right(starts, code)
            length = lengths[run]
            symbol = order[(code >> (MAX_LENGTH - length)) + offsets[run]]
            symbols.append(symbol)
            prefix = following[symbol]
            position += length
        return symbols, position


def _order(lengths: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.argsort(lengths, kind="stable")
