"""Lengths of prefix codes."""

from __future__ import annotations

import heapq

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agentmem.models.autoencoder.huffman import huffman_lengths


def test_by_hand() -> None:
    assert huffman_lengths(np.array([0.1, 0.4, 0.2, 0.3])).tolist() == [3, 1, 3, 2]
    assert huffman_lengths(np.full(4, 0.25)).tolist() == [2, 2, 2, 2]


# Many are equal, as those of symbols that were never seen.
@given(st.lists(st.integers(1, 9) | st.integers(1, 10**6), min_size=2, max_size=100))
def test_the_best_prefix_code(counts: list[int]) -> None:
    lengths = huffman_lengths(np.array(counts) / 1.0)
    assert sum(2.0 ** -int(length) for length in lengths) == 1
    heap, cost = sorted(counts), 0
    while len(heap) > 1:
        both = heapq.heappop(heap) + heap[0]
        heapq.heapreplace(heap, both)
        cost += both
    assert int(np.dot(counts, lengths)) == cost


def test_what_is_least_probable_has_the_longest_code() -> None:
    lengths = huffman_lengths(2.0 ** -np.arange(1, 21))
    assert lengths.tolist() == [*range(1, 20), 19]
