"""Lengths of the optimal prefix code for given symbol probabilities (Huffman)."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray


def huffman_lengths(probabilities: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Bits of each symbol's Huffman code, (S,); at least two symbols."""
    size = len(probabilities)
    parent = np.zeros(2 * size - 1, dtype=np.int64)
    heap = [(float(probability), index) for index, probability in enumerate(probabilities)]
    heapq.heapify(heap)
    for made in range(size, 2 * size - 1):
        first, one = heapq.heappop(heap)
        second, other = heap[0]
        parent[[one, other]] = made
        heapq.heapreplace(heap, (first + second, made))
    depth = np.zeros(2 * size - 1, dtype=np.uint8)
    for node in range(2 * size - 3, -1, -1):
        depth[node] = depth[parent[node]] + 1
    return depth[:size]
