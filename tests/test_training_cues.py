"""Which cues a reader is given to look up by."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem.training.cues import LONGEST_AFTER, Cues

Ids = NDArray[np.int64]
# Few different ids: the same few stand in many places.
MEMORIES = st.lists(
    st.lists(st.integers(4, 7), min_size=2, max_size=60).map(
        lambda ids: np.array(ids, dtype=np.int64)
    ),
    min_size=1,
    max_size=5,
)


def forks(memories: list[Ids], chosen: int, first: int, last: int) -> int:
    """By hand: tokens in a stretch before which stands what elsewhere stands before another."""
    followers: dict[tuple[int, ...], set[int]] = {}
    for memory in memories:
        # What ends a memory is followed by its end.
        ended = [*memory.tolist(), -1]
        for at in range(3, len(ended)):
            followers.setdefault(tuple(ended[at - 3 : at]), set()).add(ended[at])
    own = memories[chosen].tolist()
    return sum(at >= 3 and len(followers[tuple(own[at - 3 : at])]) > 1 for at in range(first, last))


@given(memories=MEMORIES, seed=st.integers(0, 1 << 32), hard=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=200, deadline=None)
def test_a_cue_stands_in_its_memory_with_something_behind_it(
    memories: list[Ids], seed: int, hard: float
) -> None:
    cues = Cues(memories)
    for chosen, memory in enumerate(memories):
        drawn = cues.draw(np.random.default_rng(seed), chosen, hard=hard)
        start, end, stop = drawn
        assert 0 <= start < end < stop <= len(memory)
        assert stop - end < LONGEST_AFTER
        assert end - start == len(memory) - 1 or 4 <= end - start < 10
        assert cues.draw(np.random.default_rng(seed), chosen, hard=hard) == drawn


def test_a_cue_stands_nowhere_else_where_one_does() -> None:
    rng = np.random.default_rng(3)
    told = rng.integers(4, 4000, 50)
    # The second memory repeats half of the first.
    memories = [told, np.concatenate([told[:25], rng.integers(4, 4000, 25)])]
    cues = Cues(memories)
    for _ in range(100):
        start, end, _ = cues.draw(rng, 0, hard=0.5)
        assert end > 25, "a cue that ends within what stands twice is in both"
        assert start >= 0


def test_hard_cues_are_followed_by_what_stands_elsewhere_too() -> None:
    rng = np.random.default_rng(5)
    row = rng.integers(4, 4000, 6)
    # Plain text, then a table: the same words before another number in each row.
    table = np.concatenate([np.append(row, 5000 + n) for n in range(12)])
    memories = [np.concatenate([rng.integers(4, 4000, 120), table])]
    cues = Cues(memories)

    def mean(hard: float) -> float:
        drawn = [cues.draw(rng, 0, hard=hard)[1:] for _ in range(300)]
        return float(np.mean([forks(memories, 0, *one) for one in drawn]))

    # Of eight draws one is nearly always from the table.
    plain, half, hard = map(mean, (0.0, 0.5, 1.0))
    assert hard > 2 * plain
    assert hard > half > plain


@given(memories=MEMORIES)
@settings(max_examples=100, deadline=None)
def test_forks_are_what_they_are_by_hand(memories: list[Ids]) -> None:
    found = Cues(memories).forks
    for chosen, memory in enumerate(memories):
        by_hand = [forks(memories, chosen, at, at + 1) for at in range(len(memory))]
        assert found[chosen][: len(memory)].astype(int).tolist() == by_hand
