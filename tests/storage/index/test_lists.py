"""Lists of levels, whose norms differ: a search ranks by cosines around a threshold."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from agentmem_storage.index.lists import Lists, norms_of
from agentmem_storage.levels import from_levels

COUNT = 300


def made(dims: int) -> tuple[Lists, NDArray[np.int8], NDArray[np.int32], NDArray[np.int32]]:
    """Lists of vectors with one component, with many, and with all kinds between."""
    random = np.random.default_rng(dims)
    levels = random.integers(-127, 128, (COUNT, dims)).astype(np.int8)
    levels[random.random((COUNT, dims)) < random.random((COUNT, 1))] = 0
    levels[np.arange(COUNT), random.integers(0, dims, COUNT)] = 127
    levels[0] = 127
    lists = Lists(from_levels(levels[:7]))
    numbers = lists.nearest(levels)
    offsets = np.empty(COUNT, dtype=np.int32)
    for part in (slice(0, 200), slice(200, COUNT)):
        places = np.arange(COUNT, dtype=np.int64)[part] + 1000
        offsets[part] = lists.add(numbers[part], places, levels[part], norms_of(levels[part]))
    return lists, levels, numbers, offsets


@pytest.mark.parametrize("dims", [1, 5, 16, 384, 1500])
def test_what_is_above_the_threshold_is_above_0_and_comes_first(dims: int) -> None:
    lists, levels, _, _ = made(dims)
    random = np.random.default_rng(1)
    for threshold in (-0.4, 0.0, 0.3, 0.9):
        query = from_levels(levels[3:4])[0] + 0.3 * random.standard_normal(dims) / dims**0.5
        query = (query / np.linalg.norm(query)).astype(np.float32)
        cosines = from_levels(levels) @ query
        places, scores = lists.search(query, COUNT, above=threshold, probes=7, selector=None)
        assert sorted(places.tolist()) == list(range(1000, 1000 + COUNT))
        found = cosines[places - 1000] - threshold
        sure = np.abs(found) > 1e-5
        assert ((scores > 0) == (found > 0))[sure].all()


def test_vectors_are_found_again_by_list_and_offset() -> None:
    lists, levels, numbers, offsets = made(16)
    chosen = np.random.default_rng(2).permutation(COUNT)[:90]
    assert np.array_equal(lists.levels(numbers[chosen], offsets[chosen]), levels[chosen])
    assert sum(len(lists.members(number)) for number in range(len(lists))) == COUNT


def test_what_is_removed_is_gone_and_the_rest_moves_up() -> None:
    lists, levels, numbers, offsets = made(16)
    number = int(np.bincount(numbers).argmax())
    own = np.flatnonzero(numbers == number)
    left = lists.remove(number, offsets[own[::2]])
    assert left.tolist() == (own[1::2] + 1000).tolist()
    kept = own[1::2]
    moved = np.arange(kept.size, dtype=np.int32)
    assert np.array_equal(lists.levels(numbers[kept], moved), levels[kept])
    query = from_levels(levels[own[:1]])[0]
    places, _ = lists.search(query, COUNT, above=0.5, probes=7, selector=None)
    assert set(places.tolist()) == set(range(1000, 1000 + COUNT)) - set((own[::2] + 1000).tolist())


def test_room_is_made_and_nothing_is_in_it() -> None:
    lists, levels, numbers, _ = made(16)
    empty = Lists(from_levels(levels[:7]))
    empty.reserve(numbers)
    assert not any(len(empty.members(number)) for number in range(len(empty)))
    query = from_levels(levels[:1])[0]
    assert empty.search(query, 5, above=0.5, probes=7, selector=None)[0].size == 0
    empty.add(numbers, np.arange(COUNT, dtype=np.int64), levels, norms_of(levels))
    for number in range(len(empty)):
        assert np.array_equal(empty.members(number), levels[numbers == number])
