"""Lengths of the optimal prefix code for given symbol probabilities (Huffman)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def huffman_lengths(probabilities: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Bits of each symbol's Huffman code, (S,); at least two symbols.

    Sums of two nodes are made in rising order, so that two sorted queues take the place of a heap:
    the symbols, and the sums.
    """
    size = len(probabilities)
    order = np.argsort(probabilities, kind="stable")
    symbols = [*probabilities[order].tolist(), math.inf]
    sums: list[float] = []
    parent = [0] * (2 * size - 1)
    symbol = made = 0  # the first of either queue
    for node in range(size, 2 * size - 1):
        total = 0.0
        for _ in range(2):
            if made < len(sums) and sums[made] < symbols[symbol]:
                total += sums[made]
                parent[size + made] = node
                made += 1
            else:
                total += symbols[symbol]
                parent[symbol] = node
                symbol += 1
        sums.append(total)
    depth = [0] * (2 * size - 1)
    for node in range(2 * size - 3, -1, -1):
        depth[node] = depth[parent[node]] + 1
    lengths = np.empty(size, dtype=np.uint8)
    lengths[order] = depth[:size]
    return lengths
